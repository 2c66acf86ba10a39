/* batch: many picks at once.
 *
 * In two parts, so that a binding can let go of its lock between them: begin() reserves the turns and pins the picture,
 * the middle only reads it, end() lets go.  A picture that was replaced meanwhile waits for the last pin.
 *
 * Cost    a turn of a schedule is a copy; a key is its hash and a table read.
 * Keeps   turns that were reserved are nobody else's: the picks of a batch are those that single picks would have been.
 */
#include "upstream/internal.h"

#define KEYS_AHEAD 16u              /* whose bytes are asked for */

static bool can_split(const lb_upstream *up, bool keyed) {
    const lb_policy *policy = up->spec.policy;
    const lb_group *group = &up->picture->scope[0].group[0];
    if (!up->plain || group->view->n_usable == 0) return false;
    return keyed ? policy->walk && policy->pure : up->hot.replay && up->hot.replay->table;
}

bool lb_batch_begin(lb_batch *batch, lb_upstream *up, uint32_t n, bool keyed, uint64_t now_ns) {
    lb_upstream_fire(up, now_ns);
    if (!can_split(up, keyed)) return false;
    *batch = (lb_batch){.up = up, .group = &up->picture->scope[0].group[0]};
    if (!keyed) {
        batch->from = lb_replay_reserve(up->hot.replay, n);
    }
    up->n_pins++;
    return true;
}

void lb_batch_turns(const lb_batch *batch, int32_t *out, uint32_t n) {
    const lb_replay *replay = batch->up->spec.policy->replay(batch->group->policy_state);
    uint32_t turn = batch->from;
    for (uint32_t i = 0; i < n;) {
        uint32_t run = replay->n - turn < n - i ? replay->n - turn : n - i;
        memcpy(out + i, replay->table + turn, run * sizeof *out);
        i += run;
        turn = 0;
    }
}

/* Where the walk names nobody, the single choice's rule: it reads the same picture only.  One walk serves all keys: what
 * a policy keeps in it is set at step 0. */
void lb_batch_keys(const lb_batch *batch, const lb_key *keys, int32_t *out, uint32_t n) {
    const lb_group *group = batch->group;
    const lb_policy *policy = batch->up->spec.policy;
    lb_walk walk = {.peek = true};
    for (uint32_t i = 0; i < n; i++) {
#if defined(__GNUC__)
        if (i + KEYS_AHEAD < n) __builtin_prefetch(keys[i + KEYS_AHEAD].text.data);
#endif
        walk.key = keys[i];
        uint32_t member = policy->walk(group->policy_state, group->view, &walk);
        out[i] = (int32_t)(member == LB_NONE ? LB_NONE : lb_view_origin(group->view, member));
    }
}

void lb_batch_end(lb_batch *batch) {
    lb_upstream *up = batch->up;
    up->n_pins--;
    lb_pictures_reclaim(up);
}

void lb_upstream_pick_many(lb_upstream *up, int32_t *out, uint32_t n, uint64_t now_ns) {
    lb_batch batch;
    if (lb_batch_begin(&batch, up, n, false, now_ns)) {
        lb_batch_turns(&batch, out, n);
        lb_batch_end(&batch);
        return;
    }
    for (uint32_t i = 0; i < n; i++) out[i] = (int32_t)lb_upstream_pick(up, now_ns);    /* LB_NONE is -1 */
}

void lb_upstream_pick_keys(lb_upstream *up, const lb_key *keys, int32_t *out, uint32_t n, uint64_t now_ns) {
    lb_batch batch;
    bool read_only = lb_batch_begin(&batch, up, n, true, now_ns);
    if (read_only) {
        lb_batch_keys(&batch, keys, out, n);
        lb_batch_end(&batch);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (read_only && out[i] >= 0) continue;
        lb_want want = {.key = &keys[i]};
        out[i] = (int32_t)lb_upstream_choose(up, &want, now_ns);
    }
}

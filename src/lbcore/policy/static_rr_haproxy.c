/* static_rr_haproxy: HAProxy's `balance static-rr`, turn for turn: its map by weight, in order, again and again.
 *
 * Source  haproxy_map.h; checked against HAProxy 2.6.12.
 * Health  a target that is not usable has no places.  A new map goes on at the same number, or at 0 if it is shorter;
 *         a change behind the last place begins the new map.
 * Step    each ask spends a turn, whatever the step.
 * Cost    pick: a table read, also replayed by the caller.  Build O(places * log n); 4 bytes a place.
 * Keeps   pick() moves the cursor: one caller at a time.
 */
#include "base/alloc.h"
#include "policy/haproxy_map.h"

typedef struct state {
    lb_replay replay;                   /* of `place` */
    uint32_t *place;
} state;

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)param, (void)old_index;
    const state *before = previous;
    state *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    lb_status status = lb_haproxy_map_new(&s->place, &s->replay.n, view, err);
    if (status) {
        lb_free(s);
        return status;
    }
    s->replay.table = s->place;
    uint32_t cursor = before && before->replay.n ? lb_replay_at(&before->replay) : 0;
    if (cursor < s->replay.n) s->replay.cursor = cursor;
    *out = s;
    return LB_OK;
}

static void destroy(void *st) {
    state *s = st;
    if (!s) return;
    lb_free(s->place);
    lb_free(s);
}

static uint32_t pick(void *st, const lb_view *view, const lb_ask *ask) {
    state *s = st;
    if (view->n_usable == 0) return LB_NONE;
    if (!ask->peek) return lb_replay_next(&s->replay);
    return s->place[((uint64_t)s->replay.cursor + ask->step) % s->replay.n];
}

static lb_replay *replay(void *st) { return &((state *)st)->replay; }

const lb_policy lb_policy_static_rr_haproxy = {
    .name = "static_rr_haproxy", .summary = "HAProxy's static-rr: its map by weight, in order.",
    .build = build, .destroy = destroy, .pick = pick, .replay = replay,
};

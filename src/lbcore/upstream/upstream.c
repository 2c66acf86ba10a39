/* upstream: its making, and the changes from outside: targets, weights, health.
 *
 * Each change: check the arguments, prepare aside, then switch; a failure on the way undoes the little that was
 * done.  What is due is fired by the same new picture, so that a failed change leaves it due.
 * Cost    O(n) and the policy's build.
 * Keeps   members[i] is the View's member i; a slot is held by a member, or by a removed target with open calls.
 */
#include "upstream/internal.h"

#include "base/alloc.h"

static lb_status check_spec(const lb_upstream_spec *spec, lb_error *err) {
    if (spec->passive.max_percent > 100)
        return lb_fail(err, LB_ERR_CONFIG, "health.max_percent", "%u is not in 0..100", spec->passive.max_percent);
    const lb_param *param = spec->policy->params;
    for (uint32_t i = 0; param && param[i].name; i++) {
        lb_status status = lb_param_check(&param[i], spec->param[i], err);
        if (status) return status;
    }
    return spec->policy->check ? spec->policy->check(spec->param, err) : LB_OK;
}

lb_status lb_upstream_new(lb_upstream **out, const lb_upstream_spec *spec, const lb_target_spec *targets, uint32_t n,
                          uint64_t now_ns, lb_error *err) {
    lb_status status = check_spec(spec, err);
    if (status) return status;
    lb_upstream *up = lb_alloc_zero(1, sizeof *up);
    if (!up) return lb_no_memory(err, "upstream");
    up->spec = *spec;
    up->hot.due_ns = LB_NEVER;
    lb_rng_seed(&up->rng, spec->seed);
    status = lb_state_new(&up->state, err);
    if (!status) status = lb_upstream_update(up, targets, n, now_ns, err);
    if (status) lb_upstream_free(up);
    else *out = up;
    return status;
}

void lb_upstream_free(lb_upstream *up) {
    if (!up) return;
    up->spec.policy->destroy(up->policy_state);
    lb_view_free(up->hot.view);
    lb_state_free(up->state);
    lb_members_free(up->members);
    lb_free(up->events.ring);
    lb_free(up);
}

/* ---- the target list -------------------------------------------------------------------------------------- */

/* The next target list while it is made.  Members below n_seated have their slot. */
typedef struct draft {
    lb_members *members;
    uint32_t *old_index;
    lb_picture picture;
    uint32_t n_seated;
} draft;

static void discard(lb_upstream *up, draft *next) {
    for (uint32_t i = next->n_seated; i-- > 0;)          /* last taken, first back: free_slot is as it was */
        if (next->old_index[i] == LB_NONE) lb_state_leave(up->state, next->picture.view->slot[i]);
    lb_view_free(next->picture.view);
    lb_free(next->old_index);
    lb_members_free(next->members);
}

/* A member that stays keeps its slot; a newcomer takes one. */
static lb_status seat(lb_upstream *up, draft *next, const lb_target_spec *targets, lb_error *err) {
    lb_view *view = next->picture.view;
    for (uint32_t i = 0; i < view->n_members; i++) {
        uint32_t old = lb_members_find(up->members, next->members->name[i].identity);
        if (old != LB_NONE) {
            view->slot[i] = up->hot.view->slot[old];
        } else {
            lb_status status = lb_state_take(up->state, &view->slot[i], err);
            if (status) return status;
        }
        view->user[i] = targets[i].user;
        next->old_index[i] = old;
        next->n_seated = i + 1;
    }
    return LB_OK;
}

/* Everything that can fail.  What was made so far is in *next also after a failure. */
static lb_status prepare(lb_upstream *up, draft *next, const lb_target_spec *targets, uint32_t n, uint64_t now_ns,
                         lb_error *err) {
    lb_status status = lb_members_new(&next->members, targets, n, up->spec.seed, err);
    if (!status) status = lb_view_new(&next->picture.view, n, up->state, err);
    if (status) return status;
    next->old_index = lb_alloc_array(n, sizeof *next->old_index);
    if (!next->old_index) return lb_no_memory(err, "targets");
    status = seat(up, next, targets, err);
    if (status) return status;
    return lb_picture_finish(up, &next->picture, next->members, next->old_index, now_ns, err);
}

/* The slots of those whom the next list does not name. */
static void let_go(lb_upstream *up, const lb_members *next) {
    for (uint32_t i = 0; up->members && i < up->members->n; i++)
        if (lb_members_find(next, up->members->name[i].identity) == LB_NONE)
            lb_state_leave(up->state, up->hot.view->slot[i]);
}

lb_status lb_upstream_update(lb_upstream *up, const lb_target_spec *targets, uint32_t n, uint64_t now_ns,
                             lb_error *err) {
    draft next = {0};
    lb_status status = prepare(up, &next, targets, n, now_ns, err);
    if (status) {
        discard(up, &next);
        return status;
    }
    let_go(up, next.members);
    lb_members *old = up->members;
    up->members = next.members;
    lb_picture_show(up, next.picture, now_ns);
    lb_members_free(old);               /* after the View that names its bytes */
    lb_free(next.old_index);
    return LB_OK;
}

/* ---- one target ------------------------------------------------------------------------------------------- */

static lb_status check_member(const lb_upstream *up, uint32_t member, lb_error *err) {
    uint32_t n = up->hot.view->n_members;
    if (member < n) return LB_OK;
    return lb_fail(err, LB_ERR_CONFIG, "target", "no target has the index %u; the upstream has %u", member, n);
}

lb_status lb_upstream_set_weight(lb_upstream *up, uint32_t member, uint32_t weight, uint64_t now_ns, lb_error *err) {
    lb_status status = check_member(up, member, err);
    if (!status) status = lb_weight_check(weight, err);
    if (status) return status;
    uint32_t *place = &up->members->weight[member], before = *place;
    if (weight == before) return lb_upstream_advance(up, now_ns, err);
    *place = weight;
    status = lb_upstream_publish(up, now_ns, err);
    if (status) *place = before;
    return status;
}

static void mark(lb_record *record, bool healthy, uint64_t now_ns) {
    if (!healthy) {
        record->off |= LB_OFF_UNHEALTHY;
        return;
    }
    record->off &= ~(uint32_t)LB_OFF_UNHEALTHY;
    if (record->off & LB_OFF_EJECTED) lb_passive_recover(record, now_ns);
}

lb_status lb_upstream_set_health(lb_upstream *up, uint32_t member, bool healthy, uint64_t now_ns, lb_error *err) {
    lb_status status = check_member(up, member, err);
    if (status) return status;
    uint32_t slot = up->hot.view->slot[member];
    lb_record *record = lb_record_of(up->state, slot), before = *record;
    mark(record, healthy, now_ns);
    uint32_t changed = before.off ^ record->off;
    if (!changed) return lb_upstream_advance(up, now_ns, err);
    status = lb_upstream_publish(up, now_ns, err);
    if (status) {
        *record = before;
        return status;
    }
    if (changed & LB_OFF_EJECTED) lb_upstream_tell(up, LB_EVENT_RECOVERED, slot, now_ns);
    if (changed & LB_OFF_UNHEALTHY)
        lb_upstream_tell(up, healthy ? LB_EVENT_HEALTHY : LB_EVENT_UNHEALTHY, slot, now_ns);
    return LB_OK;
}

/* ---- looking in ------------------------------------------------------------------------------------------- */

const lb_view *lb_upstream_view(const lb_upstream *up) { return up->hot.view; }

lb_state *lb_upstream_state(const lb_upstream *up) { return up->state; }

const void *lb_upstream_policy_state(const lb_upstream *up) { return up->policy_state; }

bool lb_upstream_next_event(lb_upstream *up, lb_event *out, uint64_t *dropped) {
    return lb_events_take(&up->events, out, dropped);
}

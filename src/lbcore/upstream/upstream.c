/* upstream: its making, and the changes from outside: targets, weights, health, drain.
 *
 * Each change: check the arguments, prepare aside, then switch; a failure on the way undoes the little that was
 * done.  What is due is fired by the same new picture, so that a failed change leaves it due.
 * Cost    O(n) and the policy's build.
 * Keeps   members[i] is the View's member i; a slot is held by a member, or by a removed target with open calls.
 */
#include "upstream/internal.h"

#include "base/alloc.h"

/* ---- making it -------------------------------------------------------------------------------------------- */

#define HOLD_NS 1000000000u

void lb_upstream_defaults(lb_upstream_spec *spec) {
    spec->passive = lb_passive_default;
    spec->levels = (lb_levels){.overprovisioning = 140};
    spec->slow_start = (lb_slow_start){0};
    spec->limits = (lb_limits){.hold_ns = HOLD_NS, .retry_percent = 20, .retry_per_second = 10};
}

static lb_status outside(lb_error *err, const char *field, uint64_t value, uint64_t min, uint64_t max) {
    return lb_fail(err, LB_ERR_CONFIG, field, "%llu is not in %llu..%llu", (unsigned long long)value,
                   (unsigned long long)min, (unsigned long long)max);
}

static lb_status check_rules(const lb_upstream_spec *spec, lb_error *err) {
    const lb_levels *levels = &spec->levels;
    const lb_limits *limits = &spec->limits;
    if (spec->passive.max_percent > 100) return outside(err, "health.max_percent", spec->passive.max_percent, 0, 100);
    if (levels->overprovisioning && (levels->overprovisioning < 100 || levels->overprovisioning > 1000000))
        return outside(err, "levels.overprovisioning", levels->overprovisioning, 100, 1000000);
    if (levels->panic > 100) return outside(err, "levels.panic", levels->panic, 0, 100);
    if (limits->bound_permille && (limits->bound_permille < 1000 || limits->bound_permille > 100000))
        return outside(err, "limits.bound", limits->bound_permille, 1000, 100000);
    for (uint32_t i = 0; spec->slow_start.window_ns && i < LB_SLOW_STEPS; i++)
        if (spec->slow_start.step[i] == 0 || spec->slow_start.step[i] > 65536)
            return outside(err, "slow_start.step", spec->slow_start.step[i], 1, 65536);
    return LB_OK;
}

static lb_status check_spec(const lb_upstream_spec *spec, lb_error *err) {
    lb_status status = check_rules(spec, err);
    const lb_param *param = spec->policy->params;
    for (uint32_t i = 0; param && param[i].name && !status; i++)
        status = lb_param_check(&param[i], spec->param[i], err);
    if (status) return status;
    return spec->policy->check ? spec->policy->check(spec->param, err) : LB_OK;
}

/* A bounded policy's own bound counts, unless limits set one. */
static void adopt(lb_upstream *up, const lb_upstream_spec *spec, uint64_t now_ns) {
    up->spec = *spec;
    up->chooser = lb_policy_find(lb_str_of("round_robin"));
    if (spec->policy->bounded && !spec->limits.bound_permille) {
        up->spec.limits.bound_permille = (uint32_t)(spec->param[0] * 1000 + 0.5);
        up->spec.limits.margin = (uint32_t)spec->param[1];
    }
    up->bounded = up->spec.limits.bound_permille > 0;
    up->hot.due_ns = up->picture_due_ns = LB_NEVER;
    up->tick_due_ns = spec->policy->tick_ns ? now_ns + spec->policy->tick_ns : LB_NEVER;
    lb_rng_seed(&up->rng, spec->seed);
}

lb_status lb_upstream_new(lb_upstream **out, const lb_upstream_spec *spec, const lb_target_spec *targets, uint32_t n,
                          uint64_t now_ns, lb_error *err) {
    lb_status status = check_spec(spec, err);
    if (status) return status;
    lb_upstream *up = lb_alloc_zero(1, sizeof *up);
    if (!up) return lb_no_memory(err, "upstream");
    adopt(up, spec, now_ns);
    status = lb_state_new(&up->state, err);
    if (!status) status = lb_upstream_update(up, targets, n, now_ns, err);
    if (status) lb_upstream_free(up);
    else *out = up;
    return status;
}

void lb_upstream_free(lb_upstream *up) {
    if (!up) return;
    for (lb_subset *subset = up->subsets; subset; subset = subset->next) {
        subset->up = NULL;
        subset->scope = NULL;
    }
    lb_picture_free(up, up->picture);
    lb_state_free(up->state);
    lb_members_free(up->members);
    lb_free(up->holds.ring);
    lb_free(up->events.ring);
    lb_free(up);
}

/* ---- the target list -------------------------------------------------------------------------------------- */

/* The next target list while it is made.  Members below n_seated have their slot. */
typedef struct draft {
    lb_members *members;
    uint32_t *old_index;
    lb_picture *picture;
    uint32_t n_seated;
} draft;

static void discard(lb_upstream *up, draft *next) {
    for (uint32_t i = next->n_seated; i-- > 0;)          /* last taken, first back: free_slot is as it was */
        if (next->old_index[i] == LB_NONE) lb_state_leave(up->state, next->picture->view->slot[i]);
    lb_picture_free(up, next->picture);
    lb_free(next->old_index);
    lb_members_free(next->members);
}

/* A slot for a newcomer.  It starts slowly, unless it comes with the first list. */
static lb_status take_slot(lb_upstream *up, uint32_t *slot, uint64_t now_ns, lb_error *err) {
    lb_status status = lb_state_take(up->state, slot, err);
    if (!status && up->members) lb_record_of(up->state, *slot)->slow_since_ns = now_ns;
    return status;
}

/* A member that stays keeps its slot; a newcomer takes one. */
static lb_status seat(lb_upstream *up, draft *next, const lb_target_spec *targets, uint64_t now_ns, lb_error *err) {
    lb_view *view = next->picture->view;
    for (uint32_t i = 0; i < view->n_members; i++) {
        uint32_t old = lb_members_find(up->members, next->members->name[i].identity);
        if (old != LB_NONE) {
            view->slot[i] = up->hot.view->slot[old];
        } else {
            lb_status status = take_slot(up, &view->slot[i], now_ns, err);
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
    if (!status) status = lb_picture_new(&next->picture, up, next->members, err);
    if (status) return status;
    next->old_index = lb_alloc_array(n, sizeof *next->old_index);
    if (!next->old_index) return lb_no_memory(err, "targets");
    status = seat(up, next, targets, now_ns, err);
    if (status) return status;
    return lb_picture_finish(up, next->picture, next->old_index, now_ns, err);
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
    lb_members *gone = up->members;
    up->members = next.members;
    lb_picture_show(up, next.picture, gone, now_ns);
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
    if (record->off & (LB_OFF_UNHEALTHY | LB_OFF_EJECTED)) record->slow_since_ns = now_ns;
    record->off &= ~(uint32_t)LB_OFF_UNHEALTHY;
    if (record->off & LB_OFF_EJECTED) lb_passive_recover(record, now_ns);
}

/* Publish what `record` says now; if that fails, it says what it said `before`. */
static lb_status commit(lb_upstream *up, lb_record *record, lb_record before, uint64_t now_ns, lb_error *err) {
    lb_status status = lb_upstream_publish(up, now_ns, err);
    if (status) *record = before;
    return status;
}

lb_status lb_upstream_set_health(lb_upstream *up, uint32_t member, bool healthy, uint64_t now_ns, lb_error *err) {
    lb_status status = check_member(up, member, err);
    if (status) return status;
    uint32_t slot = up->hot.view->slot[member];
    lb_record *record = lb_record_of(up->state, slot), before = *record;
    mark(record, healthy, now_ns);
    uint32_t changed = before.off ^ record->off;
    if (!changed) return lb_upstream_advance(up, now_ns, err);
    status = commit(up, record, before, now_ns, err);
    if (status) return status;
    if (changed & LB_OFF_EJECTED) lb_upstream_tell(up, LB_EVENT_RECOVERED, slot, now_ns);
    if (changed & LB_OFF_UNHEALTHY)
        lb_upstream_tell(up, healthy ? LB_EVENT_HEALTHY : LB_EVENT_UNHEALTHY, slot, now_ns);
    return LB_OK;
}

lb_status lb_upstream_drain(lb_upstream *up, uint32_t member, uint64_t until_ns, uint64_t now_ns, lb_error *err) {
    lb_status status = check_member(up, member, err);
    if (status) return status;
    lb_record *record = lb_record_of(up->state, up->hot.view->slot[member]), before = *record;
    bool drains = before.off & LB_OFF_DRAINING;
    record->off |= LB_OFF_DRAINING;
    status = drains ? lb_upstream_advance(up, now_ns, err) : commit(up, record, before, now_ns, err);
    if (!status) record->drain_until_ns = until_ns;
    return status;
}

lb_status lb_upstream_undrain(lb_upstream *up, uint32_t member, uint64_t now_ns, lb_error *err) {
    lb_status status = check_member(up, member, err);
    if (status) return status;
    lb_record *record = lb_record_of(up->state, up->hot.view->slot[member]), before = *record;
    if (!(record->off & LB_OFF_DRAINING)) return lb_upstream_advance(up, now_ns, err);
    record->off &= ~(uint32_t)LB_OFF_DRAINING;
    record->drain_until_ns = 0;
    return commit(up, record, before, now_ns, err);
}

/* ---- looking in ------------------------------------------------------------------------------------------- */

const lb_view *lb_upstream_view(const lb_upstream *up) { return up->hot.view; }

lb_state *lb_upstream_state(const lb_upstream *up) { return up->state; }

const void *lb_upstream_policy_state(const lb_upstream *up) { return up->picture->scope[0].group[0].policy_state; }

uint64_t lb_upstream_in_flight(const lb_upstream *up) { return up->in_flight; }

bool lb_upstream_next_event(lb_upstream *up, lb_event *out, uint64_t *dropped) {
    return lb_events_take(&up->events, out, dropped);
}

/* upstream: its making, its target list, and what a fork leaves of it.
 *
 * An update checks the arguments, prepares aside, then switches; a failure on the way undoes the little that was
 * done.  What is due is fired by the same new picture, so that a failed update leaves it due.
 * Cost    O(n) and the policy's build.
 * Keeps   members[i] is the View's member i; a slot is held by a member, or by a removed target with open calls.
 */
#include "upstream/internal.h"

#include "base/alloc.h"
#include "hash/murmur3_128.h"

#include <stdio.h>

/* ---- making it -------------------------------------------------------------------------------------------- */

#define HOLD_NS 1000000000u

void lb_upstream_defaults(lb_upstream_spec *spec) {
    spec->health = (lb_health){.outlier = lb_outlier_default, .max_hold_ns = 60ull * HOLD_NS};
    spec->when_empty = LB_EMPTY_FAIL;
    spec->backing = NULL;
    spec->name = (lb_str){0};
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
    lb_status status = lb_outlier_check(&spec->health.outlier, err);
    if (status) return status;
    if (!(spec->health.threshold >= 0 && spec->health.threshold <= 100))
        return lb_fail(err, LB_ERR_CONFIG, "health.threshold", "is not in 0..100 percent");
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

/* Nothing but consecutive failures is counted: a success matters only where it ends a streak. */
static bool is_unwatched(const lb_health *health) {
    return !lb_outlier_judges(&health->outlier) && !lb_checks_count_any(&health->passive);
}

static lb_mark mark_of(lb_str name) {
    uint64_t halves[2];
    lb_murmur3_128(name.data, name.len, 0, halves);
    return (lb_mark){.high = halves[1], .low = halves[0]};
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
    up->unwatched = is_unwatched(&spec->health);
    up->mark = mark_of(spec->name);
    up->told_ns = now_ns;
    lb_word_note(&up->era, 1);
    up->hot.due_ns = up->picture_due_ns = LB_NEVER;
    up->tick_due_ns = spec->policy->tick_ns ? now_ns + spec->policy->tick_ns : LB_NEVER;
    up->judge_due_ns = lb_outlier_due_ns(&spec->health.outlier, now_ns);
    lb_rng_seed(&up->rng, spec->seed);
    lb_rng_seed(&up->chance, ~spec->seed);
}

lb_status lb_upstream_new(lb_upstream **out, const lb_upstream_spec *spec, const lb_target_spec *targets, uint32_t n,
                          uint64_t now_ns, lb_error *err) {
    lb_status status = check_spec(spec, err);
    if (status) return status;
    lb_upstream *up = lb_alloc_zero(1, sizeof *up);
    if (!up) return lb_no_memory(err, "upstream");
    adopt(up, spec, now_ns);
    status = lb_state_new(&up->state, spec->backing, up->mark, err);
    if (!status) {
        up->hot.epoch = &up->state->common->epoch;
        status = lb_upstream_update(up, targets, n, now_ns, err);
    }
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
    lb_readers_part(up);
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

#define SHOWN_NAME 160

/* A target is known by its upstream and its id: the same address in two upstreams is two targets.  Crosswise, so that an
 * upstream and a target of one name do not cancel each other. */
static lb_mark mark_in(const lb_upstream *up, lb_str identity) {
    lb_mark mark = mark_of(identity);
    return (lb_mark){.high = mark.high ^ up->mark.low, .low = mark.low ^ up->mark.high};
}

/* What a segment is told of a target; `text` has room for the name. */
static lb_who who_is(const lb_upstream *up, lb_str identity, char *text) {
    lb_str name = up->spec.name;
    if (!up->state->backing) return (lb_who){.name = ""};
    (void)snprintf(text, SHOWN_NAME, "%.*s %.*s", name.len < 80 ? (int)name.len : 80, name.data,
                   identity.len < 78 ? (int)identity.len : 78, identity.data);
    return (lb_who){.identity = mark_in(up, identity), .name = text};
}

/* A slot for a newcomer.  It starts slowly, unless it comes with the first list, or other workers know it already. */
static lb_status take_slot(lb_upstream *up, lb_str identity, uint32_t *slot, uint64_t now_ns, lb_error *err) {
    char text[SHOWN_NAME];
    lb_who who = who_is(up, identity, text);
    lb_status status = lb_state_take(up->state, &who, slot, err);
    uint64_t never = 0;
    if (!status && up->members) (void)lb_word_swap(&lb_record_of(up->state, *slot)->slow_since_ns, &never, now_ns);
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
            lb_status status = take_slot(up, next->members->name[i].identity, &view->slot[i], now_ns, err);
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
    void (*leave)(lb_state *, uint32_t) = up->readers ? lb_state_leave_later : lb_state_leave;
    for (uint32_t i = 0; up->members && i < up->members->n; i++)
        if (lb_members_find(next, up->members->name[i].identity) == LB_NONE)
            leave(up->state, up->hot.view->slot[i]);
}

lb_status lb_upstream_update(lb_upstream *up, const lb_target_spec *targets, uint32_t n, uint64_t now_ns,
                             lb_error *err) {
    draft next = {0};
    now_ns = lb_upstream_moment(up, now_ns);
    if (up->readers) lb_readers_attend(up);
    if (!up->readers || !up->retired) lb_state_sweep(up->state);     /* else a reader may still choose who has left */
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

/* ---- forks ------------------------------------------------------------------------------------------------ */

static void leave_cursor(const lb_policy *policy, void *schedule, lb_cursor **cursor) {
    if (*cursor) policy->replay(schedule)->shared = NULL;
    *cursor = NULL;
}

/* The cursors are the parent's: the turns of the picture are the child's own until it joins. */
static void leave_cursors(lb_upstream *up) {
    for (uint32_t s = 0; s < up->picture->n_scopes; s++) {
        lb_scope *scope = &up->picture->scope[s];
        for (uint32_t g = 0; g < scope->n_groups; g++)
            leave_cursor(up->spec.policy, scope->group[g].policy_state, &scope->group[g].cursor);
        leave_cursor(up->chooser, scope->schedule, &scope->cursor);
    }
}

void lb_upstream_forked(lb_upstream *up, uint64_t seed) {
    lb_state_forked(up->state);
    lb_rng_seed(&up->rng, seed);
    lb_rng_seed(&up->chance, ~seed);
    lb_word_note(&up->in_flight, 0);
    lb_word_note(&up->others, 0);
    up->holds.n = 0;
    up->events.n = 0;
    up->orphan = up->state->backing != NULL;
    lb_replay *replay = up->hot.replay;
    if (replay && replay->table && !replay->shared) replay->cursor = lb_rng_below(&up->rng, replay->n);
    if (up->orphan) leave_cursors(up);
    lb_upstream_set_due(up);
}

lb_status lb_upstream_rejoin(lb_upstream *up, uint64_t now_ns, lb_error *err) {
    if (!up->orphan) return LB_OK;
    lb_status status = lb_state_join(up->state, err);
    if (status) return status;
    up->hot.epoch = &up->state->common->epoch;
    for (uint32_t i = 0; i < up->members->n && !status; i++) {
        char text[SHOWN_NAME];
        lb_who who = who_is(up, up->members->name[i].identity, text);
        status = lb_state_reseat(up->state, &who, up->hot.view->slot[i], err);
    }
    if (!status) status = lb_upstream_publish(up, lb_upstream_moment(up, now_ns), err);
    if (status) return status;
    lb_state_joined(up->state);
    up->orphan = false;
    return LB_OK;
}

/* ---- looking in ------------------------------------------------------------------------------------------- */

const lb_view *lb_upstream_view(const lb_upstream *up) { return up->hot.view; }

lb_state *lb_upstream_state(const lb_upstream *up) { return up->state; }

const void *lb_upstream_policy_state(const lb_upstream *up) { return up->picture->scope[0].group[0].policy_state; }

uint64_t lb_upstream_in_flight(const lb_upstream *up) {
    return lb_upstream_counted(up) + lb_readers_in_flight(up);
}

bool lb_upstream_next_event(lb_upstream *up, lb_event *out, uint64_t *dropped) {
    if (up->readers) lb_readers_attend(up);
    return lb_events_take(&up->events, out, dropped);
}

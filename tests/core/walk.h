/* walk: recomputes what an upstream must show from its records and from the weights its embedder gave.
 *
 * For the tests of upstream and its fuzz target, after each change.  Slow and obviously right.
 * It looks into upstream/internal.h, for its invariants are about what no function of lbcore.h shows: groups and their
 * Views, the queue of held calls, the schedule of shares.
 */
#ifndef WALK_H
#define WALK_H

#include "check.h"
#include "upstream/internal.h"

/* ---- slots and calls -------------------------------------------------------------------------------------------- */

/* Every slot is a member's, or waits for its last call, or is free; and only one of these. */
static inline void walk_slots(const lb_upstream *up) {
    const lb_view *view = lb_upstream_view(up);
    const lb_state *state = lb_upstream_state(up);
    uint32_t n_used = 0, *times = calloc(state->n_slots + 1, sizeof *times);
    if (!times) exit(2);
    for (uint32_t i = 0; i < view->n_members; i++) times[view->slot[i]]++;
    for (uint32_t i = 0; i < state->n_free; i++) times[state->free_slot[i]]++;
    for (uint32_t slot = 0; slot < state->n_slots; slot++) {
        const lb_record *record = lb_record_of(state, slot);
        if (record->leaving) CHECK(record->used && lb_counter_read(lb_in_flight(state, slot)) > 0);
        CHECK_EQ(times[slot] + record->leaving, 1);
        n_used += record->used;
    }
    CHECK_EQ(n_used + state->n_free, state->n_slots);
    free(times);
}

/* Held calls wait in the order of their ends, are of their slot's present generation and counted in n_held; what all
 * slots have in flight is the upstream's number. */
static inline void walk_calls(const lb_upstream *up) {
    const lb_state *state = lb_upstream_state(up);
    const lb_holds *holds = &up->holds;
    uint64_t in_flight = 0, until_ns = 0;
    uint32_t *held = calloc(state->n_slots + 1, sizeof *held);
    if (!held) exit(2);
    for (uint32_t i = 0; i < holds->n; i++) {
        const lb_hold *hold = &holds->ring[(holds->first + i) % holds->capacity];
        CHECK(hold->until_ns >= until_ns);
        CHECK_EQ(hold->generation, lb_record_of(state, hold->slot)->generation);
        until_ns = hold->until_ns;
        held[hold->slot]++;
    }
    for (uint32_t slot = 0; slot < state->n_slots; slot++) {
        uint32_t calls = lb_counter_read(lb_in_flight(state, slot));
        CHECK_EQ(lb_record_of(state, slot)->n_held, held[slot]);
        CHECK(held[slot] <= calls);
        in_flight += calls;
    }
    CHECK_EQ(lb_upstream_in_flight(up), in_flight);
    free(held);
}

/* ---- levels ----------------------------------------------------------------------------------------------------- */

/* "a level's health is min(100, overprovisioning * healthy / all) percent"; 0: "a level serves alone while anybody in
 * it is usable" */
static inline uint32_t walk_health(const lb_levels *rule, uint32_t n_usable, uint32_t n_all) {
    if (n_usable == 0) return 0;
    if (rule->overprovisioning == 0) return 100;
    uint64_t health = (uint64_t)rule->overprovisioning * n_usable / n_all;
    return health > 100 ? 100 : (uint32_t)health;
}

/* The sentences of lb_levels, one after the other: percent and panic of the levels from their numbers. */
static inline void walk_share(const lb_levels *rule, lb_level *level, uint32_t n) {
    uint32_t total = 0, left = 100, n_panic = 0;
    uint64_t n_all = 0;
    for (uint32_t l = 0; l < n; l++) {
        total += walk_health(rule, level[l].n_usable, level[l].n_all);
        n_all += level[l].n_all;
    }
    if (total > 100) total = 100;
    for (uint32_t l = 0; l < n; l++) {
        bool few = level[l].n_all == 0 || 100ull * level[l].n_usable < (uint64_t)rule->panic * level[l].n_all;
        level[l].panic = rule->panic && total < 100 && few;
        n_panic += level[l].panic;
    }
    bool by_number = n && n_panic == n;
    for (uint32_t l = 0; l < n; l++) {
        uint32_t health = walk_health(rule, level[l].n_usable, level[l].n_all), mine = 0;
        if (by_number && n_all) mine = (uint32_t)(100ull * level[l].n_all / n_all);
        if (!by_number && total) mine = health * 100 / total;
        level[l].percent = mine < left ? mine : left;
        left -= level[l].percent;
    }
    for (uint32_t l = 0; l < n; l++) {
        if (by_number ? level[l].n_all == 0 : level[l].n_usable == 0) continue;
        level[l].percent += left;
        break;
    }
}

/* ---- scopes ----------------------------------------------------------------------------------------------------- */

static inline bool walk_has(const lb_scope *scope, const lb_members *members, uint32_t i) {
    for (uint32_t k = 0; scope->subset && k < scope->subset->n; k++) {
        bool has = false;
        for (uint32_t l = 0; l < members->place[i].n_labels; l++)
            has = has || members->label[members->place[i].first_label + l] == scope->subset->label[k];
        if (!has) return false;
    }
    return true;
}

static inline const lb_record *walk_record(const lb_upstream *up, uint32_t i) {
    return lb_record_of(lb_upstream_state(up), lb_upstream_view(up)->slot[i]);
}

/* The level of priority `priority` in `scope`, counted anew from the records; `scope` must have it. */
static inline lb_level walk_level(const lb_upstream *up, const lb_scope *scope, uint32_t priority) {
    lb_level all[LB_MAX_PRIORITIES] = {{0}};
    uint32_t n_of[LB_MAX_PRIORITIES] = {0}, n = 0, found = 0;
    for (uint32_t i = 0; i < up->members->n; i++) {
        uint32_t p = up->members->place[i].priority;
        if (!walk_has(scope, up->members, i)) continue;
        n_of[p]++;
        all[p].n_all += up->members->weight[i] > 0;
        all[p].n_usable += up->members->weight[i] > 0 && walk_record(up, i)->off == 0;
    }
    for (uint32_t p = 0; p < LB_MAX_PRIORITIES; p++) {
        if (n_of[p] == 0) continue;
        if (p == priority) found = n;
        all[n] = all[p];
        all[n++].priority = p;
    }
    if (n == 0) n = 1;              /* without members: one level without anybody */
    CHECK_EQ(scope->n_levels, n);
    walk_share(&up->spec.levels, all, n);
    return all[found];
}

static inline uint32_t walk_weight(const lb_upstream *up, uint32_t i, bool panic) {
    uint32_t off = walk_record(up, i)->off;
    bool serves = panic ? !(off & LB_OFF_DRAINING) : off == 0;
    return serves ? up->members->weight[i] : 0;
}

static inline void walk_lists(const lb_view *view) {
    uint32_t n_usable = 0;
    uint64_t total = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        if (view->weight[i] == 0) continue;
        CHECK_EQ(view->usable[n_usable], i);
        n_usable++;
        total += view->weight[i];
    }
    CHECK_EQ(view->n_usable, n_usable);
    CHECK_EQ(view->total_weight, total);
}

/* Weights follow by a rule of their own where targets start slowly, or a keyed policy knows localities. */
static inline bool walk_foresees(const lb_upstream *up) {
    bool localities = false;
    for (uint32_t i = 0; i < up->members->n; i++) localities = localities || up->members->place[i].locality;
    return up->spec.slow_start.window_ns == 0 && (!localities || !up->spec.policy->walk);
}

static inline void walk_group(const lb_upstream *up, const lb_group *group, const lb_level *level, uint32_t *times,
                              bool stale) {
    const lb_view *view = group->view, *whole = lb_upstream_view(up);
    bool foreseen = !stale && walk_foresees(up);
    CHECK_EQ(group->borrowed, view == whole);
    walk_lists(view);
    for (uint32_t k = 0; k < view->n_members; k++) {
        uint32_t i = view->origin ? view->origin[k] : k;
        const lb_place *place = &up->members->place[i];
        times[i]++;
        CHECK(k == 0 || !view->origin || view->origin[k - 1] < i);
        CHECK(place->priority == group->priority && (group->locality == LB_NONE || group->locality == place->locality));
        CHECK(view->slot[k] == whole->slot[i] && view->user[k] == whole->user[i]);
        if (!foreseen) continue;
        CHECK_EQ(view->weight[k], walk_weight(up, i, level->panic));
        CHECK_EQ(view->full[k], up->members->weight[i]);
    }
}

/* Each of its members is in one group; each level takes what the rule says; who chooses among groups knows it. */
static inline void walk_scope(const lb_upstream *up, const lb_scope *scope, bool stale) {
    uint32_t n = up->members->n, *times = calloc(n + 1, sizeof *times);
    if (!times) exit(2);
    for (uint32_t l = 0; l < scope->n_levels && !stale; l++) {
        lb_level want = walk_level(up, scope, scope->level[l].priority);
        CHECK_EQ(scope->level[l].percent, want.percent);
        CHECK_EQ(scope->level[l].panic, want.panic);
    }
    for (uint32_t g = 0, l = 0; g < scope->n_groups; g++) {
        while (l + 1 < scope->n_levels && scope->level[l].priority != scope->group[g].priority) l++;
        walk_group(up, &scope->group[g], &scope->level[l], times, stale);
    }
    for (uint32_t i = 0; i < n; i++) CHECK_EQ(times[i], walk_has(scope, up->members, i));
    CHECK_EQ(scope->shares != NULL, scope->n_groups > 1 && !up->spec.policy->walk);
    CHECK_EQ(scope->schedule != NULL, scope->shares != NULL);
    for (uint32_t g = 0; scope->shares && g < scope->n_groups; g++)
        if (scope->group[g].locality == LB_NONE) CHECK_EQ(scope->shares->weight[g], scope->level[g].percent);
    free(times);
}

/* A subset that was freed leaves its scope behind until the next picture. */
static inline void walk_scopes(const lb_upstream *up, bool stale) {
    const lb_picture *picture = up->picture;
    for (uint32_t s = 0; s < picture->n_scopes; s++) {
        const lb_scope *scope = &picture->scope[s];
        if (s > 0 && !scope->subset) continue;
        if (s > 0) CHECK(scope->subset->scope == scope && scope->subset->up == up);
        walk_scope(up, scope, stale);
    }
    uint32_t n = 0;
    for (const lb_subset *subset = up->subsets; subset; subset = subset->next) n++;
    CHECK(n < picture->n_scopes);
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static inline bool walk_panics(const lb_upstream *up, uint32_t i) {
    const lb_scope *all = &up->picture->scope[0];
    for (uint32_t l = 0; l < all->n_levels; l++)
        if (all->level[l].priority == up->members->place[i].priority) return all->level[l].panic;
    return false;
}

/* The earliest of: an ejection's end (or a step of a slow start), the policy's tick, the end of a held call. */
static inline void walk_due(const lb_upstream *up, bool stale) {
    const lb_view *view = lb_upstream_view(up);
    uint64_t due_ns = stale ? 1 : LB_NEVER;
    for (uint32_t i = 0; i < view->n_members; i++) {
        const lb_record *record = walk_record(up, i);
        if ((record->off & LB_OFF_EJECTED) && record->ejected_until_ns < due_ns) due_ns = record->ejected_until_ns;
    }
    if (up->spec.slow_start.window_ns) CHECK(up->picture_due_ns <= due_ns);
    else CHECK_EQ(up->picture_due_ns, due_ns);
    due_ns = up->picture_due_ns;
    CHECK_EQ(up->tick_due_ns == LB_NEVER, up->spec.policy->tick_ns == 0);
    if (up->tick_due_ns < due_ns) due_ns = up->tick_due_ns;
    for (uint32_t i = 0; i < up->holds.n; i++) {
        const lb_hold *hold = &up->holds.ring[(up->holds.first + i) % up->holds.capacity];
        if (hold->until_ns < due_ns) due_ns = hold->until_ns;
    }
    CHECK_EQ(lb_upstream_due(up), due_ns);
}

/* weight: by member, as configured or set.  `stale`: the last View could not be made for want of memory. */
static inline void walk_view(const lb_upstream *up, const uint32_t *weight, bool stale) {
    const lb_view *view = lb_upstream_view(up);
    uint32_t n_ejected = 0;
    bool foreseen = !stale && walk_foresees(up);
    CHECK(view->state == lb_upstream_state(up));
    CHECK_EQ(view->n_members, up->members->n);
    walk_lists(view);
    for (uint32_t i = 0; i < view->n_members; i++) {
        const lb_record *record = walk_record(up, i);
        CHECK(record->used && !record->leaving);
        CHECK_EQ(up->members->weight[i], weight[i]);
        n_ejected += (record->off & LB_OFF_EJECTED) != 0;
        if (!foreseen) continue;
        CHECK_EQ(view->weight[i], walk_weight(up, i, walk_panics(up, i)));
        CHECK_EQ(view->full[i], weight[i]);
    }
    CHECK_EQ(up->n_ejected, n_ejected);
    walk_due(up, stale);
}

/* A schedule is offered only where a pick may look at nothing else; it names usable members only. */
static inline void walk_replay(const lb_upstream *up) {
    const lb_replay *replay = up->hot.replay;
    bool simple = up->picture->scope[0].n_groups == 1 && !up->spec.limits.in_flight && !up->bounded;
    CHECK_EQ(up->plain, simple);
    if (!simple || !up->spec.policy->replay) CHECK(replay == NULL);
    if (!lb_upstream_is_replaying(up)) return;
    CHECK(lb_upstream_due(up) == LB_NEVER && replay->cursor < replay->n);
    for (uint32_t t = 0; t < replay->n && t < 4096; t++) CHECK(lb_upstream_view(up)->weight[replay->table[t]] > 0);
}

static inline void walk_upstream(const lb_upstream *up, const uint32_t *weight, bool stale) {
    walk_slots(up);
    walk_calls(up);
    walk_view(up, weight, stale);
    walk_scopes(up, stale);
    walk_replay(up);
}

#endif

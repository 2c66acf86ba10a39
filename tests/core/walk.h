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
        const lb_seat *seat = lb_seat_of(state, slot);
        uint32_t calls = lb_counter_read(lb_in_flight(state, slot)) - lb_counter_read(&seat->others);
        if (seat->leaving) CHECK(seat->used && (calls > 0 || state->backing));      /* shared: until the next load */
        CHECK_EQ(times[slot] + seat->leaving, 1);
        n_used += seat->used;
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
        CHECK_EQ(hold->generation, lb_generation_of(state, hold->slot));
        until_ns = hold->until_ns;
        held[hold->slot]++;
    }
    for (uint32_t slot = 0; slot < state->n_slots; slot++) {
        uint32_t calls = lb_counter_read(lb_in_flight(state, slot));
        CHECK_EQ(lb_seat_of(state, slot)->n_held, held[slot]);
        CHECK(held[slot] <= calls);
        in_flight += calls;
    }
    if (!state->backing) CHECK_EQ(lb_upstream_in_flight(up), in_flight);
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
        if (by_number ? level[l].n_all == 0 : walk_health(rule, level[l].n_usable, level[l].n_all) == 0) continue;
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

/* Who is out, word by word; in a picture of this moment nothing that is over is left in the words. */
static inline uint32_t walk_off(const lb_upstream *up, uint32_t i) {
    const lb_record *record = walk_record(up, i);
    uint32_t off = 0;
    if (record->marks & LB_MARK_UNHEALTHY) off |= LB_OFF_UNHEALTHY;
    if (record->checks >> 63) off |= LB_OFF_UNHEALTHY;
    if (record->marks & LB_MARK_DISABLED) off |= LB_OFF_DISABLED;
    if (record->ejected_until_ns != 0) off |= LB_OFF_EJECTED;
    if (record->held_until_ns != 0) off |= LB_OFF_HELD;
    if (record->drain_until_ns != 0) off |= LB_OFF_DRAINING;
    return off;
}

/* "the upstream serves only while more of its weight is available" */
static inline bool walk_is_open(const lb_upstream *up) {
    double all = 0, available = 0;
    for (uint32_t i = 0; i < up->members->n; i++) {
        all += up->members->weight[i];
        if (walk_off(up, i) == 0) available += up->members->weight[i];
    }
    return up->spec.health.threshold <= 0 || available * 100 > up->spec.health.threshold * all;
}

/* When somebody who is out, and might serve if nobody else does, is back: LB_NEVER - 1 the unhealthy; LB_NEVER: not he. */
static inline uint64_t walk_back_ns(const lb_upstream *up, uint32_t i) {
    uint32_t off = walk_off(up, i);
    uint64_t ejected_ns = walk_record(up, i)->ejected_until_ns, held_ns = walk_record(up, i)->held_until_ns;
    if (up->members->weight[i] == 0 || (off & (LB_OFF_DRAINING | LB_OFF_DISABLED))) return LB_NEVER;
    if (off & LB_OFF_UNHEALTHY) return LB_NEVER - 1;
    return ejected_ns > held_ns ? ejected_ns : held_ns;
}

/* What a scope must show, from the records alone. */
typedef struct walk_scene {
    uint32_t n_levels;
    lb_level level[LB_MAX_PRIORITIES];
    uint32_t *weight;               /* by member of the whole; 0 outside of the scope */
} walk_scene;

static inline bool walk_panics(const walk_scene *scene, uint32_t priority) {
    for (uint32_t l = 0; l < scene->n_levels; l++)
        if (scene->level[l].priority == priority) return scene->level[l].panic;
    return false;
}

/* Who is well; where nobody is, who is least bad. */
static inline bool walk_serve(const lb_upstream *up, const lb_scope *scope, uint32_t *weight) {
    bool empty = true, open = walk_is_open(up);
    uint64_t least = LB_NEVER;
    for (uint32_t i = 0; i < up->members->n; i++) {
        weight[i] = 0;
        if (!walk_has(scope, up->members, i)) continue;
        if (open && walk_off(up, i) == 0) weight[i] = up->members->weight[i];
        empty = empty && weight[i] == 0;
        if (walk_back_ns(up, i) < least) least = walk_back_ns(up, i);
    }
    if (!empty || up->spec.when_empty != LB_EMPTY_LEAST_BAD) return empty;
    for (uint32_t i = 0; i < up->members->n; i++)
        if (walk_has(scope, up->members, i) && least < LB_NEVER && walk_back_ns(up, i) == least)
            weight[i] = up->members->weight[i];
    return empty;
}

/* "Everybody who is not draining or disabled, by weight": the shares by numbers of targets. */
static inline void walk_share_all(lb_level *level, uint32_t n) {
    uint32_t all = 0, left = 100;
    for (uint32_t l = 0; l < n; l++) all += level[l].n_all;
    for (uint32_t l = 0; l < n; l++) {
        level[l].panic = true;
        level[l].percent = all ? 100 * level[l].n_all / all : 0;
        left -= level[l].percent;
    }
    for (uint32_t l = 0; l < n; l++) {
        if (level[l].n_all == 0) continue;
        level[l].percent += left;
        break;
    }
}

/* The caller frees scene.weight. */
static inline walk_scene walk_scene_of(const lb_upstream *up, const lb_scope *scope) {
    walk_scene scene = {.weight = calloc(up->members->n + 1, sizeof *scene.weight)};
    if (!scene.weight) exit(2);
    uint32_t n_of[LB_MAX_PRIORITIES] = {0};
    bool empty = walk_serve(up, scope, scene.weight);
    for (uint32_t i = 0; i < up->members->n; i++)
        if (walk_has(scope, up->members, i)) n_of[up->members->place[i].priority]++;
    for (uint32_t p = 0; p < LB_MAX_PRIORITIES; p++) {
        lb_level level = {.priority = p};
        for (uint32_t i = 0; n_of[p] && i < up->members->n; i++) {
            if (up->members->place[i].priority != p || !walk_has(scope, up->members, i)) continue;
            level.n_all += up->members->weight[i] > 0;
            level.n_usable += scene.weight[i] > 0;
        }
        if (n_of[p]) scene.level[scene.n_levels++] = level;
    }
    if (scene.n_levels == 0) scene.n_levels = 1;        /* without members: one level without anybody */
    if (empty && up->spec.when_empty == LB_EMPTY_PANIC) walk_share_all(scene.level, scene.n_levels);
    else walk_share(&up->spec.levels, scene.level, scene.n_levels);
    for (uint32_t i = 0; i < up->members->n; i++) {
        if (!walk_has(scope, up->members, i) || !walk_panics(&scene, up->members->place[i].priority)) continue;
        if (!(walk_off(up, i) & (LB_OFF_DRAINING | LB_OFF_DISABLED))) scene.weight[i] = up->members->weight[i];
    }
    return scene;
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

/* `want` NULL: the picture is old, its weights are not foreseen. */
static inline void walk_group(const lb_upstream *up, const lb_group *group, const uint32_t *want, uint32_t *times) {
    const lb_view *view = group->view, *whole = lb_upstream_view(up);
    CHECK_EQ(group->borrowed, view == whole);
    walk_lists(view);
    for (uint32_t k = 0; k < view->n_members; k++) {
        uint32_t i = view->origin ? view->origin[k] : k;
        const lb_place *place = &up->members->place[i];
        times[i]++;
        CHECK(k == 0 || !view->origin || view->origin[k - 1] < i);
        CHECK(place->priority == group->priority && (group->locality == LB_NONE || group->locality == place->locality));
        CHECK(view->slot[k] == whole->slot[i] && view->user[k] == whole->user[i]);
        if (!want) continue;
        CHECK_EQ(view->weight[k], want[i]);
        CHECK_EQ(view->full[k], up->members->weight[i]);
    }
}

static inline void walk_levels(const lb_scope *scope, const walk_scene *scene) {
    CHECK_EQ(scope->n_levels, scene->n_levels);
    for (uint32_t l = 0; l < scope->n_levels && l < scene->n_levels; l++) {
        CHECK_EQ(scope->level[l].priority, scene->level[l].priority);
        CHECK_EQ(scope->level[l].percent, scene->level[l].percent);
        CHECK_EQ(scope->level[l].panic, scene->level[l].panic);
    }
    for (uint32_t g = 0; g < scope->n_groups; g++)
        CHECK_EQ(scope->group[g].panic, walk_panics(scene, scope->group[g].priority));
}

/* Each of its members is in one group; each level takes what the rule says; who chooses among groups knows it. */
static inline void walk_scope(const lb_upstream *up, const lb_scope *scope, bool stale) {
    uint32_t n = up->members->n, *times = calloc(n + 1, sizeof *times);
    walk_scene scene = walk_scene_of(up, scope);
    if (!times) exit(2);
    if (!stale) walk_levels(scope, &scene);
    for (uint32_t g = 0, l = 0; g < scope->n_groups; g++) {
        while (l + 1 < scope->n_levels && scope->level[l].priority != scope->group[g].priority) l++;
        walk_group(up, &scope->group[g], !stale && walk_foresees(up) ? scene.weight : NULL, times);
        if (scope->n_groups > 1 && !up->spec.policy->walk && scope->group[g].locality == LB_NONE)
            CHECK_EQ(scope->shares->weight[g], scope->level[l].percent);
    }
    for (uint32_t i = 0; i < n; i++) CHECK_EQ(times[i], walk_has(scope, up->members, i));
    CHECK_EQ(scope->shares != NULL, scope->n_groups > 1 && !up->spec.policy->walk);
    CHECK_EQ(scope->schedule != NULL, scope->shares != NULL);
    free(scene.weight);
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

static inline uint64_t walk_earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* The end of an ejection or a pause; a slow start's next step may come before. */
static inline void walk_picture_due(const lb_upstream *up) {
    uint64_t due_ns = LB_NEVER;
    for (uint32_t i = 0; i < up->members->n; i++) {
        const lb_record *record = walk_record(up, i);
        if (record->ejected_until_ns) due_ns = walk_earlier(due_ns, record->ejected_until_ns);
        if (record->held_until_ns) due_ns = walk_earlier(due_ns, record->held_until_ns);
    }
    if (up->spec.slow_start.window_ns) CHECK(up->picture_due_ns <= due_ns);
    else CHECK_EQ(up->picture_due_ns, due_ns);
}

/* The earliest of: the picture's, the policy's tick, the end of a held call, the end of an interval, a look. */
static inline void walk_due(const lb_upstream *up) {
    uint64_t due_ns = walk_earlier(up->picture_due_ns, walk_earlier(up->tick_due_ns, up->judge_due_ns));
    CHECK_EQ(up->tick_due_ns == LB_NEVER, up->spec.policy->tick_ns == 0);
    CHECK_EQ(up->judge_due_ns == LB_NEVER, !lb_outlier_judges(&up->spec.health.outlier));
    for (uint32_t i = 0; i < up->holds.n; i++)
        due_ns = walk_earlier(due_ns, up->holds.ring[(up->holds.first + i) % up->holds.capacity].until_ns);
    if (up->state->backing) CHECK(lb_upstream_due(up) <= due_ns);
    else CHECK_EQ(lb_upstream_due(up), due_ns);
}

/* What a picture of this moment counts. */
static inline void walk_counters(const lb_upstream *up) {
    uint32_t n_ejected = 0, n_trials = 0, n_draining = 0;
    for (uint32_t i = 0; i < up->members->n; i++) {
        const lb_record *record = walk_record(up, i);
        const lb_seat *seat = lb_seat_of(up->state, lb_upstream_view(up)->slot[i]);
        n_ejected += record->ejected_until_ns != 0;
        n_trials += up->spec.health.outlier.half_open && record->trial != 0;
        n_draining += record->drain_until_ns != 0 && !seat->drained;
        CHECK(!seat->drained || record->drain_until_ns != 0);
    }
    CHECK_EQ(up->n_ejected, n_ejected);
    CHECK_EQ(up->n_trials, n_trials);
    CHECK_EQ(up->n_draining, n_draining);
}

/* weight: by member, as configured or set. */
static inline void walk_view(const lb_upstream *up, const uint32_t *weight, bool stale) {
    const lb_view *view = lb_upstream_view(up);
    walk_scene scene = walk_scene_of(up, &up->picture->scope[0]);
    CHECK(view->state == lb_upstream_state(up));
    CHECK_EQ(view->n_members, up->members->n);
    walk_lists(view);
    for (uint32_t i = 0; i < view->n_members; i++) {
        const lb_seat *seat = lb_seat_of(up->state, view->slot[i]);
        CHECK(seat->used && !seat->leaving);
        CHECK_EQ(up->members->weight[i], weight[i]);
        if (stale || !walk_foresees(up)) continue;
        CHECK_EQ(view->weight[i], scene.weight[i]);
        CHECK_EQ(view->full[i], weight[i]);
    }
    free(scene.weight);
    if (!stale) {
        walk_counters(up);
        walk_picture_due(up);
    }
    walk_due(up);
}

/* A schedule is offered only where a pick may look at nothing else; it names usable members only. */
static inline void walk_replay(const lb_upstream *up) {
    const lb_replay *replay = up->hot.replay;
    bool simple = up->picture->scope[0].n_groups == 1 && !up->spec.limits.in_flight && !up->bounded && !up->rough;
    if (up->plain) CHECK(simple);
    else CHECK(!simple || up->n_trials);
    if (!up->plain || !up->spec.policy->replay) CHECK(replay == NULL);
    if (!lb_upstream_is_replaying(up)) return;
    CHECK(lb_upstream_due(up) == LB_NEVER && replay->cursor < replay->n);
    for (uint32_t t = 0; t < replay->n && t < 4096; t++) CHECK(lb_upstream_view(up)->weight[replay->table[t]] > 0);
}

/* As it stands: the picture may be old, or rough.  `stale`: it is. */
static inline void walk_as_it_is(const lb_upstream *up, const uint32_t *weight, bool stale) {
    walk_slots(up);
    walk_calls(up);
    walk_view(up, weight, stale);
    walk_scopes(up, stale);
    walk_replay(up);
}

/* Made anew, if need be: everything follows from the records. */
static inline void walk_upstream(lb_upstream *up, const uint32_t *weight) {
    CHECK_EQ(lb_upstream_settle(up, 0, NULL), LB_OK);
    CHECK(!up->rough && !lb_upstream_is_old(up));
    walk_as_it_is(up, weight, false);
}

#endif

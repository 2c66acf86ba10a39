/* walk: recomputes what an upstream must show from its records and from the weights its embedder gave.
 *
 * For the tests of upstream and its fuzz target, after each change.  Slow and obviously right.
 */
#ifndef WALK_H
#define WALK_H

#include "check.h"

/* Every slot is a member's, or waits for its last call, or is free; and only one of these. */
static inline void walk_slots(const lb_upstream *up) {
    const lb_view *view = lb_upstream_view(up);
    const lb_state *state = lb_upstream_state(up);
    uint32_t n_held = 0, *times = calloc(state->n_slots + 1, sizeof *times);
    if (!times) exit(2);
    for (uint32_t i = 0; i < view->n_members; i++) times[view->slot[i]]++;
    for (uint32_t i = 0; i < state->n_free; i++) times[state->free_slot[i]]++;
    for (uint32_t slot = 0; slot < state->n_slots; slot++) {
        const lb_record *record = lb_record_of(state, slot);
        if (record->leaving) CHECK(record->used && lb_counter_read(lb_in_flight(state, slot)) > 0);
        CHECK_EQ(times[slot] + record->leaving, 1);
        n_held += record->used;
    }
    CHECK_EQ(n_held + state->n_free, state->n_slots);
    free(times);
}

/* weight: by member, as configured or set.  `stale`: the last View could not be made for want of memory. */
static inline void walk_view(const lb_upstream *up, const uint32_t *weight, bool stale) {
    const lb_view *view = lb_upstream_view(up);
    uint32_t n_usable = 0;
    uint64_t total = 0, due_ns = LB_NEVER;
    CHECK(view->state == lb_upstream_state(up));
    for (uint32_t i = 0; i < view->n_members; i++) {
        const lb_record *record = lb_record_of(view->state, view->slot[i]);
        CHECK(record->used && !record->leaving);
        if (!stale) CHECK_EQ(view->weight[i], record->off ? 0 : weight[i]);
        if ((record->off & LB_OFF_EJECTED) && record->ejected_until_ns < due_ns) due_ns = record->ejected_until_ns;
        if (view->weight[i] == 0) continue;
        CHECK_EQ(view->usable[n_usable], i);
        n_usable++;
        total += view->weight[i];
    }
    CHECK_EQ(view->n_usable, n_usable);
    CHECK_EQ(view->total_weight, total);
    CHECK_EQ(lb_upstream_due(up), stale ? 1 : due_ns);
}

/* Nothing waits and a schedule is replayed: then it names usable members only. */
static inline void walk_replay(const lb_upstream *up) {
    const lb_replay *replay = ((const lb_upstream_hot *)(const void *)up)->replay;
    if (!lb_upstream_is_replaying(up)) return;
    CHECK(lb_upstream_due(up) == LB_NEVER && replay->cursor < replay->n);
    for (uint32_t t = 0; t < replay->n && t < 4096; t++) CHECK(lb_upstream_view(up)->weight[replay->table[t]] > 0);
}

static inline void walk_upstream(const lb_upstream *up, const uint32_t *weight, bool stale) {
    walk_slots(up);
    walk_view(up, weight, stale);
    walk_replay(up);
}

#endif

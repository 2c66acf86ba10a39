/* model: the naive model of an upstream that fuzz_operations keeps beside the real one, and what must hold between them.
 *
 * A member is a row of plain facts; a scope's weights are computed from all rows each time a View is shown.
 */
#ifndef MODEL_H
#define MODEL_H

#include "upstreams.h"

enum { MAX_LIST = 16, N_NAMES = 32, MAX_CALLS = 64, MAX_HELD = 200, MAX_EXPECTED = 4096, N_LATE = 16, MAX_PICKS = 24 };
enum { N_SUBSETS = 2, N_SCOPES = 1 + N_SUBSETS, N_PRIORITIES = 3 };

/* ---- the model -------------------------------------------------------------------------------------------- */

typedef struct member {
    uint32_t name, weight, priority;
    uint32_t serves[N_SCOPES];      /* the weight in the View of all, and in those of the subsets */
    bool unhealthy, ejected, draining;
    uint32_t failures, ejections;
    uint64_t until_ns, recovered_ns, drain_until_ns;
    uint32_t slot, generation;
} member;

typedef struct world {
    const uint8_t *in;              /* the rest of the program */
    size_t left;
    lb_upstream *up;
    bool blind;                     /* the second run */
    lb_upstream_spec spec;
    uint64_t now_ns, tick_due_ns;
    bool stale;                     /* an ejection found no memory for its View */
    bool armed;                     /* an allocation of this operation may fail */
    bool any_failed;
    uint32_t n;
    member member[MAX_LIST];
    lb_subset *subset[N_SUBSETS];   /* NULL: there is none */
    uint32_t bits[N_SCOPES];        /* the labels that a scope asks for; 0: all */
    uint32_t n_open;
    lb_call open[MAX_CALLS];
    uint32_t n_held;
    lb_hold held[MAX_HELD];
    uint32_t n_closed;
    lb_call late[N_LATE];           /* the last closed calls, by n_closed % N_LATE */
    uint32_t n_expected;
    lb_event expected[MAX_EXPECTED];
    lb_batch batch;
    uint32_t n_batch, batch_no;     /* n_batch: its picks; 0: none is open */
    uint64_t digest;                /* of all picks */
    uint64_t batch_digest;          /* of the picks of batches, in any order */
    bool keyed;                     /* the policy wants a key */
    bool light;                     /* its tables grow with weights: rings, and schedules that are made at once */
} world;

static char owner[N_NAMES];         /* user pointers */

/* Labels are numbered by the bits of this. */
static uint32_t bits_of(uint32_t name) { return name * 5 % 8; }

/* The next byte of the program, below n; 0 after its end. */
static uint32_t next(world *w, uint32_t n) {
    if (w->left == 0) return 0;
    w->left--;
    return *w->in++ % n;
}

static void expect(world *w, lb_event_kind kind, const member *m) {
    CHECK(w->n_expected < MAX_EXPECTED);
    w->expected[w->n_expected++] = (lb_event){
        .kind = kind, .slot = m->slot, .generation = m->generation, .at_ns = w->now_ns,
        .until_ns = kind == LB_EVENT_EJECTED ? m->until_ns : 0, .failures = kind == LB_EVENT_EJECTED ? m->failures : 0,
    };
}

static void recover(world *w, member *m) {
    m->ejected = false;
    m->failures = 0;
    m->until_ns = 0;
    m->recovered_ns = w->now_ns;
}

static uint64_t picture_due_ns(const world *w) {
    uint64_t due = LB_NEVER;
    if (w->stale) return 1;
    for (uint32_t i = 0; i < w->n; i++)
        if (w->member[i].ejected && w->member[i].until_ns < due) due = w->member[i].until_ns;
    return due;
}

static uint64_t due_ns(const world *w) {
    uint64_t due = picture_due_ns(w);
    if (w->tick_due_ns < due) due = w->tick_due_ns;
    for (uint32_t i = 0; i < w->n_held; i++)
        if (w->held[i].until_ns < due) due = w->held[i].until_ns;
    return due;
}

/* Who serves in a scope, by the sentences of lb_levels. */
static void serve(world *w, uint32_t scope) {
    lb_level level[N_PRIORITIES] = {{0}};
    uint32_t n = 0, at[N_PRIORITIES], n_of[N_PRIORITIES] = {0};
    for (uint32_t i = 0; i < w->n; i++)
        n_of[w->member[i].priority] += (bits_of(w->member[i].name) & w->bits[scope]) == w->bits[scope];
    for (uint32_t p = 0; p < N_PRIORITIES; p++) {
        at[p] = n;
        n += n_of[p] > 0;
    }
    for (uint32_t pass = 0; pass < 2; pass++) {
        if (pass) walk_share(&w->spec.levels, level, n);
        for (uint32_t i = 0; i < w->n; i++) {
            member *m = &w->member[i];
            lb_level *mine = &level[at[m->priority]];
            bool inside = (bits_of(m->name) & w->bits[scope]) == w->bits[scope];
            bool healthy = !m->unhealthy && !m->ejected && !m->draining, serving = healthy;
            if (pass) serving = serving || (inside && mine->panic && !m->draining);
            m->serves[scope] = inside && serving ? m->weight : 0;
            if (pass || !inside || m->weight == 0) continue;
            mine->n_all++;
            mine->n_usable += healthy;
        }
    }
}

/* A new View has been shown: what is over has ended. */
static void shown(world *w) {
    w->stale = false;
    for (uint32_t i = 0; i < w->n; i++) {
        member *m = &w->member[i];
        if (m->ejected && m->until_ns <= w->now_ns) {
            recover(w, m);
            expect(w, LB_EVENT_RECOVERED, m);
        }
    }
    for (uint32_t scope = 0; scope < N_SCOPES; scope++) serve(w, scope);
}

static bool is_due(const world *w) { return due_ns(w) <= w->now_ns; }

/* Held calls that end, and the policy's tick. */
static void fired_small(world *w) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n_held; i++)
        if (w->held[i].until_ns > w->now_ns) w->held[n++] = w->held[i];
    w->n_held = n;
    if (w->tick_due_ns <= w->now_ns) w->tick_due_ns = w->now_ns + w->spec.policy->tick_ns;
}

static void fired(world *w) {
    if (!is_due(w)) return;
    fired_small(w);
    if (picture_due_ns(w) <= w->now_ns) shown(w);
}

static uint32_t n_calls_of(const world *w, uint32_t slot, uint32_t generation) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n_open; i++) n += w->open[i].slot == slot && w->open[i].generation == generation;
    for (uint32_t i = 0; i < w->n_held; i++) n += w->held[i].slot == slot && w->held[i].generation == generation;
    return n;
}

static member *member_of(world *w, const lb_call *call) {
    for (uint32_t i = 0; i < w->n; i++)
        if (w->member[i].slot == call->slot && w->member[i].generation == call->generation) return &w->member[i];
    return NULL;
}

/* ---- what must hold after each operation ------------------------------------------------------------------ */

static uint32_t off_of(const member *m) {
    return (m->unhealthy ? LB_OFF_UNHEALTHY : 0u) | (m->ejected ? LB_OFF_EJECTED : 0u) |
           (m->draining ? LB_OFF_DRAINING : 0u);
}

static void check_member(const world *w, uint32_t i) {
    const member *m = &w->member[i];
    const lb_view *view = lb_upstream_view(w->up);
    const lb_record *record = lb_record_of(view->state, view->slot[i]);
    CHECK_EQ(view->weight[i], m->serves[0]);
    CHECK_EQ(view->slot[i], m->slot);
    CHECK(view->user[i] == &owner[m->name]);
    CHECK_EQ(record->generation, m->generation);
    CHECK_EQ(record->off, off_of(m));
    CHECK_EQ(record->failures, m->failures);
    CHECK_EQ(record->ejections, m->ejections);
    CHECK_EQ(record->ejected_until_ns, m->until_ns);
    CHECK_EQ(record->recovered_ns, m->recovered_ns);
    CHECK_EQ(record->drain_until_ns, m->drain_until_ns);
    CHECK_EQ(lb_counter_read(lb_in_flight(view->state, m->slot)), n_calls_of(w, m->slot, m->generation));
}

/* Also of a target that is gone: its slot is nobody else's while a call is open or held. */
static void check_slot(const world *w, uint32_t slot, uint32_t generation) {
    const lb_state *state = lb_upstream_state(w->up);
    CHECK_EQ(lb_record_of(state, slot)->generation, generation);
    CHECK_EQ(lb_counter_read(lb_in_flight(state, slot)), n_calls_of(w, slot, generation));
}

/* What the groups of a subset give its members is what the model says. */
static void check_subset(const world *w, uint32_t k) {
    uint32_t weight[MAX_LIST] = {0};
    const lb_view *view;
    for (uint32_t g = 0; (view = lb_subset_view(w->subset[k], g)) != NULL; g++)
        for (uint32_t i = 0; i < view->n_members; i++) weight[view->origin[i]] = view->weight[i];
    for (uint32_t i = 0; i < w->n; i++) CHECK_EQ(weight[i], w->member[i].serves[1 + k]);
}

static void check_world(const world *w) {
    uint32_t weight[MAX_LIST] = {0};
    for (uint32_t i = 0; i < w->n; i++) weight[i] = w->member[i].weight;
    CHECK_EQ(lb_upstream_view(w->up)->n_members, w->n);
    CHECK_EQ(lb_upstream_due(w->up), due_ns(w));
    CHECK_EQ(lb_upstream_in_flight(w->up), w->n_open + w->n_held);
    walk_upstream(w->up, weight, w->stale);
    for (uint32_t i = 0; i < w->n; i++) check_member(w, i);
    for (uint32_t i = 0; i < w->n_open; i++) check_slot(w, w->open[i].slot, w->open[i].generation);
    for (uint32_t i = 0; i < w->n_held; i++) check_slot(w, w->held[i].slot, w->held[i].generation);
    for (uint32_t k = 0; k < N_SUBSETS; k++)
        if (w->subset[k]) check_subset(w, k);
}

#endif

/* model: the naive model of an upstream that fuzz_operations keeps beside the real one, and what must hold between them.
 *
 * A member is a row of plain facts.  The picture is computed from all rows when it is shown: by a call that picks, where a
 * row has changed since (old) or something is due.  Where the core found no memory for it, it is rough: what was shown
 * serves on, without those whose rows call them out.
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
    bool panics[N_SCOPES];          /* its level does not believe in health there */
    bool marked, disabled, drained;
    lb_check_state checks;
    uint32_t successes, http, tcp, timeouts;            /* of its checks */
    uint32_t streak[4];             /* by cause: 5xx, gateway, local */
    uint32_t ejections, trial;
    uint64_t until_ns, held_ns, drain_ns, recovered_ns; /* 0: it is not */
    uint32_t slot, generation;
} member;

typedef struct world {
    const uint8_t *in;              /* the rest of the program */
    size_t left;
    lb_upstream *up;
    bool blind;                     /* the second run */
    lb_upstream_spec spec;
    uint64_t now_ns, tick_due_ns, picture_due_ns;
    bool old;                       /* a member has changed since the picture was shown */
    bool rough;                     /* there was no memory for a new one */
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

static uint64_t told(const world *w) { return w->up->told_ns; }

/* ---- a member's state ------------------------------------------------------------------------------------- */

/* LB_OFF_* at a moment: what is over does not count, though nobody may have ended it yet. */
static uint32_t off_at(const member *m, uint64_t at_ns) {
    uint32_t off = 0;
    if (m->marked || m->checks >= LB_CHECK_MOSTLY_UNHEALTHY) off |= LB_OFF_UNHEALTHY;
    if (m->until_ns > at_ns) off |= LB_OFF_EJECTED;
    if (m->held_ns > at_ns) off |= LB_OFF_HELD;
    if (m->drain_ns) off |= LB_OFF_DRAINING;
    if (m->disabled) off |= LB_OFF_DISABLED;
    return off;
}

static bool is_unhealthy(const member *m) { return (off_at(m, 0) & LB_OFF_UNHEALTHY) != 0; }

static void expect_event(world *w, lb_event event, const member *m, uint64_t at_ns) {
    CHECK(w->n_expected < MAX_EXPECTED);
    event.slot = m->slot;
    event.generation = m->generation;
    event.at_ns = at_ns;
    w->expected[w->n_expected++] = event;
}

static void expect(world *w, lb_event_kind kind, const member *m, uint64_t at_ns) {
    expect_event(w, (lb_event){.kind = kind}, m, at_ns);
}

static uint32_t n_calls_of(const world *w, uint32_t slot, uint32_t generation) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n_open; i++) n += w->open[i].slot == slot && w->open[i].generation == generation;
    for (uint32_t i = 0; i < w->n_held; i++) n += w->held[i].slot == slot && w->held[i].generation == generation;
    return n;
}

/* "Its last call has ended": failed calls that are only held do not count. */
static void tell_drained(world *w, member *m, uint64_t at_ns) {
    uint32_t n_open = 0;
    for (uint32_t i = 0; i < w->n_open; i++) n_open += w->open[i].slot == m->slot && w->open[i].generation == m->generation;
    if (!m->drain_ns || m->drained || n_open) return;
    m->drained = true;
    expect(w, LB_EVENT_DRAINED, m, at_ns);
}

static void recover(member *m, uint64_t at_ns) {
    memset(m->streak, 0, sizeof m->streak);
    m->until_ns = 0;
    m->recovered_ns = at_ns;
}

static member *member_of(world *w, const lb_call *call) {
    for (uint32_t i = 0; i < w->n; i++)
        if (w->member[i].slot == call->slot && w->member[i].generation == call->generation) return &w->member[i];
    return NULL;
}

/* ---- the picture ------------------------------------------------------------------------------------------ */

static bool is_inside(const world *w, const member *m, uint32_t scope) {
    return (bits_of(m->name) & w->bits[scope]) == w->bits[scope];
}

/* "The upstream serves only while more of its weight is available." */
static bool is_open(const world *w) {
    double all = 0, well = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        all += w->member[i].weight;
        if (!off_at(&w->member[i], 0)) well += w->member[i].weight;
    }
    return w->spec.health.threshold <= 0 || 100 * well > w->spec.health.threshold * all;
}

/* How bad it is to serve with one who is out, where nobody else is left; LB_NEVER: he must not. */
static uint64_t badness(const member *m) {
    if (m->weight == 0 || m->drain_ns || m->disabled) return LB_NEVER;
    if (is_unhealthy(m)) return LB_NEVER - 1;
    return m->until_ns > m->held_ns ? m->until_ns : m->held_ns;
}

/* Those who are well; if there are none, the least bad where the rule says so.  True: nobody is well. */
static bool serve_well(world *w, uint32_t scope) {
    bool empty = true;
    uint64_t least = LB_NEVER - 1;
    for (uint32_t i = 0; i < w->n; i++) {
        member *m = &w->member[i];
        m->serves[scope] = is_inside(w, m, scope) && is_open(w) && !off_at(m, 0) ? m->weight : 0;
        empty = empty && !m->serves[scope];
        if (is_inside(w, m, scope) && badness(m) < least) least = badness(m);
    }
    for (uint32_t i = 0; i < w->n && empty && w->spec.when_empty == LB_EMPTY_LEAST_BAD; i++)
        if (is_inside(w, &w->member[i], scope) && badness(&w->member[i]) == least)
            w->member[i].serves[scope] = w->member[i].weight;
    return empty;
}

/* Who serves in a scope, by the sentences of lb_levels and of lb_when_empty. */
static void serve(world *w, uint32_t scope) {
    lb_level level[N_PRIORITIES] = {{0}};
    uint32_t n = 0, at[N_PRIORITIES], n_of[N_PRIORITIES] = {0};
    bool empty = serve_well(w, scope);
    for (uint32_t i = 0; i < w->n; i++) n_of[w->member[i].priority] += is_inside(w, &w->member[i], scope);
    for (uint32_t p = 0; p < N_PRIORITIES; p++) {
        at[p] = n;
        n += n_of[p] > 0;
    }
    for (uint32_t i = 0; i < w->n; i++) {
        const member *m = &w->member[i];
        if (!is_inside(w, m, scope) || m->weight == 0) continue;
        level[at[m->priority]].n_all++;
        level[at[m->priority]].n_usable += m->serves[scope] > 0;
    }
    if (empty && w->spec.when_empty == LB_EMPTY_PANIC) walk_share_all(level, n);
    else walk_share(&w->spec.levels, level, n);
    for (uint32_t i = 0; i < w->n; i++) {
        member *m = &w->member[i];
        m->panics[scope] = is_inside(w, m, scope) && level[at[m->priority]].panic;
        if (m->panics[scope] && !m->drain_ns && !m->disabled) m->serves[scope] = m->weight;
    }
}

/* A new picture has been shown: what is over has ended. */
static void shown(world *w, uint64_t at_ns) {
    w->old = w->rough = false;
    w->picture_due_ns = LB_NEVER;
    for (uint32_t i = 0; i < w->n; i++) {
        member *m = &w->member[i];
        if (m->until_ns && m->until_ns <= at_ns) {
            recover(m, at_ns);
            expect(w, LB_EVENT_RECOVERED, m, at_ns);
        }
        if (m->held_ns && m->held_ns <= at_ns) {
            m->held_ns = 0;
            expect(w, LB_EVENT_RELEASED, m, at_ns);
        }
        tell_drained(w, m, at_ns);
        if (m->until_ns) w->picture_due_ns = walk_earlier(w->picture_due_ns, m->until_ns);
        if (m->held_ns) w->picture_due_ns = walk_earlier(w->picture_due_ns, m->held_ns);
    }
    for (uint32_t scope = 0; scope < N_SCOPES; scope++) serve(w, scope);
}

/* ---- what is due ------------------------------------------------------------------------------------------ */

static uint64_t due_ns(const world *w) {
    uint64_t due = walk_earlier(w->picture_due_ns, w->tick_due_ns);
    for (uint32_t i = 0; i < w->n_held; i++) due = walk_earlier(due, w->held[i].until_ns);
    return due;
}

static bool is_due(const world *w) { return due_ns(w) <= w->now_ns; }

/* All but the picture: held calls that end, in their order, and the policy's tick. */
static void tended(world *w, uint64_t at_ns) {
    for (bool more = true; more;) {
        uint32_t first = w->n_held;
        for (uint32_t i = 0; i < w->n_held; i++) {
            if (w->held[i].until_ns > at_ns) continue;
            if (first == w->n_held || w->held[i].until_ns < w->held[first].until_ns) first = i;
        }
        more = first < w->n_held;
        if (!more) continue;
        for (uint32_t i = first; i + 1 < w->n_held; i++) w->held[i] = w->held[i + 1];
        w->n_held--;
    }
    if (w->tick_due_ns <= at_ns) w->tick_due_ns = at_ns + w->spec.policy->tick_ns;
}

/* A call that picks: without memory the picture stays as it is, and due or old. */
static void fired_at(world *w, uint64_t at_ns) {
    if (!w->old && due_ns(w) > at_ns) return;
    tended(w, at_ns);
    if (!w->old && w->picture_due_ns > at_ns) return;
    bool failed = w->armed && (w->up->rough || w->up->published_ns != at_ns);   /* in vain at first: see renewed() */
    CHECK(failed || !w->up->rough);
    if (failed) w->rough = true;
    else shown(w, at_ns);
}

static void fired(world *w) { fired_at(w, w->now_ns); }

/* A rough picture may be renewed by a choice itself: where it knows nobody, or after many. */
static void renewed(world *w) {
    if (w->rough && !w->up->rough) shown(w, told(w));
}

/* ---- what must hold after each operation ------------------------------------------------------------------ */

static void check_record(const member *m, const lb_record *record) {
    uint64_t counters = (uint64_t)m->successes << 24 | m->http << 16 | m->tcp << 8 | m->timeouts;
    CHECK_EQ(record->marks, (m->marked ? LB_MARK_UNHEALTHY : 0u) | (m->disabled ? LB_MARK_DISABLED : 0u));
    CHECK_EQ(record->checks, (uint64_t)m->checks << 62 | counters);
    for (lb_cause cause = LB_CAUSE_5XX; cause <= LB_CAUSE_LOCAL; cause++)
        CHECK_EQ(lb_outlier_streak(record, cause), m->streak[cause]);
    CHECK_EQ(record->ejections, m->ejections);
    CHECK_EQ(record->ejected_until_ns, m->until_ns);
    CHECK_EQ(record->recovered_ns, m->recovered_ns);
    CHECK_EQ(record->trial, m->trial);
    CHECK_EQ(record->held_until_ns, m->held_ns);
    CHECK_EQ(record->drain_until_ns, m->drain_ns);
}

static void check_member(const world *w, uint32_t i) {
    const member *m = &w->member[i];
    const lb_view *view = lb_upstream_view(w->up);
    CHECK_EQ(view->weight[i], m->serves[0]);
    CHECK_EQ(view->slot[i], m->slot);
    CHECK(view->user[i] == &owner[m->name]);
    CHECK_EQ(lb_generation_of(view->state, m->slot), m->generation);
    check_record(m, lb_record_of(view->state, m->slot));
    CHECK_EQ(lb_seat_of(view->state, m->slot)->drained, m->drained);
    CHECK_EQ(lb_counter_read(lb_in_flight(view->state, m->slot)), n_calls_of(w, m->slot, m->generation));
}

/* Also of a target that is gone: its slot is nobody else's while a call is open or held. */
static void check_slot(const world *w, uint32_t slot, uint32_t generation) {
    const lb_state *state = lb_upstream_state(w->up);
    CHECK_EQ(lb_generation_of(state, slot), generation);
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
    CHECK(lb_upstream_is_old(w->up) == w->old && w->up->rough == w->rough);
    walk_as_it_is(w->up, weight, w->old || w->rough);
    for (uint32_t i = 0; i < w->n; i++) check_member(w, i);
    for (uint32_t i = 0; i < w->n_open; i++) check_slot(w, w->open[i].slot, w->open[i].generation);
    for (uint32_t i = 0; i < w->n_held; i++) check_slot(w, w->held[i].slot, w->held[i].generation);
    for (uint32_t k = 0; k < N_SUBSETS; k++)
        if (w->subset[k]) check_subset(w, k);
}

#endif

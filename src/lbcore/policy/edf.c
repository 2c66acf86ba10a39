/* edf: the earliest deadline first, the schedule behind Envoy's weighted round robin.
 *
 *   weight 3   ----x-------x-------x        A target of weight w is due at each multiple of 1/w on one axis of time.
 *   weight 2   ------x-----------x          Who is due first is picked; then it is due 1/w later.
 *   weight 1   ------------------x          One unit of time: everybody has had exactly its weight.
 *              0                 1
 *
 * Source  H. Zhang, Proc. IEEE 83(10), 1995 (virtual clocks); Envoy, edf_scheduler.h.  Envoy adds 1/w in doubles and
 *         begins after a random number of picks, so its ties come in no fixed order; here nothing is rounded.
 * Exact   A deadline is the unit of time and k/w, of which the 40 leading binary digits are kept.  They lose nothing:
 *         different fractions with denominators up to 2^20 differ by more than 2^-40, so their first 40 digits differ
 *         the same way, and k is found again from them.  The rest of the word, 24 bits, counts the units and may
 *         wrap: no two deadlines are more than one unit apart.  In the same way 44 bits of the order of insertion
 *         wrap: between two entries are less than 2^41 insertions, which is a unit of the largest fleet there can be.
 *         So a run of 10^18 picks is as exact as the first.
 * Ties    by insertion: the one that has waited longer.  At first in the order of the list: from phase 0 its beginning,
 *         from phase 1 a place drawn from the seed, round to it.
 * Phase   0: time 0, so that what is configured is what the first picks show.  1: a time drawn from the seed (a 2^20th
 *         of a unit), so that many workers do not begin with the same target.
 * Change  build() with `previous` goes on at its time.  Who stays with the same weight keeps deadline and order; a
 *         newcomer, or one with another weight, is due at the first multiple of 1/w from then on, behind who is there.
 * Step    each pick spends a turn, whatever the step: a target that is skipped is not owed it.  Peek sees as many turns
 *         as there are targets, at least 64.
 * Cost    pick O(log n); build O(n); 36 bytes a target.
 * Keeps   the heap and the turns ahead: pick() and peek write, one caller at a time.
 */
#include "base/alloc.h"
#include "policy/policy.h"

#define DIGITS 40                               /* of a deadline's fraction */
#define UNIT ((uint64_t)1 << DIGITS)
#define MEMBER_BITS 20                          /* LB_MAX_SLOTS is 2^20 */
#define MEMBERS ((uint64_t)1 << MEMBER_BITS)
#define LOOK_AHEAD 64u

typedef struct entry {
    uint64_t deadline;                          /* 24 bits unit, 40 bits fraction */
    uint64_t order;                             /* 44 bits order of insertion, 20 bits member */
} entry;

typedef struct state {
    uint32_t n, n_members;
    uint64_t now;                               /* the deadline of the last pick */
    uint64_t order;                             /* of the next insertion; member bits 0 */
    entry *heap;                                /* n */
    uint32_t *weight;                           /* by member; 0: not usable */
    entry *turn;                                /* the turns ahead, taken out of the heap and not yet picked */
    uint32_t room, cursor, ahead;
} state;

static const lb_param params[] = {
    LB_WHOLE("phase", 1, 0, 1, "0: the beginning of the schedule; 1: a point of it drawn from the seed."),
    {0},
};

/* The first multiple of 1/w after a deadline: the least k with k/w >= (fraction + 1) / 2^40, which is below 2^60 before
 * the shift; k = w carries into the unit. */
static uint64_t next_multiple(uint64_t deadline, uint32_t w) {
    uint64_t fraction = deadline & (UNIT - 1), k = ((fraction + 1) * w + UNIT - 1) >> DIGITS;
    return deadline - fraction + (k << DIGITS) / w;
}

/* Differences are small, so they tell who is first also where the words have wrapped. */
static bool before(entry a, entry b) {
    return a.deadline != b.deadline ? (int64_t)(a.deadline - b.deadline) < 0 : (int64_t)(a.order - b.order) < 0;
}

static uint32_t member_of(entry e) { return (uint32_t)(e.order & (MEMBERS - 1)); }

/* Put `e` at `i`, or below, so that nobody is before its parent. */
static void sift(entry *heap, uint32_t n, uint32_t i, entry e) {
    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], e)) break;
        heap[i] = heap[child];
    }
    heap[i] = e;
}

static entry due_at(state *s, uint64_t deadline, uint32_t member) {
    entry e = {deadline, s->order | member};
    s->order += MEMBERS;
    return e;
}

static entry take_turn(state *s) {
    entry first = s->heap[0];
    uint32_t member = member_of(first);
    sift(s->heap, s->n, 0, due_at(s, next_multiple(first.deadline, s->weight[member]), member));
    return first;
}

/* ---- picks ------------------------------------------------------------------------------------------------------ */

/* The turn at a distance < room from the cursor. */
static entry *turn_at(const state *s, uint32_t distance) {
    return &s->turn[distance < s->room - s->cursor ? s->cursor + distance : s->cursor + distance - s->room];
}

static uint32_t peek(state *s, uint32_t step) {
    if (step >= s->room) return LB_NONE;
    for (; s->ahead <= step; s->ahead++) *turn_at(s, s->ahead) = take_turn(s);
    return member_of(*turn_at(s, step));
}

static uint32_t pick(void *st, const lb_view *view, const lb_ask *ask) {
    state *s = st;
    (void)view;
    if (s->n == 0) return LB_NONE;
    if (ask->peek) return peek(s, ask->step);
    entry e = s->ahead ? *turn_at(s, 0) : take_turn(s);
    if (s->ahead) {
        s->ahead--;
        if (++s->cursor == s->room) s->cursor = 0;
    }
    s->now = e.deadline;
    return member_of(e);
}

/* ---- build ------------------------------------------------------------------------------------------------------ */

/* found[member]: its entry as it was before the turns ahead were taken; only of those that were usable. */
static void entries_at_cursor(const state *s, entry *found) {
    for (uint32_t i = 0; i < s->n; i++) found[member_of(s->heap[i])] = s->heap[i];
    for (uint32_t i = s->ahead; i-- > 0;) found[member_of(*turn_at(s, i))] = *turn_at(s, i);
}

static lb_status take_over(state *s, const lb_view *view, const state *old, const uint32_t *old_index, lb_error *err) {
    entry *found = lb_alloc_array(old->n_members, sizeof *found);
    if (!found) return lb_no_memory(err, "policy");
    entries_at_cursor(old, found);
    s->now = old->now;
    s->order = old->order - old->ahead * MEMBERS;
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t member = view->usable[i], before = old_index[member], w = view->weight[member];
        if (before != LB_NONE && old->weight[before] == w)
            s->heap[i] = (entry){found[before].deadline, (found[before].order & ~(MEMBERS - 1)) | member};
        else
            s->heap[i] = due_at(s, next_multiple(s->now, w), member);
    }
    lb_free(found);
    return LB_OK;
}

static void start(state *s, const lb_view *view, bool from_seed) {
    uint32_t first = 0;
    if (from_seed) {
        lb_rng rng;
        lb_rng_seed(&rng, view->seed);
        if (s->n > 0) first = lb_rng_below(&rng, s->n);
        s->now = (uint64_t)lb_rng_below(&rng, 1u << 20) << (DIGITS - 20);
    }
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t member = view->usable[i < s->n - first ? first + i : first + i - s->n];
        s->heap[i] = due_at(s, next_multiple(s->now, view->weight[member]), member);
    }
}

static void destroy(void *st) {
    state *s = st;
    if (!s) return;
    lb_free(s->heap);
    lb_free(s->weight);
    lb_free(s->turn);
    lb_free(s);
}

static lb_status make_room(state *s, const lb_view *view, lb_error *err) {
    s->n = view->n_usable;
    s->n_members = view->n_members;
    s->room = s->n > LOOK_AHEAD ? s->n : LOOK_AHEAD;
    s->heap = lb_alloc_array(s->n, sizeof *s->heap);
    s->weight = lb_alloc_array(s->n_members, sizeof *s->weight);
    s->turn = lb_alloc_array(s->room, sizeof *s->turn);
    if (!s->heap || !s->weight || !s->turn) return lb_no_memory(err, "policy");
    memcpy(s->weight, view->weight, s->n_members * sizeof *s->weight);
    return LB_OK;
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    state *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    lb_status status = make_room(s, view, err);
    if (!status && previous) status = take_over(s, view, previous, old_index, err);
    else if (!status) start(s, view, param[0] != 0);
    if (status) {
        destroy(s);
        return status;
    }
    for (uint32_t i = s->n / 2; i-- > 0;) sift(s->heap, s->n, i, s->heap[i]);
    *out = s;
    return LB_OK;
}

const lb_policy lb_policy_edf = {
    .name = "edf", .summary = "The earliest deadline first: weighted turns as Envoy's round robin takes them, exactly.",
    .params = params, .build = build, .destroy = destroy, .pick = pick,
};

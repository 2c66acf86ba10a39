/* quota: see quota.h for the rule, the units and why nothing overflows. */
#include "policy/quota.h"

#include "base/alloc.h"
#include "base/exact.h"

#define ROOM ((int64_t)1 << 61)                 /* for debts, and again for time: see Limits */
#define FRACTION_BITS 40
#define RANK_BITS 24

/* ---- time: whole + part/period ---------------------------------------------------------------------------------- */

static lb_quota_time later(const lb_quota *q, lb_quota_time a, lb_quota_time b) {
    lb_quota_time sum = {a.whole + b.whole, a.part + b.part};
    if (sum.part >= q->period) {
        sum.part -= q->period;
        sum.whole++;
    }
    return sum;
}

static lb_quota_time earlier(const lb_quota *q, lb_quota_time a, lb_quota_time b) {
    lb_quota_time rest = {a.whole - b.whole, a.part - b.part};
    if (a.part < b.part) {
        rest.part += q->period;
        rest.whole--;
    }
    return rest;
}

/* The length of n turns, by doubling: the plain product would not fit 64 bits. */
static lb_quota_time turns(const lb_quota *q, uint64_t n) {
    lb_quota_time sum = {0, 0};
    for (lb_quota_time power = q->turn; n; n >>= 1, power = later(q, power, power))
        if (n & 1) sum = later(q, sum, power);
    return sum;
}

/* ---- moments: whole + part/weight, the fraction in 40 bits ------------------------------------------------------ */

static uint32_t rank_of(lb_quota_node node) { return (uint32_t)(node.tail & (((uint64_t)1 << RANK_BITS) - 1)); }

/* The exact part: it was rounded down by less than weight * 2^-40 < 1. */
static uint64_t part_of(lb_quota_node node, uint32_t weight) {
    return ((node.tail >> RANK_BITS) * weight + (((uint64_t)1 << FRACTION_BITS) - 1)) >> FRACTION_BITS;
}

static lb_quota_node moment(int64_t whole, uint64_t part, uint32_t weight, uint32_t rank) {
    return (lb_quota_node){whole, (part << FRACTION_BITS) / weight << RANK_BITS | rank};
}

/* The moment at which the target has earned `steps` more. */
static lb_quota_node after(const lb_quota *q, lb_quota_node node, int64_t steps) {
    uint32_t rank = rank_of(node), weight = q->weight[rank];
    uint64_t sum = (uint64_t)steps + part_of(node, weight);
    return moment(node.whole + (int64_t)(sum / weight), sum % weight, weight, rank);
}

static lb_quota_node deadline(const lb_quota *q, lb_quota_node node) { return after(q, node, q->pick - 2 * q->a); }

/* True if now is not before the release. */
static bool is_due(const lb_quota *q, lb_quota_node node) {
    if (node.whole != q->now.whole) return node.whole < q->now.whole;
    uint32_t weight = q->weight[rank_of(node)];
    return part_of(node, weight) * q->period <= q->now.part * weight;
}

/* ---- 4-ary heaps ------------------------------------------------------------------------------------------------ */

/* True if a's moment is the earlier one, ties by rank.  Computed, not branched to: no processor could foresee it. */
static bool before(lb_quota_node a, lb_quota_node b) {
#if defined(__SIZEOF_INT128__)
    __int128 left = (__int128)((unsigned __int128)a.whole << 64 | a.tail);
    __int128 right = (__int128)((unsigned __int128)b.whole << 64 | b.tail);
    return left < right;
#else
    return (a.whole < b.whole) | ((a.whole == b.whole) & (a.tail < b.tail));
#endif
}

/* The least of the siblings, up to four, that begin at heap[i]. */
static uint32_t least(const lb_quota_node *heap, uint32_t n, uint32_t i) {
    if (n - i >= 4) {
        uint32_t left = i + before(heap[i + 1], heap[i]), right = i + 2 + before(heap[i + 3], heap[i + 2]);
        return before(heap[right], heap[left]) ? right : left;
    }
    uint32_t best = i;
    while (++i < n) best = before(heap[i], heap[best]) ? i : best;
    return best;
}

/* Of the 16 grandchildren of a node, four will be compared next: large heaps wait for memory, not for arithmetic. */
static void prefetch(const lb_quota_node *heap, uint32_t n, uint64_t first) {
#if defined(__GNUC__)
    if (first + 16 <= n)
        for (uint32_t i = 0; i < 16; i += 4) __builtin_prefetch(heap + first + i);
#else
    (void)heap, (void)n, (void)first;
#endif
}

/* Put `node` into the hole at i or above it, not above `top`. */
static void rise(lb_quota_node *heap, uint32_t top, uint32_t i, lb_quota_node node) {
    while (i > top && before(node, heap[(i - 1) / 4])) {
        heap[i] = heap[(i - 1) / 4];
        i = (i - 1) / 4;
    }
    heap[i] = node;
}

/* Let the hole at `top` sink to a leaf, then put `node` where it belongs on that path.  A node from the end belongs
 * near the end, so this compares less than testing it on the way down. */
static void sink(lb_quota_node *heap, uint32_t n, uint32_t top, lb_quota_node node) {
    uint32_t hole = top, child;
    while ((child = 4 * hole + 1) < n) {
        prefetch(heap, n, 4 * (uint64_t)child + 1);
        uint32_t best = least(heap, n, child);
        heap[hole] = heap[best];
        hole = best;
    }
    rise(heap, top, hole, node);
}

static lb_quota_node pop(lb_quota_node *heap, uint32_t *n) {
    lb_quota_node top = heap[0];
    if (--*n > 0) sink(heap, *n, 0, heap[*n]);
    return top;
}

static void make_heap(lb_quota_node *node, uint32_t n) {
    for (uint32_t i = (n + 2) / 4; i-- > 0;) sink(node, n, i, node[i]);
}

/* ---- turns ------------------------------------------------------------------------------------------------------ */

/* Move the origin of time to now.whole. */
static void rebase(lb_quota *q) {
    for (uint32_t i = 0; i < q->n_waiting; i++) q->waiting[i].whole -= q->now.whole;
    for (uint32_t i = 0; i < q->n_due; i++) q->due[i].whole -= q->now.whole;
    q->now.whole = 0;
}

static void tick(lb_quota *q) {
    q->now = later(q, q->now, q->turn);
    if (q->now.whole > ROOM) rebase(q);
    while (q->n_waiting > 0 && is_due(q, q->waiting[0])) {
        lb_quota_node released = pop(q->waiting, &q->n_waiting);
        rise(q->due, 0, q->n_due++, deadline(q, released));
    }
}

static uint32_t take(lb_quota *q) {
    lb_quota_node taker = pop(q->due, &q->n_due);
    rise(q->waiting, 0, q->n_waiting++, after(q, taker, 2 * q->a));     /* the release that follows the deadline */
    return rank_of(taker);
}

uint32_t lb_quota_next(lb_quota *q) {
    uint32_t rank = take(q);
    tick(q);
    return rank;
}

/* ---- beginning -------------------------------------------------------------------------------------------------- */

static void choose_steps(lb_quota *q) {
    int64_t k = q->n, per_a = k > 1 ? 2 * k - 2 : 1;
    q->bits = LB_DEBT_BITS;
    while (per_a > ROOM / (2 * k + 2) >> q->bits) q->bits--;
    q->pick = per_a * ((int64_t)1 << q->bits);
    q->a = k > 1 ? (int64_t)1 << q->bits : 0;
    q->turn = (lb_quota_time){q->pick / (int64_t)q->period, (uint64_t)q->pick % q->period};
}

lb_status lb_quota_init(lb_quota *q, const uint32_t *weight, const uint32_t *member, uint32_t n, lb_error *err) {
    q->n = n;
    q->waiting = lb_alloc_array(n, sizeof *q->waiting);
    q->due = lb_alloc_array(n, sizeof *q->due);
    q->weight = lb_alloc_array(n, sizeof *q->weight);
    if (!q->waiting || !q->due || !q->weight) return lb_no_memory(err, "policy");
    uint64_t divisor = 0;
    for (uint32_t r = 0; r < n; r++) divisor = lb_gcd(weight[member[r]], divisor);
    for (uint32_t r = 0; r < n; r++) q->period += q->weight[r] = (uint32_t)(weight[member[r]] / divisor);
    choose_steps(q);
    return LB_OK;
}

void lb_quota_free(lb_quota *q) {
    lb_free(q->waiting);
    lb_free(q->due);
    lb_free(q->weight);
}

static void sort_in(lb_quota *q, lb_quota_node release) {
    if (is_due(q, release)) q->due[q->n_due++] = deadline(q, release);
    else q->waiting[q->n_waiting++] = release;
}

void lb_quota_start(lb_quota *q, const int64_t *debt, uint64_t phase) {
    lb_quota_time begin = turns(q, phase);
    uint64_t missing = phase;
    q->now = (lb_quota_time){0, begin.part};
    q->n_waiting = q->n_due = 0;
    for (uint32_t r = 0; r < q->n; r++) {
        int64_t w = q->weight[r], owed = debt ? lb_floor_div(debt[r], LB_ONE_PICK >> q->bits) : 0;
        uint64_t had = phase * (uint64_t)w / q->period;
        /* Two large terms that nearly cancel: modulo 2^64 their difference is exact. */
        int64_t key = (int64_t)(had * (uint64_t)q->pick - (uint64_t)begin.whole * (uint64_t)w);
        key += q->a - owed * (q->pick >> q->bits);
        int64_t whole = lb_floor_div(key, w);
        sort_in(q, moment(whole, (uint64_t)(key - whole * w), q->weight[r], r));
        missing -= had;
    }
    make_heap(q->waiting, q->n_waiting);
    make_heap(q->due, q->n_due);
    while (missing-- > 0) take(q);
    tick(q);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static lb_quota_node node_at(const lb_quota *q, uint32_t place) {
    return place < q->n_waiting ? q->waiting[place] : q->due[place - q->n_waiting];
}

/* `now` is the time of the next turn, which nobody has taken yet: hence one turn more. */
lb_quota_time lb_quota_ago(const lb_quota *q, uint64_t back) {
    return earlier(q, q->now, turns(q, back + 1));
}

uint32_t lb_quota_rank(const lb_quota *q, uint32_t place) { return rank_of(node_at(q, place)); }

int64_t lb_quota_debt(const lb_quota *q, uint32_t place, lb_quota_time then, uint32_t given) {
    lb_quota_node node = node_at(q, place);
    uint32_t w = q->weight[rank_of(node)];
    int64_t until_moment = place < q->n_waiting ? q->a : q->pick - q->a;        /* the debt that it is the moment of */
    /* debt = until_moment - steps still to earn + picks given back; modulo 2^64, for the result is small. */
    uint64_t steps = (uint64_t)until_moment + (uint64_t)(then.whole - node.whole) * w - part_of(node, w)
                   + then.part * w / q->period + given * (uint64_t)q->pick;
    return lb_floor_div((int64_t)steps, q->pick >> q->bits) * (LB_ONE_PICK >> q->bits);
}

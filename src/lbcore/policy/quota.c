/* quota: see quota.h for the rule, the units and why nothing overflows. */
#include "policy/quota.h"

#include "base/alloc.h"
#include "base/exact.h"

#define ROOM ((int64_t)1 << 61)                 /* for debts, and again for time: see Limits */

/* ---- time: whole + part/period ------------------------------------------------------------------------------ */

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

/* True if the target may take a turn now: key/w <= whole + part/W. */
static bool is_due(const lb_quota *q, const lb_quota_node *node) {
    int64_t missing = node->key - q->now.whole * node->weight;
    if (missing <= 0) return true;
    if (missing >= (int64_t)node->weight) return false;         /* part/W < 1 */
    return (uint64_t)missing * q->period <= q->now.part * node->weight;
}

/* ---- 4-ary heaps of nodes that carry all that is compared ----------------------------------------------------- */

/* key/weight ascending, ties by rank. */
static bool before(const lb_quota_node *a, const lb_quota_node *b) {
    int order = lb_product_order(a->key, b->weight, b->key, a->weight);
    return (order < 0) | ((order == 0) & (a->rank < b->rank));
}

/* Put `node` into the hole at i or above it. */
static void rise(lb_quota_node *heap, uint32_t i, lb_quota_node node) {
    while (i > 0) {
        uint32_t parent = (i - 1) / 4;
        if (!before(&node, &heap[parent])) break;
        heap[i] = heap[parent];
        i = parent;
    }
    heap[i] = node;
}

/* Let the hole at `top` sink to a leaf, then put `node` where it belongs on that path.  A node from the end belongs
 * near the end, so this compares less than testing it on the way down. */
static void sink(lb_quota_node *heap, uint32_t n, uint32_t top, lb_quota_node node) {
    uint32_t hole = top;
    for (uint32_t child = 4 * hole + 1; child < n; child = 4 * hole + 1) {
        uint32_t best = child, end = child + 4 < n ? child + 4 : n;
        while (++child < end)
            best = before(&heap[child], &heap[best]) ? child : best;
        heap[hole] = heap[best];
        hole = best;
    }
    while (hole > top && before(&node, &heap[(hole - 1) / 4])) {
        heap[hole] = heap[(hole - 1) / 4];
        hole = (hole - 1) / 4;
    }
    heap[hole] = node;
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

static void rebase(lb_quota *q) {
    for (uint32_t i = 0; i < q->n_waiting; i++) q->waiting[i].key -= q->now.whole * q->waiting[i].weight;
    for (uint32_t i = 0; i < q->n_due; i++) q->due[i].key -= q->now.whole * q->due[i].weight;
    q->now.whole = 0;
}

static lb_quota_node with_deadline(const lb_quota *q, lb_quota_node node) {
    node.key += q->pick - 2 * q->a;
    return node;
}

static void tick(lb_quota *q) {
    q->now = later(q, q->now, q->turn);
    if (q->now.whole > q->rebase_at) rebase(q);
    while (q->n_waiting > 0 && is_due(q, &q->waiting[0]))
        rise(q->due, q->n_due++, with_deadline(q, pop(q->waiting, &q->n_waiting)));
}

static uint32_t take(lb_quota *q) {
    lb_quota_node node = pop(q->due, &q->n_due);
    node.key += 2 * q->a;                       /* from this deadline to the release after it */
    rise(q->waiting, q->n_waiting++, node);
    return node.rank;
}

uint32_t lb_quota_next(lb_quota *q) {
    uint32_t rank = take(q);
    tick(q);
    return rank;
}

/* ---- beginning ---------------------------------------------------------------------------------------------------- */

static void choose_steps(lb_quota *q) {
    int64_t per_a = q->n > 1 ? 2 * ((int64_t)q->n - 1) : 1;     /* 1/a */
    q->bits = LB_DEBT_BITS;
    while (per_a > ROOM / (2 * (int64_t)q->n + 2) >> q->bits) q->bits--;
    q->pick = per_a * ((int64_t)1 << q->bits);
    q->a = q->n > 1 ? (int64_t)1 << q->bits : 0;
}

lb_status lb_quota_init(lb_quota *q, const uint32_t *weight, const uint32_t *member, uint32_t n, lb_error *err) {
    lb_quota_node *node = lb_alloc_array(2 * (size_t)n + 16, sizeof *node);
    if (!node) return lb_no_memory(err, "policy");
    uint64_t divisor = 0, sum = 0;
    uint32_t heaviest = 0;
    for (uint32_t r = 0; r < n; r++) divisor = lb_gcd(weight[member[r]], divisor);
    for (uint32_t r = 0; r < n; r++) {
        uint32_t w = (uint32_t)(weight[member[r]] / divisor);
        node[r] = (lb_quota_node){0, w, r};
        sum += w;
        if (w > heaviest) heaviest = w;
    }
    *q = (lb_quota){.n = n, .n_waiting = n, .period = sum, .waiting = node, .due = node + n, .rebase_at = ROOM / heaviest};
    choose_steps(q);
    q->turn = (lb_quota_time){q->pick / (int64_t)sum, (uint64_t)q->pick % sum};
    return LB_OK;
}

void lb_quota_free(lb_quota *q) { lb_free(q->waiting); }        /* due is the second half */

/* Divide the nodes, all of them in `waiting` in any order, into the two heaps. */
static void divide(lb_quota *q) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        if (is_due(q, &q->waiting[i])) q->due[q->n_due++] = with_deadline(q, q->waiting[i]);
        else q->waiting[kept++] = q->waiting[i];
    }
    q->n_waiting = kept;
    make_heap(q->waiting, q->n_waiting);
    make_heap(q->due, q->n_due);
}

void lb_quota_start(lb_quota *q, const int64_t *debt, uint64_t phase) {
    lb_quota_time at = turns(q, phase);
    uint64_t missing = phase;
    for (uint32_t i = 0; i < q->n; i++) {
        lb_quota_node *node = &q->waiting[i];
        uint64_t had = phase * node->weight / q->period;
        /* Two large terms that nearly cancel: modulo 2^64 their difference is exact. */
        node->key = (int64_t)(had * (uint64_t)q->pick - (uint64_t)at.whole * node->weight) + q->a;
        if (debt) node->key -= lb_floor_div(debt[node->rank], LB_ONE_PICK >> q->bits) * (q->pick >> q->bits);
        missing -= had;
    }
    q->now = (lb_quota_time){0, at.part};
    divide(q);
    while (missing-- > 0) take(q);
    tick(q);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

/* `now` is the time of the next turn, which nobody has been paid for yet: hence one turn more. */
lb_quota_time lb_quota_ago(const lb_quota *q, uint64_t back) {
    return earlier(q, q->now, turns(q, back + 1));
}

static const lb_quota_node *node_at(const lb_quota *q, uint32_t place) {
    return place < q->n_waiting ? &q->waiting[place] : &q->due[place - q->n_waiting];
}

uint32_t lb_quota_rank(const lb_quota *q, uint32_t place) { return node_at(q, place)->rank; }

int64_t lb_quota_debt(const lb_quota *q, uint32_t place, lb_quota_time then, uint32_t given) {
    const lb_quota_node *node = node_at(q, place);
    int64_t release = node->key - (place < q->n_waiting ? 0 : q->pick - 2 * q->a);
    uint64_t part = then.part * node->weight / q->period;
    /* Modulo 2^64, as in lb_quota_start(): the result is small. */
    uint64_t steps = (uint64_t)then.whole * node->weight + part + (uint64_t)q->a - (uint64_t)release
                   + given * (uint64_t)q->pick;
    return lb_floor_div((int64_t)steps, q->pick >> q->bits) * (LB_ONE_PICK >> q->bits);
}

void lb_quota_shares(const lb_quota *q, uint32_t *share) {
    for (uint32_t place = 0; place < q->n; place++) share[node_at(q, place)->rank] = node_at(q, place)->weight;
}

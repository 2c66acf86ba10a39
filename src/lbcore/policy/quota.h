/* quota: the generator of exact weighted schedules, Tijdeman's rule with two heaps.
 *
 * At each turn target i is owed w_i/W of a pick more; the one that takes the turn is owed one less.  What it is owed
 * is its debt.  With k targets and a = 1/(2k-2) (0 for k = 1), a target may take the turn once its debt is a or more,
 * and of those the one takes it whose debt would first reach 1 - a.  Ties go to the lesser rank.
 *
 *                     time passes, debts grow: a target may take a turn from debt = a on
 *     waiting       -------------------------------------------------------------------->         due
 *     by release    <--------------------------------------------------------------------  by deadline
 *                             the least deadline takes the turn, its debt falls by 1
 *
 * Source  R. Tijdeman, "The chairman assignment problem", Discrete Mathematics 32, 1980: debts that start at 0 stay
 *         within 1 - a of 0.
 *
 * Steps   Debts are counted in whole steps, `pick` of them to a pick and `a` of them to a; pick/a = 2k-2.
 *         Time is counted in the steps that weight 1 has earned: a turn lasts pick/W, and it takes key/w until weight w
 *         has earned key.  Both are kept as mixed numbers, whole + part/W and whole + part/w.  A target of weight w
 *
 *             is released      at  ((picks had - debt at the start) * pick + a) / w
 *             has its deadline at  release + (pick - 2a) / w
 *
 *         Of part/w, the 40 leading binary digits are kept.  They lose nothing: different fractions with denominators
 *         up to 10^6 differ by 10^-12 or more, and 2^-40 is less.  So a moment is one number of 128 bits, its last 24
 *         are the rank, and comparing two takes no multiplication.
 *
 * Limits  k <= 2^20, w <= 10^6, W <= 10^6 * 2^20 < 2^40 (after division by the weights' gcd).
 *         A debt is never below -2 (it starts in -2..2, and only debts >= a take turns); all sum to 0, so none is above
 *         2k.  `bits` is the largest number up to 32 with (2k+2) * pick <= 2^61: 32 up to 11,585 targets, 19 at 2^20.
 *         Moments are thus within 2^61 of now, and now.whole stays below 2^61 + pick because it is then set back to 0,
 *         and all moments with it: whole numbers, nothing is rounded.  A run of 10^12 picks is as exact as the first.
 *         Products of a part: part * W and part * w < 2^60.
 *         Before a turn the debts sum to 0, with it to 1, so the largest is >= 1/k >= a: `due` is never empty.
 *
 * Cost    next O(log k), 100 to 150 ns at 100,000 targets; start O(k), into a phase O(k log k); 36 bytes a target.
 * Keeps   waiting and due together hold every target once; due holds exactly those that may take the next turn.
 */
#ifndef LBCORE_POLICY_QUOTA_H
#define LBCORE_POLICY_QUOTA_H

#include "base/status.h"

#define LB_DEBT_BITS 32                         /* debts are told in 2^-32 pick */
#define LB_ONE_PICK ((int64_t)1 << LB_DEBT_BITS)

/* A target and its moment. */
typedef struct lb_quota_node {
    int64_t whole;
    uint64_t tail;                              /* 40 bits fraction, 24 bits rank */
} lb_quota_node;

typedef struct lb_quota_time {
    int64_t whole;
    uint64_t part;                              /* of period, < period */
} lb_quota_time;

typedef struct lb_quota {
    uint32_t n, n_waiting, n_due;
    uint32_t bits;                              /* debts at the start are multiples of 2^-bits pick */
    int64_t pick, a;                            /* in steps */
    uint64_t period;                            /* W: turns until all have had exactly their weight */
    lb_quota_time turn, now;                    /* how long a turn is; the time of the next one */
    lb_quota_node *waiting, *due;               /* 4-ary heaps */
    uint32_t *weight;                           /* by rank, divided by their gcd: picks in a period */
} lb_quota;

/* A schedule over n > 0 targets: that of rank r has weight[member[r]] > 0.  *quota is zero before and to be freed
 * after, also on failure. */
lb_status lb_quota_init(lb_quota *quota, const uint32_t *weight, const uint32_t *member, uint32_t n, lb_error *err);
void lb_quota_free(lb_quota *quota);            /* accepts a zero one */

/* Begin (again) with debts, or at a phase.  debt[rank]: -2..2 picks in 2^-32, multiples of 2^-bits, sum 0; NULL: all 0.
 * phase: the turn, < period, at which an endless schedule is entered; 0 with debts.
 *
 * At turn t everybody has had floor(t * w_i/W) picks; the few that are missing to t go, by the rule itself, to those
 * that may have them.  Debts are then within 1 - a, as in a schedule that has run from its beginning, and the first
 * pick falls to each target as often as its weight says.  (Rounding the shares at random instead leaves some targets
 * overdue: of weights 99 and 1 the light one would get 13 % of the first picks.) */
void lb_quota_start(lb_quota *quota, const int64_t *debt, uint64_t phase);

uint32_t lb_quota_next(lb_quota *quota);        /* the rank that takes the turn */

/* The debt as it was `back` turns ago, in 2^-32 pick, rounded down to 2^-bits.  `place` 0..n-1 runs over all targets in
 * no order; lb_quota_rank() says which it is.  `given`: how many of the last `back` turns it took.
 * `then` is lb_quota_ago(quota, back), back <= period. */
lb_quota_time lb_quota_ago(const lb_quota *quota, uint64_t back);
uint32_t lb_quota_rank(const lb_quota *quota, uint32_t place);
int64_t lb_quota_debt(const lb_quota *quota, uint32_t place, lb_quota_time then, uint32_t given);

#endif

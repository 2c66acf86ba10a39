/* quota: the generator of exact weighted schedules, Tijdeman's rule with two heaps.
 *
 * At each turn target i is owed w_i/W of a pick more; the one that takes the turn is owed one less.  What it is owed
 * is its debt.  With k targets and a = 1/(2k-2) (0 for k = 1), a target may take the turn once its debt is a or more,
 * and of those the one takes it whose debt would first reach 1 - a.  Ties go to the lesser rank.
 *
 *            next turn, everybody's debt grows: may take a turn from debt = a
 *        waiting  ------------------------------------------------------------>  due
 *     (by release)  <----------------------------------------------------------  (by deadline)
 *            the least deadline takes the turn, its debt falls by one
 *
 * Source  R. Tijdeman, "The chairman assignment problem", Discrete Mathematics 32, 1980: debts that start at 0 stay
 *         within 1 - a of 0.
 *
 * Steps   All is in whole steps.  One pick is `pick` = (1/a) * 2^bits of them, a is `a` = 2^bits.  Time is counted in
 *         steps of debt that a target of weight 1 has gained, so a turn adds pick/W; it is kept as a mixed number
 *         whole + part/W.  A target waits until its release key/w and then has its deadline at key/w:
 *
 *             release  key = (picks taken - debt at start) * pick + a              due at whole + part/W >= key/w
 *             deadline key = release key + pick - 2a                               compared by cross-multiplication
 *
 *         Keys and time are counted from an origin that moves up (rebase): all keys lose whole * w, an integer, and
 *         nothing is rounded, so that a run of 10^12 picks is as exact as the first.
 *
 * Limits  k <= 2^20, w <= 10^6, W <= 10^6 * 2^20 < 2^40 (all after division by their gcd).
 *         A debt is never below -2 (debts start in -2..2, and only a target with debt >= a takes a turn); debts sum to
 *         0, so none is above 2k.  `bits` is the largest number up to 32 with (2k+2) * pick <= 2^61: 32 bits up to
 *         11,585 targets, 19 at 2^20.  Hence |key| <= debt part 2^61 + time part whole * w, and rebase keeps the latter
 *         below 2^61 + 2^61/k: keys stay below 2^63.  In products: part * w < 2^60, and is_due() multiplies with W only
 *         what is below w, < 2^60.  Cross-multiplication is exact in 96 bits.
 *         Before a turn the debts sum to 0, with it to 1, so the largest is >= 1/k >= a: `due` is never empty.
 *
 * Cost    next O(log k), about 100 ns at 100,000 targets; start O(k), into a phase O(k log k); 32 bytes a target.
 * Keeps   waiting and due together hold every target once; due holds exactly those that may take the next turn.
 *         One writer at a time; reading is lb_quota_ago, _rank, _debt, _shares.
 */
#ifndef LBCORE_POLICY_QUOTA_H
#define LBCORE_POLICY_QUOTA_H

#include "base/status.h"

#define LB_DEBT_BITS 32                         /* debts are told in 2^-32 pick */
#define LB_ONE_PICK ((int64_t)1 << LB_DEBT_BITS)

typedef struct lb_quota_node {
    int64_t key;
    uint32_t weight, rank;
} lb_quota_node;

typedef struct lb_quota_time {
    int64_t whole;
    uint64_t part;                              /* of period, < period */
} lb_quota_time;

typedef struct lb_quota {
    uint32_t n, n_waiting, n_due;
    uint32_t bits;                              /* debts are whole multiples of 2^-bits pick at the start */
    int64_t pick, a;                            /* in steps */
    uint64_t period;                            /* W: turns until all have had exactly their weight */
    lb_quota_time turn, now;                    /* the length of a turn; the time of the next one */
    int64_t rebase_at;                          /* now.whole beyond this moves the origin */
    lb_quota_node *waiting, *due;               /* 4-ary heaps */
} lb_quota;

/* A schedule over n > 0 targets; the target of rank r has weight[member[r]] > 0.  *quota is zero before and to be
 * freed after, also on failure. */
lb_status lb_quota_init(lb_quota *quota, const uint32_t *weight, const uint32_t *member, uint32_t n, lb_error *err);
void lb_quota_free(lb_quota *quota);            /* accepts a zero one */

/* Begin with debts, or at a phase.  debt[rank]: -2..2 picks in 2^-32, multiples of 2^-bits, sum 0; NULL: all 0.
 * phase: the turn, < period, at which an endless schedule is entered; 0 with debts.
 *
 * At turn t everybody has had floor(t * w_i/W) picks; the few that are missing to t go, by the rule itself, to those
 * that may have them.  Debts are then within 1 - a, as in the schedule that has run from its beginning, and the
 * first pick falls to each target as often as its weight says.  (Rounding the shares at random instead leaves targets
 * overdue: at weights 99 and 1 the light one would get 13 % of the first picks.) */
void lb_quota_start(lb_quota *quota, const int64_t *debt, uint64_t phase);

uint32_t lb_quota_next(lb_quota *quota);        /* the rank that takes the turn */

/* The debt as it was `back` turns ago, in 2^-32 pick, rounded down to 2^-bits.  `place` 0..n-1 runs over all targets in
 * no order; lb_quota_rank() says whom it names.  `given`: how many of the last `back` turns it took.
 * `then` is lb_quota_ago(quota, back), back <= period. */
lb_quota_time lb_quota_ago(const lb_quota *quota, uint64_t back);
uint32_t lb_quota_rank(const lb_quota *quota, uint32_t place);
int64_t lb_quota_debt(const lb_quota *quota, uint32_t place, lb_quota_time then, uint32_t given);

/* share[rank] = picks in a period. */
void lb_quota_shares(const lb_quota *quota, uint32_t *share);

#endif

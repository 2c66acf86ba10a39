/* stable: the table and the order behind the native consistent hashes.
 *
 *   key --hash--> slot      0     1     2     3     4     5  ...       M of them, a prime
 *                        +-----+-----+-----+-----+-----+-----+
 *                 owner  |  2  |  0  |  0  |  1  |  2  |  1  |         a target by its rank
 *                        +-----+-----+-----+-----+-----+-----+
 *   target 0 visits         3rd   1st   5th   ...                      slot (off + t * skip) mod M at turn t
 *
 * Rule    Targets with a configured weight are ranked by what they hash (hash_key, else the identity), equal ones by
 *         identity; bytes, shorter first.  h = XXH64 of that text, seed 0: off is its high half and skip - 1 its low
 *         half, scaled to M and to M - 1.  Target i claims its slot of turn t with the score e_t / w_i, where e_t is
 *         -ln(1 - (t + 1/2) / M) as lb_curve_at() computes it.  Claims are heard in ascending order of score, equal
 *         ones by rank; a slot that is free goes to the claim, unless its target has ceil(1.02 * M * w_i / W) already.
 * Walk    A key's slot is floor(hash * M / 2^64).  First its owner, if usable, then the others by score for that slot,
 *         equal ones by rank: a total order, each once.  The owner is first also where another has a lesser score:
 *         that one had its share by then.
 * Health  changes nothing here: W and the w_i are configured weights, those who are down keep their slots, and only
 *         the walk passes over them.
 * Source  Slots visited by permutation: D. Eisenbud et al., NSDI 2016 (Maglev).  An owner that depends on no order of
 *         targets: B. Maggs, R. Sitaraman, ACM CCR 45(3), 2015.  Exponential scores divided by weights: the least of
 *         them falls to each target by its weight (D. Thaler, C. Ravishankar, IEEE/ACM ToN 6(1), 1998, section 5).
 * Cost    build O(M log M + n log n): milliseconds for 65,537 slots, some tenths of a second for 1,048,583, whatever the
 *         weights (benches/moves.py); O(n) where only health, the list's order or user pointers change.  Step 0 O(1),
 *         further steps O(usable).  Memory 4 M + 28 n bytes and the texts, shared by such Views, 8 n bytes a View;
 *         while building 24 M more.  Targets that share one hash_key claim the same slots: up to M claims each.
 * Keeps   the table depends on names, weights and M: on no order, event, seed or machine.  It is read-only after the
 *         build; Views that share one count themselves in and out, which upstreams do one at a time.
 */
#ifndef LBCORE_POLICY_STABLE_H
#define LBCORE_POLICY_STABLE_H

#include "policy/policy.h"

#define LB_LEAST_SLOTS 101          /* primes both */
#define LB_MOST_SLOTS 16777259

/* The row of a policy's table of parameters; lb_stable_check() says the rest. */
#define LB_SLOTS_PARAM \
    LB_WHOLE("slots", 65537, LB_LEAST_SLOTS, LB_MOST_SLOTS, \
             "Slots of the table, a prime: 100 or more a target keep shares within 3 % (1048583 above 1,000 targets).")

/* LB_ERR_CONFIG ("slots") where it is no prime, with the primes next to it. */
lb_status lb_stable_check(double slots, lb_error *err);

/* The parts of a policy; `slots` has been checked.  LB_ERR_CONFIG where the members of the View have no names. */
lb_status lb_stable_build(void **out, const lb_view *view, double slots, const void *previous,
                          const uint32_t *old_index, lb_error *err);
void lb_stable_destroy(void *state);                                   /* accepts NULL */
uint32_t lb_stable_walk(void *state, const lb_view *view, lb_walk *walk);
uint64_t lb_stable_hash(const void *state, const lb_key *key);

/* For tests and tools: the member that owns a slot, usable or not (LB_NONE where nobody has a weight); whether two
 * states hold one table. */
uint32_t lb_stable_owner(const void *state, uint32_t slot);
bool lb_stable_is_shared(const void *state, const void *other);

/* ---- scores ----------------------------------------------------------------------------------------------- */

#define LB_CURVE_BITS 38            /* e_t counts 2^-38: e_t * LB_MAX_WEIGHT < 2^63 */
#define LB_CURVE_STEPS 64u
#define LB_CURVE_ERROR 40u          /* e_t is less than this below the real number, and never above */

/* Natural logarithms by integers alone, so that every machine has the same ones. */
typedef struct lb_curve {
    uint64_t slots;
    uint64_t unit;                          /* 1 / (2 M), rounded down */
    uint64_t log[LB_CURVE_STEPS + 1];       /* ln(1 + j / 64) */
} lb_curve;

void lb_curve_init(lb_curve *curve, uint32_t slots);

/* e_t; turn < slots.  Ascending. */
uint64_t lb_curve_at(const lb_curve *curve, uint32_t turn);

#endif

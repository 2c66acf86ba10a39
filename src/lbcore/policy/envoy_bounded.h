/* envoy_bounded: Envoy's bounded loads: who takes a call whose first choice has its share of calls already.
 *
 *     slots of all      ((calls in flight + 1) * balance + 99) / 100         whole numbers
 *     slots of a target max(ceil(slots of all * share), 1)
 *     load              its calls in flight / its slots
 *
 * The first choice serves up to load 1.  Else all usable targets in an order drawn from the hash alone: the first with a
 * load up to 1, and where there is none, the least loaded (the first choice, if no other is below it).
 *
 * Source  V. Mirrokni et al., SODA 2018 (bounded loads); J. Chen et al., arXiv 1908.08762 (the random order);
 *         Envoy, BoundedLoadHashingLoadBalancer.  The order is Fisher and Yates' shuffle of the usable targets as
 *         configured, with mt19937 seeded by the low 32 bits of the hash.
 * Calls   all of the upstream count, those of targets that are down or have left included, as in Envoy's cluster.
 *         Sums are of 64 bits; Envoy's 32 would wrap at 2^32 / balance calls.
 * Cost    O(1) for a first choice with at most one call, else O(targets): calls are counted each time.
 *         Beyond the first choice 1.5 us more for the seeding.
 * Keeps   writes the state's scratch: one caller at a time.
 */
#ifndef LBCORE_POLICY_ENVOY_BOUNDED_H
#define LBCORE_POLICY_ENVOY_BOUNDED_H

#include "policy/envoy_hosts.h"

/* The place in view->usable that takes the call of `hash` whose first choice is `place`; `s` has a bound. */
uint32_t lb_envoy_within_bound(const lb_envoy *s, const lb_view *view, uint64_t hash, uint32_t place);

/* The member for a first choice, whether there is a bound or none. */
static inline uint32_t lb_envoy_member(const lb_envoy *s, const lb_view *view, uint64_t hash, uint32_t place) {
    return view->usable[s->order ? lb_envoy_within_bound(s, view, hash, place) : place];
}

/* A policy's is_pure: without a bound a walk writes nothing. */
static inline bool lb_envoy_is_pure(const void *state) { return ((const lb_envoy *)state)->order == NULL; }

#endif

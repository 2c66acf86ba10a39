/* learn: what policies that learn from calls share: the fleet's mean, and how what was learnt fades.
 *
 *   tick     50 ms    50 ms     idle for 4 s           50 ms
 *        ----|--------|---------|----------------------|--------|---->     one factor for all slots, by the time
 *                               the tick after it fades 4 s                since the tick before
 *
 * What was learnt between two ticks fades with the rest at the second, at most a tick too early.
 * Keeps   fleet_ns is 0 until the first value; doubles in a fixed order.
 */
#ifndef LBCORE_POLICY_LEARN_H
#define LBCORE_POLICY_LEARN_H

#include "base/decay.h"
#include "target/state.h"

#define LB_LEARN_TICK_NS 50000000u
#define LB_LEARN_FLEET_SHARE 0.01   /* of each value in the fleet's mean */

/* The first value is taken as it is. */
static inline void lb_learn_fleet(lb_state *places, double latency_ns) {
    if (places->fleet_ns > 0) places->fleet_ns += (latency_ns - places->fleet_ns) * LB_LEARN_FLEET_SHARE;
    else places->fleet_ns = latency_ns;
}

/* What is left of everything since the last tick; moves the tick to now.  The first one only begins to count. */
static inline double lb_learn_fade(lb_state *places, uint64_t now_ns, double rate) {
    double left = places->faded_ns ? lb_decay_between(places->faded_ns, now_ns, rate) : 1;
    places->faded_ns = now_ns;
    return left;
}

#endif

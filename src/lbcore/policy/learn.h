/* learn: what policies that learn from calls share: the fleet's mean, and how what was learnt fades.
 *
 *   tick     50 ms    50 ms     idle for 4 s           50 ms
 *        ----|--------|---------|----------------------|--------|---->     one factor for all slots, by the time
 *                               the tick after it fades 4 s                since the tick before
 *
 * What was learnt between two ticks fades with the rest at the second, at most a tick too early.  Where State is shared
 * one worker fades for all: who moves the tick.
 * Keeps   the fleet's mean is 0 until the first value; doubles in a fixed order.
 */
#ifndef LBCORE_POLICY_LEARN_H
#define LBCORE_POLICY_LEARN_H

#include "base/decay.h"
#include "target/state.h"

#define LB_LEARN_TICK_NS 50000000u
#define LB_LEARN_FLEET_SHARE 0.01   /* of each value in the fleet's mean */

/* The latency of all together, in the policy's unit; 0: nothing is known. */
static inline double lb_fleet(const lb_state *places) { return lb_word_glance_double(&places->common->fleet); }

static inline void lb_learn_fleet(lb_state *places, double latency_ns) {
    double fleet = lb_fleet(places);                    /* the first value is taken as it is */
    double mean = fleet > 0 ? fleet + (latency_ns - fleet) * LB_LEARN_FLEET_SHARE : latency_ns;
    lb_word_note_double(&places->common->fleet, mean);
}

static inline uint64_t lb_faded_ns(const lb_state *places) { return lb_word_glance(&places->common->faded_ns); }

/* Move the tick to now; *left is what is left of everything since the last one.  The first one only begins to count.
 * False: another worker has just done so, and fades. */
static inline bool lb_learn_fade(lb_state *places, uint64_t now_ns, double rate, double *left) {
    lb_word *word = &places->common->faded_ns;
    uint64_t before_ns = lb_word_read(word);
    if (places->backing && now_ns < before_ns + LB_LEARN_TICK_NS / 2) return false;
    *left = before_ns ? lb_decay_between(before_ns, now_ns, rate) : 1;
    return lb_word_swap(word, &before_ns, now_ns);
}

#endif

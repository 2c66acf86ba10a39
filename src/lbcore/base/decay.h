/* decay: exp(-x), the weight of what is x time constants old.
 *
 * Source  e^-x = 2^(-n/64) * e^-r with n the whole number nearest to 64 x / ln 2: a table of 64 powers, and five
 *         terms of the series for what is left, |r| <= ln 2 / 128.
 * Error   relative, below 3e-16 for x in 0..700; above 700 the answer is 0, which is off by less than 1e-304.
 * Cost    O(1), no division; the table has 512 bytes.
 * Keeps   the same bits on every machine: additions, subtractions and products of doubles in a fixed order, none of
 *         them fused (the build says -ffp-contract=off), and powers of two made from their bits.
 */
#ifndef LBCORE_BASE_DECAY_H
#define LBCORE_BASE_DECAY_H

#include <stdint.h>

/* exp(-x); 1 where x is not above 0 (or not a number). */
double lb_decay(double x);

/* exp(-(later - earlier) * rate), rate in 1/ns; 1 where `later` is not later: a clock that stands still or goes back
 * ages nothing. */
static inline double lb_decay_between(uint64_t earlier_ns, uint64_t later_ns, double rate) {
    return later_ns > earlier_ns ? lb_decay((double)(later_ns - earlier_ns) * rate) : 1;
}

#endif

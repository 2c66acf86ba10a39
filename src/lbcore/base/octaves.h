/* octaves: how often a number can be halved, for means that one huge value must not move.
 *
 *   x          1      1.5     2       3       4      a double's bits, read as a number, are its logarithm with straight
 *   octaves    0      0.5     1      1.5      2      lines between the powers of two
 *
 * Source  J. N. Mitchell, IRE Transactions on Electronic Computers 11(4), 1962.
 * Error   against log2: 0 to -0.0861, none at powers of two.  Both functions rise throughout.
 * Cost    O(1): a copy, a conversion, a product, a sum.
 * Keeps   the same bits on every machine with IEEE doubles.
 */
#ifndef LBCORE_BASE_OCTAVES_H
#define LBCORE_BASE_OCTAVES_H

#include <stdint.h>
#include <string.h>

#define LB_OCTAVE 0x1p+52               /* one octave, in the last place of a double */
#define LB_OCTAVE_OF_ONE 1023           /* the exponent's bias */

/* x is normal and positive: at least 2^-1022. */
static inline double lb_octaves(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (double)bits * (1 / LB_OCTAVE) - LB_OCTAVE_OF_ONE;
}

/* The number of so many octaves, which are in -1022..1023. */
static inline double lb_of_octaves(double octaves) {
    uint64_t bits = (uint64_t)((octaves + LB_OCTAVE_OF_ONE) * LB_OCTAVE);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif

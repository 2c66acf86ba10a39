/* jump: the bucket of a number, of so many buckets.
 *
 * Source  J. Lamping, E. Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", arXiv:1406.2294, 2014.  The
 *         scheme is defined in doubles; one division and one multiplication, in the order given there.
 * Cost    about ln n steps of a linear congruential generator; no memory.
 * Keeps   the value is the same on every machine with IEEE 754 doubles.  One bucket more at the end moves 1/(n + 1)
 *         of the numbers, all of them there.
 */
#ifndef LBCORE_HASH_JUMP_H
#define LBCORE_HASH_JUMP_H

#include <stdint.h>

/* In 0..n-1; n > 0. */
static inline uint32_t lb_jump(uint64_t key, uint32_t n) {
    int64_t bucket = 0, next = 0;
    while (next < (int64_t)n) {
        bucket = next;
        key = key * 2862933555777941757u + 1;
        double stride = (double)(1ll << 31) / (double)((key >> 33) + 1);
        next = (int64_t)((double)(bucket + 1) * stride);    /* below 2^63: both factors are at most 2^32 and 2^31 */
    }
    return (uint32_t)bucket;
}

#endif

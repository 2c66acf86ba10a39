/* one_at_a_time: R. Jenkins' hash that takes in a byte and mixes, and mixes more at the end.
 *
 * Source  R. Jenkins, "A hash function for hash table lookup", Dr. Dobb's Journal, 1997.
 * Used    by libmemcached, whose default it is.
 * Cost    five operations a byte, each waiting for the one before.
 * Keeps   bytes are 0..255; the value is the same on every machine.
 */
#ifndef LBCORE_HASH_ONE_AT_A_TIME_H
#define LBCORE_HASH_ONE_AT_A_TIME_H

#include <stddef.h>
#include <stdint.h>

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint32_t lb_one_at_a_time(const char *p, size_t n) {
    uint32_t h = 0;
    for (size_t i = 0; i < n; i++) {
        h += (unsigned char)p[i];
        h += h << 10;
        h ^= h >> 6;
    }
    h += h << 3;
    h ^= h >> 11;
    return h + (h << 15);
}

#endif

/* one_at_a_time: R. J. Jenkins's hash of the same name.
 *
 * Source  R. J. Jenkins, "Hash functions", Dr. Dobb's Journal, September 1997.
 * Used    by libmemcached's plain ketama.
 * Cost    a byte a round.
 */
#ifndef LBCORE_HASH_ONE_AT_A_TIME_H
#define LBCORE_HASH_ONE_AT_A_TIME_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t lb_one_at_a_time(const char *p, size_t n) {
    uint32_t hash = 0;
    for (size_t i = 0; i < n; i++) {
        hash += (unsigned char)p[i];
        hash += hash << 10;
        hash ^= hash >> 6;
    }
    hash += hash << 3;
    hash ^= hash >> 11;
    return hash + (hash << 15);
}

#endif

/* full_hash: HAProxy's "avalanche": mixes a 32-bit number so that every bit of it moves every bit of the result.
 *
 * Source  R. Jenkins, "4-byte integer hashing", the version in six steps, 2007; then a multiplication by 3 * 2^30 + 1,
 *         which brings the low bits to the top.
 * Used    by HAProxy: "avalanche", and for the places of servers on its ring.
 * Cost    some 15 operations.
 * Keeps   one to one.
 */
#ifndef LBCORE_HASH_FULL_HASH_H
#define LBCORE_HASH_FULL_HASH_H

#include <stdint.h>

static inline uint32_t lb_full_hash(uint32_t x) {
    x = x + 0x7ED55D16u + (x << 12);
    x = x ^ 0xC761C23Cu ^ x >> 19;
    x = x + 0x165667B1u + (x << 5);
    x = (x + 0xD3A2646Cu) ^ x << 9;
    x = x + 0xFD7046C5u + (x << 3);
    x = x ^ 0xB55A4F09u ^ x >> 16;
    return x * 3221225473u;
}

#endif

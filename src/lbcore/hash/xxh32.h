/* xxh32: the 32-bit xxHash.
 *
 * Source  Y. Collet, "xxHash fast digest algorithm", doc/xxhash_spec.md 0.1.1, section XXH32.
 * Used    by Kong's consistent hashing, and by HAProxy for IPv6 addresses and guids.
 * Cost    16 bytes a round, then 4 and single bytes.
 * Keeps   the value is the same on every machine.  Never reads outside the given bytes.
 */
#ifndef LBCORE_HASH_XXH32_H
#define LBCORE_HASH_XXH32_H

#include "hash/bytes.h"

#define LB_XXH32_1 0x9E3779B1u
#define LB_XXH32_2 0x85EBCA77u
#define LB_XXH32_3 0xC2B2AE3Du
#define LB_XXH32_4 0x27D4EB2Fu
#define LB_XXH32_5 0x165667B1u

static inline uint32_t lb_xxh32_round(uint32_t sum, uint32_t word) {
    return lb_rotl32(sum + word * LB_XXH32_2, 13) * LB_XXH32_1;
}

/* The four lanes over all whole stripes of 16 bytes; *p moves behind them. */
static inline uint32_t lb_xxh32_stripes(const char **p, size_t n, uint32_t seed) {
    uint32_t a = seed + LB_XXH32_1 + LB_XXH32_2, b = seed + LB_XXH32_2, c = seed, d = seed - LB_XXH32_1;
    for (; n >= 16; *p += 16, n -= 16) {
        a = lb_xxh32_round(a, lb_le32(*p));
        b = lb_xxh32_round(b, lb_le32(*p + 4));
        c = lb_xxh32_round(c, lb_le32(*p + 8));
        d = lb_xxh32_round(d, lb_le32(*p + 12));
    }
    return lb_rotl32(a, 1) + lb_rotl32(b, 7) + lb_rotl32(c, 12) + lb_rotl32(d, 18);
}

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint32_t lb_xxh32(const char *p, size_t n, uint32_t seed) {
    const char *at = p;
    uint32_t sum = n >= 16 ? lb_xxh32_stripes(&at, n, seed) : seed + LB_XXH32_5;
    sum += (uint32_t)n;
    size_t rest = n & 15;
    for (; rest >= 4; at += 4, rest -= 4) sum = lb_rotl32(sum + lb_le32(at) * LB_XXH32_3, 17) * LB_XXH32_4;
    for (; rest > 0; at++, rest--) sum = lb_rotl32(sum + (unsigned char)*at * LB_XXH32_5, 11) * LB_XXH32_1;
    sum = (sum ^ sum >> 15) * LB_XXH32_2;
    sum = (sum ^ sum >> 13) * LB_XXH32_3;
    return sum ^ sum >> 16;
}

#endif

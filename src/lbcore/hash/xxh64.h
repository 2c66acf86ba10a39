/* xxh64: the 64-bit xxHash.
 *
 * Source  Y. Collet, "xxHash fast digest algorithm", doc/xxhash_spec.md 0.1.1, section XXH64.
 * Used    by Envoy's ring_hash and maglev for keys and points, and by our own hash for keys and identities.
 * Cost    a 15-byte key about 4 ns, 15 ns where the result is waited for; 32 bytes a round above.
 * Keeps   the value is the same on every machine.  Never reads outside the given bytes.
 */
#ifndef LBCORE_HASH_XXH64_H
#define LBCORE_HASH_XXH64_H

#include "hash/bytes.h"

#define LB_XXH64_1 0x9E3779B185EBCA87u
#define LB_XXH64_2 0xC2B2AE3D27D4EB4Fu
#define LB_XXH64_3 0x165667B19E3779F9u
#define LB_XXH64_4 0x85EBCA77C2B2AE63u
#define LB_XXH64_5 0x27D4EB2F165667C5u

static inline uint64_t lb_xxh64_round(uint64_t sum, uint64_t word) {
    return lb_rotl64(sum + word * LB_XXH64_2, 31) * LB_XXH64_1;
}

static inline uint64_t lb_xxh64_merge(uint64_t sum, uint64_t lane) {
    return (sum ^ lb_xxh64_round(0, lane)) * LB_XXH64_1 + LB_XXH64_4;
}

/* The four lanes over all whole stripes of 32 bytes; *p moves behind them. */
static inline uint64_t lb_xxh64_stripes(const char **p, size_t n, uint64_t seed) {
    uint64_t a = seed + LB_XXH64_1 + LB_XXH64_2, b = seed + LB_XXH64_2, c = seed, d = seed - LB_XXH64_1;
    for (; n >= 32; *p += 32, n -= 32) {
        a = lb_xxh64_round(a, lb_le64(*p));
        b = lb_xxh64_round(b, lb_le64(*p + 8));
        c = lb_xxh64_round(c, lb_le64(*p + 16));
        d = lb_xxh64_round(d, lb_le64(*p + 24));
    }
    uint64_t sum = lb_rotl64(a, 1) + lb_rotl64(b, 7) + lb_rotl64(c, 12) + lb_rotl64(d, 18);
    return lb_xxh64_merge(lb_xxh64_merge(lb_xxh64_merge(lb_xxh64_merge(sum, a), b), c), d);
}

/* The last n < 32 bytes, and the avalanche. */
static inline uint64_t lb_xxh64_finish(uint64_t sum, const char *p, size_t n) {
    for (; n >= 8; p += 8, n -= 8)
        sum = lb_rotl64(sum ^ lb_xxh64_round(0, lb_le64(p)), 27) * LB_XXH64_1 + LB_XXH64_4;
    if (n >= 4) {
        sum = lb_rotl64(sum ^ lb_le32(p) * LB_XXH64_1, 23) * LB_XXH64_2 + LB_XXH64_3;
        p += 4, n -= 4;
    }
    for (; n > 0; p++, n--) sum = lb_rotl64(sum ^ (unsigned char)*p * LB_XXH64_5, 11) * LB_XXH64_1;
    sum = (sum ^ sum >> 33) * LB_XXH64_2;
    sum = (sum ^ sum >> 29) * LB_XXH64_3;
    return sum ^ sum >> 32;
}

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint64_t lb_xxh64(const char *p, size_t n, uint64_t seed) {
    const char *at = p;
    uint64_t sum = n >= 32 ? lb_xxh64_stripes(&at, n, seed) : seed + LB_XXH64_5;
    return lb_xxh64_finish(sum + n, at, n & 31);
}

#endif

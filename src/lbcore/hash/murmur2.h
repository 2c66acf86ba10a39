/* murmur2: the 64-bit MurmurHash2 for 64-bit machines, MurmurHash64A.
 *
 * Source  A. Appleby, MurmurHash2 (public domain), variant 64A; the bytes after the last whole word count as one little
 *         endian word.
 * Used    by Envoy's ring_hash with hash_function MURMUR_HASH_2, with the seed 0xc70f6907.
 * Cost    a 20-byte text about 6 ns.
 * Keeps   the value is the same on every machine.  Never reads outside the given bytes.
 */
#ifndef LBCORE_HASH_MURMUR2_H
#define LBCORE_HASH_MURMUR2_H

#include "hash/bytes.h"

#define LB_MURMUR2_M 0xC6A4A7935BD1E995u

static inline uint64_t lb_murmur2_mix(uint64_t x) { return x ^ x >> 47; }

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint64_t lb_murmur2(const char *p, size_t n, uint64_t seed) {
    uint64_t h = seed ^ n * LB_MURMUR2_M;
    for (; n >= 8; p += 8, n -= 8)
        h = (h ^ lb_murmur2_mix(lb_le64(p) * LB_MURMUR2_M) * LB_MURMUR2_M) * LB_MURMUR2_M;
    if (n > 0) {
        uint64_t rest = 0;
        for (size_t i = n; i-- > 0;) rest = rest << 8 | (unsigned char)p[i];
        h = (h ^ rest) * LB_MURMUR2_M;
    }
    return lb_murmur2_mix(lb_murmur2_mix(h) * LB_MURMUR2_M);
}

#endif

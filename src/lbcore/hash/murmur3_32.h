/* murmur3_32: MurmurHash3 with 32 bits, known as MurmurHash3_x86_32.
 *
 * Source  A. Appleby, smhasher, MurmurHash3, 2011 (public domain).
 * Used    by libmemcached's murmur3 and by many clients of caches and message brokers.
 * Cost    4 bytes a round of three multiplications.
 * Keeps   words are little endian: the value is the same on every machine.  Never reads outside the given bytes.
 */
#ifndef LBCORE_HASH_MURMUR3_32_H
#define LBCORE_HASH_MURMUR3_32_H

#include "hash/bytes.h"

static inline uint32_t lb_murmur3_32_scramble(uint32_t word) { return lb_rotl32(word * 0xCC9E2D51u, 15) * 0x1B873593u; }

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint32_t lb_murmur3_32(const char *p, size_t n, uint32_t seed) {
    uint32_t h = seed, length = (uint32_t)n;
    for (; n >= 4; p += 4, n -= 4) h = lb_rotl32(h ^ lb_murmur3_32_scramble(lb_le32(p)), 13) * 5 + 0xE6546B64u;
    h ^= lb_murmur3_32_scramble((uint32_t)lb_le_few(p, n)) ^ length;
    h = (h ^ h >> 16) * 0x85EBCA6Bu;
    h = (h ^ h >> 13) * 0xC2B2AE35u;
    return h ^ h >> 16;
}

#endif

/* murmur3_128: MurmurHash3 with 128 bits for 64-bit machines, known as MurmurHash3_x64_128.
 *
 * Source  A. Appleby, smhasher, MurmurHash3, 2011 (public domain).
 * Cost    16 bytes a round of four multiplications.
 * Keeps   words are little endian: the value is the same on every machine.  Never reads outside the given bytes.
 */
#ifndef LBCORE_HASH_MURMUR3_128_H
#define LBCORE_HASH_MURMUR3_128_H

#include "hash/bytes.h"

#define LB_MURMUR3_1 0x87C37B91114253D5u
#define LB_MURMUR3_2 0x4CF5AD432745937Fu

static inline uint64_t lb_murmur3_low(uint64_t word) { return lb_rotl64(word * LB_MURMUR3_1, 31) * LB_MURMUR3_2; }
static inline uint64_t lb_murmur3_high(uint64_t word) { return lb_rotl64(word * LB_MURMUR3_2, 33) * LB_MURMUR3_1; }

static inline uint64_t lb_murmur3_mix(uint64_t h) {
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCDu;
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53u;
    return h ^ h >> 33;
}

/* The hash of `n` bytes, its low half into out[0] and its high half into out[1]; `p` may be NULL where n is 0. */
static inline void lb_murmur3_128(const char *p, size_t n, uint32_t seed, uint64_t out[2]) {
    uint64_t low = seed, high = seed, length = n;
    for (; n >= 16; p += 16, n -= 16) {
        low = (lb_rotl64(low ^ lb_murmur3_low(lb_le64(p)), 27) + high) * 5 + 0x52DCE729u;
        high = (lb_rotl64(high ^ lb_murmur3_high(lb_le64(p + 8)), 31) + low) * 5 + 0x38495AB5u;
    }
    if (n > 8) high ^= lb_murmur3_high(lb_le_few(p + 8, n - 8));
    if (n > 0) low ^= lb_murmur3_low(lb_le_few(p, n < 8 ? n : 8));
    low ^= length;
    high ^= length;
    low += high;
    high += low;
    low = lb_murmur3_mix(low);
    high = lb_murmur3_mix(high);
    out[0] = low + high;
    out[1] = high + out[0];
}

#endif

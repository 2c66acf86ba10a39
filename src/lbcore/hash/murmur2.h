/* murmur2: MurmurHash2 with 64 bits for 64-bit machines, known as MurmurHash64A.
 *
 * Source  A. Appleby, smhasher, MurmurHash2, 2008 (public domain).
 * Used    by Envoy's MURMUR_HASH_2, with the seed LB_MURMUR2_ENVOY.
 * Cost    8 bytes a round of three multiplications.
 * Keeps   words are little endian: the value is the same on every machine.  Never reads outside the given bytes.
 */
#ifndef LBCORE_HASH_MURMUR2_H
#define LBCORE_HASH_MURMUR2_H

#include "hash/bytes.h"

#define LB_MURMUR2_ENVOY 0xC70F6907u
#define LB_MURMUR2_M 0xC6A4A7935BD1E995u

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint64_t lb_murmur2(const char *p, size_t n, uint64_t seed) {
    uint64_t h = seed ^ n * LB_MURMUR2_M;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word = lb_le64(p) * LB_MURMUR2_M;
        h = (h ^ (word ^ word >> 47) * LB_MURMUR2_M) * LB_MURMUR2_M;
    }
    if (n > 0) h = (h ^ lb_le_few(p, n)) * LB_MURMUR2_M;
    h = (h ^ h >> 47) * LB_MURMUR2_M;
    return h ^ h >> 47;
}

#endif

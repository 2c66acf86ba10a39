/* crc32: the cyclic redundancy check of ISO 3309 and of zlib, reflected polynomial 0xEDB88320.
 *
 * Source  ISO/IEC 3309; the table by bytes of D. V. Sarwate, CACM 31(8), 1988.
 * Used    by nginx's hash and HAProxy's "crc32".
 * Cost    one table read a byte.
 */
#ifndef LBCORE_HASH_CRC32_H
#define LBCORE_HASH_CRC32_H

#include <stddef.h>
#include <stdint.h>

extern const uint32_t lb_crc32_table[256];

/* Go on from `state` (0xFFFFFFFF at the beginning); the value is the last state with all bits flipped. */
static inline uint32_t lb_crc32_more(uint32_t state, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) state = lb_crc32_table[(state ^ (unsigned char)p[i]) & 0xFF] ^ state >> 8;
    return state;
}

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint32_t lb_crc32(const char *p, size_t n) { return ~lb_crc32_more(UINT32_MAX, p, n); }

#endif

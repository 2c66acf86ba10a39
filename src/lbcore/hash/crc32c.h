/* crc32c: the cyclic redundancy check of G. Castagnoli, reflected polynomial 0x82F63B78.
 *
 * Source  RFC 3720, appendix B.4, with its examples; the table by bytes of D. V. Sarwate, CACM 31(8), 1988.
 * Used    by HAProxy's converter "crc32c".
 * Cost    one table read a byte.
 */
#ifndef LBCORE_HASH_CRC32C_H
#define LBCORE_HASH_CRC32C_H

#include <stddef.h>
#include <stdint.h>

extern const uint32_t lb_crc32c_table[256];

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint32_t lb_crc32c(const char *p, size_t n) {
    uint32_t state = UINT32_MAX;
    for (size_t i = 0; i < n; i++) state = lb_crc32c_table[(state ^ (unsigned char)p[i]) & 0xFF] ^ state >> 8;
    return ~state;
}

#endif

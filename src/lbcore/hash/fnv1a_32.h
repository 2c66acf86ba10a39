/* fnv1a_32: the 32-bit hash of Fowler, Noll and Vo, the byte taken in before the multiplication.
 *
 * Source  RFC 9923, section 2 (FNV-1a) and 5 (parameters).
 * Used    by libmemcached's fnv1a_32.
 * Cost    one multiplication a byte, each waiting for the one before.
 * Keeps   bytes are 0..255; the value is the same on every machine.
 */
#ifndef LBCORE_HASH_FNV1A_32_H
#define LBCORE_HASH_FNV1A_32_H

#include <stddef.h>
#include <stdint.h>

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint32_t lb_fnv1a_32(const char *p, size_t n) {
    uint32_t h = 0x811C9DC5u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 0x01000193u;
    return h;
}

#endif

/* fnv1a_64: the 64-bit hash of Fowler, Noll and Vo, the byte taken in before the multiplication.
 *
 * Source  RFC 9923, section 2 (FNV-1a) and 5 (parameters).
 * Cost    one multiplication a byte, each waiting for the one before.
 * Keeps   bytes are 0..255; the value is the same on every machine.
 */
#ifndef LBCORE_HASH_FNV1A_64_H
#define LBCORE_HASH_FNV1A_64_H

#include <stddef.h>
#include <stdint.h>

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint64_t lb_fnv1a_64(const char *p, size_t n) {
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 0x00000100000001B3u;
    return h;
}

#endif

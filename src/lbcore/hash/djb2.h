/* djb2: D. J. Bernstein's string hash, a polynomial in 33.
 *
 * Source  D. J. Bernstein, comp.lang.c, 1991; HAProxy's configuration manual, "hash-type".
 * Used    by HAProxy's "djb2".
 * Cost    one shift and addition a byte.
 * Keeps   bytes are 0..255; the value is the same on every machine.
 */
#ifndef LBCORE_HASH_DJB2_H
#define LBCORE_HASH_DJB2_H

#include <stddef.h>
#include <stdint.h>

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint32_t lb_djb2(const char *p, size_t n) {
    uint32_t h = 5381;
    for (size_t i = 0; i < n; i++) h = h * 33u + (unsigned char)p[i];
    return h;
}

#endif

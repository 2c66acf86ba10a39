/* sdbm: the hash of the sdbm database library, a polynomial in 65599.
 *
 * Source  O. Yigit, sdbm, 1990; HAProxy's configuration manual, "hash-type".
 * Used    by HAProxy's "sdbm", its default.
 * Cost    one multiplication a byte, each waiting for the one before.
 * Keeps   bytes are 0..255; the value is the same on every machine.
 */
#ifndef LBCORE_HASH_SDBM_H
#define LBCORE_HASH_SDBM_H

#include <stddef.h>
#include <stdint.h>

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint32_t lb_sdbm(const char *p, size_t n) {
    uint32_t h = 0;
    for (size_t i = 0; i < n; i++) h = h * 65599u + (unsigned char)p[i];       /* 2^16 + 2^6 - 1 */
    return h;
}

#endif

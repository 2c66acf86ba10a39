/* wt6: two 32-bit words that take in each byte, change places and turn by an amount that depends on them.
 *
 *   a, b = ~(a ^ byte), ~(b + byte)              take in
 *   a, b = b turned left by i, a turned left by k          change places
 *   i, k = two numbers of 5 bits of what came out          the turns of the next byte
 *
 * Source  W. Tarreau; HAProxy's configuration manual, "hash-type", and its recorded answers.
 * Used    by HAProxy's "wt6".
 * Cost    some ten operations a byte, each waiting for the ones before.
 * Keeps   bytes are 0..255; the value is the same on every machine.
 */
#ifndef LBCORE_HASH_WT6_H
#define LBCORE_HASH_WT6_H

#include <stddef.h>
#include <stdint.h>

/* A turn by 0 has no second shift: one by 32 is undefined. */
static inline uint32_t lb_wt6_turn(uint32_t x, uint32_t k) { return x << k | x >> (-k & 31); }

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint32_t lb_wt6(const char *p, size_t n) {
    uint32_t a = 0xA53C965Au, b = 0x5CA6953Au, i = 6, k = 18;
    for (size_t at = 0; at < n; at++) {
        uint32_t byte = (unsigned char)p[at];
        uint32_t a_in = ~(a ^ byte), b_in = ~(b + byte);
        a = lb_wt6_turn(b_in, i);
        b = lb_wt6_turn(a_in, k);
        i = (a >> 16 ^ b) & 31;
        k = (a >> 27 ^ b >> 11) & 31;
    }
    return a ^ b;
}

#endif

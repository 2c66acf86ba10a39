/* exact: integer arithmetic where one operator would lose something.
 *
 * Source  the portable product is schoolbook multiplication in two halves of 32 bits.
 * Cost    a few ns.
 * Keeps   both forms of lb_product_order() give the same answer for all arguments.
 */
#ifndef LBCORE_BASE_EXACT_H
#define LBCORE_BASE_EXACT_H

#include <stdint.h>

/* The largest integer <= a / b; b > 0. */
static inline int64_t lb_floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

static inline uint64_t lb_gcd(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static inline int lb_order(int64_t a, int64_t b) { return (a > b) - (a < b); }

/* a * b as high * 2^32 + low, high rounded down. */
static inline int64_t lb_product_high(int64_t a, uint32_t b, uint32_t *low) {
    int64_t a_high = lb_floor_div(a, (int64_t)1 << 32);
    uint64_t lower = (uint64_t)(uint32_t)(a - a_high * ((int64_t)1 << 32)) * b;
    *low = (uint32_t)lower;
    return a_high * b + (int64_t)(lower >> 32);
}

/* -1, 0 or 1 as a * b is below, equal to or above c * d; no overflow.  For compilers without 128-bit integers. */
static inline int lb_product_order_portable(int64_t a, uint32_t b, int64_t c, uint32_t d) {
    uint32_t left_low, right_low;
    int64_t left = lb_product_high(a, b, &left_low), right = lb_product_high(c, d, &right_low);
    return left != right ? lb_order(left, right) : lb_order(left_low, right_low);
}

/* The same.  Fractions a/d and c/b with positive denominators are compared by it, exactly and without a division. */
static inline int lb_product_order(int64_t a, uint32_t b, int64_t c, uint32_t d) {
#if defined(__SIZEOF_INT128__)
    __int128 left = (__int128)a * b, right = (__int128)c * d;
    return (left > right) - (left < right);
#else
    return lb_product_order_portable(a, b, c, d);
#endif
}

#endif

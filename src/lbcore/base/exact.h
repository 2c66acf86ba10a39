/* exact: integer arithmetic that C has no operator for. */
#ifndef LBCORE_BASE_EXACT_H
#define LBCORE_BASE_EXACT_H

#include <stdint.h>

/* The largest integer <= a / b; b > 0. */
static inline int64_t lb_floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

/* The greatest common divisor; of 0 and a number, the number. */
static inline uint64_t lb_gcd(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

#endif

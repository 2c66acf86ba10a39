/* rng: the injected randomness.
 *
 * Source  D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47(4), 2021
 *         (xoshiro256++), seeded by splitmix64; bounded draws by D. Lemire, ACM TOMACS 29(1), 2019.
 * Cost    about 1 ns a draw, 32 bytes.
 * Keeps   the same seed gives the same draws on every machine.
 */
#ifndef LBCORE_BASE_RNG_H
#define LBCORE_BASE_RNG_H

#include <stdint.h>

typedef struct lb_rng { uint64_t s[4]; } lb_rng;

/* One step of splitmix64: advances *x and returns a well mixed word. */
static inline uint64_t lb_splitmix(uint64_t *x) {
    uint64_t z = (*x += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline void lb_rng_seed(lb_rng *rng, uint64_t seed) {
    for (int i = 0; i < 4; i++) rng->s[i] = lb_splitmix(&seed);
}

static inline uint64_t lb_rng_rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static inline uint64_t lb_rng_next(lb_rng *rng) {
    uint64_t *s = rng->s, result = lb_rng_rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = lb_rng_rotl(s[3], 45);
    return result;
}

/* Uniform in 0..n-1; n > 0.  Rejection keeps it unbiased. */
static inline uint32_t lb_rng_below(lb_rng *rng, uint32_t n) {
    uint64_t m = (uint64_t)(uint32_t)(lb_rng_next(rng) >> 32) * n;
    if ((uint32_t)m < n) {
        uint32_t floor = (uint32_t)(-n) % n;
        while ((uint32_t)m < floor) m = (uint64_t)(uint32_t)(lb_rng_next(rng) >> 32) * n;
    }
    return (uint32_t)(m >> 32);
}

#endif

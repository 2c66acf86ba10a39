/* mt19937: the 32-bit Mersenne Twister, for peers whose picks depend on its numbers.
 *
 * Source  M. Matsumoto, T. Nishimura, ACM TOMACS 8(1), 1998, seeded by one word as in the authors' version of 2002
 *         (the standard engine of that name in C++).
 * Cost    seeding 624 dependent multiplications, about 1.5 us; a number about 2 ns; 2.5 KiB.
 *         Words are renewed one by one as they are drawn: who needs few numbers pays for few.
 * Keeps   the same seed gives the same numbers on every machine.
 */
#ifndef LBCORE_HASH_MT19937_H
#define LBCORE_HASH_MT19937_H

#include <stdint.h>

#define LB_MT_WORDS 624u
#define LB_MT_SHIFT 397u

typedef struct lb_mt19937 {
    uint32_t word[LB_MT_WORDS];
    uint32_t at;                    /* the word renewed and given next */
} lb_mt19937;

static inline void lb_mt19937_seed(lb_mt19937 *mt, uint32_t seed) {
    mt->at = 0;
    mt->word[0] = seed;
    for (uint32_t i = 1; i < LB_MT_WORDS; i++)
        mt->word[i] = 1812433253u * (mt->word[i - 1] ^ mt->word[i - 1] >> 30) + i;
}

static inline uint32_t lb_mt19937_next(lb_mt19937 *mt) {
    uint32_t i = mt->at, follower = i + 1 == LB_MT_WORDS ? 0 : i + 1;
    uint32_t partner = i + LB_MT_SHIFT < LB_MT_WORDS ? i + LB_MT_SHIFT : i + LB_MT_SHIFT - LB_MT_WORDS;
    uint32_t y = (mt->word[i] & 0x80000000u) | (mt->word[follower] & 0x7FFFFFFFu);
    mt->word[i] = y = mt->word[partner] ^ y >> 1 ^ (y & 1 ? 0x9908B0DFu : 0u);
    mt->at = follower;
    y ^= y >> 11;
    y ^= y << 7 & 0x9D2C5680u;
    y ^= y << 15 & 0xEFC60000u;
    return y ^ y >> 18;
}

#endif

/* fold: the seeded hash of the core's own tables.
 *
 * Source  folded 64x64 multiplication: W. Dietzfelbinger et al., J. Algorithms 25(1), 1997, section 2 (multiply, keep
 *         the well mixed part), here with both halves of the product combined by exclusive or.
 * Seed    enters both factors of every multiplication: who does not know it can neither force a factor to 0 nor
 *         build keys that collide.
 * Cost    one multiplication per 16 bytes and one to finish; reads are 8 bytes wide and overlap at the end, so there
 *         is no loop over single bytes.
 * Keeps   the value depends on the machine's byte order: for tables in memory only, never for what machines must
 *         agree on.  Never reads outside the given bytes.
 */
#ifndef LBCORE_HASH_FOLD_H
#define LBCORE_HASH_FOLD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* High half ^ low half of the 128-bit product, by 32-bit parts. */
static inline uint64_t lb_fold_portable(uint64_t a, uint64_t b) {
    uint64_t a_low = (uint32_t)a, a_high = a >> 32, b_low = (uint32_t)b, b_high = b >> 32;
    uint64_t low = a_low * b_low;
    uint64_t cross = a_high * b_low + (low >> 32);
    uint64_t middle = a_low * b_high + (uint32_t)cross;
    uint64_t high = a_high * b_high + (cross >> 32) + (middle >> 32);
    return high ^ (middle << 32 | (uint32_t)low);
}

#if defined(__SIZEOF_INT128__)
static inline uint64_t lb_fold(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}
#else
static inline uint64_t lb_fold(uint64_t a, uint64_t b) { return lb_fold_portable(a, b); }
#endif

static inline uint64_t lb_read8(const char *p) { uint64_t x; memcpy(&x, p, sizeof x); return x; }
static inline uint64_t lb_read4(const char *p) { uint32_t x; memcpy(&x, p, sizeof x); return x; }

/* 1 to 3 bytes: the first, the middle and the last one hold them all. */
static inline uint64_t lb_read_few(const char *p, size_t n) {
    return (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[n / 2] << 8 | (unsigned char)p[n - 1];
}

/* The hash of `n` bytes; `p` may be NULL where n is 0. */
static inline uint64_t lb_hash_fold(const char *p, size_t n, uint64_t seed) {
    const uint64_t odd = 0x9E3779B97F4A7C15u;           /* 2^64 / golden ratio: bits without pattern */
    uint64_t secret = seed ^ odd, h = seed + n * odd, a = 0, b = 0;
    for (; n > 16; p += 16, n -= 16) h = lb_fold(lb_read8(p) ^ secret, lb_read8(p + 8) ^ h);
    if (n >= 8) {
        a = lb_read8(p);
        b = lb_read8(p + n - 8);
    } else if (n >= 4) {
        a = lb_read4(p);
        b = lb_read4(p + n - 4);
    } else if (n > 0) {
        a = lb_read_few(p, n);
    }
    return lb_fold(a ^ secret, b ^ h);
}

/* The hash of two words.  Twice, because counters are the usual words: in one multiplication a run of them gives a run
 * of equal steps, and those meet in a table. */
static inline uint64_t lb_hash_words(uint64_t a, uint64_t b, uint64_t seed) {
    const uint64_t odd = 0xD1B54A32D192ED03u;           /* a second word without pattern */
    return lb_fold(lb_fold(a ^ seed, b ^ seed ^ odd), seed ^ ~odd);
}

#endif

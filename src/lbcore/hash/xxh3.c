/* xxh3: see xxh3.h; and the entry in the register.
 *
 *   length     0    1..3   4..8   9..16  |  17..128  129..240  |  above 240
 *   reads      -    bytes  2 x 4  2 x 8  |  16 bytes from both ends inwards, then from front to end  |  stripes of 64
 *
 * Each reading is combined with words of the secret; the seed is added to these with changing sign.  Long inputs keep
 * eight sums, which every 16 stripes (a block) are scrambled.
 */
#include "hash/xxh3.h"

#include "hash/fold.h"
#include "hash/hash.h"
#include "hash/xxh32.h"
#include "hash/xxh64.h"

#define SECRET_BYTES 192
#define STRIPE 64u
#define STRIPES 16u                 /* in a block: each moves the secret on by 8, up to its last 64 bytes */

static const unsigned char secret[SECRET_BYTES] = {
    0xB8, 0xFE, 0x6C, 0x39, 0x23, 0xA4, 0x4B, 0xBE, 0x7C, 0x01, 0x81, 0x2C, 0xF7, 0x21, 0xAD, 0x1C,
    0xDE, 0xD4, 0x6D, 0xE9, 0x83, 0x90, 0x97, 0xDB, 0x72, 0x40, 0xA4, 0xA4, 0xB7, 0xB3, 0x67, 0x1F,
    0xCB, 0x79, 0xE6, 0x4E, 0xCC, 0xC0, 0xE5, 0x78, 0x82, 0x5A, 0xD0, 0x7D, 0xCC, 0xFF, 0x72, 0x21,
    0xB8, 0x08, 0x46, 0x74, 0xF7, 0x43, 0x24, 0x8E, 0xE0, 0x35, 0x90, 0xE6, 0x81, 0x3A, 0x26, 0x4C,
    0x3C, 0x28, 0x52, 0xBB, 0x91, 0xC3, 0x00, 0xCB, 0x88, 0xD0, 0x65, 0x8B, 0x1B, 0x53, 0x2E, 0xA3,
    0x71, 0x64, 0x48, 0x97, 0xA2, 0x0D, 0xF9, 0x4E, 0x38, 0x19, 0xEF, 0x46, 0xA9, 0xDE, 0xAC, 0xD8,
    0xA8, 0xFA, 0x76, 0x3F, 0xE3, 0x9C, 0x34, 0x3F, 0xF9, 0xDC, 0xBB, 0xC7, 0xC7, 0x0B, 0x4F, 0x1D,
    0x8A, 0x51, 0xE0, 0x4B, 0xCD, 0xB4, 0x59, 0x31, 0xC8, 0x9F, 0x7E, 0xC9, 0xD9, 0x78, 0x73, 0x64,
    0xEA, 0xC5, 0xAC, 0x83, 0x34, 0xD3, 0xEB, 0xC3, 0xC5, 0x81, 0xA0, 0xFF, 0xFA, 0x13, 0x63, 0xEB,
    0x17, 0x0D, 0xDD, 0x51, 0xB7, 0xF0, 0xDA, 0x49, 0xD3, 0x16, 0x55, 0x26, 0x29, 0xD4, 0x68, 0x9E,
    0x2B, 0x16, 0xBE, 0x58, 0x7D, 0x47, 0xA1, 0xFC, 0x8F, 0xF8, 0xB8, 0xD1, 0x7A, 0xD0, 0x31, 0xCE,
    0x45, 0xCB, 0x3A, 0x8F, 0x95, 0x16, 0x04, 0x28, 0xAF, 0xD7, 0xFB, 0xCA, 0xBB, 0x4B, 0x40, 0x7E,
};

static uint64_t word(size_t at) { return lb_le64((const char *)secret + at); }

static uint64_t avalanche_64(uint64_t h) {          /* as XXH64 ends */
    h = (h ^ h >> 33) * LB_XXH64_2;
    h = (h ^ h >> 29) * LB_XXH64_3;
    return h ^ h >> 32;
}

static uint64_t avalanche(uint64_t h) {
    h = (h ^ h >> 37) * 0x165667919E3779F9u;
    return h ^ h >> 32;
}

static uint32_t turned_round_32(uint32_t x) {
    return x << 24 | (x & 0xFF00) << 8 | (x >> 8 & 0xFF00) | x >> 24;
}

static uint64_t turned_round_64(uint64_t x) {
    return (uint64_t)turned_round_32((uint32_t)x) << 32 | turned_round_32((uint32_t)(x >> 32));
}

static uint64_t up_to_3(const char *p, size_t n, uint64_t seed) {
    uint64_t first = (unsigned char)p[0], middle = (unsigned char)p[n / 2], last = (unsigned char)p[n - 1];
    uint64_t all = first << 16 | middle << 24 | last | n << 8;
    return avalanche_64(all ^ ((lb_le32((const char *)secret) ^ lb_le32((const char *)secret + 4)) + seed));
}

static uint64_t up_to_8(const char *p, size_t n, uint64_t seed) {
    const uint64_t prime = 0x9FB21C651E98DF25u;
    seed ^= (uint64_t)turned_round_32((uint32_t)seed) << 32;
    uint64_t h = (lb_le32(p + n - 4) | (uint64_t)lb_le32(p) << 32) ^ ((word(8) ^ word(16)) - seed);
    h = (h ^ lb_rotl64(h, 49) ^ lb_rotl64(h, 24)) * prime;
    h = (h ^ ((h >> 35) + n)) * prime;
    return h ^ h >> 28;
}

static uint64_t up_to_16(const char *p, size_t n, uint64_t seed) {
    uint64_t low = lb_le64(p) ^ ((word(24) ^ word(32)) + seed);
    uint64_t high = lb_le64(p + n - 8) ^ ((word(40) ^ word(48)) - seed);
    return avalanche(n + turned_round_64(low) + high + lb_fold(low, high));
}

static uint64_t mix_16(const char *p, size_t at, uint64_t seed) {
    return lb_fold(lb_le64(p) ^ (word(at) + seed), lb_le64(p + 8) ^ (word(at + 8) - seed));
}

/* 16 bytes from the front and 16 from the end for each 32 or part of them. */
static uint64_t up_to_128(const char *p, size_t n, uint64_t seed) {
    uint64_t sum = n * LB_XXH64_1;
    for (size_t i = 0; i <= (n - 1) / 32; i++)
        sum += mix_16(p + 16 * i, 32 * i, seed) + mix_16(p + n - 16 * (i + 1), 32 * i + 16, seed);
    return avalanche(sum);
}

static uint64_t up_to_240(const char *p, size_t n, uint64_t seed) {
    uint64_t sum = n * LB_XXH64_1, rest = 0;
    for (size_t i = 0; i < 8; i++) sum += mix_16(p + 16 * i, 16 * i, seed);
    for (size_t i = 8; i < n / 16; i++) rest += mix_16(p + 16 * i, 16 * (i - 8) + 3, seed);
    rest += mix_16(p + n - 16, 136 - 17, seed);
    return avalanche(avalanche(sum) + rest);
}

/* One stripe into the eight sums: the word itself into its neighbour, the product of its keyed halves into its own. */
static void take(uint64_t sum[8], const char *stripe, const char *key) {
    for (int i = 0; i < 8; i++) {
        uint64_t x = lb_le64(stripe + 8 * i), keyed = x ^ lb_le64(key + 8 * i);
        sum[i ^ 1] += x;
        sum[i] += (keyed & UINT32_MAX) * (keyed >> 32);
    }
}

static void scramble(uint64_t sum[8], const char *key) {
    for (int i = 0; i < 8; i++) sum[i] = (sum[i] ^ sum[i] >> 47 ^ lb_le64(key + 8 * i)) * LB_XXH32_1;
}

/* All of the stripes but one, and then the last 64 bytes, which may overlap them. */
static void take_all(uint64_t sum[8], const char *p, size_t n, const char *key) {
    size_t n_stripes = (n - 1) / STRIPE;
    for (size_t i = 0; i < n_stripes; i++) {
        take(sum, p + STRIPE * i, key + 8 * (i % STRIPES));
        if (i % STRIPES == STRIPES - 1) scramble(sum, key + SECRET_BYTES - STRIPE);
    }
    take(sum, p + n - STRIPE, key + SECRET_BYTES - STRIPE - 7);
}

static uint64_t longer(const char *p, size_t n, uint64_t seed) {
    char key[SECRET_BYTES];
    for (size_t at = 0; at < SECRET_BYTES; at += 16) {
        lb_put_le64(key + at, word(at) + seed);
        lb_put_le64(key + at + 8, word(at + 8) - seed);
    }
    uint64_t sum[8] = {LB_XXH32_3, LB_XXH64_1, LB_XXH64_2, LB_XXH64_3, LB_XXH64_4, LB_XXH32_2, LB_XXH64_5, LB_XXH32_1};
    take_all(sum, p, n, key);
    uint64_t h = n * LB_XXH64_1;
    for (int i = 0; i < 4; i++)
        h += lb_fold(sum[2 * i] ^ lb_le64(key + 11 + 16 * i), sum[2 * i + 1] ^ lb_le64(key + 19 + 16 * i));
    return avalanche(h);
}

uint64_t lb_xxh3(const char *p, size_t n, uint64_t seed) {
    if (n == 0) return avalanche_64(seed ^ word(56) ^ word(64));
    if (n <= 3) return up_to_3(p, n, seed);
    if (n <= 8) return up_to_8(p, n, seed);
    if (n <= 16) return up_to_16(p, n, seed);
    if (n <= 128) return up_to_128(p, n, seed);
    if (n <= 240) return up_to_240(p, n, seed);
    return longer(p, n, seed);
}

static uint64_t of(lb_str text, uint64_t seed) { return lb_xxh3(text.data, text.len, seed); }

const lb_hash lb_hash_xxh3 = {
    .name = "xxh3", .summary = "The 64-bit XXH3.", .bits = 64, .of = of, .seed_bits = 64,
};

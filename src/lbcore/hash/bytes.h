/* bytes: words from bytes in an order that all machines agree on, and rotations. */
#ifndef LBCORE_HASH_BYTES_H
#define LBCORE_HASH_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t lb_rotl64(uint64_t x, int k) { return x << k | x >> (64 - k); }
static inline uint32_t lb_rotl32(uint32_t x, int k) { return x << k | x >> (32 - k); }

/* Little endian, from any address.  (A compiler makes one load of it where the machine has that order.) */
static inline uint32_t lb_le32(const char *p) {
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t lb_le64(const char *p) { return lb_le32(p) | (uint64_t)lb_le32(p + 4) << 32; }

/* The number in `n` bytes, 0 to 8 of them. */
static inline uint64_t lb_le_few(const char *p, size_t n) {
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++) word |= (uint64_t)(unsigned char)p[i] << 8 * i;
    return word;
}

static inline void lb_put_le64(char *p, uint64_t x) {
    for (int i = 0; i < 8; i++) p[i] = (char)(unsigned char)(x >> 8 * i);
}

static inline void lb_put_le32(char *p, uint32_t x) {
    for (int i = 0; i < 4; i++) p[i] = (char)(unsigned char)(x >> 8 * i);
}

#endif

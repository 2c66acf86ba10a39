/* md5: the message digest of RFC 1321, as a hash function; it protects nothing.
 *
 * Source  R. Rivest, RFC 1321.
 * Used    by libketama and libmemcached's weighted ketama.
 * Cost    64 steps a block of 64 bytes.
 * Keeps   the value is the same on every machine.  Never reads outside the given bytes.
 */
#ifndef LBCORE_HASH_MD5_H
#define LBCORE_HASH_MD5_H

#include "hash/bytes.h"

static const uint32_t lb_md5_sines[64] = {
    0xD76AA478u, 0xE8C7B756u, 0x242070DBu, 0xC1BDCEEEu, 0xF57C0FAFu, 0x4787C62Au, 0xA8304613u, 0xFD469501u,
    0x698098D8u, 0x8B44F7AFu, 0xFFFF5BB1u, 0x895CD7BEu, 0x6B901122u, 0xFD987193u, 0xA679438Eu, 0x49B40821u,
    0xF61E2562u, 0xC040B340u, 0x265E5A51u, 0xE9B6C7AAu, 0xD62F105Du, 0x02441453u, 0xD8A1E681u, 0xE7D3FBC8u,
    0x21E1CDE6u, 0xC33707D6u, 0xF4D50D87u, 0x455A14EDu, 0xA9E3E905u, 0xFCEFA3F8u, 0x676F02D9u, 0x8D2A4C8Au,
    0xFFFA3942u, 0x8771F681u, 0x6D9D6122u, 0xFDE5380Cu, 0xA4BEEA44u, 0x4BDECFA9u, 0xF6BB4B60u, 0xBEBFBC70u,
    0x289B7EC6u, 0xEAA127FAu, 0xD4EF3085u, 0x04881D05u, 0xD9D4D039u, 0xE6DB99E5u, 0x1FA27CF8u, 0xC4AC5665u,
    0xF4292244u, 0x432AFF97u, 0xAB9423A7u, 0xFC93A039u, 0x655B59C3u, 0x8F0CCC92u, 0xFFEFF47Du, 0x85845DD1u,
    0x6FA87E4Fu, 0xFE2CE6E0u, 0xA3014314u, 0x4E0811A1u, 0xF7537E82u, 0xBD3AF235u, 0x2AD7D2BBu, 0xEB86D391u,
};

static inline void lb_md5_block(uint32_t state[4], const char *p) {
    static const int turn[16] = {7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21};
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    for (int i = 0; i < 64; i++) {
        int round = i / 16, word = (int[]){i, 5 * i + 1, 3 * i + 5, 7 * i}[round] & 15;
        uint32_t f = round == 0 ? (b & c) | (~b & d) : round == 1 ? (d & b) | (~d & c) : round == 2 ? b ^ c ^ d
                                                                                      : c ^ (b | ~d);
        f += a + lb_md5_sines[i] + lb_le32(p + 4 * word);
        a = d, d = c, c = b;
        b += lb_rotl32(f, turn[4 * round + i % 4]);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

/* The digest of `n` bytes; `p` may be NULL where n is 0. */
static inline void lb_md5(const char *p, size_t n, unsigned char out[16]) {
    uint32_t state[4] = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u};
    size_t rest = n & 63;
    for (size_t at = 0; at + 64 <= n; at += 64) lb_md5_block(state, p + at);
    char tail[128] = {0};
    if (rest) memcpy(tail, p + n - rest, rest);
    tail[rest] = (char)0x80;
    size_t size = rest < 56 ? 64 : 128;
    lb_put_le32(tail + size - 8, (uint32_t)(n << 3));
    lb_put_le32(tail + size - 4, (uint32_t)((uint64_t)n >> 29));
    for (size_t at = 0; at < size; at += 64) lb_md5_block(state, tail + at);
    for (int i = 0; i < 4; i++) lb_put_le32((char *)out + 4 * i, state[i]);
}

#endif

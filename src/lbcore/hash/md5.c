/* md5: see md5.h; and the entry in the register, the first four bytes of the digest as ketama reads them.
 *
 * RFC 1321, 3.4: 64 steps in four rounds of 16.  A step adds a function of three of the words, a word of the block and
 * a number to the fourth word, turns it, and adds its neighbour; then the words change their parts, which the macros
 * say by the order of their arguments.
 */
#include "hash/md5.h"

#include "hash/bytes.h"
#include "hash/hash.h"

/* "F(X,Y,Z) = XY v not(X) Z", "G(X,Y,Z) = XZ v Y not(Z)", "H(X,Y,Z) = X xor Y xor Z",
 * "I(X,Y,Z) = Y xor (X v not(Z))"; F and G choose without a second "and". */
#define F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define G(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
#define H(x, y, z) ((x) ^ (y) ^ (z))
#define I(x, y, z) ((y) ^ ((x) | ~(z)))

#define STEP(f, a, b, c, d, word, turn, sine) a = b + lb_rotl32(a + f(b, c, d) + (word) + (sine), turn)

/* Four steps, after which each word has its first part again.  `k` + j * `by` (modulo 16) is the word of step j. */
#define FOUR(f, k, by, t0, t1, t2, t3, s0, s1, s2, s3)          \
    STEP(f, a, b, c, d, x[(k) & 15], t0, s0);                   \
    STEP(f, d, a, b, c, x[((k) + (by)) & 15], t1, s1);          \
    STEP(f, c, d, a, b, x[((k) + 2 * (by)) & 15], t2, s2);      \
    STEP(f, b, c, d, a, x[((k) + 3 * (by)) & 15], t3, s3)

/* One block of 64 bytes into the four words.  The number of step i, from 0, is floor(2^32 * |sin(i + 1)|). */
static void take(uint32_t state[4], const char *block) {
    uint32_t x[16], a = state[0], b = state[1], c = state[2], d = state[3];
    for (int i = 0; i < 16; i++) x[i] = lb_le32(block + 4 * i);
    FOUR(F, 0, 1, 7, 12, 17, 22, 0xD76AA478, 0xE8C7B756, 0x242070DB, 0xC1BDCEEE);
    FOUR(F, 4, 1, 7, 12, 17, 22, 0xF57C0FAF, 0x4787C62A, 0xA8304613, 0xFD469501);
    FOUR(F, 8, 1, 7, 12, 17, 22, 0x698098D8, 0x8B44F7AF, 0xFFFF5BB1, 0x895CD7BE);
    FOUR(F, 12, 1, 7, 12, 17, 22, 0x6B901122, 0xFD987193, 0xA679438E, 0x49B40821);
    FOUR(G, 1, 5, 5, 9, 14, 20, 0xF61E2562, 0xC040B340, 0x265E5A51, 0xE9B6C7AA);
    FOUR(G, 5, 5, 5, 9, 14, 20, 0xD62F105D, 0x02441453, 0xD8A1E681, 0xE7D3FBC8);
    FOUR(G, 9, 5, 5, 9, 14, 20, 0x21E1CDE6, 0xC33707D6, 0xF4D50D87, 0x455A14ED);
    FOUR(G, 13, 5, 5, 9, 14, 20, 0xA9E3E905, 0xFCEFA3F8, 0x676F02D9, 0x8D2A4C8A);
    FOUR(H, 5, 3, 4, 11, 16, 23, 0xFFFA3942, 0x8771F681, 0x6D9D6122, 0xFDE5380C);
    FOUR(H, 1, 3, 4, 11, 16, 23, 0xA4BEEA44, 0x4BDECFA9, 0xF6BB4B60, 0xBEBFBC70);
    FOUR(H, 13, 3, 4, 11, 16, 23, 0x289B7EC6, 0xEAA127FA, 0xD4EF3085, 0x04881D05);
    FOUR(H, 9, 3, 4, 11, 16, 23, 0xD9D4D039, 0xE6DB99E5, 0x1FA27CF8, 0xC4AC5665);
    FOUR(I, 0, 7, 6, 10, 15, 21, 0xF4292244, 0x432AFF97, 0xAB9423A7, 0xFC93A039);
    FOUR(I, 12, 7, 6, 10, 15, 21, 0x655B59C3, 0x8F0CCC92, 0xFFEFF47D, 0x85845DD1);
    FOUR(I, 8, 7, 6, 10, 15, 21, 0x6FA87E4F, 0xFE2CE6E0, 0xA3014314, 0x4E0811A1);
    FOUR(I, 4, 7, 6, 10, 15, 21, 0xF7537E82, 0xBD3AF235, 0x2AD7D2BB, 0xEB86D391);
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

/* The rest of the text, "a single 1 bit", zeros, and the length in bits as 64 bits: one block or two. */
static void finish(uint32_t state[4], const char *rest, size_t n_rest, uint64_t n) {
    char block[128] = {0};
    size_t size = n_rest < 56 ? 64 : 128;
    if (n_rest) memcpy(block, rest, n_rest);
    block[n_rest] = (char)(unsigned char)0x80;
    lb_put_le64(block + size - 8, n << 3);
    take(state, block);
    if (size == 128) take(state, block + 64);
}

void lb_md5(const char *p, size_t n, unsigned char out[16]) {
    uint32_t state[4] = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u};
    size_t rest = n;
    for (; rest >= 64; p += 64, rest -= 64) take(state, p);
    finish(state, p, rest, n);
    for (int i = 0; i < 4; i++) lb_put_le32((char *)out + 4 * i, state[i]);
}

static uint64_t of(lb_str text, uint64_t seed) {
    (void)seed;
    unsigned char digest[16];
    lb_md5(text.data, text.len, digest);
    return lb_le32((const char *)digest);
}

const lb_hash lb_hash_md5 = {
    .name = "md5", .summary = "The first four bytes of the MD5 digest, little endian.", .bits = 32, .of = of,
};

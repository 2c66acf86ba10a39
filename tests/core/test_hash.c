/* Tests of the room hash: the functions against published answers, and the seeded hash of the core's own tables. */
#include "check.h"

#include "hash/crc32c.h"
#include "hash/fold.h"
#include "hash/full_hash.h"
#include "hash/md5.h"
#include "hash/murmur2.h"
#include "hash/murmur3_128.h"
#include "hash/murmur3_32.h"
#include "hash/xxh3.h"
#include "hash/xxh32.h"
#include "hash/xxh64.h"

#include <stdlib.h>

static void the_portable_multiplication_is_the_same(void) {
    lb_rng rng;
    lb_rng_seed(&rng, 1);
    const uint64_t edges[] = {0, 1, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX, UINT64_MAX - 1, 1ull << 63};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        for (size_t k = 0; k < sizeof edges / sizeof *edges; k++)
            CHECK(lb_fold(edges[i], edges[k]) == lb_fold_portable(edges[i], edges[k]));
    for (int i = 0; i < 100000; i++) {
        uint64_t a = lb_rng_next(&rng), b = lb_rng_next(&rng);
        CHECK(lb_fold(a, b) == lb_fold_portable(a, b));
    }
    /* (2^64 - 1)^2 = 2^128 - 2^65 + 1: halves 2^64 - 2 and 1 */
    CHECK(lb_fold_portable(UINT64_MAX, UINT64_MAX) == ((UINT64_MAX - 1) ^ 1));
}

/* Each byte, the length and the seed enter; nothing outside the bytes is read (AddressSanitizer watches the block). */
static void every_byte_counts(void) {
    for (size_t n = 0; n <= 70; n++) {
        char *text = malloc(n ? n : 1);
        for (size_t i = 0; i < n; i++) text[i] = 'a';
        uint64_t hash = lb_hash_fold(text, n, 7);
        CHECK(hash == lb_hash_fold(text, n, 7));
        CHECK(hash != lb_hash_fold(text, n, 8));
        if (n > 0) CHECK(hash != lb_hash_fold(text, n - 1, 7));
        for (size_t i = 0; i < n; i++) {
            text[i] = 'b';
            CHECK(hash != lb_hash_fold(text, n, 7));
            text[i] = 'a';
        }
        free(text);
    }
}

/* 65,536 similar keys in 4,096 places: 16 each; chi-square with 4,095 degrees of freedom: 4,700 is above 6 sigma. */
static void similar_keys_spread(void) {
    for (uint64_t seed = 0; seed < 4; seed++) {
        static uint32_t high[4096], with[4096];
        double chi_high = 0, chi_with = 0;
        memset(high, 0, sizeof high);
        memset(with, 0, sizeof with);
        for (uint32_t i = 0; i < 65536; i++) {
            char text[16];
            int n = snprintf(text, sizeof text, "svc%u", i);
            high[lb_hash_fold(text, (size_t)n, seed) >> 52]++;
            with[lb_hash_words(i, 1, seed) >> 52]++;
        }
        for (int i = 0; i < 4096; i++) {
            chi_high += ((double)high[i] - 16) * ((double)high[i] - 16) / 16;
            chi_with += ((double)with[i] - 16) * ((double)with[i] - 16) / 16;
        }
        if (chi_high > 4700 || chi_with > 4700)
            fprintf(stderr, "seed %d: chi-square %.0f, %.0f\n", (int)seed, chi_high, chi_with);
        CHECK(chi_high < 4700 && chi_with < 4700);
    }
}

/* A table as route/table.h has it, 5/8 full of counters beside a few words: a key stands 0.83 slots behind its place on
 * average (Knuth, TAOCP 3, 6.4: (1 + 1/(1 - 5/8))/2 = 1.83 probes).  Runs of equal steps would make that hundreds. */
static void counters_do_not_cluster(void) {
    enum { KEYS = 60000, SLOTS = KEYS * 8 / 5 };
    static bool used[SLOTS];
    for (uint64_t seed = 0; seed < 8; seed++) {
        uint64_t distance = 0;
        memset(used, 0, sizeof used);
        for (uint32_t i = 0; i < KEYS; i++) {
            uint64_t hash = lb_hash_words(0x0300000000627573u + i % 3, i / 3, seed);
            uint32_t at = (uint32_t)((hash >> 40) * SLOTS >> 24);
            for (; used[at]; distance++)
                if (++at == SLOTS) at = 0;
            used[at] = true;
        }
        if (distance > KEYS) fprintf(stderr, "seed %d: %.2f\n", (int)seed, (double)distance / KEYS);
        CHECK(distance < KEYS);
    }
}

/* Keys that nullify one factor for a known constant do not for a secret seed: they stay apart. */
static void no_block_wipes_out_what_came_before(void) {
    const uint64_t constants[] = {0, UINT64_MAX, 0x9E3779B97F4A7C15u, 0xD1B54A32D192ED03u};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        char a[40] = {1}, b[40] = {2};
        for (size_t at = 16; at < 40; at += 8) {
            memcpy(a + at, &constants[i], 8);
            memcpy(b + at, &constants[i], 8);
        }
        CHECK(lb_hash_fold(a, sizeof a, 0x123456789ABCDEFu) != lb_hash_fold(b, sizeof b, 0x123456789ABCDEFu));
    }
}

/* ---- the hash functions ----------------------------------------------------------------------------------------- */

static uint64_t of(const char *name, const char *text, size_t n, uint64_t seed) {
    const lb_hash *hash = lb_hash_find(lb_str_of(name));
    CHECK(hash != NULL);
    return hash ? hash->of((lb_str){text, n}, seed) : 0;
}

/* Answers published with the functions, in their standards or by their authors; HAProxy's three as it gave them. */
static void published_answers(void) {
    static const char fox[] = "The quick brown fox jumps over the lazy dog";
    static const struct { const char *name, *text; uint64_t seed, want; } rows[] = {
        {"crc32", "123456789", 0, 0xCBF43926u},
        {"crc32c", "123456789", 0, 0xE3069283u},
        {"djb2", "", 0, 5381},
        {"djb2", "216.193.252.115", 0, 0xFC065895u},
        {"fnv1a_32", "", 0, 0x811C9DC5u},
        {"fnv1a_32", "a", 0, 0xE40C292Cu},
        {"fnv1a_32", "foobar", 0, 0xBF9CF968u},
        {"fnv1a_64", "", 0, 0xCBF29CE484222325u},
        {"fnv1a_64", "a", 0, 0xAF63DC4C8601EC8Cu},
        {"fnv1a_64", "foobar", 0, 0x85944171F73967E8u},
        {"murmur3_32", "", 0, 0},
        {"murmur3_32", "", 1, 0x514E28B7u},
        {"murmur3_32", "", UINT32_MAX, 0x81F16F39u},
        {"murmur3_32", "\xFF\xFF\xFF\xFF", 0, 0x76293B50u},
        {"murmur3_32", "!Ce\x87", 0, 0xF55B516Bu},
        {"murmur3_32", "!Ce\x87", 0x5082EDEEu, 0x2362F9DEu},
        {"murmur3_32", "Hello, world!", 1234, 0xFAF6CDB3u},
        {"murmur3_32", fox, 0x9747B28Cu, 0x2FA826CDu},
        {"one_at_a_time", "", 0, 0},
        {"one_at_a_time", "a", 0, 0xCA2E9442u},
        {"one_at_a_time", fox, 0, 0x519E91F5u},
        {"sdbm", "", 0, 0},
        {"sdbm", "216.193.252.115", 0, 0xD05918BCu},
        {"wt6", "216.193.252.115", 0, 0x33CFA673u},
        {"wt6", "key-29", 0, 0x852DBEB1u},
        {"xxh3", "", 0, 0x2D06800538D394C2u},
        {"xxh32", "", 0, 0x02CC5D05u},
        {"xxh64", "", 0, 0xEF46DB3751D8E999u},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK(of(rows[i].name, rows[i].text, strlen(rows[i].text), rows[i].seed) == rows[i].want);
}

/* RFC 3720, B.4: 32 bytes of zeros, of ones, rising and falling. */
static void crc32c_of_the_standard(void) {
    char zeros[32] = {0}, ones[32], rising[32], falling[32];
    memset(ones, 0xFF, sizeof ones);
    for (char i = 0; i < 32; i++) {
        rising[(int)i] = i;
        falling[31 - i] = i;
    }
    CHECK_EQ(lb_crc32c(zeros, 32), 0x8A9136AAu);
    CHECK_EQ(lb_crc32c(ones, 32), 0x62A8AB43u);
    CHECK_EQ(lb_crc32c(rising, 32), 0x46DD794Eu);
    CHECK_EQ(lb_crc32c(falling, 32), 0x113FDB5Cu);
}

/* RFC 1321, A.5, and texts of one block, of two and of three where the length just fits and where it does not. */
static void md5_of_the_standard(void) {
    static const char tens[] = "12345678901234567890123456789012345678901234567890123456789012345678901234567890"
                               "1234567890123456789012345678901234567890123456789012345678901234567890";
    static const struct { const char *text; size_t n; const char *want; } rows[] = {
        {"", 0, "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", 1, "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", 3, "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", 14, "f96b697d7cb7938d525a2f31aaf161d0"},
        {"abcdefghijklmnopqrstuvwxyz", 26, "c3fcd3d76192e4007dfb496cca67e13b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 62,
         "d174ab98d277d9f5a5611c2c9f419d9f"},
        {tens, 80, "57edf4a22be3c955ac49da2e2107b67a"},
        {tens, 55, "c9ccf168914a1bcfc3229f1948e67da0"},
        {tens, 56, "49f193adce178490e34d1b3a4ec0064c"},
        {tens, 63, "c3eb67ece68488bb394241d4f6a54244"},
        {tens, 64, "eb6c4179c0a7c82cc2828c1e6338e165"},
        {tens, 119, "6261005311809757906e04c0d670492d"},
        {tens, 120, "1d453b96d48d5e0cec4a20a71fecaa81"},
        {tens, 128, "a9fdc2dbc13c61b68c7ebf5136f5ed26"},
        {tens, 150, "70f82eb58c838b92104105df4dc1579f"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char digest[16];
        char shown[33];
        lb_md5(rows[i].text, rows[i].n, digest);
        for (int k = 0; k < 16; k++) snprintf(shown + 2 * k, 3, "%02x", digest[k]);
        CHECK(strcmp(shown, rows[i].want) == 0);
    }
    CHECK(of("md5", "", 0, 0) == 0xD98C1DD4u);
}

/* HAProxy 2.6.12's answers; full_hash is one to one, so any 32-bit number may be met. */
static void full_hash_of_haproxy(void) {
    static const uint32_t rows[][2] = {{0, 2874071335u}, {1, 881230262u}, {2, 3798448204u}, {4095, 3963344637u},
                                       {4096, 1237450891u}, {65535, 118124268u}, {UINT32_MAX, 2120532354u}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[4];
        lb_put_le32(text, rows[i][0]);
        CHECK_EQ(lb_full_hash(rows[i][0]), rows[i][1]);
        CHECK_EQ(of("full_hash", text, 4, 0), rows[i][1]);
    }
}

/* A. Appleby's verification: the hash of all hashes of the texts {0, 1, ..., i - 1} under the seeds 256 - i, for i in
 * 0..255.  Its first four bytes are published with smhasher. */
static uint32_t verification(int bytes, void (*hash)(const char *p, size_t n, uint64_t seed, char *out)) {
    static char all[256 * 16];
    char text[256], last[16];
    for (int i = 0; i < 256; i++) {
        text[i] = (char)(unsigned char)i;
        hash(text, (size_t)i, (uint64_t)(256 - i), all + i * bytes);
    }
    hash(all, (size_t)(256 * bytes), 0, last);
    return lb_le32(last);
}

static void murmur3_128(const char *p, size_t n, uint64_t seed, char *out) {
    uint64_t halves[2];
    lb_murmur3_128(p, n, (uint32_t)seed, halves);
    lb_put_le64(out, halves[0]);
    lb_put_le64(out + 8, halves[1]);
}

static void murmur3_32(const char *p, size_t n, uint64_t seed, char *out) {
    lb_put_le32(out, lb_murmur3_32(p, n, (uint32_t)seed));
}

static void murmur2(const char *p, size_t n, uint64_t seed, char *out) { lb_put_le64(out, lb_murmur2(p, n, seed)); }

static void xxh32(const char *p, size_t n, uint64_t seed, char *out) {
    lb_put_le32(out, lb_xxh32(p, n, (uint32_t)seed));
}

static void xxh64(const char *p, size_t n, uint64_t seed, char *out) { lb_put_le64(out, lb_xxh64(p, n, seed)); }
static void xxh3(const char *p, size_t n, uint64_t seed, char *out) { lb_put_le64(out, lb_xxh3(p, n, seed)); }

static void verification_values(void) {
    CHECK_EQ(verification(16, murmur3_128), 0x6384BA69u);
    CHECK_EQ(verification(4, murmur3_32), 0xB0F57EE3u);
    CHECK_EQ(verification(8, murmur2), 0x1F0D3804u);
    CHECK_EQ(verification(4, xxh32), 0xBA88B743u);
    CHECK_EQ(verification(8, xxh64), 0x024B7CF4u);
    CHECK_EQ(verification(8, xxh3), 0x9A636405u);
}

static void the_register_is_sorted_and_complete(void) {
    CHECK(lb_hash_find(lb_str_of("md6")) == NULL);
    CHECK(lb_hash_find((lb_str){NULL, 0}) == NULL);
    for (uint32_t i = 0; i < lb_n_hashes; i++) {
        const lb_hash *hash = lb_hashes[i];
        if (i > 0) CHECK(strcmp(lb_hashes[i - 1]->name, hash->name) < 0);
        CHECK(lb_hash_find(lb_str_of(hash->name)) == hash);
        CHECK(strlen(hash->summary) > 10 && hash->summary[strlen(hash->summary) - 1] == '.');
        CHECK(hash->bits == 32 || hash->bits == 64);
        CHECK(hash->seed_bits == 0 || hash->seed_bits == 32 || hash->seed_bits == 64);
    }
}

/* `text` stands alone in a block without a byte to spare (AddressSanitizer watches it), beginning at any address. */
static void check_text(const lb_hash *hash, const char *text, size_t n) {
    uint64_t value = hash->of((lb_str){text, n}, 0);
    for (size_t shift = 0; shift < 8; shift++) {
        char *block = malloc(shift + n + (shift + n == 0));
        memcpy(block + shift, text, n);
        CHECK(hash->of((lb_str){block + shift, n}, 0) == value);
        free(block);
    }
    CHECK(hash->bits == 64 || value <= UINT32_MAX);
    if (hash->seed_bits) CHECK(hash->of((lb_str){text, n}, 1) != value);
}

/* Each byte counts.  One change of three must show: wt6 forgives some of the last byte, in both words alike. */
static void check_bytes(const lb_hash *hash, char *text, size_t n) {
    static const int changes[] = {0x81, 0x01, 0xFE};
    uint64_t value = hash->of((lb_str){text, n}, 0);
    for (size_t i = 0; i < n; i++) {
        bool shows = false;
        char byte = text[i];
        for (int c = 0; c < 3 && !shows; c++) {
            text[i] = (char)(byte ^ changes[c]);
            shows = hash->of((lb_str){text, n}, 0) != value;
        }
        text[i] = byte;
        CHECK(shows);
    }
}

static void every_function_reads_its_bytes_and_no_others(void) {
    char text[320];
    for (uint32_t h = 0; h < lb_n_hashes; h++) {
        const lb_hash *hash = lb_hashes[h];
        size_t least = hash->takes ? hash->takes : 0, most = hash->takes ? hash->takes : sizeof text;
        for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(unsigned char)(i * 37 + 150);
        for (size_t n = least; n <= most; n++) {
            check_text(hash, text, n);
            check_bytes(hash, text, n);
        }
        if (!hash->takes) CHECK(hash->of((lb_str){NULL, 0}, 0) == hash->of((lb_str){text, 0}, 0));
    }
}

/* ---- names built to meet ---------------------------------------------------------------------------------------- */

/* Who knows the seed makes one factor 0, and all such names have one hash.  Under another seed they have their own. */
static void names_built_for_one_seed_do_not_meet_under_another(void) {
    enum { NAMES = 4096, PLACES = 8192 };
    static bool used[PLACES];
    const uint64_t known = 0x0123456789ABCDEFu, secret = known ^ 0x9E3779B97F4A7C15u;
    for (uint64_t seed = known; seed <= known + 3; seed++) {
        uint32_t met = 0, crowded = 0;
        memset(used, 0, sizeof used);
        for (uint64_t i = 0; i < NAMES; i++) {
            char name[16];
            memcpy(name, &secret, 8);
            memcpy(name + 8, &i, 8);
            uint64_t hash = lb_hash_fold(name, 16, seed);
            met += hash == 0;
            for (uint32_t at = (uint32_t)hash; used[at % PLACES] || (used[at % PLACES] = true, false); at++) crowded++;
        }
        if (seed == known) CHECK_EQ(met, NAMES);
        else CHECK(met <= 1 && crowded < 2 * NAMES);
    }
}

/* The same for the two words of a place in a table. */
static void words_built_for_one_seed_do_not_meet_under_another(void) {
    const uint64_t known = 0x0123456789ABCDEFu;
    for (uint64_t b = 1; b < 1000; b++) {
        CHECK(lb_hash_words(known, b, known) == lb_hash_words(known, 0, known));
        CHECK(lb_hash_words(known, b, known + 1) != lb_hash_words(known, 0, known + 1));
    }
}

int main(void) {
    RUN(published_answers);
    RUN(crc32c_of_the_standard);
    RUN(md5_of_the_standard);
    RUN(full_hash_of_haproxy);
    RUN(verification_values);
    RUN(the_register_is_sorted_and_complete);
    RUN(every_function_reads_its_bytes_and_no_others);
    RUN(the_portable_multiplication_is_the_same);
    RUN(every_byte_counts);
    RUN(similar_keys_spread);
    RUN(counters_do_not_cluster);
    RUN(no_block_wipes_out_what_came_before);
    RUN(names_built_for_one_seed_do_not_meet_under_another);
    RUN(words_built_for_one_seed_do_not_meet_under_another);
    return check_result();
}

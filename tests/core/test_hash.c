/* Tests of the room hash: the seeded hash of the core's own tables. */
#include "check.h"

#include "hash/fold.h"

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

int main(void) {
    RUN(the_portable_multiplication_is_the_same);
    RUN(every_byte_counts);
    RUN(similar_keys_spread);
    RUN(counters_do_not_cluster);
    RUN(no_block_wipes_out_what_came_before);
    return check_result();
}

/* replay: runs a fuzz target without libFuzzer, so that its corpus is a unit test with any compiler.
 *
 *     replay_<name> N_RANDOM [FILE...]
 *
 * First the files, then N_RANDOM random inputs from a fixed seed.  A target aborts where a property does not hold.
 */
#include "base/rng.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_BYTES (1u << 20)
#define MAX_RANDOM_BYTES 2048u
#define SEED 20240607u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *buffer;

/* The target gets a block of just this size, so that a sanitizer sees a read behind its end. */
static void run(size_t size) {
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) exit(2);
    for (size_t i = 0; i < size; i++) exact[i] = buffer[i];
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    size_t size = fread(buffer, 1, MAX_BYTES, file);
    fclose(file);
    run(size);
}

static void run_random(long n) {
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    for (long i = 0; i < n; i++) {
        size_t size = lb_rng_below(&rng, MAX_RANDOM_BYTES + 1);
        for (size_t at = 0; at < size; at++) buffer[at] = (uint8_t)lb_rng_below(&rng, 256);
        run(size);
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s N_RANDOM [FILE...]\n", argv[0]);
        return 2;
    }
    buffer = malloc(MAX_BYTES);
    if (!buffer) return 2;
    long n_random = strtol(argv[1], NULL, 10);
    printf("%d files, then %ld random inputs from seed %u\n", argc - 2, n_random, SEED);
    fflush(stdout);
    for (int i = 2; i < argc; i++) run_file(argv[i]);
    run_random(n_random);
    free(buffer);
    return 0;
}

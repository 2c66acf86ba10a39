/* xxh64: the entry in the register of xxh64.h. */
#include "hash/xxh64.h"

#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) { return lb_xxh64(text.data, text.len, seed); }

const lb_hash lb_hash_xxh64 = {.name = "xxh64", .summary = "The 64-bit xxHash.", .bits = 64, .of = of, .seed_bits = 64};

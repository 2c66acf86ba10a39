/* xxh32: the entry in the register of xxh32.h. */
#include "hash/xxh32.h"

#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) { return lb_xxh32(text.data, text.len, (uint32_t)seed); }

const lb_hash lb_hash_xxh32 = {.name = "xxh32", .summary = "The 32-bit xxHash.", .bits = 32, .of = of, .seed_bits = 32};

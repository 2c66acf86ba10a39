/* murmur3_32: the entry in the register of murmur3_32.h. */
#include "hash/murmur3_32.h"

#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) { return lb_murmur3_32(text.data, text.len, (uint32_t)seed); }

const lb_hash lb_hash_murmur3_32 = {
    .name = "murmur3_32", .summary = "MurmurHash3_x86_32.", .bits = 32, .of = of, .seed_bits = 32,
};

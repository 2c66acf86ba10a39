/* murmur2: the entry in the register of murmur2.h. */
#include "hash/murmur2.h"

#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) { return lb_murmur2(text.data, text.len, seed); }

const lb_hash lb_hash_murmur2 = {
    .name = "murmur2", .summary = "MurmurHash64A, Envoy's MURMUR_HASH_2.", .bits = 64, .of = of, .seed_bits = 64,
};

/* murmur3_128: the entry in the register of murmur3_128.h, whose low half it is. */
#include "hash/murmur3_128.h"

#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) {
    uint64_t halves[2];
    lb_murmur3_128(text.data, text.len, (uint32_t)seed, halves);
    return halves[0];
}

const lb_hash lb_hash_murmur3_128 = {
    .name = "murmur3_128", .summary = "The low half of MurmurHash3_x64_128.", .bits = 64, .of = of, .seed_bits = 32,
};

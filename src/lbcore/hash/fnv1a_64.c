/* fnv1a_64: the entry in the register of fnv1a_64.h. */
#include "hash/fnv1a_64.h"

#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) {
    (void)seed;
    return lb_fnv1a_64(text.data, text.len);
}

const lb_hash lb_hash_fnv1a_64 = {
    .name = "fnv1a_64", .summary = "Fowler, Noll and Vo's FNV-1a with 64 bits.", .bits = 64, .of = of,
};

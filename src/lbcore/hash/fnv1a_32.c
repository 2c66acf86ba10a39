/* fnv1a_32: the entry in the register of fnv1a_32.h. */
#include "hash/fnv1a_32.h"

#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) {
    (void)seed;
    return lb_fnv1a_32(text.data, text.len);
}

const lb_hash lb_hash_fnv1a_32 = {
    .name = "fnv1a_32", .summary = "Fowler, Noll and Vo's FNV-1a with 32 bits.", .bits = 32, .of = of,
};

/* djb2: the entry in the register of djb2.h. */
#include "hash/djb2.h"

#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) {
    (void)seed;
    return lb_djb2(text.data, text.len);
}

const lb_hash lb_hash_djb2 = {.name = "djb2", .summary = "Bernstein's polynomial in 33.", .bits = 32, .of = of};

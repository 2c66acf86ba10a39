/* full_hash: the entry in the register of full_hash.h: of a number as 4 bytes, little endian. */
#include "hash/full_hash.h"

#include "hash/bytes.h"
#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) {
    (void)seed;
    return lb_full_hash(lb_le32(text.data));
}

const lb_hash lb_hash_full_hash = {
    .name = "full_hash", .summary = "HAProxy's avalanche of a 32-bit number: 4 bytes, little endian.", .bits = 32,
    .of = of, .takes = 4,
};

/* sdbm: the entry in the register of sdbm.h. */
#include "hash/sdbm.h"

#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) {
    (void)seed;
    return lb_sdbm(text.data, text.len);
}

const lb_hash lb_hash_sdbm = {
    .name = "sdbm", .summary = "The hash of the sdbm library; HAProxy's default.", .bits = 32, .of = of,
};

/* one_at_a_time: the entry in the register of one_at_a_time.h. */
#include "hash/one_at_a_time.h"

#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) {
    (void)seed;
    return lb_one_at_a_time(text.data, text.len);
}

const lb_hash lb_hash_one_at_a_time = {
    .name = "one_at_a_time", .summary = "Jenkins' one-at-a-time; libmemcached's default.", .bits = 32, .of = of,
};

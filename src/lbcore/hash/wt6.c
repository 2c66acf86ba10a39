/* wt6: the entry in the register of wt6.h. */
#include "hash/wt6.h"

#include "hash/hash.h"

static uint64_t of(lb_str text, uint64_t seed) {
    (void)seed;
    return lb_wt6(text.data, text.len);
}

const lb_hash lb_hash_wt6 = {
    .name = "wt6", .summary = "HAProxy's two words that turn by what they hold.", .bits = 32, .of = of,
};

/* register: all hash functions, made from hashes.def.
 *
 * Cost    a lookup is O(number of functions).
 * Keeps   the order of hashes.def.
 */
#include "hash/hash.h"

#define LB_HASH(name) extern const lb_hash lb_hash_##name;
#include "hash/hashes.def"
#undef LB_HASH

#define LB_HASH(name) &lb_hash_##name,
const lb_hash *const lb_hashes[] = {
#include "hash/hashes.def"
};
#undef LB_HASH

const uint32_t lb_n_hashes = sizeof lb_hashes / sizeof lb_hashes[0];

const lb_hash *lb_hash_find(lb_str name) {
    for (uint32_t i = 0; i < lb_n_hashes; i++)
        if (lb_str_equal(name, lb_str_of(lb_hashes[i]->name))) return lb_hashes[i];
    return NULL;
}

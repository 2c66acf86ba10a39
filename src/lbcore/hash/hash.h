/* hash: the register of hash functions, for who asks by name: tests, tools and the binding.
 *
 * One function a file, each checked by published vectors.  Policies include the file of the function they use.
 * Adding one: hash/<name>.h (and .c), and one line LB_HASH(<name>) in hashes.def, for which register.c has the entry.
 */
#ifndef LBCORE_HASH_HASH_H
#define LBCORE_HASH_HASH_H

#include "base/str.h"

#include <stdint.h>

typedef struct lb_hash {
    const char *name;
    const char *summary;            /* one line for lists and the reference page */
    int bits;                       /* of the result */
    uint64_t (*of)(lb_str text, uint64_t seed);
    int seed_bits;                  /* of the seed; 0: there is none, and `of` is given 0 */
    size_t takes;                   /* exactly so many bytes; 0: any number */
} lb_hash;

/* The register, in the order of hashes.def. */
extern const lb_hash *const lb_hashes[];
extern const uint32_t lb_n_hashes;

const lb_hash *lb_hash_find(lb_str name);                              /* NULL: unknown */

#endif

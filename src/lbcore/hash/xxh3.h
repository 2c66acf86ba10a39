/* xxh3: the 64-bit hash of the third generation of xxHash, XXH3_64bits.
 *
 * Source  Y. Collet, "xxHash fast digest algorithm", doc/xxhash_spec.md 0.2.0, section XXH3.
 * Cost    up to 16 bytes one multiplication or two; above, one per 8 bytes.
 * Keeps   words are little endian: the value is the same on every machine.  Never reads outside the given bytes.
 */
#ifndef LBCORE_HASH_XXH3_H
#define LBCORE_HASH_XXH3_H

#include <stddef.h>
#include <stdint.h>

/* The hash of `n` bytes; `p` may be NULL where n is 0.  Seed 0 is the plain function. */
uint64_t lb_xxh3(const char *p, size_t n, uint64_t seed);

#endif

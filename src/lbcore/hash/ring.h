/* ring: points on a circle of 32-bit or 64-bit hashes, each with an owner; who comes next from a hash on.
 *
 *   point      0    1    2    3    4    5        sorted by hash; equal ones in the order they were added
 *   hash      02   1A   1A   7F   90   F3
 *   owner      4    0    2    1    0    4
 *                  ^              ^
 *   bucket    [0]  |    [1]  |    |   [2]  ...   by the top bits of a hash: its first point
 *
 * Source  D. Karger et al., STOC 1997 (consistent hashing).  The answer is a plain binary search's; the buckets only
 *         make it short.
 * Cost    find O(1) expected, O(log n) for hostile points; close O(n), a radix sort; 12 to 16 bytes a point.
 * Keeps   read-only after lb_ring_close().
 */
#ifndef LBCORE_HASH_RING_H
#define LBCORE_HASH_RING_H

#include "base/status.h"

#define LB_MAX_POINTS (1u << 26)    /* 67 million: about 1 GiB */

typedef struct lb_ring lb_ring;

/* Room for n points of `bits` (32 or 64) bits.  LB_ERR_CONFIG ("targets") above LB_MAX_POINTS. */
lb_status lb_ring_new(lb_ring **out, uint64_t n, int bits, lb_error *err);
void lb_ring_free(lb_ring *ring);                                      /* accepts NULL */

/* One more point; there is room for n of them in all. */
void lb_ring_add(lb_ring *ring, uint64_t hash, uint32_t owner);

/* Sort, and make the buckets.  `distinct`: of points with one hash only the one added first stays. */
lb_status lb_ring_close(lb_ring *ring, bool distinct, lb_error *err);

uint32_t lb_ring_size(const lb_ring *ring);                            /* points */

/* The first point at or after `hash`, round to point 0; only where there is one. */
uint32_t lb_ring_find(const lb_ring *ring, uint64_t hash);

uint32_t lb_ring_owner(const lb_ring *ring, uint32_t point);
uint64_t lb_ring_hash(const lb_ring *ring, uint32_t point);

#endif

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
 * Cost    find O(1) expected, O(log n) for hostile points; close O(n), a radix sort, with as much memory again
 *         meanwhile; a 32-bit point 10 to 12 bytes, a 64-bit one 14 to 16.
 * Keeps   read-only after lb_ring_close().  Bucket b is the first point whose top bits are >= b; there are 2^k + 1 of
 *         them, the last is n.
 */
#ifndef LBCORE_HASH_RING_H
#define LBCORE_HASH_RING_H

#include "base/status.h"

#define LB_MAX_POINTS (1u << 26)    /* 67 million: about 1 GiB */

/* Inside for the inline functions only.  A 32-bit point is one word, hash above owner, so that a lookup misses the
 * cache once; a 64-bit point is two.  Either way its top bits are the hash's. */
typedef struct lb_ring {
    uint64_t *word;                 /* hash << 32 | owner, or the hash */
    uint32_t *owner;                /* NULL: points of 32 bits */
    uint32_t *bucket;
    uint32_t n, capacity;
    int shift;                      /* from a word to its bucket */
    bool overfull;                  /* more were added than there was room for */
} lb_ring;

/* Room for n points of `bits` (32 or 64) bits.  LB_ERR_CONFIG ("targets") above LB_MAX_POINTS. */
lb_status lb_ring_new(lb_ring **out, uint64_t n, int bits, lb_error *err);
void lb_ring_free(lb_ring *ring);                                      /* accepts NULL */

/* One more point, of which the low 32 or 64 bits of `hash` count.  Fewer than n may come; more make the close fail. */
void lb_ring_add(lb_ring *ring, uint64_t hash, uint32_t owner);

/* Sort, and make the buckets; once.  `distinct`: of points with one hash only the one added first stays.
 * After a failure the ring is good for lb_ring_free() only. */
lb_status lb_ring_close(lb_ring *ring, bool distinct, lb_error *err);

size_t lb_ring_bytes(const lb_ring *ring);                             /* memory it holds */

static inline uint32_t lb_ring_size(const lb_ring *ring) { return ring->n; }           /* points */

static inline uint32_t lb_ring_owner(const lb_ring *ring, uint32_t point) {
    return ring->owner ? ring->owner[point] : (uint32_t)ring->word[point];
}

static inline uint64_t lb_ring_hash(const lb_ring *ring, uint32_t point) {
    return ring->owner ? ring->word[point] : ring->word[point] >> 32;
}

/* The first point whose hash is `hash` or above; behind the last comes point 0.  An empty ring has none: it gives 0,
 * which is no point.  Within the bucket: halve while it is long, which only hostile points make it, then step. */
static inline uint32_t lb_ring_find(const lb_ring *ring, uint64_t hash) {
    uint64_t word = ring->owner ? hash : hash << 32;
    const uint32_t *bucket = ring->bucket + (word >> ring->shift);
    uint32_t low = bucket[0], high = bucket[1];
    while (high - low > 8) {
        uint32_t middle = low + (high - low) / 2;
        if (ring->word[middle] < word) low = middle + 1;
        else high = middle;
    }
    while (low < high && ring->word[low] < word) low++;
    return low < ring->n ? low : 0;
}

#endif

/* ring: see ring.h.
 *
 * A 32-bit point is one word, hash above owner, so that a lookup misses the cache once.  A 64-bit point is two.
 *
 * Cost    sort: one pass over the points a byte of the hash (11 bits at a time), and as much memory again meanwhile.
 * Keeps   bucket b is the first point whose hash is >= b << shift; there are n_buckets + 1 of them, the last is n.
 */
#include "hash/ring.h"

#include "base/alloc.h"

#define DIGIT_BITS 11
#define DIGITS (1u << DIGIT_BITS)

struct lb_ring {
    uint32_t n, capacity;
    int bits;                       /* 32: word is hash << 32 | owner, owner is NULL; 64: word is the hash */
    int shift;                      /* from a hash to its bucket */
    uint64_t *word;
    uint32_t *owner;
    uint32_t *bucket;
};

lb_status lb_ring_new(lb_ring **out, uint64_t n, int bits, lb_error *err) {
    if (n > LB_MAX_POINTS)
        return lb_fail(err, LB_ERR_CONFIG, "targets", "their weights ask for %llu points; a ring has at most %u",
                       (unsigned long long)n, LB_MAX_POINTS);
    lb_ring *ring = lb_alloc_zero(1, sizeof *ring);
    if (!ring) return lb_no_memory(err, "policy");
    ring->capacity = (uint32_t)n;
    ring->bits = bits;
    ring->word = lb_alloc_array(n, sizeof *ring->word);
    if (bits == 64) ring->owner = lb_alloc_array(n, sizeof *ring->owner);
    if (!ring->word || (bits == 64 && !ring->owner)) {
        lb_ring_free(ring);
        return lb_no_memory(err, "policy");
    }
    *out = ring;
    return LB_OK;
}

void lb_ring_free(lb_ring *ring) {
    if (!ring) return;
    lb_free(ring->word);
    lb_free(ring->owner);
    lb_free(ring->bucket);
    lb_free(ring);
}

void lb_ring_add(lb_ring *ring, uint64_t hash, uint32_t owner) {
    if (ring->n == ring->capacity) return;
    ring->word[ring->n] = ring->bits == 64 ? hash : hash << 32 | owner;
    if (ring->bits == 64) ring->owner[ring->n] = owner;
    ring->n++;
}

/* One stable pass by DIGIT_BITS bits from `at` on: from word, owner to word2, owner2. */
static void scatter(const lb_ring *ring, int at, uint64_t *word2, uint32_t *owner2) {
    uint32_t start[DIGITS] = {0}, sum = 0;
    for (uint32_t i = 0; i < ring->n; i++) start[ring->word[i] >> at & (DIGITS - 1)]++;
    for (uint32_t d = 0; d < DIGITS; d++) {
        uint32_t count = start[d];
        start[d] = sum;
        sum += count;
    }
    for (uint32_t i = 0; i < ring->n; i++) {
        uint32_t to = start[ring->word[i] >> at & (DIGITS - 1)]++;
        word2[to] = ring->word[i];
        if (ring->owner) owner2[to] = ring->owner[i];
    }
}

static lb_status sort(lb_ring *ring, lb_error *err) {
    uint64_t *word = lb_alloc_array(ring->n, sizeof *word);
    uint32_t *owner = ring->owner ? lb_alloc_array(ring->n, sizeof *owner) : NULL;
    if (!word || (ring->owner && !owner)) {
        lb_free(word);
        lb_free(owner);
        return lb_no_memory(err, "policy");
    }
    for (int at = ring->owner ? 0 : 32; at < 64; at += DIGIT_BITS) {
        scatter(ring, at, word, owner);
        uint64_t *sorted = word;
        uint32_t *sorted_owner = owner;
        word = ring->word;
        owner = ring->owner;
        ring->word = sorted;
        ring->owner = sorted_owner;
    }
    lb_free(word);
    lb_free(owner);
    return LB_OK;
}

static void drop_equals(lb_ring *ring) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ring->n; i++) {
        if (kept > 0 && lb_ring_hash(ring, kept - 1) == lb_ring_hash(ring, i)) continue;
        ring->word[kept] = ring->word[i];
        if (ring->owner) ring->owner[kept] = ring->owner[i];
        kept++;
    }
    ring->n = kept;
}

/* About as many buckets as points, so that one holds a point or two. */
static lb_status index_points(lb_ring *ring, lb_error *err) {
    int log = 1;
    while (log < 26 && 1u << log < ring->n) log++;
    ring->shift = ring->bits - log;
    uint32_t n_buckets = 1u << log, i = 0;
    ring->bucket = lb_alloc_array((size_t)n_buckets + 1, sizeof *ring->bucket);
    if (!ring->bucket) return lb_no_memory(err, "policy");
    for (uint32_t b = 0; b < n_buckets; b++) {
        while (i < ring->n && lb_ring_hash(ring, i) >> ring->shift < b) i++;
        ring->bucket[b] = i;
    }
    ring->bucket[n_buckets] = ring->n;
    return LB_OK;
}

lb_status lb_ring_close(lb_ring *ring, bool distinct, lb_error *err) {
    lb_status status = sort(ring, err);
    if (status) return status;
    if (distinct) drop_equals(ring);
    return index_points(ring, err);
}

uint32_t lb_ring_size(const lb_ring *ring) { return ring->n; }

uint32_t lb_ring_owner(const lb_ring *ring, uint32_t point) {
    return ring->owner ? ring->owner[point] : (uint32_t)ring->word[point];
}

uint64_t lb_ring_hash(const lb_ring *ring, uint32_t point) {
    return ring->owner ? ring->word[point] : ring->word[point] >> 32;
}

/* Within the bucket: halve while it is long, which only hostile points make it, then step. */
uint32_t lb_ring_find(const lb_ring *ring, uint64_t hash) {
    uint32_t b = (uint32_t)(hash >> ring->shift), low = ring->bucket[b], high = ring->bucket[b + 1];
    uint64_t word = ring->owner ? hash : hash << 32;
    while (high - low > 8) {
        uint32_t middle = low + (high - low) / 2;
        if (ring->word[middle] < word) low = middle + 1;
        else high = middle;
    }
    while (low < high && ring->word[low] < word) low++;
    return low < ring->n ? low : 0;
}

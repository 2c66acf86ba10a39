/* ring: see ring.h.
 *
 * Sorting takes advantage of hashes that spread: by as many top bits as there are points, after which hardly a pair is
 * in the wrong order, and by insertion the rest of the way.  Points that do not spread use up the moves allowed for
 * that and are sorted by all of their bits.  A pass takes 7 bits, because it writes to as many places at once as there
 * are digits, and 128 of them stay in the cache nearest to the processor.
 *
 * Cost    close of n points that spread: a pass over them for each 7 bits of n, and one; of others, 4 or 5 passes more
 *         for 32-bit hashes and up to 10 for 64-bit ones, without those in which all points have the same digit.
 * Keeps   every step is stable: equal hashes stay in the order they were added.
 */
#include "hash/ring.h"

#include "base/alloc.h"

#define DIGIT_BITS 7
#define DIGITS (1u << DIGIT_BITS)
#define MOVES 4u                    /* by insertion, a point; spread hashes need a quarter of one */

static lb_status no_memory(lb_error *err) { return lb_no_memory(err, "policy"); }

lb_status lb_ring_new(lb_ring **out, uint64_t n, int bits, lb_error *err) {
    if (n > LB_MAX_POINTS)
        return lb_fail(err, LB_ERR_CONFIG, "targets", "their weights ask for %llu points; a ring has at most %u",
                       (unsigned long long)n, LB_MAX_POINTS);
    lb_ring *ring = lb_alloc_zero(1, sizeof *ring);
    if (!ring) return no_memory(err);
    ring->capacity = (uint32_t)n;
    ring->word = lb_alloc_array(n, sizeof *ring->word);
    if (bits == 64) ring->owner = lb_alloc_array(n, sizeof *ring->owner);
    if (!ring->word || (bits == 64 && !ring->owner)) {
        lb_ring_free(ring);
        return no_memory(err);
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
    if (ring->n == ring->capacity) {
        ring->overfull = true;
        return;
    }
    ring->word[ring->n] = ring->owner ? hash : hash << 32 | owner;
    if (ring->owner) ring->owner[ring->n] = owner;
    ring->n++;
}

/* ---- sorting ---------------------------------------------------------------------------------------------------- */

/* The two places of the points: they go from one to the other and back. */
typedef struct spare {
    uint64_t *word;
    uint32_t *owner;
} spare;

static void swap(lb_ring *ring, spare *other) {
    spare old = {ring->word, ring->owner};
    ring->word = other->word;
    ring->owner = other->owner;
    *other = old;
}

static uint32_t digit(uint64_t word, int at) { return (uint32_t)(word >> at) & (DIGITS - 1); }

/* Where the points with each digit begin.  False: all have the same one, so that there is nothing to do. */
static bool starts(const lb_ring *ring, int at, uint32_t start[DIGITS]) {
    for (uint32_t d = 0; d < DIGITS; d++) start[d] = 0;
    for (uint32_t i = 0; i < ring->n; i++) start[digit(ring->word[i], at)]++;
    uint32_t sum = 0;
    for (uint32_t d = 0; d < DIGITS; d++) {
        uint32_t count = start[d];
        if (count == ring->n) return false;
        start[d] = sum;
        sum += count;
    }
    return true;
}

/* One stable pass by the DIGIT_BITS bits from `at` on. */
static void pass(lb_ring *ring, spare *other, int at) {
    uint32_t start[DIGITS];
    if (!starts(ring, at, start)) return;
    for (uint32_t i = 0; i < ring->n; i++) {
        uint32_t to = start[digit(ring->word[i], at)]++;
        other->word[to] = ring->word[i];
        if (ring->owner) other->owner[to] = ring->owner[i];
    }
    swap(ring, other);
}

/* The point i down to its place among those before it, which are sorted.  Returns how many it passed. */
static uint32_t insert(lb_ring *ring, uint32_t i) {
    uint64_t word = ring->word[i], hash = lb_ring_hash(ring, i);
    uint32_t owner = lb_ring_owner(ring, i), to = i;
    for (; to > 0 && lb_ring_hash(ring, to - 1) > hash; to--) {
        ring->word[to] = ring->word[to - 1];
        if (ring->owner) ring->owner[to] = ring->owner[to - 1];
    }
    ring->word[to] = word;
    if (ring->owner) ring->owner[to] = owner;
    return i - to;
}

/* False: not done within the moves allowed; all points are still there.  One point may overdraw them by n. */
static bool insert_all(lb_ring *ring) {
    uint64_t moves = 0;
    for (uint32_t i = 1; i < ring->n; i++) {
        if (lb_ring_hash(ring, i - 1) <= lb_ring_hash(ring, i)) continue;
        moves += insert(ring, i);
        if (moves > (uint64_t)MOVES * ring->n) return false;
    }
    return true;
}

static void sort_with(lb_ring *ring, spare *other) {
    int top = 64 - DIGIT_BITS, at = top;
    while (at - DIGIT_BITS >= 32 && ring->n >> (64 - at)) at -= DIGIT_BITS;
    for (; at <= top; at += DIGIT_BITS) pass(ring, other, at);
    if (insert_all(ring)) return;
    for (at = ring->owner ? 0 : 32; at < 64; at += DIGIT_BITS) pass(ring, other, at);
}

static lb_status sort(lb_ring *ring, lb_error *err) {
    spare other = {lb_alloc_array(ring->n, sizeof *other.word), NULL};
    if (ring->owner) other.owner = lb_alloc_array(ring->n, sizeof *other.owner);
    bool enough = other.word && (other.owner || !ring->owner);
    if (enough) sort_with(ring, &other);
    lb_free(other.word);
    lb_free(other.owner);
    return enough ? LB_OK : no_memory(err);
}

/* ---- closing ---------------------------------------------------------------------------------------------------- */

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

/* More buckets than half the points, at most as many, so that one holds a point or two. */
static lb_status index_points(lb_ring *ring, lb_error *err) {
    int log = 1;
    while (ring->n >> log > 1) log++;
    uint32_t n_buckets = 1u << log, b = 0;
    ring->shift = 64 - log;
    ring->bucket = lb_alloc_array((size_t)n_buckets + 1, sizeof *ring->bucket);
    if (!ring->bucket) return no_memory(err);
    for (uint32_t i = 0; i < ring->n; i++)
        for (uint32_t last = (uint32_t)(ring->word[i] >> ring->shift); b <= last; b++) ring->bucket[b] = i;
    while (b <= n_buckets) ring->bucket[b++] = ring->n;
    return LB_OK;
}

lb_status lb_ring_close(lb_ring *ring, bool distinct, lb_error *err) {
    if (ring->overfull)
        return lb_fail(err, LB_ERR_CONFIG, "targets", "more points than the %u announced: an error of the policy",
                       ring->capacity);
    lb_status status = sort(ring, err);
    if (status) return status;
    if (distinct) drop_equals(ring);
    return index_points(ring, err);
}

size_t lb_ring_bytes(const lb_ring *ring) {
    size_t point = sizeof *ring->word + (ring->owner ? sizeof *ring->owner : 0);
    size_t n_buckets = ring->bucket ? ((size_t)1 << (64 - ring->shift)) + 1 : 0;
    return sizeof *ring + ring->capacity * point + n_buckets * sizeof *ring->bucket;
}

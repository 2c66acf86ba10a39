/* Tests of the ring: against a plain sorted array and a search from its front, for points that spread and points that
 * do not. */
#include "check.h"

#include "hash/ring.h"

#include <stdlib.h>

typedef struct point { uint64_t hash; uint32_t owner, order; } point;

static int by_hash_then_order(const void *a, const void *b) {
    const point *p = a, *q = b;
    if (p->hash != q->hash) return p->hash < q->hash ? -1 : 1;
    return p->order < q->order ? -1 : 1;
}

/* How the hashes of a ring may lie. */
enum shape { SPREAD, EQUAL, FEW, ASCENDING, DESCENDING, LOW_BITS, HIGH_BITS, TWO_CLUSTERS, LONER, ENDS, N_SHAPES };

static uint64_t hash_in(enum shape shape, uint32_t i, uint32_t n, lb_rng *rng) {
    uint64_t x = lb_rng_next(rng);
    switch (shape) {
    case EQUAL: return 0x8123456789ABCDEFu;
    case FEW: return (x & 3) * 0x4000000140000001u;
    case ASCENDING: return i * (UINT64_MAX / n);
    case DESCENDING: return (n - 1 - i) * (UINT64_MAX / n);
    case LOW_BITS: return x & 0xFFFF0FFFFu;
    case HIGH_BITS: return x & 0xFFFF000000000000u;
    case TWO_CLUSTERS: return (x & 1 ? 0x7000000000000000u : 0xF000000000000000u) + (n - i) * 0x100000001u;
    case LONER: return n - i + (i == n / 2 ? (uint64_t)1 << 40 : 0);
    case ENDS: return x & 1 ? 0 : UINT64_MAX;
    default: return x;
    }
}

typedef struct pair { point *model; uint32_t n; lb_ring *ring; int bits; } pair;

static uint64_t cut(uint64_t hash, int bits) { return bits == 64 ? hash : (uint32_t)(hash >> 32 ^ hash); }

static void keep_firsts(pair *p) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->n; i++)
        if (kept == 0 || p->model[kept - 1].hash != p->model[i].hash) p->model[kept++] = p->model[i];
    p->n = kept;
}

static pair make_pair(enum shape shape, uint32_t n, int bits, bool distinct, lb_rng *rng) {
    pair p = {malloc((n + 1) * sizeof(point)), n, NULL, bits};
    CHECK_EQ(lb_ring_new(&p.ring, n, bits, NULL), LB_OK);
    for (uint32_t i = 0; i < n; i++) {
        p.model[i] = (point){cut(hash_in(shape, i, n, rng), bits), lb_rng_below(rng, 1000), i};
        lb_ring_add(p.ring, p.model[i].hash, p.model[i].owner);
    }
    qsort(p.model, n, sizeof(point), by_hash_then_order);
    if (distinct) keep_firsts(&p);
    CHECK_EQ(lb_ring_close(p.ring, distinct, NULL), LB_OK);
    return p;
}

static void free_pair(pair *p) {
    free(p->model);
    lb_ring_free(p->ring);
}

static uint32_t find(const pair *p, uint64_t hash) {
    for (uint32_t i = 0; i < p->n; i++)
        if (p->model[i].hash >= hash) return i;
    return 0;
}

static void check_find(const pair *p, uint64_t hash) {
    if (p->bits == 32) hash = (uint32_t)hash;
    CHECK_EQ(lb_ring_find(p->ring, hash), find(p, hash));
}

static void check_points(const pair *p) {
    CHECK_EQ(lb_ring_size(p->ring), p->n);
    for (uint32_t i = 0; i < p->n && i < lb_ring_size(p->ring); i++) {
        CHECK(lb_ring_hash(p->ring, i) == p->model[i].hash);
        CHECK_EQ(lb_ring_owner(p->ring, i), p->model[i].owner);
    }
}

/* Every hash of a small ring, its neighbours and the ends of the circle; of a large one some. */
static void check_finds(const pair *p, lb_rng *rng) {
    uint32_t step = 1 + p->n / (p->n < 10000 ? 150 : 20);
    for (uint32_t i = lb_rng_below(rng, step); i < p->n; i += step)
        for (uint64_t d = 0; d < 3; d++) check_find(p, p->model[i].hash + d - 1);
    if (p->n) for (uint64_t d = 0; d < 3; d++) check_find(p, p->model[p->n - 1].hash + d - 1);
    for (int i = 0; i < 20; i++) check_find(p, lb_rng_next(rng));
    check_find(p, 0);
    check_find(p, UINT64_MAX);
    check_find(p, UINT64_MAX / 2);
    check_find(p, UINT64_MAX / 2 + 1);
}

/* 10 to 12 bytes a point, 14 to 16 where it is wide; the structure and a few buckets where there are next to none. */
static void check_memory(const pair *p, uint32_t n) {
    size_t least = p->bits == 64 ? 12 : 8, most = least + 4, bytes = lb_ring_bytes(p->ring);
    CHECK(bytes >= n * least + p->n * (size_t)2);
    CHECK(bytes <= n * most + sizeof(lb_ring) + 12);
}

static void check_ring(enum shape shape, uint32_t n, int bits, bool distinct, lb_rng *rng) {
    pair p = make_pair(shape, n, bits, distinct, rng);
    check_points(&p);
    check_finds(&p, rng);
    check_memory(&p, n);
    free_pair(&p);
}

static void a_ring_is_a_sorted_array(void) {
    static const uint32_t sizes[] = {0, 1, 2, 3, 4, 7, 8, 9, 10, 17, 33, 127, 128, 129, 160, 1000, 4095, 4096, 4097};
    lb_rng rng;
    lb_rng_seed(&rng, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int shape = 0; shape < N_SHAPES; shape++)
            for (int bits = 32; bits <= 64; bits += 32)
                for (int distinct = 0; distinct < 2; distinct++)
                    check_ring((enum shape)shape, sizes[i], bits, distinct, &rng);
}

static void so_is_a_large_one(void) {
    lb_rng rng;
    lb_rng_seed(&rng, 2);
    for (int shape = 0; shape < N_SHAPES; shape++)
        for (int bits = 32; bits <= 64; bits += 32) check_ring((enum shape)shape, 100000, bits, shape & 1, &rng);
}

static void small_rings_of_every_kind(void) {
    lb_rng rng;
    lb_rng_seed(&rng, 3);
    for (int i = 0; i < 3000; i++) {
        enum shape shape = (enum shape)lb_rng_below(&rng, N_SHAPES);
        check_ring(shape, lb_rng_below(&rng, 40), i & 1 ? 32 : 64, i & 2, &rng);
    }
}

static void behind_the_last_point_comes_the_first(void) {
    lb_ring *ring;
    CHECK_EQ(lb_ring_new(&ring, 3, 64, NULL), LB_OK);
    lb_ring_add(ring, 30, 3);
    lb_ring_add(ring, 10, 1);
    lb_ring_add(ring, 20, 2);
    CHECK_EQ(lb_ring_close(ring, false, NULL), LB_OK);
    CHECK_EQ(lb_ring_owner(ring, lb_ring_find(ring, 30)), 3);
    CHECK_EQ(lb_ring_owner(ring, lb_ring_find(ring, 31)), 1);
    CHECK_EQ(lb_ring_owner(ring, lb_ring_find(ring, UINT64_MAX)), 1);
    lb_ring_free(ring);
}

static void a_narrow_ring_knows_32_bits(void) {
    lb_ring *ring;
    CHECK_EQ(lb_ring_new(&ring, 2, 32, NULL), LB_OK);
    lb_ring_add(ring, 0xABCD00000007u, 1);
    lb_ring_add(ring, UINT32_MAX, UINT32_MAX);
    CHECK_EQ(lb_ring_close(ring, false, NULL), LB_OK);
    CHECK_EQ(lb_ring_hash(ring, 0), 7);
    CHECK_EQ(lb_ring_find(ring, 0xFFFF00000007u), 0);
    CHECK_EQ(lb_ring_find(ring, 0xFFFF00000008u), 1);
    CHECK_EQ(lb_ring_owner(ring, 1), UINT32_MAX);
    lb_ring_free(ring);
}

static void fewer_points_than_announced_will_do(void) {
    lb_ring *ring;
    CHECK_EQ(lb_ring_new(&ring, 100, 32, NULL), LB_OK);
    lb_ring_add(ring, 5, 1);
    CHECK_EQ(lb_ring_close(ring, false, NULL), LB_OK);
    CHECK_EQ(lb_ring_size(ring), 1);
    CHECK_EQ(lb_ring_find(ring, 6), 0);
    lb_ring_free(ring);
}

static void more_points_than_announced_are_an_error(void) {
    lb_ring *ring;
    lb_error err;
    CHECK_EQ(lb_ring_new(&ring, 1, 32, &err), LB_OK);
    lb_ring_add(ring, 5, 1);
    lb_ring_add(ring, 6, 2);
    CHECK_EQ(lb_ring_close(ring, false, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "targets") == 0);
    CHECK(strcmp(err.reason, "more points than the 1 announced: an error of the policy") == 0);
    lb_ring_free(ring);
    lb_ring_free(NULL);
}

static void a_ring_has_a_largest_size(void) {
    lb_ring *ring = NULL;
    lb_error err;
    CHECK_EQ(lb_ring_new(&ring, (uint64_t)LB_MAX_POINTS + 1, 64, &err), LB_ERR_CONFIG);
    CHECK(ring == NULL);
    CHECK(strcmp(err.field, "targets") == 0);
    CHECK(strcmp(err.reason, "their weights ask for 67108865 points; a ring has at most 67108864") == 0);
    CHECK_EQ(lb_ring_new(&ring, UINT64_MAX, 32, NULL), LB_ERR_CONFIG);
}

static lb_status build(int bits) {
    lb_ring *ring = NULL;
    lb_status status = lb_ring_new(&ring, 300, bits, NULL);
    if (status) {
        CHECK(ring == NULL);
        return status;
    }
    for (uint32_t i = 0; i < 300; i++) lb_ring_add(ring, i * 0x9E3779B97F4A7C15u, i);
    status = lb_ring_close(ring, false, NULL);
    lb_ring_free(ring);
    return status;
}

static lb_status narrow(void) { return build(32); }
static lb_status wide(void) { return build(64); }

static void every_allocation_may_fail(void) {
    CHECK_EQ(every_allocation_fails_once(narrow), 4);       /* the ring, its words, as many again, the buckets */
    CHECK_EQ(every_allocation_fails_once(wide), 6);         /* and owners twice */
}

int main(void) {
    RUN(a_ring_is_a_sorted_array);
    RUN(so_is_a_large_one);
    RUN(small_rings_of_every_kind);
    RUN(behind_the_last_point_comes_the_first);
    RUN(a_narrow_ring_knows_32_bits);
    RUN(fewer_points_than_announced_will_do);
    RUN(more_points_than_announced_are_an_error);
    RUN(a_ring_has_a_largest_size);
    RUN(every_allocation_may_fail);
    return check_result();
}

/* weighted_clusters: a number in the key chooses by weight, as Envoy chooses among weighted clusters.
 *
 *   weights    5            1    3         2            in the order of the list
 *   number     0 1 2 3 4    5    6 7 8     9 10         number % 11
 *
 * Source  Envoy 1.40, weighted_clusters with header_name: the value % the total weight, along a running sum; checked by
 *         recorded picks.  What follows when the chosen target is down is ours: Envoy's clusters are not tested for it.
 * Number  the key in decimal digits, below 2^64.  Of any other key its XXH64 (Envoy draws at random there).
 * Down    weights as configured choose, so health moves nobody's keys but those of the target that is down; they go to
 *         the usable ones by weight, each key by XXH64 of its number.  Slow start changes nothing for a first choice.
 * Step    n: among the usable ones by XXH64 of the number (8 bytes, little endian) with the seed n.
 * Cost    pick O(log n), build O(n), 16 bytes a target.
 * Keeps   read-only after build(), so any number of threads may pick at once.
 */
#include "base/alloc.h"
#include "hash/xxh64.h"
#include "policy/policy.h"

typedef struct state {
    uint64_t *member_end;           /* running sums of view->full by member */
    uint64_t *usable_end;           /* of view->weight by place in view->usable */
} state;

/* Digits only and below 2^64. */
static bool decimal(lb_str text, uint64_t *value) {
    uint64_t v = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text.data[i] - '0';  /* below '0': huge */
        if (digit > 9 || v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *value = v;
    return text.len > 0;
}

static uint64_t number_of(const lb_key *key) {
    uint64_t value;
    if (key->hashed) return key->hash;
    return decimal(key->text, &value) ? value : lb_xxh64(key->text.data, key->text.len, 0);
}

/* The first of n whose running sum is above `value`, which is below the last. */
static uint32_t whose(const uint64_t *end, uint32_t n, uint64_t value) {
    uint32_t low = 0, high = n - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (end[middle] > value) high = middle;
        else low = middle + 1;
    }
    return low;
}

static uint32_t draw(const state *s, const lb_view *view, uint64_t number, uint32_t step) {
    char bytes[8];
    lb_put_le32(bytes, (uint32_t)number);
    lb_put_le32(bytes + 4, (uint32_t)(number >> 32));
    uint64_t value = lb_xxh64(bytes, sizeof bytes, step) % view->total_weight;
    return view->usable[whose(s->usable_end, view->n_usable, value)];
}

static uint32_t walk(void *st, const lb_view *view, lb_walk *walk) {
    const state *s = st;
    if (view->n_usable == 0 || walk->step >= 8 * view->n_usable + 64) return LB_NONE;
    if (walk->step == 0) {
        uint64_t total = s->member_end[view->n_members - 1];
        walk->hash = number_of(&walk->key);
        uint32_t chosen = whose(s->member_end, view->n_members, walk->hash % total);
        if (view->weight[chosen] > 0) return chosen;
    }
    return draw(s, view, walk->hash, walk->step);
}

static void destroy(void *st) {
    state *s = st;
    if (!s) return;
    lb_free(s->member_end);
    lb_free(s->usable_end);
    lb_free(s);
}

static void add_up(state *s, const lb_view *view) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < view->n_members; i++) s->member_end[i] = sum += view->full[i];
    sum = 0;
    for (uint32_t i = 0; i < view->n_usable; i++) s->usable_end[i] = sum += view->weight[view->usable[i]];
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)param, (void)previous, (void)old_index;
    state *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    s->member_end = lb_alloc_array(view->n_members, sizeof *s->member_end);
    s->usable_end = lb_alloc_array(view->n_usable, sizeof *s->usable_end);
    if (!s->member_end || !s->usable_end) {
        destroy(s);
        return lb_no_memory(err, "policy");
    }
    add_up(s, view);
    *out = s;
    return LB_OK;
}

const lb_policy lb_policy_weighted_clusters = {
    .name = "weighted_clusters", .summary = "A number in the key chooses by weight, as among Envoy's weighted clusters.",
    .build = build, .destroy = destroy, .walk = walk, .pure = true,
};

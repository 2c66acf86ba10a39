/* maglev: consistent hashing by Envoy's Maglev table, slot for slot.
 *
 *   offset = XXH64(text) % M, skip = XXH64(text, seed 1) % (M - 1) + 1
 *
 *   slot      0   1   2   3   4   5   6           M = 7
 *   A takes   .   1   .   .   2   .   .   ...     from its offset on, skip by skip; who finds a slot taken goes on
 *   B takes   .   .   1   .   .   .   2   ...     a round of all by text, then the next, until the table is full
 *
 * Round t passes over a target while t * share < target; each slot that it takes adds the largest share to its target.
 * All in doubles, in this order of operations.
 *
 * Source  D. Eisenbud et al., NSDI 2016; the weights as in Envoy 1.40,
 *         source/extensions/load_balancing_policies/maglev/maglev_lb.cc; checked by recorded picks.
 * Pick    slot[XXH64(key) % M].  Step n: the hash xor -n, in 64 bits.  Bounded loads: envoy_bounded.h.
 * Ties    targets with one text: in the order of the list (Envoy leaves it open).
 * Down    the table is made anew of those that are usable: some keys of others move too.  A light target among many
 *         may own no slot; the core then has it only where a walk ends.
 * Cost    pick O(1); build O(M log M) expected, 65,537 slots below 2 ms (with 1,000 weights of which one is a million
 *         times the others: 4 ms); 4 bytes a slot.
 * Keeps   read-only after build(), unless hash_balance_factor is set (envoy_bounded.h): is_pure() says which.
 */
#include "base/alloc.h"
#include "hash/xxh64.h"
#include "policy/envoy_bounded.h"

enum { SIZE, BALANCE };             /* indices of the parameters */

#define MAX_SIZE 5000011            /* a prime */
#define GROUP 32u                   /* hosts that are passed over together */
#define LAST_ROUND 1e300

typedef struct table {
    uint32_t size, filled;          /* M; slots that have an owner: all, once it is made */
    uint32_t slot[];                /* places in view->usable */
} table;

static const lb_param params[] = {
    LB_WHOLE("table_size", 65537, 2, MAX_SIZE, "Slots of the table; a prime."),
    LB_WHOLE("hash_balance_factor", 0, 0, LB_ENVOY_MAX_BALANCE, LB_ENVOY_BALANCE_DOC),
    {0},
};

static bool is_prime(uint32_t n) {
    for (uint32_t d = 2; d * d <= n; d++)
        if (n % d == 0) return false;
    return n >= 2;
}

/* Of two that are as near the lesser; MAX_SIZE and 2 are primes, so it is in range. */
static uint32_t nearest_prime(uint32_t n) {
    for (uint32_t away = 0;; away++) {
        if (n >= away && is_prime(n - away)) return n - away;
        if (is_prime(n + away)) return n + away;
    }
}

static lb_status check(const double *param, lb_error *err) {
    uint32_t size = (uint32_t)param[SIZE], prime = nearest_prime(size);
    if (size != prime)
        return lb_fail(err, LB_ERR_CONFIG, "table_size", "%u is not a prime; the nearest one in 2..%d is %u", size,
                       MAX_SIZE, prime);
    return lb_envoy_check_balance(param[BALANCE], err);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

/* A target while the table is filled. */
typedef struct host {
    lb_str text;
    uint32_t place;
    uint32_t at, skip;              /* the slot it asks for next, and the way to the one after */
    double share, target;
    double due;                     /* a round before which it is passed over for sure: see fill() */
} host;

static int by_text(const void *left, const void *right) {
    const host *a = left, *b = right;
    size_t shorter = a->text.len < b->text.len ? a->text.len : b->text.len;
    int order = memcmp(a->text.data, b->text.data, shorter);
    if (order) return order;
    if (a->text.len != b->text.len) return a->text.len < b->text.len ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

static void line_up(host *hosts, const lb_view *view, const lb_envoy_table *of, uint32_t size) {
    for (uint32_t place = 0; place < of->n; place++) {
        lb_str text = lb_envoy_text(view, view->usable[place]);
        uint64_t offset = lb_xxh64(text.data, text.len, 0) % size;
        uint64_t skip = lb_xxh64(text.data, text.len, 1) % (size - 1) + 1;
        hosts[place] = (host){text, place, (uint32_t)offset, (uint32_t)skip, of->share[place], 0, 0};
    }
    qsort(hosts, of->n, sizeof *hosts, by_text);
}

/* The next free slot of one target.  `taken` has a bit a slot, so that the search stays in the nearest cache. */
static void take(table *t, uint64_t *taken, host *h) {
    uint32_t at = h->at, skip = h->skip, back = t->size - skip;
    while (taken[at >> 6] >> (at & 63) & 1) at = at >= back ? at - back : at + skip;
    taken[at >> 6] |= (uint64_t)1 << (at & 63);
    t->slot[at] = h->place;
    h->at = at >= back ? at - back : at + skip;
}

/* Hosts first..last-1 in one round; true: the table is full.  *wake: the least of their `due`. */
static bool serve(table *t, uint64_t *taken, host *first, const host *last, double round, double most, double *wake) {
    *wake = LAST_ROUND;
    for (host *h = first; h < last; h++) {
        if (round >= h->due && !(round * h->share < h->target)) {
            h->target += most;
            h->due = h->target / h->share - 2;
            take(t, taken, h);
            if (++t->filled == t->size) return true;
        }
        if (h->due < *wake) *wake = h->due;
    }
    return false;
}

/* Light hosts are passed over in most rounds, so whole groups of them are at once.  `due` only saves tests: it is 2 below
 * a quotient that is off by less than 1, for targets are below 2^52 shares. */
static void fill(table *t, uint64_t *taken, host *hosts, uint32_t n, double *wake, double most) {
    for (double round = 1;; round++)
        for (uint32_t i = 0; i < n; i += GROUP) {
            double *group_wake = &wake[i / GROUP];
            if (round < *group_wake) continue;
            const host *last = hosts + (n - i < GROUP ? n : i + GROUP);
            if (serve(t, taken, hosts + i, last, round, most, group_wake)) return;
        }
}

static void drop(void *lookup) { lb_free(lookup); }

static lb_status make(void **lookup, const lb_view *view, const lb_envoy_table *of, const double *param,
                      lb_error *err) {
    uint32_t size = (uint32_t)param[SIZE];
    table *t = lb_alloc(sizeof *t + size * sizeof *t->slot);
    uint64_t *taken = lb_alloc_zero(size / 64 + 1, sizeof *taken);
    host *hosts = lb_alloc_array(of->n, sizeof *hosts);
    double *wake = lb_alloc_zero(of->n / GROUP + 1, sizeof *wake);
    bool ok = t && taken && hosts && wake;
    if (ok) {
        t->size = size;
        t->filled = 0;
        line_up(hosts, view, of, size);
        fill(t, taken, hosts, of->n, wake, of->most);
        *lookup = t;
    } else {
        lb_free(t);
    }
    lb_free(taken);
    lb_free(hosts);
    lb_free(wake);
    return ok ? LB_OK : lb_no_memory(err, "policy");
}

static const lb_envoy_scheme scheme = {make, drop};

/* ---- the policy ------------------------------------------------------------------------------------------------- */

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)old_index;
    return lb_envoy_build(out, view, &scheme, param, param[BALANCE], previous, err);
}

static void destroy(void *state) { lb_envoy_destroy(state, &scheme); }

static uint32_t walk(void *state, const lb_view *view, lb_walk *walk) {
    const lb_envoy *s = state;
    const table *t = s->table->lookup;
    if (!t || walk->step >= lb_envoy_steps(s)) return LB_NONE;
    if (walk->step == 0) walk->hash = lb_envoy_hash(s, &walk->key);
    uint64_t hash = walk->hash ^ (0 - (uint64_t)walk->step);
    return lb_envoy_member(s, view, walk->hash, t->slot[hash % t->size]);
}

const lb_policy lb_policy_maglev = {
    .name = "maglev", .summary = "Consistent hashing of keys by Envoy's Maglev table, with bounded loads where wanted.",
    .params = params, .check = check, .build = build, .destroy = destroy, .walk = walk, .hash = lb_envoy_hash,
    .is_pure = lb_envoy_is_pure,
};

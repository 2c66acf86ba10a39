/* ring_hash: consistent hashing on Envoy's ring, point for point.
 *
 *   scale = min(ceil(least share * minimum_ring_size) / least share, maximum_ring_size)
 *
 *   target     A: share 0.45    B: 0.09   C: 0.27       D: 0.18           in the order of the list
 *   points     A_0 A_1 A_2 ...  B_0 ...   C_0 C_1 ...   D_0 ...           scale * share of each, fractions carried on
 *
 * The lightest target has a whole number of points; the fractions of the others add up along the list, so the order of
 * the list decides who has one more where the ring is cut at maximum_ring_size.
 *
 * Source  Envoy 1.40, source/extensions/load_balancing_policies/ring_hash/ring_hash_lb.cc; checked by recorded picks.
 * Point   hash_function of text + "_" + number; MURMUR_HASH_2 with the seed 0xc70f6907.  The key is always XXH64.
 * Pick    the first point at or after the key's hash.  Step n: n points further.  Bounded loads: envoy_bounded.h.
 * Ties    of equal points the one added first is found first (Envoy leaves it open).
 * Down    the ring is made anew of those that are usable, as in Envoy: each of them then has a few points more, so some
 *         keys of others move too.
 * Cost    pick O(1) expected; build O(points), about 60 ns each; 12 to 16 bytes a point.
 * Keeps   read-only after build(), unless hash_balance_factor is set (envoy_bounded.h): is_pure() says which.
 */
#include "base/alloc.h"
#include "hash/murmur2.h"
#include "hash/ring.h"
#include "hash/xxh64.h"
#include "policy/envoy_bounded.h"

enum { MINIMUM, MAXIMUM, FUNCTION, BALANCE };          /* indices of the parameters */

#define MURMUR_SEED 0xC70F6907u
#define MAX_RING 8388608

static const char *const functions[] = {"XX_HASH", "MURMUR_HASH_2", NULL};

static const lb_param params[] = {
    LB_WHOLE("minimum_ring_size", 1024, 1, MAX_RING, "Points of the ring, at least."),
    LB_WHOLE("maximum_ring_size", MAX_RING, 1, MAX_RING, "Points of the ring, at most."),
    LB_WORD("hash_function", functions, "The hash of the points; keys are always hashed by XX_HASH."),
    LB_WHOLE("hash_balance_factor", 0, 0, LB_ENVOY_MAX_BALANCE, LB_ENVOY_BALANCE_DOC),
    {0},
};

static lb_status check(const double *param, lb_error *err) {
    if (param[MINIMUM] > param[MAXIMUM])
        return lb_fail(err, LB_ERR_CONFIG, "minimum_ring_size", "%.15g is above maximum_ring_size, %.15g",
                       param[MINIMUM], param[MAXIMUM]);
    return lb_envoy_check_balance(param[BALANCE], err);
}

/* ---- how many points each target has ---------------------------------------------------------------------------- */

/* Envoy's two running sums: all points so far, and how many there should be. */
typedef struct sums { double current, target; } sums;

static uint64_t ceil_of(double x) {             /* x in 0..2^53 */
    uint64_t whole = (uint64_t)x;
    return whole + ((double)whole < x);
}

static double scale_of(const lb_envoy_table *table, const double *param) {
    double scale = (double)ceil_of(table->least * param[MINIMUM]) / table->least;
    return scale < param[MAXIMUM] ? scale : param[MAXIMUM];
}

/* The points of one more target: one after the other while current < target. */
static uint32_t points_of(sums *sum, double scale, double share) {
    double more = scale * share;                /* rounded by itself: no fused multiply-add */
    sum->target += more;
    double before = sum->current, after = (double)ceil_of(sum->target);
    if (after > before) sum->current = after;
    return (uint32_t)(sum->current - before);
}

/* ---- the ring --------------------------------------------------------------------------------------------------- */

/* Texts of points: a target's text, "_" and a number that is counted up in place. */
typedef struct label {
    char *text;
    size_t prefix, len;                         /* to "_" inclusive; in all */
} label;

static lb_status make_label(label *l, const lb_view *view, lb_error *err) {
    size_t longest = 0;
    for (uint32_t i = 0; i < view->n_usable; i++) {
        size_t len = lb_envoy_text(view, view->usable[i]).len;
        if (len > longest) longest = len;
    }
    l->text = lb_alloc(longest + sizeof "_4294967295");
    return l->text ? LB_OK : lb_no_memory(err, "policy");
}

static void begin(label *l, lb_str text) {
    memcpy(l->text, text.data, text.len);
    memcpy(l->text + text.len, "_0", 2);
    l->prefix = text.len + 1;
    l->len = text.len + 2;
}

static void count_up(label *l) {
    size_t at = l->len;
    while (at > l->prefix && l->text[at - 1] == '9') l->text[--at] = '0';
    if (at > l->prefix) l->text[at - 1]++;
    else {                                      /* all were nines: "1" and as many zeros */
        l->text[l->prefix] = '1';
        l->text[l->len++] = '0';
    }
}

static void add_points(lb_ring *ring, label *l, const lb_view *view, const lb_envoy_table *table,
                       const double *param) {
    double scale = scale_of(table, param);
    sums sum = {0, 0};
    for (uint32_t place = 0; place < table->n; place++) {
        begin(l, lb_envoy_text(view, view->usable[place]));
        uint32_t n = points_of(&sum, scale, table->share[place]);
        for (uint32_t i = 0; i < n; i++, count_up(l))
            lb_ring_add(ring, param[FUNCTION] == 0 ? lb_xxh64(l->text, l->len, 0)
                                                   : lb_murmur2(l->text, l->len, MURMUR_SEED), place);
    }
}

static uint64_t count_points(const lb_envoy_table *table, const double *param) {
    double scale = scale_of(table, param);
    sums sum = {0, 0};
    for (uint32_t place = 0; place < table->n; place++) (void)points_of(&sum, scale, table->share[place]);
    return (uint64_t)sum.current;
}

static void drop(void *ring) { lb_ring_free(ring); }

static lb_status make(void **lookup, const lb_view *view, const lb_envoy_table *table, const double *param,
                      lb_error *err) {
    label l = {0};
    lb_ring *ring = NULL;
    lb_status status = make_label(&l, view, err);
    if (!status) status = lb_ring_new(&ring, count_points(table, param), 64, err);
    if (!status) {
        add_points(ring, &l, view, table, param);
        status = lb_ring_close(ring, false, err);
    }
    lb_free(l.text);
    if (status) lb_ring_free(ring);
    else *lookup = ring;
    return status;
}

static const lb_envoy_scheme scheme = {make, drop};

/* ---- the policy ------------------------------------------------------------------------------------------------- */

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)old_index;
    return lb_envoy_build(out, view, &scheme, param, param[BALANCE], previous, err);
}

static void destroy(void *state) { lb_envoy_destroy(state, &scheme); }

/* at: the point of the step. */
static uint32_t walk(void *state, const lb_view *view, lb_walk *walk) {
    const lb_envoy *s = state;
    const lb_ring *ring = s->table->lookup;
    if (!ring || walk->step >= lb_ring_size(ring) || walk->step >= lb_envoy_steps(s)) return LB_NONE;
    if (walk->step == 0) {
        walk->hash = lb_envoy_hash(s, &walk->key);
        walk->at = lb_ring_find(ring, walk->hash);
    } else if (++walk->at == lb_ring_size(ring)) {
        walk->at = 0;
    }
    return lb_envoy_member(s, view, walk->hash, lb_ring_owner(ring, (uint32_t)walk->at));
}

const lb_policy lb_policy_ring_hash = {
    .name = "ring_hash", .summary = "Consistent hashing of keys on Envoy's ring, with bounded loads where wanted.",
    .params = params, .check = check, .build = build, .destroy = destroy, .walk = walk, .hash = lb_envoy_hash,
    .is_pure = lb_envoy_is_pure,
};

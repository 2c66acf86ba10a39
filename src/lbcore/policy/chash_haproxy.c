/* chash_haproxy: HAProxy's `hash-type consistent`, bit for bit, with its bounded loads.
 *
 * Source  haproxy_tree.h, haproxy_key.h; checked against HAProxy 2.6.12 and 3.4.0.
 * Bare    HAProxy reads `hash-type consistent` alone as sdbm with avalanche, and `hash-type consistent sdbm` as sdbm
 *         without: the words "default" and "sdbm" here.
 * Empty   a request with an empty key takes the next turn round the points.
 * Step    asked again: the owners of the points above, once round; with a bound, those that have a slot left.
 * Cost    walk O(1) expected, O(targets + points passed over) with a bound; build O(16 * weights).
 * Keeps   requests without a key move the turn, a relaxed word.
 */
#include "base/alloc.h"
#include "policy/haproxy_key.h"
#include "policy/haproxy_tree.h"

enum { FUNCTION, AVALANCHE, SERVER_KEY, FACTOR };      /* places of the parameters */

typedef struct state {
    lb_haproxy_tree tree;
    lb_haproxy_function function;
    bool avalanche;
} state;

static const char *const functions[] = {"default", "sdbm", "djb2", "wt6", "crc32", "none", NULL};
static const char *const server_keys[] = {"id", "id32", "addr", "addr-port", "guid", NULL};

static const lb_param params[] = {
    LB_WORD("function", functions, "How a key is hashed; the default is sdbm with avalanche, none a decimal number."),
    LB_FLAG("avalanche", 0, "The key's hash is mixed once more."),
    LB_WORD("hash_key", server_keys, "What a target's points are made of: its id (hash_key, else its position), its "
                                     "address, or hash_key as a guid."),
    LB_WHOLE("hash_balance_factor", 0, 0, 65535, "The most that a target may have in flight, in percent of its fair "
                                                 "share: above 100; 0 is no bound."),
    {0},
};

static lb_status check(const double *param, lb_error *err) {
    if (param[FACTOR] == 0 || param[FACTOR] > 100) return LB_OK;
    return lb_fail(err, LB_ERR_CONFIG, params[FACTOR].name, "%.15g is neither 0 nor in 101..65535", param[FACTOR]);
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)old_index;
    const state *before = previous;
    state *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    bool bare = param[FUNCTION] == 0;
    s->function = bare ? LB_HAPROXY_SDBM : (lb_haproxy_function)(param[FUNCTION] - 1);
    s->avalanche = bare || param[AVALANCHE] != 0;
    lb_status status = lb_haproxy_tree_init(&s->tree, view, (lb_haproxy_server_key)param[SERVER_KEY],
                                            (uint32_t)param[FACTOR], before ? &before->tree : NULL, err);
    if (status) lb_free(s);
    else *out = s;
    return status;
}

static void destroy(void *st) {
    state *s = st;
    if (!s) return;
    lb_haproxy_tree_clear(&s->tree);
    lb_free(s);
}

static uint32_t walk(void *st, const lb_view *view, lb_walk *walk) {
    state *s = st;
    uint32_t hash;
    bool keyed = lb_haproxy_hash(s->function, s->avalanche, &walk->key, &hash);
    return lb_haproxy_tree_walk(&s->tree, view, keyed ? &hash : NULL, walk);
}

const lb_policy lb_policy_chash_haproxy = {
    .name = "chash_haproxy", .summary = "HAProxy's consistent hashing, with its bounded loads.",
    .params = params, .check = check, .build = build, .destroy = destroy, .walk = walk, .is_pure = lb_haproxy_is_pure,
};

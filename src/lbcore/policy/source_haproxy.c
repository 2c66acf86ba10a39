/* source_haproxy: HAProxy's `balance source`, bit for bit: the client's address as key.
 *
 * Source  HAProxy's configuration manual, "balance source"; checked against HAProxy 2.6.12.
 * Rule    the 32-bit words of the address, as the network sends them, combined by exclusive or; then looked up in the map
 *         (haproxy_map.h) or among the points (haproxy_tree.h).  HAProxy's word for a function does not count here, but
 *         avalanche does, and a bare `hash-type consistent` has it.
 * Else    a key that is no IP address takes the next turn, as HAProxy does for a client without one.
 * Step    asked again: the places or points that follow, once round.
 * Cost    walk O(1); build as the map or the points.
 * Keeps   keys that are no address move the turn, a relaxed word.
 */
#include "base/alloc.h"
#include "policy/haproxy_key.h"
#include "policy/haproxy_map.h"
#include "policy/haproxy_tree.h"

enum { TYPE, AVALANCHE };               /* places of the parameters */

typedef struct state {
    bool consistent, avalanche;
    lb_haproxy_tree tree;               /* where consistent; else the map: */
    uint32_t *place;
    uint32_t n;
    lb_counter turn;
} state;

static const char *const types[] = {"map-based", "consistent", NULL};

static const lb_param params[] = {
    LB_WORD("type", types, "Where the address is looked up: HAProxy's hash-type."),
    LB_FLAG("avalanche", 0, "The address's hash is mixed once more."),
    {0},
};

static lb_status build_map(state *s, const lb_view *view, const state *before, lb_error *err) {
    lb_status status = lb_haproxy_map_new(&s->place, &s->n, view, err);
    uint32_t turn = status == LB_OK && before ? lb_counter_read(&before->turn) : 0;
    if (turn < s->n) lb_counter_write(&s->turn, turn);
    return status;
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)old_index;
    const state *before = previous;
    state *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    s->consistent = param[TYPE] != 0;
    s->avalanche = param[AVALANCHE] != 0;
    lb_status status = s->consistent ? lb_haproxy_tree_init(&s->tree, view, LB_HAPROXY_ID, 0,
                                                            before ? &before->tree : NULL, err)
                                     : build_map(s, view, before, err);
    if (status) lb_free(s);
    else *out = s;
    return status;
}

static void destroy(void *st) {
    state *s = st;
    if (!s) return;
    lb_haproxy_tree_clear(&s->tree);
    lb_free(s->place);
    lb_free(s);
}

static uint32_t walk(void *st, const lb_view *view, lb_walk *walk) {
    state *s = st;
    uint32_t number;
    const uint32_t *hash = lb_haproxy_source_hash(s->avalanche, &walk->key, &number) ? &number : NULL;
    if (s->consistent) return lb_haproxy_tree_walk(&s->tree, view, hash, walk);
    return lb_haproxy_map_walk(s->place, s->n, &s->turn, hash, walk);
}

const lb_policy lb_policy_source_haproxy = {
    .name = "source_haproxy", .summary = "HAProxy's hashing of the client's address.",
    .params = params, .build = build, .destroy = destroy, .walk = walk, .is_pure = lb_haproxy_is_pure,
};

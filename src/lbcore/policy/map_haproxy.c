/* map_haproxy: HAProxy's `hash-type map-based`, bit for bit: the key's hash modulo the length of a map by weight.
 *
 * Source  haproxy_map.h, haproxy_key.h; checked against HAProxy 2.6.12.
 * Health  a target that is not usable has no places: the map is a new one, and most keys move.
 * Empty   a request with an empty key takes the next place in turn.  A new map goes on at the same number.
 * Step    asked again: the places that follow, once round.  (HAProxy itself would ask the same server again.)
 * Cost    walk O(bytes of the key); build O(places * log n); 4 bytes a place.
 * Keeps   requests without a key move the turn, a relaxed word.
 */
#include "base/alloc.h"
#include "policy/haproxy_key.h"
#include "policy/haproxy_map.h"

enum { FUNCTION, AVALANCHE };           /* places of the parameters */

typedef struct state {
    uint32_t *place;
    uint32_t n;
    lb_counter turn;
    lb_haproxy_function function;
    bool avalanche;
} state;

static const char *const functions[] = {"sdbm", "djb2", "wt6", "crc32", "none", NULL};

static const lb_param params[] = {
    LB_WORD("function", functions, "How a key is hashed; none is a decimal number."),
    LB_FLAG("avalanche", 0, "The key's hash is mixed once more."),
    {0},
};

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)old_index;
    const state *before = previous;
    state *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    s->function = (lb_haproxy_function)param[FUNCTION];
    s->avalanche = param[AVALANCHE] != 0;
    lb_status status = lb_haproxy_map_new(&s->place, &s->n, view, err);
    if (status) {
        lb_free(s);
        return status;
    }
    uint32_t turn = before ? lb_counter_read(&before->turn) : 0;
    if (turn < s->n) lb_counter_write(&s->turn, turn);
    *out = s;
    return LB_OK;
}

static void destroy(void *st) {
    state *s = st;
    if (!s) return;
    lb_free(s->place);
    lb_free(s);
}

static uint32_t walk(void *st, const lb_view *view, lb_walk *walk) {
    (void)view;
    state *s = st;
    uint32_t hash;
    bool keyed = lb_haproxy_hash(s->function, s->avalanche, &walk->key, &hash);
    return lb_haproxy_map_walk(s->place, s->n, &s->turn, keyed ? &hash : NULL, walk);
}

const lb_policy lb_policy_map_haproxy = {
    .name = "map_haproxy", .summary = "HAProxy's map-based hashing: the hash modulo a table by weight.",
    .params = params, .build = build, .destroy = destroy, .walk = walk, .is_pure = lb_haproxy_is_pure,
};

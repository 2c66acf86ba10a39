/* match: a request to the route of the least rank whose predicates hold.
 *
 * Order   buckets from the exact host over the longest wildcard to any host; in a bucket the exact path, then prefixes
 *         from the longest to the shortest; in a list as sorted.  The best so far is kept with its rank, and what
 *         cannot be better is skipped: a candidate with the rest of its list, a bucket, all wildcards.
 * Cost    per bucket that matches the host (one, as a rule): one look-up for the exact path, one per segment for the
 *         prefixes, as deep as routes go.  Independent of the number of routes; grows with the candidates that share
 *         host and path and whose predicates fail.  Wildcards: one look-up per label of the host.
 * Keeps   reads the router only; no allocation, no recursion.
 */
#include "base/alloc.h"
#include "route/bytes.h"
#include "route/normalise.h"
#include "route/router.h"

/* The best candidate so far. */
typedef struct found {
    uint64_t precedence, tie;
    uint32_t route;
} found;

static const found nothing = {UINT64_MAX, UINT64_MAX, LB_NONE};

/* What a walk looks for, and what it has. */
typedef struct search {
    const lb_tree *tree;
    lb_key path;
    const lb_seen *seen;
    found best;
} search;

static bool rule_holds(const lb_tree *t, uint32_t rule, const lb_seen *seen) {
    if (rule < LB_BARE_RULES) return rule == 0 || (rule & seen->method_bit);
    const uint32_t *first = &t->rules[rule - LB_BARE_RULES];
    for (uint32_t i = first[0]; i < first[1]; i++)
        if (!lb_predicate_holds(&t->predicates[i], &t->table, seen)) return false;
    return true;
}

static bool may_win(const search *s, const lb_candidate *c) {
    if (c->precedence != s->best.precedence) return c->precedence < s->best.precedence;
    return s->tree->ties[c->route] < s->best.tie;
}

/* Go through the lists from candidate `i` on until one holds, or cannot win: neither can what comes behind it. */
static void scan(search *s, uint32_t i) {
    while (i != LB_NONE) {
        const lb_candidate *c = &s->tree->candidates[i];
        if (c->route == LB_NONE) {
            i = c->rule;
            continue;
        }
        if (!may_win(s, c)) return;
        if (rule_holds(s->tree, c->rule & ~LB_LAST, s->seen)) {
            s->best = (found){c->precedence, s->tree->ties[c->route], c->route};
            return;
        }
        i = c->rule & LB_LAST ? LB_NONE : i + 1;
    }
}

/* The deepest node of the trie on the way of the path: "/a/b/" visits "a", "b" and finds no edge for the empty rest. */
static uint32_t deepest_node(const search *s, uint32_t node) {
    const lb_table *table = &s->tree->table;
    const char *at = s->path.text.data, *end = at + s->path.text.len;
    while (at < end) {
        const char *begin = ++at;
        while (at < end && *at != '/') at++;
        lb_key segment = lb_table_key(table, (lb_str){begin, (size_t)(at - begin)});
        uint32_t child = lb_table_find(table, node, &segment);
        if (child == LB_NONE) break;
        node = child;
    }
    return node;
}

static void search_bucket(search *s, uint32_t i) {
    const lb_tree *t = s->tree;
    const lb_bucket *bucket = &t->buckets[i];
    if (bucket->has_exact) {
        uint32_t node = lb_table_find(&t->table, bucket->root, &s->path);
        if (node != LB_NONE) scan(s, t->nodes[node]);
    }
    if (bucket->has_prefix && bucket->best_prefix <= s->best.precedence) scan(s, t->nodes[deepest_node(s, bucket->root)]);
}

/* "*.a.b" matches one or more labels on the left, never "a.b" itself.  From the left: the longest suffix first. */
static void search_wildcards(search *s, lb_str host) {
    for (size_t i = 0; i < host.len && s->tree->wildcards[host.len - i] <= s->best.precedence; i++) {
        if (host.data[i] != '.') continue;
        lb_key suffix = lb_table_key(&s->tree->table, (lb_str){host.data + i + 1, host.len - i - 1});
        uint32_t bucket = lb_table_find(&s->tree->table, LB_OWNER_WILDCARDS, &suffix);
        if (bucket != LB_NONE) search_bucket(s, bucket);
    }
}

static void search_tree(search *s, lb_str host) {
    const lb_tree *t = s->tree;
    if (t->n_buckets > 1 && host.len > 0) {
        lb_key name = lb_table_key(&t->table, host);
        uint32_t bucket = lb_table_find(&t->table, LB_OWNER_HOSTS, &name);
        if (bucket != LB_NONE) search_bucket(s, bucket);
        if (t->wildcards) search_wildcards(s, host);
    }
    if (t->buckets[0].best <= s->best.precedence) search_bucket(s, 0);
}

static uint32_t first_of_all(const lb_router *r, lb_str host, lb_str path, const lb_seen *seen) {
    search s = {r->tree, lb_table_key(&r->tree->table, path), seen, nothing};
    search_tree(&s, host);
    return s.best.route;
}

/* Rule 4: "%2F and %5C stay data.  If reading them as / would select another route, refuse."  No route is another
 * than one.  The second reading goes first: it needs the scratch of the first, which is then read once more. */
static const char *find_both(const lb_router *r, const lb_request *request, char *scratch, lb_str host,
                             lb_reading *reading, const lb_seen *seen, uint32_t *route) {
    lb_str path;
    const char *refused = lb_read_again(reading->path, scratch, &path);
    if (refused) return refused;
    uint32_t other = first_of_all(r, host, path, seen);
    (void)lb_read_target(request->method, request->target, scratch, reading);
    *route = first_of_all(r, host, reading->path, seen);
    return *route == other ? NULL : "the path holds %2F or %5C, and reading them as \"/\" would give another route";
}

static const char *find(const lb_router *r, const lb_request *request, char *scratch, lb_str host,
                        lb_reading *reading, uint32_t *route) {
    lb_seen seen = {request->method, reading->query, lb_method_bit(request->method), request->headers,
                    request->n_headers};
    if (reading->path.data[0] != '/') return NULL;          /* "*" "and never a path" (rule 1) */
    if (reading->encoded_slash) return find_both(r, request, scratch, host, reading, &seen, route);
    *route = first_of_all(r, host, reading->path, &seen);
    return NULL;
}

/* Rule 1: in the absolute-form "its authority replaces Host"; a Host that is none is refused all the same (RFC 9112
 * 3.2).  The scratch of the host lies behind that of the path, and is as long as both. */
static const char *read_host_of(const lb_request *request, char *scratch, const lb_reading *reading, lb_str *host) {
    bool dropped;
    char *behind = scratch + (request->target.len - reading->authority.len);
    const char *refused = lb_read_host(request->host, behind, host, &dropped);
    if (refused || !reading->authority.data) return refused;
    return lb_read_host(reading->authority, behind, host, &dropped);
}

lb_outcome lb_router_match(const lb_router *router, const lb_request *request, char *scratch, lb_answer *answer) {
    lb_reading reading;
    lb_str host = {0};
    uint32_t route = LB_NONE;
    const char *refused = lb_check_fields(request);
    if (!refused) refused = lb_read_target(request->method, request->target, scratch, &reading);
    if (!refused) refused = read_host_of(request, scratch, &reading, &host);
    if (!refused) refused = find(router, request, scratch, host, &reading, &route);
    if (refused) {
        *answer = (lb_answer){.route = LB_NONE, .reason = refused};
        return LB_REFUSED;
    }
    *answer = (lb_answer){.route = route, .path = reading.path, .query = reading.query, .host = host};
    return route == LB_NONE ? LB_NO_ROUTE : LB_FOUND;
}

/* ---- public ----------------------------------------------------------------------------------------------- */

lb_status lb_router_new(lb_router **out, const lb_route_spec *specs, uint32_t n, lb_flavor flavor, uint64_t seed,
                        lb_error *err) {
    const lb_flavor_rules *rules = lb_flavor_rules_of(flavor);
    if (!rules) return lb_fail(err, LB_ERR_CONFIG, "flavor", "%d is not known; 0 is gateway_api", (int)flavor);
    lb_router *router = lb_alloc_zero(1, sizeof *router);
    if (!router) return lb_no_memory(err, "routes");
    lb_status status = lb_tree_new(&router->tree, specs, n, rules, seed, err);
    if (status == LB_OK) *out = router;
    else lb_router_free(router);
    return status;
}

void lb_router_free(lb_router *router) {
    if (!router) return;
    lb_tree_free(router->tree);
    lb_free(router);
}

size_t lb_router_memory(const lb_router *router) { return sizeof *router + lb_tree_memory(router->tree); }

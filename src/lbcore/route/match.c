/* match: a request to the route of the least rank whose predicates hold.
 *
 * Order   buckets from the exact host over the longest wildcard to any host; in a bucket the exact path, then prefixes
 *         from the longest to the shortest; in a list as sorted.  This is the precedence of the flavour (compile.c),
 *         so the first candidate that holds is the answer and the walk ends there.
 * Cost    per bucket that matches the host (one, as a rule): one look-up for the exact path, one per segment for the
 *         prefixes, as deep as routes go.  Independent of the number of routes; grows with the candidates that share
 *         host and path and whose predicates fail.  Wildcards: one look-up per label of the host.
 * Keeps   reads the router only; no allocation, no recursion.
 */
#include "route/bytes.h"
#include "route/normalise.h"
#include "route/router.h"

/* What a walk looks for. */
typedef struct search {
    const lb_router *router;
    lb_key path;
    const lb_seen *seen;
} search;

static bool rule_holds(const lb_router *r, uint32_t rule, const lb_seen *seen) {
    if (rule < LB_BARE_RULES) return rule == 0 || (rule & seen->method_bit);
    const uint32_t *first = &r->rules[rule - LB_BARE_RULES];
    for (uint32_t i = first[0]; i < first[1]; i++)
        if (!lb_predicate_holds(&r->predicates[i], &r->table, seen)) return false;
    return true;
}

/* The first route whose rule holds, in the lists that `node` leads to; or LB_NONE. */
static uint32_t first_of_node(const search *s, uint32_t node) {
    for (uint32_t i = s->router->nodes[node]; i != LB_NONE;) {
        const lb_candidate *c = &s->router->candidates[i];
        if (c->route == LB_NONE) {
            i = c->rule;
            continue;
        }
        if (rule_holds(s->router, c->rule, s->seen)) return c->route;
        i++;
    }
    return LB_NONE;
}

/* The deepest node of the trie on the way of the path: "/a/b/" visits "a", "b" and finds no edge for the empty rest. */
static uint32_t deepest_node(const search *s, uint32_t node) {
    const lb_table *table = &s->router->table;
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

static uint32_t first_in_bucket(const search *s, uint32_t i) {
    const lb_bucket *bucket = &s->router->buckets[i];
    uint32_t route = LB_NONE;
    if (bucket->has_exact) {
        uint32_t node = lb_table_find(&s->router->table, bucket->root, &s->path);
        if (node != LB_NONE) route = first_of_node(s, node);
    }
    if (route == LB_NONE && bucket->has_prefix) route = first_of_node(s, deepest_node(s, bucket->root));
    return route;
}

/* "*.a.b" matches one or more labels on the left, never "a.b" itself.  From the left: the longest suffix first. */
static uint32_t first_of_wildcards(const search *s, lb_str host) {
    uint32_t route = LB_NONE;
    for (size_t i = 0; i < host.len && route == LB_NONE; i++) {
        if (host.data[i] != '.') continue;
        lb_key suffix = lb_table_key(&s->router->table, (lb_str){host.data + i + 1, host.len - i - 1});
        uint32_t bucket = lb_table_find(&s->router->table, LB_OWNER_WILDCARDS, &suffix);
        if (bucket != LB_NONE) route = first_in_bucket(s, bucket);
    }
    return route;
}

static uint32_t first_of_all(const lb_router *r, lb_str host, lb_str path, const lb_seen *seen) {
    search s = {r, lb_table_key(&r->table, path), seen};
    uint32_t route = LB_NONE;
    if (r->n_buckets > 1 && host.len > 0) {
        lb_key name = lb_table_key(&r->table, host);
        uint32_t bucket = lb_table_find(&r->table, LB_OWNER_HOSTS, &name);
        if (bucket != LB_NONE) route = first_in_bucket(&s, bucket);
        if (route == LB_NONE && r->has_wildcard) route = first_of_wildcards(&s, host);
    }
    return route != LB_NONE ? route : first_in_bucket(&s, 0);
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

lb_match_outcome lb_router_match(const lb_router *router, const lb_request *request, char *scratch, lb_answer *answer) {
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

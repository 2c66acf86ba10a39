/* compile: from route specifications to the structure of router.h.
 *
 * Source  precedence of the Gateway API (gateway-api.md 2.3 to 2.5): "most characters in a matching non-wildcard
 *         hostname, then most characters in a matching hostname"; "Exact path > longest PathPrefix (characters) > has
 *         a method match > number of header matches > number of query matches"; then the order of the specifications.
 * Rank    (precedence, tie), least first.  Host and path come first in it, so all that share both stand in one list;
 *         match.c visits lists in that order and needs no rank any more.  The tie is the specification's index with
 *         gaps between neighbours, so that a later change can put a route between two.
 * Cost    O(bytes of all specifications + n log n within a list); about 0.4 us a route.
 * Keeps   a failed build leaves nothing behind.
 */
#include "base/vec.h"
#include "route/router.h"

typedef struct rank { uint64_t precedence, tie; } rank;

/* A candidate on its way into its list: one host and path of one specification. */
typedef struct pending {
    rank rank;
    uint32_t node, route, rule;
} pending;

typedef struct builder {
    lb_router *router;              /* the table grows in place, arrays come from the vectors at the end */
    lb_vec buckets, nodes, parents, rules, predicates;      /* a node counts its candidates until the end */
    pending *pending;
    uint32_t n_pending;
} builder;

/* What of a specification is the same for each of its hosts. */
typedef struct compiled {
    const lb_route_spec *spec;
    uint32_t route, rule, n_headers, n_query;
} compiled;

/* ---- rank ------------------------------------------------------------------------------------------------- */

static lb_str without_trailing_slash(lb_str path) {
    return path.data[path.len - 1] == '/' ? (lb_str){path.data, path.len - 1} : path;
}

/* Greater is better in each field, so the complement of the whole is least for the best.  `host` NULL: any. */
static rank rank_of(const compiled *c, const lb_spec_host *host) {
    bool exact = c->spec->path_type == LB_PATH_EXACT;
    uint64_t name = !host || host->wildcard ? 0 : host->name.len;
    uint64_t characters = !host ? 0 : host->name.len + (host->wildcard ? 2 : 0);
    uint64_t prefix = exact ? 0 : without_trailing_slash(c->spec->path).len;
    uint64_t good = name << 56 | characters << 48 | (uint64_t)exact << 47 | prefix << 21
                    | (uint64_t)(c->spec->n_methods > 0) << 20 | (uint64_t)c->n_headers << 10 | c->n_query;
    return (rank){~good, (uint64_t)c->route << 32};
}

static bool precedes(const rank *a, const rank *b) {
    return a->precedence != b->precedence ? a->precedence < b->precedence : a->tie < b->tie;
}

/* ---- rules ------------------------------------------------------------------------------------------------ */

static bool add_predicate(builder *b, lb_predicate_kind kind, uint32_t name, uint32_t value) {
    lb_predicate *p = lb_vec_push(&b->predicates);
    if (!p || name == LB_NONE || value == LB_NONE) return false;
    *p = (lb_predicate){(uint32_t)kind, name, value};
    return true;
}

static uint32_t mask_of_common(const lb_route_spec *spec, uint32_t *n_others) {
    uint32_t mask = 0;
    *n_others = 0;
    for (uint32_t i = 0; i < spec->n_methods; i++) {
        uint32_t bit = lb_method_bit(spec->methods[i]);
        mask |= bit;
        *n_others += bit == 0;
    }
    return mask;
}

/* The place of the uncommon methods in the pool, separated by spaces. */
static uint32_t keep_other_methods(builder *b, const lb_route_spec *spec) {
    lb_vec text;
    lb_vec_init(&text, 1);
    bool ok = true;
    for (uint32_t i = 0; i < spec->n_methods && ok; i++) {
        lb_str method = spec->methods[i];
        uint32_t at = text.n;
        if (lb_method_bit(method)) continue;
        ok = lb_vec_reserve(&text, at + (uint32_t)method.len + 1);
        if (!ok) break;
        memcpy((char *)text.items + at, method.data, method.len);
        ((char *)text.items)[at + method.len] = ' ';
        text.n = at + (uint32_t)method.len + 1;
    }
    uint32_t place = ok ? lb_table_keep(&b->router->table, (lb_str){text.items, text.n}) : LB_NONE;
    lb_vec_free(&text);
    return place;
}

static bool add_condition(builder *b, const lb_condition *c) {
    uint32_t name = lb_table_keep(&b->router->table, c->name), value = lb_table_keep(&b->router->table, c->value);
    return add_predicate(b, c->kind == LB_CONDITION_HEADER ? LB_PREDICATE_header : LB_PREDICATE_query, name, value);
}

static bool add_conditions(builder *b, compiled *c) {
    for (uint32_t i = 0; i < c->spec->n_conditions; i++) {
        if (!lb_spec_condition_counts(c->spec, i)) continue;
        if (!add_condition(b, &c->spec->conditions[i])) return false;
        if (c->spec->conditions[i].kind == LB_CONDITION_HEADER) c->n_headers++;
        else c->n_query++;
    }
    return true;
}

static bool compile_rule(builder *b, compiled *c) {
    uint32_t n_others, mask = mask_of_common(c->spec, &n_others);
    c->rule = mask;
    if (n_others == 0 && c->spec->n_conditions == 0) return true;
    c->rule = LB_BARE_RULES + b->rules.n;
    uint32_t *first = lb_vec_push(&b->rules);
    if (!first) return false;
    *first = b->predicates.n;
    if (c->spec->n_methods > 0 && !add_predicate(b, LB_PREDICATE_method, mask, keep_other_methods(b, c->spec)))
        return false;
    return add_conditions(b, c);
}

/* ---- hosts, paths ----------------------------------------------------------------------------------------- */

static lb_bucket *bucket_at(builder *b, uint32_t i) { return (lb_bucket *)b->buckets.items + i; }
static uint32_t *node_at(const builder *b, uint32_t i) { return (uint32_t *)b->nodes.items + i; }

static uint32_t new_node(builder *b, uint32_t parent) {
    if (b->nodes.n == LB_N_NODES_MAX || !lb_vec_push(&b->nodes)) return LB_NONE;
    uint32_t *up = lb_vec_push(&b->parents);
    if (!up) return LB_NONE;
    *up = parent;
    return b->nodes.n - 1;
}

static uint32_t new_bucket(builder *b) {
    uint32_t root = new_node(b, LB_NONE);
    lb_bucket *bucket = root == LB_NONE ? NULL : lb_vec_push(&b->buckets);
    if (!bucket) return LB_NONE;
    bucket->root = root;
    return b->buckets.n - 1;
}

/* The node under (owner, key), made as a child of `parent` if need be; LB_NONE: out of memory. */
static uint32_t node_under(builder *b, uint32_t owner, lb_str key, uint32_t parent) {
    uint32_t *node = lb_table_at(&b->router->table, owner, key);
    if (node && *node == LB_NONE) *node = new_node(b, parent);
    return node ? *node : LB_NONE;
}

static uint32_t node_of_prefix(builder *b, uint32_t root, lb_str path) {
    uint32_t node = root;
    path = without_trailing_slash(path);
    for (size_t i = 0; i < path.len && node != LB_NONE;) {
        size_t begin = ++i;
        while (i < path.len && path.data[i] != '/') i++;
        node = node_under(b, node, (lb_str){path.data + begin, i - begin}, node);
    }
    return node;
}

static uint32_t node_of_path(builder *b, lb_bucket *bucket, const lb_route_spec *spec) {
    bool exact = spec->path_type == LB_PATH_EXACT;
    bucket->has_exact |= exact;
    bucket->has_prefix |= !exact;
    return exact ? node_under(b, bucket->root, spec->path, LB_NONE) : node_of_prefix(b, bucket->root, spec->path);
}

static uint32_t bucket_of(builder *b, const lb_spec_host *host) {
    if (!host) return 0;
    b->router->has_wildcard |= host->wildcard;
    uint32_t *bucket = lb_table_at(&b->router->table, host->wildcard ? LB_OWNER_WILDCARDS : LB_OWNER_HOSTS, host->name);
    if (bucket && *bucket == LB_NONE) *bucket = new_bucket(b);
    return bucket ? *bucket : LB_NONE;
}

static lb_status add_candidate(builder *b, const compiled *c, const lb_spec_host *host, lb_error *err) {
    if (host && b->buckets.n > LB_N_HOSTS_MAX)
        return lb_fail(err, LB_ERR_CONFIG, "", "more than 1048576 different hosts");
    uint32_t bucket = bucket_of(b, host);
    uint32_t node = bucket == LB_NONE ? LB_NONE : node_of_path(b, bucket_at(b, bucket), c->spec);
    if (node == LB_NONE) return lb_no_memory(err, "routes");
    ++*node_at(b, node);
    b->pending[b->n_pending++] = (pending){rank_of(c, host), node, c->route, c->rule};
    return LB_OK;
}

static lb_status add_hosts(builder *b, const compiled *c, lb_error *err) {
    if (c->spec->n_hosts == 0) return add_candidate(b, c, NULL, err);
    for (uint32_t i = 0; i < c->spec->n_hosts; i++) {
        lb_spec_host host;
        lb_status status = lb_spec_read_host(c->spec->hosts[i], &host, err);
        if (status == LB_OK) status = add_candidate(b, c, &host, err);
        if (status == LB_OK) continue;
        if (status == LB_ERR_CONFIG) lb_error_in(err, "hosts", i);
        return status;
    }
    return LB_OK;
}

static lb_status add_spec(builder *b, const lb_route_spec *spec, uint32_t route, lb_error *err) {
    compiled c = {.spec = spec, .route = route};
    lb_status status = lb_spec_check(spec, err);
    if (status == LB_OK && !compile_rule(b, &c)) status = lb_no_memory(err, "routes");
    if (status == LB_OK) status = add_hosts(b, &c, err);
    if (status == LB_ERR_CONFIG) lb_error_in(err, "routes", route);
    return status;
}

/* ---- candidates, sorted ----------------------------------------------------------------------------------- */

/* In here candidates[].route is an index into b->pending. */
static bool out_of_order(const builder *b, const lb_candidate *left, const lb_candidate *right) {
    return precedes(&b->pending[right->route].rank, &b->pending[left->route].rank);
}

static void swap(lb_candidate *a, lb_candidate *b) {
    lb_candidate was = *a;
    *a = *b;
    *b = was;
}

static void sift_down(const builder *b, lb_candidate *heap, uint32_t root, uint32_t n) {
    for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && out_of_order(b, &heap[child + 1], &heap[child])) child++;
        if (!out_of_order(b, &heap[child], &heap[root])) return;
        swap(&heap[root], &heap[child]);
    }
}

/* Heap sort: in place, n log n for every input, and no recursion.  Most lists hold one, or are in order already. */
static void sort_list(const builder *b, lb_candidate *list, uint32_t n) {
    uint32_t sorted = 1;
    while (sorted < n && !out_of_order(b, &list[sorted - 1], &list[sorted])) sorted++;
    if (sorted >= n) return;
    for (uint32_t i = n / 2; i-- > 0;) sift_down(b, list, i, n);
    while (n-- > 1) {
        swap(&list[0], &list[n]);
        sift_down(b, list, 0, n);
    }
}

static uint32_t count_lists(const builder *b) {
    uint32_t n = 0;
    for (uint32_t node = 0; node < b->nodes.n; node++) n += *node_at(b, node) > 0;
    return n;
}

/* A node's count becomes where its candidates begin (LB_NONE: it has none). */
static void group_by_node(builder *b, lb_candidate *candidates) {
    uint32_t end = 0;
    for (uint32_t node = 0; node < b->nodes.n; node++) {
        uint32_t *count = node_at(b, node);
        if (*count == 0) {
            *count = LB_NONE;
            continue;
        }
        end += *count;
        *count = end;
        candidates[end++] = (lb_candidate){LB_NONE, LB_NONE};
    }
    for (uint32_t i = b->n_pending; i-- > 0;) candidates[--*node_at(b, b->pending[i].node)].route = i;
}

/* Sort the list at `begin`, replace indices by what they stand for, and end it with the list `above`. */
static void close_list(const builder *b, lb_candidate *begin, uint32_t above) {
    lb_candidate *end = begin;
    while (end->route != LB_NONE) end++;
    sort_list(b, begin, (uint32_t)(end - begin));
    for (lb_candidate *c = begin; c < end; c++) {
        const pending *p = &b->pending[c->route];
        *c = (lb_candidate){p->route, p->rule};
    }
    end->rule = above;
}

/* Parents are older than their children: one ascending pass gives each node the nearest list above it. */
static void close_lists(builder *b, lb_candidate *candidates) {
    for (uint32_t node = 0; node < b->nodes.n; node++) {
        uint32_t parent = ((const uint32_t *)b->parents.items)[node], *begin = node_at(b, node);
        uint32_t above = parent == LB_NONE ? LB_NONE : *node_at(b, parent);
        if (*begin == LB_NONE) *begin = above;
        else close_list(b, candidates + *begin, above);
    }
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

static bool take_arrays(builder *b) {
    lb_router *r = b->router;
    r->n_buckets = b->buckets.n;
    r->n_nodes = b->nodes.n;
    r->n_rules = b->rules.n - 1;
    r->n_predicates = b->predicates.n;
    return lb_vec_take(&b->buckets, &r->buckets) && lb_vec_take(&b->nodes, &r->nodes)
           && lb_vec_take(&b->rules, &r->rules) && lb_vec_take(&b->predicates, &r->predicates)
           && lb_table_fit(&r->table);
}

static bool finish(builder *b) {
    lb_router *r = b->router;
    uint32_t *end = lb_vec_push(&b->rules);                 /* where the last rule ends */
    if (!end) return false;
    *end = b->predicates.n;
    r->n_candidates = b->n_pending + count_lists(b);
    r->candidates = lb_alloc_array(r->n_candidates, sizeof *r->candidates);
    if (!r->candidates) return false;
    group_by_node(b, r->candidates);
    close_lists(b, r->candidates);
    return take_arrays(b);
}

static lb_status count_candidates(const lb_route_spec *specs, uint32_t n, uint32_t *n_candidates, lb_error *err) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += specs[i].n_hosts ? specs[i].n_hosts : 1;
    if (sum > LB_N_CANDIDATES_MAX)
        return lb_fail(err, LB_ERR_CONFIG, "routes", "%llu hosts in all; at most 2147483647", (unsigned long long)sum);
    *n_candidates = (uint32_t)sum;
    return LB_OK;
}

static lb_status build(builder *b, const lb_route_spec *specs, uint32_t n, uint64_t seed, lb_error *err) {
    uint32_t n_candidates = 0;
    lb_status status = count_candidates(specs, n, &n_candidates, err);
    if (status != LB_OK) return status;
    b->router = lb_alloc_zero(1, sizeof *b->router);
    b->pending = lb_alloc_array(n_candidates, sizeof *b->pending);
    if (!b->router || !b->pending || !lb_table_init(&b->router->table, n_candidates, seed) || new_bucket(b) == LB_NONE)
        return lb_no_memory(err, "routes");
    for (uint32_t i = 0; i < n && status == LB_OK; i++) status = add_spec(b, &specs[i], i, err);
    if (status == LB_OK && !finish(b)) status = lb_no_memory(err, "routes");
    return status;
}

static void builder_init(builder *b) {
    *b = (builder){0};
    lb_vec_init(&b->buckets, sizeof(lb_bucket));
    lb_vec_init(&b->nodes, sizeof(uint32_t));
    lb_vec_init(&b->parents, sizeof(uint32_t));
    lb_vec_init(&b->rules, sizeof(uint32_t));
    lb_vec_init(&b->predicates, sizeof(lb_predicate));
}

static void builder_free(builder *b) {
    lb_vec_free(&b->buckets);
    lb_vec_free(&b->nodes);
    lb_vec_free(&b->parents);
    lb_vec_free(&b->rules);
    lb_vec_free(&b->predicates);
    lb_free(b->pending);
}

lb_status lb_router_new(lb_router **out, const lb_route_spec *specs, uint32_t n, lb_flavor flavor, uint64_t seed,
                        lb_error *err) {
    builder b;
    if (flavor != LB_FLAVOR_GATEWAY_API)
        return lb_fail(err, LB_ERR_CONFIG, "flavor", "%d is not known; 0 is gateway_api", (int)flavor);
    builder_init(&b);
    lb_status status = build(&b, specs, n, seed, err);
    builder_free(&b);
    if (status == LB_OK) *out = b.router;
    else lb_router_free(b.router);
    return status;
}

void lb_router_free(lb_router *router) {
    if (!router) return;
    lb_table_free(&router->table);
    lb_free(router->buckets);
    lb_free(router->nodes);
    lb_free(router->candidates);
    lb_free(router->rules);
    lb_free(router->predicates);
    lb_free(router);
}

size_t lb_router_memory(const lb_router *r) {
    return sizeof *r + lb_table_memory(&r->table) + r->n_buckets * sizeof *r->buckets + r->n_nodes * sizeof *r->nodes
           + r->n_candidates * sizeof *r->candidates
           + (r->n_rules + 1) * sizeof *r->rules + r->n_predicates * sizeof *r->predicates;
}

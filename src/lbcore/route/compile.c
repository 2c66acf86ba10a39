/* compile: from route specifications to the structure of router.h.
 *
 * Cost    O(bytes of all specifications + n log n within a list); about 0.4 us a route.
 * Keeps   a failed build leaves nothing behind.
 */
#include "base/alloc.h"
#include "route/compile.h"
#include "route/hits.h"

/* ---- nodes, hosts ------------------------------------------------------------------------------------------ */

static void lower(uint64_t *least, uint64_t value) {
    if (value < *least) *least = value;
}

static lb_bucket *bucket_at(lb_builder *b, uint32_t i) { return (lb_bucket *)b->buckets.items + i; }

uint32_t lb_builder_node(lb_builder *b, uint32_t parent) {
    uint32_t *up = b->parents.n == LB_N_NODES_MAX ? NULL : lb_vec_push(&b->parents);
    if (!up) return LB_NONE;
    *up = parent;
    return b->parents.n - 1;
}

static uint32_t new_bucket(lb_builder *b) {
    uint32_t root = lb_builder_node(b, LB_NONE);
    lb_bucket *bucket = root == LB_NONE ? NULL : lb_vec_push(&b->buckets);
    if (!bucket) return LB_NONE;
    *bucket = (lb_bucket){.best = UINT64_MAX, .best_prefix = UINT64_MAX, .root = root};
    return b->buckets.n - 1;
}

bool lb_builder_paths(lb_builder *b) {
    b->tree->paths = new_bucket(b);
    if (b->tree->paths == LB_NONE) return false;
    bucket_at(b, b->tree->paths)->best = bucket_at(b, b->tree->paths)->best_prefix = 0;
    return true;
}

uint32_t lb_builder_node_under(lb_builder *b, uint32_t owner, lb_str key, uint32_t parent) {
    uint32_t *node = lb_table_at(&b->tree->table, owner, key);
    if (node && *node == LB_NONE) *node = lb_builder_node(b, parent);
    return node ? *node : LB_NONE;
}

static bool want_wildcards(lb_tree *tree) {
    if (tree->wildcards) return true;
    tree->wildcards = lb_alloc_array(LB_HOST_MAX + 1, sizeof *tree->wildcards);
    if (!tree->wildcards) return false;
    for (uint32_t i = 0; i <= LB_HOST_MAX; i++) tree->wildcards[i] = UINT64_MAX;
    return true;
}

static uint32_t bucket_of(lb_builder *b, const lb_compiled *c, const lb_spec_host *host) {
    if (c->spec->stream && b->tree->streams == LB_NONE) b->tree->streams = new_bucket(b);
    if (!host) return c->spec->stream ? b->tree->streams : 0;
    static const uint32_t owners[] = {LB_OWNER_HOSTS, LB_OWNER_WILDCARDS, LB_OWNER_PREFIXES};
    if (host->kind == LB_HOST_SUFFIX && !want_wildcards(b->tree)) return LB_NONE;
    uint32_t *bucket = lb_table_at(&b->tree->table, owners[host->kind], host->name);
    if (bucket && *bucket == LB_NONE) *bucket = new_bucket(b);
    return bucket ? *bucket : LB_NONE;
}

static uint64_t precedence_of(const lb_builder *b, const lb_compiled *c, const lb_spec_host *host) {
    lb_facts facts = c->facts;
    if (host) {
        facts.host_is_exact = host->kind == LB_HOST_EXACT;
        facts.host_characters = (uint32_t)host->name.len + (facts.host_is_exact ? 0 : 2);
    }
    const lb_flavor_rules *flavor = b->plan->flavor;
    return (c->spec->stream ? flavor->stream_precedence : flavor->precedence)(&facts);
}

/* Remember the least precedence of whatever may be skipped as a whole. */
static void note_precedence(lb_builder *b, lb_bucket *bucket, const lb_compiled *c, const lb_spec_host *host,
                            uint64_t value) {
    if (b->plan->flavor->reduces) value &= ~(LB_RANK_REDUCED | LB_RANK_BOTH);           /* as if it went first */
    lower(&bucket->best, value);
    if (c->spec->path_type != LB_PATH_EXACT) lower(&bucket->best_prefix, value);
    if (host && host->kind == LB_HOST_SUFFIX) lower(&b->tree->wildcards[host->name.len], value);
    if (host && host->kind == LB_HOST_PREFIX) lower(&b->tree->best_of_prefixes, value);
}

static lb_status add_candidate(lb_builder *b, const lb_compiled *c, const lb_spec_host *host, lb_error *err) {
    if (host && b->buckets.n > LB_N_HOSTS_MAX)
        return lb_fail(err, LB_ERR_CONFIG, "", "more than 1048576 different hosts");
    uint32_t bucket = bucket_of(b, c, host);
    uint32_t node = bucket == LB_NONE ? LB_NONE : lb_compile_path(b, bucket_at(b, bucket), c->spec);
    if (node == LB_NONE) return lb_no_memory(err, "routes");
    uint64_t precedence = precedence_of(b, c, host);
    note_precedence(b, bucket_at(b, bucket), c, host, precedence);
    lb_pending *pending = lb_vec_push(&b->pending);
    if (!pending) return lb_no_memory(err, "routes");
    *pending = (lb_pending){{precedence, c->route, c->rule}, node};
    return LB_OK;
}

/* A host with a port has a rule of its own. */
static lb_status add_host(lb_builder *b, const lb_compiled *c, const lb_spec_host *host, lb_error *err) {
    lb_compiled own = *c;
    if (host->port && !lb_compile_rule(b, &own, host)) return lb_no_memory(err, "routes");
    return add_candidate(b, &own, host, err);
}

static lb_status add_hosts(lb_builder *b, const lb_compiled *c, lb_error *err) {
    if (c->spec->n_hosts == 0) return add_candidate(b, c, NULL, err);
    for (uint32_t i = 0; i < c->spec->n_hosts; i++) {
        lb_spec_host host;
        lb_status status = lb_spec_read_host(c->spec->hosts[i], b->plan->flavor->kong, &host, err);
        if (status == LB_OK) status = add_host(b, c, &host, err);
        if (status == LB_OK) continue;
        if (status == LB_ERR_CONFIG) lb_error_in(err, "hosts", i);
        return status;
    }
    return LB_OK;
}

/* What Kong weighs of all hosts of a route; a wrong one is found later. */
static void weigh_hosts(lb_compiled *c, bool kong) {
    lb_spec_host host;
    c->facts.spec = c->spec;
    c->facts.hosts_are_plain = c->spec->n_hosts > 0;
    for (uint32_t i = 0; kong && i < c->spec->n_hosts; i++) {
        if (lb_spec_read_host(c->spec->hosts[i], kong, &host, NULL) != LB_OK || host.kind == LB_HOST_EXACT) continue;
        c->facts.hosts_are_plain = false;
        c->facts.wildcard_has_port |= host.port > 0;
    }
}

static bool add_hits(lb_builder *b, lb_compiled *c) {
    uint64_t precedence = precedence_of(b, c, NULL);
    c->category = (unsigned)(~precedence >> 54) & 0x7F;
    c->order = precedence >> 9 & ((UINT64_C(1) << 43) - 1);
    return lb_compile_hits(b, c);
}

static lb_status add_spec(lb_builder *b, const lb_route_spec *spec, uint32_t route, lb_error *err) {
    lb_compiled c = {.spec = spec, .route = route};
    lb_status status = lb_spec_check(spec, b->plan->flavor->kong, err);
    if (status == LB_OK) c.facts = lb_facts_of_path(spec);
    if (status == LB_OK) weigh_hosts(&c, b->plan->flavor->kong);
    if (status == LB_OK && !lb_compile_rule(b, &c, NULL)) status = lb_no_memory(err, "routes");
    if (status == LB_OK) status = add_hosts(b, &c, err);
    if (status == LB_OK && b->plan->flavor->reduces && !add_hits(b, &c)) status = lb_no_memory(err, "routes");
    if (status == LB_ERR_CONFIG) lb_error_in(err, b->plan->name, route - b->plan->first);
    return status;
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

static bool take_arrays(lb_builder *b) {
    lb_tree *t = b->tree;
    t->n_buckets = b->buckets.n;
    t->n_rules = b->rules.n - 1;
    t->n_predicates = b->predicates.n;
    t->n_groups = b->groups.n;
    t->n_forks = b->forks.n;
    t->n_lengths = b->lengths.n;
    t->n_counts = b->counts.n;
    t->n_keys = b->keys.n;
    t->n_uris = b->uris.n;
    return lb_vec_take(&b->buckets, &t->buckets) && lb_vec_take(&b->rules, &t->rules)
           && lb_vec_take(&b->predicates, &t->predicates) && lb_vec_take(&b->groups, &t->groups)
           && lb_vec_take(&b->forks, &t->forks) && lb_vec_take(&b->lengths, &t->lengths)
           && lb_vec_take(&b->counts, &t->counts) && lb_vec_take(&b->keys, &t->keys)
           && lb_vec_take(&b->firsts, &t->firsts) && lb_vec_take(&b->uris, &t->uris) && lb_table_fit(&t->table);
}

static bool finish(lb_builder *b) {
    uint32_t *end = lb_vec_push(&b->rules);                 /* where the last rule ends */
    if (!end) return false;
    *end = b->predicates.n;
    if (b->uris.n > 0 && !(end = lb_vec_push(&b->firsts))) return false;
    if (b->uris.n > 0) *end = b->keys.n;
    if (b->tree->wildcards)
        for (uint32_t i = 1; i <= LB_HOST_MAX; i++) lower(&b->tree->wildcards[i], b->tree->wildcards[i - 1]);
    return lb_index_lists(b) && lb_lists_new(b) && take_arrays(b);
}

static lb_status count_candidates(const lb_route_spec *specs, uint32_t n, const uint64_t *dead, uint32_t *n_candidates,
                                  lb_error *err) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!lb_bit(dead, i)) sum += specs[i].n_hosts ? specs[i].n_hosts : 1;
    if (sum > LB_N_CANDIDATES_MAX)
        return lb_fail(err, LB_ERR_CONFIG, "routes", "%llu hosts in all; at most 2147483647", (unsigned long long)sum);
    *n_candidates = (uint32_t)sum;
    return LB_OK;
}

/* A copy of `n` items, or NULL: out of memory. */
static void *copy_of(const void *items, uint32_t n, size_t size) {
    void *copy = lb_alloc_array(n, size);
    if (copy && n > 0) memcpy(copy, items, n * size);
    return copy;
}

static bool begin(lb_builder *b, uint32_t n, uint32_t n_candidates) {
    lb_tree *t = lb_alloc_zero(1, sizeof *b->tree);
    b->tree = t;
    if (!t || !lb_vec_reserve(&b->pending, n_candidates)) return false;
    atomic_init(&t->n_owners, 1);
    t->n_routes = n;
    t->streams = t->paths = LB_NONE;
    t->best_of_prefixes = UINT64_MAX;
    t->one_label = b->plan->flavor->one_label;
    t->ties = b->plan->ties ? copy_of(b->plan->ties, n, sizeof *t->ties) : lb_alloc_array(n, sizeof *t->ties);
    if (!t->ties) return false;
    for (uint32_t i = 0; i < n && !b->plan->ties; i++) t->ties[i] = lb_tie_of(i);
    t->ids = b->plan->ids ? copy_of(b->plan->ids, n, sizeof *t->ids) : NULL;
    if (b->plan->ids && !t->ids) return false;
    return lb_table_init(&t->table, n_candidates, b->plan->seed) && new_bucket(b) != LB_NONE;
}

static lb_status build(lb_builder *b, const lb_route_spec *specs, uint32_t n, lb_error *err) {
    uint32_t n_candidates = 0;
    lb_status status = count_candidates(specs, n, b->plan->dead, &n_candidates, err);
    if (status != LB_OK) return status;
    if (!begin(b, n, n_candidates)) return lb_no_memory(err, "routes");
    for (uint32_t i = 0; i < n && status == LB_OK; i++)
        if (!lb_bit(b->plan->dead, i)) status = add_spec(b, &specs[i], i, err);
    if (status == LB_OK && !finish(b)) status = lb_no_memory(err, "routes");
    return status;
}

static void builder_init(lb_builder *b, const lb_plan *plan) {
    *b = (lb_builder){.plan = plan};
    lb_vec_init(&b->buckets, sizeof(lb_bucket));
    lb_vec_init(&b->parents, sizeof(uint32_t));
    lb_vec_init(&b->rules, sizeof(uint32_t));
    lb_vec_init(&b->predicates, sizeof(lb_predicate));
    lb_vec_init(&b->pending, sizeof(lb_pending));
    lb_vec_init(&b->groups, sizeof(lb_group));
    lb_vec_init(&b->forks, sizeof(lb_fork));
    lb_vec_init(&b->lengths, sizeof(uint64_t));
    lb_vec_init(&b->counts, sizeof(uint32_t));
    lb_vec_init(&b->keys, sizeof(uint32_t));
    lb_vec_init(&b->firsts, sizeof(uint32_t));
    lb_vec_init(&b->uris, sizeof(lb_uri));
}

static void builder_free(lb_builder *b) {
    lb_vec_free(&b->buckets);
    lb_vec_free(&b->parents);
    lb_vec_free(&b->rules);
    lb_vec_free(&b->predicates);
    lb_vec_free(&b->pending);
    lb_vec_free(&b->groups);
    lb_vec_free(&b->forks);
    lb_vec_free(&b->lengths);
    lb_vec_free(&b->counts);
    lb_vec_free(&b->keys);
    lb_vec_free(&b->firsts);
    lb_vec_free(&b->uris);
}

lb_status lb_tree_new(lb_tree **out, const lb_route_spec *specs, uint32_t n, const lb_plan *plan, lb_error *err) {
    lb_builder b;
    builder_init(&b, plan);
    lb_status status = build(&b, specs, n, err);
    builder_free(&b);
    if (status == LB_OK) *out = b.tree;
    else lb_tree_free(b.tree);
    return status;
}

void lb_tree_free(lb_tree *tree) {
    if (!tree || atomic_fetch_sub_explicit(&tree->n_owners, 1, memory_order_acq_rel) > 1) return;
    lb_table_free(&tree->table);
    lb_free(tree->buckets);
    lb_free(tree->nodes);
    lb_free(tree->candidates);
    lb_free(tree->ties);
    lb_free(tree->ids);
    lb_free(tree->rules);
    lb_free(tree->predicates);
    lb_free(tree->groups);
    lb_free(tree->forks);
    lb_free(tree->lengths);
    lb_free(tree->counts);
    lb_free(tree->keys);
    lb_free(tree->firsts);
    lb_free(tree->uris);
    lb_free(tree->wildcards);
    lb_free(tree);
}

size_t lb_tree_memory(const lb_tree *t) {
    return sizeof *t + lb_table_memory(&t->table) + t->n_buckets * sizeof *t->buckets + t->n_nodes * sizeof *t->nodes
           + t->n_candidates * sizeof *t->candidates + t->n_routes * (sizeof *t->ties + (t->ids ? sizeof *t->ids : 0))
           + (t->n_rules + 1) * sizeof *t->rules + t->n_predicates * sizeof *t->predicates
           + t->n_groups * sizeof *t->groups + t->n_forks * sizeof *t->forks + t->n_lengths * sizeof *t->lengths
           + (t->n_counts + t->n_keys) * sizeof *t->counts + t->n_uris * (sizeof *t->uris + sizeof *t->firsts)
           + (t->wildcards ? (LB_HOST_MAX + 1) * sizeof *t->wildcards : 0);
}

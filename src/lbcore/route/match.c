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
#include "route/bytes.h"
#include "route/hits.h"

/* ---- candidates --------------------------------------------------------------------------------------------- */

static lb_verdict rule_holds(const lb_tree *t, uint32_t rule, const lb_seen *seen) {
    if (rule < LB_BARE_RULES) return rule == 0 || (rule & seen->method_bit) ? LB_HOLDS : LB_FAILS;
    lb_verdict all = LB_HOLDS;
    const uint32_t *first = &t->rules[rule - LB_BARE_RULES];
    for (uint32_t i = first[0]; i < first[1]; i++) {
        lb_verdict one = lb_predicate_holds(&t->predicates[i], &t->table, seen);
        if (one == LB_FAILS) return LB_FAILS;
        if (one == LB_UNKNOWN) all = LB_UNKNOWN;
    }
    return all;
}

static bool may_win(const lb_search *s, const lb_candidate *c) {
    if (c->precedence != s->best) return c->precedence < s->best;
    return c->route == LB_GROUP || s->tree->ties[c->route] < *s->best_tie;
}

static uint32_t id_of(const lb_tree *t, uint32_t route) { return t->ids ? t->ids[route] : route; }

/* Keep the least maybes, in order: an insertion that drops the greatest when there is no room. */
static void note_maybe(lb_search *s, const lb_candidate *c, uint32_t rule) {
    lb_maybe new = {{c->precedence, s->tree->ties[c->route]}, s->tree, id_of(s->tree, c->route), rule};
    if (!lb_rank_less(s->settled, new.rank)) return;
    uint32_t i = s->n_maybes;
    while (i > 0 && lb_rank_less(new.rank, s->maybes[i - 1].rank)) i--;
    if (s->n_maybes == LB_N_MAYBES) s->more = true;
    else s->n_maybes++;
    for (uint32_t k = s->n_maybes; k-- > i + 1;) s->maybes[k] = s->maybes[k - 1];
    if (i < s->n_maybes) s->maybes[i] = new;
}

/* True: it holds, and is the best now. */
static bool try_candidate(lb_search *s, const lb_candidate *c) {
    uint32_t rule = c->rule & ~LB_LAST;
    if (lb_bit(s->dead, c->route)) return false;
    lb_verdict verdict = rule_holds(s->tree, rule, s->seen);
    if (verdict == LB_UNKNOWN) note_maybe(s, c, rule);
    if (verdict != LB_HOLDS) return false;
    s->best = c->precedence;
    s->best_tie = &s->tree->ties[c->route];
    s->route = id_of(s->tree, c->route);
    return true;
}

/* Where hits decide with the rank, what comes behind may still be better; but not this, nor what comes behind it. */
static bool is_hopeless(const lb_search *s, const lb_candidate *c) {
    return (c->precedence & ~(LB_RANK_REDUCED | LB_RANK_BOTH)) > s->best;
}

static void try_with_hits(lb_search *s, const lb_candidate *c) {
    lb_candidate own = *c;
    if (lb_bit(s->dead, c->route)) return;
    own.precedence = lb_hits_precedence(s->hits, s->tree, c, s->bucket);
    if (own.precedence != UINT64_MAX && may_win(s, &own)) (void)try_candidate(s, &own);
}

static void scan(lb_search *s, uint32_t i, bool upwards);

/* ---- groups: candidates found by a value (index.c) ------------------------------------------------------------- */

static void scan_key(lb_search *s, const lb_group *group, const char *text, size_t n) {
    lb_key key = lb_table_key(&s->tree->table, (lb_str){text, n});
    uint32_t node = lb_table_find(&s->tree->table, group->owner, &key);
    if (node != LB_NONE) scan(s, s->tree->nodes[node], false);
}

static void scan_value(lb_search *s, const lb_group *group) {
    char joined[LB_INDEXED_MAX];
    bool query = group->kind == LB_PREDICATE_query || group->kind == LB_PREDICATE_query_in;
    lb_str name = lb_table_text(&s->tree->table, group->name);
    lb_value value = (query ? lb_query_value : lb_header_value)(s->seen, name, joined, sizeof joined);
    if (value.found && value.fits) scan_key(s, group, value.text.data, value.text.len);
}

/* One look-up for each prefix length that occurs. */
static void scan_address(lb_search *s, const lb_group *group, lb_str text) {
    lb_block address = lb_address_read(text, 0);
    unsigned first = address.family == 4 ? 0 : 33, last = first + address.family * 8u;
    for (unsigned i = first; address.family > 0 && i <= last; i++) {
        if (!(group->lengths[i / 64] >> i % 64 & 1)) continue;
        lb_block prefix = lb_block_shorten(&address, (uint8_t)(i - first));
        scan_key(s, group, (const char *)&prefix, LB_BLOCK_KEY);
    }
}

/* Any field of the name may hold (Kong). */
static void scan_fields(lb_search *s, const lb_group *group) {
    char lowered[LB_INDEXED_MAX];
    lb_str name = lb_table_text(&s->tree->table, group->name);
    uint32_t i = 0;
    for (lb_value value; (value = lb_header_each(s->seen, name, &i, lowered, sizeof lowered)).found;)
        if (value.fits) scan_key(s, group, value.text.data, value.text.len);
}

/* The name, and ".suffix" for each "*.suffix" that it is in. */
static void scan_sni(lb_search *s, const lb_group *group, lb_str sni) {
    char name[LB_INDEXED_MAX];
    if (sni.len > 0 && sni.data[sni.len - 1] == '.') sni.len--;
    if (sni.len == 0 || sni.len > sizeof name) return;
    for (size_t i = 0; i < sni.len; i++) name[i] = lb_byte_lower(sni.data[i]);
    scan_key(s, group, name, sni.len);
    for (size_t i = 1; i < sni.len; i++)
        if (name[i] == '.') scan_key(s, group, name + i, sni.len - i);
}

static void scan_group(lb_search *s, const lb_group *group) {
    const lb_request *r = s->seen->request;
    if (group->kind == LB_PREDICATE_port) scan_key(s, group, (const char *)&r->port, sizeof r->port);
    else if (group->kind == LB_PREDICATE_source) scan_address(s, group, r->source);
    else if (group->kind == LB_PREDICATE_destination) scan_address(s, group, r->destination);
    else if (group->kind == LB_PREDICATE_sni) scan_sni(s, group, r->sni);
    else if (group->kind == LB_PREDICATE_header_each) scan_fields(s, group);
    else scan_value(s, group);
}

/* Go through the list from candidate `i` on, and `upwards` through those above it, until one holds or cannot win:
 * neither can what comes behind it.  The list under a value holds no groups: one level down, and no more. */
static void scan(lb_search *s, uint32_t i, bool upwards) {
    while (i != LB_NONE) {
        const lb_candidate *c = &s->tree->candidates[i];
        LB_COUNT_STEP();
        if (c->route == LB_NONE) {
            i = upwards ? c->rule : LB_NONE;
            continue;
        }
        if (s->hits ? is_hopeless(s, c) : !may_win(s, c)) return;
        if (c->route == LB_GROUP) scan_group(s, &s->tree->groups[c->rule & ~LB_LAST]);
        else if (s->hits) try_with_hits(s, c);
        else if (try_candidate(s, c)) return;
        i = c->rule & LB_LAST ? LB_NONE : i + 1;
    }
}

/* ---- paths -------------------------------------------------------------------------------------------------- */

/* The segment behind the "/" at `at`; its end is the next "/", or that of the path. */
static lb_str segment_at(const lb_search *s, const char *at) {
    const char *end = s->path.text.data + s->path.text.len, *begin = at + 1;
    while (++at < end && *at != '/') {}
    return (lb_str){begin, (size_t)(at - begin)};
}

static uint32_t child_of(const lb_search *s, uint32_t owner, lb_str text) {
    lb_key key = lb_table_key(&s->tree->table, text);
    return lb_table_find(&s->tree->table, owner, &key);
}

/* The deepest node of the trie on the way of the path: "/a/b/" visits "a", "b" and finds no edge for the empty rest. */
static uint32_t deepest_node(const lb_search *s, uint32_t node) {
    const char *at = s->path.text.data, *end = at + s->path.text.len;
    while (at < end) {
        const char *begin = ++at;
        while (at < end && *at != '/') at++;
        lb_key segment = lb_table_key(&s->tree->table, (lb_str){begin, (size_t)(at - begin)});
        uint32_t child = lb_table_find(&s->tree->table, node, &segment);
        if (child == LB_NONE) break;
        node = child;
    }
    return node;
}

/* ---- templates, and prefixes beside them: a walk with a stack of what is left to try ---------------------------- */

/* A node, and where in the path it was reached: at a "/", or the end. */
typedef struct branch {
    const char *at;
    uint32_t node;
    uint32_t above;                 /* the list that the node has if it has none of its own */
} branch;

static void scan_branch(lb_search *s, const branch *b, const lb_fork *fork) {
    uint32_t own = s->tree->nodes[b->node];
    bool at_end = b->at == s->path.text.data + s->path.text.len;
    uint32_t here = !fork ? LB_NONE : at_end ? fork->end : fork->tail;
    if (here != LB_NONE) scan(s, s->tree->nodes[here], false);
    if (own != b->above) scan(s, own, false);
}

/* Each node is reached by one way only, so a walk visits no more nodes than there are different beginnings of templates
 * and prefixes that match a beginning of the path: at most 2^k of k segments, and never more than the trie has.  On the
 * stack lies, for each level above, at most one parameter, and parameters are at most LB_N_SEGMENTS_MAX deep. */
static void search_templates(lb_search *s, uint32_t root) {
    const lb_tree *t = s->tree;
    const char *end = s->path.text.data + s->path.text.len;
    branch stack[LB_N_SEGMENTS_MAX + 2];
    uint32_t n = 0;
    stack[n++] = (branch){s->path.text.data, root, LB_NONE};
    while (n > 0) {
        branch b = stack[--n];
        const lb_fork *fork = b.node < t->n_forks ? &t->forks[b.node] : NULL;
        LB_COUNT_STEP();
        scan_branch(s, &b, fork);
        if (b.at == end) continue;
        lb_str segment = segment_at(s, b.at);
        branch next = {segment.data + segment.len, LB_NONE, t->nodes[b.node]};
        if (fork && fork->parameter != LB_NONE && segment.len > 0)
            stack[n++] = (branch){next.at, fork->parameter, next.above};
        next.node = child_of(s, b.node, segment);
        if (next.node != LB_NONE) stack[n++] = next;
    }
}

/* ---- plain prefixes ----------------------------------------------------------------------------------------- */

/* Those that end within `left`, what is left of a segment behind `node`; the longest first. */
static void search_pieces(lb_search *s, uint32_t node, lb_str left) {
    const lb_tree *t = s->tree;
    while (node != LB_NONE && node < t->n_lengths) {
        uint32_t whole = LB_NONE;
        for (size_t n = left.len < LB_PIECE ? left.len : LB_PIECE, i = n + 1; i-- > 0;) {
            if (!(t->lengths[node] >> i & 1)) continue;
            uint32_t end = child_of(s, LB_OWNER_PLAIN | node, (lb_str){left.data, i});
            if (end == LB_NONE) continue;
            scan(s, t->nodes[end], false);
            if (i == LB_PIECE) whole = end;
        }
        node = whole;
        if (node != LB_NONE) left = (lb_str){left.data + LB_PIECE, left.len - LB_PIECE};
    }
}

static void search_plain(lb_search *s, uint32_t node) {
    const char *at = s->path.text.data, *end = at + s->path.text.len;
    while (at < end && node != LB_NONE) {
        lb_str segment = segment_at(s, at);
        search_pieces(s, node, segment);
        node = child_of(s, node, segment);
        at = segment.data + segment.len;
    }
}

/* ---- hosts -------------------------------------------------------------------------------------------------- */

static void search_bucket(lb_search *s, uint32_t i) {
    const lb_tree *t = s->tree;
    const lb_bucket *bucket = &t->buckets[i];
    s->bucket = i;
    if (bucket->has_exact) {
        uint32_t node = lb_table_find(&t->table, bucket->root, &s->path);
        if (node != LB_NONE) scan(s, t->nodes[node], false);
    }
    if (bucket->best_prefix > s->best) return;
    if (bucket->has_template) search_templates(s, bucket->root);
    else if (bucket->has_prefix) scan(s, t->nodes[deepest_node(s, bucket->root)], true);
    if (bucket->has_plain) search_plain(s, bucket->root);
}

/* "*.a.b" matches one or more labels on the left, never "a.b" itself.  From the left: the longest suffix first. */
static void search_wildcards(lb_search *s, lb_str host) {
    for (size_t i = 0; i < host.len && s->tree->wildcards[host.len - i] <= s->best; i++) {
        if (host.data[i] != '.') continue;
        lb_key suffix = lb_table_key(&s->tree->table, (lb_str){host.data + i + 1, host.len - i - 1});
        uint32_t bucket = lb_table_find(&s->tree->table, LB_OWNER_WILDCARDS, &suffix);
        if (bucket != LB_NONE) search_bucket(s, bucket);
        if (s->tree->one_label) return;
    }
}

/* "svc.*" matches one or more labels on the right.  From the right: the longest beginning first. */
static void search_prefixes(lb_search *s, lb_str host) {
    for (size_t i = host.len; i-- > 1 && s->tree->best_of_prefixes <= s->best;) {
        if (host.data[i] != '.') continue;
        uint32_t bucket = child_of(s, LB_OWNER_PREFIXES, (lb_str){host.data, i});
        if (bucket != LB_NONE) search_bucket(s, bucket);
    }
}

uint32_t lb_bucket_of(const lb_tree *tree, lb_str host) {
    if (tree->n_buckets == 1 || host.len == 0 || host.len > LB_HOST_MAX) return LB_NONE;
    lb_key name = lb_table_key(&tree->table, host);
    return lb_table_find(&tree->table, LB_OWNER_HOSTS, &name);
}

static void search_tree(lb_search *s, lb_str host, uint32_t bucket) {
    const lb_tree *t = s->tree;
    if (bucket != LB_NONE) search_bucket(s, bucket);
    if (t->wildcards) search_wildcards(s, host);
    if (t->best_of_prefixes != UINT64_MAX) search_prefixes(s, host);
    if (t->buckets[0].best <= s->best) search_bucket(s, 0);
}

static void search_streams(lb_search *s) {
    const lb_tree *t = s->tree;
    if (t->streams != LB_NONE) scan(s, t->nodes[t->buckets[t->streams].root], false);
}

static const uint64_t behind_all = UINT64_MAX;

static void begin_search(const lb_router *router, lb_search *s) {
    s->best = UINT64_MAX;
    s->best_tie = &behind_all;
    s->route = LB_NONE;
    s->n_maybes = 0;
    s->more = false;
    s->tree = router->base;
    s->dead = router->has_tombstones ? router->dead : NULL;
}

/* From the base to the delta, if there is one and it was not searched. */
static bool next_tree(const lb_router *router, lb_search *s) {
    if (!router->delta || s->tree == router->delta) return false;
    s->tree = router->delta;
    s->dead = NULL;
    return true;
}

void lb_search_router(const lb_router *router, lb_search *search, lb_str host, uint32_t bucket) {
    begin_search(router, search);
    search_tree(search, host, bucket);
    if (next_tree(router, search)) search_tree(search, host, lb_bucket_of(search->tree, host));
}

void lb_search_paths(const lb_router *router, lb_search *search) {
    begin_search(router, search);
    do if (search->tree->paths != LB_NONE) search_bucket(search, search->tree->paths);
    while (next_tree(router, search));
}

void lb_search_streams(const lb_router *router, lb_search *search) {
    begin_search(router, search);
    do search_streams(search);
    while (next_tree(router, search));
}

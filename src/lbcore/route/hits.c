/* hits: see hits.h; the part of a match.
 *
 * Passed over: a route whose SNI is ignored on plain http matches without a hit of its SNI, and is not tried where the
 *         search starts behind its category.  Whatever else matches is hit.
 */
#include "route/hits.h"

#include "route/bytes.h"

static const lb_tree *tree_of(const lb_hits *h, int i) { return i == 0 ? h->router->base : h->router->delta; }

/* ---- counts and lists --------------------------------------------------------------------------------------- */

static uint32_t find(const lb_tree *t, uint32_t owner, lb_str value) {
    lb_key key = lb_table_key(&t->table, value);
    return lb_table_find(&t->table, owner, &key);
}

/* Routes that are there: of the base without the removed ones, and of the delta. */
static uint32_t count(const lb_hits *h, int kind, unsigned category, lb_str value) {
    uint32_t sum = 0, owner = lb_hits_owner(h->seen->stream, kind, category);
    for (int i = 0; i < 2 && tree_of(h, i); i++) {
        uint32_t at = find(tree_of(h, i), owner, value);
        if (at == LB_NONE) continue;
        sum += tree_of(h, i)->counts[at] - (i == 0 && h->router->gone ? h->router->gone[at] : 0);
    }
    return sum;
}

/* The first that has the value. */
typedef struct first { lb_rank rank; uint32_t place; bool found; } first;

static bool is_before(const first *a, const first *b) {
    if (!b->found || lb_rank_less(a->rank, b->rank)) return true;
    return !lb_rank_less(b->rank, a->rank) && a->place < b->place;
}

/* Make *best the first of the list under the value, if that is before. */
static bool take_first(const lb_hits *h, int kind, lb_str value, first *best) {
    bool taken = false;
    for (int i = 0; i < 2 && tree_of(h, i); i++) {
        const lb_tree *t = tree_of(h, i);
        uint32_t node = find(t, lb_hits_first_owner(kind), value);
        if (node == LB_NONE) continue;
        const lb_candidate *c = &t->candidates[t->nodes[node]];
        while (i == 0 && lb_bit(h->router->dead, c->route) && !(c->rule & LB_LAST)) c++;
        if (i == 0 && lb_bit(h->router->dead, c->route)) continue;
        first this = {{c->precedence, t->ties[c->route]}, c->rule & ~LB_LAST, true};
        if (!is_before(&this, best)) continue;
        *best = this;
        taken = true;
    }
    return taken;
}

/* ---- what was hit ------------------------------------------------------------------------------------------- */

static void find_header(lb_hits *h) {
    const lb_request *r = h->seen->request;
    first best = {.found = false};
    for (uint32_t i = 0; i < r->n_headers; i++) {
        lb_str name = r->headers[i].name;
        if (name.len > LB_HITS_KEY) continue;
        for (size_t k = 0; k < name.len; k++) h->key[k] = lb_byte_lower(name.data[k]);
        if (take_first(h, LB_KIND_HEADER, (lb_str){h->key, name.len}, &best)) h->header = name;
    }
}

static void take_wildcard(lb_hits *h, lb_spec_host host, uint32_t port, first *best) {
    static const uint32_t owners[] = {LB_OWNER_HOSTS, LB_OWNER_WILDCARDS, LB_OWNER_PREFIXES};
    char key[LB_HITS_KEY];
    lb_str value = lb_hits_host_key(key, (int)host.kind, host.name, port);
    if (!take_first(h, LB_KIND_HOST, value, best)) return;
    memcpy(h->name, key, value.len);
    h->host_key = (lb_str){h->name, value.len};
    h->port = port;
    for (int i = 0; i < 2 && tree_of(h, i); i++) h->buckets[i] = find(tree_of(h, i), owners[host.kind], host.name);
}

/* "*.b.c" and "a.*" for each "." in the host, with the port and without. */
static bool find_wildcard(lb_hits *h, uint32_t port) {
    first best = {.found = false};
    for (size_t i = 1; i + 1 < h->host.len; i++) {
        if (h->host.data[i] != '.') continue;
        lb_spec_host suffix = {.name = {h->host.data + i + 1, h->host.len - i - 1}, .kind = LB_HOST_SUFFIX};
        lb_spec_host prefix = {.name = {h->host.data, i}, .kind = LB_HOST_PREFIX};
        for (int with = 0; with < 2; with++) {
            take_wildcard(h, suffix, with ? port : 0, &best);
            take_wildcard(h, prefix, with ? port : 0, &best);
        }
    }
    return best.found;
}

static bool find_host(lb_hits *h) {
    char key[LB_HITS_KEY];
    uint32_t sent = h->seen->host_port, port = lb_seen_port(h->seen);
    if (h->host.len == 0) return false;
    for (int i = 0; i < 2 && tree_of(h, i); i++) h->buckets[i] = lb_bucket_of(tree_of(h, i), h->host);
    h->port = sent;
    h->host_key = lb_hits_host_key(h->name, LB_HOST_EXACT, h->host, sent);
    if (count(h, LB_KIND_HOST, LB_ANY_CATEGORY, h->host) > 0) return true;
    if (count(h, LB_KIND_HOST, LB_ANY_CATEGORY, lb_hits_host_key(key, LB_HOST_EXACT, h->host, port)) > 0) return true;
    return find_wildcard(h, port);
}

/* The path of route `hit`, in both trees. */
static bool find_uri(lb_hits *h, uint32_t hit) {
    if (hit == LB_NONE) return false;
    const lb_tree *t = h->router->base;
    if (hit >= t->n_routes) {
        t = h->router->delta;
        uint32_t i = 0;
        while (t->ids[i] != hit) i++;
        hit = i;
    }
    h->uri = lb_table_text(&t->table, t->uris[hit].text);
    h->uri_is_regex = t->uris[hit].is_regex;
    uint32_t owner = lb_hits_owner(false, h->uri_is_regex ? LB_KIND_REGEX : LB_KIND_URI, LB_ANY_CATEGORY);
    for (int i = 0; i < 2 && tree_of(h, i); i++) h->uris[i] = find(tree_of(h, i), owner, h->uri);
    return true;
}

static bool find_sni(lb_hits *h) {
    lb_str sni = h->seen->request->sni;
    if (sni.len > 0 && sni.data[sni.len - 1] == '.') sni.len--;
    if (sni.len > LB_HOST_MAX) sni.len = 0;
    h->sni = sni;
    for (size_t i = 0; i < sni.len; i++) h->key[i] = lb_byte_lower(sni.data[i]);
    return sni.len > 0 && count(h, LB_KIND_SNI, LB_ANY_CATEGORY, (lb_str){h->key, sni.len}) > 0;
}

static unsigned n_bits(unsigned bits) {
    unsigned n = 0;
    for (; bits; bits &= bits - 1) n++;
    return n;
}

void lb_hits_find(lb_hits *h, const lb_router *router, const lb_seen *seen, lb_str host, uint32_t hit) {
    *h = (lb_hits){.router = router, .seen = seen, .host = host};
    for (int i = 0; i < 2; i++) h->buckets[i] = h->uris[i] = LB_NONE;
    memset(h->kinds, -2, sizeof h->kinds);
    bool sni = find_sni(h);
    if (seen->stream) return;
    bool found[] = {find_host(h), (find_header(h), h->header.len > 0), find_uri(h, hit),
                    count(h, LB_KIND_METHOD, LB_ANY_CATEGORY, seen->request->method) > 0, sni};
    for (int kind = 0; kind <= LB_KIND_SNI; kind++) h->category |= found[kind] ? 0x40u >> kind : 0;
    h->starts = h->category == 0 || count(h, LB_KIND_ITSELF, h->category, (lb_str){0}) > 0;
}

/* ---- the list that goes first ------------------------------------------------------------------------------- */

static uint32_t count_peer(lb_hits *h, unsigned category, int *kind) {
    const lb_request *r = h->seen->request;
    bool source = *kind == LB_KIND_SOURCE;
    lb_block block = lb_address_read(source ? r->source : r->destination, 0);
    uint16_t port = source ? r->source_port : r->destination_port;
    uint32_t n = block.family > 0 ? count(h, *kind, category, (lb_str){(const char *)&block, LB_BLOCK_KEY}) : 0;
    if (n > 0) return n;
    *kind = source ? LB_KIND_SOURCE_PORT : LB_KIND_DESTINATION_PORT;
    return port > 0 ? count(h, *kind, category, (lb_str){(const char *)&port, sizeof port}) : 0;
}

static uint32_t count_text(lb_hits *h, unsigned category, int kind, lb_str text) {
    for (size_t i = 0; i < text.len; i++) h->key[i] = lb_byte_lower(text.data[i]);
    return text.len > 0 ? count(h, kind, category, (lb_str){h->key, text.len}) : 0;
}

/* How long the list of this kind is; *kind becomes whether it is that of an address or of a port. */
static uint32_t n_listed(lb_hits *h, unsigned category, int *kind) {
    switch (*kind) {
    case LB_KIND_HOST: return h->host_key.len > 0 ? count(h, *kind, category, h->host_key) : 0;
    case LB_KIND_HEADER: return count_text(h, category, *kind, h->header);
    case LB_KIND_URI: return h->uri.data ? count(h, h->uri_is_regex ? LB_KIND_REGEX : *kind, category, h->uri) : 0;
    case LB_KIND_METHOD: return count(h, *kind, category, h->seen->request->method);
    case LB_KIND_SNI: return count_text(h, category, *kind, h->sni);
    default: return count_peer(h, category, kind);
    }
}

static int reduce(lb_hits *h, unsigned category) {
    uint32_t least = 0;
    int best = -1;
    for (int kind = 0; kind < LB_N_KINDS; kind++) {
        int which = kind;
        uint32_t n = category & (0x40u >> kind) ? n_listed(h, category, &which) : 0;
        if (n == 0) continue;
        if (kind == LB_KIND_HEADER) return kind;
        if (best >= 0 && n >= least) continue;
        best = which;
        least = n;
    }
    return best;
}

/* ---- membership --------------------------------------------------------------------------------------------- */

/* The next predicate of the rule that is of the kind, from *i on; NULL: there is none. */
static const lb_predicate *next_of(const lb_tree *t, uint32_t rule, uint32_t *i, uint32_t kind) {
    if (rule < LB_BARE_RULES) return NULL;
    const uint32_t *run = &t->rules[rule - LB_BARE_RULES];
    for (uint32_t at = run[0] + *i; at < run[1]; at++) {
        if (t->predicates[at].kind != kind) continue;
        *i = at + 1 - run[0];
        return &t->predicates[at];
    }
    return NULL;
}

static bool has_header(const lb_hits *h, const lb_tree *t, uint32_t rule) {
    static const uint32_t kinds[] = {LB_PREDICATE_header_each, LB_PREDICATE_header_each_regex,
                                     LB_PREDICATE_header_present, LB_PREDICATE_header_absent};
    for (int k = 0; k < 4; k++) {
        uint32_t i = 0;
        for (const lb_predicate *p; (p = next_of(t, rule, &i, kinds[k])) != NULL;)
            if (lb_equal_ignoring_case(lb_table_text(&t->table, p->name), h->header)) return true;
    }
    return false;
}

static bool has_sni(const lb_hits *h, const lb_tree *t, uint32_t rule) {
    uint32_t i = 0;
    const lb_predicate *p = next_of(t, rule, &i, LB_PREDICATE_sni);
    for (lb_str names = p ? lb_table_text(&t->table, p->value) : (lb_str){0}; names.len > 0;)
        if (lb_equal_ignoring_case(lb_next_part(&names), h->sni)) return true;
    return false;
}

/* Whether one of the blocks is the address, or has the port; *both: whether one has a block and a port. */
static bool has_peer(const lb_hits *h, const lb_tree *t, uint32_t rule, int kind, bool *both) {
    const lb_request *r = h->seen->request;
    bool source = kind == LB_KIND_SOURCE || kind == LB_KIND_SOURCE_PORT, any = false;
    bool by_port = kind == LB_KIND_SOURCE_PORT || kind == LB_KIND_DESTINATION_PORT;
    lb_block block, address = lb_address_read(source ? r->source : r->destination, 0);
    uint16_t port = source ? r->source_port : r->destination_port;
    uint32_t i = 0;
    const lb_predicate *p = next_of(t, rule, &i, source ? LB_PREDICATE_source : LB_PREDICATE_destination);
    for (lb_str blocks = p ? lb_table_text(&t->table, p->value) : (lb_str){0}; blocks.len > 0;) {
        memcpy(&block, lb_next_part(&blocks).data, sizeof block);
        any |= by_port ? block.port == port : memcmp(&block, &address, LB_BLOCK_KEY) == 0;
        *both |= block.family > 0 && block.port > 0;
    }
    return any;
}

static bool has_port(const lb_hits *h, const lb_tree *t, uint32_t rule) {
    uint32_t i = 0;
    const lb_predicate *p = next_of(t, rule, &i, LB_PREDICATE_host_port);
    return (p ? p->value : 0) == h->port;
}

static bool is_member(const lb_hits *h, const lb_tree *t, const lb_candidate *c, uint32_t bucket, int kind,
                      bool *both) {
    int i = t == h->router->delta;
    uint32_t rule = c->rule & ~LB_LAST;
    switch (kind) {
    case LB_KIND_HOST: return bucket == h->buckets[i] && has_port(h, t, rule);
    case LB_KIND_HEADER: return has_header(h, t, rule);
    case LB_KIND_URI: return t->uris[c->route].count == h->uris[i];
    case LB_KIND_METHOD: return true;                       /* else it does not hold */
    case LB_KIND_SNI: return has_sni(h, t, rule);
    default: return has_peer(h, t, rule, kind, both);
    }
}

/* ---- public ------------------------------------------------------------------------------------------------- */

static bool is_passed_over(const lb_hits *h, uint64_t precedence, unsigned category) {
    if (!h->starts || h->seen->stream || category == 0 || (category & 3)) return false;
    return h->category == 0 || ~precedence >> 54 > (n_bits(h->category) << 7 | h->category);
}

uint64_t lb_hits_precedence(lb_hits *h, const lb_tree *t, const lb_candidate *c, uint32_t bucket) {
    unsigned category = (unsigned)(~c->precedence >> 54) & 0x7F;
    bool both = false;
    if (is_passed_over(h, c->precedence, category)) return UINT64_MAX;
    if (h->kinds[category] == -2) h->kinds[category] = (signed char)reduce(h, category);
    int kind = h->kinds[category];
    if (kind < 0 || !is_member(h, t, c, bucket, kind, &both)) return c->precedence;
    return c->precedence & ~(LB_RANK_REDUCED | (both ? LB_RANK_BOTH : 0));
}

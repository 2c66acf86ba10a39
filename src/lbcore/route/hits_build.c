/* hits_build: see hits.h; the part of a build.
 *
 * Keeps   routes are compiled in ascending order: the keys of one lie together.
 */
#include "route/hits.h"

#include "route/bytes.h"

lb_str lb_hits_host_key(char *to, int host_kind, lb_str name, uint32_t port) {
    static const char *const before[] = {"", "*.", ""}, *const behind[] = {"", "", ".*"};
    size_t n = strlen(before[host_kind]);
    memcpy(to, before[host_kind], n);
    if (name.len > 0) memcpy(to + n, name.data, name.len);
    n += name.len;
    memcpy(to + n, behind[host_kind], strlen(behind[host_kind]));
    n += strlen(behind[host_kind]);
    if (port > 0) to[n++] = ':';
    for (uint32_t unit = port > 0 ? 10000 : 0; unit > 0; unit /= 10) to[n++] = (char)('0' + port / unit % 10);
    return (lb_str){to, n};
}

/* ---- counts ------------------------------------------------------------------------------------------------- */

/* The count's index, or LB_NONE. */
static uint32_t count_under(lb_builder *b, uint32_t owner, lb_str value) {
    uint32_t *at = lb_table_at(&b->tree->table, owner, value);
    if (!at) return LB_NONE;
    if (*at == LB_NONE) {
        *at = b->counts.n;
        if (!lb_vec_push(&b->counts)) return LB_NONE;
    }
    uint32_t i = *at, *key = lb_vec_push(&b->keys);
    if (!key) return LB_NONE;
    *key = i;
    ((uint32_t *)b->counts.items)[i]++;
    return i;
}

/* Of its category and of all; the index of the latter, or LB_NONE. */
static uint32_t count(lb_builder *b, const lb_compiled *c, int kind, lb_str value) {
    bool stream = c->spec->stream;
    if (count_under(b, lb_hits_owner(stream, kind, c->category), value) == LB_NONE) return LB_NONE;
    return count_under(b, lb_hits_owner(stream, kind, LB_ANY_CATEGORY), value);
}

/* A place in the list of what has the value; `i`: the how manyth of the route it is. */
static bool list(lb_builder *b, const lb_compiled *c, int kind, lb_str value, uint32_t i) {
    uint32_t node = lb_builder_node_under(b, lb_hits_first_owner(kind), value, LB_NONE);
    lb_pending *pending = node == LB_NONE ? NULL : lb_vec_push(&b->pending);
    if (pending) *pending = (lb_pending){{c->order, c->route, i < LB_BARE_RULES ? i : LB_BARE_RULES - 1}, node};
    return pending != NULL;
}

/* ---- kinds -------------------------------------------------------------------------------------------------- */

static bool add_hosts(lb_builder *b, const lb_compiled *c, const lb_str *hosts, uint32_t n, int kind) {
    char key[LB_HITS_KEY];
    lb_spec_host host;
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++) {
        if (lb_spec_read_host(hosts[i], kind == LB_KIND_HOST, &host, NULL) != LB_OK) continue;     /* refused later */
        lb_str value = lb_hits_host_key(key, (int)host.kind, host.name, host.port);
        ok = count(b, c, kind, value) != LB_NONE;
        if (ok && kind == LB_KIND_HOST && host.kind != LB_HOST_EXACT) ok = list(b, c, kind, value, i);
    }
    return ok;
}

static bool add_headers(lb_builder *b, const lb_compiled *c) {
    char key[LB_HITS_KEY];
    bool ok = true;
    for (uint32_t i = 0; i < c->spec->n_conditions && ok; i++) {
        lb_str name = c->spec->conditions[i].name;
        if (c->spec->conditions[i].kind != LB_CONDITION_HEADER || !lb_spec_condition_counts(c->spec, i)) continue;
        if (name.len > sizeof key) continue;
        for (size_t k = 0; k < name.len; k++) key[k] = lb_byte_lower(name.data[k]);
        name.data = key;
        ok = count(b, c, LB_KIND_HEADER, name) != LB_NONE && list(b, c, LB_KIND_HEADER, name, i);
    }
    return ok;
}

static bool add_peers(lb_builder *b, const lb_compiled *c, const lb_peers *peers, uint32_t n, int kind, int port_kind) {
    lb_block block;
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++) {
        (void)lb_block_read(&peers[i], &block);             /* checked before */
        if (block.family > 0 && block.bits == block.family * 8)
            ok = count(b, c, kind, (lb_str){(const char *)&block, LB_BLOCK_KEY}) != LB_NONE;
        if (ok && block.port > 0)
            ok = count(b, c, port_kind, (lb_str){(const char *)&block.port, sizeof block.port}) != LB_NONE;
    }
    return ok;
}

/* ---- paths -------------------------------------------------------------------------------------------------- */

/* Regular expressions in order, then the longest path. */
static uint64_t order_of_path(const lb_compiled *c, bool regex) {
    uint64_t longest = LB_PATH_MAX - c->spec->path.len;
    return regex ? c->order : (uint64_t)1 << 63 | longest << 43 | c->order;
}

static bool add_path_to_list(lb_builder *b, const lb_compiled *c, bool regex) {
    if (b->tree->paths == LB_NONE && !lb_builder_paths(b)) return false;
    lb_bucket *bucket = (lb_bucket *)b->buckets.items + b->tree->paths;
    uint32_t node = lb_compile_path(b, bucket, c->spec), rule = 0;
    if (node == LB_NONE || (regex && !lb_compile_path_rule(b, c->spec, &rule))) return false;
    lb_pending *pending = lb_vec_push(&b->pending);
    if (pending) *pending = (lb_pending){{order_of_path(c, regex), c->route, rule}, node};
    return pending != NULL;
}

static bool add_path(lb_builder *b, const lb_compiled *c) {
    bool regex = c->spec->path_type == LB_PATH_REGEX;
    if (c->spec->stream || (c->spec->path.len == 0 && !regex)) return true;
    lb_uri *uri = (lb_uri *)b->uris.items + c->route;
    uri->text = lb_table_keep(&b->tree->table, c->spec->path);
    uri->count = uri->text == LB_NONE ? LB_NONE : count(b, c, regex ? LB_KIND_REGEX : LB_KIND_URI, c->spec->path);
    uri->is_regex = regex;
    return uri->count != LB_NONE && add_path_to_list(b, c, regex);
}

/* ---- a specification ---------------------------------------------------------------------------------------- */

/* Room for what is kept by route, up to this one. */
static bool begin_route(lb_builder *b, uint32_t route) {
    while (b->uris.n <= route) {
        uint32_t *first = lb_vec_push(&b->firsts);
        lb_uri *uri = first ? lb_vec_push(&b->uris) : NULL;
        if (!uri) return false;
        *first = b->keys.n;
        uri->count = LB_NONE;
    }
    return true;
}

bool lb_compile_hits(lb_builder *b, const lb_compiled *c) {
    const lb_route_spec *s = c->spec;
    bool ok = begin_route(b, c->route);
    ok = ok && count_under(b, lb_hits_owner(s->stream, LB_KIND_ITSELF, c->category), (lb_str){0}) != LB_NONE;
    ok = ok && add_hosts(b, c, s->hosts, s->n_hosts, LB_KIND_HOST) && add_headers(b, c) && add_path(b, c);
    for (uint32_t i = 0; i < s->n_methods && ok; i++) ok = count(b, c, LB_KIND_METHOD, s->methods[i]) != LB_NONE;
    return ok && add_hosts(b, c, s->snis, s->n_snis, LB_KIND_SNI)
           && add_peers(b, c, s->sources, s->n_sources, LB_KIND_SOURCE, LB_KIND_SOURCE_PORT)
           && add_peers(b, c, s->destinations, s->n_destinations, LB_KIND_DESTINATION, LB_KIND_DESTINATION_PORT);
}

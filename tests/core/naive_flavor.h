/* naive_flavor: the flavours beside gateway_api, slow and obviously right; the twin of src/lbcore/route/rank.c and of
 * what a flavour reads differently.
 *
 * Each specification that matches gets its fields, a row of numbers of which the first that differs decides, the greater
 * wins; nothing is packed into words.  kong.md is the text that the Kong functions follow, sentence by sentence.
 */
#ifndef NAIVE_FLAVOR_H
#define NAIVE_FLAVOR_H

#include "naive_route.h"

enum { NAIVE_MORE_FIELDS = 12 };

typedef struct naive_row { uint64_t of[NAIVE_MORE_FIELDS]; } naive_row;

static inline bool naive_greater(const naive_row *a, const naive_row *b) {
    for (int i = 0; i < NAIVE_MORE_FIELDS; i++)
        if (a->of[i] != b->of[i]) return a->of[i] > b->of[i];
    return false;
}

static inline uint64_t naive_path_characters(const lb_route_spec *spec, bool *tail) {
    *tail = false;
    if (spec->path.len == 0) return 0;
    if (spec->path_type == LB_PATH_TEMPLATE) return naive_characters(spec->path, tail);
    bool slash = spec->path_type == LB_PATH_PREFIX && spec->path.data[spec->path.len - 1] == '/';
    return spec->path.len - slash;
}

static inline uint64_t naive_n_of_kind(const lb_route_spec *spec, int kind) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < spec->n_conditions; i++)
        n += (int)spec->conditions[i].kind == kind && naive_first_of_its_name(spec, i);
    return n;
}

/* ---- ingress ------------------------------------------------------------------------------------------------ */

/* "*.x" is one label. */
static inline bool naive_one_label(lb_str pattern, lb_str host) {
    if (pattern.data[0] != '*') return naive_equal(pattern, host, true);
    size_t first = 0;
    while (first < host.len && host.data[first] != '.') first++;
    return first > 0
           && naive_equal((lb_str){host.data + first, host.len - first}, (lb_str){pattern.data + 1, pattern.len - 1}, true);
}

/* Exact hosts first, the longer host, the longer path, exact before prefix; then as gateway_api. */
static inline naive_row naive_ingress_fields(const lb_route_spec *spec, const lb_str *host) {
    size_t gateway[NAIVE_FIELDS];
    bool tail;
    naive_rank(spec, host, gateway);
    return (naive_row){{host && host->data[0] != '*', host ? host->len : 0, naive_path_characters(spec, &tail),
                           spec->path_type == LB_PATH_EXACT, gateway[2], gateway[4], gateway[5], gateway[6], gateway[7]}};
}

static inline uint32_t naive_ingress(const lb_route_spec *specs, uint32_t n, const lb_request *r, lb_str host, lb_str path,
                                     lb_str query) {
    uint32_t best = LB_NONE;
    naive_row fields, best_fields = {{0}};
    for (uint32_t i = 0; i < n; i++) {
        if (specs[i].stream || !naive_path(&specs[i], path) || !naive_predicates(&specs[i], r, query)) continue;
        for (uint32_t h = 0; h < (specs[i].n_hosts ? specs[i].n_hosts : 1); h++) {
            const lb_str *pattern = specs[i].n_hosts ? &specs[i].hosts[h] : NULL;
            if (pattern && !naive_one_label(*pattern, host)) continue;
            fields = naive_ingress_fields(&specs[i], pattern);
            if (best == LB_NONE || naive_greater(&fields, &best_fields)) best = i, best_fields = fields;
        }
    }
    return best;
}

/* ---- Kong: hosts -------------------------------------------------------------------------------------------- */

/* Take ":80" off; 0: there is none. */
static inline uint32_t naive_take_port(lb_str *host) {
    size_t colon = host->len;
    while (colon > 0 && host->data[colon - 1] != ':') colon--;
    if (colon == 0 || colon == host->len || host->data[host->len - 1] == ']') return 0;
    uint32_t port = 0;
    for (size_t i = colon; i < host->len; i++) port = port * 10 + (uint32_t)(host->data[i] - '0');
    host->len = colon - 1;
    return port;
}

static inline bool naive_is_wildcard(lb_str name) { return name.data[0] == '*' || name.data[name.len - 1] == '*'; }

static inline bool naive_kong_name(lb_str name, lb_str host) {
    if (name.data[name.len - 1] != '*') return naive_host(name, host);
    lb_str beginning = {name.data, name.len - 1};           /* "a.b." */
    return host.len > beginning.len && naive_equal(beginning, (lb_str){host.data, beginning.len}, true);
}

/* The port of the Host field, or of the authority of an absolute-form; 0: none was sent. */
static inline uint32_t naive_sent_port(const lb_request *r) {
    lb_str authority = r->host;
    if (r->target.len > 0 && r->target.data[0] != '/' && r->target.data[0] != '*') {
        size_t from = 0, to;                                /* scheme://authority */
        while (r->target.data[from] != '/') from++;
        for (to = from += 2; to < r->target.len && r->target.data[to] != '/' && r->target.data[to] != '?';) to++;
        authority = (lb_str){r->target.data + from, to - from};
    }
    return naive_take_port(&authority);
}

/* "A plain route host with port needs that port literally in the Host header (traditional), a wildcard one is compared
 * after defaulting the port by scheme"; compatible defaults for both: to the listener's port. */
static inline bool naive_kong_host(lb_str pattern, lb_str host, const lb_request *r, lb_flavor flavor) {
    uint32_t port = naive_take_port(&pattern), sent = naive_sent_port(r);
    bool https = naive_equal(r->scheme, lb_str_of("https"), true);
    bool literal = flavor == LB_FLAVOR_KONG_TRADITIONAL && !naive_is_wildcard(pattern);
    uint32_t defaulted = sent ? sent : r->port ? r->port : https ? 443 : 80;
    return naive_kong_name(pattern, host) && (port == 0 || port == (literal ? sent : defaulted));
}

static inline bool naive_kong_hosts(const lb_route_spec *spec, lb_str host, const lb_request *r, lb_flavor flavor) {
    bool any = spec->n_hosts == 0;
    for (uint32_t i = 0; i < spec->n_hosts; i++) any |= naive_kong_host(spec->hosts[i], host, r, flavor);
    return any;
}

/* ---- Kong: the rest of a route ------------------------------------------------------------------------------- */

static inline bool naive_kong_value(const lb_condition *c, lb_str lowered) {
    if (c->test == LB_TEST_REGEX) return naive_matches(c->pattern, lowered);
    if (c->test == LB_TEST_EXACT) return naive_equal(c->value, lowered, true);
    for (uint32_t i = 0; i < c->n_values; i++)
        if (naive_equal(c->values[i], lowered, true)) return true;
    return false;
}

/* "any value matches", each field alone, in lower case. */
static inline bool naive_kong_header(const lb_condition *c, const lb_request *r) {
    bool found = false, any = false;
    for (uint32_t i = 0; i < r->n_headers; i++) {
        if (!naive_equal(r->headers[i].name, c->name, true)) continue;
        lb_str value = naive_trim(r->headers[i].value);
        char *lowered = malloc(value.len + 1);
        for (size_t k = 0; k < value.len; k++) lowered[k] = naive_lower(value.data[k]);
        found = true;
        any |= naive_kong_value(c, (lb_str){lowered, value.len});
        free(lowered);
    }
    return c->test == LB_TEST_PRESENT ? found : c->test == LB_TEST_ABSENT ? !found : any;
}

/* Criteria beside host and path.  "plain SNI criterion is ignored on plain http"; of streams only in compatible. */
static inline bool naive_kong_rest(const lb_route_spec *spec, const lb_request *r, lb_str query, lb_flavor flavor) {
    bool tls = naive_equal(r->scheme, lb_str_of(spec->stream ? "tls" : "https"), true);
    bool ignore_sni = !tls && (!spec->stream || flavor == LB_FLAVOR_KONG_COMPATIBLE);
    bool method = spec->n_methods == 0;
    lb_route_spec copy = *spec;
    if (ignore_sni) copy.n_snis = 0;
    if (!naive_connection(&copy, r)) return false;
    for (uint32_t i = 0; i < spec->n_methods; i++) method |= naive_equal(spec->methods[i], r->method, false);
    if (!method) return false;
    for (uint32_t i = 0; i < spec->n_conditions; i++) {
        const lb_condition *c = &spec->conditions[i];
        if (!naive_first_of_its_name(spec, i)) continue;
        if (c->kind == LB_CONDITION_HEADER ? !naive_kong_header(c, r) : !naive_query(c, query)) return false;
    }
    return true;
}

static inline bool naive_kong_holds(const lb_route_spec *spec, const lb_request *r, lb_str host, lb_str path, lb_str query,
                                    lb_flavor flavor) {
    bool any_path = spec->path.len == 0 && spec->path_type == LB_PATH_PLAIN;
    return (any_path || naive_path(spec, path)) && naive_kong_hosts(spec, host, r, flavor)
           && naive_kong_rest(spec, r, query, flavor);
}

/* ---- Kong: who wins ----------------------------------------------------------------------------------------- */

/* host, header, uri, method, sni, src, dst: whether the route has such a criterion. */
static inline void naive_kinds(const lb_route_spec *s, bool has[7]) {
    const bool all[7] = {s->n_hosts > 0, naive_n_of_kind(s, LB_CONDITION_HEADER) > 0, s->path.len > 0, s->n_methods > 0,
                         s->n_snis > 0, s->n_sources > 0, s->n_destinations > 0};
    memcpy(has, all, sizeof all);
}

static inline uint64_t naive_category(const lb_route_spec *spec, uint64_t *n_kinds) {
    bool has[7];
    uint64_t bits = 0;
    naive_kinds(spec, has);
    *n_kinds = 0;
    for (int i = 0; i < 7; i++) bits = bits * 2 + has[i], *n_kinds += has[i];
    return bits;
}

static inline bool naive_all_plain(const lb_route_spec *spec, bool *wildcard_with_port) {
    bool plain = spec->n_hosts > 0;
    *wildcard_with_port = false;
    for (uint32_t i = 0; i < spec->n_hosts; i++) {
        lb_str name = spec->hosts[i];
        bool port = naive_take_port(&name) > 0, wildcard = naive_is_wildcard(name);
        plain = plain && !wildcard;
        *wildcard_with_port |= wildcard && port;
    }
    return plain;
}

static inline uint64_t naive_at_most(uint64_t value, uint64_t most) { return value < most ? value : most; }

/* kong.md 3.1, 2 and 3. */
static inline naive_row naive_traditional_fields(const lb_route_spec *spec) {
    uint64_t n_kinds, bits = naive_category(spec, &n_kinds);
    bool wildcard_with_port, tail, plain = naive_all_plain(spec, &wildcard_with_port);
    bool regex = spec->path_type == LB_PATH_REGEX && !spec->stream;
    uint64_t names = naive_at_most(naive_n_of_kind(spec, LB_CONDITION_HEADER), 255);
    return (naive_row){{n_kinds, bits, wildcard_with_port * 4u + plain * 2u + regex, names,
                           regex ? spec->priority : naive_path_characters(spec, &tail)}};
}

/* The number in the lower 32 bits of `value` times 2^n, as a signed number of 32 bits, seen as one of 64. */
static inline uint64_t naive_shift(uint64_t value, int n) {
    const uint64_t two_32 = UINT64_C(4294967296);
    for (n = n % 32; n > 0; n--) value = value * 2 % two_32;
    return value >= two_32 / 2 ? UINT64_MAX - (two_32 - 1 - value) : value;
}

/* kong.md 3.2, with the shifts of docs/decisions/0011-kong-shifts.md. */
static inline naive_row naive_compatible_fields(const lb_route_spec *spec) {
    uint64_t n_kinds, number = 0;
    bool wildcard_with_port, tail, regex = spec->path_type == LB_PATH_REGEX;
    (void)naive_category(spec, &n_kinds);
    number |= naive_shift(n_kinds, 61);
    if (naive_all_plain(spec, &wildcard_with_port)) number |= UINT64_C(1) << 60;
    number |= naive_shift(naive_at_most(naive_n_of_kind(spec, LB_CONDITION_HEADER), 255), 52);
    if (regex) number |= UINT64_C(1) << 51 | naive_shift(spec->priority, 19);
    else number |= naive_path_characters(spec, &tail) % (1 << 19);
    return (naive_row){{number}};
}

static inline uint32_t naive_kong_compatible(const lb_route_spec *specs, uint32_t n, const lb_request *r, lb_str host,
                                             lb_str path, lb_str query) {
    uint32_t best = LB_NONE;
    naive_row fields, best_fields = {{0}};
    for (uint32_t i = 0; i < n; i++) {
        if (specs[i].stream || !naive_kong_holds(&specs[i], r, host, path, query, LB_FLAVOR_KONG_COMPATIBLE)) continue;
        fields = naive_compatible_fields(&specs[i]);
        if (best == LB_NONE || naive_greater(&fields, &best_fields)) best = i, best_fields = fields;
    }
    return best;
}

/* ---- streams ------------------------------------------------------------------------------------------------- */

/* Bits that a block fixes, counted as of IPv6, and one more; 0: none is asked. */
static inline uint64_t naive_bits(lb_str block) {
    unsigned char bytes[16];
    size_t slash = 0;
    uint64_t bits = 0;
    while (slash < block.len && block.data[slash] != '/') slash++;
    if (block.len == 0) return 0;
    int family = lb_ip_read((lb_str){block.data, slash}, bytes);
    for (size_t i = slash + 1; i < block.len; i++) bits = bits * 10 + (uint64_t)(block.data[i] - '0');
    return 1 + (slash == block.len ? (uint64_t)family * 8 : bits) + (family == 4 ? 96 : 0);
}

/* "Where a list says several, the one of the least counts." */
static inline uint64_t naive_least_bits(const lb_peers *peers, uint32_t n, bool *all_ports) {
    uint64_t least = 255;
    *all_ports = n > 0;
    for (uint32_t i = 0; i < n; i++) {
        least = naive_at_most(naive_bits(peers[i].block), least);
        *all_ports = *all_ports && peers[i].port > 0;
    }
    return n > 0 ? least : 0;
}

/* route.h, lb_router_match_stream(). */
static inline naive_row naive_stream_fields(const lb_route_spec *s) {
    uint64_t exact = s->n_snis ? 255 : 0, any = exact;
    bool from, to;
    for (uint32_t i = 0; i < s->n_snis; i++) {
        exact = naive_at_most(s->snis[i].data[0] == '*' ? 0 : s->snis[i].len, exact);
        any = naive_at_most(s->snis[i].len, any);
    }
    uint64_t source = naive_least_bits(s->sources, s->n_sources, &from);
    uint64_t destination = naive_least_bits(s->destinations, s->n_destinations, &to);
    return (naive_row){{exact, any, s->n_ports > 0, source, destination, from, to}};
}

/* "source bits << 4, destination bits: IP 8, port 4, CIDR 1", each if one of the list has it. */
static inline uint64_t naive_peer_number(const lb_peers *peers, uint32_t n) {
    bool ip = false, port = false, cidr = false;
    for (uint32_t i = 0; i < n; i++) {
        bool slash = false;
        for (size_t k = 0; k < peers[i].block.len; k++) slash |= peers[i].block.data[k] == '/';
        cidr |= slash;
        ip |= !slash && peers[i].block.len > 0;
        port |= peers[i].port > 0;
    }
    return ip * 8u + port * 4u + cidr;
}

static inline naive_row naive_compatible_stream_fields(const lb_route_spec *s) {
    bool first = s->n_snis > 0 || (s->n_sources > 0 && s->n_destinations > 0);
    return (naive_row){{first, naive_peer_number(s->sources, s->n_sources),
                           naive_peer_number(s->destinations, s->n_destinations)}};
}

/* The route of a connection, or LB_NONE. */
static inline uint32_t naive_stream_by_rank(lb_flavor flavor, const lb_route_spec *specs, uint32_t n, const lb_request *r) {
    bool kong = flavor == LB_FLAVOR_KONG_COMPATIBLE;
    uint32_t best = LB_NONE;
    naive_row fields, best_fields = {{0}};
    for (uint32_t i = 0; i < n; i++) {
        if (!specs[i].stream) continue;
        if (kong ? !naive_kong_rest(&specs[i], r, (lb_str){0}, flavor) : !naive_connection(&specs[i], r)) continue;
        fields = kong ? naive_compatible_stream_fields(&specs[i]) : naive_stream_fields(&specs[i]);
        if (best == LB_NONE || naive_greater(&fields, &best_fields)) best = i, best_fields = fields;
    }
    return best;
}

#endif

/* naive_traditional: how Kong's traditional router finds a route, step by step as it does (kong.md 3.1).
 *
 *     hits        what of the request occurs anywhere in the table: a header's name, a host, a path, a method, ...
 *     category    the kinds of criteria of a route; the search starts at the category of the hits, if there is one
 *     reduced     in each category first the routes under the most selective hit, then all of it
 *
 * Beyond Kong: routes without any criterion, or for http with addresses, are found wherever the search starts.
 */
#ifndef NAIVE_TRADITIONAL_H
#define NAIVE_TRADITIONAL_H

#include "naive_flavor.h"

#include <stdio.h>

typedef struct naive_hits {
    bool has[5];                    /* host, header, uri, method, sni */
    const lb_str *header, *wildcard;
    const lb_route_spec *uri;       /* a route with the path that was hit */
} naive_hits;

/* A request and the table, sorted as within a category: order[0] comes first. */
typedef struct naive_search {
    const lb_route_spec *specs;
    uint32_t *order, n;
    uint64_t *categories;           /* of each specification */
    naive_row *rows;                /* likewise */
    const lb_request *request;
    lb_str host, path, query;
    lb_str sent;                    /* the host in lower case as it was sent, with its port */
    naive_hits hits;
} naive_search;

static inline const lb_route_spec *naive_at(const naive_search *s, uint32_t i) { return &s->specs[s->order[i]]; }

static inline bool naive_comes_before(const naive_row *a, const naive_row *b) {
    for (int i = 2; i < 5; i++)
        if (a->of[i] != b->of[i]) return a->of[i] > b->of[i];
    return false;
}

/* Insertion: equal ones keep the order of the routes ("older created_at"). */
static inline void naive_sort(naive_search *s, const lb_route_spec *specs, uint32_t n, bool stream) {
    for (uint32_t i = 0; i < n; i++) {
        if (specs[i].stream != stream) continue;
        uint32_t k = s->n++;
        s->rows[i] = naive_traditional_fields(&specs[i]);
        s->categories[i] = s->rows[i].of[1];
        for (; k > 0 && naive_comes_before(&s->rows[i], &s->rows[s->order[k - 1]]); k--) s->order[k] = s->order[k - 1];
        s->order[k] = i;
    }
}

/* ---- hits ------------------------------------------------------------------------------------------------------- */

static inline bool naive_sent_header(const lb_request *r, lb_str name) {
    for (uint32_t i = 0; i < r->n_headers; i++)
        if (naive_equal(r->headers[i].name, name, true)) return true;
    return false;
}

static inline bool naive_is_plain_uri(const lb_route_spec *spec) {
    return spec->path.len > 0 && spec->path_type != LB_PATH_REGEX;
}

/* The first regular expression in order that matches, else the longest path. */
static inline void naive_hit_uri(naive_search *s) {
    const lb_route_spec *best = NULL;
    for (uint32_t i = 0; i < s->n && !s->hits.uri; i++)
        if (naive_at(s, i)->path_type == LB_PATH_REGEX && naive_path(naive_at(s, i), s->path)) s->hits.uri = naive_at(s, i);
    for (uint32_t i = 0; i < s->n && !s->hits.uri; i++) {
        const lb_route_spec *spec = naive_at(s, i);
        if (!naive_is_plain_uri(spec) || !naive_path(spec, s->path)) continue;
        if (!best || spec->path.len > best->path.len) best = spec;
    }
    if (!s->hits.uri) s->hits.uri = best;
    s->hits.has[2] = s->hits.uri != NULL;
}

/* A plain host, with the port that was sent or is the default, or without; else the first wildcard in order. */
static inline void naive_hit_host(naive_search *s) {
    for (int wildcards = 0; wildcards < 2; wildcards++)
        for (uint32_t i = 0; i < s->n && !s->hits.has[0]; i++)
            for (uint32_t h = 0; h < naive_at(s, i)->n_hosts && !s->hits.has[0]; h++) {
                const lb_str *host = &naive_at(s, i)->hosts[h];
                lb_str name = *host;
                (void)naive_take_port(&name);
                if (naive_is_wildcard(name) != (wildcards == 1)) continue;
                s->hits.has[0] = naive_kong_host(*host, s->host, s->request, LB_FLAVOR_KONG_COMPATIBLE);
                if (s->hits.has[0] && wildcards) s->hits.wildcard = host;
            }
}

static inline void naive_hit_rest(naive_search *s) {
    const lb_request *r = s->request;
    lb_str sni = r->sni;
    if (sni.len && sni.data[sni.len - 1] == '.') sni.len--;
    for (uint32_t i = 0; i < s->n; i++) {
        const lb_route_spec *spec = naive_at(s, i);
        for (uint32_t k = 0; k < spec->n_conditions; k++) {
            const lb_condition *c = &spec->conditions[k];
            if (c->kind != LB_CONDITION_HEADER || s->hits.header || !naive_sent_header(r, c->name)) continue;
            s->hits.header = &c->name;
            s->hits.has[1] = true;
        }
        for (uint32_t k = 0; k < spec->n_methods; k++) s->hits.has[3] |= naive_equal(spec->methods[k], r->method, false);
        for (uint32_t k = 0; k < spec->n_snis; k++) s->hits.has[4] |= sni.len && naive_equal(spec->snis[k], sni, true);
    }
}

/* ---- the reduced list ------------------------------------------------------------------------------------------- */

static inline bool naive_under_header(const naive_search *s, const lb_route_spec *spec) {
    for (uint32_t k = 0; s->hits.header && k < spec->n_conditions; k++)
        if (spec->conditions[k].kind == LB_CONDITION_HEADER && naive_equal(spec->conditions[k].name, *s->hits.header, true))
            return true;
    return false;
}

/* A block that holds one address. */
static inline bool naive_is_one(lb_str block) { return naive_bits(block) == 1 + 128; }

static inline uint32_t naive_under_peer(const lb_peers *peers, uint32_t n, lb_str address, uint16_t port, bool by_address) {
    uint32_t times = 0;
    for (uint32_t i = 0; i < n; i++) {
        lb_peers any_port = {peers[i].block, 0};
        bool here = naive_is_one(peers[i].block) && naive_within(&any_port, address, 0);
        times += by_address ? here : port && peers[i].port == port;
    }
    return times;
}

/* How many times the route is in the list of its category under the hit of this kind: once for each entry. */
static inline uint32_t naive_under(const naive_search *s, const lb_route_spec *spec, int kind, bool by_address) {
    const lb_request *r = s->request;
    lb_str host = s->hits.wildcard ? *s->hits.wildcard : s->sent, sni = r->sni;
    uint32_t times = 0;
    if (sni.len && sni.data[sni.len - 1] == '.') sni.len--;
    if (kind == 0)
        for (uint32_t i = 0; i < spec->n_hosts; i++) times += naive_equal(spec->hosts[i], host, true);
    if (kind == 1) return naive_under_header(s, spec);
    if (kind == 2)
        return s->hits.uri && (spec->path_type == LB_PATH_REGEX) == (s->hits.uri->path_type == LB_PATH_REGEX)
               && naive_equal(spec->path, s->hits.uri->path, false);
    if (kind == 3)
        for (uint32_t i = 0; i < spec->n_methods; i++) times += naive_equal(spec->methods[i], r->method, false);
    if (kind == 4)
        for (uint32_t i = 0; i < spec->n_snis; i++) times += naive_equal(spec->snis[i], sni, true);
    if (kind == 5) return naive_under_peer(spec->sources, spec->n_sources, r->source, r->source_port, by_address);
    if (kind == 6)
        return naive_under_peer(spec->destinations, spec->n_destinations, r->destination, r->destination_port, by_address);
    return times;
}

static inline uint32_t naive_count(const naive_search *s, uint64_t category, int kind, bool by_address) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->categories[s->order[i]] == category) n += naive_under(s, naive_at(s, i), kind, by_address);
    return n;
}

/* The kind of the list to try first, and for addresses whether it is that of the address; -1: there is none. */
static inline int naive_reduce(const naive_search *s, uint64_t category, bool *by_address) {
    uint32_t least = 0;
    int best = -1;
    for (int kind = 0; kind < 7; kind++) {
        bool address = kind >= 5 && naive_count(s, category, kind, true) > 0;
        uint32_t n = category >> (6 - kind) & 1 ? naive_count(s, category, kind, address) : 0;
        if (n == 0 || (kind != 1 && best >= 0 && n >= least)) continue;
        best = kind, least = n, *by_address = address;
        if (kind == 1) return kind;
    }
    return best;
}

/* ---- the search ------------------------------------------------------------------------------------------------- */

static inline bool naive_has_both(const lb_peers *peers, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (peers[i].block.len && peers[i].port) return true;
    return false;
}

/* The first of the category that holds; `kind` < 0: of all of it.  Lists under an address or port are sorted anew: those
 * with both go first. */
static inline uint32_t naive_first(const naive_search *s, uint64_t category, int kind, bool by_address) {
    for (int both = kind >= 5; both >= 0; both--)
        for (uint32_t i = 0; i < s->n; i++) {
            const lb_route_spec *spec = naive_at(s, i);
            if (s->categories[s->order[i]] != category || (kind >= 0 && naive_under(s, spec, kind, by_address) == 0))
                continue;
            if (kind == 5 && naive_has_both(spec->sources, spec->n_sources) != (both == 1)) continue;
            if (kind == 6 && naive_has_both(spec->destinations, spec->n_destinations) != (both == 1)) continue;
            const lb_flavor flavor = LB_FLAVOR_KONG_TRADITIONAL;
            if (!spec->stream && !naive_kong_holds(spec, s->request, s->host, s->path, s->query, flavor)) continue;
            if (naive_kong_rest(spec, s->request, s->query, flavor)) return s->order[i];
        }
    return LB_NONE;
}

static inline uint64_t naive_n_kinds(uint64_t category) {
    uint64_t n = 0;
    for (int k = 0; k < 7; k++) n += category >> k & 1;
    return n;
}

static inline bool naive_exists(const naive_search *s, uint64_t category) {
    for (uint32_t i = 0; i < s->n; i++)
        if (s->categories[s->order[i]] == category) return true;
    return false;
}

/* "The search starts at the category made of what the request hit anywhere in the config, or at the first one": what
 * stands before is passed over; all of it if nothing was hit. */
static inline bool naive_is_passed_over(const naive_search *s, uint64_t category, uint64_t hit) {
    bool exists = hit == 0 || naive_exists(s, hit);
    if (category == 0 || category % 4 != 0) return false;
    uint64_t more = naive_n_kinds(category), kinds = naive_n_kinds(hit);
    return exists && (hit == 0 || more > kinds || (more == kinds && category > hit));
}

/* "Categories are tried by number of kinds (more first), then by the bits". */
static inline uint32_t naive_find(const naive_search *s, uint64_t hit, bool stream) {
    for (uint64_t kinds = 8; kinds-- > 0;)
        for (uint64_t category = 128; category-- > 0;) {
            if (naive_n_kinds(category) != kinds || !naive_exists(s, category) || (!stream && naive_is_passed_over(s, category, hit))) continue;
            bool by_address = false;
            int kind = naive_reduce(s, category, &by_address);
            uint32_t found = kind >= 0 ? naive_first(s, category, kind, by_address) : LB_NONE;
            if (found == LB_NONE) found = naive_first(s, category, -1, false);
            if (found != LB_NONE) return found;
        }
    return LB_NONE;
}

static inline uint32_t naive_by_hits(const lb_route_spec *specs, uint32_t n, const lb_request *r, lb_str host, lb_str path,
                                     lb_str query, bool stream) {
    char sent[512];
    naive_search s = {.specs = specs, .order = calloc(n + 1, sizeof *s.order),
                      .categories = calloc(n + 1, sizeof *s.categories), .rows = calloc(n + 1, sizeof *s.rows), .request = r, .host = host, .path = path,
                      .query = query};
    uint64_t hit = 0;
    uint32_t port = stream ? 0 : naive_sent_port(r);
    int len = snprintf(sent, sizeof sent, port ? "%.*s:%u" : "%.*s", (int)host.len, host.data ? host.data : "", port);
    s.sent = (lb_str){sent, (size_t)len};
    naive_sort(&s, specs, n, stream);
    if (!stream) naive_hit_host(&s), naive_hit_uri(&s);
    naive_hit_rest(&s);
    for (int i = 0; i < 5; i++) hit = hit * 2 + s.hits.has[i];
    uint32_t found = naive_find(&s, hit * 4, stream);
    free(s.order);
    free(s.categories);
    free(s.rows);
    return found;
}

static inline uint32_t naive_kong_traditional(const lb_route_spec *specs, uint32_t n, const lb_request *r, lb_str host,
                                              lb_str path, lb_str query) {
    return naive_by_hits(specs, n, r, host, path, query, false);
}

/* ---- all flavours ------------------------------------------------------------------------------------------- */

static inline lb_match_outcome naive_match_in(lb_flavor flavor, const lb_route_spec *specs, uint32_t n, const lb_request *r,
                                              uint32_t *route) {
    static naive_scanner *const scanners[] = {naive_scan, naive_ingress, naive_kong_traditional, naive_kong_compatible};
    return naive_match_by(scanners[flavor], specs, n, r, route);
}

/* The route of a connection, or LB_NONE. */
static inline uint32_t naive_stream(lb_flavor flavor, const lb_route_spec *specs, uint32_t n, const lb_request *r) {
    if (flavor != LB_FLAVOR_KONG_TRADITIONAL) return naive_stream_by_rank(flavor, specs, n, r);
    return naive_by_hits(specs, n, r, (lb_str){0}, (lb_str){0}, (lb_str){0}, true);
}

#endif

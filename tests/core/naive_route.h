/* naive_route: the router, slow and obviously right: every specification is asked, the best that matches answers.
 *
 * The twin of src/lbcore/route in C, for test_route.c and fuzz_match.c.  It shares nothing with the router but the
 * normaliser, whose own twin is tests/twins/normalise.py.
 */
#ifndef NAIVE_ROUTE_H
#define NAIVE_ROUTE_H

#include "base/ip.h"
#include "lbcore.h"

#include <stdlib.h>

/* ---- predicates ------------------------------------------------------------------------------------------- */

static inline char naive_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

static inline bool naive_equal(lb_str a, lb_str b, bool fold) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++)
        if (fold ? naive_lower(a.data[i]) != naive_lower(b.data[i]) : a.data[i] != b.data[i]) return false;
    return true;
}

static inline lb_str naive_trim(lb_str s) {
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) s.data++, s.len--;
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t')) s.len--;
    return s;
}

/* ---- patterns: literals, ".", "\\x" and "*" behind one of them; the whole text -------------------------------- */

enum { NAIVE_PATTERNS = 4096 };

static lb_str naive_patterns[NAIVE_PATTERNS];
static uint32_t naive_n_patterns;

/* The number of a pattern, equal for equal ones. */
static inline uint32_t naive_pattern(lb_str text) {
    uint32_t i = 0;
    while (i < naive_n_patterns && !naive_equal(naive_patterns[i], text, false)) i++;
    if (i == NAIVE_PATTERNS) abort();
    if (i < naive_n_patterns) return i;
    char *copy = malloc(text.len + 1);                      /* for as long as the program runs */
    if (text.len) memcpy(copy, text.data, text.len);
    naive_patterns[naive_n_patterns++] = (lb_str){copy, text.len};
    return i;
}

static inline void naive_forget_patterns(void) {
    while (naive_n_patterns > 0) free((void *)(uintptr_t)naive_patterns[--naive_n_patterns].data);
}

static inline bool naive_regex(lb_str p, lb_str text) {
    if (p.len == 0) return text.len == 0;
    size_t one = p.data[0] == '\\' && p.len > 1 ? 2 : 1;
    bool star = p.len > one && p.data[one] == '*';
    lb_str behind = {p.data + one + star, p.len - one - star};
    for (size_t i = 0;; i++) {
        if ((star || i == 1) && naive_regex(behind, (lb_str){text.data + i, text.len - i})) return true;
        if (i == text.len || (!star && i == 1)) return false;
        if (!(one == 1 && p.data[0] == '.') && text.data[i] != p.data[one - 1]) return false;
    }
}

/* Another caller's patterns, for recorded answers; NULL: ours. */
static bool (*naive_other_patterns)(uint32_t pattern, lb_str text);

static inline bool naive_matches(uint32_t pattern, lb_str text) {
    return naive_other_patterns ? naive_other_patterns(pattern, text) : naive_regex(naive_patterns[pattern], text);
}

/* The caller's part of a match: evaluate what is asked, go on. */
static inline lb_match_outcome naive_drive(const lb_router *router, const lb_request *request, char *scratch, lb_matching *m,
                                     lb_answer *answer) {
    lb_match_outcome outcome = lb_router_begin(router, request, scratch, m, answer);
    while (outcome == LB_NEED_REGEX) {
        uint32_t verdicts = 0;
        if (m->n_questions == 0 || m->n_questions > LB_N_QUESTIONS || answer->route != LB_NONE) abort();
        for (uint32_t i = 0; i < m->n_questions; i++)
            verdicts |= (uint32_t)naive_matches(m->questions[i].pattern, m->questions[i].text) << i;
        outcome = lb_router_resume(m, verdicts, answer);
    }
    return outcome;
}

/* ---- conditions --------------------------------------------------------------------------------------------- */

static inline bool naive_test(const lb_condition *c, bool found, lb_str value) {
    bool holds = false;
    switch (c->test) {
    case LB_TEST_EXACT: return found && naive_equal(value, c->value, false);
    case LB_TEST_PRESENT: return found;
    case LB_TEST_ABSENT: return !found;
    case LB_TEST_REGEX: return found && naive_matches(c->pattern, value);
    case LB_TEST_ANY_OF:
        for (uint32_t i = 0; i < c->n_values; i++) holds |= found && naive_equal(value, c->values[i], false);
    }
    return holds;
}

/* Join the fields of the name with commas, then test. */
static inline bool naive_header(const lb_condition *c, const lb_request *r) {
    size_t n = 0, found = 0, size = 1;
    for (uint32_t i = 0; i < r->n_headers; i++) size += r->headers[i].value.len + 1;
    char *joined = malloc(size);
    for (uint32_t i = 0; i < r->n_headers; i++) {
        if (!naive_equal(r->headers[i].name, c->name, true)) continue;
        lb_str value = naive_trim(r->headers[i].value);
        if (found++) joined[n++] = ',';
        for (size_t k = 0; k < value.len; k++) joined[n++] = value.data[k];
    }
    bool holds = naive_test(c, found > 0, (lb_str){joined, n});
    free(joined);
    return holds;
}

static inline lb_str naive_decode(lb_str raw, char *to) {
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        char digits[3] = {0};
        if (raw.data[i] != '%') {
            to[n++] = raw.data[i];
            continue;
        }
        memcpy(digits, raw.data + i + 1, 2);
        to[n++] = (char)strtol(digits, NULL, 16);
        i += 2;
    }
    return (lb_str){to, n};
}

/* Decode each parameter; the first of the name decides. */
static inline bool naive_query(const lb_condition *c, lb_str query) {
    char *name = malloc(query.len + 1), *value = malloc(query.len + 1);
    bool found = false;
    lb_str first = {0};
    for (size_t i = 0; i < query.len && !found; i++) {
        size_t end = i, sign;
        while (end < query.len && query.data[end] != '&') end++;
        for (sign = i; sign < end && query.data[sign] != '=';) sign++;
        size_t from = sign < end ? sign + 1 : end;
        found = naive_equal(naive_decode((lb_str){query.data + i, sign - i}, name), c->name, false);
        first = naive_decode((lb_str){query.data + from, end - from}, value);
        i = end;
    }
    bool holds = naive_test(c, found, first);
    free(name);
    free(value);
    return holds;
}

static inline bool naive_first_of_its_name(const lb_route_spec *spec, uint32_t i) {
    for (uint32_t k = 0; k < i; k++)
        if (spec->conditions[k].kind == spec->conditions[i].kind
            && naive_equal(spec->conditions[k].name, spec->conditions[i].name,
                           spec->conditions[i].kind == LB_CONDITION_HEADER))
            return false;
    return true;
}

/* ---- connection --------------------------------------------------------------------------------------------- */

/* An address as 128 bits; IPv4 is ::ffff:a.b.c.d.  What is the number of bits that IPv4 stands behind: 96, or 0. */
static inline int naive_address(lb_str text, unsigned char out[16]) {
    unsigned char raw[16];
    int n = lb_ip_read(text, raw);
    memset(out, 0, 16);
    if (n == 16) memcpy(out, raw, 16);
    if (n == 4) out[10] = out[11] = 0xFF, memcpy(out + 12, raw, 4);
    return n;
}

static inline bool naive_is_v4(const unsigned char a[16]) {
    for (int i = 0; i < 12; i++)
        if (a[i] != (i < 10 ? 0 : 0xFF)) return false;
    return true;
}

static inline bool naive_within(const lb_peers *p, lb_str text, uint16_t port) {
    unsigned char block[16], address[16];
    if (p->port && p->port != port) return false;
    if (p->block.len == 0) return true;
    size_t slash = 0;
    while (slash < p->block.len && p->block.data[slash] != '/') slash++;
    int family = naive_address((lb_str){p->block.data, slash}, block), bits = 0;
    for (size_t i = slash + 1; i < p->block.len; i++) bits = bits * 10 + p->block.data[i] - '0';
    bits = (slash == p->block.len ? family * 8 : bits) + (family == 4 ? 96 : 0);
    if (!naive_address(text, address)) return false;
    if (naive_is_v4(address) != (naive_is_v4(block) && bits >= 96)) return false;
    for (int i = 0; i < bits; i++)
        if ((block[i / 8] ^ address[i / 8]) >> (7 - i % 8) & 1) return false;
    return true;
}

static inline bool naive_any_within(const lb_peers *peers, uint32_t n, lb_str text, uint16_t port) {
    for (uint32_t i = 0; i < n; i++)
        if (naive_within(&peers[i], text, port)) return true;
    return n == 0;
}

static inline bool naive_host(lb_str pattern, lb_str host);

static inline bool naive_connection(const lb_route_spec *spec, const lb_request *r) {
    bool sni = spec->n_snis == 0, scheme = spec->n_schemes == 0, port = spec->n_ports == 0;
    lb_str name = r->sni;
    if (name.len && name.data[name.len - 1] == '.') name.len--;
    for (uint32_t i = 0; i < spec->n_snis; i++) sni |= name.len && naive_host(spec->snis[i], name);
    for (uint32_t i = 0; i < spec->n_schemes; i++) scheme |= naive_equal(spec->schemes[i], r->scheme, true);
    for (uint32_t i = 0; i < spec->n_ports; i++) port |= spec->ports[i] == r->port;
    return sni && scheme && port && naive_any_within(spec->sources, spec->n_sources, r->source, r->source_port)
           && naive_any_within(spec->destinations, spec->n_destinations, r->destination, r->destination_port);
}

static inline bool naive_predicates(const lb_route_spec *spec, const lb_request *r, lb_str query) {
    bool method = spec->n_methods == 0;
    for (uint32_t i = 0; i < spec->n_methods; i++) method |= naive_equal(spec->methods[i], r->method, false);
    if (!method || !naive_connection(spec, r)) return false;
    for (uint32_t i = 0; i < spec->n_conditions; i++) {
        const lb_condition *c = &spec->conditions[i];
        if (!naive_first_of_its_name(spec, i)) continue;
        if (c->kind == LB_CONDITION_HEADER ? !naive_header(c, r) : !naive_query(c, query)) return false;
    }
    return true;
}

/* ---- host, path, precedence ------------------------------------------------------------------------------- */

static inline bool naive_host(lb_str pattern, lb_str host) {
    if (pattern.data[0] != '*') return naive_equal(pattern, host, true);
    size_t suffix = pattern.len - 1;                        /* ".a.b" */
    return host.len > suffix
           && naive_equal((lb_str){host.data + host.len - suffix, suffix}, (lb_str){pattern.data + 1, suffix}, true);
}

/* Segment by segment; each call looks at what stands behind one "/". */
static inline bool naive_template(lb_str t, lb_str path) {
    size_t n = 1, m = 1;
    while (n < t.len && t.data[n] != '/') n++;
    while (m < path.len && path.data[m] != '/') m++;
    bool parameter = n > 2 && t.data[1] == '{';
    if (t.len == 0 || path.len == 0) return t.len == path.len;
    if (parameter && n > 5 && t.data[n - 2] == '.') return true;                /* "...}" */
    if (parameter ? m == 1 : !naive_equal((lb_str){t.data, n}, (lb_str){path.data, m}, false)) return false;
    return naive_template((lb_str){t.data + n, t.len - n}, (lb_str){path.data + m, path.len - m});
}

static inline bool naive_begins(lb_str path, lb_str beginning) {
    return path.len >= beginning.len && naive_equal(beginning, (lb_str){path.data, beginning.len}, false);
}

static inline bool naive_path(const lb_route_spec *spec, lb_str path) {
    lb_str p = spec->path;
    if (spec->path_type == LB_PATH_EXACT) return naive_equal(p, path, false);
    if (spec->path_type == LB_PATH_TEMPLATE) return naive_template(p, path);
    if (spec->path_type == LB_PATH_PLAIN) return naive_begins(path, p);
    if (spec->path_type == LB_PATH_REGEX) return naive_matches(spec->pattern, path);
    if (p.data[p.len - 1] == '/') p.len--;
    return naive_begins(path, p) && (path.len == p.len || path.data[p.len] == '/');
}

/* Bytes outside braces, up to a tail. */
static inline size_t naive_characters(lb_str t, bool *tail) {
    size_t n = 0;
    *tail = false;
    for (size_t i = 0; i < t.len; i++) {
        bool open = t.data[i] == '{';
        size_t end = i;
        while (open && t.data[end] != '}') end++;
        if (open) *tail = t.data[end - 1] == '.';
        n += open ? 0 : 1;
        i = end;
    }
    return n - *tail;                                       /* the "/" before it */
}

enum { NAIVE_FIELDS = 8 };

/* The sentences of gateway-api.md 2.3 and 2.4, in their order (exact > template to the end > regex > the rest, then the
 * characters), and last how
 * many kinds of conditions there are on the connection; greater is better. */
static inline void naive_rank(const lb_route_spec *spec, const lb_str *host, size_t out[NAIVE_FIELDS]) {
    bool tail = false;
    lb_path_type type = spec->path_type;
    size_t characters = type == LB_PATH_TEMPLATE ? naive_characters(spec->path, &tail) : spec->path.len;
    if (type == LB_PATH_PREFIX) characters -= spec->path.data[spec->path.len - 1] == '/';
    out[0] = host && host->data[0] != '*' ? host->len : 0;
    out[1] = host ? host->len : 0;
    out[2] = type == LB_PATH_EXACT ? 3 : type == LB_PATH_TEMPLATE && !tail ? 2 : type == LB_PATH_REGEX;
    out[3] = type == LB_PATH_EXACT ? 0 : characters;
    out[4] = spec->n_methods > 0;
    out[5] = out[6] = 0;
    out[7] = (size_t)(spec->n_snis > 0) + (spec->n_schemes > 0) + (spec->n_ports > 0) + (spec->n_sources > 0)
             + (spec->n_destinations > 0);
    for (uint32_t i = 0; i < spec->n_conditions; i++)
        if (naive_first_of_its_name(spec, i)) out[spec->conditions[i].kind == LB_CONDITION_HEADER ? 5 : 6]++;
}

static inline bool naive_better(const size_t a[NAIVE_FIELDS], const size_t b[NAIVE_FIELDS]) {
    for (int i = 0; i < NAIVE_FIELDS; i++)
        if (a[i] != b[i]) return a[i] > b[i];
    return false;                                           /* the earlier specification keeps its place */
}

static inline uint32_t naive_scan(const lb_route_spec *specs, uint32_t n, const lb_request *r, lb_str host, lb_str path,
                           lb_str query) {
    uint32_t best = LB_NONE;
    size_t rank[NAIVE_FIELDS], best_rank[NAIVE_FIELDS] = {0};
    for (uint32_t i = 0; i < n; i++) {
        if (specs[i].stream || !naive_path(&specs[i], path) || !naive_predicates(&specs[i], r, query)) continue;
        for (uint32_t h = 0; h < (specs[i].n_hosts ? specs[i].n_hosts : 1); h++) {
            const lb_str *pattern = specs[i].n_hosts ? &specs[i].hosts[h] : NULL;
            if (pattern && !naive_host(*pattern, host)) continue;
            naive_rank(&specs[i], pattern, rank);
            if (best != LB_NONE && !naive_better(rank, best_rank)) continue;
            best = i;
            memcpy(best_rank, rank, sizeof rank);
        }
    }
    return best;
}

/* ---- the request ------------------------------------------------------------------------------------------ */

static inline bool naive_token(lb_str s) {
    for (size_t i = 0; i < s.len; i++) {
        char c = naive_lower(s.data[i]);
        bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!alphanumeric && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c))) return false;
    }
    return s.len > 0;
}

static inline bool naive_fields(const lb_request *r) {
    uint32_t n_hosts = 0;
    if (!naive_token(r->method)) return false;
    for (uint32_t i = 0; i < r->n_headers; i++) {
        const lb_header *h = &r->headers[i];
        if (!naive_token(h->name)) return false;
        for (size_t k = 0; k < h->value.len; k++)
            if (h->value.data[k] == '\r' || h->value.data[k] == '\n' || h->value.data[k] == '\0') return false;
        if (!naive_equal(h->name, lb_str_of("host"), true)) continue;
        if (++n_hosts > 1 || !r->host.data || !naive_equal(naive_trim(h->value), r->host, false)) return false;
    }
    return true;
}

/* Every %2F and %5C of a canonical path as "/", normalised anew. */
static inline bool naive_again(lb_str path, char *changed, char *scratch, lb_str *out) {
    const char *reason;
    lb_str query, authority, copy = {changed, 0};
    for (size_t i = 0; i < path.len; i++) {
        bool slash = path.len - i >= 3 && (!memcmp(path.data + i, "%2F", 3) || !memcmp(path.data + i, "%5C", 3));
        changed[copy.len++] = slash ? '/' : path.data[i];
        if (slash) i += 2;
    }
    return lb_normalise_target(lb_str_of("GET"), copy, scratch, out, &query, &authority, &reason);
}

/* Which of the specifications wins, for a request that was read. */
typedef uint32_t naive_scanner(const lb_route_spec *specs, uint32_t n, const lb_request *r, lb_str host, lb_str path,
                               lb_str query);

/* What a router must say whose flavour scans like this; *route is LB_NONE unless LB_FOUND. */
static inline lb_match_outcome naive_match_by(naive_scanner *scan, const lb_route_spec *specs, uint32_t n,
                                              const lb_request *r, uint32_t *route) {
    size_t size = lb_scratch_size(r) + 1;
    char *memory = malloc(size * 4);
    const char *reason;
    lb_str path, query, authority, host, other_path;
    lb_match_outcome outcome = LB_REFUSED;
    *route = LB_NONE;
    bool ok = naive_fields(r)
              && lb_normalise_target(r->method, r->target, memory, &path, &query, &authority, &reason)
              && lb_normalise_host(r->host, memory + size, &host, &reason)
              && (!authority.data || lb_normalise_host(authority, memory + size, &host, &reason));
    if (ok && path.data[0] != '/') outcome = LB_NO_ROUTE;
    if (ok && path.data[0] == '/' && naive_again(path, memory + 2 * size, memory + 3 * size, &other_path)) {
        uint32_t found = scan(specs, n, r, host, path, query);
        bool same = scan(specs, n, r, host, other_path, query) == found;
        if (same) outcome = found == LB_NONE ? LB_NO_ROUTE : LB_FOUND;
        if (same) *route = found;
    }
    free(memory);
    return outcome;
}

/* What lb_router_match() must say in gateway_api. */
static inline lb_match_outcome naive_match(const lb_route_spec *specs, uint32_t n, const lb_request *r, uint32_t *route) {
    return naive_match_by(naive_scan, specs, n, r, route);
}

#endif

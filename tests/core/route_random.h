/* route_random: random tables and requests that meet often, for the twins of the room route. */
#ifndef ROUTE_RANDOM_H
#define ROUTE_RANDOM_H

#include "route_rows.h"

/* How many tables a test makes: LBCORE_ROUTE_TABLES, which `make soak` raises, else `usual`. */
static inline uint64_t n_tables(uint64_t usual) {
    const char *text = getenv("LBCORE_ROUTE_TABLES");
    return text ? strtoull(text, NULL, 10) : usual;
}

#define PICK(rng, list) (list)[lb_rng_below(rng, (uint32_t)(sizeof(list) / sizeof *(list)))]

static const char *const some_hosts[] = {"x.com", "y.x.com", "z.y.x.com", "*.x.com", "*.y.x.com", "*.com", "Q"};
static const char *const some_segments[] = {"a", "b", "c", "ab", "a%2Fb", "%5C", "d.e", "svc"};
static const char *const some_methods[] = {"GET", "POST", "PURGE", "get"};
static const char *const some_values[] = {"1", "2", "1,2", ""};
static const char *const some_names[] = {"h", "H", "i", "jj"};
static const char *const some_tests[] = {"1", "2", "1,2", "", "?", "!", "|1|2", "|", "~.*2", "~1.*", "~.*1.*2.*", "1"};
static const char *const some_blocks[] = {"10.0.0.0/8", "10.1.2.3", "10.1.0.0/16", "::/0", "2001:db8::/32", "0.0.0.0/0",
                                          "2001:db8::1", "::ffff:10.1.0.0/112", "10.1.2.3/9"};
static const char *const some_addresses[] = {"10.1.2.3", "10.129.0.1", "::ffff:10.1.9.9", "2001:db8::1", "fe80::1%e", "x"};
static const char *const some_snis[] = {"x.com", "*.x.com", "*.com", "Y.x.com"};
static const char *const some_schemes[] = {"http", "https", "HTTPS"};

static inline lb_str random_text(lb_rng *rng, char *to, size_t limit, const char *const *parts, uint32_t n_parts, bool rough) {
    static const char *const noise[] = {"%61", ".", "..", "", "a%2fb", "%2e%2e", "%2F..", "%5c..%2Fa", "%41", "a b"};
    size_t n = 0;
    for (uint32_t k = lb_rng_below(rng, 5); k > 0 && n + 20 < limit; k--) {
        const char *part = rough && lb_rng_below(rng, 6) == 0 ? PICK(rng, noise) : parts[lb_rng_below(rng, n_parts)];
        to[n++] = '/';
        memcpy(to + n, part, strlen(part));
        n += strlen(part);
    }
    if (n == 0 || lb_rng_below(rng, 6) == 0) to[n++] = '/';
    return (lb_str){to, n};
}

static inline void random_connection(lb_rng *rng, row *r) {
    for (uint32_t i = lb_rng_below(rng, 2); i > 0; i--) r->snis[i - 1] = PICK(rng, some_snis);
    for (uint32_t i = lb_rng_below(rng, 2); i > 0; i--) r->schemes[i - 1] = PICK(rng, some_schemes);
    for (uint32_t i = lb_rng_below(rng, 3); i > 0; i--) r->sources[i - 1] = PICK(rng, some_blocks);
    for (uint32_t i = lb_rng_below(rng, 2); i > 0; i--) r->destinations[i - 1] = PICK(rng, some_blocks);
    for (uint32_t i = lb_rng_below(rng, 3); i > 0; i--) r->ports[i - 1] = (uint16_t)(1 + lb_rng_below(rng, 3));
    if (lb_rng_below(rng, 3) == 0) r->source_ports[0] = (uint16_t)(1 + lb_rng_below(rng, 2));
}

/* Another kind of path: cut somewhere, segments become parameters, something becomes a pattern. */
static inline void random_kind(lb_rng *rng, row *r, char path[96]) {
    static const char *const regexes[] = {".*", "/a.*", "/b*/c", "/a/.*b", "/ab*.*", "/svc\\.*", "/a/b", "/.*/.*"};
    static const char *const names[] = {"{a}", "{b}", "{c}", "{d}", "{e}"};
    char old[96];
    uint32_t kind = lb_rng_below(rng, 3), n_names = 0;
    memcpy(old, path, sizeof old);
    r->type = kind == 0 ? LB_PATH_PLAIN : kind == 1 ? LB_PATH_TEMPLATE : LB_PATH_REGEX;
    if (kind == 2) r->path = PICK(rng, regexes);
    size_t len = strlen(path);
    if (kind == 0 && len > 1 && path[len - 1] != 'F' && path[len - 1] != 'C' && !strchr(path, '%')) path[len - 1] = '\0';
    if (kind != 1) return;
    size_t n = 0;
    for (const char *at = old; *at == '/' && n_names < 5; at += 1 + strcspn(at + 1, "/")) {
        size_t segment = strcspn(at + 1, "/");
        bool last = at[1 + segment] == '\0', named = lb_rng_below(rng, 2);
        const char *text = last && named && lb_rng_below(rng, 2) ? "{z...}" : names[n_names];
        n += (size_t)snprintf(path + n, 96 - n, "/%.*s", named ? (int)strlen(text) : (int)segment, named ? text : at + 1);
        n_names += named;
    }
    if (n == 0) path[n++] = '/';
    path[n] = '\0';
}

/* `distinct` segments beyond the few above, so that large tables have many nodes. */
static inline void random_row(lb_rng *rng, uint32_t distinct, row *r, char path[96]) {
    char own[16];
    const char *segments[9];
    memcpy(segments, some_segments, sizeof some_segments);
    snprintf(own, sizeof own, "s%u", lb_rng_below(rng, distinct + 1));
    segments[8] = own;
    lb_str text = random_text(rng, path, 80, segments, distinct ? 9 : 8, false);
    path[text.len] = '\0';
    *r = (row){.path = path, .type = lb_rng_below(rng, 2) ? LB_PATH_PREFIX : LB_PATH_EXACT};
    if (lb_rng_below(rng, 3) == 0) random_kind(rng, r, path);
    for (uint32_t i = lb_rng_below(rng, 3); i > 0; i--) r->hosts[i - 1] = PICK(rng, some_hosts);
    if (lb_rng_below(rng, 4) == 0)
        for (uint32_t i = lb_rng_below(rng, 4); i > 0; i--) r->methods[i - 1] = PICK(rng, some_methods);
    if (lb_rng_below(rng, 4) == 0)
        for (uint32_t i = lb_rng_below(rng, 3); i > 0; i--)
            r->headers[i - 1][0] = PICK(rng, some_names), r->headers[i - 1][1] = PICK(rng, some_tests);
    if (lb_rng_below(rng, 4) == 0)
        for (uint32_t i = lb_rng_below(rng, 3); i > 0; i--)
            r->query[i - 1][0] = PICK(rng, some_names), r->query[i - 1][1] = PICK(rng, some_tests);
    if (lb_rng_below(rng, 4) == 0) random_connection(rng, r);
}

static inline void random_wire(lb_rng *rng, wire *w) {
    *w = (wire){.port = (uint16_t)lb_rng_below(rng, 4), .source_port = (uint16_t)lb_rng_below(rng, 3)};
    if (lb_rng_below(rng, 3)) w->scheme = PICK(rng, some_schemes);
    if (lb_rng_below(rng, 3)) w->source = PICK(rng, some_addresses);
    if (lb_rng_below(rng, 3)) w->destination = PICK(rng, some_addresses);
    if (lb_rng_below(rng, 3)) w->sni = lb_rng_below(rng, 2) ? "y.x.com" : "X.com.";
}

static inline void random_ask(lb_rng *rng, const row *rows, uint32_t n, char target[256], ask *a) {
    static const char *const hosts[] = {"x.com", "Y.x.com", "z.y.x.com:8", "v.x.com", "com", "q.", "u.y.x.com", ""};
    static const char *const queries[] = {"?h=1", "?i=2&h=1", "?jj=1%2c2&i", "?", "?H=1&h=2", "?%68=%31"};
    static const char *const prefixes[] = {"", "", "", "", "", "http://y.x.com", "HTTPS://X.com:1"};
    size_t size = (size_t)snprintf(target, 256, "%s", PICK(rng, prefixes));
    if (n > 0 && lb_rng_below(rng, 2))
        size += (size_t)snprintf(target + size, 100, "%s", rows[lb_rng_below(rng, n)].path);
    else
        size += random_text(rng, target + size, 80, some_segments, 8, true).len;
    if (lb_rng_below(rng, 4) == 0) size += random_text(rng, target + size, 60, some_segments, 8, true).len;
    snprintf(target + size, 256 - size, "%s", lb_rng_below(rng, 3) ? "" : PICK(rng, queries));
    *a = (ask){PICK(rng, some_methods), lb_rng_below(rng, 9) ? PICK(rng, hosts) : NULL, target, {0}};
    for (uint32_t i = lb_rng_below(rng, 3); i > 0; i--)
        a->headers[2 * i - 2] = PICK(rng, some_names), a->headers[2 * i - 1] = PICK(rng, some_values);
}

#endif

/* route_rows: routes and requests as rows of a table, for the tests of the room route. */
#ifndef ROUTE_ROWS_H
#define ROUTE_ROWS_H

#include "check.h"
#include "naive_route.h"

#include <stdlib.h>
#include <time.h>

enum { MAX_PARTS = 4 };

/* A specification as a table row can hold it; NULL (0) ends each list.  The value of a header or parameter says what is
 * asked of it: "?" that it is there, "!" that it is not, "|a|b" that it is a or b, "~x" that the pattern x matches it;
 * anything else is the value itself. */
typedef struct row {
    const char *hosts[MAX_PARTS], *path;
    lb_path_type type;
    const char *methods[MAX_PARTS];
    const char *headers[MAX_PARTS][2], *query[MAX_PARTS][2];
    const char *snis[MAX_PARTS], *schemes[MAX_PARTS], *sources[MAX_PARTS], *destinations[MAX_PARTS];
    uint16_t ports[MAX_PARTS], source_ports[MAX_PARTS];
} row;

/* Storage that lb_route_spec points into. */
typedef struct spec_store {
    lb_str hosts[MAX_PARTS], methods[MAX_PARTS], snis[MAX_PARTS], schemes[MAX_PARTS];
    lb_condition conditions[2 * MAX_PARTS];
    lb_str values[2 * MAX_PARTS][MAX_PARTS];
    lb_peers sources[MAX_PARTS], destinations[MAX_PARTS];
} spec_store;

static inline uint32_t fill(lb_str *to, const char *const *from) {
    uint32_t n = 0;
    for (; n < MAX_PARTS && from[n]; n++) to[n] = lb_str_of(from[n]);
    return n;
}

static inline uint32_t fill_peers(lb_peers *to, const char *const *from, const uint16_t *ports) {
    uint32_t n = 0;
    for (; n < MAX_PARTS && (from[n] || (ports && ports[n])); n++)
        to[n] = (lb_peers){from[n] ? lb_str_of(from[n]) : (lb_str){0}, ports ? ports[n] : 0};
    return n;
}

static inline void fill_condition(lb_route_spec *spec, spec_store *store, int kind, const char *name, const char *value) {
    lb_condition *c = &store->conditions[spec->n_conditions];
    lb_str *values = store->values[spec->n_conditions++];
    *c = (lb_condition){.name = lb_str_of(name), .value = lb_str_of(value), .values = values};
    if (kind == LB_CONDITION_QUERY) c->kind = LB_CONDITION_QUERY;
    if (value[0] == '?') c->test = LB_TEST_PRESENT;
    if (value[0] == '!') c->test = LB_TEST_ABSENT;
    if (value[0] == '~') {
        c->test = LB_TEST_REGEX;
        c->value = lb_str_of(value + 1);
        c->pattern = naive_pattern(c->value);
    }
    if (value[0] != '|') return;
    c->test = LB_TEST_ANY_OF;
    for (const char *at = value; *at == '|'; at += 1 + strcspn(at + 1, "|"))
        values[c->n_values++] = (lb_str){at + 1, strcspn(at + 1, "|")};
}

static inline lb_route_spec spec_of(const row *r, spec_store *store) {
    lb_route_spec spec = {.hosts = store->hosts, .path = lb_str_of(r->path), .path_type = r->type,
                          .methods = store->methods, .conditions = store->conditions, .snis = store->snis,
                          .schemes = store->schemes, .ports = r->ports, .sources = store->sources,
                          .destinations = store->destinations};
    if (r->type == LB_PATH_REGEX) spec.pattern = naive_pattern(spec.path);
    spec.n_hosts = fill(store->hosts, r->hosts);
    spec.n_methods = fill(store->methods, r->methods);
    for (int i = 0; i < MAX_PARTS && r->headers[i][0]; i++)
        fill_condition(&spec, store, LB_CONDITION_HEADER, r->headers[i][0], r->headers[i][1]);
    for (int i = 0; i < MAX_PARTS && r->query[i][0]; i++)
        fill_condition(&spec, store, LB_CONDITION_QUERY, r->query[i][0], r->query[i][1]);
    spec.n_snis = fill(store->snis, r->snis);
    spec.n_schemes = fill(store->schemes, r->schemes);
    while (spec.n_ports < MAX_PARTS && r->ports[spec.n_ports]) spec.n_ports++;
    spec.n_sources = fill_peers(store->sources, r->sources, r->source_ports);
    spec.n_destinations = fill_peers(store->destinations, r->destinations, NULL);
    return spec;
}

static inline lb_router *router_of(const row *rows, uint32_t n, lb_error *err) {
    spec_store *stores = calloc(n + 1, sizeof *stores);
    lb_route_spec *specs = calloc(n + 1, sizeof *specs);
    for (uint32_t i = 0; i < n; i++) specs[i] = spec_of(&rows[i], &stores[i]);
    lb_router *router = NULL;
    lb_status status = lb_router_new(&router, specs, n, LB_FLAVOR_GATEWAY_API, 5, err);
    CHECK((status == LB_OK) == (router != NULL));
    free(specs);
    free(stores);
    return router;
}

/* A request of a table row: headers as name, value, name, value, NULL. */
typedef struct ask { const char *method, *host, *target; const char *headers[9]; } ask;

/* The connection that it comes by. */
typedef struct wire {
    const char *scheme, *sni, *source, *destination;
    uint16_t port, source_port, destination_port;
} wire;

enum { NONE = -1, REFUSED = -2 };

static inline lb_request request_of(const ask *a, const wire *w, lb_header headers[4]) {
    lb_request request = {.method = lb_str_of(a->method), .target = lb_str_of(a->target), .headers = headers};
    if (a->host) request.host = lb_str_of(a->host);
    for (; a->headers[2 * request.n_headers]; request.n_headers++)
        headers[request.n_headers] = (lb_header){lb_str_of(a->headers[2 * request.n_headers]),
                                                 lb_str_of(a->headers[2 * request.n_headers + 1])};
    if (!w) return request;
    if (w->scheme) request.scheme = lb_str_of(w->scheme);
    if (w->sni) request.sni = lb_str_of(w->sni);
    if (w->source) request.source = lb_str_of(w->source);
    if (w->destination) request.destination = lb_str_of(w->destination);
    request.port = w->port;
    request.source_port = w->source_port;
    request.destination_port = w->destination_port;
    return request;
}

static inline int match_on(const lb_router *router, const ask *a, const wire *w, lb_answer *answer) {
    lb_header headers[4];
    lb_request request = request_of(a, w, headers);
    static char scratch[4096];
    static lb_matching matching;
    lb_match_outcome outcome = naive_drive(router, &request, scratch, &matching, answer);
    CHECK((outcome == LB_FOUND) == (answer->route != LB_NONE));
    CHECK((outcome == LB_REFUSED) == (answer->reason != NULL));
    return outcome == LB_REFUSED ? REFUSED : outcome == LB_NO_ROUTE ? NONE : (int)answer->route;
}

static inline int match_row(const lb_router *router, const ask *a, lb_answer *answer) {
    return match_on(router, a, NULL, answer);
}

/* ---- time ------------------------------------------------------------------------------------------------- */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOW_BUILD 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
#define SLOW_BUILD 1
#endif

/* "no request of 64 KiB costs over 1 ms"; ten times that where the compiler was told to make slow code. */
#ifdef SLOW_BUILD
#define LONG_REQUEST_MS 10.0
#else
#define LONG_REQUEST_MS 1.0
#endif

/* CPU time since `begin`. */
static inline double ms_since(clock_t begin) { return (double)(clock() - begin) * 1e3 / CLOCKS_PER_SEC; }

#endif

/* route_rows: routes and requests as rows of a table, for the tests of the room route. */
#ifndef ROUTE_ROWS_H
#define ROUTE_ROWS_H

#include "check.h"

#include <stdlib.h>
#include <time.h>

enum { MAX_PARTS = 4 };

/* A specification as a table row can hold it; NULL ends each list. */
typedef struct row {
    const char *hosts[MAX_PARTS], *path;
    lb_path_type type;
    const char *methods[MAX_PARTS];
    const char *headers[MAX_PARTS][2], *query[MAX_PARTS][2];
} row;

/* Storage that lb_route_spec points into. */
typedef struct spec_store {
    lb_str hosts[MAX_PARTS], methods[MAX_PARTS];
    lb_condition conditions[2 * MAX_PARTS];
} spec_store;

static inline uint32_t fill(lb_str *to, const char *const *from) {
    uint32_t n = 0;
    for (; n < MAX_PARTS && from[n]; n++) to[n] = lb_str_of(from[n]);
    return n;
}

static inline lb_route_spec spec_of(const row *r, spec_store *store) {
    lb_route_spec spec = {.hosts = store->hosts, .path = lb_str_of(r->path), .path_type = r->type,
                          .methods = store->methods, .conditions = store->conditions};
    spec.n_hosts = fill(store->hosts, r->hosts);
    spec.n_methods = fill(store->methods, r->methods);
    for (int i = 0; i < MAX_PARTS && r->headers[i][0]; i++)
        store->conditions[spec.n_conditions++] =
            (lb_condition){LB_CONDITION_HEADER, lb_str_of(r->headers[i][0]), lb_str_of(r->headers[i][1])};
    for (int i = 0; i < MAX_PARTS && r->query[i][0]; i++)
        store->conditions[spec.n_conditions++] =
            (lb_condition){LB_CONDITION_QUERY, lb_str_of(r->query[i][0]), lb_str_of(r->query[i][1])};
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

enum { NONE = -1, REFUSED = -2 };

static inline int match_row(const lb_router *router, const ask *a, lb_answer *answer) {
    lb_header headers[4];
    lb_request request = {.method = lb_str_of(a->method), .target = lb_str_of(a->target), .headers = headers};
    static char scratch[4096];
    if (a->host) request.host = lb_str_of(a->host);
    for (; a->headers[2 * request.n_headers]; request.n_headers++)
        headers[request.n_headers] = (lb_header){lb_str_of(a->headers[2 * request.n_headers]),
                                                 lb_str_of(a->headers[2 * request.n_headers + 1])};
    lb_match_outcome outcome = lb_router_match(router, &request, scratch, answer);
    CHECK((outcome == LB_FOUND) == (answer->route != LB_NONE));
    CHECK((outcome == LB_REFUSED) == (answer->reason != NULL));
    return outcome == LB_REFUSED ? REFUSED : outcome == LB_NO_ROUTE ? NONE : (int)answer->route;
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

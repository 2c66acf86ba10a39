/* Tests of the room route: the compiled router against a scan of the list, its memory and its worst cases. */
#include "route_random.h"

/* ---- twin: random tables and requests --------------------------------------------------------------------- */

static void compare(const lb_router *router, const lb_route_spec *specs, uint32_t n, const ask *a, const wire *w,
                    uint32_t seen[3]) {
    lb_header headers[4];
    lb_answer answer;
    lb_matching matching;
    char scratch[512];
    uint32_t want_route;
    lb_request request = request_of(a, w, headers);
    lb_match_outcome want = naive_match(specs, n, &request, &want_route);
    lb_match_outcome got = naive_drive(router, &request, scratch, &matching, &answer);
    if (got != want || answer.route != want_route)
        fprintf(stderr, "%s %s %s: got %d %u, want %d %u\n", a->method, a->host, a->target, got, answer.route, want,
                want_route);
    CHECK(got == want && answer.route == want_route);
    seen[got]++;
    got = lb_router_match(router, &request, scratch, &answer);
    CHECK(got == LB_NEED_REGEX ? answer.route == LB_NONE : got == want && answer.route == want_route);
}

/* One random table and `n_asks` requests. */
static void twin_of_size(uint32_t n, uint32_t n_asks, uint64_t seed, uint32_t seen[3]) {
    lb_rng rng;
    lb_rng_seed(&rng, seed);
    row *rows = calloc(n + 1, sizeof *rows);
    char (*paths)[96] = calloc(n + 1, sizeof *paths), target[256];
    spec_store *stores = calloc(n + 1, sizeof *stores);
    lb_route_spec *specs = calloc(n + 1, sizeof *specs);
    for (uint32_t i = 0; i < n; i++) {
        random_row(&rng, n < 50 ? 0 : n / 4, &rows[i], paths[i]);
        specs[i] = spec_of(&rows[i], &stores[i]);
    }
    lb_router *router = NULL;
    lb_error err = {{0}, {0}};
    lb_status status = lb_router_new(&router, specs, n, LB_FLAVOR_GATEWAY_API, seed, &err);
    if (status != LB_OK) fprintf(stderr, "seed %d: %s: %s\n", (int)seed, err.field, err.reason);
    CHECK_EQ(status, LB_OK);
    for (uint32_t i = 0; i < n_asks && router; i++) {
        ask a;
        wire w;
        random_ask(&rng, rows, n, target, &a);
        random_wire(&rng, &w);
        compare(router, specs, n, &a, &w, seen);
    }
    lb_router_free(router);
    free(specs);
    free(stores);
    free(paths);
    free(rows);
}

static void the_router_equals_a_scan_of_the_list(void) {
    static const uint32_t sizes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 25, 26, 100};
    uint32_t seen[3] = {0};
    for (uint64_t seed = 0; seed < n_tables(40); seed++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) twin_of_size(sizes[i], 200, 100 * seed + i, seen);
    twin_of_size(1000, 1000, 7, seen);
    twin_of_size(20000, 100, 8, seen);
    CHECK(seen[LB_FOUND] > 20000 && seen[LB_NO_ROUTE] > 10000 && seen[LB_REFUSED] > 10000);
}

/* 3,000 rules on one path in every order of arrival: the sort within a list, and the index of values. */
static void one_path_of_many(lb_rng *rng, uint32_t n, uint32_t n_values, bool with_tests) {
    row *rows = calloc(n, sizeof *rows);
    uint32_t seen[3] = {0};
    spec_store *stores = calloc(n, sizeof *stores);
    lb_route_spec *specs = calloc(n, sizeof *specs);
    char (*values)[16] = calloc(n_values, sizeof *values);
    for (uint32_t i = 0; i < n_values; i++) snprintf(values[i], sizeof values[i], "v%u", i);
    for (uint32_t i = 0; i < n; i++) {
        rows[i].path = "/p";
        for (uint32_t k = lb_rng_below(rng, 4); k > 0; k--) {
            rows[i].headers[k - 1][0] = PICK(rng, some_names);
            rows[i].headers[k - 1][1] = with_tests ? PICK(rng, some_tests) : values[lb_rng_below(rng, n_values)];
        }
        for (uint32_t k = lb_rng_below(rng, 4); k > 0; k--) {
            rows[i].query[k - 1][0] = PICK(rng, some_names);
            rows[i].query[k - 1][1] = with_tests ? PICK(rng, some_values) : values[lb_rng_below(rng, n_values)];
        }
        if (lb_rng_below(rng, 3) == 0) random_connection(rng, &rows[i]);
        if (lb_rng_below(rng, 2)) rows[i].methods[0] = PICK(rng, some_methods);
        specs[i] = spec_of(&rows[i], &stores[i]);
    }
    lb_router *router = NULL;
    CHECK_EQ(lb_router_new(&router, specs, n, LB_FLAVOR_GATEWAY_API, n, NULL), LB_OK);
    static const char *const targets[] = {"/p", "/p?h=1", "/p?H=2&jj=1", "/p?i=1%2C2&h=&H=1&jj=2", "/q"};
    for (int i = 0; i < 200; i++) {
        char target[64];
        ask a = {PICK(rng, some_methods), "x", PICK(rng, targets), {0}};
        wire w;
        random_wire(rng, &w);
        if (!with_tests && lb_rng_below(rng, 2)) {
            snprintf(target, sizeof target, "/p?h=%s&jj=%%76%u", values[lb_rng_below(rng, n_values)], i % 20);
            a.target = target;
        }
        for (uint32_t k = lb_rng_below(rng, 4); k > 0; k--) {
            a.headers[2 * k - 2] = PICK(rng, some_names);
            a.headers[2 * k - 1] = with_tests ? PICK(rng, some_values) : values[lb_rng_below(rng, n_values)];
        }
        compare(router, specs, n, &a, &w, seen);
    }
    lb_router_free(router);
    free(values);
    free(specs);
    free(stores);
    free(rows);
}

static void one_path_with_many_candidates(void) {
    static const uint32_t sizes[] = {1, 7, 8, 9, 15, 16, 17, 40, 100, 3000};
    lb_rng rng;
    lb_rng_seed(&rng, 3);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int round = 0; round < 6; round++) one_path_of_many(&rng, sizes[i], sizes[i] / 2 + 1, round % 3 == 0);
}

/* ---- memory, time ----------------------------------------------------------------------------------------- */

/* 100,000 prefixes of four segments: "<= 80 bytes a route beyond its strings". */
static void memory_is_bounded(void) {
    enum { N = 100000 };
    char (*paths)[40] = malloc(N * sizeof *paths);
    lb_route_spec *specs = calloc(N, sizeof *specs);
    size_t text = 0;
    for (uint32_t i = 0; i < N; i++) {
        int n = snprintf(paths[i], sizeof paths[i], "/svc%u/v1/res%u/sub", i / 100, i);
        specs[i] = (lb_route_spec){.path = {paths[i], (size_t)n}, .path_type = i % 2 ? LB_PATH_EXACT : LB_PATH_PREFIX};
        text += (size_t)n;
    }
    lb_router *router = NULL;
    CHECK_EQ(lb_router_new(&router, specs, N, LB_FLAVOR_GATEWAY_API, 1, NULL), LB_OK);
    CHECK(lb_router_memory(router) > N * 24 && lb_router_memory(router) < N * 80 + text);
    lb_router_free(router);
    free(specs);
    free(paths);
}

/* A request of 64 KiB, and a table made for it. */
static double ms_of_match(const char *target, size_t n) {
    static const row rows[] = {
        {.path = "/a/a/a/a/a/a/a/a/a/a", .type = LB_PATH_PREFIX}, {.path = "/", .type = LB_PATH_PREFIX},
        {.path = "/", .type = LB_PATH_EXACT, .hosts = {"*.y", "*.x.y", "x.x.y"}},
        {.path = "/", .type = LB_PATH_PREFIX, .query = {{"a", "2"}}, .headers = {{"x", "1"}}},
    };
    static char scratch[70000];
    lb_router *router = router_of(rows, 4, NULL);
    lb_header header = {lb_str_of("x"), {target, n}};
    lb_request request = {.method = lb_str_of("GET"), .host = lb_str_of("x.x.y"), .target = {target, n}, .headers = &header,
                          .n_headers = 1};
    lb_answer answer;
    double best = 1e9;
    for (int i = 0; i < 20; i++) {
        clock_t begin = clock();
        (void)lb_router_match(router, &request, scratch, &answer);
        double ms = ms_since(begin);
        if (ms < best) best = ms;
    }
    lb_router_free(router);
    return best;
}

static void long_requests_are_linear(void) {
    static const char *const shapes[] = {"/", "/a", "/.", "/..", "a", "%2F", "%5c", "/%2F..", "%2e%2e/", "?a=1&",
                                         "/a%2fb"};
    enum { LONG = 65536 };
    char *text = malloc(LONG);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t len = strlen(shapes[i]);
        for (size_t k = 0; k < LONG; k++) text[k] = shapes[i][k % len];
        text[0] = '/';
        double ms = ms_of_match(text, LONG - LONG % len);
        if (ms > LONG_REQUEST_MS) fprintf(stderr, "%s: %.3f ms\n", shapes[i], ms);
        CHECK(ms <= LONG_REQUEST_MS);
    }
    free(text);
}

int main(void) {
    RUN(the_router_equals_a_scan_of_the_list);
    RUN(one_path_with_many_candidates);
    RUN(memory_is_bounded);
    RUN(long_requests_are_linear);
    return check_result();
}

/* Tests of the room route: the compiled router against a scan of the list, its memory and its worst cases. */
#include "route_rows.h"

/* ---- twin: random tables and requests --------------------------------------------------------------------- */

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

static lb_str random_text(lb_rng *rng, char *to, size_t limit, const char *const *parts, uint32_t n_parts, bool rough) {
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

static void random_connection(lb_rng *rng, row *r) {
    for (uint32_t i = lb_rng_below(rng, 2); i > 0; i--) r->snis[i - 1] = PICK(rng, some_snis);
    for (uint32_t i = lb_rng_below(rng, 2); i > 0; i--) r->schemes[i - 1] = PICK(rng, some_schemes);
    for (uint32_t i = lb_rng_below(rng, 3); i > 0; i--) r->sources[i - 1] = PICK(rng, some_blocks);
    for (uint32_t i = lb_rng_below(rng, 2); i > 0; i--) r->destinations[i - 1] = PICK(rng, some_blocks);
    for (uint32_t i = lb_rng_below(rng, 3); i > 0; i--) r->ports[i - 1] = (uint16_t)(1 + lb_rng_below(rng, 3));
    if (lb_rng_below(rng, 3) == 0) r->source_ports[0] = (uint16_t)(1 + lb_rng_below(rng, 2));
}

/* Another kind of path: cut somewhere, segments become parameters, something becomes a pattern. */
static void random_kind(lb_rng *rng, row *r, char path[96]) {
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
static void random_row(lb_rng *rng, uint32_t distinct, row *r, char path[96]) {
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

static void random_wire(lb_rng *rng, wire *w) {
    *w = (wire){.port = (uint16_t)lb_rng_below(rng, 4), .source_port = (uint16_t)lb_rng_below(rng, 3)};
    if (lb_rng_below(rng, 3)) w->scheme = PICK(rng, some_schemes);
    if (lb_rng_below(rng, 3)) w->source = PICK(rng, some_addresses);
    if (lb_rng_below(rng, 3)) w->destination = PICK(rng, some_addresses);
    if (lb_rng_below(rng, 3)) w->sni = lb_rng_below(rng, 2) ? "y.x.com" : "X.com.";
}

static void random_ask(lb_rng *rng, const row *rows, uint32_t n, char target[256], ask *a) {
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
    for (uint64_t seed = 0; seed < 40; seed++)
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

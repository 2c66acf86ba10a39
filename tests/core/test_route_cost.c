/* Tests of the room route: what a match may cost, counted in steps (slots looked at, candidates, nodes), not in time. */
#include "route_rows.h"

extern uint64_t lb_test_steps;          /* route/table.h */

/* ---- tables made by a rule ---------------------------------------------------------------------------------- */

typedef struct made { lb_route_spec *specs; char (*texts)[64]; lb_str *hosts; lb_condition *conditions; uint32_t n; } made;

static made make(uint32_t n) {
    return (made){calloc(n, sizeof(lb_route_spec)), calloc(n, 64), calloc(n, sizeof(lb_str)),
                  calloc(n, sizeof(lb_condition)), n};
}

static void unmake(made *m) {
    free(m->specs);
    free(m->texts);
    free(m->hosts);
    free(m->conditions);
}

static lb_router *compile(const made *m) {
    lb_router *router = NULL;
    CHECK_EQ(lb_router_new(&router, m->specs, m->n, LB_FLAVOR_GATEWAY_API, 99, NULL), LB_OK);
    return router;
}

static uint64_t steps_of(const lb_router *router, const char *host, const char *target, const lb_header *header, int want) {
    static char scratch[1024];
    lb_request request = {.method = lb_str_of("GET"), .host = lb_str_of(host), .target = lb_str_of(target),
                          .headers = header, .n_headers = header != NULL};
    lb_answer answer;
    uint64_t before = lb_test_steps;
    lb_match_outcome outcome = lb_router_match(router, &request, scratch, &answer);
    if (want == NONE) CHECK_EQ(outcome, LB_NO_ROUTE);
    if (want >= 0) CHECK_EQ(answer.route, want);
    return lb_test_steps - before;
}

/* ---- values ------------------------------------------------------------------------------------------------- */

/* Mean steps to find a rule by its header's value among n on one path. */
static uint64_t steps_among_values(uint32_t n) {
    made m = make(n);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        snprintf(m.texts[i], 64, "user-%u", i);
        m.conditions[i] = (lb_condition){.name = lb_str_of("x-user"), .value = lb_str_of(m.texts[i])};
        m.specs[i] = (lb_route_spec){.path = lb_str_of("/p"), .path_type = LB_PATH_PREFIX,
                                     .conditions = &m.conditions[i], .n_conditions = 1};
    }
    lb_router *router = compile(&m);
    for (uint32_t i = 0; i < 100; i++) {
        lb_header header = {lb_str_of("X-User"), lb_str_of(m.texts[i % n])};
        sum += steps_of(router, "h", "/p", &header, (int)(i % n));
    }
    lb_router_free(router);
    unmake(&m);
    return sum / 100;
}

/* "also when 10,000 rules share one path and differ by one header's value": a few more slots than one rule needs. */
static void many_values_cost_as_one(void) { CHECK(steps_among_values(10000) <= steps_among_values(1) + 6); }

/* ---- parameters --------------------------------------------------------------------------------------------- */

/* All 2^k templates of k segments, "a" or a parameter; the request fits all beginnings and no end: the worst case.
 * match.c: at most 2^k of k segments, and never more than the trie has nodes; per node a few slots. */
static void backtracking_is_bounded_by_the_trie(void) {
    enum { K = 10, N = 1 << K };
    made m = make(N);
    char target[2 * K + 4];
    for (uint32_t i = 0; i < N; i++) {
        size_t n = 0;
        for (uint32_t k = 0; k < K; k++)
            n += (size_t)snprintf(m.texts[i] + n, 64 - n, i >> k & 1 ? "/a" : "/{%c}", 'a' + (int)k);
        m.specs[i] = (lb_route_spec){.path = {m.texts[i], n}, .path_type = LB_PATH_TEMPLATE};
    }
    lb_router *router = compile(&m);
    for (uint32_t k = 0; k <= K; k++) memcpy(target + 2 * k, "/a", 3);
    uint64_t steps = steps_of(router, "h", target, NULL, NONE);
    uint64_t n_nodes = 2 * N;
    CHECK(steps >= N && steps <= 8 * n_nodes);
    target[2 * K] = '\0';
    CHECK(steps_of(router, "h", target, NULL, N - 1) <= 10 * n_nodes);
    lb_router_free(router);
    unmake(&m);
}

/* One template of 128 parameters, and the same with literals beside each: linear in the segments. */
static void a_deep_template_is_linear(void) {
    enum { K = LB_N_SEGMENTS_MAX };
    static char paths[K][K * 8 + 8], target[K * 2 + 1];
    lb_route_spec specs[K];
    for (int i = 0; i < K; i++) {
        size_t n = 0;
        for (int k = 0; k <= i; k++) n += (size_t)snprintf(paths[i] + n, sizeof paths[i] - n, k < i ? "/{p%d}" : "/a", k);
        specs[i] = (lb_route_spec){.path = {paths[i], n}, .path_type = LB_PATH_TEMPLATE};
    }
    for (int k = 0; k < K; k++) memcpy(target + 2 * k, "/a", 3);
    lb_router *router = NULL;
    lb_error err = {{0}, {0}};
    CHECK_EQ(lb_router_new(&router, specs, K, LB_FLAVOR_GATEWAY_API, 3, &err), LB_OK);
    CHECK(steps_of(router, "h", target, NULL, K - 1) <= 24 * K);
    lb_router_free(router);
}

/* ---- hostile tables: within 4 x of random ones ------------------------------------------------------------------- */

#ifdef SLOW_BUILD
enum { MANY = 1 << 15 };
#else
enum { MANY = 1 << 20 };
#endif

enum { HOSTS = 100000 < MANY ? 100000 : MANY, ASKS = 2000 };

static void random_name(lb_rng *rng, char *to) {
    for (int k = 0; k < 12; k++) to[k] = (char)('a' + lb_rng_below(rng, 26));
    to[12] = '\0';
}

/* Names chosen without knowledge of the seed, to be alike: counters, one byte that differs, equal low bits. */
static void hostile_name(uint32_t i, int kind, char to[32]) {
    if (kind == 0) snprintf(to, 32, "%07u", i);
    if (kind == 1) snprintf(to, 32, "aaaaaaaaaaaaaaaa%c%c%c%c", 'a' + i % 32 % 26, 'A' + i / 32 % 26, 'a' + i / 1024 % 26,
                            'A' + i / 32768 % 26);
    if (kind == 2) snprintf(to, 32, "%08x", i << 12 | i >> 20);
    if (kind == 3) snprintf(to, 32, "%x-%x", i >> 8, i & 255);
}

/* Mean steps of requests for a table of n names; kind < 0: random ones.  Hosts "*.name.example", else "/name/x". */
static uint64_t steps_among(uint32_t n, int kind, bool hosts) {
    made m = make(n + 1);
    lb_rng rng;
    lb_rng_seed(&rng, 17);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        char name[32];
        if (kind < 0) random_name(&rng, name);
        else hostile_name(i, kind, name);
        snprintf(m.texts[i], 64, hosts ? "*.%s.example" : "/a/%s/x", name);
        m.specs[i] = (lb_route_spec){.path = lb_str_of(hosts ? "/" : m.texts[i]), .path_type = LB_PATH_PREFIX};
        m.hosts[i] = lb_str_of(m.texts[i]);
        if (hosts) m.specs[i].hosts = &m.hosts[i], m.specs[i].n_hosts = 1;
    }
    m.specs[n] = (lb_route_spec){.path = lb_str_of("/a/{p}/{q}/z"), .path_type = LB_PATH_TEMPLATE};
    lb_router *router = compile(&m);
    for (uint32_t i = 0; i < ASKS; i++) {
        char text[80];
        uint32_t which = lb_rng_below(&rng, n);
        snprintf(text, sizeof text, hosts ? "x%s" : "%s/y", m.texts[which] + (hosts ? 1 : 0));
        sum += steps_of(router, hosts ? text : "h", hosts ? "/a/b" : text, NULL, -9);
        text[hosts ? 3 : 4] ^= 1;                           /* most of these are not in the table */
        sum += steps_of(router, hosts ? text : "h", hosts ? "/a/b" : text, NULL, -9);
    }
    lb_router_free(router);
    unmake(&m);
    return sum;
}

static void hostile_names_cost_as_random_ones(void) {
    for (int hosts = 0; hosts < 2; hosts++) {
        uint32_t n = hosts ? HOSTS : MANY;
        uint64_t random = steps_among(n, -1, hosts);
        for (int kind = 0; kind < 4; kind++) {
            uint64_t steps = steps_among(n, kind, hosts);
            if (steps > 4 * random) fprintf(stderr, "kind %d: %llu steps, random %llu\n", kind,
                                            (unsigned long long)steps, (unsigned long long)random);
            CHECK(steps <= 4 * random);
        }
    }
}

int main(void) {
    RUN(many_values_cost_as_one);
    RUN(backtracking_is_bounded_by_the_trie);
    RUN(a_deep_template_is_linear);
    RUN(hostile_names_cost_as_random_ones);
    return check_result();
}

/* Tests of the room route: every flavour against its twin (naive_traditional.h): random tables, crowds on one path, changes.
 *
 * LBCORE_ROUTE_TABLES (2,000) is how many tables each of them makes; `make soak` makes 100,000.
 */
#include "naive_traditional.h"
#include "route_random.h"

enum { N_FLAVORS = 4, SCRATCH = 1024 };

static bool is_kong(lb_flavor flavor) {
    return flavor == LB_FLAVOR_KONG_TRADITIONAL || flavor == LB_FLAVOR_KONG_COMPATIBLE;
}

/* ---- random specifications, each with what it points into -------------------------------------------------------- */

enum { MAX_PATTERNS = LB_N_PATTERNS_MAX };

typedef struct made {
    row row;
    spec_store store;
    char path[96];
    lb_condition patterns[2 * MAX_PARTS + MAX_PATTERNS];
} made;

static const char *const kong_hosts[] = {"x.com", "x.com:8", "*.x.com", "*.x.com:80", "y.*", "y.x.*:8", "Y.x.com:443", "*.com"};

/* What only Kong's flavours take: ports, "y.*", no path. */
static void make_kong(lb_rng *rng, row *r) {
    for (int i = 0; i < MAX_PARTS && r->hosts[i]; i++)
        if (lb_rng_below(rng, 2)) r->hosts[i] = PICK(rng, kong_hosts);
    if (lb_rng_below(rng, 6) == 0) r->path = "", r->type = LB_PATH_PLAIN;
}

static lb_route_spec random_spec(lb_rng *rng, lb_flavor flavor, made *m) {
    random_row(rng, 0, &m->row, m->path);
    if (is_kong(flavor)) make_kong(rng, &m->row);
    lb_route_spec spec = spec_of(&m->row, &m->store);
    if (spec.path_type == LB_PATH_REGEX) spec.priority = lb_rng_below(rng, 3) * (lb_rng_below(rng, 2) ? 1 : 4096);
    return spec;
}

static lb_route_spec random_stream(lb_rng *rng, made *m) {
    m->row = (row){.path = "", .type = LB_PATH_EXACT};
    random_connection(rng, &m->row);
    lb_route_spec spec = spec_of(&m->row, &m->store);
    spec.stream = true;
    return spec;
}

/* On the path "/p", with 0 to 16 patterns and a value or two: long lists, many questions. */
static lb_route_spec random_of_a_crowd(lb_rng *rng, made *m) {
    static const char *const regexes[] = {"1", "2", "3", "4.*", "1.*", ".*2", ".*5", "1,2", "", "7.*", ".*1.*"};
    static const char *const names[] = {"h", "i", "jj", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"};
    static const char *const values[] = {"1", "2", "1,2", "", "a", "B", "c", "d", "e", "f", "g", "|1|a", "|2|b|c"};
    m->row = (row){.path = "/p", .type = (lb_path_type)(lb_rng_below(rng, 2) * LB_PATH_PLAIN)};
    if (lb_rng_below(rng, 5) == 0) m->row.path = "/.*", m->row.type = LB_PATH_REGEX;
    if (lb_rng_below(rng, 2)) m->row.headers[0][0] = "h", m->row.headers[0][1] = PICK(rng, values);
    lb_route_spec spec = spec_of(&m->row, &m->store);
    uint32_t most = MAX_PATTERNS - (spec.path_type == LB_PATH_REGEX), n = lb_rng_below(rng, 4) ? 4 : most + 1;
    memcpy(m->patterns, m->store.conditions, spec.n_conditions * sizeof *m->patterns);
    for (uint32_t k = lb_rng_below(rng, n); k > 0; k--) {
        lb_str regex = lb_str_of(PICK(rng, regexes));
        m->patterns[spec.n_conditions] = (lb_condition){.name = lb_str_of(PICK(rng, names)), .value = regex,
                                                        .test = LB_TEST_REGEX, .pattern = naive_pattern(regex)};
        if (lb_rng_below(rng, 3)) m->patterns[spec.n_conditions].kind = LB_CONDITION_QUERY;
        spec.n_conditions++;
    }
    spec.conditions = m->patterns;
    return spec;
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

typedef struct asked { char target[256]; ask ask; wire wire; lb_header headers[4]; lb_request request; } asked;

static void random_request(lb_rng *rng, const made *all, uint32_t n, asked *a) {
    static const char *const hosts[] = {"y.x.com:80", "x.com:8", "y.org:443", "Y.x.net:8", "y.x.com:443"};
    row *rows = calloc(n + 1, sizeof *rows);
    for (uint32_t i = 0; i < n; i++) rows[i] = all[i].row;
    random_ask(rng, rows, n, a->target, &a->ask);
    free(rows);
    if (lb_rng_below(rng, 3) == 0) a->ask.host = PICK(rng, hosts);
    random_wire(rng, &a->wire);
    if (lb_rng_below(rng, 4) == 0) a->wire.scheme = "tls";
    a->request = request_of(&a->ask, &a->wire, a->headers);
}

/* ---- comparing -------------------------------------------------------------------------------------------------- */

/* Outcomes seen, so that a test cannot pass by asking nothing. */
typedef struct tally { uint32_t of[LB_NEED_REGEX + 1], streams, questions; } tally;

static lb_match_outcome drive(const lb_router *router, const lb_request *r, lb_answer *answer, tally *seen) {
    static char scratch[SCRATCH];
    static lb_matching m;
    lb_match_outcome outcome = lb_router_begin(router, r, scratch, &m, answer);
    while (outcome == LB_NEED_REGEX) {
        uint32_t verdicts = 0;
        seen->questions = m.n_questions > seen->questions ? m.n_questions : seen->questions;
        for (uint32_t i = 0; i < m.n_questions; i++)
            verdicts |= (uint32_t)naive_regex(naive_patterns[m.questions[i].pattern], m.questions[i].text) << i;
        outcome = lb_router_resume(&m, verdicts, answer);
    }
    return outcome;
}

/* `order`: the number of each specification; NULL: its index. */
static bool agrees(const lb_router *router, lb_flavor flavor, const lb_route_spec *specs, const uint32_t *order, uint32_t n,
                   const asked *a, tally *seen) {
    lb_answer answer, stream;
    uint32_t want, want_stream = naive_stream(flavor, specs, n, &a->request);
    lb_match_outcome outcome = naive_match_in(flavor, specs, n, &a->request, &want);
    if (order && want != LB_NONE) want = order[want];
    if (order && want_stream != LB_NONE) want_stream = order[want_stream];
    lb_match_outcome got = drive(router, &a->request, &answer, seen);
    (void)lb_router_match_stream(router, &a->request, &stream);
    seen->of[got]++;
    seen->streams += stream.route != LB_NONE;
    if (got == outcome && answer.route == want && stream.route == want_stream) return true;
    fprintf(stderr, "flavour %d: %s %s %s: got %d %d, stream %d; want %d %d, stream %d\n", (int)flavor, a->ask.method,
            a->ask.host ? a->ask.host : "-", a->target, (int)got, (int)answer.route, (int)stream.route, (int)outcome,
            (int)want, (int)want_stream);
    return false;
}

static lb_router *router_in(lb_flavor flavor, const lb_route_spec *specs, uint32_t n, uint64_t seed) {
    lb_router *router = NULL;
    lb_error err = {{0}, {0}};
    if (lb_router_new(&router, specs, n, flavor, seed, &err) != LB_OK)
        fprintf(stderr, "seed %llu: %s: %s\n", (unsigned long long)seed, err.field, err.reason);
    CHECK(router != NULL);
    return router;
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

static void one_table(lb_flavor flavor, uint32_t n, uint64_t seed, tally *seen) {
    lb_rng rng;
    asked a;
    lb_rng_seed(&rng, seed);
    made *all = calloc(n + 1, sizeof *all);
    lb_route_spec *specs = calloc(n + 1, sizeof *specs);
    for (uint32_t i = 0; i < n; i++)
        specs[i] = lb_rng_below(&rng, 4) ? random_spec(&rng, flavor, &all[i]) : random_stream(&rng, &all[i]);
    lb_router *router = router_in(flavor, specs, n, seed);
    bool equal = router != NULL;
    for (int i = 0; i < 40 && equal; i++) {
        random_request(&rng, all, n, &a);
        equal = agrees(router, flavor, specs, NULL, n, &a, seen);
    }
    if (!equal) fprintf(stderr, "flavour %d, %u routes, seed %llu\n", (int)flavor, n, (unsigned long long)seed);
    CHECK(equal);
    lb_router_free(router);
    free(specs);
    free(all);
}

static void every_flavor_equals_its_twin(void) {
    static const uint32_t sizes[] = {0, 1, 2, 3, 5, 8, 13, 25, 60};
    tally seen[N_FLAVORS] = {0};
    for (uint64_t seed = 0; seed < n_tables(2000); seed++)
        one_table((lb_flavor)(seed % N_FLAVORS), sizes[seed / N_FLAVORS % 9], seed, &seen[seed % N_FLAVORS]);
    for (int flavor = 0; flavor < N_FLAVORS; flavor++) {
        CHECK(seen[flavor].of[LB_FOUND] > 500 && seen[flavor].of[LB_NO_ROUTE] > 100 && seen[flavor].of[LB_REFUSED] > 100);
        CHECK(seen[flavor].streams > 500);
    }
}

/* ---- crowds: lists about 8 long are indexed, 16 patterns are the most of a route, 32 questions of a round ------- */

static void one_crowd(lb_flavor flavor, uint32_t n, uint64_t seed, tally *seen) {
    static const char *const targets[] = {"/p", "/p?h=1", "/p?k1=1&k2=2&i=12", "/p?jj=1&k9=1%2C2",
                                          "/p?k1=12&k2=21&k3=31&k4=42&k5=15&k6=6&k7=72&k8=18&k9=291&h=2&i=12&jj=%31"};
    lb_rng rng;
    static const char *const sent[] = {"1", "2", "1,2", "", "A", "b", " C "};
    asked a = {.target = "/p"};
    lb_rng_seed(&rng, seed);
    made *all = calloc(n + 1, sizeof *all);
    lb_route_spec *specs = calloc(n + 1, sizeof *specs);
    for (uint32_t i = 0; i < n; i++) specs[i] = random_of_a_crowd(&rng, &all[i]);
    lb_router *router = router_in(flavor, specs, n, seed);
    bool equal = router != NULL;
    for (int i = 0; i < 20 && equal; i++) {
        a.ask = (ask){"GET", "x.com", PICK(&rng, targets), {0}};
        for (uint32_t k = lb_rng_below(&rng, 4); k > 0; k--)
            a.ask.headers[2 * k - 2] = PICK(&rng, some_names), a.ask.headers[2 * k - 1] = PICK(&rng, sent);
        a.request = request_of(&a.ask, NULL, a.headers);
        equal = agrees(router, flavor, specs, NULL, n, &a, seen);
    }
    if (!equal) fprintf(stderr, "flavour %d, crowd of %u, seed %llu\n", (int)flavor, n, (unsigned long long)seed);
    CHECK(equal);
    lb_router_free(router);
    free(specs);
    free(all);
}

static void crowds_equal_their_twin(void) {
    static const uint32_t sizes[] = {1, 6, 7, 8, 9, 10, 31, 32, 33, 80, 200};
    tally seen = {0};
    for (uint64_t seed = 0; seed < n_tables(2000); seed++)
        one_crowd((lb_flavor)(seed % N_FLAVORS), sizes[seed / N_FLAVORS % 11], seed, &seen);
    CHECK(seen.of[LB_FOUND] > 1000 && seen.questions == LB_N_QUESTIONS);
}

/* ---- changes ---------------------------------------------------------------------------------------------------- */

enum { MAX_IDS = 2600 };

/* The routes by number, and the numbers in order. */
typedef struct world {
    lb_flavor flavor;
    lb_router *router;
    made all[MAX_IDS];
    lb_route_spec specs[MAX_IDS];
    uint32_t order[MAX_IDS], n, n_ids;
} world;

static uint32_t add_spec(world *w, lb_rng *rng) {
    uint32_t id = w->n_ids++;
    w->specs[id] = lb_rng_below(rng, 5) ? random_spec(rng, w->flavor, &w->all[id]) : random_stream(rng, &w->all[id]);
    return id;
}

static void merge(world *w) {
    lb_router *merged = NULL;
    CHECK_EQ(lb_router_merge(&merged, w->router, w->specs, NULL), LB_OK);
    lb_router_free(w->router);
    w->router = merged;
}

/* Take some away, put some in; a merge first where the router asks for one. */
static void change(world *w, lb_rng *rng, uint32_t n_removed, uint32_t n_added) {
    static lb_addition added[LB_DELTA_MAX];
    uint32_t removed[8];
    for (uint32_t i = 0; i < n_added; i++) {
        uint32_t place = lb_rng_below(rng, w->n + 1), id = add_spec(w, rng);
        added[i] = (lb_addition){w->specs[id], place < w->n ? w->order[place] : LB_NONE};
        memmove(&w->order[place + 1], &w->order[place], (w->n++ - place) * sizeof *w->order);
        w->order[place] = id;
    }
    uint32_t k = 0;
    for (uint32_t tries = 0; tries < 20 && k < n_removed && w->n > 0; tries++) {
        uint32_t place = lb_rng_below(rng, w->n), id = w->order[place];
        if (id >= lb_router_n_ids(w->router)) continue;     /* of this very call */
        removed[k++] = id;
        memmove(&w->order[place], &w->order[place + 1], (--w->n - place) * sizeof *w->order);
    }
    lb_router *next = NULL;
    CHECK_EQ(lb_router_change(&next, w->router, removed, k, added, n_added, NULL), LB_OK);
    if (!next) {
        merge(w);
        CHECK_EQ(lb_router_change(&next, w->router, removed, k, added, n_added, NULL), LB_OK);
    }
    lb_router_free(w->router);
    w->router = next;
}

/* The router says what the twin says of the list in order, and what a router made anew of it says. */
static bool is_as_new(const world *w, lb_rng *rng, int n_asks, tally *seen) {
    lb_route_spec *list = calloc(w->n + 1, sizeof *list);
    for (uint32_t i = 0; i < w->n; i++) list[i] = w->specs[w->order[i]];
    lb_router *anew = router_in(w->flavor, list, w->n, 3);
    bool equal = anew && w->router;
    for (int i = 0; i < n_asks && equal; i++) {
        asked a;
        random_request(rng, w->all, w->n_ids, &a);
        equal = agrees(w->router, w->flavor, list, w->order, w->n, &a, seen)
                && agrees(anew, w->flavor, list, NULL, w->n, &a, seen);
    }
    lb_router_free(anew);
    free(list);
    return equal;
}

static void one_history(lb_flavor flavor, uint64_t seed, tally *seen) {
    world *w = calloc(1, sizeof *w);
    lb_rng rng;
    lb_rng_seed(&rng, seed);
    w->flavor = flavor;
    for (uint32_t n = lb_rng_below(&rng, 30); w->n < n; w->n++) w->order[w->n] = add_spec(w, &rng);
    w->router = router_in(flavor, w->specs, w->n, seed);
    bool equal = w->router != NULL;
    for (int step = 0; step < 12 && equal; step++) {
        change(w, &rng, lb_rng_below(&rng, 4), lb_rng_below(&rng, 4));
        if (lb_rng_below(&rng, 6) == 0) merge(w);
        equal = is_as_new(w, &rng, 6, seen);
    }
    if (!equal) fprintf(stderr, "flavour %d, history of seed %llu\n", (int)flavor, (unsigned long long)seed);
    CHECK(equal);
    lb_router_free(w->router);
    free(w);
}

static void changes_equal_a_new_router(void) {
    tally seen = {0};
    for (uint64_t seed = 0; seed < n_tables(2000) / 3 + 1; seed++) one_history((lb_flavor)(seed % N_FLAVORS), seed, &seen);
    CHECK(seen.of[LB_FOUND] > 500 && seen.streams > 500);
}

/* From 1,000 changed routes over the 1,024 that a delta holds. */
static void a_full_delta_is_merged_in_every_flavor(void) {
    for (int flavor = 0; flavor < N_FLAVORS; flavor++) {
        world *w = calloc(1, sizeof *w);
        tally seen = {0};
        lb_rng rng;
        lb_rng_seed(&rng, 11);
        w->flavor = (lb_flavor)flavor;
        w->router = router_in(w->flavor, NULL, 0, 1);
        bool merged = false;
        change(w, &rng, 0, 1010);
        for (int step = 0; step < 5; step++) {
            uint32_t before = lb_router_n_changed(w->router);
            change(w, &rng, 1, 4);
            merged |= lb_router_n_changed(w->router) < before;
            CHECK(is_as_new(w, &rng, 2, &seen));
        }
        CHECK(merged);
        lb_router_free(w->router);
        free(w);
    }
}

int main(void) {
    RUN(every_flavor_equals_its_twin);
    RUN(crowds_equal_their_twin);
    RUN(changes_equal_a_new_router);
    RUN(a_full_delta_is_merged_in_every_flavor);
    return check_result();
}

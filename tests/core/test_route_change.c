/* Tests of the room route: changes.  After any sequence of them a router says what a scan of the list in order says. */
#include "route_rows.h"

#define PICK(rng, list) (list)[lb_rng_below(rng, (uint32_t)(sizeof(list) / sizeof *(list)))]

/* ---- a model: the routes by number, and the numbers in order --------------------------------------------------- */

enum { MAX_IDS = 4000 };

typedef struct model {
    lb_route_spec specs[MAX_IDS];
    spec_store stores[MAX_IDS];
    row rows[MAX_IDS];
    char paths[MAX_IDS][16];
    uint32_t order[MAX_IDS], n, n_ids;
    lb_router *router;
} model;

static void random_spec(model *m, lb_rng *rng) {
    static const char *const hosts[] = {"x.com", "*.x.com", "*.com"}, *const values[] = {"1", "2", "~1", "?"};
    uint32_t id = m->n_ids++;
    row *r = &m->rows[id];
    snprintf(m->paths[id], sizeof m->paths[id], "/p%u", lb_rng_below(rng, 6));
    *r = (row){.path = m->paths[id], .type = (lb_path_type)lb_rng_below(rng, 4)};
    if (lb_rng_below(rng, 2)) r->hosts[0] = PICK(rng, hosts);
    if (lb_rng_below(rng, 3) == 0) r->headers[0][0] = "h", r->headers[0][1] = PICK(rng, values);
    if (lb_rng_below(rng, 5) == 0) r->methods[0] = "PURGE";
    if (lb_rng_below(rng, 5) == 0) r->sources[0] = "10.0.0.0/8";
    if (lb_rng_below(rng, 5) == 0) r->query[0][0] = "q", r->query[0][1] = "|1|2";
    m->specs[id] = spec_of(r, &m->stores[id]);
}

static void insert(model *m, uint32_t place, uint32_t id) {
    memmove(&m->order[place + 1], &m->order[place], (m->n++ - place) * sizeof *m->order);
    m->order[place] = id;
}

static uint32_t remove_at(model *m, uint32_t place) {
    uint32_t id = m->order[place];
    memmove(&m->order[place], &m->order[place + 1], (--m->n - place) * sizeof *m->order);
    return id;
}

static void check_asks(const model *m, lb_rng *rng) {
    static const char *const hosts[] = {"x.com", "a.x.com", "b.com", "c"}, *const rests[] = {"", "/", "/x", "x", "?q=2"};
    lb_route_spec *list = calloc(m->n + 1, sizeof *list);
    for (uint32_t i = 0; i < m->n; i++) list[i] = m->specs[m->order[i]];
    for (int i = 0; i < 12; i++) {
        char target[32], scratch[64];
        lb_header headers[4];
        lb_matching matching;
        lb_answer answer;
        uint32_t want;
        snprintf(target, sizeof target, "/p%u%s", lb_rng_below(rng, 7), PICK(rng, rests));
        ask a = {lb_rng_below(rng, 2) ? "GET" : "PURGE", PICK(rng, hosts), target, {0}};
        if (lb_rng_below(rng, 2)) a.headers[0] = "H", a.headers[1] = lb_rng_below(rng, 2) ? "1" : "2";
        wire w = {.source = lb_rng_below(rng, 2) ? "10.1.1.1" : NULL};
        lb_request request = request_of(&a, &w, headers);
        lb_match_outcome expected = naive_match(list, m->n, &request, &want);
        if (want != LB_NONE) want = m->order[want];
        CHECK_EQ(naive_drive(m->router, &request, scratch, &matching, &answer), expected);
        CHECK_EQ(answer.route, want);
    }
    free(list);
}

static void merge(model *m) {
    lb_router *merged = NULL;
    CHECK_EQ(lb_router_merge(&merged, m->router, m->specs, NULL), LB_OK);
    CHECK_EQ(lb_router_n_changed(merged), 0);
    CHECK_EQ(lb_router_n_ids(merged), lb_router_n_ids(m->router));
    lb_router_free(m->router);
    m->router = merged;
}

/* Apply to model and router; the old router goes first or last. */
static void change(model *m, const uint32_t *removed, uint32_t n_removed, lb_addition *added, uint32_t n_added) {
    lb_router *next = NULL;
    lb_error err = {{0}, {0}};
    for (int tries = 0; !next && tries < 2; tries++) {
        lb_status status = lb_router_change(&next, m->router, removed, n_removed, added, n_added, &err);
        if (status != LB_OK) fprintf(stderr, "%s: %s\n", err.field, err.reason);
        CHECK_EQ(status, LB_OK);
        if (!next) merge(m);
    }
    lb_router_free(m->router);
    m->router = next;
}

/* Remove up to two, add up to two, replace one: in one call. */
static void random_change(model *m, lb_rng *rng) {
    uint32_t removed[4], n_removed = 0, n_added = 0;
    lb_addition added[4];
    if (m->n > 2 && lb_rng_below(rng, 3) == 0) {            /* replace: the new one stands where the old one stood */
        uint32_t place = lb_rng_below(rng, m->n), id = m->n_ids;
        random_spec(m, rng);
        removed[n_removed++] = m->order[place];
        added[n_added++] = (lb_addition){m->specs[id], m->order[place]};
        m->order[place] = id;
    }
    for (uint32_t k = lb_rng_below(rng, 3); k > 0; k--) {
        uint32_t place = lb_rng_below(rng, 3) ? lb_rng_below(rng, m->n + 1) : m->n, id = m->n_ids;
        random_spec(m, rng);
        added[n_added++] = (lb_addition){m->specs[id], place < m->n ? m->order[place] : LB_NONE};
        insert(m, place, id);
    }
    for (uint32_t k = lb_rng_below(rng, 3); k > 0 && m->n > 0; k--) {
        uint32_t place = lb_rng_below(rng, m->n);
        if (m->order[place] < lb_router_n_ids(m->router)) removed[n_removed++] = remove_at(m, place);
    }
    change(m, removed, n_removed, added, n_added);
}

static void check_has(const model *m) {
    uint32_t n = 0;
    for (uint32_t id = 0; id < m->n_ids; id++) n += lb_router_has(m->router, id);
    CHECK_EQ(n, m->n);
    CHECK_EQ(lb_router_n_ids(m->router), m->n_ids);
    CHECK(!lb_router_has(m->router, m->n_ids));
}

static void random_changes_equal_a_scan(void) {
    for (uint64_t seed = 0; seed < 30; seed++) {
        model *m = calloc(1, sizeof *m);
        lb_rng rng;
        lb_rng_seed(&rng, seed);
        for (uint32_t n = lb_rng_below(&rng, 40); m->n < n; m->n++) {
            m->order[m->n] = m->n_ids;
            random_spec(m, &rng);
        }
        CHECK_EQ(lb_router_new(&m->router, m->specs, m->n, LB_FLAVOR_GATEWAY_API, seed, NULL), LB_OK);
        for (int step = 0; step < 120; step++) {
            random_change(m, &rng);
            if (lb_rng_below(&rng, 20) == 0) merge(m);
            check_asks(m, &rng);
            check_has(m);
        }
        lb_router_free(m->router);
        free(m);
    }
}

/* ---- labels, limits ------------------------------------------------------------------------------------------- */

/* Always at the same place: the gap is used up after some 31 and a merge makes a new one; the order stays right. */
static void a_used_up_gap_asks_for_a_merge(void) {
    static model m;
    lb_rng rng;
    lb_rng_seed(&rng, 1);
    uint32_t n_merges = 0;
    for (; m.n < 2; m.n++) m.order[m.n] = m.n_ids, random_spec(&m, &rng);
    CHECK_EQ(lb_router_new(&m.router, m.specs, 2, LB_FLAVOR_GATEWAY_API, 1, NULL), LB_OK);
    for (int i = 0; i < 100; i++) {
        uint32_t id = m.n_ids, before = lb_router_n_changed(m.router);
        random_spec(&m, &rng);
        lb_addition added = {m.specs[id], m.order[1]};
        insert(&m, 1, id);
        change(&m, NULL, 0, &added, 1);
        n_merges += lb_router_n_changed(m.router) < before;
        check_asks(&m, &rng);
    }
    CHECK(n_merges >= 2 && n_merges <= 4);
    lb_router_free(m.router);
}

static void the_delta_has_a_limit(void) {
    enum { N = LB_DELTA_MAX };
    lb_addition *added = calloc(N + 1, sizeof *added);
    lb_router *router = NULL, *next = NULL, *full = NULL;
    lb_error err;
    for (int i = 0; i <= N; i++) added[i] = (lb_addition){{.path = lb_str_of("/")}, LB_NONE};
    CHECK_EQ(lb_router_new(&router, NULL, 0, LB_FLAVOR_GATEWAY_API, 1, NULL), LB_OK);
    CHECK_EQ(lb_router_change(&next, router, NULL, 0, added, N + 1, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "added") == 0);
    CHECK_EQ(lb_router_change(&next, router, NULL, 0, added, N, &err), LB_OK);
    CHECK(next != NULL && lb_router_n_changed(next) == N);
    CHECK(lb_router_memory(next) > lb_router_memory(router));
    full = router;
    CHECK_EQ(lb_router_change(&full, next, NULL, 0, added, 1, &err), LB_OK);
    CHECK(full == NULL);
    lb_router_free(router);
    CHECK_EQ(lb_router_change(&full, next, &(uint32_t){5}, 1, added, 1, &err), LB_OK);
    CHECK(full && lb_router_has(full, N) && !lb_router_has(full, 5));
    lb_router_free(next);
    lb_router_free(full);
    free(added);
}

static void wrong_changes_are_named(void) {
    const struct { uint32_t removed[2], n_removed; const char *path; uint32_t before; const char *field; } bad[] = {
        {{7}, 1, "/", LB_NONE, "removed[0]"}, {{1, 1}, 2, "/", LB_NONE, "removed[1]"}, {{0}, 1, "/", LB_NONE, "removed[0]"},
        {{0}, 0, "/", 9, "added[0].before"}, {{0}, 0, "/", 0, "added[0].before"}, {{0}, 0, "/", 4, "added[0].before"},
        {{1}, 1, "x", 1, "added[0].path"},
    };
    lb_route_spec specs[3] = {{.path = lb_str_of("/")}, {.path = lb_str_of("/")}, {.path = lb_str_of("/")}};
    lb_addition fine = {{.path = lb_str_of("/a")}, 1};
    lb_router *first = NULL, *router = NULL, *out = NULL;
    lb_error err;
    CHECK_EQ(lb_router_new(&first, specs, 3, LB_FLAVOR_GATEWAY_API, 1, NULL), LB_OK);
    CHECK_EQ(lb_router_change(&router, first, &(uint32_t){0}, 1, &fine, 1, NULL), LB_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lb_addition added = {{.path = lb_str_of(bad[i].path)}, bad[i].before};
        CHECK_EQ(lb_router_change(&out, router, bad[i].removed, bad[i].n_removed, &added, 1, &err), LB_ERR_CONFIG);
        if (strcmp(err.field, bad[i].field) != 0) fprintf(stderr, "%s (want %s)\n", err.field, bad[i].field);
        CHECK(strcmp(err.field, bad[i].field) == 0 && out == NULL);
    }
    lb_router_free(router);
    lb_router_free(first);
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

static lb_status change_and_merge_in(lb_flavor flavor) {
    static const row rows[] = {
        {.path = "/a", .hosts = {"x.com", "*.y.com"}, .methods = {"PURGE"}, .headers = {{"a", "|1|2"}}, .snis = {"x"}},
        {.path = "/b", .schemes = {"https"}, .sources = {"10.0.0.0/8"}, .destinations = {"::1"}, .ports = {1}},
        {.path = "/c", .query = {{"", "1"}}}, {.path = "/d.*", .type = LB_PATH_REGEX},
    };
    spec_store stores[4];
    lb_route_spec specs[6];
    lb_router *a = NULL, *b = NULL, *c = NULL, *d = NULL;
    for (uint32_t i = 0; i < 4; i++) specs[i] = spec_of(&rows[i == 2 ? 3 : i], &stores[i]);
    lb_addition added[2] = {{specs[0], 1}, {specs[1], LB_NONE}};
    specs[4] = specs[0];
    specs[5] = specs[1];
    lb_status status = lb_router_new(&a, specs, 4, flavor, 1, NULL);
    if (status == LB_OK) status = lb_router_change(&b, a, &(uint32_t){1}, 1, added, 2, NULL);
    lb_router_free(a);
    if (status == LB_OK) status = lb_router_change(&c, b, (uint32_t[]){0, 5}, 2, NULL, 0, NULL);
    if (status == LB_OK) status = lb_router_merge(&d, c, specs, NULL);
    if (status == LB_OK) CHECK(lb_router_has(d, 4) && !lb_router_has(d, 0) && lb_router_has(b, 0));
    CHECK(status == LB_OK || d == NULL);
    lb_router_free(b);
    lb_router_free(c);
    lb_router_free(d);
    return status;
}

static lb_status change_and_merge(void) { return change_and_merge_in(LB_FLAVOR_GATEWAY_API); }
static lb_status change_and_merge_with_hits(void) { return change_and_merge_in(LB_FLAVOR_KONG_TRADITIONAL); }

static void a_failed_allocation_leaves_nothing(void) {
    CHECK(every_allocation_fails_once(change_and_merge) > 60);
    CHECK(every_allocation_fails_once(change_and_merge_with_hits) > 100);
}

int main(void) {
    RUN(random_changes_equal_a_scan);
    RUN(a_used_up_gap_asks_for_a_merge);
    RUN(the_delta_has_a_limit);
    RUN(wrong_changes_are_named);
    RUN(a_failed_allocation_leaves_nothing);
    return check_result();
}

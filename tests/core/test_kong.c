/* kong: chash_kong, Kong's wheel of slots.  Recorded answers are replayed in tests/test_vectors_kong.py. */
#include "policies.h"

static const lb_policy *kong(void) { return lb_policy_find(lb_str_of("chash_kong")); }

/* A policy with so many slots on n targets of one weight. */
static lb_status make_equal(bed *b, double slots, uint32_t n) {
    static uint32_t weights[MOST_NAMED];
    for (uint32_t i = 0; i < n; i++) weights[i] = 100;
    return make_with(b, kong(), &slots, view_of(weights, n, 1, NULL), NULL, NULL);
}

static bool fits(double slots, uint32_t n) {
    bed b;
    lb_status status = make_equal(&b, slots, n);
    if (status == LB_OK) end(&b);
    else CHECK_EQ(status, LB_ERR_CONFIG);
    return status == LB_OK;
}

/* Measured with Kong's own file: the first number of equal targets whose wheel is refused. */
static void a_full_wheel_is_refused(void) {
    static const struct { double slots; uint32_t refused; } measured[] = {{1000, 6}, {4096, 25}, {10000, 62}, {65536, 409}};
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++) {
        CHECK(fits(measured[i].slots, measured[i].refused - 2));        /* about there: names decide the last one */
        CHECK(!fits(measured[i].slots, measured[i].refused + 1));
    }
}

static void the_refusal_says_what_to_do(void) {
    static uint32_t weights[100];
    for (uint32_t i = 0; i < 100; i++) weights[i] = 1;
    lb_error err = {0};
    double slots = 10;
    void *state = &err;
    lb_view *view = view_of(weights, 100, 1, NULL);
    CHECK_EQ(kong()->build(&state, view, &slots, NULL, NULL, &err), LB_ERR_CONFIG);
    CHECK(state == &err);
    CHECK(strcmp(err.field, "targets") == 0);
    CHECK(strstr(err.reason, "100 do not fit on 1000 slots") && strstr(err.reason, "more slots"));
    lb_view_free(view);
}

/* Below 1,000 counts as 1,000: the same picks, the same limit. */
static void few_slots_count_as_a_thousand(void) {
    bed few, thousand;
    CHECK_EQ(make_equal(&few, 10, 4), LB_OK);
    CHECK_EQ(make_equal(&thousand, 1000, 4), LB_OK);
    for (int i = 0; i < 2000; i++) CHECK_EQ(next(&few), next(&thousand));
    end(&few);
    end(&thousand);
    CHECK(!fits(10, 7));
}

/* Asked again and again, a key's walk names each usable member, as often as it has entries, and then ends. */
static void the_walk_goes_once_round_the_wheel(void) {
    static const uint32_t weights[] = {5, 0, 3, 1};
    bed b;
    CHECK_EQ(make(&b, kong(), view_of(weights, 4, 1, NULL), NULL, NULL), LB_OK);
    b.view->weight[2] = 0;              /* down: its entries stay */
    uint32_t seen[4] = {0}, member;
    for (uint32_t step = 0; (member = ask(&b, step, false)) != LB_NONE; step++) seen[member]++;
    CHECK_EQ(seen[0], 355);             /* floor(5 / 9 * 4 * 160): the one of weight 0 counts among the four */
    CHECK_EQ(seen[1], 0);
    CHECK_EQ(seen[2], 0);
    CHECK_EQ(seen[3], 71);              /* floor(1 / 9 * 4 * 160) */
    CHECK_EQ(ask(&b, seen[0] + seen[3] + 1, false), LB_NONE);
    end(&b);
}

/* A key that is a hash already stands for XXH32 of the key: slot = hash mod slots. */
static void a_hash_is_taken_as_it_is(void) {
    bed b;
    CHECK_EQ(make_equal(&b, 10000, 5), LB_OK);
    for (uint64_t hash = 0; hash < 10000; hash += 7) {
        lb_walk low = {.key = {.hash = hash, .hashed = true}};
        lb_walk high = {.key = {.hash = hash + 10000u * 400000u, .hashed = true}};
        CHECK_EQ(kong()->walk(b.state, b.view, &low), kong()->walk(b.state, b.view, &high));
    }
    end(&b);
}

/* The table is shared while names and full weights stay, and made anew when one of them changes. */
static void health_does_not_change_the_table(void) {
    static const uint32_t weights[] = {4, 1, 3}, others[] = {4, 2, 3}, same[] = {0, 1, 2};
    bed a, b, c;
    CHECK_EQ(make(&a, kong(), view_of(weights, 3, 1, NULL), NULL, NULL), LB_OK);
    lb_view *down = view_of(weights, 3, 1, NULL);
    down->weight[1] = 0;
    lb_view_close(down);
    CHECK_EQ(make(&b, kong(), down, &a, same), LB_OK);
    CHECK(a.state == b.state);
    CHECK_EQ(make(&c, kong(), view_of(others, 3, 1, NULL), &b, same), LB_OK);
    CHECK(c.state != b.state);
    end(&a);                            /* the table lives on */
    for (int i = 0; i < 100; i++) CHECK(next(&b) != 1);
    end(&b);
    end(&c);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

enum { N = 6 };

/* The answers of n targets of weight 100 to 500 keys, as one number. */
static uint64_t answers(const char *const *address, const char *const *hash_key, const uint32_t *member) {
    static const uint32_t weights[N] = {100, 100, 100, 100, 100, 100};
    lb_name name[N] = {0};
    uint32_t n = 0;
    for (; n < N && address[n]; n++) {
        name[n].address = name[n].identity = lb_str_of(address[n]);
        if (hash_key) name[n].hash_key = lb_str_of(hash_key[n]);
    }
    lb_view *view = view_of(weights, n, 1, NULL);
    view->name = name;
    bed b;
    CHECK_EQ(make(&b, kong(), view, NULL, NULL), LB_OK);
    uint64_t digest = 0;
    for (int i = 0; i < 500; i++) {
        uint32_t got = next(&b);
        digest = digest * 31 + (member ? member[got] : got);
    }
    end(&b);
    return digest;
}

/* Who comes first takes a slot that two want; so the order counts, and it is not the list's. */
static void the_order_is_by_name_port_and_address(void) {
    static const char *const sorted[] = {"10.0.0.1:80", "10.0.0.1:9000", "10.0.0.1:10000", "a:1", "ab:1", NULL};
    static const char *const mixed[] = {"ab:1", "10.0.0.1:10000", "10.0.0.1:80", "a:1", "10.0.0.1:9000", NULL};
    static const uint32_t of_mixed[] = {4, 2, 0, 3, 1};
    CHECK(answers(sorted, NULL, NULL) == answers(mixed, NULL, of_mixed));
    static const char *const name[] = {"s:80", "s:80", "s:80", "s:80", "s:80", NULL};
    CHECK(answers(sorted, name, NULL) == answers(mixed, name, of_mixed));
}

static void a_port_is_a_number_and_8000_where_none_is_given(void) {
    static const char *const plain[] = {"10.0.0.1:8000", "[::1]:80", "h:7", NULL};
    static const char *const spelt[] = {"10.0.0.1", "[::1]:00080", "h:07", NULL};
    CHECK(answers(plain, NULL, NULL) == answers(spelt, NULL, NULL));
    static const char *const odd[] = {"10.0.0.1:65536", "::1", "h:", "[::1]", ":80", NULL};
    answers(odd, NULL, NULL);           /* names without port, whatever they look like */
}

/* One name with two addresses is one Kong target, two names are two: the number of entries says so. */
static void addresses_of_one_name_are_one_target(void) {
    static const uint32_t weights[] = {100, 100};
    static const char *const keys[][2] = {{"svc:80", "svc:80"}, {"svc:80", "svc:81"}, {"", ""}};
    static const uint32_t entries[] = {160, 320, 320};
    for (int i = 0; i < 3; i++) {
        lb_name name[2];
        for (int m = 0; m < 2; m++)
            name[m] = (lb_name){.address = lb_str_of(m ? "10.0.0.2:80" : "10.0.0.1:80"), .hash_key = lb_str_of(keys[i][m])};
        lb_view *view = view_of(weights, 2, 1, NULL);
        view->name = name;
        bed b;
        CHECK_EQ(make(&b, kong(), view, NULL, NULL), LB_OK);
        uint32_t n = 0;
        while (ask(&b, n, false) != LB_NONE) n++;
        CHECK_EQ(n, entries[i]);
        end(&b);
    }
}

static void nameless_members_are_refused(void) {
    static const uint32_t weights[] = {1, 1};
    double slots = 1000;
    lb_view *view = view_of(weights, 2, 1, NULL);
    view->name = NULL;
    bed b;
    CHECK_EQ(make_with(&b, kong(), &slots, view, NULL, NULL), LB_ERR_CONFIG);
}

int main(void) {
    RUN(a_full_wheel_is_refused);
    RUN(the_refusal_says_what_to_do);
    RUN(few_slots_count_as_a_thousand);
    RUN(the_walk_goes_once_round_the_wheel);
    RUN(a_hash_is_taken_as_it_is);
    RUN(health_does_not_change_the_table);
    RUN(the_order_is_by_name_port_and_address);
    RUN(a_port_is_a_number_and_8000_where_none_is_given);
    RUN(addresses_of_one_name_are_one_target);
    RUN(nameless_members_are_refused);
    return check_result();
}

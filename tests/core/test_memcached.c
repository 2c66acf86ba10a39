/* memcached: ketama_libmemcached.  Recorded answers are replayed in tests/test_vectors_memcached.py. */
#include "policies.h"

static const lb_policy *ketama(void) { return lb_policy_find(lb_str_of("ketama_libmemcached")); }

static const double weighted = 1, plain = 0;

/* How often each of 3 members comes on the whole walk of one key: its points. */
static void count_points(bed *b, uint32_t *seen) {
    uint32_t member;
    for (uint32_t i = 0; i < b->view->n_members; i++) seen[i] = 0;
    for (uint32_t step = 0; (member = ask(b, step, false)) != LB_NONE; step++) seen[member]++;
}

static void points_follow_the_weights(void) {
    static const uint32_t weights[] = {5, 1, 0, 3}, want[] = {264, 52, 0, 160};     /* 4 floor(w / 9 * 40 * 3) */
    static const uint32_t equal[] = {7, 7, 0, 7}, hundred[] = {100, 100, 0, 100};
    uint32_t seen[4];
    bed b;
    CHECK_EQ(make_with(&b, ketama(), &weighted, view_of(weights, 4, 1, NULL), NULL, NULL), LB_OK);
    count_points(&b, seen);
    for (int i = 0; i < 4; i++) CHECK_EQ(seen[i], want[i]);
    end(&b);
    CHECK_EQ(make_with(&b, ketama(), &plain, view_of(equal, 4, 1, NULL), NULL, NULL), LB_OK);
    count_points(&b, seen);
    for (int i = 0; i < 4; i++) CHECK_EQ(seen[i], hundred[i]);
    end(&b);
}

/* "A weight below W / (40 n) owns no point": 1 of 81 among two. */
static void a_light_server_owns_nothing(void) {
    static const uint32_t light[] = {1, 80}, enough[] = {1, 79};
    uint32_t seen[2];
    bed b;
    CHECK_EQ(make_with(&b, ketama(), &weighted, view_of(light, 2, 1, NULL), NULL, NULL), LB_OK);
    count_points(&b, seen);
    CHECK_EQ(seen[0], 0);
    b.view->weight[1] = 0;              /* only the light one is left: it owns nothing, the walk ends */
    CHECK_EQ(ask(&b, 0, false), LB_NONE);
    end(&b);
    CHECK_EQ(make_with(&b, ketama(), &weighted, view_of(enough, 2, 1, NULL), NULL, NULL), LB_OK);
    count_points(&b, seen);
    CHECK_EQ(seen[0], 4);
    end(&b);
}

static void plain_refuses_weights_that_differ(void) {
    static const uint32_t weights[] = {0, 3, 3, 2};
    static uint32_t origin[] = {4, 5, 6, 9};
    lb_error err = {0};
    void *state;
    lb_view *view = view_of(weights, 4, 1, NULL);
    CHECK_EQ(ketama()->build(&state, view, &plain, NULL, NULL, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "targets[3].weight") == 0);
    CHECK(strstr(err.reason, "2 is not the 3 of others") && strstr(err.reason, "set weighted"));
    view->name = NULL;                  /* a part of an upstream names the place in the whole */
    view->origin = origin;
    CHECK_EQ(ketama()->build(&state, view, &plain, NULL, NULL, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "targets[9].weight") == 0);
    view->origin = NULL;
    lb_view_free(view);
}

/* 42 and a multiple of 2^32 above it are one point of the ring. */
static void a_hash_is_taken_as_it_is(void) {
    static const uint32_t weights[] = {1, 1, 1};
    bed b;
    CHECK_EQ(make(&b, ketama(), view_of(weights, 3, 1, NULL), NULL, NULL), LB_OK);
    for (uint64_t hash = 0; hash < 1ull << 32; hash += 99999989) {
        lb_walk low = {.key = {.hash = hash, .hashed = true}};
        lb_walk high = {.key = {.hash = hash + (7ull << 32), .hashed = true}};
        CHECK_EQ(ketama()->walk(b.state, b.view, &low), ketama()->walk(b.state, b.view, &high));
    }
    end(&b);
}

static uint64_t answers(const double *param, const char *a, const char *b, const char *hash_key) {
    static const uint32_t weights[] = {1, 1};
    lb_name name[] = {{.address = lb_str_of(a)}, {.address = lb_str_of(b), .hash_key = lb_str_of(hash_key)}};
    lb_view *view = view_of(weights, 2, 1, NULL);
    view->name = name;
    bed made;
    CHECK_EQ(make_with(&made, ketama(), param, view, NULL, NULL), LB_OK);
    uint64_t digest = 0;
    for (int i = 0; i < 300; i++) digest = digest * 3 + next(&made);
    end(&made);
    return digest;
}

static void the_standard_port_is_left_out(void) {
    const double *modes[] = {&plain, &weighted};
    for (int i = 0; i < 2; i++) {
        CHECK(answers(modes[i], "a:11211", "b:11211", "") == answers(modes[i], "a", "b", ""));
        CHECK(answers(modes[i], "a:11211", "b:11212", "") != answers(modes[i], "a", "b", ""));
        CHECK(answers(modes[i], "a", "10.1.1.1:80", "b") == answers(modes[i], "a", "b:11211", ""));
        CHECK(answers(modes[i], "a", "10.1.1.1:80", "b:11211") != answers(modes[i], "a", "b:11211", ""));
    }
    CHECK(answers(&plain, "a", "b", "") != answers(&weighted, "a", "b", ""));
}

static void health_does_not_change_the_table(void) {
    static const uint32_t weights[] = {4, 1, 3}, others[] = {4, 2, 3}, same[] = {0, 1, 2};
    bed a, b, c;
    CHECK_EQ(make(&a, ketama(), view_of(weights, 3, 1, NULL), NULL, NULL), LB_OK);
    lb_view *down = view_of(weights, 3, 1, NULL);
    down->weight[0] = 0;
    lb_view_close(down);
    CHECK_EQ(make(&b, ketama(), down, &a, same), LB_OK);
    CHECK(a.state == b.state);
    CHECK_EQ(make(&c, ketama(), view_of(others, 3, 1, NULL), &b, same), LB_OK);
    CHECK(c.state != b.state);
    end(&a);
    for (int i = 0; i < 100; i++) CHECK(next(&b) != 0);
    end(&b);
    end(&c);
}

int main(void) {
    RUN(points_follow_the_weights);
    RUN(a_light_server_owns_nothing);
    RUN(plain_refuses_weights_that_differ);
    RUN(a_hash_is_taken_as_it_is);
    RUN(the_standard_port_is_left_out);
    RUN(health_does_not_change_the_table);
    return check_result();
}

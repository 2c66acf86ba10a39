/* jump: jump consistent hash, the function and the policy. */
#include "policies.h"

#include "hash/jump.h"

static const lb_policy *jump(void) { return lb_policy_find(lb_str_of("jump")); }

static lb_status make_equal(bed *b, uint32_t n) {
    static uint32_t weights[1000];
    for (uint32_t i = 0; i < n; i++) weights[i] = 3;
    return make(b, jump(), view_of(weights, n, 1, NULL), NULL, NULL);
}

/* What the paper promises: growing by one moves a number to the new bucket or not at all. */
static void one_bucket_more_takes_only_for_itself(void) {
    lb_rng rng;
    lb_rng_seed(&rng, 1);
    for (int i = 0; i < 2000; i++) {
        uint64_t key = lb_rng_next(&rng);
        uint32_t last = lb_jump(key, 1);
        CHECK_EQ(last, 0);
        for (uint32_t n = 2; n < 60; n++) {
            uint32_t now = lb_jump(key, n);
            CHECK(now == last || now == n - 1);
            last = now;
        }
    }
    CHECK(lb_jump(UINT64_MAX, UINT32_MAX) < UINT32_MAX);
}

static void a_hash_is_the_number_itself(void) {
    bed b;
    CHECK_EQ(make_equal(&b, 7), LB_OK);
    for (uint64_t key = 0; key < 300; key++) {
        lb_walk walk = {.key = {.hash = key << 40 | key, .hashed = true}};
        CHECK_EQ(jump()->walk(b.state, b.view, &walk), lb_jump(key << 40 | key, 7));
        CHECK(jump()->hash(b.state, &walk.key) == (key << 40 | key));
    }
    end(&b);
}

/* Who is down loses its own keys, and to all others alike; nobody else's key moves. */
static void only_the_keys_of_who_is_down_move(void) {
    enum { KEYS = 60000 };
    bed b;
    CHECK_EQ(make_equal(&b, 7), LB_OK);
    uint32_t got[7] = {0}, was_there = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        lb_walk up = {.key = {.hash = key * 0x9E3779B97F4A7C15u, .hashed = true}}, down = up;
        b.view->weight[2] = 3;
        uint32_t before = jump()->walk(b.state, b.view, &up);
        b.view->weight[2] = 0;
        uint32_t after = jump()->walk(b.state, b.view, &down);
        CHECK(after != 2);
        if (before == 2) got[after]++;
        else CHECK_EQ(after, before);
        was_there += before == 2;
    }
    for (uint32_t i = 0; i < 7; i++)
        if (i != 2) CHECK(got[i] > was_there / 6 - 200 && got[i] < was_there / 6 + 200);        /* 5 sigma: 190 */
    end(&b);
}

/* With one usable of a thousand most walks end early; they never name another. */
static void the_walk_ends(void) {
    bed b;
    CHECK_EQ(make_equal(&b, 1000), LB_OK);
    for (uint32_t i = 0; i < 1000; i++)
        if (i != 500) b.view->weight[i] = 0;
    uint32_t ended = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t member = next(&b);
        CHECK(member == 500 || member == LB_NONE);
        ended += member == LB_NONE;
    }
    CHECK(ended > 850 && ended < 990);          /* 0.999^64 = 0.94 */
    uint32_t steps = 0;
    for (uint32_t i = 0; i < 1000; i++) b.view->weight[i] = 3;
    while (ask(&b, steps, false) != LB_NONE) steps++;
    CHECK_EQ(steps, 64);
    end(&b);
}

static void weights_that_differ_are_refused(void) {
    static const uint32_t weights[] = {0, 4, 0, 4, 9}, equal[] = {0, 4, 0, 4, 4};
    static uint32_t origin[] = {3, 4, 8, 9, 20};
    lb_error err = {0};
    void *state = &err;
    lb_view *view = view_of(weights, 5, 1, NULL);
    CHECK_EQ(jump()->build(&state, view, NULL, NULL, NULL, &err), LB_ERR_CONFIG);
    CHECK(state == &err);
    CHECK(strcmp(err.field, "targets[4].weight") == 0);
    CHECK(strstr(err.reason, "9 is not the 4 of targets[1]") && strstr(err.reason, "policy 'hash'"));
    view->origin = origin;
    CHECK_EQ(jump()->build(&state, view, NULL, NULL, NULL, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "targets[20].weight") == 0 && strstr(err.reason, "of targets[4]"));
    view->origin = NULL;
    lb_view_free(view);
    bed b;
    CHECK_EQ(make(&b, jump(), view_of(equal, 5, 1, NULL), NULL, NULL), LB_OK);
    for (int i = 0; i < 100; i++) CHECK(equal[next(&b)] == 4);
    end(&b);
}

int main(void) {
    RUN(one_bucket_more_takes_only_for_itself);
    RUN(a_hash_is_the_number_itself);
    RUN(only_the_keys_of_who_is_down_move);
    RUN(the_walk_ends);
    RUN(weights_that_differ_are_refused);
    return check_result();
}

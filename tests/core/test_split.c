/* split: the shares of backends, exact, whatever happens to the list of backends. */
#include "check.h"

static lb_status make_split(lb_split **out, const uint32_t *weights, uint32_t n, uint64_t seed, const lb_split *previous,
                            const uint32_t *old_index, lb_error *err) {
    lb_split_spec spec = {.weight = weights, .n = n, .seed = seed};
    return lb_split_new(out, &spec, previous, old_index, err);
}

static lb_split *split_of(const uint32_t *weights, uint32_t n, uint64_t seed) {
    lb_split *split = NULL;
    CHECK_EQ(make_split(&split, weights, n, seed, NULL, NULL, NULL), LB_OK);
    return split;
}

/* Every prefix is within one pick of the weights. */
static void check_prefixes(lb_split *split, const uint32_t *weights, uint32_t n, long long n_picks) {
    long long got[8] = {0}, total = 0;
    for (uint32_t i = 0; i < n; i++) total += weights[i];
    for (long long t = 1; t <= n_picks; t++) {
        uint32_t backend = lb_split_pick(split, NULL);
        CHECK(backend < n);
        if (backend >= n) return;
        got[backend]++;
        for (uint32_t i = 0; i < n; i++) {
            long long off = got[i] * total - t * weights[i];
            CHECK(off <= total && off >= -total);
        }
    }
}

static void every_prefix_follows_the_weights(void) {
    static const struct { uint32_t n, weights[5]; } cases[] = {
        {1, {1}}, {2, {75, 25}}, {2, {1, 1}}, {2, {99, 1}}, {3, {1000, 1, 1}}, {4, {0, 3, 0, 2}},
        {5, {1, 2, 3, 4, 5}}, {2, {LB_MAX_WEIGHT, 1}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (uint64_t seed = 0; seed < 10; seed++) {
            lb_split *split = split_of(cases[c].weights, cases[c].n, seed);
            check_prefixes(split, cases[c].weights, cases[c].n, 2500);
            lb_split_free(split);
        }
    }
}

static void without_weight_nobody_is_picked(void) {
    static const uint32_t zeros[3] = {0};
    for (uint32_t n = 0; n <= 3; n++) {
        lb_split *split = split_of(zeros, n, 3);
        CHECK_EQ(lb_split_pick(split, NULL), LB_NONE);
        lb_split_free(split);
    }
    lb_split_free(NULL);
}

/* A reload in the middle of a period, backends in another order: the debts go along, so the shares stay exact. */
static void debts_survive_a_reload(void) {
    static const uint32_t weights[3] = {5, 3, 2}, turned[3] = {2, 5, 3}, old_index[3] = {2, 0, 1};
    lb_split *split = split_of(weights, 3, 3);
    long long got[3] = {0};
    for (int reload = 0; reload < 60; reload++) {
        bool turn = reload % 2;
        for (int t = 0; t < 7; t++) {
            uint32_t backend = lb_split_pick(split, NULL);
            got[turn ? old_index[backend] : backend]++;
        }
        static const uint32_t back[3] = {1, 2, 0};
        lb_split *next = NULL;
        CHECK_EQ(make_split(&next, turn ? weights : turned, 3, 3, split, turn ? back : old_index, NULL), LB_OK);
        lb_split_free(split);
        split = next;
    }
    for (int i = 0; i < 3; i++) {
        long long off = got[i] - 42 * (long long)weights[i];
        CHECK(off <= 2 && off >= -2);
    }
    lb_split_free(split);
}

static void the_predecessor_stays_valid(void) {
    static const uint32_t weights[2] = {3, 1}, other[3] = {1, 1, 1}, old_index[3] = {0, LB_NONE, 1};
    lb_split *split = split_of(weights, 2, 3), *twin = split_of(weights, 2, 3), *next = NULL;
    CHECK_EQ(make_split(&next, other, 3, 3, split, old_index, NULL), LB_OK);
    for (int t = 0; t < 20; t++) lb_split_pick(next, NULL);
    for (int t = 0; t < 20; t++) CHECK_EQ(lb_split_pick(split, NULL), lb_split_pick(twin, NULL));
    lb_split_free(split);
    lb_split_free(twin);
    lb_split_free(next);
}

static void wrong_backends_are_refused(void) {
    static uint32_t weights[LB_MAX_BACKENDS + 1] = {1, 2, LB_MAX_WEIGHT + 1};
    lb_split *split = NULL;
    lb_error err = {0};
    CHECK_EQ(make_split(&split, weights, 3, 0, NULL, NULL, &err), LB_ERR_CONFIG);
    CHECK_EQ(strcmp(err.field, "backends[2].weight"), 0);
    CHECK_EQ(strcmp(err.reason, "1000001 is not in 0..1000000"), 0);
    CHECK_EQ(make_split(&split, weights, LB_MAX_BACKENDS + 1, 0, NULL, NULL, &err), LB_ERR_CONFIG);
    CHECK_EQ(strcmp(err.field, "backends"), 0);
    CHECK(strstr(err.reason, "1025") && strstr(err.reason, "1024"));
    CHECK(split == NULL);
    weights[2] = 0;
    CHECK_EQ(make_split(&split, weights, LB_MAX_BACKENDS, 0, NULL, NULL, &err), LB_OK);
    lb_split_free(split);
}

static lb_status make_keyed(lb_split **out, const uint32_t *weights, uint32_t n, const lb_split *previous) {
    static const uint32_t same[4] = {0, 1, 2, 3};
    const lb_str names[4] = {lb_str_of("a"), lb_str_of("b"), lb_str_of("c"), {0}};
    lb_split_spec spec = {.weight = weights, .name = names, .n = n, .seed = 1};
    return lb_split_new(out, &spec, previous, same, NULL);
}

static uint32_t keyed_pick(lb_split *split, uint32_t i) {
    char text[16];
    snprintf(text, sizeof text, "key %u", i);
    lb_key key = {.text = lb_str_of(text)};
    return lb_split_pick(split, &key);
}

/* A key keeps its backend, shares follow the weights, and a backend that goes moves its own keys only. */
static void a_key_keeps_its_backend(void) {
    static const uint32_t weights[4] = {6, 3, 1, 0}, without[4] = {6, 0, 1, 0};
    lb_split *split = NULL, *next = NULL;
    uint32_t got[4] = {0};
    CHECK_EQ(make_keyed(&split, weights, 4, NULL), LB_OK);
    CHECK_EQ(make_keyed(&next, without, 4, split), LB_OK);
    for (uint32_t i = 0; i < 2000; i++) {
        uint32_t backend = keyed_pick(split, i);
        CHECK(backend < 3);
        CHECK_EQ(keyed_pick(split, i), backend);
        if (backend != 1) CHECK_EQ(keyed_pick(next, i), backend);
        else CHECK(keyed_pick(next, i) != 1);
        got[backend]++;
    }
    CHECK(got[0] > 1100 && got[0] < 1300 && got[1] > 500 && got[1] < 700 && got[2] > 130 && got[2] < 270);
    CHECK_EQ(lb_split_pick(split, NULL), LB_NONE);
    lb_split_free(split);
    lb_split_free(next);
}

static lb_status a_keyed_split(void) {
    static const uint32_t weights[3] = {5, 3, 2};
    lb_split *split = NULL;
    lb_status status = make_keyed(&split, weights, 3, NULL);
    CHECK_EQ(status == LB_OK, split != NULL);
    lb_split_free(split);
    return status;
}

static lb_status a_split_and_its_successor(void) {
    static const uint32_t weights[3] = {5, 3, 2}, old_index[3] = {0, 1, 2};
    lb_split *split = NULL, *next = NULL;
    lb_status status = make_split(&split, weights, 3, 0, NULL, NULL, NULL);
    if (!status) status = make_split(&next, weights, 3, 0, split, old_index, NULL);
    if (split) CHECK(lb_split_pick(split, NULL) < 3);
    lb_split_free(split);
    lb_split_free(next);
    return status;
}

static void every_allocation_may_fail(void) {
    CHECK(every_allocation_fails_once(a_split_and_its_successor) >= 4);
    CHECK(every_allocation_fails_once(a_keyed_split) >= 4);
}

int main(void) {
    RUN(every_prefix_follows_the_weights);
    RUN(without_weight_nobody_is_picked);
    RUN(debts_survive_a_reload);
    RUN(the_predecessor_stays_valid);
    RUN(wrong_backends_are_refused);
    RUN(a_key_keeps_its_backend);
    RUN(every_allocation_may_fail);
    return check_result();
}

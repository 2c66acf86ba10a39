/* policy: the register, the contract that every entry keeps, and the simple policies. */
#include "policies.h"

#include <math.h>

#define SEED 20240611u

/* ---- register --------------------------------------------------------------------------------------------------- */

static void policies_are_found_by_name(void) {
    for (uint32_t i = 0; i < lb_n_policies; i++) {
        CHECK(lb_policy_find(lb_str_of(lb_policies[i]->name)) == lb_policies[i]);
        if (i > 0) CHECK(strcmp(lb_policies[i - 1]->name, lb_policies[i]->name) < 0);
    }
    CHECK(lb_policy_find(lb_str_of("round_robin")) != NULL);
    CHECK(lb_policy_find(lb_str_of("round")) == NULL);
    CHECK(lb_policy_find((lb_str){NULL, 0}) == NULL);
}

static const char *const functions[] = {"sdbm", "djb2", "none", NULL};

static const lb_param example[] = {
    LB_WHOLE("choices", 2, 2, 64, "Targets sampled for one pick."),
    LB_NUMBER("factor", 1.25, 1, 10, "The bound on a target's load."),
    LB_WORD("function", functions, "How a key is hashed."),
    LB_FLAG("avalanche", 1, "Mixed again."),
    {0},
};

static void parameters_are_checked_against_their_range(void) {
    static const double good[][2] = {{0, 2}, {0, 64}, {1, 1}, {1, 1.5}, {1, 10}, {2, 0}, {2, 2}, {3, 0}, {3, 1}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK_EQ(lb_param_check(&example[(int)good[i][0]], good[i][1], NULL), LB_OK);
    static const struct { int param; double value; const char *reason; } bad[] = {
        {0, 1, "1 is outside 2..64"},
        {0, 65, "65 is outside 2..64"},
        {0, 2.5, "2.5 is not a whole number in 2..64"},
        {1, 0.5, "0.5 is outside 1..10"},
        {1, 10.25, "10.25 is outside 1..10"},
        {2, 3, "3 is not the number of one of 'sdbm', 'djb2' or 'none'"},
        {2, 0.5, "0.5 is not the number of one of 'sdbm', 'djb2' or 'none'"},
        {3, 2, "2 is not the number of one of 'no' or 'yes'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lb_error err;
        CHECK_EQ(lb_param_check(&example[bad[i].param], bad[i].value, &err), LB_ERR_CONFIG);
        CHECK(strcmp(err.field, example[bad[i].param].name) == 0);
        CHECK(strcmp(err.reason, bad[i].reason) == 0);
    }
    CHECK_EQ(lb_param_check(&example[1], (double)NAN, NULL), LB_ERR_CONFIG);
    CHECK_EQ(lb_param_check(&example[1], (double)INFINITY, NULL), LB_ERR_CONFIG);
}

static void defaults_come_from_the_descriptor(void) {
    double param[LB_MAX_PARAMS];
    const lb_policy made_up = {.name = "made_up", .params = example}, plain = {.name = "plain"};
    CHECK_EQ(lb_policy_defaults(&made_up, param), 4);
    CHECK(param[0] == 2 && param[1] == 1.25 && param[2] == 0 && param[3] == 1);
    CHECK_EQ(lb_policy_defaults(&plain, param), 0);
}

/* ---- the contract of every policy ------------------------------------------------------------------------------- */

static void every_descriptor_is_complete(void) {
    for (uint32_t i = 0; i < lb_n_policies; i++) {
        const lb_policy *policy = lb_policies[i];
        CHECK(policy->name && policy->summary && policy->build && policy->destroy);
        CHECK(!policy->pick != !policy->walk);
        double param[LB_MAX_PARAMS];
        uint32_t n = lb_policy_defaults(policy, param);
        CHECK(n <= LB_MAX_PARAMS);
        for (uint32_t p = 0; p < n; p++) {
            CHECK_EQ(lb_param_check(&policy->params[p], param[p], NULL), LB_OK);
            CHECK(policy->params[p].doc != NULL);
            if (!policy->params[p].whole) continue;
            CHECK(fabs(policy->params[p].max) < 9e15 && fabs(policy->params[p].min) < 9e15);
        }
        policy->destroy(NULL);
    }
}

/* Views of all sorts: nobody usable, one, many, above the sizes at which policies change their ways. */
static uint32_t draw_weights(lb_rng *rng, uint32_t *weights) {
    static const uint32_t sizes[] = {0, 1, 2, 3, 7, 40, 1100};
    static const uint32_t most[] = {1, 4, 1000001};
    uint32_t n = sizes[lb_rng_below(rng, 7)], limit = most[lb_rng_below(rng, 3)];
    for (uint32_t i = 0; i < n; i++) weights[i] = lb_rng_below(rng, limit + (limit == 1)) % 1000001;
    return n;
}

/* A scheme may refuse what it cannot hold (too many points, Kong's ring), and nothing else. */
static bool built(lb_status status) {
    CHECK(status == LB_OK || status == LB_ERR_CONFIG);
    return status == LB_OK;
}

static void only_usable_members_are_picked(void) {
    static uint32_t weights[1100];
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    for (int round = 0; round < 100; round++) {
        uint32_t n = draw_weights(&rng, weights);
        for (uint32_t p = 0; p < lb_n_policies; p++) {
            bed b;
            lb_view *view = view_of(weights, n, lb_rng_next(&rng), NULL);
            if (!built(make(&b, lb_policies[p], view, NULL, NULL))) continue;
            for (uint32_t i = 0; i < 60; i++) {
                bool keyed = lb_policies[p]->walk != NULL, peek = i % 5 == 0;
                uint32_t member = ask(&b, keyed || i % 7 ? 0 : i, peek);
                if (b.view->n_usable == 0) CHECK_EQ(member, LB_NONE);
                else if (member != LB_NONE || !(peek || keyed)) CHECK(member < n && weights[member] > 0);
            }
            end(&b);
        }
    }
}

static void the_same_seed_gives_the_same_picks(void) {
    static const uint32_t weights[] = {3, 0, 5, 5, 1, 9};
    for (uint32_t p = 0; p < lb_n_policies; p++)
        for (uint64_t seed = 0; seed < 5; seed++) {
            bed a, b;
            if (!built(make(&a, lb_policies[p], view_of(weights, 6, seed, NULL), NULL, NULL))) continue;
            CHECK(built(make(&b, lb_policies[p], view_of(weights, 6, seed, NULL), NULL, NULL)));
            for (int i = 0; i < 100; i++) CHECK_EQ(next(&a), next(&b));
            end(&a);
            end(&b);
        }
}

/* Peeking moves nothing: it tells what the picks will be that are then asked for one after the other. */
static void peek_tells_what_pick_will_give(void) {
    static uint32_t weights[1100];
    lb_rng rng;
    lb_rng_seed(&rng, SEED + 1);
    for (int round = 0; round < 60; round++) {
        uint32_t n = draw_weights(&rng, weights);
        for (uint32_t p = 0; p < lb_n_policies; p++) {
            bed b;
            if (!built(make(&b, lb_policies[p], view_of(weights, n, lb_rng_next(&rng), NULL), NULL, NULL))) continue;
            for (int turn = 0; turn < 30; turn++) {
                uint32_t told[5], steps = 1 + lb_rng_below(&rng, 5);
                for (uint32_t s = 0; s < steps; s++) told[s] = ask(&b, s, true);
                CHECK_EQ(ask(&b, 0, true), told[0]);
                for (uint32_t s = 0; s < steps; s++) {
                    uint32_t member = ask(&b, s, false);
                    if (told[s] != LB_NONE) CHECK_EQ(member, told[s]);
                    else CHECK(lb_policies[p]->walk || s >= b.view->n_usable);
                    if (member == LB_NONE) break;
                }
            }
            end(&b);
        }
    }
}

static uint32_t tested, size_tested;

static lb_status build_twice(void) {
    static uint32_t weights[1100], same[1100];
    for (uint32_t i = 0; i < size_tested; i++) {
        weights[i] = i % 9 + 1;
        same[i] = i;
    }
    bed a, b;
    lb_status status = make(&a, lb_policies[tested], view_of(weights, size_tested, 1, NULL), NULL, NULL);
    if (status) return status;
    status = make(&b, lb_policies[tested], view_of(weights, size_tested, 2, NULL), &a, same);
    if (status == LB_OK) end(&b);
    end(&a);
    return status;
}

static void every_allocation_of_every_build_may_fail(void) {
    static const uint32_t sizes[] = {0, 5, 1100};
    for (tested = 0; tested < lb_n_policies; tested++)
        for (int i = 0; i < 3; i++) {
            size_tested = sizes[i];
            if (!built(build_twice())) continue;
            CHECK(every_allocation_fails_once(build_twice) >= 2);
        }
}

/* ---- random ----------------------------------------------------------------------------------------------------- */

static void random_follows_the_weights(void) {
    static const uint32_t weights[] = {1, 0, 2, 7, 10, 100};
    enum { N = 120000 };
    bed b;
    make(&b, lb_policy_find(lb_str_of("random")), view_of(weights, 6, SEED, NULL), NULL, NULL);
    double seen[6] = {0}, distance = 0;
    for (int i = 0; i < N; i++) seen[next(&b)]++;
    for (int i = 0; i < 6; i++) {
        double want = N / 120.0 * weights[i];
        if (want > 0) distance += (seen[i] - want) * (seen[i] - want) / want;
    }
    CHECK(distance < 18.5);                     /* chi-square, 4 degrees of freedom: 0.1 % */
    CHECK(seen[1] == 0);
    end(&b);
}

/* Beyond 64 steps the members that follow come in the order of the list. */
static void random_looks_ahead_as_far_as_asked(void) {
    static const uint32_t weights[] = {1, 2, 0, 3};
    bed b;
    make(&b, lb_policy_find(lb_str_of("random")), view_of(weights, 4, SEED, NULL), NULL, NULL);
    uint32_t last = ask(&b, 63, true), place = last == 3 ? 2 : last;
    for (uint32_t s = 64; s < 100; s++) CHECK_EQ(ask(&b, s, true), b.view->usable[(place + s - 63) % 3]);
    end(&b);
}

/* ---- least_conn ------------------------------------------------------------------------------------------------- */

typedef struct loaded {
    lb_state *counters;
    bed bed;
} loaded;

static void load(loaded *l, uint32_t member, uint32_t in_flight) {
    lb_counter_write(lb_in_flight(l->counters, member), in_flight);
}

/* least_conn begins its turns at a place drawn from the seed: one with which that is the first of n. */
static uint64_t seed_from_the_first(uint32_t n) {
    for (uint64_t seed = 0;; seed++) {
        lb_rng rng;
        lb_rng_seed(&rng, seed);
        if (lb_rng_below(&rng, n) == 0) return seed;
    }
}

static void start(loaded *l, const uint32_t *weights, const uint32_t *in_flight, uint32_t n) {
    CHECK_EQ(lb_state_new(&l->counters, NULL, (lb_mark){0}, NULL), LB_OK);
    uint32_t slot;
    for (uint32_t i = 0; i < n; i++) {
        CHECK_EQ(lb_state_take(l->counters, NULL, &slot, NULL), LB_OK);
        if (in_flight) load(l, i, in_flight[i]);
    }
    uint32_t n_usable = 0;
    for (uint32_t i = 0; i < n; i++) n_usable += weights[i] > 0;
    lb_view *view = view_of(weights, n, seed_from_the_first(n_usable), l->counters);
    CHECK_EQ(make(&l->bed, lb_policy_find(lb_str_of("least_conn")), view, NULL, NULL), LB_OK);
}

static void stop(loaded *l) {
    end(&l->bed);
    lb_state_free(l->counters);
}

static void least_conn_takes_the_least_for_its_weight(void) {
    /* (4+1)/2 = 2.5, (1+1)/1 = 2, weight 0, (9+1)/6 = 1.67, (3+1)/2 = 2 */
    static const uint32_t weights[] = {2, 1, 0, 6, 2}, in_flight[] = {4, 1, 0, 9, 3};
    loaded l;
    start(&l, weights, in_flight, 5);
    static const uint32_t order[] = {3, 1, 4, 0};
    for (uint32_t s = 0; s < 4; s++) CHECK_EQ(ask(&l.bed, s, true), order[s]);
    CHECK_EQ(next(&l.bed), 3);
    load(&l, 3, 12);                            /* 13/6 = 2.17 */
    CHECK_EQ(next(&l.bed), 4);                  /* 1 and 4 are equal: the turn stands behind 3 */
    CHECK_EQ(next(&l.bed), 1);
    CHECK_EQ(next(&l.bed), 4);
    stop(&l);
}

static void least_conn_serves_ties_in_turn(void) {
    static const uint32_t weights[] = {1, 1, 1, 1, 1}, busy[] = {5, 0, 5, 5, 0};
    loaded l;
    start(&l, weights, NULL, 5);
    for (uint32_t i = 0; i < 12; i++) CHECK_EQ(next(&l.bed), i % 5);
    stop(&l);
    start(&l, weights, busy, 5);
    for (uint32_t i = 0; i < 6; i++) CHECK_EQ(next(&l.bed), i % 2 ? 4 : 1);
    stop(&l);
}

/* Asked again and again, it names each target once before it begins anew; the turn goes on behind the last. */
static void least_conn_answers_further_steps(void) {
    static const uint32_t weights[] = {1, 1, 1, 1}, in_flight[] = {0, 0, 3, 0};
    loaded l;
    start(&l, weights, in_flight, 4);
    static const uint32_t order[] = {0, 1, 3, 2, 0};
    for (uint32_t s = 0; s < 5; s++) CHECK_EQ(ask(&l.bed, s, false), order[s]);
    CHECK_EQ(next(&l.bed), 1);
    stop(&l);
}

/* Against sorting, for random loads. */
static void least_conn_is_exact(void) {
    lb_rng rng;
    lb_rng_seed(&rng, SEED + 2);
    for (int round = 0; round < 300; round++) {
        uint32_t weights[20], in_flight[20], n = 1 + lb_rng_below(&rng, 20);
        for (uint32_t i = 0; i < n; i++) {
            weights[i] = 1 + lb_rng_below(&rng, 5);
            in_flight[i] = lb_rng_below(&rng, 6);
        }
        loaded l;
        start(&l, weights, in_flight, n);
        uint32_t got = next(&l.bed);
        for (uint32_t i = 0; i < n; i++) CHECK((in_flight[got] + 1) * weights[i] <= (in_flight[i] + 1) * weights[got]);
        stop(&l);
    }
}

static void least_conn_samples_above_1024_targets(void) {
    enum { N = 2000 };
    static uint32_t weights[N], in_flight[N];
    for (uint32_t i = 0; i < N; i++) {
        weights[i] = 1;
        in_flight[i] = i % 4 ? 50 : 0;
    }
    loaded l;
    start(&l, weights, in_flight, N);
    uint32_t idle = 0;
    for (int i = 0; i < 1000; i++) idle += next(&l.bed) % 4 == 0;
    CHECK(idle > 860 && idle < 940);            /* 1 - 0.75^8 = 0.90, standard deviation 9.5 */
    uint32_t last = ask(&l.bed, 15, true);
    for (uint32_t s = 16; s < 20; s++) CHECK_EQ(ask(&l.bed, s, true), (last + s - 15) % N);
    stop(&l);
}

static void least_conn_begins_at_a_turn_from_the_seed_and_goes_on_there(void) {
    static const uint32_t weights[] = {1, 1, 1, 1, 1, 1, 1, 1}, same[] = {0, 1, 2, 3, 4, 5, 6, 7};
    const lb_policy *policy = lb_policy_find(lb_str_of("least_conn"));
    uint32_t seen = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        bed a, b;
        make(&a, policy, view_of(weights, 8, seed, NULL), NULL, NULL);
        uint32_t first = next(&a);
        seen |= 1u << first;
        make(&b, policy, view_of(weights, 8, seed, NULL), &a, same);
        CHECK_EQ(next(&b), (first + 1) % 8);
        end(&a);
        end(&b);
    }
    CHECK_EQ(seen, 0xFF);
}

int main(void) {
    printf("seed %u\n", SEED);
    RUN(policies_are_found_by_name);
    RUN(parameters_are_checked_against_their_range);
    RUN(defaults_come_from_the_descriptor);
    RUN(every_descriptor_is_complete);
    RUN(only_usable_members_are_picked);
    RUN(the_same_seed_gives_the_same_picks);
    RUN(peek_tells_what_pick_will_give);
    RUN(every_allocation_of_every_build_may_fail);
    RUN(random_follows_the_weights);
    RUN(random_looks_ahead_as_far_as_asked);
    RUN(least_conn_takes_the_least_for_its_weight);
    RUN(least_conn_serves_ties_in_turn);
    RUN(least_conn_answers_further_steps);
    RUN(least_conn_is_exact);
    RUN(least_conn_samples_above_1024_targets);
    RUN(least_conn_begins_at_a_turn_from_the_seed_and_goes_on_there);
    return check_result();
}

/* budget: retries of the last ten seconds against first tries of the last ten seconds. */
#include "upstream/budget.h"
#include "upstreams.h"

static uint32_t spend_all(lb_budget *budget, uint32_t percent, uint32_t per_second, uint64_t now_ns) {
    uint32_t n = 0;
    while (n < 100000 && lb_budget_spend(budget, percent, per_second, now_ns)) n++;
    return n;
}

static void earn(lb_budget *budget, uint32_t n, uint64_t now_ns) {
    for (uint32_t i = 0; i < n; i++) lb_budget_earn(budget, now_ns);
}

/* "a retry is free while retries < percent of the first tries + 10 * per_second" */
static void the_rule_at_one_moment(void) {
    static const struct { uint32_t first, percent, per_second, retries; } cases[] = {
        {0, 0, 0, 0},      {0, 20, 0, 0},     {0, 20, 10, 100},  {100, 20, 0, 20}, {100, 20, 10, 120},
        {101, 20, 0, 21},  {104, 20, 0, 21},  {105, 20, 0, 21},  {106, 20, 0, 22}, {7, 100, 0, 7},
        {1, 1000, 1, 20},  {1000, 0, 0, 0},   {1, 1, 0, 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        lb_budget budget = {0};
        earn(&budget, cases[c].first, 100 * SECOND);
        CHECK_EQ(spend_all(&budget, cases[c].percent, cases[c].per_second, 100 * SECOND), cases[c].retries);
        CHECK(!lb_budget_spend(&budget, cases[c].percent, cases[c].per_second, 100 * SECOND));
    }
}

/* A second counts for ten seconds: its own and nine more. */
static void a_second_leaves_the_window_after_ten(void) {
    for (uint64_t from = 0; from < 25; from++) {
        lb_budget budget = {0};
        earn(&budget, 50, from * SECOND);
        CHECK(lb_budget_spend(&budget, 100, 0, (from + 9) * SECOND + SECOND - 1));
        CHECK(!lb_budget_spend(&budget, 100, 0, (from + 10) * SECOND));
    }
    lb_budget budget = {0};
    CHECK_EQ(spend_all(&budget, 0, 3, 5 * SECOND), 30);
    CHECK_EQ(spend_all(&budget, 0, 3, 14 * SECOND), 0);                 /* what was spent counts as long */
    CHECK_EQ(spend_all(&budget, 0, 3, 15 * SECOND), 30);
}

static void a_long_silence_empties_all(void) {
    static const uint64_t silences[] = {10, 11, 19, 20, 21, 1000, 10000000000};
    for (size_t c = 0; c < sizeof silences / sizeof *silences; c++) {
        lb_budget budget = {0};
        for (uint64_t s = 0; s < 10; s++) earn(&budget, 10, (100 + s) * SECOND);
        CHECK_EQ(spend_all(&budget, 10, 0, 109 * SECOND), 10);
        CHECK_EQ(spend_all(&budget, 10, 0, (109 + silences[c]) * SECOND), 0);
        earn(&budget, 10, (109 + silences[c]) * SECOND);
        CHECK_EQ(spend_all(&budget, 10, 0, (109 + silences[c]) * SECOND), 1);
    }
}

/* "a clock that goes back spends and earns in the present second" */
static void a_clock_that_goes_back_is_harmless(void) {
    lb_budget budget = {0};
    earn(&budget, 10, 50 * SECOND);
    earn(&budget, 10, 3 * SECOND);
    CHECK_EQ(budget.first[0], 20);
    CHECK(lb_budget_spend(&budget, 10, 0, 0));
    CHECK_EQ(spend_all(&budget, 10, 0, 59 * SECOND), 1);
    CHECK(!lb_budget_spend(&budget, 10, 0, 60 * SECOND));
}

/* Beside lists of moments. */
static void random_lives_agree_with_lists_of_moments(void) {
    static uint64_t first[3000], retry[3000];
    for (uint64_t seed = 0; seed < 20; seed++) {
        lb_rng rng;
        lb_rng_seed(&rng, seed);
        lb_budget budget = {0};
        uint32_t n_first = 0, n_retry = 0, percent = lb_rng_below(&rng, 120), per_second = lb_rng_below(&rng, 3);
        uint64_t now_ns = lb_rng_below(&rng, 100) * SECOND;
        for (int t = 0; t < 3000; t++) {
            if (lb_rng_below(&rng, 4) == 0) now_ns += lb_rng_below(&rng, lb_rng_below(&rng, 50) ? 1u << 29 : 1u << 31) * 3ull;
            if (lb_rng_below(&rng, 2)) {
                lb_budget_earn(&budget, now_ns);
                first[n_first++] = now_ns / SECOND;
                continue;
            }
            uint64_t tries = 0, retries = 0, second = now_ns / SECOND;
            for (uint32_t i = 0; i < n_first; i++) tries += first[i] + 10 > second;
            for (uint32_t i = 0; i < n_retry; i++) retries += retry[i] + 10 > second;
            bool may = 100 * retries < percent * tries + 1000 * per_second;
            CHECK_EQ(lb_budget_spend(&budget, percent, per_second, now_ns), may);
            if (may) retry[n_retry++] = second;
        }
    }
}

static void counts_stop_at_their_end(void) {
    lb_budget budget = {.first = {UINT32_MAX}};
    lb_budget_earn(&budget, 0);
    CHECK_EQ(budget.first[0], UINT32_MAX);
    CHECK(lb_budget_spend(&budget, UINT32_MAX, UINT32_MAX, 0));
}

/* The defaults: 20 % and 10 a second. */
static void an_upstream_has_one(void) {
    fleet f = {0};
    add_targets(&f, 1, 0);
    lb_upstream *up = upstream_named("round_robin", &f);
    for (int i = 0; i < 50; i++) lb_upstream_first_try(up, 7 * SECOND);
    for (int i = 0; i < 110; i++) CHECK(lb_upstream_may_retry(up, 8 * SECOND));
    CHECK(!lb_upstream_may_retry(up, 8 * SECOND));
    lb_upstream_free(up);
}

int main(void) {
    RUN(the_rule_at_one_moment);
    RUN(a_second_leaves_the_window_after_ten);
    RUN(a_long_silence_empties_all);
    RUN(a_clock_that_goes_back_is_harmless);
    RUN(random_lives_agree_with_lists_of_moments);
    RUN(counts_stop_at_their_end);
    RUN(an_upstream_has_one);
    return check_result();
}

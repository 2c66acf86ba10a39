/* load: the policies that look at loads: first, p2c, least_request, peak_ewma, and what all that learn share. */
#include "loads.h"

#define SEED 20240614u

static void failed_calls_are_held_for_those_who_look_at_loads(void) {
    static const char *const aware[] = {"adaptive", "least_conn", "least_request", "p2c", "peak_ewma"};
    static const char *const unaware[] = {"first", "random", "round_robin"};
    for (int i = 0; i < 5; i++) CHECK(named(aware[i])->load_aware);
    for (int i = 0; i < 3; i++) CHECK(!named(unaware[i])->load_aware);
}

/* ---- first ------------------------------------------------------------------------------------------------------ */

static void first_is_the_first_usable_one_then_the_next(void) {
    static const uint32_t weights[] = {0, 1, 1000, 0, 5};
    field f;
    start(&f, "first", NULL, weights, NULL, 5);
    set_load(&f, 1, 100);
    static const uint32_t order[] = {1, 2, 4, 1, 2};
    for (uint32_t s = 0; s < 5; s++) {
        CHECK_EQ(ask(&f.bed, s, true), order[s]);
        CHECK_EQ(ask(&f.bed, s, false), order[s]);
    }
    CHECK_EQ(next(&f.bed), 1);
    stop(&f);
}

/* ---- draws ------------------------------------------------------------------------------------------------------ */

/* Each step names somebody new, for 16; then those who follow in the list: after 16 + n steps everybody was named. */
static void draws_tell_everybody(void) {
    static const char *const policies[] = {"p2c", "least_request", "peak_ewma", "adaptive"};
    static const uint32_t sizes[] = {1, 2, 3, 15, 16, 17, 40, 300};
    static uint32_t weights[300];
    for (uint32_t i = 0; i < 300; i++) weights[i] = i % 3 ? 1 : 1000000;
    for (int p = 0; p < 4; p++)
        for (int z = 0; z < 8; z++) {
            field f;
            uint32_t n = sizes[z], n_told = 0, exact = n < 16 ? n : 16, last = 0;
            bool scanned = p == 3 && n <= 128;
            bool told[300] = {false};
            start(&f, policies[p], NULL, weights, NULL, n);
            for (uint32_t s = 0; s < 16 + n; s++) {
                uint32_t member = ask(&f.bed, s, false);
                if (s < exact) CHECK(!told[member]);
                else if (!scanned) CHECK_EQ(member, (last + s - exact + 1) % n);
                if (s < exact) last = member;
                n_told += !told[member];
                told[member] = true;
            }
            CHECK_EQ(n_told, n);
            stop(&f);
        }
}

/* A step that nobody asked for before, as a walk over all steps of one ask does not: still somebody usable. */
static void draws_answer_steps_out_of_order(void) {
    static const uint32_t weights[] = {1, 2, 3};
    field f;
    start(&f, "p2c", NULL, weights, NULL, 3);
    static const uint32_t steps[] = {7, 0, 30, 2, 2, 1, 5, 0, UINT32_MAX};
    for (int i = 0; i < 9; i++) CHECK(ask(&f.bed, steps[i], false) < 3);
    stop(&f);
}

static void p2c_takes_the_lesser_load_for_its_weight(void) {
    /* of two targets both are always drawn */
    static const struct { uint32_t weight[2], in_flight[2], want; } cases[] = {
        {{1, 1}, {3, 2}, 1},
        {{1, 1}, {2, 3}, 0},
        {{2, 1}, {3, 1}, 1},            /* 1.5 against 1 */
        {{2, 1}, {3, 2}, 0},            /* 1.5 against 2 */
        {{1000000, 1}, {1, 0}, 1},      /* an idle target is the lightest, whatever the weights */
        {{1000000, 999999}, {1000000, 1000000}, 0},
        {{1, 1000000}, {4000000, UINT32_MAX}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        field f;
        start(&f, "p2c", NULL, cases[i].weight, NULL, 2);
        for (uint32_t m = 0; m < 2; m++) set_load(&f, m, cases[i].in_flight[m]);
        for (int turn = 0; turn < 20; turn++) CHECK_EQ(next(&f.bed), cases[i].want);
        stop(&f);
    }
}

/* Targets that tie (idle, or 2 for each unit of weight) are picked by weight: the first draw stands. */
static void ties_of_draws_go_by_weight(void) {
    static const char *const policies[] = {"p2c", "least_request", "peak_ewma"};
    static const uint32_t weights[] = {1, 2, 3, 10};
    for (int p = 0; p < 3; p++)
        for (uint32_t load = 0; load < 4; load += 2) {
            field f;
            uint32_t seen[4];
            start(&f, policies[p], NULL, weights, NULL, 4);
            for (uint32_t m = 0; m < 4; m++) set_load(&f, m, load * weights[m]);
            count(&f, seen, 4, 16000);
            double distance = 0;
            for (int m = 0; m < 4; m++) distance += pow(seen[m] - 1000.0 * weights[m], 2) / (1000.0 * weights[m]);
            CHECK(distance < 16.3);             /* chi-square, 3 degrees of freedom: 0.1 % */
            stop(&f);
        }
}

static void least_request_weighs_by_its_bias(void) {
    enum { FIRST = 2 };                 /* a tie: by weight, so both are picked */
    static const struct { double bias; uint32_t weight[2], in_flight[2], want; } cases[] = {
        {0, {1, 4}, {0, 1000}, FIRST},
        {1, {1, 4}, {2, 8}, FIRST},
        {1, {1, 4}, {2, 7}, 1},
        {2, {1, 4}, {3, 7}, 0},         /* 9 against 12.25 */
        {2, {1, 4}, {3, 6}, FIRST},
        {2, {1, 4}, {3, 5}, 1},
        {3, {1, 1000000}, {1, 100}, FIRST},
        {4, {1, 16}, {5, 10}, FIRST},
        {4, {1, 16}, {5, 11}, 0},
        {4, {1, 1000000}, {67108863, 67108864}, 1},
        {4, {1000000, 999999}, {67108864, 67108864}, 0},
        {4, {1000000, 1000000}, {67108863, 67108864}, 0},
        {4, {1, 1}, {UINT32_MAX, 67108864}, FIRST},     /* more than 2^26 counts as 2^26 */
        {3, {7, 7}, {1625, 1626}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        field f;
        uint32_t seen[2];
        double param[LB_MAX_PARAMS] = {2, cases[i].bias};
        start(&f, "least_request", param, cases[i].weight, NULL, 2);
        for (uint32_t m = 0; m < 2; m++) set_load(&f, m, cases[i].in_flight[m]);
        count(&f, seen, 2, 200);
        if (cases[i].want != FIRST) CHECK_EQ(seen[cases[i].want], 200);
        else CHECK(seen[1] > 0 && (seen[0] > 0 || cases[i].weight[1] > 1000));
        stop(&f);
    }
}

/* Among 100 targets of which 10 are idle: 1 - 0.9^d of the picks. */
static void more_choices_find_more(void) {
    static const struct { const char *policy; double choices; uint32_t least, most; } cases[] = {
        {"p2c", 2, 140, 240}, {"least_request", 2, 140, 240}, {"least_request", 8, 515, 625},
        {"least_request", 64, 985, 1000},
    };
    uint32_t weights[100], seen[100];
    for (int i = 0; i < 100; i++) weights[i] = 1;
    for (int c = 0; c < 4; c++) {
        field f;
        double param[LB_MAX_PARAMS] = {cases[c].choices, 1};
        start(&f, cases[c].policy, param, weights, NULL, 100);
        for (uint32_t i = 0; i < 100; i++) set_load(&f, i, i % 10 ? 1 : 0);
        count(&f, seen, 100, 1000);
        uint32_t idle = 0;
        for (int i = 0; i < 100; i += 10) idle += seen[i];
        CHECK(idle >= cases[c].least && idle <= cases[c].most);
        stop(&f);
    }
}

/* ---- peak_ewma -------------------------------------------------------------------------------------------------- */

static void peak_ewma_takes_peaks_at_once_and_the_rest_by_age(void) {
    static const uint32_t weights[] = {1, 1};
    field f;
    start(&f, "peak_ewma", NULL, weights, NULL, 2);
    see(&f, 0, SECOND, 20 * MS, false);
    CHECK(mean_of(&f, 0) == 20e6);
    see(&f, 0, 2 * SECOND, 100 * MS, false);
    CHECK(mean_of(&f, 0) == 100e6);
    see(&f, 0, 12 * SECOND, 20 * MS, false);            /* ten seconds: 1/e of the difference is left */
    CHECK(close_to(mean_of(&f, 0), 20e6 + 80e6 * exp(-1)));
    double before = mean_of(&f, 0);
    see(&f, 0, 12 * SECOND, 20 * MS, false);            /* no time has passed, and then it went back */
    see(&f, 0, 11 * SECOND, 20 * MS, false);
    CHECK(mean_of(&f, 0) == before);
    see(&f, 0, 50 * SECOND, 0, false);                  /* no measurement */
    CHECK(mean_of(&f, 0) == before);
    CHECK(mean_of(&f, 1) == 0);
    stop(&f);
}

static void peak_ewma_counts_a_failure_as_slow(void) {
    static const uint32_t weights[] = {1, 1, 1};
    field f;
    start(&f, "peak_ewma", NULL, weights, NULL, 3);
    see(&f, 0, SECOND, MS, true);                       /* nothing is known of the fleet: one second */
    CHECK(mean_of(&f, 0) == 1e9 && lb_word_glance_double(&f.places->common->fleet) == 0);
    see(&f, 1, SECOND, 10 * MS, false);
    CHECK(lb_word_glance_double(&f.places->common->fleet) == 10e6);
    see(&f, 2, SECOND, MS, true);                       /* four times the fleet's */
    CHECK(mean_of(&f, 2) == 40e6);
    see(&f, 2, SECOND, 500 * MS, true);                 /* a time-out: what it took */
    CHECK(mean_of(&f, 2) == 500e6 && lb_word_glance_double(&f.places->common->fleet) == 10e6);
    see(&f, 1, SECOND, 20 * MS, false);
    CHECK(close_to(lb_word_glance_double(&f.places->common->fleet), 10.1e6));
    stop(&f);
}

static void peak_ewma_fades_by_ticks(void) {
    static uint32_t weights[70];
    for (int i = 0; i < 70; i++) weights[i] = 1;
    field f;
    start(&f, "peak_ewma", NULL, weights, NULL, 70);
    for (uint32_t i = 0; i < 69; i++) see(&f, i, SECOND, 100 * MS, false);
    tick(&f, 5 * SECOND);                               /* the first only begins to count */
    CHECK(mean_of(&f, 0) == 100e6);
    tick(&f, 5 * SECOND + 50 * MS);
    tick(&f, 15 * SECOND);                              /* a late one */
    for (uint32_t i = 0; i < 69; i++) CHECK(close_to(mean_of(&f, i), 100e6 * exp(-1)));
    CHECK(mean_of(&f, 69) == 0);
    see(&f, 3, 15 * SECOND, 10 * MS, false);            /* its age runs from the tick: nothing of it has passed */
    CHECK(close_to(mean_of(&f, 3), 100e6 * exp(-1)));
    tick(&f, 15000 * SECOND);
    for (uint32_t i = 0; i < 69; i++) CHECK(mean_of(&f, i) == 1);      /* known, however long ago */
    tick(&f, 14000 * SECOND);
    CHECK(mean_of(&f, 0) == 1 && mean_of(&f, 69) == 0);
    stop(&f);
}

static void peak_ewma_compares_costs(void) {
    /* mean weight 1.5: cost = estimate * (in-flight * 1.5 / weight + 1) */
    static const struct { uint64_t estimate_ms[2]; uint32_t in_flight[2], want; } cases[] = {
        {{10, 10}, {1, 1}, 1},          /* 25 against 17.5 */
        {{10, 20}, {1, 1}, 0},          /* 25 against 35 */
        {{10, 20}, {0, 0}, 0},
        {{10, 20}, {1, 0}, 1},          /* 25 against 20 */
        {{10, 26}, {1, 0}, 0},
        {{0, 10}, {0, 0}, 0},           /* nothing is known of 0, and it is idle */
        {{0, 10}, {1, 1000}, 1},        /* it is busy: no more until it has answered */
        {{10, 0}, {1, 0}, 1},
        {{0, 0}, {1, 1}, 1},            /* nothing is known of both: by load */
        {{0, 0}, {1, 0}, 1},
    };
    static const uint32_t weights[] = {1, 2};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        field f;
        start(&f, "peak_ewma", NULL, weights, NULL, 2);
        for (uint32_t m = 0; m < 2; m++) {
            set_load(&f, m, cases[i].in_flight[m]);
            see(&f, m, SECOND, cases[i].estimate_ms[m] * MS, false);
        }
        for (int turn = 0; turn < 20; turn++) CHECK_EQ(next(&f.bed), cases[i].want);
        stop(&f);
    }
}

/* ---- the same on every machine ---------------------------------------------------------------------------------- */

/* Calls that come and go, with latencies from the generator: a digest of the picks.  tests/property/test_load.py plays
 * the same with the twins and looks for the digests below. */
static uint64_t play(const char *policy, uint32_t n) {
    static uint32_t weights[200], open[64];
    for (uint32_t i = 0; i < n; i++) weights[i] = 1 + i % 5;
    field f;
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    start(&f, policy, NULL, weights, NULL, n);
    uint64_t digest = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t member = next(&f.bed), *place = &open[i % 64];
        digest = digest * 6364136223846793005u + member;
        lb_counter_add(lb_in_flight(f.places, member), 1);
        if (i >= 64) {
            uint64_t now_ns = SECOND + i * MS, latency_ns = MS * (1 + *place % 7) + lb_rng_below(&rng, 3000000);
            lb_counter_sub(lb_in_flight(f.places, *place), 1);
            see(&f, *place, now_ns, latency_ns, lb_rng_below(&rng, 50) == 0);
            if (i % 20 == 0) tick(&f, now_ns);
        }
        *place = member;
    }
    stop(&f);
    return digest;
}

static void learning_policies_pick_the_same_on_every_machine(void) {
    static const struct { const char *policy; uint32_t n; uint64_t digest; } plays[] = {
        {"adaptive", 20, 0xA866CCD4CFA75E9B}, {"adaptive", 128, 0x8E37D0D6889D9429},
        {"adaptive", 200, 0x9164B735B70E1929}, {"peak_ewma", 20, 0x76AFBC13C4A7778F},
        {"peak_ewma", 200, 0x4ED356CD4B2F5A24},
    };
    for (int i = 0; i < 5; i++) CHECK(play(plays[i].policy, plays[i].n) == plays[i].digest);
}

int main(void) {
    printf("seed %u\n", SEED);
    RUN(failed_calls_are_held_for_those_who_look_at_loads);
    RUN(first_is_the_first_usable_one_then_the_next);
    RUN(draws_tell_everybody);
    RUN(draws_answer_steps_out_of_order);
    RUN(p2c_takes_the_lesser_load_for_its_weight);
    RUN(ties_of_draws_go_by_weight);
    RUN(least_request_weighs_by_its_bias);
    RUN(more_choices_find_more);
    RUN(peak_ewma_takes_peaks_at_once_and_the_rest_by_age);
    RUN(peak_ewma_counts_a_failure_as_slow);
    RUN(peak_ewma_fades_by_ticks);
    RUN(peak_ewma_compares_costs);
    RUN(learning_policies_pick_the_same_on_every_machine);
    return check_result();
}

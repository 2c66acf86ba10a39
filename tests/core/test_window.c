/* window: counting by interval, whose turn it is to judge, and the two statistical detectors. */
#include "bare.h"
#include "naive_health.h"

#include "base/rng.h"
#include "health/window.h"

#define SEED 20240713u
#define SECOND 1000000000ull
#define RATE (1u << LB_CAUSE_SUCCESS_RATE)
#define FAIL (1u << LB_CAUSE_FAILURE_PERCENTAGE)

static void check_window(const lb_record *record, uint64_t interval, uint32_t calls, uint32_t successes) {
    uint32_t found;
    CHECK_EQ(lb_window_calls(record, interval, &found), calls);
    CHECK_EQ(found, successes);
}

static void each_interval_counts_for_itself(void) {
    lb_record record = {0};
    lb_window_add(&record, 7, true);
    lb_window_add(&record, 7, false);
    lb_window_add(&record, 8, true);
    check_window(&record, 7, 2, 1);
    check_window(&record, 8, 1, 1);
    check_window(&record, 6, 0, 0);
    lb_window_add(&record, 7, true);                /* late, but not too late */
    check_window(&record, 7, 3, 2);
    lb_window_add(&record, 9, false);               /* in the place of 7 */
    check_window(&record, 7, 0, 0);
    check_window(&record, 9, 1, 0);
    check_window(&record, 8, 1, 1);
}

static void a_clock_that_goes_back_counts_nothing(void) {
    lb_record record = {0};
    lb_window_add(&record, 1000, true);
    lb_window_add(&record, 998, true);
    lb_window_add(&record, 746, false);
    check_window(&record, 1000, 1, 1);
    lb_window_add(&record, 744, false);             /* so far back that it is another time altogether */
    check_window(&record, 744, 1, 0);
}

static void a_window_of_ages_ago_is_empty(void) {
    static const uint64_t intervals[] = {0, 1, 2, 255, 256, 1u << 23, (1u << 24) - 1, 1ull << 24, 5ull << 24, UINT64_MAX};
    for (int i = 0; i < 10; i++)
        for (int k = i + 1; k < 10; k++) {
            uint64_t back = (intervals[i] - intervals[k]) % (1u << 24);
            if (back > 0 && back < 256) continue;                             /* as after a clock that went back */
            lb_record record = {0};
            lb_window_add(&record, intervals[i], true);
            lb_window_add(&record, intervals[k], false);
            uint32_t found, calls = lb_window_calls(&record, intervals[k], &found);
            bool same = (intervals[k] - intervals[i]) % (1u << 24) == 0;      /* the tag has 24 bits */
            CHECK_EQ(calls, same ? 2 : 1);
            CHECK_EQ(found, same ? 1 : 0);
        }
}

static void calls_stop_at_their_end_and_the_rate_stands(void) {
    lb_record full = {.window = {4ull << 40 | 400000ull << 20 | (LB_MAX_VOLUME - 1), 0}};
    for (int i = 0; i < 5; i++) lb_window_add(&full, 4, true);
    check_window(&full, 4, LB_MAX_VOLUME, 400001);
    lb_record all = {.window = {4ull << 40 | (uint64_t)LB_MAX_VOLUME << 20 | LB_MAX_VOLUME, 0}};
    lb_window_add(&all, 4, true);
    check_window(&all, 4, LB_MAX_VOLUME, LB_MAX_VOLUME);
}

/* Only answers where local origin is split; all where it is not; nothing where nobody judges. */
static void what_counts_stands_in_the_window(void) {
    static const struct { lb_outcome outcome; bool split, judges; uint32_t calls, successes; } cases[] = {
        {{.status = 200}, true, true, 1, 1},               {{.status = 500}, true, true, 1, 0},
        {{.status = 404}, true, true, 1, 1},               {{.verdict = LB_SUCCESS}, true, true, 1, 1},
        {{.fault = LB_FAULT_CONNECT}, true, true, 0, 0},   {{.fault = LB_FAULT_CONNECT}, false, true, 1, 0},
        {{.fault = LB_FAULT_TIMEOUT}, true, true, 0, 0},   {{.verdict = LB_FAILURE}, false, true, 1, 0},
        {{.verdict = LB_FAILURE, .status = 200}, true, true, 1, 0},
        {{0}, false, true, 0, 0},                          {{.status = 200}, true, false, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lb_outlier rule = lb_outlier_default;
        rule.split = cases[i].split;
        rule.rate_hosts = cases[i].judges ? 5 : 0;
        lb_record record = {0};
        lb_outlier_count(&rule, &record, &cases[i].outcome, 25 * SECOND);
        check_window(&record, 2, cases[i].calls, cases[i].successes);
    }
}

static void one_worker_judges_an_interval(void) {
    lb_common common = {0};
    const lb_outlier *rule = &lb_outlier_envoy;
    CHECK(!lb_outlier_is_my_turn(rule, &common, 0));
    CHECK(!lb_outlier_is_my_turn(rule, &common, 10 * SECOND - 1));
    CHECK(lb_outlier_is_my_turn(rule, &common, 10 * SECOND));
    CHECK(!lb_outlier_is_my_turn(rule, &common, 10 * SECOND));
    CHECK(!lb_outlier_is_my_turn(rule, &common, 20 * SECOND - 1));
    CHECK(lb_outlier_is_my_turn(rule, &common, 45 * SECOND));       /* nobody came for two intervals: one turn */
    CHECK(!lb_outlier_is_my_turn(rule, &common, 45 * SECOND));
    CHECK(!lb_outlier_is_my_turn(rule, &common, 30 * SECOND));      /* a clock that goes back judges nothing again */
    CHECK(!lb_outlier_is_my_turn(&lb_outlier_default, &common, 100 * SECOND));
    CHECK_EQ(lb_outlier_due_ns(rule, 0), 10 * SECOND);
    CHECK_EQ(lb_outlier_due_ns(rule, 10 * SECOND - 1), 10 * SECOND);
    CHECK_EQ(lb_outlier_due_ns(rule, 10 * SECOND), 20 * SECOND);
    CHECK_EQ(lb_outlier_due_ns(rule, UINT64_MAX), LB_NEVER);
    CHECK_EQ(lb_outlier_due_ns(&lb_outlier_default, 5), LB_NEVER);
}

/* ---- judging ---------------------------------------------------------------------------------------------- */

enum { MAX = 64 };

/* Targets with so many calls and successes in interval 3, judged in interval 4. */
typedef struct fleet {
    lb_record record[MAX];
    lb_record *pointer[MAX];
    lb_causes asked[MAX];
    uint64_t scratch[MAX];
    uint32_t n;
} fleet;

static void enter(fleet *f, uint32_t calls, uint32_t successes) {
    lb_record *record = &f->record[f->n];
    f->pointer[f->n++] = record;
    memset((void *)record, 0, sizeof *record);
    for (uint32_t i = 0; i < calls; i++) lb_window_add(record, 3, i < successes);
}

static uint32_t judge(fleet *f, const lb_outlier *rule) {
    return lb_outlier_judge(rule, f->pointer, f->n, f->scratch, f->asked, 4 * rule->interval_ns);
}

/* "hosts with >= 100 requests, at least 5 such hosts; threshold = mean - 1.9 * population stdev; below = eject".  Of n
 * targets one that differs is sqrt(n - 1) deviations from the mean, whatever it does: 2 of 5, 1.73 of 4. */
static void success_rate_ejects_who_is_far_below_the_mean(void) {
    static const struct {
        uint32_t hosts, volume, factor, n_good, good_calls, n_bad, bad_calls, bad_ok;
        lb_causes asked;
    } cases[] = {
        {5, 100, 1900, 4, 100, 1, 100, 0, RATE},
        {5, 100, 1900, 4, 100, 1, 100, 99, RATE},
        {5, 100, 1900, 3, 100, 1, 100, 0, 0},           /* four hosts only */
        {4, 100, 1900, 3, 100, 1, 100, 0, 0},           /* 1.73 < 1.9 */
        {4, 100, 1700, 3, 100, 1, 100, 0, RATE},
        {5, 100, 2000, 4, 100, 1, 100, 0, 0},           /* "below": just at the threshold is not */
        {5, 100, 2000, 4, 100, 1, 100, 37, 0},
        {5, 100, 1999, 4, 100, 1, 100, 37, RATE},
        {5, 100, 1900, 5, 100, 1, 99, 0, 0},            /* too few calls of its own */
        {5, 100, 1900, 4, 99, 1, 100, 0, 0},            /* too few of the others */
        {5, 100, 1900, 4, 100, 1, 100, 100, 0},         /* all alike */
        {5, 100, 0, 5, 100, 1, 100, 100, 0},            /* and no rounding tells equals apart */
        {5, 100, 0, 5, 300, 1, 100, 99, RATE},
        {0, 100, 1900, 9, 100, 1, 100, 0, 0},           /* off */
        {1, 0, 1900, 9, 1, 1, 0, 0, 0},                 /* without calls there is no rate */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lb_outlier rule = lb_outlier_envoy;
        rule.failure_percent = 0;
        rule.rate_hosts = cases[i].hosts, rule.rate_volume = cases[i].volume;
        rule.rate_factor_permille = cases[i].factor;
        fleet f = {.n = 0};
        for (uint32_t k = 0; k < cases[i].n_good; k++) enter(&f, cases[i].good_calls, cases[i].good_calls);
        for (uint32_t k = 0; k < cases[i].n_bad; k++) enter(&f, cases[i].bad_calls, cases[i].bad_ok);
        CHECK_EQ(judge(&f, &rule), cases[i].asked ? cases[i].n_bad : 0);
        for (uint32_t k = 0; k < f.n; k++) CHECK_EQ(f.asked[k], k < cases[i].n_good ? 0 : cases[i].asked);
    }
}

/* ">= 85% with >= 50 requests and >= 5 hosts" */
static void failure_percentage_ejects_at_its_threshold(void) {
    static const struct { uint32_t percent, hosts, n_good, calls, bad_calls, bad_ok; lb_causes asked; } cases[] = {
        {85, 5, 4, 50, 100, 15, FAIL}, {85, 5, 4, 50, 100, 16, 0},  {85, 5, 3, 50, 100, 0, 0},  {85, 5, 4, 49, 100, 0, 0},
        {85, 5, 4, 50, 49, 0, 0},      {100, 5, 4, 50, 50, 0, FAIL}, {100, 5, 4, 50, 50, 1, 0}, {1, 5, 4, 50, 100, 99, FAIL},
        {0, 5, 4, 50, 100, 0, 0},      {85, 0, 0, 0, 50, 0, FAIL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lb_outlier rule = lb_outlier_envoy;
        rule.rate_hosts = 0;
        rule.failure_percent = cases[i].percent, rule.failure_hosts = cases[i].hosts;
        fleet f = {.n = 0};
        enter(&f, cases[i].bad_calls, cases[i].bad_ok);
        for (uint32_t k = 0; k < cases[i].n_good; k++) enter(&f, cases[i].calls, cases[i].calls);
        CHECK_EQ(judge(&f, &rule), cases[i].asked != 0);
        for (uint32_t k = 0; k < f.n; k++) CHECK_EQ(f.asked[k], k ? 0 : cases[i].asked);
    }
}

static void both_may_ask_at_once(void) {
    fleet f = {.n = 0};
    for (int i = 0; i < 9; i++) enter(&f, 100, 100);
    enter(&f, 100, 10);
    CHECK_EQ(judge(&f, &lb_outlier_envoy), 1);
    CHECK_EQ(f.asked[9], RATE | FAIL);
    CHECK_EQ(lb_outlier_enforced(&lb_outlier_envoy, f.asked[9], 0), LB_CAUSE_SUCCESS_RATE);
}

static void who_is_ejected_is_left_out(void) {
    fleet f = {.n = 0};
    for (int i = 0; i < 4; i++) enter(&f, 100, 100);
    enter(&f, 100, 0);
    lb_word_write(&f.record[0].ejected_until_ns, 99);
    CHECK_EQ(judge(&f, &lb_outlier_envoy), 0);              /* four are too few */
    lb_word_write(&f.record[0].ejected_until_ns, 0);
    CHECK_EQ(judge(&f, &lb_outlier_envoy), 1);
    lb_word_write(&f.record[4].ejected_until_ns, 99);
    CHECK_EQ(judge(&f, &lb_outlier_envoy), 0);
}

static void only_the_last_interval_is_judged(void) {
    fleet f = {.n = 0};
    for (int i = 0; i < 9; i++) enter(&f, 100, i ? 100 : 0);
    CHECK_EQ(lb_outlier_judge(&lb_outlier_envoy, f.pointer, 9, f.scratch, f.asked, 30 * SECOND), 0);
    CHECK_EQ(lb_outlier_judge(&lb_outlier_envoy, f.pointer, 9, f.scratch, f.asked, 50 * SECOND - 1), 1);
    CHECK_EQ(lb_outlier_judge(&lb_outlier_envoy, f.pointer, 9, f.scratch, f.asked, 50 * SECOND), 0);
    CHECK_EQ(lb_outlier_judge(&lb_outlier_envoy, f.pointer, 9, f.scratch, f.asked, 5), 0);
    CHECK_EQ(lb_outlier_judge(&lb_outlier_default, f.pointer, 9, f.scratch, f.asked, 45 * SECOND), 0);
    CHECK_EQ(f.asked[0], 0);
    CHECK_EQ(lb_outlier_judge(&lb_outlier_envoy, NULL, 0, NULL, NULL, 45 * SECOND), 0);
}

/* Against mean and square root in doubles, as Envoy writes it. */
static void random_fleets_are_judged_as_the_naive_model_does(void) {
    static naive_outlier model[MAX];
    naive_outlier *models[MAX];
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    uint32_t n_asked = 0;
    for (int run = 0; run < 400; run++) {
        lb_outlier rule = lb_outlier_envoy;
        rule.rate_hosts = (uint32_t)lb_rng_below(&rng, 8), rule.rate_volume = (uint32_t)lb_rng_below(&rng, 60);
        rule.rate_factor_permille = (uint32_t)lb_rng_below(&rng, 3000);
        rule.failure_percent = (uint32_t)lb_rng_below(&rng, 101);
        rule.failure_hosts = (uint32_t)lb_rng_below(&rng, 8), rule.failure_volume = (uint32_t)lb_rng_below(&rng, 60);
        if (!lb_outlier_judges(&rule)) continue;
        fleet f = {.n = 0};
        uint32_t n = 1 + (uint32_t)lb_rng_below(&rng, 20);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t calls = (uint32_t)lb_rng_below(&rng, 100), ok = (uint32_t)lb_rng_below(&rng, calls + 1);
            if (lb_rng_below(&rng, 2)) ok = calls;
            enter(&f, calls, ok);
            memset(&model[i], 0, sizeof model[i]);
            models[i] = &model[i];
            for (uint32_t k = 0; k < calls; k++) naive_window(&model[i], &rule, 35 * SECOND, k < ok);
            model[i].ejected = lb_rng_below(&rng, 8) == 0;
            lb_word_write(&f.record[i].ejected_until_ns, model[i].ejected ? 99 : 0);
        }
        lb_causes wanted[MAX];
        bool close[MAX];
        naive_judge(models, n, &rule, 40 * SECOND, wanted, close);
        judge(&f, &rule);
        for (uint32_t i = 0; i < n; i++) {
            if (!close[i]) CHECK_EQ(f.asked[i], wanted[i]);
            n_asked += f.asked[i] != 0;
        }
    }
    CHECK(n_asked > 100);
}

/* A million targets: sums stay in their range. */
static void the_ends_of_the_range_are_harmless(void) {
    static lb_record all, none;
    static lb_record *pointer[1u << 20];
    static uint64_t scratch[1u << 20];
    static lb_causes asked[1u << 20];
    uint32_t n = 1u << 20;
    lb_word_write(&all.window[1], 3ull << 40 | (uint64_t)LB_MAX_VOLUME << 20 | LB_MAX_VOLUME);
    lb_word_write(&none.window[1], 3ull << 40 | LB_MAX_VOLUME);
    for (uint32_t i = 0; i < n; i++) pointer[i] = i == 77 ? &none : &all;
    lb_outlier rule = lb_outlier_envoy;
    CHECK_EQ(lb_outlier_judge(&rule, pointer, n, scratch, asked, 40 * SECOND), 1);
    CHECK_EQ(asked[77], RATE | FAIL);
    for (uint32_t i = 0; i < n; i++) pointer[i] = i % 2 ? &none : &all;
    rule.failure_percent = 0;
    CHECK_EQ(lb_outlier_judge(&rule, pointer, n, scratch, asked, 40 * SECOND), 0);
}

int main(void) {
    printf("seed %u\n", SEED);
    RUN(each_interval_counts_for_itself);
    RUN(a_clock_that_goes_back_counts_nothing);
    RUN(a_window_of_ages_ago_is_empty);
    RUN(calls_stop_at_their_end_and_the_rate_stands);
    RUN(what_counts_stands_in_the_window);
    RUN(one_worker_judges_an_interval);
    RUN(success_rate_ejects_who_is_far_below_the_mean);
    RUN(failure_percentage_ejects_at_its_threshold);
    RUN(both_may_ask_at_once);
    RUN(who_is_ejected_is_left_out);
    RUN(only_the_last_interval_is_judged);
    RUN(random_fleets_are_judged_as_the_naive_model_does);
    RUN(the_ends_of_the_range_are_harmless);
    return check_result();
}

/* checks: Kong's state machine, each transition a row: reports one after another, then state and counters. */
#include "bare.h"
#include "naive_health.h"

#include "base/rng.h"
#include "health/checks.h"

#define SEED 20240711u

/* s success, h http failure, c tcp failure, t time-out, 2 status 200, 5 status 500, 4 status 404 (in no list), g garbage,
 * - nothing */
static lb_outcome outcome_of(char report) {
    switch (report) {
    case 's': return (lb_outcome){.verdict = LB_SUCCESS};
    case 'h': return (lb_outcome){.verdict = LB_FAILURE, .status = 200};
    case 'c': return (lb_outcome){.fault = LB_FAULT_CONNECT};
    case 't': return (lb_outcome){.fault = LB_FAULT_TIMEOUT};
    case 'f': return (lb_outcome){.verdict = LB_FAILURE};
    case 'g': return (lb_outcome){.fault = LB_FAULT_GARBLED};
    case '2': return (lb_outcome){.status = 200};
    case '4': return (lb_outcome){.status = 404};
    case '5': return (lb_outcome){.status = 500};
    default: return (lb_outcome){0};
    }
}

static lb_check_limits limits_of(uint8_t successes, uint8_t http, uint8_t tcp, uint8_t timeouts) {
    lb_check_limits limits = {successes, http, tcp, timeouts, {{0}}, {{0}}};
    lb_status_add(&limits.healthy, 200);
    lb_status_add(&limits.unhealthy, 500);
    return limits;
}

static uint32_t counter(const lb_record *record, char kind) {
    uint64_t word = lb_word_read(&record->checks);
    return (uint32_t)(word >> (kind == 's' ? 24 : kind == 'h' ? 16 : kind == 'c' ? 8 : 0) & 0xFF);
}

enum { H = LB_CHECK_HEALTHY, MH = LB_CHECK_MOSTLY_HEALTHY, MU = LB_CHECK_MOSTLY_UNHEALTHY, U = LB_CHECK_UNHEALTHY };

/* Limits: 2 successes, 3 http failures, 2 tcp failures, 2 time-outs.  The change is that of the last report. */
static const struct {
    const char *reports;
    int state;
    uint32_t s, h, c, t;
    lb_check_change change;
} rows[] = {
    {"", H, 0, 0, 0, 0, LB_CHECK_SAME},
    {"-", H, 0, 0, 0, 0, LB_CHECK_SAME},
    {"s", H, 0, 0, 0, 0, LB_CHECK_SAME},            /* "a healthy report in state healthy is not counted" */
    {"2", H, 0, 0, 0, 0, LB_CHECK_SAME},
    {"4", H, 0, 0, 0, 0, LB_CHECK_SAME},
    {"h", MH, 0, 1, 0, 0, LB_CHECK_SAME},           /* "a first failure makes healthy -> mostly_healthy" */
    {"5", MH, 0, 1, 0, 0, LB_CHECK_SAME},
    {"g", MH, 0, 1, 0, 0, LB_CHECK_SAME},           /* "status 0 or unparsable = http failure" */
    {"c", MH, 0, 0, 1, 0, LB_CHECK_SAME},
    {"f", MH, 0, 0, 1, 0, LB_CHECK_SAME},           /* a plain "it failed": of local origin */
    {"t", MH, 0, 0, 0, 1, LB_CHECK_SAME},
    {"5c5t", MH, 0, 2, 1, 1, LB_CHECK_SAME},        /* "failures of different kinds are not added up" */
    {"545", MH, 0, 2, 0, 0, LB_CHECK_SAME},         /* "a status in no list: nothing happens, no reset either" */
    {"5-5", MH, 0, 2, 0, 0, LB_CHECK_SAME},
    {"52", MH, 1, 0, 0, 0, LB_CHECK_SAME},          /* "a success clears all three failure counters" */
    {"5ct2", MH, 1, 0, 0, 0, LB_CHECK_SAME},
    {"525", MH, 0, 1, 0, 0, LB_CHECK_SAME},         /* "a failure clears the success counter" */
    {"522", H, 2, 0, 0, 0, LB_CHECK_SAME},          /* "counter >= limit": healthy, and "counters are not cleared" */
    {"522s", H, 2, 0, 0, 0, LB_CHECK_SAME},
    {"5225", MH, 0, 1, 0, 0, LB_CHECK_SAME},
    {"555", U, 0, 3, 0, 0, LB_CHECK_FELL},
    {"cc", U, 0, 0, 2, 0, LB_CHECK_FELL},
    {"tt", U, 0, 0, 0, 2, LB_CHECK_FELL},
    {"55cc", U, 0, 2, 2, 0, LB_CHECK_FELL},
    {"5555", U, 0, 3, 0, 0, LB_CHECK_SAME},         /* "an unhealthy report in state unhealthy is not counted" */
    {"555ct", U, 0, 3, 0, 0, LB_CHECK_SAME},
    {"5554", U, 0, 3, 0, 0, LB_CHECK_SAME},         /* frozen statuses freeze nobody who reports others: */
    {"555424", MU, 1, 0, 0, 0, LB_CHECK_SAME},
    {"5552", MU, 1, 0, 0, 0, LB_CHECK_SAME},        /* "a first success unhealthy -> mostly_unhealthy" */
    {"55524", MU, 1, 0, 0, 0, LB_CHECK_SAME},
    {"55525", MU, 0, 1, 0, 0, LB_CHECK_SAME},
    {"5552552", MU, 1, 0, 0, 0, LB_CHECK_SAME},
    {"5552555", U, 0, 3, 0, 0, LB_CHECK_SAME},      /* it took no traffic before, it takes none now */
    {"55522", H, 2, 0, 0, 0, LB_CHECK_ROSE},
    {"555242", H, 2, 0, 0, 0, LB_CHECK_ROSE},
};

static void each_transition_is_kongs(void) {
    lb_check_limits limits = limits_of(2, 3, 2, 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lb_record record = {0};
        lb_check_change change = LB_CHECK_SAME;
        for (const char *r = rows[i].reports; *r; r++) {
            lb_outcome outcome = outcome_of(*r);
            change = lb_checks_count(&limits, &record, &outcome);
        }
        CHECK_EQ(lb_checks_state(&record), rows[i].state);
        CHECK_EQ(counter(&record, 's'), rows[i].s);
        CHECK_EQ(counter(&record, 'h'), rows[i].h);
        CHECK_EQ(counter(&record, 'c'), rows[i].c);
        CHECK_EQ(counter(&record, 't'), rows[i].t);
        CHECK_EQ(change, rows[i].change);
        CHECK_EQ(lb_record_off(&record), rows[i].state >= MU ? LB_OFF_UNHEALTHY : 0);
    }
}

/* "limit 0 = this counter is off": nothing at all, so that a success which is not counted clears nothing either. */
static void what_has_no_limit_does_nothing(void) {
    lb_check_limits limits = limits_of(0, 3, 0, 0);
    lb_record record = {0};
    for (const char *r = "5t2c5s2"; *r; r++) {
        lb_outcome outcome = outcome_of(*r);
        CHECK_EQ(lb_checks_count(&limits, &record, &outcome), LB_CHECK_SAME);
    }
    CHECK_EQ(counter(&record, 'h'), 2);
    lb_outcome third = outcome_of('5'), success = outcome_of('s');
    CHECK_EQ(lb_checks_count(&limits, &record, &third), LB_CHECK_FELL);
    CHECK_EQ(lb_checks_count(&limits, &record, &success), LB_CHECK_SAME);
    CHECK_EQ(lb_checks_state(&record), LB_CHECK_UNHEALTHY);      /* passive checks alone never bring it back */
}

/* Two sets of limits count into the same counters: one may be past the other's limit, and none runs over. */
static void counters_stop_at_255(void) {
    lb_check_limits lax = limits_of(255, 255, 255, 255), strict = limits_of(1, 1, 1, 1);
    lb_record record = {.checks = (uint64_t)LB_CHECK_MOSTLY_HEALTHY << 62 | 255u << 16 | 254u};
    lb_outcome http = outcome_of('5'), timeout = outcome_of('t');
    CHECK_EQ(lb_checks_count(&lax, &record, &timeout), LB_CHECK_FELL);
    CHECK_EQ(lb_word_read(&record.checks), (uint64_t)LB_CHECK_UNHEALTHY << 62 | 255u << 16 | 255u);
    lb_word_write(&record.checks, (uint64_t)LB_CHECK_MOSTLY_UNHEALTHY << 62 | 255u << 16 | 255u);
    CHECK_EQ(lb_checks_count(&strict, &record, &http), LB_CHECK_SAME);
    CHECK_EQ(lb_word_read(&record.checks), (uint64_t)LB_CHECK_UNHEALTHY << 62 | 255u << 16 | 255u);
}

static void by_hand_sets_the_state_and_zeroes_the_counters(void) {
    lb_check_limits limits = limits_of(2, 3, 2, 2);
    lb_record record = {0};
    lb_outcome http = outcome_of('5');
    CHECK_EQ(lb_checks_set(&record, true), LB_CHECK_SAME);
    lb_checks_count(&limits, &record, &http);
    CHECK_EQ(lb_checks_set(&record, true), LB_CHECK_SAME);
    CHECK_EQ(lb_word_read(&record.checks), 0);
    lb_checks_count(&limits, &record, &http);
    CHECK_EQ(lb_checks_set(&record, false), LB_CHECK_FELL);
    CHECK_EQ(lb_word_read(&record.checks), (uint64_t)LB_CHECK_UNHEALTHY << 62);
    CHECK_EQ(lb_checks_set(&record, false), LB_CHECK_SAME);
    CHECK_EQ(lb_checks_set(&record, true), LB_CHECK_ROSE);
}

static void checks_are_on_where_a_failure_counts(void) {
    static const struct { uint8_t s, h, c, t; bool on; } cases[] = {
        {0, 0, 0, 0, false}, {5, 0, 0, 0, false}, {0, 1, 0, 0, true}, {0, 0, 1, 0, true}, {0, 0, 0, 1, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lb_check_limits limits = limits_of(cases[i].s, cases[i].h, cases[i].c, cases[i].t);
        CHECK_EQ(lb_checks_are_on(&limits), cases[i].on);
    }
}

/* "strictly greater; threshold 0 = at least something up" */
static void the_upstream_serves_above_its_threshold(void) {
    static const struct { double percent; uint64_t available, total; bool suffices; } cases[] = {
        {0, 0, 0, false},   {0, 0, 10, false},   {0, 1, 1000000, true},  {50, 50, 100, false}, {50, 51, 100, true},
        {7, 7, 100, false}, {7, 8, 100, true},   {100, 100, 100, false}, {99.5, 199, 200, false}, {99.4, 199, 200, true},
        {33.3, 1, 3, true}, {33.4, 1, 3, false}, {0, UINT64_MAX, UINT64_MAX, true}, {100, UINT64_MAX, UINT64_MAX, false},
        {50, 1ull << 40, 1ull << 41, false},     {50, (1ull << 40) + 1, 1ull << 41, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_EQ(lb_checks_suffice(cases[i].percent, cases[i].available, cases[i].total), cases[i].suffices);
}

static void statuses_outside_100_to_599_are_in_no_set(void) {
    lb_status_set set = {{0}};
    for (uint32_t status = 0; status < 70000; status++) lb_status_add(&set, status);
    for (uint32_t status = 0; status < 70000; status++) CHECK_EQ(lb_status_in(&set, status), status >= 100 && status < 600);
    lb_status_set one = {{0}};
    lb_status_add(&one, 599);
    for (uint32_t status = 0; status < 700; status++) CHECK_EQ(lb_status_in(&one, status), status == 599);
}

/* Two workers have read the same word: the one whose CAS comes second counts on what the first one left. */
static void of_two_workers_one_tells_the_change(void) {
    lb_check_limits limits = limits_of(1, 2, 2, 2);
    lb_record record = {0};
    lb_outcome http = outcome_of('5');
    lb_check_change told[3];
    for (int i = 0; i < 3; i++) told[i] = lb_checks_count(&limits, &record, &http);
    CHECK_EQ(told[0], LB_CHECK_SAME);
    CHECK_EQ(told[1], LB_CHECK_FELL);
    CHECK_EQ(told[2], LB_CHECK_SAME);
}

static void random_reports_give_what_the_naive_model_gives(void) {
    static const char alphabet[] = "shctfg245-";
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    for (int run = 0; run < 500; run++) {
        lb_check_limits limits = limits_of((uint8_t)lb_rng_below(&rng, 4), (uint8_t)lb_rng_below(&rng, 4),
                                           (uint8_t)lb_rng_below(&rng, 4), (uint8_t)lb_rng_below(&rng, 4));
        lb_record record = {0};
        naive_checks naive = {0};
        for (int step = 0; step < 100; step++) {
            lb_outcome outcome = outcome_of(alphabet[lb_rng_below(&rng, sizeof alphabet - 1)]);
            CHECK_EQ(lb_checks_count(&limits, &record, &outcome), naive_checks_count(&naive, &limits, &outcome));
            CHECK_EQ(lb_word_read(&record.checks), naive_checks_word(&naive));
        }
    }
}

int main(void) {
    printf("seed %u\n", SEED);
    RUN(each_transition_is_kongs);
    RUN(what_has_no_limit_does_nothing);
    RUN(counters_stop_at_255);
    RUN(by_hand_sets_the_state_and_zeroes_the_counters);
    RUN(checks_are_on_where_a_failure_counts);
    RUN(the_upstream_serves_above_its_threshold);
    RUN(statuses_outside_100_to_599_are_in_no_set);
    RUN(of_two_workers_one_tells_the_change);
    RUN(random_reports_give_what_the_naive_model_gives);
    return check_result();
}

/* outlier: counting and ejection, each detector against the sentences of its reference; judging is in test_window.c. */
#include "bare.h"
#include "naive_health.h"

#include "base/rng.h"
#include "health/outlier.h"

#define SEED 20240712u
#define SECOND 1000000000ull
#define LAST (LB_NEVER - 1)
#define A5XX (1u << LB_CAUSE_5XX)
#define GATE (1u << LB_CAUSE_GATEWAY)
#define LOCL (1u << LB_CAUSE_LOCAL)
#define TRIAL (1u << LB_CAUSE_TRIAL)

/* 2 status 200, 4 status 404, 5 status 500, 3 status 503, c connection error, t time-out, f it failed, s it succeeded,
 * b failed after a 200, B after a 504, g garbage, S succeeded says the caller, whatever the 503; n nothing */
static lb_outcome outcome_of(char letter) {
    switch (letter) {
    case '2': return (lb_outcome){.status = 200};
    case '4': return (lb_outcome){.status = 404};
    case '5': return (lb_outcome){.status = 500};
    case '3': return (lb_outcome){.status = 503};
    case 'c': return (lb_outcome){.fault = LB_FAULT_CONNECT};
    case 't': return (lb_outcome){.fault = LB_FAULT_TIMEOUT};
    case 'f': return (lb_outcome){.verdict = LB_FAILURE};
    case 's': return (lb_outcome){.verdict = LB_SUCCESS};
    case 'b': return (lb_outcome){.verdict = LB_FAILURE, .status = 200};
    case 'B': return (lb_outcome){.fault = LB_FAULT_TIMEOUT, .status = 504};
    case 'g': return (lb_outcome){.fault = LB_FAULT_GARBLED};
    case 'S': return (lb_outcome){.verdict = LB_SUCCESS, .status = 503, .fault = LB_FAULT_TIMEOUT};
    default: return (lb_outcome){0};
    }
}

static lb_causes count_all(const lb_outlier *rule, lb_record *record, const char *letters) {
    lb_causes asked = 0;
    for (const char *l = letters; *l; l++) {
        lb_outcome outcome = outcome_of(*l);
        asked = lb_outlier_count(rule, record, &outcome, 0);
    }
    return asked;
}

/* ---- the table of outcome.h ------------------------------------------------------------------------------- */

static void an_outcome_comes_to_what_the_table_says(void) {
    static const struct { lb_outcome outcome; lb_ending ending; lb_verdict verdict; } cases[] = {
        {{0}, LB_ENDING_NOTHING, LB_NEITHER},
        {{LB_SUCCESS, LB_FAULT_NONE, 0}, LB_ENDING_SUCCESS, LB_SUCCESS},
        {{LB_SUCCESS, LB_FAULT_CONNECT, 0}, LB_ENDING_SUCCESS, LB_SUCCESS},
        {{LB_SUCCESS, LB_FAULT_NONE, 503}, LB_ENDING_SUCCESS, LB_SUCCESS},
        {{LB_NEITHER, LB_FAULT_NONE, 200}, LB_ENDING_STATUS, LB_SUCCESS},
        {{LB_NEITHER, LB_FAULT_NONE, 503}, LB_ENDING_STATUS, LB_SUCCESS},
        {{LB_FAILURE, LB_FAULT_NONE, 200}, LB_ENDING_FAILED, LB_FAILURE},
        {{LB_FAILURE, LB_FAULT_TIMEOUT, 503}, LB_ENDING_FAILED, LB_FAILURE},
        {{LB_NEITHER, LB_FAULT_TIMEOUT, 200}, LB_ENDING_FAILED, LB_FAILURE},
        {{LB_NEITHER, LB_FAULT_CONNECT, 503}, LB_ENDING_FAILED, LB_FAILURE},
        {{LB_NEITHER, LB_FAULT_GARBLED, 200}, LB_ENDING_FAILED, LB_FAILURE},
        {{LB_NEITHER, LB_FAULT_GARBLED, 0}, LB_ENDING_FAILED, LB_FAILURE},
        {{LB_FAILURE, LB_FAULT_GARBLED, 0}, LB_ENDING_FAILED, LB_FAILURE},
        {{LB_NEITHER, LB_FAULT_CONNECT, 0}, LB_ENDING_CONNECT, LB_FAILURE},
        {{LB_FAILURE, LB_FAULT_CONNECT, 0}, LB_ENDING_CONNECT, LB_FAILURE},
        {{LB_NEITHER, LB_FAULT_TIMEOUT, 0}, LB_ENDING_TIMEOUT, LB_FAILURE},
        {{LB_FAILURE, LB_FAULT_TIMEOUT, 0}, LB_ENDING_TIMEOUT, LB_FAILURE},
        {{LB_FAILURE, LB_FAULT_NONE, 0}, LB_ENDING_CONNECT, LB_FAILURE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_EQ(lb_outcome_ending(&cases[i].outcome), cases[i].ending);
        CHECK_EQ(lb_outcome_verdict(&cases[i].outcome), cases[i].verdict);
    }
}

/* ---- counting --------------------------------------------------------------------------------------------- */

/* Limits of 3; the streaks after it all, and what the last outcome asked for. */
static const struct {
    bool split;
    const char *outcomes;
    uint32_t five, gateway, local;
    lb_causes asked;
} counts[] = {
    {true, "", 0, 0, 0, 0},
    {true, "n", 0, 0, 0, 0},
    {true, "5", 1, 0, 0, 0},                    /* "consecutive 5xx" */
    {true, "55", 2, 0, 0, 0},
    {true, "555", 0, 0, 0, A5XX},               /* at the limit; it begins again */
    {true, "5555", 1, 0, 0, 0},
    {true, "555555", 0, 0, 0, A5XX},            /* "counter EQUALS the limit": each third asks */
    {true, "55n5", 0, 0, 0, A5XX},              /* what is no outcome interrupts nothing */
    {true, "55255", 2, 0, 0, 0},                /* "counters reset on any success" */
    {true, "55455", 2, 0, 0, 0},                /* 404 is one */
    {true, "55s55", 2, 0, 0, 0},
    {true, "55S55", 2, 0, 0, 0},                /* the caller's word goes before status and fault */
    {true, "3", 1, 1, 0, 0},                    /* "gateway errors 502/503/504" are 5xx too */
    {true, "333", 0, 0, 0, A5XX | GATE},        /* both ask: the first may not be enforced */
    {true, "335", 0, 0, 0, A5XX},               /* another 5xx ends a run of gateway errors */
    {true, "533", 0, 2, 0, A5XX},
    {true, "5333", 1, 0, 0, GATE},
    {true, "b", 1, 0, 0, 0},                    /* a request that failed after its answer began: as 500 */
    {true, "g", 1, 0, 0, 0},
    {true, "B", 1, 1, 0, 0},                    /* its status where that is one */
    {true, "c", 0, 0, 1, 0},                    /* "local origin (only with split)" */
    {true, "ctf", 0, 0, 0, LOCL},               /* time-outs, and failures that say no more, among them */
    {true, "cct", 0, 0, 0, LOCL},
    {true, "ccc5", 1, 0, 0, 0},
    {true, "55c5", 0, 0, 0, A5XX},              /* no answer says nothing about answers */
    {true, "cc5c", 1, 0, 1, 0},                 /* but whoever answers can be reached */
    {true, "cc2c", 0, 0, 1, 0},
    {true, "ccbc", 1, 0, 1, 0},
    {false, "c", 1, 1, 0, 0},                   /* not split: as 503 */
    {false, "ctf", 0, 0, 0, A5XX | GATE},
    {false, "5c5", 0, 0, 0, A5XX},
    {false, "c5c", 0, 1, 0, A5XX},
    {false, "cc2c", 1, 1, 0, 0},
};

static void each_streak_counts_its_own_failures(void) {
    lb_outlier rule = lb_outlier_default;
    rule.consecutive_5xx = rule.consecutive_gateway = rule.consecutive_local = 3;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        lb_record record = {0};
        rule.split = counts[i].split;
        CHECK_EQ(count_all(&rule, &record, counts[i].outcomes), counts[i].asked);
        CHECK_EQ(lb_outlier_streak(&record, LB_CAUSE_5XX), counts[i].five);
        CHECK_EQ(lb_outlier_streak(&record, LB_CAUSE_GATEWAY), counts[i].gateway);
        CHECK_EQ(lb_outlier_streak(&record, LB_CAUSE_LOCAL), counts[i].local);
        CHECK_EQ(lb_record_off(&record), 0);            /* counting ejects nobody */
    }
}

static void a_detector_that_is_off_counts_nothing(void) {
    lb_record record = {0};
    CHECK_EQ(count_all(&lb_outlier_off, &record, "5555333333ccccccttttfff"), 0);
    CHECK_EQ(lb_word_read(&record.streaks), 0);
    CHECK_EQ(count_all(&lb_outlier_default, &record, "555533333333bbbbgggg"), 0);      /* answers speak for the target */
    CHECK_EQ(lb_word_read(&record.streaks), 0);
    CHECK_EQ(count_all(&lb_outlier_default, &record, "ccc"), LOCL);
}

static void an_ejected_target_asks_for_nothing_but_is_counted(void) {
    lb_outlier rule = lb_outlier_envoy;
    lb_record record = {0};
    CHECK_EQ(count_all(&rule, &record, "55555"), A5XX);
    CHECK(lb_outlier_eject(&rule, &record, 0, 1));
    CHECK_EQ(count_all(&rule, &record, "5555"), 0);
    CHECK_EQ(count_all(&rule, &record, "555"), 0);
    CHECK_EQ(lb_outlier_streak(&record, LB_CAUSE_5XX), 7);
    CHECK(lb_outlier_recover(&record, 30 * SECOND + 1, false));
    CHECK_EQ(lb_word_read(&record.streaks), 0);          /* "un-ejection resets counters" */
    CHECK_EQ(count_all(&rule, &record, "5555"), 0);
    CHECK_EQ(count_all(&rule, &record, "5"), A5XX);
}

/* Another worker's limit is higher, or a reload lowered it. */
static void a_count_beyond_the_limit_asks(void) {
    lb_outlier lax = lb_outlier_default, strict = lb_outlier_default;
    lax.consecutive_local = 10;
    lb_record record = {0};
    CHECK_EQ(count_all(&lax, &record, "ccccc"), 0);
    CHECK_EQ(count_all(&strict, &record, "c"), LOCL);
}

static void streaks_stop_at_their_end_and_touch_no_neighbour(void) {
    lb_outlier rule = lb_outlier_default;
    rule.consecutive_5xx = rule.consecutive_gateway = rule.consecutive_local = LB_MAX_STREAK;
    lb_record record = {.streaks = UINT64_MAX >> 4, .ejected_until_ns = 5};
    CHECK_EQ(count_all(&rule, &record, "3c"), 0);
    CHECK_EQ(lb_outlier_streak(&record, LB_CAUSE_5XX), LB_MAX_STREAK);
    CHECK_EQ(lb_outlier_streak(&record, LB_CAUSE_GATEWAY), LB_MAX_STREAK);
    CHECK_EQ(lb_outlier_streak(&record, LB_CAUSE_LOCAL), 1);
    lb_word_write(&record.ejected_until_ns, 0);
    CHECK_EQ(count_all(&rule, &record, "3"), A5XX | GATE);
    CHECK_EQ(lb_word_read(&record.streaks), 0);
}

/* ---- whether ---------------------------------------------------------------------------------------------- */

static void the_first_that_is_enforced_ejects(void) {
    static const struct { lb_causes asked; uint32_t five, gateway; uint64_t drawn; lb_cause cause; } cases[] = {
        {0, 100, 100, 0, LB_CAUSE_NONE},
        {A5XX | GATE, 100, 100, 99, LB_CAUSE_GATEWAY},
        {A5XX | GATE, 100, 0, 0, LB_CAUSE_5XX},              /* Envoy's defaults: gateway errors are not enforced */
        {A5XX | GATE, 0, 0, 0, LB_CAUSE_NONE},
        {A5XX, 30, 0, 29, LB_CAUSE_5XX},
        {A5XX, 30, 0, 30, LB_CAUSE_NONE},
        {A5XX, 30, 0, 129, LB_CAUSE_5XX},                    /* modulo 100 */
        {A5XX, 100, 0, UINT64_MAX, LB_CAUSE_5XX},
        {A5XX | GATE, 30, 30, 2950, LB_CAUSE_5XX},           /* each has two digits of its own */
        {A5XX | GATE, 30, 30, 3050, LB_CAUSE_NONE},
        {A5XX | TRIAL, 100, 0, 5, LB_CAUSE_TRIAL},
        {LOCL | 1u << LB_CAUSE_SUCCESS_RATE, 0, 0, 5, LB_CAUSE_LOCAL},
        {1u << LB_CAUSE_SUCCESS_RATE | 1u << LB_CAUSE_FAILURE_PERCENTAGE, 0, 0, 5, LB_CAUSE_SUCCESS_RATE},
        {1u << LB_CAUSE_FAILURE_PERCENTAGE, 0, 0, 5, LB_CAUSE_FAILURE_PERCENTAGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lb_outlier rule = lb_outlier_default;
        rule.enforce[LB_CAUSE_5XX] = cases[i].five;
        rule.enforce[LB_CAUSE_GATEWAY] = cases[i].gateway;
        CHECK_EQ(lb_outlier_enforced(&rule, cases[i].asked, cases[i].drawn), cases[i].cause);
    }
}

/* "100 * (ejected + 1) / hosts <= max percent; always_eject_one_host overrides" */
static void the_share_of_ejected_targets_is_bounded(void) {
    static const struct { uint32_t percent; bool always; uint32_t n_ejected, n_targets; bool may; } cases[] = {
        {10, false, 0, 9, false},  {10, false, 0, 10, true},  {10, false, 1, 19, false}, {10, false, 1, 20, true},
        {10, true, 0, 9, true},    {10, true, 0, 1, true},    {10, true, 1, 9, false},   {0, false, 0, 1000, false},
        {0, true, 0, 1, true},     {0, true, 1, 1000, false}, {100, false, 0, 1, true},  {100, false, 1, 1, false},
        {50, true, 1, 2, false},   {50, true, 1, 3, false},   {50, true, 1, 4, true},    {50, true, 2, 4, false},
        {33, false, 32, 100, true}, {33, false, 33, 100, false}, {50, false, 0, 0, false}, {50, true, 0, 0, true},
        {100, false, UINT32_MAX - 1, UINT32_MAX, true},       {50, true, UINT32_MAX, UINT32_MAX, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lb_outlier rule = {.max_percent = cases[i].percent, .always_one = cases[i].always};
        CHECK_EQ(lb_outlier_may(&rule, cases[i].n_ejected, cases[i].n_targets), cases[i].may);
    }
}

/* ---- how long --------------------------------------------------------------------------------------------- */

static const lb_outlier tens = {.interval_ns = 10 * SECOND, .base_ns = 10 * SECOND, .max_ns = 35 * SECOND};

/* "min(base * backoff, max); backoff + 1 per ejection while backoff * base < max + base" */
static void ejections_grow_up_to_the_longest(void) {
    static const uint64_t seconds[] = {10, 20, 30, 35, 35, 35}, multiplier[] = {1, 2, 3, 4, 5, 5};
    lb_record record = {0};
    uint64_t now = 1000 * SECOND;
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        CHECK(lb_outlier_eject(&tens, &record, 7, now));
        CHECK_EQ(lb_word_read(&record.ejected_until_ns), now + seconds[i] * SECOND);
        CHECK_EQ(lb_word_read(&record.ejections), multiplier[i]);
        CHECK_EQ(lb_record_off(&record), LB_OFF_EJECTED);
        CHECK(!lb_outlier_eject(&tens, &record, 7, now));
        now += seconds[i] * SECOND;
        CHECK(!lb_outlier_recover(&record, now - 1, false));
        CHECK(lb_outlier_recover(&record, now, false));
        CHECK(!lb_outlier_recover(&record, now, false));
        CHECK_EQ(lb_word_read(&record.recovered_ns), now);
        CHECK_EQ(lb_word_read(&record.slow_since_ns), now);
        CHECK_EQ(lb_record_off(&record), 0);
    }
}

/* The defaults are today's: 10 s, 20 s, ... 300 s. */
static void the_defaults_are_the_written_ones(void) {
    lb_record record = {0};
    uint64_t now = 5;
    for (uint64_t i = 1; i <= 40; i++) {
        lb_outcome refused = {.fault = LB_FAULT_CONNECT};
        CHECK_EQ(lb_outlier_count(&lb_outlier_default, &record, &refused, now), 0);
        CHECK_EQ(lb_outlier_count(&lb_outlier_default, &record, &refused, now), 0);
        CHECK_EQ(lb_outlier_count(&lb_outlier_default, &record, &refused, now), LOCL);
        CHECK_EQ(lb_outlier_enforced(&lb_outlier_default, LOCL, 99), LB_CAUSE_LOCAL);
        CHECK(lb_outlier_eject(&lb_outlier_default, &record, UINT64_MAX, now));
        uint64_t until = lb_word_read(&record.ejected_until_ns);
        CHECK_EQ(until - now, (i < 30 ? i : 30) * 10 * SECOND);
        now = until;
        CHECK(lb_outlier_recover(&record, now, false));
    }
    CHECK(lb_outlier_may(&lb_outlier_default, 0, 1) && !lb_outlier_may(&lb_outlier_default, 1, 3));
    CHECK(!lb_outlier_judges(&lb_outlier_default) && lb_outlier_judges(&lb_outlier_envoy));
    CHECK(!lb_outlier_judges(&lb_outlier_off));
}

/* "the multiplier loses one for each interval in service" */
static void service_shrinks_the_next_ejection(void) {
    static const struct { uint64_t service; uint64_t before, after; } cases[] = {
        {0, 3, 4},             {10 * SECOND - 1, 3, 4}, {10 * SECOND, 3, 3}, {20 * SECOND - 1, 3, 3},
        {20 * SECOND, 3, 2},   {30 * SECOND, 3, 1},     {40 * SECOND, 3, 1}, {UINT64_MAX - 50, 3, 1},
        {40 * SECOND, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lb_record record = {.ejections = cases[i].before, .recovered_ns = 5};
        lb_outlier_eject(&tens, &record, 0, 5 + cases[i].service);
        CHECK_EQ(lb_word_read(&record.ejections), cases[i].after);
    }
}

static void the_interval_of_good_conduct_is_not_the_base(void) {
    lb_outlier rule = tens;
    rule.interval_ns = SECOND;
    lb_record record = {.ejections = 3, .recovered_ns = 5};
    lb_outlier_eject(&rule, &record, 0, 5 + 2 * SECOND);
    CHECK_EQ(lb_word_read(&record.ejections), 2);
}

static void a_clock_that_goes_back_credits_nothing(void) {
    lb_record record = {.ejections = 2, .recovered_ns = 500 * SECOND};
    CHECK(lb_outlier_eject(&tens, &record, 0, 100 * SECOND));
    CHECK_EQ(lb_word_read(&record.ejected_until_ns), 130 * SECOND);
    CHECK_EQ(lb_word_read(&record.ejections), 3);
}

static void jitter_is_added_to_the_longest_too(void) {
    static const struct { uint64_t jitter, drawn, until; } cases[] = {
        {0, UINT64_MAX, 35 * SECOND},  {9, 0, 35 * SECOND},  {9, 9, 35 * SECOND + 9}, {9, 10, 35 * SECOND},
        {9, 123, 35 * SECOND + 3},     {UINT64_MAX, UINT64_MAX, LAST},  {UINT64_MAX, 5, 35 * SECOND + 5},
        {UINT64_MAX - 1, UINT64_MAX, 35 * SECOND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lb_outlier rule = tens;
        rule.jitter_ns = cases[i].jitter;
        lb_record record = {.ejections = 3, .recovered_ns = 5};
        CHECK(lb_outlier_eject(&rule, &record, cases[i].drawn, 0));
        CHECK_EQ(lb_word_read(&record.ejected_until_ns), cases[i].until);
    }
}

/* No product and no sum runs over, and every ejection ends before LB_NEVER and after it began. */
static void the_ends_of_the_range_are_harmless(void) {
    static const uint64_t edge[] = {0, 1, 10 * SECOND, UINT64_MAX / 2, UINT64_MAX - 2, UINT64_MAX - 1, UINT64_MAX};
    enum { EDGES = 7 };
    for (int i = 0; i < EDGES * EDGES * EDGES * EDGES * EDGES; i++) {
        uint64_t now = edge[i % EDGES], base = edge[i / 7 % EDGES], max = edge[i / 49 % EDGES];
        lb_outlier odd = {.base_ns = base, .max_ns = max, .interval_ns = edge[i / 343 % EDGES]};
        lb_record record = {.ejections = edge[i / 2401 % EDGES], .recovered_ns = edge[i / 343 % EDGES]};
        CHECK(lb_outlier_eject(&odd, &record, 0, now));
        uint64_t until = lb_word_read(&record.ejected_until_ns);
        CHECK(until > now || now >= LAST);
        CHECK(until < LB_NEVER && until > 0);
        CHECK(lb_word_read(&record.ejections) >= 1);
        if (until < LAST && max) CHECK(until - now <= max);
        CHECK(lb_outlier_recover(&record, until, false));
        CHECK(lb_word_read(&record.slow_since_ns) > 0);
    }
}

static void recovery_may_be_early(void) {
    lb_record record = {0};
    CHECK(!lb_outlier_recover(&record, 5, true));
    CHECK(lb_outlier_eject(&tens, &record, 0, 5));
    CHECK(!lb_outlier_recover(&record, 6, false));
    CHECK(lb_outlier_recover(&record, 6, true));
    CHECK_EQ(lb_word_read(&record.recovered_ns), 6);
    CHECK_EQ(lb_record_off(&record), 0);
}

/* ---- the trial -------------------------------------------------------------------------------------------- */

static const struct {
    uint32_t five, gateway, local, failure_percent;
    const char *outcomes;
    uint64_t left;
    lb_causes asked;
} trials[] = {
    {0, 0, 3, 0, "", 2, 0},
    {0, 0, 3, 0, "s", 1, 0},
    {0, 0, 3, 0, "n", 2, 0},
    {0, 0, 3, 0, "s2", 0, 0},                /* two in a row: closed */
    {0, 0, 3, 0, "s2c", 0, 0},               /* and from now on a failure is the first of three */
    {0, 0, 3, 0, "sc", 2, TRIAL},            /* a failure asks; should the ejection not come, all are needed again */
    {0, 0, 3, 0, "c", 2, TRIAL},
    {0, 0, 3, 0, "t", 2, TRIAL},
    {0, 0, 3, 0, "ccc", 2, TRIAL | LOCL},
    {0, 0, 0, 0, "c", 2, TRIAL},             /* a trial's call that finds nobody has failed, whoever counts it */
    {0, 0, 3, 0, "55", 0, 0},                /* where no detector minds a 500, it speaks for the target */
    {5, 0, 3, 0, "5", 2, TRIAL},
    {0, 5, 3, 0, "5", 1, 0},
    {0, 5, 3, 0, "3", 2, TRIAL},
    {0, 0, 3, 85, "5", 2, TRIAL},            /* the statistical ones mind it too */
    {0, 0, 3, 85, "4", 1, 0},
};

static void a_trial_needs_its_successes_in_a_row(void) {
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
        lb_outlier rule = lb_outlier_default;
        rule.consecutive_5xx = trials[i].five;
        rule.consecutive_gateway = trials[i].gateway;
        rule.consecutive_local = trials[i].local;
        rule.failure_percent = trials[i].failure_percent;
        rule.half_open = 1;
        rule.half_open_successes = 2;
        lb_record record = {0};
        CHECK(!lb_outlier_on_trial(&rule, &record));
        CHECK(lb_outlier_eject(&rule, &record, 0, 5));
        CHECK_EQ(count_all(&rule, &record, "ssc"), 0);           /* calls that began before the ejection */
        CHECK(lb_outlier_recover(&record, 10 * SECOND + 5, false));
        CHECK(lb_outlier_on_trial(&rule, &record));
        CHECK_EQ(count_all(&rule, &record, trials[i].outcomes), trials[i].asked);
        CHECK_EQ(lb_word_read(&record.trial), trials[i].left);
        CHECK_EQ(lb_outlier_on_trial(&rule, &record), trials[i].left > 0);
    }
}

static void without_half_open_there_is_no_trial(void) {
    lb_record record = {.trial = 3};
    CHECK(!lb_outlier_on_trial(&lb_outlier_default, &record));
    CHECK_EQ(count_all(&lb_outlier_default, &record, "c"), 0);
    CHECK(lb_outlier_eject(&lb_outlier_default, &record, 0, 5));
    CHECK_EQ(lb_word_read(&record.trial), 0);
}

/* ---- workers ---------------------------------------------------------------------------------------------- */

/* All have read that it is in service, or that its time is over. */
static void of_many_workers_exactly_one_ejects_and_one_recovers(void) {
    lb_record record = {0};
    int ejected = 0, recovered = 0;
    for (int worker = 0; worker < 8; worker++) ejected += lb_outlier_eject(&tens, &record, 0, 5 + (uint64_t)worker);
    CHECK_EQ(ejected, 1);
    CHECK_EQ(lb_word_read(&record.ejections), 1);
    CHECK_EQ(lb_word_read(&record.ejected_until_ns), 10 * SECOND + 5);       /* the first one's time */
    for (int worker = 0; worker < 8; worker++) recovered += lb_outlier_recover(&record, 11 * SECOND, false);
    CHECK_EQ(recovered, 1);
}

/* A worker stops for ever just before or just after its CAS, having written what stands before it. */
static void a_worker_that_dies_between_two_writes_leaves_nothing_half_made(void) {
    lb_outlier rule = tens;
    rule.half_open = 1, rule.half_open_successes = 2;
    lb_record ejecting = {.trial = 2};                           /* the trial is set, but nobody is ejected */
    CHECK_EQ(count_all(&rule, &ejecting, "ss"), 0);
    CHECK(!lb_outlier_on_trial(&rule, &ejecting));
    lb_record ejected = {.trial = 2, .ejected_until_ns = 50};    /* ejected, but its multiplier has not been raised */
    CHECK(!lb_outlier_eject(&rule, &ejected, 0, 40));
    CHECK(lb_outlier_recover(&ejected, 50, false));
    CHECK(lb_outlier_on_trial(&rule, &ejected));
    CHECK(lb_outlier_eject(&rule, &ejected, 0, 60));
    CHECK_EQ(lb_word_read(&ejected.ejected_until_ns), 60 + 10 * SECOND);
    lb_record recovering = {.ejected_until_ns = 50, .recovered_ns = 50, .slow_since_ns = 50};      /* but still ejected */
    CHECK_EQ(lb_record_off(&recovering), LB_OFF_EJECTED);
    CHECK(lb_outlier_recover(&recovering, 70, false));
    CHECK_EQ(lb_word_read(&recovering.slow_since_ns), 70);
}

/* A worker has read an old word, and the world has moved on: it ejects nobody twice and ends nothing that began anew. */
static void a_stale_word_changes_nothing(void) {
    lb_record record = {0};
    uint64_t in_service = 0, first_end = 10 * SECOND + 5;
    CHECK(lb_outlier_eject(&tens, &record, 0, 5));
    CHECK(!lb_word_swap(&record.ejected_until_ns, &in_service, 99));         /* as a late eject would */
    CHECK(lb_outlier_recover(&record, first_end, false));
    CHECK(lb_outlier_eject(&tens, &record, 0, first_end + 1));
    CHECK(!lb_word_swap(&record.ejected_until_ns, &first_end, 0));           /* as a late recover would */
    CHECK_EQ(lb_word_read(&record.ejected_until_ns), 30 * SECOND + 6);
}

/* Two workers have each counted a fifth failure: both ask, the second finds the target out. */
static void both_may_ask_but_one_ejects(void) {
    lb_outlier rule = lb_outlier_envoy;
    lb_record record = {0};
    CHECK_EQ(count_all(&rule, &record, "5555"), 0);
    lb_causes first = count_all(&rule, &record, "5");
    lb_causes second = count_all(&rule, &record, "55555");       /* counted before the first one ejects */
    CHECK_EQ(first, A5XX);
    CHECK_EQ(second, A5XX);
    CHECK(lb_outlier_eject(&rule, &record, 0, 5));
    CHECK(!lb_outlier_eject(&rule, &record, 0, 5));
}

/* ---- the fields ------------------------------------------------------------------------------------------- */

static void the_rules_of_the_house_are_right(void) {
    CHECK_EQ(lb_outlier_check(&lb_outlier_default, NULL), LB_OK);
    CHECK_EQ(lb_outlier_check(&lb_outlier_envoy, NULL), LB_OK);
    CHECK_EQ(lb_outlier_check(&lb_outlier_off, NULL), LB_OK);
}

static void a_field_out_of_range_is_named(void) {
    lb_outlier bad[21];
    static const char *const names[] = {
        "consecutive_5xx", "consecutive_gateway_failure", "consecutive_local_origin_failure", "max_ejection_percent",
        "enforcing_consecutive_5xx", "enforcing_consecutive_gateway_failure", "enforcing_consecutive_local_origin_failure",
        "enforcing_success_rate", "enforcing_failure_percentage", "success_rate_minimum_hosts",
        "success_rate_request_volume", "success_rate_stdev_factor", "failure_percentage_threshold",
        "failure_percentage_minimum_hosts", "failure_percentage_request_volume", "half_open", "half_open_successes",
        "interval", "base_ejection_time", "max_ejection_time", "max_ejection_time_jitter",
    };
    for (size_t i = 0; i < 21; i++) bad[i] = lb_outlier_envoy;
    bad[0].consecutive_5xx = bad[1].consecutive_gateway = bad[2].consecutive_local = LB_MAX_STREAK + 1;
    bad[3].max_percent = 101;
    bad[4].enforce[LB_CAUSE_5XX] = bad[5].enforce[LB_CAUSE_GATEWAY] = bad[6].enforce[LB_CAUSE_LOCAL] = 101;
    bad[7].enforce[LB_CAUSE_SUCCESS_RATE] = bad[8].enforce[LB_CAUSE_FAILURE_PERCENTAGE] = 101;
    bad[9].rate_hosts = (1u << 20) + 1;
    bad[10].rate_volume = LB_MAX_VOLUME + 1;
    bad[11].rate_factor_permille = 1000001;
    bad[12].failure_percent = 101;
    bad[13].failure_hosts = (1u << 20) + 1;
    bad[14].failure_volume = LB_MAX_VOLUME + 1;
    bad[15].half_open = LB_MAX_STREAK + 1;
    bad[16].half_open = 1, bad[16].half_open_successes = 0;
    bad[17].interval_ns = 0;
    bad[18].base_ns = 86400 * SECOND + 1, bad[18].max_ns = 86400 * SECOND + 1;
    bad[19].max_ns = bad[19].base_ns - 1;
    bad[20].jitter_ns = 86400 * SECOND + 1;
    for (size_t i = 0; i < 21; i++) {
        lb_error err;
        char field[100];
        snprintf(field, sizeof field, "health.outlier.%s", names[i]);
        CHECK_EQ(lb_outlier_check(&bad[i], &err), LB_ERR_CONFIG);
        CHECK_EQ(strcmp(err.field, field), 0);
        CHECK(strstr(err.reason, " is not in ") != NULL);
    }
}

int main(void) {
    RUN(an_outcome_comes_to_what_the_table_says);
    RUN(each_streak_counts_its_own_failures);
    RUN(a_detector_that_is_off_counts_nothing);
    RUN(an_ejected_target_asks_for_nothing_but_is_counted);
    RUN(a_count_beyond_the_limit_asks);
    RUN(streaks_stop_at_their_end_and_touch_no_neighbour);
    RUN(the_first_that_is_enforced_ejects);
    RUN(the_share_of_ejected_targets_is_bounded);
    RUN(ejections_grow_up_to_the_longest);
    RUN(the_defaults_are_the_written_ones);
    RUN(service_shrinks_the_next_ejection);
    RUN(the_interval_of_good_conduct_is_not_the_base);
    RUN(a_clock_that_goes_back_credits_nothing);
    RUN(jitter_is_added_to_the_longest_too);
    RUN(the_ends_of_the_range_are_harmless);
    RUN(recovery_may_be_early);
    RUN(a_trial_needs_its_successes_in_a_row);
    RUN(without_half_open_there_is_no_trial);
    RUN(of_many_workers_exactly_one_ejects_and_one_recovers);
    RUN(a_worker_that_dies_between_two_writes_leaves_nothing_half_made);
    RUN(a_stale_word_changes_nothing);
    RUN(both_may_ask_but_one_ejects);
    RUN(the_rules_of_the_house_are_right);
    RUN(a_field_out_of_range_is_named);
    return check_result();
}

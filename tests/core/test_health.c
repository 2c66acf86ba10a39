/* health: the transitions of passive health, each against the sentence of its header. */
#include "check.h"

#define SECOND 1000000000ull

static const lb_passive rule = {.failures = 3, .max_percent = 50, .base_ns = 10 * SECOND, .max_ns = 35 * SECOND};

static void the_defaults_are_the_written_ones(void) {
    CHECK_EQ(lb_passive_default.failures, 3);
    CHECK_EQ(lb_passive_default.max_percent, 50);
    CHECK_EQ(lb_passive_default.base_ns, 10 * SECOND);
    CHECK_EQ(lb_passive_default.max_ns, 300 * SECOND);
    CHECK_EQ(lb_passive_off.failures, 0);
}

/* "`failures` consecutive failures eject a target.  One success clears the consecutive count." */
static void only_consecutive_failures_count(void) {
    static const struct { const char *verdicts; bool eject; uint32_t failures; } cases[] = {
        {"", false, 0},      {"n", false, 0},    {"s", false, 0},     {"f", false, 1},   {"ff", false, 2},
        {"fff", true, 3},    {"ffff", true, 4},  {"ffsff", false, 2}, {"ffs", false, 0}, {"ffsfff", true, 3},
        {"fnfnf", true, 3},  {"fffn", false, 3}, {"fffs", false, 0},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        lb_record record = {0};
        bool eject = false;
        for (const char *v = cases[c].verdicts; *v; v++)
            eject = lb_passive_count(&rule, &record, *v == 'f' ? LB_FAILURE : *v == 's' ? LB_SUCCESS : LB_NEITHER);
        CHECK_EQ(eject, cases[c].eject);
        CHECK_EQ(record.failures, cases[c].failures);
        CHECK_EQ(record.off, 0);                        /* counting decides nothing */
    }
}

static void off_never_ejects(void) {
    lb_record record = {0};
    for (int i = 0; i < 100; i++) CHECK(!lb_passive_count(&lb_passive_off, &record, LB_FAILURE));
    CHECK_EQ(record.failures, 100);
}

static void an_ejected_target_is_not_ejected_again(void) {
    lb_record record = {.failures = 2, .off = LB_OFF_UNHEALTHY};
    CHECK(lb_passive_count(&rule, &record, LB_FAILURE));
    lb_passive_eject(&rule, &record, 1);
    CHECK_EQ(record.off, LB_OFF_EJECTED | LB_OFF_UNHEALTHY);
    CHECK(!lb_passive_count(&rule, &record, LB_FAILURE));
    lb_passive_recover(&record, 2);
    CHECK_EQ(record.off, LB_OFF_UNHEALTHY);
    CHECK_EQ(record.failures, 0);                       /* it starts anew */
    CHECK_EQ(record.ejected_until_ns, 0);
    CHECK_EQ(record.recovered_ns, 2);
    CHECK(!lb_passive_count(&rule, &record, LB_FAILURE));
}

static void the_failure_count_stops_at_its_end(void) {
    lb_record record = {.failures = UINT32_MAX};
    CHECK(lb_passive_count(&rule, &record, LB_FAILURE));
    CHECK_EQ(record.failures, UINT32_MAX);
}

/* "At most max_percent of an upstream's targets are out at once, but one always may." */
static void the_share_of_ejected_targets_is_bounded(void) {
    static const struct { uint32_t percent, n_ejected, n_targets; bool may; } cases[] = {
        {50, 0, 1, true},    {50, 1, 1, false},  {50, 1, 2, false},  {50, 1, 3, false},  {50, 1, 4, true},
        {50, 2, 4, false},   {0, 0, 1, true},    {0, 0, 100, true},  {0, 1, 100, false}, {100, 1, 2, true},
        {100, 2, 2, false},  {33, 32, 100, true}, {33, 33, 100, false}, {50, 0, 0, true},
        {100, UINT32_MAX - 1, UINT32_MAX, true},                {50, UINT32_MAX, UINT32_MAX, false},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        lb_passive asked = {.failures = 1, .max_percent = cases[c].percent};
        CHECK_EQ(lb_passive_may(&asked, cases[c].n_ejected, cases[c].n_targets), cases[c].may);
    }
}

/* "for base * (number of ejections so far), at most max" */
static void ejections_grow_up_to_the_longest(void) {
    static const uint64_t seconds[] = {10, 20, 30, 35, 35};
    lb_record record = {0};
    uint64_t now = 1000 * SECOND;
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        uint64_t until = lb_passive_eject(&rule, &record, now);
        CHECK_EQ(until - now, seconds[i] * SECOND);
        CHECK_EQ(record.ejected_until_ns, until);
        CHECK_EQ(record.ejections, i + 1);
        now = until;
        lb_passive_recover(&record, now);
    }
}

/* "each base interval spent in service since takes one from that number" */
static void service_shrinks_the_next_ejection(void) {
    static const struct { uint64_t service; uint32_t before, after; } cases[] = {
        {0, 3, 4},                {10 * SECOND - 1, 3, 4}, {10 * SECOND, 3, 3}, {20 * SECOND - 1, 3, 3},
        {20 * SECOND, 3, 2},      {30 * SECOND, 3, 1},     {40 * SECOND, 3, 1}, {UINT64_MAX - 5, 3, 1},
        {40 * SECOND, 0, 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        lb_record record = {.ejections = cases[c].before, .recovered_ns = 5};
        lb_passive_eject(&rule, &record, 5 + cases[c].service);
        CHECK_EQ(record.ejections, cases[c].after);
    }
}

static void a_clock_that_goes_back_credits_nothing(void) {
    lb_record record = {.ejections = 2, .recovered_ns = 500 * SECOND};
    CHECK_EQ(lb_passive_eject(&rule, &record, 100 * SECOND), 130 * SECOND);
    CHECK_EQ(record.ejections, 3);
}

/* No product and no sum runs over, and every ejection ends before LB_NEVER and after it began. */
static void the_ends_of_the_range_are_harmless(void) {
    static const uint64_t moments[] = {0, 1, 10 * SECOND, UINT64_MAX / 2, UINT64_MAX - 2, UINT64_MAX - 1, UINT64_MAX};
    static const uint64_t lengths[] = {0, 1, 10 * SECOND, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX};
    static const uint32_t counts[] = {0, 1, 2, UINT32_MAX - 1, UINT32_MAX};
    enum { MOMENTS = 7, LENGTHS = 6, COUNTS = 5 };
    for (int m = 0; m < MOMENTS; m++)
        for (int b = 0; b < LENGTHS; b++)
            for (int x = 0; x < LENGTHS; x++)
                for (int c = 0; c < COUNTS; c++) {
                    lb_passive odd = {.failures = 1, .base_ns = lengths[b], .max_ns = lengths[x]};
                    lb_record record = {.ejections = counts[c], .recovered_ns = moments[m]};
                    uint64_t now = moments[m], until = lb_passive_eject(&odd, &record, now);
                    CHECK(until > now || now >= LB_NEVER - 1);
                    CHECK(until < LB_NEVER && until > 0);
                    CHECK(record.ejections >= 1);
                    if (until < LB_NEVER - 1 && odd.max_ns) CHECK(until - now <= odd.max_ns);
                }
}

static void ejections_stop_at_the_end_of_their_count(void) {
    lb_record record = {.ejections = UINT32_MAX};
    lb_passive_eject(&rule, &record, 0);
    CHECK_EQ(record.ejections, UINT32_MAX);
    CHECK_EQ(record.ejected_until_ns, 35 * SECOND);
}

int main(void) {
    RUN(the_defaults_are_the_written_ones);
    RUN(only_consecutive_failures_count);
    RUN(off_never_ejects);
    RUN(an_ejected_target_is_not_ejected_again);
    RUN(the_failure_count_stops_at_its_end);
    RUN(the_share_of_ejected_targets_is_bounded);
    RUN(ejections_grow_up_to_the_longest);
    RUN(service_shrinks_the_next_ejection);
    RUN(a_clock_that_goes_back_credits_nothing);
    RUN(the_ends_of_the_range_are_harmless);
    RUN(ejections_stop_at_the_end_of_their_count);
    return check_result();
}

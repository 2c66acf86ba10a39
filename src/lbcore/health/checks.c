/* checks: Kong's four counters and four states.
 *
 *   report      kind      none: status in neither list, or its limit is 0 ----------------------> same
 *     |          |
 *     +-- healthy and success, unhealthy and failure ------------------------------------------> same
 *     |
 *     counter + 1, the other side's counters 0: at the limit healthy / unhealthy, else mostly_... from the two pure states
 *
 * Source  lua-resty-healthcheck, incr_counter: counters of 8 bits in one word, in this order.
 * Cost    O(1); a success on a healthy target reads one word and writes none.
 * Keeps   state and counters are one word: a report is counted as a whole or not at all.
 */
#include "health/checks.h"

enum { TIMEOUT_AT = 0, TCP_AT = 8, HTTP_AT = 16, SUCCESS_AT = 24, STATE_AT = 62 };

#define FAILURES 0x00FFFFFFull
#define SUCCESSES 0xFF000000ull

_Static_assert((uint64_t)LB_CHECK_MOSTLY_UNHEALTHY << STATE_AT == LB_CHECKS_UNHEALTHY, "the upper bit: no traffic");
_Static_assert((uint64_t)LB_CHECK_MOSTLY_HEALTHY << STATE_AT < LB_CHECKS_UNHEALTHY, "and without it, traffic");

/* One report: which counter, and where it changes the state.  A limit of 0: nothing is to be done. */
typedef struct report {
    unsigned at;
    uint8_t limit;
} report;

static report of_status(const lb_check_limits *limits, uint32_t status) {
    if (lb_status_in(&limits->healthy, status)) return (report){SUCCESS_AT, limits->successes};
    if (lb_status_in(&limits->unhealthy, status)) return (report){HTTP_AT, limits->http_failures};
    return (report){0};
}

static report report_of(const lb_check_limits *limits, const lb_outcome *outcome) {
    switch (lb_outcome_ending(outcome)) {
    case LB_ENDING_SUCCESS: return (report){SUCCESS_AT, limits->successes};
    case LB_ENDING_STATUS: return of_status(limits, outcome->status);
    case LB_ENDING_FAILED: return (report){HTTP_AT, limits->http_failures};
    case LB_ENDING_CONNECT: return (report){TCP_AT, limits->tcp_failures};
    case LB_ENDING_TIMEOUT: return (report){TIMEOUT_AT, limits->timeouts};
    case LB_ENDING_NOTHING: break;
    }
    return (report){0};
}

static lb_check_state state_of(uint64_t word) { return (lb_check_state)(word >> STATE_AT); }

static lb_check_state next_state(lb_check_state state, const report *r, uint64_t count) {
    bool success = r->at == SUCCESS_AT;
    if (count >= r->limit) return success ? LB_CHECK_HEALTHY : LB_CHECK_UNHEALTHY;
    if (state == LB_CHECK_HEALTHY) return LB_CHECK_MOSTLY_HEALTHY;
    return state == LB_CHECK_UNHEALTHY ? LB_CHECK_MOSTLY_UNHEALTHY : state;
}

static uint64_t next_word(uint64_t word, const report *r) {
    bool success = r->at == SUCCESS_AT;
    lb_check_state state = state_of(word);
    if (state == (success ? LB_CHECK_HEALTHY : LB_CHECK_UNHEALTHY)) return word;
    uint64_t count = word >> r->at & 0xFF;
    if (count < 0xFF) count++;
    uint64_t counters = (word & (success ? SUCCESSES : FAILURES) & ~(0xFFull << r->at)) | count << r->at;
    return (uint64_t)next_state(state, r, count) << STATE_AT | counters;
}

static lb_check_change change_of(uint64_t before, uint64_t after) {
    if (!((before ^ after) & LB_CHECKS_UNHEALTHY)) return LB_CHECK_SAME;
    return after & LB_CHECKS_UNHEALTHY ? LB_CHECK_FELL : LB_CHECK_ROSE;
}

lb_check_change lb_checks_count(const lb_check_limits *limits, lb_record *record, const lb_outcome *outcome) {
    report r = report_of(limits, outcome);
    if (r.limit == 0) return LB_CHECK_SAME;
    uint64_t word = lb_word_read(&record->checks), next;
    do {
        next = next_word(word, &r);
    } while (next != word && !lb_word_swap(&record->checks, &word, next));
    return change_of(word, next);
}

lb_check_change lb_checks_set(lb_record *record, bool healthy) {
    uint64_t word = lb_word_read(&record->checks);
    uint64_t next = (uint64_t)(healthy ? LB_CHECK_HEALTHY : LB_CHECK_UNHEALTHY) << STATE_AT;
    while (next != word && !lb_word_swap(&record->checks, &word, next)) {}
    return change_of(word, next);
}

lb_check_state lb_checks_state(const lb_record *record) { return state_of(lb_word_read(&record->checks)); }

bool lb_checks_are_on(const lb_check_limits *limits) {
    return limits->http_failures || limits->tcp_failures || limits->timeouts;
}

/* Multiplied, not divided: 7 of 100 are not more than 7 percent, whatever 7.0 / 100 * 100 is. */
bool lb_checks_suffice(double percent, uint64_t available_weight, uint64_t total_weight) {
    return total_weight > 0 && (double)available_weight * 100 > percent * (double)total_weight;
}

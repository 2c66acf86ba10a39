/* checks: Kong's health checks, active and passive, which count into the same four counters of a target.
 *
 *   record.checks   | state 2 | - 30 | success 8 | http 8 | tcp 8 | timeout 8 |       one word, changed by CAS
 *
 *   healthy --a failure--> mostly_healthy --limit--> unhealthy --a success--> mostly_unhealthy --limit--> healthy
 *
 * Source  Kong's healthchecks schema and lua-resty-healthcheck's incr_counter: a report whose limit is 0 does nothing at
 *         all, nor does a success in state healthy, a failure in state unhealthy, or a status in neither list; else a
 *         failure adds one to its kind and clears the successes, a success adds one and clears all failures; kinds of
 *         failure are not added up, and counters stay as they are when the state changes.
 */
#ifndef LBCORE_HEALTH_CHECKS_H
#define LBCORE_HEALTH_CHECKS_H

#include "health/outcome.h"

/* A set of HTTP statuses 100..599. */
typedef struct lb_status_set {
    uint64_t bits[8];
} lb_status_set;

static inline bool lb_status_in(const lb_status_set *set, uint32_t status) {
    return status >= 100 && status < 600 && (set->bits[(status - 100) / 64] >> ((status - 100) % 64) & 1);
}

static inline void lb_status_add(lb_status_set *set, uint32_t status) {
    if (status >= 100 && status < 600) set->bits[(status - 100) / 64] |= 1ull << ((status - 100) % 64);
}

/* How many of a kind change the state; 0: the kind is not counted. */
typedef struct lb_check_limits {
    uint8_t successes, http_failures, tcp_failures, timeouts;
    lb_status_set healthy, unhealthy;       /* which statuses are successes, and http failures */
} lb_check_limits;

typedef enum lb_check_state {
    LB_CHECK_HEALTHY = 0,
    LB_CHECK_MOSTLY_HEALTHY,
    LB_CHECK_MOSTLY_UNHEALTHY,
    LB_CHECK_UNHEALTHY,
} lb_check_state;

/* What one report changed. */
typedef enum lb_check_change {
    LB_CHECK_SAME = 0,
    LB_CHECK_FELL,                  /* it takes no traffic any more */
    LB_CHECK_ROSE,                  /* it takes traffic again */
} lb_check_change;

/* Count an outcome by the limits (those of active or of passive checks), as the table of outcome.h says.  A change is told
 * to the one caller that made it. */
lb_check_change lb_checks_count(const lb_check_limits *limits, lb_record *record, const lb_outcome *outcome);

/* By hand: the state, and all counters 0. */
lb_check_change lb_checks_set(lb_record *record, bool healthy);

lb_check_state lb_checks_state(const lb_record *record);
/* Is anything counted? */
static inline bool lb_checks_count_any(const lb_check_limits *limits) {
    return limits->successes || limits->http_failures || limits->tcp_failures || limits->timeouts;
}

bool lb_checks_are_on(const lb_check_limits *limits);   /* any failure limit: passive successes alone do not count */

/* Kong's upstream threshold: serves only while more than `percent` of the weight is available (so with 0: any). */
bool lb_checks_suffice(double percent, uint64_t available_weight, uint64_t total_weight);

#endif

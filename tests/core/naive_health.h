/* naive_health: a target's health, slow and obviously right: plain counters, a log of all calls, a loop for each interval.
 *
 * The twin of src/lbcore/health in C, for test_outlier.c, test_checks.c and fuzz_health.c.  It shares nothing with it but
 * the types of its arguments: the table of outcome.h is written here a second time, by Envoy's and Kong's own words.
 * Times are small here: what happens at the end of the range stands in the tables of the tests.
 */
#ifndef NAIVE_HEALTH_H
#define NAIVE_HEALTH_H

#include "health/checks.h"
#include "health/outlier.h"

#include <math.h>

/* ---- Kong ------------------------------------------------------------------------------------------------- */

enum { NAIVE_HEALTHY, NAIVE_MOSTLY_HEALTHY, NAIVE_MOSTLY_UNHEALTHY, NAIVE_UNHEALTHY };

typedef struct naive_checks {
    int state;
    int success, http, tcp, timeout;
} naive_checks;

static bool naive_takes_traffic(const naive_checks *n) { return n->state <= NAIVE_MOSTLY_HEALTHY; }

static void naive_report_success(naive_checks *n, int limit) {
    if (limit == 0 || n->state == NAIVE_HEALTHY) return;
    n->http = n->tcp = n->timeout = 0;
    if (n->success < 255) n->success++;
    if (n->success >= limit) n->state = NAIVE_HEALTHY;
    else if (n->state == NAIVE_UNHEALTHY) n->state = NAIVE_MOSTLY_UNHEALTHY;
}

static void naive_report_failure(naive_checks *n, int *counter, int limit) {
    if (limit == 0 || n->state == NAIVE_UNHEALTHY) return;
    n->success = 0;
    if (*counter < 255) ++*counter;
    if (*counter >= limit) n->state = NAIVE_UNHEALTHY;
    else if (n->state == NAIVE_HEALTHY) n->state = NAIVE_MOSTLY_HEALTHY;
}

static void naive_checks_report(naive_checks *n, const lb_check_limits *l, const lb_outcome *o) {
    if (o->verdict == LB_SUCCESS) {
        naive_report_success(n, l->successes);
    } else if (o->status && o->verdict == LB_NEITHER && o->fault == LB_FAULT_NONE) {
        if (lb_status_in(&l->healthy, o->status)) naive_report_success(n, l->successes);
        else if (lb_status_in(&l->unhealthy, o->status)) naive_report_failure(n, &n->http, l->http_failures);
    } else if (o->status || o->fault == LB_FAULT_GARBLED) {
        naive_report_failure(n, &n->http, l->http_failures);
    } else if (o->fault == LB_FAULT_TIMEOUT) {
        naive_report_failure(n, &n->timeout, l->timeouts);
    } else if (o->fault == LB_FAULT_CONNECT || o->verdict == LB_FAILURE) {
        naive_report_failure(n, &n->tcp, l->tcp_failures);
    }
}

static inline lb_check_change naive_checks_count(naive_checks *n, const lb_check_limits *l, const lb_outcome *o) {
    bool before = naive_takes_traffic(n);
    naive_checks_report(n, l, o);
    if (naive_takes_traffic(n) == before) return LB_CHECK_SAME;
    return before ? LB_CHECK_FELL : LB_CHECK_ROSE;
}

static inline uint64_t naive_checks_word(const naive_checks *n) {
    return (uint64_t)n->state << 62 | (uint64_t)n->success << 24 | (uint64_t)n->http << 16 | (uint64_t)n->tcp << 8 |
           (uint64_t)n->timeout;
}

/* ---- Envoy ------------------------------------------------------------------------------------------------ */

enum { NAIVE_MAX_CALLS = 4096 };

typedef struct naive_outlier {
    uint32_t five, gateway, local;          /* consecutive */
    uint32_t n_calls;
    struct { uint64_t interval; bool ok; } call[NAIVE_MAX_CALLS];
    bool ejected;
    uint64_t until_ns, recovered_ns;
    uint64_t multiplier;
    uint64_t trial;
} naive_outlier;

/* "counter EQUALS the limit: eject, reset"; while ejected it just goes on. */
static bool naive_step(naive_outlier *n, uint32_t *counter, uint32_t limit) {
    if (limit == 0) return false;
    ++*counter;
    if (n->ejected || *counter < limit) return false;
    *counter = 0;
    return true;
}

static void naive_window(naive_outlier *n, const lb_outlier *rule, uint64_t now_ns, bool ok) {
    if (!rule->rate_hosts && !rule->failure_percent) return;
    if (n->n_calls == NAIVE_MAX_CALLS) return;
    n->call[n->n_calls].interval = now_ns / rule->interval_ns;
    n->call[n->n_calls++].ok = ok;
}

/* Envoy's putHttpResponseCode. */
static lb_causes naive_code(naive_outlier *n, const lb_outlier *rule, uint32_t code, uint64_t now_ns) {
    lb_causes asked = 0;
    naive_window(n, rule, now_ns, code < 500);
    if (code < 500) {
        n->five = n->gateway = 0;
        return 0;
    }
    if (code == 502 || code == 503 || code == 504) {
        if (naive_step(n, &n->gateway, rule->consecutive_gateway)) asked |= 1u << LB_CAUSE_GATEWAY;
    } else {
        n->gateway = 0;
    }
    if (naive_step(n, &n->five, rule->consecutive_5xx)) asked |= 1u << LB_CAUSE_5XX;
    return asked;
}

/* Envoy's putResult: local origin is a code, or a matter of its own; who answers can be reached. */
static lb_causes naive_put(naive_outlier *n, const lb_outlier *rule, const lb_outcome *o, uint64_t now_ns) {
    bool answered = o->status || o->fault == LB_FAULT_GARBLED;
    if (o->verdict != LB_SUCCESS && !answered) {
        if (!rule->split) return naive_code(n, rule, o->fault == LB_FAULT_TIMEOUT ? 504 : 503, now_ns);
        return naive_step(n, &n->local, rule->consecutive_local) ? 1u << LB_CAUSE_LOCAL : 0;
    }
    n->local = 0;
    if (o->verdict == LB_SUCCESS) return naive_code(n, rule, 200, now_ns);
    if (o->verdict == LB_NEITHER && o->fault == LB_FAULT_NONE) return naive_code(n, rule, o->status, now_ns);
    return naive_code(n, rule, o->status >= 500 ? o->status : 500, now_ns);
}

static bool naive_failed(const lb_outlier *rule, const lb_outcome *o) {
    bool answered = o->status || o->fault == LB_FAULT_GARBLED;
    if (o->verdict == LB_SUCCESS) return false;
    if (!answered) return true;
    if (o->verdict == LB_NEITHER && o->fault == LB_FAULT_NONE && o->status < 500) return false;
    if (rule->consecutive_5xx || rule->rate_hosts || rule->failure_percent) return true;
    return rule->consecutive_gateway && o->status >= 502 && o->status <= 504;
}

static inline lb_causes naive_count(naive_outlier *n, const lb_outlier *rule, const lb_outcome *o, uint64_t now_ns) {
    if (o->verdict == LB_NEITHER && !o->status && !o->fault) return 0;
    lb_causes asked = naive_put(n, rule, o, now_ns);
    if (n->ejected || !rule->half_open || n->trial == 0) return asked;
    if (!naive_failed(rule, o)) {
        n->trial--;
        return asked;
    }
    n->trial = rule->half_open_successes;
    return asked | 1u << LB_CAUSE_TRIAL;
}

static inline bool naive_eject(naive_outlier *n, const lb_outlier *rule, uint64_t jitter_ns, uint64_t now_ns) {
    if (n->ejected) return false;
    if (rule->interval_ns == 0) n->multiplier = 0;
    for (uint64_t t = n->recovered_ns; rule->interval_ns && n->multiplier && now_ns >= t && now_ns - t >= rule->interval_ns;
         t += rule->interval_ns)
        n->multiplier--;
    if (n->multiplier * rule->base_ns < rule->max_ns + rule->base_ns || n->multiplier == 0) n->multiplier++;
    uint64_t length = n->multiplier * rule->base_ns;
    if (length > rule->max_ns) length = rule->max_ns;
    length += jitter_ns;
    n->ejected = true;
    n->until_ns = now_ns + (length ? length : 1);
    n->trial = rule->half_open ? rule->half_open_successes : 0;
    return true;
}

static inline bool naive_recover(naive_outlier *n, uint64_t now_ns, bool early) {
    if (!n->ejected || (now_ns < n->until_ns && !early)) return false;
    n->ejected = false;
    n->until_ns = 0;
    n->recovered_ns = now_ns;
    n->five = n->gateway = n->local = 0;
    return true;
}

static uint32_t naive_calls(const naive_outlier *n, uint64_t interval, uint32_t *ok) {
    uint32_t calls = 0;
    *ok = 0;
    for (uint32_t i = 0; i < n->n_calls; i++) {
        if (n->call[i].interval != interval) continue;
        calls++;
        *ok += n->call[i].ok;
    }
    return calls;
}

/* Envoy's processSuccessRateEjections in percent and doubles.  *close[i]: so near to a threshold that either answer is right. */
static inline void naive_judge(naive_outlier *const *n, uint32_t count, const lb_outlier *rule, uint64_t now_ns,
                               lb_causes *asked, bool *close) {
    double rate[64], sum = 0, squares = 0;
    uint32_t n_rate = 0, n_failure = 0, ok, calls;
    uint64_t last = now_ns / rule->interval_ns - 1;
    for (uint32_t i = 0; i < count; i++) {
        calls = n[i]->ejected ? 0 : naive_calls(n[i], last, &ok);
        rate[i] = calls ? 100.0 * ok / calls : -1;
        n_rate += calls && calls >= rule->rate_volume;
        n_failure += calls && calls >= rule->failure_volume;
        if (calls && calls >= rule->rate_volume) sum += rate[i];
        asked[i] = 0;
        close[i] = false;
    }
    for (uint32_t i = 0; i < count; i++)
        if (rate[i] >= 0 && naive_calls(n[i], last, &ok) >= rule->rate_volume)
            squares += (rate[i] - sum / n_rate) * (rate[i] - sum / n_rate);
    for (uint32_t i = 0; i < count; i++) {
        if (rate[i] < 0) continue;
        calls = naive_calls(n[i], last, &ok);
        if (rule->rate_hosts && n_rate >= rule->rate_hosts && calls >= rule->rate_volume) {
            double threshold = sum / n_rate - rule->rate_factor_permille / 1000.0 * sqrt(squares / n_rate);
            if (rate[i] < threshold) asked[i] |= 1u << LB_CAUSE_SUCCESS_RATE;
            close[i] = fabs(rate[i] - threshold) < 0.001;
        }
        if (rule->failure_percent && n_failure >= rule->failure_hosts && calls >= rule->failure_volume)
            if ((calls - ok) * 100 >= rule->failure_percent * calls) asked[i] |= 1u << LB_CAUSE_FAILURE_PERCENTAGE;
    }
}

#endif

/* verdicts: what the outcomes of calls and probes do to a member of the model: detectors, trials, checks, pauses; and the
 * rules that say so, drawn from the program.  Each follows the sentences of its header, one after the other. */
#ifndef VERDICTS_H
#define VERDICTS_H

#include "model.h"

/* ---- outcomes --------------------------------------------------------------------------------------------- */

/* The rows of outcome.h's table. */
typedef enum ending { NOTHING, SUCCESS, STATUS, FAILED, CONNECT, TIMEOUT } ending;

static ending ending_of(const lb_outcome *o) {
    if (o->verdict == LB_SUCCESS) return SUCCESS;
    if (o->status && o->verdict == LB_NEITHER && o->fault == LB_FAULT_NONE) return STATUS;
    if (o->status || o->fault == LB_FAULT_GARBLED) return FAILED;
    if (o->fault == LB_FAULT_TIMEOUT) return TIMEOUT;
    if (o->fault == LB_FAULT_CONNECT || o->verdict == LB_FAILURE) return CONNECT;
    return NOTHING;
}

static bool may_eject(const world *w) {
    const lb_outlier *rule = &w->spec.health.outlier;
    uint32_t n_ejected = 0;
    for (uint32_t i = 0; i < w->n; i++) n_ejected += w->member[i].until_ns != 0;
    return (n_ejected == 0 && rule->always_one) || (n_ejected + 1) * 100 <= rule->max_percent * w->n;
}

/* "base * ejections so far, at most max": the multiplier grows while base * multiplier < max + base, and each interval
 * in service takes one: counted out. */
static void eject(world *w, member *m, lb_cause cause, uint32_t failures) {
    const lb_outlier *rule = &w->spec.health.outlier;
    if (rule->interval_ns == 0 || rule->base_ns == 0) m->ejections = 0;
    for (uint64_t t = m->recovered_ns + rule->interval_ns; m->ejections && t <= w->now_ns; t += rule->interval_ns)
        m->ejections--;
    if (m->ejections == 0 || rule->base_ns * m->ejections < rule->max_ns + rule->base_ns) m->ejections++;
    uint64_t length_ns = walk_earlier(rule->base_ns * m->ejections, rule->max_ns);
    m->until_ns = w->now_ns + (length_ns ? length_ns : 1);
    m->trial = rule->half_open ? rule->half_open_successes : 0;
    lb_event event = {.kind = LB_EVENT_EJECTED, .until_ns = m->until_ns, .cause = cause, .failures = failures};
    expect_event(w, event, m, w->now_ns);
    w->old = true;
}

/* What an outcome does to a streak: -1 it is cleared, 1 it grows, 0 it stays. */
static int effect_on(const world *w, lb_cause cause, ending end, uint32_t status) {
    bool split = w->spec.health.outlier.split, gateway = status >= 502 && status <= 504;
    switch (end) {
    case NOTHING: return 0;
    case SUCCESS: return -1;
    case STATUS:
        if (status < 500) return -1;
        break;
    case FAILED: break;
    case CONNECT:
    case TIMEOUT:
        if (split) return cause == LB_CAUSE_LOCAL;
        return cause == LB_CAUSE_LOCAL ? 0 : 1;
    }
    if (cause == LB_CAUSE_GATEWAY) return gateway ? 1 : -1;
    return cause == LB_CAUSE_5XX ? 1 : -1;
}

/* Which of the three streaks ask, as bits. */
static uint32_t count_streaks(const world *w, member *m, ending end, uint32_t status) {
    const lb_outlier *rule = &w->spec.health.outlier;
    const uint32_t limit[4] = {0, rule->consecutive_5xx, rule->consecutive_gateway, rule->consecutive_local};
    uint32_t asking = 0;
    for (lb_cause cause = LB_CAUSE_5XX; cause <= LB_CAUSE_LOCAL; cause++) {
        int effect = effect_on(w, cause, end, status);
        if (effect < 0) m->streak[cause] = 0;
        if (effect > 0 && limit[cause]) m->streak[cause]++;
        if (effect <= 0 || !limit[cause] || m->streak[cause] < limit[cause] || m->until_ns) continue;
        m->streak[cause] = 0;
        asking |= 1u << cause;
    }
    return asking;
}

/* A failure of a kind that a detector counts fails a trial; all else is a success of it. */
static bool fails_trial(const world *w, ending end, uint32_t status) {
    const lb_outlier *rule = &w->spec.health.outlier;
    bool answered = end == FAILED || (end == STATUS && status >= 500), gateway = status >= 502 && status <= 504;
    if (end == CONNECT || end == TIMEOUT) return true;
    return answered && (rule->consecutive_5xx || (rule->consecutive_gateway && gateway));
}

static void detect(world *w, member *m, ending end, uint32_t status) {
    static const lb_cause order[] = {LB_CAUSE_TRIAL, LB_CAUSE_GATEWAY, LB_CAUSE_5XX, LB_CAUSE_LOCAL};
    const lb_outlier *rule = &w->spec.health.outlier;
    uint32_t asking = count_streaks(w, m, end, status);
    if (end == NOTHING) return;
    if (m->trial && rule->half_open && !m->until_ns) {
        bool failed = fails_trial(w, end, status);
        if (failed) asking |= 1u << LB_CAUSE_TRIAL;
        m->trial = failed ? rule->half_open_successes : m->trial - 1;
        if (m->trial == 0) w->old = true;               /* its breaker has closed */
    }
    const uint32_t limit[LB_N_CAUSES] = {0, rule->consecutive_5xx, rule->consecutive_gateway, rule->consecutive_local,
                                         0, 0, 1};
    for (int i = 0; i < 4; i++) {
        if (!(asking & 1u << order[i]) || rule->enforce[order[i]] == 0) continue;
        if (may_eject(w)) eject(w, m, order[i], limit[order[i]]);
        return;
    }
}

/* One more of a kind of failure, or of the successes. */
static void count_one(world *w, member *m, uint32_t *counter, uint32_t limit, bool success) {
    bool was_unhealthy = is_unhealthy(m);
    if (limit == 0 || m->checks == (success ? LB_CHECK_HEALTHY : LB_CHECK_UNHEALTHY)) return;
    uint32_t count = *counter < 255 ? *counter + 1 : 255;
    if (success) m->http = m->tcp = m->timeouts = 0;
    else m->successes = 0;
    *counter = count;
    if (count >= limit) m->checks = success ? LB_CHECK_HEALTHY : LB_CHECK_UNHEALTHY;
    else if (success && m->checks == LB_CHECK_UNHEALTHY) m->checks = LB_CHECK_MOSTLY_UNHEALTHY;
    else if (!success && m->checks == LB_CHECK_HEALTHY) m->checks = LB_CHECK_MOSTLY_HEALTHY;
    if (is_unhealthy(m) == was_unhealthy) return;
    expect(w, success ? LB_EVENT_HEALTHY : LB_EVENT_UNHEALTHY, m, w->now_ns);
    w->old = true;
}

static void check(world *w, member *m, const lb_check_limits *limits, ending end, uint32_t status) {
    bool success = end == SUCCESS || (end == STATUS && lb_status_in(&limits->healthy, status));
    bool http = end == FAILED || (end == STATUS && !success && lb_status_in(&limits->unhealthy, status));
    if (success) count_one(w, m, &m->successes, limits->successes, true);
    else if (http) count_one(w, m, &m->http, limits->http_failures, false);
    else if (end == CONNECT) count_one(w, m, &m->tcp, limits->tcp_failures, false);
    else if (end == TIMEOUT) count_one(w, m, &m->timeouts, limits->timeouts, false);
}

static void pause_for(world *w, member *m, uint64_t pause_ns, uint16_t status) {
    uint64_t length_ns = walk_earlier(pause_ns, w->spec.health.max_hold_ns), last_ns = LB_NEVER - 1;
    uint64_t until_ns = length_ns < last_ns - w->now_ns ? w->now_ns + length_ns : last_ns;      /* a pause ends */
    if (length_ns == 0 || until_ns <= m->held_ns) return;
    lb_event event = {.kind = LB_EVENT_HELD, .until_ns = until_ns, .status = status};
    if (!m->held_ns) expect_event(w, event, m, w->now_ns);
    m->held_ns = until_ns;
    w->old = true;
}

static lb_outcome read_outcome(world *w) {
    static const lb_outcome outcomes[] = {
        {LB_FAILURE, LB_FAULT_NONE, 0}, {LB_FAILURE, LB_FAULT_NONE, 0}, {LB_SUCCESS, LB_FAULT_NONE, 0},
        {LB_NEITHER, LB_FAULT_NONE, 0}, {LB_NEITHER, LB_FAULT_CONNECT, 0}, {LB_NEITHER, LB_FAULT_TIMEOUT, 0},
        {LB_NEITHER, LB_FAULT_GARBLED, 0}, {LB_NEITHER, LB_FAULT_NONE, 200}, {LB_NEITHER, LB_FAULT_NONE, 429},
        {LB_NEITHER, LB_FAULT_NONE, 500}, {LB_NEITHER, LB_FAULT_NONE, 503}, {LB_FAILURE, LB_FAULT_NONE, 404},
        {LB_FAILURE, LB_FAULT_TIMEOUT, 502}, {LB_NEITHER, LB_FAULT_CONNECT, 200}, {LB_SUCCESS, LB_FAULT_TIMEOUT, 500},
        {LB_FAILURE, LB_FAULT_CONNECT, 0},
    };
    return outcomes[next(w, 16)];
}

/* ---- the rules -------------------------------------------------------------------------------------------- */

static void read_outlier(world *w, lb_outlier *rule) {
    static const uint64_t lengths[] = {10 * SECOND, 0, 1, SECOND, 35 * SECOND, 300 * SECOND};
    uint32_t counts = next(w, 64), how = next(w, 64), enforced = next(w, 256);
    *rule = lb_outlier_default;
    rule->consecutive_5xx = counts % 4;
    rule->consecutive_gateway = counts / 4 % 4;
    rule->consecutive_local = counts / 16;
    rule->split = how % 2;
    rule->always_one = how / 2 % 2;
    rule->half_open = how / 4 % 4 < 2 ? 0 : how / 4 % 4 - 1;
    rule->half_open_successes = 1 + how / 16 % 3;
    for (lb_cause cause = LB_CAUSE_5XX; cause < LB_N_CAUSES; cause++)
        rule->enforce[cause] = enforced >> (cause - 1) & 1 && enforced >> 6 == 3 ? 0 : 100;
    rule->max_percent = next(w, 101);
    rule->base_ns = lengths[next(w, 6)];
    rule->interval_ns = lengths[next(w, 6)];
    rule->max_ns = rule->base_ns + lengths[next(w, 6)];
}

/* 200 and 404 are well, 429 and 500 are not; 503 and others say nothing. */
static void read_checks(world *w, lb_check_limits *limits) {
    uint32_t how = next(w, 256);
    *limits = (lb_check_limits){.successes = how % 4, .http_failures = how / 4 % 4, .tcp_failures = how / 16 % 4,
                                .timeouts = (uint8_t)(how / 64)};
    lb_status_add(&limits->healthy, 200);
    lb_status_add(&limits->healthy, 404);
    lb_status_add(&limits->unhealthy, 429);
    lb_status_add(&limits->unhealthy, 500);
}

static void read_health(world *w, lb_upstream_spec *spec) {
    static const double thresholds[] = {0, 0, 0, 50, 0, 0, 100, 25};
    static const uint64_t most[] = {60 * SECOND, 0, 5 * SECOND, LB_NEVER};
    read_outlier(w, &spec->health.outlier);
    read_checks(w, &spec->health.passive);
    read_checks(w, &spec->health.active);
    uint32_t how = next(w, 128);
    spec->health.threshold = thresholds[how % 8];
    spec->health.max_hold_ns = most[how / 8 % 4];
    spec->when_empty = how / 32 == 3 ? LB_EMPTY_FAIL : (lb_when_empty)(how / 32);
}

#endif

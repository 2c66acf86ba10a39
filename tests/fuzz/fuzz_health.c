/* Fuzz target: the health of a few targets.  Input: a rule and limits, then operations: outcomes, time, ejections, recoveries,
 * the ends of intervals, holds, checks by hand.
 *
 * Asserts, after each operation: every word of every record says what the naive model says (naive_health.h), and so did
 * the operation; a statistical detector may differ where a rate is at its threshold.
 */
#include "naive_health.h"

#include "health/pause.h"
#include "health/window.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ASSERT(condition) \
    do {                  \
        if (!(condition)) abort(); \
    } while (0)

enum { N = 6 };

typedef struct world {
    const uint8_t *in;
    size_t left;
    uint64_t now_ns;
    lb_outlier rule;
    lb_check_limits limits;
    lb_common common;
    uint64_t judged_ns;
    lb_record record[N];
    naive_outlier outlier[N];
    naive_checks checks[N];
    uint64_t held_ns[N];
} world;

/* The next byte of the program, below n; 0 after its end. */
static uint32_t next(world *w, uint32_t n) {
    if (w->left == 0) return 0;
    w->left--;
    return *w->in++ % n;
}

/* Small limits, so that they are reached; all times in single ns. */
static void make_rule(world *w) {
    w->rule = (lb_outlier){
        .consecutive_5xx = next(w, 5), .consecutive_gateway = next(w, 5), .consecutive_local = next(w, 5),
        .split = next(w, 2) != 0, .interval_ns = 1 + next(w, 40), .base_ns = 1 + next(w, 40), .jitter_ns = next(w, 5),
        .max_percent = next(w, 101), .always_one = next(w, 2) != 0,
        .rate_hosts = next(w, 4), .rate_volume = next(w, 6), .rate_factor_permille = next(w, 30) * 100,
        .failure_percent = next(w, 101), .failure_hosts = next(w, 4), .failure_volume = next(w, 6),
        .half_open = next(w, 3), .half_open_successes = 1 + next(w, 4),
    };
    w->rule.max_ns = w->rule.base_ns + next(w, 200);
    for (int cause = 1; cause < LB_N_CAUSES; cause++) w->rule.enforce[cause] = next(w, 2) * 100;
    ASSERT(lb_outlier_check(&w->rule, NULL) == LB_OK);
    w->limits = (lb_check_limits){.successes = (uint8_t)next(w, 4), .http_failures = (uint8_t)next(w, 4),
                                  .tcp_failures = (uint8_t)next(w, 4), .timeouts = (uint8_t)next(w, 4)};
    lb_status_add(&w->limits.healthy, 200);
    lb_status_add(&w->limits.unhealthy, 503);
}

static lb_outcome make_outcome(world *w) {
    static const uint16_t statuses[] = {0, 0, 200, 200, 404, 500, 502, 503};
    return (lb_outcome){(lb_verdict)next(w, 3), (lb_fault)next(w, 4), statuses[next(w, 8)]};
}

/* ---- what must hold --------------------------------------------------------------------------------------- */

static void check_target(const world *w, uint32_t i) {
    const lb_record *record = &w->record[i];
    const naive_outlier *o = &w->outlier[i];
    ASSERT(lb_outlier_streak(record, LB_CAUSE_5XX) == o->five);
    ASSERT(lb_outlier_streak(record, LB_CAUSE_GATEWAY) == o->gateway);
    ASSERT(lb_outlier_streak(record, LB_CAUSE_LOCAL) == o->local);
    ASSERT(lb_word_read(&record->ejected_until_ns) == o->until_ns);
    ASSERT(lb_word_read(&record->recovered_ns) == o->recovered_ns);
    ASSERT(lb_word_read(&record->trial) == o->trial);
    ASSERT(lb_word_read(&record->checks) == naive_checks_word(&w->checks[i]));
    ASSERT(lb_word_read(&record->held_until_ns) == w->held_ns[i]);
    uint32_t off = (o->ejected ? LB_OFF_EJECTED : 0u) | (w->held_ns[i] ? LB_OFF_HELD : 0u) |
                   (naive_takes_traffic(&w->checks[i]) ? 0u : LB_OFF_UNHEALTHY);
    ASSERT(lb_record_off(record) == off);
    uint32_t ok, wanted, calls = naive_calls(o, w->now_ns / w->rule.interval_ns, &wanted);
    if (o->n_calls == NAIVE_MAX_CALLS) return;
    ASSERT(lb_window_calls(record, w->now_ns / w->rule.interval_ns, &ok) == calls && ok == wanted);
}

/* ---- operations ------------------------------------------------------------------------------------------- */

static void eject(world *w, uint32_t i, uint64_t drawn) {
    bool first = lb_outlier_eject(&w->rule, &w->record[i], drawn, w->now_ns);
    ASSERT(first == naive_eject(&w->outlier[i], &w->rule, drawn % (w->rule.jitter_ns + 1), w->now_ns));
}

/* Who asks, is enforced and may, goes: as an upstream does it. */
static void follow(world *w, uint32_t i, lb_causes asked) {
    uint32_t n_ejected = 0;
    lb_cause cause = lb_outlier_enforced(&w->rule, asked, 50);
    ASSERT(cause == LB_CAUSE_NONE || ((asked >> cause & 1) && w->rule.enforce[cause] == 100));
    for (int c = 1; c < LB_N_CAUSES && !cause; c++) ASSERT(!(asked >> c & 1) || w->rule.enforce[c] == 0);
    for (uint32_t k = 0; k < N; k++) n_ejected += w->outlier[k].ejected;
    bool may = 100.0 * (n_ejected + 1) / N <= w->rule.max_percent || (w->rule.always_one && n_ejected == 0);
    ASSERT(lb_outlier_may(&w->rule, n_ejected, N) == may);
    if (cause && may) eject(w, i, next(w, 256));
}

static void finish_call(world *w, uint32_t i) {
    lb_outcome outcome = make_outcome(w);
    lb_causes asked = lb_outlier_count(&w->rule, &w->record[i], &outcome, w->now_ns);
    ASSERT(asked == naive_count(&w->outlier[i], &w->rule, &outcome, w->now_ns));
    lb_check_change change = lb_checks_count(&w->limits, &w->record[i], &outcome);
    ASSERT(change == naive_checks_count(&w->checks[i], &w->limits, &outcome));
    follow(w, i, asked);
}

static void recover(world *w, uint32_t i, bool early) {
    bool first = lb_outlier_recover(&w->record[i], w->now_ns, early);
    ASSERT(first == naive_recover(&w->outlier[i], w->now_ns, early));
    if (first) ASSERT(lb_word_read(&w->record[i].slow_since_ns) == (w->now_ns ? w->now_ns : 1));
}

static void judge(world *w) {
    uint64_t begun = w->now_ns / w->rule.interval_ns * w->rule.interval_ns, scratch[N];
    bool turn = lb_outlier_judges(&w->rule) && begun > w->judged_ns;
    ASSERT(lb_outlier_is_my_turn(&w->rule, &w->common, w->now_ns) == turn);
    if (!turn) return;
    w->judged_ns = begun;
    lb_record *records[N];
    naive_outlier *models[N];
    lb_causes asked[N], wanted[N];
    bool close[N];
    uint32_t n_asked = 0;
    for (uint32_t i = 0; i < N; i++) records[i] = &w->record[i], models[i] = &w->outlier[i];
    uint32_t n = lb_outlier_judge(&w->rule, records, N, scratch, asked, w->now_ns);
    naive_judge(models, N, &w->rule, w->now_ns, wanted, close);
    for (uint32_t i = 0; i < N; i++) {
        ASSERT(close[i] || asked[i] == wanted[i] || w->outlier[i].n_calls == NAIVE_MAX_CALLS);
        n_asked += asked[i] != 0;
    }
    ASSERT(n == n_asked);
    for (uint32_t i = 0; i < N; i++) follow(w, i, asked[i]);
}

static void hold(world *w, uint32_t i) {
    uint64_t length = next(w, 60), most = next(w, 40);
    uint64_t until = w->now_ns + (length < most ? length : most);
    bool moved, told = until > w->now_ns && until > w->held_ns[i];
    ASSERT(lb_pause_hold(&w->record[i], length, most, w->now_ns, &moved) == told);
    ASSERT(moved == (told && w->held_ns[i] != 0));
    if (told) w->held_ns[i] = until;
}

static void end_hold(world *w, uint32_t i) {
    bool over = w->held_ns[i] != 0 && w->held_ns[i] <= w->now_ns;
    ASSERT(lb_pause_end(&w->record[i], w->now_ns) == over);
    if (over) w->held_ns[i] = 0;
}

static void set_by_hand(world *w, uint32_t i, bool healthy) {
    bool before = naive_takes_traffic(&w->checks[i]);
    w->checks[i] = (naive_checks){.state = healthy ? NAIVE_HEALTHY : NAIVE_UNHEALTHY};
    lb_check_change wanted = before == healthy ? LB_CHECK_SAME : healthy ? LB_CHECK_ROSE : LB_CHECK_FELL;
    ASSERT(lb_checks_set(&w->record[i], healthy) == wanted);
}

static void step(world *w) {
    uint32_t operation = next(w, 16), i = next(w, N);
    switch (operation) {
    case 0: w->now_ns += next(w, 64); break;
    case 1: w->now_ns += next(w, 8); break;
    case 2: w->now_ns += 100 * next(w, 64); break;
    case 3: recover(w, i, next(w, 4) == 0); break;
    case 4: judge(w); break;
    case 5: hold(w, i); break;
    case 6: end_hold(w, i); break;
    case 7: set_by_hand(w, i, next(w, 2)); break;
    case 8: eject(w, i, next(w, 256)); break;
    default: finish_call(w, i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static world w;
    memset((void *)&w, 0, sizeof w);
    w.in = data;
    w.left = size;
    make_rule(&w);
    while (w.left) {
        step(&w);
        for (uint32_t i = 0; i < N; i++) check_target(&w, i);
    }
    return 0;
}

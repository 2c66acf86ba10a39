/* outlier: counting, ejection by the count, and its length that grows and shrinks.  Its fields: rule.c; intervals: window.c.
 *
 *   streaks     | - 4 | local 20 | gateway 20 | 5xx 20 |       saturating; the one that asks begins again at 0
 *
 *   multiplier  0   1           2              1 (one interval in service)
 *   service  ...x###>-------x#######>-------.-------------> time
 *               base        2 * base         base
 *
 * Source  Envoy's outlier_detection_impl: a counter that reaches its limit asks and begins again; any success, and the end
 *         of an ejection, clear them; time = min(base * multiplier, max) + jitter; the multiplier grows while
 *         base * multiplier < max + base, and loses one for each interval in service.
 * Cost    O(1): a success on a target without streaks reads two words and writes none.
 * Keeps   sums and products stop at the end of their range; a clock that stands still or goes back only means that no time
 *         in service is credited.  Who wins the CAS on ejected_until_ns has made the transition.  What must be true of
 *         an ejected target (its trial) is written before the CAS that ejects it, what must be true of one in service
 *         (no streaks, since when) before the CAS that puts it back: a worker that dies between leaves nothing half made,
 *         and one that loses has written what the winner wrote.  The multiplier is the winner's alone.
 */
#include "health/outlier.h"
#include "health/window.h"

#define STREAK_BITS 20

/* ---- counting --------------------------------------------------------------------------------------------- */

enum { N_STREAKS = 3 };             /* streak i is that of cause i + 1 */

/* What an outcome does to the streaks (bits by 1 << cause), the window and the trial. */
typedef struct effect {
    lb_causes adds, clears;
    bool windowed;                  /* stands in the window of its interval */
    bool failed, local;
} effect;

#define SET(cause) (1u << (cause))
#define STREAKS (SET(LB_CAUSE_5XX) | SET(LB_CAUSE_GATEWAY) | SET(LB_CAUSE_LOCAL))

static effect effect_of_status(uint32_t status) {
    if (status < 500) return (effect){.clears = STREAKS, .windowed = true};
    lb_causes adds = SET(LB_CAUSE_5XX);
    if (status >= 502 && status <= 504) adds |= SET(LB_CAUSE_GATEWAY);
    return (effect){.adds = adds, .clears = STREAKS & ~adds, .windowed = true, .failed = true};
}

static effect effect_of_local(const lb_outlier *rule) {
    effect e = {.adds = SET(LB_CAUSE_LOCAL), .failed = true, .local = true};
    if (rule->split) return e;
    e.adds = SET(LB_CAUSE_5XX) | SET(LB_CAUSE_GATEWAY);
    e.windowed = true;
    return e;
}

/* By the table of outcome.h; NOTHING has been dealt with. */
static effect effect_of(const lb_outlier *rule, const lb_outcome *outcome) {
    switch (lb_outcome_ending(outcome)) {
    case LB_ENDING_STATUS: return effect_of_status(outcome->status);
    case LB_ENDING_FAILED: return effect_of_status(outcome->status < 500 ? 500 : outcome->status);
    case LB_ENDING_CONNECT:
    case LB_ENDING_TIMEOUT: return effect_of_local(rule);
    default: return (effect){.clears = STREAKS, .windowed = true};
    }
}

static uint32_t limit_of(const lb_outlier *rule, unsigned i) {
    const uint32_t limit[N_STREAKS] = {rule->consecutive_5xx, rule->consecutive_gateway, rule->consecutive_local};
    return limit[i];
}

/* The streaks after the outcome.  A limit lower than the count (of another rule, or of the time while it was ejected) has
 * been reached too. */
static uint64_t next_streaks(const lb_outlier *rule, uint64_t streaks, const effect *e, bool ejected, lb_causes *asked) {
    uint64_t next = 0;
    *asked = 0;
    for (unsigned i = 0; i < N_STREAKS; i++) {
        uint64_t count = streaks >> i * STREAK_BITS & LB_MAX_STREAK, limit = limit_of(rule, i);
        lb_causes self = SET(i + 1);
        if (e->clears & self) count = 0;
        if ((e->adds & self) && limit) {
            if (count < LB_MAX_STREAK) count++;
            if (count >= limit && !ejected) *asked |= self, count = 0;
        }
        next |= count << i * STREAK_BITS;
    }
    return next;
}

static lb_causes count_streaks(const lb_outlier *rule, lb_record *record, const effect *e, bool ejected) {
    uint64_t streaks = lb_word_read(&record->streaks), next;
    lb_causes asked;
    do {
        next = next_streaks(rule, streaks, e, ejected, &asked);
    } while (next != streaks && !lb_word_swap(&record->streaks, &streaks, next));
    return asked;
}

/* A trial fails by a failure of local origin, and by an answer that a detector would count as a failure. */
static bool fails_trial(const lb_outlier *rule, const effect *e) {
    bool counts = rule->consecutive_5xx || lb_outlier_judges(rule) ||
                  (rule->consecutive_gateway && (e->adds & SET(LB_CAUSE_GATEWAY)));
    return e->failed && (e->local || counts);
}

/* After a failure all successes are needed again, should the ejection that it asks for not come. */
static lb_causes count_trial(const lb_outlier *rule, lb_record *record, const effect *e) {
    uint64_t left = rule->half_open ? lb_word_read(&record->trial) : 0, all = rule->half_open_successes;
    if (left == 0) return 0;
    bool failed = fails_trial(rule, e);
    while (left != 0 && left != (failed ? all : 0))
        if (lb_word_swap(&record->trial, &left, failed ? all : left - 1)) break;
    return failed ? SET(LB_CAUSE_TRIAL) : 0;
}

lb_causes lb_outlier_count(const lb_outlier *rule, lb_record *record, const lb_outcome *outcome, uint64_t now_ns) {
    if (lb_outcome_ending(outcome) == LB_ENDING_NOTHING) return 0;
    effect e = effect_of(rule, outcome);
    bool ejected = lb_word_read(&record->ejected_until_ns) != 0;
    if (e.windowed && lb_outlier_judges(rule)) lb_window_add(record, now_ns / rule->interval_ns, !e.failed);
    lb_causes asked = count_streaks(rule, record, &e, ejected);
    return ejected ? 0 : asked | count_trial(rule, record, &e);
}

uint32_t lb_outlier_streak(const lb_record *record, lb_cause cause) {
    return (uint32_t)(lb_word_read(&record->streaks) >> (cause - 1u) * STREAK_BITS & LB_MAX_STREAK);
}

/* ---- ejection --------------------------------------------------------------------------------------------- */

lb_cause lb_outlier_enforced(const lb_outlier *rule, lb_causes asked, uint64_t drawn) {
    static const lb_cause order[] = {LB_CAUSE_TRIAL, LB_CAUSE_GATEWAY, LB_CAUSE_5XX, LB_CAUSE_LOCAL,
                                     LB_CAUSE_SUCCESS_RATE, LB_CAUSE_FAILURE_PERCENTAGE};
    for (unsigned i = 0; i < sizeof order / sizeof *order; i++) {
        if (!(asked & SET(order[i]))) continue;
        if (drawn % 100 < rule->enforce[order[i]]) return order[i];
        drawn /= 100;                       /* each has a number of its own: six of two digits */
    }
    return LB_CAUSE_NONE;
}

bool lb_outlier_may(const lb_outlier *rule, uint32_t n_ejected, uint32_t n_targets) {
    return (rule->always_one && n_ejected == 0) || (n_ejected + 1ull) * 100 <= (uint64_t)rule->max_percent * n_targets;
}

/* What is left of the multiplier after the time in service.  Without an interval every moment is one. */
static uint64_t remaining(const lb_outlier *rule, const lb_record *record, uint64_t now_ns) {
    uint64_t so_far = lb_word_glance(&record->ejections), since = lb_word_glance(&record->recovered_ns);
    if (rule->interval_ns == 0) return 0;
    uint64_t credit = now_ns > since ? (now_ns - since) / rule->interval_ns : 0;
    return credit < so_far ? so_far - credit : 0;
}

/* It grows while base * multiplier < max + base: with base = 10 and max = 35 up to 5. */
static uint64_t grown(const lb_outlier *rule, uint64_t multiplier) {
    if (multiplier == 0 || rule->base_ns == 0) return 1;
    uint64_t room = rule->max_ns / rule->base_ns + (rule->max_ns % rule->base_ns != 0);
    return multiplier <= room && multiplier < UINT64_MAX ? multiplier + 1 : multiplier;
}

static uint64_t sum(uint64_t a, uint64_t b) { return a < UINT64_MAX - b ? a + b : UINT64_MAX; }

/* At least 1 ns, so that no ejection is over before it began. */
static uint64_t length_ns(const lb_outlier *rule, uint64_t multiplier, uint64_t drawn) {
    uint64_t jitter = rule->jitter_ns == UINT64_MAX ? drawn : drawn % (rule->jitter_ns + 1);
    bool longest = rule->base_ns > rule->max_ns / multiplier;
    uint64_t length = sum(longest ? rule->max_ns : rule->base_ns * multiplier, jitter);
    return length ? length : 1;
}

bool lb_outlier_eject(const lb_outlier *rule, lb_record *record, uint64_t drawn, uint64_t now_ns) {
    uint64_t expected = lb_word_read(&record->ejected_until_ns);
    if (expected != 0) return false;
    uint64_t multiplier = grown(rule, remaining(rule, record, now_ns));
    uint64_t until = sum(now_ns, length_ns(rule, multiplier, drawn));
    if (until == LB_NEVER) until--;                             /* it ends, however late */
    lb_word_note(&record->trial, rule->half_open ? rule->half_open_successes : 0);
    if (!lb_word_swap(&record->ejected_until_ns, &expected, until)) return false;
    lb_word_note(&record->ejections, multiplier);
    return true;
}

bool lb_outlier_recover(lb_record *record, uint64_t now_ns, bool early) {
    uint64_t until = lb_word_read(&record->ejected_until_ns);
    if (until == 0 || (until > now_ns && !early)) return false;
    lb_word_note(&record->streaks, 0);
    lb_word_note(&record->recovered_ns, now_ns);
    lb_word_note(&record->slow_since_ns, now_ns ? now_ns : 1);  /* 0: it never did */
    return lb_word_swap(&record->ejected_until_ns, &until, 0);
}

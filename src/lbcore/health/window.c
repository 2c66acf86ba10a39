/* window: counting by interval, and what the two statistical detectors make of it.
 *
 *   rate    success rate in 2^-20, a whole number: sums are exact, and equal targets are equal
 *
 * Source  Envoy's outlier_detection_impl: successRateEjectionThreshold = mean - factor * population deviation, over the
 *         targets with enough calls; failure percentage at or above its threshold.
 * Cost    add O(1); judge O(n), once an interval.
 * Keeps   see window.h.  An interval is judged once: who moves lb_common.judged on does it.
 */
#include "health/window.h"
#include "health/outlier.h"

#define COUNT_BITS 20
#define COUNT_MASK ((1ull << COUNT_BITS) - 1)
#define TAG_MASK ((1ull << 24) - 1)
#define LATE 256                    /* a word that is up to so many intervals ahead is newer; else it is ages old */

static uint64_t tag_of(uint64_t word) { return word >> 2 * COUNT_BITS; }
static uint64_t successes_of(uint64_t word) { return word >> COUNT_BITS & COUNT_MASK; }
static uint64_t calls_of(uint64_t word) { return word & COUNT_MASK; }

void lb_window_add(lb_record *record, uint64_t interval, bool success) {
    lb_word *at = &record->window[interval % 2];
    uint64_t word = lb_word_read(at), next, tag = interval & TAG_MASK;
    do {
        uint64_t ahead = (tag_of(word) - tag) & TAG_MASK;
        if (ahead > 0 && ahead < LATE && calls_of(word)) return;
        next = ahead ? tag << 2 * COUNT_BITS : word;
        if (calls_of(next) == LB_MAX_VOLUME) return;
        next += 1 + ((uint64_t)success << COUNT_BITS);
    } while (!lb_word_swap(at, &word, next));
}

/* The word of an interval without its tag. */
static uint64_t counts_in(const lb_record *record, uint64_t interval) {
    uint64_t word = lb_word_read(&record->window[interval % 2]);
    return tag_of(word) == (interval & TAG_MASK) ? word & ((1ull << 2 * COUNT_BITS) - 1) : 0;
}

uint32_t lb_window_calls(const lb_record *record, uint64_t interval, uint32_t *successes) {
    uint64_t counts = counts_in(record, interval);
    *successes = (uint32_t)successes_of(counts);
    return (uint32_t)calls_of(counts);
}

/* ---- whose turn it is ------------------------------------------------------------------------------------- */

uint64_t lb_outlier_due_ns(const lb_outlier *rule, uint64_t now_ns) {
    if (!lb_outlier_judges(rule)) return LB_NEVER;
    uint64_t begun = now_ns - now_ns % rule->interval_ns;
    return begun < LB_NEVER - rule->interval_ns ? begun + rule->interval_ns : LB_NEVER;
}

/* judged is the time up to which is judged: workers whose intervals differ still take turns. */
bool lb_outlier_is_my_turn(const lb_outlier *rule, lb_common *common, uint64_t now_ns) {
    if (!lb_outlier_judges(rule)) return false;
    uint64_t begun = now_ns - now_ns % rule->interval_ns, judged = lb_word_read(&common->judged);
    return begun > judged && lb_word_swap(&common->judged, &judged, begun);
}

/* ---- the two detectors ------------------------------------------------------------------------------------ */

static uint64_t rate_of(uint64_t counts) { return (successes_of(counts) << 20) / calls_of(counts); }

static bool has(uint64_t counts, uint32_t volume) { return calls_of(counts) && calls_of(counts) >= volume; }

static uint32_t n_with(const uint64_t *counts, uint32_t n, uint32_t volume) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++) found += has(counts[i], volume);
    return found;
}

/* How far below the mean, times the number of targets: a whole number. */
static int64_t below_mean(uint64_t counts, uint64_t total, uint32_t n_rates) {
    return (int64_t)total - (int64_t)(rate_of(counts) * n_rates);
}

/* rate < mean - f * sqrt(sum of squares / k), where all differences are k times too large; squared, so that it needs no
 * root: below > 0 and below^2 * k > f^2 * squares. */
static void judge_rates(const lb_outlier *rule, const uint64_t *counts, uint32_t n, lb_causes *asked) {
    uint32_t k = n_with(counts, n, rule->rate_volume);
    if (rule->rate_hosts == 0 || k == 0 || k < rule->rate_hosts) return;
    uint64_t total = 0;
    double squares = 0, factor = rule->rate_factor_permille;
    for (uint32_t i = 0; i < n; i++)
        if (has(counts[i], rule->rate_volume)) total += rate_of(counts[i]);
    for (uint32_t i = 0; i < n; i++) {
        if (!has(counts[i], rule->rate_volume)) continue;
        double below = (double)below_mean(counts[i], total, k);
        squares += below * below;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!has(counts[i], rule->rate_volume)) continue;
        double below = (double)below_mean(counts[i], total, k);
        if (below > 0 && below * below * k * 1e6 > factor * factor * squares) asked[i] |= 1u << LB_CAUSE_SUCCESS_RATE;
    }
}

static void judge_failures(const lb_outlier *rule, const uint64_t *counts, uint32_t n, lb_causes *asked) {
    uint32_t k = n_with(counts, n, rule->failure_volume);
    if (rule->failure_percent == 0 || k == 0 || k < rule->failure_hosts) return;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t calls = calls_of(counts[i]), failures = calls - successes_of(counts[i]);
        if (has(counts[i], rule->failure_volume) && failures * 100 >= calls * rule->failure_percent)
            asked[i] |= 1u << LB_CAUSE_FAILURE_PERCENTAGE;
    }
}

uint32_t lb_outlier_judge(const lb_outlier *rule, lb_record *const *record, uint32_t n, uint64_t *scratch,
                          lb_causes *asked, uint64_t now_ns) {
    uint32_t n_asked = 0;
    for (uint32_t i = 0; i < n; i++) asked[i] = 0;
    if (!lb_outlier_judges(rule) || now_ns < rule->interval_ns) return 0;
    uint64_t last = now_ns / rule->interval_ns - 1;
    for (uint32_t i = 0; i < n; i++)
        scratch[i] = lb_word_read(&record[i]->ejected_until_ns) ? 0 : counts_in(record[i], last);
    judge_rates(rule, scratch, n, asked);
    judge_failures(rule, scratch, n, asked);
    for (uint32_t i = 0; i < n; i++) n_asked += asked[i] != 0;
    return n_asked;
}

/* passive: ejection by consecutive failures, with a length that grows and shrinks.
 *
 *   ejections   0   1           2              1 (one base interval in service)
 *   service  ...x###>-------x#######>-------.-------------> time
 *               base        2 * base         base
 *
 * Source  Envoy's outlier detection: ejection time = base * number of ejections, at most max; at most
 *         max_percent of the hosts, but one always.
 * Cost    O(1).
 * Keeps   sums and products stop at the end of their range; a clock that stands still or goes back only
 *         means that no time in service is credited.
 */
#include "health/passive.h"

#define SECOND_NS 1000000000u

const lb_passive lb_passive_default = {
    .failures = 3, .max_percent = 50, .base_ns = 10ull * SECOND_NS, .max_ns = 300ull * SECOND_NS,
};

const lb_passive lb_passive_off = {0};

bool lb_passive_count(const lb_passive *rule, lb_record *record, lb_verdict verdict) {
    if (verdict == LB_SUCCESS) record->failures = 0;
    if (verdict != LB_FAILURE) return false;
    if (record->failures < UINT32_MAX) record->failures++;
    return rule->failures && record->failures >= rule->failures && !(record->off & LB_OFF_EJECTED);
}

bool lb_passive_may(const lb_passive *rule, uint32_t n_ejected, uint32_t n_targets) {
    return n_ejected == 0 || (n_ejected + 1ull) * 100 <= (uint64_t)rule->max_percent * n_targets;
}

/* What is left of the multiplier after the time in service.  Without a base every moment is an interval. */
static uint32_t remaining(const lb_passive *rule, const lb_record *record, uint64_t now_ns) {
    if (rule->base_ns == 0) return 0;
    uint64_t service_ns = now_ns > record->recovered_ns ? now_ns - record->recovered_ns : 0;
    uint64_t credit = service_ns / rule->base_ns;
    return credit < record->ejections ? record->ejections - (uint32_t)credit : 0;
}

/* At least 1 ns, so that no ejection is over before it began. */
static uint64_t length_ns(const lb_passive *rule, uint32_t ejections) {
    uint64_t longest = rule->max_ns ? rule->max_ns : 1;
    if (rule->base_ns == 0) return 1;
    return rule->base_ns > longest / ejections ? longest : rule->base_ns * ejections;
}

uint64_t lb_passive_eject(const lb_passive *rule, lb_record *record, uint64_t now_ns) {
    uint32_t so_far = remaining(rule, record, now_ns);
    record->ejections = so_far < UINT32_MAX ? so_far + 1 : so_far;
    uint64_t length = length_ns(rule, record->ejections), last = LB_NEVER - 1;      /* it ends, however late */
    record->ejected_until_ns = now_ns < last && length < last - now_ns ? now_ns + length : last;
    record->off |= LB_OFF_EJECTED;
    return record->ejected_until_ns;
}

void lb_passive_recover(lb_record *record, uint64_t now_ns) {
    record->off &= ~(uint32_t)LB_OFF_EJECTED;
    record->failures = 0;
    record->ejected_until_ns = 0;
    record->recovered_ns = now_ns;
}

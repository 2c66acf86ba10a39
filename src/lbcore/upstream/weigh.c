/* weigh: who serves with which weight at a moment, and what each priority takes.
 *
 *   record: unhealthy, ejected, held, draining, disabled,   levels: how many of each priority serve
 *           slow start
 *          | weigh                                                 | share
 *          v                                                       v
 *   weight of each member (0: out)                          percent of the load, panic
 *
 * Slow    while anybody starts slowly all weights are multiplied by up to 64, so that small ones have steps too.  Keyed
 *         policies place keys by configured weights: there nobody starts slowly.
 * Source  upstream.h, lb_levels: Envoy's priority load and panic, in whole percents as there.  Kong's threshold: nobody
 *         serves unless more than that percentage of the weight is available.
 * Cost    O(n).
 * Keeps   reads records, changes none: what is over at now_ns is read as over.
 */
#include "upstream/internal.h"

#define FINEST 64u

uint32_t lb_off_at(const lb_record *record, uint64_t now_ns) {
    uint32_t off = lb_record_off(record);
    if ((off & LB_OFF_EJECTED) && now_ns >= lb_word_read(&record->ejected_until_ns)) off &= ~(uint32_t)LB_OFF_EJECTED;
    if ((off & LB_OFF_HELD) && now_ns >= lb_word_read(&record->held_until_ns)) off &= ~(uint32_t)LB_OFF_HELD;
    return off;
}

/* An ejection that is over and not ended yet. */
static bool is_over(const lb_record *record, uint64_t now_ns) {
    uint64_t until_ns = lb_word_read(&record->ejected_until_ns);
    return until_ns && now_ns >= until_ns;
}

/* ---- slow start ------------------------------------------------------------------------------------------------- */

/* When its slow start began; 0: it has none.  One that comes back now begins now. */
static uint64_t slow_since(const lb_slow_start *slow, const lb_record *record, uint64_t now_ns) {
    if (slow->window_ns == 0) return 0;
    uint64_t since_ns = is_over(record, now_ns) ? now_ns : lb_word_read(&record->slow_since_ns);
    return now_ns < since_ns || now_ns - since_ns < slow->window_ns ? since_ns : 0;
}

static uint32_t slow_step(const lb_slow_start *slow, uint64_t since_ns, uint64_t now_ns) {
    uint64_t age_ns = now_ns > since_ns ? now_ns - since_ns : 0;
    for (uint32_t step = 1; step < LB_SLOW_STEPS; step++)
        if (age_ns < slow->window_ns / LB_SLOW_STEPS * step) return step - 1;
    return LB_SLOW_STEPS - 1;
}

/* When the next step begins; the last one ends with the window. */
static uint64_t next_step_ns(const lb_slow_start *slow, uint64_t since_ns, uint32_t step) {
    bool last = step == LB_SLOW_STEPS - 1;
    uint64_t after_ns = last ? slow->window_ns : slow->window_ns / LB_SLOW_STEPS * (step + 1);
    return after_ns < LB_NEVER - since_ns ? since_ns + after_ns : LB_NEVER;
}

/* The factor for all weights; 1 unless somebody who serves starts slowly. */
static uint32_t fineness(const lb_upstream *up, const lb_view *view, const lb_members *members, uint64_t now_ns) {
    uint32_t most = 1;
    bool slow = false;
    for (uint32_t i = 0; i < view->n_members; i++) {
        const lb_record *record = lb_record_of(up->state, view->slot[i]);
        if (members->weight[i] > most) most = members->weight[i];
        slow = slow || (!lb_off_at(record, now_ns) && slow_since(&up->spec.slow_start, record, now_ns));
    }
    uint32_t fine = slow ? FINEST : 1;
    while (fine > 1 && (uint64_t)most * fine > LB_MAX_WEIGHT) fine /= 2;
    return fine;
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* The weight of one who serves, in units of 1/fine; *due_ns comes down to where it changes. */
static uint32_t serving(const lb_slow_start *slow, const lb_record *record, uint64_t weight, uint64_t now_ns,
                        uint64_t *due_ns) {
    uint64_t since_ns = slow_since(slow, record, now_ns);
    if (!since_ns || weight == 0) return (uint32_t)weight;
    uint32_t step = slow_step(slow, since_ns, now_ns);
    *due_ns = earlier(*due_ns, next_step_ns(slow, since_ns, step));
    uint64_t slowed = weight * slow->step[step] >> 16;
    return slowed ? (uint32_t)slowed : 1;
}

/* When what keeps a target out is over by itself. */
static uint64_t back_ns(const lb_record *record, uint64_t now_ns) {
    uint64_t ejected_ns = lb_word_read(&record->ejected_until_ns), held_ns = lb_word_read(&record->held_until_ns);
    uint64_t due_ns = ejected_ns > now_ns ? ejected_ns : LB_NEVER;
    return held_ns > now_ns ? earlier(due_ns, held_ns) : due_ns;
}

/* Too little is left: nobody serves. */
static void close_down(lb_view *view, double threshold) {
    uint64_t available = 0, total = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        total += view->full[i];
        if (view->weight[i]) available += view->full[i];
    }
    if (!lb_checks_suffice(threshold, available, total)) memset(view->weight, 0, view->n_members * sizeof *view->weight);
}

uint64_t lb_weigh(const lb_upstream *up, lb_view *view, const lb_members *members, uint64_t now_ns) {
    static const lb_slow_start none = {0};
    const lb_slow_start *slow = up->spec.policy->walk ? &none : &up->spec.slow_start;
    uint64_t due_ns = LB_NEVER;
    uint32_t fine = slow->window_ns ? fineness(up, view, members, now_ns) : 1;
    for (uint32_t i = 0; i < view->n_members; i++) {
        const lb_record *record = lb_record_of(up->state, view->slot[i]);
        view->full[i] = members->weight[i] * fine;
        view->weight[i] = 0;
        if (lb_off_at(record, now_ns)) due_ns = earlier(due_ns, back_ns(record, now_ns));
        else view->weight[i] = serving(slow, record, view->full[i], now_ns, &due_ns);
    }
    if (up->spec.health.threshold > 0) close_down(view, up->spec.health.threshold);
    return due_ns;
}

/* ---- levels ----------------------------------------------------------------------------------------------------- */

uint32_t lb_level_count(const lb_view *view, const lb_members *members, const uint32_t *part, uint32_t n,
                        lb_level *level) {
    uint32_t n_of[LB_MAX_PRIORITIES] = {0}, n_all[LB_MAX_PRIORITIES] = {0}, n_usable[LB_MAX_PRIORITIES] = {0};
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = part ? part[k] : k, priority = members->place[i].priority;
        n_of[priority]++;
        n_all[priority] += view->full[i] > 0;
        n_usable[priority] += view->weight[i] > 0;
    }
    uint32_t n_levels = 0;
    for (uint32_t p = 0; p < LB_MAX_PRIORITIES; p++)
        if (n_of[p]) level[n_levels++] = (lb_level){.priority = p, .n_all = n_all[p], .n_usable = n_usable[p]};
    return n_levels;
}

/* 0..100: how much of the whole load a level could take. */
static uint32_t health_of(const lb_levels *rule, const lb_level *level) {
    if (level->n_usable == 0) return 0;
    uint64_t percent = rule->overprovisioning ? (uint64_t)rule->overprovisioning * level->n_usable / level->n_all : 100;
    return percent < 100 ? (uint32_t)percent : 100;
}

static uint32_t total_health(const lb_levels *rule, const lb_level *level, uint32_t n) {
    uint32_t total = 0;
    for (uint32_t l = 0; l < n && total < 100; l++) total += health_of(rule, &level[l]);
    return total < 100 ? total : 100;
}

/* "Health panic": below the threshold health says more about the checks than about the targets. */
static bool mark_panic(const lb_levels *rule, lb_level *level, uint32_t n) {
    bool all = true;
    for (uint32_t l = 0; l < n; l++) {
        level[l].panic = level[l].n_all == 0 || 100ull * level[l].n_usable < (uint64_t)rule->panic * level[l].n_all;
        all = all && level[l].panic;
    }
    return all;
}

/* By numbers of targets; what rounding leaves goes to the first that has any. */
static void share_by_number(lb_level *level, uint32_t n) {
    uint64_t total = 0, left = 100, first = n;
    for (uint32_t l = 0; l < n; l++) total += level[l].n_all;
    for (uint32_t l = 0; l < n && total; l++) {
        level[l].percent = (uint32_t)(100ull * level[l].n_all / total);
        left -= level[l].percent;
        if (first == n && level[l].n_all) first = l;
    }
    if (first < n) level[first].percent += (uint32_t)left;
}

static void share_by_health(const lb_levels *rule, lb_level *level, uint32_t n, uint32_t total) {
    uint32_t left = 100, first = n;
    for (uint32_t l = 0; l < n && total; l++) {
        uint32_t wanted = health_of(rule, &level[l]) * 100 / total;
        level[l].percent = wanted < left ? wanted : left;
        left -= level[l].percent;
        if (first == n && wanted) first = l;
    }
    if (first < n) level[first].percent += left;
}

void lb_level_share_all(lb_level *level, uint32_t n) {
    for (uint32_t l = 0; l < n; l++) level[l].panic = true;
    share_by_number(level, n);
}

void lb_level_share(const lb_levels *rule, lb_level *level, uint32_t n) {
    uint32_t total = total_health(rule, level, n);
    if (rule->panic && total < 100 && mark_panic(rule, level, n)) share_by_number(level, n);
    else share_by_health(rule, level, n, total);
}

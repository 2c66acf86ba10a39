/* judge: what outcomes do to the state of a target.
 *
 *   outcome --outlier.h--> a detector asks --enforced? room?--> ejected      \
 *           --checks.h---> counters of Kong's checks ---------> unhealthy     > one word of the record, an event, the epoch
 *           --pause.h----> retry_after -----------------------> held         /
 *
 * Cost    O(1); the end of an interval O(n).
 * Keeps   any number of readers may tell outcomes beside the writer.
 *         Who wins the transition of a word tells the event and raises the epoch; nothing is allocated but the queue of
 *         events with the first one, and what the end of an interval works with: without memory nobody is judged then.
 */
#include "upstream/internal.h"

#include "base/alloc.h"

static lb_event complete(const lb_upstream *up, lb_event event, uint64_t now_ns) {
    const lb_record *record = lb_record_of(up->state, event.slot);
    event.generation = lb_generation_of(up->state, event.slot);
    event.at_ns = now_ns;
    if (event.kind == LB_EVENT_EJECTED) event.until_ns = lb_word_read(&record->ejected_until_ns);
    if (event.kind == LB_EVENT_HELD) event.until_ns = lb_word_read(&record->held_until_ns);
    if (event.kind == LB_EVENT_DRAINING) event.until_ns = lb_word_read(&record->drain_until_ns);
    if (event.until_ns == LB_NEVER) event.until_ns = 0;
    return event;
}

void lb_upstream_tell(lb_upstream *up, lb_event event, uint64_t now_ns) {
    lb_events_push(&up->events, complete(up, event, now_ns));
}

/* An event, which makes all pictures old. */
static void tell(const lb_teller *by, lb_event event, uint64_t now_ns) {
    if (by->reader) lb_reader_tell(by->reader, complete(by->up, event, now_ns));
    else lb_upstream_tell(by->up, event, now_ns);
}

static uint64_t chance(const lb_teller *by) {
    return lb_rng_next(by->reader ? lb_reader_chance(by->reader) : &by->up->chance);
}

/* ---- detectors -------------------------------------------------------------------------------------------------- */

static uint32_t limit_of(const lb_outlier *rule, lb_cause cause) {
    switch (cause) {
    case LB_CAUSE_5XX: return rule->consecutive_5xx;
    case LB_CAUSE_GATEWAY: return rule->consecutive_gateway;
    case LB_CAUSE_LOCAL: return rule->consecutive_local;
    case LB_CAUSE_TRIAL: return 1;
    default: return 0;
    }
}

/* Count one ejection more before it is made, so that others who are about to make one know of it. */
static bool may_eject(const lb_teller *by) {
    uint32_t n = lb_counter_read(&by->up->n_ejected);
    do {
        if (!lb_outlier_may(&by->up->spec.health.outlier, n, by->picture->view->n_members)) return false;
    } while (!lb_counter_swap(&by->up->n_ejected, &n, n + 1));
    return true;
}

/* Not below 0: the writer may have taken stock meanwhile. */
void lb_upstream_uneject(lb_upstream *up) {
    uint32_t n = lb_counter_read(&up->n_ejected);
    while (n && !lb_counter_swap(&up->n_ejected, &n, n - 1)) continue;
}

static void eject(const lb_teller *by, uint32_t slot, lb_causes asked, uint64_t now_ns) {
    lb_upstream *up = by->up;
    const lb_outlier *rule = &up->spec.health.outlier;
    lb_cause cause = lb_outlier_enforced(rule, asked, chance(by));
    if (cause == LB_CAUSE_NONE || !may_eject(by)) return;
    if (!lb_outlier_eject(rule, lb_record_of(up->state, slot), chance(by), now_ns)) {
        lb_upstream_uneject(up);
        return;
    }
    if (rule->half_open) lb_counter_add(&up->n_trials, 1);      /* it comes back on trial, maybe before the next picture */
    lb_event event = {.kind = LB_EVENT_EJECTED, .slot = slot, .cause = cause, .failures = limit_of(rule, cause)};
    tell(by, event, now_ns);
    lb_upstream_stir(up);
}

static void detect(const lb_teller *by, uint32_t slot, const lb_outcome *outcome, uint64_t now_ns) {
    lb_upstream *up = by->up;
    const lb_outlier *rule = &up->spec.health.outlier;
    lb_record *record = lb_record_of(up->state, slot);
    bool trial = lb_outlier_on_trial(rule, record);
    lb_causes asked = lb_outlier_count(rule, record, outcome, now_ns);
    if (asked) eject(by, slot, asked, now_ns);
    else if (trial && !lb_outlier_on_trial(rule, record)) lb_upstream_stir(up);     /* its breaker has closed */
}

typedef struct bench {              /* what the end of an interval works with */
    lb_record **record;
    lb_causes *asked;
    uint64_t *scratch;
} bench;

/* Whose ejection is over is back first: it leaves room, and is judged like the others, as in Envoy. */
static void judge_all(lb_upstream *up, const bench *b, uint64_t now_ns) {
    const lb_view *view = up->hot.view;
    const lb_teller by = {up, NULL, up->picture};
    uint32_t n_ejected = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        b->record[i] = lb_record_of(up->state, view->slot[i]);
        lb_end_ejection(up, view->slot[i], now_ns);
        n_ejected += (lb_record_off(b->record[i]) & LB_OFF_EJECTED) != 0;
    }
    lb_counter_write(&up->n_ejected, n_ejected);
    (void)lb_outlier_judge(&up->spec.health.outlier, b->record, view->n_members, b->scratch, b->asked, now_ns);
    for (uint32_t i = 0; i < view->n_members; i++)
        if (b->asked[i]) eject(&by, view->slot[i], b->asked[i], now_ns);
}

void lb_judge_interval(lb_upstream *up, uint64_t now_ns) {
    const lb_outlier *rule = &up->spec.health.outlier;
    up->judge_due_ns = lb_outlier_due_ns(rule, now_ns);
    if (!lb_outlier_is_my_turn(rule, up->state->common, now_ns)) return;
    size_t n = up->hot.view->n_members;
    bench b = {.record = lb_alloc_array(n, sizeof *b.record), .asked = lb_alloc_zero(n, sizeof *b.asked),
               .scratch = lb_alloc_array(n, sizeof *b.scratch)};
    if (b.record && b.asked && b.scratch) judge_all(up, &b, now_ns);
    lb_free(b.record);
    lb_free(b.asked);
    lb_free(b.scratch);
}

/* ---- checks ----------------------------------------------------------------------------------------------------- */

static void count(const lb_teller *by, uint32_t slot, const lb_check_limits *limits, const lb_outcome *outcome,
                  uint64_t now_ns) {
    lb_record *record = lb_record_of(by->up->state, slot);
    lb_check_change change = lb_checks_count(limits, record, outcome);
    if (change == LB_CHECK_SAME || (lb_word_read(&record->marks) & LB_MARK_UNHEALTHY)) return;  /* it is out by hand */
    if (change == LB_CHECK_ROSE) lb_word_write(&record->slow_since_ns, now_ns);
    lb_event_kind kind = change == LB_CHECK_ROSE ? LB_EVENT_HEALTHY : LB_EVENT_UNHEALTHY;
    tell(by, (lb_event){.kind = kind, .slot = slot}, now_ns);
    lb_upstream_stir(by->up);
}

void lb_upstream_checked(lb_upstream *up, uint32_t member, const lb_outcome *outcome, uint64_t now_ns) {
    if (member >= up->hot.view->n_members) return;
    now_ns = lb_upstream_tend(up, now_ns);
    count(&(lb_teller){up, NULL, up->picture}, up->hot.view->slot[member], &up->spec.health.active, outcome, now_ns);
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

static void pause_for(const lb_teller *by, uint32_t slot, const lb_report *report, uint64_t now_ns) {
    bool moved = false;
    lb_upstream *up = by->up;
    lb_record *record = lb_record_of(up->state, slot);
    if (!lb_pause_hold(record, report->pause_ns, up->spec.health.max_hold_ns, now_ns, &moved)) return;
    if (!moved) tell(by, (lb_event){.kind = LB_EVENT_HELD, .slot = slot, .status = report->outcome.status}, now_ns);
    lb_upstream_stir(up);
}

/* What the policy learns, and whether the call is to stay counted. */
static void learn(const lb_teller *by, lb_call *call, bool failed, uint64_t latency_ns, uint64_t now_ns) {
    lb_upstream *up = by->up;
    const lb_policy *policy = up->spec.policy;
    if (failed && policy->load_aware && up->spec.limits.hold_ns)
        call->hold_until_ns = now_ns + up->spec.limits.hold_ns;
    if (!policy->observe) return;
    if (latency_ns == LB_NEVER) latency_ns = now_ns > call->started_ns ? now_ns - call->started_ns : 0;
    lb_seen seen = {.now_ns = now_ns, .latency_ns = latency_ns, .failed = failed};
    policy->observe(by->picture->scope[0].group[0].policy_state, up->state, call->slot, &seen);
}

/* A success of a target without a past: the most frequent report has nothing to do. */
static bool changes_nothing(const lb_upstream *up, uint32_t slot, const lb_report *report) {
    const lb_record *record = lb_record_of(up->state, slot);
    return report->outcome.verdict == LB_SUCCESS && up->unwatched && !report->pause_ns
           && !lb_word_glance(&record->streaks) && !lb_word_glance(&record->trial);
}

static inline void judge(const lb_teller *by, lb_call *call, const lb_report *report, uint64_t now_ns) {
    lb_upstream *up = by->up;
    lb_verdict verdict = lb_outcome_verdict(&report->outcome);
    if (verdict == LB_FAILURE || (verdict == LB_SUCCESS && up->spec.policy->observe))
        learn(by, call, verdict == LB_FAILURE, report->latency_ns, now_ns);
    detect(by, call->slot, &report->outcome, now_ns);
    if (lb_checks_count_any(&up->spec.health.passive))
        count(by, call->slot, &up->spec.health.passive, &report->outcome, now_ns);
    if (report->pause_ns) pause_for(by, call->slot, report, now_ns);
}

void lb_judge(const lb_teller *by, lb_call *call, const lb_report *report, uint64_t now_ns) {
    judge(by, call, report, now_ns);
}

void lb_upstream_report(lb_upstream *up, lb_call *call, const lb_report *report, uint64_t now_ns) {
    if (!up->spec.policy->observe && changes_nothing(up, call->slot, report)) return;
    const lb_seat *seat = lb_seat_of(up->state, call->slot);
    if (lb_counter_read(&seat->generation) != call->generation || lb_flag_read(&seat->leaving)) return;
    now_ns = lb_upstream_tend(up, now_ns);
    judge(&(lb_teller){up, NULL, up->picture}, call, report, now_ns);
}

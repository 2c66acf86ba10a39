/* call: the life of one call: acquire, report, release.
 *
 * Cost    the choice, and O(1); report O(1) unless it ejects (then a new picture).
 * Keeps   a slot's in-flight counter is the number of open and held calls of its present generation.
 */
#include "upstream/internal.h"

void lb_upstream_begin_on(lb_upstream *up, uint32_t member, uint64_t now_ns, lb_call *call) {
    uint32_t slot = up->hot.view->slot[member];
    lb_counter_add(lb_in_flight(up->state, slot), 1);
    up->in_flight++;
    *call = (lb_call){
        .member = member, .slot = slot, .generation = lb_record_of(up->state, slot)->generation, .started_ns = now_ns,
    };
}

bool lb_upstream_acquire(lb_upstream *up, uint64_t now_ns, lb_call *call) {
    uint32_t member = lb_upstream_pick(up, now_ns);
    if (member != LB_NONE) lb_upstream_begin_on(up, member, now_ns, call);
    return member != LB_NONE;
}

bool lb_upstream_begin(lb_upstream *up, const lb_want *want, uint64_t now_ns, lb_call *call) {
    uint32_t member = lb_upstream_choose(up, want, now_ns);
    if (member != LB_NONE) lb_upstream_begin_on(up, member, now_ns, call);
    return member != LB_NONE;
}

void lb_upstream_first_try(lb_upstream *up, uint64_t now_ns) { lb_budget_earn(&up->budget, now_ns); }

bool lb_upstream_may_retry(lb_upstream *up, uint64_t now_ns) {
    const lb_limits *limits = &up->spec.limits;
    return lb_budget_spend(&up->budget, limits->retry_percent, limits->retry_per_second, now_ns);
}

/* The record says so at once; if there is no memory for the picture, it is overdue from now on. */
static void eject(lb_upstream *up, uint32_t slot, uint64_t now_ns) {
    lb_passive_eject(&up->spec.passive, lb_record_of(up->state, slot), now_ns);
    up->n_ejected++;
    lb_upstream_tell(up, LB_EVENT_EJECTED, slot, now_ns);
    if (!lb_upstream_publish(up, now_ns, NULL)) return;
    up->picture_due_ns = 1;                             /* not 0: who tells no time fires nothing */
    lb_upstream_set_due(up);
}

/* What the policy learns, and whether the call is to stay counted. */
static void learn(lb_upstream *up, lb_call *call, bool failed, uint64_t latency_ns, uint64_t now_ns) {
    const lb_policy *policy = up->spec.policy;
    if (failed && policy->load_aware && up->spec.limits.hold_ns)
        call->hold_until_ns = now_ns + up->spec.limits.hold_ns;
    if (!policy->observe) return;
    if (latency_ns == LB_NEVER) latency_ns = now_ns > call->started_ns ? now_ns - call->started_ns : 0;
    lb_seen seen = {.now_ns = now_ns, .latency_ns = latency_ns, .failed = failed};
    policy->observe(up->picture->scope[0].group[0].policy_state, up->state, call->slot, &seen);
}

void lb_upstream_report(lb_upstream *up, lb_call *call, lb_verdict verdict, uint64_t latency_ns, uint64_t now_ns) {
    lb_record *record = lb_record_of(up->state, call->slot);
    if (record->generation != call->generation || record->leaving) return;
    lb_upstream_fire(up, now_ns);
    if (verdict == LB_FAILURE || (verdict == LB_SUCCESS && up->spec.policy->observe))
        learn(up, call, verdict == LB_FAILURE, latency_ns, now_ns);
    if (!lb_passive_count(&up->spec.passive, record, verdict)) return;
    if (lb_passive_may(&up->spec.passive, up->n_ejected, up->hot.view->n_members)) eject(up, call->slot, now_ns);
}

/* Without memory to remember it, a failed call is released like any other. */
static bool hold(lb_upstream *up, const lb_call *call) {
    lb_record *record = lb_record_of(up->state, call->slot);
    if (record->generation != call->generation || record->leaving) return false;
    if (!lb_holds_add(&up->holds, (lb_hold){call->slot, call->generation, call->hold_until_ns})) return false;
    record->n_held++;
    lb_upstream_set_due(up);
    return true;
}

void lb_upstream_release(lb_upstream *up, const lb_call *call) {
    if (call->hold_until_ns && hold(up, call)) return;
    if (lb_state_finish(up->state, call->slot, call->generation)) up->in_flight--;
}

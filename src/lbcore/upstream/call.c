/* call: the life of one call: acquire, release; what its outcome does stands in judge.c.
 *
 * Cost    the choice, and O(1).
 * Keeps   a slot's in-flight counter is the number of open and held calls of its present generation, and of those of the
 *         other workers where State is shared.
 */
#include "upstream/internal.h"

void lb_upstream_begin_on(lb_upstream *up, uint32_t member, uint64_t now_ns, lb_call *call) {
    uint32_t slot = up->hot.view->slot[member];
    (void)lb_upstream_moment(up, now_ns);               /* a release tells no time of its own */
    uint32_t generation = lb_state_begin(up->state, slot);
    up->in_flight++;
    *call = (lb_call){.member = member, .slot = slot, .generation = generation, .started_ns = now_ns};
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

/* Without memory to remember it, a failed call is released like any other. */
static bool hold(lb_upstream *up, const lb_call *call) {
    lb_seat *seat = lb_seat_of(up->state, call->slot);
    if (lb_counter_read(&seat->generation) != call->generation || seat->leaving) return false;
    if (!lb_holds_add(&up->holds, (lb_hold){call->slot, call->generation, call->hold_until_ns})) return false;
    seat->n_held++;
    lb_upstream_set_due(up);
    return true;
}

void lb_upstream_release(lb_upstream *up, const lb_call *call) {
    if (!call->hold_until_ns || !hold(up, call)) {
        if (!lb_state_finish(up->state, call->slot, call->generation)) return;
        up->in_flight--;
    }
    if (up->n_draining) lb_upstream_drained(up, call->slot, up->told_ns);
}

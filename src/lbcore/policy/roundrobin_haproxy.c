/* roundrobin_haproxy: HAProxy's `balance roundrobin`, turn for turn.
 *
 * Source  haproxy_fwrr.h; checked against HAProxy 2.6.12 from a fresh start, with servers down too.
 * Change  a new View goes on where the old one stood, with HAProxy's own requeueing; see there.
 * Step    each ask spends a turn, whatever the step.
 * Peek    on a copy.
 * Cost    pick O(log n); peek O(n + step log n); build O(n log n); 120 bytes a target, the copy included.
 * Keeps   pick() moves the schedule, peek writes the copy: one caller at a time.
 */
#include "base/alloc.h"
#include "policy/haproxy_fwrr.h"

typedef struct state {
    lb_fwrr *schedule;
    lb_fwrr *copy;                      /* room for looking ahead */
} state;

static void destroy(void *st) {
    state *s = st;
    if (!s) return;
    lb_fwrr_free(s->schedule);
    lb_fwrr_free(s->copy);
    lb_free(s);
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)param;
    const state *before = previous;
    state *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    lb_status status = lb_fwrr_new(&s->schedule, view->n_members, err);
    if (!status) status = lb_fwrr_new(&s->copy, view->n_members, err);
    if (status) {
        destroy(s);
        return status;
    }
    lb_fwrr_start(s->schedule, view, before ? before->schedule : NULL, old_index);
    *out = s;
    return LB_OK;
}

static uint32_t pick(void *st, const lb_view *view, const lb_ask *ask) {
    state *s = st;
    if (view->n_usable == 0) return LB_NONE;
    if (!ask->peek) return lb_fwrr_next(s->schedule);
    lb_fwrr_copy(s->copy, s->schedule);
    uint32_t member = lb_fwrr_next(s->copy);
    for (uint32_t step = 0; step < ask->step; step++) member = lb_fwrr_next(s->copy);
    return member;
}

const lb_policy lb_policy_roundrobin_haproxy = {
    .name = "roundrobin_haproxy", .summary = "HAProxy's weighted round robin, in its order.",
    .build = build, .destroy = destroy, .pick = pick,
};

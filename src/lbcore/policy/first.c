/* first: failover order: the first usable target of the list serves, the others stand by.
 *
 * Source  the primary and backup servers of most balancers; HAProxy's `first` without its limits, which are the core's.
 * Weight  0 takes a target out; what it is otherwise changes nothing.
 * Step    asked again, the next usable one; after the last the first again.
 * Peek    the same: there is nothing to move.
 * Cost    pick O(1), build O(1), no memory.
 * Keeps   no state: any number of threads may pick at once.
 */
#include "policy/policy.h"

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)view, (void)param, (void)previous, (void)old_index, (void)err;
    *out = NULL;
    return LB_OK;
}

static uint32_t pick(void *st, const lb_view *view, const lb_ask *ask) {
    (void)st;
    return view->n_usable ? view->usable[ask->step % view->n_usable] : LB_NONE;
}

static void destroy(void *st) { (void)st; }

const lb_policy lb_policy_first = {
    .name = "first", .summary = "The first usable target of the list; the others stand by.",
    .build = build, .destroy = destroy, .pick = pick, .pure = true,
};

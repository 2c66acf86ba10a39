/* draws: the least loaded of a few random targets, what p2c, least_request, peak_ewma and large adaptive fleets share.
 *
 *   step 0     draw by weight, draw by weight, ...     the lightest of them; ties to the one drawn first
 *   step 1     the same without what step 0 told       and so on for 16 steps, each telling somebody new,
 *   step 16    whoever follows the last one told, and so on in turn: nobody is left out
 *
 * Draw    by weight, from an alias table.  A draw that hits the lightest so far says nothing; another target takes its
 *         place, uniformly: so two targets are always compared, and of a fleet that ties the first draw decides.
 * Peek    the same from a copy of the generator.
 * Cost    pick O(choices (step + 1)), build O(k), memory 16 bytes a target.
 * Keeps   a pick notes whom it told: in ask->kept, else in the state.
 */
#ifndef LBCORE_POLICY_DRAWS_H
#define LBCORE_POLICY_DRAWS_H

#include "policy/alias.h"

#define LB_DRAW_STEPS LB_KEPT_STEPS

typedef struct lb_draws {
    lb_alias *table;
    lb_kept told;                   /* by the ask under way, of a single caller */
} lb_draws;

/* How a policy compares: true if member a carries less than member b.  `rule` is the policy's own. */
typedef bool lb_lighter(const lb_view *view, const void *rule, uint32_t a, uint32_t b);

lb_status lb_draws_init(lb_draws *draws, const lb_view *view, lb_error *err);
void lb_draws_clear(lb_draws *draws);                                  /* accepts what lb_draws_init() never saw: all 0 */

/* What a policy's pick() is to return: a member, or LB_NONE where nobody is usable. */
uint32_t lb_draws_pick(lb_draws *draws, const lb_view *view, const lb_ask *ask, uint32_t choices, lb_lighter *lighter,
                       const void *rule);

/* Calls in flight at a member; 0 where members have no slots. */
static inline uint32_t lb_load_of(const lb_view *view, uint32_t member) {
    return view->state ? lb_counter_read(lb_in_flight(view->state, view->slot[member])) : 0;
}

#endif

/* split: draws a backend by weight, before a target is picked inside it.
 *
 * The first of the two levels: 75/25 between two backends stays 75/25 whatever number of targets each has.
 * It runs the round_robin scheduler over the backends' weights and knows nothing of health.
 * Cost    as a round_robin pick.
 */
#ifndef LBCORE_UPSTREAM_SPLIT_H
#define LBCORE_UPSTREAM_SPLIT_H

#include "base/status.h"

#define LB_MAX_BACKENDS 1024u

typedef struct lb_split lb_split;

/* n backends with weights 0..LB_MAX_WEIGHT, from the beginning of the schedule.  `previous` (may be NULL) hands over
 * its debts: old_index[i] is backend i's index there, LB_NONE for a new one; it stays valid.  Errors: "backends[i].weight". */
lb_status lb_split_new(lb_split **out, const uint32_t *weights, uint32_t n, uint64_t seed, const lb_split *previous,
                       const uint32_t *old_index, lb_error *err);
void lb_split_free(lb_split *split);                                   /* accepts NULL */

uint32_t lb_split_pick(lb_split *split);                               /* LB_NONE if all weights are 0 */

#endif

/* round_robin: what tools and tests may ask of its state. */
#ifndef LBCORE_POLICY_ROUND_ROBIN_H
#define LBCORE_POLICY_ROUND_ROBIN_H

#include "policy/policy.h"

/* What `member` is owed after the picks so far (peeking changes nothing), in 2^-32 pick, rounded down; 0 for one that
 * is not usable.  `state` is a round_robin's for `view`. */
int64_t lb_round_robin_debt(const void *state, const lb_view *view, uint32_t member);

#endif

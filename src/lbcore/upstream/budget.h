/* budget: how many retries an upstream may bear.
 *
 *   second     -9  -8  ...  -1   0        of the last ten
 *   first       4   7        5   2        tries that were first ones
 *   retries     0   1        1   0
 *
 * Rule    a retry is free while retries of the last 10 s < percent of the first tries of the last 10 s + 10 * per_second.
 * Source  Finagle's retry budget: 20 % and 10 a second, tokens live 10 s.
 * Cost    O(1) and 96 bytes.
 * Keeps   a clock that goes back spends and earns in the present second.
 */
#ifndef LBCORE_UPSTREAM_BUDGET_H
#define LBCORE_UPSTREAM_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define LB_BUDGET_SECONDS 10

typedef struct lb_budget {
    uint64_t second;                                    /* the latest, since the clock's beginning */
    uint32_t first[LB_BUDGET_SECONDS], retries[LB_BUDGET_SECONDS];     /* by second % 10 */
} lb_budget;

/* A call that is no retry. */
void lb_budget_earn(lb_budget *budget, uint64_t now_ns);

/* May one more retry be made?  If so, it counts. */
bool lb_budget_spend(lb_budget *budget, uint32_t percent, uint32_t per_second, uint64_t now_ns);

#endif

/* check: what the C tests need and no more; CHECK and RUN are in checking.h.
 *
 * Allocation failure: every_allocation_fails_once(scenario) runs the scenario with allocation number 0, 1, 2, ...
 * failing until it succeeds untouched.  The scenario returns LB_OK or the status it met, and must free everything
 * (AddressSanitizer's leak check proves it).
 */
#ifndef CHECK_H
#define CHECK_H

#include "checking.h"
#include "lbcore.h"

/* A policy's defaults, but small tables where a parameter's name speaks of slots or of a size: for tests that build
 * thousands of them.  All numbers are primes, for schemes that want one; 8,009 slots hold 40 of Kong's targets. */
static inline void small_params(const lb_policy *policy, double *param) {
    uint32_t n = lb_policy_defaults(policy, param);
    for (uint32_t i = 0; i < n; i++) {
        const lb_param *p = &policy->params[i];
        bool slots = strcmp(p->name, "slots") == 0, size = strstr(p->name, "size") != NULL;
        double before = param[i], wanted = slots ? 8009 : strstr(p->name, "maximum") ? 4093 : 251;
        if (!(slots || size) || before <= wanted) continue;
        param[i] = wanted < p->min ? p->min : wanted;
        if (policy->check && policy->check(param, NULL)) param[i] = before;
    }
}

/* Returns the number of allocations of the untouched run; fails the test if a failure was not reported as NOMEM. */
int every_allocation_fails_once(lb_status (*scenario)(void));

/* Count down to a failing allocation: the n-th from now fails (once); negative: none. */
void fail_allocation(int n);

#endif

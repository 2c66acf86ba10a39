/* envoy_hosts: what Envoy's two hashing policies have in common: the usable targets, and the life of the state.
 *
 *   lb_envoy            one a View
 *     table  ---------> lb_envoy_table      shared with the View before, while the same targets are usable
 *     order               recipe            weights and texts of the usable targets: equal recipes, equal tables
 *     balance             share             weight / total weight
 *                         lookup            the policy's: a ring, or Maglev's slots
 *
 * Owners in a lookup are places in view->usable, so that a target that joins unusable changes no table.
 *
 * Text    what is hashed of a target: its hash_key, else its address, ports and brackets included.
 * Shares  doubles, in Envoy's order of operations: what decides between two points of a ring is the rounding of its
 *         sums.  No statement here multiplies and adds, so that no compiler makes one rounding of the two.
 * Cost    build O(n) beside the lookup's; 12 bytes a target and its text.
 * Keeps   a table is read-only but for its number of users, which build() and destroy() count: one at a time.
 */
#ifndef LBCORE_POLICY_ENVOY_HOSTS_H
#define LBCORE_POLICY_ENVOY_HOSTS_H

#include "policy/policy.h"

#define LB_ENVOY_MAX_BALANCE 1000000        /* percent */
#define LB_ENVOY_BALANCE_DOC "Bound on a target's calls, in percent of its share of all; 0: none, else at least 100."

typedef struct lb_envoy_table {
    uint32_t n_users;               /* states that hold it */
    uint32_t n;                     /* usable targets */
    double *share;                  /* by place in view->usable */
    double least, most;             /* of all shares */
    char *recipe;
    size_t recipe_len;
    void *lookup;                   /* NULL where n is 0 */
} lb_envoy_table;

typedef struct lb_envoy {
    lb_envoy_table *table;
    uint32_t balance;               /* hash_balance_factor; 0: no bound */
    uint32_t *order;                /* with a bound: scratch for n places; else NULL */
} lb_envoy;

/* How a policy makes and drops its lookup. */
typedef struct lb_envoy_scheme {
    lb_status (*make)(void **lookup, const lb_view *view, const lb_envoy_table *table, const double *param,
                      lb_error *err);
    void (*drop)(void *lookup);     /* accepts NULL */
} lb_envoy_scheme;

/* A policy's build and destroy.  `balance` is the value of hash_balance_factor. */
lb_status lb_envoy_build(void **out, const lb_view *view, const lb_envoy_scheme *scheme, const double *param,
                         double balance, const void *previous, lb_error *err);
void lb_envoy_destroy(void *state, const lb_envoy_scheme *scheme);     /* accepts NULL */

/* What the range of hash_balance_factor cannot say. */
lb_status lb_envoy_check_balance(double balance, lb_error *err);

lb_str lb_envoy_text(const lb_view *view, uint32_t member);

/* A policy's hash. */
uint64_t lb_envoy_hash(const void *state, const lb_key *key);

/* How many steps a walk has: enough to meet each target of equal weights but for one walk in thousands.  Those that a
 * walk has not met are the core's. */
uint32_t lb_envoy_steps(const lb_envoy *s);

#endif

/* recipe: what a table was made from, so that the next build can tell that it would make the same one again.
 *
 *   member    | full weight | length | address | length | hash_key |      one after the other
 *
 * Health is not in it: tables that show unusable targets too are shared by all Views until names or weights change.
 * Cost    new O(n + bytes), equal O(bytes); 12 bytes and the texts a target.
 * Keeps   read-only after lb_recipe_new(), and independent of the View it was made from.
 */
#ifndef LBCORE_POLICY_RECIPE_H
#define LBCORE_POLICY_RECIPE_H

#include "policy/policy.h"

typedef struct lb_recipe lb_recipe;

/* LB_ERR_CONFIG ("policy") where the View's members have no names: there is nothing to hash. */
lb_status lb_recipe_new(lb_recipe **out, const lb_view *view, lb_error *err);
void lb_recipe_free(lb_recipe *recipe);                                /* accepts NULL */
bool lb_recipe_equal(const lb_recipe *a, const lb_recipe *b);

#endif

/* alias: random draws by weight, exactly and in constant time.
 *
 *   column      0      1      2      3        one for each place in view->usable, filled to W
 *             +----+ +----+ +----+ +----+
 *             | 2  | |    | | 1  | | 2  |     above the cut: what another place lends
 *             |----| | 1  | |----| |----|     cut
 *             | 0  | |    | | 2  | | 3  |     below it: the column's own
 *             +----+ +----+ +----+ +----+
 *
 * Source  A. J. Walker, ACM TOMS 3(3), 1977; the linear construction is M. D. Vose's, IEEE TSE 17(9), 1991.
 *         Place i weighs w_i * k against columns of height W, all integers: nothing is rounded.
 * Cost    draw O(1), 2 to 4 words of the generator; build O(k); 16 bytes a target.
 * Keeps   read-only after lb_alias_new().  Draws are unbiased: P(i) = w_i / W, not approximately.
 */
#ifndef LBCORE_POLICY_ALIAS_H
#define LBCORE_POLICY_ALIAS_H

#include "policy/policy.h"

typedef struct lb_alias lb_alias;

/* A table over view->usable. */
lb_status lb_alias_new(lb_alias **out, const lb_view *view, lb_error *err);
void lb_alias_free(lb_alias *table);                                   /* accepts NULL */

/* A place in view->usable, 0..n_usable-1; n_usable > 0. */
uint32_t lb_alias_draw(const lb_alias *table, lb_rng *rng);

#endif

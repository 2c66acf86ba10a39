/* hash_bounded: consistent hashing with bounded loads.
 *
 * Source  V. Mirrokni, M. Thorup, M. Zadimoghaddam, SODA 2018, over the table and the order of stable.h.
 * Rule    the first in the key's order with f_i < ceil(factor * (F + 1) * p_i) + margin: f_i are its calls in flight, F
 *         those of all together, p_i its share of the usable weight.  The upstream does the skipping (`bounded`); this
 *         file gives the order.
 * Cost    as hash; a step for each target that is at its bound.
 * Keeps   as hash.
 */
#include "policy/stable.h"

enum { FACTOR, MARGIN, SLOTS };     /* the first two where `bounded` wants them */

static const lb_param params[] = {
    LB_NUMBER("factor", 1.25, 1, 10, "The most that a target carries, in multiples of its share of all calls."),
    LB_WHOLE("margin", 2, 0, 1000, "Calls that a target may carry above that, so that small counts do not spill."),
    LB_SLOTS_PARAM,
    {0},
};

static lb_status check(const double *param, lb_error *err) { return lb_stable_check(param[SLOTS], err); }

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    return lb_stable_build(out, view, param[SLOTS], previous, old_index, err);
}

const lb_policy lb_policy_hash_bounded = {
    .name = "hash_bounded", .summary = "Consistent hashing that passes over targets with too many calls in flight.",
    .params = params, .check = check, .build = build, .destroy = lb_stable_destroy,
    .walk = lb_stable_walk, .hash = lb_stable_hash, .pure = true, .bounded = true,
};

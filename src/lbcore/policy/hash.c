/* hash: consistent hashing by a table that depends on names and weights only.
 *
 * Source  stable.h, which has the rule.
 * Cost    pick O(1), the next candidates O(usable) each; build as stable.h says, O(n) where only health changes.
 * Keeps   state is read-only after build(), so any number of threads may pick at once.  The table is shared with the
 *         View before, by a count, as long as names and configured weights stay.
 */
#include "policy/stable.h"

static const lb_param params[] = {LB_SLOTS_PARAM, {0}};

static lb_status check(const double *param, lb_error *err) { return lb_stable_check(param[0], err); }

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    return lb_stable_build(out, view, param[0], previous, old_index, err);
}

const lb_policy lb_policy_hash = {
    .name = "hash", .summary = "Consistent hashing with even shares: a key keeps its target while that is usable.",
    .params = params, .check = check, .build = build, .destroy = lb_stable_destroy,
    .walk = lb_stable_walk, .hash = lb_stable_hash, .pure = true,
};

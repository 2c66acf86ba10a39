/* split: the round_robin scheduler over backends instead of targets.
 *
 * The backends are the members of a View without State: a weight each, no slots, all healthy for ever.
 * Cost    as round_robin.
 * Keeps   the schedule of the backends depends on weights and turns only.
 */
#include "upstream/split.h"

#include "base/alloc.h"
#include "upstream/internal.h"

#define PHASE 0                     /* round_robin's parameter: a split begins at the beginning */

struct lb_split {
    const lb_policy *policy;
    void *schedule;
    lb_view *view;
    lb_rng rng;                     /* an ask brings one along */
};

static lb_status check(const uint32_t *weights, uint32_t n, lb_error *err) {
    if (n > LB_MAX_BACKENDS)
        return lb_fail(err, LB_ERR_CONFIG, "backends", "%u backends; a split has at most %u", n, LB_MAX_BACKENDS);
    for (uint32_t i = 0; i < n; i++) {
        lb_status status = lb_weight_check(weights[i], err);
        if (!status) continue;
        lb_error_in(err, "backends", i);
        return status;
    }
    return LB_OK;
}

static lb_status build(lb_split *split, const uint32_t *weights, uint32_t n, uint64_t seed, const lb_split *previous,
                       const uint32_t *old_index, lb_error *err) {
    lb_status status = lb_view_new(&split->view, n, NULL, err);
    if (status) return status;
    for (uint32_t i = 0; i < n; i++) split->view->weight[i] = split->view->full[i] = weights[i];
    split->view->seed = seed;
    lb_view_close(split->view);
    double param[LB_MAX_PARAMS];
    lb_policy_defaults(split->policy, param);
    param[PHASE] = 0;
    const void *before = previous ? previous->schedule : NULL;
    return split->policy->build(&split->schedule, split->view, param, before, old_index, err);
}

lb_status lb_split_new(lb_split **out, const uint32_t *weights, uint32_t n, uint64_t seed, const lb_split *previous,
                       const uint32_t *old_index, lb_error *err) {
    lb_status status = check(weights, n, err);
    if (status) return status;
    lb_split *split = lb_alloc_zero(1, sizeof *split);
    if (!split) return lb_no_memory(err, "backends");
    split->policy = lb_policy_find(lb_str_of("round_robin"));
    lb_rng_seed(&split->rng, seed);
    status = build(split, weights, n, seed, previous, old_index, err);
    if (status) lb_split_free(split);
    else *out = split;
    return status;
}

void lb_split_free(lb_split *split) {
    if (!split) return;
    split->policy->destroy(split->schedule);
    lb_view_free(split->view);
    lb_free(split);
}

uint32_t lb_split_pick(lb_split *split) {
    lb_ask ask = {.rng = &split->rng};
    return split->policy->pick(split->schedule, split->view, &ask);
}

/* split: the round_robin scheduler, or the stable table, over backends instead of targets.
 *
 * The backends are the members of a View without State: a weight and a name each, no slots, all healthy for ever.
 * Cost    as the policy.
 * Keeps   the schedule of the backends depends on weights and turns only, the table on weights and names.
 */
#include "upstream/split.h"

#include "base/alloc.h"
#include "hash/fold.h"
#include "upstream/internal.h"

#define PHASE 0                     /* round_robin's parameter: a split begins at the beginning */

struct lb_split {
    const lb_policy *policy;
    void *schedule;
    lb_view *view;
    lb_name *name;                  /* NULL: in turn */
    lb_rng rng;                     /* an ask brings one along */
    const lb_backing *backing;
    lb_cursor *cursor;              /* whose turns all workers take; NULL: they are our own */
    uint64_t print;                 /* of the schedule: the same in every worker */
};

static lb_status check(const lb_split_spec *spec, lb_error *err) {
    if (spec->n > LB_MAX_BACKENDS)
        return lb_fail(err, LB_ERR_CONFIG, "backends", "%u backends; a split has at most %u", spec->n, LB_MAX_BACKENDS);
    for (uint32_t i = 0; i < spec->n; i++) {
        lb_status status = lb_weight_check(spec->weight[i], err);
        if (!status) continue;
        lb_error_in(err, "backends", i);
        return status;
    }
    return LB_OK;
}

/* The names' bytes are copied: one block, the names first. */
static lb_status copy_names(lb_split *split, const lb_split_spec *spec, lb_error *err) {
    size_t n_bytes = 0;
    for (uint32_t i = 0; i < spec->n; i++) n_bytes += spec->name[i].len;
    split->name = lb_alloc_zero(1, spec->n * sizeof(lb_name) + n_bytes);
    if (!split->name) return lb_no_memory(err, "backends");
    char *bytes = (char *)(split->name + spec->n);
    for (uint32_t i = 0; i < spec->n; i++) {
        if (spec->name[i].len) memcpy(bytes, spec->name[i].data, spec->name[i].len);
        split->name[i].address = split->name[i].identity = (lb_str){bytes, spec->name[i].len};
        bytes += spec->name[i].len;
    }
    split->view->name = split->name;
    return LB_OK;
}

static lb_status make_view(lb_split *split, const lb_split_spec *spec, lb_error *err) {
    lb_status status = lb_view_new(&split->view, spec->n, NULL, err);
    if (!status && spec->name) status = copy_names(split, spec, err);
    if (status) return status;
    for (uint32_t i = 0; i < spec->n; i++) split->view->weight[i] = split->view->full[i] = spec->weight[i];
    split->view->seed = spec->seed;
    split->view->alike = spec->backing != NULL;
    lb_view_close(split->view);
    return LB_OK;
}

/* The same schedule in every worker: by the name, and the weights in their order. */
static void share(lb_split *split, const lb_split_spec *spec) {
    const lb_replay *replay = split->policy->replay ? split->policy->replay(split->schedule) : NULL;
    if (!replay || !replay->alike) return;
    split->print = lb_hash_fold(spec->common.data, spec->common.len, 0);
    for (uint32_t i = 0; i < spec->n; i++) split->print = lb_hash_words(split->print, spec->weight[i], 0);
    split->backing = spec->backing;
    lb_split_rejoin(split);
}

static lb_status build(lb_split *split, const lb_split_spec *spec, const lb_split *previous, const uint32_t *old_index,
                       lb_error *err) {
    lb_status status = make_view(split, spec, err);
    if (status) return status;
    double param[LB_MAX_PARAMS];
    lb_policy_defaults(split->policy, param);
    if (!spec->name) param[PHASE] = 0;
    bool alike = previous && previous->policy == split->policy;
    const void *before = alike ? previous->schedule : NULL;
    status = split->policy->build(&split->schedule, split->view, param, before, old_index, err);
    if (!status && spec->backing) share(split, spec);
    return status;
}

lb_status lb_split_new(lb_split **out, const lb_split_spec *spec, const lb_split *previous, const uint32_t *old_index,
                       lb_error *err) {
    lb_status status = check(spec, err);
    if (status) return status;
    lb_split *split = lb_alloc_zero(1, sizeof *split);
    if (!split) return lb_no_memory(err, "backends");
    split->policy = lb_policy_find(lb_str_of(spec->name ? "hash" : "round_robin"));
    lb_rng_seed(&split->rng, spec->seed);
    status = build(split, spec, previous, old_index, err);
    if (status) lb_split_free(split);
    else *out = split;
    return status;
}

void lb_split_free(lb_split *split) {
    if (!split) return;
    if (split->cursor) split->backing->drop(split->backing->context, split->cursor);
    split->policy->destroy(split->schedule);
    lb_view_free(split->view);
    lb_free(split->name);
    lb_free(split);
}

void lb_split_forked(lb_split *split, uint64_t seed) {
    lb_rng_seed(&split->rng, seed);
    lb_replay *replay = split->policy->replay ? split->policy->replay(split->schedule) : NULL;
    if (!replay) return;
    if (replay->table) replay->cursor = lb_rng_below(&split->rng, replay->n);
    replay->shared = split->cursor = NULL;              /* the cursor is the parent's */
}

void lb_split_rejoin(lb_split *split) {
    if (!split->backing || split->cursor) return;
    split->cursor = split->backing->cursor(split->backing->context, split->print);
    split->policy->replay(split->schedule)->shared = split->cursor;
}

uint32_t lb_split_pick(lb_split *split, const lb_key *key) {
    if (!split->name) {
        lb_ask ask = {.rng = &split->rng};
        return split->policy->pick(split->schedule, split->view, &ask);
    }
    if (!key) return LB_NONE;
    lb_walk walk = {.key = *key, .rng = &split->rng};
    return split->policy->walk(split->schedule, split->view, &walk);
}

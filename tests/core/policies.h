/* policies: what the tests of the policy room share: a policy on a View made from a list of weights. */
#ifndef POLICIES_H
#define POLICIES_H

#include "check.h"

typedef struct bed {
    const lb_policy *policy;
    lb_view *view;
    void *state;
    lb_rng rng;
} bed;

/* A View in which members have slots of `state` (NULL: none) of their own index. */
static inline lb_view *view_of(const uint32_t *weights, uint32_t n, uint64_t seed, lb_state *state) {
    lb_view *view;
    if (lb_view_new(&view, n, state, NULL)) return NULL;
    for (uint32_t i = 0; i < n; i++) {
        view->weight[i] = weights[i];
        view->slot[i] = i;
    }
    view->seed = seed;
    lb_view_close(view);
    return view;
}

/* `b` gets a policy on a View; `before` (NULL: none) hands over.  LB_OK, or what build() said; then nothing is kept. */
static inline lb_status make_with(bed *b, const lb_policy *policy, const double *param, lb_view *view,
                                  const bed *before, const uint32_t *old_index) {
    *b = (bed){.policy = policy, .view = view};
    if (!view) return LB_ERR_NOMEM;
    lb_rng_seed(&b->rng, view->seed + 1);
    lb_status status = policy->build(&b->state, view, param, before ? before->state : NULL, old_index, NULL);
    if (status == LB_OK) return status;
    CHECK(b->state == NULL);
    lb_view_free(view);
    return status;
}

/* The same with the policy's defaults. */
static inline lb_status make(bed *b, const lb_policy *policy, lb_view *view, const bed *before,
                             const uint32_t *old_index) {
    double param[LB_MAX_PARAMS];
    lb_policy_defaults(policy, param);
    return make_with(b, policy, param, view, before, old_index);
}

static inline void end(bed *b) {
    b->policy->destroy(b->state);
    lb_view_free(b->view);
}

static inline uint32_t ask(bed *b, uint32_t step, bool peek) {
    lb_ask how = {.rng = &b->rng, .step = step, .peek = peek};
    return b->policy->pick(b->state, b->view, &how);
}

static inline uint32_t next(bed *b) { return ask(b, 0, false); }

#endif

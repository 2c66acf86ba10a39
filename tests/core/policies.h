/* policies: what the tests of the policy room share: a policy on a View made from a list of weights. */
#ifndef POLICIES_H
#define POLICIES_H

#include "check.h"

typedef struct bed {
    const lb_policy *policy;
    lb_view *view;
    void *state;
    lb_rng rng;
    lb_walk walk;                   /* keyed policies: the present key's */
    uint32_t n_key;
    bool used;                      /* the present key has been picked with */
    char key[24];
} bed;

#define MOST_NAMED 2000u

/* "10.0.<i / 250>.<i % 250>:80" for member i. */
static inline const lb_name *names(void) {
    static lb_name name[MOST_NAMED];
    static char text[MOST_NAMED][24];
    for (uint32_t i = 0; i < MOST_NAMED && !name[MOST_NAMED - 1].address.len; i++) {
        snprintf(text[i], sizeof text[i], "10.0.%u.%u:80", i / 250, i % 250);
        name[i].address = name[i].identity = lb_str_of(text[i]);
    }
    return name;
}

/* A View in which members have slots of `state` (NULL: none) of their own index. */
static inline lb_view *view_of(const uint32_t *weights, uint32_t n, uint64_t seed, lb_state *state) {
    lb_view *view;
    if (lb_view_new(&view, n, state, NULL)) return NULL;
    for (uint32_t i = 0; i < n; i++) {
        view->weight[i] = view->full[i] = weights[i];
        view->slot[i] = i;
    }
    view->name = n <= MOST_NAMED ? names() : NULL;
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

/* A key of its own for each pick; peeking uses the key of the pick that follows. */
static inline void next_key(bed *b) {
    if (b->used) b->n_key++;
    b->used = false;
    snprintf(b->key, sizeof b->key, "key %u", b->n_key);
}

static inline uint32_t walk_to(bed *b, uint32_t step) {
    lb_rng rng = b->rng;
    lb_walk walk = {.key = {.text = lb_str_of(b->key)}, .rng = &rng, .peek = true};
    uint32_t member = LB_NONE;
    for (; walk.step <= step; walk.step++) {
        member = b->policy->walk(b->state, b->view, &walk);
        if (member == LB_NONE) break;
    }
    return member;
}

static inline uint32_t ask_keyed(bed *b, uint32_t step, bool peek) {
    if (peek || step == 0) next_key(b);
    if (peek) return walk_to(b, step);
    if (step == 0) b->walk = (lb_walk){.key = {.text = lb_str_of(b->key)}, .rng = &b->rng};
    b->walk.step = step;
    b->used = true;
    return b->policy->walk(b->state, b->view, &b->walk);
}

static inline uint32_t ask(bed *b, uint32_t step, bool peek) {
    if (b->policy->walk) return ask_keyed(b, step, peek);
    lb_ask how = {.rng = &b->rng, .step = step, .peek = peek};
    return b->policy->pick(b->state, b->view, &how);
}

static inline uint32_t next(bed *b) { return ask(b, 0, false); }

#endif

/* upstreams: what the tests of the upstream room share: a fleet in a few words, and an upstream made from it. */
#ifndef UPSTREAMS_H
#define UPSTREAMS_H

#include "walk.h"

#define SECOND 1000000000ull
#define MOST_TARGETS 400u

typedef struct fleet {
    uint32_t n;
    lb_target_spec target[MOST_TARGETS];
    char text[MOST_TARGETS][24];
    uint32_t label[MOST_TARGETS];                       /* at most one each */
} fleet;

/* `n` targets more, of weight 1 and priority `priority`; returns the first. */
static inline lb_target_spec *add_targets(fleet *f, uint32_t n, uint32_t priority) {
    lb_target_spec *first = &f->target[f->n];
    for (uint32_t k = 0; k < n; k++, f->n++) {
        snprintf(f->text[f->n], sizeof f->text[f->n], "10.0.%u.%u:80", f->n / 250, f->n % 250);
        f->target[f->n] = (lb_target_spec){.address = lb_str_of(f->text[f->n]), .weight = 1, .priority = priority};
    }
    return first;
}

static inline void give_label(fleet *f, uint32_t i, uint32_t label) {
    f->label[i] = label;
    f->target[i].labels = &f->label[i];
    f->target[i].n_labels = 1;
}

/* The defaults with health off, and a schedule that begins at its beginning. */
static inline lb_upstream_spec spec_of(const lb_policy *policy) {
    lb_upstream_spec spec = {.policy = policy, .seed = 7};
    lb_upstream_defaults(&spec);
    spec.health.outlier = lb_outlier_off;
    small_params(policy, spec.param);
    if (policy->params && strcmp(policy->params[0].name, "phase") == 0) spec.param[0] = 0;
    return spec;
}

/* `failures` local-origin failures in a row eject for base_ns, growing to max_ns; a base interval in service takes one off. */
static inline lb_outlier ejecting(uint32_t failures, uint32_t max_percent, uint64_t base_ns, uint64_t max_ns) {
    lb_outlier rule = lb_outlier_default;
    rule.consecutive_local = failures;
    rule.max_percent = max_percent;
    rule.interval_ns = rule.base_ns = base_ns;
    rule.max_ns = max_ns;
    return rule;
}

/* How a call ended: a verdict and nothing else. */
static inline void report_verdict(lb_upstream *up, lb_call *call, lb_verdict verdict, uint64_t latency_ns, uint64_t now_ns) {
    lb_report report = {.outcome = {.verdict = verdict}, .latency_ns = latency_ns};
    lb_upstream_report(up, call, &report, now_ns);
}

static inline const lb_policy *policy_named(const char *name) {
    const lb_policy *policy = lb_policy_find(lb_str_of(name));
    CHECK(policy != NULL);
    return policy;
}

static inline lb_upstream *upstream_with(const lb_upstream_spec *spec, const fleet *f, uint64_t now_ns) {
    lb_upstream *up = NULL;
    CHECK_EQ(lb_upstream_new(&up, spec, f->target, f->n, now_ns, NULL), LB_OK);
    if (!up) exit(2);
    return up;
}

static inline lb_upstream *upstream_named(const char *policy, const fleet *f) {
    lb_upstream_spec spec = spec_of(policy_named(policy));
    return upstream_with(&spec, f, 0);
}

/* The picture of this moment. */
static inline const lb_view *settled(lb_upstream *up) {
    CHECK_EQ(lb_upstream_settle(up, 0, NULL), LB_OK);
    return lb_upstream_view(up);
}

/* `n` members from `first` on are said to be unhealthy. */
static inline void take_down(lb_upstream *up, uint32_t first, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) CHECK_EQ(lb_upstream_set_health(up, first + i, false, true, 0, NULL), LB_OK);
    settled(up);
}

static inline lb_subset *subset_of(lb_upstream *up, uint32_t label) {
    lb_subset *subset = NULL;
    CHECK_EQ(lb_upstream_subset(up, &label, 1, 0, &subset, NULL), LB_OK);
    if (!subset) exit(2);
    return subset;
}

static inline uint32_t slot_of(const lb_upstream *up, uint32_t member) { return lb_upstream_view(up)->slot[member]; }

static inline uint32_t calls_on(const lb_upstream *up, uint32_t member) {
    return lb_counter_read(lb_in_flight(lb_upstream_state(up), slot_of(up, member)));
}

/* How often each member is chosen in `n` choices; the last of got[] counts LB_NONE. */
static inline void count_choices(lb_upstream *up, const lb_want *want, uint32_t n, uint32_t *got, uint32_t n_members) {
    memset(got, 0, (n_members + 1) * sizeof *got);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t member = lb_upstream_choose(up, want, 0);
        got[member < n_members ? member : n_members]++;
    }
}

/* walk_upstream() with the weights of the fleet. */
static inline void walk_fleet(lb_upstream *up, const fleet *f) {
    static uint32_t weight[MOST_TARGETS];
    for (uint32_t i = 0; i < f->n; i++) weight[i] = f->target[i].weight;
    walk_upstream(up, weight);
}

#define CHECK_TEXT(got, want)                                                           \
    do {                                                                                \
        const char *got_ = (got);                                                       \
        if (strcmp(got_, (want))) printf("got '%s', want '%s'\n", got_, (want));        \
        CHECK(strcmp(got_, (want)) == 0);                                               \
    } while (0)

#endif

/* loads: what the tests of the load-aware policies share: a policy on targets with calls in flight, and time. */
#ifndef LOADS_H
#define LOADS_H

#include "policies.h"

#include <math.h>

#define MS 1000000ull
#define SECOND 1000000000ull
#define FIELD_SEED 20240614u

typedef struct field {
    lb_state *places;
    bed bed;
} field;

static inline const lb_policy *named(const char *name) { return lb_policy_find(lb_str_of(name)); }

static inline void set_load(field *f, uint32_t slot, uint32_t in_flight) {
    lb_counter_write(lb_in_flight(f->places, slot), in_flight);
}

/* `slots` (NULL: member i has slot i) are below n.  `param` NULL: the defaults. */
static inline void start(field *f, const char *policy, const double *param, const uint32_t *weights, const uint32_t *slots,
                  uint32_t n) {
    double defaults[LB_MAX_PARAMS];
    lb_policy_defaults(named(policy), defaults);
    CHECK_EQ(lb_state_new(&f->places, NULL, (lb_mark){0}, NULL), LB_OK);
    uint32_t slot;
    for (uint32_t i = 0; i < n; i++) CHECK_EQ(lb_state_take(f->places, NULL, &slot, NULL), LB_OK);
    lb_view *view = view_of(weights, n, FIELD_SEED, f->places);
    if (slots) memcpy(view->slot, slots, n * sizeof *slots);
    CHECK_EQ(make_with(&f->bed, named(policy), param ? param : defaults, view, NULL, NULL), LB_OK);
}

static inline void stop(field *f) {
    end(&f->bed);
    lb_state_free(f->places);
}

static inline void see(field *f, uint32_t slot, uint64_t now_ns, uint64_t latency_ns, bool failed) {
    lb_seen seen = {.now_ns = now_ns, .latency_ns = latency_ns, .failed = failed};
    f->bed.policy->observe(f->bed.state, f->places, slot, &seen);
}

static inline void tick(field *f, uint64_t now_ns) { f->bed.policy->tick(f->bed.state, f->places, now_ns); }

static inline double mean_of(const field *f, uint32_t slot) { return lb_pace_read(f->places, slot).mean_ns; }
static inline float ratio_of(const field *f, uint32_t slot) { return *lb_ratio_of(f->places, slot); }

static inline bool close_to(double got, double want) { return fabs(got - want) <= 1e-12 * fabs(want); }

/* How often each of n members is picked. */
static inline void count(field *f, uint32_t *seen, uint32_t n, int picks) {
    memset(seen, 0, n * sizeof *seen);
    for (int i = 0; i < picks; i++) seen[next(&f->bed)]++;
}

#endif

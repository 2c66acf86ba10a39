/* least_request: the least loaded of a few random targets ("power of d choices").
 *
 * Source  M. Mitzenmacher, IEEE TPDS 12(10), 2001; the names of the parameters are Envoy's.
 * Load    in-flight^bias / weight, compared by cross-multiplication: exact.  Bias 1 is p2c's load, for the reasons that
 *         stand there: shares by weight at any load.  More lets calls in flight count for more than weights: held calls
 *         go in the ratio weight^(1/bias).  0 leaves the weights alone: the first draw stands.
 * Envoy   takes this rule only where all weights are equal, with plain draws; where they differ it schedules by
 *         weight / (active + 1)^bias.  Here one rule serves both, and with equal weights the bias changes nothing, as
 *         there.
 * Ties    the first drawn.
 * Step    asked again: draws without those that were told.
 * Cost    pick O(choices), build O(k), memory 16 bytes a target.
 * Keeps   as draws.h.
 */
#include "base/alloc.h"
#include "policy/draws.h"

typedef struct state {
    lb_draws draws;
    uint32_t choices, bias;
} state;

static const lb_param params[] = {
    LB_WHOLE("choices", 2, 2, 64, "Targets drawn for one pick."),
    LB_WHOLE("active_request_bias", 1, 0, 4, "The power of the calls in flight against the weight; 0 is weights only."),
    {0},
};

/* ---- a number of 128 bits --------------------------------------------------------------------------------------- */

typedef struct wide { uint64_t high, low; } wide;

static wide times(wide a, uint32_t b) {
    uint64_t low = (a.low & UINT32_MAX) * b, middle = (a.low >> 32) * b + (low >> 32);
    return (wide){a.high * b + (middle >> 32), middle << 32 | (low & UINT32_MAX)};
}

static bool below(wide a, wide b) { return a.high != b.high ? a.high < b.high : a.low < b.low; }

/* ---- the rule --------------------------------------------------------------------------------------------------- */

#define MOST (1u << 26)             /* calls in flight that count: (2^26)^4 * 2^20 fits */

static wide product(uint32_t in_flight, uint32_t bias, uint32_t weight) {
    wide value = {0, weight};
    for (uint32_t i = 0; i < bias; i++) value = times(value, in_flight < MOST ? in_flight : MOST);
    return value;
}

static bool lighter(const lb_view *view, const void *rule, uint32_t a, uint32_t b) {
    const state *s = rule;
    if (s->bias == 0) return false;
    return below(product(lb_load_of(view, a), s->bias, view->weight[b]),
                 product(lb_load_of(view, b), s->bias, view->weight[a]));
}

static uint32_t pick(void *st, const lb_view *view, const lb_ask *ask) {
    state *s = st;
    return lb_draws_pick(&s->draws, view, ask, s->choices, lighter, s);
}

static void destroy(void *st) {
    state *s = st;
    if (s) lb_draws_clear(&s->draws);
    lb_free(s);
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)previous, (void)old_index;
    state *s = lb_alloc(sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    s->choices = (uint32_t)param[0];
    s->bias = (uint32_t)param[1];
    lb_status status = lb_draws_init(&s->draws, view, err);
    if (status) lb_free(s);
    else *out = s;
    return status;
}

const lb_policy lb_policy_least_request = {
    .name = "least_request", .summary = "The least loaded of a few random targets.", .params = params,
    .build = build, .destroy = destroy, .pick = pick, .pure = true, .load_aware = true,
};

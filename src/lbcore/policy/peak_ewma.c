/* peak_ewma: the cheaper of a few random targets; cost is recent latency, peaks at once, times calls in flight.
 *
 * Source  Finagle's peak EWMA: a call slower than the estimate becomes the estimate at once; a faster one moves it by
 *         1 - exp(-age/decay); an estimate that hears nothing fades towards 0, so that a target that was slow is tried
 *         again.  Defaults as there: 10 s, two draws.
 * Cost    of a target = estimate * (in-flight / u + 1), u = weight / mean weight of the usable ones.  With equal
 *         weights Finagle's estimate * (in-flight + 1); why weights enter so, where draws go by weight: p2c.c.  With
 *         equal estimates the picks are p2c's.
 * New     a target without an estimate costs nothing while it is idle, so it is tried at its next draw; and more than
 *         any that has one while it is busy, so it is not flooded before its first answer.
 * Errors  a failed call counts as one of at least 4 times the fleet's mean latency (1 s where none is known), so that
 *         failing fast is not being fast.  The fleet's mean follows successes, 1 % a call.
 * 0 ns    is no measurement: a call that took no time teaches nothing.
 * Time    pick() knows none: tick() lets the estimates fade every 50 ms, by the time since the last one.  The age of an
 *         estimate runs from its last call or that tick, whichever is later.
 * Ties    the first drawn.  Step: draws without those that were told.
 * Cost    pick O(choices), observe O(1), tick O(slots); build O(k), memory 16 bytes a target.
 * Keeps   as draws.h; pace.mean_ns is the estimate, 0 where there is none, else at least 1.  Doubles in a fixed order.
 */
#include "base/alloc.h"
#include "policy/draws.h"
#include "policy/learn.h"

#define FAILED_TIMES 4
#define FAILED_ALONE_NS 1e9
#define BUSY_NEWCOMER_NS 1e18       /* 30 years: above every estimate */

typedef struct state {
    lb_draws draws;
    uint32_t choices;
    double rate;                    /* 1 / decay, in 1/ns */
    double mean_weight;             /* of the usable */
} state;

static const lb_param params[] = {
    LB_NUMBER("decay", 10, 0.001, 3600, "Seconds in which an estimate fades to 1/e."),
    LB_WHOLE("choices", 2, 2, 64, "Targets drawn for one pick."),
    {0},
};

/* ---- choosing --------------------------------------------------------------------------------------------------- */

static double estimate_of(const lb_view *view, uint32_t member, uint32_t in_flight) {
    double known = view->state ? lb_pace_read(view->state, view->slot[member]).mean_ns : 0;
    if (known > 0) return known;
    return in_flight ? BUSY_NEWCOMER_NS : 0;
}

/* The cost times the weight: (in-flight / u + 1) * weight = in-flight * mean weight + weight. */
static double charge(const lb_view *view, const state *s, uint32_t member) {
    uint32_t in_flight = lb_load_of(view, member);
    double estimate = estimate_of(view, member, in_flight);
    double load = in_flight * s->mean_weight;
    return estimate * (load + view->weight[member]);
}

static bool lighter(const lb_view *view, const void *rule, uint32_t a, uint32_t b) {
    double left = charge(view, rule, a) * view->weight[b], right = charge(view, rule, b) * view->weight[a];
    return left < right;
}

static uint32_t pick(void *st, const lb_view *view, const lb_ask *ask) {
    state *s = st;
    return lb_draws_pick(&s->draws, view, ask, s->choices, lighter, s);
}

/* ---- learning --------------------------------------------------------------------------------------------------- */

static double counted_ns(const lb_state *places, const lb_seen *seen) {
    double latency = (double)seen->latency_ns;
    if (!seen->failed) return latency;
    double fleet = lb_fleet(places), least = fleet > 0 ? fleet * FAILED_TIMES : FAILED_ALONE_NS;
    return latency > least ? latency : least;
}

static void observe(const void *st, lb_state *places, uint32_t slot, const lb_seen *seen) {
    const state *s = st;
    if (seen->latency_ns == 0) return;
    lb_pace pace = lb_pace_read(places, slot);
    double latency = counted_ns(places, seen);
    uint64_t faded_ns = lb_faded_ns(places), since = pace.stamp_ns > faded_ns ? pace.stamp_ns : faded_ns;
    if (latency > pace.mean_ns) {
        pace.mean_ns = latency;
    } else {
        double fresh = 1 - lb_decay_between(since, seen->now_ns, s->rate);
        pace.mean_ns += (latency - pace.mean_ns) * fresh;
    }
    pace.stamp_ns = seen->now_ns;
    lb_pace_note(places, slot, pace);
    if (!seen->failed) lb_learn_fleet(places, latency);
}

static void tick(const void *st, lb_state *places, uint64_t now_ns) {
    const state *s = st;
    double left;
    if (!lb_learn_fade(places, now_ns, s->rate, &left)) return;
    for (uint32_t slot = 0, n = places->n_slots; slot < n; slot++) {
        lb_pace pace = lb_pace_read(places, slot);
        if (!(pace.mean_ns > 0)) continue;
        double rest = pace.mean_ns * left;
        pace.mean_ns = rest > 1 ? rest : 1;
        lb_pace_note(places, slot, pace);
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

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
    s->rate = 1 / (param[0] * 1e9);
    s->choices = (uint32_t)param[1];
    s->mean_weight = view->n_usable ? (double)view->total_weight / view->n_usable : 0;
    lb_status status = lb_draws_init(&s->draws, view, err);
    if (status) lb_free(s);
    else *out = s;
    return status;
}

const lb_policy lb_policy_peak_ewma = {
    .name = "peak_ewma", .summary = "The cheaper of a few random targets by recent latency, peaks at once, and load.",
    .params = params, .build = build, .destroy = destroy, .pick = pick, .pure = true,
    .observe = observe, .tick = tick, .tick_ns = LB_LEARN_TICK_NS, .load_aware = true,
};

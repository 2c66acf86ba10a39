/* adaptive: the least loaded target for its weight, where a target that has been slow lately counts as more loaded.
 *
 * Rule    least (1 + (gain * in-flight + 1/4) / u) * ratio.  u = weight / mean weight of the usable ones.  ratio = how
 *         much slower its recent calls were than the fleet's, within 1/8..8; 1 where nothing is known.
 * Source  least connections with a short memory of latency.  The form and the constants come from simulated fleets made
 *         for the purpose, apart from those that docs/simulation.md reports: docs/decisions/0007-adaptive-rule.md.
 *
 *   member      weight 2    weight 5    not usable  weight 1         a cell for each usable target in the order of slots,
 *   inverse    [ 1.33   ,    0.53   ,    +inf    ,  2.67   ]         1 / u, and for short gaps between them
 *   run         in_flight -> slot 3 4 5 6   ratio -> slot 3 4 5 6    cells whose slots follow each other in State
 *   score      [ 6.67   ,    1.13   ,    +inf    , 12.33   ]         one pass writes, one finds the least, one its place
 *
 * Weight  divides the load, not the whole: an idle target serves at once, whatever its weight, so what its calls take
 *         says more than how many it could take.  Were all divided, a weight that says how fast a target is would
 *         count twice, in itself and in the ratio, and many proxies would all prefer the same few.  The quarter lets
 *         the heavier win among idle targets that are equally fast.  Held calls go by weight.
 * Learns  a success, or a failure not faster than the fleet, goes into the mean of the target's latencies, in octaves:
 *         sizes of calls spread over decades, and the plain mean of a hundred says little more than the largest.  A mean
 *         of n calls deviates from the fleet's by n / (n + 2) of what it says, so that two calls are not a verdict.
 *         A failure faster than the fleet teaches nothing (the core's hold counts it in flight for a while), nor does
 *         a call of 0 ns: no measurement.
 * Fades   tick(), every 50 ms: every n becomes less by one factor, exp(-time/tau), the fleet's mean is that of all calls
 *         so weighted, and all ratios follow.  Before the first tick there is no fleet and all ratios are 1.
 * Ties    a deviation below 1/16 octave, 4 %, is none: equal targets tie whatever their noise, so that nobody stays
 *         behind those a little below 1.  In turn, in the order of slots (that of the list, until targets have come and
 *         gone): of equal ones the first at or after the place behind the last pick; a new View goes on where the old
 *         one stood.  The first turn begins at a target drawn from the seed.
 * Step    asked again: the next in the order (score, turn), exact for 16 steps, then the targets in turn.
 * Many    above 128 targets the least score of 8 drawn by weight: draws.h.  Policies are not told when calls begin, so
 *         no list of the least loaded is kept; in simulations of 300 targets, remembering the best one passed over for
 *         the next pick gained 0 to 8 % over plain draws, and nothing with 8 proxies.
 * Cost    pick O(n (step + 1)) to 128 targets, sixteen at a time; O(1) above.  observe O(1), tick O(slots),
 *         build O(n log n).  Memory 100 bytes a target to 128, 20 above.
 * Keeps   pace.calls and pace.octaves are what is known of a target; common->fleet the fleet's mean, in octaves.
 *         pick() moves the turn, two relaxed counters: threads that pick at the same moment may begin at the same place.
 *         Where an ask under way began is kept in ask->kept, else in the state.  Scores are float32, rounded after each operation, positive
 *         (so that they order as their bits do) or +inf.
 */
#include "base/alloc.h"
#include "base/lanes.h"
#include "base/octaves.h"
#include "policy/draws.h"
#include "policy/learn.h"

#include <math.h>

#define SCANNED 128u                /* targets */
#define GAP 7u                      /* cells that bridge: cheaper than another run */
#define CELLS (SCANNED * (GAP + 1))
#define STEPS 16u                   /* that are answered exactly */
#define DRAWS 8u

#define IDLE 0.25f                  /* of a call: the load of an idle target; above 0, or +inf would be lost */
#define DOUBT 2                     /* calls: what nothing being known weighs */
#define NEAR (1.0 / 16)             /* octaves */
#define CLIP 3.0                    /* octaves */
#define FORGOTTEN (1.0 / 1024)      /* calls: no more than this is none */

typedef struct run {
    const lb_counter *in_flight;
    const lb_factor *ratio;
    uint32_t first, n;              /* cells */
} run;

typedef struct state {
    float gain;
    double rate;                    /* 1 / tau, in 1/ns */
    lb_draws draws;                 /* above SCANNED targets; else all 0 */
    uint32_t n_cells, n_runs;
    uint32_t from;                  /* the cell where the turn of the ask under way begins */
    lb_counter next;                /* where the next one will */
    lb_counter next_slot;           /* the same for the View that follows */
    run *run;
    float *inverse;                 /* mean weight / weight by cell, by member above SCANNED */
    uint32_t *member;               /* by cell; LB_NONE in a gap */
} state;

static const lb_param params[] = {
    LB_NUMBER("gain", 4, 0, 100, "How much a call in flight weighs, where 1 is the call to be placed."),
    LB_NUMBER("tau", 3, 0.001, 3600, "Seconds in which what latencies taught fades to 1/e."),
    {0},
};

/* ---- scores ----------------------------------------------------------------------------------------------------- */

typedef union scores {
    float value[CELLS + LB_LANES];
    int32_t bits[CELLS + LB_LANES];    /* of positive floats: ordered as these are */
} scores;

/* A single caller reads counters and ratios as plain numbers, several at a time: compilers do not vectorise relaxed loads.
 * While nobody else writes them that is the same; beside other threads each is loaded for itself. */
_Static_assert(sizeof(lb_counter) == sizeof(uint32_t) && sizeof(lb_factor) == sizeof(float), "plain numbers in memory");

static inline float score_at(uint32_t in_flight, float gain, float inverse, float ratio) {
    return (((float)(int32_t)in_flight * gain + IDLE) * inverse + 1) * ratio;
}

static void score_run(const uint32_t *restrict in_flight, const float *restrict ratio, const float *restrict inverse,
                      float gain, uint32_t n, float *restrict score) {
    for (uint32_t i = 0; i < n; i++) score[i] = score_at(in_flight[i], gain, inverse[i], ratio[i]);
}

static uint32_t score_all(const state *s, float *score) {
    if (s->n_runs == 0) memcpy(score, s->inverse, s->n_cells * sizeof *score);
    for (const run *r = s->run; r < s->run + s->n_runs; r++)
        score_run((const uint32_t *)r->in_flight, (const float *)r->ratio, s->inverse + r->first, s->gain, r->n,
                  score + r->first);
    return s->n_cells;
}

static uint32_t score_among(const state *s, float *score) {
    if (s->n_runs == 0) memcpy(score, s->inverse, s->n_cells * sizeof *score);
    for (const run *r = s->run; r < s->run + s->n_runs; r++)
        for (uint32_t i = 0, cell = r->first; i < r->n; i++, cell++)
            score[cell] = score_at(lb_counter_read(&r->in_flight[i]), s->gain, s->inverse[cell],
                                   lb_factor_read(&r->ratio[i]));
    return s->n_cells;
}

/* +inf to the end of a block.  Returns the number of both. */
static uint32_t fill_up(float *score, uint32_t n) {
    for (uint32_t i = 0; i < LB_LANES; i++) score[n + i] = INFINITY;
    return (n + LB_LANES - 1) / LB_LANES * LB_LANES;
}

/* ---- the order (score, turn) ------------------------------------------------------------------------------------ */

static bool before(const int32_t *bits, uint32_t from, uint32_t a, uint32_t b) {
    if (bits[a] != bits[b]) return bits[a] < bits[b];
    return (a < from) != (b < from) ? a >= from : a < b;
}

/* The cell that follows `last` in the order; there is one. */
static uint32_t following(const state *s, const int32_t *bits, uint32_t from, uint32_t last) {
    uint32_t best = LB_NONE;
    for (uint32_t cell = 0; cell < s->n_cells; cell++) {
        if (s->member[cell] == LB_NONE || !before(bits, from, last, cell)) continue;
        if (best == LB_NONE || before(bits, from, cell, best)) best = cell;
    }
    return best;
}

static uint32_t in_turn(const state *s, uint32_t from, uint32_t step) {
    for (uint32_t cell = from;; cell = cell + 1 == s->n_cells ? 0 : cell + 1)
        if (s->member[cell] != LB_NONE && step-- == 0) return cell;
}

static uint32_t scan(const state *s, const lb_view *view, uint32_t from, uint32_t step, bool among) {
    if (step >= STEPS || step >= view->n_usable) return in_turn(s, from, step % view->n_usable);
    scores score;
    uint32_t n = among ? score_among(s, score.value) : score_all(s, score.value);
    int32_t least = lb_least(score.bits, fill_up(score.value, n));
    uint32_t cell = lb_find(score.bits, least, from, s->n_cells);
    if (cell == s->n_cells) cell = lb_find(score.bits, least, 0, from);
    for (; step > 0; step--) cell = following(s, score.bits, from, cell);
    return cell;
}

/* ---- choosing --------------------------------------------------------------------------------------------------- */

/* What cells are ordered by: the slot, or the index where members have none. */
static uint32_t place_of(const lb_view *view, uint32_t member) { return view->state ? view->slot[member] : member; }

static float score_of(const lb_view *view, const state *s, uint32_t member) {
    float ratio = view->state ? lb_factor_read(lb_ratio_of(view->state, view->slot[member])) : 1;
    return score_at(lb_load_of(view, member), s->gain, s->inverse[member], ratio);
}

static bool lighter(const lb_view *view, const void *rule, uint32_t a, uint32_t b) {
    return score_of(view, rule, a) < score_of(view, rule, b);
}

static uint32_t pick(void *st, const lb_view *view, const lb_ask *ask) {
    state *s = st;
    if (view->n_usable == 0) return LB_NONE;
    if (s->draws.table) return lb_draws_pick(&s->draws, view, ask, DRAWS, lighter, s);
    if (ask->peek) return s->member[scan(s, view, lb_counter_read(&s->next), ask->step, ask->kept)];
    uint32_t *from = ask->kept ? ask->kept->place : &s->from;
    if (ask->step == 0) *from = lb_counter_read(&s->next);
    uint32_t cell = scan(s, view, *from, ask->step, ask->kept), member = s->member[cell];
    lb_counter_write(&s->next, cell + 1 == s->n_cells ? 0 : cell + 1);
    lb_counter_write(&s->next_slot, place_of(view, member) + 1);
    return member;
}

/* ---- learning --------------------------------------------------------------------------------------------------- */

static float ratio_of(const lb_pace *pace, double fleet_octaves) {
    double says = fleet_octaves > 0 ? (pace->octaves - fleet_octaves) * pace->calls / (pace->calls + DOUBT) : 0;
    if (says < NEAR && says > -NEAR) return 1;
    return (float)lb_of_octaves(says > CLIP ? CLIP : says < -CLIP ? -CLIP : says);
}

static void observe(const void *st, lb_state *places, uint32_t slot, const lb_seen *seen) {
    (void)st;
    if (seen->latency_ns == 0) return;
    double octaves = lb_octaves((double)seen->latency_ns);
    double fleet = lb_fleet(places);
    if (seen->failed && !(fleet > 0 && octaves >= fleet)) return;
    lb_pace pace = lb_pace_read(places, slot);
    pace.calls += 1;
    pace.octaves += (octaves - pace.octaves) / pace.calls;
    lb_pace_note(places, slot, pace);
    lb_factor_write(lb_ratio_of(places, slot), ratio_of(&pace, fleet));
}

/* The fleet stays what it was while nothing is known of anybody. */
static void fade(lb_state *places, double left) {
    double calls = 0, octaves = 0;
    for (uint32_t slot = 0, n = places->n_slots; slot < n; slot++) {
        lb_pace pace = lb_pace_read(places, slot);
        double rest = pace.calls * left;
        pace.calls = rest > FORGOTTEN ? rest : 0;
        lb_pace_note(places, slot, pace);
        calls += pace.calls;
        octaves += pace.calls * pace.octaves;
    }
    if (calls > 0) lb_word_note_double(&places->common->fleet, octaves / calls);
}

static void tick(const void *st, lb_state *places, uint64_t now_ns) {
    const state *s = st;
    double left;
    if (lb_learn_fade(places, now_ns, s->rate, &left)) fade(places, left);
    for (uint32_t slot = 0, n = places->n_slots; slot < n; slot++) {
        lb_pace pace = lb_pace_read(places, slot);
        lb_factor_write(lb_ratio_of(places, slot), ratio_of(&pace, lb_fleet(places)));
    }
}

/* ---- building --------------------------------------------------------------------------------------------------- */

typedef struct seat { uint32_t place, member; } seat;

static int by_place(const void *a, const void *b) {
    uint32_t left = ((const seat *)a)->place, right = ((const seat *)b)->place;
    return (left > right) - (left < right);
}

/* mean weight / weight; +inf where not usable. */
static float inverse_of(const lb_view *view, uint32_t member) {
    if (member == LB_NONE || view->weight[member] == 0) return INFINITY;
    return (float)((double)view->total_weight / view->n_usable / view->weight[member]);
}

static void add_cell(state *s, const lb_view *view, uint32_t member) {
    s->inverse[s->n_cells] = inverse_of(view, member);
    s->member[s->n_cells++] = member;
}

/* True if the target's cell can belong to the last run, whose slots end before `after`. */
static bool joins(const state *s, uint32_t slot, uint32_t after) {
    return s->n_runs > 0 && slot - after <= GAP && lb_block_of(after - 1) == lb_block_of(slot);
}

/* Bring the runs to the point where the next cell is that of `slot`. */
static void reach(state *s, const lb_view *view, uint32_t slot, uint32_t after) {
    if (joins(s, slot, after)) {
        for (; after < slot; after++) add_cell(s, view, LB_NONE);
    } else {
        s->run[s->n_runs++] = (run){lb_in_flight(view->state, slot), lb_ratio_of(view->state, slot), s->n_cells, 0};
    }
    run *last = &s->run[s->n_runs - 1];
    last->n = s->n_cells + 1 - last->first;
}

static void lay_out(state *s, const lb_view *view) {
    seat seats[SCANNED];
    uint32_t k = view->n_usable, after = 0, next_slot = lb_counter_read(&s->next_slot);
    for (uint32_t i = 0; i < k; i++) seats[i] = (seat){place_of(view, view->usable[i]), view->usable[i]};
    qsort(seats, k, sizeof *seats, by_place);
    s->from = LB_NONE;
    for (uint32_t i = 0; i < k; i++) {
        if (view->state) reach(s, view, seats[i].place, after);
        if (s->from == LB_NONE && seats[i].place >= next_slot) s->from = s->n_cells;
        add_cell(s, view, seats[i].member);
        after = seats[i].place + 1;
    }
    if (s->from == LB_NONE) s->from = 0;
    lb_counter_write(&s->next, s->from);
}

static uint32_t first_slot(const lb_view *view, const state *previous) {
    if (previous) return lb_counter_read(&previous->next_slot);
    if (view->n_usable == 0) return 0;
    lb_rng rng;
    lb_rng_seed(&rng, view->seed);
    return place_of(view, view->usable[lb_rng_below(&rng, view->n_usable)]);
}

/* | state | run[runs] | inverse[cells] | member[cells] | */
static state *make(uint32_t runs, uint32_t cells) {
    size_t bytes = sizeof(state) + runs * sizeof(run) + (size_t)cells * (sizeof(float) + sizeof(uint32_t));
    state *s = lb_alloc_zero(1, bytes);
    if (!s) return NULL;
    s->run = (run *)(void *)(s + 1);
    s->inverse = (float *)(void *)(s->run + runs);
    s->member = (uint32_t *)(void *)(s->inverse + cells);
    return s;
}

static void destroy(void *st) {
    state *s = st;
    if (s) lb_draws_clear(&s->draws);
    lb_free(s);
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)old_index;
    bool many = view->n_usable > SCANNED;
    state *s = many ? make(0, view->n_members) : make(view->n_usable, view->n_usable * (GAP + 1));
    if (!s) return lb_no_memory(err, "policy");
    s->gain = (float)param[0];
    s->rate = 1 / (param[1] * 1e9);
    lb_counter_write(&s->next_slot, first_slot(view, previous));
    lb_status status = LB_OK;
    if (many) {
        for (uint32_t i = 0; i < view->n_members; i++) s->inverse[i] = inverse_of(view, i);
        status = lb_draws_init(&s->draws, view, err);
    } else {
        lay_out(s, view);
    }
    if (status) destroy(s);
    else *out = s;
    return status;
}

const lb_policy lb_policy_adaptive = {
    .name = "adaptive", .summary = "The least loaded target for its weight and its recent latency.",
    .params = params, .build = build, .destroy = destroy, .pick = pick, .pure = true,
    .observe = observe, .tick = tick, .tick_ns = LB_LEARN_TICK_NS, .load_aware = true,
};

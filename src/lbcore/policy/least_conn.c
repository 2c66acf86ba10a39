/* least_conn: the target with the least in flight for its weight.
 *
 * Source  nginx's and HAProxy's rule of the same purpose; the +1 is the request being placed, without it a weight would
 *         mean nothing on an idle upstream.
 * Load    (in-flight + 1) / weight, compared by cross-multiplication: exact, no division.
 * Ties    in turn: of equal ones the first at or after the place behind the last pick.  The first turn begins at
 *         place 0 from phase zero, else at a place drawn from the seed; a new View goes on where the old one stood.
 * Many    above 1,024 targets the least of 8 drawn by weight, ties to the first drawn.
 * Step    asked again: the next in the order (load, turn), exact for 16 steps, then the targets in turn.  Above 1,024:
 *         8 draws more.
 * Peek    as pick() would; above 1,024 from a copy of the generator, for 16 steps, then the followers in the list.
 * Cost    pick O(n (step + 1)) to 1,024 targets, O(1) above; build O(n); memory 16 bytes a target above 1,024.
 * Keeps   pick() moves the turn, a relaxed counter: threads that pick at the same moment may begin at the same place.
 *         Where an ask under way began is kept in ask->kept, else in the state.
 */
#include "base/alloc.h"
#include "policy/alias.h"

#define FLAT 1024u                  /* targets that are scanned */
#define DRAWS 8u
#define STEPS 16u                   /* that are answered exactly */

typedef struct state {
    lb_alias *table;                /* NULL up to FLAT targets */
    uint32_t from;                  /* where the turn of the ask under way begins: a place in usable */
    lb_counter next;                /* where the next one will */
} state;

typedef struct candidate {
    uint64_t load;                  /* in-flight + 1 */
    uint32_t weight;
    uint32_t turn;                  /* distance from where the turn begins */
    uint32_t place;
} candidate;

static candidate look_at(const lb_view *view, uint32_t place, uint32_t turn) {
    uint32_t member = view->usable[place];
    uint64_t in_flight = view->state ? lb_counter_read(lb_in_flight(view->state, view->slot[member])) : 0;
    return (candidate){in_flight + 1, view->weight[member], turn, place};
}

static bool before(candidate a, candidate b) {
    uint64_t left = a.load * b.weight, right = b.load * a.weight;      /* below 2^33 * 2^20 */
    return left != right ? left < right : a.turn < b.turn;
}

/* The least candidate that comes after `last` (NULL: the least of all).  Loads may change meanwhile; if that leaves
 * none, the last one again. */
static candidate least_after(const lb_view *view, uint32_t from, const candidate *last) {
    candidate best = {0};
    for (uint32_t turn = 0, place = from; turn < view->n_usable; turn++) {
        candidate c = look_at(view, place, turn);
        if (++place == view->n_usable) place = 0;
        if (last && !before(*last, c)) continue;
        if (best.weight == 0 || before(c, best)) best = c;
    }
    return best.weight || !last ? best : *last;
}

static uint32_t scan(const lb_view *view, uint32_t from, uint32_t step) {
    if (step >= STEPS || step >= view->n_usable) return (uint32_t)(((uint64_t)from + step) % view->n_usable);
    candidate c = least_after(view, from, NULL);
    for (uint32_t i = 0; i < step; i++) c = least_after(view, from, &c);
    return c.place;
}

static uint32_t sample(const lb_alias *table, const lb_view *view, lb_rng *rng) {
    candidate best = look_at(view, lb_alias_draw(table, rng), 0);
    for (uint32_t turn = 1; turn < DRAWS; turn++) {
        candidate c = look_at(view, lb_alias_draw(table, rng), turn);
        if (before(c, best)) best = c;
    }
    return best.place;
}

static uint32_t peek_sample(const lb_alias *table, const lb_view *view, const lb_ask *ask) {
    lb_rng copy = *ask->rng;
    uint32_t last = ask->step < STEPS ? ask->step : STEPS - 1, place = sample(table, view, &copy);
    for (uint32_t step = 0; step < last; step++) place = sample(table, view, &copy);
    return (uint32_t)(((uint64_t)place + ask->step - last) % view->n_usable);
}

static uint32_t pick(void *st, const lb_view *view, const lb_ask *ask) {
    state *s = st;
    if (view->n_usable == 0) return LB_NONE;
    if (s->table) {
        uint32_t drawn = ask->peek ? peek_sample(s->table, view, ask) : sample(s->table, view, ask->rng);
        return view->usable[drawn];
    }
    if (ask->peek) return view->usable[scan(view, lb_counter_read(&s->next), ask->step)];
    uint32_t *from = ask->kept ? ask->kept->place : &s->from;
    if (ask->step == 0) *from = lb_counter_read(&s->next);
    uint32_t place = scan(view, *from, ask->step);
    lb_counter_write(&s->next, place + 1 == view->n_usable ? 0 : place + 1);
    return view->usable[place];
}

static void destroy(void *st) {
    state *s = st;
    if (!s) return;
    lb_alias_free(s->table);
    lb_free(s);
}

static uint32_t first_turn(const lb_view *view, const state *previous) {
    if (view->n_usable == 0) return 0;
    if (previous) return lb_counter_read(&previous->next) % view->n_usable;
    lb_rng rng;
    lb_rng_seed(&rng, view->seed);
    return lb_rng_below(&rng, view->n_usable);
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)param, (void)old_index;
    state *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    s->from = first_turn(view, previous);
    lb_counter_write(&s->next, s->from);
    lb_status status = view->n_usable > FLAT ? lb_alias_new(&s->table, view, err) : LB_OK;
    if (status) destroy(s);
    else *out = s;
    return status;
}

const lb_policy lb_policy_least_conn = {
    .name = "least_conn", .summary = "The target with the least in flight for its weight.",
    .build = build, .destroy = destroy, .pick = pick, .pure = true, .load_aware = true,
};

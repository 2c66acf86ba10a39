/* draws: see draws.h. */
#include "policy/draws.h"

#include "base/alloc.h"

typedef struct rule {
    const lb_alias *table;
    const lb_view *view;
    uint32_t choices;
    lb_lighter *lighter;
    const void *own;
} rule;

static bool was_told(const lb_kept *told, uint32_t place) {
    for (uint32_t i = 0; i < told->n; i++)
        if (told->place[i] == place) return true;
    return false;
}

/* This place, or the next one in the list that was not told; there is one. */
static uint32_t untold(const lb_kept *told, uint32_t place, uint32_t k) {
    while (was_told(told, place))
        if (++place == k) place = 0;
    return place;
}

/* Any place but this one, uniformly; k > 1. */
static uint32_t another(uint32_t place, uint32_t k, lb_rng *rng) {
    uint32_t other = place + 1 + lb_rng_below(rng, k - 1);
    return other < k ? other : other - k;
}

static uint32_t sample(const rule *r, const lb_kept *told, lb_rng *rng) {
    uint32_t k = r->view->n_usable;
    const uint32_t *usable = r->view->usable;
    uint32_t best = untold(told, lb_alias_draw(r->table, rng), k);
    for (uint32_t i = 1; i < r->choices && k > 1; i++) {
        uint32_t other = untold(told, lb_alias_draw(r->table, rng), k);
        if (other == best) other = untold(told, another(best, k, rng), k);
        if (other != best && r->lighter(r->view, r->own, usable[other], usable[best])) best = other;
    }
    return best;
}

/* How many are told by drawing. */
static uint32_t drawn(const lb_view *view) {
    return view->n_usable < LB_DRAW_STEPS ? view->n_usable : LB_DRAW_STEPS;
}

static uint32_t tell(const rule *r, lb_kept *told, lb_rng *rng, uint32_t step) {
    if (step == 0) told->n = 0;
    if (told->n < drawn(r->view)) {
        uint32_t place = sample(r, told, rng);
        told->place[told->n++] = place;
        return place;
    }
    uint64_t beyond = step < told->n ? 1 : (uint64_t)step - told->n + 1;
    return (uint32_t)((told->place[told->n - 1] + beyond) % r->view->n_usable);
}

static uint32_t look_ahead(const rule *r, lb_rng rng, uint32_t step) {
    lb_kept told;
    uint32_t last = step < drawn(r->view) ? step : drawn(r->view), place = tell(r, &told, &rng, 0);
    for (uint32_t s = 1; s < last; s++) tell(r, &told, &rng, s);
    return step == 0 ? place : tell(r, &told, &rng, step);
}

uint32_t lb_draws_pick(lb_draws *draws, const lb_view *view, const lb_ask *ask, uint32_t choices, lb_lighter *lighter,
                       const void *own) {
    if (view->n_usable == 0) return LB_NONE;
    rule r = {draws->table, view, choices, lighter, own};
    if (ask->peek) return view->usable[look_ahead(&r, *ask->rng, ask->step)];
    return view->usable[tell(&r, ask->kept ? ask->kept : &draws->told, ask->rng, ask->step)];
}

lb_status lb_draws_init(lb_draws *draws, const lb_view *view, lb_error *err) {
    *draws = (lb_draws){0};
    return lb_alias_new(&draws->table, view, err);
}

void lb_draws_clear(lb_draws *draws) { lb_alias_free(draws->table); }

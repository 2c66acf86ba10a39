/* envoy_bounded: see envoy_bounded.h. */
#include "policy/envoy_bounded.h"

#include "hash/mt19937.h"

typedef struct fleet {
    const lb_view *view;
    const double *share;
    uint64_t slots;                 /* of all */
} fleet;

static uint64_t calls_of_all(const lb_state *places) {
    uint64_t sum = 0;
    for (uint32_t slot = 0, n = places->n_slots; slot < n; slot++) sum += lb_counter_read(lb_in_flight(places, slot));
    return sum;
}

static uint32_t calls_of(const lb_view *view, uint32_t place) {
    return lb_counter_read(lb_in_flight(view->state, view->slot[view->usable[place]]));
}

static double load_of(const fleet *all, uint32_t place) {
    double slots = (double)all->slots * all->share[place];
    uint64_t whole = (uint64_t)slots;
    whole += (double)whole < slots;             /* ceil, and no call of it */
    return (double)calls_of(all->view, place) / (double)(whole ? whole : 1);
}

/* Uniform in 0..k-1: the upper part of a word, drawn again where it is k or more. */
static uint32_t below(lb_mt19937 *mt, uint32_t k) {
    uint64_t part = ((uint64_t)1 << 32) / k, x;
    do x = lb_mt19937_next(mt) / part;
    while (x >= k);
    return (uint32_t)x;
}

static uint32_t overflow(const fleet *all, uint32_t *order, uint32_t n, uint64_t hash, uint32_t first) {
    lb_mt19937 mt;
    lb_mt19937_seed(&mt, (uint32_t)hash);
    uint32_t best = first;
    double least = load_of(all, first);
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = i + below(&mt, n - i), place = order[j];
        order[j] = order[i];
        order[i] = place;
        if (place == first) continue;
        double load = load_of(all, place);
        if (load <= 1) return place;
        if (load < least) {
            least = load;
            best = place;
        }
    }
    return best;
}

uint32_t lb_envoy_within_bound(const lb_envoy *s, const lb_view *view, uint64_t hash, uint32_t place) {
    if (!view->state || calls_of(view, place) <= 1) return place;      /* everybody has a slot */
    uint64_t calls = calls_of_all(view->state);
    fleet all = {view, s->table->share, ((calls + 1) * s->balance + 99) / 100};
    return load_of(&all, place) <= 1 ? place : overflow(&all, s->order, s->table->n, hash, place);
}

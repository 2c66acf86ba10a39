/* least_conn_nginx: nginx's least_conn, pick for pick: the least in flight for its weight, equals in smooth turns.
 *
 * Source  nginx, ngx_http_upstream_get_least_conn_peer() (1.22 to 1.31).
 * Load    in-flight / weight, compared by cross-multiplication.  An idle target has load 0 whatever its weight (the
 *         request being placed is not counted, as least_conn does): the smooth turns give the weights then.
 * Ties    smooth.h among the equal ones only; the current weights of the others stand still.  Of those that are equal
 *         in this too, the first in the list.
 * Step    asked again: the same among those not given yet; once all have been, from the beginning.
 * Peek    in a copy of the current weights and by the loads of now, for 64 steps; nothing beyond.
 * Cost    pick O(n) as in nginx, two passes; peek O(n step).  Memory 36 bytes a member.
 * Keeps   pick() moves the current weights: one caller at a time.
 */
#include "policy/smooth.h"

typedef struct load {
    uint64_t in_flight;
    uint32_t weight;                /* 0: of nobody */
} load;

static load load_of(const lb_view *view, uint32_t member) {
    uint64_t in_flight = view->state ? lb_counter_read(lb_in_flight(view->state, view->slot[member])) : 0;
    return (load){in_flight, view->weight[member]};
}

/* < 0: a is less loaded, 0: equally, > 0: more.  Products are below 2^52. */
static int compare(load a, load b) {
    uint64_t left = a.in_flight * b.weight, right = b.in_flight * a.weight;
    return (left > right) - (left < right);
}

/* The least load among those that are free; *from: the first place in usable that has it. */
static load least(const lb_seats *seats, const lb_view *view, uint32_t *from) {
    load best = {0, 0};
    for (uint32_t place = 0; place < view->n_usable; place++) {
        uint32_t member = view->usable[place];
        if (!lb_seat_is_free(seats, member)) continue;
        load here = load_of(view, member);
        if (best.weight && compare(here, best) >= 0) continue;
        best = here;
        *from = place;
    }
    return best;
}

static uint32_t turn_of_least(lb_seats *seats, const lb_view *view) {
    uint32_t from = 0;
    load best = least(seats, view, &from);
    lb_turn turn = {.best = LB_NONE};
    for (uint32_t place = from; best.weight && place < view->n_usable; place++) {
        uint32_t member = view->usable[place];
        if (!lb_seat_is_free(seats, member)) continue;
        /* The first needs no second look: its load may have changed meanwhile, and somebody must be offered. */
        if (place != from && compare(load_of(view, member), best) != 0) continue;
        lb_turn_offer(&turn, seats, member, view->weight[member]);
    }
    return lb_turn_end(&turn, seats);
}

static uint32_t pick(void *smooth, const lb_view *view, const lb_ask *ask) {
    return lb_smooth_pick(smooth, view, ask, turn_of_least);
}

const lb_policy lb_policy_least_conn_nginx = {
    .name = "least_conn_nginx", .summary = "nginx's least_conn: the least in flight for its weight, equals in turn.",
    .build = lb_smooth_build, .destroy = lb_smooth_destroy, .pick = pick,
};

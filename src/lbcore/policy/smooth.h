/* smooth: nginx's smooth weighted round robin, which its other schemes fall back to or use among equals.
 *
 *   turn, weights 5 1 3          current before the choice      chosen     after it
 *   every candidate gains          5   1   3                      0        -4   1   3
 *   its weight, the largest        1   2   6                      2         1   2  -3
 *   is chosen and pays them all    6   3   0                      0        -3   3   0
 *
 * Source  nginx, ngx_http_upstream_get_peer() of ngx_http_upstream_round_robin.c (1.22 to 1.31).
 * Ask     a choice and what the core asks for after it (step 1, 2, ...).  Who has been given in an ask is no candidate
 *         again: what nginx does with the servers that a request has tried.
 * Ties    the first in the list.
 * Change  current weights stay with their members, also of those that are down; a newcomer starts at 0.  Where members
 *         or configured weights change, which in nginx is a new start, none is more than one round ahead or behind.
 * Cost    a turn O(candidates); memory 36 bytes a member.
 * Keeps   the current weights of all members add up to what they began with.  Turns write: one caller at a time.
 */
#ifndef LBCORE_POLICY_SMOOTH_H
#define LBCORE_POLICY_SMOOTH_H

#include "policy/policy.h"

#define LB_SMOOTH_LOOK 64u          /* steps that peek answers */

typedef struct lb_smooth_seat {
    int64_t current;
    uint64_t given;                 /* the ask in which the member was last given */
} lb_smooth_seat;

typedef struct lb_seats {
    lb_smooth_seat *seat;                  /* by member */
    uint64_t ask;                   /* the one under way, > 0 */
} lb_seats;

typedef struct lb_smooth {
    lb_seats now;
    lb_seats ahead;                 /* room for a copy, in which a peek goes on */
    uint32_t n_members;
    uint32_t *full;                 /* the configured weights, to know a change of them by */
} lb_smooth;

/* `previous` (NULL: none) is of the View before; it is only read.  On failure *out is untouched. */
lb_status lb_smooth_new(lb_smooth **out, const lb_view *view, const lb_smooth *previous, const uint32_t *old_index,
                        lb_error *err);
void lb_smooth_free(lb_smooth *smooth);                                /* accepts NULL */

/* The seats for what is asked now: an ask begins, nobody has been given in it.  Where `peek`, in the copy. */
lb_seats *lb_smooth_begin(lb_smooth *smooth, bool peek);

/* The member whose turn it is among the usable ones not given in this ask; LB_NONE: all have been given. */
uint32_t lb_smooth_turn(lb_seats *seats, const lb_view *view);

/* ---- policies of turns ------------------------------------------------------------------------------------ */

/* One turn of an ask, as lb_smooth_turn() is. */
typedef uint32_t lb_smooth_rule(lb_seats *seats, const lb_view *view);

/* pick() of a policy whose state is an lb_smooth and whose turns go by `rule`.  Once all have been given in an ask, it
 * begins anew; a peek beyond LB_SMOOTH_LOOK steps tells nothing. */
uint32_t lb_smooth_pick(lb_smooth *smooth, const lb_view *view, const lb_ask *ask, lb_smooth_rule *rule);

/* build() and destroy() of such a policy. */
lb_status lb_smooth_build(void **out, const lb_view *view, const double *param, const void *previous,
                          const uint32_t *old_index, lb_error *err);
void lb_smooth_destroy(void *smooth);

/* ---- a turn among some members: offer each, in the order of the list, then end it ------------------------- */

typedef struct lb_turn {
    uint32_t best;                  /* LB_NONE: nobody was offered */
    int64_t total;
} lb_turn;

static inline bool lb_seat_is_free(const lb_seats *seats, uint32_t member) {
    return seats->seat[member].given != seats->ask;
}

/* It is no candidate any more in this ask. */
static inline void lb_seat_give(lb_seats *seats, uint32_t member) { seats->seat[member].given = seats->ask; }

/* A candidate, free and of weight > 0. */
static inline void lb_turn_offer(lb_turn *turn, lb_seats *seats, uint32_t member, uint32_t weight) {
    lb_smooth_seat *seat = &seats->seat[member];
    seat->current += weight;
    turn->total += weight;
    if (turn->best == LB_NONE || seat->current > seats->seat[turn->best].current) turn->best = member;
}

static inline uint32_t lb_turn_end(const lb_turn *turn, lb_seats *seats) {
    if (turn->best == LB_NONE) return LB_NONE;
    seats->seat[turn->best].current -= turn->total;
    lb_seat_give(seats, turn->best);
    return turn->best;
}

#endif

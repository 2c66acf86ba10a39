/* view: what a policy sees, one immutable picture of an upstream.
 *
 * Members stand in the order of the target list; an index into them is what pick() returns.
 *
 *   member    0    1    2    3            a target each
 *   weight   [3]  [0]  [5]  [2]           effective: 0 where the target is not usable
 *   slot     [7]  [2]  [0]  [9]           its place in State
 *   user     [*]  [*]  [*]  [*]           the embedder's pointer (the binding keeps its Target here)
 *   usable   [0    2    3]                members with weight > 0 that are healthy, ascending
 *
 * Keeps   nothing here changes after lb_view_new(); a change makes a new View.
 */
#ifndef LBCORE_TARGET_VIEW_H
#define LBCORE_TARGET_VIEW_H

#include "target/state.h"

#define LB_MAX_WEIGHT 1000000u

typedef struct lb_view {
    uint32_t n_members;
    uint32_t n_usable;
    uint64_t total_weight;          /* sum over usable */
    uint64_t seed;                  /* of the upstream: for orders that must be the same at each build */
    lb_state *state;                /* NULL where members have no slots (the backends of a split) */
    uint32_t *usable;
    uint32_t *weight;
    uint32_t *slot;
    void **user;
} lb_view;

/* A View with room for n members, n_usable and total_weight 0; the caller fills weight, slot and user,
 * then calls lb_view_close(), which derives the rest from weight. */
lb_status lb_view_new(lb_view **out, uint32_t n_members, lb_state *state, lb_error *err);
void lb_view_close(lb_view *view);
void lb_view_free(lb_view *view);                                      /* accepts NULL */

#endif

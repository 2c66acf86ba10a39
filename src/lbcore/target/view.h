/* view: what a policy sees, one immutable picture of an upstream.
 *
 * Members stand in the order of the target list; an index into them is what pick() returns.
 *
 *   member    0    1    2    3            a target each
 *   weight   [3]  [0]  [5]  [2]           effective: 0 where the target is not usable
 *   slot     [7]  [2]  [0]  [9]           its place in State
 *   user     [*]  [*]  [*]  [*]           the embedder's pointer (the binding keeps its Target here)
 *   full     [3]  [4]  [5]  [2]           as configured, whatever the target's health
 *   usable   [0    2    3]                members with weight > 0 that are healthy, ascending
 *   name      what schemes hash: address, identity, hash_key
 *
 * A View may show a part of an upstream only (one priority, one subset); origin then says which members of the whole
 * its members are.
 * Keeps   nothing here changes after lb_view_new(); a change makes a new View.
 */
#ifndef LBCORE_TARGET_VIEW_H
#define LBCORE_TARGET_VIEW_H

#include "base/str.h"
#include "target/state.h"

#define LB_MAX_WEIGHT 1000000u

/* The texts of a target.  The bytes belong to the upstream's target list and live as long as the View. */
typedef struct lb_name {
    lb_str address;                 /* as given, ports and brackets included */
    lb_str identity;                /* id, else the address */
    lb_str hash_key;                /* what a scheme is to hash instead; empty: nothing given */
} lb_name;

typedef struct lb_view {
    uint32_t n_members;
    uint32_t n_usable;
    uint64_t total_weight;          /* sum over usable */
    uint64_t seed;                  /* of the upstream: for orders that must be the same at each build */
    lb_state *state;                /* NULL where members have no slots (the backends of a split) */
    uint32_t *usable;
    uint32_t *weight;
    uint32_t *full;
    uint32_t *slot;
    void **user;
    bool alike;                     /* workers share its schedule: what is built must depend on the View alone */
    const lb_name *name;            /* of the whole upstream: use lb_view_name(); NULL where members have none */
    uint32_t *origin;               /* NULL: this is the whole upstream */
} lb_view;

/* Which member of the whole upstream a member is. */
static inline uint32_t lb_view_origin(const lb_view *view, uint32_t member) {
    return view->origin ? view->origin[member] : member;
}

static inline const lb_name *lb_view_name(const lb_view *view, uint32_t member) {
    return &view->name[lb_view_origin(view, member)];
}

/* A View with room for n members, n_usable and total_weight 0, name and origin NULL; the caller fills weight, full,
 * slot and user, then calls lb_view_close(), which derives the rest from weight. */
lb_status lb_view_new(lb_view **out, uint32_t n_members, lb_state *state, lb_error *err);
void lb_view_close(lb_view *view);
void lb_view_free(lb_view *view);                                      /* accepts NULL */

#endif

/* internal: what the files of this room share.
 *
 *   members.c   the target list as configured: identities, weights
 *   publish.c   makes a View and policy state aside, swaps them in; ends what is due
 *   events.c    the bounded queue of what happened
 *   call.c      pick, acquire, report, release
 *   upstream.c  new, update, set_weight, set_health
 */
#ifndef LBCORE_UPSTREAM_INTERNAL_H
#define LBCORE_UPSTREAM_INTERNAL_H

#include "upstream/upstream.h"

/* ---- members.c -------------------------------------------------------------------------------------------- */

/* The target list of one View.  Only weight changes after lb_members_new(). */
typedef struct lb_members {
    uint32_t n;
    uint32_t mask;                  /* size of place - 1 */
    uint64_t seed;
    lb_name *name;                  /* by member index; the bytes are the list's own */
    uint32_t *weight;               /* as configured, or as set_weight left it */
    uint32_t *place;                /* open addressing over identity: a member index, or LB_NONE */
} lb_members;

lb_status lb_weight_check(uint32_t weight, lb_error *err);

/* Errors: "targets" (too many), "targets[i].address", "targets[i].id", "targets[i].weight". */
lb_status lb_members_new(lb_members **out, const lb_target_spec *targets, uint32_t n, uint64_t seed, lb_error *err);
void lb_members_free(lb_members *members);                             /* accepts NULL */
uint32_t lb_members_find(const lb_members *members, lb_str identity);  /* LB_NONE: not there, or members is NULL */

/* ---- events.c --------------------------------------------------------------------------------------------- */

#define LB_MAX_EVENTS 256u

typedef struct lb_events {
    lb_event *ring;                 /* LB_MAX_EVENTS; NULL until the first event: most upstreams never have one */
    uint32_t first, n;
    uint64_t dropped;
} lb_events;

void lb_events_push(lb_events *events, lb_event event);
bool lb_events_take(lb_events *events, lb_event *out, uint64_t *dropped);

/* ---- the upstream ----------------------------------------------------------------------------------------- */

struct lb_upstream {
    lb_upstream_hot hot;            /* first: see lb_upstream_is_replaying() */
    void *policy_state;
    lb_state *state;
    lb_upstream_spec spec;
    lb_rng rng;
    uint32_t n_ejected;             /* members with LB_OFF_EJECTED */
    lb_members *members;
    lb_events events;
};

/* ---- publish.c -------------------------------------------------------------------------------------------- */

/* A View and the policy's state for it, made aside. */
typedef struct lb_picture {
    lb_view *view;
    void *policy_state;
} lb_picture;

/* Complete picture->view, whose slot and user are filled: the weights of those who may serve at now_ns, then the
 * policy's state.  Changes nothing else. */
lb_status lb_picture_finish(const lb_upstream *up, lb_picture *picture, const lb_members *members,
                            const uint32_t *old_index, uint64_t now_ns, lb_error *err);

/* Put the picture in place of the present one, end the ejections that are over at now_ns, take stock.  Cannot fail. */
void lb_picture_show(lb_upstream *up, lb_picture picture, uint64_t now_ns);

/* A new picture of the same members: after a change of weights or records, or when something is due. */
lb_status lb_upstream_publish(lb_upstream *up, uint64_t now_ns, lb_error *err);

static inline bool lb_upstream_is_due(const lb_upstream *up, uint64_t now_ns) {
    return now_ns >= up->hot.due_ns && up->hot.due_ns != LB_NEVER;
}

void lb_upstream_tell(lb_upstream *up, lb_event_kind kind, uint32_t slot, uint64_t now_ns);

#endif

/* haproxy_fwrr: the order of HAProxy's `balance roundrobin`, a scheduler by positions.
 *
 *   a round of W turns     W        now           2W
 *                          |---------^-------------|
 *   ready    served in this round: a position each, the lowest first
 *   fresh    not served in this round: the largest weight first
 *   later    served, and done with this round: the largest weight first
 *
 * Rule    shares s are 16 times the weights, W their sum.  A turn goes to the first of `ready` if its position has come;
 *         else to the first of `fresh`, whose position is now; else to the first of `ready` all the same.  If neither
 *         has anybody, `later` becomes `fresh`, and the round begins again at W.  Then the position moves on by W / s;
 *         the rests gather, and where there is a share of them it moves on by one more.  Who stands beyond the round goes
 *         to `later`.
 * Ties    `ready` is in the order of 256 * position + (4096 + rest - s) / 16 (not below 0: HAProxy's s is at most 4096),
 *         the other two by share; of equal ones first come, first served.  At the beginning all come to `fresh` in the
 *         order of the list.
 * Change  as HAProxy requeues, W' being the new sum, which the length of a round follows from the next one on: who goes
 *         leaves; who comes back gets the position now + (W' + W - now) / s; who has a new weight stands behind its new
 *         equals in `fresh`, or gets the position of its last turn plus W' / s, unless its next one is nearer.  Several
 *         changes at once: first those who go, then the others in the order of the list.  Who goes before the first
 *         turn was never there.
 * Source  HAProxy 2.6's documentation and behaviour; recorded orders of 2.6.12 hold starts, with servers down too.  What a
 *         change does is after its source, not recorded.
 * Cost    a turn O(log n); 60 bytes a target.
 * Keeps   each member with a share is in one of the three queues.
 */
#ifndef LBCORE_POLICY_HAPROXY_FWRR_H
#define LBCORE_POLICY_HAPROXY_FWRR_H

#include "policy/policy.h"

typedef struct lb_fwrr_member {
    int64_t share;                  /* 16 times the weight; 0: not usable */
    int64_t rest;                   /* of positions; below share, unless that has become smaller */
    int64_t last, position;         /* the one served, the next one; 0: none yet */
    uint64_t ticket;                /* in the order of coming into the queue */
    uint32_t queue;                 /* which of the three it is in, where share > 0 */
} lb_fwrr_member;

/* A binary heap of members. */
typedef struct lb_fwrr_queue {
    uint32_t *member;
    uint32_t n;
} lb_fwrr_queue;

typedef struct lb_fwrr {
    uint32_t n;                     /* members */
    lb_fwrr_member *member;
    lb_fwrr_queue queue[3];         /* ready; fresh and later, which change places at the end of a round */
    uint32_t fresh;                 /* 1 or 2; 3 - fresh is later */
    int64_t sum, round;             /* of shares: all now, and of the present round */
    int64_t now;
    uint64_t tickets;               /* handed out */
    bool started;                   /* it has given a turn */
} lb_fwrr;

lb_status lb_fwrr_new(lb_fwrr **out, uint32_t n, lb_error *err);       /* empty, with room for n members */
void lb_fwrr_free(lb_fwrr *f);                                         /* accepts NULL */
void lb_fwrr_copy(lb_fwrr *to, const lb_fwrr *from);                   /* of the same n */

/* Fill an empty one: a fresh start of the View's members, or, where `previous` is not NULL, as it stands there, then
 * what has changed since, in the order of the list. */
void lb_fwrr_start(lb_fwrr *f, const lb_view *view, const lb_fwrr *previous, const uint32_t *old_index);

uint32_t lb_fwrr_next(lb_fwrr *f);                                     /* LB_NONE: nobody is usable */

#endif

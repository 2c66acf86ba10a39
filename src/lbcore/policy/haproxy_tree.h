/* haproxy_tree: HAProxy's consistent hashing: points of servers on a circle, and the closest one to a key.
 *
 *   ... ----A1-------B7--x--A4------ ...        x has a distance to the point before and to the one at or after it:
 *                     <->                       the smaller wins, the one before where they are equal
 *
 * Points  16 a unit of weight, at full_hash(key + j), j = 0, 1, ...; key is what the "hash-key" of HAProxy says.  Points
 *         with one hash stand in the order of the list.  Beyond 4,096 points of a server (HAProxy's largest weight is
 *         256), where the next id's would be hit, they are at full_hash(full_hash(key + j % 4096) + j / 4096).
 * Health  a target that is not usable has no points.  A new View has a new circle.
 * Turns   a request without a key gets the next point's owner, round the circle; a new circle goes on behind the point
 *         that was served last.
 * Bound   hash-balance-factor f: all have slots = ceil((in flight + 1) * f / 100) together, a target its weight's share
 *         of them, the crumbs by running sums of weights, at least 1.  Who has no slot left is passed over, points
 *         going up.
 * Source  HAProxy's configuration manual, "hash-type", "hash-key", "hash-balance-factor"; V. Mirrokni et al.,
 *         "Consistent hashing with bounded loads", SODA 2018; recorded answers of HAProxy 2.6.12 and 3.4.0.
 * Cost    a lookup O(1) expected; with a bound, O(n) for the sum in flight and O(points passed over).  Build O(points);
 *         12 to 16 bytes a point.
 * Keeps   read-only but for `turn`, a relaxed word which requests without a key move: those of several threads at the same
 *         moment may get the same point.
 */
#ifndef LBCORE_POLICY_HAPROXY_TREE_H
#define LBCORE_POLICY_HAPROXY_TREE_H

#include "hash/ring.h"
#include "policy/policy.h"

#define LB_HAPROXY_SCALE 16u                /* points a unit of weight */
#define LB_HAPROXY_MAX_WEIGHT 4096u         /* of a target: 65,536 points */

/* HAProxy's "hash-key", in the order of the words that policies offer. */
typedef enum lb_haproxy_server_key {
    LB_HAPROXY_ID,                  /* hash_key as a number, else the position from 1 in the whole list; times 4,096 */
    LB_HAPROXY_ID32,                /* the same number, its bytes turned round, mixed */
    LB_HAPROXY_ADDR,
    LB_HAPROXY_ADDR_PORT,
    LB_HAPROXY_GUID,                /* hash_key as text */
} lb_haproxy_server_key;

typedef struct lb_haproxy_tree {
    lb_ring *ring;                  /* of the usable members */
    uint32_t factor;                /* percent; 0: no bound */
    uint64_t total;                 /* points */
    uint64_t *below;                /* by member: points of the usable ones before it; NULL where there is no bound */
    lb_counter turn;                /* the point that the next request without a key gets */
} lb_haproxy_tree;

/* `previous` may be NULL.  Errors: "targets" (too many points), "targets[i].weight", "targets[i].hash_key",
 * "targets[i].address".  A failure leaves nothing to clear. */
lb_status lb_haproxy_tree_init(lb_haproxy_tree *tree, const lb_view *view, lb_haproxy_server_key server_key,
                               uint32_t factor, const lb_haproxy_tree *previous, lb_error *err);
void lb_haproxy_tree_clear(lb_haproxy_tree *tree);

/* A step of a walk: from the closest point to `hash` (NULL: no key) upwards, once round. */
uint32_t lb_haproxy_tree_walk(lb_haproxy_tree *tree, const lb_view *view, const uint32_t *hash, lb_walk *walk);

#endif

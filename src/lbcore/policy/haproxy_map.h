/* haproxy_map: HAProxy's map: a table in which every server stands as often as its weight says, well spread.
 *
 *   weights 3, 1, 2:   [0] [0] [2] [0] [1] [2]
 *
 * Rule    weights are divided by their greatest common divisor, that of all targets, usable or not; the map has as many
 *         places as those of the usable ones add up to.  At each place every usable target's score goes up by its
 *         weight; it is of class (score + places) / places, without its fraction; the first of the highest class gets
 *         the place, and its score goes down by the number of places.
 * Source  HAProxy's configuration manual, "hash-type map-based" and "static-rr"; recorded answers of HAProxy 2.6.12.
 * Built   a class rises at times that depend on the weight alone, the k-th at place ceil(k * places / weight) - 1.
 *         Each rise is a ticket (class, target); each place takes the best ticket.  So no place scans the targets.
 * Cost    build O(places * log n); 4 bytes a place, twice that meanwhile.
 */
#ifndef LBCORE_POLICY_HAPROXY_MAP_H
#define LBCORE_POLICY_HAPROXY_MAP_H

#include "policy/policy.h"

#define LB_HAPROXY_MAX_MAP (1u << 20)       /* places: 4,096 servers of HAProxy's largest weight */

/* *place: *n members; NULL where nobody is usable.  LB_ERR_CONFIG ("targets") above LB_HAPROXY_MAX_MAP places, those of
 * targets that are down counted, so that a recovery is never refused. */
lb_status lb_haproxy_map_new(uint32_t **place, uint32_t *n, const lb_view *view, lb_error *err);

/* A step of a walk: from the place of `hash` (NULL: no key, and then from *turn, which moves) onwards, once round. */
uint32_t lb_haproxy_map_walk(const uint32_t *place, uint32_t n, lb_counter *turn, const uint32_t *hash, lb_walk *walk);

#endif

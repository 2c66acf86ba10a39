/* tries: how nginx's keyed schemes go on: 21 members by the key, then smooth turns among all.
 *
 *   try       0    1    2   ...  20  |  21   22  ...
 *   member    3    3    1         0  |   smooth turns among the usable ones that no try has given
 *             ^ by the key           |
 *
 * Source  nginx, ngx_http_upstream_hash_module.c and ngx_http_upstream_ip_hash_module.c (1.22 to 1.31): a server that
 *         cannot be had costs a try, and when more than 20 are spent, round robin decides.
 * Count   each member that a try names costs one, whether it is down or the core has to skip it.  (nginx's plain hashes
 *         do not count a server that was tried and failed: after failed attempts they make as many tries more.)
 * End     when all usable members have been given.
 * Peek    leaves the current weights alone; 64 smooth turns, then nothing.
 * Cost    a walk O(1) tries; a smooth turn O(n).
 * Keeps   smooth turns write to the state: one caller at a time.
 */
#ifndef LBCORE_POLICY_TRIES_H
#define LBCORE_POLICY_TRIES_H

#include "policy/smooth.h"

#define LB_TRIES 21u

/* The member, usable or not, of try number walk->at (0, 1, ... in this order); walk->hash is its to keep. */
typedef uint32_t lb_try(const void *table, const lb_view *view, lb_walk *walk);

/* walk() of a policy: `try` on `table`, or no try at all where the key is not `hashable`. */
uint32_t lb_tries_walk(lb_smooth *smooth, const lb_view *view, lb_walk *walk, bool hashable, lb_try *try,
                       const void *table);

/* ---- the plain hashes: a number of weights' units to a member --------------------------------------------- */

/* The state of hash_nginx and of ip_hash_nginx.  Members that are down keep their part of the line:
 *
 *   0        3   4             9         full weights 3, 1, 5; end[] is {3, 4, 9}
 *   |---0----|-1-|------2------|
 */
typedef struct lb_line {
    lb_smooth *smooth;
    uint32_t n;                     /* members of weight > 0 at least; 0: there is no line */
    uint64_t *end;
} lb_line;

/* build() and destroy() of such a policy. */
lb_status lb_line_build(void **out, const lb_view *view, const double *param, const void *previous,
                        const uint32_t *old_index, lb_error *err);
void lb_line_destroy(void *line);

/* The member at `unit` modulo the length of the line. */
uint32_t lb_line_at(const lb_line *line, uint64_t unit);

#endif

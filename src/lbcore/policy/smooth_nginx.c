/* smooth_nginx: nginx's round robin, turn by turn as nginx gives it.
 *
 * Source  smooth.h.  The schedule begins with the configuration and is the same in every process; nginx's passive
 *         health (max_fails, and the weight it takes off a failing server) is not part of it: see health/.
 * Ties    the first in the list.
 * Step    asked again: the turn goes on among those not given yet; once all have been, from the beginning.
 * Peek    in a copy of the current weights, for 64 steps; nothing beyond.
 * Cost    pick O(n) as in nginx, peek O(n step); round_robin picks in O(1).  Memory 36 bytes a member.
 * Keeps   pick() moves the current weights: one caller at a time.
 */
#include "policy/smooth.h"

static uint32_t pick(void *smooth, const lb_view *view, const lb_ask *ask) {
    return lb_smooth_pick(smooth, view, ask, lb_smooth_turn);
}

const lb_policy lb_policy_smooth_nginx = {
    .name = "smooth_nginx", .summary = "nginx's round robin by weight, turn for turn.",
    .build = lb_smooth_build, .destroy = lb_smooth_destroy, .pick = pick,
};

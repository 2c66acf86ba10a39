/* due: fires what is due.
 *
 *   holds       failed calls that stay counted for a while       earliest end
 *   tick        what a policy learnt fades                       policy->tick_ns after the last
 *   picture     ejections that end, steps of slow starts         picture->due_ns
 *                                             hot.due_ns: the earliest of the three
 *
 * Cost    O(1) but for the picture, which is made anew.
 * Keeps   a failed attempt leaves its part due.
 */
#include "upstream/internal.h"

#include "base/alloc.h"

/* ---- holds ------------------------------------------------------------------------------------------------------ */

static lb_hold *hold_at(const lb_holds *holds, uint32_t i) {
    return &holds->ring[(holds->first + i) % holds->capacity];
}

static bool make_room(lb_holds *holds) {
    if (holds->n < holds->capacity) return true;
    if (holds->capacity > UINT32_MAX / 4) return false;
    uint32_t capacity = holds->capacity ? 2 * holds->capacity : 16;
    lb_hold *ring = lb_alloc_array(capacity, sizeof *ring);
    if (!ring) return false;
    for (uint32_t i = 0; i < holds->n; i++) ring[i] = *hold_at(holds, i);
    lb_free(holds->ring);
    *holds = (lb_holds){.ring = ring, .n = holds->n, .capacity = capacity};
    return true;
}

/* Verdicts come in order and releases nearly so: few move. */
bool lb_holds_add(lb_holds *holds, lb_hold hold) {
    if (!make_room(holds)) return false;
    uint32_t at = holds->n++;
    for (; at > 0 && hold_at(holds, at - 1)->until_ns > hold.until_ns; at--)
        *hold_at(holds, at) = *hold_at(holds, at - 1);
    *hold_at(holds, at) = hold;
    return true;
}

static void end_holds(lb_upstream *up, uint64_t now_ns) {
    while (up->holds.n && hold_at(&up->holds, 0)->until_ns <= now_ns) {
        lb_hold hold = *hold_at(&up->holds, 0);
        up->holds.first = (up->holds.first + 1) % up->holds.capacity;
        up->holds.n--;
        lb_record_of(up->state, hold.slot)->n_held--;
        if (lb_state_finish(up->state, hold.slot, hold.generation)) up->in_flight--;
    }
}

/* ---- ticks ------------------------------------------------------------------------------------------------------ */

/* Once, however long the silence was: a tick is told the time. */
static void tick(lb_upstream *up, uint64_t now_ns) {
    const lb_policy *policy = up->spec.policy;
    policy->tick(up->picture->scope[0].group[0].policy_state, up->state, now_ns);
    up->tick_due_ns = now_ns + policy->tick_ns;
}

/* ---- all -------------------------------------------------------------------------------------------------------- */

void lb_upstream_set_due(lb_upstream *up) {
    uint64_t due_ns = up->picture_due_ns;
    if (up->tick_due_ns < due_ns) due_ns = up->tick_due_ns;
    if (up->holds.n && hold_at(&up->holds, 0)->until_ns < due_ns) due_ns = hold_at(&up->holds, 0)->until_ns;
    up->hot.due_ns = due_ns;
}

lb_status lb_upstream_advance(lb_upstream *up, uint64_t now_ns, lb_error *err) {
    if (!lb_upstream_is_due(up, now_ns)) return LB_OK;
    end_holds(up, now_ns);
    if (up->spec.policy->tick_ns && now_ns >= up->tick_due_ns) tick(up, now_ns);
    lb_status status = now_ns >= up->picture_due_ns ? lb_upstream_publish(up, now_ns, err) : LB_OK;
    lb_upstream_set_due(up);
    return status;
}

uint64_t lb_upstream_due(const lb_upstream *up) { return up->hot.due_ns; }

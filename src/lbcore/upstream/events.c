/* events: a ring of the last LB_MAX_EVENTS things that happened.
 *
 * Cost    O(1); 40 bytes an event, allocated with the first one.
 * Keeps   oldest first; what does not fit, or finds no memory, is counted in dropped.
 */
#include "upstream/internal.h"

#include "base/alloc.h"

static uint32_t turn(uint32_t i) { return i % LB_MAX_EVENTS; }

void lb_events_push(lb_events *events, lb_event event) {
    if (!events->ring) events->ring = lb_alloc_array(LB_MAX_EVENTS, sizeof *events->ring);
    if (!events->ring) {
        events->dropped++;
        return;
    }
    events->ring[turn(events->first + events->n)] = event;
    if (events->n < LB_MAX_EVENTS) {
        events->n++;
    } else {                                            /* it took the place of the oldest */
        events->first = turn(events->first + 1);
        events->dropped++;
    }
}

bool lb_events_take(lb_events *events, lb_event *out, uint64_t *dropped) {
    *dropped = events->dropped;
    events->dropped = 0;
    if (events->n == 0) return false;
    *out = events->ring[events->first];
    events->first = turn(events->first + 1);
    events->n--;
    return true;
}

/* change: what a program or the operator does to one target: its weight, its health, a drain, out of service.
 *
 * All but the weight is a word of the target's record, which every worker reads where State is shared; the next pick of
 * each makes a new picture.
 * Cost    O(1); a weight O(n) and the policy's build.
 * Keeps   a change that fails has changed nothing.  An event is told once, by who made the change.
 */
#include "upstream/internal.h"

static lb_status check_member(const lb_upstream *up, uint32_t member, lb_error *err) {
    uint32_t n = up->hot.view->n_members;
    if (member < n) return LB_OK;
    return lb_fail(err, LB_ERR_CONFIG, "target", "no target has the index %u; the upstream has %u", member, n);
}

/* What is due comes first, but for the picture: it is made for who picks. */
static lb_status begin(lb_upstream *up, uint32_t member, uint64_t now_ns, lb_record **record, lb_error *err) {
    lb_status status = check_member(up, member, err);
    if (status) return status;
    (void)lb_upstream_tend(up, now_ns);
    *record = lb_record_of(up->state, up->hot.view->slot[member]);
    return LB_OK;
}

static void tell(lb_upstream *up, lb_event_kind kind, uint32_t member, uint64_t now_ns) {
    lb_upstream_tell(up, (lb_event){.kind = kind, .slot = up->hot.view->slot[member]}, now_ns);
    lb_upstream_stir(up);
}

lb_status lb_upstream_set_weight(lb_upstream *up, uint32_t member, uint32_t weight, uint64_t now_ns, lb_error *err) {
    lb_status status = check_member(up, member, err);
    if (!status) status = lb_weight_check(weight, err);
    if (status) return status;
    uint32_t *place = &up->members->weight[member], before = *place;
    if (weight == before) return lb_upstream_advance(up, now_ns, err);
    if (now_ns > up->told_ns) up->told_ns = now_ns;
    *place = weight;
    status = lb_upstream_publish(up, up->told_ns, err);
    if (status) *place = before;
    return status;
}

/* ---- health ----------------------------------------------------------------------------------------------------- */

/* True if this very call changed the bit. */
static bool set_mark(lb_record *record, uint64_t bit, bool on) {
    uint64_t before = lb_word_read(&record->marks);
    while (((before & bit) != 0) != on)
        if (lb_word_swap(&record->marks, &before, on ? before | bit : before & ~bit)) return true;
    return false;
}

static void restore(lb_upstream *up, uint32_t member, lb_record *record, uint64_t now_ns) {
    if (lb_outlier_recover(record, now_ns, true)) {
        if (up->n_ejected) up->n_ejected--;
        lb_word_write(&record->trial, 0);               /* it is well by our word: there is nothing to try */
        tell(up, LB_EVENT_RECOVERED, member, now_ns);
    }
    if (lb_pause_end(record, LB_NEVER)) tell(up, LB_EVENT_RELEASED, member, now_ns);
    bool marked = set_mark(record, LB_MARK_UNHEALTHY, false);
    if (lb_checks_set(record, true) == LB_CHECK_SAME && !marked) return;
    lb_word_write(&record->slow_since_ns, now_ns);
    tell(up, LB_EVENT_HEALTHY, member, now_ns);
}

static void condemn(lb_upstream *up, uint32_t member, lb_record *record, bool keep, uint64_t now_ns) {
    bool was_out = (lb_record_off(record) & LB_OFF_UNHEALTHY) != 0;
    bool changed = keep ? set_mark(record, LB_MARK_UNHEALTHY, true) : lb_checks_set(record, false) != LB_CHECK_SAME;
    if (changed && !was_out) tell(up, LB_EVENT_UNHEALTHY, member, now_ns);
}

lb_status lb_upstream_set_health(lb_upstream *up, uint32_t member, bool healthy, bool keep, uint64_t now_ns,
                                 lb_error *err) {
    lb_record *record;
    lb_status status = begin(up, member, now_ns, &record, err);
    if (status) return status;
    if (healthy) restore(up, member, record, up->told_ns);
    else condemn(up, member, record, keep, up->told_ns);
    return LB_OK;
}

/* ---- out of service --------------------------------------------------------------------------------------------- */

lb_status lb_upstream_drain(lb_upstream *up, uint32_t member, uint64_t until_ns, uint64_t now_ns, lb_error *err) {
    lb_record *record;
    lb_status status = begin(up, member, now_ns, &record, err);
    if (status) return status;
    uint64_t before = lb_word_read(&record->drain_until_ns);
    while (!lb_word_swap(&record->drain_until_ns, &before, until_ns ? until_ns : 1)) continue;
    if (before) return LB_OK;                           /* it drains: now until another time */
    tell(up, LB_EVENT_DRAINING, member, up->told_ns);
    up->n_draining++;
    lb_upstream_drained(up, up->hot.view->slot[member], up->told_ns);
    return LB_OK;
}

lb_status lb_upstream_undrain(lb_upstream *up, uint32_t member, uint64_t now_ns, lb_error *err) {
    lb_record *record;
    lb_status status = begin(up, member, now_ns, &record, err);
    if (status) return status;
    uint64_t before = lb_word_read(&record->drain_until_ns);
    while (before && !lb_word_swap(&record->drain_until_ns, &before, 0)) continue;
    lb_seat_of(up->state, up->hot.view->slot[member])->drained = false;
    if (before) tell(up, LB_EVENT_UNDRAINED, member, up->told_ns);
    return LB_OK;
}

void lb_upstream_drained(lb_upstream *up, uint32_t slot, uint64_t now_ns) {
    lb_seat *seat = lb_seat_of(up->state, slot);
    if (!seat->used || seat->leaving) return;           /* it was removed: nobody waits for it any more */
    if (seat->drained || !lb_word_read(&lb_record_of(up->state, slot)->drain_until_ns)) return;
    if (lb_counter_read(lb_in_flight(up->state, slot)) - lb_counter_read(&seat->others) > seat->n_held) return;
    if (lb_state_look_at(up->state, slot) > seat->n_held) return;       /* another worker has calls */
    seat->drained = true;
    if (up->n_draining) up->n_draining--;
    lb_upstream_tell(up, (lb_event){.kind = LB_EVENT_DRAINED, .slot = slot}, now_ns);
}

lb_status lb_upstream_disable(lb_upstream *up, uint32_t member, bool disabled, uint64_t now_ns, lb_error *err) {
    lb_record *record;
    lb_status status = begin(up, member, now_ns, &record, err);
    if (status || !set_mark(record, LB_MARK_DISABLED, disabled)) return status;
    tell(up, disabled ? LB_EVENT_DISABLED : LB_EVENT_ENABLED, member, up->told_ns);
    return LB_OK;
}

/* publish: makes the next picture aside, swaps it in, and ends what is due.
 *
 *   records, weights --finish--> picture (View, policy state)      may fail: nothing has changed
 *   picture          --show--->  upstream; the old one is freed    cannot fail
 *
 * An ejection that is over at now_ns is read as over while the picture is made, and ended in the record only
 * when it is shown: so a failure leaves the ejection, and the time at which it is due, as they were.
 * Cost    O(n) and the policy's build.
 * Keeps   after a show: a member's weight in the View is its configured one if its record says healthy, else 0;
 *         n_ejected counts the ejected members; due_ns is the earliest end of an ejection.
 */
#include "upstream/internal.h"

#include "base/alloc.h"

static bool is_over(const lb_record *record, uint64_t now_ns) {
    return (record->off & LB_OFF_EJECTED) && now_ns >= record->ejected_until_ns;
}

static bool may_serve(const lb_record *record, uint64_t now_ns) {
    return record->off == 0 || (record->off == LB_OFF_EJECTED && is_over(record, now_ns));
}

lb_status lb_picture_finish(const lb_upstream *up, lb_picture *picture, const lb_members *members,
                            const uint32_t *old_index, uint64_t now_ns, lb_error *err) {
    lb_view *view = picture->view;
    view->seed = up->spec.seed;
    view->name = members->name;
    memcpy(view->full, members->weight, view->n_members * sizeof *view->full);
    for (uint32_t i = 0; i < view->n_members; i++)
        view->weight[i] = may_serve(lb_record_of(up->state, view->slot[i]), now_ns) ? members->weight[i] : 0;
    lb_view_close(view);
    return up->spec.policy->build(&picture->policy_state, view, up->spec.param, up->policy_state, old_index, err);
}

void lb_upstream_tell(lb_upstream *up, lb_event_kind kind, uint32_t slot, uint64_t now_ns) {
    const lb_record *record = lb_record_of(up->state, slot);
    lb_event event = {.kind = kind, .slot = slot, .generation = record->generation, .at_ns = now_ns};
    if (kind == LB_EVENT_EJECTED) {
        event.until_ns = record->ejected_until_ns;
        event.failures = record->failures;
    }
    lb_events_push(&up->events, event);
}

/* End what is over; count who is still out, and find when the first of them comes back. */
static void settle(lb_upstream *up, uint64_t now_ns) {
    const lb_view *view = up->hot.view;
    up->n_ejected = 0;
    up->hot.due_ns = LB_NEVER;
    for (uint32_t i = 0; i < view->n_members; i++) {
        lb_record *record = lb_record_of(up->state, view->slot[i]);
        if (is_over(record, now_ns)) {
            lb_passive_recover(record, now_ns);
            lb_upstream_tell(up, LB_EVENT_RECOVERED, view->slot[i], now_ns);
        }
        if (!(record->off & LB_OFF_EJECTED)) continue;
        up->n_ejected++;
        if (record->ejected_until_ns < up->hot.due_ns) up->hot.due_ns = record->ejected_until_ns;
    }
}

void lb_picture_show(lb_upstream *up, lb_picture picture, uint64_t now_ns) {
    const lb_policy *policy = up->spec.policy;
    policy->destroy(up->policy_state);
    lb_view_free(up->hot.view);
    up->policy_state = picture.policy_state;
    up->hot.view = picture.view;
    up->hot.replay = policy->replay ? policy->replay(picture.policy_state) : NULL;
    settle(up, now_ns);
}

/* The members as they stand: a View with the same slots and users, and the map of each to itself. */
static lb_status copy_members(const lb_upstream *up, lb_view **out, uint32_t **old_index, lb_error *err) {
    const lb_view *now = up->hot.view;
    uint32_t n = now->n_members;
    lb_view *next;
    lb_status status = lb_view_new(&next, n, up->state, err);
    if (status) return status;
    uint32_t *same = lb_alloc_array(n, sizeof *same);
    if (!same) {
        lb_view_free(next);
        return lb_no_memory(err, "targets");
    }
    memcpy(next->slot, now->slot, n * sizeof *next->slot);
    memcpy(next->user, now->user, n * sizeof *next->user);
    for (uint32_t i = 0; i < n; i++) same[i] = i;
    *out = next;
    *old_index = same;
    return LB_OK;
}

lb_status lb_upstream_publish(lb_upstream *up, uint64_t now_ns, lb_error *err) {
    lb_picture picture = {0};
    uint32_t *old_index = NULL;
    lb_status status = copy_members(up, &picture.view, &old_index, err);
    if (status) return status;
    status = lb_picture_finish(up, &picture, up->members, old_index, now_ns, err);
    lb_free(old_index);
    if (status) lb_view_free(picture.view);
    else lb_picture_show(up, picture, now_ns);
    return status;
}

lb_status lb_upstream_advance(lb_upstream *up, uint64_t now_ns, lb_error *err) {
    return lb_upstream_is_due(up, now_ns) ? lb_upstream_publish(up, now_ns, err) : LB_OK;
}

uint64_t lb_upstream_due(const lb_upstream *up) { return up->hot.due_ns; }

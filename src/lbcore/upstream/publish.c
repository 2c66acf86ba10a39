/* publish: makes the next picture aside and swaps it in.
 *
 *   records, weights --finish--> picture (Views, policy states)     may fail: nothing has changed
 *   picture          --show--->  upstream; the old one is freed     cannot fail
 *
 * What is over at now_ns is read as over while the picture is made, and ended in the record only when it is shown: so a
 * failure leaves an ejection, and the time at which it is due, as they were.  The epoch is read before the records: what
 * changes meanwhile makes the picture old from its first moment.
 * Cost    O(n) a scope and the policy's builds.
 * Keeps   after a show n_ejected counts the ejected members, and hot.replay is there only where a pick may look at
 *         nothing but the schedule.  A picture that batches or readers may still read waits: reader.c.
 */
#include "upstream/internal.h"

#include "base/alloc.h"

lb_status lb_picture_new(lb_picture **out, const lb_upstream *up, const lb_members *members, lb_error *err) {
    lb_picture *picture = lb_alloc_zero(1, sizeof *picture);
    if (!picture) return lb_no_memory(err, "targets");
    lb_status status = lb_view_new(&picture->view, members->n, up->state, err);
    if (status) {
        lb_free(picture);
        return status;
    }
    picture->members = members;
    picture->view->alike = up->spec.backing != NULL;
    picture->view->seed = up->spec.backing ? up->spec.backing->seed : up->spec.seed;
    picture->view->name = members->name;
    *out = picture;
    return LB_OK;
}

void lb_picture_free(const lb_upstream *up, lb_picture *picture) {
    if (!picture) return;
    lb_scopes_free(up, picture);
    lb_view_free(picture->view);
    lb_members_free(picture->retired);
    lb_free(picture);
}

lb_status lb_picture_finish(lb_upstream *up, lb_picture *picture, const uint32_t *old_index, uint64_t now_ns,
                            lb_error *err) {
    picture->seen = lb_word_read(up->hot.epoch);
    picture->made_ns = now_ns;
    picture->due_ns = lb_weigh(up, picture->view, picture->members, now_ns);
    lb_view_close(picture->view);
    lb_gates_close(up, up->picture);
    lb_status status = lb_scopes_new(up, picture, up->picture, old_index, err);
    if (status) lb_gates_reopen(up, up->picture);
    return status;
}

/* ---- taking stock ----------------------------------------------------------------------------------------------- */

void lb_end_ejection(lb_upstream *up, uint32_t slot, uint64_t now_ns) {
    if (!lb_outlier_recover(lb_record_of(up->state, slot), now_ns, false)) return;
    lb_upstream_tell(up, (lb_event){.kind = LB_EVENT_RECOVERED, .slot = slot}, now_ns);
}

static void end_pause(lb_upstream *up, uint32_t slot, lb_record *record, uint64_t now_ns) {
    if (lb_pause_end(record, now_ns)) lb_upstream_tell(up, (lb_event){.kind = LB_EVENT_RELEASED, .slot = slot}, now_ns);
}

/* End what is over; count who is still out, on trial, or draining. */
static void take_stock(lb_upstream *up, uint64_t now_ns) {
    const lb_view *view = up->hot.view;
    uint32_t n_ejected = 0, n_trials = 0;
    up->n_draining = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        uint32_t slot = view->slot[i];
        lb_record *record = lb_record_of(up->state, slot);
        if (lb_record_off(record)) {
            lb_end_ejection(up, slot, now_ns);
            end_pause(up, slot, record, now_ns);
            n_ejected += lb_word_read(&record->ejected_until_ns) != 0;
        }
        if (!lb_word_read(&record->drain_until_ns)) {
            lb_seat_of(up->state, slot)->drained = false;       /* whoever ended its drain */
        } else if (!lb_seat_of(up->state, slot)->drained) {
            up->n_draining++;
            lb_upstream_drained(up, slot, now_ns);
        }
        n_trials += lb_outlier_on_trial(&up->spec.health.outlier, record);
    }
    lb_counter_write(&up->n_ejected, n_ejected);
    lb_counter_write(&up->n_trials, n_trials);
}

/* Does a pick of all targets ask nothing but the policy's state for one View? */
static bool is_plain(const lb_upstream *up) {
    return up->picture->scope[0].n_groups == 1 && !up->spec.limits.in_flight && !up->bounded && !lb_counter_read(&up->n_trials);
}

void lb_picture_show(lb_upstream *up, lb_picture *picture, lb_members *gone, uint64_t now_ns) {
    lb_picture *before = up->picture;
    const lb_policy *policy = up->spec.policy;
    up->picture = picture;
    atomic_store(&up->shown, picture);
    up->hot.view = picture->view;
    up->hot.seen = picture->seen;
    for (uint32_t s = 1; s < picture->n_scopes; s++) picture->scope[s].subset->scope = &picture->scope[s];
    up->rough = false;
    up->n_rough = 0;
    up->published_ns = now_ns;
    take_stock(up, now_ns);
    up->plain = is_plain(up);
    up->hot.replay = up->plain && policy->replay ? policy->replay(picture->scope[0].group[0].policy_state) : NULL;
    up->picture_due_ns = picture->due_ns;
    lb_upstream_set_due(up);
    if (!before) return;
    before->retired = gone;
    lb_picture_retire(up, before);
}

/* The members as they stand: a picture with the same slots and users, and the map of each to itself. */
static lb_status copy_members(lb_upstream *up, lb_picture **out, uint32_t **old_index, lb_error *err) {
    const lb_view *now = up->hot.view;
    uint32_t n = now->n_members, *same = lb_alloc_array(n, sizeof *same);
    if (!same) return lb_no_memory(err, "targets");
    lb_status status = lb_picture_new(out, up, up->members, err);
    if (status) {
        lb_free(same);
        return status;
    }
    memcpy((*out)->view->slot, now->slot, n * sizeof *now->slot);
    memcpy((*out)->view->user, now->user, n * sizeof *now->user);
    for (uint32_t i = 0; i < n; i++) same[i] = i;
    *old_index = same;
    return LB_OK;
}

lb_status lb_upstream_publish(lb_upstream *up, uint64_t now_ns, lb_error *err) {
    lb_picture *picture = NULL;
    uint32_t *old_index = NULL;
    lb_status status = copy_members(up, &picture, &old_index, err);
    if (status) return status;
    status = lb_picture_finish(up, picture, old_index, now_ns, err);
    lb_free(old_index);
    if (status) lb_picture_free(up, picture);
    else lb_picture_show(up, picture, NULL, now_ns);
    return status;
}

/* smooth: see smooth.h.
 *
 * Range   a current weight stays within a few rounds of at most 2^40 each, far inside 64 bits.
 */
#include "policy/smooth.h"

#include "base/alloc.h"

static bool same_fleet(const lb_view *view, const lb_smooth *previous, const uint32_t *old_index) {
    if (view->n_members != previous->n_members) return false;
    for (uint32_t i = 0; i < view->n_members; i++)
        if (old_index[i] != i || view->full[i] != previous->full[i]) return false;
    return true;
}

static int64_t within(int64_t value, int64_t most) {
    return value > most ? most : value < -most ? -most : value;
}

static void take_over(lb_smooth *smooth, const lb_view *view, const lb_smooth *previous, const uint32_t *old_index) {
    int64_t round = 0;
    for (uint32_t i = 0; i < view->n_members; i++) round += view->full[i];
    if (same_fleet(view, previous, old_index)) round = INT64_MAX;
    for (uint32_t i = 0; i < view->n_members; i++)
        if (old_index[i] != LB_NONE)
            smooth->now.seat[i].current = within(previous->now.seat[old_index[i]].current, round);
}

lb_status lb_smooth_new(lb_smooth **out, const lb_view *view, const lb_smooth *previous, const uint32_t *old_index,
                        lb_error *err) {
    lb_smooth *smooth = lb_alloc_zero(1, sizeof *smooth);
    if (!smooth) return lb_no_memory(err, "policy");
    smooth->n_members = view->n_members;
    smooth->now.seat = lb_alloc_zero(view->n_members, sizeof *smooth->now.seat);
    smooth->ahead.seat = lb_alloc_array(view->n_members, sizeof *smooth->ahead.seat);
    smooth->full = lb_alloc_array(view->n_members, sizeof *smooth->full);
    if (!smooth->now.seat || !smooth->ahead.seat || !smooth->full) {
        lb_smooth_free(smooth);
        return lb_no_memory(err, "policy");
    }
    memcpy(smooth->full, view->full, view->n_members * sizeof *smooth->full);
    if (previous && old_index) take_over(smooth, view, previous, old_index);
    *out = smooth;
    return LB_OK;
}

void lb_smooth_free(lb_smooth *smooth) {
    if (!smooth) return;
    lb_free(smooth->now.seat);
    lb_free(smooth->ahead.seat);
    lb_free(smooth->full);
    lb_free(smooth);
}

lb_seats *lb_smooth_begin(lb_smooth *smooth, bool peek) {
    if (!peek) {
        smooth->now.ask++;
        return &smooth->now;
    }
    memcpy(smooth->ahead.seat, smooth->now.seat, smooth->n_members * sizeof *smooth->ahead.seat);
    smooth->ahead.ask = smooth->now.ask + 1;
    return &smooth->ahead;
}

uint32_t lb_smooth_turn(lb_seats *seats, const lb_view *view) {
    lb_turn turn = {.best = LB_NONE};
    for (uint32_t place = 0; place < view->n_usable; place++) {
        uint32_t member = view->usable[place];
        if (lb_seat_is_free(seats, member)) lb_turn_offer(&turn, seats, member, view->weight[member]);
    }
    return lb_turn_end(&turn, seats);
}

static uint32_t next(lb_seats *seats, const lb_view *view, lb_smooth_rule *rule) {
    uint32_t member = rule(seats, view);
    if (member != LB_NONE) return member;
    seats->ask++;
    return rule(seats, view);
}

uint32_t lb_smooth_pick(lb_smooth *smooth, const lb_view *view, const lb_ask *ask, lb_smooth_rule *rule) {
    if (view->n_usable == 0 || (ask->peek && ask->step >= LB_SMOOTH_LOOK)) return LB_NONE;
    if (!ask->peek) return next(ask->step == 0 ? lb_smooth_begin(smooth, false) : &smooth->now, view, rule);
    lb_seats *ahead = lb_smooth_begin(smooth, true);
    uint32_t member = next(ahead, view, rule);
    for (uint32_t step = 0; step < ask->step; step++) member = next(ahead, view, rule);
    return member;
}

lb_status lb_smooth_build(void **out, const lb_view *view, const double *param, const void *previous,
                          const uint32_t *old_index, lb_error *err) {
    (void)param;
    lb_smooth *smooth;
    lb_status status = lb_smooth_new(&smooth, view, previous, old_index, err);
    if (status == LB_OK) *out = smooth;
    return status;
}

void lb_smooth_destroy(void *smooth) { lb_smooth_free(smooth); }

/* tries: see tries.h. */
#include "policy/tries.h"

#include "base/alloc.h"

/* An ask in which the members that the tries have named are no candidates. */
static lb_seats *begin_turns(lb_smooth *smooth, const lb_view *view, const lb_walk *walk, lb_try *try,
                             const void *table) {
    lb_seats *seats = lb_smooth_begin(smooth, walk->peek);
    lb_walk again = {.key = walk->key};
    for (; try && again.at < LB_TRIES; again.at++) lb_seat_give(seats, try(table, view, &again));
    return seats;
}

static uint32_t turn(lb_smooth *smooth, const lb_view *view, lb_walk *walk, lb_try *try, const void *table) {
    uint64_t before = walk->at++ - LB_TRIES;
    if (walk->peek && before >= LB_SMOOTH_LOOK) return LB_NONE;
    bool begins = walk->peek || before == 0;
    lb_seats *seats = begins ? begin_turns(smooth, view, walk, try, table) : &smooth->now;
    for (uint64_t i = 0; walk->peek && i < before; i++) (void)lb_smooth_turn(seats, view);
    return lb_smooth_turn(seats, view);
}

uint32_t lb_tries_walk(lb_smooth *smooth, const lb_view *view, lb_walk *walk, bool hashable, lb_try *try,
                       const void *table) {
    if (view->n_usable == 0) return LB_NONE;
    if (walk->step == 0) walk->at = hashable ? 0 : LB_TRIES;
    while (walk->at < LB_TRIES) {
        uint32_t member = try(table, view, walk);
        walk->at++;
        if (view->weight[member] > 0) return member;
    }
    return turn(smooth, view, walk, hashable ? try : NULL, table);
}

lb_status lb_line_build(void **out, const lb_view *view, const double *param, const void *previous,
                        const uint32_t *old_index, lb_error *err) {
    (void)param;
    const lb_line *before = previous;
    lb_line *line = lb_alloc_zero(1, sizeof *line);
    if (!line) return lb_no_memory(err, "policy");
    lb_status status = lb_smooth_new(&line->smooth, view, before ? before->smooth : NULL, old_index, err);
    if (status == LB_OK && !(line->end = lb_alloc_array(view->n_members, sizeof *line->end)))
        status = lb_no_memory(err, "policy");
    if (status) {
        lb_line_destroy(line);
        return status;
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < view->n_members; i++) line->end[i] = sum += view->full[i];
    line->n = sum ? view->n_members : 0;
    *out = line;
    return LB_OK;
}

void lb_line_destroy(void *state) {
    lb_line *line = state;
    if (!line) return;
    lb_smooth_free(line->smooth);
    lb_free(line->end);
    lb_free(line);
}

uint32_t lb_line_at(const lb_line *line, uint64_t unit) {
    uint32_t low = 0, high = line->n - 1;
    unit %= line->end[high];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (unit < line->end[middle]) high = middle;
        else low = middle + 1;
    }
    return low;
}

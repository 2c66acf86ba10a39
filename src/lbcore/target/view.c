/* view: makes the picture of an upstream that policies read.
 *
 *   one block   | lb_view | user[n] | usable[n] | weight[n] | full[n] | slot[n] |
 *
 * Cost    one allocation (a part's origin is another) of 96 + 24 n bytes (64-bit); close O(n).
 * Keeps   usable is ascending, holds exactly the members with weight > 0, and total_weight is their sum.
 */
#include "target/view.h"

#include "base/alloc.h"

static const size_t bytes_per_member = sizeof(void *) + 4 * sizeof(uint32_t);

lb_status lb_view_new(lb_view **out, uint32_t n_members, lb_state *state, lb_error *err) {
    size_t n = n_members;
    if (n > (SIZE_MAX - sizeof(lb_view)) / bytes_per_member) return lb_no_memory(err, "targets");
    lb_view *view = lb_alloc_zero(1, sizeof *view + n * bytes_per_member);
    if (!view) return lb_no_memory(err, "targets");
    view->n_members = n_members;
    view->state = state;
    view->user = (void **)(void *)(view + 1);           /* first: the pointers are the strictest in alignment */
    view->usable = (uint32_t *)(void *)(view->user + n);
    view->weight = view->usable + n;
    view->full = view->weight + n;
    view->slot = view->full + n;
    *out = view;
    return LB_OK;
}

void lb_view_close(lb_view *view) {
    view->n_usable = 0;
    view->total_weight = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        if (view->weight[i] == 0) continue;
        view->usable[view->n_usable++] = i;
        view->total_weight += view->weight[i];
    }
}

void lb_view_free(lb_view *view) {
    if (view) lb_free(view->origin);
    lb_free(view);
}

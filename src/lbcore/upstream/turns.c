/* turns: where State is shared, the workers take the turns of one schedule together.
 *
 *   worker A   View {a: 3, b: 1} --fingerprint--> cursor: 17 turns taken <--fingerprint-- View {a: 3, b: 1}   worker B
 *
 * A schedule that depends on nothing but its View is the same in every worker that has the same View, so a common number
 * of turns makes the shares of all of them together exact.  A worker whose View differs (it has not seen a change yet, or
 * is configured otherwise) has another fingerprint, and another cursor: it disturbs nobody.
 *
 * Cost    O(usable) a picture.
 * Keeps   a cursor is held from the making of a picture's schedule to its end; without one (none is free) the schedule is
 *         the worker's own.
 */
#include "upstream/internal.h"

#include "hash/fold.h"

/* Of all that the schedule is made from; the seed is a constant, so that all workers agree. */
static uint64_t fingerprint_of(const lb_upstream *up, const lb_view *view, uint64_t salt) {
    uint64_t h = lb_hash_words(up->mark.high ^ salt, up->mark.low, view->seed);
    for (uint32_t k = 0; k < view->n_usable; k++) {
        uint32_t i = view->usable[k];
        uint64_t who = i;                               /* groups of a scope have no names: their places stand for them */
        if (view->name) {
            lb_str identity = lb_view_name(view, i)->identity;
            who = lb_hash_fold(identity.data, identity.len, 0);
        }
        h = lb_hash_words(h, who, view->weight[i]);
    }
    return h ? h : 1;                                   /* 0 is a free cursor's */
}

void lb_turns_share(const lb_upstream *up, const lb_view *view, uint64_t salt, const lb_policy *policy, void *schedule,
                    lb_cursor **cursor) {
    lb_replay *replay = policy->replay ? policy->replay(schedule) : NULL;
    if (!up->state->backing || !replay || !replay->alike) return;
    const lb_backing *backing = up->state->backing;
    *cursor = backing->cursor(backing->context, fingerprint_of(up, view, salt));
    replay->shared = *cursor;
}

void lb_turns_leave(const lb_upstream *up, lb_cursor **cursor) {
    if (*cursor) up->state->backing->drop(up->state->backing->context, *cursor);
    *cursor = NULL;
}

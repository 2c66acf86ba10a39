/* jump: jump consistent hash over numbered buckets; bucket i is the i-th target of the list.
 *
 * Source  J. Lamping, E. Veach, arXiv:1406.2294, 2014.  The number that is placed is XXH64 of the key with seed 0, or
 *         the key's own hash.
 * Order   is all there is: a target appended takes 1/(n + 1) of the keys, one taken from the end gives its own back;
 *         one taken from the middle renumbers those behind it.
 * Down    an unusable target (weight 0, too) keeps its number.  Its keys are placed again, by the number mixed once more
 *         for each try, and no others move; after 64 tries the walk ends.  So each usable target takes the same part.
 * Weight  buckets are equal: weights other than 0 that differ are refused.
 * Cost    walk O(log n) a try, 1 / (usable part) tries on average; build O(n), memory none.
 * Keeps   no state: the View is enough.
 */
#include "hash/jump.h"

#include "hash/xxh64.h"
#include "policy/policy.h"

#include <stdio.h>

#define TRIES 64u                   /* with half of the targets down, 2^-64 of the keys need more */

static lb_status refuse(const lb_view *view, uint32_t member, uint32_t first, lb_error *err) {
    char field[40];
    uint32_t place = view->origin ? view->origin[member] : member;
    uint32_t first_place = view->origin ? view->origin[first] : first;
    snprintf(field, sizeof field, "targets[%u].weight", place);
    return lb_fail(err, LB_ERR_CONFIG, field, "%u is not the %u of targets[%u]: the buckets of policy 'jump' are equal;"
                   " give one weight to all (0 takes a target out), or use policy 'hash'", view->full[member],
                   view->full[first], first_place);
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)param, (void)previous, (void)old_index;
    uint32_t first = LB_NONE;
    for (uint32_t i = 0; i < view->n_members; i++) {
        if (view->full[i] == 0) continue;
        if (first == LB_NONE) first = i;
        if (view->full[i] != view->full[first]) return refuse(view, i, first, err);
    }
    *out = NULL;
    return LB_OK;
}

static void destroy(void *state) { (void)state; }

static uint64_t hash(const void *state, const lb_key *key) {
    (void)state;
    return key->hashed ? key->hash : lb_xxh64(key->text.data, key->text.len, 0);
}

/* walk->hash is the number of the last try, walk->at how many there were. */
static uint32_t walk(void *state, const lb_view *view, lb_walk *walk) {
    if (view->n_usable == 0) return LB_NONE;
    if (walk->step == 0) {
        walk->hash = hash(state, &walk->key);
        walk->at = 0;
    }
    while (walk->at < TRIES) {
        if (walk->at++) {
            uint64_t last = walk->hash;
            walk->hash = lb_splitmix(&last);
        }
        uint32_t member = lb_jump(walk->hash, view->n_members);
        if (view->weight[member]) return member;
    }
    return LB_NONE;
}

const lb_policy lb_policy_jump = {
    .name = "jump", .summary = "Jump consistent hash over the targets as numbered buckets of one size.",
    .build = build, .destroy = destroy, .walk = walk, .pure = true, .hash = hash,
};

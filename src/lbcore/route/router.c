/* router: its life, and its changes.
 *
 *     new     base                          ids 0 .. n-1
 *     change  base, shared by count         minus the dead, plus a delta compiled anew from copies of its routes
 *     merge   a base of its own             same ids, labels with gaps again
 *
 * Cost    change: O(routes of the delta) to compile, one pass over the labels for each route added before another, one
 *         copy of the bitmap of the dead; merge: as new, and a sort of the labels.
 * Ties    labels are 2^31 apart; a route put between two gets the middle.  Where there is none, a merge gives new ones.
 * Keeps   a router is immutable; the count of a base's owners is the only thing that changes in it, atomically.
 */
#include "base/alloc.h"
#include "route/router.h"

static lb_router *new_router(const lb_flavor_rules *flavor, uint32_t n_ids) {
    lb_router *router = lb_alloc_zero(1, sizeof *router);
    if (!router) return NULL;
    router->flavor = flavor;
    router->n_ids = n_ids;
    return router;
}

lb_status lb_router_new(lb_router **out, const lb_route_spec *specs, uint32_t n, lb_flavor flavor, uint64_t seed,
                        lb_error *err) {
    const lb_flavor_rules *rules = lb_flavor_rules_of(flavor);
    if (!rules)
        return lb_fail(err, LB_ERR_CONFIG, "flavor", "%d is not known; 0 is gateway_api, 1 ingress, "
                       "2 kong_traditional, 3 kong_compatible", (int)flavor);
    lb_router *router = new_router(rules, n);
    if (!router) return lb_no_memory(err, "routes");
    lb_plan plan = {.flavor = rules, .seed = seed, .name = "routes"};
    lb_status status = lb_tree_new(&router->base, specs, n, &plan, err);
    if (status == LB_OK) *out = router;
    else lb_router_free(router);
    return status;
}

void lb_router_free(lb_router *router) {
    if (!router) return;
    lb_tree_free(router->base);
    lb_tree_free(router->delta);
    lb_specs_free(router->specs);
    lb_free(router->dead);
    lb_free(router->gone);
    lb_free(router);
}

static size_t n_words(uint32_t n_bits) { return ((size_t)n_bits + 63) / 64; }

size_t lb_router_memory(const lb_router *r) {
    return sizeof *r + lb_tree_memory(r->base) + (r->delta ? lb_tree_memory(r->delta) : 0)
           + (r->specs ? r->specs->n_bytes : 0)
           + (r->dead ? n_words(r->n_ids) * sizeof *r->dead : 0)
           + (r->gone ? r->base->n_counts * sizeof *r->gone : 0);
}

uint32_t lb_router_n_ids(const lb_router *router) { return router->n_ids; }
uint32_t lb_router_n_changed(const lb_router *router) { return router->specs ? router->specs->n : 0; }
bool lb_router_has(const lb_router *router, uint32_t id) { return id < router->n_ids && !lb_bit(router->dead, id); }

/* ---- change ------------------------------------------------------------------------------------------------- */

static bool kill(lb_router *r, uint32_t id) {
    if (id >= r->n_ids || lb_bit(r->dead, id)) return false;
    r->dead[id / 64] |= (uint64_t)1 << id % 64;
    if (id >= r->base->n_routes) return true;
    r->has_tombstones = true;
    if (r->gone)
        for (uint32_t i = r->base->firsts[id]; i < r->base->firsts[id + 1]; i++) r->gone[r->base->keys[i]]++;
    return true;
}

static bool copy_dead(lb_router *r, const lb_router *old) {
    r->dead = lb_alloc_zero(n_words(r->n_ids), sizeof *r->dead);
    if (r->dead && old->dead) memcpy(r->dead, old->dead, n_words(old->n_ids) * sizeof *r->dead);
    return r->dead != NULL;
}

static bool copy_gone(lb_router *r, const lb_router *old) {
    uint32_t n = r->base->n_counts;
    if (n == 0) return true;
    r->gone = lb_alloc_zero(n, sizeof *r->gone);
    if (r->gone && old->gone) memcpy(r->gone, old->gone, n * sizeof *r->gone);
    return r->gone != NULL;
}

static lb_status remove_routes(lb_router *r, const lb_router *old, const uint32_t *removed, uint32_t n, lb_error *err) {
    for (uint32_t i = 0; i < n; i++) {
        if (removed[i] < old->n_ids && kill(r, removed[i])) continue;
        lb_fail(err, LB_ERR_CONFIG, "", "%u is not the number of a route, or was removed", removed[i]);
        lb_error_in(err, "removed", i);
        return LB_ERR_CONFIG;
    }
    return LB_OK;
}

/* What is left of the old delta. */
static bool keep_specs(lb_router *r, const lb_router *old) {
    for (uint32_t i = 0; old->specs && i < old->specs->n; i++) {
        uint32_t id = old->specs->ids[i];
        if (lb_bit(r->dead, id)) continue;
        if (!lb_specs_add(r->specs, &old->specs->specs[i], id, old->specs->ties[i])) return false;
    }
    return true;
}

/* The label of a route in base or specs, removed or not; false: it is nowhere. */
static bool tie_of(const lb_router *r, const lb_specs *older, uint32_t id, uint64_t *tie) {
    if (id < r->base->n_routes) return *tie = r->base->ties[id], true;
    const lb_specs *lists[] = {r->specs, older};
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; lists[k] && i < lists[k]->n; i++)
            if (lists[k]->ids[i] == id) return *tie = lists[k]->ties[i], true;
    return false;
}

/* The greatest label below `limit`; 0: there is none. */
static uint64_t greatest_below(const uint64_t *ties, uint32_t n, uint64_t limit, uint64_t greatest) {
    for (uint32_t i = 0; i < n; i++)
        if (ties[i] < limit && ties[i] > greatest) greatest = ties[i];
    return greatest;
}

/* A label before `limit` and behind all that come before it; 0: there is none.  UINT64_MAX: behind all. */
static uint64_t label_before(const lb_router *r, const lb_specs *older, uint64_t limit) {
    uint64_t below = greatest_below(r->base->ties, r->base->n_routes, limit, 0);
    below = greatest_below(r->specs->ties, r->specs->n, limit, below);
    if (older) below = greatest_below(older->ties, older->n, limit, below);
    if (limit == UINT64_MAX) return below < UINT64_MAX - LB_TIE_GAP ? below + LB_TIE_GAP : 0;
    uint64_t middle = below + (limit - below) / 2;
    return middle > below ? middle : 0;
}

/* The i-th addition may stand before what `old` has, and before those added earlier in the same call. */
static bool can_precede(const lb_router *old, uint32_t before, uint32_t i) {
    return lb_router_has(old, before) || (before >= old->n_ids && before - old->n_ids < i);
}

/* *full: a merge must come first. */
static lb_status add_specs(lb_router *r, const lb_router *old, const lb_addition *added, uint32_t n, bool *full,
                           lb_error *err) {
    for (uint32_t i = 0; i < n && !*full; i++) {
        uint64_t limit = UINT64_MAX;
        bool last = added[i].before == LB_NONE;
        if (!last && !(can_precede(old, added[i].before, i) && tie_of(r, old->specs, added[i].before, &limit))) {
            lb_fail(err, LB_ERR_CONFIG, "before", "%u is not the number of a route", added[i].before);
            lb_error_in(err, "added", i);
            return LB_ERR_CONFIG;
        }
        uint64_t tie = label_before(r, old->specs, limit);
        *full = tie == 0;
        if (!*full && !lb_specs_add(r->specs, &added[i].spec, old->n_ids + i, tie)) return lb_no_memory(err, "added");
    }
    return LB_OK;
}

/* Fill in what is new; *full as above. */
static lb_status change(lb_router *r, const lb_router *old, const uint32_t *removed, uint32_t n_removed,
                        const lb_addition *added, uint32_t n_added, bool *full, lb_error *err) {
    if (!copy_dead(r, old) || !copy_gone(r, old)) return lb_no_memory(err, "routes");
    r->has_tombstones = old->has_tombstones;
    lb_status status = remove_routes(r, old, removed, n_removed, err);
    if (status != LB_OK) return status;
    r->specs = lb_specs_new(lb_router_n_changed(old) + n_added);
    if (!r->specs || !keep_specs(r, old)) return lb_no_memory(err, "routes");
    uint32_t n_kept = r->specs->n;
    *full = n_kept + n_added > LB_DELTA_MAX;
    status = add_specs(r, old, added, n_added, full, err);
    if (status != LB_OK || *full || r->specs->n == 0) return status;
    lb_plan plan = {.flavor = r->flavor, .seed = r->base->table.seed, .ties = r->specs->ties, .ids = r->specs->ids,
                    .name = "added", .first = n_kept};
    return lb_tree_new(&r->delta, r->specs->specs, r->specs->n, &plan, err);
}

lb_status lb_router_change(lb_router **out, const lb_router *old, const uint32_t *removed, uint32_t n_removed,
                           const lb_addition *added, uint32_t n_added, lb_error *err) {
    if (n_added > LB_NONE - 2 - old->n_ids)
        return lb_fail(err, LB_ERR_CONFIG, "added", "no numbers are left; build anew with lb_router_new()");
    if (n_added > LB_DELTA_MAX)
        return lb_fail(err, LB_ERR_CONFIG, "added", "there are %u; at most 1024 at once", n_added);
    bool full = false;
    lb_router *r = new_router(old->flavor, old->n_ids + n_added);
    if (!r) return lb_no_memory(err, "routes");
    r->base = old->base;
    atomic_fetch_add_explicit(&r->base->n_owners, 1, memory_order_relaxed);
    lb_status status = change(r, old, removed, n_removed, added, n_added, &full, err);
    if (status != LB_OK || full) lb_router_free(r);
    if (status == LB_OK) *out = full ? NULL : r;
    return status;
}

/* ---- merge -------------------------------------------------------------------------------------------------- */

/* Merge the sorted runs [from, middle) and [middle, to) of ids into `out`, by their labels. */
static void merge_runs(const uint64_t *ties, const uint32_t *ids, uint32_t from, uint32_t middle, uint32_t to,
                       uint32_t *out) {
    for (uint32_t i = from, left = from, right = middle; i < to; i++) {
        bool take_left = right == to || (left < middle && ties[ids[left]] < ties[ids[right]]);
        out[i] = ids[take_left ? left++ : right++];
    }
}

/* Merge sort from the bottom up, between two arrays; the sorted one is returned. */
static uint32_t *sort_by_tie(const uint64_t *ties, uint32_t *ids, uint32_t *spare, uint32_t n) {
    for (uint64_t width = 1; width < n; width *= 2) {
        for (uint64_t from = 0; from < n; from += 2 * width) {
            uint64_t middle = from + width < n ? from + width : n, to = middle + width < n ? middle + width : n;
            merge_runs(ties, ids, (uint32_t)from, (uint32_t)middle, (uint32_t)to, spare);
        }
        uint32_t *sorted = spare;
        spare = ids;
        ids = sorted;
    }
    return ids;
}

/* New labels, in the order of the old ones; those of the dead stay unused. */
static void relabel(const lb_router *old, uint64_t *ties, uint32_t *ids, uint32_t *spare) {
    uint32_t n = 0;
    if (old->base->n_routes > 0) memcpy(ties, old->base->ties, old->base->n_routes * sizeof *ties);
    for (uint32_t i = 0; i < lb_router_n_changed(old); i++) ties[old->specs->ids[i]] = old->specs->ties[i];
    for (uint32_t id = 0; id < old->n_ids; id++) {
        if (lb_bit(old->dead, id)) ties[id] = LB_TIE_GAP / 2;
        else ids[n++] = id;
    }
    const uint32_t *order = sort_by_tie(ties, ids, spare, n);
    for (uint32_t i = 0; i < n; i++) ties[order[i]] = lb_tie_of(i);
}

static lb_status merge(lb_router *r, const lb_router *old, const lb_route_spec *specs, uint64_t *ties, lb_error *err) {
    if (old->dead && !copy_dead(r, old)) return lb_no_memory(err, "routes");
    lb_plan plan = {.flavor = old->flavor, .seed = old->base->table.seed, .ties = ties, .dead = r->dead,
                    .name = "routes"};
    return lb_tree_new(&r->base, specs, old->n_ids, &plan, err);
}

lb_status lb_router_merge(lb_router **out, const lb_router *old, const lb_route_spec *specs, lb_error *err) {
    lb_router *r = new_router(old->flavor, old->n_ids);
    uint64_t *ties = lb_alloc_array(old->n_ids, sizeof *ties);
    uint32_t *ids = lb_alloc_array((size_t)old->n_ids * 2, sizeof *ids);
    lb_status status = LB_OK;
    if (r && ties && ids) {
        relabel(old, ties, ids, ids + old->n_ids);
        status = merge(r, old, specs, ties, err);
    } else {
        status = lb_no_memory(err, "routes");
    }
    lb_free(ties);
    lb_free(ids);
    if (status == LB_OK) *out = r;
    else lb_router_free(r);
    return status;
}

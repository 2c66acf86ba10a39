/* ketama_libmemcached: libmemcached's ring of points, so that Python and its clients find the same server.
 *
 * Source  libmemcached 1.1.4 (recorded answers).
 *           weighted   floor(w / W * 40 * n) digests a server, four points each: the little-endian words of
 *                      md5(text-k), k from 0; the key's hash is the first word of its md5
 *           plain      100 points a server: one-at-a-time of text-k, k from 0 to 99, and of the key
 *         n and W count servers of a weight above 0.  text is "host:port", or "host" where the port is 11211 or not
 *         given; a hash_key stands for it as it is.  The number of digests is computed in float, each operation
 *         rounded, in that order.
 * Lookup  the first point at or after the key's hash, round at the end; of equal points the one of the server that
 *         comes first in the list.
 * Light   a weight below W / (40 n) owns no point.  Plain has no weights: those above 0 that differ are refused.
 * Down    the walk goes on to the next point of a usable server; what others own does not move.
 * Cost    build O(p), p the points, 100 or about 160 a server; walk O(1) expected, and the points of unusable servers
 *         on the way; memory 12 bytes a point.
 * Keeps   the table is read-only after build(), and shared with the Views after it while names and full weights are the
 *         same: `holders` counts them.
 */
#include "base/alloc.h"
#include "hash/bytes.h"
#include "hash/md5.h"
#include "hash/one_at_a_time.h"
#include "hash/ring.h"
#include "policy/recipe.h"

#include <stdio.h>

#define PLAIN_POINTS 100u
#define DIGESTS 40.0f               /* a server of average weight; four points each */

typedef struct table {
    lb_counter holders;
    bool weighted;
    lb_recipe *recipe;
    lb_ring *ring;                  /* NULL: no server has a weight */
} table;

/* What the digests of all servers are computed from. */
typedef struct fleet {
    uint64_t total;
    uint32_t n;
} fleet;

static fleet count(const lb_view *view) {
    fleet all = {0};
    for (uint32_t i = 0; i < view->n_members; i++) {
        all.total += view->full[i];
        all.n += view->full[i] > 0;
    }
    return all;
}

/* How many texts of a server are hashed. */
static uint32_t n_texts(const table *t, uint32_t weight, fleet all) {
    if (weight == 0) return 0;
    if (!t->weighted) return PLAIN_POINTS;
    float share = (float)weight / (float)all.total;
    float digests = share * DIGESTS;
    digests = digests * (float)all.n;
    return (uint32_t)digests;
}

static lb_str text_of(const lb_name *name) {
    static const char standard[] = ":11211";
    const size_t n = sizeof standard - 1;
    lb_str text = name->hash_key.len ? name->hash_key : name->address;
    bool at_the_end = text.len > n && memcmp(text.data + text.len - n, standard, n) == 0;
    if (name->hash_key.len == 0 && at_the_end) text.len -= n;
    return text;
}

static void add(table *t, const char *text, size_t n, uint32_t member) {
    if (!t->weighted) {
        lb_ring_add(t->ring, lb_one_at_a_time(text, n), member);
        return;
    }
    unsigned char digest[16];
    lb_md5(text, n, digest);
    for (int word = 0; word < 4; word++) lb_ring_add(t->ring, lb_le32((const char *)digest + 4 * word), member);
}

/* All points; `text` has room for the longest name and a number. */
static void place(table *t, const lb_view *view, fleet all, char *text) {
    for (uint32_t i = 0; i < view->n_members; i++) {
        lb_str name = text_of(lb_view_name(view, i));
        uint32_t n = n_texts(t, view->full[i], all);
        memcpy(text, name.data, name.len);
        for (uint32_t k = 0; k < n; k++) {
            int digits = snprintf(text + name.len, 12, "-%u", k);
            add(t, text, name.len + (size_t)digits, i);
        }
    }
}

static lb_status fill(table *t, const lb_view *view, lb_error *err) {
    fleet all = count(view);
    uint64_t n = 0;
    size_t longest = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        n += n_texts(t, view->full[i], all) * (t->weighted ? 4ull : 1ull);
        size_t length = text_of(lb_view_name(view, i)).len;
        if (length > longest) longest = length;
    }
    if (n == 0) return LB_OK;
    lb_status status = lb_ring_new(&t->ring, n, 32, err);
    if (status) return status;
    char *text = lb_alloc(longest + 12);
    if (!text) return lb_no_memory(err, "policy");
    place(t, view, all, text);
    lb_free(text);
    return lb_ring_close(t->ring, false, err);
}

static void destroy(void *st) {
    table *t = st;
    if (!t || lb_counter_sub(&t->holders, 1) > 1) return;
    lb_recipe_free(t->recipe);
    lb_ring_free(t->ring);
    lb_free(t);
}

/* Plain ketama takes no notice of weights: ones that ask for different shares are refused, not ignored. */
static lb_status check_weights(const table *t, const lb_view *view, lb_error *err) {
    uint32_t first = LB_NONE;
    for (uint32_t i = 0; i < view->n_members && !t->weighted; i++) {
        if (view->full[i] == 0) continue;
        if (first == LB_NONE) first = i;
        if (view->full[i] == view->full[first]) continue;
        char field[40];
        snprintf(field, sizeof field, "targets[%u].weight", view->origin ? view->origin[i] : i);
        return lb_fail(err, LB_ERR_CONFIG, field, "%u is not the %u of others: plain ketama gives each server %u points;"
                       " give one weight to all, or set weighted", view->full[i], view->full[first], PLAIN_POINTS);
    }
    return LB_OK;
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)old_index;
    table *t = lb_alloc_zero(1, sizeof *t), *before = (table *)previous;
    if (!t) return lb_no_memory(err, "policy");
    t->weighted = param[0] != 0;
    lb_counter_write(&t->holders, 1);
    lb_status status = check_weights(t, view, err);
    if (!status) status = lb_recipe_new(&t->recipe, view, err);
    if (!status && before && lb_recipe_equal(t->recipe, before->recipe)) {
        destroy(t);
        lb_counter_add(&before->holders, 1);
        *out = before;
        return LB_OK;
    }
    if (!status) status = fill(t, view, err);
    if (status) destroy(t);
    else *out = t;
    return status;
}

static uint32_t hash_of(const table *t, const lb_key *key) {
    if (key->hashed) return (uint32_t)key->hash;
    if (!t->weighted) return lb_one_at_a_time(key->text.data, key->text.len);
    unsigned char digest[16];
    lb_md5(key->text.data, key->text.len, digest);
    return lb_le32((const char *)digest);
}

/* walk->hash is the first point, walk->at how many have been looked at. */
static uint32_t walk(void *st, const lb_view *view, lb_walk *walk) {
    const table *t = st;
    if (!t->ring || view->n_usable == 0) return LB_NONE;
    if (walk->step == 0) {
        walk->hash = lb_ring_find(t->ring, hash_of(t, &walk->key));
        walk->at = 0;
    }
    uint32_t n = lb_ring_size(t->ring);
    while (walk->at < n) {
        uint64_t point = walk->hash + walk->at++;
        uint32_t member = lb_ring_owner(t->ring, (uint32_t)(point < n ? point : point - n));
        if (view->weight[member]) return member;
    }
    return LB_NONE;
}

static const lb_param params[] = {
    LB_FLAG("weighted", 1, "The weighted ring (md5, about 160 points a server), else the plain one (100 points)."),
    {0},
};

const lb_policy lb_policy_ketama_libmemcached = {
    .name = "ketama_libmemcached", .summary = "libmemcached's ketama ring, weighted or plain, point for point.",
    .params = params, .build = build, .destroy = destroy, .walk = walk, .pure = true,
};

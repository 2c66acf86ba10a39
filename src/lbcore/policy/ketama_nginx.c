/* ketama_nginx: nginx's `hash key consistent`, pick for pick: a ring of 160 points a unit of weight.
 *
 * Source  nginx, init_chash() and get_chash_peer() of ngx_http_upstream_hash_module.c (1.22 to 1.31), after
 *         Cache::Memcached::Fast's rule.
 * Text    a target's hash_key, else its address as given.  A last ":" that only digits follow parts host and port;
 *         "unix:" in front (of any case) falls away and then there is no port.
 * Points  the crc32 of host, NUL, port and four zero bytes; each further one with the point before it, lowest byte
 *         first, instead of the zeros.  Of equal points the first in the list stays.
 * Walk    from the first point at or after crc32(key), point by point, for 21 points; then tries.h.  Targets that are
 *         down keep their points and weights.  An empty key, or one target: smooth turns at once.
 * Twins   targets with one text (nginx: the addresses of one name) share its points; smooth.h chooses among them.
 * Hashed  a key that is a hash stands for crc32(key).
 * Cost    walk O(1), with twins O(those at a point), and a peek then O(n); build O(points), where texts and configured
 *         weights are as before O(n).  12 to 16 bytes a point, 52 and the text a target.
 * Limit   weights of 104,857 in all: 2^24 points.
 * Keeps   the table is shared by the states of Views with the same targets, counted by `users`, and not written
 *         otherwise.  Turns write to the state: one caller at a time.
 */
#include "base/alloc.h"
#include "base/atomic.h"
#include "hash/crc32.h"
#include "hash/ring.h"
#include "policy/tries.h"

#define POINTS 160u                 /* a unit of weight */
#define MAX_POINTS (1u << 24)       /* 200 MB; what a slip in a weight may cost at most */

/* What the ring is made of and the ring. */
typedef struct table {
    lb_counter users;
    uint32_t n_members;
    uint32_t *full;
    size_t *end;                    /* of each member's text in `text` */
    char *text;
    lb_ring *ring;                  /* by the first member of each text; NULL below two members of weight > 0 */
    uint32_t *twin;                 /* by member: the next one of the same text, or LB_NONE; NULL: there are none */
} table;

typedef struct state {
    table *table;
    lb_smooth *smooth;
} state;

static lb_str text_of(const lb_view *view, uint32_t member) {
    const lb_name *name = lb_view_name(view, member);
    return name->hash_key.len ? name->hash_key : name->address;
}

/* ---- points ------------------------------------------------------------------------------------------------- */

static bool has_unix(lb_str text) {
    static const char prefix[] = "unix:";
    if (text.len < 5) return false;
    for (int i = 0; i < 5; i++) {
        char c = text.data[i];
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != prefix[i]) return false;
    }
    return true;
}

/* The length of the host, which a ":" follows where it is not the whole. */
static size_t host_of(lb_str text) {
    size_t at = text.len;
    while (at > 0 && text.data[at - 1] >= '0' && text.data[at - 1] <= '9') at--;
    return at > 0 && text.data[at - 1] == ':' ? at - 1 : text.len;
}

static uint32_t state_of(lb_str text) {
    bool local = has_unix(text);
    if (local) text = (lb_str){text.data + 5, text.len - 5};
    size_t host = local ? text.len : host_of(text), port = host < text.len ? host + 1 : host;
    uint32_t crc = lb_crc32_more(UINT32_MAX, text.data, host);
    crc = lb_crc32_more(crc, "", 1);
    return lb_crc32_more(crc, text.data + port, text.len - port);
}

static void add_points(lb_ring *ring, lb_str text, uint32_t weight, uint32_t owner) {
    uint32_t base = state_of(text), point = 0;
    for (uint64_t i = 0; i < (uint64_t)weight * POINTS; i++) {
        const char bytes[4] = {
            (char)(point & 0xFF), (char)(point >> 8 & 0xFF), (char)(point >> 16 & 0xFF), (char)(point >> 24 & 0xFF),
        };
        point = ~lb_crc32_more(base, bytes, sizeof bytes);
        lb_ring_add(ring, point, owner);
    }
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static lb_str kept_text(const table *t, uint32_t member) {
    size_t from = member ? t->end[member - 1] : 0;
    return (lb_str){t->text + from, t->end[member] - from};
}

typedef struct entry {
    lb_str text;
    uint32_t member;
} entry;

static int by_text(const void *one, const void *other) {
    const entry *a = one, *b = other;
    size_t least = a->text.len < b->text.len ? a->text.len : b->text.len;
    int order = least ? memcmp(a->text.data, b->text.data, least) : 0;
    if (order) return order;
    if (a->text.len != b->text.len) return a->text.len < b->text.len ? -1 : 1;
    return (a->member > b->member) - (a->member < b->member);
}

/* Link the members of one text; first[i] is the first of i's. */
static lb_status find_twins(table *t, uint32_t *first, lb_error *err) {
    entry *sorted = lb_alloc_array(t->n_members, sizeof *sorted);
    t->twin = lb_alloc_array(t->n_members, sizeof *t->twin);
    if (!sorted || !t->twin) {
        lb_free(sorted);
        return lb_no_memory(err, "policy");
    }
    for (uint32_t i = 0; i < t->n_members; i++) sorted[i] = (entry){kept_text(t, i), i};
    qsort(sorted, t->n_members, sizeof *sorted, by_text);
    bool any = false;
    for (uint32_t i = 0; i < t->n_members; i++) {
        uint32_t member = sorted[i].member;
        bool again = i > 0 && lb_str_equal(sorted[i - 1].text, sorted[i].text);
        first[member] = again ? first[sorted[i - 1].member] : member;
        t->twin[member] = LB_NONE;
        if (again) t->twin[sorted[i - 1].member] = member;
        any |= again;
    }
    lb_free(sorted);
    if (any) return LB_OK;
    lb_free(t->twin);
    t->twin = NULL;
    return LB_OK;
}

static lb_status fill_ring(table *t, const uint32_t *first, uint64_t weight, lb_error *err) {
    if (weight > MAX_POINTS / POINTS)
        return lb_fail(err, LB_ERR_CONFIG, "targets", "their weights add up to %llu; this ring holds at most %u",
                       (unsigned long long)weight, MAX_POINTS / POINTS);
    lb_status status = lb_ring_new(&t->ring, weight * POINTS, 32, err);
    if (status) return status;
    for (uint32_t i = 0; i < t->n_members; i++) add_points(t->ring, kept_text(t, i), t->full[i], first[i]);
    return lb_ring_close(t->ring, true, err);
}

static lb_status make_ring(table *t, uint64_t weight, lb_error *err) {
    uint32_t *first = lb_alloc_array(t->n_members, sizeof *first);
    if (!first) return lb_no_memory(err, "policy");
    lb_status status = find_twins(t, first, err);
    if (status == LB_OK) status = fill_ring(t, first, weight, err);
    lb_free(first);
    return status;
}

static void let_go(table *t) {
    if (!t || lb_counter_sub(&t->users, 1) > 1) return;
    lb_free(t->full);
    lb_free(t->end);
    lb_free(t->text);
    lb_free(t->twin);
    lb_ring_free(t->ring);
    lb_free(t);
}

static void copy_texts(table *t, const lb_view *view) {
    size_t at = 0;
    for (uint32_t i = 0; i < t->n_members; i++) {
        lb_str text = text_of(view, i);
        memcpy(t->text + at, text.data, text.len);
        t->end[i] = at += text.len;
    }
}

static lb_status table_new(table **out, const lb_view *view, lb_error *err) {
    table *t = lb_alloc_zero(1, sizeof *t);
    if (!t) return lb_no_memory(err, "policy");
    t->users = 1;
    t->n_members = view->n_members;
    uint64_t weight = 0;
    uint32_t n_servers = 0;
    size_t length = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        weight += view->full[i];
        n_servers += view->full[i] > 0;
        length += text_of(view, i).len;
    }
    t->full = lb_alloc_array(t->n_members, sizeof *t->full);
    t->end = lb_alloc_array(t->n_members, sizeof *t->end);
    t->text = lb_alloc(length);
    lb_status status = t->full && t->end && t->text ? LB_OK : lb_no_memory(err, "policy");
    if (status == LB_OK) {
        memcpy(t->full, view->full, t->n_members * sizeof *t->full);
        copy_texts(t, view);
        if (n_servers > 1) status = make_ring(t, weight, err);
    }
    if (status) let_go(t);
    else *out = t;
    return status;
}

static bool fits(const table *t, const lb_view *view) {
    if (t->n_members != view->n_members) return false;
    for (uint32_t i = 0; i < t->n_members; i++)
        if (t->full[i] != view->full[i] || !lb_str_equal(kept_text(t, i), text_of(view, i))) return false;
    return true;
}

/* ---- the walk ----------------------------------------------------------------------------------------------- */

static uint32_t point_of(const table *t, const lb_walk *walk) {
    const lb_key *key = &walk->key;
    uint32_t hash = key->hashed ? (uint32_t)key->hash : lb_crc32(key->text.data, key->text.len);
    return lb_ring_find(t->ring, hash);
}

static uint32_t owner_at(const table *t, uint64_t point) {
    uint64_t n = lb_ring_size(t->ring);
    return lb_ring_owner(t->ring, (uint32_t)(point < n ? point : point % n));
}

static uint32_t try(const void *st, const lb_view *view, lb_walk *walk) {
    (void)view;
    const table *t = st;
    if (walk->at == 0) walk->hash = point_of(t, walk);
    return owner_at(t, walk->hash + walk->at);
}

/* A turn among the usable members with the text of `first` that have not been given. */
static uint32_t turn_of_twins(const table *t, lb_seats *seats, const lb_view *view, uint32_t first) {
    lb_turn turn = {.best = LB_NONE};
    for (uint32_t member = first; member != LB_NONE; member = t->twin[member])
        if (view->weight[member] > 0 && lb_seat_is_free(seats, member))
            lb_turn_offer(&turn, seats, member, view->weight[member]);
    return lb_turn_end(&turn, seats);
}

/* One step: *tries points are behind.  A point is left when all its members have been given. */
static uint32_t step_of_twins(const table *t, lb_seats *seats, const lb_view *view, uint64_t point, uint64_t *tries) {
    for (; *tries < LB_TRIES; ++*tries) {
        uint32_t member = turn_of_twins(t, seats, view, owner_at(t, point + *tries));
        if (member != LB_NONE) return member;
    }
    return lb_smooth_turn(seats, view);
}

/* Where twins are, each step may move current weights: a peek goes the whole walk again in a copy of them. */
static uint32_t walk_twins(state *s, const lb_view *view, lb_walk *walk, bool hashable) {
    if (view->n_usable == 0 || (walk->peek && walk->step >= LB_SMOOTH_LOOK)) return LB_NONE;
    uint64_t tries = hashable ? 0 : LB_TRIES;
    if (walk->step == 0) {
        walk->at = tries;
        if (hashable) walk->hash = point_of(s->table, walk);
    }
    if (!walk->peek) {
        lb_seats *now = walk->step == 0 ? lb_smooth_begin(s->smooth, false) : &s->smooth->now;
        return step_of_twins(s->table, now, view, walk->hash, &walk->at);
    }
    lb_seats *ahead = lb_smooth_begin(s->smooth, true);
    uint32_t member = LB_NONE;
    for (uint32_t i = 0; i <= walk->step; i++) member = step_of_twins(s->table, ahead, view, walk->hash, &tries);
    return member;
}

static uint32_t walk(void *st, const lb_view *view, lb_walk *walk) {
    state *s = st;
    bool hashable = s->table->ring && (walk->key.hashed || walk->key.text.len > 0);
    if (s->table->twin) return walk_twins(s, view, walk, hashable);
    return lb_tries_walk(s->smooth, view, walk, hashable, try, s->table);
}

/* ---- the policy --------------------------------------------------------------------------------------------- */

static void destroy(void *st) {
    state *s = st;
    if (!s) return;
    let_go(s->table);
    lb_smooth_free(s->smooth);
    lb_free(s);
}

static lb_status share_or_make(table **out, const lb_view *view, const state *before, lb_error *err) {
    if (!before || !fits(before->table, view)) return table_new(out, view, err);
    lb_counter_add(&before->table->users, 1);
    *out = before->table;
    return LB_OK;
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)param;
    const state *before = previous;
    state *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    lb_status status = share_or_make(&s->table, view, before, err);
    if (status == LB_OK) status = lb_smooth_new(&s->smooth, view, before ? before->smooth : NULL, old_index, err);
    if (status) destroy(s);
    else *out = s;
    return status;
}

const lb_policy lb_policy_ketama_nginx = {
    .name = "ketama_nginx", .summary = "nginx's `hash key consistent`: a ring of 160 points a unit of weight.",
    .build = build, .destroy = destroy, .walk = walk,
};

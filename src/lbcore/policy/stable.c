/* stable: makes the table, shares it, and walks a key's order.  The rule is in stable.h.
 *
 *   table (counted, shared)                        state (one a View)
 *   | owner[M] | place[n] | text[n] | bytes |      table, member[n] by rank, rank[members] by member
 *
 * The rule hears claims in ascending order of score, as a heap over targets would do it.  Here targets claim one after
 * the other, each up to a limit that rises from round to round, and the better claim takes a slot from the other.
 * Targets and slots prefer by the same score, so only one matching is stable, and both ways lead to it (D. Gale,
 * L. Shapley, Amer. Math. Monthly 69(1), 1962): but this one needs no heap, and weights do not matter for its cost.
 */
#include "policy/stable.h"

#include "base/alloc.h"
#include "base/atomic.h"
#include "hash/xxh64.h"

/* Where a target stands in every slot's order. */
typedef struct place {
    uint32_t off;                   /* its slot of turn 0 */
    uint32_t inverse;               /* of skip, modulo slots: a slot's turn is (slot - off) * inverse */
    uint32_t weight;
} place;

typedef struct table {
    lb_counter holders;             /* states */
    uint32_t slots, n;              /* n targets have a weight; they are named by rank */
    bool even;                      /* all weights are equal: turns order as scores do */
    lb_curve curve;
    uint32_t *owner;                /* a rank; LB_NONE where n is 0 */
    place *place;
    lb_str *text;                   /* what was hashed: to know a table that can be shared */
} table;

typedef struct state {
    table *table;
    uint32_t *member, *rank;        /* rank is LB_NONE for members without a configured weight */
} state;

/* ---- scores ----------------------------------------------------------------------------------------------- */

#define FINE 20                     /* more bits while logarithms are summed up */

/* ln((y + 1) / (y - 1)) = 2 (1/y + 1/(3 y^3) + 1/(5 y^5) + ...), each term rounded down. */
static uint64_t log_step(uint64_t y) {
    uint64_t sum = 0, power = ((uint64_t)2 << (LB_CURVE_BITS + FINE)) / y;
    for (uint64_t k = 1; power > 0; k += 2, power /= y * y) sum += power / k;
    return sum;
}

void lb_curve_init(lb_curve *curve, uint32_t slots) {
    uint64_t sum = 0;
    curve->slots = slots;
    curve->unit = ((uint64_t)1 << LB_CURVE_BITS) / (2 * (uint64_t)slots);
    for (uint64_t j = 0; j <= LB_CURVE_STEPS; j++) {
        curve->log[j] = sum >> FINE;
        sum += log_step(2 * (LB_CURVE_STEPS + j) + 1);
    }
}

/* ln(all / left) for all = 2 M, left = 2 (M - t) - 1: whole powers of 2, then steps of 1/64, then the series of
 * log_step() for a quotient below 1 + 1/64.  No overflow: high - low < left < 2^25.1, z < 2^31. */
uint64_t lb_curve_at(const lb_curve *curve, uint32_t turn) {
    uint64_t all = 2 * curve->slots, left = 2 * (curve->slots - turn) - 1, sum = 0;
    for (; 2 * left <= all; left *= 2) sum += curve->log[LB_CURVE_STEPS];
    uint64_t j = (all - left) * LB_CURVE_STEPS / left;
    uint64_t high = LB_CURVE_STEPS * all, low = (LB_CURVE_STEPS + j) * left;
    uint64_t z = ((high - low) << LB_CURVE_BITS) / (high + low);
    uint64_t z2 = z * z >> LB_CURVE_BITS, z3 = z * z2 >> LB_CURVE_BITS, z5 = z3 * z2 >> LB_CURVE_BITS;
    return sum + curve->log[j] + 2 * (z + z3 / 3 + z5 / 5);
}

/* ---- numbers ---------------------------------------------------------------------------------------------- */

static bool is_prime(uint32_t n) {
    for (uint32_t d = 2; d * d <= n; d++)
        if (n % d == 0) return false;
    return true;
}

lb_status lb_stable_check(double slots, lb_error *err) {
    uint32_t n = (uint32_t)slots, below = n, above = n;
    if (is_prime(n)) return LB_OK;
    while (!is_prime(below)) below--;
    while (!is_prime(above)) above++;
    return lb_fail(err, LB_ERR_CONFIG, "slots", "%u is not a prime in %u..%u; the nearest are %u and %u", n,
                   (uint32_t)LB_LEAST_SLOTS, (uint32_t)LB_MOST_SLOTS, below, above);
}

/* The x in 1..m-1 with a * x = 1 modulo the prime m, by Euclid's algorithm; 0 < a < m. */
static uint32_t inverse_of(uint32_t a, uint32_t m) {
    int64_t r = m, next = a, x = 0, x_next = 1;
    while (next > 0) {
        int64_t q = r / next, rest = r % next, x_rest = x - q * x_next;
        r = next, next = rest;
        x = x_next, x_next = x_rest;
    }
    return (uint32_t)(x < 0 ? x + m : x);
}

/* floor(hash * n / 2^64). */
static uint32_t scale64(uint64_t hash, uint32_t n) {
    return (uint32_t)(((hash >> 32) * n + ((uint64_t)(uint32_t)hash * n >> 32)) >> 32);
}

static uint32_t scale32(uint64_t half, uint32_t n) { return (uint32_t)(half * n >> 32); }

/* ---- ranks ------------------------------------------------------------------------------------------------ */

typedef struct entry {
    lb_str text, identity;
    uint32_t member;
} entry;

static lb_str text_of(const lb_view *view, uint32_t member) {
    const lb_name *name = lb_view_name(view, member);
    return name->hash_key.len ? name->hash_key : name->identity;
}

static int compare_bytes(lb_str a, lb_str b) {
    size_t least = a.len < b.len ? a.len : b.len;
    int order = least ? memcmp(a.data, b.data, least) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *left, const void *right) {
    const entry *a = left, *b = right;
    int order = compare_bytes(a->text, b->text);
    if (!order) order = compare_bytes(a->identity, b->identity);
    return order ? order : (a->member > b->member) - (a->member < b->member);    /* identities are distinct anyway */
}

static lb_status rank_members(state *s, const lb_view *view, uint32_t n, lb_error *err) {
    entry *entries = lb_alloc_array(n, sizeof *entries);
    if (!entries) return lb_no_memory(err, "policy");
    uint32_t at = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        s->rank[i] = LB_NONE;
        if (view->full[i]) entries[at++] = (entry){text_of(view, i), lb_view_name(view, i)->identity, i};
    }
    qsort(entries, n, sizeof *entries, by_name);
    for (uint32_t r = 0; r < n; r++) {
        s->member[r] = entries[r].member;
        s->rank[entries[r].member] = r;
    }
    lb_free(entries);
    return LB_OK;
}

/* ---- filling the table ------------------------------------------------------------------------------------ */

/* A target's claim to a slot. */
typedef struct claim {
    uint64_t score;                 /* before the division by weight */
    uint32_t weight, rank;
} claim;

/* Ascending score / weight, cross-multiplied (exact: below 2^63); equal ones by rank. */
static bool precedes(claim a, claim b) {
    uint64_t left = a.score * b.weight, right = b.score * a.weight;
    return left != right ? left < right : a.rank < b.rank;
}

typedef struct claimant {
    uint32_t slot, skip;            /* of its next claim, and how far it is from one to the next */
    uint32_t turn, weight;
    uint32_t left;                  /* how many slots it may still get */
} claimant;

/* What is needed until the table is full. */
typedef struct draft {
    uint64_t *score;                /* e_t by turn */
    claim *holder;                  /* by slot, the best claim so far; rank LB_NONE: none */
    claimant *claimant;             /* by rank */
    uint32_t slots, n, n_free;
    bool again;                     /* a target that had enough has lost a slot, and claims on */
} draft;

/* The claims of one target up to a score (below 2^43: a little above the greatest e_t).  Who loses a slot may claim
 * another. */
static void raise_claims(draft *d, uint32_t rank, uint64_t limit) {
    claimant *c = &d->claimant[rank];
    while (c->left > 0 && c->turn < d->slots && d->score[c->turn] <= limit * c->weight) {
        claim made = {d->score[c->turn++], c->weight, rank}, *held = &d->holder[c->slot];
        c->slot = c->slot + c->skip < d->slots ? c->slot + c->skip : c->slot + c->skip - d->slots;
        if (held->rank == LB_NONE) d->n_free--;
        else if (precedes(*held, made)) continue;
        else if (d->claimant[held->rank].left++ == 0) d->again = true;
        *held = made;
        c->left--;
    }
}

/* How much the limit goes up: about one claim a slot by those who want more. */
static uint64_t stride(const draft *d) {
    uint64_t wanting = 0;
    for (uint32_t r = 0; r < d->n; r++) wanting += d->claimant[r].left > 0 ? d->claimant[r].weight : 0;
    return ((uint64_t)1 << LB_CURVE_BITS) / wanting + 1;
}

/* Quotas add up to at least M and M turns lead to every slot, so while one is free somebody wants it.  At the end of a
 * round everybody has enough or has claimed up to the limit; so once all slots are taken, later claims change nothing. */
static void give_slots(draft *d) {
    for (uint64_t limit = 0; d->n_free > 0;) {
        limit += stride(d);
        do {
            d->again = false;
            for (uint32_t r = 0; r < d->n; r++) raise_claims(d, r, limit);
        } while (d->again);
    }
}

/* ceil(1.02 * M * w / W), at most M. */
static uint32_t quota_of(uint32_t slots, uint32_t weight, uint64_t total) {
    uint64_t quota = ((uint64_t)102 * slots * weight + 100 * total - 1) / (100 * total);
    return quota < slots ? (uint32_t)quota : slots;
}

/* Everybody's permutation, from the hash of the text. */
static void place_all(table *t, const state *s, const lb_view *view, claimant *claimants) {
    uint64_t total = 0;
    for (uint32_t r = 0; r < t->n; r++) total += view->full[s->member[r]];
    for (uint32_t r = 0; r < t->n; r++) {
        uint64_t hash = lb_xxh64(t->text[r].data, t->text[r].len, 0);
        uint32_t off = scale32(hash >> 32, t->slots), skip = 1 + scale32((uint32_t)hash, t->slots - 1);
        uint32_t weight = view->full[s->member[r]];
        t->place[r] = (place){off, inverse_of(skip, t->slots), weight};
        claimants[r] = (claimant){off, skip, 0, weight, quota_of(t->slots, weight, total)};
        t->even = t->even && weight == t->place[0].weight;
    }
}

static void complete(table *t, const state *s, const lb_view *view, draft *d) {
    for (uint32_t i = 0; i < t->slots; i++) {
        d->score[i] = lb_curve_at(&t->curve, i);
        d->holder[i].rank = LB_NONE;
    }
    place_all(t, s, view, d->claimant);
    if (t->n > 0) give_slots(d);
    for (uint32_t i = 0; i < t->slots; i++) t->owner[i] = d->holder[i].rank;
}

static lb_status fill(table *t, const state *s, const lb_view *view, lb_error *err) {
    draft d = {.slots = t->slots, .n = t->n, .n_free = t->slots};
    d.score = lb_alloc_array(t->slots, sizeof *d.score);
    d.holder = lb_alloc_array(t->slots, sizeof *d.holder);
    d.claimant = lb_alloc_array(t->n, sizeof *d.claimant);
    bool enough = d.score && d.holder && d.claimant;
    if (enough) complete(t, s, view, &d);
    lb_free(d.claimant);
    lb_free(d.holder);
    lb_free(d.score);
    return enough ? LB_OK : lb_no_memory(err, "policy");
}

/* ---- the table -------------------------------------------------------------------------------------------- */

/* One block, divided; the texts are copied, nobody owns a slot yet. */
static table *reserve(const state *s, const lb_view *view, uint32_t slots, uint32_t n) {
    size_t n_bytes = 0;
    for (uint32_t r = 0; r < n; r++) n_bytes += text_of(view, s->member[r]).len;
    table *t = lb_alloc(sizeof *t + n * (sizeof *t->text + sizeof *t->place) + slots * sizeof *t->owner + n_bytes);
    if (!t) return NULL;
    *t = (table){.slots = slots, .n = n, .even = true};
    t->text = (lb_str *)(void *)(t + 1);
    t->place = (place *)(void *)(t->text + n);
    t->owner = (uint32_t *)(void *)(t->place + n);
    char *bytes = (char *)(t->owner + slots);
    for (uint32_t r = 0; r < n; r++) {
        lb_str text = text_of(view, s->member[r]);
        t->text[r] = (lb_str){bytes, text.len};
        if (text.len) memcpy(bytes, text.data, text.len);
        bytes += text.len;
    }
    lb_curve_init(&t->curve, slots);
    lb_counter_write(&t->holders, 1);
    return t;
}

static lb_status make_table(state *s, const lb_view *view, uint32_t slots, uint32_t n, lb_error *err) {
    lb_status status = rank_members(s, view, n, err);
    if (status) return status;
    table *t = reserve(s, view, slots, n);
    if (!t) return lb_no_memory(err, "policy");
    status = fill(t, s, view, err);
    if (status) lb_free(t);
    else s->table = t;
    return status;
}

/* Whether the old state's table is the one that `view` would get; then s has its ranks.  Identities are the same by
 * old_index, so that texts and weights are left to compare; the list may stand in another order. */
static bool carries_over(state *s, const lb_view *view, const state *old, const uint32_t *old_index) {
    const table *t = old->table;
    for (uint32_t i = 0; i < view->n_members; i++) {
        s->rank[i] = LB_NONE;
        if (view->full[i] == 0) continue;
        uint32_t rank = old_index[i] == LB_NONE ? LB_NONE : old->rank[old_index[i]];
        if (rank == LB_NONE || t->place[rank].weight != view->full[i]) return false;
        if (!lb_str_equal(t->text[rank], text_of(view, i))) return false;
        s->rank[i] = rank;
        s->member[rank] = i;
    }
    return true;
}

static state *new_state(uint32_t n_members, uint32_t n) {
    state *s = lb_alloc(sizeof *s + ((size_t)n_members + n) * sizeof(uint32_t));
    if (!s) return NULL;
    s->table = NULL;
    s->member = (uint32_t *)(void *)(s + 1);
    s->rank = s->member + n;
    return s;
}

void lb_stable_destroy(void *st) {
    state *s = st;
    if (!s) return;
    if (s->table && lb_counter_sub(&s->table->holders, 1) == 1) lb_free(s->table);
    lb_free(s);
}

lb_status lb_stable_build(void **out, const lb_view *view, double slots, const void *previous,
                          const uint32_t *old_index, lb_error *err) {
    if (view->n_members > 0 && !view->name)
        return lb_fail(err, LB_ERR_CONFIG, "policy", "a consistent hash needs targets with names");
    uint32_t n = 0;
    for (uint32_t i = 0; i < view->n_members; i++) n += view->full[i] > 0;
    state *s = new_state(view->n_members, n);
    if (!s) return lb_no_memory(err, "policy");
    const state *old = previous;
    lb_status status = LB_OK;
    if (old && old->table->slots == (uint32_t)slots && old->table->n == n && carries_over(s, view, old, old_index)) {
        s->table = old->table;
        lb_counter_add(&s->table->holders, 1);
    } else {
        status = make_table(s, view, (uint32_t)slots, n, err);
    }
    if (status) lb_stable_destroy(s);
    else *out = s;
    return status;
}

/* ---- a key's order ---------------------------------------------------------------------------------------- */

/* When a target claims a slot. */
static uint32_t turn_of(const table *t, const place *p, uint32_t slot) {
    uint64_t ahead = slot >= p->off ? slot - p->off : slot + t->slots - p->off;
    return (uint32_t)(ahead * p->inverse % t->slots);
}

static claim claim_of(const table *t, uint32_t rank, uint32_t turn) {
    return (claim){t->even ? turn : lb_curve_at(&t->curve, turn), t->place[rank].weight, rank};
}

/* True where the claim of this turn surely comes after `best`: -ln(1 - x) > x saves the logarithm of most targets. */
static bool is_behind(const table *t, uint64_t turn, uint32_t weight, claim best) {
    uint64_t least = t->even ? turn : (2 * turn + 1) * t->curve.unit - LB_CURVE_ERROR;
    return least * best.weight > best.score * weight;
}

/* The usable target, not the owner, that comes next after `last` (NULL: first of all).  LB_NONE: nobody. */
static uint32_t next_rank(const state *s, const lb_view *view, uint32_t slot, const claim *last) {
    const table *t = s->table;
    claim best = {.rank = LB_NONE};
    for (uint32_t i = 0; i < view->n_usable; i++) {
        uint32_t rank = s->rank[view->usable[i]];
        if (rank == t->owner[slot] || rank == LB_NONE) continue;
        uint32_t turn = turn_of(t, &t->place[rank], slot);
        if (best.rank != LB_NONE && is_behind(t, turn, t->place[rank].weight, best)) continue;
        claim one = claim_of(t, rank, turn);
        if (last && !precedes(*last, one)) continue;
        if (best.rank == LB_NONE || precedes(one, best)) best = one;
    }
    return best.rank;
}

uint64_t lb_stable_hash(const void *st, const lb_key *key) {
    (void)st;
    return key->hashed ? key->hash : lb_xxh64(key->text.data, key->text.len, 0);
}

/* walk->at is the rank of the step before.  Where that is the owner's, the others begin at their first. */
uint32_t lb_stable_walk(void *st, const lb_view *view, lb_walk *walk) {
    const state *s = st;
    const table *t = s->table;
    if (view->n_usable == 0 || t->n == 0) return LB_NONE;
    if (walk->step == 0) walk->hash = lb_stable_hash(s, &walk->key);
    uint32_t slot = scale64(walk->hash, t->slots), owner = t->owner[slot], rank;
    if (walk->step == 0) {
        bool usable = view->weight[s->member[owner]] > 0;
        rank = usable ? owner : next_rank(s, view, slot, NULL);
    } else if (walk->at == owner) {
        rank = next_rank(s, view, slot, NULL);
    } else if (walk->at == LB_NONE) {
        rank = LB_NONE;                         /* asked once more after the end */
    } else {
        uint32_t before = (uint32_t)walk->at;
        claim last = claim_of(t, before, turn_of(t, &t->place[before], slot));
        rank = next_rank(s, view, slot, &last);
    }
    walk->at = rank;
    return rank == LB_NONE ? LB_NONE : s->member[rank];
}

/* ---- looking in ------------------------------------------------------------------------------------------- */

uint32_t lb_stable_owner(const void *st, uint32_t slot) {
    const state *s = st;
    return s->table->n > 0 ? s->member[s->table->owner[slot]] : LB_NONE;
}

bool lb_stable_is_shared(const void *st, const void *other) {
    return ((const state *)st)->table == ((const state *)other)->table;
}

/* chash_kong: Kong's consistent hashing, a wheel of a fixed number of slots.
 *
 *   slot     0    1    2    3    4    5    6    7
 *   entry  [ 1 ][ 1 ][ 1 ][ 0 ][ 0 ][ 1 ][ 1 ][ 1 ]     the entry at the slot or the next one below
 *                      ^         ^    ^
 *                    (entry 1 is at slot 5, entry 0 at slot 3; slots 0 to 2 go round to the highest)
 *
 * Source  Kong/kong@22246ef28c16 kong/runloop/balancer/consistent_hashing.lua (recorded answers).
 *         A Kong target is a name and a port (hash_key, else the address); each target here is one of its addresses.
 *         Sorted by name, port as a number, then address, each address gets floor(w / W * T * 160) entries, at least 1
 *         if w > 0; W is the sum of the weights, T the number of Kong targets, weight 0 included; in doubles, in that
 *         order.  Entry i, from 1, stands at XXH32("ip::port i") mod slots; if that slot is taken, one i more is tried.
 * Lookup  XXH32 of the key mod slots, then down to the next entry, from 0 round to the top.
 * Ties    targets of one name and one address: in the order of the list.
 * Full    an address that has come to i > slots is one too many: refused.  (Kong would keep the wheel of before.)
 * Down    the walk goes on down to the entry of a usable target; what others own does not move.  Kong's own walk skips
 *         the slot above the key's, and may find nobody where only that one is left; this one finds it.
 * Cost    build O(slots + entries), walk O(1) and the entries of unusable targets on the way; memory 4 bytes a slot
 *         and an entry.
 * Keeps   the table is read-only after build(), and shared with the Views after it while names and full weights are the
 *         same: `holders` counts them.
 */
#include "base/alloc.h"
#include "hash/xxh32.h"
#include "policy/recipe.h"

#include <stdio.h>

#define FEWEST_SLOTS 1000u          /* less counts as this */
#define ENTRIES 160.0               /* a target of average weight */
#define NO_PORT 8000u               /* Kong's, where a target gives none */
#define DIGITS 12u                  /* room for "i" or "port" and what stands around it */

typedef struct table {
    lb_counter holders;
    lb_recipe *recipe;
    uint32_t n_slots, n_entries;
    uint32_t *entry;                /* by slot; only while n_entries > 0 */
    uint32_t *owner;                /* by entry: the member */
} table;

/* An address and the Kong target that it belongs to. */
typedef struct place {
    lb_str name, ip;
    uint32_t name_port, port;
    uint32_t member;
} place;

typedef struct wheel {
    const lb_view *view;
    place *places;                  /* a member each, in Kong's order */
    uint32_t *owner;                /* by slot; LB_NONE: free */
    char *text;                     /* room for the longest entry text */
    uint32_t n_slots, n_targets, n_entries;
    uint64_t total;
} wheel;

/* ---- names ------------------------------------------------------------------------------------------------------ */

/* "host:port" or "[ipv6]:port" in two, brackets kept; a text that is neither is a host without port. */
static lb_str split(lb_str text, uint32_t *port) {
    size_t at = text.len;
    uint32_t number = 0, unit = 1;
    *port = NO_PORT;
    while (at > 0 && text.len - at < 5 && text.data[at - 1] >= '0' && text.data[at - 1] <= '9') {
        number += (uint32_t)(text.data[--at] - '0') * unit;
        unit *= 10;
    }
    if (at < 2 || at == text.len || text.data[at - 1] != ':' || number > 65535) return text;
    lb_str host = {text.data, at - 1};
    if (memchr(host.data, ':', host.len) && host.data[host.len - 1] != ']') return text;
    *port = number;
    return host;
}

static place place_of(const lb_view *view, uint32_t member) {
    const lb_name *name = lb_view_name(view, member);
    place p = {.member = member};
    p.ip = split(name->address, &p.port);
    p.name = split(name->hash_key.len ? name->hash_key : name->address, &p.name_port);
    return p;
}

/* <0, 0, >0 by bytes; of two of which one begins the other, the shorter first. */
static int compare_bytes(const char *a, size_t n, const char *b, size_t m) {
    size_t shared = n < m ? n : m;
    int order = shared ? memcmp(a, b, shared) : 0;
    return order ? order : (n > m) - (n < m);
}

static int compare_names(const place *a, const place *b) {
    int order = compare_bytes(a->name.data, a->name.len, b->name.data, b->name.len);
    return order ? order : (a->name_port > b->name_port) - (a->name_port < b->name_port);
}

/* Byte `at` of "ip:port"; -1 behind its end. */
static int address_byte(const place *p, const char *port, size_t at) {
    if (at < p->ip.len) return (unsigned char)p->ip.data[at];
    if (at == p->ip.len) return ':';
    at -= p->ip.len + 1;
    return at < strlen(port) ? port[at] : -1;
}

static int compare_addresses(const place *a, const place *b) {
    char port_a[DIGITS], port_b[DIGITS];
    snprintf(port_a, sizeof port_a, "%u", a->port);
    snprintf(port_b, sizeof port_b, "%u", b->port);
    for (size_t at = 0;; at++) {
        int x = address_byte(a, port_a, at), y = address_byte(b, port_b, at);
        if (x != y) return x - y;
        if (x < 0) return 0;
    }
}

static int by_name(const void *left, const void *right) {
    const place *a = left, *b = right;
    int order = compare_names(a, b);
    if (!order) order = compare_addresses(a, b);
    return order ? order : (a->member > b->member) - (a->member < b->member);
}

/* ---- the wheel -------------------------------------------------------------------------------------------------- */

static lb_status refuse(const wheel *w, lb_error *err) {
    return lb_fail(err, LB_ERR_CONFIG, "targets", "%u do not fit on %u slots: each takes about 160, and Kong's scheme"
                   " gives up when the free ones run out (62 equal targets on 10000 slots, 409 on 65536); set more slots,"
                   " or use policy 'hash'", w->n_targets, w->n_slots);
}

/* The entries of one address.  False: it has come to i > slots. */
static bool enter(wheel *w, const place *p) {
    uint32_t weight = w->view->full[p->member];
    if (weight == 0) return true;
    double share = (double)weight / (double)w->total * w->n_targets * ENTRIES;
    uint64_t left = share < 1 ? 1 : (uint64_t)share;
    memcpy(w->text, p->ip.data, p->ip.len);
    size_t stem = p->ip.len + (size_t)snprintf(w->text + p->ip.len, DIGITS, "::%u ", p->port);
    for (uint32_t i = 1; left > 0; i++) {
        if (i > w->n_slots) return false;
        size_t n = stem + (size_t)snprintf(w->text + stem, DIGITS, "%u", i);
        uint32_t slot = lb_xxh32(w->text, n, 0) % w->n_slots;
        if (w->owner[slot] != LB_NONE) continue;
        w->owner[slot] = p->member;
        w->n_entries++;
        left--;
        if (i == w->n_slots) return false;      /* Kong counts on before it looks whether it is done */
    }
    return true;
}

static lb_status turn(wheel *w, lb_error *err) {
    const lb_view *view = w->view;
    qsort(w->places, view->n_members, sizeof *w->places, by_name);
    for (uint32_t i = 0; i < view->n_members; i++) {
        w->total += view->full[i];
        w->n_targets += i == 0 || compare_names(&w->places[i - 1], &w->places[i]) != 0;
    }
    for (uint32_t slot = 0; slot < w->n_slots; slot++) w->owner[slot] = LB_NONE;
    for (uint32_t i = 0; i < view->n_members; i++)
        if (!enter(w, &w->places[i])) return refuse(w, err);
    return LB_OK;
}

static void drop(wheel *w) {
    lb_free(w->places);
    lb_free(w->owner);
    lb_free(w->text);
}

static lb_status reserve(wheel *w, lb_error *err) {
    const lb_view *view = w->view;
    size_t longest = 0;
    w->places = lb_alloc_array(view->n_members, sizeof *w->places);
    w->owner = lb_alloc_array(w->n_slots, sizeof *w->owner);
    for (uint32_t i = 0; w->places && i < view->n_members; i++) {
        w->places[i] = place_of(view, i);
        if (w->places[i].ip.len > longest) longest = w->places[i].ip.len;
    }
    w->text = lb_alloc(longest + 2 * DIGITS);
    return w->places && w->owner && w->text ? LB_OK : lb_no_memory(err, "policy");
}

/* Entries in the order of their slots, and for each slot the entry that a key there begins with. */
static lb_status settle(table *t, const wheel *w, lb_error *err) {
    if (w->n_entries == 0) return LB_OK;
    t->entry = lb_alloc_array(w->n_slots, sizeof *t->entry);
    t->owner = lb_alloc_array(w->n_entries, sizeof *t->owner);
    if (!t->entry || !t->owner) return lb_no_memory(err, "policy");
    uint32_t last = w->n_entries - 1;           /* slots below the first entry go round to the highest */
    for (uint32_t slot = 0; slot < w->n_slots; slot++) {
        if (w->owner[slot] != LB_NONE) {
            last = t->n_entries++;
            t->owner[last] = w->owner[slot];
        }
        t->entry[slot] = last;
    }
    return LB_OK;
}

static lb_status fill(table *t, const lb_view *view, lb_error *err) {
    wheel w = {.view = view, .n_slots = t->n_slots};
    lb_status status = reserve(&w, err);
    if (!status) status = turn(&w, err);
    if (!status) status = settle(t, &w, err);
    drop(&w);
    return status;
}

/* ---- the policy ------------------------------------------------------------------------------------------------- */

static void destroy(void *st) {
    table *t = st;
    if (!t || lb_counter_sub(&t->holders, 1) > 1) return;
    lb_recipe_free(t->recipe);
    lb_free(t->entry);
    lb_free(t->owner);
    lb_free(t);
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)old_index;
    table *t = lb_alloc_zero(1, sizeof *t), *before = (table *)previous;
    if (!t) return lb_no_memory(err, "policy");
    t->n_slots = param[0] < FEWEST_SLOTS ? FEWEST_SLOTS : (uint32_t)param[0];
    lb_counter_write(&t->holders, 1);
    lb_status status = lb_recipe_new(&t->recipe, view, err);
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

/* walk->hash is the first entry, walk->at how many have been looked at. */
static uint32_t walk(void *st, const lb_view *view, lb_walk *walk) {
    const table *t = st;
    if (t->n_entries == 0 || view->n_usable == 0) return LB_NONE;
    if (walk->step == 0) {
        lb_str text = walk->key.text;
        uint32_t hash = walk->key.hashed ? (uint32_t)walk->key.hash : lb_xxh32(text.data, text.len, 0);
        walk->hash = t->entry[hash % t->n_slots];
        walk->at = 0;
    }
    while (walk->at < t->n_entries) {
        uint64_t back = walk->at++;
        uint64_t entry = back <= walk->hash ? walk->hash - back : walk->hash + t->n_entries - back;
        uint32_t member = t->owner[entry];
        if (view->weight[member]) return member;
    }
    return LB_NONE;
}

static const lb_param params[] = {
    LB_WHOLE("slots", 10000, 10, 65536, "Places on the wheel; below 1000 counts as 1000, as in Kong."),
    {0},
};

const lb_policy lb_policy_chash_kong = {
    .name = "chash_kong", .summary = "Kong's consistent hashing: a wheel of slots, entry for entry.",
    .params = params, .build = build, .destroy = destroy, .walk = walk, .pure = true,
};

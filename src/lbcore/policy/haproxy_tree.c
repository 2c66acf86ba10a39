/* haproxy_tree: see haproxy_tree.h.
 *
 * Walk    walk->at is the first point in its high half, the present one in its low half; walk->hash the slots of all.
 * Keeps   what a member's name or weight is refused for does not depend on its health, so a target that comes back can
 *         always be had.
 */
#include "policy/haproxy_tree.h"

#include "base/alloc.h"
#include "hash/full_hash.h"
#include "hash/xxh32.h"
#include "policy/haproxy_key.h"

#include <stdio.h>

#define IDS_APART 4096u             /* points of one id before those of the next */

/* ---- where a target's points are -------------------------------------------------------------------------------- */

static lb_status at_target(const lb_view *view, uint32_t member, lb_error *err) {
    lb_error_in(err, "targets", view->origin ? view->origin[member] : member);
    return LB_ERR_CONFIG;
}

static lb_status refused(const lb_view *view, uint32_t member, const char *field, lb_str value, const char *why,
                         lb_error *err) {
    int shown = value.len < 60 ? (int)value.len : 60;
    lb_fail(err, LB_ERR_CONFIG, field, "\"%.*s\" %s", shown, value.len ? value.data : "", why);
    return at_target(view, member, err);
}

/* The position counts in the whole upstream: a part of it must agree with the whole. */
static lb_status id_of(const lb_view *view, uint32_t member, lb_str given, uint32_t *id, lb_error *err) {
    *id = (view->origin ? view->origin[member] : member) + 1;
    if (given.len == 0) return LB_OK;
    uint64_t n = 0;
    for (size_t i = 0; i < given.len && n <= INT32_MAX; i++) {
        bool digit = given.data[i] >= '0' && given.data[i] <= '9';
        n = digit ? n * 10 + (uint64_t)(given.data[i] - '0') : UINT64_MAX;
    }
    if (n == 0 || n > INT32_MAX)
        return refused(view, member, "hash_key", given, "is no id; 1..2147483647 are", err);
    *id = (uint32_t)n;
    return LB_OK;
}

static uint32_t turned_round(uint32_t x) {
    return x >> 24 | (x >> 8 & 0xFF00u) | (x << 8 & 0xFF0000u) | x << 24;
}

static lb_status address_key(const lb_view *view, uint32_t member, lb_str given, bool with_port, uint32_t *key,
                             lb_error *err) {
    lb_haproxy_address address;
    uint32_t port;
    if (!lb_haproxy_endpoint_of(given, &address, &port))
        return refused(view, member, "address", given, "is no IP address with or without a port", err);
    uint32_t seed = with_port ? lb_full_hash(port) : 0;
    *key = address.n == 4 ? lb_full_hash(seed + lb_le32(address.byte)) : lb_xxh32(address.byte, 16, seed);
    return LB_OK;
}

static lb_name name_of(const lb_view *view, uint32_t member) {
    return view->name ? *lb_view_name(view, member) : (lb_name){.address = {NULL, 0}};
}

/* What a target is told by: its id, or the hash of its address or guid. */
static lb_status number_of(const lb_view *view, uint32_t member, lb_haproxy_server_key kind, uint32_t *number,
                           lb_error *err) {
    lb_name name = name_of(view, member);
    if (kind == LB_HAPROXY_ADDR || kind == LB_HAPROXY_ADDR_PORT)
        return address_key(view, member, name.address, kind == LB_HAPROXY_ADDR_PORT, number, err);
    if (kind != LB_HAPROXY_GUID) return id_of(view, member, name.hash_key, number, err);
    *number = lb_xxh32(name.hash_key.data, name.hash_key.len, 0);
    return name.hash_key.len ? LB_OK : refused(view, member, "hash_key", name.hash_key, "is no guid", err);
}

static uint32_t key_of(uint32_t number, lb_haproxy_server_key kind) {
    if (kind == LB_HAPROXY_ID) return number * IDS_APART;
    return kind == LB_HAPROXY_ID32 ? lb_full_hash(turned_round(number)) : number;
}

static uint32_t point_of(uint32_t key, uint32_t j) {
    uint32_t round = j / IDS_APART, hash = lb_full_hash(key + j % IDS_APART);
    return round ? lb_full_hash(hash + round) : hash;
}

/* ---- one id, one target ----------------------------------------------------------------------------------------- */

/* Positions are distinct, and an address may stand there twice. */
static bool may_meet(const lb_view *view, lb_haproxy_server_key kind) {
    if (kind == LB_HAPROXY_GUID) return true;
    if (kind != LB_HAPROXY_ID && kind != LB_HAPROXY_ID32) return false;
    for (uint32_t i = 0; i < view->n_members; i++)
        if (name_of(view, i).hash_key.len > 0) return true;
    return false;
}

/* The field is that of the one that was given an id: the other's may be its position. */
static lb_status met(const lb_view *view, uint32_t a, uint32_t b, lb_error *err) {
    uint32_t given = name_of(view, b).hash_key.len > 0 ? b : a, other = given == b ? a : b;
    char why[100];
    snprintf(why, sizeof why, "is that of targets[%u] too; a target without one has its position, from 1",
             view->origin ? view->origin[other] : other);
    return refused(view, given, "hash_key", name_of(view, given).hash_key, why, err);
}

/* Of equal numbers, ids are the same; guids may be others. */
static lb_status check_run(const lb_view *view, lb_haproxy_server_key kind, const lb_ring *numbers, uint32_t last,
                           lb_error *err) {
    uint32_t member = lb_ring_owner(numbers, last);
    for (uint32_t p = last; p-- > 0 && lb_ring_hash(numbers, p) == lb_ring_hash(numbers, last);) {
        uint32_t other = lb_ring_owner(numbers, p);
        bool same = lb_str_equal(name_of(view, member).hash_key, name_of(view, other).hash_key);
        if (same || kind != LB_HAPROXY_GUID) return met(view, other, member, err);
    }
    return LB_OK;
}

/* Two targets of one id have the same points, and the second would never be picked.  Names are known to be good. */
static lb_status check_ids(const lb_view *view, lb_haproxy_server_key kind, lb_error *err) {
    if (!may_meet(view, kind)) return LB_OK;
    lb_ring *numbers;
    lb_status status = lb_ring_new(&numbers, view->n_members, 32, err);
    if (status) return status;
    for (uint32_t i = 0, number; i < view->n_members; i++)
        if (number_of(view, i, kind, &number, NULL) == LB_OK) lb_ring_add(numbers, number, i);
    status = lb_ring_close(numbers, false, err);
    for (uint32_t p = 1; !status && p < view->n_members; p++) status = check_run(view, kind, numbers, p, err);
    lb_ring_free(numbers);
    return status;
}

/* ---- build ------------------------------------------------------------------------------------------------------ */

static lb_status weight_check(const lb_view *view, uint32_t member, lb_error *err) {
    if (view->full[member] <= LB_HAPROXY_MAX_WEIGHT) return LB_OK;
    lb_fail(err, LB_ERR_CONFIG, "weight", "%u is above %u, which is 65,536 points (HAProxy's own weights end at 256)",
            view->full[member], LB_HAPROXY_MAX_WEIGHT);
    return at_target(view, member, err);
}

/* Members that are not usable add no points, but are checked as the others are. */
static lb_status add_points(lb_haproxy_tree *tree, const lb_view *view, lb_haproxy_server_key kind, lb_error *err) {
    for (uint32_t i = 0; i < view->n_members; i++) {
        uint32_t number, n = view->weight[i] * LB_HAPROXY_SCALE;
        lb_status status = number_of(view, i, kind, &number, err);
        if (status) return status;
        uint32_t key = key_of(number, kind);
        if (tree->below) tree->below[i] = tree->total;
        for (uint32_t j = 0; j < n; j++) lb_ring_add(tree->ring, point_of(key, j), i);
        tree->total += n;
    }
    return lb_ring_close(tree->ring, false, err);
}

/* Room for all points, those of targets that are down included: so too many are refused at once, not by a recovery. */
static lb_status make_room(lb_haproxy_tree *tree, const lb_view *view, lb_error *err) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        lb_status status = weight_check(view, i, err);
        if (status) return status;
        n += (uint64_t)view->full[i] * LB_HAPROXY_SCALE;
    }
    if (tree->factor) {
        tree->below = lb_alloc_array(view->n_members, sizeof *tree->below);
        if (!tree->below) return lb_no_memory(err, "policy");
    }
    return lb_ring_new(&tree->ring, n, 32, err);
}

/* The first point behind the one that was served last. */
static uint32_t turn_after(const lb_ring *ring, const lb_haproxy_tree *previous) {
    uint32_t n = previous ? lb_ring_size(previous->ring) : 0;
    uint32_t turn = n ? lb_counter_read(&previous->turn) : 0;       /* read once: readers may move it meanwhile */
    if (turn == 0 || lb_ring_size(ring) == 0) return 0;
    uint64_t last = lb_ring_hash(previous->ring, turn - 1);
    return last == UINT32_MAX ? 0 : lb_ring_find(ring, last + 1);
}

lb_status lb_haproxy_tree_init(lb_haproxy_tree *tree, const lb_view *view, lb_haproxy_server_key server_key,
                               uint32_t factor, const lb_haproxy_tree *previous, lb_error *err) {
    *tree = (lb_haproxy_tree){.factor = factor};
    lb_status status = make_room(tree, view, err);
    if (!status) status = add_points(tree, view, server_key, err);
    if (!status) status = check_ids(view, server_key, err);
    if (status) lb_haproxy_tree_clear(tree);
    else lb_counter_write(&tree->turn, turn_after(tree->ring, previous));
    return status;
}

void lb_haproxy_tree_clear(lb_haproxy_tree *tree) {
    lb_ring_free(tree->ring);
    lb_free(tree->below);
    *tree = (lb_haproxy_tree){0};
}

/* ---- lookup ----------------------------------------------------------------------------------------------------- */

static uint32_t after(const lb_haproxy_tree *tree, uint32_t point) {
    return point + 1 == lb_ring_size(tree->ring) ? 0 : point + 1;
}

/* Distances are unsigned: over the top of the circle they go on from 0. */
static uint32_t closest(const lb_haproxy_tree *tree, uint32_t hash) {
    uint32_t next = lb_ring_find(tree->ring, hash), before = (next ? next : lb_ring_size(tree->ring)) - 1;
    uint32_t down = hash - (uint32_t)lb_ring_hash(tree->ring, before);
    uint32_t up = (uint32_t)lb_ring_hash(tree->ring, next) - hash;
    return down <= up ? before : next;
}

static uint64_t load_of(const lb_view *view, uint32_t member) {
    return view->state ? lb_counter_read(lb_in_flight(view->state, view->slot[member])) : 0;
}

static uint64_t slots_of_all(const lb_haproxy_tree *tree, const lb_view *view) {
    uint64_t in_flight = 0;
    for (uint32_t i = 0; i < view->n_members; i++) in_flight += load_of(view, i);
    return ((in_flight + 1) * tree->factor + 99) / 100;
}

/* Products stay below 2^53: a ring has at most 2^26 points. */
static bool has_slot(const lb_haproxy_tree *tree, const lb_view *view, uint32_t member, uint64_t slots) {
    uint64_t own = (uint64_t)view->weight[member] * LB_HAPROXY_SCALE, below = tree->below[member];
    uint64_t crumbs = slots % tree->total;
    uint64_t share = own * (slots / tree->total) + (below + own) * crumbs / tree->total - below * crumbs / tree->total;
    return load_of(view, member) < (share ? share : 1);
}

static uint32_t begin(lb_haproxy_tree *tree, const lb_view *view, const uint32_t *hash, lb_walk *walk) {
    if (tree->factor) walk->hash = slots_of_all(tree, view);
    return hash ? closest(tree, *hash) : tree->turn;
}

uint32_t lb_haproxy_tree_walk(lb_haproxy_tree *tree, const lb_view *view, const uint32_t *hash, lb_walk *walk) {
    if (view->n_usable == 0) return LB_NONE;
    uint32_t first = walk->step ? (uint32_t)(walk->at >> 32) : begin(tree, view, hash, walk);
    uint32_t point = walk->step ? after(tree, (uint32_t)walk->at) : first;
    bool bounded = tree->factor && hash, done = walk->step && point == first;
    while (!done && bounded && !has_slot(tree, view, lb_ring_owner(tree->ring, point), walk->hash)) {
        point = after(tree, point);
        done = point == first;
    }
    if (done) return LB_NONE;
    walk->at = (uint64_t)first << 32 | point;
    if (!hash && !walk->peek) lb_counter_write(&tree->turn, after(tree, point));
    return lb_ring_owner(tree->ring, point);
}

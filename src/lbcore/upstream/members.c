/* members: the target list as configured, with a table from identity to index.
 *
 *   one block   | lb_members | name[n] | weight[n] | place[2^k >= 2 n] | bytes of the names |
 *
 * The table is what keeps an update linear: it finds duplicates, whom the old list knew, and who is gone.
 * Cost    new O(n + bytes), find O(length), 52 bytes and 2 to 4 table entries of 4 bytes a target.
 * Keeps   no identity twice; the table is at most half full, so that a probe ends soon.
 */
#include "upstream/internal.h"

#include "base/alloc.h"
#include "hash/fold.h"

#define SHOWN_BYTES 100u            /* of an identity, in a message */

static lb_str identity_of(const lb_target_spec *target) { return target->id.len ? target->id : target->address; }

/* The entry that names `identity`, or the empty one where it belongs. */
static uint32_t *place_of(const lb_members *members, lb_str identity) {
    uint32_t at = (uint32_t)lb_hash_fold(identity.data, identity.len, members->seed) & members->mask;
    while (members->place[at] != LB_NONE && !lb_str_equal(members->name[members->place[at]].identity, identity))
        at = (at + 1) & members->mask;
    return &members->place[at];
}

uint32_t lb_members_find(const lb_members *members, lb_str identity) {
    return members ? *place_of(members, identity) : LB_NONE;
}

lb_status lb_weight_check(uint32_t weight, lb_error *err) {
    if (weight <= LB_MAX_WEIGHT) return LB_OK;
    return lb_fail(err, LB_ERR_CONFIG, "weight", "%u is not in 0..%u", weight, LB_MAX_WEIGHT);
}

static lb_status check_one(const lb_target_spec *target, lb_error *err) {
    if (target->address.len == 0)
        return lb_fail(err, LB_ERR_CONFIG, "address", "is empty; a target needs an address");
    return lb_weight_check(target->weight, err);
}

static lb_status check_all(const lb_target_spec *targets, uint32_t n, lb_error *err) {
    if (n > LB_MAX_SLOTS)
        return lb_fail(err, LB_ERR_CONFIG, "targets", "%u targets; an upstream has at most %u", n, LB_MAX_SLOTS);
    for (uint32_t i = 0; i < n; i++) {
        lb_status status = check_one(&targets[i], err);
        if (status) {
            lb_error_in(err, "targets", i);
            return status;
        }
    }
    return LB_OK;
}

/* How many bytes of `text` a message shows: never part of a UTF-8 sequence. */
static int shown(lb_str text) {
    size_t n = text.len;
    if (n > SHOWN_BYTES) {
        n = SHOWN_BYTES;
        while (n > 0 && ((unsigned char)text.data[n] & 0xC0) == 0x80) n--;
    }
    return (int)n;
}

static lb_status refuse_twin(const lb_target_spec *target, uint32_t i, uint32_t other, lb_error *err) {
    lb_str identity = identity_of(target);
    const char *field = target->id.len ? "id" : "address";
    lb_status status = lb_fail(err, LB_ERR_CONFIG, field, "'%.*s' is the same as targets[%u]; an identity (id, else"
                               " address) occurs once", shown(identity), identity.data, other);
    lb_error_in(err, "targets", i);
    return status;
}

/* One block, divided; the table is empty, the bytes of the names follow it. */
static lb_members *reserve(uint32_t n, size_t n_bytes, uint64_t seed) {
    size_t size = 1;
    while (size < 2 * (size_t)n) size *= 2;
    size_t per_member = sizeof(lb_name) + sizeof(uint32_t);
    lb_members *members = lb_alloc(sizeof *members + n * per_member + size * sizeof(uint32_t) + n_bytes);
    if (!members) return NULL;
    members->n = n;
    members->mask = (uint32_t)(size - 1);
    members->seed = seed;
    members->name = (lb_name *)(void *)(members + 1);
    members->weight = (uint32_t *)(void *)(members->name + n);
    members->place = members->weight + n;
    for (size_t i = 0; i < size; i++) members->place[i] = LB_NONE;
    return members;
}

static lb_str put(char **bytes, lb_str text) {
    if (text.len) memcpy(*bytes, text.data, text.len);
    lb_str copy = {*bytes, text.len};
    *bytes += text.len;
    return copy;
}

/* An identity that is the address shares its bytes. */
static lb_name copy_name(char **bytes, const lb_target_spec *target) {
    lb_name name = {.address = put(bytes, target->address), .hash_key = put(bytes, target->hash_key)};
    name.identity = target->id.len ? put(bytes, target->id) : name.address;
    return name;
}

static size_t bytes_of(const lb_target_spec *target) {
    return target->address.len + target->hash_key.len + target->id.len;
}

/* Copy every target in; LB_ERR_CONFIG at the first one that is there already. */
static lb_status enter(lb_members *members, const lb_target_spec *targets, lb_error *err) {
    char *bytes = (char *)(members->place + members->mask + 1);
    for (uint32_t i = 0; i < members->n; i++) {
        lb_str identity = identity_of(&targets[i]);
        uint32_t *place = place_of(members, identity);
        if (*place != LB_NONE) return refuse_twin(&targets[i], i, *place, err);
        *place = i;
        members->name[i] = copy_name(&bytes, &targets[i]);
        members->weight[i] = targets[i].weight;
    }
    return LB_OK;
}

lb_status lb_members_new(lb_members **out, const lb_target_spec *targets, uint32_t n, uint64_t seed, lb_error *err) {
    lb_status status = check_all(targets, n, err);
    if (status) return status;
    size_t n_bytes = 0;
    for (uint32_t i = 0; i < n; i++) n_bytes += bytes_of(&targets[i]);
    lb_members *members = reserve(n, n_bytes, seed);
    if (!members) return lb_no_memory(err, "targets");
    status = enter(members, targets, err);
    if (status) {
        lb_members_free(members);
        return status;
    }
    *out = members;
    return LB_OK;
}

void lb_members_free(lb_members *members) { lb_free(members); }

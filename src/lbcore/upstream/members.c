/* members: the target list as configured, with a table from identity to index.
 *
 *   one block   | lb_members | name[n] | place[n] | weight[n] | label[] | entry[2^k >= 2 n] | bytes of the names |
 *
 * The table is what keeps an update linear: it finds duplicates, whom the old list knew, and who is gone.
 * Cost    new O(n + bytes), find O(length), 72 bytes and 2 to 4 table entries of 4 bytes a target.
 * Keeps   no identity twice; the table is at most half full, so that a probe ends soon.
 */
#include "upstream/internal.h"

#include "base/alloc.h"
#include "hash/fold.h"

#define SHOWN_BYTES 100u            /* of an identity, in a message */

static lb_str identity_of(const lb_target_spec *target) { return target->id.len ? target->id : target->address; }

/* The entry that names `identity`, or the empty one where it belongs. */
static uint32_t *entry_of(const lb_members *members, lb_str identity) {
    uint32_t at = (uint32_t)lb_hash_fold(identity.data, identity.len, members->seed) & members->mask;
    while (members->entry[at] != LB_NONE && !lb_str_equal(members->name[members->entry[at]].identity, identity))
        at = (at + 1) & members->mask;
    return &members->entry[at];
}

uint32_t lb_members_find(const lb_members *members, lb_str identity) {
    return members ? *entry_of(members, identity) : LB_NONE;
}

lb_status lb_weight_check(uint32_t weight, lb_error *err) {
    if (weight <= LB_MAX_WEIGHT) return LB_OK;
    return lb_fail(err, LB_ERR_CONFIG, "weight", "%u is not in 0..%u", weight, LB_MAX_WEIGHT);
}

static lb_status check_one(const lb_target_spec *target, lb_error *err) {
    if (target->address.len == 0)
        return lb_fail(err, LB_ERR_CONFIG, "address", "is empty; a target needs an address");
    if (target->priority >= LB_MAX_PRIORITIES)
        return lb_fail(err, LB_ERR_CONFIG, "priority", "%u is not in 0..%u", target->priority, LB_MAX_PRIORITIES - 1);
    if (target->locality >= LB_MAX_LOCALITIES)
        return lb_fail(err, LB_ERR_CONFIG, "locality", "%u is not in 0..%u", target->locality, LB_MAX_LOCALITIES - 1);
    if (target->locality_weight > LB_MAX_WEIGHT)
        return lb_fail(err, LB_ERR_CONFIG, "locality_weight", "%u is not in 0..%u", target->locality_weight,
                       LB_MAX_WEIGHT);
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

/* What the lists have in all. */
typedef struct sizes {
    size_t n_bytes, n_labels, n_entries;
} sizes;

static sizes add_up(const lb_target_spec *targets, uint32_t n) {
    sizes all = {.n_entries = 1};
    while (all.n_entries < 2 * (size_t)n) all.n_entries *= 2;
    for (uint32_t i = 0; i < n; i++) {
        all.n_bytes += targets[i].address.len + targets[i].hash_key.len + targets[i].id.len;
        all.n_labels += targets[i].n_labels;
    }
    return all;
}

/* One block, divided; the table is empty, the bytes of the names follow it. */
static lb_members *reserve(uint32_t n, sizes all, uint64_t seed) {
    size_t per_member = sizeof(lb_name) + sizeof(lb_place) + sizeof(uint32_t);
    size_t words = (all.n_labels + all.n_entries) * sizeof(uint32_t);
    lb_members *members = lb_alloc(sizeof *members + n * per_member + words + all.n_bytes);
    if (!members) return NULL;
    *members = (lb_members){.n = n, .mask = (uint32_t)(all.n_entries - 1), .seed = seed, .plain = true};
    members->name = (lb_name *)(void *)(members + 1);
    members->place = (lb_place *)(void *)(members->name + n);
    members->weight = (uint32_t *)(void *)(members->place + n);
    members->label = members->weight + n;
    members->entry = members->label + all.n_labels;
    for (size_t i = 0; i < all.n_entries; i++) members->entry[i] = LB_NONE;
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

/* Where target i belongs; its labels go behind those before. */
static void settle_in(lb_members *members, uint32_t i, const lb_target_spec *target, uint32_t *n_labels) {
    members->place[i] = (lb_place){target->priority, target->locality, target->locality_weight, *n_labels,
                                   target->n_labels};
    members->weight[i] = target->weight;
    if (target->n_labels) memcpy(members->label + *n_labels, target->labels, target->n_labels * sizeof(uint32_t));
    *n_labels += target->n_labels;
    if (target->priority || target->locality) members->plain = false;
}

/* Copy every target in; LB_ERR_CONFIG at the first one that is there already. */
static lb_status enter(lb_members *members, const lb_target_spec *targets, lb_error *err) {
    char *bytes = (char *)(members->entry + members->mask + 1);
    uint32_t n_labels = 0;
    for (uint32_t i = 0; i < members->n; i++) {
        uint32_t *entry = entry_of(members, identity_of(&targets[i]));
        if (*entry != LB_NONE) return refuse_twin(&targets[i], i, *entry, err);
        *entry = i;
        members->name[i] = copy_name(&bytes, &targets[i]);
        settle_in(members, i, &targets[i], &n_labels);
    }
    return LB_OK;
}

lb_status lb_members_new(lb_members **out, const lb_target_spec *targets, uint32_t n, uint64_t seed, lb_error *err) {
    lb_status status = check_all(targets, n, err);
    if (status) return status;
    lb_members *members = reserve(n, add_up(targets, n), seed);
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

/* Both are ascending: one pass. */
bool lb_members_has(const lb_members *members, uint32_t member, const uint32_t *labels, uint32_t n) {
    const lb_place *place = &members->place[member];
    uint32_t found = 0;
    for (uint32_t i = 0; i < place->n_labels && found < n; i++)
        found += members->label[place->first_label + i] == labels[found];
    return found == n;
}

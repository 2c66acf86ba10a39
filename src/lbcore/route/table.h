/* table: (number, bytes) -> number, in one open-addressing table; and the bytes.
 *
 *     slot = | tag: hash | owner | key: place of the bytes in the pool | value |          16 bytes
 *
 * The slot where a search starts is the tag scaled to the number of slots, so a table of any size works, and growing
 * moves the slots in one ascending pass without touching a key.
 * Source  linear probing: D. Knuth, TAOCP 3, 6.4, algorithm L.  At most 5/8 full.
 * Cost    find: one hash, then 1.8 slots on average for a key that is there, 4 for one that is not.
 *         Memory: 26 bytes a key, plus its bytes and 4.
 * Keeps   equality is decided by bytes, never by the hash; the hash is seeded.  Beyond 2 GiB of keys or 2^31 slots a
 *         table is out of memory.
 */
#ifndef LBCORE_ROUTE_TABLE_H
#define LBCORE_ROUTE_TABLE_H

#include "base/status.h"
#include "base/str.h"
#include "hash/fold.h"

typedef struct lb_slot {
    uint32_t tag, owner, key;
    uint32_t value;                 /* LB_NONE: the slot is free */
} lb_slot;

typedef struct lb_table {
    lb_slot *slots;
    uint32_t n_slots, n_used;
    char *pool;                     /* strings, each behind its length */
    uint32_t pool_len, pool_size;
    uint64_t seed;
} lb_table;

/* False: out of memory, nothing to free. */
bool lb_table_init(lb_table *table, uint64_t seed);
void lb_table_free(lb_table *table);

/* The value under (owner, key), a free one (LB_NONE) if there was none: the caller must fill it in before the next
 * call.  NULL: out of memory.  Valid until the next call. */
uint32_t *lb_table_at(lb_table *table, uint32_t owner, lb_str key);

/* Keep a copy of `text`; its place, or LB_NONE: out of memory. */
uint32_t lb_table_keep(lb_table *table, lb_str text);

/* Give back what is not needed once no key will be added.  False: out of memory, nothing lost. */
bool lb_table_fit(lb_table *table);

size_t lb_table_memory(const lb_table *table);

static inline lb_str lb_table_text(const lb_table *table, uint32_t place) {
    return (lb_str){table->pool + place + 4, (size_t)lb_read4(table->pool + place)};
}

static inline uint64_t lb_table_hash(const lb_table *table, lb_str key) {
    return lb_hash_fold(key.data, key.len, table->seed);
}

static inline uint32_t lb_table_tag(const lb_table *table, uint32_t owner, uint64_t hash) {
    return (uint32_t)(lb_hash_with(hash, owner, table->seed) >> 32);
}

static inline uint32_t lb_table_start(uint32_t n_slots, uint32_t tag) {
    return (uint32_t)((uint64_t)tag * n_slots >> 32);
}

/* The slot of (owner, key), or the free slot where it would go. */
static inline uint32_t lb_table_place(const lb_table *table, uint32_t owner, lb_str key, uint32_t tag) {
    uint32_t i = lb_table_start(table->n_slots, tag);
    for (;;) {
        const lb_slot *slot = &table->slots[i];
        if (slot->value == LB_NONE) return i;
        if (slot->tag == tag && slot->owner == owner && lb_str_equal(lb_table_text(table, slot->key), key)) return i;
        if (++i == table->n_slots) i = 0;
    }
}

/* The value of a key whose lb_table_hash() is known; LB_NONE if there is none. */
static inline uint32_t lb_table_find_hashed(const lb_table *table, uint32_t owner, lb_str key, uint64_t hash) {
    return table->slots[lb_table_place(table, owner, key, lb_table_tag(table, owner, hash))].value;
}

static inline uint32_t lb_table_find(const lb_table *table, uint32_t owner, lb_str key) {
    return lb_table_find_hashed(table, owner, key, lb_table_hash(table, key));
}

#endif

/* table: (number, bytes) -> number, in one open-addressing table.
 *
 *     slot = | owner | value | key |      16 bytes
 *     key  = | length, 0 to 7 | the bytes |  or, if they are more,  | 255 | tag, 24 bits | place in the pool, 32 bits |
 *
 * A short key is compared as one word and costs no memory beyond its slot; a long one is compared in the pool if its
 * tag agrees.  The slot where a search starts is the tag scaled to the number of slots: a table of any size works, and
 * growing moves the slots in one ascending pass without reading the pool.
 * Source  linear probing: D. Knuth, TAOCP 3, 6.4, algorithm L.  At most 5/8 full.
 * Cost    find: one hash, then 1.8 slots on average for a key that is there, 4 for one that is not.
 *         Memory: 26 bytes a key, and for a long one its bytes and 4.
 * Keeps   equality is decided by bytes, never by the hash; the hash is seeded.  Beyond 2 GiB of long keys or 2^31
 *         slots a table is out of memory.
 */
#ifndef LBCORE_ROUTE_TABLE_H
#define LBCORE_ROUTE_TABLE_H

#include "base/status.h"
#include "base/str.h"
#include "hash/fold.h"

enum { LB_SHORT_KEY = 7 };

#define LB_LONG_KEY ((uint64_t)255 << 56)

/* Tests count steps: slots looked at, candidates, nodes of a walk. */
#ifdef LB_TEST_ALLOC
extern uint64_t lb_test_steps;
#define LB_COUNT_STEP() ((void)lb_test_steps++)
#else
#define LB_COUNT_STEP() ((void)0)
#endif

typedef struct lb_slot {
    uint32_t owner;
    uint32_t value;                 /* LB_NONE: the slot is free */
    uint64_t key;
} lb_slot;

typedef struct lb_table {
    lb_slot *slots;
    uint32_t n_slots, n_used;
    char *pool;                     /* strings, each behind its length */
    uint32_t pool_len, pool_size;
    uint64_t seed;
} lb_table;

/* Bytes made ready to be looked up, under any owner. */
typedef struct lb_key {
    lb_str text;
    uint64_t word;                  /* as in a slot; of a long one LB_LONG_KEY alone */
    uint64_t hash;
} lb_key;

/* With room for `n_keys`.  False: out of memory, nothing to free. */
bool lb_table_init(lb_table *table, uint32_t n_keys, uint64_t seed);
void lb_table_free(lb_table *table);

/* The value under (owner, text); a free one (LB_NONE) if there was none, which the caller must fill in before the next
 * call.  NULL: out of memory.  Valid until the next call. */
uint32_t *lb_table_at(lb_table *table, uint32_t owner, lb_str text);

/* Keep a copy of `text`; its place, or LB_NONE: out of memory. */
uint32_t lb_table_keep(lb_table *table, lb_str text);

/* Give back what is not needed once no key will be added.  False: out of memory, nothing lost. */
bool lb_table_fit(lb_table *table);

size_t lb_table_memory(const lb_table *table);

static inline lb_str lb_table_text(const lb_table *table, uint32_t place) {
    return (lb_str){table->pool + place + 4, (size_t)lb_read4(table->pool + place)};
}

/* At most LB_SHORT_KEY bytes and their number as one word. */
static inline uint64_t lb_short_key(lb_str text) {
    uint64_t word = (uint64_t)text.len << 56;
    size_t i = 0;
    if (text.len >= 4) {
        word |= lb_read4(text.data);
        i = 4;
    }
    for (; i < text.len; i++) word |= (uint64_t)(unsigned char)text.data[i] << (8 * i);
    return word;
}

static inline lb_key lb_table_key(const lb_table *table, lb_str text) {
    if (text.len > LB_SHORT_KEY)
        return (lb_key){text, LB_LONG_KEY, lb_hash_fold(text.data, text.len, table->seed)};
    uint64_t word = lb_short_key(text);
    return (lb_key){text, word, word};
}

/* The 24 bits that say where a search starts. */
static inline uint32_t lb_table_tag(const lb_table *table, uint32_t owner, uint64_t hash) {
    return (uint32_t)(lb_hash_words(hash, owner, table->seed) >> 40);
}

static inline uint32_t lb_table_start(uint32_t n_slots, uint32_t tag) {
    return (uint32_t)((uint64_t)tag * n_slots >> 24);
}

/* The slot of (owner, key), or the free slot where it would go. */
static inline uint32_t lb_table_place(const lb_table *table, uint32_t owner, const lb_key *key) {
    uint32_t tag = lb_table_tag(table, owner, key->hash);
    bool is_long = key->word == LB_LONG_KEY;
    uint64_t word = is_long ? key->word | (uint64_t)tag << 32 : key->word;
    int shift = is_long ? 32 : 0;
    for (uint32_t i = lb_table_start(table->n_slots, tag);;) {
        const lb_slot *slot = &table->slots[i];
        LB_COUNT_STEP();
        if (slot->value == LB_NONE) return i;
        if (slot->owner == owner && (slot->key ^ word) >> shift == 0
            && (!is_long || lb_str_equal(lb_table_text(table, (uint32_t)slot->key), key->text)))
            return i;
        if (++i == table->n_slots) i = 0;
    }
}

/* The value under (owner, key); LB_NONE if there is none. */
static inline uint32_t lb_table_find(const lb_table *table, uint32_t owner, const lb_key *key) {
    return table->slots[lb_table_place(table, owner, key)].value;
}

#endif

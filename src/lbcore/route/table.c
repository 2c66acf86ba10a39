/* table: see table.h. */
#include "route/table.h"

#include "base/alloc.h"

#ifdef LB_TEST_ALLOC
uint64_t lb_test_steps;
#endif

/* The least number of slots for `n_keys`, and one that is always free. */
static uint64_t slots_for(uint64_t n_keys) { return n_keys * 8 / 5 + 2; }

static uint32_t tag_of_slot(const lb_table *table, const lb_slot *slot) {
    if (slot->key >= LB_LONG_KEY) return (uint32_t)(slot->key >> 32) & 0xFFFFFF;
    return lb_table_tag(table, slot->owner, slot->key);
}

/* Move all slots to a new array.  In ascending order, so that both arrays are walked and not jumped in. */
static bool resize(lb_table *table, uint64_t n) {
    if (n > UINT32_MAX / 2) return false;
    uint32_t n_slots = (uint32_t)n;
    lb_slot *slots = lb_alloc_array(n_slots, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 0; i < n_slots; i++) slots[i].value = LB_NONE;
    for (uint32_t i = 0; i < table->n_slots; i++) {
        if (table->slots[i].value == LB_NONE) continue;
        uint32_t to = lb_table_start(n_slots, tag_of_slot(table, &table->slots[i]));
        while (slots[to].value != LB_NONE)
            if (++to == n_slots) to = 0;
        slots[to] = table->slots[i];
    }
    lb_free(table->slots);
    table->slots = slots;
    table->n_slots = n_slots;
    return true;
}

bool lb_table_init(lb_table *table, uint32_t n_keys, uint64_t seed) {
    *table = (lb_table){.seed = seed};
    return resize(table, slots_for(n_keys));
}

void lb_table_free(lb_table *table) {
    lb_free(table->slots);
    lb_free(table->pool);
    *table = (lb_table){0};
}

static bool grow_pool(lb_table *table, uint64_t needed) {
    uint64_t size = (uint64_t)table->pool_size * 2;
    if (size < needed) size = needed + 64;
    if (size > UINT32_MAX - 1) return false;
    char *pool = lb_grow_array(table->pool, (size_t)size, 1);
    if (!pool) return false;
    table->pool = pool;
    table->pool_size = (uint32_t)size;
    return true;
}

uint32_t lb_table_keep(lb_table *table, lb_str text) {
    uint32_t place = table->pool_len, len = (uint32_t)text.len;
    uint64_t end = (uint64_t)place + sizeof len + text.len;
    if (end > table->pool_size && !grow_pool(table, end)) return LB_NONE;
    memcpy(table->pool + place, &len, sizeof len);
    if (len > 0) memcpy(table->pool + place + sizeof len, text.data, len);
    table->pool_len = (uint32_t)end;
    return place;
}

/* Fill a free slot; the pool takes the bytes of a long key. */
static bool occupy(lb_table *table, lb_slot *slot, uint32_t owner, const lb_key *key) {
    uint64_t word = key->word;
    if (word == LB_LONG_KEY) {
        uint32_t place = lb_table_keep(table, key->text);
        if (place == LB_NONE) return false;
        word |= (uint64_t)lb_table_tag(table, owner, key->hash) << 32 | place;
    }
    *slot = (lb_slot){owner, LB_NONE, word};
    table->n_used++;
    return true;
}

uint32_t *lb_table_at(lb_table *table, uint32_t owner, lb_str text) {
    lb_key key = lb_table_key(table, text);
    lb_slot *slot = &table->slots[lb_table_place(table, owner, &key)];
    if (slot->value != LB_NONE) return &slot->value;
    if (slots_for((uint64_t)table->n_used + 1) > table->n_slots) {
        if (!resize(table, (uint64_t)table->n_slots * 2)) return NULL;
        slot = &table->slots[lb_table_place(table, owner, &key)];
    }
    return occupy(table, slot, owner, &key) ? &slot->value : NULL;
}

bool lb_table_fit(lb_table *table) {
    uint64_t n_slots = slots_for(table->n_used);
    if (n_slots < table->n_slots && !resize(table, n_slots)) return false;
    char *pool = lb_grow_array(table->pool, table->pool_len, 1);
    if (!pool) return false;
    table->pool = pool;
    table->pool_size = table->pool_len;
    return true;
}

size_t lb_table_memory(const lb_table *table) {
    return (size_t)table->n_slots * sizeof *table->slots + table->pool_size;
}

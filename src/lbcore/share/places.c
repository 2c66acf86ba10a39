/* places: entries of the two tables, found or made by their 128-bit mark.
 *
 *   home -> | used | free | used | free | EMPTY        a search goes on to the mark or to the first EMPTY; what is made
 *                     ^                                new takes the first free entry on the way
 *
 * Source  linear probing: D. E. Knuth, TAOCP 3, 6.4, algorithm L.  Entries cannot move, for other processes know them by
 *         number; so what is free stays in the way of searches until tidy() finds that no used entry lies behind it.
 * Cost    O(1) while a part of the table is EMPTY; tidy is O(n), once searches took 4 n steps, so O(1) a search.
 * Keeps   load lock: one process at a time.  A tag says LB_SEATED only while mark and contents are whole.
 */
#include "base/rng.h"
#include "share/layout.h"

#include <string.h>

static uint64_t state_of(uint64_t tag) { return tag & LB_TAG_STATE; }

static uint32_t home_of(const lb_table *table, lb_mark mark) {
    uint64_t word = mark.low ^ (mark.high << 1 | mark.high >> 63);
    return (uint32_t)lb_splitmix(&word) & (table->n - 1);
}

static lb_mark mark_of(const lb_entry *entry) {
    return (lb_mark){lb_word_read(&entry->high), lb_word_read(&entry->low)};
}

static bool is_used(const lb_share *share, const lb_table *table, uint32_t i) {
    return lb_share_users(share, table, i) > 0;
}

/* ---- searching ---------------------------------------------------------------------------------------------- */

/* What a search met. */
typedef struct lb_search {
    uint32_t found;                 /* the entry of the mark; LB_NONE: there is none */
    uint32_t free;                  /* the first that may be taken; LB_NONE: all are used */
    uint32_t n_steps;
} lb_search;

static lb_search search(const lb_share *share, const lb_table *table, lb_mark mark, bool for_room) {
    lb_search s = {LB_NONE, LB_NONE, 0};
    for (uint32_t i = home_of(table, mark); s.n_steps < table->n; i = (i + 1) & (table->n - 1), s.n_steps++) {
        const lb_entry *entry = lb_entry_at(table, i);
        uint64_t tag = lb_word_read(&entry->tag);
        lb_mark there = mark_of(entry);
        if (for_room && s.free == LB_NONE && !is_used(share, table, i)) s.free = i;
        if (state_of(tag) == LB_EMPTY) return s;
        if (state_of(tag) != LB_SEATED || there.high != mark.high || there.low != mark.low) continue;
        s.found = i;
        return s;
    }
    return s;
}

uint32_t lb_share_find(const lb_share *share, const lb_table *table, lb_mark mark) {
    return search(share, table, mark, false).found;
}

/* Free entries behind which nobody used is to be searched become EMPTY.  Backwards, twice around: after the first turn
 * `low` is the least home of the used entries from i on. */
static void tidy(const lb_share *share, lb_table *table) {
    uint32_t n = table->n;
    int64_t low = 2 * (int64_t)n;
    for (int64_t i = 2 * (int64_t)n - 1; i >= 0; i--) {
        uint32_t at = (uint32_t)i & (n - 1);
        lb_entry *entry = lb_entry_at(table, at);
        uint64_t tag = lb_word_read(&entry->tag);
        if (state_of(tag) == LB_EMPTY) continue;
        if (state_of(tag) == LB_SEATED && is_used(share, table, at)) {
            int64_t home = i - ((at - home_of(table, mark_of(entry))) & (n - 1));
            if (home < low) low = home;
        } else if (i < (int64_t)n && low > i) {
            lb_word_write(&entry->tag, (tag & ~(uint64_t)LB_TAG_STATE) | LB_EMPTY);
        }
    }
    table->n_steps = 0;
}

/* ---- making ------------------------------------------------------------------------------------------------- */

/* From here on nobody finds it. */
static void begin(lb_entry *entry) {
    uint64_t generation = (lb_word_read(&entry->tag) >> 2) + 1;
    lb_word_write(&entry->tag, generation << 2 | LB_MADE);
}

/* From here on everybody does. */
static void publish(lb_entry *entry, lb_mark mark) {
    lb_word_write(&entry->high, mark.high);
    lb_word_write(&entry->low, mark.low);
    lb_word_write(&entry->tag, (lb_word_read(&entry->tag) & ~(uint64_t)LB_TAG_STATE) | LB_SEATED);
}

/* Whose entry it is: found and used by somebody (*fresh false), or to be filled and published. */
static uint32_t allot(lb_share *share, lb_table *table, lb_mark mark, bool *fresh) {
    if (table->n_steps > 4 * (uint64_t)table->n) tidy(share, table);
    lb_search s = search(share, table, mark, true);
    table->n_steps += s.n_steps;
    *fresh = s.found == LB_NONE || !is_used(share, table, s.found);
    uint32_t i = s.found != LB_NONE ? s.found : s.free;
    if (*fresh && i != LB_NONE) begin(lb_entry_at(table, i));
    return i;
}

/* The same, and the dead make room. */
static lb_status find_room(lb_share *share, lb_table *table, lb_mark mark, uint32_t *out, bool *fresh, lb_error *err) {
    if (!lb_share_claim(share))
        return lb_fail(err, LB_ERR_CONFIG, "shared.max_workers", "all %u rows are held by living workers (up to %u "
                       "can be had), or its directory is full", share->size.max_workers, LB_SHARE_MAX_WORKERS);
    uint32_t i = allot(share, table, mark, fresh);
    if (i == LB_NONE && lb_share_sweep(share)) i = allot(share, table, mark, fresh);
    if (i == LB_NONE)
        return lb_fail(err, LB_ERR_CONFIG, "shared.max_targets", "all %u %s are in use; a larger segment needs all of its "
                       "workers restarted", table->n, table == &share->places ? "places" : "upstreams");
    *out = i;
    return LB_OK;
}

static void use(lb_share *share, lb_table *table, uint32_t i) {
    if (table->refs[i]++ == 0) lb_share_mark(share, table, i, true);
}

/* ---- places ------------------------------------------------------------------------------------------------- */

static void write_name(lb_place_entry *entry, const char *name) {
    char text[LB_SHARE_NAME] = {0};
    size_t n = strlen(name);
    memcpy(text, name, n < sizeof text ? n : sizeof text - 1);
    for (uint32_t i = 0; i < LB_SHARE_WORDS; i++) {
        uint64_t word;
        memcpy(&word, text + 8 * i, sizeof word);
        lb_word_write(&entry->name[i], word);
    }
}

lb_status lb_share_seat(lb_share *share, lb_mark upstream, lb_mark identity, const char *name, uint32_t *place,
                        lb_error *err) {
    bool fresh;
    uint32_t i;
    lb_status status = find_room(share, &share->places, identity, &i, &fresh, err);
    if (status) return status;
    if (fresh) {
        lb_place_entry *entry = lb_place_at(share, i);
        lb_record_clear(&entry->record);
        lb_word_write(&entry->upstream_high, upstream.high);
        lb_word_write(&entry->upstream_low, upstream.low);
        write_name(entry, name);
        publish(&entry->entry, identity);
    }
    use(share, &share->places, i);
    *place = i;
    return LB_OK;
}

void lb_share_unseat(lb_share *share, uint32_t place) {
    if (share->places.refs[place] == 0 || --share->places.refs[place] > 0) return;
    lb_counter_write(&lb_share_counters(share, lb_share_own(share))[place], 0);
    lb_share_mark(share, &share->places, place, false);
}

/* ---- commons ------------------------------------------------------------------------------------------------ */

static void clear_common(lb_common *common) {
    lb_word *word = (lb_word *)(void *)common;
    for (unsigned i = 0; i < sizeof *common / sizeof *word; i++) lb_word_note(&word[i], 0);
}

lb_status lb_share_join(lb_share *share, lb_mark upstream, lb_common **out, lb_error *err) {
    bool fresh;
    uint32_t i;
    lb_status status = find_room(share, &share->commons, upstream, &i, &fresh, err);
    if (status) return status;
    if (fresh) {
        clear_common(&lb_common_at(share, i)->common);
        publish(&lb_common_at(share, i)->entry, upstream);
    }
    use(share, &share->commons, i);
    *out = &lb_common_at(share, i)->common;
    return LB_OK;
}

void lb_share_part(lb_share *share, lb_common *common) {
    size_t from = (size_t)((char *)common - share->commons.entries);
    uint32_t i = (uint32_t)(from / sizeof(lb_common_entry));
    if (share->commons.refs[i] == 0 || --share->commons.refs[i] > 0) return;
    lb_share_mark(share, &share->commons, i, false);
}

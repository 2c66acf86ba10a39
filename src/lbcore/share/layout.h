/* layout: what stands where in a segment, and this process's end of it.  For share/ only.
 *
 *   0            head        one page: magic, layout, sizes, seed | rows in use, cursors left
 *                commons     n x 128 bytes     tag high low . . . . . | lb_common
 *                places      n x 256 bytes     tag high low upstream(2) . . . | lb_record (128) | name (64)
 *                cursors     n x 64 bytes      lb_cursor
 *   extent.head  row 0       pid since . . . . . . | n bits: places | n bits: commons | n counters | to the end of the page
 *                row 1 ...
 *
 * n is a power of two.  Commons and places are two tables of one kind: an entry begins with its tag and its mark.
 *
 *   tag          generation << 2 | LB_EMPTY, LB_MADE or LB_SEATED
 *   LB_EMPTY     a search ends here
 *   LB_MADE      no mark: being made, or its maker died meanwhile.  A search goes on
 *   LB_SEATED    the mark and what it was seated with are whole
 *
 * Who uses an entry is told by the rows alone (a bit for each); an entry that no row in use has is free whatever it says.
 * Keeps   tables change under the load lock; each write leaves a table that a search understands, so that a process may
 *         die between any two.
 */
#ifndef LBCORE_SHARE_LAYOUT_H
#define LBCORE_SHARE_LAYOUT_H

#include "base/alloc.h"
#include "share/share.h"

#define LB_SHARE_MAGIC 0x6C62636F72655348u      /* "lbcoreSH" */
#define LB_SHARE_PAGE 4096u
#define LB_SHARE_WORDS (LB_SHARE_NAME / 8)

typedef struct lb_head {
    _Alignas(64) lb_word magic;     /* written last, when the segment is made */
    lb_word layout, max_targets, max_workers, seed;
    _Alignas(64) lb_word rows;      /* a bit for each row in use */
    lb_word n_left;                 /* how often a cursor was left by its last user */
} lb_head;

enum { LB_EMPTY = 0, LB_MADE = 1, LB_SEATED = 2, LB_TAG_STATE = 3 };

typedef struct lb_entry {
    lb_word tag, high, low;
} lb_entry;

typedef struct lb_common_entry {
    _Alignas(64) lb_entry entry;
    lb_common common;
} lb_common_entry;

typedef struct lb_place_entry {
    _Alignas(64) lb_entry entry;
    lb_word upstream_high, upstream_low;
    lb_record record;
    _Alignas(64) lb_word name[LB_SHARE_WORDS];
} lb_place_entry;

typedef struct lb_row {
    _Alignas(64) lb_word pid;
    lb_word since_ns;
    _Alignas(64) lb_word bits[];    /* places, then commons, then the counters */
} lb_row;

_Static_assert(sizeof(lb_head) == 128 && offsetof(lb_head, rows) == LB_SHARE_HEAD, "layout");
_Static_assert(sizeof(lb_common_entry) == 128, "layout");
_Static_assert(sizeof(lb_place_entry) == 256, "layout");
_Static_assert(sizeof(lb_cursor) == 64, "layout");
_Static_assert(offsetof(lb_row, bits) == 64, "layout");
_Static_assert(sizeof(lb_word) == 8 && sizeof(lb_counter) == 4, "atomics are as large as what they hold");

/* One of the two tables. */
typedef struct lb_table {
    char *entries;
    size_t stride;
    uint32_t n;                     /* a power of two */
    uint32_t first_bit;             /* word of row.bits where its bits begin */
    uint32_t *refs;                 /* by entry: users in this process */
    uint64_t n_steps;               /* that searches took since the table was tidied */
} lb_table;

struct lb_share {
    lb_backing backing;
    lb_share_locks locks;
    lb_share_size size;
    lb_share_extent extent;
    char *memory;
    lb_head *head;
    lb_table commons, places;
    lb_cursor *cursors;
    uint32_t n_cursors;             /* a power of two */
    uint32_t *cursor_refs;          /* by cursor: users in this process */
    lb_counter row;                 /* LB_NONE: none yet */
    int64_t pid;                    /* as told */
    uint64_t since_ns;
};

static inline lb_row *lb_share_row(const lb_share *share, uint32_t row) {
    return (lb_row *)(void *)(share->memory + share->extent.head + row * share->extent.row);
}

static inline lb_counter *lb_share_counters(const lb_share *share, uint32_t row) {
    return (lb_counter *)(void *)&lb_share_row(share, row)->bits[2 * ((share->places.n + 63) / 64)];
}

static inline lb_entry *lb_entry_at(const lb_table *table, uint32_t i) {
    return (lb_entry *)(void *)(table->entries + i * table->stride);
}

static inline lb_place_entry *lb_place_at(const lb_share *share, uint32_t i) {
    return (lb_place_entry *)(void *)lb_entry_at(&share->places, i);
}

static inline lb_common_entry *lb_common_at(const lb_share *share, uint32_t i) {
    return (lb_common_entry *)(void *)lb_entry_at(&share->commons, i);
}

static inline uint32_t lb_lowest_bit(uint64_t bits) {           /* bits != 0 */
#if defined(__GNUC__)
    return (uint32_t)__builtin_ctzll(bits);
#else
    uint32_t i = 0;
    while (!(bits >> i & 1)) i++;
    return i;
#endif
}

static inline uint32_t lb_share_own(const lb_share *share) { return lb_counter_read(&share->row); }

/* The rows in use, a bit for each. */
static inline uint64_t lb_share_rows(const lb_share *share) { return lb_word_read(&share->head->rows); }

/* ---- rows.c */

/* True if this worker has a row, now or before. */
bool lb_share_claim(lb_share *share);
/* Give back the own row, if there is one, and all that stands in it. */
void lb_share_resign(lb_share *share);
bool lb_share_sweep(lb_share *share);
/* Nobody but this worker has the lock of a row. */
uint32_t lb_share_others(const lb_share *share, uint32_t place);
/* What stands in a row's counters of the places it uses; *n_places: how many these are. */
uint64_t lb_share_in_flight(const lb_share *share, uint32_t row, uint32_t *n_places);
/* In how many rows entry i of the table is in use. */
uint32_t lb_share_users(const lb_share *share, const lb_table *table, uint32_t i);
void lb_share_mark(lb_share *share, const lb_table *table, uint32_t i, bool used);

/* ---- places.c */

lb_status lb_share_seat(lb_share *share, lb_mark upstream, lb_mark identity, const char *name, uint32_t *place,
                        lb_error *err);
void lb_share_unseat(lb_share *share, uint32_t place);
lb_status lb_share_join(lb_share *share, lb_mark upstream, lb_common **out, lb_error *err);
void lb_share_part(lb_share *share, lb_common *common);

/* The entry of the mark; LB_NONE: nobody was ever seated as that.  Also without the load lock, where it may miss one. */
uint32_t lb_share_find(const lb_share *share, const lb_table *table, lb_mark mark);

/* ---- cursors.c */

lb_cursor *lb_share_cursor(lb_share *share, uint64_t fingerprint);
void lb_share_drop(lb_share *share, lb_cursor *cursor);
/* A row is given up: take its bit out of every cursor. */
void lb_share_leave(lb_share *share, uint32_t row);

#endif

/* fake_segment: a backing in plain arrays, for several upstreams ("workers") of one test.
 *
 *   segment   places by (upstream, identity), commons by upstream, cursors by fingerprint, rows by worker
 *   worker    an end of it: a row, and the lb_backing that an upstream is given
 *
 * Slow and obviously right: every look-up is a search, every use is counted, so that a test can see that all is given
 * back.  seats_left, joins_left: how many more may succeed; negative: any number.
 */
#ifndef FAKE_SEGMENT_H
#define FAKE_SEGMENT_H

#include "upstreams.h"

enum { MOST_PLACES = 64, MOST_WORKERS = 9, MOST_COMMONS = 4, MOST_CURSORS = 64 };

typedef struct segment {
    struct { lb_mark upstream, identity; uint32_t users; lb_record record; char name[200]; } place[MOST_PLACES];
    struct { lb_mark upstream; uint32_t users; lb_common common; } common[MOST_COMMONS];
    struct { uint32_t users; lb_cursor cursor; } cursor[MOST_CURSORS];
    lb_counter row[MOST_WORKERS][MOST_PLACES];
    bool row_used[MOST_WORKERS];
    int seats_left, joins_left;
    uint32_t n_sweeps;
    bool no_cursors;
} segment;

typedef struct worker {
    segment *segment;
    uint32_t row;                   /* LB_NONE: none yet */
    lb_backing backing;
    lb_upstream *up;
} worker;

static inline bool same_mark(lb_mark a, lb_mark b) { return a.high == b.high && a.low == b.low; }

static inline lb_status fake_seat(void *context, lb_mark upstream, lb_mark identity, const char *name, uint32_t *out,
                                  lb_error *err) {
    segment *s = ((worker *)context)->segment;
    uint32_t found = MOST_PLACES;
    if (s->seats_left == 0) return lb_fail(err, LB_ERR_CONFIG, "shared.max_targets", "all places are in use");
    if (s->seats_left > 0) s->seats_left--;
    for (uint32_t p = MOST_PLACES; p-- > 0;)
        if (s->place[p].users == 0) found = p;
    for (uint32_t p = 0; p < MOST_PLACES; p++)
        if (s->place[p].users && same_mark(s->place[p].upstream, upstream) && same_mark(s->place[p].identity, identity))
            found = p;
    if (found == MOST_PLACES) return lb_fail(err, LB_ERR_CONFIG, "shared.max_targets", "all places are in use");
    if (s->place[found].users++ == 0) {
        lb_record_clear(&s->place[found].record);
        s->place[found].upstream = upstream;
        s->place[found].identity = identity;
        snprintf(s->place[found].name, sizeof s->place[found].name, "%s", name);
    }
    *out = found;
    return LB_OK;
}

static inline void fake_unseat(void *context, uint32_t place) {
    segment *s = ((worker *)context)->segment;
    CHECK(s->place[place].users > 0);
    s->place[place].users--;
}

static inline lb_record *fake_record(void *context, uint32_t place) {
    return &((worker *)context)->segment->place[place].record;
}

static inline lb_status fake_join(void *context, lb_mark upstream, lb_common **out, lb_error *err) {
    segment *s = ((worker *)context)->segment;
    uint32_t found = MOST_COMMONS;
    if (s->joins_left == 0) return lb_fail(err, LB_ERR_CONFIG, "shared.max_targets", "no room for an upstream");
    if (s->joins_left > 0) s->joins_left--;
    for (uint32_t c = MOST_COMMONS; c-- > 0;)
        if (s->common[c].users == 0 || same_mark(s->common[c].upstream, upstream)) found = c;
    for (uint32_t c = 0; c < MOST_COMMONS; c++)
        if (s->common[c].users && same_mark(s->common[c].upstream, upstream)) found = c;
    if (found == MOST_COMMONS) return lb_fail(err, LB_ERR_CONFIG, "shared.max_targets", "no room for an upstream");
    s->common[found].users++;
    s->common[found].upstream = upstream;
    *out = &s->common[found].common;
    return LB_OK;
}

static inline void fake_part(void *context, lb_common *common) {
    segment *s = ((worker *)context)->segment;
    for (uint32_t c = 0; c < MOST_COMMONS; c++) {
        if (&s->common[c].common != common) continue;
        CHECK(s->common[c].users > 0);
        s->common[c].users--;
        return;
    }
    CHECK(!"a common of this segment");
}

static inline lb_counter *fake_row(void *context) {
    worker *w = context;
    for (uint32_t r = 0; r < MOST_WORKERS && w->row == LB_NONE; r++) {
        if (w->segment->row_used[r]) continue;
        w->segment->row_used[r] = true;
        w->row = r;
    }
    return w->row == LB_NONE ? NULL : w->segment->row[w->row];
}

static inline uint32_t fake_others(void *context, uint32_t place) {
    worker *w = context;
    uint32_t calls = 0;
    for (uint32_t r = 0; r < MOST_WORKERS; r++)
        if (r != w->row) calls += lb_counter_read(&w->segment->row[r][place]);
    return calls;
}

static inline lb_cursor *fake_cursor(void *context, uint64_t fingerprint) {
    segment *s = ((worker *)context)->segment;
    uint32_t found = MOST_CURSORS;
    CHECK(fingerprint != 0);
    for (uint32_t c = MOST_CURSORS; c-- > 0;)
        if (s->cursor[c].users == 0) found = c;
    for (uint32_t c = 0; c < MOST_CURSORS; c++)
        if (s->cursor[c].users && lb_word_read(&s->cursor[c].cursor.fingerprint) == fingerprint) found = c;
    if (found == MOST_CURSORS || s->no_cursors) return NULL;
    if (s->cursor[found].users++ == 0) {
        lb_word_write(&s->cursor[found].cursor.fingerprint, fingerprint);
        lb_word_write(&s->cursor[found].cursor.turn, 0);
    }
    return &s->cursor[found].cursor;
}

static inline void fake_drop(void *context, lb_cursor *cursor) {
    segment *s = ((worker *)context)->segment;
    for (uint32_t c = 0; c < MOST_CURSORS; c++) {
        if (&s->cursor[c].cursor != cursor) continue;
        CHECK(s->cursor[c].users > 0);
        s->cursor[c].users--;
        return;
    }
    CHECK(!"a cursor of this segment");
}

static inline bool fake_sweep(void *context) {
    ((worker *)context)->segment->n_sweeps++;
    return false;
}

static inline void open_segment(segment *s) {
    memset(s, 0, sizeof *s);
    s->seats_left = s->joins_left = -1;
}

static inline void attach(worker *w, segment *s) {
    *w = (worker){.segment = s, .row = LB_NONE};
    w->backing = (lb_backing){
        .context = w, .seat = fake_seat, .unseat = fake_unseat, .record = fake_record, .join = fake_join,
        .part = fake_part, .row = fake_row, .others = fake_others, .cursor = fake_cursor, .drop = fake_drop,
        .sweep = fake_sweep, .seed = 99,
    };
}

static inline uint32_t n_users(const segment *s) {
    uint32_t n = 0;
    for (uint32_t p = 0; p < MOST_PLACES; p++) n += s->place[p].users;
    return n;
}

static inline uint32_t n_cursor_users(const segment *s) {
    uint32_t n = 0;
    for (uint32_t c = 0; c < MOST_CURSORS; c++) n += s->cursor[c].users;
    return n;
}

static inline uint32_t n_joined(const segment *s) {
    uint32_t n = 0;
    for (uint32_t c = 0; c < MOST_COMMONS; c++) n += s->common[c].users;
    return n;
}

static inline uint64_t n_counted(const segment *s) {
    uint64_t n = 0;
    for (uint32_t r = 0; r < MOST_WORKERS; r++)
        for (uint32_t p = 0; p < MOST_PLACES; p++) n += lb_counter_read(&s->row[r][p]);
    return n;
}

/* Everything that was taken has been given back. */
static inline void check_empty(const segment *s) {
    CHECK_EQ(n_users(s), 0);
    CHECK_EQ(n_cursor_users(s), 0);
    CHECK_EQ(n_joined(s), 0);
    CHECK_EQ(n_counted(s), 0);
}

#endif

/* rows: what each worker writes alone, whose it is, and what becomes of it when he dies.
 *
 *   free --take lock, set bit--> in use --resign, or his death and a sweep: clear, take the bit out--> free
 *
 * A row changes hands only by whoever holds its lock.  A sweep clears what a dead worker left in this order: counters,
 * cursors, bits, the row's own bit; dying on the way leaves a row that the next sweep clears again.
 * Cost    others O(rows in use); claim and sweep O(rows) calls of take; clearing a row O(places it uses + cursors).
 * Keeps   the counters of a row in use are 0 wherever it has no bit; a free row is all 0 but pid and since.
 */
#include "share/layout.h"

#include <string.h>

static uint64_t bit_of(uint32_t row) { return (uint64_t)1 << row; }

static uint32_t words_of(const lb_table *table) { return (table->n + 63) / 64; }

/* ---- what a row says ---------------------------------------------------------------------------------------- */

static const lb_word *bits_of(const lb_share *share, uint32_t row, const lb_table *table) {
    return &lb_share_row(share, row)->bits[table->first_bit];
}

uint32_t lb_share_users(const lb_share *share, const lb_table *table, uint32_t i) {
    uint32_t n = 0;
    for (uint64_t rows = lb_share_rows(share); rows; rows &= rows - 1)
        n += (uint32_t)(lb_word_read(&bits_of(share, lb_lowest_bit(rows), table)[i / 64]) >> i % 64 & 1);
    return n;
}

/* The owner alone writes: no need for an atomic change. */
void lb_share_mark(lb_share *share, const lb_table *table, uint32_t i, bool used) {
    lb_word *word = &lb_share_row(share, lb_share_own(share))->bits[table->first_bit + i / 64];
    uint64_t bits = lb_word_glance(word), bit = (uint64_t)1 << i % 64;
    lb_word_write(word, used ? bits | bit : bits & ~bit);
}

uint32_t lb_share_others(const lb_share *share, uint32_t place) {
    uint32_t sum = 0, own = lb_share_own(share);
    uint64_t rows = lb_word_glance(&share->head->rows);
    if (own != LB_NONE) rows &= ~bit_of(own);
    for (; rows; rows &= rows - 1) sum += lb_counter_read(&lb_share_counters(share, lb_lowest_bit(rows))[place]);
    return sum;
}

uint64_t lb_share_in_flight(const lb_share *share, uint32_t row, uint32_t *n_places) {
    const lb_word *bits = bits_of(share, row, &share->places);
    uint64_t sum = 0;
    *n_places = 0;
    for (uint32_t w = 0; w < words_of(&share->places); w++)
        for (uint64_t rest = lb_word_read(&bits[w]); rest; rest &= rest - 1) {
            sum += lb_counter_read(&lb_share_counters(share, row)[64 * w + lb_lowest_bit(rest)]);
            ++*n_places;
        }
    return sum;
}

/* ---- a row changes hands ------------------------------------------------------------------------------------ */

/* Its lock is ours. */
static void clear(lb_share *share, uint32_t row) {
    lb_word *bits = lb_share_row(share, row)->bits;
    lb_counter *counters = lb_share_counters(share, row);
    for (uint32_t w = 0; w < words_of(&share->places); w++)
        for (uint64_t rest = lb_word_read(&bits[w]); rest; rest &= rest - 1)
            lb_counter_write(&counters[64 * w + lb_lowest_bit(rest)], 0);
    lb_share_leave(share, row);
    for (uint32_t w = 0; w < 2 * words_of(&share->places); w++)
        if (lb_word_glance(&bits[w])) lb_word_write(&bits[w], 0);
    atomic_fetch_and_explicit(&share->head->rows, ~bit_of(row), memory_order_acq_rel);
}

/* What all workers knew of the calls of all is old. */
static void raise_epochs(lb_share *share) {
    for (uint32_t w = 0; w < words_of(&share->commons); w++) {
        uint64_t used = 0;
        for (uint64_t rows = lb_share_rows(share); rows; rows &= rows - 1)
            used |= lb_word_read(&bits_of(share, lb_lowest_bit(rows), &share->commons)[w]);
        for (; used; used &= used - 1)
            lb_word_add(&lb_common_at(share, 64 * w + lb_lowest_bit(used))->common.epoch, 1);
    }
}

/* Whose lock we got, though the row is in use, is dead. */
static bool is_dead(const lb_share *share, uint32_t row) { return lb_share_rows(share) & bit_of(row); }

static void enter(lb_share *share, uint32_t row) {
    lb_word_note(&lb_share_row(share, row)->pid, (uint64_t)share->pid);
    lb_word_note(&lb_share_row(share, row)->since_ns, share->since_ns);
    atomic_fetch_or_explicit(&share->head->rows, bit_of(row), memory_order_acq_rel);
    lb_counter_write(&share->row, row);
}

static bool claim(lb_share *share, uint32_t row) {
    if (!share->locks.take(share->locks.context, row)) return false;
    if (is_dead(share, row)) {
        clear(share, row);
        raise_epochs(share);
    }
    enter(share, row);
    return true;
}

/* Twice: a sweep of another worker may hold the lock of a row for a moment. */
bool lb_share_claim(lb_share *share) {
    if (lb_share_own(share) != LB_NONE) return true;
    for (uint32_t i = 0; i < 2 * share->size.max_workers; i++)
        if (claim(share, i % share->size.max_workers)) return true;
    return false;
}

void lb_share_resign(lb_share *share) {
    uint32_t row = lb_share_own(share);
    if (row == LB_NONE) return;
    clear(share, row);
    lb_counter_write(&share->row, LB_NONE);
    share->locks.give(share->locks.context, row);
}

/* True if it was in use by somebody who is dead: nobody's now. */
static bool bury(lb_share *share, uint32_t row) {
    if (!share->locks.take(share->locks.context, row)) return false;
    bool dead = is_dead(share, row);                    /* another one may have swept it meanwhile */
    if (dead) clear(share, row);
    share->locks.give(share->locks.context, row);
    return dead;
}

bool lb_share_sweep(lb_share *share) {
    uint32_t own = lb_share_own(share);
    bool any = false;
    for (uint64_t rows = lb_share_rows(share); rows; rows &= rows - 1) {
        uint32_t row = lb_lowest_bit(rows);
        if (row != own && bury(share, row)) any = true;
    }
    if (any) raise_epochs(share);
    return any;
}

/* Rows are claimed under the load lock, and it is ours: who has one has said so. */
bool lb_share_alone(lb_share *share) {
    for (uint64_t rows = lb_share_rows(share); rows; rows &= rows - 1) {
        uint32_t row = lb_lowest_bit(rows);
        if (row == lb_share_own(share)) continue;
        if (!share->locks.take(share->locks.context, row)) return false;
        share->locks.give(share->locks.context, row);
    }
    return true;
}

/* cursors: lines in which schedules count their turns together, found by fingerprint without a lock.
 *
 *   home + 0    | print | turn | users      each line one of:   0                     never used
 *        + 1    |                                               print                 settled: whoever wants it joins
 *        ...    |                                               print | TENTATIVE     made by one user, not yet sure to be
 *        + 15   |                                                                     the only one of that print
 *                                                               print | LEAVING       being taken over by one user
 *
 *   hold      what this worker holds already it finds in its own counts: nobody takes that over
 *   join      set my bit in users, then look at the print again: who takes a line over does it the other way round
 *   take      a line without users: CAS users 0 -> my bit; say LEAVING; look whether users is mine alone, else restore it
 *   settle    say TENTATIVE; go through the window: settled elsewhere -> join that; tentative elsewhere -> cancel it;
 *             then CAS my own to settled, which fails if it was cancelled: begin again
 *
 * Of two that make the same print at once, the later to say TENTATIVE sees the other: never are there two settled ones.
 * Source  the two flags of T. J. Dekker's mutual exclusion: each writes its own, then reads the other's.
 * Cost    O(window).  A line is 64 bytes: turns of two schedules never share one.
 * Keeps   everything here is sequentially consistent; only `turn` of a joined line is touched by pickers.  A user that
 *         dies leaves his bit until his row is swept, and a stage that the next taker overwrites.  Died he just when others
 *         joined the line that he was taking over, it says LEAVING until they drop it: those that come later count alone.
 */
#include "share/layout.h"

#define WINDOW 16u
#define TRIES 64u                   /* then it is not to be had: somebody stands still in the middle of a take-over */

enum { TENTATIVE = 1, LEAVING = 2, STAGE = 3 };

/* What stands in the line: the lowest two bits tell its stage, 0 is "never used". */
static uint64_t print_of(uint64_t fingerprint) {
    uint64_t print = fingerprint & ~(uint64_t)STAGE;
    return print ? print : STAGE + 1;
}

static lb_cursor *line(const lb_share *share, uint64_t print, uint32_t k) {
    uint32_t size = share->n_cursors, home = (uint32_t)((print * 0x9E3779B97F4A7C15u) >> 32);
    return &share->cursors[(home + k) & (size - 1)];
}

/* ---- join and leave ----------------------------------------------------------------------------------------- */

static bool join(lb_cursor *c, uint64_t print, uint64_t me) {
    if (atomic_load(&c->fingerprint) != print) return false;
    atomic_fetch_or(&c->users, me);
    if (atomic_load(&c->fingerprint) == print) return true;
    atomic_fetch_and(&c->users, ~me);
    return false;
}

static void leave(lb_share *share, lb_cursor *c, uint64_t me) {
    lb_word_note(&c->left, lb_word_add(&share->head->n_left, 1) + 1);
    atomic_fetch_and(&c->users, ~me);
}

/* By our own counts; its stage may be anything while somebody tries to take it over, and gives up. */
static lb_cursor *hold(const lb_share *share, uint64_t print) {
    for (uint32_t k = 0; k < WINDOW; k++) {
        lb_cursor *c = line(share, print, k);
        if (share->cursor_refs[c - share->cursors] && (atomic_load(&c->fingerprint) & ~(uint64_t)STAGE) == print) return c;
    }
    return NULL;
}

static lb_cursor *find(const lb_share *share, uint64_t print, uint64_t me) {
    for (uint32_t k = 0; k < WINDOW; k++)
        if (join(line(share, print, k), print, me)) return line(share, print, k);
    return NULL;
}

/* ---- take --------------------------------------------------------------------------------------------------- */

/* Who goes first: what a dead worker left of the same print, what was never used, what was left longest ago. */
static uint64_t merit(const lb_cursor *c, uint64_t print) {
    uint64_t there = atomic_load(&c->fingerprint);
    if ((there & ~(uint64_t)STAGE) == print) return 0;
    return there ? 2 + lb_word_glance(&c->left) : 1;
}

static lb_cursor *choose(const lb_share *share, uint64_t print) {
    lb_cursor *best = NULL;
    for (uint32_t k = 0; k < WINDOW; k++) {
        lb_cursor *c = line(share, print, k);
        if (atomic_load(&c->users)) continue;
        if (!best || merit(c, print) < merit(best, print)) best = c;
    }
    return best;
}

static bool take(lb_cursor *c, uint64_t me) {
    uint64_t nobody = 0;
    if (!atomic_compare_exchange_strong(&c->users, &nobody, me)) return false;
    uint64_t there = atomic_load(&c->fingerprint);
    bool settled = there && !(there & STAGE);
    atomic_store(&c->fingerprint, settled ? there | LEAVING : 0);
    if (atomic_load(&c->users) == me) return true;
    atomic_store(&c->fingerprint, settled ? there : 0);
    atomic_fetch_and(&c->users, ~me);
    return false;
}

/* ---- settle ------------------------------------------------------------------------------------------------- */

/* False: it is settled in this line, or may be again. */
static bool cancel(lb_cursor *c, uint64_t print) {
    uint64_t there = print | TENTATIVE;
    if (atomic_compare_exchange_strong(&c->fingerprint, &there, 0)) return true;
    return (there & ~(uint64_t)STAGE) != print;
}

static bool settle(const lb_share *share, lb_cursor *mine, uint64_t print) {
    uint64_t there = print | TENTATIVE;
    lb_word_write(&mine->turn, 0);
    atomic_store(&mine->fingerprint, there);
    bool only = true;
    for (uint32_t k = 0; k < WINDOW && only; k++)
        if (line(share, print, k) != mine) only = cancel(line(share, print, k), print);
    return atomic_compare_exchange_strong(&mine->fingerprint, &there, only ? print : 0) && only;
}

static lb_cursor *make(const lb_share *share, uint64_t print, uint64_t me) {
    lb_cursor *c = choose(share, print);
    if (!c || !take(c, me)) return NULL;
    if (settle(share, c, print)) return c;
    atomic_fetch_and(&c->users, ~me);
    return NULL;
}

/* ---- what the backing offers -------------------------------------------------------------------------------- */

lb_cursor *lb_share_cursor(lb_share *share, uint64_t fingerprint) {
    uint32_t own = lb_share_own(share);
    if (own == LB_NONE) return NULL;
    uint64_t print = print_of(fingerprint), me = (uint64_t)1 << own;
    lb_cursor *c = hold(share, print);
    for (uint32_t i = 0; i < TRIES && !c; i++) {
        c = find(share, print, me);
        if (!c) c = make(share, print, me);
    }
    if (c) share->cursor_refs[c - share->cursors]++;
    return c;
}

void lb_share_drop(lb_share *share, lb_cursor *cursor) {
    if (!cursor) return;
    uint32_t *refs = &share->cursor_refs[cursor - share->cursors];
    if (*refs == 0 || --*refs > 0) return;
    leave(share, cursor, (uint64_t)1 << lb_share_own(share));
}

void lb_share_leave(lb_share *share, uint32_t row) {
    uint64_t bit = (uint64_t)1 << row;
    for (uint32_t i = 0; i < share->n_cursors; i++)
        if (atomic_load(&share->cursors[i].users) & bit) leave(share, &share->cursors[i], bit);
}

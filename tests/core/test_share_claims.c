/* cursors, step by step: every atomic step of a claim may be interrupted by whole claims of others, and by death.
 *
 * cursors.c is compiled into this test with a hook before each of its atomic steps.  At random steps the hook lets other
 * workers do something from beginning to end (in which they are interrupted as well), as if the first had been taken off
 * its processor there; and an interrupted worker may be killed, so that it never goes on.  Two lines only, three prints:
 * everything is contended.  What holds for all interleavings of that kind:
 *   - no two workers hold different lines for one print, also while claims are half done
 *   - when nobody is half way, the bits of users are those who hold the line, and its print is the one they asked for
 */
#include "shares.h"

#include "base/rng.h"

#include <setjmp.h>

/* Before an atomic step; most often around those that write. */
static void step(bool writes);

#undef atomic_load
#undef atomic_store
#undef atomic_fetch_or
#undef atomic_fetch_and
#undef atomic_compare_exchange_strong
#define SEQ memory_order_seq_cst
#define atomic_load(p) (step(false), atomic_load_explicit(p, SEQ))
#define atomic_store(p, v) (step(true), atomic_store_explicit(p, v, SEQ))
#define atomic_fetch_or(p, v) (step(true), atomic_fetch_or_explicit(p, v, SEQ))
#define atomic_fetch_and(p, v) (step(true), atomic_fetch_and_explicit(p, v, SEQ))
#define atomic_compare_exchange_strong(p, e, v) (step(true), atomic_compare_exchange_strong_explicit(p, e, v, SEQ, SEQ))
#include "share/cursors.c"

enum { WORKERS = 4, LINES = 2, PRINTS = 3, RUNS = 3000, DEEDS = 24, DEPTH = 4 };
#define SEED 20249000u                      /* among these runs are some that find each known way to be wrong */

static const lb_share_size size_of_all = {.max_targets = 16, .max_workers = WORKERS};

static struct {
    void *memory;
    kernel locks;
    lb_rng rng;
    worker crew[WORKERS];
    bool busy[WORKERS], doomed[WORKERS];    /* in the middle of something; and never to go on */
    jmp_buf end[WORKERS];
    uint32_t running, depth, n_born;
    bool wrote;                             /* the step before did */
    lb_cursor *held[WORKERS][PRINTS];
    uint64_t n_interrupted, n_killed, n_killed_before, n_without;
} all;

static uint32_t below(uint32_t n) { return lb_rng_below(&all.rng, n); }

/* ---- what a worker does ------------------------------------------------------------------------------------- */

/* While somebody is half way with a line, or died so, its print may carry a stage. */
static void check_one_line(uint32_t print, uint64_t stage) {
    const lb_cursor *line = NULL;
    for (uint32_t k = 0; k < WORKERS; k++) {
        if (!all.held[k][print]) continue;
        if (line) CHECK(all.held[k][print] == line);
        line = all.held[k][print];
        CHECK_EQ(lb_word_read(&line->fingerprint) & ~stage, 4 * (print + 1));
    }
}

static void hold_or_drop(uint32_t k) {
    uint32_t print = below(PRINTS);
    lb_cursor *had = all.held[k][print];
    if (had && below(2)) {                                      /* once more, as a reload does */
        CHECK(all.crew[k].b->cursor(all.crew[k].share, 4 * (uint64_t)(print + 1)) == had);
        all.crew[k].b->drop(all.crew[k].share, had);
        check_one_line(print, STAGE);
        return;
    }
    if (had) {
        all.held[k][print] = NULL;
        all.crew[k].b->drop(all.crew[k].share, had);
        return;
    }
    all.held[k][print] = all.crew[k].b->cursor(all.crew[k].share, 4 * (uint64_t)(print + 1));
    all.n_without += !all.held[k][print];
    check_one_line(print, STAGE);
}

static void end_of(uint32_t k) {
    memset(all.held[k], 0, sizeof all.held[k]);
    let_go(&all.locks, all.crew[k].who);
}

/* Somebody who is interrupted now: he holds nothing any more, and his next step does not come. */
static void doom_one(void) {
    uint32_t k = below(WORKERS);
    if (!all.busy[k] || all.doomed[k] || k == all.running) return;
    all.doomed[k] = true;
    all.n_killed++;
    end_of(k);
}

/* Not interrupted: a death in here would lose what it allocated. */
static void be_born(uint32_t k) {
    uint32_t depth = all.depth;
    all.depth = DEPTH;
    CHECK_EQ(hire(&all.crew[k], all.memory, &size_of_all, &all.locks, ++all.n_born, NULL), LB_OK);
    all.crew[k].share->n_cursors = LINES;
    all.crew[k].b->row(all.crew[k].share);                      /* NULL while the dead are being swept: no cursors then */
    all.depth = depth;
}

static void deed(uint32_t k) {
    uint32_t what = below(16);
    if (what < 12) hold_or_drop(k);
    else if (what < 14) doom_one();
    else all.crew[k].b->sweep(all.crew[k].share);
}

/* One deed of somebody who is not in the middle of another. */
static void act(void) {
    uint32_t k = below(WORKERS), before = all.running;
    if (all.busy[k]) return;
    if (!all.crew[k].share) be_born(k);
    all.busy[k] = true;
    all.running = k;
    all.depth++;
    if (setjmp(all.end[k]) == 0) {
        deed(k);
    } else {
        kill_worker(&all.crew[k]);
        k = all.running;
    }
    all.depth--;
    all.busy[all.running] = all.doomed[all.running] = false;
    all.running = before;
}

static void step(bool writes) {
    bool near = writes || all.wrote;
    all.wrote = writes;
    if (all.depth == 0 || all.depth >= DEPTH || below(near ? 8 : 128)) return;
    uint32_t me = all.running, depth = all.depth;
    all.n_interrupted++;
    act();
    all.running = me;
    all.depth = depth;
    if (all.doomed[me]) longjmp(all.end[me], 1);
}

/* ---- what must hold when nobody is half way ----------------------------------------------------------------- */

static void check_lines(void) {
    uint64_t living = 0, users[LINES] = {0};
    lb_cursor *lines = NULL;
    for (uint32_t k = 0; k < WORKERS; k++) {
        uint32_t row = all.crew[k].share ? lb_share_own(all.crew[k].share) : LB_NONE;
        if (row == LB_NONE) continue;
        living |= (uint64_t)1 << row;
        lines = all.crew[k].share->cursors;
        for (uint32_t print = 0; print < PRINTS; print++)
            if (all.held[k][print]) users[all.held[k][print] - lines] |= (uint64_t)1 << row;
    }
    for (uint32_t i = 0; i < LINES && lines; i++) CHECK_EQ(lb_word_read(&lines[i].users) & living, users[i]);
    for (uint32_t print = 0; print < PRINTS; print++) check_one_line(print, all.n_killed > all.n_killed_before ? STAGE : 0);
}

static void run(uint64_t seed) {
    lb_share_extent extent;
    lb_rng_seed(&all.rng, seed);
    CHECK_EQ(lb_share_measure(&size_of_all, &extent, NULL), LB_OK);
    memset(all.memory, 0, extent.whole);
    all.n_killed_before = all.n_killed;
    for (uint32_t i = 0; i < DEEDS && !check_failed; i++) {
        all.running = LB_NONE;
        act();
        check_lines();
    }
    for (uint32_t k = 0; k < WORKERS; k++) {
        end_of(k);
        kill_worker(&all.crew[k]);
    }
    if (check_failed) fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
}

static void claims_survive_any_interruption(void) {
    all.memory = new_memory(&size_of_all);
    for (uint64_t i = 0; i < RUNS && !check_failed; i++) run(SEED + i);
    free(all.memory);
    printf("%u runs from seed %u: %llu interruptions, %llu deaths on the way, %llu times no cursor\n", RUNS, SEED,
           (unsigned long long)all.n_interrupted, (unsigned long long)all.n_killed, (unsigned long long)all.n_without);
}

int main(void) {
    RUN(claims_survive_any_interruption);
    return check_result();
}

/* share under contention: four workers with a handle each, as processes would have, and a second thread in each of them
 * that makes calls.  Run under ThreadSanitizer by `sh tools/core.sh threads`; a plain run checks the invariants.
 *
 *   under one mutex (the load lock)    open, close, seat, unseat, join, part
 *   without it                         calls, others, look, sweep, and cursors: the claims are what races most
 *
 * Invariant of cursors: at no moment do two workers hold different lines for one fingerprint.  Each notes what it holds
 * in `held`, after it got it and until before it lets go.
 */
#if defined(_WIN32)
#include <stdio.h>
int main(void) {
    printf("skipped: needs POSIX threads\n");
    return 0;
}
#else
#include "shares.h"

#include "base/rng.h"

#include <pthread.h>

enum { WORKERS = 4, LIVES = 12, ROUNDS = 1500, NAMES = 24, UPS = 4, PRINTS = 20 };
#define SEED 20240607u

static const lb_share_size size_of_all = {.max_targets = 16, .max_workers = WORKERS};

static struct {
    void *memory;
    kernel locks;
    pthread_mutex_t load;
    lb_counter n_born, n_refused, n_without;
    lb_word held[PRINTS];           /* line + 1 << 32 | how many hold it */
} all = {.load = PTHREAD_MUTEX_INITIALIZER};

/* One life of a worker. */
typedef struct life {
    worker me;
    lb_rng rng;
    uint32_t place[NAMES];          /* LB_NONE: not seated */
    lb_common *common[UPS];
    lb_cursor *cursor[PRINTS];
    uint32_t home;                  /* a place seated for the whole life */
    lb_word over;
} life;

static void load_begins(void) { pthread_mutex_lock(&all.load); }
static void load_ends(void) { pthread_mutex_unlock(&all.load); }

/* ---- what a worker does now and then ------------------------------------------------------------------------ */

static void seat_or_unseat(life *l) {
    uint32_t i = lb_rng_below(&l->rng, NAMES), was = l->place[i];
    load_begins();
    if (was != LB_NONE) {
        l->me.b->unseat(l->me.share, was);
        l->place[i] = LB_NONE;
    } else if (l->me.b->seat(l->me.share, mark(i % UPS), mark(i), "up target", &l->place[i], NULL)) {
        lb_counter_add(&all.n_refused, 1);                      /* 24 names, and one for life, want 16 places */
    }
    load_ends();
    if (l->place[i] != LB_NONE) lb_counter_add(&l->me.b->row(l->me.share)[l->place[i]], 1);
}

static void join_or_part(life *l) {
    uint32_t i = lb_rng_below(&l->rng, UPS);
    load_begins();
    if (l->common[i]) {
        l->me.b->part(l->me.share, l->common[i]);
        l->common[i] = NULL;
    } else {
        CHECK_EQ(l->me.b->join(l->me.share, mark(i), &l->common[i], NULL), LB_OK);
    }
    load_ends();
}

static void note(life *l, uint32_t print) {
    uint64_t line = (uint64_t)(l->cursor[print] - l->me.share->cursors) + 1, was = lb_word_read(&all.held[print]), now;
    do {
        if ((uint32_t)was) CHECK_EQ(was >> 32, line);
        now = line << 32 | ((uint32_t)was + 1);
    } while (!lb_word_swap(&all.held[print], &was, now));
}

static void let_cursor_go(life *l, uint32_t print) {
    if (!l->cursor[print]) return;
    lb_word_add(&all.held[print], UINT64_MAX);
    l->me.b->drop(l->me.share, l->cursor[print]);
    l->cursor[print] = NULL;
}

static void hold_or_drop(life *l) {
    uint32_t print = lb_rng_below(&l->rng, lb_rng_below(&l->rng, 2) ? 4 : PRINTS);
    if (l->cursor[print]) {
        let_cursor_go(l, print);
        return;
    }
    l->cursor[print] = l->me.b->cursor(l->me.share, 4 * (uint64_t)(print + 1));
    if (!l->cursor[print]) {
        lb_counter_add(&all.n_without, 1);
        return;
    }
    note(l, print);
    lb_word_add(&l->cursor[print]->turn, 1);
}

static void look_around(life *l) {
    lb_share_place seen;
    lb_share_worker list[WORKERS];
    for (uint32_t i = 0; i < 16; i++)
        if (lb_share_look(l->me.share, i, &seen)) CHECK(strcmp(seen.name, "up target") == 0);
    CHECK(lb_share_workers(l->me.share, list, WORKERS) >= 1);
}

/* ---- lives -------------------------------------------------------------------------------------------------- */

/* The second thread: what any thread may do. */
static void *make_calls(void *context) {
    life *l = context;
    lb_counter *counter = &l->me.b->row(l->me.share)[l->home];
    lb_record *record = l->me.b->record(l->me.share, l->home);
    while (!lb_word_read(&l->over)) {
        lb_counter_add(counter, 1);
        lb_word_add(&record->streaks, 1);
        CHECK(l->me.b->others(l->me.share, l->home) <= WORKERS - 1);
        lb_counter_sub(counter, 1);
    }
    return NULL;
}

static void be_born(life *l, uint64_t seed) {
    memset(l, 0, sizeof *l);
    lb_rng_seed(&l->rng, seed);
    for (uint32_t i = 0; i < NAMES; i++) l->place[i] = LB_NONE;
    load_begins();
    CHECK_EQ(hire(&l->me, all.memory, &size_of_all, &all.locks, lb_counter_add(&all.n_born, 1) + 1, NULL), LB_OK);
    CHECK(l->me.b->row(l->me.share) != NULL);
    while (l->me.b->seat(l->me.share, mark(999), mark(999), "up target", &l->home, NULL)) {
        load_ends();                                            /* full: somebody will leave */
        load_begins();
    }
    load_ends();
}

/* In order, or with all that it holds still standing there. */
static void end_life(life *l) {
    bool in_order = lb_rng_below(&l->rng, 2);
    for (uint32_t print = 0; print < PRINTS; print++) {
        if (in_order) let_cursor_go(l, print);
        else if (l->cursor[print]) lb_word_add(&all.held[print], UINT64_MAX);
    }
    if (in_order) load_begins();
    if (in_order) dismiss(&l->me);
    else kill_worker(&l->me);
    if (in_order) load_ends();
}

static void live(life *l) {
    static void (*const deeds[])(life *) = {
        seat_or_unseat, join_or_part, hold_or_drop, hold_or_drop, hold_or_drop, look_around,
    };
    pthread_t caller;
    CHECK_EQ(pthread_create(&caller, NULL, make_calls, l), 0);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        deeds[lb_rng_below(&l->rng, sizeof deeds / sizeof *deeds)](l);
        if (round % 64 == 0) l->me.b->sweep(l->me.share);
    }
    lb_word_write(&l->over, 1);
    pthread_join(caller, NULL);
}

static void *live_many_times(void *context) {
    static _Thread_local life l;
    for (uint32_t i = 0; i < LIVES; i++) {
        be_born(&l, SEED + 1000 * *(uint32_t *)context + i);
        live(&l);
        end_life(&l);
    }
    return NULL;
}

/* Everybody is gone: after a sweep nothing is left. */
static void check_empty(void) {
    worker w;
    CHECK_EQ(hire(&w, all.memory, &size_of_all, &all.locks, 1000000, NULL), LB_OK);
    CHECK_EQ(lb_share_rows(w.share), 0);
    for (uint32_t i = 0; i < w.share->n_cursors; i++) CHECK_EQ(lb_word_read(&w.share->cursors[i].users), 0);
    for (uint32_t r = 0; r < WORKERS; r++) {
        for (uint32_t i = 0; i < 2; i++) CHECK_EQ(lb_word_read(&lb_share_row(w.share, r)->bits[i]), 0);
        for (uint32_t i = 0; i < 16; i++) CHECK_EQ(lb_counter_read(&lb_share_counters(w.share, r)[i]), 0);
        CHECK_EQ(all.locks.owner[r], NOBODY);
    }
    CHECK(dismiss(&w));
}

static void workers_contend(void) {
    pthread_t thread[WORKERS];
    uint32_t number[WORKERS];
    all.memory = new_memory(&size_of_all);
    for (uint32_t i = 0; i < WORKERS; i++) {
        number[i] = i;
        CHECK_EQ(pthread_create(&thread[i], NULL, live_many_times, &number[i]), 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++) pthread_join(thread[i], NULL);
    check_empty();
    free(all.memory);
    printf("seed %u: %u lives, %u seats refused, %u times no cursor\n", SEED, lb_counter_read(&all.n_born),
           lb_counter_read(&all.n_refused), lb_counter_read(&all.n_without));
}

int main(void) {
    RUN(workers_contend);
    return check_result();
}
#endif

/* shares: several workers of one segment in one process: memory, and a table of row locks that stands for the kernel's. */
#ifndef SHARES_H
#define SHARES_H

#include "bare.h"
#include "share/layout.h"

#include <stdlib.h>

#define NOBODY 0u

/* Who has the lock of each row; as with the kernel, who has it may take it again. */
typedef struct kernel {
    lb_counter owner[LB_SHARE_MAX_WORKERS];
} kernel;

typedef struct worker {
    kernel *locks;
    uint32_t who;                   /* 1.. */
    lb_share *share;
    const lb_backing *b;
} worker;

static inline bool take_row(void *context, uint32_t row) {
    const worker *w = context;
    uint32_t owner = NOBODY;
    return atomic_compare_exchange_strong(&w->locks->owner[row], &owner, w->who) || owner == w->who;
}

static inline void give_row(void *context, uint32_t row) {
    const worker *w = context;
    uint32_t owner = w->who;
    atomic_compare_exchange_strong(&w->locks->owner[row], &owner, NOBODY);
}

/* What the kernel does when a process ends, however it ends. */
static inline void let_go(kernel *locks, uint32_t who) {
    for (uint32_t row = 0; row < LB_SHARE_MAX_WORKERS; row++) {
        uint32_t owner = who;
        atomic_compare_exchange_strong(&locks->owner[row], &owner, NOBODY);
    }
}

/* Memory of a segment, all 0; to be freed. */
static inline void *new_memory(const lb_share_size *size) {
    lb_share_extent extent;
    if (lb_share_measure(size, &extent, NULL)) abort();
    void *memory = aligned_alloc(LB_SHARE_PAGE, extent.whole);
    if (!memory) abort();
    return memset(memory, 0, extent.whole);
}

/* The worker must stay where it is while it is open. */
static inline lb_status hire(worker *w, void *memory, const lb_share_size *size, kernel *locks, uint32_t who,
                             lb_error *err) {
    *w = (worker){.locks = locks, .who = who};
    lb_share_locks functions = {.context = w, .take = take_row, .give = give_row};
    lb_status status = lb_share_open(&w->share, memory, size, 42, &functions, err);
    if (status == LB_OK) w->b = lb_share_backing(w->share);
    return status;
}

/* The end of a process that had no time to tidy up: its row stays as it is, its lock does not. */
static inline void kill_worker(worker *w) {
    if (!w->share) return;
    lb_share_forked(w->share);
    lb_share_close(w->share);
    let_go(w->locks, w->who);
    w->share = NULL;
}

static inline bool dismiss(worker *w) {
    bool alone = lb_share_close(w->share);
    w->share = NULL;
    return alone;
}

static inline lb_mark mark(uint64_t i) { return (lb_mark){.high = 7, .low = i}; }

static inline uint32_t seat_of(worker *w, uint64_t identity) {
    uint32_t place = LB_NONE;
    lb_error err = {0};
    CHECK_EQ(w->b->seat(w->share, mark(1000), mark(identity), "up target", &place, &err), LB_OK);
    return place;
}

static inline lb_common *common_of(worker *w, uint64_t upstream) {
    lb_common *common = NULL;
    CHECK_EQ(w->b->join(w->share, mark(upstream), &common, NULL), LB_OK);
    return common;
}

#endif

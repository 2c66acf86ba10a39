/* share: one segment of memory in which worker processes keep what they know of their targets together.
 *
 *   head       magic, layout, sizes, seed; a bit for each row in use               sizes are written once
 *   commons    one an upstream: epoch, what latencies have in common               open addressing over its 128-bit mark
 *   places     identity -> record, generation, name                                open addressing; published last
 *   cursors    one a shared schedule: turns taken by all workers                   a claim is a CAS, never a lock
 *   rows       one a worker: in-flight by place, a bit for each place in use       written by its owner alone
 *
 *   picks                 no lock: own row by atomic add; a private sum of the other rows, refreshed now and then
 *   load, reload, close   under the load lock, which the embedder holds (a file lock between processes)
 *   death                 is what the kernel says: a worker keeps the lock of its row for life.  Who gets somebody
 *                         else's row lock knows that he is gone, and clears the row: no heartbeat, so a worker that
 *                         is stopped for an hour loses nothing.
 *
 * A place that no living row uses is nobody's: who seats there next finds an empty record and a generation more, also
 * the same identity again.  A cursor without users keeps its turn until its line is needed.
 * The room makes no system call: memory comes mapped, locks are functions of the embedder.
 * Keeps   one lb_share a process and segment.  Counters, records, commons and a cursor's turn are for any thread, so is
 *         others(); everything else is called by one thread of a process at a time (in Python: under the GIL).
 */
#ifndef LBCORE_SHARE_SHARE_H
#define LBCORE_SHARE_SHARE_H

#include <stddef.h>

#include "target/backing.h"

#define LB_SHARE_LAYOUT 1u          /* goes up with every change of what stands where */
#define LB_SHARE_MAX_WORKERS 64u    /* a cursor has a bit for each */
#define LB_SHARE_NAME 64u           /* bytes kept of a place's name, its NUL among them */

typedef struct lb_share_size {
    uint32_t max_targets;           /* places, 16..1048576; a power of two is made of it */
    uint32_t max_workers;           /* rows, 1..LB_SHARE_MAX_WORKERS */
} lb_share_size;

extern const lb_share_size lb_share_default;    /* 16384, 64 */

/* The bytes of a segment: first what all workers touch, then the rows.  Most are never touched: a sparse file will do. */
typedef struct lb_share_extent {
    size_t whole;                   /* head + max_workers * row */
    size_t head;                    /* head, commons, places, cursors */
    size_t row;                     /* row r begins at head + r * row, on a page of 4096 */
} lb_share_extent;

/* The locks of rows, from the embedder.  take: true if this process has row's lock now; never waits.  It must fail while
 * another living process has it, and the kernel must let go of it when its process ends.  Between take and give, and in
 * rows whose worker died, the memory of the row is written: take fails if there is none to be had. */
typedef struct lb_share_locks {
    void *context;
    bool (*take)(void *context, uint32_t row);
    void (*give)(void *context, uint32_t row);
} lb_share_locks;

typedef struct lb_share lb_share;   /* this process's end of a segment */

/* Errors: LB_ERR_CONFIG "shared.max_targets", "shared.max_workers"; *extent is as it was. */
lb_status lb_share_measure(const lb_share_size *size, lb_share_extent *extent, lb_error *err);

/* load.  Attach to `memory` of extent.whole bytes, aligned to a page; where all of it is 0 it is made a segment, and `seed`
 * counts.  The rows of the dead are cleared.  `locks` is copied, its context must stay.  Errors: LB_ERR_CONFIG ("shared"):
 * another layout, other sizes, not a segment; LB_ERR_NOMEM; nothing has changed. */
lb_status lb_share_open(lb_share **out, void *memory, const lb_share_size *size, uint64_t seed,
                        const lb_share_locks *locks, lb_error *err);

/* The sizes of the segment that begins with `head` (LB_SHARE_HEAD bytes of it are enough).  Errors: LB_ERR_CONFIG ("shared"):
 * another layout, not a segment; *out is as it was. */
#define LB_SHARE_HEAD 64u
lb_status lb_share_size_of(const void *head, lb_share_size *out, lb_error *err);

/* load.  Gives back what this worker holds and goes on without a row, as a child of a fork does: at the end of a program,
 * whose threads may still look in.  True if no other worker has a row. */
bool lb_share_retire(lb_share *share);

/* load.  Gives back what this worker holds.  True if no other worker has a row: the embedder removes the segment.
 * Accepts NULL (then false). */
bool lb_share_close(lb_share *share);

/* The functions and the seed; valid until close. */
const lb_backing *lb_share_backing(lb_share *share);

/* In the child of a fork, before anything else: it has no row and uses nothing yet; what its parent holds is the
 * parent's.  Places, commons and cursors are to be asked for again. */
void lb_share_forked(lb_share *share);

/* load.  Has no other living worker a row? */
bool lb_share_alone(lb_share *share);

/* ---- looking in, also from outside ------------------------------------------------------------------------- */

typedef struct lb_share_worker {
    uint32_t row;
    int64_t pid;
    uint64_t since_ns;              /* when it claimed the row, as told to lb_share_tell() */
    uint64_t in_flight;
    uint32_t n_places;              /* in use by it */
} lb_share_worker;

/* Who is asked for by stats and tools: what this process calls itself from now on. */
void lb_share_tell(lb_share *share, int64_t pid, uint64_t now_ns);

uint32_t lb_share_workers(lb_share *share, lb_share_worker *out, uint32_t n);  /* rows in use, at most n; returns how many */

/* A place in use: its record, the calls of all workers, and the texts it was seated with (cut to what is kept). */
typedef struct lb_share_place {
    uint32_t place, generation;
    lb_mark upstream, identity;
    char name[LB_SHARE_NAME];       /* "upstream target", NUL-terminated, for people */
    lb_record *record;
    lb_common *common;              /* of its upstream; NULL: nobody joined it */
    uint64_t in_flight;
    uint32_t n_workers;             /* that use it */
} lb_share_place;

bool lb_share_look(lb_share *share, uint32_t place, lb_share_place *out);   /* false: nobody uses it; *out is as it was */
uint32_t lb_share_places(const lb_share *share);                            /* how many there are to look at */

#endif

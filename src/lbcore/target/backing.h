/* backing: where the sharable parts of a State live when they are not its own.
 *
 *   State (this process)      slot -> place -> record, a counter in this worker's row, sums of the others' rows
 *        | lb_backing
 *   share/ (a segment that several processes map)
 *
 * target/ and upstream/ know this table of functions only; share/ is one that fills it.
 * Keeps   functions marked "load" are called while the embedder holds the segment's load lock, and from one thread at a
 *         time; the others never wait for anybody.
 */
#ifndef LBCORE_TARGET_BACKING_H
#define LBCORE_TARGET_BACKING_H

#include "base/atomic.h"
#include "base/status.h"
#include "target/record.h"

/* 128 bits that stand for a name. */
typedef struct lb_mark {
    uint64_t high, low;
} lb_mark;

/* Where a shared schedule stands: the number of turns taken by all workers. */
typedef struct lb_cursor {
    lb_word fingerprint;
    lb_word turn;
    lb_word users;                  /* a bit for each worker's row */
    lb_word left;                   /* when the last of them left it: the larger, the later */
    lb_word spare[4];
} lb_cursor;

typedef struct lb_backing {
    void *context;

    /* load: the place of a target, found or made; counts one user more in this process.  LB_ERR_CONFIG where all places
     * ("shared.max_targets") or rows ("shared.max_workers") are in use: nothing has changed. */
    lb_status (*seat)(void *context, lb_mark upstream, lb_mark identity, const char *name, uint32_t *place,
                      lb_error *err);                           /* name: "upstream target", for people; copied, may be cut */
    void (*unseat)(void *context, uint32_t place);              /* load: one user less; never fails */
    lb_record *(*record)(void *context, uint32_t place);        /* valid until unseat */

    /* load: what an upstream's workers have in common, found or made.  Errors as of seat. */
    lb_status (*join)(void *context, lb_mark upstream, lb_common **out, lb_error *err);
    void (*part)(void *context, lb_common *common);             /* load */

    /* This worker's counters by place: the first seat, join or row claims it, under the load lock; NULL where all rows
     * are taken (nothing can be seated then).  The counter of a place counts from seat to unseat. */
    lb_counter *(*row)(void *context);
    uint32_t (*others)(void *context, uint32_t place);          /* calls in the rows of the other workers */

    /* The cursor of a schedule that all workers compute alike; NULL where none is to be had: it is then private.
     * cursor() counts one user more in this process, drop() one less. */
    lb_cursor *(*cursor)(void *context, uint64_t fingerprint);
    void (*drop)(void *context, lb_cursor *cursor);             /* accepts NULL */

    /* Once a second: take the rows of workers that died, and what stands in them, out of use.  True if any was. */
    bool (*sweep)(void *context);

    uint64_t seed;                  /* of what all workers must draw alike */
} lb_backing;

#endif

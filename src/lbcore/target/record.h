/* record: what is known of one target, whoever found it out.
 *
 * 128 bytes that all of its workers share where State is shared (share/), private to the upstream where it is not.  Each
 * word is the whole truth about one thing, so that a worker which dies between two writes leaves no half-made state:
 *
 *   until     ejected  held  drain           0: it is not; else when that ends by itself, LB_NEVER: it does not
 *   marks     what a program or the operator said: set_health(false), disabled
 *   checks    counters and state of active and passive checks              health/checks.h
 *   streaks   consecutive failures by kind, window: the last intervals     health/outlier.h
 *   trial     a breaker that is half open                                  health/outlier.h
 *   pace      what latency policies have learnt                            policy/learn.h
 *
 * Keeps   all 0 is a healthy target of whom nothing is known.  A state changes by the CAS on its word: who wins it tells
 *         the event and raises the epoch of the upstream (lb_common).
 */
#ifndef LBCORE_TARGET_RECORD_H
#define LBCORE_TARGET_RECORD_H

#include "base/status.h"
#include "base/word.h"

/* Why a target is not usable; several may hold at once.  0: it is healthy. */
enum {
    LB_OFF_UNHEALTHY = 1u << 0,     /* set_health(false), or its checks say so */
    LB_OFF_EJECTED = 1u << 1,       /* outlier detection took it out */
    LB_OFF_HELD = 1u << 2,          /* it asked for a pause: 429 or 503 */
    LB_OFF_DRAINING = 1u << 3,      /* serves its sessions until the deadline, nobody else */
    LB_OFF_DISABLED = 1u << 4,      /* out of service by hand: not even its sessions */
};

/* Bits of record.marks. */
enum {
    LB_MARK_UNHEALTHY = 1u << 0,
    LB_MARK_DISABLED = 1u << 1,
};

#define LB_CHECKS_UNHEALTHY (1ull << 63)    /* in record.checks: the state takes no traffic */

typedef struct lb_record {
    lb_word ejected_until_ns;
    lb_word held_until_ns;
    lb_word drain_until_ns;
    lb_word marks;
    lb_word checks;
    lb_word streaks;
    lb_word window[2];
    lb_word ejections;              /* the multiplier of the next ejection's length */
    lb_word recovered_ns;           /* when the last ejection ended, or an interval of good conduct was credited */
    lb_word slow_since_ns;          /* when its slow start began; 0: it never did */
    lb_word trial;
    lb_word pace[2];
    lb_word spare[2];
} lb_record;

_Static_assert(sizeof(lb_record) == 128, "two cache lines");

/* What the targets of one upstream have in common, for all of its workers. */
typedef struct lb_common {
    lb_word epoch;                  /* goes up with each change of a target's state: pictures made before are old */
    lb_word judged;                 /* the last interval that outlier detection has judged */
    lb_word faded_ns;               /* when what was learnt last faded; 0: not yet */
    lb_word fleet;                  /* a double: the latency of all together, in the policy's unit; 0: unknown */
    lb_word spare[4];
} lb_common;

static inline void lb_record_clear(lb_record *record) {
    lb_word *word = (lb_word *)(void *)record;
    for (unsigned i = 0; i < sizeof *record / sizeof *word; i++) lb_word_note(&word[i], 0);
}

/* LB_OFF_*, as far as the record says: what is over but not ended yet still counts (weigh.c reads the times). */
static inline uint32_t lb_record_off(const lb_record *record) {
    uint64_t marks = lb_word_read(&record->marks);
    uint32_t off = 0;
    if ((marks & LB_MARK_UNHEALTHY) || (lb_word_read(&record->checks) & LB_CHECKS_UNHEALTHY)) off |= LB_OFF_UNHEALTHY;
    if (marks & LB_MARK_DISABLED) off |= LB_OFF_DISABLED;
    if (lb_word_read(&record->ejected_until_ns)) off |= LB_OFF_EJECTED;
    if (lb_word_read(&record->held_until_ns)) off |= LB_OFF_HELD;
    if (lb_word_read(&record->drain_until_ns)) off |= LB_OFF_DRAINING;
    return off;
}

#endif

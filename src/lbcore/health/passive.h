/* passive: what the outcomes of calls say about a target.  Pure transitions: no clock, no list of targets.
 *
 * Rule    `failures` consecutive failures eject a target for base * (number of ejections so far), at most
 *         max; each base interval spent in service since takes one from that number.  One success clears the
 *         consecutive count.  At most max_percent of an upstream's targets are out at once, but one always may.
 * Source  Envoy's outlier detection (consecutive local-origin failures), with its growth of the ejection time.
 */
#ifndef LBCORE_HEALTH_PASSIVE_H
#define LBCORE_HEALTH_PASSIVE_H

#include "target/state.h"

typedef enum lb_verdict {
    LB_NEITHER = 0,                 /* cancelled, or nothing that speaks for or against the target */
    LB_SUCCESS,
    LB_FAILURE,                     /* a connection error, a time-out, or the caller says so */
} lb_verdict;

typedef struct lb_passive {
    uint32_t failures;              /* consecutive failures that eject; 0: never */
    uint32_t max_percent;           /* of the upstream's targets that may be ejected at once, 0..100 */
    uint64_t base_ns;               /* length of a first ejection */
    uint64_t max_ns;                /* of any ejection */
} lb_passive;

extern const lb_passive lb_passive_default;     /* 3 failures, 50 %, 10 s, 300 s */
extern const lb_passive lb_passive_off;

/* Count one verdict.  True if the target should be ejected now (the caller asks lb_passive_may first). */
bool lb_passive_count(const lb_passive *rule, lb_record *record, lb_verdict verdict);

/* May one more of n_targets be ejected while n_ejected are? */
bool lb_passive_may(const lb_passive *rule, uint32_t n_ejected, uint32_t n_targets);

/* Take the target out; returns when it comes back. */
uint64_t lb_passive_eject(const lb_passive *rule, lb_record *record, uint64_t now_ns);

/* The time is over: put it back. */
void lb_passive_recover(lb_record *record, uint64_t now_ns);

#endif

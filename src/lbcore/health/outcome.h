/* outcome: how a call, or a probe, ended, and what that comes to.
 *
 * What the caller says goes first, then what was seen.  `verdict` is the caller's own word (done(ok=...)); a caller who
 * gave none leaves it at LB_NEITHER, and status and fault speak; where there are none either, nothing is counted.
 *
 *   verdict   status  fault         comes to   outlier detection                            checks
 *   --------  ------  ------------  --------   ------------------------------------------   -----------------
 *   SUCCESS   any     any           SUCCESS    all streaks 0                                a success
 *   NEITHER   none    NONE          NOTHING    nothing                                      nothing
 *   NEITHER   given   NONE          STATUS     below 500: all streaks 0                     by their lists: a success,
 *                                              500..: 5xx + 1, local 0;                     an http failure, or
 *                                              502, 503, 504: gateway + 1, others: 0        nothing at all
 *   FAILURE   given   any           FAILED     as its status; one below 500: as 500         an http failure
 *   NEITHER   given   any but NONE  FAILED     the same                                     an http failure
 *   not SUCC. none    GARBLED       FAILED     as 500                                       an http failure
 *   not SUCC. none    CONNECT       CONNECT    split: local + 1; else as 503                a tcp failure
 *   not SUCC. none    TIMEOUT       TIMEOUT    split: local + 1; else as 503                a timeout
 *   FAILURE   none    NONE          CONNECT    split: local + 1; else as 503                a tcp failure
 *
 * Outlier detection counts each in the window of its interval too, SUCCESS and statuses below 500 as successes; with
 * split those of local origin (CONNECT, TIMEOUT) stand outside of it.
 * Source  Envoy's outlier results: local origin is 503 or 504 where it is not split, a request that failed after an
 *         answer began is 500.  Kong's report_http_status, report_tcp_failure, report_timeout; status 0 is an http
 *         failure.
 */
#ifndef LBCORE_HEALTH_OUTCOME_H
#define LBCORE_HEALTH_OUTCOME_H

#include "base/status.h"
#include "target/record.h"

typedef enum lb_verdict {
    LB_NEITHER = 0,                 /* cancelled, or the caller said nothing: see status and fault */
    LB_SUCCESS,
    LB_FAILURE,
} lb_verdict;

typedef enum lb_fault {
    LB_FAULT_NONE = 0,
    LB_FAULT_CONNECT,               /* refused, reset, unreachable, TLS: no answer came */
    LB_FAULT_TIMEOUT,
    LB_FAULT_GARBLED,               /* something came that is no answer, or says that it is not serving */
} lb_fault;

typedef struct lb_outcome {
    lb_verdict verdict;
    lb_fault fault;
    uint16_t status;                /* 100..599 of HTTP; 0: none */
} lb_outcome;

/* What an outcome comes to, by the table. */
typedef enum lb_ending {
    LB_ENDING_NOTHING = 0,
    LB_ENDING_SUCCESS,
    LB_ENDING_STATUS,
    LB_ENDING_FAILED,
    LB_ENDING_CONNECT,
    LB_ENDING_TIMEOUT,
} lb_ending;

static inline lb_ending lb_outcome_ending(const lb_outcome *outcome) {
    bool failed = outcome->verdict == LB_FAILURE;
    if (outcome->verdict == LB_SUCCESS) return LB_ENDING_SUCCESS;
    if (outcome->status) return failed || outcome->fault ? LB_ENDING_FAILED : LB_ENDING_STATUS;
    switch (outcome->fault) {
    case LB_FAULT_CONNECT: return LB_ENDING_CONNECT;
    case LB_FAULT_TIMEOUT: return LB_ENDING_TIMEOUT;
    case LB_FAULT_GARBLED: return LB_ENDING_FAILED;
    case LB_FAULT_NONE: break;
    }
    return failed ? LB_ENDING_CONNECT : LB_ENDING_NOTHING;
}

/* The outcome in one word, for those who learn from calls: an answer of any status speaks for the target. */
static inline lb_verdict lb_outcome_verdict(const lb_outcome *outcome) {
    switch (lb_outcome_ending(outcome)) {
    case LB_ENDING_NOTHING: return LB_NEITHER;
    case LB_ENDING_SUCCESS:
    case LB_ENDING_STATUS: return LB_SUCCESS;
    default: return LB_FAILURE;
    }
}

#endif

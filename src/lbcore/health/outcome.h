/* outcome: how a call, or a probe, ended, in the words of health checks. */
#ifndef LBCORE_HEALTH_OUTCOME_H
#define LBCORE_HEALTH_OUTCOME_H

#include "base/status.h"
#include "target/record.h"

typedef enum lb_verdict {
    LB_NEITHER = 0,                 /* cancelled, or nothing that speaks for or against the target */
    LB_SUCCESS,
    LB_FAILURE,
} lb_verdict;

/* What kind of failure; with a status it is the target's answer, else of local origin. */
typedef enum lb_fault {
    LB_FAULT_NONE = 0,
    LB_FAULT_CONNECT,               /* refused, reset, unreachable, TLS: no answer came */
    LB_FAULT_TIMEOUT,
} lb_fault;

typedef struct lb_match_outcome {
    lb_verdict verdict;             /* the caller's word; by status and fault where it gave none */
    lb_fault fault;
    uint16_t status;                /* 100..599 of HTTP; 0: none */
} lb_match_outcome;

#endif

/* outlier: what the outcomes of calls say about a target, by Envoy's five detectors.  Pure transitions on a record.
 *
 *   outcome --count--> streaks: consecutive 5xx | gateway failures | local-origin failures     eject at the limit
 *                      window:  calls and successes of this interval and the last
 *   interval's end --judge--> success rate against mean - factor * deviation; failure percentage
 *   eject: base * ejections so far, at most max, and jitter; recover when it is over
 *
 * Source  Envoy's outlier detection (consecutive_5xx, consecutive_gateway_failure, consecutive_local_origin_failure,
 *         success_rate, failure_percentage), its growth and decay of the ejection time.
 */
#ifndef LBCORE_HEALTH_OUTLIER_H
#define LBCORE_HEALTH_OUTLIER_H

#include "health/outcome.h"

/* Which detector took a target out. */
typedef enum lb_cause {
    LB_CAUSE_NONE = 0,
    LB_CAUSE_5XX,
    LB_CAUSE_GATEWAY,
    LB_CAUSE_LOCAL,
    LB_CAUSE_SUCCESS_RATE,
    LB_CAUSE_FAILURE_PERCENTAGE,
    LB_CAUSE_TRIAL,                 /* a half-open breaker's trial failed */
} lb_cause;

typedef struct lb_outlier {
    uint32_t consecutive_5xx;               /* in a row that eject; 0: off.  At most LB_MAX_STREAK */
    uint32_t consecutive_gateway;           /* 502, 503, 504, and local-origin failures unless split */
    uint32_t consecutive_local;             /* connection errors and time-outs; only where split */
    bool split;                             /* local-origin failures are counted by themselves, not as 5xx */
    uint32_t enforce[7];                    /* by lb_cause: percent of ejections that are carried out, 0..100 */
    uint64_t interval_ns;                   /* of the two statistical detectors, and of the credit for good conduct */
    uint64_t base_ns, max_ns, jitter_ns;    /* the length of an ejection */
    uint32_t max_percent;                   /* of the upstream's targets that may be out at once, 0..100 */
    bool always_one;                        /* one may always go */
    uint32_t rate_hosts, rate_volume;       /* success rate: targets with so many calls, so many of them; 0 hosts: off */
    uint32_t rate_factor_permille;          /* threshold = mean - factor / 1000 * population deviation */
    uint32_t failure_percent;               /* failure percentage: at or above; 0: off */
    uint32_t failure_hosts, failure_volume;
    uint32_t half_open;                     /* after an ejection, calls at a time until `successes` in a row; 0: all */
    uint32_t half_open_successes;
} lb_outlier;

#define LB_MAX_STREAK ((1u << 20) - 1)

extern const lb_outlier lb_outlier_default; /* 3 local-origin failures, 10 s growing to 300 s, half of them, always one */
extern const lb_outlier lb_outlier_envoy;   /* Envoy's own defaults */
extern const lb_outlier lb_outlier_off;

/* Errors: "health.outlier.<field of the options>", value and range. */
lb_status lb_outlier_check(const lb_outlier *rule, lb_error *err);

/* Count one outcome.  Which detector asks for the target's ejection now; LB_CAUSE_NONE: none does. */
lb_cause lb_outlier_count(const lb_outlier *rule, lb_record *record, const lb_match_outcome *outcome, uint64_t now_ns);

/* May one more of n_targets be ejected while n_ejected are? */
bool lb_outlier_may(const lb_outlier *rule, uint32_t n_ejected, uint32_t n_targets);

/* Is this ejection carried out?  `drawn` is a number from the caller's generator; asked once per ejection. */
bool lb_outlier_enforces(const lb_outlier *rule, lb_cause cause, uint64_t drawn);

/* Take the target out: true if this very call did (another worker may have been first). */
bool lb_outlier_eject(const lb_outlier *rule, lb_record *record, uint64_t drawn, uint64_t now_ns);

/* Put it back where its time is over at now_ns (LB_NEVER: whatever the time): true if this very call did.  It begins a
 * slow start, and a trial where the rule has one. */
bool lb_outlier_recover(const lb_outlier *rule, lb_record *record, uint64_t now_ns);

/* The end of an interval: which records are to be ejected, cause[i] for each of n.  Asked once an interval by one worker
 * (lb_common.judged).  scratch: 2 n doubles.  Returns how many asked. */
uint32_t lb_outlier_judge(const lb_outlier *rule, lb_record *const *record, uint32_t n, double *scratch,
                          lb_cause *cause, uint64_t now_ns);

/* True if the rule needs the ends of intervals. */
static inline bool lb_outlier_judges(const lb_outlier *rule) { return rule->rate_hosts || rule->failure_percent; }

#endif

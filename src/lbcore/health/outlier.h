/* outlier: what the outcomes of calls say about a target, by Envoy's five detectors.  Pure transitions on a record.
 *
 *   outcome --count--> streaks: consecutive 5xx | gateway failures | local-origin failures     ask at the limit
 *                      window:  calls and successes of this interval and the last
 *                      trial:   a half-open breaker's successes still needed                   ask at a failure
 *   interval's end --judge--> success rate against mean - factor * deviation; failure percentage
 *   asked --enforced, may--> eject: base * ejections so far, at most max, and jitter --recover--> in service
 *
 * Source  Envoy's outlier detection (consecutive_5xx, consecutive_gateway_failure, consecutive_local_origin_failure,
 *         success_rate, failure_percentage), its growth and decay of the ejection time.  The trial is ours.
 */
#ifndef LBCORE_HEALTH_OUTLIER_H
#define LBCORE_HEALTH_OUTLIER_H

#include "health/outcome.h"

/* Which detector takes a target out. */
typedef enum lb_cause {
    LB_CAUSE_NONE = 0,
    LB_CAUSE_5XX,
    LB_CAUSE_GATEWAY,
    LB_CAUSE_LOCAL,
    LB_CAUSE_SUCCESS_RATE,
    LB_CAUSE_FAILURE_PERCENTAGE,
    LB_CAUSE_TRIAL,                 /* a half-open breaker's trial failed */
} lb_cause;

#define LB_N_CAUSES 7

/* A set of causes, bit 1 << cause: several detectors may ask at once, and the first of them may not be enforced. */
typedef uint32_t lb_causes;

typedef struct lb_outlier {
    uint32_t consecutive_5xx;               /* in a row that eject; 0: off.  At most LB_MAX_STREAK */
    uint32_t consecutive_gateway;           /* 502, 503, 504, and local-origin failures unless split */
    uint32_t consecutive_local;             /* connection errors and time-outs; only where split */
    bool split;                             /* local-origin failures are counted by themselves, not as 5xx */
    uint32_t enforce[LB_N_CAUSES];          /* by lb_cause: percent of ejections that are carried out, 0..100 */
    uint64_t interval_ns;                   /* of the statistical detectors, and of the credit for good conduct */
    uint64_t base_ns, max_ns, jitter_ns;    /* the length of an ejection */
    uint32_t max_percent;                   /* of the upstream's targets that may be out at once, 0..100 */
    bool always_one;                        /* one may always go */
    uint32_t rate_hosts, rate_volume;       /* success rate: targets with so many calls, so many of them; 0 hosts: off */
    uint32_t rate_factor_permille;          /* threshold = mean - factor / 1000 * population deviation */
    uint32_t failure_percent;               /* failure percentage: at or above; 0: off */
    uint32_t failure_hosts, failure_volume;
    uint32_t half_open;                     /* after an ejection, calls at a time until enough succeeded; 0: all */
    uint32_t half_open_successes;           /* in a row */
} lb_outlier;

#define LB_MAX_STREAK ((1u << 20) - 1)      /* where consecutive counts stop */
#define LB_MAX_VOLUME ((1u << 20) - 1)      /* where an interval's calls stop being counted: their rate stands */

extern const lb_outlier lb_outlier_default; /* 3 local-origin failures, 10 s growing to 300 s, half of them, always one */
extern const lb_outlier lb_outlier_envoy;   /* Envoy's own defaults */
extern const lb_outlier lb_outlier_off;

/* All functions below want a rule that has passed this.
 * Errors: LB_ERR_CONFIG, "health.outlier.<field of the options>", value and range; durations in seconds. */
lb_status lb_outlier_check(const lb_outlier *rule, lb_error *err);

/* Count one outcome.  Which detectors ask for the target's ejection now; 0: none. */
lb_causes lb_outlier_count(const lb_outlier *rule, lb_record *record, const lb_outcome *outcome, uint64_t now_ns);

/* The first of the causes that is carried out: trial, gateway, 5xx, local, success rate, failure percentage.  `drawn` is a
 * number from the caller's generator (it matters only where enforce is neither 0 nor 100). */
lb_cause lb_outlier_enforced(const lb_outlier *rule, lb_causes asked, uint64_t drawn);

/* May one more of n_targets be ejected while n_ejected are? */
bool lb_outlier_may(const lb_outlier *rule, uint32_t n_ejected, uint32_t n_targets);

/* Take the target out: true if this very call did (another worker may have been first).  `drawn`: for the jitter. */
bool lb_outlier_eject(const lb_outlier *rule, lb_record *record, uint64_t drawn, uint64_t now_ns);

/* Put it back at now_ns, where its time is over or `early`: true if this very call did.  All streaks are 0, its slow start
 * begins, and so does its trial where the rule that ejected it has one. */
bool lb_outlier_recover(lb_record *record, uint64_t now_ns, bool early);

/* True if the rule needs the ends of intervals. */
static inline bool lb_outlier_judges(const lb_outlier *rule) { return rule->rate_hosts || rule->failure_percent; }

/* When the interval of now_ns ends; LB_NEVER: the rule does not judge. */
uint64_t lb_outlier_due_ns(const lb_outlier *rule, uint64_t now_ns);

/* An interval has ended that nobody has judged: true for one caller of all workers, who judges it. */
bool lb_outlier_is_my_turn(const lb_outlier *rule, lb_common *common, uint64_t now_ns);

/* Judge the interval before that of now_ns: asked[i] says which detectors ask for the ejection of record[i], of n; those
 * that are ejected are left out.  scratch: n words.  Returns how many are asked for. */
uint32_t lb_outlier_judge(const lb_outlier *rule, lb_record *const *record, uint32_t n, uint64_t *scratch,
                          lb_causes *asked, uint64_t now_ns);

/* What a streak (LB_CAUSE_5XX, _GATEWAY, _LOCAL) stands at. */
uint32_t lb_outlier_streak(const lb_record *record, lb_cause cause);

/* Is the target's breaker half open: does it take rule->half_open calls at a time, and no more? */
static inline bool lb_outlier_on_trial(const lb_outlier *rule, const lb_record *record) {
    return rule->half_open && lb_word_read(&record->trial) != 0;
}

#endif

/* rule: the settings of outlier detection, what they are where nobody says, and what they may be.
 *
 * Source  Envoy's OutlierDetection message: names, defaults, and that max_ejection_time is not less than
 *         base_ejection_time.
 */
#include "health/outlier.h"

#define SECOND_NS 1000000000ull
#define ALL {0, 100, 100, 100, 100, 100, 100}

const lb_outlier lb_outlier_default = {
    .consecutive_local = 3, .split = true, .enforce = ALL,
    .interval_ns = 10 * SECOND_NS, .base_ns = 10 * SECOND_NS, .max_ns = 300 * SECOND_NS,
    .max_percent = 50, .always_one = true,
    .rate_volume = 100, .rate_factor_permille = 1900, .failure_hosts = 5, .failure_volume = 50,
    .half_open_successes = 1,
};

const lb_outlier lb_outlier_envoy = {
    .consecutive_5xx = 5, .consecutive_gateway = 5, .consecutive_local = 5,
    .enforce = {[LB_CAUSE_5XX] = 100, [LB_CAUSE_LOCAL] = 100, [LB_CAUSE_SUCCESS_RATE] = 100, [LB_CAUSE_TRIAL] = 100},
    .interval_ns = 10 * SECOND_NS, .base_ns = 30 * SECOND_NS, .max_ns = 300 * SECOND_NS,
    .max_percent = 10,
    .rate_hosts = 5, .rate_volume = 100, .rate_factor_permille = 1900,
    .failure_percent = 85, .failure_hosts = 5, .failure_volume = 50,
    .half_open_successes = 1,
};

const lb_outlier lb_outlier_off = {0};

#define MAX_HOSTS (1u << 20)
#define MAX_FACTOR 1000000u
#define DAY_NS (86400 * SECOND_NS)

typedef struct field {
    const char *name;
    uint64_t value, low, high;
} field;

static lb_status check_counts(const lb_outlier *r, lb_error *err) {
    const field fields[] = {
        {"consecutive_5xx", r->consecutive_5xx, 0, LB_MAX_STREAK},
        {"consecutive_gateway_failure", r->consecutive_gateway, 0, LB_MAX_STREAK},
        {"consecutive_local_origin_failure", r->consecutive_local, 0, LB_MAX_STREAK},
        {"max_ejection_percent", r->max_percent, 0, 100},
        {"enforcing_consecutive_5xx", r->enforce[LB_CAUSE_5XX], 0, 100},
        {"enforcing_consecutive_gateway_failure", r->enforce[LB_CAUSE_GATEWAY], 0, 100},
        {"enforcing_consecutive_local_origin_failure", r->enforce[LB_CAUSE_LOCAL], 0, 100},
        {"enforcing_success_rate", r->enforce[LB_CAUSE_SUCCESS_RATE], 0, 100},
        {"enforcing_failure_percentage", r->enforce[LB_CAUSE_FAILURE_PERCENTAGE], 0, 100},
        {"enforcing_half_open", r->enforce[LB_CAUSE_TRIAL], 0, 100},
        {"success_rate_minimum_hosts", r->rate_hosts, 0, MAX_HOSTS},
        {"success_rate_request_volume", r->rate_volume, 0, LB_MAX_VOLUME},
        {"success_rate_stdev_factor", r->rate_factor_permille, 0, MAX_FACTOR},
        {"failure_percentage_threshold", r->failure_percent, 0, 100},
        {"failure_percentage_minimum_hosts", r->failure_hosts, 0, MAX_HOSTS},
        {"failure_percentage_request_volume", r->failure_volume, 0, LB_MAX_VOLUME},
        {"half_open", r->half_open, 0, LB_MAX_STREAK},
        {"half_open_successes", r->half_open_successes, r->half_open ? 1 : 0, LB_MAX_STREAK},
    };
    for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++) {
        const field *f = &fields[i];
        char name[80] = "health.outlier.";
        if (f->value >= f->low && f->value <= f->high) continue;
        memcpy(name + strlen(name), f->name, strlen(f->name) + 1);
        return lb_fail(err, LB_ERR_CONFIG, name, "%llu is not in %llu..%llu", (unsigned long long)f->value,
                       (unsigned long long)f->low, (unsigned long long)f->high);
    }
    return LB_OK;
}

static double seconds(uint64_t ns) { return (double)ns / (double)SECOND_NS; }

static lb_status check_time(const char *name, uint64_t ns, uint64_t low_ns, lb_error *err) {
    if (ns >= low_ns && ns <= DAY_NS) return LB_OK;
    return lb_fail(err, LB_ERR_CONFIG, name, "%g is not in %g..%g seconds", seconds(ns), seconds(low_ns), seconds(DAY_NS));
}

lb_status lb_outlier_check(const lb_outlier *rule, lb_error *err) {
    lb_status status = check_counts(rule, err);
    if (!status) status = check_time("health.outlier.interval", rule->interval_ns, lb_outlier_judges(rule), err);
    if (!status) status = check_time("health.outlier.base_ejection_time", rule->base_ns, 0, err);
    if (!status) status = check_time("health.outlier.max_ejection_time", rule->max_ns, rule->base_ns, err);
    if (!status) status = check_time("health.outlier.max_ejection_time_jitter", rule->jitter_ns, 0, err);
    return status;
}

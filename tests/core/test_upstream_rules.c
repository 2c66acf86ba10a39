/* upstream: what its rules may be: the numbers outside their ranges are refused with field and reason. */
#include "upstreams.h"

#include <math.h>

/* Each number just outside its range, and the ends of it. */
static void wrong_rules_are_refused(void) {
    lb_upstream_spec bad[10], good[9];
    static const char *const fields[10] = {
        "levels.overprovisioning", "levels.overprovisioning", "levels.overprovisioning", "levels.panic", "limits.bound",
        "limits.bound", "limits.bound", "slow_start.step", "slow_start.step", "slow_start.step",
    };
    static const char *const reasons[10] = {
        "1 is not in 100..1000000", "99 is not", "1000001 is not", "101 is not in 0..100", "1 is not in 1000..100000",
        "999 is not", "100001 is not", "0 is not in 1..65536", "65537 is not", "0 is not in 1..65536",
    };
    for (int i = 0; i < 10; i++) {
        bad[i] = spec_of(policy_named("round_robin"));
        bad[i].slow_start.window_ns = i < 7 ? 0 : SECOND;
        for (int k = 0; k < 16 && i >= 7; k++) bad[i].slow_start.step[k] = 1;
    }
    for (int i = 0; i < 9; i++) good[i] = spec_of(policy_named("round_robin"));
    bad[0].levels.overprovisioning = 1;
    bad[1].levels.overprovisioning = 99;
    bad[2].levels.overprovisioning = 1000001;
    bad[3].levels.panic = 101;
    bad[4].limits.bound_permille = 1;
    bad[5].limits.bound_permille = 999;
    bad[6].limits.bound_permille = 100001;
    bad[7].slow_start.step[0] = 0;
    bad[8].slow_start.step[15] = 65537;
    bad[9].slow_start.step[15] = 0;
    good[0].levels.overprovisioning = 100;
    good[1].levels.overprovisioning = 1000000;
    good[2].levels.panic = 100;
    good[3].limits.bound_permille = 1000;
    good[4].limits.bound_permille = 100000;
    good[5].limits.in_flight = UINT32_MAX;
    good[6].limits.retry_percent = UINT32_MAX;
    good[7].limits.hold_ns = UINT64_MAX;
    good[8].slow_start.step[3] = UINT32_MAX;            /* of no window: not looked at */
    for (int i = 0; i < 10; i++) {
        lb_upstream *up = NULL;
        lb_error err = {0};
        CHECK_EQ(lb_upstream_new(&up, &bad[i], NULL, 0, 0, &err), LB_ERR_CONFIG);
        CHECK(up == NULL);
        CHECK_TEXT(err.field, fields[i]);
        CHECK(strstr(err.reason, reasons[i]) == err.reason);
    }
    for (int i = 0; i < 9; i++) {
        lb_upstream *up = NULL;
        CHECK_EQ(lb_upstream_new(&up, &good[i], NULL, 0, 0, NULL), LB_OK);
        lb_upstream_free(up);
    }
}

static void wrong_health_is_refused(void) {
    lb_upstream_spec bad[8];
    static const char *const fields[8] = {
        "health.outlier.enforcing_half_open", "health.outlier.half_open_successes", "health.outlier.interval",
        "health.outlier.base_ejection_time", "health.outlier.max_ejection_time", "health.threshold", "health.threshold",
        "health.threshold",
    };
    static const char *const reasons[8] = {
        "101 is not in 0..100", "0 is not in 1..", "0 is not in", "86401 is not in 0..86400 seconds",
        "9 is not in 10..86400 seconds", "is not in 0..100 percent", "is not in", "is not in",
    };
    for (int i = 0; i < 8; i++) {
        bad[i] = spec_of(policy_named("round_robin"));
        bad[i].health.outlier = lb_outlier_default;
    }
    bad[0].health.outlier.enforce[LB_CAUSE_TRIAL] = 101;
    bad[1].health.outlier.half_open = 1;
    bad[1].health.outlier.half_open_successes = 0;
    bad[2].health.outlier.failure_percent = 1;
    bad[2].health.outlier.interval_ns = 0;
    bad[3].health.outlier.base_ns = 86401 * SECOND;
    bad[4].health.outlier.max_ns = 9 * SECOND;
    bad[5].health.threshold = 100.5;
    bad[6].health.threshold = -1;
    bad[7].health.threshold = (double)NAN;
    for (int i = 0; i < 8; i++) {
        lb_upstream *up = NULL;
        lb_error err = {0};
        CHECK_EQ(lb_upstream_new(&up, &bad[i], NULL, 0, 0, &err), LB_ERR_CONFIG);
        CHECK(up == NULL);
        CHECK_TEXT(err.field, fields[i]);
        CHECK(strstr(err.reason, reasons[i]) == err.reason);
    }
}

static lb_status refuse_ones(const double *param, lb_error *err) {
    return param[0] == 1 ? lb_fail(err, LB_ERR_CONFIG, "phase", "1 is not wanted") : LB_OK;
}

/* "What the ranges cannot say, asked before any build." */
static void a_policy_checks_its_parameters_together(void) {
    lb_policy checking = *policy_named("round_robin");
    checking.check = refuse_ones;
    lb_upstream_spec spec = spec_of(&checking);
    lb_upstream *up = NULL;
    lb_error err = {0};
    spec.param[0] = 1;
    fail_allocation(0);                                 /* before anything is allocated */
    CHECK_EQ(lb_upstream_new(&up, &spec, NULL, 0, 0, &err), LB_ERR_CONFIG);
    fail_allocation(-1);
    CHECK_TEXT(err.field, "phase");
    spec.param[0] = 0;
    CHECK_EQ(lb_upstream_new(&up, &spec, NULL, 0, 0, &err), LB_OK);
    lb_upstream_free(up);
}

static void wrong_places_are_refused(void) {
    static const char *const fields[] = {"targets[1].priority", "targets[1].locality", "targets[1].locality_weight"};
    static const char *const reasons[] = {"128 is not in 0..127", "256 is not in 0..255", "1000001 is not in 0..1000000"};
    fleet good = {0}, bad = {0};
    add_targets(&good, 2, 0);
    lb_upstream *up = upstream_named("round_robin", &good);
    for (int c = 0; c < 3; c++) {
        lb_error err = {0};
        bad.n = 0;
        add_targets(&bad, 2, 0);
        if (c == 0) bad.target[1].priority = LB_MAX_PRIORITIES;
        if (c == 1) bad.target[1].locality = LB_MAX_LOCALITIES;
        if (c == 2) bad.target[1].locality_weight = LB_MAX_WEIGHT + 1;
        CHECK_EQ(lb_upstream_update(up, bad.target, 2, 0, &err), LB_ERR_CONFIG);
        CHECK_TEXT(err.field, fields[c]);
        CHECK_TEXT(err.reason, reasons[c]);
        walk_fleet(up, &good);
    }
    good.target[1].priority = LB_MAX_PRIORITIES - 1;
    good.target[1].locality = LB_MAX_LOCALITIES - 1;
    good.target[1].locality_weight = LB_MAX_WEIGHT;
    CHECK_EQ(lb_upstream_update(up, good.target, 2, 0, NULL), LB_OK);
    walk_fleet(up, &good);
    lb_upstream_free(up);
}

static void the_defaults_are_the_written_ones(void) {
    lb_upstream_spec spec = {.seed = 5};
    lb_upstream_defaults(&spec);
    CHECK(spec.policy == NULL && spec.seed == 5);
    CHECK(memcmp(&spec.health.outlier, &lb_outlier_default, sizeof lb_outlier_default) == 0);
    CHECK(spec.health.outlier.consecutive_local == 3 && spec.health.outlier.split && spec.health.outlier.always_one);
    CHECK(!lb_checks_are_on(&spec.health.passive) && !lb_checks_are_on(&spec.health.active));
    CHECK(spec.health.threshold == 0 && spec.health.max_hold_ns == 60 * SECOND && spec.when_empty == LB_EMPTY_FAIL);
    CHECK(spec.levels.overprovisioning == 140 && spec.levels.panic == 0);
    CHECK_EQ(spec.slow_start.window_ns, 0);
    CHECK(spec.limits.in_flight == 0 && spec.limits.bound_permille == 0);
    CHECK_EQ(spec.limits.hold_ns, SECOND);
    CHECK(spec.limits.retry_percent == 20 && spec.limits.retry_per_second == 10);
}

int main(void) {
    RUN(wrong_rules_are_refused);
    RUN(wrong_health_is_refused);
    RUN(a_policy_checks_its_parameters_together);
    RUN(wrong_places_are_refused);
    RUN(the_defaults_are_the_written_ones);
    return check_result();
}

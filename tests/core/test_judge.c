/* judge: what outcomes do to a target, through the upstream: detectors, trials, pauses, checks, the operator's word; and
 * that each is told once, with what belongs to it. */
#include "upstreams.h"

/* ---- a fleet and its outcomes ----------------------------------------------------------------------------------- */

static lb_upstream *fleet_of(fleet *f, uint32_t n, const lb_health *health) {
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.health = *health;
    f->n = 0;
    add_targets(f, n, 0);
    return upstream_with(&spec, f, 100 * SECOND);
}

static lb_upstream *judged_by(fleet *f, uint32_t n, const lb_outlier *rule) {
    lb_health health = {.outlier = *rule, .max_hold_ns = 60 * SECOND};
    return fleet_of(f, n, &health);
}

static void report_one(lb_upstream *up, uint32_t member, lb_outcome outcome, uint64_t pause_ns, uint64_t now_ns) {
    lb_call call;
    lb_report report = {.outcome = outcome, .latency_ns = 1, .pause_ns = pause_ns};
    lb_upstream_begin_on(up, member, now_ns, &call);
    lb_upstream_report(up, &call, &report, now_ns);
    lb_upstream_release(up, &call);
}

static void answer(lb_upstream *up, uint32_t member, uint16_t status, uint32_t times, uint64_t now_ns) {
    for (uint32_t i = 0; i < times; i++) report_one(up, member, (lb_outcome){.status = status}, 0, now_ns);
}

static uint32_t off_of(const lb_upstream *up, uint32_t member) {
    return lb_record_off(lb_record_of(lb_upstream_state(up), slot_of(up, member)));
}

/* The next event is this one, about `member`; all of its fields. */
static void told(lb_upstream *up, uint32_t member, lb_event want) {
    lb_event event = {.kind = (lb_event_kind)99};
    uint64_t dropped = 1;
    CHECK(lb_upstream_next_event(up, &event, &dropped));
    CHECK_EQ(dropped, 0);
    CHECK_EQ(event.kind, want.kind);
    CHECK_EQ(event.slot, slot_of(up, member));
    CHECK_EQ(event.generation, lb_generation_of(lb_upstream_state(up), event.slot));
    CHECK_EQ(event.at_ns, want.at_ns);
    CHECK_EQ(event.until_ns, want.until_ns);
    CHECK_EQ(event.failures, want.failures);
    CHECK_EQ(event.cause, want.cause);
    CHECK_EQ(event.status, want.status);
}

static void nothing_told(lb_upstream *up) {
    lb_event event;
    uint64_t dropped;
    CHECK(!lb_upstream_next_event(up, &event, &dropped));
}

static lb_outlier quiet(void) {
    lb_outlier rule = lb_outlier_default;
    rule.consecutive_local = 0;
    return rule;
}

/* ---- consecutive failures --------------------------------------------------------------------------------------- */

/* Each detector at its count and not before; any other answer between begins it again. */
static void a_detector_ejects_at_its_count(void) {
    static const struct { lb_cause cause; uint16_t status; lb_fault fault; bool split; } cases[] = {
        {LB_CAUSE_5XX, 500, LB_FAULT_NONE, true}, {LB_CAUSE_5XX, 503, LB_FAULT_NONE, true},
        {LB_CAUSE_5XX, 0, LB_FAULT_CONNECT, false}, {LB_CAUSE_5XX, 0, LB_FAULT_GARBLED, true},
        {LB_CAUSE_GATEWAY, 502, LB_FAULT_NONE, true}, {LB_CAUSE_GATEWAY, 504, LB_FAULT_NONE, true},
        {LB_CAUSE_GATEWAY, 0, LB_FAULT_TIMEOUT, false},
        {LB_CAUSE_LOCAL, 0, LB_FAULT_CONNECT, true}, {LB_CAUSE_LOCAL, 0, LB_FAULT_TIMEOUT, true},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        static fleet f;
        lb_outlier rule = quiet();
        rule.split = cases[c].split;
        if (cases[c].cause == LB_CAUSE_5XX) rule.consecutive_5xx = 4;
        if (cases[c].cause == LB_CAUSE_GATEWAY) rule.consecutive_gateway = 4;
        if (cases[c].cause == LB_CAUSE_LOCAL) rule.consecutive_local = 4;
        lb_upstream *up = judged_by(&f, 3, &rule);
        lb_outcome bad = {.status = cases[c].status, .fault = cases[c].fault};
        for (int i = 0; i < 3; i++) report_one(up, 1, bad, 0, 101 * SECOND);
        answer(up, 1, 200, 1, 101 * SECOND);
        for (int i = 0; i < 3; i++) report_one(up, 1, bad, 0, 101 * SECOND);
        report_one(up, 1, (lb_outcome){0}, 0, 101 * SECOND);            /* says nothing */
        CHECK_EQ(off_of(up, 1), 0);
        report_one(up, 1, bad, 0, 102 * SECOND);
        CHECK_EQ(off_of(up, 1), LB_OFF_EJECTED);
        for (int i = 0; i < 12; i++) CHECK(lb_upstream_pick(up, 102 * SECOND) != 1);
        told(up, 1, (lb_event){.kind = LB_EVENT_EJECTED, .at_ns = 102 * SECOND, .until_ns = 112 * SECOND, .failures = 4,
                               .cause = cases[c].cause});
        nothing_told(up);
        walk_fleet(up, &f);
        lb_upstream_pick(up, 112 * SECOND);
        told(up, 1, (lb_event){.kind = LB_EVENT_RECOVERED, .at_ns = 112 * SECOND});
        nothing_told(up);
        walk_fleet(up, &f);
        lb_upstream_free(up);
    }
}

/* Of two detectors that ask at once the one that is carried out says why; of none enforced nobody goes. */
static void only_what_is_enforced_is_carried_out(void) {
    static fleet f;
    lb_outlier rule = quiet();
    rule.consecutive_5xx = rule.consecutive_gateway = 2;
    rule.enforce[LB_CAUSE_GATEWAY] = 0;
    lb_upstream *up = judged_by(&f, 4, &rule);
    answer(up, 0, 503, 2, 101 * SECOND);
    told(up, 0, (lb_event){.kind = LB_EVENT_EJECTED, .at_ns = 101 * SECOND, .until_ns = 111 * SECOND, .failures = 2,
                           .cause = LB_CAUSE_5XX});
    lb_upstream_free(up);
    rule.enforce[LB_CAUSE_5XX] = 0;
    up = judged_by(&f, 4, &rule);
    answer(up, 0, 503, 50, 101 * SECOND);
    CHECK_EQ(off_of(up, 0), 0);
    nothing_told(up);
    lb_upstream_free(up);
}

/* 30 percent of 2,000 that ask; picks do not depend on what was drawn for it. */
static void a_percentage_is_carried_out_that_often(void) {
    static fleet f;
    lb_outlier rule = quiet();
    rule.consecutive_5xx = 1;
    rule.enforce[LB_CAUSE_5XX] = 30;
    lb_upstream *up = judged_by(&f, 2, &rule);
    uint32_t n_out = 0;
    for (int i = 0; i < 2000; i++) {
        answer(up, 0, 500, 1, 101 * SECOND);
        n_out += off_of(up, 0) != 0;
        CHECK_EQ(lb_upstream_set_health(up, 0, true, false, 101 * SECOND, NULL), LB_OK);
    }
    CHECK(n_out > 520 && n_out < 680);
    lb_upstream_free(up);
}

/* max_ejection_percent, with and without "one may always go". */
static void the_maximum_share_holds(void) {
    static const struct { uint32_t percent, n; bool one; uint32_t out; } cases[] = {
        {50, 10, true, 5}, {10, 10, false, 1}, {10, 9, false, 0}, {10, 9, true, 1}, {0, 10, true, 1}, {0, 10, false, 0},
        {100, 10, false, 10}, {34, 3, false, 1}, {33, 3, false, 0},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        static fleet f;
        lb_outlier rule = quiet();
        rule.consecutive_5xx = 1;
        rule.max_percent = cases[c].percent;
        rule.always_one = cases[c].one;
        lb_upstream *up = judged_by(&f, cases[c].n, &rule);
        for (uint32_t i = 0; i < cases[c].n; i++) answer(up, i, 500, 2, 101 * SECOND);
        CHECK_EQ(cases[c].n - settled(up)->n_usable, cases[c].out);
        walk_fleet(up, &f);
        lb_upstream_free(up);
    }
}

/* ---- intervals -------------------------------------------------------------------------------------------------- */

static lb_outlier statistical(void) {
    lb_outlier rule = quiet();
    rule.rate_hosts = 5;
    rule.rate_volume = 20;
    rule.rate_factor_permille = 1900;
    return rule;
}

/* Nobody before the interval's end; at its end who stands out; once, however often the time is told. */
static void a_success_rate_is_judged_at_the_end_of_an_interval(void) {
    static fleet f;
    lb_outlier rule = statistical();
    lb_upstream *up = judged_by(&f, 6, &rule);
    CHECK_EQ(lb_upstream_due(up), 110 * SECOND);
    for (uint32_t i = 0; i < 6; i++) {
        answer(up, i, 200, i == 2 ? 5 : 20, 101 * SECOND);
        answer(up, i, 500, i == 2 ? 15 : 0, 101 * SECOND);
    }
    for (int i = 0; i < 6; i++) lb_upstream_pick(up, 110 * SECOND - 1);
    CHECK_EQ(off_of(up, 2), 0);
    for (int i = 0; i < 12; i++) CHECK(lb_upstream_pick(up, 110 * SECOND) != 2);
    told(up, 2, (lb_event){.kind = LB_EVENT_EJECTED, .at_ns = 110 * SECOND, .until_ns = 120 * SECOND,
                           .cause = LB_CAUSE_SUCCESS_RATE});
    walk_fleet(up, &f);
    CHECK_EQ(lb_upstream_due(up), 120 * SECOND);
    lb_upstream_pick(up, 125 * SECOND);                 /* an interval without calls: it comes back, nobody goes */
    told(up, 2, (lb_event){.kind = LB_EVENT_RECOVERED, .at_ns = 125 * SECOND});
    nothing_told(up);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* "At or above" the percentage, with enough calls, of enough targets; a report tells the time as well as a pick. */
static void a_failure_percentage_is_judged_at_the_end_of_an_interval(void) {
    static const struct { uint32_t bad, good, hosts; bool out; } cases[] = {
        {8, 2, 3, true}, {7, 3, 3, false}, {7, 1, 3, false}, {10, 0, 3, true}, {10, 0, 4, false},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        static fleet f;
        lb_outlier rule = quiet();
        rule.failure_percent = 80;
        rule.failure_hosts = cases[c].hosts;
        rule.failure_volume = 10;
        lb_upstream *up = judged_by(&f, 3, &rule);
        answer(up, 0, 200, 10, 103 * SECOND);
        answer(up, 1, 200, 10, 103 * SECOND);
        answer(up, 2, 500, cases[c].bad, 103 * SECOND);
        answer(up, 2, 200, cases[c].good, 103 * SECOND);
        answer(up, 0, 200, 1, 111 * SECOND);
        CHECK_EQ(off_of(up, 2), cases[c].out ? LB_OFF_EJECTED : 0);
        if (cases[c].out) told(up, 2, (lb_event){.kind = LB_EVENT_EJECTED, .at_ns = 111 * SECOND,
                                                 .until_ns = 121 * SECOND, .cause = LB_CAUSE_FAILURE_PERCENTAGE});
        nothing_told(up);
        walk_fleet(up, &f);
        lb_upstream_free(up);
    }
}

/* As Envoy: whose time is over is put back first, and leaves room for another at the same end of an interval. */
static void who_is_back_leaves_room_at_the_same_moment(void) {
    static fleet f;
    lb_outlier rule = quiet();
    rule.failure_percent = 80;
    rule.failure_hosts = 1;
    rule.failure_volume = 1;
    rule.max_percent = 50;
    lb_upstream *up = judged_by(&f, 2, &rule);
    answer(up, 0, 500, 1, 101 * SECOND);
    lb_upstream_pick(up, 110 * SECOND);                 /* until 120 */
    CHECK_EQ(off_of(up, 0), LB_OFF_EJECTED);
    answer(up, 1, 500, 1, 111 * SECOND);
    CHECK_EQ(lb_upstream_pick(up, 120 * SECOND), 0);
    CHECK(off_of(up, 0) == 0 && off_of(up, 1) == LB_OFF_EJECTED);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* ---- half open -------------------------------------------------------------------------------------------------- */

static lb_outlier half_open(uint32_t calls, uint32_t successes) {
    lb_outlier rule = quiet();
    rule.consecutive_5xx = 2;
    rule.half_open = calls;
    rule.half_open_successes = successes;
    return rule;
}

/* Picks until it is `member`'s turn. */
static lb_call call_on(lb_upstream *up, uint32_t member, uint64_t now_ns) {
    lb_call call = {0};
    for (int i = 0; i < 100; i++) {
        CHECK(lb_upstream_acquire(up, now_ns, &call));
        if (call.member == member) return call;
        lb_upstream_release(up, &call);
    }
    CHECK(!"it is picked");
    return call;
}

/* After its ejection it takes half_open calls at a time, until so many succeed in a row; then the schedule is replayed
 * as before. */
static void a_trial_lets_few_through_and_closes(void) {
    static fleet f;
    lb_outlier rule = half_open(1, 2);
    lb_upstream *up = judged_by(&f, 2, &rule);
    for (int i = 0; i < 8; i++) lb_upstream_pick(up, 100 * SECOND);
    CHECK(lb_upstream_is_replaying(up));
    answer(up, 0, 500, 2, 101 * SECOND);
    for (int i = 0; i < 4; i++) CHECK_EQ(lb_upstream_pick(up, 102 * SECOND), 1);
    lb_call tried, other;
    tried = call_on(up, 0, 111 * SECOND);
    lb_receipt receipt;
    lb_want want = {.receipt = &receipt};
    uint32_t n_passed = 0;
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(lb_upstream_choose(up, &want, 111 * SECOND), 1);       /* its one call is under way */
        if (receipt.n_passed) CHECK(receipt.passed[0] == 0 && receipt.why[0] == LB_PASS_TRIAL);
        n_passed += receipt.n_passed;
    }
    CHECK(n_passed > 0 && !lb_upstream_is_replaying(up));
    lb_report good = {.outcome = {.status = 200}, .latency_ns = 1};
    lb_upstream_report(up, &tried, &good, 112 * SECOND);
    lb_upstream_release(up, &tried);
    CHECK_EQ(up->n_trials, 1);                          /* the first of two */
    walk_fleet(up, &f);
    other = call_on(up, 0, 113 * SECOND);
    lb_upstream_report(up, &other, &good, 113 * SECOND);
    for (int i = 0; i < 8; i++) lb_upstream_pick(up, 113 * SECOND);
    CHECK(up->n_trials == 0 && lb_upstream_is_replaying(up));
    lb_upstream_release(up, &other);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

static void a_failed_trial_ejects_again(void) {
    static fleet f;
    lb_outlier rule = half_open(3, 2);
    lb_upstream *up = judged_by(&f, 2, &rule);
    answer(up, 0, 500, 2, 101 * SECOND);
    lb_upstream_pick(up, 111 * SECOND);
    answer(up, 0, 200, 1, 111 * SECOND);
    answer(up, 0, 500, 1, 111 * SECOND);                /* one is enough now */
    CHECK_EQ(off_of(up, 0), LB_OFF_EJECTED);
    told(up, 0, (lb_event){.kind = LB_EVENT_EJECTED, .at_ns = 101 * SECOND, .until_ns = 111 * SECOND, .failures = 2,
                           .cause = LB_CAUSE_5XX});
    told(up, 0, (lb_event){.kind = LB_EVENT_RECOVERED, .at_ns = 111 * SECOND});
    told(up, 0, (lb_event){.kind = LB_EVENT_EJECTED, .at_ns = 111 * SECOND, .until_ns = 131 * SECOND, .failures = 1,
                           .cause = LB_CAUSE_TRIAL});
    nothing_told(up);
    walk_fleet(up, &f);
    lb_upstream_pick(up, 131 * SECOND);
    answer(up, 0, 200, 1, 131 * SECOND);
    CHECK_EQ(lb_word_read(&lb_record_of(up->state, slot_of(up, 0))->trial), 1);     /* both are needed again */
    CHECK_EQ(lb_upstream_set_health(up, 0, false, true, 131 * SECOND, NULL), LB_OK);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* "It is well by our word: there is nothing to try." */
static void a_word_of_health_ends_a_trial_before_it_begins(void) {
    static fleet f;
    lb_outlier rule = half_open(1, 2);
    lb_upstream *up = judged_by(&f, 2, &rule);
    answer(up, 0, 500, 2, 101 * SECOND);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 102 * SECOND, NULL), LB_OK);
    lb_upstream_pick(up, 102 * SECOND);
    CHECK_EQ(up->n_trials, 0);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* ---- pauses ----------------------------------------------------------------------------------------------------- */

static void busy(lb_upstream *up, uint32_t member, uint16_t status, uint64_t pause_ns, uint64_t now_ns) {
    report_one(up, member, (lb_outcome){.status = status}, pause_ns, now_ns);
}

/* A pause holds; a longer one moves its end and tells nothing; a shorter one changes nothing; it ends by itself. */
static void a_pause_holds_moves_and_ends(void) {
    static fleet f;
    lb_outlier rule = quiet();
    lb_upstream *up = judged_by(&f, 2, &rule);
    busy(up, 0, 429, 5 * SECOND, 101 * SECOND);
    CHECK_EQ(off_of(up, 0), LB_OFF_HELD);
    for (int i = 0; i < 4; i++) CHECK_EQ(lb_upstream_pick(up, 101 * SECOND), 1);
    CHECK_EQ(lb_upstream_due(up), 106 * SECOND);
    CHECK_EQ(lb_upstream_back_ns(up), 106 * SECOND);
    told(up, 0, (lb_event){.kind = LB_EVENT_HELD, .at_ns = 101 * SECOND, .until_ns = 106 * SECOND, .status = 429});
    busy(up, 0, 503, 9 * SECOND, 102 * SECOND);
    busy(up, 0, 503, SECOND, 103 * SECOND);
    walk_fleet(up, &f);
    CHECK_EQ(lb_upstream_due(up), 111 * SECOND);
    nothing_told(up);
    for (int i = 0; i < 4; i++) CHECK_EQ(lb_upstream_pick(up, 111 * SECOND - 1), 1);
    bool seen = false;
    for (int i = 0; i < 2; i++) seen = lb_upstream_pick(up, 111 * SECOND) == 0 || seen;
    CHECK(seen);
    told(up, 0, (lb_event){.kind = LB_EVENT_RELEASED, .at_ns = 111 * SECOND});
    nothing_told(up);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* "At most max_hold"; 0: nobody is listened to; no maximum share: all may be held. */
static void a_pause_is_capped_and_has_no_maximum_share(void) {
    static fleet f;
    lb_outlier rule = quiet();
    rule.max_percent = 0;
    rule.always_one = false;
    lb_upstream *up = judged_by(&f, 4, &rule);
    for (uint32_t i = 0; i < 4; i++) busy(up, i, 503, (30 + 20 * i) * SECOND, 101 * SECOND);
    CHECK_EQ(lb_upstream_pick(up, 101 * SECOND), LB_NONE);
    CHECK_EQ(lb_upstream_back_ns(up), 131 * SECOND);
    walk_fleet(up, &f);
    CHECK_EQ(lb_upstream_pick(up, 131 * SECOND), 0);
    CHECK_EQ(lb_upstream_advance(up, 161 * SECOND, NULL), LB_OK);       /* 70 and 90 s were 60 */
    CHECK_EQ(lb_upstream_view(up)->n_usable, 4);
    walk_fleet(up, &f);
    lb_upstream_free(up);
    lb_health deaf = {.outlier = rule};
    up = fleet_of(&f, 2, &deaf);
    busy(up, 0, 503, 30 * SECOND, 101 * SECOND);
    CHECK_EQ(off_of(up, 0), 0);
    nothing_told(up);
    lb_upstream_free(up);
}

/* ---- Kong's checks ---------------------------------------------------------------------------------------------- */

static lb_health kongs(void) {
    lb_health health = {.outlier = lb_outlier_off};
    lb_check_limits limits = {.successes = 2, .http_failures = 3, .tcp_failures = 2, .timeouts = 4};
    lb_status_add(&limits.healthy, 200);
    lb_status_add(&limits.unhealthy, 500);
    lb_status_add(&limits.unhealthy, 429);
    health.passive = health.active = limits;
    return health;
}

static void probe(lb_upstream *up, uint32_t member, lb_outcome outcome, uint32_t times, uint64_t now_ns) {
    for (uint32_t i = 0; i < times; i++) lb_upstream_checked(up, member, &outcome, now_ns);
}

static void passive_checks_fall_and_active_ones_rise(void) {
    static fleet f;
    lb_health health = kongs();
    static const struct { lb_outcome outcome; uint32_t n; } kinds[] = {
        {{.status = 500}, 3}, {{.status = 429}, 3}, {{.fault = LB_FAULT_CONNECT}, 2}, {{.fault = LB_FAULT_TIMEOUT}, 4},
    };
    for (size_t k = 0; k < 4; k++) {
        lb_upstream *up = fleet_of(&f, 2, &health);
        for (uint32_t i = 0; i + 1 < kinds[k].n; i++) report_one(up, 0, kinds[k].outcome, 0, 101 * SECOND);
        CHECK_EQ(off_of(up, 0), 0);
        report_one(up, 0, kinds[k].outcome, 0, 102 * SECOND);
        for (int i = 0; i < 4; i++) CHECK_EQ(lb_upstream_pick(up, 102 * SECOND), 1);
        told(up, 0, (lb_event){.kind = LB_EVENT_UNHEALTHY, .at_ns = 102 * SECOND});
        report_one(up, 0, kinds[k].outcome, 0, 103 * SECOND);
        probe(up, 0, (lb_outcome){.status = 200}, 1, 104 * SECOND);
        CHECK_EQ(off_of(up, 0), LB_OFF_UNHEALTHY);
        probe(up, 0, (lb_outcome){.status = 200}, 1, 105 * SECOND);
        told(up, 0, (lb_event){.kind = LB_EVENT_HEALTHY, .at_ns = 105 * SECOND});
        nothing_told(up);
        CHECK_EQ(settled(up)->n_usable, 2);
        walk_fleet(up, &f);
        lb_upstream_checked(up, 2, &kinds[k].outcome, 106 * SECOND);    /* nobody is there */
        lb_upstream_free(up);
    }
}

/* "A status in neither list never freezes a target": it neither counts nor clears. */
static void a_status_in_neither_list_never_freezes_a_target(void) {
    static fleet f;
    lb_health health = kongs();
    lb_upstream *up = fleet_of(&f, 2, &health);
    for (int i = 0; i < 3; i++) {
        answer(up, 0, 404, 50, 101 * SECOND);
        CHECK_EQ(off_of(up, 0), 0);
        answer(up, 0, 500, 1, 101 * SECOND);
    }
    CHECK_EQ(off_of(up, 0), LB_OFF_UNHEALTHY);          /* the third 500, however many 404 came between */
    answer(up, 0, 404, 50, 102 * SECOND);
    probe(up, 0, (lb_outcome){.status = 404}, 50, 102 * SECOND);
    CHECK_EQ(off_of(up, 0), LB_OFF_UNHEALTHY);
    probe(up, 0, (lb_outcome){.status = 200}, 1, 103 * SECOND);
    probe(up, 0, (lb_outcome){.status = 404}, 50, 103 * SECOND);
    probe(up, 0, (lb_outcome){.status = 200}, 1, 103 * SECOND);
    CHECK_EQ(off_of(up, 0), 0);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* "Serves only while more of its weight is available": strictly more. */
static void the_threshold_is_strict(void) {
    static const struct { double threshold; uint32_t out; bool serves; } cases[] = {
        {0, 3, true}, {25, 3, false}, {24.9, 3, true}, {50, 2, false}, {50, 1, true}, {75, 1, false}, {74, 1, true},
        {100, 0, false}, {99, 0, true},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        static fleet f;
        lb_health health = {.outlier = lb_outlier_off, .threshold = cases[c].threshold};
        lb_upstream *up = fleet_of(&f, 4, &health);
        take_down(up, 0, cases[c].out);
        CHECK_EQ(lb_upstream_pick(up, 101 * SECOND) != LB_NONE, cases[c].serves);
        walk_fleet(up, &f);
        CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 102 * SECOND, NULL), LB_OK);
        walk_fleet(up, &f);
        lb_upstream_free(up);
    }
}

/* ---- the operator's word ---------------------------------------------------------------------------------------- */

static void what_is_kept_no_check_changes(void) {
    static fleet f;
    lb_health health = kongs();
    lb_upstream *up = fleet_of(&f, 2, &health);
    CHECK_EQ(lb_upstream_set_health(up, 0, false, true, 101 * SECOND, NULL), LB_OK);
    told(up, 0, (lb_event){.kind = LB_EVENT_UNHEALTHY, .at_ns = 101 * SECOND});
    probe(up, 0, (lb_outcome){.fault = LB_FAULT_CONNECT}, 5, 102 * SECOND);     /* it falls beneath, and rises */
    probe(up, 0, (lb_outcome){.status = 200}, 5, 103 * SECOND);
    CHECK_EQ(off_of(up, 0), LB_OFF_UNHEALTHY);
    nothing_told(up);                                   /* it is out all the time: nothing has happened to it */
    CHECK_EQ(lb_upstream_set_health(up, 0, false, false, 104 * SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, false, 105 * SECOND, NULL), LB_OK);
    told(up, 0, (lb_event){.kind = LB_EVENT_HEALTHY, .at_ns = 105 * SECOND});
    nothing_told(up);
    CHECK_EQ(off_of(up, 0), 0);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

static void what_is_not_kept_checks_change_again(void) {
    static fleet f;
    lb_health health = kongs();
    lb_upstream *up = fleet_of(&f, 2, &health);
    CHECK_EQ(lb_upstream_set_health(up, 0, false, false, 101 * SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_pick(up, 101 * SECOND), 1);
    probe(up, 0, (lb_outcome){.status = 200}, 2, 102 * SECOND);
    CHECK_EQ(off_of(up, 0), 0);
    told(up, 0, (lb_event){.kind = LB_EVENT_UNHEALTHY, .at_ns = 101 * SECOND});
    told(up, 0, (lb_event){.kind = LB_EVENT_HEALTHY, .at_ns = 102 * SECOND});
    nothing_told(up);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* One word ends all that keeps it out, but for a drain and what is disabled; each end is told once. */
static void a_word_of_health_ends_everything(void) {
    static fleet f;
    lb_health health = kongs();
    health.outlier = ejecting(1, 50, 10 * SECOND, 10 * SECOND);
    health.max_hold_ns = 60 * SECOND;
    lb_upstream *up = fleet_of(&f, 3, &health);
    report_one(up, 0, (lb_outcome){.fault = LB_FAULT_CONNECT}, 20 * SECOND, 101 * SECOND);
    CHECK_EQ(lb_upstream_set_health(up, 0, false, true, 101 * SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_disable(up, 0, true, 101 * SECOND, NULL), LB_OK);
    CHECK_EQ(off_of(up, 0), LB_OFF_EJECTED | LB_OFF_HELD | LB_OFF_UNHEALTHY | LB_OFF_DISABLED);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 102 * SECOND, NULL), LB_OK);
    CHECK_EQ(off_of(up, 0), LB_OFF_DISABLED);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 103 * SECOND, NULL), LB_OK);     /* again: nothing is left */
    told(up, 0, (lb_event){.kind = LB_EVENT_EJECTED, .at_ns = 101 * SECOND, .until_ns = 111 * SECOND, .failures = 1,
                           .cause = LB_CAUSE_LOCAL});
    told(up, 0, (lb_event){.kind = LB_EVENT_HELD, .at_ns = 101 * SECOND, .until_ns = 121 * SECOND});
    told(up, 0, (lb_event){.kind = LB_EVENT_UNHEALTHY, .at_ns = 101 * SECOND});
    told(up, 0, (lb_event){.kind = LB_EVENT_DISABLED, .at_ns = 101 * SECOND});
    told(up, 0, (lb_event){.kind = LB_EVENT_RECOVERED, .at_ns = 102 * SECOND});
    told(up, 0, (lb_event){.kind = LB_EVENT_RELEASED, .at_ns = 102 * SECOND});
    told(up, 0, (lb_event){.kind = LB_EVENT_HEALTHY, .at_ns = 102 * SECOND});
    nothing_told(up);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

int main(void) {
    RUN(a_detector_ejects_at_its_count);
    RUN(only_what_is_enforced_is_carried_out);
    RUN(a_percentage_is_carried_out_that_often);
    RUN(the_maximum_share_holds);
    RUN(a_success_rate_is_judged_at_the_end_of_an_interval);
    RUN(a_failure_percentage_is_judged_at_the_end_of_an_interval);
    RUN(who_is_back_leaves_room_at_the_same_moment);
    RUN(a_trial_lets_few_through_and_closes);
    RUN(a_failed_trial_ejects_again);
    RUN(a_word_of_health_ends_a_trial_before_it_begins);
    RUN(a_pause_holds_moves_and_ends);
    RUN(a_pause_is_capped_and_has_no_maximum_share);
    RUN(passive_checks_fall_and_active_ones_rise);
    RUN(a_status_in_neither_list_never_freezes_a_target);
    RUN(the_threshold_is_strict);
    RUN(what_is_kept_no_check_changes);
    RUN(what_is_not_kept_checks_change_again);
    RUN(a_word_of_health_ends_everything);
    return check_result();
}

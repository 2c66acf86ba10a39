/* life: a target's drain, its being out of service, who serves when nobody is well, and what flapping comes to. */
#include "upstreams.h"

static uint32_t off_of(const lb_upstream *up, uint32_t member) {
    return lb_record_off(lb_record_of(lb_upstream_state(up), slot_of(up, member)));
}

static bool told(lb_upstream *up, lb_event_kind kind, uint32_t slot, uint64_t at_ns, uint64_t until_ns) {
    lb_event event = {.kind = (lb_event_kind)99};
    uint64_t dropped = 1;
    return lb_upstream_next_event(up, &event, &dropped) && !dropped && event.kind == kind && event.slot == slot
           && event.at_ns == at_ns && event.until_ns == until_ns && event.cause == LB_CAUSE_NONE && !event.failures;
}

static bool nothing_told(lb_upstream *up) {
    lb_event event;
    uint64_t dropped;
    return !lb_upstream_next_event(up, &event, &dropped) && !dropped;
}

static lb_call begin_on(lb_upstream *up, uint32_t member, uint64_t now_ns) {
    lb_call call;
    lb_upstream_begin_on(up, member, now_ns, &call);
    return call;
}

/* ---- drain ------------------------------------------------------------------------------------------------------ */

/* No new calls; its sessions until the deadline; told when the last call has ended, once. */
static void a_drain_ends_with_the_last_call(void) {
    static fleet f;
    f.n = 0;
    add_targets(&f, 3, 0);
    lb_upstream *up = upstream_named("round_robin", &f);
    uint32_t slot = slot_of(up, 1);
    lb_call first = begin_on(up, 1, SECOND), second = begin_on(up, 1, SECOND);
    CHECK_EQ(lb_upstream_drain(up, 1, 60 * SECOND, 2 * SECOND, NULL), LB_OK);
    CHECK(told(up, LB_EVENT_DRAINING, slot, 2 * SECOND, 60 * SECOND));
    for (int i = 0; i < 9; i++) CHECK(lb_upstream_pick(up, 3 * SECOND) != 1);
    CHECK(lb_upstream_serves_session(up, 1, 60 * SECOND - 1) && !lb_upstream_serves_session(up, 1, 60 * SECOND));
    CHECK_EQ(up->n_draining, 1);
    walk_fleet(up, &f);
    lb_upstream_release(up, &first);
    lb_call session = begin_on(up, 1, 4 * SECOND);
    lb_upstream_release(up, &second);
    CHECK(nothing_told(up));
    lb_upstream_release(up, &session);
    CHECK(told(up, LB_EVENT_DRAINED, slot, 4 * SECOND, 0) && nothing_told(up));
    CHECK_EQ(up->n_draining, 0);
    session = begin_on(up, 1, 5 * SECOND);              /* a late session: it has been told already */
    lb_upstream_release(up, &session);
    CHECK_EQ(lb_upstream_advance(up, 70 * SECOND, NULL), LB_OK);
    CHECK(nothing_told(up) && off_of(up, 1) == LB_OFF_DRAINING);        /* past the deadline it stays out */
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

static void an_idle_target_is_drained_at_once(void) {
    static fleet f;
    f.n = 0;
    add_targets(&f, 2, 0);
    lb_upstream *up = upstream_named("round_robin", &f);
    uint32_t slot = slot_of(up, 0);
    for (uint64_t round = 1; round < 4; round++) {
        uint64_t now_ns = round * 10 * SECOND;
        CHECK_EQ(lb_upstream_drain(up, 0, LB_NEVER, now_ns, NULL), LB_OK);
        CHECK_EQ(lb_upstream_drain(up, 0, 90 * SECOND, now_ns + 1, NULL), LB_OK);   /* now until then: no event */
        CHECK(told(up, LB_EVENT_DRAINING, slot, now_ns, 0) && told(up, LB_EVENT_DRAINED, slot, now_ns, 0));
        CHECK(nothing_told(up));
        walk_fleet(up, &f);
        CHECK_EQ(lb_upstream_undrain(up, 0, now_ns + SECOND, NULL), LB_OK);
        CHECK_EQ(lb_upstream_undrain(up, 0, now_ns + SECOND, NULL), LB_OK);
        CHECK(told(up, LB_EVENT_UNDRAINED, slot, now_ns + SECOND, 0) && nothing_told(up));
        CHECK_EQ(settled(up)->n_usable, 2);
        walk_fleet(up, &f);
    }
    lb_upstream_free(up);
}

/* A failed call that stays counted for a while is not under way any more. */
static void held_calls_do_not_keep_a_drain_waiting(void) {
    static fleet f;
    f.n = 0;
    add_targets(&f, 2, 0);
    lb_upstream *up = upstream_named("least_request", &f);
    CHECK(up->spec.policy->load_aware);
    uint32_t slot = slot_of(up, 0);
    lb_call early = begin_on(up, 0, SECOND), late = begin_on(up, 0, SECOND);
    report_verdict(up, &early, LB_FAILURE, 1, SECOND);
    lb_upstream_release(up, &early);
    CHECK_EQ(lb_upstream_drain(up, 0, LB_NEVER, SECOND, NULL), LB_OK);
    CHECK(told(up, LB_EVENT_DRAINING, slot, SECOND, 0) && nothing_told(up));    /* one is open */
    report_verdict(up, &late, LB_FAILURE, 1, SECOND);
    lb_upstream_release(up, &late);
    CHECK_EQ(calls_on(up, 0), 2);
    CHECK(told(up, LB_EVENT_DRAINED, slot, SECOND, 0));
    CHECK_EQ(lb_upstream_advance(up, 10 * SECOND, NULL), LB_OK);
    CHECK(calls_on(up, 0) == 0 && nothing_told(up));
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* The last call of a target that was removed says nothing, and takes nobody else's event away. */
static void removal_ends_a_drain(void) {
    static fleet f;
    f.n = 0;
    add_targets(&f, 3, 0);
    lb_upstream *up = upstream_named("round_robin", &f);
    lb_call stays = begin_on(up, 0, SECOND), goes = begin_on(up, 2, SECOND);
    uint32_t slot = slot_of(up, 0), gone = slot_of(up, 2);
    CHECK_EQ(lb_upstream_drain(up, 0, LB_NEVER, SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_drain(up, 2, LB_NEVER, SECOND, NULL), LB_OK);
    f.n = 2;
    CHECK_EQ(lb_upstream_update(up, f.target, 2, 2 * SECOND, NULL), LB_OK);
    CHECK(told(up, LB_EVENT_DRAINING, slot, SECOND, 0) && told(up, LB_EVENT_DRAINING, gone, SECOND, 0));
    CHECK_EQ(up->n_draining, 1);
    lb_upstream_release(up, &goes);
    CHECK(nothing_told(up) && up->n_draining == 1);
    walk_fleet(up, &f);
    lb_upstream_release(up, &stays);
    CHECK(told(up, LB_EVENT_DRAINED, slot, 2 * SECOND, 0) && nothing_told(up));
    lb_upstream_free(up);
}

/* ---- out of service --------------------------------------------------------------------------------------------- */

static void who_is_disabled_serves_nobody(void) {
    static fleet f;
    f.n = 0;
    add_targets(&f, 2, 0);
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.levels.panic = 100;
    lb_upstream *up = upstream_with(&spec, &f, SECOND);
    uint32_t slot = slot_of(up, 0);
    CHECK_EQ(lb_upstream_disable(up, 0, true, SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_disable(up, 0, true, 2 * SECOND, NULL), LB_OK);
    CHECK(told(up, LB_EVENT_DISABLED, slot, SECOND, 0) && nothing_told(up));
    for (int i = 0; i < 4; i++) CHECK_EQ(lb_upstream_pick(up, 2 * SECOND), 1);
    CHECK(!lb_upstream_serves_session(up, 0, 2 * SECOND));
    CHECK_EQ(lb_upstream_drain(up, 0, LB_NEVER, 3 * SECOND, NULL), LB_OK);
    CHECK(!lb_upstream_serves_session(up, 0, 3 * SECOND));              /* not even while it drains */
    CHECK_EQ(lb_upstream_undrain(up, 0, 3 * SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 3 * SECOND, NULL), LB_OK);       /* another matter */
    CHECK_EQ(off_of(up, 0), LB_OFF_DISABLED);
    walk_fleet(up, &f);
    CHECK_EQ(lb_upstream_disable(up, 0, false, 4 * SECOND, NULL), LB_OK);
    CHECK(told(up, LB_EVENT_DRAINING, slot, 3 * SECOND, 0) && told(up, LB_EVENT_DRAINED, slot, 3 * SECOND, 0));
    CHECK(told(up, LB_EVENT_UNDRAINED, slot, 3 * SECOND, 0) && told(up, LB_EVENT_ENABLED, slot, 4 * SECOND, 0));
    CHECK(nothing_told(up));
    CHECK_EQ(settled(up)->n_usable, 2);
    CHECK_EQ(lb_upstream_disable(up, 2, true, 4 * SECOND, NULL), LB_ERR_CONFIG);
    lb_upstream_free(up);
}

/* ---- nobody is well --------------------------------------------------------------------------------------------- */

enum { N = 6 };

/* 0 ejected until 21 s, 1 and 2 held until 11 s, 3 unhealthy, 4 draining, 5 disabled; even ones have label 7. */
static lb_upstream *nobody_is_well(fleet *f, const lb_policy *policy, lb_when_empty when_empty, lb_subset **even) {
    lb_upstream_spec spec = spec_of(policy);
    spec.health.outlier = ejecting(1, 100, 20 * SECOND, 20 * SECOND);
    spec.health.max_hold_ns = 60 * SECOND;
    spec.when_empty = when_empty;
    spec.limits.hold_ns = 0;
    f->n = 0;
    add_targets(f, N, 0);
    for (uint32_t i = 0; i < N; i += 2) give_label(f, i, 7);
    lb_upstream *up = upstream_with(&spec, f, SECOND);
    *even = subset_of(up, 7);
    lb_call call = begin_on(up, 0, SECOND);
    report_verdict(up, &call, LB_FAILURE, 1, SECOND);
    lb_upstream_release(up, &call);
    for (uint32_t i = 1; i < 3; i++) {
        call = begin_on(up, i, SECOND);
        lb_report busy = {.outcome = {.status = 503}, .latency_ns = 1, .pause_ns = 10 * SECOND};
        lb_upstream_report(up, &call, &busy, SECOND);
        lb_upstream_release(up, &call);
    }
    CHECK_EQ(lb_upstream_set_health(up, 3, false, true, SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_drain(up, 4, LB_NEVER, SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_disable(up, 5, true, SECOND, NULL), LB_OK);
    return up;
}

/* Choices of 600 keys: how many each gets. */
static void count_keys(lb_upstream *up, const lb_subset *within, uint32_t *got) {
    memset(got, 0, (N + 1) * sizeof *got);
    for (uint32_t k = 0; k < 600; k++) {
        char text[16];
        snprintf(text, sizeof text, "key %u", k);
        lb_key key = {.text = lb_str_of(text)};
        lb_want want = {.key = &key, .within = within};
        uint32_t member = lb_upstream_choose(up, &want, SECOND);
        got[member < N ? member : N]++;
    }
}

/* fail: nobody.  panic: all who are not draining or disabled, evenly.  least_bad: who is back soonest, ties share. */
static void when_nobody_is_well_the_rule_says_who_serves(void) {
    static const char *const policies[] = {"round_robin", "least_request", "random", "hash", "maglev", "ring_hash"};
    static const uint32_t all[3][N] = {{0}, {1, 1, 1, 1, 0, 0}, {0, 1, 1, 0, 0, 0}};
    static const uint32_t evens[3][N] = {{0}, {1, 0, 1, 0, 0, 0}, {0, 0, 1, 0, 0, 0}};
    for (size_t p = 0; p < sizeof policies / sizeof *policies; p++) {
        const lb_policy *policy = policy_named(policies[p]);
        for (int rule = 0; rule < 3; rule++) {
            static fleet f;
            uint32_t got[N + 1];
            lb_subset *even;
            lb_upstream *up = nobody_is_well(&f, policy, (lb_when_empty)rule, &even);
            for (int part = 0; part < 2; part++) {
                const uint32_t *serve = part ? evens[rule] : all[rule];
                uint32_t n = 0;
                for (uint32_t i = 0; i < N; i++) n += serve[i];
                count_keys(up, part ? even : NULL, got);
                CHECK_EQ(got[N], n ? 0 : 600);
                bool exact = strcmp(policies[p], "round_robin") == 0;
                for (uint32_t i = 0; i < N; i++) {
                    CHECK_EQ(got[i] > 0, serve[i]);
                    if (exact && serve[i]) CHECK_EQ(got[i], 600 / n);
                    if (serve[i]) CHECK(got[i] > 300 / n && got[i] < 1200 / n);
                }
            }
            walk_fleet(up, &f);
            lb_subset_free(even);
            lb_upstream_free(up);
        }
    }
}

/* The soonest one is back: it serves by itself, and the others as they come. */
static void the_least_bad_make_room_for_who_is_back(void) {
    static fleet f;
    lb_subset *even;
    lb_upstream *up = nobody_is_well(&f, policy_named("round_robin"), LB_EMPTY_LEAST_BAD, &even);
    CHECK_EQ(lb_upstream_set_health(up, 1, false, true, SECOND, NULL), LB_OK);
    for (int i = 0; i < 4; i++) CHECK_EQ(lb_upstream_pick(up, 2 * SECOND), 2);
    CHECK_EQ(lb_upstream_set_health(up, 2, false, true, 3 * SECOND, NULL), LB_OK);
    for (int i = 0; i < 4; i++) CHECK_EQ(lb_upstream_pick(up, 3 * SECOND), 0);
    CHECK_EQ(lb_upstream_disable(up, 0, true, 3 * SECOND, NULL), LB_OK);
    bool seen[N] = {false};
    for (int i = 0; i < 6; i++) seen[lb_upstream_pick(up, 4 * SECOND)] = true;      /* then the unhealthy, all alike */
    CHECK(seen[1] && seen[2] && seen[3] && !seen[0]);
    walk_fleet(up, &f);
    CHECK_EQ(lb_upstream_set_health(up, 3, true, true, 5 * SECOND, NULL), LB_OK);
    for (int i = 0; i < 4; i++) CHECK_EQ(lb_upstream_pick(up, 5 * SECOND), 3);      /* somebody is well */
    walk_fleet(up, &f);
    lb_subset_free(even);
    lb_upstream_free(up);
}

/* ---- panic ------------------------------------------------------------------------------------------------------ */

/* "A level with less than `panic` percent healthy": strictly below 50 of 100, and at 50 it is over. */
static void panic_begins_below_its_threshold_and_ends_at_it(void) {
    static fleet f;
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.levels = (lb_levels){.overprovisioning = 100, .panic = 50};
    f.n = 0;
    add_targets(&f, 10, 0);
    lb_upstream *up = upstream_with(&spec, &f, SECOND);
    for (uint32_t out = 1; out <= 10; out++) {
        CHECK_EQ(lb_upstream_set_health(up, out - 1, false, true, SECOND, NULL), LB_OK);
        CHECK_EQ(settled(up)->n_usable, out <= 5 ? 10 - out : 10);
        walk_fleet(up, &f);
    }
    for (uint32_t well = 1; well <= 10; well++) {
        CHECK_EQ(lb_upstream_set_health(up, well - 1, true, true, SECOND, NULL), LB_OK);
        CHECK_EQ(settled(up)->n_usable, well < 5 ? 10 : well);
        walk_fleet(up, &f);
    }
    lb_upstream_free(up);
}

/* ---- a fork ----------------------------------------------------------------------------------------------------- */

/* Open calls are the parent's, those of removed targets too; what is known of the targets the child knows as well. */
static void a_child_begins_without_calls(void) {
    static fleet f;
    f.n = 0;
    add_targets(&f, 3, 0);
    lb_upstream *up = upstream_named("least_request", &f);
    lb_call open = begin_on(up, 0, SECOND), failed = begin_on(up, 1, SECOND), going = begin_on(up, 2, SECOND);
    report_verdict(up, &failed, LB_FAILURE, 1, SECOND);
    lb_upstream_release(up, &failed);                   /* it stays counted, in the parent */
    f.n = 2;
    CHECK_EQ(lb_upstream_update(up, f.target, 2, SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_set_health(up, 1, false, true, SECOND, NULL), LB_OK);
    lb_upstream_forked(up, 5);
    CHECK(lb_upstream_in_flight(up) == 0 && nothing_told(up));
    walk_fleet(up, &f);
    for (int late = 0; late < 2; late++) {
        lb_upstream_release(up, &open);
        lb_upstream_release(up, &going);
        report_verdict(up, &open, LB_FAILURE, 1, SECOND);
        CHECK_EQ(lb_upstream_rejoin(up, SECOND, NULL), LB_OK);          /* nothing is shared: nothing to join */
    }
    CHECK_EQ(lb_upstream_advance(up, 9 * SECOND, NULL), LB_OK);
    CHECK(lb_upstream_in_flight(up) == 0 && off_of(up, 1) == LB_OFF_UNHEALTHY);
    CHECK_EQ(lb_upstream_pick(up, 9 * SECOND), 0);
    f.n = 3;
    CHECK_EQ(lb_upstream_update(up, f.target, 3, 9 * SECOND, NULL), LB_OK);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* ---- flapping --------------------------------------------------------------------------------------------------- */

/* 100,000 outcomes, each the opposite of the one before, a millisecond apart: what changes is bounded by the lengths of
 * ejections, not by the number of outcomes; the queue of events by its 256 places. */
static void flapping_changes_little(void) {
    static fleet f;
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.health.outlier = ejecting(1, 50, SECOND, 8 * SECOND);
    f.n = 0;
    add_targets(&f, 4, 0);
    lb_upstream *up = upstream_with(&spec, &f, SECOND);
    uint64_t n_pictures = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t now_ns = SECOND + i * 1000000;
        const lb_view *view = lb_upstream_view(up);
        lb_call call;
        CHECK(lb_upstream_acquire(up, now_ns, &call));
        n_pictures += lb_upstream_view(up) != view;
        report_verdict(up, &call, i % 2 ? LB_SUCCESS : LB_FAILURE, 1, now_ns);
        lb_upstream_release(up, &call);
    }
    /* 100 s; at most 2 out at a time, each for 1 s at least. */
    CHECK(lb_word_read(up->hot.epoch) <= 202 && n_pictures <= 2 * 202);
    CHECK(up->events.n <= LB_MAX_EVENTS);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* Checks flap as often as they are told to: no ejection slows them; events are dropped and counted, nothing grows. */
static void flapping_checks_fill_no_memory(void) {
    static fleet f;
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.health.active = (lb_check_limits){.successes = 1, .tcp_failures = 1};
    f.n = 0;
    add_targets(&f, 2, 0);
    lb_upstream *up = upstream_with(&spec, &f, SECOND);
    const lb_outcome down = {.fault = LB_FAULT_CONNECT}, well = {.verdict = LB_SUCCESS};
    for (uint64_t i = 0; i < 100000; i++) lb_upstream_checked(up, 0, i % 2 ? &well : &down, SECOND + i);
    CHECK_EQ(lb_word_read(up->hot.epoch), 100000);
    lb_event event;
    uint64_t dropped, n_dropped = 0, n = 0;
    while (lb_upstream_next_event(up, &event, &dropped)) {
        n_dropped += dropped;
        CHECK_EQ(event.kind, n++ % 2 ? LB_EVENT_HEALTHY : LB_EVENT_UNHEALTHY);
    }
    CHECK(n == LB_MAX_EVENTS && n_dropped == 100000 - LB_MAX_EVENTS);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

int main(void) {
    RUN(a_drain_ends_with_the_last_call);
    RUN(an_idle_target_is_drained_at_once);
    RUN(held_calls_do_not_keep_a_drain_waiting);
    RUN(removal_ends_a_drain);
    RUN(who_is_disabled_serves_nobody);
    RUN(when_nobody_is_well_the_rule_says_who_serves);
    RUN(the_least_bad_make_room_for_who_is_back);
    RUN(panic_begins_below_its_threshold_and_ends_at_it);
    RUN(a_child_begins_without_calls);
    RUN(flapping_changes_little);
    RUN(flapping_checks_fill_no_memory);
    return check_result();
}

/* health threads: many workers on one record, for ThreadSanitizer too: no outcome is lost, each transition has one winner. */
#include "bare.h"

#include "health/checks.h"
#include "health/outlier.h"
#include "health/pause.h"
#include "health/window.h"

#include <pthread.h>

enum { WORKERS = 4, CALLS = 6000, LIMIT = 7 };

static lb_record record;
static lb_common common;
static lb_word asked, ejected, recovered, fell, rose, held, ended, turns;

static void run(void *(*worker)(void *)) {
    pthread_t thread[WORKERS];
    for (int i = 0; i < WORKERS; i++) CHECK_EQ(pthread_create(&thread[i], NULL, worker, NULL), 0);
    for (int i = 0; i < WORKERS; i++) CHECK_EQ(pthread_join(thread[i], NULL), 0);
}

static const lb_outcome refused = {.fault = LB_FAULT_CONNECT}, answered = {.status = 200};

static void *count_failures(void *unused) {
    lb_outlier rule = lb_outlier_default;
    (void)unused;
    rule.consecutive_local = LIMIT;
    for (int i = 0; i < CALLS; i++) lb_word_add(&asked, lb_outlier_count(&rule, &record, &refused, 0) != 0);
    return NULL;
}

/* Every LIMIT-th failure asks, of all workers together, and what is left over stands in the streak. */
static void no_failure_is_lost(void) {
    lb_record_clear(&record);
    run(count_failures);
    CHECK_EQ(lb_word_read(&asked), WORKERS * CALLS / LIMIT);
    CHECK_EQ(lb_outlier_streak(&record, LB_CAUSE_LOCAL), WORKERS * CALLS % LIMIT);
}

static void *fill_window(void *unused) {
    (void)unused;
    for (int i = 0; i < CALLS; i++) lb_window_add(&record, (uint64_t)i / (CALLS / 2), i % 2 == 0);
    return NULL;
}

static void no_call_is_lost_from_its_interval(void) {
    uint32_t successes;
    lb_record_clear(&record);
    run(fill_window);
    for (uint64_t interval = 0; interval < 2; interval++) {
        CHECK_EQ(lb_window_calls(&record, interval, &successes), WORKERS * CALLS / 2);
        CHECK_EQ(successes, WORKERS * CALLS / 4);
    }
}

/* All run for the same ejections and recoveries, at times that all know. */
static void *come_and_go(void *unused) {
    lb_outlier rule = lb_outlier_default;
    (void)unused;
    rule.base_ns = rule.max_ns = 10, rule.half_open = 1;
    for (uint64_t now = 1; now < 4000; now++) {
        lb_outlier_count(&rule, &record, now % 3 ? &refused : &answered, now);
        lb_word_add(&ejected, lb_outlier_eject(&rule, &record, now, now));
        lb_word_add(&recovered, lb_outlier_recover(&record, now, false));
        CHECK(lb_word_read(&record.trial) <= 1);
    }
    return NULL;
}

static void each_ejection_and_each_recovery_has_one_winner(void) {
    lb_record_clear(&record);
    run(come_and_go);
    bool out = lb_word_read(&record.ejected_until_ns) != 0;
    CHECK_EQ(lb_word_read(&ejected), lb_word_read(&recovered) + out);
    CHECK(lb_word_read(&ejected) > 0);
}

static void *eject_once(void *unused) {
    (void)unused;
    lb_word_add(&ejected, lb_outlier_eject(&lb_outlier_default, &record, 0, 5));
    return NULL;
}

static void of_all_workers_one_ejects(void) {
    for (int round = 0; round < 200; round++) {
        lb_record_clear(&record);
        lb_word_write(&ejected, 0);
        run(eject_once);
        CHECK_EQ(lb_word_read(&ejected), 1);
        CHECK_EQ(lb_word_read(&record.ejections), 1);
    }
}

static void *check(void *unused) {
    lb_check_limits limits = {.successes = 3, .tcp_failures = 3};
    (void)unused;
    lb_status_add(&limits.healthy, 200);
    for (int i = 0; i < CALLS; i++) {
        lb_check_change change = lb_checks_count(&limits, &record, i / 10 % 2 ? &answered : &refused);
        lb_word_add(&fell, change == LB_CHECK_FELL);
        lb_word_add(&rose, change == LB_CHECK_ROSE);
    }
    return NULL;
}

static void each_fall_is_told_once_and_each_rise(void) {
    lb_record_clear(&record);
    run(check);
    bool down = lb_checks_state(&record) > LB_CHECK_MOSTLY_HEALTHY;
    CHECK_EQ(lb_word_read(&fell), lb_word_read(&rose) + down);
    CHECK(lb_word_read(&fell) > 0);
}

static void *hold(void *unused) {
    (void)unused;
    for (uint64_t now = 1; now < CALLS; now++) {
        bool moved;
        if (lb_pause_hold(&record, now % 7, 5, now, &moved)) lb_word_add(&held, !moved);
        lb_word_add(&ended, lb_pause_end(&record, now));
    }
    return NULL;
}

static void each_hold_begins_once_and_ends_once(void) {
    lb_record_clear(&record);
    run(hold);
    CHECK_EQ(lb_word_read(&held), lb_word_read(&ended) + (lb_word_read(&record.held_until_ns) != 0));
    CHECK(lb_word_read(&held) > 0);
}

static void *take_turns(void *unused) {
    lb_outlier rule = lb_outlier_envoy;
    (void)unused;
    rule.interval_ns = 10;
    for (uint64_t now = 0; now < 10000; now++) lb_word_add(&turns, lb_outlier_is_my_turn(&rule, &common, now));
    return NULL;
}

/* Who is late finds its turns taken: at most one each interval, and the last one is had. */
static void an_interval_is_judged_once(void) {
    run(take_turns);
    CHECK(lb_word_read(&turns) >= 1 && lb_word_read(&turns) <= 999);
    CHECK_EQ(lb_word_read(&common.judged), 9990);
}

int main(void) {
    RUN(no_failure_is_lost);
    RUN(no_call_is_lost_from_its_interval);
    RUN(each_ejection_and_each_recovery_has_one_winner);
    RUN(of_all_workers_one_ejects);
    RUN(each_fall_is_told_once_and_each_rise);
    RUN(each_hold_begins_once_and_ends_once);
    RUN(an_interval_is_judged_once);
    return check_result();
}

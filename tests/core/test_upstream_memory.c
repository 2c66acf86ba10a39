/* upstream without memory: with each allocation failing in turn, each change, under each policy of the register, on one
 * level or on several with subsets, changes nothing: the picture, the records and the next picks are those of a twin
 * that never tried. */
#include "upstreams.h"

enum { N = 17 };                                        /* more than one block of slots */

static const lb_policy *policy;                         /* the one under test */
static bool levelled;                                   /* two priorities, slow start, panic, and a subset */
static char owner[2 * N];
static const uint32_t even = 2;                         /* the label of every other target */

static void targets_from(uint32_t first, lb_target_spec *list, char (*text)[16]) {
    for (uint32_t i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "10.0.0.%u:80", first + i);
        list[i] = (lb_target_spec){
            .address = lb_str_of(text[i]), .weight = i % 4, .user = &owner[first + i],
            .priority = levelled && i % 8 > 4, .labels = &even, .n_labels = levelled && (first + i) % 2 == 0,
        };
    }
}

static lb_status update_from(lb_upstream *up, uint32_t first, uint64_t now_ns) {
    lb_target_spec list[N];
    char text[N][16];
    targets_from(first, list, text);
    return lb_upstream_update(up, list, N, now_ns, NULL);
}

static lb_status new_upstream(lb_upstream **out) {
    lb_upstream_spec spec = {.policy = policy, .seed = 11};
    lb_upstream_defaults(&spec);
    small_params(policy, spec.param);
    if (levelled) {
        spec.levels.panic = 30;
        spec.slow_start.window_ns = 160 * SECOND;
        for (uint32_t i = 0; i < LB_SLOW_STEPS; i++) spec.slow_start.step[i] = 4096 * (i + 1);
    }
    lb_target_spec list[N];
    char text[N][16];
    targets_from(0, list, text);
    return lb_upstream_new(out, &spec, list, N, SECOND, NULL);
}

/* Keyed policies are always asked with this key, the others ignore it. */
static const lb_key key = {.text = {"key", 3}};
static const lb_want by_key = {.key = &key};

static lb_call a_call(lb_upstream *up) {
    lb_call call = {0};
    CHECK(lb_upstream_begin(up, &by_key, SECOND, &call));
    return call;
}

/* Some schemes refuse fleets that they cannot hold. */
static bool refused(void) {
    lb_upstream *up = NULL;
    lb_subset *subset = NULL;
    lb_status status = new_upstream(&up);
    if (!status) status = lb_upstream_subset(up, &even, 1, SECOND, &subset, NULL);
    lb_subset_free(subset);
    CHECK(status == LB_OK || status == LB_ERR_CONFIG);
    lb_upstream_free(up);
    return status != LB_OK;
}

/* ---- alike ------------------------------------------------------------------------------------------------ */

static void same_record(const lb_record *a, const lb_record *b) {
    const lb_word *word = (const lb_word *)(const void *)a, *other = (const lb_word *)(const void *)b;
    for (size_t i = 0; i < sizeof *a / sizeof *word; i++) CHECK_EQ(lb_word_read(&word[i]), lb_word_read(&other[i]));
}

static void same_seat(const lb_seat *a, const lb_seat *b) {
    CHECK_EQ(a->n_held, b->n_held);
    CHECK(a->used == b->used && a->leaving == b->leaving && a->drained == b->drained);
}

static void same_view(const lb_view *a, const lb_view *b) {
    CHECK_EQ(a->n_members, b->n_members);
    CHECK_EQ(a->n_usable, b->n_usable);
    CHECK_EQ(a->total_weight, b->total_weight);
    CHECK(!a->origin == !b->origin);
    for (uint32_t i = 0; i < a->n_members; i++) {
        CHECK_EQ(a->weight[i], b->weight[i]);
        CHECK_EQ(a->full[i], b->full[i]);
        if (a->origin) CHECK_EQ(a->origin[i], b->origin[i]);
        CHECK_EQ(a->slot[i], b->slot[i]);
        CHECK(a->user[i] == b->user[i]);
        same_record(lb_record_of(a->state, a->slot[i]), lb_record_of(b->state, b->slot[i]));
        same_seat(lb_seat_of(a->state, a->slot[i]), lb_seat_of(b->state, b->slot[i]));
        uint32_t open = lb_counter_read(lb_in_flight(a->state, a->slot[i]));
        CHECK_EQ(open, lb_counter_read(lb_in_flight(b->state, b->slot[i])));
    }
}

static void same_events(lb_upstream *a, lb_upstream *b) {
    lb_event event, other;
    uint64_t dropped, dropped_other;
    bool more = true;
    while (more) {
        more = lb_upstream_next_event(a, &event, &dropped);
        CHECK_EQ(more, lb_upstream_next_event(b, &other, &dropped_other));
        CHECK_EQ(dropped, dropped_other);
        if (more) CHECK(event.kind == other.kind && event.at_ns == other.at_ns && event.slot == other.slot);
    }
}

/* An upstream, and a subset of it that somebody holds. */
typedef struct life { lb_upstream *up; lb_subset *even; } life;

static void end_life(life *l) {
    lb_subset_free(l->even);
    lb_upstream_free(l->up);
}

/* Also the next picks, which tell of cursors, debts and the random generator. */
static void same_life(const life *a, const life *b) {
    same_view(lb_upstream_view(a->up), lb_upstream_view(b->up));
    CHECK_EQ(a->up->picture_due_ns, b->up->picture_due_ns);     /* of a failed change the other parts have happened */
    CHECK_EQ(lb_upstream_in_flight(a->up), lb_upstream_in_flight(b->up));
    same_events(a->up, b->up);
    lb_want even_a = {.key = &key, .within = a->even}, even_b = {.key = &key, .within = b->even};
    for (uint32_t g = 0; a->even && lb_subset_view(a->even, g); g++)
        same_view(lb_subset_view(a->even, g), lb_subset_view(b->even, g));
    for (int i = 0; i < 25; i++) {
        CHECK_EQ(lb_upstream_choose(a->up, &by_key, 0), lb_upstream_choose(b->up, &by_key, 0));
        if (a->even) CHECK_EQ(lb_upstream_choose(a->up, &even_a, 0), lb_upstream_choose(b->up, &even_b, 0));
    }
}

/* ---- the changes ------------------------------------------------------------------------------------------ */

static lb_status update_the_list(lb_upstream *up) { return update_from(up, N / 2, SECOND); }

static lb_status set_a_weight(lb_upstream *up) { return lb_upstream_set_weight(up, 3, 77, SECOND, NULL); }

static lb_status advance(lb_upstream *up) { return lb_upstream_advance(up, 60 * SECOND, NULL); }

static lb_status update_when_due(lb_upstream *up) { return update_from(up, 0, 60 * SECOND); }

static lb_status add_a_subset(lb_upstream *up) {
    lb_subset *subset = NULL;
    lb_status status = lb_upstream_subset(up, &even, 1, SECOND, &subset, NULL);
    CHECK_EQ(status == LB_OK, subset != NULL);
    lb_subset_free(subset);
    return status;
}

static lb_status (*change)(lb_upstream *);              /* the one under test */

/* Words of records: they need no memory at all; the picture is made for the next pick. */
static lb_status mark_unhealthy(lb_upstream *up) { return lb_upstream_set_health(up, 5, false, true, SECOND, NULL); }

static lb_status check_unhealthy(lb_upstream *up) { return lb_upstream_set_health(up, 5, false, false, SECOND, NULL); }

static lb_status mark_healthy(lb_upstream *up) { return lb_upstream_set_health(up, 1, true, true, SECOND, NULL); }

static lb_status end_an_ejection(lb_upstream *up) { return lb_upstream_set_health(up, 2, true, true, SECOND, NULL); }

static lb_status drain(lb_upstream *up) { return lb_upstream_drain(up, 3, 70 * SECOND, SECOND, NULL); }

static lb_status drain_again(lb_upstream *up) { return lb_upstream_drain(up, 7, 70 * SECOND, 60 * SECOND, NULL); }

static lb_status undrain(lb_upstream *up) { return lb_upstream_undrain(up, 7, SECOND, NULL); }

static lb_status undrain_when_due(lb_upstream *up) { return lb_upstream_undrain(up, 3, 60 * SECOND, NULL); }

static lb_status disable(lb_upstream *up) { return lb_upstream_disable(up, 5, true, SECOND, NULL); }

static void fail_three_times(lb_upstream *up, uint32_t member, uint64_t now_ns) {
    uint32_t slot = lb_upstream_view(up)->slot[member];
    lb_call call = {.slot = slot, .generation = lb_generation_of(lb_upstream_state(up), slot)};
    for (int i = 0; i < 3; i++) report_verdict(up, &call, LB_FAILURE, LB_NEVER, now_ns);
}

static void eject(lb_upstream *up, uint32_t member) { fail_three_times(up, member, SECOND); }

/* An upstream that has lived: picks made, a call open, 1 unhealthy, 2 ejected until 11 s, 7 draining. */
static lb_status lived_in(life *l) {
    *l = (life){0};
    lb_status status = new_upstream(&l->up);
    if (!status && levelled) status = lb_upstream_subset(l->up, &even, 1, SECOND, &l->even, NULL);
    if (status) return status;
    for (int i = 0; i < 7; i++) lb_upstream_choose(l->up, &by_key, SECOND);
    a_call(l->up);
    CHECK_EQ(lb_upstream_set_health(l->up, 1, false, true, SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_drain(l->up, 7, 50 * SECOND, SECOND, NULL), LB_OK);
    eject(l->up, 2);
    status = lb_upstream_settle(l->up, SECOND, NULL);
    if (status) return status;
    lb_event event;
    uint64_t dropped;
    CHECK(lb_upstream_next_event(l->up, &event, &dropped));
    return dropped ? LB_ERR_NOMEM : LB_OK;              /* the queue itself found no memory */
}

/* The failure that was armed has not come yet. */
static bool is_armed(void) {
    for (int i = 0; i < 10000; i++)
        if (!lb_test_may_allocate()) return true;
    return false;
}

/* The change with its n-th allocation failing; true if it has fewer. */
static bool change_or_nothing(int n) {
    life it, twin;
    CHECK(lived_in(&it) == LB_OK && lived_in(&twin) == LB_OK);
    fail_allocation(n);
    lb_status status = change(it.up);
    bool untouched = is_armed();
    fail_allocation(-1);
    CHECK_EQ(status, untouched ? LB_OK : LB_ERR_NOMEM);
    if (status) {
        same_life(&it, &twin);
        CHECK_EQ(change(it.up), LB_OK);                 /* and the next try succeeds */
    }
    CHECK_EQ(change(twin.up), LB_OK);
    same_life(&it, &twin);
    end_life(&it);
    end_life(&twin);
    return untouched;
}

static lb_status a_life(void) {
    life it;
    lb_status status = lived_in(&it);
    end_life(&it);
    return status;
}

/* The queue of events finds no memory: that is no failure of the change, only a dropped event. */
static void a_lost_event_is_counted(void) {
    lb_upstream *up = NULL;
    lb_event event;
    uint64_t dropped;
    CHECK_EQ(new_upstream(&up), LB_OK);
    fail_allocation(0);
    CHECK_EQ(lb_upstream_set_health(up, 1, false, true, SECOND, NULL), LB_OK);
    CHECK(!is_armed());
    fail_allocation(-1);
    CHECK(!lb_upstream_next_event(up, &event, &dropped));
    CHECK_EQ(dropped, 1);
    CHECK_EQ(lb_upstream_set_health(up, 1, true, true, SECOND, NULL), LB_OK);
    CHECK(lb_upstream_next_event(up, &event, &dropped));
    CHECK_EQ(dropped, 0);
    CHECK_EQ(event.kind, LB_EVENT_HEALTHY);
    lb_upstream_free(up);
}

static void each_change_under_each_policy(void) {
    static lb_status (*const changes[])(lb_upstream *) = {
        update_the_list, set_a_weight, advance, update_when_due, add_a_subset,
    };
    for (uint32_t p = 0; p < 2 * lb_n_policies; p++) {
        policy = lb_policies[p / 2];
        levelled = p % 2;
        if (refused()) continue;
        CHECK(every_allocation_fails_once(a_life) > 20);
        for (size_t c = 0; c < sizeof changes / sizeof *changes; c++) {
            int n = 0;
            change = changes[c];
            while (n < 10000 && !change_or_nothing(n)) n++;
            CHECK(n > 3 && n < 10000);
        }
    }
    levelled = false;
}

/* ---- those that need none --------------------------------------------------------------------------------- */

static void changes_of_health_need_no_memory(void) {
    static lb_status (*const changes[])(lb_upstream *) = {
        mark_unhealthy, check_unhealthy, mark_healthy, end_an_ejection, drain, drain_again, undrain, undrain_when_due,
        disable,
    };
    for (size_t c = 0; c < sizeof changes / sizeof *changes; c++) {
        life it, twin;
        CHECK(lived_in(&it) == LB_OK && lived_in(&twin) == LB_OK);
        fail_allocation(0);
        CHECK_EQ(changes[c](it.up), LB_OK);
        CHECK(is_armed());
        fail_allocation(-1);
        CHECK_EQ(changes[c](twin.up), LB_OK);
        CHECK(settled(it.up)->n_usable == settled(twin.up)->n_usable);
        same_life(&it, &twin);
        end_life(&it);
        end_life(&twin);
    }
}

/* "The verdict allocates nothing but the first event": the picture is the next pick's. */
static void a_report_needs_no_memory(void) {
    life it;
    CHECK_EQ(lived_in(&it), LB_OK);
    const lb_view *view = lb_upstream_view(it.up);
    fail_allocation(0);
    eject(it.up, 6);
    fail_three_times(it.up, 9, 60 * SECOND);            /* also where an ejection is over */
    CHECK(is_armed());
    fail_allocation(-1);
    CHECK(lb_upstream_view(it.up) == view && view->weight[6] == 2 && lb_upstream_is_waiting(it.up));
    end_life(&it);
}

/* ---- those that cannot report a failure ------------------------------------------------------------------- */

static bool counts_as(lb_upstream *up, uint32_t member, uint32_t off) {
    return lb_record_off(lb_record_of(lb_upstream_state(up), slot_of(up, member))) == off;
}

static void weights_of(uint32_t *weight) {
    for (uint32_t i = 0; i < N; i++) weight[i] = i % 4;
}

/* A pick after an ejection for which there is no picture: the old one serves on, roughly, and never names who is out. */
static lb_status an_ejection_without_a_picture(void) {
    life it;
    uint32_t weight[N];
    lb_status status = lived_in(&it);
    lb_upstream *up = it.up;
    if (!status) {
        weights_of(weight);
        eject(up, 6);
        CHECK(counts_as(up, 6, LB_OFF_EJECTED));
        uint32_t member = lb_upstream_choose(up, &by_key, SECOND);
        bool rough = up->rough;
        CHECK(member != LB_NONE && member != 6 && member != 2 && member != 1 && member != 7);
        CHECK_EQ(lb_upstream_view(up)->weight[6], rough ? 2 : 0);
        CHECK_EQ(lb_upstream_is_waiting(up) && !lb_upstream_is_due(up, SECOND), rough || up->hot.due_ns != LB_NEVER);
        walk_as_it_is(up, weight, rough);
        for (int i = 0; i < 40; i++) {
            member = lb_upstream_choose(up, &by_key, SECOND);           /* the first of them makes up for it */
            CHECK(member != LB_NONE && member != 6);
        }
        CHECK(!up->rough);
        walk_upstream(up, weight);
        status = rough ? LB_ERR_NOMEM : LB_OK;
    }
    end_life(&it);
    return status;
}

/* The ejected target is counted, although no picture shows it. */
static void a_missing_picture_lets_no_second_target_out(void) {
    lb_upstream_spec spec = {.policy = policy, .seed = 11};
    lb_upstream_defaults(&spec);
    spec.health.outlier.max_percent = 0;
    small_params(policy, spec.param);
    lb_target_spec list[N];
    char text[N][16];
    lb_upstream *up = NULL;
    targets_from(0, list, text);
    CHECK_EQ(lb_upstream_new(&up, &spec, list, N, 0, NULL), LB_OK);
    fail_allocation(1);                                 /* 0 is the queue of events */
    eject(up, 3);
    CHECK(lb_upstream_choose(up, &by_key, SECOND) != 3);
    CHECK(up->rough && counts_as(up, 3, LB_OFF_EJECTED));
    fail_three_times(up, 7, SECOND);
    CHECK(counts_as(up, 7, 0));
    fail_allocation(-1);
    lb_upstream_free(up);
}

static lb_status a_pick_when_something_is_due(void) {
    life it;
    lb_status status = lived_in(&it);
    lb_upstream *up = it.up;
    if (!status) {
        CHECK(lb_upstream_choose(up, &by_key, 60 * SECOND) != LB_NONE);            /* served by the old picture, if need be */
        bool failed = up->picture_due_ns == 11 * SECOND;
        CHECK(counts_as(up, 2, failed ? LB_OFF_EJECTED : 0));
        CHECK_EQ(lb_upstream_view(up)->weight[2], failed ? 0 : 2);
        CHECK_EQ(up->rough, failed);
        CHECK(lb_upstream_choose(up, &by_key, 60 * SECOND) != LB_NONE);
        CHECK_EQ(up->picture_due_ns, LB_NEVER);
        CHECK(counts_as(up, 2, 0) && !up->rough);
        status = failed ? LB_ERR_NOMEM : LB_OK;
    }
    end_life(&it);
    return status;
}

/* The end of an interval works aside: "without memory nobody is judged then", and the next is judged again. */
static void an_interval_without_memory_is_not_judged(void) {
    fleet f = {0};
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.health.outlier = lb_outlier_default;
    spec.health.outlier.failure_percent = 50;
    spec.health.outlier.base_ns = 60 * SECOND;
    spec.health.outlier.failure_hosts = spec.health.outlier.failure_volume = 1;
    add_targets(&f, 4, 0);
    for (int n = 0; n < 4; n++) {
        lb_upstream *up = upstream_with(&spec, &f, 100 * SECOND);
        for (uint64_t at = 105; at < 120; at += 10) {
            lb_call call;
            lb_upstream_begin_on(up, 2, at * SECOND, &call);
            lb_report failed = {.outcome = {.status = 500}, .latency_ns = 1};
            lb_upstream_report(up, &call, &failed, at * SECOND);
            lb_upstream_release(up, &call);
            fail_allocation(at == 105 ? n : -1);
            CHECK_EQ(lb_upstream_pick(up, (at / 10 + 1) * 10 * SECOND) == LB_NONE, false);
            fail_allocation(-1);
            CHECK(counts_as(up, 2, at == 105 && n < 3 ? 0 : LB_OFF_EJECTED));
        }
        walk_fleet(up, &f);
        lb_upstream_free(up);
    }
}

static void ejections_and_picks_survive_a_failure(void) {
    for (uint32_t p = 0; p < lb_n_policies; p++) {
        policy = lb_policies[p];
        if (refused()) continue;
        CHECK(every_allocation_fails_once(an_ejection_without_a_picture) > 10);
        CHECK(every_allocation_fails_once(a_pick_when_something_is_due) > 10);
    }
}

int main(void) {
    policy = lb_policy_find(lb_str_of("round_robin"));
    RUN(a_lost_event_is_counted);
    RUN(each_change_under_each_policy);
    RUN(changes_of_health_need_no_memory);
    RUN(a_report_needs_no_memory);
    RUN(a_missing_picture_lets_no_second_target_out);
    RUN(an_interval_without_memory_is_not_judged);
    RUN(ejections_and_picks_survive_a_failure);
    return check_result();
}

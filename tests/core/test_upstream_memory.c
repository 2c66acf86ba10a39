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
    CHECK_EQ(a->off, b->off);
    CHECK_EQ(a->failures, b->failures);
    CHECK_EQ(a->ejections, b->ejections);
    CHECK_EQ(a->ejected_until_ns, b->ejected_until_ns);
    CHECK_EQ(a->recovered_ns, b->recovered_ns);
    CHECK_EQ(a->drain_until_ns, b->drain_until_ns);
    CHECK_EQ(a->slow_since_ns, b->slow_since_ns);
    CHECK_EQ(a->n_held, b->n_held);
    CHECK(a->used == b->used && a->leaving == b->leaving);
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

static lb_status mark_unhealthy(lb_upstream *up) { return lb_upstream_set_health(up, 5, false, SECOND, NULL); }

static lb_status mark_healthy(lb_upstream *up) { return lb_upstream_set_health(up, 1, true, SECOND, NULL); }

static lb_status end_an_ejection(lb_upstream *up) { return lb_upstream_set_health(up, 2, true, SECOND, NULL); }

static lb_status advance(lb_upstream *up) { return lb_upstream_advance(up, 60 * SECOND, NULL); }

static lb_status update_when_due(lb_upstream *up) { return update_from(up, 0, 60 * SECOND); }

static lb_status drain(lb_upstream *up) { return lb_upstream_drain(up, 3, 70 * SECOND, SECOND, NULL); }

/* It drains already: another deadline, and what is due. */
static lb_status drain_again(lb_upstream *up) { return lb_upstream_drain(up, 7, 70 * SECOND, 60 * SECOND, NULL); }

static lb_status undrain(lb_upstream *up) { return lb_upstream_undrain(up, 7, SECOND, NULL); }

static lb_status undrain_when_due(lb_upstream *up) { return lb_upstream_undrain(up, 3, 60 * SECOND, NULL); }

static lb_status add_a_subset(lb_upstream *up) {
    lb_subset *subset = NULL;
    lb_status status = lb_upstream_subset(up, &even, 1, SECOND, &subset, NULL);
    CHECK_EQ(status == LB_OK, subset != NULL);
    lb_subset_free(subset);
    return status;
}

static lb_status (*change)(lb_upstream *);              /* the one under test */

static void fail_three_times(lb_upstream *up, uint32_t member, uint64_t now_ns) {
    uint32_t slot = lb_upstream_view(up)->slot[member];
    lb_call call = {.slot = slot, .generation = lb_record_of(lb_upstream_state(up), slot)->generation};
    for (int i = 0; i < 3; i++) lb_upstream_report(up, &call, LB_FAILURE, LB_NEVER, now_ns);
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
    status = lb_upstream_set_health(l->up, 1, false, SECOND, NULL);
    if (!status) status = lb_upstream_drain(l->up, 7, 50 * SECOND, SECOND, NULL);
    if (status) return status;
    eject(l->up, 2);
    if (l->up->picture_due_ns == 1) return LB_ERR_NOMEM;
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
    bool found = false;
    for (int n = 0; n < 100 && !found; n++) {
        fail_allocation(n);
        lb_status status = lb_upstream_set_health(up, 1, false, SECOND, NULL);
        fail_allocation(-1);
        found = !status;
    }
    CHECK(!lb_upstream_next_event(up, &event, &dropped));
    CHECK_EQ(dropped, 1);
    CHECK_EQ(lb_upstream_set_health(up, 1, true, SECOND, NULL), LB_OK);
    CHECK(lb_upstream_next_event(up, &event, &dropped));
    CHECK_EQ(dropped, 0);
    CHECK_EQ(event.kind, LB_EVENT_HEALTHY);
    lb_upstream_free(up);
}

static void each_change_under_each_policy(void) {
    static lb_status (*const changes[])(lb_upstream *) = {
        update_the_list, set_a_weight, mark_unhealthy, mark_healthy, end_an_ejection, advance, update_when_due, drain,
        drain_again, undrain, undrain_when_due, add_a_subset,
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

/* ---- those that cannot report a failure ------------------------------------------------------------------- */

static bool counts_as(lb_upstream *up, uint32_t member, uint32_t off) {
    return lb_record_of(lb_upstream_state(up), lb_upstream_view(up)->slot[member])->off == off;
}

/* "The ejection stands and lb_upstream_due() is in the past." */
static lb_status an_ejection_without_a_view(void) {
    life it;
    uint32_t weight[N];
    lb_status status = lived_in(&it);
    lb_upstream *up = it.up;
    if (!status) {
        for (uint32_t i = 0; i < N; i++) weight[i] = i % 4;
        eject(up, 6);
        bool stale = up->picture_due_ns == 1;
        CHECK(counts_as(up, 6, LB_OFF_EJECTED));
        CHECK_EQ(lb_upstream_view(up)->weight[6], stale ? 2 : 0);
        walk_upstream(up, weight, stale);
        lb_upstream_choose(up, &by_key, 0);                        /* tells no time: nothing is made up for */
        CHECK_EQ(up->picture_due_ns == 1, stale);
        lb_upstream_choose(up, &by_key, SECOND);
        CHECK_EQ(up->picture_due_ns, 11 * SECOND);
        walk_upstream(up, weight, false);
        status = stale ? LB_ERR_NOMEM : LB_OK;
    }
    end_life(&it);
    return status;
}

/* The ejected target is counted, although no View shows it. */
static void a_missing_view_lets_no_second_target_out(void) {
    lb_upstream_spec spec = {.policy = policy, .passive = lb_passive_default};
    spec.passive.max_percent = 0;
    small_params(policy, spec.param);
    lb_target_spec list[N];
    char text[N][16];
    lb_upstream *up = NULL;
    targets_from(0, list, text);
    CHECK_EQ(lb_upstream_new(&up, &spec, list, N, 0, NULL), LB_OK);
    fail_allocation(1);                                 /* 0 is the queue of events */
    eject(up, 3);
    CHECK_EQ(up->picture_due_ns, 1);
    CHECK(counts_as(up, 3, LB_OFF_EJECTED));
    fail_three_times(up, 7, 0);                         /* tells no time: nothing is made up for */
    CHECK(counts_as(up, 7, 0));
    lb_upstream_free(up);
}

static lb_status a_pick_when_something_is_due(void) {
    life it;
    lb_status status = lived_in(&it);
    lb_upstream *up = it.up;
    if (!status) {
        CHECK(lb_upstream_choose(up, &by_key, 60 * SECOND) != LB_NONE);            /* served by the old View, if need be */
        bool failed = up->picture_due_ns == 11 * SECOND;
        CHECK(counts_as(up, 2, failed ? LB_OFF_EJECTED : 0));
        CHECK_EQ(lb_upstream_view(up)->weight[2], failed ? 0 : 2);
        CHECK(lb_upstream_choose(up, &by_key, 60 * SECOND) != LB_NONE);
        CHECK_EQ(up->picture_due_ns, LB_NEVER);
        CHECK(counts_as(up, 2, 0));
        status = failed ? LB_ERR_NOMEM : LB_OK;
    }
    end_life(&it);
    return status;
}

static void ejections_and_picks_survive_a_failure(void) {
    for (uint32_t p = 0; p < lb_n_policies; p++) {
        policy = lb_policies[p];
        if (refused()) continue;
        CHECK(every_allocation_fails_once(an_ejection_without_a_view) > 10);
        CHECK(every_allocation_fails_once(a_pick_when_something_is_due) > 10);
    }
}

int main(void) {
    policy = lb_policy_find(lb_str_of("round_robin"));
    RUN(a_lost_event_is_counted);
    RUN(each_change_under_each_policy);
    RUN(a_missing_view_lets_no_second_target_out);
    RUN(ejections_and_picks_survive_a_failure);
    return check_result();
}

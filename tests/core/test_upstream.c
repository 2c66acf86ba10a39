/* upstream: targets, health and calls, with a policy of our own that is easy to foresee. */
#include "upstreams.h"

/* ---- in_turn: the usable members in order; a schedule from the start -------------------------------------- */

typedef struct turns { lb_replay replay; uint32_t n_members; uint32_t table[]; } turns;

/* The cursor goes on where the one before stood; the map of members must name the same targets. */
static lb_status in_turn_build(void **out, const lb_view *view, const double *param, const void *previous,
                               const uint32_t *old_index, lb_error *err) {
    const turns *before = previous;
    turns *s = lb_alloc(sizeof *s + view->n_usable * sizeof *s->table);
    (void)param;
    if (!s) return lb_no_memory(err, "policy");
    memcpy(s->table, view->usable, view->n_usable * sizeof *s->table);
    s->n_members = view->n_members;
    uint32_t cursor = before && view->n_usable ? before->replay.cursor % view->n_usable : 0;
    s->replay = (lb_replay){.table = view->n_usable ? s->table : NULL, .n = view->n_usable, .cursor = cursor};
    for (uint32_t i = 0; before && i < view->n_members; i++)
        CHECK(old_index[i] == LB_NONE || old_index[i] < before->n_members);
    *out = s;
    return LB_OK;
}

static uint32_t in_turn_pick(void *state, const lb_view *view, const lb_ask *ask) {
    turns *s = state;
    CHECK(ask->rng != NULL && ask->step == 0 && !ask->peek);
    return view->n_usable ? lb_replay_next(&s->replay) : LB_NONE;
}

static lb_replay *in_turn_replay(void *state) { return &((turns *)state)->replay; }

static void in_turn_destroy(void *state) { lb_free(state); }

static const lb_param in_turn_params[] = {LB_WHOLE("stride", 1, 1, 9, "Not used."), {0}};

static const lb_policy in_turn = {
    .name = "in_turn", .summary = "For tests.", .params = in_turn_params, .build = in_turn_build,
    .destroy = in_turn_destroy, .pick = in_turn_pick, .replay = in_turn_replay,
};

/* ---- short hands ------------------------------------------------------------------------------------------ */

static const lb_upstream_spec plain = {
    .policy = &in_turn, .param = {1}, .seed = 7,
    .health.outlier = {.consecutive_local = 3, .split = true, .enforce = {0, 100, 100, 100, 100, 100, 100},
                       .interval_ns = 10 * SECOND, .base_ns = 10 * SECOND, .max_ns = 300 * SECOND, .max_percent = 50,
                       .always_one = true, .half_open_successes = 1},
};

static char owner[64];                                  /* user pointers: &owner[letter - 'a'] */

static lb_target_spec target(const char *address, uint32_t weight) {
    return (lb_target_spec){.address = lb_str_of(address), .weight = weight, .user = &owner[address[0] - 'a']};
}

static lb_target_spec named(const char *id, const char *address) {
    return (lb_target_spec){.id = lb_str_of(id), .address = lb_str_of(address), .weight = 1};
}

/* One target of weight 1 for each letter of `names`. */
static uint32_t letters(lb_target_spec *list, char (*text)[2], const char *names) {
    uint32_t n = (uint32_t)strlen(names);
    for (uint32_t i = 0; i < n; i++) {
        text[i][0] = names[i];
        text[i][1] = 0;
        list[i] = target(text[i], 1);
    }
    return n;
}

static lb_upstream *upstream_of(const char *names) {
    lb_target_spec list[26];
    char text[26][2];
    lb_upstream *up = NULL;
    uint32_t n = letters(list, text, names);
    CHECK_EQ(lb_upstream_new(&up, &plain, list, n, 0, NULL), LB_OK);
    return up;
}

static lb_status update(lb_upstream *up, const char *names) {
    lb_target_spec list[26];
    char text[26][2];
    return lb_upstream_update(up, list, letters(list, text, names), 0, NULL);
}

/* The names of the next picks. */
static const char *picks(lb_upstream *up, int n, uint64_t now_ns) {
    static char names[64];
    for (int i = 0; i < n; i++) {
        uint32_t member = lb_upstream_pick(up, now_ns);
        names[i] = member == LB_NONE ? '-' : (char)('a' + ((char *)lb_upstream_view(up)->user[member] - owner));
    }
    names[n] = 0;
    return names;
}

static lb_call call_to(lb_upstream *up, uint32_t member, uint64_t now_ns) {
    lb_call call = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        if (!lb_upstream_acquire(up, now_ns, &call)) break;
        if (call.member == member) return call;
        lb_upstream_release(up, &call);
    }
    CHECK(!"the member is picked");
    return call;
}

static void fail_times(lb_upstream *up, lb_call *call, int n, uint64_t now_ns) {
    for (int i = 0; i < n; i++) report_verdict(up, call, LB_FAILURE, LB_NEVER, now_ns);
}

static uint32_t off_of(const lb_upstream *up, uint32_t member) {
    return lb_record_off(lb_record_of(lb_upstream_state(up), slot_of(up, member)));
}

static uint32_t streak_of(const lb_upstream *up, uint32_t member) {
    return lb_outlier_streak(lb_record_of(lb_upstream_state(up), slot_of(up, member)), LB_CAUSE_LOCAL);
}

static bool next_is(lb_upstream *up, lb_event_kind kind, uint64_t at_ns) {
    lb_event event;
    uint64_t dropped;
    return lb_upstream_next_event(up, &event, &dropped) && event.kind == kind && event.at_ns == at_ns && dropped == 0;
}

static bool no_event(lb_upstream *up) {
    lb_event event;
    uint64_t dropped;
    return !lb_upstream_next_event(up, &event, &dropped) && dropped == 0;
}

static const uint32_t ones[26] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* ---- what is refused -------------------------------------------------------------------------------------- */

static void wrong_targets_are_refused_with_field_and_reason(void) {
    const lb_target_spec heavy = {.address = lb_str_of("b"), .weight = LB_MAX_WEIGHT + 1};
    const struct { lb_target_spec list[3]; const char *field, *reason; } cases[] = {
        {{target("a", 1), target("b", 1), target("a", 2)}, "targets[2].address", "the same as targets[0]"},
        {{named("x", "a"), named("y", "b"), named("x", "c")}, "targets[2].id", "'x' is the same as targets[0]"},
        {{target("c", 1), named("a", "b"), target("a", 1)}, "targets[2].address", "the same as targets[1]"},
        {{target("c", 1), target("a", 1), named("a", "b")}, "targets[2].id", "the same as targets[1]"},
        {{target("a", 1), named("x", ""), target("c", 1)}, "targets[1].address", "empty"},
        {{target("a", 1), heavy, target("c", 1)}, "targets[1].weight", "1000001 is not in 0..1000000"},
    };
    lb_upstream *up = upstream_of("ab");
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        lb_error err = {0};
        lb_upstream *none = NULL;
        CHECK_EQ(lb_upstream_new(&none, &plain, cases[c].list, 3, 0, &err), LB_ERR_CONFIG);
        CHECK(none == NULL);
        CHECK_TEXT(err.field, cases[c].field);
        CHECK(strstr(err.reason, cases[c].reason) != NULL);
        CHECK_EQ(lb_upstream_update(up, cases[c].list, 3, 0, NULL), LB_ERR_CONFIG);
        walk_upstream(up, ones);
    }
    CHECK_TEXT(picks(up, 4, 0), "abab");
    lb_upstream_free(up);
}

static void too_many_targets_are_refused(void) {
    lb_upstream *up = upstream_of("a");
    lb_target_spec one = target("b", 1);
    lb_error err = {0};
    CHECK_EQ(lb_upstream_update(up, &one, LB_MAX_SLOTS + 1, 0, &err), LB_ERR_CONFIG);
    CHECK_TEXT(err.field, "targets");
    CHECK(strstr(err.reason, "1048577") && strstr(err.reason, "1048576"));
    CHECK_TEXT(picks(up, 1, 0), "a");
    lb_upstream_free(up);
}

static void a_long_identity_is_cut_between_characters(void) {
    static char id[202];
    for (size_t i = 0; i < 200; i += 2) memcpy(id + 1 + i, "\xC3\xA9", 2);     /* e acute: byte 100 is inside one */
    id[0] = 'x';
    lb_target_spec twins[2] = {named(id, "a"), named(id, "b")};
    lb_error err = {0};
    lb_upstream *none = NULL;
    CHECK_EQ(lb_upstream_new(&none, &plain, twins, 2, 0, &err), LB_ERR_CONFIG);
    CHECK(memcmp(err.reason, "'x\xC3\xA9", 4) == 0);
    CHECK(strstr(err.reason, "\xC3\xA9' is the same as targets[0]") != NULL);
}

static void wrong_parameters_are_refused(void) {
    lb_upstream_spec spec = plain;
    lb_upstream *up = NULL;
    lb_error err = {0};
    spec.param[0] = 10;
    CHECK_EQ(lb_upstream_new(&up, &spec, NULL, 0, 0, &err), LB_ERR_CONFIG);
    CHECK(up == NULL && strstr(err.field, "stride") != NULL);
    spec = plain;
    spec.health.outlier.max_percent = 101;
    CHECK_EQ(lb_upstream_new(&up, &spec, NULL, 0, 0, &err), LB_ERR_CONFIG);
    CHECK(up == NULL);
    CHECK_TEXT(err.field, "health.outlier.max_ejection_percent");
    CHECK_TEXT(err.reason, "101 is not in 0..100");
}

static void a_wrong_member_is_refused(void) {
    lb_upstream *up = upstream_of("ab");
    lb_error err = {0};
    CHECK_EQ(lb_upstream_set_weight(up, 2, 1, 0, &err), LB_ERR_CONFIG);
    CHECK_TEXT(err.field, "target");
    CHECK(strstr(err.reason, "2") != NULL);
    CHECK_EQ(lb_upstream_set_health(up, LB_NONE, false, true, 0, &err), LB_ERR_CONFIG);
    CHECK_EQ(lb_upstream_drain(up, 2, LB_NEVER, 0, &err), LB_ERR_CONFIG);
    CHECK_EQ(lb_upstream_undrain(up, 2, 0, &err), LB_ERR_CONFIG);
    CHECK_TEXT(err.field, "target");
    CHECK_EQ(lb_upstream_set_weight(up, 1, LB_MAX_WEIGHT + 1, 0, &err), LB_ERR_CONFIG);
    CHECK_TEXT(err.field, "weight");
    CHECK_TEXT(err.reason, "1000001 is not in 0..1000000");
    walk_upstream(up, ones);
    CHECK(no_event(up));
    lb_upstream_free(up);
    lb_upstream_free(NULL);
}

/* ---- who is picked ---------------------------------------------------------------------------------------- */

static void nobody_usable_is_none(void) {
    lb_upstream *up = upstream_of("");
    lb_call call = {.slot = 77};
    CHECK_EQ(lb_upstream_pick(up, 5), LB_NONE);
    CHECK(!lb_upstream_acquire(up, 5, &call));
    CHECK_EQ(call.slot, 77);
    CHECK(!lb_upstream_is_replaying(up));
    CHECK_EQ(update(up, "ab"), LB_OK);
    CHECK_TEXT(picks(up, 2, 5), "ab");
    CHECK_EQ(lb_upstream_set_weight(up, 0, 0, 5, NULL), LB_OK);
    CHECK_TEXT(picks(up, 2, 5), "bb");
    CHECK_EQ(lb_upstream_set_health(up, 1, false, true, 5, NULL), LB_OK);
    CHECK_TEXT(picks(up, 2, 5), "--");
    lb_upstream_free(up);
}

static void a_replayed_pick_is_the_policy_s(void) {
    lb_upstream *up = upstream_of("abcdefghijkl"), *twin = upstream_of("abcdefghijkl");
    CHECK(lb_upstream_is_replaying(up));
    for (int i = 0; i < 30; i++)
        CHECK(lb_upstream_replay_user(up) == lb_upstream_view(twin)->user[lb_upstream_pick(twin, 0)]);
    CHECK(lb_upstream_policy_state(up) != NULL);
    lb_upstream_free(up);
    lb_upstream_free(twin);
}

static void the_same_address_twice_is_two_targets(void) {
    lb_target_spec list[3] = {named("x", "10.0.0.1:80"), named("y", "10.0.0.1:80"), target("a", 1)};
    lb_upstream *up = NULL;
    CHECK_EQ(lb_upstream_new(&up, &plain, list, 3, 0, NULL), LB_OK);
    CHECK_EQ(lb_upstream_view(up)->n_usable, 3);
    walk_upstream(up, ones);
    lb_upstream_free(up);
}

static void set_weight_survives_health_but_not_an_update(void) {
    lb_upstream *up = upstream_of("ab");
    uint32_t weight[2] = {5, 1};
    CHECK_EQ(lb_upstream_set_weight(up, 0, 5, 0, NULL), LB_OK);
    CHECK_EQ(lb_upstream_set_health(up, 0, false, true, 0, NULL), LB_OK);
    walk_upstream(up, weight);
    weight[0] = 6;                                      /* of an unhealthy target: shown when it is healthy again */
    CHECK_EQ(lb_upstream_set_weight(up, 0, 6, 0, NULL), LB_OK);
    walk_upstream(up, weight);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 0, NULL), LB_OK);
    CHECK_EQ(settled(up)->weight[0], 6);
    const lb_view *view = lb_upstream_view(up);
    CHECK_EQ(lb_upstream_set_weight(up, 0, 6, 0, NULL), LB_OK);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 0, NULL), LB_OK);
    CHECK(view == settled(up));                         /* nothing new: no new View, no event */
    CHECK_EQ(update(up, "ab"), LB_OK);
    walk_upstream(up, ones);
    CHECK(next_is(up, LB_EVENT_UNHEALTHY, 0) && next_is(up, LB_EVENT_HEALTHY, 0) && no_event(up));
    lb_upstream_free(up);
}

/* ---- updates and calls ------------------------------------------------------------------------------------ */

static void a_kept_target_keeps_slot_calls_and_health(void) {
    lb_upstream *up = upstream_of("abc");
    lb_call call = call_to(up, 2, 0);
    uint32_t slot_b = lb_upstream_view(up)->slot[1];
    CHECK_EQ(lb_upstream_set_health(up, 1, false, true, 0, NULL), LB_OK);
    CHECK_EQ(update(up, "cdb"), LB_OK);
    walk_upstream(up, ones);
    CHECK_EQ(lb_upstream_view(up)->slot[0], call.slot);
    CHECK_EQ(lb_upstream_view(up)->slot[2], slot_b);
    CHECK_EQ(calls_on(up, 0), 1);
    CHECK_EQ(calls_on(up, 1), 0);
    CHECK_EQ(off_of(up, 2), LB_OFF_UNHEALTHY);
    lb_upstream_release(up, &call);
    CHECK_EQ(calls_on(up, 0), 0);
    lb_upstream_free(up);
}

static void a_late_call_leaves_its_successor_alone(void) {
    lb_upstream *up = upstream_of("a");
    lb_call first = call_to(up, 0, 0), second = call_to(up, 0, 0);
    CHECK_EQ(update(up, ""), LB_OK);
    fail_times(up, &first, 5, 0);                       /* its target is leaving: nothing to eject */
    CHECK(no_event(up));
    lb_upstream_release(up, &first);
    CHECK_EQ(update(up, "a"), LB_OK);                   /* the same identity, another life */
    CHECK(lb_upstream_view(up)->slot[0] != second.slot);
    walk_upstream(up, ones);
    lb_upstream_release(up, &second);
    CHECK_EQ(update(up, "ab"), LB_OK);
    CHECK_EQ(lb_upstream_view(up)->slot[1], second.slot);       /* the slot has a new owner */
    lb_call third = call_to(up, 1, 0);
    fail_times(up, &second, 5, 0);
    lb_upstream_release(up, &second);
    lb_upstream_release(up, &first);
    CHECK_EQ(calls_on(up, 1), 1);
    CHECK_EQ(streak_of(up, 1), 0);
    lb_upstream_release(up, &third);
    walk_upstream(up, ones);
    lb_upstream_free(up);
}

static void a_hundred_thousand_targets_work(void) {
    enum { N = 100000 };
    lb_target_spec *list = calloc(N, sizeof *list);
    char (*text)[16] = calloc(N, sizeof *text);
    uint32_t *weight = calloc(N, sizeof *weight), *slot = calloc(N, sizeof *slot);
    for (uint32_t i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "a.%u", i);
        weight[i] = i % 10;
        list[i] = target(text[i], weight[i]);
    }
    lb_upstream *up = NULL;
    CHECK_EQ(lb_upstream_new(&up, &plain, list, N, 0, NULL), LB_OK);
    walk_upstream(up, weight);
    memcpy(slot, lb_upstream_view(up)->slot, N * sizeof *slot);
    for (uint32_t i = 0; i < N / 2; i++) snprintf(text[i], sizeof text[i], "b.%u", i);
    CHECK_EQ(lb_upstream_update(up, list, N, 0, NULL), LB_OK);          /* half of them new */
    walk_upstream(up, weight);
    for (uint32_t i = N / 2; i < N; i++) CHECK_EQ(lb_upstream_view(up)->slot[i], slot[i]);
    CHECK_EQ(lb_upstream_state(up)->n_free, N / 2);
    for (uint32_t i = 0; i < 2 * N; i++) {              /* long schedules bring near what comes, past no end of theirs */
        uint32_t turn = up->hot.replay->cursor;
        CHECK(lb_upstream_replay_user(up) == lb_upstream_view(up)->user[up->hot.replay->table[turn]]);
    }
    CHECK_EQ(lb_upstream_update(up, list, 1, 0, NULL), LB_OK);
    CHECK_EQ(lb_upstream_state(up)->n_free, lb_upstream_state(up)->n_slots - 1);
    lb_upstream_free(up);
    free(list);
    free(text);
    free(weight);
    free(slot);
}

/* ---- passive health --------------------------------------------------------------------------------------- */

static void failures_eject_and_time_brings_back(void) {
    lb_upstream *up = upstream_of("ab");
    lb_call call = call_to(up, 0, SECOND);
    fail_times(up, &call, 2, SECOND);
    report_verdict(up, &call, LB_SUCCESS, LB_NEVER, SECOND);
    fail_times(up, &call, 2, SECOND);
    report_verdict(up, &call, LB_NEITHER, LB_NEVER, SECOND);
    CHECK_EQ(lb_upstream_due(up), LB_NEVER);
    report_verdict(up, &call, LB_FAILURE, LB_NEVER, 2 * SECOND);
    CHECK(lb_upstream_is_waiting(up) && lb_upstream_view(up)->n_usable == 2);   /* the next pick makes the picture */
    walk_upstream(up, ones);
    CHECK_EQ(lb_upstream_due(up), 12 * SECOND);
    CHECK(!lb_upstream_is_replaying(up));
    lb_event event;
    uint64_t dropped;
    CHECK(lb_upstream_next_event(up, &event, &dropped));
    CHECK_EQ(event.kind, LB_EVENT_EJECTED);
    CHECK(event.failures == 3 && event.cause == LB_CAUSE_LOCAL && event.status == 0);
    CHECK_EQ(event.slot, call.slot);
    CHECK_EQ(event.generation, call.generation);
    CHECK_EQ(event.at_ns, 2 * SECOND);
    CHECK_EQ(event.until_ns, 12 * SECOND);
    CHECK_TEXT(picks(up, 4, 12 * SECOND - 1), "bbbb");
    CHECK_TEXT(picks(up, 4, 0), "bbbb");                /* who tells no time fires nothing */
    CHECK_EQ(lb_upstream_advance(up, SECOND, NULL), LB_OK);             /* nor does a clock that went back */
    CHECK_TEXT(picks(up, 2, 12 * SECOND), "ab");
    CHECK(next_is(up, LB_EVENT_RECOVERED, 12 * SECOND) && no_event(up));
    walk_upstream(up, ones);
    CHECK_EQ(calls_on(up, 0), 1);                     /* the call is still open */
    fail_times(up, &call, 3, 13 * SECOND);
    settled(up);
    CHECK_EQ(lb_upstream_due(up), 33 * SECOND);         /* twice as long */
    lb_upstream_free(up);
}

static void at_most_the_maximum_share_is_out(void) {
    lb_upstream *up = upstream_of("abcd");
    lb_call call[4];
    for (uint32_t i = 0; i < 4; i++) call[i] = call_to(up, i, SECOND);
    for (uint32_t i = 0; i < 4; i++) fail_times(up, &call[i], 3, SECOND + i);
    CHECK_EQ(settled(up)->n_usable, 2);
    walk_upstream(up, ones);
    CHECK_EQ(off_of(up, 2) + off_of(up, 3), 0);
    CHECK_EQ(streak_of(up, 3), 0);                      /* who has asked in vain begins again, as Envoy's do */
    CHECK_EQ(lb_upstream_advance(up, 11 * SECOND, NULL), LB_OK);        /* a comes back, b 1 ns later */
    CHECK_EQ(lb_upstream_view(up)->n_usable, 3);
    fail_times(up, &call[3], 2, 11 * SECOND);
    CHECK(off_of(up, 3) == 0 && streak_of(up, 3) == 2);
    fail_times(up, &call[3], 1, 11 * SECOND);
    CHECK(off_of(up, 3) == LB_OFF_EJECTED && streak_of(up, 3) == 0);
    CHECK_EQ(lb_upstream_advance(up, 11 * SECOND + 1, NULL), LB_OK);    /* b comes back: there is room for another */
    fail_times(up, &call[2], 3, 11 * SECOND + 1);
    CHECK(off_of(up, 2) == LB_OFF_EJECTED);
    walk_upstream(up, ones);
    lb_upstream_free(up);
}

static void one_may_always_be_ejected(void) {
    lb_upstream_spec spec = plain;
    spec.health.outlier.max_percent = 0;
    lb_target_spec only = target("a", 1);
    lb_upstream *up = NULL;
    CHECK_EQ(lb_upstream_new(&up, &spec, &only, 1, 0, NULL), LB_OK);
    lb_call call = call_to(up, 0, SECOND);
    fail_times(up, &call, 3, SECOND);
    CHECK_TEXT(picks(up, 1, SECOND), "-");
    CHECK_TEXT(picks(up, 1, 11 * SECOND), "a");
    lb_upstream_free(up);
}

static void an_ejected_target_that_is_removed_is_no_longer_counted(void) {
    lb_upstream *up = upstream_of("ab");
    lb_call a = call_to(up, 0, SECOND), b = call_to(up, 1, SECOND);
    fail_times(up, &a, 3, SECOND);
    fail_times(up, &b, 3, SECOND);                      /* one of two is out already */
    CHECK_EQ(settled(up)->n_usable, 1);
    CHECK_EQ(update(up, "b"), LB_OK);
    CHECK_EQ(lb_upstream_due(up), LB_NEVER);
    fail_times(up, &b, 3, SECOND);
    CHECK_EQ(settled(up)->n_usable, 0);
    walk_upstream(up, ones);
    lb_upstream_free(up);
}

static void set_health_ends_an_ejection(void) {
    lb_upstream *up = upstream_of("ab");
    lb_call call = call_to(up, 0, SECOND);
    fail_times(up, &call, 3, SECOND);
    CHECK_EQ(lb_upstream_set_health(up, 0, false, true, 2 * SECOND, NULL), LB_OK);
    CHECK_EQ(off_of(up, 0), LB_OFF_UNHEALTHY | LB_OFF_EJECTED);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 3 * SECOND, NULL), LB_OK);
    CHECK_EQ(off_of(up, 0), 0);
    walk_upstream(up, ones);
    CHECK(next_is(up, LB_EVENT_EJECTED, SECOND) && next_is(up, LB_EVENT_UNHEALTHY, 2 * SECOND));
    CHECK(next_is(up, LB_EVENT_RECOVERED, 3 * SECOND) && next_is(up, LB_EVENT_HEALTHY, 3 * SECOND) && no_event(up));
    fail_times(up, &call, 3, 4 * SECOND);
    CHECK_EQ(lb_upstream_set_health(up, 0, false, true, 4 * SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_advance(up, 60 * SECOND, NULL), LB_OK);        /* it ends, the operator's word stays */
    CHECK_EQ(off_of(up, 0), LB_OFF_UNHEALTHY);
    CHECK_TEXT(picks(up, 2, 60 * SECOND), "bb");
    walk_upstream(up, ones);
    lb_upstream_free(up);
}

static void one_new_view_ends_all_that_is_due(void) {
    lb_upstream *up = upstream_of("abcd");
    for (uint32_t i = 0; i < 2; i++) {
        lb_call call = call_to(up, i, SECOND);
        fail_times(up, &call, 3, SECOND);
    }
    CHECK_EQ(settled(up)->n_usable, 2);
    CHECK_EQ(lb_upstream_set_weight(up, 3, 9, 11 * SECOND, NULL), LB_OK);       /* fires what is due */
    CHECK_EQ(lb_upstream_view(up)->n_usable, 4);
    CHECK_EQ(lb_upstream_due(up), LB_NEVER);
    CHECK(next_is(up, LB_EVENT_EJECTED, SECOND) && next_is(up, LB_EVENT_EJECTED, SECOND));
    CHECK(next_is(up, LB_EVENT_RECOVERED, 11 * SECOND) && next_is(up, LB_EVENT_RECOVERED, 11 * SECOND));
    CHECK(no_event(up));
    lb_upstream_free(up);
}

static void any_moment_is_a_time(void) {
    static const uint64_t moments[] = {0, 1, SECOND, UINT64_MAX - 1, UINT64_MAX};
    for (size_t m = 0; m < sizeof moments / sizeof *moments; m++) {
        lb_upstream *up = upstream_of("ab");
        lb_call call = call_to(up, 0, moments[m]);
        fail_times(up, &call, 3, moments[m]);
        walk_upstream(up, ones);
        bool at_the_end = moments[m] >= UINT64_MAX - 1;         /* of time: it is over as soon as it begins */
        CHECK_TEXT(picks(up, 2, 0), at_the_end ? "ba" : "bb");
        settled(up);
        CHECK(at_the_end || (lb_upstream_due(up) > moments[m] && lb_upstream_due(up) < LB_NEVER));
        CHECK_EQ(lb_upstream_advance(up, UINT64_MAX, NULL), LB_OK);
        CHECK_EQ(lb_upstream_due(up), LB_NEVER);
        walk_upstream(up, ones);
        CHECK_EQ(lb_upstream_advance(up, UINT64_MAX, NULL), LB_OK);
        lb_upstream_free(up);
    }
}

/* ---- events ----------------------------------------------------------------------------------------------- */

static void the_oldest_events_are_dropped_and_counted(void) {
    lb_upstream *up = upstream_of("a");
    for (uint64_t i = 0; i < 300; i++) CHECK_EQ(lb_upstream_set_health(up, 0, i % 2, true, i, NULL), LB_OK);
    lb_event event;
    uint64_t dropped;
    for (uint64_t i = 300 - 256; i < 300; i++) {
        CHECK(lb_upstream_next_event(up, &event, &dropped));
        CHECK_EQ(dropped, i == 300 - 256 ? 300 - 256 : 0);
        CHECK_EQ(event.at_ns, i);
        CHECK_EQ(event.kind, i % 2 ? LB_EVENT_HEALTHY : LB_EVENT_UNHEALTHY);
        CHECK_EQ(event.until_ns + event.failures, 0);
    }
    CHECK(no_event(up));
    CHECK_EQ(lb_upstream_set_health(up, 0, false, true, 300, NULL), LB_OK);
    CHECK(next_is(up, LB_EVENT_UNHEALTHY, 300) && no_event(up));
    lb_upstream_free(up);
}

int main(void) {
    RUN(wrong_targets_are_refused_with_field_and_reason);
    RUN(too_many_targets_are_refused);
    RUN(a_long_identity_is_cut_between_characters);
    RUN(wrong_parameters_are_refused);
    RUN(a_wrong_member_is_refused);
    RUN(nobody_usable_is_none);
    RUN(a_replayed_pick_is_the_policy_s);
    RUN(the_same_address_twice_is_two_targets);
    RUN(set_weight_survives_health_but_not_an_update);
    RUN(a_kept_target_keeps_slot_calls_and_health);
    RUN(a_late_call_leaves_its_successor_alone);
    RUN(a_hundred_thousand_targets_work);
    RUN(failures_eject_and_time_brings_back);
    RUN(at_most_the_maximum_share_is_out);
    RUN(one_may_always_be_ejected);
    RUN(an_ejected_target_that_is_removed_is_no_longer_counted);
    RUN(set_health_ends_an_ejection);
    RUN(one_new_view_ends_all_that_is_due);
    RUN(any_moment_is_a_time);
    RUN(the_oldest_events_are_dropped_and_counted);
    return check_result();
}

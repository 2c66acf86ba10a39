/* reader: one thread with a handle picks, begins and reports what the plain functions would; what is replaced waits for who is
 * inside, and no longer.  Many threads: test_upstream_threads.c. */
#include "upstreams.h"

#define SEED 7u                     /* of spec_of(): a reader with it draws as the upstream does */

static lb_reader *reader_of(lb_upstream *up, uint64_t seed) {
    lb_reader *reader = NULL;
    CHECK_EQ(lb_reader_new(&reader, up, seed, NULL), LB_OK);
    if (!reader) exit(2);
    return reader;
}

static lb_key key_of(uint32_t i) {
    static char text[16];
    snprintf(text, sizeof text, "key %u", i);
    return (lb_key){.text = lb_str_of(text)};
}

/* ---- the same as the plain functions ---------------------------------------------------------------------------- */

/* An upstream with a reader, and one that is asked by the plain functions. */
typedef struct pair {
    lb_upstream *up, *twin;
    lb_reader *reader;
    lb_subset *part, *twin_part;
} pair;

static pair pair_of(const lb_upstream_spec *spec, const fleet *f) {
    pair p = {.up = upstream_with(spec, f, 0), .twin = upstream_with(spec, f, 0)};
    p.reader = reader_of(p.up, spec->seed);
    return p;
}

static void free_pair(pair *p) {
    lb_subset_free(p->part);
    lb_subset_free(p->twin_part);
    lb_reader_free(p->reader);
    lb_upstream_free(p->up);
    lb_upstream_free(p->twin);
}

static void check_same(pair *p, lb_want want, uint32_t n) {
    lb_want twin_want = want;
    if (want.within) twin_want.within = p->twin_part;
    for (uint32_t i = 0; i < n; i++) {
        lb_key key = key_of(i);
        want.key = twin_want.key = &key;
        lb_chosen got = {.member = LB_NONE};
        bool found = lb_reader_choose(p->reader, &want, 0, &got);
        uint32_t member = lb_upstream_choose(p->twin, &twin_want, 0);
        CHECK_EQ(found ? got.member : LB_NONE, member);
        if (!found) continue;
        CHECK(got.user == lb_upstream_view(p->up)->user[got.member]);
        CHECK_EQ(got.slot, slot_of(p->up, got.member));
        CHECK_EQ(got.generation, lb_generation_of(lb_upstream_state(p->up), got.slot));
    }
}

static void check_calls(pair *p, uint32_t n, lb_verdict verdict) {
    lb_call call[64], twin_call[64];
    for (uint32_t i = 0; i < n; i++) {
        lb_key key = key_of(i);
        lb_want want = {.key = &key};
        lb_chosen got;
        CHECK(lb_reader_begin(p->reader, &want, 10, &got, &call[i]));
        CHECK(lb_upstream_begin(p->twin, &want, 10, &twin_call[i]));
        CHECK_EQ(call[i].member, twin_call[i].member);
        CHECK_EQ(lb_upstream_in_flight(p->up), i + 1);
    }
    for (uint32_t i = 0; i < n; i++) {
        lb_report report = {.outcome = {.verdict = verdict}, .latency_ns = 1000 * (1 + i % 5)};
        lb_reader_report(p->reader, &call[i], &report, 20);
        lb_upstream_report(p->twin, &twin_call[i], &report, 20);
        lb_reader_release(p->reader, &call[i]);
        lb_upstream_release(p->twin, &twin_call[i]);
    }
    CHECK_EQ(lb_upstream_advance(p->up, 30, NULL), LB_OK);
    CHECK_EQ(lb_upstream_in_flight(p->up), lb_upstream_in_flight(p->twin));
}

static void settle_both(pair *p) {
    settled(p->up);
    settled(p->twin);
}

/* Under each policy: choices, calls and what they teach, changes of health and weight, updates. */
static void a_reader_picks_what_plain_functions_pick(void) {
    fleet f = {0};
    add_targets(&f, 11, 0);
    for (uint32_t i = 0; i < lb_n_policies; i++) {
        lb_upstream_spec spec = spec_of(lb_policies[i]);
        pair p = pair_of(&spec, &f);
        check_same(&p, (lb_want){0}, 40);
        check_calls(&p, 30, LB_SUCCESS);
        check_same(&p, (lb_want){.exclude = (const uint32_t[]){1, 2}, .n_exclude = 2}, 40);
        take_down(p.up, 3, 2);
        take_down(p.twin, 3, 2);
        check_same(&p, (lb_want){0}, 40);
        check_calls(&p, 30, LB_FAILURE);
        settle_both(&p);
        fleet fewer = f;
        fewer.n = 9;
        CHECK_EQ(lb_upstream_update(p.up, fewer.target, fewer.n, 40, NULL), LB_OK);
        CHECK_EQ(lb_upstream_update(p.twin, fewer.target, fewer.n, 40, NULL), LB_OK);
        check_same(&p, (lb_want){0}, 40);
        take_down(p.up, 0, 9);
        take_down(p.twin, 0, 9);
        check_same(&p, (lb_want){0}, 3);                /* nobody */
        free_pair(&p);
    }
}

static void levels_and_subsets_are_chosen_alike(void) {
    static const char *const names[] = {"round_robin", "random", "least_conn", "hash", "smooth_nginx"};
    fleet f = {0};
    add_targets(&f, 6, 0);
    add_targets(&f, 6, 1);
    for (uint32_t i = 0; i < f.n; i++) give_label(&f, i, i % 2);
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        lb_upstream_spec spec = spec_of(policy_named(names[i]));
        pair p = pair_of(&spec, &f);
        p.part = subset_of(p.up, 1);
        p.twin_part = subset_of(p.twin, 1);
        take_down(p.up, 0, 3);
        take_down(p.twin, 0, 3);
        for (int round = 0; round < 20; round++) {
            check_same(&p, (lb_want){0}, 11);
            check_same(&p, (lb_want){.within = p.part}, 7);
        }
        free_pair(&p);
    }
}

static void a_receipt_says_the_same(void) {
    fleet f = {0};
    add_targets(&f, 5, 0);
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    pair p = pair_of(&spec, &f);
    for (int i = 0; i < 17; i++) {
        lb_receipt a, b;
        lb_chosen got;
        CHECK(lb_reader_choose(p.reader, &(lb_want){.receipt = &a, .exclude = (const uint32_t[]){2}, .n_exclude = 1}, 0, &got));
        lb_upstream_choose(p.twin, &(lb_want){.receipt = &b, .exclude = (const uint32_t[]){2}, .n_exclude = 1}, 0);
        CHECK(a.priority == b.priority && a.runner_up == b.runner_up && a.n_passed == b.n_passed);
        CHECK(a.n_passed == 0 || (a.passed[0] == b.passed[0] && a.why[0] == b.why[0]));
    }
    free_pair(&p);
}

/* The schedule goes on where readers left it. */
static void turns_of_readers_are_taken_turns(void) {
    fleet f = {0};
    add_targets(&f, 7, 0);
    for (uint32_t i = 0; i < f.n; i++) f.target[i].weight = 1 + i % 3;
    static const char *const names[] = {"round_robin", "static_rr_haproxy", "smooth_nginx", "least_conn"};
    for (uint32_t k = 0; k < 4; k++)
        for (uint32_t n = 0; n < 40; n += 3) {
            lb_upstream_spec spec = spec_of(policy_named(names[k]));
            pair p = pair_of(&spec, &f);
            check_same(&p, (lb_want){0}, n);
            lb_reader_free(p.reader);
            for (int i = 0; i < 30; i++) CHECK_EQ(lb_upstream_pick(p.up, 0), lb_upstream_pick(p.twin, 0));
            p.reader = reader_of(p.up, SEED);
            check_same(&p, (lb_want){0}, 30);
            CHECK_EQ(lb_upstream_set_weight(p.up, 1, 5, 0, NULL), LB_OK);
            CHECK_EQ(lb_upstream_set_weight(p.twin, 1, 5, 0, NULL), LB_OK);
            check_same(&p, (lb_want){0}, 30);           /* with the debts of before */
            free_pair(&p);
        }
}

static void a_keyed_policy_wants_a_key(void) {
    fleet f = {0};
    add_targets(&f, 3, 0);
    lb_upstream *up = upstream_named("hash", &f);
    lb_reader *reader = reader_of(up, 1);
    lb_chosen got;
    CHECK(!lb_reader_pick(reader, 0, &got));
    lb_reader_free(reader);
    lb_reader_free(NULL);
    lb_upstream_free(up);
}

/* While the writer builds from a schedule nobody writes it: picks are draws by weight, or places that the key says. */
static void behind_a_closed_gate_picks_are_drawn(void) {
    static const char *const names[] = {"round_robin", "smooth_nginx", "ketama_nginx"};
    fleet f = {0};
    add_targets(&f, 3, 0);
    for (uint32_t i = 0; i < 3; i++) f.target[i].weight = 1 + i;
    for (uint32_t k = 0; k < 3; k++) {
        lb_upstream_spec spec = spec_of(policy_named(names[k]));
        pair p = pair_of(&spec, &f);
        uint32_t of[3] = {0};
        check_same(&p, (lb_want){0}, 2);
        lb_gates_close(p.up, p.up->picture);
        for (uint32_t i = 0; i < 6000; i++) {
            lb_key key = key_of(i / 2);
            lb_chosen got, again;
            CHECK(lb_reader_choose(p.reader, &(lb_want){.key = &key}, 0, &got));
            of[got.member]++;
            if (k < 2) continue;
            CHECK(lb_reader_choose(p.reader, &(lb_want){.key = &key}, 0, &again) && again.member == got.member);
        }
        for (uint32_t i = 0; i < 3; i++) CHECK(of[i] > (k < 2 ? 900u * (1 + i) : 1700) && of[i] < (k < 2 ? 1100u * (1 + i) : 2300));
        lb_gates_reopen(p.up, p.up->picture);
        check_same(&p, (lb_want){0}, 40);               /* as if nothing had been */
        free_pair(&p);
    }
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

static void limits_hold(void) {
    fleet f = {0};
    add_targets(&f, 4, 0);
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.limits.in_flight = 2;
    lb_upstream *up = upstream_with(&spec, &f, 0);
    lb_reader *one = reader_of(up, 1), *two = reader_of(up, 2);
    lb_call call[8];
    lb_chosen got;
    for (int i = 0; i < 8; i++) CHECK(lb_reader_begin(i % 2 ? one : two, &(lb_want){0}, 0, &got, &call[i]));
    CHECK(!lb_reader_begin(one, &(lb_want){0}, 0, &got, &call[0]));
    for (uint32_t i = 0; i < 4; i++) CHECK_EQ(calls_on(up, i), 2);
    for (int i = 0; i < 8; i++) lb_reader_release(one, &call[i]);
    CHECK_EQ(lb_upstream_in_flight(up), 0);
    lb_reader_free(one);
    CHECK_EQ(lb_upstream_in_flight(up), 0);             /* 4 begun less 8 ended, and 4 begun */
    lb_reader_free(two);
    CHECK_EQ(lb_upstream_in_flight(up), 0);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

static void bounds_count_the_calls_of_all_readers(void) {
    fleet f = {0};
    add_targets(&f, 5, 0);
    lb_upstream_spec spec = spec_of(policy_named("hash_bounded"));
    spec.param[1] = 0;
    pair p = pair_of(&spec, &f);
    lb_reader *other = reader_of(p.up, 3);
    lb_key key = key_of(1);
    lb_want want = {.key = &key};
    for (int i = 0; i < 60; i++) {
        lb_chosen got;
        lb_call call, twin_call;
        CHECK(lb_reader_begin(i % 2 ? other : p.reader, &want, 0, &got, &call));
        CHECK(lb_upstream_begin(p.twin, &want, 0, &twin_call));
        CHECK_EQ(call.member, twin_call.member);
    }
    CHECK_EQ(lb_upstream_in_flight(p.up), 60);
    lb_reader_free(other);
    CHECK_EQ(lb_upstream_in_flight(p.up), 60);
    free_pair(&p);
}

/* ---- health ----------------------------------------------------------------------------------------------------- */

static void fail(lb_reader *reader, uint32_t times, uint64_t pause_ns) {
    for (uint32_t i = 0; i < times; i++) {
        lb_chosen got;
        lb_call call;
        if (!lb_reader_begin(reader, &(lb_want){0}, 5, &got, &call)) return;
        lb_report report = {.outcome = {.fault = LB_FAULT_CONNECT}, .latency_ns = LB_NEVER, .pause_ns = pause_ns};
        lb_reader_report(reader, &call, &report, 5);
        lb_reader_release(reader, &call);
    }
}

/* Out at once for whoever picks; told, and in the picture, when the writer comes by. */
static void a_report_takes_a_target_out(void) {
    fleet f = {0};
    add_targets(&f, 4, 0);
    lb_upstream_spec spec = spec_of(policy_named("first"));
    spec.health.outlier = ejecting(3, 50, SECOND, SECOND);
    spec.limits.hold_ns = 0;
    lb_upstream *up = upstream_with(&spec, &f, 1);
    lb_reader *reader = reader_of(up, 1), *other = reader_of(up, 2);
    lb_chosen got;
    lb_event event;
    uint64_t dropped;
    fail(reader, 3, 0);
    CHECK(lb_upstream_view(up)->weight[0] == 1);
    CHECK(lb_reader_pick(other, 6, &got) && got.member == 1);
    fail(reader, 3, 0);
    fail(reader, 30, 0);                                /* two of four are out: nobody else may go */
    CHECK(lb_reader_pick(other, 6, &got) && got.member == 2);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK(lb_upstream_next_event(up, &event, &dropped));
        CHECK(event.kind == LB_EVENT_EJECTED && event.slot == slot_of(up, i) && event.failures == 3 && dropped == 0);
        CHECK_EQ(event.until_ns, 5 + SECOND);
    }
    CHECK(!lb_upstream_next_event(up, &event, &dropped));
    CHECK_EQ(lb_upstream_advance(up, 7, NULL), LB_OK);
    CHECK(lb_upstream_view(up)->weight[0] == 0 && lb_upstream_view(up)->weight[2] == 1);
    CHECK_EQ(lb_upstream_advance(up, 2 * SECOND, NULL), LB_OK);
    CHECK(lb_reader_pick(other, 0, &got) && got.member == 0);
    lb_reader_free(other);
    lb_reader_free(reader);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* 64 events wait for the writer; of the others he learns the number. */
static void events_without_room_are_counted(void) {
    fleet f = {0};
    add_targets(&f, 100, 0);
    lb_upstream *up = upstream_named("first", &f);
    lb_reader *reader = reader_of(up, 1);
    fail(reader, 100, SECOND);
    lb_event event;
    uint64_t dropped, all = 0;
    uint32_t n = 0;
    for (; lb_upstream_next_event(up, &event, &dropped); n++) all += dropped;
    CHECK_EQ(n, 64);
    CHECK_EQ(all + dropped, 36);
    lb_reader_free(reader);
    lb_upstream_free(up);
}

/* A failed call stays counted for a while, by the writer's clock; one that finds no room is released. */
static void failed_calls_stay_counted(void) {
    fleet f = {0};
    add_targets(&f, 2, 0);
    lb_upstream_spec spec = spec_of(policy_named("least_conn"));
    spec.limits.hold_ns = SECOND;
    lb_upstream *up = upstream_with(&spec, &f, 1);
    lb_reader *reader = reader_of(up, 1);
    fail(reader, 70, 0);
    CHECK_EQ(lb_upstream_in_flight(up), 64);
    CHECK_EQ(lb_upstream_advance(up, 6, NULL), LB_OK);
    CHECK_EQ(lb_upstream_in_flight(up), 64);
    CHECK_EQ(lb_upstream_due(up), 5 + SECOND);
    fail(reader, 1, 0);
    lb_reader_free(reader);                             /* he hears it before it is gone */
    CHECK_EQ(lb_upstream_in_flight(up), 65);
    CHECK_EQ(lb_upstream_advance(up, 5 + SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_in_flight(up), 0);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

static void the_end_of_a_drain_is_told(void) {
    fleet f = {0};
    add_targets(&f, 2, 0);
    lb_upstream *up = upstream_named("first", &f);
    lb_reader *reader = reader_of(up, 1);
    lb_chosen got;
    lb_call call;
    lb_event event;
    uint64_t dropped;
    CHECK(lb_reader_begin(reader, &(lb_want){0}, 1, &got, &call) && call.member == 0);
    CHECK_EQ(lb_upstream_drain(up, 0, LB_NEVER, 1, NULL), LB_OK);
    CHECK(lb_reader_pick(reader, 0, &got) && got.member == 1);
    CHECK(lb_upstream_next_event(up, &event, &dropped) && event.kind == LB_EVENT_DRAINING);
    CHECK(!lb_upstream_next_event(up, &event, &dropped));
    lb_reader_release(reader, &call);
    CHECK(lb_upstream_next_event(up, &event, &dropped) && event.kind == LB_EVENT_DRAINED);
    lb_reader_free(reader);
    lb_upstream_free(up);
}

/* ---- what is replaced ------------------------------------------------------------------------------------------- */

static void who_is_inside_keeps_the_picture(void) {
    fleet f = {0};
    add_targets(&f, 6, 0);
    lb_upstream *up = upstream_named("round_robin", &f);
    lb_reader *reader = reader_of(up, 1), *other = reader_of(up, 2);
    const lb_view *view = lb_reader_enter(reader);
    CHECK(view == lb_upstream_view(up));
    for (uint32_t i = 0; i < 10; i++) CHECK_EQ(lb_upstream_set_weight(up, 0, 2 + i, 0, NULL), LB_OK);
    CHECK(lb_reader_enter(reader) == view);             /* nested: the same */
    lb_reader_leave(reader);
    lb_reader_enter(other);                             /* the present one: keeps nothing */
    CHECK_EQ(lb_upstream_reclaim(up), 10);              /* the first, and with it all after it */
    CHECK(view->weight[0] == 1 && lb_str_equal(view->name[5].address, f.target[5].address));
    lb_chosen got;
    CHECK(lb_reader_pick(reader, 0, &got) && got.user == view->user[got.member]);
    CHECK_EQ(lb_upstream_reclaim(up), 10);
    lb_reader_leave(reader);
    CHECK_EQ(lb_upstream_reclaim(up), 10 - LB_RECLAIMED);       /* a slice a call */
    CHECK_EQ(lb_upstream_reclaim(up), 10 - 2 * LB_RECLAIMED);
    CHECK_EQ(lb_upstream_reclaim(up), 0);
    CHECK_EQ(lb_upstream_reclaim(up), 0);
    lb_reader_leave(other);
    CHECK(lb_reader_enter(reader) == lb_upstream_view(up));
    lb_reader_leave(reader);
    lb_reader_free(reader);
    lb_reader_free(other);
    f.target[0].weight = 11;
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* A call on a target that left meanwhile counts on nobody else. */
static void a_slot_waits_for_who_may_choose_it(void) {
    fleet f = {0};
    add_targets(&f, 4, 0);
    lb_upstream *up = upstream_named("first", &f);
    add_targets(&f, 1, 0);
    lb_reader *reader = reader_of(up, 1);
    lb_chosen got;
    lb_call call;
    (void)lb_reader_enter(reader);
    uint32_t slot = slot_of(up, 0);
    CHECK_EQ(lb_upstream_update(up, f.target + 1, 2, 0, NULL), LB_OK);          /* 0 and 3 are gone */
    CHECK_EQ(lb_upstream_update(up, f.target + 1, 4, 0, NULL), LB_OK);          /* 3 is back, and another */
    for (uint32_t i = 0; i < 4; i++) CHECK(slot_of(up, i) != slot);
    CHECK(lb_reader_begin(reader, &(lb_want){0}, 0, &got, &call) && call.slot == slot);
    CHECK_EQ(lb_generation_of(lb_upstream_state(up), slot), call.generation);
    lb_reader_leave(reader);
    CHECK_EQ(lb_upstream_reclaim(up), 0);
    CHECK_EQ(lb_upstream_update(up, f.target + 1, 4, 0, NULL), LB_OK);          /* its call is open */
    CHECK_EQ(lb_generation_of(lb_upstream_state(up), slot), call.generation);
    lb_reader_release(reader, &call);
    CHECK_EQ(lb_upstream_update(up, f.target, 5, 0, NULL), LB_OK);
    CHECK(lb_generation_of(lb_upstream_state(up), slot) != call.generation);
    lb_report report = {.outcome = {.verdict = LB_FAILURE}};
    lb_reader_report(reader, &call, &report, 0);        /* late: nobody is to blame */
    lb_reader_release(reader, &call);
    CHECK_EQ(lb_upstream_in_flight(up), 0);
    lb_reader_free(reader);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

static void an_upstream_may_go_first(void) {
    fleet f = {0};
    add_targets(&f, 3, 0);
    lb_upstream *up = upstream_named("round_robin", &f);
    lb_reader *reader = reader_of(up, 1), *other = reader_of(up, 1);
    (void)lb_reader_enter(reader);
    CHECK_EQ(lb_upstream_set_weight(up, 0, 2, 0, NULL), LB_OK);
    lb_upstream_free(up);                               /* with what waits for the reader */
    lb_reader_free(other);
    lb_reader_free(reader);
}

/* ---- without memory --------------------------------------------------------------------------------------------- */

static lb_status scenario(void) {
    fleet f = {0};
    add_targets(&f, 3, 0);
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    lb_upstream *up = NULL;
    lb_reader *reader = NULL;
    lb_chosen got;
    lb_status status = lb_upstream_new(&up, &spec, f.target, f.n, 0, NULL);
    if (!status) status = lb_reader_new(&reader, up, 1, NULL);
    if (!status) CHECK(lb_reader_pick(reader, 0, &got));
    if (!status) status = lb_upstream_set_weight(up, 1, 4, 0, NULL);
    uint32_t of[3] = {0};
    for (int i = 0; reader && i < 18; i++) of[lb_reader_pick(reader, 0, &got) ? got.member : 0]++;
    if (reader && status) CHECK(of[0] == 6 && of[1] == 6 && of[2] == 6);        /* the schedule goes on as it was */
    if (!status) status = lb_upstream_update(up, f.target, 2, 0, NULL);
    lb_reader_free(reader);
    lb_upstream_free(up);
    return status;
}

static void without_memory_nothing_changes(void) { CHECK(every_allocation_fails_once(scenario) > 5); }

int main(void) {
    RUN(a_reader_picks_what_plain_functions_pick);
    RUN(levels_and_subsets_are_chosen_alike);
    RUN(a_receipt_says_the_same);
    RUN(turns_of_readers_are_taken_turns);
    RUN(a_keyed_policy_wants_a_key);
    RUN(behind_a_closed_gate_picks_are_drawn);
    RUN(limits_hold);
    RUN(bounds_count_the_calls_of_all_readers);
    RUN(a_report_takes_a_target_out);
    RUN(events_without_room_are_counted);
    RUN(failed_calls_stay_counted);
    RUN(the_end_of_a_drain_is_told);
    RUN(who_is_inside_keeps_the_picture);
    RUN(a_slot_waits_for_who_may_choose_it);
    RUN(an_upstream_may_go_first);
    RUN(without_memory_nothing_changes);
    return check_result();
}

/* shared turns: several workers on one segment: their schedules, what one learns of the others, forks, and failures. */
#include "fake_segment.h"

static segment shared;

static lb_upstream_spec shared_spec(const lb_policy *policy, worker *w, uint64_t seed) {
    lb_upstream_spec spec = spec_of(policy);
    spec.seed = seed;                                   /* each worker's own: what must be alike has the segment's */
    spec.backing = &w->backing;
    spec.name = lb_str_of("up");
    return spec;
}

/* `n` workers of `policy` on a new segment. */
static void start(worker *w, uint32_t n, const char *policy, const fleet *f) {
    open_segment(&shared);
    for (uint32_t i = 0; i < n; i++) {
        attach(&w[i], &shared);
        lb_upstream_spec spec = shared_spec(policy_named(policy), &w[i], i + 1);
        w[i].up = upstream_with(&spec, f, SECOND);
    }
}

static void stop(worker *w, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) lb_upstream_free(w[i].up);
    check_empty(&shared);
}

static void weigh(fleet *f, const uint32_t *weight, uint32_t n) {
    memset(f, 0, sizeof *f);
    add_targets(f, n, 0);
    for (uint32_t i = 0; i < n; i++) f->target[i].weight = weight[i];
}

/* ---- exact together --------------------------------------------------------------------------------------------- */

/* After k picks of all workers each target has had its share of k, within one pick. */
static void check_shares(const uint64_t *got, const uint32_t *weight, uint32_t n, uint64_t k) {
    int64_t total = 0;
    for (uint32_t i = 0; i < n; i++) total += weight[i];
    for (uint32_t i = 0; i < n; i++) {
        int64_t off = (int64_t)got[i] * total - (int64_t)k * weight[i];
        CHECK(off <= total && off >= -total);
    }
}

/* As the binding picks: from the schedule where it is replayed. */
static uint32_t pick_as_bound(lb_upstream *up, fleet *f) {
    if (!lb_upstream_is_replaying(up)) return lb_upstream_pick(up, 2 * SECOND);
    lb_target_spec *chosen = lb_upstream_replay_user(up);
    return (uint32_t)(chosen - f->target);
}

static void all_workers_together_are_within_one_pick_of_exact(void) {
    static const struct { uint32_t n, weight[6]; } splits[] = {
        {2, {75, 25}}, {2, {1, 1}}, {3, {5, 3, 1}}, {4, {9, 1, 0, 90}}, {6, {1, 2, 3, 4, 5, 6}}, {2, {999, 1}},
    };
    lb_rng rng;
    lb_rng_seed(&rng, 20240801);
    for (size_t c = 0; c < sizeof splits / sizeof *splits; c++) {
        for (uint32_t n_workers = 2; n_workers <= 8; n_workers++) {
            static fleet f;
            worker w[8];
            uint64_t got[6] = {0};
            weigh(&f, splits[c].weight, splits[c].n);
            for (uint32_t i = 0; i < f.n; i++) f.target[i].user = &f.target[i];
            start(w, n_workers, "round_robin", &f);
            CHECK_EQ(n_cursor_users(&shared), n_workers);
            for (uint64_t k = 1; k <= 3000; k++) {
                uint32_t member = pick_as_bound(w[lb_rng_below(&rng, n_workers)].up, &f);
                CHECK(member < f.n);
                if (member >= f.n) break;
                got[member]++;
                check_shares(got, splits[c].weight, f.n, k);
            }
            stop(w, n_workers);
        }
    }
}

/* Many at once are turns of the same cursor. */
static void batches_take_turns_of_the_same_cursor(void) {
    static fleet f;
    static const uint32_t weight[] = {75, 25};
    worker w[3];
    uint64_t got[2] = {0}, k = 0;
    lb_rng rng;
    lb_rng_seed(&rng, 20240802);
    weigh(&f, weight, 2);
    start(w, 3, "round_robin", &f);
    for (int turn = 0; turn < 400; turn++) {
        int32_t out[40];
        uint32_t n = 1 + lb_rng_below(&rng, 40);
        lb_upstream *up = w[lb_rng_below(&rng, 3)].up;
        if (turn % 3) lb_upstream_pick_many(up, out, n, 2 * SECOND);
        else out[0] = (int32_t)lb_upstream_pick(up, 2 * SECOND), n = 1;
        for (uint32_t i = 0; i < n; i++) got[out[i]]++;
        k += n;
        check_shares(got, weight, 2, k);
    }
    stop(w, 3);
}

/* Looking ahead is of the shared turns, and takes none. */
static void looking_ahead_takes_no_turn(void) {
    static fleet f;
    static const uint32_t weight[] = {3, 2, 1};
    worker w[2];
    weigh(&f, weight, 3);
    start(w, 2, "round_robin", &f);
    lb_want anybody = {0};
    for (int k = 0; k < 40; k++) {
        uint32_t next, again;
        CHECK_EQ(lb_upstream_candidates(w[1].up, &anybody, &next, 1, 2 * SECOND), 1);
        CHECK_EQ(lb_upstream_candidates(w[0].up, &anybody, &again, 1, 2 * SECOND), 1);
        CHECK_EQ(next, again);
        CHECK_EQ(lb_upstream_pick(w[k % 2].up, 2 * SECOND), next);
    }
    stop(w, 2);
}

/* Groups of a level, and who chooses among them. */
static void levels_and_localities_are_exact_together(void) {
    static fleet f;
    worker w[4];
    uint64_t got[2] = {0};
    memset(&f, 0, sizeof f);
    add_targets(&f, 4, 0);
    for (uint32_t i = 0; i < 4; i++) {
        f.target[i].locality = 1 + i / 2;
        f.target[i].locality_weight = i / 2 ? 30 : 10;
    }
    start(w, 4, "round_robin", &f);
    for (uint64_t k = 1; k <= 800; k++) {
        uint32_t member = lb_upstream_pick(w[k * k % 4].up, 2 * SECOND);
        CHECK(member < 4);
        got[member / 2]++;
        check_shares(got, (const uint32_t[]){10, 30}, 2, k);
    }
    stop(w, 4);
}

/* ---- whose cursor is whose -------------------------------------------------------------------------------------- */

/* A worker with other weights has a schedule of its own: it disturbs nobody, and nobody him. */
static void other_weights_are_another_cursor(void) {
    static fleet f;
    worker w[3];
    uint64_t two[2] = {0}, one[2] = {0};
    weigh(&f, (const uint32_t[]){75, 25}, 2);
    start(w, 3, "round_robin", &f);
    CHECK_EQ(lb_upstream_set_weight(w[2].up, 0, 25, SECOND, NULL), LB_OK);
    for (uint64_t k = 1; k <= 300; k++) {
        two[lb_upstream_pick(w[k / 3 % 2].up, 2 * SECOND)]++;
        check_shares(two, (const uint32_t[]){75, 25}, 2, k);
        one[lb_upstream_pick(w[2].up, 2 * SECOND)]++;
        check_shares(one, (const uint32_t[]){25, 25}, 2, k);
    }
    stop(w, 3);
}

/* A subset that has the same members takes its own turns: picks by turns from both would else give each half of them. */
static void a_subset_has_turns_of_its_own(void) {
    static fleet f;
    worker w[2];
    memset(&f, 0, sizeof f);
    add_targets(&f, 2, 0);
    for (uint32_t i = 0; i < 2; i++) give_label(&f, i, 5);
    start(w, 2, "round_robin", &f);
    lb_subset *all = subset_of(w[0].up, 5), *same = subset_of(w[1].up, 5);
    uint64_t whole[2] = {0}, part[2] = {0};
    for (uint64_t k = 1; k <= 100; k++) {
        lb_want within = {.within = k % 2 ? all : same};
        whole[lb_upstream_pick(w[0].up, 2 * SECOND)]++;
        part[lb_upstream_choose(w[k % 2 ? 0 : 1].up, &within, 2 * SECOND)]++;
        check_shares(whole, (const uint32_t[]){1, 1}, 2, k);
        check_shares(part, (const uint32_t[]){1, 1}, 2, k);
    }
    lb_subset_free(all);
    lb_subset_free(same);
    stop(w, 2);
}

/* Where none is free each worker's schedule is its own, from its beginning. */
static void without_a_cursor_turns_are_ones_own(void) {
    static fleet f;
    worker w[2];
    uint64_t got[2][2] = {{0}};
    weigh(&f, (const uint32_t[]){75, 25}, 2);
    open_segment(&shared);
    shared.no_cursors = true;
    for (uint32_t i = 0; i < 2; i++) {
        attach(&w[i], &shared);
        lb_upstream_spec spec = shared_spec(policy_named("round_robin"), &w[i], i);
        w[i].up = upstream_with(&spec, &f, SECOND);
    }
    for (uint64_t k = 1; k <= 300; k++)
        for (int i = 0; i < 2; i++) {
            got[i][lb_upstream_pick(w[i].up, 2 * SECOND)]++;
            check_shares(got[i], (const uint32_t[]){75, 25}, 2, k);
        }
    stop(w, 2);
}

/* ---- what one learns of the others ------------------------------------------------------------------------------ */

static uint32_t count_events(lb_upstream *up, lb_event_kind kind) {
    lb_event event;
    uint64_t dropped;
    uint32_t n = 0;
    while (lb_upstream_next_event(up, &event, &dropped)) n += event.kind == kind;
    return n;
}

/* The next pick of each worker knows it; it is told once, by who made it, and its end once, by who saw it first. */
static void an_ejection_is_seen_by_the_next_pick_of_all(void) {
    static fleet f;
    worker w[4];
    weigh(&f, (const uint32_t[]){1, 1, 1}, 3);
    open_segment(&shared);
    for (uint32_t i = 0; i < 4; i++) {
        attach(&w[i], &shared);
        lb_upstream_spec spec = shared_spec(policy_named("round_robin"), &w[i], i);
        spec.health.outlier = ejecting(3, 50, 10 * SECOND, 10 * SECOND);
        w[i].up = upstream_with(&spec, &f, SECOND);
    }
    for (uint32_t i = 0; i < 3; i++) {                  /* a failure each: the count is of all */
        lb_call call;
        lb_upstream_begin_on(w[i].up, 1, 2 * SECOND, &call);
        report_verdict(w[i].up, &call, LB_FAILURE, 1, 2 * SECOND);
        lb_upstream_release(w[i].up, &call);
    }
    uint32_t n_told = 0, n_ended = 0;
    for (uint32_t i = 0; i < 4; i++) {
        for (int k = 0; k < 6; k++) CHECK(lb_upstream_pick(w[i].up, 2 * SECOND) != 1);
        CHECK_EQ(w[i].up->n_ejected, 1);
        walk_fleet(w[i].up, &f);
        n_told += count_events(w[i].up, LB_EVENT_EJECTED);
    }
    CHECK_EQ(n_told, 1);
    for (uint32_t i = 0; i < 4; i++) {
        bool seen = false;
        for (int k = 0; k < 6; k++) seen = lb_upstream_pick(w[i].up, 12 * SECOND) == 1 || seen;
        CHECK(seen);
        walk_fleet(w[i].up, &f);
        n_ended += count_events(w[i].up, LB_EVENT_RECOVERED);
    }
    CHECK_EQ(n_ended, 1);
    CHECK_EQ(n_cursor_users(&shared), 4);               /* all have the same schedule again */
    stop(w, 4);
}

/* The maximum share is of the ejections of all. */
static void the_maximum_share_is_of_all_workers(void) {
    static fleet f;
    worker w[4];
    weigh(&f, (const uint32_t[]){1, 1, 1, 1}, 4);
    open_segment(&shared);
    for (uint32_t i = 0; i < 4; i++) {
        attach(&w[i], &shared);
        lb_upstream_spec spec = shared_spec(policy_named("round_robin"), &w[i], i);
        spec.health.outlier = ejecting(1, 50, 10 * SECOND, 10 * SECOND);
        w[i].up = upstream_with(&spec, &f, SECOND);
    }
    for (uint32_t i = 0; i < 4; i++) {
        lb_call call;
        CHECK(lb_upstream_acquire(w[i].up, 2 * SECOND, &call));
        report_verdict(w[i].up, &call, LB_FAILURE, 1, 2 * SECOND);
        lb_upstream_release(w[i].up, &call);
    }
    for (uint32_t i = 0; i < 4; i++) CHECK_EQ(settled(w[i].up)->n_usable, 2);
    stop(w, 4);
}

/* Policies, limits and figures see the calls of all, a look later. */
static void calls_of_all_are_seen_after_a_look(void) {
    static fleet f;
    worker w[2];
    lb_call call[3];
    weigh(&f, (const uint32_t[]){1, 1}, 2);
    start(w, 2, "least_conn", &f);
    for (int i = 0; i < 3; i++) lb_upstream_begin_on(w[0].up, 0, 2 * SECOND, &call[i]);
    for (int i = 0; i < 4; i++) CHECK_EQ(lb_upstream_pick(w[1].up, 3 * SECOND), 1);
    CHECK_EQ(calls_on(w[1].up, 0), 3);
    CHECK(lb_upstream_in_flight(w[1].up) == 3 && lb_upstream_in_flight(w[0].up) == 3);
    lb_call own;
    lb_upstream_begin_on(w[1].up, 0, 3 * SECOND, &own);
    CHECK(calls_on(w[1].up, 0) == 4 && n_counted(&shared) == 4);
    for (int i = 0; i < 3; i++) lb_upstream_release(w[0].up, &call[i]);
    (void)lb_upstream_pick(w[1].up, 3 * SECOND);        /* not a millisecond later: the old look */
    CHECK_EQ(calls_on(w[1].up, 0), 4);
    (void)lb_upstream_pick(w[1].up, 3 * SECOND + 2000000);
    CHECK_EQ(calls_on(w[1].up, 0), 1);
    walk_fleet(w[1].up, &f);
    lb_upstream_release(w[1].up, &own);
    stop(w, 2);
}

static void a_limit_is_of_the_calls_of_all(void) {
    static fleet f;
    worker w[2];
    lb_call call;
    weigh(&f, (const uint32_t[]){1, 1}, 2);
    open_segment(&shared);
    for (uint32_t i = 0; i < 2; i++) {
        attach(&w[i], &shared);
        lb_upstream_spec spec = shared_spec(policy_named("round_robin"), &w[i], i);
        spec.limits.in_flight = 1;
        w[i].up = upstream_with(&spec, &f, SECOND);
    }
    lb_upstream_begin_on(w[0].up, 0, 2 * SECOND, &call);
    for (int i = 0; i < 4; i++) CHECK_EQ(lb_upstream_pick(w[1].up, 3 * SECOND), 1);
    lb_upstream_release(w[0].up, &call);
    stop(w, 2);
}

/* Each tells the end of a drain to its own people, once for each drain, with the calls of all. */
static void a_drain_waits_for_the_calls_of_all(void) {
    static fleet f;
    worker w[2];
    lb_call call;
    weigh(&f, (const uint32_t[]){1, 1}, 2);
    start(w, 2, "round_robin", &f);
    for (uint64_t round = 1; round < 4; round++) {
        uint64_t now_ns = round * 10 * SECOND;
        lb_upstream_begin_on(w[1].up, 0, now_ns, &call);
        CHECK_EQ(lb_upstream_drain(w[0].up, 0, LB_NEVER, now_ns + SECOND, NULL), LB_OK);
        for (int k = 0; k < 4; k++) CHECK_EQ(lb_upstream_pick(w[1].up, now_ns + SECOND), 1);
        CHECK_EQ(lb_upstream_advance(w[0].up, now_ns + 2 * SECOND, NULL), LB_OK);
        CHECK_EQ(count_events(w[0].up, LB_EVENT_DRAINED) + count_events(w[1].up, LB_EVENT_DRAINED), 0);
        lb_upstream_release(w[1].up, &call);
        for (int i = 0; i < 2; i++) CHECK_EQ(lb_upstream_advance(w[i].up, now_ns + 3 * SECOND, NULL), LB_OK);
        for (int i = 0; i < 2; i++) CHECK_EQ(count_events(w[i].up, LB_EVENT_DRAINED), 1);
        CHECK_EQ(lb_upstream_undrain(w[1].up, 0, now_ns + 4 * SECOND, NULL), LB_OK);
        for (int i = 0; i < 2; i++) walk_fleet(w[i].up, &f);
    }
    stop(w, 2);
}

/* Who died is looked for once a second, by picks that look. */
static void the_dead_are_swept_once_a_second(void) {
    static fleet f;
    worker w[1];
    weigh(&f, (const uint32_t[]){1, 1}, 2);
    start(w, 1, "least_conn", &f);
    for (uint64_t ms = 0; ms < 5000; ms++) (void)lb_upstream_pick(w[0].up, 10 * SECOND + ms * 1000000);
    CHECK(shared.n_sweeps == 5);
    stop(w, 1);
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

/* A target that one worker removes with a call open is the others' still; its place is given back at the next load. */
static void a_target_leaves_with_its_last_call_at_the_next_load(void) {
    static fleet f;
    worker w[2];
    lb_call call;
    weigh(&f, (const uint32_t[]){1, 1, 1}, 3);
    start(w, 2, "round_robin", &f);
    lb_upstream_begin_on(w[0].up, 2, 2 * SECOND, &call);
    CHECK_EQ(lb_upstream_update(w[0].up, f.target, 2, 2 * SECOND, NULL), LB_OK);
    CHECK_EQ(n_users(&shared), 6);
    lb_upstream_release(w[0].up, &call);
    CHECK(n_counted(&shared) == 0 && n_users(&shared) == 6);
    CHECK_EQ(lb_upstream_set_health(w[1].up, 2, false, true, 2 * SECOND, NULL), LB_OK);
    for (int k = 0; k < 6; k++) CHECK(lb_upstream_pick(w[1].up, 2 * SECOND) != 2);
    CHECK_EQ(lb_upstream_update(w[0].up, f.target, 2, 3 * SECOND, NULL), LB_OK);
    CHECK_EQ(n_users(&shared), 5);
    CHECK_EQ(lb_upstream_update(w[0].up, f.target, 3, 4 * SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_view(w[0].up)->weight[2], 0);  /* what the other worker knows of it is known at once */
    for (int i = 0; i < 2; i++) walk_fleet(w[i].up, &f);
    stop(w, 2);
}

/* Names for people. */
static void places_are_named(void) {
    static fleet f;
    worker w[1];
    weigh(&f, (const uint32_t[]){1}, 1);
    start(w, 1, "round_robin", &f);
    CHECK_TEXT(shared.place[0].name, "up 10.0.0.0:80");
    stop(w, 1);
}

/* ---- forks ------------------------------------------------------------------------------------------------------ */

/* The same upstream as it is in a child: what it held in the segment is the parent's, who lives on. */
static void fork_worker(worker *w, uint64_t seed) {
    w->row = LB_NONE;
    lb_upstream_forked(w->up, seed);
}

/* Give back what the parent of `up` held, so that the segment can be seen to be empty. */
static void end_parent(uint32_t n_targets, uint32_t n_cursors, uint32_t row) {
    for (uint32_t p = 0; p < n_targets; p++) shared.place[p].users--;
    for (uint32_t c = 0; c < MOST_CURSORS && n_cursors; c++)
        if (shared.cursor[c].users) shared.cursor[c].users--, n_cursors--;
    shared.common[0].users--;
    for (uint32_t p = 0; p < MOST_PLACES; p++) lb_counter_write(&shared.row[row][p], 0);
}

static void a_child_joins_anew(void) {
    static fleet f;
    worker w[2];
    lb_call parents, childs;
    uint64_t got[2] = {0};
    weigh(&f, (const uint32_t[]){75, 25}, 2);
    start(w, 2, "round_robin", &f);
    lb_upstream_begin_on(w[0].up, 0, 2 * SECOND, &parents);
    fork_worker(&w[0], 5);
    lb_upstream_release(w[0].up, &parents);             /* not the child's to end */
    CHECK(n_counted(&shared) == 1 && lb_upstream_in_flight(w[0].up) == 0);
    CHECK(lb_upstream_acquire(w[0].up, 2 * SECOND, &childs));           /* before it has joined: counted here only */
    CHECK_EQ(n_counted(&shared), 1);
    CHECK_EQ(lb_upstream_rejoin(w[0].up, 2 * SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_rejoin(w[0].up, 2 * SECOND, NULL), LB_OK);     /* it has */
    CHECK(n_users(&shared) == 6 && n_joined(&shared) == 3 && n_cursor_users(&shared) == 3 && n_counted(&shared) == 2);
    lb_upstream_release(w[0].up, &childs);
    CHECK_EQ(n_counted(&shared), 1);
    lb_word_write(&w[1].up->hot.replay->shared->turn, 0);
    for (uint64_t k = 1; k <= 300; k++) {
        got[lb_upstream_pick(w[k % 2].up, 2 * SECOND)]++;
        check_shares(got, (const uint32_t[]){75, 25}, 2, k);
    }
    for (int i = 0; i < 2; i++) walk_fleet(w[i].up, &f);
    end_parent(2, 1, 0);
    stop(w, 2);
}

/* Joining fails at any place: the child picks on by itself, and the next attempt goes on where it stopped. */
static void a_child_that_fails_to_join_tries_again(void) {
    for (int fail = 0; fail < 4; fail++) {
        static fleet f;
        worker w[1];
        weigh(&f, (const uint32_t[]){1, 1, 1}, 3);
        start(w, 1, "round_robin", &f);
        fork_worker(&w[0], 5);
        shared.joins_left = fail ? -1 : 0;
        shared.seats_left = fail ? fail - 1 : -1;
        for (int attempt = 0; attempt < 2; attempt++) {
            lb_error err = {0};
            CHECK_EQ(lb_upstream_rejoin(w[0].up, 2 * SECOND, &err), LB_ERR_CONFIG);
            CHECK_TEXT(err.field, "shared.max_targets");
            CHECK(lb_upstream_pick(w[0].up, 2 * SECOND) != LB_NONE);
            if (fail) shared.seats_left = 0;
        }
        shared.joins_left = shared.seats_left = -1;
        CHECK_EQ(lb_upstream_rejoin(w[0].up, 2 * SECOND, NULL), LB_OK);
        CHECK(n_users(&shared) == 6 && n_joined(&shared) == 2);
        walk_fleet(w[0].up, &f);
        end_parent(3, 1, 0);
        stop(w, 1);
    }
}

/* A child that ends without having joined gives back nothing that is its parent's. */
static void a_child_that_never_joined_gives_nothing_back(void) {
    for (int fail = 0; fail < 3; fail++) {
        static fleet f;
        worker w[1];
        weigh(&f, (const uint32_t[]){1, 1, 1}, 3);
        start(w, 1, "round_robin", &f);
        fork_worker(&w[0], 5);
        shared.joins_left = fail == 1 ? 0 : -1;
        shared.seats_left = fail == 2 ? 2 : -1;
        if (fail) CHECK_EQ(lb_upstream_rejoin(w[0].up, 2 * SECOND, NULL), LB_ERR_CONFIG);
        lb_upstream_free(w[0].up);
        CHECK(n_users(&shared) == 3 && n_joined(&shared) == 1 && n_cursor_users(&shared) == 1);
        end_parent(3, 1, 0);
        check_empty(&shared);
    }
}

/* ---- failures --------------------------------------------------------------------------------------------------- */

static void errors_of_the_segment_leave_everything_as_it_was(void) {
    static fleet f, more;
    worker w[1];
    weigh(&f, (const uint32_t[]){1, 1, 1}, 3);
    open_segment(&shared);
    attach(&w[0], &shared);
    lb_upstream_spec spec = shared_spec(policy_named("round_robin"), &w[0], 1);
    for (int fail = 0; fail < 4; fail++) {
        lb_upstream *up = NULL;
        lb_error err = {0};
        shared.joins_left = fail ? -1 : 0;
        shared.seats_left = fail ? fail - 1 : -1;
        CHECK_EQ(lb_upstream_new(&up, &spec, f.target, 3, SECOND, &err), LB_ERR_CONFIG);
        CHECK(up == NULL);
        CHECK_TEXT(err.field, "shared.max_targets");
        check_empty(&shared);
    }
    shared.joins_left = shared.seats_left = -1;
    w[0].up = upstream_with(&spec, &f, SECOND);
    weigh(&more, (const uint32_t[]){1, 1, 1, 1, 1}, 5);
    for (int seats = 0; seats < 2; seats++) {
        const lb_view *view = lb_upstream_view(w[0].up);
        uint32_t next, still;
        lb_want anybody = {0};
        CHECK_EQ(lb_upstream_candidates(w[0].up, &anybody, &next, 1, SECOND), 1);
        shared.seats_left = seats;
        CHECK_EQ(lb_upstream_update(w[0].up, more.target, 5, SECOND, NULL), LB_ERR_CONFIG);
        CHECK(lb_upstream_view(w[0].up) == view && n_users(&shared) == 3 && n_cursor_users(&shared) == 1);
        CHECK_EQ(lb_upstream_candidates(w[0].up, &anybody, &still, 1, SECOND), 1);
        CHECK_EQ(next, still);
        walk_fleet(w[0].up, &f);
    }
    stop(w, 1);
}

/* Two workers' lives: lists, a subset, an ejection, picks, a fork. */
static lb_status a_shared_life(void) {
    static fleet f;
    worker w[2];
    lb_subset *subset = NULL;
    const uint32_t label = 5;
    lb_status status = LB_OK;
    memset(&f, 0, sizeof f);
    add_targets(&f, 20, 0);
    for (uint32_t i = 0; i < 20; i++) f.target[i].priority = i % 2;
    give_label(&f, 3, 5);
    open_segment(&shared);
    for (uint32_t i = 0; i < 2 && !status; i++) {
        attach(&w[i], &shared);
        lb_upstream_spec spec = shared_spec(policy_named("round_robin"), &w[i], i);
        status = lb_upstream_new(&w[i].up, &spec, f.target, i ? 20 : 17, SECOND, NULL);
        if (status) w[i].up = NULL;
    }
    if (!status) status = lb_upstream_subset(w[0].up, &label, 1, SECOND, &subset, NULL);
    if (!status) status = lb_upstream_update(w[0].up, f.target + 1, 19, 2 * SECOND, NULL);
    if (!status) status = lb_upstream_set_health(w[1].up, 4, false, true, 2 * SECOND, NULL);
    if (!status) status = lb_upstream_settle(w[0].up, 2 * SECOND, NULL);
    if (!status) CHECK_EQ(lb_upstream_view(w[0].up)->weight[3], 0);
    uint64_t dropped = 0;
    lb_event event;
    if (!status && !lb_upstream_next_event(w[1].up, &event, &dropped)) status = LB_ERR_NOMEM;   /* none for the queue */
    uint32_t users = n_users(&shared), cursors = n_cursor_users(&shared);
    if (!status) status = lb_upstream_update(w[1].up, f.target, 1, 3 * SECOND, NULL);
    if (status && w[1].up) CHECK(n_users(&shared) == users && n_cursor_users(&shared) == cursors);
    lb_subset_free(subset);
    for (uint32_t i = 0; i < 2; i++)
        if (w[i].segment == &shared) lb_upstream_free(w[i].up);
    check_empty(&shared);
    return status;
}

static void every_allocation_may_fail(void) { CHECK(every_allocation_fails_once(a_shared_life) > 50); }

int main(void) {
    RUN(all_workers_together_are_within_one_pick_of_exact);
    RUN(batches_take_turns_of_the_same_cursor);
    RUN(looking_ahead_takes_no_turn);
    RUN(levels_and_localities_are_exact_together);
    RUN(other_weights_are_another_cursor);
    RUN(a_subset_has_turns_of_its_own);
    RUN(without_a_cursor_turns_are_ones_own);
    RUN(an_ejection_is_seen_by_the_next_pick_of_all);
    RUN(the_maximum_share_is_of_all_workers);
    RUN(calls_of_all_are_seen_after_a_look);
    RUN(a_limit_is_of_the_calls_of_all);
    RUN(a_drain_waits_for_the_calls_of_all);
    RUN(the_dead_are_swept_once_a_second);
    RUN(a_target_leaves_with_its_last_call_at_the_next_load);
    RUN(places_are_named);
    RUN(a_child_joins_anew);
    RUN(a_child_that_fails_to_join_tries_again);
    RUN(a_child_that_never_joined_gives_nothing_back);
    RUN(errors_of_the_segment_leave_everything_as_it_was);
    RUN(every_allocation_may_fail);
    return check_result();
}

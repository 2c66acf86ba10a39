/* due: what happens by itself: held calls end, what a policy learnt fades, slow starts go on. */
#include "upstreams.h"

/* ---- a policy that is told, and ticks --------------------------------------------------------------------------- */

/* What happened, in the order in which it happened: "o" an observed call ("O": failed), "t" a tick. */
static struct { char text[600]; uint32_t n; uint64_t tick_ns, latency_ns; uint32_t slot; } heard;

static void hear(char what) {
    if (heard.n + 1 < sizeof heard.text) heard.text[heard.n++] = what;
    heard.text[heard.n] = 0;
}

static void forget(void) { memset(&heard, 0, sizeof heard); }

static lb_status no_tables(void **out, const lb_view *view, const double *param, const void *previous,
                           const uint32_t *old_index, lb_error *err) {
    (void)view, (void)param, (void)previous, (void)old_index, (void)err;
    *out = NULL;
    return LB_OK;
}

static void nothing(void *state) { (void)state; }

static uint32_t first_usable(void *state, const lb_view *view, const lb_ask *ask) {
    (void)state;
    return ask->step < view->n_usable ? view->usable[ask->step] : LB_NONE;
}

static void observe(const void *state, lb_state *places, uint32_t slot, const lb_seen *seen) {
    CHECK(state == NULL && places != NULL);
    hear(seen->failed ? 'O' : 'o');
    heard.slot = slot;
    heard.latency_ns = seen->latency_ns;
}

static void tick(const void *state, lb_state *places, uint64_t now_ns) {
    CHECK(state == NULL && places != NULL);
    hear('t');
    heard.tick_ns = now_ns;
}

static const lb_policy ticker = {
    .name = "ticker", .summary = "For tests.", .build = no_tables, .destroy = nothing, .pick = first_usable,
    .observe = observe, .tick = tick, .tick_ns = 10 * SECOND,
};

static const lb_policy aware = {
    .name = "aware", .summary = "For tests.", .build = no_tables, .destroy = nothing, .pick = first_usable,
    .load_aware = true,
};

static const lb_policy unaware = {
    .name = "unaware", .summary = "For tests.", .build = no_tables, .destroy = nothing, .pick = first_usable,
};

static lb_upstream *upstream_by(const lb_policy *policy, fleet *f, uint32_t n, uint64_t now_ns) {
    lb_upstream_spec spec = spec_of(policy);
    f->n = 0;
    add_targets(f, n, 0);
    return upstream_with(&spec, f, now_ns);
}

/* ---- held calls ------------------------------------------------------------------------------------------------- */

static lb_call failed_call(lb_upstream *up, uint32_t member, uint64_t now_ns) {
    lb_call call;
    lb_upstream_begin_on(up, member, now_ns, &call);
    report_verdict(up, &call, LB_FAILURE, LB_NEVER, now_ns);
    return call;
}

static uint32_t n_held(const lb_upstream *up, uint32_t member) {
    return lb_seat_of(lb_upstream_state(up), slot_of(up, member))->n_held;
}

/* "a failed call stays counted that long, where the policy is load_aware" */
static void a_failed_call_stays_counted_until_its_end(void) {
    static fleet f;
    lb_upstream *up = upstream_by(&aware, &f, 2, SECOND);
    lb_call call = failed_call(up, 1, 5 * SECOND);
    CHECK_EQ(call.hold_until_ns, 6 * SECOND);
    CHECK_EQ(n_held(up, 1), 0);                         /* not before it is released */
    lb_upstream_release(up, &call);
    CHECK(calls_on(up, 1) == 1 && n_held(up, 1) == 1);
    CHECK_EQ(lb_upstream_in_flight(up), 1);
    CHECK_EQ(lb_upstream_due(up), 6 * SECOND);
    walk_fleet(up, &f);
    CHECK_EQ(lb_upstream_advance(up, 6 * SECOND - 1, NULL), LB_OK);
    CHECK_EQ(calls_on(up, 1), 1);
    CHECK_EQ(lb_upstream_pick(up, 6 * SECOND), 0);      /* any call that tells the time fires it */
    CHECK(calls_on(up, 1) == 0 && n_held(up, 1) == 0);
    CHECK_EQ(lb_upstream_in_flight(up), 0);
    CHECK_EQ(lb_upstream_due(up), LB_NEVER);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

static void nothing_else_is_held(void) {
    static fleet f;
    static const struct { const lb_policy *policy; lb_verdict verdict; uint64_t hold_ns; } cases[] = {
        {&unaware, LB_FAILURE, SECOND}, {&aware, LB_SUCCESS, SECOND}, {&aware, LB_NEITHER, SECOND},
        {&aware, LB_FAILURE, 0},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        lb_upstream_spec spec = spec_of(cases[c].policy);
        spec.limits.hold_ns = cases[c].hold_ns;
        f.n = 0;
        add_targets(&f, 1, 0);
        lb_upstream *up = upstream_with(&spec, &f, 1);
        lb_call call;
        lb_upstream_begin_on(up, 0, 1, &call);
        report_verdict(up, &call, cases[c].verdict, LB_NEVER, 1);
        CHECK_EQ(call.hold_until_ns, 0);
        lb_upstream_release(up, &call);
        CHECK(lb_upstream_in_flight(up) == 0 && lb_upstream_due(up) == LB_NEVER);
        lb_upstream_free(up);
    }
}

/* Many, released in an order that is not that of their ends: each ends at its own time. */
static void held_calls_end_in_the_order_of_their_times(void) {
    enum { N = 200 };
    static fleet f;
    static lb_call call[N];
    lb_upstream *up = upstream_by(&aware, &f, 7, SECOND);
    for (uint32_t i = 0; i < N; i++) call[i] = failed_call(up, i % 7, SECOND + i);
    for (uint32_t i = 0; i < N; i++) {
        lb_upstream_release(up, &call[(i * 37) % N]);   /* 37 and 200 have no divisor in common */
        walk_fleet(up, &f);
    }
    for (uint32_t i = 0; i < N; i++) {
        CHECK_EQ(lb_upstream_in_flight(up), N - i);
        CHECK_EQ(lb_upstream_due(up), 2 * SECOND + i);
        CHECK_EQ(lb_upstream_advance(up, 2 * SECOND + i, NULL), LB_OK);
        if (i % 20 == 0) walk_fleet(up, &f);
    }
    lb_upstream_free(up);
}

/* The queue's ring goes round many times while it is never empty. */
static void the_queue_of_held_calls_goes_round(void) {
    static fleet f;
    lb_upstream *up = upstream_by(&aware, &f, 3, SECOND);
    for (uint32_t t = 0; t < 100; t++) {
        lb_call call = failed_call(up, t % 3, SECOND + t * SECOND / 10);
        lb_upstream_release(up, &call);
        CHECK_EQ(lb_upstream_in_flight(up), t < 10 ? t + 1 : 10);
        walk_fleet(up, &f);
    }
    lb_upstream_free(up);
}

/* A target that is removed keeps its slot until its last call has ended, held ones included. */
static void a_leaving_target_waits_for_its_held_calls(void) {
    static fleet f;
    lb_upstream *up = upstream_by(&aware, &f, 2, SECOND);
    lb_call held = failed_call(up, 1, SECOND), open = failed_call(up, 1, SECOND);
    uint32_t slot = held.slot;
    lb_upstream_release(up, &held);
    f.n = 1;
    CHECK_EQ(lb_upstream_update(up, f.target, 1, SECOND, NULL), LB_OK);
    walk_fleet(up, &f);
    lb_upstream_release(up, &open);                     /* its target is going: counted no longer than it runs */
    CHECK_EQ(lb_upstream_in_flight(up), 1);
    walk_fleet(up, &f);
    CHECK(lb_seat_of(lb_upstream_state(up), slot)->leaving);
    CHECK_EQ(lb_upstream_advance(up, 2 * SECOND, NULL), LB_OK);
    CHECK(!lb_seat_of(lb_upstream_state(up), slot)->used);
    CHECK_EQ(lb_upstream_in_flight(up), 0);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* "Without memory to remember it, a failed call is released like any other." */
static void without_memory_a_failed_call_is_released_at_once(void) {
    static fleet f;
    lb_upstream *up = upstream_by(&aware, &f, 1, SECOND);
    for (uint32_t t = 0; t < 40; t++) {                 /* the queue grows at 0, 16 and 32 */
        lb_call call = failed_call(up, 0, SECOND);
        fail_allocation(0);
        lb_upstream_release(up, &call);
        fail_allocation(-1);
        bool grows = t == 0 || t == 16 || t == 32;
        CHECK_EQ(lb_upstream_in_flight(up), grows ? t : t + 1);
        walk_fleet(up, &f);
        if (!grows) continue;
        call = failed_call(up, 0, SECOND);
        lb_upstream_release(up, &call);
        CHECK_EQ(lb_upstream_in_flight(up), t + 1);
    }
    lb_upstream_free(up);
}

/* A held call keeps a slot of limits.in_flight. */
static void a_target_that_fails_fast_does_not_look_idle(void) {
    static fleet f;
    lb_upstream_spec spec = spec_of(&aware);
    spec.limits.in_flight = 1;
    f.n = 0;
    add_targets(&f, 2, 0);
    lb_upstream *up = upstream_with(&spec, &f, SECOND);
    lb_call call = failed_call(up, 0, SECOND);
    lb_upstream_release(up, &call);
    CHECK_EQ(lb_upstream_pick(up, SECOND), 1);
    CHECK_EQ(lb_upstream_pick(up, 2 * SECOND), 0);
    lb_upstream_free(up);
}

/* ---- ticks ------------------------------------------------------------------------------------------------------ */

static void a_policy_ticks_every_tick_ns(void) {
    static fleet f;
    forget();
    lb_upstream *up = upstream_by(&ticker, &f, 2, 5 * SECOND);
    CHECK_EQ(lb_upstream_due(up), 15 * SECOND);
    CHECK(!lb_upstream_is_replaying(up));
    lb_upstream_pick(up, 15 * SECOND - 1);
    lb_upstream_pick(up, 0);
    CHECK_TEXT(heard.text, "");
    lb_upstream_pick(up, 15 * SECOND);
    CHECK_TEXT(heard.text, "t");
    CHECK_EQ(heard.tick_ns, 15 * SECOND);
    CHECK_EQ(lb_upstream_due(up), 25 * SECOND);
    lb_upstream_pick(up, 24 * SECOND);
    CHECK_EQ(lb_upstream_update(up, f.target, 1, 24 * SECOND, NULL), LB_OK);        /* an update keeps the beat */
    CHECK_EQ(lb_upstream_due(up), 25 * SECOND);
    CHECK_EQ(lb_upstream_advance(up, 26 * SECOND, NULL), LB_OK);
    CHECK_TEXT(heard.text, "tt");
    CHECK_EQ(heard.tick_ns, 26 * SECOND);
    CHECK_EQ(lb_upstream_due(up), 36 * SECOND);
    f.n = 1;
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* "Once, however long the silence was: a tick is told the time." */
static void a_silence_is_one_tick(void) {
    static fleet f;
    static const struct { uint64_t seconds; uint32_t ticks; } cases[] = {
        {9, 0}, {10, 1}, {19, 1}, {20, 1}, {57, 1}, {100000000, 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        forget();
        lb_upstream *up = upstream_by(&ticker, &f, 1, SECOND);
        uint64_t now_ns = (1 + cases[c].seconds) * SECOND;
        lb_upstream_pick(up, now_ns);
        CHECK_EQ(heard.n, cases[c].ticks);
        CHECK_EQ(heard.tick_ns, cases[c].ticks ? now_ns : 0);
        CHECK_EQ(lb_upstream_due(up), cases[c].ticks ? now_ns + 10 * SECOND : 11 * SECOND);
        walk_fleet(up, &f);
        lb_upstream_free(up);
    }
}

static void a_policy_is_told_how_calls_went(void) {
    static fleet f;
    forget();
    lb_upstream *up = upstream_by(&ticker, &f, 2, SECOND);
    lb_call call;
    lb_upstream_begin_on(up, 1, 2 * SECOND, &call);
    report_verdict(up, &call, LB_SUCCESS, LB_NEVER, 5 * SECOND);
    CHECK(heard.slot == call.slot && heard.latency_ns == 3 * SECOND);
    report_verdict(up, &call, LB_FAILURE, 77, 5 * SECOND);
    CHECK_EQ(heard.latency_ns, 77);
    report_verdict(up, &call, LB_NEITHER, 78, 5 * SECOND);          /* says nothing */
    CHECK_EQ(heard.latency_ns, 77);
    report_verdict(up, &call, LB_SUCCESS, LB_NEVER, SECOND);        /* a clock that went back */
    CHECK_EQ(heard.latency_ns, 0);
    report_verdict(up, &call, LB_SUCCESS, LB_NEVER, 11 * SECOND);   /* what is due comes first */
    CHECK_TEXT(heard.text, "oOoto");
    f.n = 1;
    CHECK_EQ(lb_upstream_update(up, f.target, 1, 11 * SECOND, NULL), LB_OK);
    report_verdict(up, &call, LB_SUCCESS, 5, 11 * SECOND);          /* its target is going */
    lb_upstream_release(up, &call);
    report_verdict(up, &call, LB_SUCCESS, 5, 11 * SECOND);          /* its target is gone */
    CHECK_TEXT(heard.text, "oOoto");
    lb_upstream_free(up);
}

/* The earliest of three: a held call, a tick, an ejection's end. */
static void the_earliest_is_due_first(void) {
    static fleet f;
    static lb_policy all;
    all = ticker;
    all.load_aware = true;
    lb_upstream_spec spec = spec_of(&all);
    spec.health.outlier = ejecting(1, 50, 4 * SECOND, 4 * SECOND);
    spec.limits.hold_ns = 6 * SECOND;
    f.n = 0;
    add_targets(&f, 2, 0);
    forget();
    lb_upstream *up = upstream_with(&spec, &f, SECOND);
    lb_call call = failed_call(up, 0, 2 * SECOND);
    lb_upstream_release(up, &call);
    CHECK_EQ(settled(up)->n_usable, 1);                 /* a report makes no picture: the next call that picks does */
    static const uint64_t due[] = {6 * SECOND, 8 * SECOND, 11 * SECOND, 21 * SECOND};
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(lb_upstream_due(up), due[i]);
        CHECK_EQ(lb_upstream_view(up)->n_usable, i == 0 ? 1 : 2);
        CHECK_EQ(lb_upstream_in_flight(up), i < 2);
        CHECK_EQ(heard.n, i == 3 ? 2 : 1);              /* the observed failure, and a tick */
        walk_fleet(up, &f);
        if (i < 3) CHECK_EQ(lb_upstream_advance(up, due[i], NULL), LB_OK);
    }
    lb_upstream_free(up);
}

/* "A failed attempt leaves its part due": the other parts have happened. */
static void without_memory_only_the_picture_stays_due(void) {
    static fleet f;
    static lb_policy all;
    all = ticker;
    all.load_aware = true;
    lb_upstream_spec spec = spec_of(&all);
    spec.health.outlier = ejecting(1, 50, SECOND, SECOND);
    f.n = 0;
    add_targets(&f, 2, 0);
    for (int n = 0; n < 3; n++) {
        forget();
        lb_upstream *up = upstream_with(&spec, &f, SECOND);
        lb_call call = failed_call(up, 0, 2 * SECOND);
        lb_upstream_release(up, &call);
        CHECK_EQ(settled(up)->n_usable, 1);
        fail_allocation(n);
        CHECK_EQ(lb_upstream_advance(up, 11 * SECOND, NULL), LB_ERR_NOMEM);
        fail_allocation(-1);
        CHECK(up->rough);
        CHECK_EQ(lb_upstream_due(up), 3 * SECOND);
        CHECK_EQ(lb_upstream_in_flight(up), 0);
        CHECK_TEXT(heard.text, "Ot");
        CHECK_EQ(lb_upstream_advance(up, 11 * SECOND, NULL), LB_OK);
        CHECK_EQ(lb_upstream_due(up), 21 * SECOND);
        CHECK_TEXT(heard.text, "Ot");
        walk_fleet(up, &f);
        lb_upstream_free(up);
    }
}

/* ---- slow start ------------------------------------------------------------------------------------------------- */

/* Steps of i + 1 sixteenths in a window of 16 seconds. */
static lb_upstream_spec slow_spec(void) {
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.slow_start.window_ns = 16 * SECOND;
    for (uint32_t i = 0; i < LB_SLOW_STEPS; i++) spec.slow_start.step[i] = 4096 * (i + 1);
    return spec;
}

static uint32_t weight_of(lb_upstream *up, uint32_t member) { return settled(up)->weight[member]; }

static void the_first_list_starts_at_once(void) {
    fleet f = {0};
    lb_upstream_spec spec = slow_spec();
    add_targets(&f, 2, 0);
    lb_upstream *up = upstream_with(&spec, &f, 100 * SECOND);
    CHECK(weight_of(up, 0) == 1 && weight_of(up, 1) == 1);
    CHECK_EQ(lb_upstream_due(up), LB_NEVER);
    lb_upstream_free(up);
}

/* Weights are in 64ths while anybody starts slowly, so that a weight of 1 has steps too. */
static void a_newcomer_climbs_sixteen_steps(void) {
    fleet f = {0};
    lb_upstream_spec spec = slow_spec();
    add_targets(&f, 3, 0);
    f.target[1].weight = 2;
    lb_upstream *up = NULL;
    CHECK_EQ(lb_upstream_new(&up, &spec, f.target, 1, SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_update(up, f.target, 3, 100 * SECOND, NULL), LB_OK);
    for (uint32_t step = 0; step < 16; step++) {
        CHECK_EQ(weight_of(up, 0), 64);
        CHECK_EQ(weight_of(up, 1), 8 * (step + 1));
        CHECK_EQ(weight_of(up, 2), 4 * (step + 1));
        CHECK_EQ(settled(up)->full[1], 128);
        CHECK_EQ(lb_upstream_due(up), (101 + step) * SECOND);
        walk_fleet(up, &f);
        lb_upstream_pick(up, (101 + step) * SECOND - 1);                /* not yet */
        CHECK_EQ(weight_of(up, 2), 4 * (step + 1));
        lb_upstream_pick(up, (101 + step) * SECOND);
    }
    CHECK(weight_of(up, 0) == 1 && weight_of(up, 1) == 2 && weight_of(up, 2) == 1);
    CHECK_EQ(lb_upstream_due(up), LB_NEVER);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* "multiplied by up to 64": less where the largest weight leaves no room. */
static void large_weights_are_multiplied_less(void) {
    static const struct { uint32_t most, fine; } cases[] = {
        {1, 64}, {15625, 64}, {15626, 32}, {250000, 4}, {250001, 2}, {500001, 1}, {LB_MAX_WEIGHT, 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        fleet f = {0};
        lb_upstream_spec spec = slow_spec();
        add_targets(&f, 2, 0);
        f.target[0].weight = cases[c].most;
        lb_upstream *up = NULL;
        CHECK_EQ(lb_upstream_new(&up, &spec, f.target, 1, SECOND, NULL), LB_OK);
        CHECK_EQ(lb_upstream_update(up, f.target, 2, SECOND, NULL), LB_OK);
        CHECK_EQ(weight_of(up, 0), cases[c].most * cases[c].fine);
        uint32_t first = cases[c].fine / 16;
        CHECK_EQ(weight_of(up, 1), first ? first : 1);  /* "at least 1" */
        lb_upstream_free(up);
    }
}

/* Each begins when it comes; the next step of any of them is due. */
static void several_climb_by_themselves(void) {
    fleet f = {0};
    lb_upstream_spec spec = slow_spec();
    add_targets(&f, 3, 0);
    lb_upstream *up = upstream_with(&spec, &f, SECOND);
    take_down(up, 0, 2);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 100 * SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_set_health(up, 1, true, true, 100 * SECOND + SECOND / 2, NULL), LB_OK);
    CHECK(weight_of(up, 0) == 4 && weight_of(up, 1) == 4 && weight_of(up, 2) == 64);
    for (uint32_t half = 2; half < 33; half++) {
        uint64_t now_ns = 100 * SECOND + half * SECOND / 2;
        CHECK_EQ(lb_upstream_due(up), now_ns);
        CHECK_EQ(lb_upstream_advance(up, now_ns, NULL), LB_OK);
        uint32_t a = half / 2 < 16 ? 4 * (half / 2 + 1) : 64, b = 4 * ((half - 1) / 2 + 1);
        CHECK(weight_of(up, 0) == a && weight_of(up, 1) == b && weight_of(up, 2) == 64);
        walk_fleet(up, &f);
    }
    CHECK_EQ(lb_upstream_advance(up, 120 * SECOND, NULL), LB_OK);
    CHECK(weight_of(up, 0) == 1 && lb_upstream_due(up) == LB_NEVER);
    lb_upstream_free(up);
}

static void a_slow_start_follows_an_ejection_and_survives_an_update(void) {
    fleet f = {0};
    lb_upstream_spec spec = slow_spec();
    spec.health.outlier = ejecting(1, 50, 10 * SECOND, 10 * SECOND);
    add_targets(&f, 2, 0);
    lb_upstream *up = upstream_with(&spec, &f, SECOND);
    lb_call call = failed_call(up, 0, 100 * SECOND);
    CHECK(weight_of(up, 0) == 0 && weight_of(up, 1) == 1);              /* nobody climbs: no 64ths */
    CHECK_EQ(lb_upstream_advance(up, 112 * SECOND, NULL), LB_OK);       /* it ended at 110, but comes back now */
    CHECK(weight_of(up, 0) == 4 && weight_of(up, 1) == 64);
    CHECK_EQ(lb_upstream_due(up), 113 * SECOND);
    CHECK_EQ(lb_upstream_update(up, f.target, 2, 115 * SECOND, NULL), LB_OK);
    CHECK(weight_of(up, 0) == 16 && weight_of(up, 1) == 64);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 115 * SECOND, NULL), LB_OK);   /* it is: it does not begin anew */
    CHECK_EQ(weight_of(up, 0), 16);
    CHECK_EQ(lb_upstream_drain(up, 0, LB_NEVER, 116 * SECOND, NULL), LB_OK);
    CHECK(weight_of(up, 0) == 0 && weight_of(up, 1) == 1);
    CHECK_EQ(lb_upstream_undrain(up, 0, 117 * SECOND, NULL), LB_OK);
    CHECK(weight_of(up, 0) == 24 && weight_of(up, 1) == 64);
    lb_upstream_release(up, &call);
    lb_upstream_free(up);
}

/* set_health(true) ends an ejection, and that is a return too. */
static void a_word_of_health_starts_slowly(void) {
    fleet f = {0};
    lb_upstream_spec spec = slow_spec();
    spec.health.outlier = ejecting(1, 50, 10 * SECOND, 10 * SECOND);
    add_targets(&f, 2, 0);
    lb_upstream *up = upstream_with(&spec, &f, SECOND);
    lb_call call = failed_call(up, 0, 100 * SECOND);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 103 * SECOND, NULL), LB_OK);
    CHECK(weight_of(up, 0) == 4 && weight_of(up, 1) == 64);
    CHECK_EQ(lb_upstream_due(up), 104 * SECOND);
    lb_upstream_release(up, &call);
    lb_upstream_free(up);
}

/* A window that is not a multiple of 16, or shorter than 16 ns; any step is a factor. */
static void odd_windows_end_in_time(void) {
    static const uint64_t windows[] = {1, 15, 16, 17, 1000003, 3600 * SECOND};
    for (size_t c = 0; c < sizeof windows / sizeof *windows; c++) {
        fleet f = {0};
        lb_upstream_spec spec = slow_spec();
        spec.slow_start.window_ns = windows[c];
        spec.slow_start.step[3] = 1;                    /* they need not climb */
        add_targets(&f, 2, 0);
        lb_upstream *up = upstream_with(&spec, &f, SECOND);
        take_down(up, 0, 1);
        CHECK_EQ(lb_upstream_set_health(up, 0, true, true, SECOND, NULL), LB_OK);
        settled(up);
        for (int step = 0; step < 20 && lb_upstream_due(up) != LB_NEVER; step++) {
            CHECK(lb_upstream_due(up) > SECOND);
            CHECK(weight_of(up, 0) >= 1 && weight_of(up, 1) == 64);
            CHECK_EQ(lb_upstream_advance(up, lb_upstream_due(up), NULL), LB_OK);
        }
        CHECK_EQ(lb_upstream_due(up), LB_NEVER);
        CHECK_EQ(weight_of(up, 0), 1);
        lb_upstream_free(up);
    }
}

/* The end of time comes before the end of the window. */
static void an_endless_window_does_not_wrap(void) {
    fleet f = {0};
    lb_upstream_spec spec = slow_spec();
    spec.slow_start.window_ns = UINT64_MAX;
    add_targets(&f, 2, 0);
    lb_upstream *up = upstream_with(&spec, &f, SECOND);
    take_down(up, 0, 1);
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, UINT64_MAX / 2, NULL), LB_OK);
    for (uint32_t step = 0; step < 8; step++) {
        CHECK_EQ(weight_of(up, 0), 4 * (step + 1));
        CHECK(lb_upstream_due(up) == LB_NEVER ? step == 7 : lb_upstream_due(up) > UINT64_MAX / 2);
        if (step < 7) CHECK_EQ(lb_upstream_advance(up, lb_upstream_due(up), NULL), LB_OK);
    }
    lb_upstream_free(up);
}

int main(void) {
    RUN(a_failed_call_stays_counted_until_its_end);
    RUN(nothing_else_is_held);
    RUN(held_calls_end_in_the_order_of_their_times);
    RUN(the_queue_of_held_calls_goes_round);
    RUN(a_leaving_target_waits_for_its_held_calls);
    RUN(without_memory_a_failed_call_is_released_at_once);
    RUN(a_target_that_fails_fast_does_not_look_idle);
    RUN(a_policy_ticks_every_tick_ns);
    RUN(a_silence_is_one_tick);
    RUN(a_policy_is_told_how_calls_went);
    RUN(the_earliest_is_due_first);
    RUN(without_memory_only_the_picture_stays_due);
    RUN(the_first_list_starts_at_once);
    RUN(a_newcomer_climbs_sixteen_steps);
    RUN(large_weights_are_multiplied_less);
    RUN(several_climb_by_themselves);
    RUN(a_slow_start_follows_an_ejection_and_survives_an_update);
    RUN(a_word_of_health_starts_slowly);
    RUN(odd_windows_end_in_time);
    RUN(an_endless_window_does_not_wrap);
    return check_result();
}

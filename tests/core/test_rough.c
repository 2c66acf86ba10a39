/* rough: many targets, many changes: an old picture serves on for a while, and choices look at the records themselves.
 *
 * Ten thousand targets on a ring, by a policy that counts how often it is built. */
#include "upstreams.h"

enum { N = 10000 };
#define GAP_NS 200000000ull                             /* due.c: 20 us a target, at most 250 ms */

/* ---- a ring that counts ----------------------------------------------------------------------------------------- */

static uint32_t n_builds;

static lb_status counted(void **out, const lb_view *view, const double *param, const void *previous,
                         const uint32_t *old_index, lb_error *err) {
    n_builds++;
    return lb_policy_find(lb_str_of("ring_hash"))->build(out, view, param, previous, old_index, err);
}

/* A small ring: two points a target. */
static lb_upstream_spec ring_spec(void) {
    static lb_policy policy;
    policy = *policy_named("ring_hash");
    policy.build = counted;
    lb_upstream_spec spec = {.policy = &policy, .seed = 7};
    lb_upstream_defaults(&spec);
    lb_policy_defaults(policy_named("ring_hash"), spec.param);
    for (uint32_t i = 0; policy.params[i].name; i++)
        if (strstr(policy.params[i].name, "minimum")) spec.param[i] = 2 * N;
    return spec;
}

static lb_target_spec target[N];

/* At 1 s. */
static lb_upstream *ring_of(const lb_upstream_spec *spec, uint32_t n) {
    static char text[N][24];
    for (uint32_t i = 0; i < n; i++) {
        snprintf(text[i], sizeof text[i], "10.%u.%u.%u:80", i / 62500, i / 250 % 250, i % 250);
        target[i] = (lb_target_spec){.address = lb_str_of(text[i]), .weight = 1};
    }
    lb_upstream *up = NULL;
    CHECK_EQ(lb_upstream_new(&up, spec, target, n, SECOND, NULL), LB_OK);
    if (!up) exit(2);
    n_builds = 0;
    return up;
}

static uint32_t choose(lb_upstream *up, uint32_t key, uint64_t now_ns) {
    char text[16];
    snprintf(text, sizeof text, "key %u", key);
    lb_key hashed = {.text = lb_str_of(text)};
    return lb_upstream_pick_key(up, &hashed, now_ns);
}

static void set(lb_upstream *up, uint32_t member, bool healthy, uint64_t now_ns) {
    CHECK_EQ(lb_upstream_set_health(up, member, healthy, true, now_ns, NULL), LB_OK);
}

static bool is_out(const lb_upstream *up, uint32_t member) {
    return lb_record_off(lb_record_of(up->state, slot_of(up, member))) != 0;
}

static void walk_ring(lb_upstream *up) {
    static uint32_t weight[N];
    for (uint32_t i = 0; i < N; i++) weight[i] = 1;
    walk_upstream(up, weight);
}

/* ---- how many pictures ------------------------------------------------------------------------------------------ */

/* A thousand changes without a pick between them are one picture, with however many targets; a change itself makes none. */
static void changes_without_picks_make_no_picture(void) {
    static const uint32_t sizes[] = {10, 256, N};
    for (int s = 0; s < 3; s++) {
        lb_upstream_spec spec = ring_spec();
        lb_upstream *up = ring_of(&spec, sizes[s]);
        for (uint32_t i = 0; i < 1000; i++) set(up, i % sizes[s], i / sizes[s] % 2, 2 * SECOND + i);
        CHECK_EQ(n_builds, 0);
        CHECK(lb_upstream_is_waiting(up));
        (void)choose(up, 1, 3 * SECOND);
        CHECK_EQ(n_builds, 1);
        lb_upstream_free(up);
    }
}

/* A thousand changes, each followed by picks, spread over a second: at most one picture a gap, where each change would
 * have made one of a small upstream. */
static void a_thousand_changes_a_second_make_few_pictures(void) {
    lb_upstream_spec spec = ring_spec();
    lb_upstream *up = ring_of(&spec, N);
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t now_ns = 2 * SECOND + i * (SECOND / 1000);
        set(up, i * 7 % N, i % 10 == 0, now_ns);
        for (uint32_t k = 0; k < 10; k++) {
            uint32_t member = choose(up, i * 10 + k, now_ns);
            CHECK(member != LB_NONE && !is_out(up, member));
        }
    }
    CHECK(n_builds >= 1 && n_builds <= 1 + SECOND / GAP_NS);
    walk_ring(up);
    lb_upstream_free(up);
    up = ring_of(&spec, 256);
    for (uint32_t i = 0; i < 256; i++) {
        set(up, i % 100, i / 100 % 2, 2 * SECOND + i);
        (void)choose(up, i, 2 * SECOND + i);
    }
    CHECK(n_builds >= 255 && !up->rough);
    lb_upstream_free(up);
}

/* ---- who is picked meanwhile ------------------------------------------------------------------------------------ */

/* Whatever keeps them out, and by whatever way they are asked for. */
static void nobody_who_is_out_is_picked(void) {
    lb_upstream_spec spec = ring_spec();
    spec.health.outlier = ejecting(1, 50, SECOND, SECOND);
    spec.health.max_hold_ns = SECOND;
    lb_upstream *up = ring_of(&spec, N);
    (void)lb_upstream_advance(up, 2 * SECOND, NULL);
    set(up, N - 1, false, 2 * SECOND);
    (void)choose(up, 0, 2 * SECOND);                    /* a picture of this moment: the next is 200 ms away */
    uint32_t n_before = n_builds;
    for (uint32_t i = 0; i < 2000; i++) {
        uint64_t now_ns = 2 * SECOND + 1 + i;
        uint32_t victim = choose(up, i, now_ns);
        lb_call call;
        lb_upstream_begin_on(up, victim, now_ns, &call);
        lb_report busy = {.outcome = {.status = 503}, .latency_ns = 1, .pause_ns = SECOND};
        switch (i % 5) {
        case 0: set(up, victim, false, now_ns); break;
        case 1: CHECK_EQ(lb_upstream_drain(up, victim, LB_NEVER, now_ns, NULL), LB_OK); break;
        case 2: CHECK_EQ(lb_upstream_disable(up, victim, true, now_ns, NULL), LB_OK); break;
        case 3: report_verdict(up, &call, LB_FAILURE, 1, now_ns); break;
        default: lb_upstream_report(up, &call, &busy, now_ns);
        }
        lb_upstream_release(up, &call);
        CHECK(is_out(up, victim));
        uint32_t next = choose(up, i, now_ns);
        CHECK(next != LB_NONE && next != victim && !is_out(up, next));
        lb_key key = {.text = lb_str_of("some key")};
        lb_want want = {.key = &key};
        uint32_t found[3];
        CHECK_EQ(lb_upstream_candidates(up, &want, found, 3, now_ns), 3);
        for (int c = 0; c < 3; c++) CHECK(!is_out(up, found[c]));
        int32_t many[4];
        lb_key keys[4] = {key, key, key, key};
        lb_upstream_pick_keys(up, keys, many, 4, now_ns);
        for (int c = 0; c < 4; c++) CHECK(!is_out(up, (uint32_t)many[c]));
    }
    CHECK(up->rough && n_builds == n_before);
    walk_ring(up);
    lb_upstream_free(up);
}

/* In panic health is not believed, but who drains or is disabled is still out. */
static void panic_is_believed_only_so_far(void) {
    lb_upstream_spec spec = ring_spec();
    spec.levels.panic = 100;
    lb_upstream *up = ring_of(&spec, 300);
    for (uint32_t i = 0; i < 200; i++) set(up, i, false, 2 * SECOND);
    (void)choose(up, 0, 2 * SECOND);
    uint32_t key = 0, first;
    do first = choose(up, ++key, 2 * SECOND);
    while (first < 200);
    set(up, first, false, 2 * SECOND + 1);
    CHECK_EQ(choose(up, key, 2 * SECOND + 1), first);
    CHECK(up->rough);
    CHECK_EQ(lb_upstream_disable(up, first, true, 2 * SECOND + 2, NULL), LB_OK);
    uint32_t second = choose(up, key, 2 * SECOND + 2);
    CHECK(second != first && second != LB_NONE);
    CHECK_EQ(lb_upstream_drain(up, second, LB_NEVER, 2 * SECOND + 3, NULL), LB_OK);
    uint32_t third = choose(up, key, 2 * SECOND + 3);
    CHECK(third != first && third != second && third != LB_NONE && up->rough);
    CHECK(!lb_upstream_serves_session(up, first, 2 * SECOND + 3));
    lb_upstream_free(up);
}

/* A breaker that opened and is half open again before the next picture lets few through. */
static void a_trial_is_kept_from_an_old_picture_too(void) {
    lb_upstream_spec spec = ring_spec();
    spec.health.outlier = ejecting(1, 50, 1000, 1000);
    spec.health.outlier.half_open = 1;
    lb_upstream *up = ring_of(&spec, N);
    set(up, 0, false, 2 * SECOND);
    (void)choose(up, 0, 2 * SECOND);
    uint32_t victim = choose(up, 5, 2 * SECOND + 1);
    lb_call call;
    lb_upstream_begin_on(up, victim, 2 * SECOND + 1, &call);
    report_verdict(up, &call, LB_FAILURE, 1, 2 * SECOND + 1);
    lb_upstream_release(up, &call);
    CHECK(choose(up, 5, 2 * SECOND + 2) != victim);
    uint64_t back_ns = 2 * SECOND + 1 + 1000;
    CHECK_EQ(choose(up, 5, back_ns), victim);
    CHECK(up->rough);
    lb_upstream_begin_on(up, victim, back_ns, &call);
    CHECK(choose(up, 5, back_ns) != victim);
    lb_upstream_release(up, &call);
    CHECK_EQ(choose(up, 5, back_ns), victim);
    lb_upstream_free(up);
}

/* ---- who comes back --------------------------------------------------------------------------------------------- */

/* An upstream whose picture, of 2 s, is without `out`, who has come back; and a key that is his. */
static lb_upstream *one_came_back(uint32_t *out, uint32_t *key) {
    lb_upstream_spec spec = ring_spec();
    lb_upstream *up = ring_of(&spec, N);
    *key = 5;
    *out = choose(up, *key, SECOND);
    set(up, *out, false, 2 * SECOND);
    CHECK(choose(up, *key, 2 * SECOND) != *out);
    set(up, *out, true, 2 * SECOND + 1);
    CHECK_EQ(n_builds, 1);
    return up;
}

static void who_comes_back_is_found_after_the_gap(void) {
    uint32_t out, key;
    lb_upstream *up = one_came_back(&out, &key);
    CHECK(choose(up, key, 2 * SECOND + 2) != out && up->rough);
    CHECK_EQ(lb_upstream_due(up), 2 * SECOND + GAP_NS);
    CHECK(choose(up, key, 2 * SECOND + GAP_NS - 1) != out);
    CHECK_EQ(n_builds, 1);
    CHECK_EQ(choose(up, key, 2 * SECOND + GAP_NS), out);
    CHECK(n_builds == 2 && !up->rough);
    walk_ring(up);
    lb_upstream_free(up);
}

/* "A clock that stands still does not keep it longer than 16 choices a target"; nor one that is not told. */
static void who_comes_back_is_found_though_the_clock_stands_still(void) {
    for (int timeless = 0; timeless < 2; timeless++) {
        uint32_t out, key;
        lb_upstream *up = one_came_back(&out, &key);
        uint64_t now_ns = timeless ? 0 : 2 * SECOND + 1;
        for (uint32_t i = 0; i < 16 * N; i++) (void)choose(up, i % 64, now_ns);
        CHECK(n_builds == 1 && up->rough);
        CHECK_EQ(choose(up, key, now_ns), out);
        CHECK(n_builds == 2 && !up->rough);
        lb_upstream_free(up);
    }
}

/* A clock that went back is not waited for. */
static void a_clock_that_went_back_is_not_waited_for(void) {
    uint32_t out, key;
    lb_upstream *up = one_came_back(&out, &key);
    CHECK_EQ(choose(up, key, SECOND), out);
    lb_upstream_free(up);
}

/* All but one are out, he goes out too, and another comes back: found at once. */
static void who_comes_back_is_found_at_once_where_nobody_else_is_left(void) {
    lb_upstream_spec spec = ring_spec();
    lb_upstream *up = ring_of(&spec, N);
    for (uint32_t i = 1; i < N; i++) set(up, i, false, 2 * SECOND);
    CHECK_EQ(choose(up, 5, 2 * SECOND), 0);
    set(up, 77, true, 2 * SECOND + 1);
    CHECK_EQ(choose(up, 5, 2 * SECOND + 1), 0);         /* somebody is left: no hurry */
    CHECK(up->rough && n_builds == 1);
    set(up, 0, false, 2 * SECOND + 2);
    CHECK_EQ(choose(up, 5, 2 * SECOND + 2), 77);
    CHECK(n_builds == 2 && !up->rough);
    set(up, 77, false, 2 * SECOND + 3);
    CHECK_EQ(choose(up, 5, 2 * SECOND + 3), LB_NONE);
    lb_key key = {.text = lb_str_of("k")};
    lb_want want = {.key = &key};
    uint32_t found;
    set(up, 78, true, 2 * SECOND + 4);
    CHECK_EQ(lb_upstream_candidates(up, &want, &found, 1, 2 * SECOND + 4), 1);     /* looking finds him too */
    CHECK_EQ(found, 78);
    walk_ring(up);
    lb_upstream_free(up);
}

/* Where all are excluded or full, a new picture would find nobody either: it is not made. */
static void who_wants_nobody_makes_no_picture(void) {
    lb_upstream_spec spec = ring_spec();
    lb_upstream *up = ring_of(&spec, N);
    static uint32_t all[N];
    for (uint32_t i = 0; i < N; i++) all[i] = slot_of(up, i);
    lb_key key = {.text = lb_str_of("k")};
    lb_want want = {.key = &key, .exclude = all, .n_exclude = 4};
    for (uint32_t i = 4; i < N; i++) set(up, i, false, 2 * SECOND);
    CHECK(choose(up, 5, 2 * SECOND) < 4);
    for (uint32_t i = 0; i < 100; i++) {
        set(up, i % 2, i / 2 % 2, 2 * SECOND + i);
        CHECK_EQ(lb_upstream_choose(up, &want, 2 * SECOND + i), LB_NONE);
    }
    CHECK_EQ(n_builds, 1);
    lb_upstream_free(up);
}

/* when_empty holds roughly too: once the last one is out, all serve who may. */
static void the_last_one_out_begins_panic_at_once(void) {
    for (int rule = 1; rule < 3; rule++) {
        lb_upstream_spec spec = ring_spec();
        spec.when_empty = (lb_when_empty)rule;
        lb_upstream *up = ring_of(&spec, N);
        for (uint32_t i = 1; i < N; i++) set(up, i, false, 2 * SECOND);
        CHECK_EQ(choose(up, 5, 2 * SECOND), 0);
        set(up, 0, false, 2 * SECOND + 1);
        CHECK(choose(up, 5, 2 * SECOND + 1) != LB_NONE);
        CHECK_EQ(n_builds, 2);
        walk_ring(up);
        lb_upstream_free(up);
    }
}

/* ---- without memory --------------------------------------------------------------------------------------------- */

/* Catching up finds no memory: it stays rough, and right; the next call with memory makes up for it. */
static void without_memory_it_stays_rough_and_right(void) {
    for (int n = 0; n < 12; n++) {
        uint32_t out, key;
        lb_upstream *up = one_came_back(&out, &key);
        uint32_t victim = choose(up, 6, 2 * SECOND + 2);
        set(up, victim, false, 2 * SECOND + 3);
        fail_allocation(n);
        uint32_t member = choose(up, 6, 3 * SECOND);
        fail_allocation(-1);
        CHECK(member != LB_NONE && member != victim && !is_out(up, member));
        if (up->rough) CHECK_EQ(lb_upstream_settle(up, 3 * SECOND, NULL), LB_OK);
        CHECK(!up->rough && lb_upstream_view(up)->weight[out] == 1 && lb_upstream_view(up)->weight[victim] == 0);
        walk_ring(up);
        lb_upstream_free(up);
    }
}

/* Settling is of this moment, however many targets there are; without memory it says so. */
static void settling_is_of_this_moment(void) {
    uint32_t out, key;
    lb_upstream *up = one_came_back(&out, &key);
    CHECK_EQ(lb_upstream_advance(up, 2 * SECOND + 2, NULL), LB_OK);
    CHECK(up->rough && lb_upstream_view(up)->weight[out] == 0);
    fail_allocation(0);
    CHECK_EQ(lb_upstream_settle(up, 2 * SECOND + 2, NULL), LB_ERR_NOMEM);
    fail_allocation(-1);
    CHECK(up->rough);
    CHECK_EQ(lb_upstream_settle(up, 2 * SECOND + 2, NULL), LB_OK);
    CHECK(!up->rough && lb_upstream_view(up)->weight[out] == 1);
    CHECK_EQ(choose(up, key, 2 * SECOND + 2), out);
    lb_upstream_free(up);
}

int main(void) {
    RUN(changes_without_picks_make_no_picture);
    RUN(a_thousand_changes_a_second_make_few_pictures);
    RUN(nobody_who_is_out_is_picked);
    RUN(panic_is_believed_only_so_far);
    RUN(a_trial_is_kept_from_an_old_picture_too);
    RUN(who_comes_back_is_found_after_the_gap);
    RUN(who_comes_back_is_found_though_the_clock_stands_still);
    RUN(a_clock_that_went_back_is_not_waited_for);
    RUN(who_comes_back_is_found_at_once_where_nobody_else_is_left);
    RUN(who_wants_nobody_makes_no_picture);
    RUN(the_last_one_out_begins_panic_at_once);
    RUN(without_memory_it_stays_rough_and_right);
    RUN(settling_is_of_this_moment);
    return check_result();
}

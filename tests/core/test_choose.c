/* choose: who is passed over and who comes instead: exclusion, limits, bounds, candidates, receipts, sessions. */
#include "upstreams.h"

/* ---- policies that are easy to foresee -------------------------------------------------------------------------- */

static lb_status no_tables(void **out, const lb_view *view, const double *param, const void *previous,
                           const uint32_t *old_index, lb_error *err) {
    (void)view, (void)param, (void)previous, (void)old_index, (void)err;
    *out = NULL;
    return LB_OK;
}

static void nothing(void *state) { (void)state; }

/* home: key.hash names a place in the list; then the next ones, round. */
static uint32_t home_walk(void *state, const lb_view *view, lb_walk *walk) {
    (void)state;
    if (walk->step == 0) walk->at = 0;
    while (walk->at < view->n_members) {
        uint32_t i = (uint32_t)((walk->key.hash + walk->at++) % view->n_members);
        if (view->weight[i]) return i;
    }
    return LB_NONE;
}

static const lb_param bound_params[] = {
    LB_NUMBER("factor", 1.25, 1, 10, "For tests."), LB_WHOLE("margin", 2, 0, 100, "For tests."), {0},
};

static const lb_policy home = {
    .name = "home", .summary = "For tests.", .build = no_tables, .destroy = nothing, .walk = home_walk, .pure = true,
};

static const lb_policy home_bounded = {
    .name = "home_bounded", .summary = "For tests.", .params = bound_params, .build = no_tables, .destroy = nothing,
    .walk = home_walk, .bounded = true,
};

/* mute: names nobody. */
static uint32_t mute_walk(void *state, const lb_view *view, lb_walk *walk) {
    (void)state, (void)view, (void)walk;
    return LB_NONE;
}

static const lb_policy mute = {
    .name = "mute", .summary = "For tests.", .build = no_tables, .destroy = nothing, .walk = mute_walk,
};

/* stubborn: the first usable one, however often it is asked. */
static uint32_t stubborn_walk(void *state, const lb_view *view, lb_walk *walk) {
    (void)state, (void)walk;
    return view->n_usable ? view->usable[0] : LB_NONE;
}

static uint32_t stubborn_pick(void *state, const lb_view *view, const lb_ask *ask) {
    (void)state, (void)ask;
    return view->n_usable ? view->usable[0] : LB_NONE;
}

static const lb_policy stubborn_key = {
    .name = "stubborn_key", .summary = "For tests.", .build = no_tables, .destroy = nothing, .walk = stubborn_walk,
};

static const lb_policy stubborn = {
    .name = "stubborn", .summary = "For tests.", .build = no_tables, .destroy = nothing, .pick = stubborn_pick,
};

static lb_upstream *upstream_by(const lb_policy *policy, const fleet *f) {
    lb_upstream_spec spec = spec_of(policy);
    return upstream_with(&spec, f, 0);
}

static lb_key hashed(uint64_t hash) { return (lb_key){.hash = hash, .hashed = true}; }

/* ---- exclusion -------------------------------------------------------------------------------------------------- */

/* Targets of equal weight in two priorities, which every scheme of the register can hold; some are down. */
static lb_upstream *mixed_upstream(const lb_policy *policy, fleet *f, lb_rng *rng) {
    lb_upstream *up = NULL;
    lb_upstream_spec spec = spec_of(policy);
    spec.seed = lb_rng_next(rng);
    f->n = 0;
    add_targets(f, 1 + lb_rng_below(rng, 8), 0);
    add_targets(f, lb_rng_below(rng, 8), 1);
    CHECK_EQ(lb_upstream_new(&up, &spec, f->target, f->n, 0, NULL), LB_OK);
    for (uint32_t i = 0; i < f->n; i++)
        if (lb_rng_below(rng, 3) == 0) take_down(up, i, 1);
    return up;
}

static uint32_t draw_exclusion(const lb_upstream *up, uint32_t *slots, lb_rng *rng) {
    uint32_t n = 0, of_8 = lb_rng_below(rng, 9);
    for (uint32_t i = 0; i < lb_upstream_view(up)->n_members; i++)
        if (lb_rng_below(rng, 8) < of_8) slots[n++] = slot_of(up, i);
    return n;
}

static bool is_among(const uint32_t *list, uint32_t n, uint32_t x) {
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == x) return true;
    return false;
}

/* Any number, also everybody: under each policy a usable one that is not named, or nobody where there is none. */
static void nobody_excluded_is_chosen(void) {
    lb_rng rng;
    lb_rng_seed(&rng, 20240702);
    static fleet f;
    for (uint32_t p = 0; p < lb_n_policies; p++)
        for (int round = 0; round < 30; round++) {
            uint32_t slots[16], n_left = 0;
            lb_upstream *up = mixed_upstream(lb_policies[p], &f, &rng);
            lb_key key = hashed(lb_rng_next(&rng));
            lb_want want = {.key = &key, .exclude = slots, .n_exclude = draw_exclusion(up, slots, &rng)};
            for (uint32_t i = 0; i < f.n; i++)
                n_left += lb_upstream_view(up)->weight[i] && !is_among(slots, want.n_exclude, slot_of(up, i));
            for (int t = 0; t < 10; t++) {
                uint32_t member = lb_upstream_choose(up, &want, 0);
                CHECK_EQ(member == LB_NONE, n_left == 0);
                if (member == LB_NONE) continue;
                CHECK(lb_upstream_view(up)->weight[member] && !is_among(slots, want.n_exclude, slot_of(up, member)));
            }
            walk_fleet(up, &f);
            lb_upstream_free(up);
        }
}

/* "in list order from a place that the key says" */
static void a_walk_that_ends_leaves_the_rest_in_list_order(void) {
    fleet f = {0};
    add_targets(&f, 5, 0);
    lb_upstream *up = upstream_by(&mute, &f);
    take_down(up, 2, 1);
    static const uint32_t usable[] = {0, 1, 3, 4};
    for (uint64_t hash = 0; hash < 20; hash++) {
        lb_key key = hashed(hash);
        uint32_t exclude[1] = {slot_of(up, 3)};
        lb_want want = {.key = &key}, other = {.key = &key, .exclude = exclude, .n_exclude = 1};
        CHECK_EQ(lb_upstream_choose(up, &want, 0), usable[hash % 4]);
        CHECK_EQ(lb_upstream_choose(up, &other, 0), usable[hash % 4 == 2 ? 3 : hash % 4]);
    }
    lb_upstream_free(up);
}

/* A policy that never names another is not asked for ever, and the one left is found. */
static void a_policy_that_repeats_itself_does_not_hide_the_others(void) {
    static fleet f;
    f.n = 0;
    add_targets(&f, 300, 0);
    const lb_policy *policies[] = {&stubborn_key, &stubborn};
    for (int p = 0; p < 2; p++) {
        lb_upstream *up = upstream_by(policies[p], &f);
        uint32_t slots[300], n = 0;
        lb_key key = hashed(7);
        for (uint32_t i = 0; i < 300; i++)
            if (i != 123) slots[n++] = slot_of(up, i);
        lb_want want = {.key = &key, .exclude = slots, .n_exclude = 299}, one = {.key = &key, .exclude = slots,
                                                                                 .n_exclude = 1};
        CHECK_EQ(lb_upstream_choose(up, &want, 0), 123);
        uint32_t got[301], n_seen = 0;
        count_choices(up, &one, 3000, got, 300);
        for (uint32_t i = 0; i < 300; i++) n_seen += got[i] > 0;
        CHECK(got[0] == 0 && got[300] == 0);
        if (policies[p]->pick) CHECK(n_seen == 299);    /* drawn: not always the same */
        else CHECK(n_seen == 1);                        /* the key's */
        lb_upstream_free(up);
    }
}

/* ---- limits.in_flight ------------------------------------------------------------------------------------------- */

static void no_target_has_more_calls_than_its_limit(void) {
    static lb_call calls[64];
    fleet f = {0};
    add_targets(&f, 3, 0);
    add_targets(&f, 2, 1);
    f.target[1].weight = 5;
    for (uint32_t p = 0; p < 3; p++) {
        static const char *const names[] = {"round_robin", "least_conn", "random"};
        lb_upstream_spec spec = spec_of(policy_named(names[p]));
        spec.limits.in_flight = 3;
        lb_upstream *up = upstream_with(&spec, &f, 0);
        CHECK(!lb_upstream_is_replaying(up));
        for (uint32_t t = 0; t < 15; t++) {             /* the second priority takes what the first cannot */
            CHECK(lb_upstream_acquire(up, 0, &calls[t]));
            CHECK(calls_on(up, calls[t].member) <= 3);
            CHECK_EQ(calls[t].member >= 3, t >= 9);
            CHECK_EQ(lb_upstream_bound(up, calls[t].member), 3);
        }
        walk_fleet(up, &f);
        CHECK(!lb_upstream_acquire(up, 0, &calls[15]));
        CHECK_EQ(lb_upstream_pick(up, 0), LB_NONE);
        lb_upstream_release(up, &calls[4]);
        CHECK_EQ(lb_upstream_pick(up, 0), calls[4].member);
        lb_upstream_free(up);
    }
}

/* Who was chosen by other means is asked nothing. */
static void a_session_s_call_is_counted_above_the_limit(void) {
    fleet f = {0};
    lb_call call;
    add_targets(&f, 2, 0);
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.limits.in_flight = 1;
    lb_upstream *up = upstream_with(&spec, &f, 0);
    for (uint32_t t = 1; t < 5; t++) {
        lb_upstream_begin_on(up, 1, 33, &call);
        CHECK(call.member == 1 && call.slot == slot_of(up, 1) && call.started_ns == 33 && call.hold_until_ns == 0);
        CHECK_EQ(calls_on(up, 1), t);
        CHECK_EQ(lb_upstream_in_flight(up), t);
        CHECK_EQ(lb_upstream_pick(up, 0), 0);
    }
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* ---- bounds ----------------------------------------------------------------------------------------------------- */

/* ceil(bound * (calls in all + 1) * its share) + margin */
static uint64_t bound(uint64_t permille, uint64_t margin, uint64_t calls, uint64_t weight, uint64_t total) {
    uint64_t above = permille * (calls + 1) * weight, below = 1000 * total;
    return above / below + (above % below > 0) + margin;
}

static void the_bound_is_the_formula(void) {
    static const struct { uint32_t permille, margin, calls, weight, total, bound; } rows[] = {
        {1000, 0, 0, 1, 2, 1},  {1000, 0, 1, 1, 2, 1},  {1000, 0, 2, 1, 2, 2},  {1250, 0, 9, 1, 4, 4},
        {1250, 2, 9, 1, 4, 6},  {2000, 0, 9, 1, 4, 5},  {1250, 0, 7, 1, 2, 5},  {1250, 0, 8, 3, 4, 9},
        {1001, 0, 1, 1, 2, 2},  {100000, 7, 0, 1, 1, 107},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_EQ(bound(rows[i].permille, rows[i].margin, rows[i].calls, rows[i].weight, rows[i].total), rows[i].bound);
}

typedef struct program { lb_upstream *up; lb_rng rng; uint64_t permille, margin; lb_call open[200]; uint32_t n; } program;

static uint64_t bound_at(const program *p, uint32_t member) {
    const lb_view *view = lb_upstream_view(p->up);
    return bound(p->permille, p->margin, lb_upstream_in_flight(p->up), view->weight[member], view->total_weight);
}

/* The first on the key's way with less calls than its bound: its home, as long as that may take one. */
static void check_home(program *p, uint64_t hash, uint32_t got) {
    const lb_view *view = lb_upstream_view(p->up);
    uint32_t i = (uint32_t)(hash % view->n_members);
    while (view->weight[i] == 0 || calls_on(p->up, i) >= bound_at(p, i)) i = (i + 1) % view->n_members;
    CHECK_EQ(got, i);
}

static void bounded_step(program *p, const fleet *f) {
    const lb_view *view = settled(p->up);
    uint32_t roll = lb_rng_below(&p->rng, 16);
    if (roll < 9 && p->n < 200) {
        lb_key key = hashed(lb_rng_below(&p->rng, 3));
        lb_want want = {.key = &key};
        for (uint32_t i = 0; i < f->n; i++)
            if (view->weight[i]) CHECK_EQ(lb_upstream_bound(p->up, i), bound_at(p, i));
        uint32_t member = lb_upstream_choose(p->up, &want, 0);
        CHECK_EQ(member == LB_NONE, view->n_usable == 0);
        if (member == LB_NONE) return;
        CHECK(calls_on(p->up, member) < bound_at(p, member));
        if (p->up->spec.policy->walk) check_home(p, key.hash, member);
        lb_upstream_begin_on(p->up, member, 0, &p->open[p->n++]);
    } else if (roll < 15 && p->n) {
        uint32_t i = lb_rng_below(&p->rng, p->n);
        lb_upstream_release(p->up, &p->open[i]);
        p->open[i] = p->open[--p->n];
    } else {
        CHECK_EQ(lb_upstream_set_health(p->up, lb_rng_below(&p->rng, f->n), roll % 2, true, 0, NULL), LB_OK);
    }
}

static void run_bounded(const lb_policy *policy, uint32_t permille, uint32_t margin, uint64_t seed) {
    fleet f = {0};
    program p = {.permille = permille, .margin = margin};
    lb_rng_seed(&p.rng, seed);
    lb_upstream_spec spec = spec_of(policy);
    if (policy->bounded) {                              /* its own parameters */
        spec.param[0] = permille / 1000.0;
        spec.param[1] = margin;
    } else {
        spec.limits.bound_permille = permille;
        spec.limits.margin = margin;
    }
    for (uint32_t i = 2 + lb_rng_below(&p.rng, 6); i > 0; i--) add_targets(&f, 1, 0)->weight = lb_rng_below(&p.rng, 9);
    p.up = upstream_with(&spec, &f, 0);
    for (int t = 0; t < 400; t++) bounded_step(&p, &f);
    walk_fleet(p.up, &f);
    lb_upstream_free(p.up);
}

static void no_load_ever_passes_the_bound(void) {
    static const uint32_t permilles[] = {1000, 1001, 1250, 2000, 10000};
    const lb_policy *policies[] = {&home, &home_bounded, policy_named("round_robin"), policy_named("least_conn"),
                                   policy_named("random")};
    for (uint64_t seed = 0; seed < 10; seed++)
        for (int b = 0; b < 5; b++)
            for (int p = 0; p < 5; p++) run_bounded(policies[p], permilles[b], (uint32_t)seed % 3, 100 * seed + 10 + seed);
}

/* limits.bound comes before a bounded policy's own; so does the lesser of bound and limits.in_flight. */
static void limits_come_before_a_policy_s_own_bound(void) {
    fleet f = {0};
    add_targets(&f, 2, 0);
    lb_upstream_spec spec = spec_of(&home_bounded);
    lb_upstream *up = upstream_with(&spec, &f, 0);
    CHECK_EQ(lb_upstream_bound(up, 0), 1 + 2);          /* ceil(1.25 * 1 / 2) + 2 */
    lb_upstream_free(up);
    spec.limits.bound_permille = 10000;
    spec.limits.margin = 4;
    up = upstream_with(&spec, &f, 0);
    CHECK_EQ(lb_upstream_bound(up, 0), 5 + 4);
    lb_upstream_free(up);
    spec.limits.in_flight = 6;
    up = upstream_with(&spec, &f, 0);
    CHECK_EQ(lb_upstream_bound(up, 0), 6);
    take_down(up, 0, 1);
    CHECK_EQ(lb_upstream_bound(up, 0), 6);              /* who has no share has no bound but the limit */
    lb_upstream_free(up);
    up = upstream_named("round_robin", &f);
    CHECK_EQ(lb_upstream_bound(up, 0), LB_NONE);
    lb_upstream_free(up);
}

/* ---- candidates ------------------------------------------------------------------------------------------------- */

/* An upstream that has made `n_before` choices. */
static lb_upstream *advanced(const lb_policy *policy, const fleet *f, uint32_t n_before) {
    lb_upstream *up = upstream_by(policy, f);
    lb_key key = hashed(n_before);
    lb_want want = {.key = &key};
    for (uint32_t i = 0; i < n_before; i++) lb_upstream_choose(up, &want, 0);
    return up;
}

/* A schedule that has a turn for each choice: one with exclude takes none, and draws among the turns ahead. */
static bool stands_aside(const lb_policy *policy) { return policy->pick && !policy->pure && !policy->load_aware; }

/* What twins choose with the first 0, 1, 2, ... of the list excluded. */
static void check_growing(const lb_policy *policy, const fleet *f, uint32_t n_before, const uint32_t *list, uint32_t n) {
    uint32_t slots[32];
    lb_key key = hashed(99);
    for (uint32_t k = 0; k <= n; k++) {
        lb_upstream *twin = advanced(policy, f, n_before);
        for (uint32_t i = 0; i < k; i++) slots[i] = slot_of(twin, list[i]);
        lb_want want = {.key = &key, .exclude = slots, .n_exclude = k};
        uint32_t member = lb_upstream_choose(twin, &want, 0);
        if (k && k < n && stands_aside(policy)) CHECK(is_among(list + k, n - k, member));
        else CHECK_EQ(member, k < n ? list[k] : LB_NONE);
        lb_upstream_free(twin);
    }
}

/* Between picks with exclude, the picks without are those of a twin that makes no others; and not all of the former meet. */
static void check_aside(const lb_policy *policy, const fleet *f) {
    lb_upstream *up = upstream_by(policy, f), *twin = upstream_by(policy, f);
    uint32_t slots[1], n_different = 0;
    lb_want plain = {0}, aside = {.exclude = slots, .n_exclude = 1};
    for (int t = 0; t < 200; t++) {
        uint32_t first = lb_upstream_choose(up, &plain, 0);
        CHECK_EQ(first, lb_upstream_choose(twin, &plain, 0));
        slots[0] = slot_of(up, first);
        uint32_t one = lb_upstream_choose(up, &aside, 0), two = lb_upstream_choose(up, &aside, 0);
        CHECK(one != LB_NONE && one != first && two != LB_NONE && two != first);
        n_different += one != two;
    }
    CHECK(n_different > 50);
    lb_upstream_free(up);
    lb_upstream_free(twin);
}

static void a_choice_with_exclude_takes_no_turn_of_others(void) {
    fleet alike = {0}, levels = {0};
    add_targets(&alike, 7, 0);
    add_targets(&levels, 3, 0);
    add_targets(&levels, 4, 5);
    for (uint32_t p = 0; p < lb_n_policies; p++) {
        if (!stands_aside(lb_policies[p])) continue;
        check_aside(lb_policies[p], &alike);
        check_aside(lb_policies[p], &levels);
    }
}

static void check_candidates(const lb_policy *policy, const fleet *f, uint32_t n_before) {
    uint32_t list[32];
    lb_key key = hashed(99);
    lb_want want = {.key = &key};
    lb_upstream *up = advanced(policy, f, n_before), *twin = advanced(policy, f, n_before);
    uint32_t n = lb_upstream_candidates(up, &want, list, 32, 0), part[3];
    CHECK_EQ(n, lb_upstream_view(up)->n_usable);
    for (uint32_t i = 0; i < n; i++) CHECK(lb_upstream_view(up)->weight[list[i]] && !is_among(list, i, list[i]));
    CHECK_EQ(lb_upstream_candidates(up, &want, part, 3, 0), n < 3 ? n : 3);
    CHECK(memcmp(part, list, (n < 3 ? n : 3) * sizeof *part) == 0);
    CHECK_EQ(lb_upstream_candidates(up, &want, NULL, 0, 0), 0);
    check_growing(policy, f, n_before, list, n);
    for (int t = 0; t < 50; t++) CHECK_EQ(lb_upstream_choose(up, &want, 0), lb_upstream_choose(twin, &want, 0));
    lb_upstream_free(up);
    lb_upstream_free(twin);
}

/* "The members that choose would give one after the other, each passed over for the next; moves no cursor" */
static void candidates_are_what_choose_would_give(void) {
    fleet alike = {0}, levels = {0}, skew = {0};
    add_targets(&alike, 7, 0);
    add_targets(&levels, 3, 0);
    add_targets(&levels, 4, 5);
    add_targets(&skew, 5, 0)->weight = LB_MAX_WEIGHT;   /* draws name it again and again */
    for (uint32_t p = 0; p < lb_n_policies; p++)
        for (uint32_t n_before = 0; n_before < 6; n_before++) {
            check_candidates(lb_policies[p], &alike, n_before);
            check_candidates(lb_policies[p], &levels, n_before);
            if (lb_policies[p]->pick) check_candidates(lb_policies[p], &skew, n_before);
        }
    check_candidates(&home, &levels, 3);
    check_candidates(&mute, &alike, 3);
    check_candidates(&stubborn, &alike, 3);
}

static void candidates_know_limits_exclusion_and_keys(void) {
    fleet f = {0};
    uint32_t list[8], exclude[1];
    add_targets(&f, 6, 0);
    lb_upstream_spec spec = spec_of(&home);
    spec.limits.in_flight = 1;
    lb_upstream *up = upstream_with(&spec, &f, 0);
    lb_key key = hashed(1);
    lb_want want = {.key = &key, .exclude = exclude, .n_exclude = 1}, keyless = {0};
    exclude[0] = slot_of(up, 2);
    lb_call call;
    lb_upstream_begin_on(up, 4, 0, &call);
    take_down(up, 5, 1);
    static const uint32_t want_list[] = {1, 3, 0};
    CHECK_EQ(lb_upstream_candidates(up, &want, list, 8, 0), 3);
    CHECK(memcmp(list, want_list, sizeof want_list) == 0);
    CHECK_EQ(lb_upstream_candidates(up, &keyless, list, 8, 0), 0);
    lb_upstream_free(up);
}

/* ---- receipts --------------------------------------------------------------------------------------------------- */

static void a_receipt_says_who_was_passed_over_and_why(void) {
    fleet f = {0};
    add_targets(&f, 5, 3);
    lb_upstream_spec spec = spec_of(&home);
    spec.limits = (lb_limits){.in_flight = 3, .bound_permille = 1000};
    lb_upstream *up = upstream_with(&spec, &f, 0);
    lb_call call;
    for (int i = 0; i < 3; i++) lb_upstream_begin_on(up, 0, 0, &call);
    for (int i = 0; i < 2; i++) lb_upstream_begin_on(up, 2, 0, &call);      /* its bound is ceil(6 / 5) = 2 */
    uint32_t exclude[] = {slot_of(up, 1)};
    lb_receipt receipt;
    lb_key key = hashed(0);
    lb_want want = {.key = &key, .exclude = exclude, .n_exclude = 1, .receipt = &receipt};
    CHECK_EQ(lb_upstream_choose(up, &want, 0), 3);
    CHECK_EQ(receipt.priority, 3);
    CHECK_EQ(receipt.runner_up, 4);
    CHECK_EQ(receipt.n_passed, 3);
    static const lb_pass why[] = {LB_PASS_FULL, LB_PASS_EXCLUDED, LB_PASS_BOUND};
    for (uint32_t i = 0; i < 3; i++) CHECK(receipt.passed[i] == i && receipt.why[i] == why[i]);
    want.n_exclude = 0;
    key = hashed(1);
    CHECK_EQ(lb_upstream_choose(up, &want, 0), 1);      /* nothing is left of the receipt before */
    CHECK_EQ(receipt.n_passed, 0);
    CHECK_EQ(receipt.runner_up, 3);
    lb_upstream_free(up);
}

static void a_receipt_lists_sixteen(void) {
    fleet f = {0};
    uint32_t slots[30];
    add_targets(&f, 30, 0);
    for (uint32_t n = 14; n < 31; n++) {
        lb_upstream *up = upstream_by(&home, &f);
        lb_receipt receipt;
        lb_key key = hashed(0);
        for (uint32_t i = 0; i < n && i < 30; i++) slots[i] = slot_of(up, i);
        lb_want want = {.key = &key, .exclude = slots, .n_exclude = n < 30 ? n : 30, .receipt = &receipt};
        CHECK_EQ(lb_upstream_choose(up, &want, 0), n < 30 ? n : LB_NONE);
        CHECK_EQ(receipt.runner_up, n < 29 ? n + 1 : LB_NONE);
        for (uint32_t i = 0; i < n && i < LB_MAX_PASSED; i++) CHECK_EQ(receipt.passed[i], i);
        if (n < 30) CHECK_EQ(receipt.n_passed, n);      /* with nobody left the rest is looked through again */
        else CHECK(receipt.n_passed >= 30);
        lb_upstream_free(up);
    }
}

/* One that comes up again and again is listed once; a receipt changes no choice. */
static void a_receipt_changes_no_choice(void) {
    fleet f = {0};
    add_targets(&f, 4, 0);
    add_targets(&f, 4, 1);
    f.target[0].weight = 9;
    static const char *const names[] = {"round_robin", "least_conn", "random"};
    for (int p = 0; p < 3; p++) {
        lb_upstream *up = upstream_named(names[p], &f), *twin = upstream_named(names[p], &f);
        uint32_t exclude[] = {slot_of(up, 0)};
        lb_receipt receipt;
        lb_want want = {.exclude = exclude, .n_exclude = 1, .receipt = &receipt}, plain = {.exclude = exclude,
                                                                                          .n_exclude = 1};
        for (int t = 0; t < 60; t++) {
            uint32_t member = lb_upstream_choose(up, &want, 0);
            CHECK_EQ(member, lb_upstream_choose(twin, &plain, 0));
            CHECK(receipt.n_passed <= 1 && receipt.runner_up != member && receipt.runner_up != 0);
            if (receipt.n_passed) CHECK(receipt.passed[0] == 0 && receipt.why[0] == LB_PASS_EXCLUDED);
        }
        lb_upstream_free(up);
        lb_upstream_free(twin);
    }
}

/* ---- sessions --------------------------------------------------------------------------------------------------- */

/* "usable, or draining before its deadline" */
static void who_serves_its_sessions(void) {
    fleet f = {0};
    add_targets(&f, 3, 0);
    f.target[2].weight = 0;
    lb_upstream *up = upstream_named("round_robin", &f);
    CHECK(lb_upstream_serves_session(up, 0, 5) && lb_upstream_serves_session(up, 1, 5));
    CHECK(!lb_upstream_serves_session(up, 2, 5));       /* a weight of 0 takes it out for all */
    CHECK_EQ(lb_upstream_drain(up, 0, 100, 5, NULL), LB_OK);
    CHECK(lb_upstream_serves_session(up, 0, 99) && !lb_upstream_serves_session(up, 0, 100));
    for (int t = 0; t < 5; t++) CHECK_EQ(lb_upstream_pick(up, 5), 1);
    CHECK_EQ(lb_upstream_drain(up, 0, LB_NEVER, 5, NULL), LB_OK);       /* again: another deadline */
    CHECK(lb_upstream_serves_session(up, 0, LB_NEVER - 1));
    take_down(up, 0, 1);
    CHECK(!lb_upstream_serves_session(up, 0, 5));       /* draining and unhealthy */
    CHECK_EQ(lb_upstream_undrain(up, 0, 5, NULL), LB_OK);
    CHECK(!lb_upstream_serves_session(up, 0, 5));
    CHECK_EQ(lb_upstream_set_health(up, 0, true, true, 5, NULL), LB_OK);
    CHECK(lb_upstream_serves_session(up, 0, 5));
    walk_fleet(up, &f);
    CHECK_EQ(lb_upstream_undrain(up, 0, 5, NULL), LB_OK);               /* who does not drain stays as it is */
    CHECK_EQ(lb_upstream_drain(up, 0, 100, 5, NULL), LB_OK);
    CHECK_EQ(lb_upstream_update(up, f.target, 2, 5, NULL), LB_OK);      /* drain survives an update */
    CHECK_EQ(lb_upstream_pick(up, 5), 1);
    CHECK_EQ(lb_upstream_update(up, f.target + 1, 1, 5, NULL), LB_OK);  /* and ends with removal */
    CHECK_EQ(lb_upstream_update(up, f.target, 2, 5, NULL), LB_OK);
    CHECK_EQ(lb_upstream_view(up)->n_usable, 2);
    lb_upstream_free(up);
}

static void an_unhealthy_one_serves_sessions_in_panic(void) {
    fleet f = {0};
    add_targets(&f, 2, 0);
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.levels.panic = 100;
    lb_upstream *up = upstream_with(&spec, &f, 0);
    take_down(up, 0, 1);
    CHECK(lb_upstream_serves_session(up, 0, 5));
    lb_upstream_free(up);
}

int main(void) {
    RUN(nobody_excluded_is_chosen);
    RUN(a_choice_with_exclude_takes_no_turn_of_others);
    RUN(a_walk_that_ends_leaves_the_rest_in_list_order);
    RUN(a_policy_that_repeats_itself_does_not_hide_the_others);
    RUN(no_target_has_more_calls_than_its_limit);
    RUN(a_session_s_call_is_counted_above_the_limit);
    RUN(the_bound_is_the_formula);
    RUN(no_load_ever_passes_the_bound);
    RUN(limits_come_before_a_policy_s_own_bound);
    RUN(candidates_are_what_choose_would_give);
    RUN(candidates_know_limits_exclusion_and_keys);
    RUN(a_receipt_says_who_was_passed_over_and_why);
    RUN(a_receipt_lists_sixteen);
    RUN(a_receipt_changes_no_choice);
    RUN(who_serves_its_sessions);
    RUN(an_unhealthy_one_serves_sessions_in_panic);
    return check_result();
}

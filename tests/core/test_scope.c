/* scope: subsets: who belongs to one, its own schedule and levels, and its life beside its upstream's. */
#include "upstreams.h"

enum { RED = 3, BLUE = 8 };

/* `n` targets in turn red and blue. */
static void two_colours(fleet *f, uint32_t n) {
    f->n = 0;
    add_targets(f, n, 0);
    for (uint32_t i = 0; i < n; i++) give_label(f, i, i % 2 ? BLUE : RED);
}

static uint32_t choose_in(lb_upstream *up, const lb_subset *subset) {
    lb_want want = {.within = subset};
    return lb_upstream_choose(up, &want, 0);
}

/* ---- who belongs ------------------------------------------------------------------------------------------------ */

/* "The targets with all of `labels`": beside sets of bits. */
static void a_subset_asks_for_all_its_labels(void) {
    static uint32_t labels[64][6];
    fleet f = {0};
    add_targets(&f, 64, 0);
    for (uint32_t i = 0; i < 64; i++) {                 /* target i has the labels of the bits of i */
        for (uint32_t bit = 0; bit < 6; bit++)
            if (i >> bit & 1) labels[i][f.target[i].n_labels++] = 10 * bit;
        f.target[i].labels = labels[i];
    }
    lb_upstream *up = upstream_named("least_conn", &f);
    for (uint32_t asked = 0; asked < 64; asked++) {
        lb_subset *subset = NULL;
        CHECK_EQ(lb_upstream_subset(up, labels[asked], f.target[asked].n_labels, 0, &subset, NULL), LB_OK);
        const lb_view *view = lb_subset_view(subset, 0);
        uint32_t n = 0;
        for (uint32_t i = 0; i < 64; i++) {
            if ((i & asked) != asked) continue;
            CHECK_EQ(view->origin[n], i);
            n++;
        }
        CHECK_EQ(view->n_members, n);
        CHECK(lb_subset_view(subset, 1) == NULL);
        if (asked == 21) walk_fleet(up, &f);
        lb_subset_free(subset);
    }
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

static void an_empty_subset_has_nobody(void) {
    fleet f;
    two_colours(&f, 4);
    static const char *const names[] = {"round_robin", "jump"};
    for (int p = 0; p < 2; p++) {
        lb_upstream *up = upstream_named(names[p], &f);
        lb_subset *none = subset_of(up, 77);
        uint32_t list[2];
        lb_call call;
        lb_key key = {.hash = 1, .hashed = true};
        lb_receipt receipt;
        lb_want want = {.key = &key, .within = none, .receipt = &receipt};
        CHECK_EQ(lb_subset_view(none, 0)->n_members, 0);
        CHECK_EQ(lb_upstream_choose(up, &want, 0), LB_NONE);
        CHECK(receipt.n_passed == 0 && receipt.runner_up == LB_NONE);
        CHECK(!lb_upstream_begin(up, &want, 0, &call));
        CHECK_EQ(lb_upstream_candidates(up, &want, list, 2, 0), 0);
        walk_fleet(up, &f);
        for (uint32_t i = 0; i < 4; i++) give_label(&f, i, 77);         /* they come later */
        CHECK_EQ(lb_upstream_update(up, f.target, 4, 0, NULL), LB_OK);
        CHECK(lb_upstream_begin(up, &want, 0, &call));
        CHECK_EQ(lb_upstream_update(up, NULL, 0, 0, NULL), LB_OK);      /* and go */
        CHECK_EQ(lb_upstream_choose(up, &want, 0), LB_NONE);
        CHECK_EQ(lb_upstream_pick(up, 0), LB_NONE);
        lb_upstream_release(up, &call);
        lb_subset_free(none);
        lb_upstream_free(up);
        two_colours(&f, 4);
    }
}

/* Every scheme: a subset's choices are its own, and follow updates that turn the list around. */
static void choices_within_a_subset_are_of_the_subset(void) {
    for (uint32_t p = 0; p < lb_n_policies; p++) {
        fleet f;
        two_colours(&f, 9);
        lb_upstream *up = upstream_named(lb_policies[p]->name, &f);
        lb_subset *red = subset_of(up, RED), *blue = subset_of(up, BLUE);
        for (int round = 0; round < 6; round++) {
            uint32_t n_down = 0;
            for (uint64_t hash = 0; hash < 40; hash++) {
                lb_key key = {.hash = hash * 0x9E3779B97F4A7C15u, .hashed = true};
                lb_want want = {.key = &key, .within = hash % 2 ? red : blue};
                uint32_t member = lb_upstream_choose(up, &want, 0);
                CHECK(member < f.n && lb_upstream_view(up)->weight[member]);
                if (member < f.n) CHECK_EQ(f.target[member].labels[0], hash % 2 ? RED : BLUE);
            }
            walk_fleet(up, &f);
            lb_target_spec first = f.target[0];
            memmove(f.target, f.target + 1, (f.n - 1) * sizeof first);
            f.target[f.n - 1] = first;
            CHECK_EQ(lb_upstream_update(up, f.target, f.n, 0, NULL), LB_OK);
            if (round == 3) take_down(up, n_down++, 4);
        }
        lb_subset_free(blue);
        lb_subset_free(red);
        lb_upstream_free(up);
    }
}

/* ---- its own schedule ------------------------------------------------------------------------------------------- */

/* Within it weights are followed as if there were nobody else; the others' picks neither spend nor move its turns. */
static void a_subset_has_its_own_schedule(void) {
    fleet f, alone = {0};
    two_colours(&f, 6);
    f.target[0].weight = 5;
    f.target[2].weight = 2;
    for (uint32_t i = 0; i < 6; i += 2) *add_targets(&alone, 1, 0) = f.target[i];
    lb_upstream *up = upstream_named("round_robin", &f), *twin = upstream_named("round_robin", &alone);
    lb_subset *red = subset_of(up, RED);
    for (int t = 0; t < 100; t++) {
        CHECK_EQ(choose_in(up, red), 2 * lb_upstream_pick(twin, 0));
        for (int other = t % 3; other > 0; other--) lb_upstream_pick(up, 0);
    }
    lb_subset_free(red);
    lb_upstream_free(up);
    lb_upstream_free(twin);
}

/* The debts of each group go along with updates, health and other subsets coming and going. */
static void a_subset_s_debts_survive_changes(void) {
    fleet f;
    two_colours(&f, 6);
    f.target[0].weight = 5;
    f.target[2].weight = 3;
    f.target[4].weight = 2;
    lb_upstream *up = upstream_named("round_robin", &f);
    lb_subset *red = subset_of(up, RED), *other = NULL;
    uint32_t got[6] = {0}, all[6] = {0};
    for (uint32_t round = 0; round < 60; round++) {
        bool turned = round % 2;
        for (int t = 0; t < 7; t++) {
            uint32_t member = choose_in(up, red), any = lb_upstream_pick(up, 0);
            got[turned ? 5 - member : member]++;
            all[turned ? 5 - any : any]++;
        }
        fleet next = f;
        for (uint32_t i = 0; i < 6; i++) next.target[i] = f.target[turned ? i : 5 - i];
        CHECK_EQ(lb_upstream_update(up, next.target, 6, 0, NULL), LB_OK);
        if (round % 5 == 0) other = subset_of(up, BLUE);
        if (round % 5 == 3) lb_subset_free(other);
        walk_fleet(up, &next);
    }
    static const uint32_t want[] = {210, 0, 126, 0, 84, 0}, want_all[] = {162, 32, 97, 32, 65, 32};
    for (uint32_t i = 0; i < 6; i++) {
        CHECK(got[i] + 2 >= want[i] && got[i] <= want[i] + 2);
        CHECK(all[i] + 3 >= want_all[i] && all[i] <= want_all[i] + 3);
    }
    lb_upstream_free(up);
    lb_subset_free(red);
}

/* Groups come and go: who is alone in its priority, then not, then gone. */
static void groups_take_over_from_their_like(void) {
    lb_rng rng;
    lb_rng_seed(&rng, 20240703);
    for (uint32_t p = 0; p < lb_n_policies; p++) {
        fleet f = {0};
        add_targets(&f, 1, 0);
        lb_upstream *up = upstream_named(lb_policies[p]->name, &f);
        lb_subset *red = subset_of(up, RED);
        for (int round = 0; round < 60; round++) {
            uint32_t first = lb_rng_below(&rng, 20), n = lb_rng_below(&rng, 12), kinds = lb_rng_below(&rng, 3);
            fleet next = {0};
            add_targets(&next, first + n, 0);
            for (uint32_t i = 0; i < n; i++) {
                next.target[i] = next.target[first + i];
                next.target[i].priority = kinds ? lb_rng_below(&rng, 3) : 0;
                next.target[i].locality = kinds == 2 ? lb_rng_below(&rng, 3) : 0;
                next.target[i].locality_weight = next.target[i].locality;
                if (lb_rng_below(&rng, 2)) give_label(&next, i, RED);
            }
            next.n = n;
            lb_status status = lb_upstream_update(up, next.target, n, 0, NULL);
            CHECK(status == LB_OK || (status == LB_ERR_CONFIG && lb_policies[p]->walk));
            if (status) continue;
            walk_fleet(up, &next);
            for (uint64_t t = 0; t < 10; t++) {
                lb_key key = {.hash = t, .hashed = true};
                lb_want want = {.key = &key, .within = t % 2 ? red : NULL};
                uint32_t member = lb_upstream_choose(up, &want, 0);
                if (member == LB_NONE) continue;
                CHECK(member < n);
                /* A key's targets weigh by the localities of their own scope: here and in the whole they may differ. */
                if (kinds < 2 || !lb_policies[p]->walk) CHECK(lb_upstream_view(up)->weight[member]);
                if (t % 2 && member < n) CHECK_EQ(next.target[member].n_labels, 1);
            }
        }
        lb_subset_free(red);
        lb_upstream_free(up);
    }
}

/* A subset's levels and panic are those of its own members. */
static void a_subset_has_its_own_levels(void) {
    fleet f = {0};
    add_targets(&f, 4, 0);
    add_targets(&f, 4, 2);
    for (uint32_t i = 0; i < 8; i++) give_label(&f, i, i % 4 < 2 ? RED : BLUE);
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.levels.panic = 50;
    lb_upstream *up = upstream_with(&spec, &f, 0);
    lb_subset *red = subset_of(up, RED), *blue = subset_of(up, BLUE);
    take_down(up, 0, 2);                                /* red has nobody in its first priority */
    walk_fleet(up, &f);
    CHECK_EQ(lb_subset_view(red, 0)->n_usable, 0);
    CHECK_EQ(lb_subset_view(blue, 0)->n_usable, 2);
    lb_receipt receipt;
    lb_want want = {.within = red, .receipt = &receipt};
    for (int t = 0; t < 10; t++) {
        uint32_t member = lb_upstream_choose(up, &want, 0);
        CHECK(member == 4 || member == 5);
        CHECK_EQ(receipt.priority, 2);
        CHECK(choose_in(up, blue) / 2 == 1);
    }
    take_down(up, 4, 2);                                /* red panics; the others have enough */
    walk_fleet(up, &f);
    CHECK_EQ(lb_subset_view(red, 0)->n_usable, 2);
    CHECK_EQ(lb_upstream_view(up)->n_usable, 4);
    uint32_t got[9];
    want.receipt = NULL;
    count_choices(up, &want, 40, got, 8);
    for (uint32_t i = 0; i < 8; i++) CHECK_EQ(got[i], i % 4 < 2 ? 10 : 0);
    lb_subset_free(red);
    lb_upstream_free(up);
    CHECK(lb_subset_view(blue, 0) == NULL);
    lb_subset_free(blue);
}

static void exclusion_and_limits_hold_within_a_subset(void) {
    fleet f;
    two_colours(&f, 6);
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.limits.in_flight = 1;
    lb_upstream *up = upstream_with(&spec, &f, 0);
    lb_subset *red = subset_of(up, RED);
    lb_call call;
    lb_upstream_begin_on(up, 0, 0, &call);
    uint32_t exclude[] = {slot_of(up, 2)}, list[6];
    lb_want want = {.within = red, .exclude = exclude, .n_exclude = 1};
    CHECK_EQ(lb_upstream_choose(up, &want, 0), 4);
    CHECK_EQ(lb_upstream_candidates(up, &want, list, 6, 0), 1);
    CHECK_EQ(list[0], 4);
    CHECK(lb_upstream_begin(up, &want, 0, &call));
    CHECK_EQ(lb_upstream_choose(up, &want, 0), LB_NONE);
    CHECK(lb_upstream_pick(up, 0) != LB_NONE);
    lb_upstream_free(up);
    lb_subset_free(red);
}

/* ---- its life --------------------------------------------------------------------------------------------------- */

static void a_subset_may_be_freed_first_or_last(void) {
    for (int order = 0; order < 6; order++) {
        fleet f;
        two_colours(&f, 4);
        lb_upstream *up = upstream_named("round_robin", &f);
        lb_subset *a = subset_of(up, RED), *b = subset_of(up, BLUE), *c = subset_of(up, RED);
        if (order < 3) {                                /* the first, the middle and the last of the list */
            lb_subset_free(order == 0 ? a : order == 1 ? b : c);
            walk_fleet(up, &f);
            take_down(up, 0, 1);                        /* the next picture has no place for it */
            walk_fleet(up, &f);
            CHECK_EQ(up->picture->n_scopes, 3);
        }
        if (order % 2) {
            CHECK_EQ(choose_in(up, c) % 2, 0);
            lb_upstream_free(up);
            up = NULL;
        }
        if (order != 0) lb_subset_free(a);
        if (order != 1) lb_subset_free(b);
        if (order != 2) lb_subset_free(c);
        lb_upstream_free(up);
    }
    lb_subset_free(NULL);
}

/* Two with the same labels are two: each has its own turns. */
static void the_same_labels_twice_are_two_subsets(void) {
    fleet f;
    two_colours(&f, 8);
    lb_upstream *up = upstream_named("round_robin", &f);
    lb_subset *a = subset_of(up, RED), *b = subset_of(up, RED);
    for (int t = 0; t < 20; t++) CHECK_EQ(choose_in(up, a), choose_in(up, b));
    lb_subset_free(a);
    lb_subset_free(b);
    lb_upstream_free(up);
}

static lb_status a_subset_and_a_change(void) {
    fleet f;
    two_colours(&f, 4);
    f.target[3].priority = 1;
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    lb_upstream *up = NULL;
    lb_subset *red = NULL, *blue = NULL;
    lb_error err = {0};
    lb_status status = lb_upstream_new(&up, &spec, f.target, 4, 0, NULL);
    static const uint32_t label[] = {RED, BLUE};
    if (!status) status = lb_upstream_subset(up, &label[0], 1, 0, &red, &err);
    if (up && !red) CHECK(err.field[0]);
    if (!status) {
        status = lb_upstream_subset(up, &label[1], 1, 0, &blue, NULL);
        CHECK_EQ(status == LB_OK, blue != NULL);
        CHECK(lb_subset_view(red, 0) != NULL);
        walk_fleet(up, &f);
        if (status) CHECK_EQ(lb_upstream_subset(up, &label[1], 1, 0, &blue, NULL), LB_OK);
        CHECK_EQ(choose_in(up, blue) % 2, 1);
        lb_subset_free(blue);
    }
    if (!status) status = lb_upstream_set_weight(up, 0, 3, 0, NULL);
    lb_upstream_free(up);
    lb_subset_free(red);
    return status;
}

static void every_allocation_of_a_subset_may_fail(void) {
    CHECK(every_allocation_fails_once(a_subset_and_a_change) > 30);
}

int main(void) {
    RUN(a_subset_asks_for_all_its_labels);
    RUN(an_empty_subset_has_nobody);
    RUN(choices_within_a_subset_are_of_the_subset);
    RUN(a_subset_has_its_own_schedule);
    RUN(a_subset_s_debts_survive_changes);
    RUN(groups_take_over_from_their_like);
    RUN(a_subset_has_its_own_levels);
    RUN(exclusion_and_limits_hold_within_a_subset);
    RUN(a_subset_may_be_freed_first_or_last);
    RUN(the_same_labels_twice_are_two_subsets);
    RUN(every_allocation_of_a_subset_may_fail);
    return check_result();
}

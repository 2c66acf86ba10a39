/* levels: priorities and localities: who takes how much, and when health is no longer believed. */
#include "upstreams.h"

enum { MOST_LEVELS = 4 };

/* ---- what each priority takes ----------------------------------------------------------------------------------- */

/* One row: hosts, and healthy ones, of each priority; what is due to it; 1 where it is in panic. */
typedef struct row {
    uint32_t overprovisioning, panic, n_levels;
    uint32_t n_all[MOST_LEVELS], n_healthy[MOST_LEVELS], percent[MOST_LEVELS], in_panic[MOST_LEVELS];
} row;

/* Two and three levels of 100 hosts with Envoy's factor 1.4: the numbers of its documentation, in its whole percents. */
static const row documented[] = {
    {140, 0, 2, {100, 100}, {100, 100}, {100, 0}, {0}},
    {140, 0, 2, {100, 100}, {72, 72}, {100, 0}, {0}},
    {140, 0, 2, {100, 100}, {71, 71}, {99, 1}, {0}},
    {140, 0, 2, {100, 100}, {50, 50}, {70, 30}, {0}},
    {140, 0, 2, {100, 100}, {25, 100}, {35, 65}, {0}},
    {140, 0, 2, {100, 100}, {25, 25}, {50, 50}, {0}},
    {140, 0, 2, {100, 100}, {0, 100}, {0, 100}, {0}},
    {140, 0, 3, {100, 100, 100}, {100, 100, 100}, {100, 0, 0}, {0}},
    {140, 0, 3, {100, 100, 100}, {72, 72, 100}, {100, 0, 0}, {0}},
    {140, 0, 3, {100, 100, 100}, {71, 71, 100}, {99, 1, 0}, {0}},
    {140, 0, 3, {100, 100, 100}, {50, 50, 100}, {70, 30, 0}, {0}},
    {140, 0, 3, {100, 100, 100}, {25, 100, 100}, {35, 65, 0}, {0}},
    {140, 0, 3, {100, 100, 100}, {25, 25, 100}, {35, 35, 30}, {0}},
};

/* Together below 100: each times 100 / total, and what rounding leaves to the first that is healthy at all. */
static const row rounded[] = {
    {140, 0, 3, {100, 100, 100}, {25, 25, 20}, {37, 35, 28}, {0}},      /* 35 + 35 + 28 = 98 */
    {140, 0, 3, {20, 20, 20}, {0, 1, 2}, {0, 34, 66}, {0}},             /* 0 + 7 + 14 = 21: 33.3, 66.7 */
    {140, 0, 2, {100, 100}, {1, 0}, {100, 0}, {0}},
    {140, 0, 2, {100, 100}, {0, 0}, {0, 0}, {0}},
    {140, 0, 2, {100, 7}, {0, 1}, {0, 100}, {0}},
    {140, 0, 3, {3, 3, 3}, {1, 0, 1}, {50, 0, 50}, {0}},                /* 46 + 46 = 92: 50 each */
    {100, 0, 2, {100, 100}, {72, 72}, {72, 28}, {0}},
    {1000000, 0, 2, {100, 100}, {1, 100}, {100, 0}, {0}},
    {200, 0, 4, {10, 10, 10, 10}, {1, 1, 1, 10}, {20, 20, 20, 40}, {0}},
};

/* "overprovisioning 0: a level serves alone while anybody in it is usable" */
static const row strict[] = {
    {0, 0, 3, {100, 100, 100}, {1, 100, 100}, {100, 0, 0}, {0}},
    {0, 0, 3, {100, 100, 100}, {0, 1, 100}, {0, 100, 0}, {0}},
    {0, 0, 3, {100, 100, 100}, {0, 0, 1}, {0, 0, 100}, {0}},
    {0, 0, 3, {100, 100, 100}, {0, 0, 0}, {0, 0, 0}, {0}},
    {0, 50, 2, {100, 100}, {1, 0}, {100, 0}, {0}},                      /* healthy is healthy: no panic */
    {0, 50, 2, {30, 10}, {0, 0}, {75, 25}, {1, 1}},
};

/* Panic is looked at only while all levels together have less than 100. */
static const row panicking[] = {
    {140, 50, 1, {10}, {5}, {100}, {0}},                /* 50 % is not below 50 % */
    {140, 50, 1, {10}, {4}, {100}, {1}},
    {140, 50, 1, {10}, {0}, {100}, {1}},
    {140, 0, 1, {10}, {0}, {0}, {0}},
    {140, 100, 1, {100}, {72}, {100}, {0}},             /* 100 in all */
    {140, 100, 1, {100}, {71}, {100}, {1}},
    {140, 50, 2, {100, 100}, {72, 72}, {100, 0}, {0}},
    {140, 50, 2, {100, 100}, {71, 71}, {99, 1}, {0}},
    {140, 50, 2, {100, 100}, {50, 60}, {70, 30}, {0}},
    {140, 50, 2, {100, 100}, {25, 100}, {35, 65}, {0}}, /* few are healthy, but there is enough in all */
    {140, 50, 2, {100, 100}, {25, 25}, {50, 50}, {1, 1}},
    {140, 50, 2, {100, 100}, {5, 65}, {8, 92}, {1, 0}}, /* 7 + 91 = 98: 7.1, 92.9 */
};

/* "where every level is in panic, they share by their numbers of targets": rounding leaves to the first that has any */
static const row by_number[] = {
    {140, 50, 3, {1, 1, 1}, {0, 0, 0}, {34, 33, 33}, {1, 1, 1}},
    {140, 50, 3, {10, 30, 60}, {1, 3, 6}, {10, 30, 60}, {1, 1, 1}},
    {140, 50, 3, {1, 2, 3}, {0, 0, 1}, {17, 33, 50}, {1, 1, 1}},
    {140, 1, 2, {5, 2}, {0, 0}, {72, 28}, {1, 1}},
};

static void level_fleet(fleet *f, const row *r) {
    f->n = 0;
    for (uint32_t l = 0; l < r->n_levels; l++) add_targets(f, r->n_all[l], 2 * l);      /* gaps do not matter */
}

static lb_upstream *level_upstream(const char *policy, const row *r, fleet *f) {
    lb_upstream_spec spec = spec_of(policy_named(policy));
    spec.levels = (lb_levels){r->overprovisioning, r->panic};
    level_fleet(f, r);
    lb_upstream *up = upstream_with(&spec, f, 0);
    for (uint32_t l = 0, first = 0; l < r->n_levels; first += r->n_all[l++])
        take_down(up, first + r->n_healthy[l], r->n_all[l] - r->n_healthy[l]);
    return up;
}

static void check_levels(const lb_upstream *up, const row *r) {
    uint32_t priority[MOST_LEVELS], percent[MOST_LEVELS], n_none = 0;
    CHECK_EQ(lb_upstream_levels(up, priority, percent, MOST_LEVELS), r->n_levels);
    for (uint32_t l = 0, i = 0; l < r->n_levels; l++) {
        CHECK_EQ(priority[l], 2 * l);
        CHECK_EQ(percent[l], r->percent[l]);
        n_none += percent[l];
        for (uint32_t k = 0; k < r->n_all[l]; k++, i++)
            CHECK_EQ(lb_upstream_view(up)->weight[i], k < r->n_healthy[l] || r->in_panic[l]);
    }
    CHECK(n_none == 100 || n_none == 0);
}

/* 100 picks of the schedule give each level its percents, exactly. */
static void check_picks(lb_upstream *up, const row *r) {
    uint32_t got[MOST_LEVELS] = {0}, n = lb_upstream_view(up)->n_usable;
    for (uint32_t t = 0; t < 100 && n; t++) {
        uint32_t member = lb_upstream_pick(up, 0), l = 0;
        CHECK(member != LB_NONE && lb_upstream_view(up)->weight[member] > 0);
        while (member >= r->n_all[l]) member -= r->n_all[l++];
        got[l]++;
    }
    for (uint32_t l = 0; l < r->n_levels && n; l++) CHECK_EQ(got[l], r->percent[l]);
    if (n == 0) CHECK_EQ(lb_upstream_pick(up, 0), LB_NONE);
}

static void check_rows(const row *rows, size_t n) {
    static fleet f;
    for (size_t i = 0; i < n; i++) {
        lb_upstream *up = level_upstream("round_robin", &rows[i], &f);
        check_levels(up, &rows[i]);
        walk_fleet(up, &f);
        check_picks(up, &rows[i]);
        lb_upstream_free(up);
    }
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof *(rows))

static void shares_are_the_documented_ones(void) { CHECK_ROWS(documented); }
static void rounding_goes_to_the_first(void) { CHECK_ROWS(rounded); }
static void a_strict_level_serves_alone(void) { CHECK_ROWS(strict); }
static void panic_believes_nobody(void) { CHECK_ROWS(panicking); }
static void total_panic_shares_by_number(void) { CHECK_ROWS(by_number); }

/* Any numbers of hosts: the rule of the header, computed by the walker. */
static void any_fleet_follows_the_rule(void) {
    static fleet f;
    lb_rng rng;
    lb_rng_seed(&rng, 20240701);
    for (int round = 0; round < 300; round++) {
        static const uint32_t factors[] = {0, 100, 140, 250, 1000000}, panics[] = {0, 1, 50, 100};
        lb_upstream_spec spec = spec_of(policy_named("least_conn"));
        spec.levels = (lb_levels){factors[lb_rng_below(&rng, 5)], panics[lb_rng_below(&rng, 4)]};
        f.n = 0;
        for (uint32_t i = lb_rng_below(&rng, 25); i > 0; i--)
            add_targets(&f, 1, lb_rng_below(&rng, 4) * 42)->weight = lb_rng_below(&rng, 4);
        lb_upstream *up = upstream_with(&spec, &f, 0);
        for (uint32_t i = 0; i < f.n; i++) {
            if (lb_rng_below(&rng, 2)) take_down(up, i, 1);
            if (lb_rng_below(&rng, 8) == 0) CHECK_EQ(lb_upstream_drain(up, i, LB_NEVER, 0, NULL), LB_OK);
        }
        walk_fleet(up, &f);
        uint32_t member = lb_upstream_pick(up, 0);
        CHECK_EQ(member == LB_NONE, lb_upstream_view(up)->n_usable == 0);
        lb_upstream_free(up);
    }
}

static void who_drains_serves_not_even_in_panic(void) {
    fleet f = {0};
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.levels.panic = 50;
    add_targets(&f, 4, 0);
    lb_upstream *up = upstream_with(&spec, &f, 0);
    take_down(up, 0, 3);
    CHECK_EQ(lb_upstream_drain(up, 1, LB_NEVER, 0, NULL), LB_OK);
    static const uint32_t serving[4] = {1, 0, 1, 1};
    for (uint32_t i = 0; i < 4; i++) CHECK_EQ(settled(up)->weight[i], serving[i]);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* The level's percent says nobody, but somebody is there: the last resort. */
static void the_last_level_is_used_before_nobody(void) {
    fleet f = {0};
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.levels.overprovisioning = 0;
    add_targets(&f, 2, 0);
    add_targets(&f, 2, 9);
    lb_upstream *up = upstream_with(&spec, &f, 0);
    uint32_t both[2] = {slot_of(up, 0), slot_of(up, 1)};
    lb_receipt receipt;
    lb_want want = {.exclude = both, .n_exclude = 2, .receipt = &receipt};
    for (int t = 0; t < 10; t++) {
        uint32_t member = lb_upstream_choose(up, &want, 0);
        CHECK(member == 2 || member == 3);
        CHECK_EQ(receipt.priority, 9);
        CHECK_EQ(receipt.n_passed, 2);
    }
    lb_upstream_free(up);
}

/* ---- keyed policies --------------------------------------------------------------------------------------------- */

/* "the first level whose running sum of percents reaches hash % 100 + 1" */
static void a_key_s_hash_chooses_the_level(void) {
    static const char *const policies[] = {"jump", "chash_kong", "ketama_libmemcached"};
    static const row r = {140, 0, 3, {20, 20, 20}, {5, 5, 20}, {35, 35, 30}, {0}};
    static fleet f;
    for (size_t p = 0; p < sizeof policies / sizeof *policies; p++) {
        lb_upstream *up = level_upstream(policies[p], &r, &f);
        check_levels(up, &r);
        walk_fleet(up, &f);
        for (uint64_t hash = 0; hash < 300; hash++) {
            lb_key key = {.hash = hash, .hashed = true};
            lb_receipt receipt;
            lb_want want = {.key = &key, .receipt = &receipt};
            uint32_t member = lb_upstream_choose(up, &want, 0), at = (uint32_t)(hash % 100 + 1);
            uint32_t level = at <= 35 ? 0 : at <= 70 ? 1 : 2;
            CHECK_EQ(member / 20, level);
            CHECK_EQ(receipt.priority, 2 * level);
            CHECK_EQ(lb_upstream_choose(up, &want, 0), member);         /* a key stays where it is */
        }
        lb_upstream_free(up);
    }
}

static void a_policy_without_a_hash_has_xxh64(void) {
    static const row r = {140, 0, 2, {20, 20}, {10, 20}, {70, 30}, {0}};
    static fleet f;
    lb_upstream *up = level_upstream("chash_kong", &r, &f);
    CHECK(policy_named("chash_kong")->hash == NULL);
    for (uint32_t i = 0; i < 300; i++) {
        char text[16];
        snprintf(text, sizeof text, "key %u", i);
        lb_key key = {.text = lb_str_of(text)};
        lb_want want = {.key = &key};
        uint64_t at = lb_xxh64(text, strlen(text), 0) % 100 + 1;
        CHECK_EQ(lb_upstream_choose(up, &want, 0) / 20, at > 70);
    }
    lb_upstream_free(up);
}

/* Nobody is healthy, nobody panics: no level has a share, and nobody is chosen. */
static void a_key_finds_nobody_where_nobody_serves(void) {
    static const row r = {140, 0, 2, {3, 3}, {0, 0}, {0, 0}, {0}};
    static fleet f;
    lb_upstream *up = level_upstream("jump", &r, &f);
    lb_key key = {.hash = 5, .hashed = true};
    lb_want want = {.key = &key}, keyless = {0};
    CHECK_EQ(lb_upstream_choose(up, &want, 0), LB_NONE);
    CHECK_EQ(lb_upstream_set_health(up, 4, true, true, 0, NULL), LB_OK);
    CHECK_EQ(lb_upstream_choose(up, &want, 0), 4);
    CHECK_EQ(lb_upstream_choose(up, &keyless, 0), LB_NONE);
    CHECK_EQ(lb_upstream_pick(up, 0), LB_NONE);
    lb_upstream_free(up);
}

/* ---- localities ------------------------------------------------------------------------------------------------- */

static void place_in(fleet *f, uint32_t n, uint32_t priority, uint32_t locality, uint32_t weight) {
    lb_target_spec *first = add_targets(f, n, priority);
    for (uint32_t i = 0; i < n; i++) {
        first[i].locality = locality;
        first[i].locality_weight = weight;
    }
}

/* Of `n` picks, `part` millionths of them, within one pick, are of members first..first + count - 1. */
static void check_part(const uint32_t *got, uint32_t n, uint32_t first, uint32_t count, uint64_t part) {
    uint64_t sum = 0;
    for (uint32_t i = first; i < first + count; i++) sum += got[i];
    CHECK(sum * 1000000 + 1000000 >= part * n && part * n + 1000000 >= sum * 1000000);
}

/* weight * min(100, overprovisioning * usable / all) %, among the localities of a priority */
static void a_locality_has_its_weight_s_share(void) {
    fleet f = {0};
    uint32_t got[11];
    lb_want anybody = {0};
    place_in(&f, 2, 0, 1, 3);
    place_in(&f, 8, 0, 2, 1);
    lb_upstream *up = upstream_named("round_robin", &f);
    walk_fleet(up, &f);
    count_choices(up, &anybody, 400, got, 10);
    check_part(got, 400, 0, 2, 750000);
    for (uint32_t i = 2; i < 10; i++) CHECK(got[i] == 12 || got[i] == 13);
    take_down(up, 0, 1);                                /* 3 * 70 against 1 * 100 */
    count_choices(up, &anybody, 1000, got, 10);
    check_part(got, 1000, 1, 1, 210000000 / 310);
    take_down(up, 2, 2);                                /* 6 of 8 are 105 %: still 100 */
    count_choices(up, &anybody, 1000, got, 10);
    check_part(got, 1000, 1, 1, 210000000 / 310);
    take_down(up, 1, 1);                                /* nobody in the first */
    count_choices(up, &anybody, 100, got, 10);
    check_part(got, 100, 4, 6, 1000000);
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

static void a_strict_locality_takes_by_the_share_of_usable_ones(void) {
    fleet f = {0};
    uint32_t got[9];
    lb_want anybody = {0};
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.levels.overprovisioning = 0;
    place_in(&f, 4, 0, 1, 1);
    place_in(&f, 4, 0, 2, 1);
    lb_upstream *up = upstream_with(&spec, &f, 0);
    take_down(up, 0, 3);                                /* 25 against 100 */
    count_choices(up, &anybody, 500, got, 8);
    check_part(got, 500, 3, 1, 200000);
    lb_upstream_free(up);
}

static void localities_divide_each_priority_s_share(void) {
    fleet f = {0};
    uint32_t got[29];
    lb_want anybody = {0};
    place_in(&f, 10, 0, 1, 1);
    place_in(&f, 10, 0, 2, 1);
    place_in(&f, 4, 7, 2, 1);
    place_in(&f, 4, 7, 1, 3);
    lb_upstream *up = upstream_named("round_robin", &f);
    take_down(up, 0, 5);
    take_down(up, 10, 5);                               /* priority 0 has 70 % */
    walk_fleet(up, &f);
    count_choices(up, &anybody, 2000, got, 28);
    check_part(got, 2000, 5, 5, 350000);
    check_part(got, 2000, 15, 5, 350000);
    check_part(got, 2000, 20, 4, 75000);
    check_part(got, 2000, 24, 4, 225000);
    CHECK_EQ(got[28], 0);
    lb_upstream_free(up);
}

/* What a priority and its localities are owed goes along with an update, wherever their targets stand in the list. */
static void debts_of_localities_survive_updates(void) {
    fleet f = {0}, turned = {0};
    place_in(&f, 1, 0, 1, 5);
    place_in(&f, 1, 0, 2, 3);
    place_in(&f, 1, 0, 3, 2);
    turned = f;
    for (uint32_t i = 0; i < 3; i++) turned.target[i] = f.target[2 - i];
    lb_upstream *up = upstream_named("round_robin", &f);
    uint32_t got[3] = {0};
    for (uint32_t round = 0; round < 60; round++) {
        for (uint32_t t = 0; t < 7; t++) {
            uint32_t member = lb_upstream_pick(up, 0);
            got[round % 2 ? 2 - member : member]++;
        }
        CHECK_EQ(lb_upstream_update(up, round % 2 ? f.target : turned.target, 3, 0, NULL), LB_OK);
        walk_fleet(up, round % 2 ? &f : &turned);
    }
    static const uint32_t want[3] = {210, 126, 84};
    for (uint32_t i = 0; i < 3; i++) CHECK(got[i] + 2 >= want[i] && got[i] <= want[i] + 2);
    lb_upstream_free(up);
}

/* A locality of weight 0 is for when nobody else is there. */
static void a_locality_of_weight_0_is_a_last_resort(void) {
    fleet f = {0};
    uint32_t got[4];
    lb_want anybody = {0};
    place_in(&f, 2, 0, 1, 1);
    place_in(&f, 1, 0, 2, 0);
    lb_upstream *up = upstream_named("round_robin", &f);
    count_choices(up, &anybody, 50, got, 3);
    CHECK_EQ(got[0] + got[1], 50);
    take_down(up, 0, 2);
    count_choices(up, &anybody, 50, got, 3);
    CHECK_EQ(got[2], 50);
    lb_upstream_free(up);
}

/* "There each target's weight is its part of its locality's part, in millionths." */
static void keyed_policies_weigh_targets_by_locality(void) {
    static const uint32_t want[] = {187500, 562500, 125000, 125000};
    fleet f = {0};
    place_in(&f, 2, 0, 1, 3);
    place_in(&f, 2, 0, 2, 1);
    f.target[1].weight = 3;
    lb_upstream *up = upstream_named("chash_kong", &f);
    for (uint32_t i = 0; i < 4; i++) CHECK_EQ(lb_upstream_view(up)->weight[i], want[i]);
    take_down(up, 1, 1);
    for (uint32_t i = 0; i < 4; i++) {                  /* a key of the others keeps its home */
        CHECK_EQ(lb_upstream_view(up)->full[i], want[i]);
        CHECK_EQ(lb_upstream_view(up)->weight[i], i == 1 ? 0 : want[i]);
    }
    walk_fleet(up, &f);
    lb_upstream_free(up);
}

/* Whoever comes first in the list: one without a locality has none of the weight. */
static void a_first_target_without_locality_changes_nothing(void) {
    fleet f = {0};
    uint32_t got[5];
    lb_want anybody = {0};
    add_targets(&f, 1, 0);
    place_in(&f, 1, 0, 1, 3);
    place_in(&f, 2, 0, 2, 1);
    lb_upstream *up = upstream_named("chash_kong", &f), *other = upstream_named("round_robin", &f);
    static const uint32_t want[] = {0, 750000, 125000, 125000};
    for (uint32_t i = 0; i < 4; i++) CHECK_EQ(lb_upstream_view(up)->weight[i], want[i]);
    count_choices(other, &anybody, 400, got, 4);
    CHECK(got[0] == 0 && got[1] == 300);
    lb_upstream_free(up);
    lb_upstream_free(other);
}

/* However small its part, a target of a locality with weight keeps one. */
static void a_part_of_a_locality_is_never_nothing(void) {
    fleet f = {0};
    place_in(&f, 2, 0, 1, LB_MAX_WEIGHT);
    place_in(&f, 1, 0, 2, 1);
    f.target[1].weight = LB_MAX_WEIGHT;
    lb_upstream *up = upstream_named("ketama_libmemcached", &f);
    CHECK_EQ(lb_upstream_view(up)->weight[0], 1);
    CHECK_EQ(lb_upstream_view(up)->weight[2], 1);
    lb_upstream_free(up);
}

int main(void) {
    RUN(shares_are_the_documented_ones);
    RUN(rounding_goes_to_the_first);
    RUN(a_strict_level_serves_alone);
    RUN(panic_believes_nobody);
    RUN(total_panic_shares_by_number);
    RUN(any_fleet_follows_the_rule);
    RUN(who_drains_serves_not_even_in_panic);
    RUN(the_last_level_is_used_before_nobody);
    RUN(a_key_s_hash_chooses_the_level);
    RUN(a_policy_without_a_hash_has_xxh64);
    RUN(a_key_finds_nobody_where_nobody_serves);
    RUN(a_locality_has_its_weight_s_share);
    RUN(a_strict_locality_takes_by_the_share_of_usable_ones);
    RUN(localities_divide_each_priority_s_share);
    RUN(debts_of_localities_survive_updates);
    RUN(a_locality_of_weight_0_is_a_last_resort);
    RUN(keyed_policies_weigh_targets_by_locality);
    RUN(a_first_target_without_locality_changes_nothing);
    RUN(a_part_of_a_locality_is_never_nothing);
    return check_result();
}

/* envoy: ring_hash, maglev, bounded loads, weighted_clusters and edf where Python does not reach: steps and the ends of
 * walks, tables that are full, memory that runs out, words that wrap. */
#include "policies.h"

#include "hash/combine.h"
#include "hash/mt19937.h"
#include "hash/murmur2.h"
#include "policy/envoy_hosts.h"

#define lb_policy_edf edf_under_test                    /* its state is looked into */
#include "policy/edf.c"
#undef lb_policy_edf

static const lb_policy *named(const char *name) { return lb_policy_find(lb_str_of(name)); }

static const uint32_t ones[] = {1, 1, 1, 1, 1, 1, 1, 1};
static const uint32_t same[] = {0, 1, 2, 3, 4, 5, 6, 7};

/* ---- hash functions --------------------------------------------------------------------------------------------- */

/* The first and the 10,000th number, as the C++ standard states it, of its default seed. */
static void the_twister_is_the_standard_one(void) {
    lb_mt19937 mt;
    lb_mt19937_seed(&mt, 5489);
    uint32_t number = lb_mt19937_next(&mt);
    CHECK(number == 3499211612u);
    for (int i = 1; i < 10000; i++) number = lb_mt19937_next(&mt);
    CHECK(number == 4123659995u);
}

static uint64_t murmur_of(const char *text) { return lb_murmur2(text, strlen(text), 0xC70F6907); }

static void murmur2_gives_the_published_answers(void) {
    CHECK(murmur_of("") == 6142509188972423790u);
    CHECK(murmur_of("9") == 6623666755989985924u);
    CHECK(murmur_of("622118") == 6052445897686201347u);
    CHECK(murmur_of("605467604462") == 15739817280156850013u);
    CHECK(murmur_of("216.193.252.115") == 12291344157386825289u);
    CHECK(lb_murmur2(NULL, 0, 0xC70F6907) == 6142509188972423790u);
}

static void hashes_of_parts_are_combined(void) {
    uint64_t a = lb_xxh64("a", 1, 0), b = lb_xxh64("b", 1, 0);
    CHECK(lb_combine(99, false, a) == a);
    CHECK(lb_combine(a, true, b) == 0xDCD8A34249EB432Cu);
    CHECK(lb_combine(b, true, a) != lb_combine(a, true, b));
    CHECK(lb_combine(a, true, a) == 0x76D34D12FA94B2ECu);               /* and not 0 */
    lb_str one[] = {lb_str_of("a")}, three[] = {lb_str_of("b"), lb_str_of("aa"), lb_str_of("a")};
    CHECK(lb_combine_values(one, 1) == a);
    CHECK(lb_combine_values(three, 3) == 0xE806A27B44CA4347u);
    lb_str empty[] = {{NULL, 0}, lb_str_of("a"), {NULL, 0}};
    uint64_t nothing = lb_xxh64(NULL, 0, 0);
    CHECK(lb_combine_values(empty, 3) == lb_xxh64("a", 1, lb_xxh64(NULL, 0, nothing)));
}

/* ---- walks ------------------------------------------------------------------------------------------------------ */

static uint32_t step_to(const bed *b, lb_walk *walk, uint32_t step) {
    walk->step = step;
    return b->policy->walk(b->state, b->view, walk);
}

static lb_walk from_hash(uint64_t hash) { return (lb_walk){.key = {.hash = hash, .hashed = true}}; }

static uint32_t at_hash(const bed *b, uint64_t hash) {
    lb_walk walk = from_hash(hash);
    return step_to(b, &walk, 0);
}

typedef struct point { uint64_t hash; uint32_t member; } point;

static int by_hash(const void *a, const void *b) {
    const point *p = a, *q = b;
    return (p->hash > q->hash) - (p->hash < q->hash);
}

/* Four equal targets and 16 points; the walk from each point on gives the owners round the ring. */
static void a_ring_is_walked_point_by_point(void) {
    const double param[LB_MAX_PARAMS] = {16, 16, 0, 0};
    bed b;
    CHECK_EQ(make_with(&b, named("ring_hash"), param, view_of(ones, 4, 1, NULL), NULL, NULL), LB_OK);
    point ring[16];
    for (uint32_t i = 0; i < 16; i++) {
        char text[40];
        lb_str name = names()[i / 4].address;
        size_t len = (size_t)snprintf(text, sizeof text, "%.*s_%u", (int)name.len, name.data, i % 4);
        ring[i] = (point){lb_xxh64(text, len, 0), i / 4};
    }
    qsort(ring, 16, sizeof *ring, by_hash);
    for (uint32_t first = 0; first < 16; first++) {
        lb_walk walk = from_hash(ring[first].hash);
        for (uint32_t step = 0; step < 16; step++)
            CHECK_EQ(step_to(&b, &walk, step), ring[(first + step) % 16].member);
        CHECK_EQ(step_to(&b, &walk, 16), LB_NONE);
        CHECK_EQ(at_hash(&b, ring[first].hash + 1), ring[(first + 1) % 16].member);
    }
    end(&b);
}

/* A hash below the table's size is a slot. */
static void maglev_steps_change_the_hash(void) {
    const double param[LB_MAX_PARAMS] = {61, 0};
    bed b;
    CHECK_EQ(make_with(&b, named("maglev"), param, view_of(ones, 8, 1, NULL), NULL, NULL), LB_OK);
    uint32_t slot[61], seen = 0;
    for (uint32_t i = 0; i < 61; i++) seen |= 1u << (slot[i] = at_hash(&b, i));
    CHECK_EQ(seen, 0xFF);
    for (uint64_t hash = 1; hash != 0; hash <<= 7) {
        lb_walk walk = from_hash(hash);
        for (uint32_t step = 0; step < 8 * 8 + 64; step++)
            CHECK_EQ(step_to(&b, &walk, step), slot[(hash ^ (0 - (uint64_t)step)) % 61]);
        CHECK_EQ(step_to(&b, &walk, 8 * 8 + 64), LB_NONE);
    }
    end(&b);
}

/* 40 targets, 7 slots: the first by text have one each, whatever they weigh; the walk ends, the rest is the core's. */
static void a_table_that_is_full_gives_what_it_has(void) {
    const double param[LB_MAX_PARAMS] = {7, 0};
    uint32_t weights[40];
    for (uint32_t i = 0; i < 40; i++) weights[i] = i + 1;
    bed b;
    CHECK_EQ(make_with(&b, named("maglev"), param, view_of(weights, 40, 1, NULL), NULL, NULL), LB_OK);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < 7; i++) seen |= 1u << at_hash(&b, i);
    CHECK_EQ(seen, 0xFC01);     /* 0 and 10 to 15: as bytes "10.0.0.10:80" stands before "10.0.0.1:80" */
    end(&b);
}

static const char *const keyed[] = {"ring_hash", "maglev", "weighted_clusters"};

static void one_target_takes_every_key(void) {
    static const uint32_t weights[] = {0, 7, 0};
    for (int p = 0; p < 3; p++) {
        bed b;
        CHECK_EQ(make(&b, named(keyed[p]), view_of(weights, 3, 1, NULL), NULL, NULL), LB_OK);
        for (int i = 0; i < 100; i++) CHECK_EQ(next(&b), 1);
        for (uint32_t step = 0; step < 8 + 64; step++) CHECK_EQ(ask(&b, step, true), 1);
        CHECK_EQ(ask(&b, 8 + 64, true), LB_NONE);
        end(&b);
    }
}

static void nobody_usable_is_nobody(void) {
    static const uint32_t weights[] = {0, 0, 0};
    for (int p = 0; p < 3; p++)
        for (uint32_t n = 0; n <= 3; n += 3) {
            bed b;
            CHECK_EQ(make(&b, named(keyed[p]), view_of(weights, n, 1, NULL), NULL, NULL), LB_OK);
            for (uint32_t step = 0; step < 3; step++) CHECK_EQ(ask(&b, step, false), LB_NONE);
            end(&b);
        }
}

static void the_hash_of_a_key_is_xxh64(void) {
    for (int p = 0; p < 2; p++) {
        lb_key text = {.text = lb_str_of("a key")}, number = {.text = lb_str_of("77"), .hash = 77, .hashed = true};
        CHECK(named(keyed[p])->hash(NULL, &text) == lb_xxh64("a key", 5, 0));
        CHECK(named(keyed[p])->hash(NULL, &number) == 77);
    }
}

static void names_are_needed(void) {
    for (int p = 0; p < 2; p++) {
        lb_view *view = view_of(ones, 4, 1, NULL);
        view->name = NULL;
        double param[LB_MAX_PARAMS];
        void *made = NULL;
        lb_error err;
        lb_policy_defaults(named(keyed[p]), param);
        CHECK_EQ(named(keyed[p])->build(&made, view, param, NULL, NULL, &err), LB_ERR_CONFIG);
        CHECK(strcmp(err.field, "policy") == 0 && made == NULL);
        lb_view_free(view);
    }
}

/* ---- bounded loads ---------------------------------------------------------------------------------------------- */

static lb_view *busy(const uint32_t *weights, const uint32_t *calls, uint32_t n) {
    lb_state *places;
    uint32_t slot;
    if (lb_state_new(&places, NULL, (lb_mark){0}, NULL)) return NULL;
    for (uint32_t i = 0; i < n; i++) {
        CHECK_EQ(lb_state_take(places, NULL, &slot, NULL), LB_OK);
        lb_counter_write(lb_in_flight(places, i), calls[i]);
    }
    return view_of(weights, n, 1, places);
}

/* 12 calls and 125 %: 17 slots.  A: 8.5 -> 9, B: 5.67 -> 6, C: 2.83 -> 3.  Below it A takes its keys, above it others
 * do; of those that are all above, the least loaded. */
static void calls_above_the_bound_go_to_others(void) {
    static const uint32_t weights[] = {3, 2, 1};
    static const struct { uint32_t calls[3]; uint32_t want; } cases[] = {
        {{9, 2, 1}, 1u << 0},                           /* as many as slots: load 1 */
        {{10, 2, 0}, 1u << 1 | 1u << 2},                /* another, by the key */
        {{10, 0, 2}, 1u << 1 | 1u << 2},
        {{0, 6, 6}, 1u << 0},
    };
    const double param[LB_MAX_PARAMS] = {251, 125};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bed b;
        lb_view *view = busy(weights, cases[i].calls, 3);
        lb_state *places = view->state;
        CHECK_EQ(make_with(&b, named("maglev"), param, view, NULL, NULL), LB_OK);
        view->state = NULL;                             /* idle: who is the first choice? */
        uint32_t seen = 0;
        for (uint64_t hash = 0; hash < 251; hash++) {
            view->state = NULL;
            bool of_a = at_hash(&b, hash) == 0;
            view->state = places;
            if (of_a) seen |= 1u << at_hash(&b, hash);
        }
        CHECK_EQ(seen, cases[i].want);
        end(&b);
        lb_state_free(places);
    }
}

/* Slots of all are more than calls of all, so somebody is below the bound, unless the sum lags behind its parts: here it
 * sees none of them, and everybody has one slot. */
static void the_least_loaded_takes_what_nobody_may(void) {
    static const uint32_t weights[] = {1, 1, 1}, calls[] = {40, 30, 35};
    const double param[LB_MAX_PARAMS] = {251, 100};
    bed b;
    lb_view *view = busy(weights, calls, 3);
    lb_state *places = view->state;
    CHECK_EQ(make_with(&b, named("maglev"), param, view, NULL, NULL), LB_OK);
    places->n_slots = 0;
    for (uint64_t hash = 0; hash < 251; hash++) CHECK_EQ(at_hash(&b, hash), 1);
    end(&b);
    lb_state_free(places);
}

static void a_bound_stops_no_single_target(void) {
    static const uint32_t weights[] = {5}, calls[] = {1000};
    const double param[LB_MAX_PARAMS] = {1024, 1024, 0, 100};
    bed b;
    lb_view *view = busy(weights, calls, 1);
    lb_state *places = view->state;
    CHECK_EQ(make_with(&b, named("ring_hash"), param, view, NULL, NULL), LB_OK);
    for (int i = 0; i < 20; i++) CHECK_EQ(next(&b), 0);
    CHECK_EQ(ask(&b, 2 * 1 + 15, true), 0);
    CHECK_EQ(ask(&b, 2 * 1 + 16, true), LB_NONE);
    end(&b);
    lb_state_free(places);
}

/* ---- the table that Views share --------------------------------------------------------------------------------- */

static const lb_envoy_table *table_of(const bed *b) { return ((const lb_envoy *)b->state)->table; }

static void equal_views_share_a_table(void) {
    static const uint32_t weights[] = {1, 2, 3, 0}, other[] = {1, 2, 4, 0}, fewer[] = {1, 2, 0, 0};
    for (int p = 0; p < 2; p++) {
        bed a, b, c, d;
        make(&a, named(keyed[p]), view_of(weights, 4, 1, NULL), NULL, NULL);
        make(&b, named(keyed[p]), view_of(weights, 3, 2, NULL), &a, same);      /* one that was down has gone */
        make(&c, named(keyed[p]), view_of(other, 4, 1, NULL), &b, same);
        make(&d, named(keyed[p]), view_of(fewer, 4, 1, NULL), &a, same);
        CHECK(table_of(&a) == table_of(&b) && table_of(&a)->n_users == 2);
        CHECK(table_of(&c) != table_of(&b) && table_of(&d) != table_of(&a));
        end(&a);
        CHECK_EQ(table_of(&b)->n_users, 1);
        for (int i = 0; i < 50; i++) CHECK(next(&b) < 3);
        end(&b);
        end(&c);
        end(&d);
    }
}

static const lb_policy *tested;
static const double *with;

/* Anew, shared with the one before, and anew beside the one before. */
static lb_status three_builds(void) {
    static const uint32_t weights[] = {3, 1, 4, 1, 5}, other[] = {3, 1, 4, 1, 6};
    bed a, b, c;
    lb_status status = make_with(&a, tested, with, view_of(weights, 5, 1, NULL), NULL, NULL);
    if (status) return status;
    status = make_with(&b, tested, with, view_of(weights, 5, 1, NULL), &a, same);
    if (!status) {
        status = make_with(&c, tested, with, view_of(other, 5, 1, NULL), &b, same);
        CHECK(next(&b) < 5);
        if (!status) end(&c);
        end(&b);
    }
    CHECK(next(&a) < 5);
    end(&a);
    return status;
}

static void every_allocation_may_fail(void) {
    static const double ring[LB_MAX_PARAMS] = {64, 4096, 1, 125}, maglev[LB_MAX_PARAMS] = {61, 125};
    static const double edf[LB_MAX_PARAMS] = {1};
    tested = named("ring_hash"), with = ring;
    CHECK(every_allocation_fails_once(three_builds) > 20);
    tested = named("maglev"), with = maglev;
    CHECK(every_allocation_fails_once(three_builds) > 15);
    tested = named("weighted_clusters"), with = NULL;
    CHECK_EQ(every_allocation_fails_once(three_builds), 12);
    tested = named("edf"), with = edf;
    CHECK(every_allocation_fails_once(three_builds) > 14);
}

/* ---- weighted clusters ------------------------------------------------------------------------------------------ */

static void numbers_choose_along_the_running_sum(void) {
    static const uint32_t weights[] = {0, 5, 0, 1, 3};
    bed b;
    make(&b, named("weighted_clusters"), view_of(weights, 5, 1, NULL), NULL, NULL);
    static const struct { const char *text; uint32_t want; } cases[] = {
        {"0", 1}, {"4", 1}, {"5", 3}, {"6", 4}, {"8", 4}, {"9", 1}, {"0014", 3},
        {"18446744073709551615", 4},                    /* 2^64 - 1 = 9 k + 6 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lb_walk walk = {.key = {.text = lb_str_of(cases[i].text)}};
        CHECK_EQ(step_to(&b, &walk, 0), cases[i].want);
    }
    static const char *const no_numbers[] = {"", "-1", "1.0", " 1", "0x1", "18446744073709551616"};
    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++) {
        lb_walk walk = {.key = {.text = lb_str_of(no_numbers[i])}};
        uint64_t hash = lb_xxh64(no_numbers[i], strlen(no_numbers[i]), 0);
        CHECK_EQ(step_to(&b, &walk, 0), at_hash(&b, hash));
        CHECK(walk.hash == hash);
    }
    lb_walk walk = from_hash(5);
    uint32_t seen = 0;
    for (uint32_t step = 0; step < 8 * 3 + 64; step++) seen |= 1u << step_to(&b, &walk, step);
    CHECK_EQ(seen, 1u << 1 | 1u << 3 | 1u << 4);
    CHECK_EQ(step_to(&b, &walk, 8 * 3 + 64), LB_NONE);
    end(&b);
}

/* ---- edf -------------------------------------------------------------------------------------------------------- */

/* After billions of picks: both words at the brink, the picks are those of a fresh schedule. */
static void edf_goes_on_when_its_words_wrap(void) {
    static const uint32_t weights[] = {7, 1, 1000000, 3, 999999, 10, 0, 3};
    const double param[LB_MAX_PARAMS] = {1};
    bed young, old;
    make_with(&young, &edf_under_test, param, view_of(weights, 8, 5, NULL), NULL, NULL);
    make_with(&old, &edf_under_test, param, view_of(weights, 8, 5, NULL), NULL, NULL);
    state *s = old.state;
    uint64_t units = (UINT64_MAX >> DIGITS << DIGITS), insertions = UINT64_MAX - MEMBERS * 1000 + 1;
    s->now += units;
    s->order += insertions;
    for (uint32_t i = 0; i < s->n; i++) {
        s->heap[i].deadline += units;
        s->heap[i].order += insertions;
    }
    for (int i = 0; i < 3000000; i++) CHECK_EQ(next(&old), next(&young));
    CHECK(s->order < UINT64_MAX / 2 && s->now < UINT64_MAX / 2);
    end(&young);
    end(&old);
}

/* What was only looked at has not happened. */
static void edf_hands_over_from_its_cursor(void) {
    static const uint32_t weights[] = {5, 0, 3, 2, 1}, later[] = {5, 4, 3, 7, 0};
    lb_rng rng;
    lb_rng_seed(&rng, 9);
    for (uint64_t seed = 0; seed < 50; seed++) {
        bed a, b, c, d;
        make(&a, named("edf"), view_of(weights, 5, seed, NULL), NULL, NULL);
        make(&b, named("edf"), view_of(weights, 5, seed, NULL), NULL, NULL);
        for (uint32_t i = lb_rng_below(&rng, 90); i > 0; i--) {
            (void)ask(&b, lb_rng_below(&rng, 64), true);
            CHECK_EQ(next(&a), next(&b));
        }
        (void)ask(&b, lb_rng_below(&rng, 64), true);
        make(&c, named("edf"), view_of(later, 5, seed, NULL), &a, same);
        make(&d, named("edf"), view_of(later, 5, seed, NULL), &b, same);
        for (int i = 0; i < 60; i++) CHECK_EQ(next(&c), next(&d));
        end(&a);
        end(&b);
        end(&c);
        end(&d);
    }
}

static void edf_looks_ahead_as_far_as_it_says(void) {
    static uint32_t weights[100];
    for (uint32_t i = 0; i < 100; i++) weights[i] = 1;
    for (uint32_t n = 1; n <= 100; n += 99) {
        bed b;
        make(&b, named("edf"), view_of(weights, n, 1, NULL), NULL, NULL);
        uint32_t room = n > 64 ? n : 64;
        CHECK_EQ(ask(&b, room, true), LB_NONE);
        CHECK_EQ(ask(&b, room - 1, true), n == 1 ? 0 : (ask(&b, 0, true) + 99) % 100);
        end(&b);
    }
}

int main(void) {
    RUN(the_twister_is_the_standard_one);
    RUN(murmur2_gives_the_published_answers);
    RUN(hashes_of_parts_are_combined);
    RUN(a_ring_is_walked_point_by_point);
    RUN(maglev_steps_change_the_hash);
    RUN(a_table_that_is_full_gives_what_it_has);
    RUN(one_target_takes_every_key);
    RUN(nobody_usable_is_nobody);
    RUN(the_hash_of_a_key_is_xxh64);
    RUN(names_are_needed);
    RUN(calls_above_the_bound_go_to_others);
    RUN(the_least_loaded_takes_what_nobody_may);
    RUN(a_bound_stops_no_single_target);
    RUN(equal_views_share_a_table);
    RUN(every_allocation_may_fail);
    RUN(numbers_choose_along_the_running_sum);
    RUN(edf_goes_on_when_its_words_wrap);
    RUN(edf_hands_over_from_its_cursor);
    RUN(edf_looks_ahead_as_far_as_it_says);
    return check_result();
}

/* adaptive: the rule against sorting, what it learns and forgets, and the vectors that it scans with. */
#include "loads.h"

#include "base/decay.h"
#include "base/lanes.h"
#include "base/octaves.h"
#include "policy/learn.h"

#define SEED 20240615u

/* ---- adaptive: choosing ----------------------------------------------------------------------------------------- */

static void adaptive_takes_the_least_score(void) {
    /* The mean weight is 3: (1 + (4f + 1/4) * 3/w) * r: 13.375, 13.75 * 0.5 = 6.875, weight 0, (1 + 12.25/2) * 2 = 14.25,
     * (1 + 1/4) * 6 = 7.5. */
    static const uint32_t weights[] = {2, 1, 0, 6, 3}, in_flight[] = {2, 1, 0, 3, 0};
    static const float ratios[] = {1, 0.5f, 1, 2, 6};
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 5);
    for (uint32_t i = 0; i < 5; i++) {
        set_load(&f, i, in_flight[i]);
        *lb_ratio_of(f.places, i) = ratios[i];
    }
    static const uint32_t order[] = {1, 4, 0, 3};
    for (uint32_t s = 0; s < 4; s++) CHECK_EQ(ask(&f.bed, s, true), order[s]);
    CHECK_EQ(next(&f.bed), 1);
    stop(&f);
}

static void adaptive_serves_ties_in_turn(void) {
    static const uint32_t weights[] = {1, 1, 0, 1, 1}, ring[] = {0, 1, 3, 4};
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 5);
    uint32_t first = next(&f.bed), at = first == 4 ? 3 : first == 3 ? 2 : first;
    for (uint32_t i = 1; i < 20; i++) CHECK_EQ(next(&f.bed), ring[(at + i) % 4]);
    set_load(&f, 1, 3);
    set_load(&f, 3, 3);
    uint32_t before = next(&f.bed);
    for (int i = 0; i < 10; i++) {
        uint32_t now = next(&f.bed);
        CHECK(now != before && (now == 0 || now == 4));
        before = now;
    }
    stop(&f);
}

typedef struct ranked { float score; uint32_t turn, member; } ranked;

static int by_rank(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->score < y->score || x->score > y->score) return x->score < y->score ? -1 : 1;
    return x->turn < y->turn ? -1 : x->turn > y->turn;
}

/* The usable members by (score, turn), slots from `begin` on coming first. */
static uint32_t rank(const field *f, uint32_t begin, ranked *out) {
    const lb_view *view = f->bed.view;
    double mean = (double)view->total_weight / view->n_usable;
    for (uint32_t i = 0; i < view->n_usable; i++) {
        uint32_t member = view->usable[i], slot = view->slot[member];
        float load = (float)lb_counter_read(lb_in_flight(f->places, slot));
        float score = ((load * 4.0f + 0.25f) * (float)(mean / view->weight[member]) + 1.0f) * ratio_of(f, slot);
        out[i] = (ranked){score, slot >= begin ? slot - begin : slot - begin + 100000, member};
    }
    qsort(out, view->n_usable, sizeof *out, by_rank);
    return view->n_usable;
}

static void shuffle(uint32_t *items, uint32_t n, lb_rng *rng) {
    for (uint32_t i = 0; i < n; i++) items[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = lb_rng_below(rng, i), item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}

static void load_at_random(field *f, uint32_t n, lb_rng *rng) {
    for (uint32_t i = 0; i < n; i++) {
        set_load(f, i, lb_rng_below(rng, 3));
        *lb_ratio_of(f->places, i) = lb_rng_below(rng, 3) ? 1 : 0.125f + (float)lb_rng_below(rng, 64) / 8;
    }
}

/* Against sorting: any number of targets up to the most that are scanned, with gaps, slots in the list's order or not. */
static void adaptive_is_exact(void) {
    static uint32_t weights[400], slots[400];
    static ranked order[400];
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    for (uint32_t round = 0; round < 400; round++) {
        uint32_t n = 1 + lb_rng_below(&rng, 128), gaps = 1 + round % 4;
        uint32_t all = n * gaps > 400 ? 400 : n * gaps;
        shuffle(slots, all, &rng);
        for (uint32_t i = 0; i < all; i++) weights[i] = lb_rng_below(&rng, gaps) ? 0 : 1 + lb_rng_below(&rng, 4);
        field f;
        start(&f, "adaptive", NULL, weights, round % 3 ? slots : NULL, all);
        load_at_random(&f, all, &rng);
        if (f.bed.view->n_usable > 0 && f.bed.view->n_usable <= 128) {
            uint32_t begin = f.bed.view->slot[next(&f.bed)] + 1, k = rank(&f, begin, order);
            for (uint32_t s = 0; s < 16 && s < k; s++) CHECK_EQ(ask(&f.bed, s, true), order[s].member);
            for (uint32_t s = 0; s < 16 && s < k; s++) CHECK_EQ(ask(&f.bed, s, false), order[s].member);
        }
        stop(&f);
    }
}

/* Beyond 16 steps, and beyond the number of targets, the targets in turn. */
static void adaptive_answers_any_step(void) {
    static const uint32_t weights[] = {1, 1, 0, 1, 1};
    static uint32_t many[40];
    for (int i = 0; i < 40; i++) many[i] = 1;
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 5);
    uint32_t ring[] = {0, 1, 3, 4}, begin = 0, first = ask(&f.bed, 0, true);
    while (ring[begin] != first) begin++;
    for (uint32_t s = 0; s < 30; s++) CHECK_EQ(ask(&f.bed, s, true), ring[(begin + s) % 4]);
    stop(&f);
    start(&f, "adaptive", NULL, many, NULL, 40);
    first = ask(&f.bed, 0, true);
    set_load(&f, first, 1);
    CHECK_EQ(ask(&f.bed, 0, true), (first + 1) % 40);
    for (uint32_t s = 16; s < 100; s++) CHECK_EQ(ask(&f.bed, s, true), (first + s) % 40);
    stop(&f);
}

/* The turn goes on behind the slot that was picked last, wherever its members stand in the next list. */
static void adaptive_hands_the_turn_over(void) {
    static const uint32_t weights[] = {1, 1, 1, 1, 1, 1}, down[] = {1, 0, 1, 1, 0, 1}, moved[] = {5, 3, 1, 0, 2, 4};
    for (int picks = 1; picks < 8; picks++) {
        field f;
        bed after;
        start(&f, "adaptive", NULL, weights, NULL, 6);
        uint32_t last = 0;
        for (int i = 0; i < picks; i++) last = next(&f.bed);
        lb_view *view = view_of(down, 6, SEED, f.places);
        memcpy(view->slot, moved, sizeof moved);
        CHECK_EQ(make(&after, named("adaptive"), view, &f.bed, moved), LB_OK);
        uint32_t slot = last;
        do slot = (slot + 1) % 6;
        while (slot == 3 || slot == 2);                 /* members 1 and 4 */
        CHECK_EQ(view->slot[next(&after)], slot);
        end(&after);
        stop(&f);
    }
}

static void adaptive_begins_at_a_turn_from_the_seed(void) {
    static const uint32_t weights[] = {1, 1, 0, 1, 1};
    uint32_t seen = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        bed b;
        CHECK_EQ(make(&b, named("adaptive"), view_of(weights, 5, seed, NULL), NULL, NULL), LB_OK);
        seen |= 1u << next(&b);
        end(&b);
    }
    CHECK_EQ(seen, 0x1B);
}

static void adaptive_draws_above_128_targets(void) {
    enum { N = 400 };
    static uint32_t weights[N], seen[N];
    for (uint32_t i = 0; i < N; i++) weights[i] = 1;
    field f;
    start(&f, "adaptive", NULL, weights, NULL, N);
    for (uint32_t i = 0; i < N; i++) {
        set_load(&f, i, i % 4 == 1 || i % 4 == 2);
        *lb_ratio_of(f.places, i) = i % 4 == 3 ? 1.5f : 1;
    }
    count(&f, seen, N, 1000);
    uint32_t best = 0, busy = 0;
    for (uint32_t i = 0; i < N; i++) {
        if (i % 4 == 0) best += seen[i];
        if (i % 4 == 1 || i % 4 == 2) busy += seen[i];
    }
    CHECK(best > 860 && best < 940);            /* 1 - 0.75^8 = 0.90, standard deviation 9.5 */
    CHECK(busy < 15);                           /* 0.5^8 = 0.004 */
    stop(&f);
}

static void adaptive_without_gain_looks_at_latency_only(void) {
    static const uint32_t weights[] = {1, 1, 1};
    const double param[LB_MAX_PARAMS] = {0, 3};
    field f;
    start(&f, "adaptive", param, weights, NULL, 3);
    set_load(&f, 1, 1000);
    *lb_ratio_of(f.places, 1) = 0.5f;
    for (int i = 0; i < 5; i++) CHECK_EQ(next(&f.bed), 1);
    set_load(&f, 1, UINT32_MAX / 2);
    CHECK_EQ(next(&f.bed), 1);
    stop(&f);
}

/* ---- adaptive: learning ----------------------------------------------------------------------------------------- */

static double calls_of(const field *f, uint32_t slot) { return lb_pace_read(f->places, slot).calls; }
static double octaves_of(const field *f, uint32_t slot) { return lb_pace_read(f->places, slot).octaves; }

/* What a mean that deviates by so many octaves says after so many calls. */
static float ratio_after(double octaves, double calls) { return (float)lb_of_octaves(octaves * calls / (calls + 2)); }

static void adaptive_learns_means_and_ratios(void) {
    static const uint32_t weights[] = {1, 1, 1};
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 3);
    see(&f, 0, SECOND, 1024, false);                    /* 2^10 ns */
    CHECK(octaves_of(&f, 0) == 10 && calls_of(&f, 0) == 1);
    see(&f, 1, SECOND, 4096, false);
    CHECK(lb_fleet(f.places) == 0 && ratio_of(&f, 0) == 1 && ratio_of(&f, 1) == 1);
    tick(&f, SECOND);
    CHECK(lb_fleet(f.places) == 11);
    CHECK(ratio_of(&f, 0) == ratio_after(-1, 1) && ratio_of(&f, 1) == ratio_after(1, 1) && ratio_of(&f, 2) == 1);
    see(&f, 0, SECOND, 4096, false);                    /* at once, against the fleet of the last tick */
    CHECK(octaves_of(&f, 0) == 11 && calls_of(&f, 0) == 2 && ratio_of(&f, 0) == 1);
    see(&f, 0, SECOND, 1 << 14, false);
    CHECK(octaves_of(&f, 0) == 12 && ratio_of(&f, 0) == ratio_after(1, 3));
    for (int i = 0; i < 997; i++) see(&f, 1, SECOND, 1 << 14, false);
    CHECK(ratio_of(&f, 1) > 7.8f && ratio_of(&f, 1) < 8);
    tick(&f, SECOND);
    CHECK(close_to(lb_fleet(f.places), (36 + 12 + 997 * 14) / 1001.0));
    CHECK(ratio_of(&f, 1) == 1);                        /* nearly all calls are its own */
    CHECK(calls_of(&f, 2) == 0 && ratio_of(&f, 2) == 1);
    stop(&f);
}

static void adaptive_clips_ratios(void) {
    static const uint32_t weights[] = {1, 1, 1, 1};
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 4);
    for (int i = 0; i < 100; i++) {
        see(&f, 0, SECOND, SECOND, false);
        see(&f, 1, SECOND, 1, false);
        see(&f, 2, SECOND, UINT64_MAX, false);
    }
    tick(&f, SECOND);
    CHECK(ratio_of(&f, 1) == 0.125f && ratio_of(&f, 2) == 8 && isfinite(lb_fleet(f.places)));
    see(&f, 3, SECOND, UINT64_MAX, false);              /* a third of 30 octaves */
    CHECK(ratio_of(&f, 3) == 8);
    stop(&f);
}

/* One latency of a century among 50 calls moves a mean by 1.1 octaves; the plain mean would be 60 million times the rest. */
static void adaptive_outlives_one_absurd_latency(void) {
    static const uint32_t weights[] = {1, 1};
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 2);
    for (int i = 0; i < 50; i++)
        for (uint32_t m = 0; m < 2; m++) see(&f, m, SECOND, m == 1 && i == 25 ? 3 * SECOND * 1000000000 : MS, false);
    tick(&f, SECOND);
    CHECK(ratio_of(&f, 1) > 1 && ratio_of(&f, 1) < 1.5f && ratio_of(&f, 0) < 1 && ratio_of(&f, 0) > 0.66f);
    stop(&f);
}

static void adaptive_learns_from_slow_failures_only(void) {
    static const uint32_t weights[] = {1, 1};
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 2);
    see(&f, 0, SECOND, 1 << 20, true);                  /* the fleet is not known: nothing to compare with */
    CHECK(calls_of(&f, 0) == 0);
    see(&f, 1, SECOND, 1 << 20, false);
    tick(&f, SECOND);
    see(&f, 0, SECOND, (1 << 20) - 1, true);
    CHECK(calls_of(&f, 0) == 0 && ratio_of(&f, 0) == 1);
    see(&f, 0, SECOND, 1 << 20, true);                  /* not faster */
    CHECK(calls_of(&f, 0) == 1 && octaves_of(&f, 0) == 20);
    see(&f, 0, SECOND, 1 << 24, true);
    CHECK(octaves_of(&f, 0) == 22 && ratio_of(&f, 0) == 2);
    see(&f, 0, SECOND, 0, false);                       /* no measurement */
    CHECK(calls_of(&f, 0) == 2);
    stop(&f);
}

/* What is known, 2 octaves each way by 6 calls, fades by time: after t it rests on 6 exp(-t / 3 s) calls. */
static void adaptive_fades_by_ticks(void) {
    static uint32_t weights[70];
    for (int i = 0; i < 70; i++) weights[i] = 1;
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 70);
    for (uint32_t i = 0; i < 70; i++)
        for (int c = 0; c < 6; c++) see(&f, i, SECOND, i % 2 ? 1 << 22 : 1 << 18, false);
    lb_ratio_of(f.places, 69)[1] = 77;                  /* in the block, but of no target */
    tick(&f, 5 * SECOND);                               /* the first only begins to count */
    for (uint32_t i = 0; i < 70; i++) CHECK(ratio_of(&f, i) == ratio_after(i % 2 ? 2 : -2, 6));
    tick(&f, 5 * SECOND + 50 * MS);
    double calls = 6 * lb_decay(0.05e9 * (1 / 3e9));
    for (uint32_t i = 0; i < 70; i++) CHECK(calls_of(&f, i) == calls && octaves_of(&f, i) == (i % 2 ? 22 : 18));
    tick(&f, 8 * SECOND);                               /* a late one: 3 s in all, 1/e */
    calls = 6 * exp(-1);
    for (uint32_t i = 0; i < 70; i++) CHECK(fabs(ratio_of(&f, i) - ratio_after(i % 2 ? 2 : -2, calls)) < 1e-6);
    tick(&f, 7 * SECOND);                               /* a clock that goes back ages nothing */
    CHECK(close_to(calls_of(&f, 0), calls));
    CHECK(lb_ratio_of(f.places, 69)[1] == 77);
    stop(&f);
}

/* A deviation of 3 octaves that rests on 100 calls is none after 26 s, and all is forgotten after 35 s. */
static void adaptive_ratios_end_at_one(void) {
    static const uint32_t weights[] = {1, 1};
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 2);
    for (int i = 0; i < 100; i++) {
        see(&f, 0, SECOND, 1 << 26, false);
        see(&f, 1, SECOND, 1 << 20, false);
    }
    uint64_t now_ns = SECOND, end_ns = 0, forgotten_ns = 0;
    for (int i = 0; i < 1000; i++, now_ns += 50 * MS) {
        tick(&f, now_ns);
        if (!end_ns && ratio_of(&f, 0) == 1) end_ns = now_ns;
        if (!forgotten_ns && calls_of(&f, 0) == 0) forgotten_ns = now_ns;
    }
    CHECK(end_ns > 24 * SECOND && end_ns < 28 * SECOND);
    CHECK(forgotten_ns > 34 * SECOND && forgotten_ns < 37 * SECOND);
    CHECK(ratio_of(&f, 0) == 1 && ratio_of(&f, 1) == 1 && lb_fleet(f.places) == 23);
    see(&f, 0, now_ns, 1 << 20, false);                 /* from the beginning: what was forgotten does not come back */
    CHECK(octaves_of(&f, 0) == 20 && calls_of(&f, 0) == 1);
    stop(&f);
}

static void adaptive_ties_what_is_near(void) {
    static const uint32_t weights[] = {1, 1};
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 2);
    for (int i = 0; i < 1000; i++) {
        see(&f, 0, SECOND, 100000, false);
        see(&f, 1, SECOND, 108000, false);              /* half of 8 % on either side */
    }
    tick(&f, SECOND);
    CHECK(ratio_of(&f, 0) == 1 && ratio_of(&f, 1) == 1);
    for (int i = 0; i < 1000; i++) see(&f, 1, SECOND, 116000, false);
    tick(&f, SECOND);
    CHECK(ratio_of(&f, 0) < 1);
    stop(&f);
}

/* All are slow, or none: only differences count. */
static void adaptive_does_not_mind_a_slow_fleet(void) {
    static const uint32_t weights[] = {1, 1, 1};
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 3);
    for (int i = 0; i < 40; i++)
        for (uint32_t m = 0; m < 3; m++) see(&f, m, SECOND, 1000 * SECOND, i % 2);
    tick(&f, SECOND);
    for (uint32_t m = 0; m < 3; m++) CHECK(ratio_of(&f, m) == 1);
    stop(&f);
}

/* One call at a time on equal targets with noise: nobody is left alone for good, and a slow one nearly is. */
static void adaptive_tries_everybody_again(void) {
    static const uint32_t weights[] = {1, 1, 1, 1};
    for (uint32_t slow = 1; slow <= 10; slow += 9) {
        field f;
        uint32_t seen[4] = {0};
        lb_rng rng;
        lb_rng_seed(&rng, SEED);
        start(&f, "adaptive", NULL, weights, NULL, 4);
        uint64_t now_ns = SECOND, due_ns = 0;
        for (int i = 0; i < 20000; i++) {
            if (now_ns >= due_ns) {
                tick(&f, now_ns);
                due_ns = now_ns + 50 * MS;
            }
            uint32_t member = next(&f.bed);
            uint64_t latency_ns = (5 * MS + lb_rng_below(&rng, 10 * MS)) * (member == 2 ? slow : 1);
            seen[member]++;
            now_ns += latency_ns;
            see(&f, member, now_ns, latency_ns, false);
        }
        for (int m = 0; m < 4; m++) CHECK(m == 2 && slow > 1 ? seen[m] < 200 && seen[m] > 3 : seen[m] > 4000);
        stop(&f);
    }
}

/* With weights that are known and nothing learnt: held calls go by weight, from one call to the next. */
static void adaptive_holds_calls_by_weight(void) {
    static const uint32_t weights[] = {1, 2, 5, 1000000, 3};
    field f;
    start(&f, "adaptive", NULL, weights, NULL, 5);
    static uint32_t held[5];
    for (uint32_t i = 0; i < 2000022; i++) {
        uint32_t member = next(&f.bed);
        set_load(&f, member, ++held[member]);
    }
    for (uint32_t m = 0; m < 5; m++) CHECK(fabs(held[m] - 2.0 * weights[m]) <= 1);
    stop(&f);
}

/* ---- octaves ---------------------------------------------------------------------------------------------------- */

static void octaves_are_straight_between_powers_of_two(void) {
    for (int e = -1022; e < 1024; e++) {
        CHECK(lb_octaves(ldexp(1, e)) == e && lb_of_octaves(e) == ldexp(1, e));
        CHECK(lb_octaves(ldexp(1.5, e)) == e + 0.5 && lb_of_octaves(e + 0.5) == ldexp(1.5, e));
    }
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    double least = 0, most = 0, last = -1;
    for (int i = 0; i < 100000; i++) {
        double x = ldexp(1 + (double)lb_rng_below(&rng, UINT32_MAX) / UINT32_MAX, (int)lb_rng_below(&rng, 64));
        double off = lb_octaves(x) - log2(x);
        if (off < least) least = off;
        if (off > most) most = off;
        CHECK(fabs(lb_of_octaves(lb_octaves(x)) / x - 1) < 1e-12);
    }
    CHECK(least > -0.0861 && least < -0.086 && most < 1e-12);
    for (uint64_t ns = 1; ns < 1u << 20; ns++) {
        double now = lb_octaves((double)ns);
        CHECK(now > last);
        last = now;
    }
}

/* ---- lanes ------------------------------------------------------------------------------------------------------ */

static void lanes_are_the_plain_loops(void) {
    static int32_t items[80];
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    for (int round = 0; round < 3000; round++) {
        uint32_t n = LB_LANES * (1 + lb_rng_below(&rng, 5)), range = 1 + lb_rng_below(&rng, 100);
        for (uint32_t i = 0; i < n; i++) items[i] = (int32_t)lb_rng_below(&rng, range) - (int32_t)(range / 2);
        if (round % 5 == 0) items[lb_rng_below(&rng, n)] = round % 2 ? INT32_MIN : INT32_MAX;
        int32_t least = lb_least_plain(items, n);
        CHECK_EQ(lb_least(items, n), least);
        uint32_t begin = lb_rng_below(&rng, n + 1), end = begin + lb_rng_below(&rng, n + 1 - begin);
        CHECK_EQ(lb_find(items, least, begin, end), lb_find_plain(items, least, begin, end));
    }
}

int main(void) {
    printf("seed %u\n", SEED);
    RUN(adaptive_takes_the_least_score);
    RUN(adaptive_serves_ties_in_turn);
    RUN(adaptive_is_exact);
    RUN(adaptive_answers_any_step);
    RUN(adaptive_hands_the_turn_over);
    RUN(adaptive_begins_at_a_turn_from_the_seed);
    RUN(adaptive_draws_above_128_targets);
    RUN(adaptive_without_gain_looks_at_latency_only);
    RUN(adaptive_learns_means_and_ratios);
    RUN(adaptive_clips_ratios);
    RUN(adaptive_outlives_one_absurd_latency);
    RUN(adaptive_learns_from_slow_failures_only);
    RUN(adaptive_fades_by_ticks);
    RUN(adaptive_ratios_end_at_one);
    RUN(adaptive_ties_what_is_near);
    RUN(adaptive_does_not_mind_a_slow_fleet);
    RUN(adaptive_tries_everybody_again);
    RUN(adaptive_holds_calls_by_weight);
    RUN(octaves_are_straight_between_powers_of_two);
    RUN(lanes_are_the_plain_loops);
    return check_result();
}

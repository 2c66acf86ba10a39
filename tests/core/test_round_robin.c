/* round_robin: the bounds that it promises, its rule followed literally, recording, takeover.
 *
 * quota.h is included for one test: counters near their limits, which 10^12 picks would not reach.
 */
#include "policies.h"
#include "policy/quota.h"

#define SEED 20240612u
#define MOST 64                     /* targets of a random vector */

static const lb_policy *round_robin(void) { return lb_policy_find(lb_str_of("round_robin")); }

static void begin(bed *b, const uint32_t *weights, uint32_t n, uint64_t seed, bool from_phase_zero) {
    double phase = from_phase_zero ? 0 : 1;
    CHECK_EQ(make_with(b, round_robin(), &phase, view_of(weights, n, seed, NULL), NULL, NULL), LB_OK);
}

/* The same upstream after a change: b is replaced. */
static void change(bed *b, const uint32_t *weights, uint32_t n, uint64_t seed, const uint32_t *old_index) {
    bed before = *b;
    CHECK_EQ(make(b, round_robin(), view_of(weights, n, seed, NULL), &before, old_index), LB_OK);
    end(&before);
}

static int64_t debt(const bed *b, uint32_t member) { return lb_round_robin_debt(b->state, b->view, member); }
static bool replaying(const bed *b) { return b->policy->replay(b->state)->table != NULL; }

/* Small ones, wide ones, equal ones, one that outweighs the rest; a few are 0. */
static uint32_t draw_weights(lb_rng *rng, uint32_t *weights, uint32_t most) {
    uint32_t n = 1 + lb_rng_below(rng, most), kind = lb_rng_below(rng, 5);
    for (uint32_t i = 0; i < n; i++) {
        static const uint32_t tens[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
        if (kind == 0) weights[i] = 1 + lb_rng_below(rng, 10);
        else if (kind == 1) weights[i] = 1 + lb_rng_below(rng, tens[lb_rng_below(rng, 7)]);
        else if (kind == 2) weights[i] = 1;
        else if (kind == 3) weights[i] = i == 0 ? 1000 : 1 + lb_rng_below(rng, 3);
        else weights[i] = lb_rng_below(rng, 5);
    }
    return n;
}

/* ---- the promises ----------------------------------------------------------------------------------------------- */

/* Picks `n` times; no prefix may be `bound` picks or more away from anybody's share. */
static void prefixes_stay_within(bed *b, int64_t bound, uint32_t n) {
    int64_t count[MOST] = {0}, total = (int64_t)b->view->total_weight;
    for (int64_t turn = 1; turn <= n; turn++) {
        count[next(b)]++;
        for (uint32_t i = 0; i < b->view->n_members; i++) {
            int64_t off = turn * b->view->weight[i] - count[i] * total;
            if (off >= bound * total || off <= -bound * total) {
                CHECK_EQ(off, bound * total);
                return;
            }
        }
    }
}

/* 1,000 random weight vectors, 10^6 picks. */
static void from_phase_zero_every_prefix_is_within_one_pick(void) {
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    for (int round = 0; round < 1000; round++) {
        uint32_t weights[MOST], n = draw_weights(&rng, weights, 24);
        bed b;
        begin(&b, weights, n, lb_rng_next(&rng), true);
        if (b.view->n_usable > 0) prefixes_stay_within(&b, 1, 1000);
        end(&b);
    }
}

static void from_any_phase_every_prefix_is_within_two(void) {
    lb_rng rng;
    lb_rng_seed(&rng, SEED + 1);
    for (int round = 0; round < 1000; round++) {
        uint32_t weights[MOST], n = draw_weights(&rng, weights, 24);
        bed b;
        begin(&b, weights, n, lb_rng_next(&rng), false);
        for (uint32_t i = 0; i < n; i++) CHECK(debt(&b, i) < LB_ONE_PICK && debt(&b, i) >= -LB_ONE_PICK);
        if (b.view->n_usable > 0) prefixes_stay_within(&b, 2, 1000);
        end(&b);
    }
}

static void many_short_lived_workers_follow_the_weights(void) {
    enum { N = 20000, FIRST = 5 };
    static const uint32_t vectors[][3] = {{99, 1, 0}, {1, 2, 7}, {3, 1, 0}, {1000, 1, 1}};
    for (int v = 0; v < 4; v++)
        for (int turn = 1; turn <= FIRST; turn += FIRST - 1) {
            double seen[3] = {0}, total = vectors[v][0] + vectors[v][1] + vectors[v][2], distance = 0;
            for (uint64_t seed = 0; seed < N; seed++) {
                bed b;
                begin(&b, vectors[v], 3, seed, false);
                for (int i = 1; i < turn; i++) next(&b);
                seen[next(&b)]++;
                end(&b);
            }
            for (int i = 0; i < 3; i++) {
                double want = N * vectors[v][i] / total;
                if (want > 0) distance += (seen[i] - want) * (seen[i] - want) / want;
            }
            CHECK(distance < 13.8);             /* chi-square, 2 degrees of freedom: 0.1 % */
        }
}

static void light_targets_are_spread_evenly(void) {
    static const uint32_t weights[] = {75, 25};
    for (uint64_t seed = 0; seed < 20; seed++) {
        bed b;
        begin(&b, weights, 2, seed, true);
        for (int period = 0; period < 10; period++) {
            uint32_t light = 0;
            for (int i = 0; i < 4; i++) light += next(&b);
            CHECK_EQ(light, 1);
        }
        end(&b);
    }
}

/* ---- the rule, literally ---------------------------------------------------------------------------------------- */

/* Debts in 1/W.  a = 1/(2k-2): debt >= a, and least (1 - a - debt) / p; both times 2k-2. */
typedef struct literal {
    int64_t debt[MOST], total;
    uint32_t k;
} literal;

static int64_t room_left(const literal *l, uint32_t i) {
    int64_t per_a = 2 * (int64_t)l->k - 2;
    return l->k == 1 ? l->total - l->debt[i] : (per_a - 1) * l->total - per_a * l->debt[i];
}

/* Give the turn to `taker`, who must be one of those the rule allows. */
static void take_turn(literal *l, const lb_view *view, uint32_t taker) {
    int64_t per_a = 2 * (int64_t)l->k - 2;
    for (uint32_t i = 0; i < view->n_members; i++) l->debt[i] += view->weight[i];
    CHECK(l->k == 1 || l->debt[taker] * per_a >= l->total);
    for (uint32_t u = 0; u < view->n_usable; u++) {
        uint32_t i = view->usable[u];
        if (l->k > 1 && l->debt[i] * per_a < l->total) continue;
        CHECK(room_left(l, taker) * view->weight[i] <= room_left(l, i) * view->weight[taker]);
    }
    l->debt[taker] -= l->total;
}

static void picks_follow_the_rule_also_while_replaying(void) {
    lb_rng rng;
    lb_rng_seed(&rng, SEED + 2);
    for (int round = 0; round < 200; round++) {
        uint32_t weights[MOST], n = draw_weights(&rng, weights, 12);
        bed b;
        begin(&b, weights, n, lb_rng_next(&rng), true);
        literal l = {.total = (int64_t)b.view->total_weight, .k = b.view->n_usable};
        for (int turn = 0; turn < 500 && l.k > 0; turn++) take_turn(&l, b.view, next(&b));
        end(&b);
    }
}

/* ---- recording -------------------------------------------------------------------------------------------------- */

/* What is replayed must be what the generator would have gone on to give: it has given it once before. */
static void a_period_is_recorded_and_repeats(void) {
    lb_rng rng;
    lb_rng_seed(&rng, SEED + 3);
    static uint32_t recorded[MOST * 10];
    for (int round = 0; round < 300; round++) {
        uint32_t weights[MOST], n = 1 + lb_rng_below(&rng, MOST), period = 0;
        for (uint32_t i = 0; i < n; i++) period += weights[i] = i == 0 ? 1 : 1 + lb_rng_below(&rng, 10);
        bed b;
        begin(&b, weights, n, lb_rng_next(&rng), round % 2);
        lb_replay *replay = round_robin()->replay(b.state);
        uint32_t until = 0;
        for (; !replaying(&b); until++) recorded[until % period] = next(&b);
        CHECK(until % period == 0 && until <= 2 * period);
        CHECK(round % 2 == 0 || until == period);
        CHECK(replay->n == period && replay->cursor == 0);
        uint32_t count[MOST] = {0};
        for (uint32_t i = 0; i < 3 * period; i++) {
            uint32_t member = i % 2 ? next(&b) : lb_replay_next(replay);
            CHECK_EQ(member, recorded[i % period]);
            count[member]++;
        }
        for (uint32_t i = 0; i < n; i++) CHECK_EQ(count[i], 3 * weights[i]);
        end(&b);
    }
}

/* Two generators, one of which is kept from replaying by a period that is too long: the same picks. */
static void periods_above_2_20_are_not_recorded(void) {
    static const uint32_t weights[] = {1000000, 48577}, less[] = {1000000, 48576};
    bed b;
    begin(&b, weights, 2, SEED, true);                          /* 2^20 + 1 */
    for (int i = 0; i < 1048577; i++) next(&b);
    CHECK(!replaying(&b));
    for (uint32_t i = 0; i < 2; i++) CHECK_EQ(debt(&b, i), 0);
    prefixes_stay_within(&b, 1, 3000);
    CHECK_EQ(ask(&b, 1024, true), LB_NONE);
    uint32_t told[1024];
    for (uint32_t s = 0; s < 1024; s += 93) told[s] = ask(&b, s, true);
    for (uint32_t s = 0; s < 1024; s++)
        if (s % 93 == 0) CHECK_EQ(told[s], next(&b));
        else next(&b);
    end(&b);
    begin(&b, less, 2, SEED, true);                             /* 2^20, by 2^6 */
    for (int i = 0; i < 1048576 / 64; i++) next(&b);
    CHECK(replaying(&b));
    end(&b);
}

static void looking_ahead_records_but_moves_nothing(void) {
    static const uint32_t weights[] = {5, 3, 2};
    for (uint64_t seed = 0; seed < 50; seed++) {
        bed a, b;
        begin(&a, weights, 3, seed, seed % 2);
        begin(&b, weights, 3, seed, seed % 2);
        for (uint32_t turn = 0; turn < 60; turn++) {
            int64_t before[3] = {debt(&a, 0), debt(&a, 1), debt(&a, 2)};
            ask(&a, turn * 7 % 10, true);
            for (uint32_t i = 0; i < 3; i++) CHECK(debt(&a, i) == before[i] && debt(&b, i) == before[i]);
            CHECK_EQ(ask(&a, 10, true), LB_NONE);
            CHECK_EQ(next(&a), next(&b));
        }
        CHECK(replaying(&a) && replaying(&b));
        end(&a);
        end(&b);
    }
}

static void each_step_spends_a_turn(void) {
    static const uint32_t weights[] = {1, 1, 1, 1};
    bed b;
    begin(&b, weights, 4, SEED, true);
    uint32_t seen = 0;
    for (uint32_t s = 0; s < 4; s++) seen |= 1u << ask(&b, s, false);
    CHECK_EQ(seen, 15);
    end(&b);
}

/* ---- debts and takeover ----------------------------------------------------------------------------------------- */

static void debts_are_share_less_picks(void) {
    static const uint32_t weights[] = {7, 0, 2, 4};
    bed b;
    begin(&b, weights, 4, SEED, true);
    int64_t count[4] = {0};
    for (int64_t turn = 0; turn < 60; turn++) {
        for (uint32_t i = 0; i < 4; i++) {
            int64_t share = (int64_t)weights[i] * turn * LB_ONE_PICK;
            CHECK_EQ(debt(&b, i), share / 13 - count[i] * LB_ONE_PICK);
        }
        count[next(&b)]++;
    }
    end(&b);
}

static void a_change_keeps_debts_and_newcomers_owe_nothing(void) {
    static const uint32_t weights[] = {3, 2, 1}, changed[] = {5, 9, 4, 1}, old_index[] = {2, LB_NONE, 0, 1};
    for (int picks = 0; picks < 12; picks++) {
        bed b;
        begin(&b, weights, 3, SEED, true);
        for (int i = 0; i < picks; i++) next(&b);
        ask(&b, 2, true);
        int64_t before[3] = {debt(&b, 0), debt(&b, 1), debt(&b, 2)}, sum = 0;
        change(&b, changed, 4, SEED, old_index);
        for (uint32_t i = 0; i < 4; i++) {
            int64_t want = old_index[i] == LB_NONE ? 0 : before[old_index[i]];
            CHECK(debt(&b, i) - want <= 2 && debt(&b, i) - want >= 0);      /* crumbs: each was rounded down */
            sum += debt(&b, i);
        }
        CHECK(sum == 0 && debt(&b, 1) == 0);
        end(&b);
    }
}

/* A and B of weight 1 and C of 2.  After the turns of A and C, B is owed half a pick, that A has too much. */
static void what_leaves_is_spread_by_weight(void) {
    static const uint32_t weights[] = {1, 1, 2}, without_b[] = {1, 0, 3}, all[] = {0, 1, 2};
    bed b;
    uint64_t seed = 0;
    for (;; seed++) {
        begin(&b, weights, 3, seed, true);
        uint32_t first = next(&b), second = next(&b);
        if (first + second == 2 && first != second) break;
        end(&b);
    }
    CHECK(debt(&b, 0) == -LB_ONE_PICK / 2 && debt(&b, 1) == LB_ONE_PICK / 2 && debt(&b, 2) == 0);
    change(&b, without_b, 3, seed, all);
    CHECK_EQ(debt(&b, 0), -LB_ONE_PICK / 2 + LB_ONE_PICK / 8);
    CHECK_EQ(debt(&b, 1), 0);
    CHECK_EQ(debt(&b, 2), LB_ONE_PICK * 3 / 8);
    static const uint32_t nobody[] = {0, 0, 0};
    change(&b, nobody, 3, seed, all);
    CHECK_EQ(next(&b), LB_NONE);
    change(&b, weights, 3, seed, all);
    for (uint32_t i = 0; i < 3; i++) CHECK_EQ(debt(&b, i), 0);
    end(&b);
}

/* 100 of 200 equal targets leave, all with the same debt of half a pick, and one of the others becomes very heavy: by
 * weight, it would be owed (or owe) all 50 picks. */
static void debts_beyond_two_picks_are_clipped(void) {
    for (int owing = 0; owing < 2; owing++) {
        uint32_t weights[200], changed[200], all[200];
        bool had[200] = {false};
        for (uint32_t i = 0; i < 200; i++) weights[i] = 1, all[i] = i;
        bed b;
        begin(&b, weights, 200, SEED, true);
        for (int i = 0; i < 100; i++) had[next(&b)] = true;
        uint32_t heavy = LB_NONE;
        for (uint32_t i = 0; i < 200; i++) {
            changed[i] = had[i] == owing;
            if (changed[i]) heavy = i;
        }
        changed[heavy] = 1000000;
        change(&b, changed, 200, SEED, all);
        int64_t sum = 0, light = 0;
        for (uint32_t i = 0; i < 200; i++) {
            CHECK(debt(&b, i) <= 2 * LB_ONE_PICK && debt(&b, i) >= -2 * LB_ONE_PICK);
            sum += debt(&b, i);
            if (i != heavy && debt(&b, i) != 0) light++;
        }
        CHECK_EQ(sum, 0);
        CHECK_EQ(debt(&b, heavy), owing ? 2 * LB_ONE_PICK : -2 * LB_ONE_PICK);
        CHECK(light >= 4 && light <= 5);        /* all others were cancelled but for what makes up the two picks */
        end(&b);
    }
}

/* 3,000 changes of weight, health and membership, one every 7 picks. */
static void through_3000_changes_no_debt_exceeds_two_picks(void) {
    lb_rng rng;
    lb_rng_seed(&rng, SEED + 4);
    for (uint32_t most = 3; most <= MOST; most = most * 2 + 1) {
        uint32_t weights[MOST] = {0}, old_index[MOST], n = draw_weights(&rng, weights, most);
        bed b;
        begin(&b, weights, n, SEED, true);
        for (int changes = 0; changes < 3000; changes++) {
            for (int i = 0; i < 7; i++) {
                next(&b);
                for (uint32_t m = 0; m < n; m++)
                    CHECK(debt(&b, m) < 2 * LB_ONE_PICK && debt(&b, m) > -2 * LB_ONE_PICK);
            }
            for (uint32_t i = 0; i < n; i++) old_index[i] = i;
            uint32_t at = lb_rng_below(&rng, n), kind = lb_rng_below(&rng, 4);
            if (kind == 0) weights[at] = lb_rng_below(&rng, 11);
            else if (kind == 1) weights[at] = weights[at] ? 0 : 1 + lb_rng_below(&rng, 10);
            else if (kind == 2 && n > 1) weights[at] = weights[--n], old_index[at] = n;
            else if (n < most) weights[n] = 1 + lb_rng_below(&rng, 10), old_index[n++] = LB_NONE;
            change(&b, weights, n, SEED, old_index);
            int64_t sum = 0;
            for (uint32_t i = 0; i < n; i++) sum += debt(&b, i);
            CHECK_EQ(sum, 0);
        }
        end(&b);
    }
}

/* ---- many targets, many picks ----------------------------------------------------------------------------------- */

/* Above 11,585 targets debts have less than 32 bits. */
static void many_targets_take_turns_and_are_taken_over(void) {
    enum { N = 20000 };
    static uint32_t weights[N], count[N], all[N];
    uint32_t total = 0;
    for (uint32_t i = 0; i < N; i++) total += weights[i] = 1 + i % 3, all[i] = i;
    bed b;
    begin(&b, weights, N, SEED, true);
    for (uint32_t i = 0; i < total; i++) count[next(&b)]++;
    for (uint32_t i = 0; i < N; i++) CHECK_EQ(count[i], weights[i]);
    CHECK(replaying(&b));
    for (uint32_t i = 0; i < 15000; i++) next(&b);
    int64_t before[10];
    for (uint32_t i = 0; i < 10; i++) before[i] = debt(&b, 7 * i);
    weights[N - 1] = 50;
    change(&b, weights, N, SEED, all);
    for (uint32_t i = 0; i < 10; i++) {
        CHECK(debt(&b, 7 * i) % 4 == 0);        /* 30 bits */
        CHECK(debt(&b, 7 * i) - before[i] <= 8 && debt(&b, 7 * i) >= before[i]);
    }
    end(&b);
}

/* The counters as they stand after about 2^61 steps of time: the origin moves up, and no pick is different. */
static void the_origin_of_time_moves_unnoticed(void) {
    static const uint32_t weights[] = {5, 3, 999983, 1}, member[] = {0, 1, 2, 3};
    lb_quota young = {0}, old = {0};
    CHECK_EQ(lb_quota_init(&young, weights, member, 4, NULL), LB_OK);
    CHECK_EQ(lb_quota_init(&old, weights, member, 4, NULL), LB_OK);
    lb_quota_start(&young, NULL, 12345);
    lb_quota_start(&old, NULL, 12345);
    int64_t age = ((int64_t)1 << 61) - 400 * old.turn.whole;
    for (uint32_t i = 0; i < old.n_waiting; i++) old.waiting[i].whole += age;
    for (uint32_t i = 0; i < old.n_due; i++) old.due[i].whole += age;
    old.now.whole += age;
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(lb_quota_next(&old), lb_quota_next(&young));
        lb_quota_time now = lb_quota_ago(&old, 0), same = lb_quota_ago(&young, 0);
        for (uint32_t p = 0; p < 4; p++) CHECK_EQ(lb_quota_debt(&old, p, now, 0), lb_quota_debt(&young, p, same, 0));
    }
    CHECK(old.now.whole < (int64_t)1 << 60);
    lb_quota_free(&young);
    lb_quota_free(&old);
}

/* The largest keys there are: 2^20 targets with debts of 2 picks, of which the heaviest weighs most of all. */
static void the_largest_counters_fit(void) {
    enum { N = 1 << 20 };
    uint32_t *weights = lb_alloc_array(N, sizeof *weights);
    int64_t *owed = lb_alloc_array(N, sizeof *owed);
    CHECK(weights && owed);
    for (uint32_t i = 0; i < N; i++) {
        weights[i] = i % 2 ? 1000000 : 1;
        owed[i] = i % 2 ? 2 * LB_ONE_PICK : -2 * LB_ONE_PICK;
    }
    lb_quota q = {0};
    uint32_t *member = lb_alloc_array(N, sizeof *member);
    for (uint32_t i = 0; i < N; i++) member[i] = i;
    CHECK_EQ(lb_quota_init(&q, weights, member, N, NULL), LB_OK);
    CHECK_EQ(q.bits, 19);
    lb_quota_start(&q, owed, 0);
    for (uint32_t i = 0; i < 5000; i++) CHECK_EQ(lb_quota_next(&q) % 2, 1);
    for (uint32_t p = 0; p < N; p += 1000)
        CHECK(lb_quota_debt(&q, p, lb_quota_ago(&q, 0), 0) < 3 * LB_ONE_PICK);
    lb_quota_start(&q, NULL, q.period - 1);
    lb_quota_free(&q);
    lb_free(weights);
    lb_free(owed);
    lb_free(member);
}

int main(void) {
    printf("seed %u\n", SEED);
    RUN(from_phase_zero_every_prefix_is_within_one_pick);
    RUN(from_any_phase_every_prefix_is_within_two);
    RUN(many_short_lived_workers_follow_the_weights);
    RUN(light_targets_are_spread_evenly);
    RUN(picks_follow_the_rule_also_while_replaying);
    RUN(a_period_is_recorded_and_repeats);
    RUN(periods_above_2_20_are_not_recorded);
    RUN(looking_ahead_records_but_moves_nothing);
    RUN(each_step_spends_a_turn);
    RUN(debts_are_share_less_picks);
    RUN(a_change_keeps_debts_and_newcomers_owe_nothing);
    RUN(what_leaves_is_spread_by_weight);
    RUN(debts_beyond_two_picks_are_clipped);
    RUN(through_3000_changes_no_debt_exceeds_two_picks);
    RUN(many_targets_take_turns_and_are_taken_over);
    RUN(the_origin_of_time_moves_unnoticed);
    RUN(the_largest_counters_fit);
    return check_result();
}

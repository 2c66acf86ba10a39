/* stable: the table behind hash and hash_bounded, against its rule followed literally; what is shared, what is refused,
 * and digests that every compiler and every level of optimisation must meet.
 *
 * stable.h is included for its scores and for looking into the table.
 */
#include "policies.h"
#include "policy/stable.h"

#include <math.h>

#define SEED 20240613u

enum { MOST = 12, MOST_SLOTS_HERE = 1009 };            /* of the literal table */

static const lb_policy *hash(void) { return lb_policy_find(lb_str_of("hash")); }

static lb_status begin(bed *b, lb_view *view, double slots, const bed *before, const uint32_t *old_index) {
    return make_with(b, hash(), &slots, view, before, old_index);
}

/* Some members do not serve, whatever their weight. */
static void set_down(lb_view *view, uint32_t down) {
    for (uint32_t i = 0; i < view->n_members; i++)
        if (down >> i & 1) view->weight[i] = 0;
    lb_view_close(view);
}

static lb_walk walk_of(uint64_t key_hash) { return (lb_walk){.key = {.hash = key_hash, .hashed = true}}; }

static uint64_t middle_of(uint32_t slot, uint32_t slots) {
    return (uint64_t)((((double)slot + 0.5) / slots) * 0x1p32) << 32;
}

/* ---- scores ----------------------------------------------------------------------------------------------------- */

static void scores_are_logarithms(void) {
    static const uint32_t sizes[] = {LB_LEAST_SLOTS, 1009, 65537, 1048583, LB_MOST_SLOTS};
    for (int i = 0; i < 5; i++) {
        lb_curve curve;
        lb_curve_init(&curve, sizes[i]);
        uint64_t before = 0;
        for (uint32_t t = 0, stride = 1 + sizes[i] / 40000; t < sizes[i]; t += t + 50 < sizes[i] ? stride : 1) {
            uint64_t score = lb_curve_at(&curve, t);
            double error = -log1p(-(t + 0.5) / sizes[i]) * 0x1p38 - (double)score;
            if (error < -0.01 || error >= LB_CURVE_ERROR) CHECK_EQ(error, 0);
            CHECK(score > before && score * LB_MAX_WEIGHT / LB_MAX_WEIGHT == score);
            CHECK(score >= (2 * (uint64_t)t + 1) * curve.unit - LB_CURVE_ERROR);
            before = score;
        }
    }
}

static void scores_are_the_same_on_every_machine(void) {
    static const struct { uint32_t slots, turn; uint64_t score; } known[] = {
        {101, 0, 1364161144}, {101, 50, 190530846196}, {101, 100, 1459125514156},
        {65537, 0, 2097128}, {65537, 32768, 190530846196}, {65537, 65536, 3239028579604},
        {16777259, 0, 8190}, {16777259, 12345678, 365936174072}, {16777259, 16777258, 4763271859410},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        lb_curve curve;
        lb_curve_init(&curve, known[i].slots);
        CHECK_EQ(lb_curve_at(&curve, known[i].turn), known[i].score);
    }
}

/* ---- the rule, literally ---------------------------------------------------------------------------------------- */

typedef struct pair {
    uint64_t score;
    uint32_t weight, rank, slot, member;
} pair;

/* A fleet whose members have names and weights of their own. */
typedef struct fleet {
    uint32_t n, slots, weight[MOST];
    lb_name name[MOST];
    char text[MOST][3][24];
    pair order[MOST_SLOTS_HERE][MOST];                  /* everybody's claims to a slot, the best first */
    uint32_t n_ranked, owner[MOST_SLOTS_HERE];
} fleet;

static int by_claim(const void *left, const void *right) {
    const pair *a = left, *b = right;
    uint64_t l = a->score * b->weight, r = b->score * a->weight;
    if (l != r) return l < r ? -1 : 1;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

static lb_str text_of(const fleet *f, uint32_t i) {
    return f->name[i].hash_key.len ? f->name[i].hash_key : f->name[i].identity;
}

static int by_bytes(lb_str a, lb_str b) {
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

static uint32_t rank_of(const fleet *f, uint32_t member) {
    uint32_t rank = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        if (i == member || f->weight[i] == 0) continue;
        int order = by_bytes(text_of(f, i), text_of(f, member));
        if (!order) order = by_bytes(f->name[i].identity, f->name[member].identity);
        rank += order < 0;
    }
    return rank;
}

static void claim_all(fleet *f, uint32_t member, uint32_t place) {
    lb_curve curve;
    lb_curve_init(&curve, f->slots);
    uint64_t h = lb_hash_find(lb_str_of("xxh64"))->of(text_of(f, member), 0);
    uint64_t off = (h >> 32) * f->slots >> 32, skip = 1 + ((h & 0xFFFFFFFF) * (f->slots - 1) >> 32);
    for (uint32_t t = 0; t < f->slots; t++) {
        uint32_t slot = (uint32_t)((off + t * skip) % f->slots);
        f->order[slot][place] = (pair){lb_curve_at(&curve, t), f->weight[member], rank_of(f, member), slot, member};
    }
}

static void match(fleet *f) {
    static pair all[MOST * MOST_SLOTS_HERE];
    uint32_t n = 0, has[MOST] = {0};
    uint64_t total = 0;
    for (uint32_t i = 0; i < f->n; i++) total += f->weight[i];
    for (uint32_t slot = 0; slot < f->slots; slot++) {
        f->owner[slot] = LB_NONE;
        for (uint32_t i = 0; i < f->n_ranked; i++) all[n++] = f->order[slot][i];
        qsort(f->order[slot], f->n_ranked, sizeof(pair), by_claim);
    }
    qsort(all, n, sizeof *all, by_claim);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t quota = (102 * (uint64_t)f->slots * all[i].weight + 100 * total - 1) / (100 * total);
        if (f->owner[all[i].slot] != LB_NONE || has[all[i].member] == quota) continue;
        f->owner[all[i].slot] = all[i].member;
        has[all[i].member]++;
    }
}

/* Names may be ids, hash_keys or addresses; some hash_keys are alike. */
static void draw_names(fleet *f, lb_rng *rng) {
    for (uint32_t i = 0; i < f->n; i++) {
        uint32_t kind = lb_rng_below(rng, 4);
        snprintf(f->text[i][0], sizeof f->text[i][0], "10.0.0.%u:80", i);
        snprintf(f->text[i][1], sizeof f->text[i][1], "id%u", 97 * i % 31);
        snprintf(f->text[i][2], sizeof f->text[i][2], "key%u", lb_rng_below(rng, 5));
        f->name[i] = (lb_name){.address = lb_str_of(f->text[i][0]), .identity = lb_str_of(f->text[i][kind > 1])};
        if (kind == 3) f->name[i].hash_key = lb_str_of(f->text[i][2]);
    }
}

static void draw_fleet(fleet *f, lb_rng *rng) {
    static const uint32_t sizes[] = {101, 103, 251, 1009}, most[] = {1, 2, 8, 1000000};
    memset(f, 0, sizeof *f);
    f->n = 1 + lb_rng_below(rng, MOST);
    f->slots = sizes[lb_rng_below(rng, 4)];
    draw_names(f, rng);
    uint32_t limit = most[lb_rng_below(rng, 4)];
    for (uint32_t i = 0; i < f->n; i++) {
        f->weight[i] = lb_rng_below(rng, 6) ? 1 + lb_rng_below(rng, limit) : 0;
        f->n_ranked += f->weight[i] > 0;
    }
    for (uint32_t i = 0, place = 0; i < f->n; i++)
        if (f->weight[i]) claim_all(f, i, place++);
    match(f);
}

static lb_view *view_of_fleet(const fleet *f) {
    lb_view *view = view_of(f->weight, f->n, SEED, NULL);
    if (view) view->name = f->name;
    return view;
}

/* Down to nobody: the owner, then by claim, those who are down left out; each once, and no more after the last. */
static void check_walk(const fleet *f, const bed *b, uint32_t slot, uint32_t down) {
    lb_walk walk = walk_of(middle_of(slot, f->slots));
    uint32_t owner = f->owner[slot];
    if (owner != LB_NONE && !(down >> owner & 1)) {
        CHECK_EQ(b->policy->walk(b->state, b->view, &walk), owner);
        walk.step++;
    }
    for (uint32_t i = 0; i < f->n_ranked; i++) {
        uint32_t member = f->order[slot][i].member;
        if (member == owner || down >> member & 1) continue;
        CHECK_EQ(b->policy->walk(b->state, b->view, &walk), member);
        walk.step++;
    }
    for (int i = 0; i < 2; i++, walk.step++) CHECK_EQ(b->policy->walk(b->state, b->view, &walk), LB_NONE);
}

static void the_table_and_every_walk_follow_the_rule(void) {
    static fleet f;
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    for (int round = 0; round < 80; round++) {
        draw_fleet(&f, &rng);
        uint32_t down = lb_rng_below(&rng, 3) ? lb_rng_below(&rng, 1u << MOST) & lb_rng_below(&rng, 1u << MOST) : 0;
        bed b;
        lb_view *view = view_of_fleet(&f);
        set_down(view, down);
        CHECK_EQ(begin(&b, view, f.slots, NULL, NULL), LB_OK);
        for (uint32_t slot = 0; slot < f.slots; slot++) CHECK_EQ(lb_stable_owner(b.state, slot), f.owner[slot]);
        for (uint32_t slot = 0; slot < f.slots; slot += 7) check_walk(&f, &b, slot, down);
        end(&b);
    }
}

/* ---- one table for all machines --------------------------------------------------------------------------------- */

static uint64_t digest(uint32_t n, uint32_t most, double slots) {
    static uint32_t weights[MOST_NAMED];
    lb_rng rng;
    lb_rng_seed(&rng, SEED + n);
    for (uint32_t i = 0; i < n; i++) weights[i] = 1 + lb_rng_below(&rng, most);
    bed b;
    CHECK_EQ(begin(&b, view_of(weights, n, SEED, NULL), slots, NULL, NULL), LB_OK);
    uint64_t sum = 0;
    for (uint32_t slot = 0; slot < slots; slot++) {
        sum += lb_stable_owner(b.state, slot);
        sum = lb_splitmix(&sum);
    }
    end(&b);
    return sum;
}

/* Recorded once.  A change here moves the keys of everybody who runs two versions side by side. */
static void tables_are_the_recorded_ones(void) {
    static const struct { uint32_t n, most; double slots; uint64_t digest; } known[] = {
        {3, 1, 101, 0x774669531318D055u}, {3, 1, 65537, 0xF9BB39DDF9D49BB5u},
        {10, 8, 65537, 0x1AB6A5A58DCE0745u}, {50, 1, 65537, 0xC88D2A26B0278D9Fu},
        {50, 1000000, 65537, 0xF19E1DCFBBD42B6Bu}, {1000, 8, 65537, 0xEB1E38DC38705D62u},
        {2000, 1000000, 65537, 0x8B2F4221C0CE813Eu}, {200, 8, 1048583, 0xBDBE4FC00DB05F43u},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint64_t got = digest(known[i].n, known[i].most, known[i].slots);
        if (got != known[i].digest)
            fprintf(stderr, "%u targets, weights to %u, %.0f slots: 0x%016llXu\n", known[i].n, known[i].most,
                    known[i].slots, (unsigned long long)got);
        CHECK(got == known[i].digest);
    }
}

static void nobody_has_more_than_a_quota(void) {
    enum { N = 300, M = 65537 };
    static uint32_t weights[N], has[N];
    uint64_t total = 0;
    for (uint32_t i = 0; i < N; i++) total += weights[i] = 1 + i * i % 8;
    bed b;
    CHECK_EQ(begin(&b, view_of(weights, N, SEED, NULL), M, NULL, NULL), LB_OK);
    for (uint32_t slot = 0; slot < M; slot++) has[lb_stable_owner(b.state, slot)]++;
    for (uint32_t i = 0; i < N; i++) CHECK((has[i] - 1) * total * 100 < (uint64_t)102 * M * weights[i]);
    end(&b);
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

/* Slot s takes the hashes from ceil(s * 2^64 / M) on; `below` is the last one before. */
static void slots_divide_the_hashes_evenly(void) {
    static const uint32_t weights[] = {1, 1, 1, 1, 1};
    bed b;
    CHECK_EQ(begin(&b, view_of(weights, 5, SEED, NULL), 101, NULL, NULL), LB_OK);
    for (uint32_t slot = 0; slot < 101; slot++) {
        uint64_t whole = UINT64_MAX / 101, rest = UINT64_MAX % 101 + 1;             /* 2^64 = 101 * whole + rest */
        uint64_t first = slot * whole + (slot * rest + 100) / 101;
        lb_walk walk = walk_of(first), below = walk_of(first - 1);
        CHECK_EQ(b.policy->walk(b.state, b.view, &walk), lb_stable_owner(b.state, slot));
        CHECK_EQ(b.policy->walk(b.state, b.view, &below), lb_stable_owner(b.state, slot ? slot - 1 : 100));
    }
    end(&b);
}

static void a_hash_stands_for_its_key(void) {
    lb_key text = {.text = lb_str_of("user-7")}, hashed = {.hash = 42, .hashed = true};
    CHECK(hash()->hash(NULL, &text) == lb_hash_find(lb_str_of("xxh64"))->of(text.text, 0));
    CHECK_EQ(hash()->hash(NULL, &hashed), 42);
}

/* ---- sharing ---------------------------------------------------------------------------------------------------- */

enum { FEW = 5 };

static const uint32_t five[FEW] = {3, 1, 0, 2, 2}, same[FEW] = {0, 1, 2, 3, 4};

/* A View after the one of `a`, which stands on `five`.  Whether it shares a's table; it picks usable members only. */
static bool shares(const bed *a, lb_view *view, double slots, const uint32_t *old_index) {
    bed b;
    CHECK_EQ(begin(&b, view, slots, a, old_index), LB_OK);
    bool shared = lb_stable_is_shared(a->state, b.state);
    for (int i = 0; i < 100; i++) {
        uint32_t member = next(&b);
        CHECK(b.view->n_usable == 0 ? member == LB_NONE : b.view->weight[member] > 0);
    }
    end(&b);
    return shared;
}

static void health_and_order_share_the_table(void) {
    static const uint32_t reversed[FEW + 1] = {2, 2, 0, 1, 3, 0}, back[FEW + 1] = {4, 3, 2, 1, 0, LB_NONE};
    bed a;
    CHECK_EQ(begin(&a, view_of(five, FEW, SEED, NULL), 251, NULL, NULL), LB_OK);
    for (uint32_t down = 0; down < 32; down++) {
        lb_view *view = view_of(five, FEW, SEED, NULL);
        set_down(view, down);
        CHECK(shares(&a, view, 251, same));
    }
    lb_name turned[FEW + 1];                            /* the list from the end, and one without a weight more */
    for (uint32_t i = 0; i <= FEW; i++) turned[i] = names()[i < FEW ? FEW - 1 - i : FEW];
    lb_view *view = view_of(reversed, FEW + 1, SEED, NULL);
    view->name = turned;
    bed b;
    CHECK_EQ(begin(&b, view, 251, &a, back), LB_OK);
    CHECK(lb_stable_is_shared(a.state, b.state));
    for (uint32_t slot = 0; slot < 251; slot++)
        CHECK_EQ(lb_stable_owner(b.state, slot), FEW - 1 - lb_stable_owner(a.state, slot));
    end(&a);
    CHECK(shares(&b, view_of(five, FEW, SEED, NULL), 251, (uint32_t[]){4, 3, 2, 1, 0}));    /* outlives its maker */
    end(&b);
}

static void names_weights_and_slots_make_another_table(void) {
    bed a;
    CHECK_EQ(begin(&a, view_of(five, FEW, SEED, NULL), 251, NULL, NULL), LB_OK);
    CHECK(!shares(&a, view_of(five, FEW, SEED, NULL), 257, same));
    CHECK(!shares(&a, view_of((uint32_t[]){3, 1, 0, 2, 1}, FEW, SEED, NULL), 251, same));
    CHECK(!shares(&a, view_of((uint32_t[]){3, 1, 1, 2, 2}, FEW, SEED, NULL), 251, same));
    CHECK(!shares(&a, view_of((uint32_t[]){3, 0, 1, 2, 2}, FEW, SEED, NULL), 251, same));
    CHECK(!shares(&a, view_of(five, FEW - 1, SEED, NULL), 251, same));
    CHECK(!shares(&a, view_of(five, FEW, SEED, NULL), 251, (uint32_t[]){0, 1, 2, 3, LB_NONE}));
    lb_name keyed[FEW];
    memcpy(keyed, names(), sizeof keyed);
    keyed[3].hash_key = lb_str_of("rack 3");
    lb_view *view = view_of(five, FEW, SEED, NULL);
    view->name = keyed;
    CHECK(!shares(&a, view, 251, same));
    end(&a);
}

static void a_health_change_costs_no_table(void) {
    bed a, b;
    CHECK_EQ(begin(&a, view_of(five, FEW, SEED, NULL), 65537, NULL, NULL), LB_OK);
    lb_view *view = view_of(five, FEW, SEED, NULL);
    set_down(view, 1);
    fail_allocation(1);                                 /* one is enough: the ranks of the View */
    CHECK_EQ(begin(&b, view, 65537, &a, same), LB_OK);
    fail_allocation(-1);
    CHECK(lb_stable_is_shared(a.state, b.state));
    end(&b);
    end(&a);
}

/* ---- edges ------------------------------------------------------------------------------------------------------ */

static void other_numbers_than_primes_are_refused(void) {
    static const struct { double slots; const char *reason; } bad[] = {
        {102, "102 is not a prime in 101..16777259; the nearest are 101 and 103"},
        {65536, "65536 is not a prime in 101..16777259; the nearest are 65521 and 65537"},
        {1048576, "1048576 is not a prime in 101..16777259; the nearest are 1048573 and 1048583"},
        {16777258, "16777258 is not a prime in 101..16777259; the nearest are 16777213 and 16777259"},
    };
    static const double good[] = {101, 251, 65537, 1048583, 16777259};
    const lb_policy *bounded = lb_policy_find(lb_str_of("hash_bounded"));
    double param[LB_MAX_PARAMS];
    lb_policy_defaults(bounded, param);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lb_error err;
        param[2] = bad[i].slots;
        CHECK_EQ(hash()->check(&bad[i].slots, &err), LB_ERR_CONFIG);
        CHECK(strcmp(err.field, "slots") == 0 && strcmp(err.reason, bad[i].reason) == 0);
        CHECK_EQ(bounded->check(param, NULL), LB_ERR_CONFIG);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) CHECK_EQ(hash()->check(&good[i], NULL), LB_OK);
}

static void bounded_walks_the_same_order(void) {
    const lb_policy *bounded = lb_policy_find(lb_str_of("hash_bounded"));
    bed a, b;
    make(&a, hash(), view_of(five, FEW, SEED, NULL), NULL, NULL);
    make(&b, bounded, view_of(five, FEW, SEED, NULL), NULL, NULL);
    for (int i = 0; i < 100; i++)
        for (uint32_t step = 0; step < 6; step++) {
            uint32_t member = ask(&a, step, false);
            CHECK_EQ(ask(&b, step, false), member);
            if (member == LB_NONE) break;
        }
    CHECK(bounded->bounded && !hash()->bounded);
    end(&a);
    end(&b);
}

/* More targets than slots: most own none, and a walk still reaches them. */
static void who_owns_no_slot_is_reached_by_walking(void) {
    enum { N = 300 };
    static uint32_t weights[N], seen[N];
    for (uint32_t i = 0; i < N; i++) weights[i] = 1;
    bed b;
    CHECK_EQ(begin(&b, view_of(weights, N, SEED, NULL), 101, NULL, NULL), LB_OK);
    for (uint32_t step = 0; step < N; step++) seen[ask(&b, step, false)]++;
    CHECK_EQ(ask(&b, N, false), LB_NONE);
    for (uint32_t i = 0; i < N; i++) CHECK_EQ(seen[i], 1);
    end(&b);
}

static void members_without_names_are_refused(void) {
    double slots = 101;
    bed b;
    lb_view *view = view_of(five, FEW, SEED, NULL);
    view->name = NULL;
    CHECK_EQ(begin(&b, view, slots, NULL, NULL), LB_ERR_CONFIG);
    CHECK_EQ(begin(&b, view_of(NULL, 0, SEED, NULL), slots, NULL, NULL), LB_OK);
    CHECK_EQ(next(&b), LB_NONE);
    CHECK_EQ(lb_stable_owner(b.state, 7), LB_NONE);
    end(&b);
}

static lb_status build_share_and_rebuild(void) {
    static const uint32_t other[FEW] = {3, 1, 0, 2, 3};
    bed a, b, c;
    lb_status status = begin(&a, view_of(five, FEW, SEED, NULL), 101, NULL, NULL);
    if (status) return status;
    status = begin(&b, view_of(five, FEW, SEED, NULL), 101, &a, same);
    if (!status) {
        status = begin(&c, view_of(other, FEW, SEED, NULL), 101, &b, same);
        if (!status) end(&c);
        end(&b);
    }
    for (uint32_t slot = 0; slot < 101; slot++) CHECK(five[lb_stable_owner(a.state, slot)] > 0);
    end(&a);
    return status;
}

static void every_allocation_may_fail(void) { CHECK_EQ(every_allocation_fails_once(build_share_and_rebuild), 16); }

int main(void) {
    printf("seed %u\n", SEED);
    RUN(scores_are_logarithms);
    RUN(scores_are_the_same_on_every_machine);
    RUN(the_table_and_every_walk_follow_the_rule);
    RUN(tables_are_the_recorded_ones);
    RUN(nobody_has_more_than_a_quota);
    RUN(slots_divide_the_hashes_evenly);
    RUN(a_hash_stands_for_its_key);
    RUN(health_and_order_share_the_table);
    RUN(names_weights_and_slots_make_another_table);
    RUN(a_health_change_costs_no_table);
    RUN(other_numbers_than_primes_are_refused);
    RUN(bounded_walks_the_same_order);
    RUN(who_owns_no_slot_is_reached_by_walking);
    RUN(members_without_names_are_refused);
    RUN(every_allocation_may_fail);
    return check_result();
}

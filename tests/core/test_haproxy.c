/* haproxy: what its policies do that recorded picks do not show: walks, peeks, parts of an upstream, what is refused.
 *
 * Picks themselves are compared with recorded ones and with twins, from Python. */
#include "policies.h"

#include "policy/haproxy_key.h"
#include "policy/haproxy_map.h"
#include "policy/haproxy_tree.h"

#define SEED 20240611u

static const lb_policy *named(const char *name) { return lb_policy_find(lb_str_of(name)); }

static uint32_t step_of(bed *b, lb_walk *walk) {
    uint32_t member = b->policy->walk(b->state, b->view, walk);
    walk->step++;
    return member;
}

static lb_walk walk_of(bed *b, const char *key, bool peek) {
    return (lb_walk){.key = {.text = lb_str_of(key)}, .rng = &b->rng, .peek = peek};
}

static uint32_t first_of(bed *b, const char *key, bool peek) {
    lb_walk walk = walk_of(b, key, peek);
    return step_of(b, &walk);
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static uint32_t number_of(const char *text) {
    lb_key key = {.text = lb_str_of(text)};
    uint32_t hash = 0;
    CHECK(lb_haproxy_hash(LB_HAPROXY_NONE, false, &key, &hash));
    return hash;
}

static void none_reads_a_number(void) {
    CHECK_EQ(number_of("42"), 42);
    CHECK_EQ(number_of("+42 apples"), 42);
    CHECK_EQ(number_of("-1"), UINT32_MAX);
    CHECK_EQ(number_of("4294967297"), 1);
    CHECK_EQ(number_of("apples"), 0);
    CHECK_EQ(number_of("-"), 0);
    CHECK_EQ(number_of("9223372036854775807"), UINT32_MAX);            /* 2^63 - 1 */
    CHECK_EQ(number_of("9223372036854775808000"), UINT32_MAX);
    CHECK_EQ(number_of("-9223372036854775807"), 1);
    CHECK_EQ(number_of("-9223372036854775808999"), 0);
}

static void a_given_hash_stands_for_the_functions_result(void) {
    static const uint32_t weights[] = {3, 1, 2};
    bed b;
    for (int i = 0; i < 2; i++) {
        double param[LB_MAX_PARAMS];
        const lb_policy *policy = named(i ? "map_haproxy" : "source_haproxy");
        lb_policy_defaults(policy, param);
        param[1] = 1;                                                  /* avalanche: not of what is given */
        CHECK_EQ(make_with(&b, policy, param, view_of(weights, 3, SEED, NULL), NULL, NULL), LB_OK);
        static const uint32_t map[] = {0, 0, 2, 0, 1, 2};
        for (uint64_t h = 0; h < 12; h++) {
            lb_walk walk = {.key = {.hash = h + ((uint64_t)7 << 32), .hashed = true}, .rng = &b.rng};
            CHECK_EQ(step_of(&b, &walk), map[h % 6]);
        }
        end(&b);
    }
}

/* ---- walks ------------------------------------------------------------------------------------------------------ */

static const char *const keyed[] = {"chash_haproxy", "map_haproxy", "source_haproxy"};

static void a_walk_reaches_everybody_and_ends(void) {
    static const uint32_t weights[] = {3, 0, 1, 2};
    for (int i = 0; i < 3; i++)
        for (int empty = 0; empty < 2; empty++) {
            bed b;
            CHECK_EQ(make(&b, named(keyed[i]), view_of(weights, 4, SEED, NULL), NULL, NULL), LB_OK);
            lb_walk walk = walk_of(&b, empty ? "" : "10.1.2.3", false);
            uint32_t seen[4] = {0}, n = 0;
            for (uint32_t member; (member = step_of(&b, &walk)) != LB_NONE; n++) seen[member]++;
            uint32_t unit = i == 0 ? LB_HAPROXY_SCALE : 1;
            CHECK_EQ(n, 6 * unit);
            for (uint32_t m = 0; m < 4; m++) CHECK_EQ(seen[m], weights[m] * unit);
            end(&b);
        }
}

static void an_empty_key_takes_turns_and_peeking_none(void) {
    static const uint32_t weights[] = {1, 1, 1};
    for (int i = 0; i < 3; i++) {
        bed b;
        CHECK_EQ(make(&b, named(keyed[i]), view_of(weights, 3, SEED, NULL), NULL, NULL), LB_OK);
        uint32_t points = i == 0 ? 48 : 3, seen[3] = {0};
        for (uint32_t turn = 0; turn < points; turn++) {
            uint32_t told = first_of(&b, "", true);
            CHECK_EQ(first_of(&b, "", true), told);
            CHECK_EQ(first_of(&b, "10.0.0.1", false), first_of(&b, "10.0.0.1", true));
            CHECK_EQ(first_of(&b, "", false), told);
            seen[told]++;
        }
        for (int m = 0; m < 3; m++) CHECK_EQ(seen[m], points / 3);
        end(&b);
    }
}

static lb_view *part_of(lb_view *whole, uint32_t *origin, uint32_t n) {
    lb_view *part;
    if (lb_view_new(&part, n, NULL, NULL)) return NULL;
    part->origin = lb_alloc_array(n, sizeof *origin);
    part->name = whole->name;
    for (uint32_t i = 0; i < n; i++) {
        part->origin[i] = origin[i];
        part->weight[i] = part->full[i] = whole->full[origin[i]];
    }
    lb_view_close(part);
    return part;
}

/* Where the whole's choice is in the part, the part's choice is the same: ids are positions in the whole. */
static void a_part_agrees_with_the_whole(void) {
    static const uint32_t weights[] = {2, 3, 1, 4};
    uint32_t origin[] = {1, 3};
    bed whole, part;
    CHECK_EQ(make(&whole, named("chash_haproxy"), view_of(weights, 4, SEED, NULL), NULL, NULL), LB_OK);
    CHECK_EQ(make(&part, named("chash_haproxy"), part_of(whole.view, origin, 2), NULL, NULL), LB_OK);
    uint32_t agreed = 0;
    for (int i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "key %d", i);
        uint32_t all = first_of(&whole, key, false), some = origin[first_of(&part, key, false)];
        if (all % 2 == 0) continue;
        CHECK_EQ(some, all);
        agreed++;
    }
    CHECK(agreed > 100);
    end(&whole);
    end(&part);
}

static void what_is_wrong_is_told_by_its_place_in_the_whole(void) {
    static const uint32_t weights[] = {1, 1, LB_HAPROXY_MAX_WEIGHT + 1};
    lb_view *whole = view_of(weights, 3, SEED, NULL);
    uint32_t origin[] = {0, 2};
    lb_view *part = part_of(whole, origin, 2);
    lb_haproxy_tree tree;
    lb_error err;
    CHECK_EQ(lb_haproxy_tree_init(&tree, part, LB_HAPROXY_ID, 0, NULL, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "targets[2].weight") == 0);
    CHECK_EQ(lb_haproxy_tree_init(&tree, part, LB_HAPROXY_ID, 0, NULL, NULL), LB_ERR_CONFIG);
    lb_view_free(part);
    lb_view_free(whole);
}

/* ---- the map ---------------------------------------------------------------------------------------------------- */

static void the_largest_map_is_exact(void) {
    static const uint32_t weights[] = {1, LB_HAPROXY_MAX_MAP / 2, LB_HAPROXY_MAX_MAP / 2 - 1};
    lb_view *view = view_of(weights, 3, SEED, NULL);
    uint32_t *place, n, seen[3] = {0};
    CHECK_EQ(lb_haproxy_map_new(&place, &n, view, NULL), LB_OK);
    CHECK_EQ(n, LB_HAPROXY_MAX_MAP);
    for (uint32_t i = 0; i < n; i++) seen[place[i]]++;
    for (int i = 0; i < 3; i++) CHECK_EQ(seen[i], weights[i]);
    lb_free(place);
    lb_view_free(view);
}

static void static_rr_goes_on_where_it_stood(void) {
    static const uint32_t weights[] = {3, 1, 2}, down[] = {0, 1, 2}, same[] = {0, 1, 2};
    const lb_policy *policy = named("static_rr_haproxy");
    bed a, b, c;
    CHECK_EQ(make(&a, policy, view_of(weights, 3, SEED, NULL), NULL, NULL), LB_OK);
    CHECK_EQ(next(&a), 0);
    CHECK_EQ(next(&a), 0);
    lb_view *view = view_of(weights, 3, SEED, NULL);
    view->weight[0] = down[0];
    view->n_usable = 0;
    view->total_weight = 0;
    lb_view_close(view);
    CHECK_EQ(make(&b, policy, view, &a, same), LB_OK);                 /* map 1 2 2, place 2 */
    CHECK_EQ(next(&b), 2);
    CHECK_EQ(next(&b), 1);
    CHECK_EQ(next(&b), 2);
    CHECK_EQ(make(&c, policy, view_of(weights, 1, SEED, NULL), &b, same), LB_OK);
    CHECK_EQ(next(&c), 0);                                             /* one place: from 0 */
    CHECK(policy->replay(c.state)->table != NULL);
    end(&a);
    end(&b);
    end(&c);
}

/* ---- roundrobin ------------------------------------------------------------------------------------------------- */

static void roundrobin_is_no_smooth_order(void) {
    static const uint32_t weights[] = {5, 1, 3, 2};
    static const uint32_t order[] = {0, 2, 0, 3, 0, 2, 0, 1, 2, 3, 0};  /* recorded */
    bed b;
    CHECK_EQ(make(&b, named("roundrobin_haproxy"), view_of(weights, 4, SEED, NULL), NULL, NULL), LB_OK);
    for (uint32_t i = 0; i < 11; i++) CHECK_EQ(ask(&b, i, true), order[i]);
    for (uint32_t i = 0; i < 33; i++) CHECK_EQ(ask(&b, i % 3, false), order[i % 11]);
    end(&b);
}

/* The shares of 2^20 by 10^6 stay within their numbers. */
static void roundrobin_holds_the_largest_weights(void) {
    static const uint32_t weights[] = {LB_MAX_WEIGHT, 1, LB_MAX_WEIGHT};
    bed b;
    CHECK_EQ(make(&b, named("roundrobin_haproxy"), view_of(weights, 3, SEED, NULL), NULL, NULL), LB_OK);
    uint32_t seen[3] = {0};
    for (uint32_t i = 0; i < 2 * LB_MAX_WEIGHT + 1; i++) seen[next(&b)]++;
    for (int i = 0; i < 3; i++) CHECK_EQ(seen[i], weights[i]);
    end(&b);
}

/* ---- leastconn -------------------------------------------------------------------------------------------------- */

typedef struct loaded {
    lb_state *counters;
    bed bed;
} loaded;

static void load(loaded *l, uint32_t member, uint32_t in_flight) {
    lb_counter_write(lb_in_flight(l->counters, member), in_flight);
}

static void start(loaded *l, const uint32_t *weights, const uint32_t *in_flight, uint32_t n) {
    CHECK_EQ(lb_state_new(&l->counters, NULL), LB_OK);
    for (uint32_t i = 0, slot; i < n; i++) {
        CHECK_EQ(lb_state_take(l->counters, &slot, NULL), LB_OK);
        load(l, i, in_flight[i]);
    }
    CHECK_EQ(make(&l->bed, named("leastconn_haproxy"), view_of(weights, n, SEED, l->counters), NULL, NULL), LB_OK);
}

static void stop(loaded *l) {
    end(&l->bed);
    lb_state_free(l->counters);
}

static void leastconn_takes_the_idle_whatever_their_weight(void) {
    /* keys (1+1)*256/9 = 56, 0, (3+1)*256/4 = 256, 0; weight 0 */
    static const uint32_t weights[] = {9, 1, 4, 2, 0}, in_flight[] = {1, 0, 3, 0, 0};
    loaded l;
    start(&l, weights, in_flight, 5);
    static const uint32_t order[] = {1, 3, 0, 2};
    for (uint32_t s = 0; s < 4; s++) CHECK_EQ(ask(&l.bed, s, true), order[s]);
    for (uint32_t s = 4; s < 8; s++) CHECK_EQ(ask(&l.bed, s, true), (2 + s - 3) % 4);
    for (uint32_t s = 0; s < 4; s++) CHECK_EQ(ask(&l.bed, s, false), order[s]);
    stop(&l);
}

/* Who was skipped stands where it stood; who was given goes behind its equals. */
static void leastconn_puts_the_skipped_back(void) {
    static const uint32_t weights[] = {1, 1, 1, 1}, idle[] = {0, 0, 0, 0};
    loaded l;
    start(&l, weights, idle, 4);
    for (uint32_t s = 0; s < 3; s++) CHECK_EQ(ask(&l.bed, s, false), s);
    load(&l, 2, 1);                                                    /* the call of the last step */
    static const uint32_t order[] = {0, 1, 3, 2};
    for (uint32_t s = 0; s < 4; s++) CHECK_EQ(ask(&l.bed, s, true), order[s]);
    stop(&l);
}

static void leastconn_files_what_ended_in_the_order_of_its_ends(void) {
    static const uint32_t weights[] = {1, 1, 1, 1}, busy[] = {0, 0, 0, 0};
    loaded l;
    lb_seen seen = {0};
    start(&l, weights, busy, 4);
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_EQ(next(&l.bed), i);
        load(&l, i, 1);
    }
    static const uint32_t ends[] = {2, 0, 3}, then[] = {2, 0, 3, 1};
    for (int i = 0; i < 3; i++) {
        l.bed.policy->observe(l.bed.state, l.counters, ends[i], &seen);
        load(&l, ends[i], 0);
    }
    load(&l, 1, 0);                                                    /* noticed at the next pick */
    for (uint32_t s = 0; s < 4; s++) CHECK_EQ(ask(&l.bed, s, true), then[s]);
    CHECK_EQ(next(&l.bed), 2);
    stop(&l);
}

static void leastconn_goes_on_in_the_next_view(void) {
    static const uint32_t weights[] = {1, 1, 1}, old_index[] = {2, LB_NONE, 0};
    for (int with_state = 0; with_state < 2; with_state++) {
        lb_state *state = NULL;
        if (with_state) {
            CHECK_EQ(lb_state_new(&state, NULL), LB_OK);
            for (uint32_t i = 0, slot; i < 4; i++) CHECK_EQ(lb_state_take(state, &slot, NULL), LB_OK);
        }
        bed a, b;
        CHECK_EQ(make(&a, named("leastconn_haproxy"), view_of(weights, 3, SEED, state), NULL, NULL), LB_OK);
        CHECK_EQ(next(&a), 0);
        CHECK_EQ(next(&a), 1);
        lb_view *view = view_of(weights, 3, SEED, state);
        view->slot[0] = 2, view->slot[1] = 3, view->slot[2] = 0;
        CHECK_EQ(make(&b, named("leastconn_haproxy"), view, &a, old_index), LB_OK);
        CHECK_EQ(next(&b), 0);                                         /* the one that was third */
        CHECK_EQ(next(&b), 2);                                         /* then the first; the newcomer last */
        CHECK_EQ(next(&b), 1);
        end(&a);
        end(&b);
        lb_state_free(state);
    }
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static const lb_policy *tested;
static int tested_param;
static double tested_value;

static lb_status build_once(void) {
    static const uint32_t weights[] = {3, 0, 2, 1, 4};
    double param[LB_MAX_PARAMS];
    lb_policy_defaults(tested, param);
    param[tested_param] = tested_value;
    bed b;
    lb_status status = make_with(&b, tested, param, view_of(weights, 5, SEED, NULL), NULL, NULL);
    if (status == LB_OK) end(&b);
    return status;
}

/* Those that the defaults do not reach. */
static void every_allocation_may_fail(void) {
    tested = named("chash_haproxy");
    tested_param = 3;
    tested_value = 150;
    CHECK(every_allocation_fails_once(build_once) >= 5);
    tested = named("source_haproxy");
    tested_param = 0;
    tested_value = 1;
    CHECK(every_allocation_fails_once(build_once) >= 5);
}

int main(void) {
    printf("seed %u\n", SEED);
    RUN(none_reads_a_number);
    RUN(a_given_hash_stands_for_the_functions_result);
    RUN(a_walk_reaches_everybody_and_ends);
    RUN(an_empty_key_takes_turns_and_peeking_none);
    RUN(a_part_agrees_with_the_whole);
    RUN(what_is_wrong_is_told_by_its_place_in_the_whole);
    RUN(the_largest_map_is_exact);
    RUN(static_rr_goes_on_where_it_stood);
    RUN(roundrobin_is_no_smooth_order);
    RUN(roundrobin_holds_the_largest_weights);
    RUN(leastconn_takes_the_idle_whatever_their_weight);
    RUN(leastconn_puts_the_skipped_back);
    RUN(leastconn_files_what_ended_in_the_order_of_its_ends);
    RUN(leastconn_goes_on_in_the_next_view);
    RUN(every_allocation_may_fail);
    return check_result();
}

/* haproxy: what its policies do that recorded picks do not show: walks, peeks, parts of an upstream, what is refused.
 *
 * Picks themselves are compared with recorded ones and with twins, from Python. */
#include "policies.h"

#include "hash/full_hash.h"
#include "hash/xxh32.h"
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

static void every_function_is_its_own(void) {
    static const uint32_t want[] = {1195757874u, 2090756197u, 0, 3632233996u, 0};      /* of "test"; not wt6 */
    lb_key key = {.text = lb_str_of("test")};
    uint32_t plain, mixed;
    for (int f = LB_HAPROXY_SDBM; f <= LB_HAPROXY_NONE; f++) {
        CHECK(lb_haproxy_hash((lb_haproxy_function)f, false, &key, &plain));
        CHECK(lb_haproxy_hash((lb_haproxy_function)f, true, &key, &mixed));
        CHECK_EQ(mixed, lb_full_hash(plain));
        if (f != LB_HAPROXY_WT6) CHECK_EQ(plain, want[f]);
    }
    key.text.len = 0;
    CHECK(!lb_haproxy_hash(LB_HAPROXY_SDBM, false, &key, &plain));
}

static uint32_t source_of(const char *text) {
    lb_key key = {.text = lb_str_of(text)};
    uint32_t hash = 0, mixed = 0;
    CHECK(lb_haproxy_source_hash(false, &key, &hash));
    CHECK(lb_haproxy_source_hash(true, &key, &mixed));
    CHECK_EQ(mixed, lb_full_hash(hash));
    return hash;
}

static void an_address_is_its_words_combined(void) {
    CHECK_EQ(source_of("1.2.3.4"), 0x01020304);
    CHECK_EQ(source_of("255.255.255.255"), UINT32_MAX);
    CHECK_EQ(source_of("::"), 0);
    CHECK_EQ(source_of("::1"), 1);
    CHECK_EQ(source_of("1::"), 0x00010000);
    CHECK_EQ(source_of("2001:DB8::f%eth0"), 0x20010DB8 ^ 0xF);
    CHECK_EQ(source_of("1:2:3:4:5:6:7:8"), 0x00010002 ^ 0x00030004 ^ 0x00050006 ^ 0x00070008);
    CHECK_EQ(source_of("1:2:3:4:5:6:7::"), 0x00010002 ^ 0x00030004 ^ 0x00050006 ^ 0x00070000);
    CHECK_EQ(source_of("::ffff:1.2.3.4"), 0x0000FFFF ^ 0x01020304);
    CHECK_EQ(source_of("1:2:3:4:5:6:1.2.3.4"), 0x00010002 ^ 0x00030004 ^ 0x00050006 ^ 0x01020304);
}

static void what_is_no_address_is_no_key(void) {
    static const char *const wrong[] = {
        "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.04", "1.2.3.", "1.2.3.123456", "1.2.3.x", ":", ":::", "1:",
        "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::12345", "::g", "::1.2.3", "1.2.3.4::",
        "1:2:3:4:5:6:7:1.2.3.4", "%eth0", "[::1]",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        lb_key key = {.text = lb_str_of(wrong[i])};
        uint32_t hash;
        CHECK(!lb_haproxy_source_hash(false, &key, &hash));
    }
}

static void a_server_may_have_a_port(void) {
    static const struct { const char *text; uint32_t n, port; } row[] = {
        {"1.2.3.4", 4, 0}, {"1.2.3.4:", 4, 0}, {"1.2.3.4:80", 4, 80}, {"1.2.3.4:65535", 4, 65535}, {"::1", 16, 0},
        {"[::1]", 16, 0}, {"[::1]:", 16, 0}, {"[::1]:8080", 16, 8080},
        {"", 0, 0}, {"a:80", 0, 0}, {"1.2.3.4:65536", 0, 0}, {"1.2.3.4:080", 0, 0}, {"1.2.3.4:x", 0, 0},
        {"[::1", 0, 0}, {"[::1]80", 0, 0}, {"[::1]]:80", 0, 0}, {":80", 0, 0}, {"unix:s", 0, 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        lb_haproxy_address address;
        uint32_t port = 0;
        bool good = lb_haproxy_endpoint_of(lb_str_of(row[i].text), &address, &port);
        CHECK_EQ(good, row[i].n > 0);
        if (!good) continue;
        CHECK_EQ(address.n, row[i].n);
        CHECK_EQ(port, row[i].port);
    }
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

static void turns_go_on_in_the_next_view(void) {
    static const uint32_t weights[] = {2, 3, 1}, same[] = {0, 1, 2};
    for (int i = 0; i < 3; i++) {
        bed a, b;
        CHECK_EQ(make(&a, named(keyed[i]), view_of(weights, 3, SEED, NULL), NULL, NULL), LB_OK);
        for (int turn = 0; turn < 5; turn++) first_of(&a, "", false);
        CHECK_EQ(make(&b, named(keyed[i]), view_of(weights, 3, SEED, NULL), &a, same), LB_OK);
        for (int turn = 0; turn < 20; turn++) CHECK_EQ(first_of(&b, "", false), first_of(&a, "", false));
        end(&a);
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

/* ---- points and bounds ------------------------------------------------------------------------------------------ */

static lb_status tree_of(lb_haproxy_tree *tree, const lb_name *name, uint32_t n, lb_haproxy_server_key kind,
                         lb_error *err) {
    static const uint32_t weights[] = {1, 2, 3};
    lb_view *view = view_of(weights, n, SEED, NULL);
    view->name = name;
    lb_status status = lb_haproxy_tree_init(tree, view, kind, 0, NULL, err);
    lb_view_free(view);
    return status;
}

static void points_begin_from(lb_haproxy_server_key kind, const lb_name *name, uint32_t key) {
    lb_haproxy_tree tree;
    CHECK_EQ(tree_of(&tree, name, 1, kind, NULL), LB_OK);
    CHECK_EQ(lb_ring_size(tree.ring), LB_HAPROXY_SCALE);
    for (uint32_t j = 0; j < LB_HAPROXY_SCALE; j++) {
        uint32_t at = lb_full_hash(key + j);
        CHECK_EQ(lb_ring_hash(tree.ring, lb_ring_find(tree.ring, at)), at);
    }
    lb_haproxy_tree_clear(&tree);
}

static void each_hash_key_has_its_points(void) {
    const lb_name plain = {.address = lb_str_of("1.2.3.4:80"), .hash_key = lb_str_of("258")};
    const lb_name six = {.address = lb_str_of("[::1]:80")}, bare = {.address = lb_str_of("a")};
    const char one[16] = {[15] = 1};
    points_begin_from(LB_HAPROXY_ID, &bare, 4096);
    points_begin_from(LB_HAPROXY_ID, &plain, 258 * 4096);
    points_begin_from(LB_HAPROXY_ID32, &plain, lb_full_hash(0x02010000));
    points_begin_from(LB_HAPROXY_ADDR, &plain, lb_full_hash(0x04030201));
    points_begin_from(LB_HAPROXY_ADDR_PORT, &plain, lb_full_hash(lb_full_hash(80) + 0x04030201));
    points_begin_from(LB_HAPROXY_ADDR, &six, lb_xxh32(one, 16, 0));
    points_begin_from(LB_HAPROXY_ADDR_PORT, &six, lb_xxh32(one, 16, lb_full_hash(80)));
    points_begin_from(LB_HAPROXY_GUID, &plain, lb_xxh32("258", 3, 0));
    points_begin_from(LB_HAPROXY_ID, NULL, 4096);
}

static void names_that_do_not_serve_are_refused(void) {
    static const struct { lb_haproxy_server_key kind; const char *given[2]; const char *field; } row[] = {
        {LB_HAPROXY_ID, {"", "x"}, "targets[1].hash_key"},     {LB_HAPROXY_ID, {"0", ""}, "targets[0].hash_key"},
        {LB_HAPROXY_ID, {"7", "7"}, "targets[1].hash_key"},    {LB_HAPROXY_ID32, {"2", ""}, "targets[0].hash_key"},
        {LB_HAPROXY_GUID, {"a", ""}, "targets[1].hash_key"},   {LB_HAPROXY_GUID, {"a", "a"}, "targets[1].hash_key"},
        {LB_HAPROXY_ADDR, {"", ""}, "targets[0].address"},
        {LB_HAPROXY_ID, {"2147483648", ""}, "targets[0].hash_key"},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        lb_name name[2];
        for (int t = 0; t < 2; t++) name[t] = (lb_name){lb_str_of("a"), lb_str_of("a"), lb_str_of(row[i].given[t])};
        lb_haproxy_tree tree;
        lb_error err;
        CHECK_EQ(tree_of(&tree, name, 2, row[i].kind, &err), LB_ERR_CONFIG);
        CHECK(strcmp(err.field, row[i].field) == 0);
    }
}

static void points_beyond_4096_are_points_of_their_own(void) {
    static const uint32_t weights[] = {257, 1};
    lb_view *view = view_of(weights, 2, SEED, NULL);
    lb_haproxy_tree tree;
    CHECK_EQ(lb_haproxy_tree_init(&tree, view, LB_HAPROXY_ID, 0, NULL, NULL), LB_OK);
    for (uint32_t j = 0; j < LB_HAPROXY_SCALE; j++) {
        uint32_t next_ids = lb_full_hash(2 * 4096 + j), beyond = lb_full_hash(lb_full_hash(4096 + j) + 1);
        CHECK_EQ(lb_ring_owner(tree.ring, lb_ring_find(tree.ring, next_ids)), 1);
        CHECK_EQ(lb_ring_hash(tree.ring, lb_ring_find(tree.ring, beyond)), beyond);
    }
    lb_haproxy_tree_clear(&tree);
    lb_view_free(view);
}

static void a_bound_of_100_or_less_is_refused(void) {
    const lb_policy *policy = named("chash_haproxy");
    double param[LB_MAX_PARAMS];
    lb_error err;
    lb_policy_defaults(policy, param);
    CHECK_EQ(policy->check(param, &err), LB_OK);
    param[3] = 101;
    CHECK_EQ(policy->check(param, &err), LB_OK);
    param[3] = 100;
    CHECK_EQ(policy->check(param, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "hash_balance_factor") == 0);
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

/* ---- loads ------------------------------------------------------------------------------------------------------ */

typedef struct loaded {
    lb_state *counters;
    bed bed;
} loaded;

static void load(loaded *l, uint32_t member, uint32_t in_flight) {
    lb_counter_write(lb_in_flight(l->counters, member), in_flight);
}

static void start_with(loaded *l, const lb_policy *policy, const double *param, const uint32_t *weights,
                       const uint32_t *in_flight, uint32_t n) {
    CHECK_EQ(lb_state_new(&l->counters, NULL, (lb_mark){0}, NULL), LB_OK);
    for (uint32_t i = 0, slot; i < n; i++) {
        CHECK_EQ(lb_state_take(l->counters, NULL, &slot, NULL), LB_OK);
        load(l, i, in_flight[i]);
    }
    lb_view *view = view_of(weights, n, SEED, l->counters);
    CHECK_EQ(make_with(&l->bed, policy, param, view, NULL, NULL), LB_OK);
}

static void start(loaded *l, const uint32_t *weights, const uint32_t *in_flight, uint32_t n) {
    start_with(l, named("leastconn_haproxy"), NULL, weights, in_flight, n);
}

static void stop(loaded *l) {
    end(&l->bed);
    lb_state_free(l->counters);
}

static void a_bound_passes_over_who_has_no_slot_left(void) {
    static const uint32_t weights[] = {1, 1, 1, 1, 1}, idle[] = {0, 0, 0, 0, 0};
    static const struct { const char *key; uint32_t member; } recorded[] = {
        {"622118", 2}, {"622118", 1}, {"622118", 3}, {"session=cd2ot567qy30t4dr; tenant=6", 0},
    };
    double param[LB_MAX_PARAMS];
    lb_policy_defaults(named("chash_haproxy"), param);
    param[3] = 125;
    loaded l;
    start_with(&l, named("chash_haproxy"), param, weights, idle, 5);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(first_of(&l.bed, recorded[i].key, false), recorded[i].member);
        load(&l, recorded[i].member, 1);
    }
    lb_walk walk = walk_of(&l.bed, "622118", false);            /* 7 slots: 1 1 2 1 2, of which 1 1 1 1 0 are in use */
    uint32_t open = 0;
    for (uint32_t member; (member = step_of(&l.bed, &walk)) != LB_NONE;) open |= 1u << member;
    CHECK_EQ(open, 1u << 2 | 1u << 4);
    stop(&l);
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
            CHECK_EQ(lb_state_new(&state, NULL, (lb_mark){0}, NULL), LB_OK);
            for (uint32_t i = 0, slot; i < 4; i++) CHECK_EQ(lb_state_take(state, NULL, &slot, NULL), LB_OK);
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

static lb_status build_guids(void) {
    static const uint32_t weights[] = {3, 0, 2};
    static const char *const guids[] = {"a", "b", "c"};
    lb_view *view = view_of(weights, 3, SEED, NULL);
    lb_name name[3];
    for (int i = 0; i < 3; i++) name[i] = (lb_name){.hash_key = lb_str_of(guids[i])};
    lb_haproxy_tree tree;
    lb_status status = LB_ERR_NOMEM;
    if (view) {
        view->name = name;
        status = lb_haproxy_tree_init(&tree, view, LB_HAPROXY_GUID, 0, NULL, NULL);
    }
    if (status == LB_OK) lb_haproxy_tree_clear(&tree);
    lb_view_free(view);
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
    CHECK(every_allocation_fails_once(build_guids) >= 8);
}

int main(void) {
    printf("seed %u\n", SEED);
    RUN(none_reads_a_number);
    RUN(every_function_is_its_own);
    RUN(an_address_is_its_words_combined);
    RUN(what_is_no_address_is_no_key);
    RUN(a_server_may_have_a_port);
    RUN(a_given_hash_stands_for_the_functions_result);
    RUN(a_walk_reaches_everybody_and_ends);
    RUN(an_empty_key_takes_turns_and_peeking_none);
    RUN(turns_go_on_in_the_next_view);
    RUN(a_part_agrees_with_the_whole);
    RUN(what_is_wrong_is_told_by_its_place_in_the_whole);
    RUN(each_hash_key_has_its_points);
    RUN(names_that_do_not_serve_are_refused);
    RUN(points_beyond_4096_are_points_of_their_own);
    RUN(a_bound_of_100_or_less_is_refused);
    RUN(a_bound_passes_over_who_has_no_slot_left);
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

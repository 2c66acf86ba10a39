/* nginx: the policies that pick as nginx does, beside a slow model; what their tables share and what they refuse. */
#include "policies.h"

#include "base/ip.h"
#include "hash/crc32.h"

#define SEED 20240614u

enum { MOST = 12, TRIES = 21, LOOK = 64 };

static const lb_policy *named(const char *name) { return lb_policy_find(lb_str_of(name)); }

/* ---- addresses -------------------------------------------------------------------------------------------------- */

static void addresses_are_read(void) {
    static const struct { const char *text; int n; unsigned char bytes[16]; } good[] = {
        {"1.2.3.4", 4, {1, 2, 3, 4}},
        {"0.0.0.0", 4, {0}},
        {"255.255.255.255", 4, {255, 255, 255, 255}},
        {"::", 16, {0}},
        {"::1", 16, {[15] = 1}},
        {"1::", 16, {0, 1}},
        {"1:2:3:4:5:6:7:8", 16, {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8}},
        {"1:2:3:4:5:6:7::", 16, {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7}},
        {"::2:3:4:5:6:7:8", 16, {0, 0, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8}},
        {"2001:DB8::fFfF:0a", 16, {0x20, 0x01, 0x0D, 0xB8, [12] = 0xFF, 0xFF, 0, 0x0A}},
        {"::ffff:1.2.3.4", 16, {[10] = 0xFF, 0xFF, 1, 2, 3, 4}},
        {"1:2:3:4:5:6:1.2.3.4", 16, {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 1, 2, 3, 4}},
        {"fe80::1%eth0", 16, {0xFE, 0x80, [15] = 1}},
    };
    static const char *const bad[] = {
        "", "1", "1.2.3", "1.2.3.", "1.2.3.4.", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1..3.4", "1.2.3.4 ", " 1.2.3.4",
        "1.2.3.4:80", "a.b.c.d", ":", ":::", "::1::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:", ":1",
        "1:2:3:4:5:6:7:8:", "::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", "12345::", "g::", "[::1]", "::1.2.3", "1.2.3.4::",
        "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:1", "%eth0", "1.2.3.4%eth0",
    };
    unsigned char bytes[16];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        memset(bytes, 0xEE, sizeof bytes);
        CHECK_EQ(lb_ip_read(lb_str_of(good[i].text), bytes), good[i].n);
        CHECK(memcmp(bytes, good[i].bytes, (size_t)good[i].n) == 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_EQ(lb_ip_read(lb_str_of(bad[i]), bytes), 0);
    CHECK_EQ(lb_ip_read((lb_str){NULL, 0}, bytes), 0);
}

/* ---- the model -------------------------------------------------------------------------------------------------- */

typedef struct model {
    uint32_t n;
    uint32_t full[MOST], weight[MOST];
    const char *text[MOST];
    int64_t current[MOST];
    bool given[MOST];               /* in the present ask */
} model;

/* The turn among the usable members that have not been given and whose text is `text` (NULL: any). */
static uint32_t model_turn(model *m, const char *text) {
    uint32_t best = LB_NONE;
    int64_t total = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->weight[i] == 0 || m->given[i] || (text && strcmp(m->text[i], text) != 0)) continue;
        m->current[i] += m->weight[i];
        total += m->weight[i];
        if (best == LB_NONE || m->current[i] > m->current[best]) best = i;
    }
    if (best == LB_NONE) return best;
    m->current[best] -= total;
    m->given[best] = true;
    return best;
}

static uint32_t model_at(const model *m, uint64_t unit) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->n; i++) sum += m->full[i];
    unit %= sum;
    for (uint32_t i = 0;; unit -= m->full[i++])
        if (unit < m->full[i]) return i;
}

/* The crc32 that a ring's points go on from; texts are "host:port", "unix:path" or a bare host. */
static uint32_t model_base(const char *text) {
    char base[64];
    const char *colon = strchr(text, ':');
    bool local = strncmp(text, "unix:", 5) == 0;
    size_t host = local ? strlen(text) - 5 : colon ? (size_t)(colon - text) : strlen(text);
    memcpy(base, local ? text + 5 : text, host);
    base[host] = 0;
    size_t port = local || !colon ? 0 : strlen(colon + 1);
    if (port) memcpy(base + host + 1, colon + 1, port);
    return lb_crc32_more(UINT32_MAX, base, host + 1 + port);
}

typedef struct point { uint32_t hash, owner; } point;

static int by_hash(const void *one, const void *other) {
    const point *a = one, *b = other;
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    return (a->owner > b->owner) - (a->owner < b->owner);
}

static point ring[MOST * 160 * 4];      /* of the model drawn last */
static uint32_t n_points;

static void model_ring(const model *m) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t base = model_base(m->text[i]), last = 0;
        for (uint32_t k = 0; k < m->full[i] * 160; k++) {
            unsigned char le[4] = {(unsigned char)last, (unsigned char)(last >> 8), (unsigned char)(last >> 16),
                                   (unsigned char)(last >> 24)};
            last = ~lb_crc32_more(base, (const char *)le, 4);
            ring[n++] = (point){last, i};
        }
    }
    qsort(ring, n, sizeof *ring, by_hash);
    n_points = 0;
    for (uint32_t i = 0; i < n; i++)
        if (n_points == 0 || ring[n_points - 1].hash != ring[i].hash) ring[n_points++] = ring[i];
}

/* The owner of the point that is `ahead` behind the first at or after `hash`. */
static uint32_t model_point(uint32_t hash, uint32_t ahead) {
    uint32_t from = 0;
    while (from < n_points && ring[from].hash < hash) from++;
    return ring[(from + ahead) % n_points].owner;
}

static uint32_t model_hash(const model *m, const char *key, uint32_t last) {
    uint64_t sum = 0;
    for (uint32_t r = 0; r <= last; r++) {
        char text[64];
        int n = r ? snprintf(text, sizeof text, "%u%s", r, key) : snprintf(text, sizeof text, "%s", key);
        sum += lb_crc32(text, (size_t)n) >> 16 & 0x7FFF;
    }
    return model_at(m, sum);
}

static uint32_t model_ip_hash(const model *m, const char *key, uint32_t last) {
    unsigned char bytes[16];
    CHECK_EQ(lb_ip_read(lb_str_of(key), bytes), 4);
    uint32_t h = 89;
    for (uint32_t r = 0; r <= last; r++)
        for (int i = 0; i < 3; i++) h = (h * 113 + bytes[i]) % 6271;
    return model_at(m, h);
}

/* All that a walk gives, into out[]; how many. */
static uint32_t model_walk(model *m, const lb_policy *policy, const char *key, uint32_t *out) {
    uint32_t n = 0;
    bool chash = policy == named("ketama_nginx"), plain = policy == named("hash_nginx");
    memset(m->given, 0, sizeof m->given);
    for (uint32_t r = 0; r < TRIES; r++) {
        uint32_t member = chash ? model_point(lb_crc32(key, strlen(key)), r)
                          : plain ? model_hash(m, key, r) : model_ip_hash(m, key, r);
        bool twins = false;
        for (uint32_t i = 0; i < m->n; i++) twins |= i != member && strcmp(m->text[i], m->text[member]) == 0;
        if (chash && twins) {
            for (uint32_t got; (got = model_turn(m, m->text[member])) != LB_NONE;) out[n++] = got;
        } else if (m->weight[member] > 0) {
            out[n++] = member;
            m->given[member] = true;
        }
    }
    while ((out[n] = model_turn(m, NULL)) != LB_NONE) n++;
    return n;
}

/* ---- walks ------------------------------------------------------------------------------------------------------ */

static lb_name name_of[MOST];

static lb_view *view_of_model(const model *m) {
    lb_view *view = view_of(m->full, m->n, 0, NULL);
    if (!view) return NULL;
    memcpy(view->weight, m->weight, m->n * sizeof *view->weight);
    for (uint32_t i = 0; i < m->n; i++) name_of[i] = (lb_name){.address = lb_str_of(m->text[i])};
    view->name = name_of;
    lb_view_close(view);
    return view;
}

/* The members of a whole walk; each once at most, since a core skips those that it has had. */
static uint32_t whole_walk(bed *b, const char *key, bool peek, uint32_t *out) {
    uint32_t n = 0;
    bool seen[MOST] = {false};
    lb_walk walk = {.key = {.text = lb_str_of(key)}, .rng = &b->rng, .peek = peek};
    for (;; walk.step++) {
        uint32_t member = b->policy->walk(b->state, b->view, &walk);
        if (member == LB_NONE) return n;
        if (!seen[member]) out[n++] = member;
        seen[member] = true;
    }
}

static uint32_t once_each(uint32_t *list, uint32_t n) {
    uint32_t kept = 0;
    bool seen[MOST] = {false};
    for (uint32_t i = 0; i < n; i++) {
        if (!seen[list[i]]) list[kept++] = list[i];
        seen[list[i]] = true;
    }
    return kept;
}

static void check_walk(bed *b, model *m, const char *key) {
    uint32_t want[MOST + TRIES + 1], told[MOST], got[MOST];
    uint32_t n = once_each(want, model_walk(m, b->policy, key, want));
    CHECK_EQ(whole_walk(b, key, true, told), n);
    CHECK_EQ(whole_walk(b, key, false, got), n);
    for (uint32_t i = 0; i < n; i++) {
        CHECK_EQ(told[i], want[i]);
        CHECK_EQ(got[i], want[i]);
    }
}

static void draw_model(model *m, lb_rng *rng, bool twins) {
    static char text[MOST][24];
    *m = (model){.n = 2 + lb_rng_below(rng, MOST - 1)};
    uint32_t alive = lb_rng_below(rng, 4);
    for (uint32_t i = 0; i < m->n; i++) {
        m->full[i] = 1 + lb_rng_below(rng, 3);
        m->weight[i] = lb_rng_below(rng, 4) <= alive ? m->full[i] : 0;
        uint32_t host = twins ? lb_rng_below(rng, 3) : i;
        snprintf(text[i], sizeof text[i], host % 3 == 0 ? "10.0.0.%u:80" : host % 3 == 1 ? "unix:/s%u" : "h%u", host);
        m->text[i] = text[i];
    }
    model_ring(m);
}

static void walks_are_the_models(void) {
    static const char *const keyed[] = {"ketama_nginx", "hash_nginx", "ip_hash_nginx", "ketama_nginx"};
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    for (int round = 0; round < 240; round++) {
        model m;
        bed b;
        draw_model(&m, &rng, round % 4 == 3);
        CHECK_EQ(make(&b, named(keyed[round % 4]), view_of_model(&m), NULL, NULL), LB_OK);
        for (int i = 0; i < 5; i++) {
            char key[24];
            snprintf(key, sizeof key, "10.%u.%u.1", lb_rng_below(&rng, 256), lb_rng_below(&rng, 256));
            check_walk(&b, &m, key);
        }
        end(&b);
    }
}

/* Whoever is behind 21 tries in vain comes by smooth turns: here the key always names the one that is down. */
static void after_21_tries_the_turns_decide(void) {
    static const char *const keyed[] = {"ketama_nginx", "hash_nginx", "ip_hash_nginx"};
    for (int p = 0; p < 3; p++) {
        model m = {.n = 3, .full = {1000, 1, 1}, .weight = {0, 1, 1}, .text = {"a", "b", "c"}};
        bed b;
        make(&b, named(keyed[p]), view_of_model(&m), NULL, NULL);
        uint32_t seen[3] = {0};
        for (uint32_t i = 0; i < 200; i++) {
            char key[24];
            snprintf(key, sizeof key, "10.%u.0.1", i);
            lb_walk walk = {.key = {.text = lb_str_of(key)}, .rng = &b.rng};
            seen[b.policy->walk(b.state, b.view, &walk)]++;
        }
        CHECK_EQ(seen[0], 0);
        CHECK(seen[1] > 90 && seen[1] < 110);       /* each of 21 tries hits one of the two in 1 of 500 */
        end(&b);
    }
}

static void what_cannot_be_hashed_goes_in_turn(void) {
    static const char *const policy[] = {"ketama_nginx", "hash_nginx", "ip_hash_nginx", "ip_hash_nginx"};
    static const char *const key[] = {"", "", "", "10.0.0.1:80"};
    for (int p = 0; p < 4; p++) {
        model m = {.n = 3, .full = {2, 1, 1}, .weight = {2, 1, 1}, .text = {"a", "b", "c"}};
        bed b;
        make(&b, named(policy[p]), view_of_model(&m), NULL, NULL);
        static const uint32_t order[] = {0, 1, 2, 0, 0, 1, 2, 0};
        for (int i = 0; i < 8; i++) {
            lb_walk walk = {.key = {.text = lb_str_of(key[p])}, .rng = &b.rng};
            CHECK_EQ(b.policy->walk(b.state, b.view, &walk), order[i]);
        }
        end(&b);
    }
}

/* The hash of try 0 is the key's; later tries hash its low four bytes, the lowest first. */
static void a_hashed_key_goes_on_with_its_bytes(void) {
    static const uint32_t weights[] = {3, 1, 4, 1, 5};
    static const char bytes[] = {4, 3, 2, 1};
    const uint32_t hash = 0x01020304;
    model m = {.n = 5, .full = {3, 1, 4, 1, 5}};
    bed plain, ip;
    make(&plain, named("hash_nginx"), view_of(weights, 5, 0, NULL), NULL, NULL);
    make(&ip, named("ip_hash_nginx"), view_of(weights, 5, 0, NULL), NULL, NULL);
    lb_key key = {.text = lb_str_of("16909060"), .hash = 0xAAAAAAAA00000000u + hash, .hashed = true};
    lb_walk by_sum = {.key = key, .rng = &plain.rng}, by_address = {.key = key, .rng = &ip.rng};
    uint64_t sum = hash >> 16 & 0x7FFF, h = hash;
    for (uint32_t r = 0; r < TRIES; r++, by_sum.step++, by_address.step++) {
        char text[8];
        int n = snprintf(text, sizeof text, "%u", r);
        memcpy(text + n, bytes, 4);
        if (r > 0) sum += lb_crc32(text, (size_t)n + 4) >> 16 & 0x7FFF;
        for (int i = 0; r > 0 && i < 4; i++) h = (h * 113 + (unsigned char)bytes[i]) % 6271;
        CHECK_EQ(plain.policy->walk(plain.state, plain.view, &by_sum), model_at(&m, sum));
        CHECK_EQ(ip.policy->walk(ip.state, ip.view, &by_address), model_at(&m, h));
    }
    end(&plain);
    end(&ip);
}

static void a_client_on_a_socket_has_three_zeros(void) {
    static const uint32_t weights[] = {3, 1, 4, 1, 5};
    model m = {.n = 5, .full = {3, 1, 4, 1, 5}};
    bed b;
    make(&b, named("ip_hash_nginx"), view_of(weights, 5, 0, NULL), NULL, NULL);
    lb_walk walk = {.key = {.text = lb_str_of("unix:")}, .rng = &b.rng};
    for (; walk.step < TRIES; walk.step++)
        CHECK_EQ(b.policy->walk(b.state, b.view, &walk), model_ip_hash(&m, "0.0.0.1", walk.step));
    end(&b);
}

static void peeks_end_after_64_turns(void) {
    static uint32_t weights[100];
    static const char *const policy[] = {"smooth_nginx", "least_conn_nginx", "hash_nginx"};
    for (uint32_t i = 0; i < 100; i++) weights[i] = 1;
    for (int p = 0; p < 3; p++) {
        bed b;
        make(&b, named(policy[p]), view_of(weights, 100, 0, NULL), NULL, NULL);
        if (b.policy->walk) {
            lb_walk walk = {.rng = &b.rng, .peek = true};
            for (; walk.step < LOOK; walk.step++) CHECK_EQ(b.policy->walk(b.state, b.view, &walk), walk.step);
            CHECK_EQ(b.policy->walk(b.state, b.view, &walk), LB_NONE);
        } else {
            for (uint32_t s = 0; s < LOOK; s++) CHECK_EQ(ask(&b, s, true), s);
            CHECK_EQ(ask(&b, LOOK, true), LB_NONE);
        }
        end(&b);
    }
}

/* ---- smooth turns ----------------------------------------------------------------------------------------------- */

/* The heavy one is spread; after a round everybody stands at 0 and it is the same again. */
static void turns_are_smooth(void) {
    static const uint32_t weights[] = {5, 1, 1}, order[] = {0, 0, 1, 0, 2, 0, 0};
    bed b;
    make(&b, named("smooth_nginx"), view_of(weights, 3, 0, NULL), NULL, NULL);
    for (int i = 0; i < 21; i++) CHECK_EQ(next(&b), order[i % 7]);
    end(&b);
}

/* Those given in an ask are no candidates; their current weights stand still meanwhile. */
static void an_ask_gives_each_once(void) {
    static const uint32_t weights[] = {4, 2, 1};
    bed b;
    make(&b, named("smooth_nginx"), view_of(weights, 3, 0, NULL), NULL, NULL);
    /* 4 2 1: 0 pays 7: -3 2 1.  Then 4 2: 1 pays 3: -3 1 2.  Then 3: 2 pays 1: -3 1 2.  All given: 1 3 3: 1. */
    static const uint32_t steps[] = {0, 1, 2, 1};
    for (uint32_t s = 0; s < 4; s++) CHECK_EQ(ask(&b, s, false), steps[s]);
    CHECK_EQ(next(&b), 0);                          /* 1 -4 3, and then 5 -2 4 */
    end(&b);
}

static void current_weights_are_taken_over(void) {
    static const uint32_t weights[] = {3, 1, 1}, without[] = {3, 0, 1}, fewer[] = {1, 3};
    static const uint32_t same[] = {0, 1, 2}, turned[] = {2, 0};
    bed a, b, c;
    make(&a, named("smooth_nginx"), view_of(weights, 3, 0, NULL), NULL, NULL);
    CHECK_EQ(next(&a), 0);                          /* -2 1 1 */
    lb_view *down = view_of(weights, 3, 0, NULL);
    memcpy(down->weight, without, sizeof without);
    lb_view_close(down);
    make(&b, a.policy, down, &a, same);
    CHECK_EQ(next(&b), 2);                          /* 1 . 2, and then 1 1 -2 */
    make(&c, a.policy, view_of(fewer, 2, 0, NULL), &b, turned);
    static const uint32_t order[] = {1, 1, 1, 0};   /* from -2 1: -1 4, then 0 3, 1 2, 2 1 */
    for (int i = 0; i < 4; i++) CHECK_EQ(next(&c), order[i]);
    end(&a);
    end(&b);
    end(&c);
}

/* A debt of large weights is one round of small ones at most. */
static void debts_shrink_with_the_weights(void) {
    static const uint32_t large[] = {1000, 1000, 1}, small[] = {1, 1, 1}, same[] = {0, 1, 2};
    bed a, b;
    make(&a, named("smooth_nginx"), view_of(large, 3, 0, NULL), NULL, NULL);
    CHECK_EQ(next(&a), 0);                          /* -1001 1000 1 */
    make(&b, a.policy, view_of(small, 3, 0, NULL), &a, same);
    static const uint32_t order[] = {1, 2, 1, 2, 0};    /* from -3 3 1 */
    for (int i = 0; i < 5; i++) CHECK_EQ(next(&b), order[i]);
    end(&a);
    end(&b);
}

/* ---- least_conn_nginx ------------------------------------------------------------------------------------------- */

static void the_least_loaded_by_weight_comes_first(void) {
    static const uint32_t weights[] = {4, 2, 1, 2, 0}, in_flight[] = {4, 1, 1, 1, 0};
    lb_state *counters;
    uint32_t slot;
    CHECK_EQ(lb_state_new(&counters, NULL, (lb_mark){0}, NULL), LB_OK);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(lb_state_take(counters, NULL, &slot, NULL), LB_OK);
        lb_counter_write(lb_in_flight(counters, slot), in_flight[i]);
    }
    bed b;
    make(&b, named("least_conn_nginx"), view_of(weights, 5, 0, counters), NULL, NULL);
    /* Loads 1, 1/2, 1, 1/2: members 1 and 3 in turn, the others' current weights stand still. */
    for (uint32_t i = 0; i < 6; i++) CHECK_EQ(next(&b), i % 2 ? 3 : 1);
    static const uint32_t steps[] = {1, 3, 0, 2};   /* of 0 and 2 the turn is the heavier one's */
    for (uint32_t s = 0; s < 4; s++) CHECK_EQ(ask(&b, s, true), steps[s]);
    for (uint32_t s = 0; s < 4; s++) CHECK_EQ(ask(&b, s, false), steps[s]);
    lb_counter_write(lb_in_flight(counters, 2), 0);
    for (uint32_t i = 0; i < 3; i++) CHECK_EQ(next(&b), 2);     /* idle, alone: no turn */
    end(&b);
    lb_state_free(counters);
}

/* ---- the ring's table ------------------------------------------------------------------------------------------- */

static uint32_t change;             /* 0: none, only one build; 1: health; 2: a weight; 3: a text */

static lb_status build_again(void) {
    static const uint32_t same[] = {0, 1, 2, 3};
    model m = {.n = 4, .full = {1, 2, 2, 1}, .weight = {1, 2, 2, 1}, .text = {"a:1", "b:1", "c:1", "a:1"}};
    bed a, b;
    lb_status status = make(&a, named("ketama_nginx"), view_of_model(&m), NULL, NULL);
    if (status || change == 0) {
        if (!status) end(&a);
        return status;
    }
    if (change == 1) m.weight[1] = 0;
    if (change == 2) m.full[1] = m.weight[1] = 3;
    if (change == 3) m.text[1] = "d:1";
    status = make(&b, a.policy, view_of_model(&m), &a, same);
    end(&a);                        /* first: the table is the younger one's too */
    if (status == LB_OK) {
        CHECK(next(&b) != LB_NONE);
        end(&b);
    }
    return status;
}

static void health_makes_no_new_ring(void) {
    int allocations[4];
    for (change = 0; change < 4; change++) allocations[change] = every_allocation_fails_once(build_again);
    CHECK_EQ(allocations[1] - allocations[0], 6);   /* the View, the state, and four of smooth turns */
    CHECK_EQ(allocations[2], 2 * allocations[0]);
    CHECK_EQ(allocations[3], 2 * allocations[0]);
}

static void a_ring_that_is_too_large_is_refused(void) {
    static const uint32_t weights[] = {104857, 0, 1};
    lb_view *view = view_of(weights, 3, 0, NULL);
    void *state = NULL;
    lb_error err;
    CHECK_EQ(named("ketama_nginx")->build(&state, view, NULL, NULL, NULL, &err), LB_ERR_CONFIG);
    CHECK(state == NULL && strcmp(err.field, "targets") == 0);
    CHECK(strcmp(err.reason, "their weights add up to 104858; this ring holds at most 104857") == 0);
    lb_view_free(view);
}

int main(void) {
    printf("seed %u\n", SEED);
    RUN(addresses_are_read);
    RUN(walks_are_the_models);
    RUN(after_21_tries_the_turns_decide);
    RUN(what_cannot_be_hashed_goes_in_turn);
    RUN(a_hashed_key_goes_on_with_its_bytes);
    RUN(a_client_on_a_socket_has_three_zeros);
    RUN(peeks_end_after_64_turns);
    RUN(turns_are_smooth);
    RUN(an_ask_gives_each_once);
    RUN(current_weights_are_taken_over);
    RUN(debts_shrink_with_the_weights);
    RUN(the_least_loaded_by_weight_comes_first);
    RUN(health_makes_no_new_ring);
    RUN(a_ring_that_is_too_large_is_refused);
    return check_result();
}

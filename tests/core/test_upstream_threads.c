/* upstream under contention: two pickers, one who reports health, and one writer who updates, for the usual policies and for
 * those whose picks wait for each other.  Run under ThreadSanitizer by `sh tools/core.sh threads`.
 *
 * Users carry the number of the update that made them and are freed for good once the writer is told that nobody is in an
 * older picture: AddressSanitizer, and a mark in each, say whether a picker ever got one that was gone.
 */
#if defined(_WIN32)
#include <stdio.h>
int main(void) {
    printf("skipped: needs POSIX threads\n");
    return 0;
}
#else
#include "upstreams.h"

#include <pthread.h>

enum { POOL = 16, LEAST = 5, PICKERS = 2 };
#define SEED 20240831u
#define ALIVE 0x600DF00Du

/* What the embedder keeps of one target list. */
typedef struct generation {
    struct generation *next;
    uint64_t number;
    struct user {
        lb_counter alive;
        uint64_t number;
        lb_str address;
    } user[POOL];
} generation;

typedef struct scene {
    const lb_policy *policy;
    lb_upstream *up;
    pthread_mutex_t lock;           /* the writer's */
    uint32_t n_updates, n_picks;    /* to be made, by each picker */
    uint32_t limit;                 /* calls on one target; 0: any number */
    lb_word now_ns;
    lb_flag over;                   /* the writer has made its updates */
    lb_word picked, begun, without;
    generation *present, *old;      /* the oldest last */
    uint32_t n_old;
    char address[POOL][16];
} scene;

typedef struct cast {
    scene *s;
    lb_reader *reader;
    lb_rng rng;
} cast;

static cast enter_scene(scene *s, uint64_t seed) {
    cast c = {.s = s};
    lb_rng_seed(&c.rng, seed);
    pthread_mutex_lock(&s->lock);
    CHECK_EQ(lb_reader_new(&c.reader, s->up, seed, NULL), LB_OK);
    pthread_mutex_unlock(&s->lock);
    return c;
}

static void leave_scene(cast *c) {
    pthread_mutex_lock(&c->s->lock);
    lb_reader_free(c->reader);
    pthread_mutex_unlock(&c->s->lock);
}

static uint64_t now(scene *s) { return lb_word_add(&s->now_ns, 1000) + 1000; }

/* ---- pickers ---------------------------------------------------------------------------------------------------- */

/* Everything that was picked belongs to the one picture that the reader is in. */
static void check_belongs(const lb_view *view, const lb_chosen *got) {
    const struct user *user = got->user, *first = view->user[0];
    CHECK(got->member < view->n_members && view->user[got->member] == got->user);
    CHECK(view->slot[got->member] == got->slot);
    CHECK_EQ(lb_counter_read(&user->alive), ALIVE);
    CHECK_EQ(user->number, first->number);
    CHECK(lb_str_equal(user->address, view->name[got->member].address));
}

static bool choose(cast *c, lb_call *call) {
    uint64_t text = lb_rng_next(&c->rng);
    lb_key key = {.text = {(const char *)&text, sizeof text}};
    lb_want want = {.key = &key};
    lb_chosen got;
    const lb_view *view = lb_reader_enter(c->reader);
    bool found = call ? lb_reader_begin(c->reader, &want, now(c->s), &got, call)
                      : lb_reader_choose(c->reader, &want, 0, &got);
    if (found) check_belongs(view, &got);
    if (found && call && c->s->limit)
        CHECK(lb_counter_read(lb_in_flight(lb_upstream_state(c->s->up), call->slot)) <= c->s->limit);
    lb_reader_leave(c->reader);
    lb_word_add(found ? call ? &c->s->begun : &c->s->picked : &c->s->without, 1);
    return found;
}

static void report(cast *c, lb_call *call, uint32_t failures_percent) {
    bool failed = lb_rng_below(&c->rng, 100) < failures_percent;
    lb_report report = {.outcome = {.verdict = failed ? LB_FAILURE : LB_SUCCESS, .status = failed ? 503 : 200},
                        .latency_ns = 1000 + lb_rng_below(&c->rng, 100000)};
    if (lb_rng_below(&c->rng, 500) == 0) report.pause_ns = 20000;
    lb_reader_report(c->reader, call, &report, now(c->s));
}

static void *pick_and_call(void *context) {
    cast *c = context;
    lb_call open[8];
    uint32_t n_open = 0;
    for (uint32_t i = 0; i < c->s->n_picks || !lb_flag_read(&c->s->over); i++) {
        if (i % 4 || n_open == 8) (void)choose(c, NULL);
        else n_open += choose(c, &open[n_open]);
        if (n_open && lb_rng_below(&c->rng, 4) == 0) {
            lb_call *call = &open[--n_open];
            report(c, call, 2);
            lb_reader_release(c->reader, call);
        }
    }
    while (n_open) lb_reader_release(c->reader, &open[--n_open]);
    return NULL;
}

/* ---- who reports health: by calls that fail, and by hand --------------------------------------------------------- */

static void *report_health(void *context) {
    cast *c = context;
    scene *s = c->s;
    while (!lb_flag_read(&s->over)) {
        lb_call call;
        for (int i = 0; i < 8 && choose(c, &call); i++) {
            report(c, &call, 60);
            lb_reader_release(c->reader, &call);
        }
        pthread_mutex_lock(&s->lock);
        uint32_t member = lb_rng_below(&c->rng, lb_upstream_view(s->up)->n_members);
        lb_outcome probe = {.status = lb_rng_below(&c->rng, 2) ? 200 : 500};
        CHECK_EQ(lb_upstream_set_health(s->up, member, lb_rng_below(&c->rng, 3) > 0, false, now(s), NULL), LB_OK);
        lb_upstream_checked(s->up, LEAST - 1 - member % LEAST, &probe, now(s));
        CHECK_EQ(lb_upstream_advance(s->up, now(s), NULL), LB_OK);
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

/* ---- the writer -------------------------------------------------------------------------------------------------- */

static void bury(generation *g) {
    for (uint32_t i = 0; i < POOL; i++) lb_counter_write(&g->user[i].alive, 0);
    free(g);
}

/* All generations but the present one, once nobody can see them. */
static void bury_unseen(scene *s) {
    if (!s->old || lb_upstream_reclaim(s->up)) return;
    while (s->old) {
        generation *g = s->old;
        s->old = g->next;
        bury(g);
    }
    s->n_old = 0;
}

/* Some of the pool, in the order of the pool, with weights. */
static uint32_t cast_targets(scene *s, lb_rng *rng, generation *g, lb_target_spec *target) {
    uint32_t n = 0;
    bool even = s->policy->check || s->policy->walk;    /* some schemes want equal weights */
    for (uint32_t i = 0; i < POOL; i++) {
        if (i >= LEAST && lb_rng_below(rng, 3) == 0) continue;
        struct user *user = &g->user[n];
        user->number = g->number;
        user->address = lb_str_of(s->address[i]);
        lb_counter_write(&user->alive, ALIVE);
        target[n++] = (lb_target_spec){.address = user->address, .weight = even ? 1 : 1 + lb_rng_below(rng, 4), .user = user};
    }
    return n;
}

static generation *new_generation(uint64_t number) {
    generation *g = calloc(1, sizeof *g);
    if (!g) exit(2);
    g->number = number;
    return g;
}

static void update(scene *s, lb_rng *rng) {
    lb_target_spec target[POOL];
    generation *g = new_generation(s->present->number + 1);
    uint32_t n = cast_targets(s, rng, g, target);
    pthread_mutex_lock(&s->lock);
    CHECK_EQ(lb_upstream_update(s->up, target, n, now(s), NULL), LB_OK);
    s->present->next = s->old;
    s->old = s->present;
    s->present = g;
    s->n_old++;
    if (lb_rng_below(rng, 4) == 0) CHECK_EQ(lb_upstream_drain(s->up, LEAST - 1, LB_NEVER, 0, NULL), LB_OK);
    if (lb_rng_below(rng, 4) == 0) CHECK_EQ(lb_upstream_undrain(s->up, LEAST - 1, 0, NULL), LB_OK);
    lb_event event;
    uint64_t dropped;
    while (lb_upstream_next_event(s->up, &event, &dropped)) CHECK(event.slot < lb_upstream_state(s->up)->n_slots);
    bury_unseen(s);
    pthread_mutex_unlock(&s->lock);
}

static void *reload(void *context) {
    scene *s = context;
    lb_rng rng;
    lb_rng_seed(&rng, SEED);
    for (uint32_t i = 0; i < s->n_updates; i++) update(s, &rng);
    lb_flag_write(&s->over, true);
    return NULL;
}

/* ---- a scene ---------------------------------------------------------------------------------------------------- */

static lb_upstream_spec spec_for(const lb_policy *policy) {
    lb_upstream_spec spec = spec_of(policy);
    for (uint32_t i = 0; policy->params && policy->params[i].name; i++) {
        if (strcmp(policy->params[i].name, "slots") == 0) spec.param[i] = 1009;         /* builds are short */
        if (strcmp(policy->params[i].name, "hash_balance_factor") == 0 && strcmp(policy->name, "maglev") == 0)
            spec.param[i] = 120;                                                        /* a bound of its own: it writes */
    }
    spec.health.outlier = ejecting(3, 40, 50000, 400000);
    spec.health.outlier.half_open = 2;
    spec.health.outlier.half_open_successes = 2;
    spec.health.active.http_failures = spec.health.active.successes = 1;
    lb_status_add(&spec.health.active.healthy, 200);
    lb_status_add(&spec.health.active.unhealthy, 500);
    spec.limits.hold_ns = 30000;
    return spec;
}

static void begin_scene(scene *s) {
    lb_target_spec target[POOL];
    lb_upstream_spec spec = spec_for(s->policy);
    lb_rng rng;
    lb_rng_seed(&rng, SEED + 1);
    spec.limits.in_flight = s->limit;
    for (uint32_t i = 0; i < POOL; i++) snprintf(s->address[i], sizeof s->address[i], "10.1.0.%u:80", i);
    s->present = new_generation(1);
    pthread_mutex_init(&s->lock, NULL);
    CHECK_EQ(lb_upstream_new(&s->up, &spec, target, cast_targets(s, &rng, s->present, target), 1, NULL), LB_OK);
    if (!s->up) exit(2);
}

/* Everybody is gone, all calls have ended, and so have the holds. */
static void end_scene(scene *s) {
    const lb_state *state = lb_upstream_state(s->up);
    CHECK_EQ(lb_upstream_advance(s->up, now(s) + SECOND, NULL), LB_OK);
    CHECK_EQ(lb_upstream_in_flight(s->up), 0);
    for (uint32_t slot = 0; slot < state->n_slots; slot++) CHECK_EQ(lb_counter_read(lb_in_flight(state, slot)), 0);
    while (lb_upstream_reclaim(s->up)) continue;
    bury_unseen(s);
    CHECK(s->old == NULL);
    lb_target_spec one = {.address = lb_str_of(s->address[0]), .weight = 1};
    CHECK_EQ(lb_upstream_update(s->up, &one, 1, 0, NULL), LB_OK);
    walk_upstream(s->up, &one.weight);
    CHECK_EQ(state->n_free, state->n_slots - 1);        /* no slot is lost */
    lb_upstream_free(s->up);
    bury(s->present);
    pthread_mutex_destroy(&s->lock);
}

static void play(const char *policy, uint32_t n_updates, uint32_t n_picks, uint32_t limit) {
    scene s = {.policy = policy_named(policy), .n_updates = n_updates, .n_picks = n_picks, .limit = limit};
    begin_scene(&s);
    cast picker[PICKERS + 1];
    pthread_t thread[PICKERS + 2];
    for (uint32_t i = 0; i <= PICKERS; i++) {
        picker[i] = enter_scene(&s, SEED + 100 + i);
        CHECK_EQ(pthread_create(&thread[i], NULL, i < PICKERS ? pick_and_call : report_health, &picker[i]), 0);
    }
    CHECK_EQ(pthread_create(&thread[PICKERS + 1], NULL, reload, &s), 0);
    for (uint32_t i = 0; i < PICKERS + 2; i++) pthread_join(thread[i], NULL);
    for (uint32_t i = 0; i <= PICKERS; i++) leave_scene(&picker[i]);
    CHECK(lb_word_read(&s.picked) + lb_word_read(&s.begun) >= (limit ? 1 : n_picks));
    printf("%s%s: %llu picks, %llu calls, %llu times nobody, %u updates\n", policy, limit ? " with a limit" : "",
           (unsigned long long)lb_word_read(&s.picked), (unsigned long long)lb_word_read(&s.begun),
           (unsigned long long)lb_word_read(&s.without), n_updates);
    end_scene(&s);
}

/* 10,000 updates and more than a million picks in all. */
static void the_usual_policies(void) {
    static const char *const names[] = {"round_robin", "random", "least_conn", "p2c", "hash", "ring_hash"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) play(names[i], 1500, 85000, 0);
    play("adaptive", 500, 40000, 0);
}

/* And those that wait for each other, or have a bound. */
static void policies_that_write(void) {
    static const char *const names[] = {"smooth_nginx", "edf", "ketama_nginx", "chash_haproxy", "map_haproxy", "maglev",
                                        "leastconn_haproxy", "peak_ewma", "hash_bounded"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) play(names[i], 100, 5000, 0);
    play("round_robin", 100, 5000, 2);
}

int main(void) {
    printf("seed %u\n", SEED);
    RUN(the_usual_policies);
    RUN(policies_that_write);
    return check_result();
}
#endif

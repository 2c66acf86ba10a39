/* fuzz_operations: any sequence of operations on an upstream, beside a naive model of what must hold.
 *
 * An input is a program: a header (policy, passive health), then one operation after the other, some of them with an
 * allocation that fails.  After each operation the View, the records, the counters, the due time and, when they are
 * drained, the events are those of the model; picks are usable members.  Each program runs twice and must pick
 * the same: the same calls give the same picks.
 */
#include "walk.h"

#define SECOND 1000000000ull

enum { MAX_TARGETS = 24, N_NAMES = 40, MAX_CALLS = 64, MAX_EXPECTED = 4096, N_LATE = 16 };

/* ---- the model -------------------------------------------------------------------------------------------- */

typedef struct member {
    uint32_t name, weight, shown;   /* configured or set; in the View */
    bool unhealthy, ejected;
    uint32_t failures, ejections;
    uint64_t until_ns, recovered_ns;
    uint32_t slot, generation;
} member;

typedef struct world {
    const uint8_t *in;              /* the rest of the program */
    size_t left;
    lb_upstream *up;
    lb_passive rule;
    uint64_t now_ns;
    bool stale;                     /* an ejection found no memory for its View */
    bool armed;                     /* an allocation of this operation may fail */
    bool any_failed;
    uint32_t n;
    member member[MAX_TARGETS];
    uint32_t n_open;
    lb_call open[MAX_CALLS];
    uint32_t n_closed;
    lb_call late[N_LATE];           /* the last closed calls, by n_closed % N_LATE */
    uint32_t n_expected;
    lb_event expected[MAX_EXPECTED];
    uint64_t digest;                /* of all picks */
    bool keyed;                     /* the policy wants a key, and may refuse weights or a fleet that it cannot hold */
    char key[8];
    lb_key asked;
} world;

static char owner[N_NAMES];         /* user pointers */

/* The next byte of the program, below n; 0 after its end. */
static uint32_t next(world *w, uint32_t n) {
    if (w->left == 0) return 0;
    w->left--;
    return *w->in++ % n;
}

static void expect(world *w, lb_event_kind kind, const member *m) {
    CHECK(w->n_expected < MAX_EXPECTED);
    w->expected[w->n_expected++] = (lb_event){
        .kind = kind, .slot = m->slot, .generation = m->generation, .at_ns = w->now_ns,
        .until_ns = kind == LB_EVENT_EJECTED ? m->until_ns : 0, .failures = kind == LB_EVENT_EJECTED ? m->failures : 0,
    };
}

static void recover(world *w, member *m) {
    m->ejected = false;
    m->failures = 0;
    m->until_ns = 0;
    m->recovered_ns = w->now_ns;
}

static uint64_t due_ns(const world *w) {
    uint64_t due = LB_NEVER;
    if (w->stale) return 1;
    for (uint32_t i = 0; i < w->n; i++)
        if (w->member[i].ejected && w->member[i].until_ns < due) due = w->member[i].until_ns;
    return due;
}

/* A new View has been shown: what is over has ended. */
static void shown(world *w) {
    w->stale = false;
    for (uint32_t i = 0; i < w->n; i++) {
        member *m = &w->member[i];
        if (m->ejected && m->until_ns <= w->now_ns) {
            recover(w, m);
            expect(w, LB_EVENT_RECOVERED, m);
        }
        m->shown = m->unhealthy || m->ejected ? 0 : m->weight;
    }
}

static bool is_due(const world *w) { return due_ns(w) <= w->now_ns; }

static void fired(world *w) {
    if (is_due(w)) shown(w);
}

static uint32_t n_open_of(const world *w, uint32_t slot, uint32_t generation) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n_open; i++) n += w->open[i].slot == slot && w->open[i].generation == generation;
    return n;
}

static member *member_of(world *w, const lb_call *call) {
    for (uint32_t i = 0; i < w->n; i++)
        if (w->member[i].slot == call->slot && w->member[i].generation == call->generation) return &w->member[i];
    return NULL;
}

/* ---- what must hold after each operation ------------------------------------------------------------------ */

static void check_member(const world *w, uint32_t i) {
    const member *m = &w->member[i];
    const lb_view *view = lb_upstream_view(w->up);
    const lb_record *record = lb_record_of(view->state, view->slot[i]);
    CHECK_EQ(view->weight[i], m->shown);
    CHECK_EQ(view->slot[i], m->slot);
    CHECK(view->user[i] == &owner[m->name]);
    CHECK_EQ(record->generation, m->generation);
    CHECK_EQ(record->off, (m->unhealthy ? LB_OFF_UNHEALTHY : 0u) | (m->ejected ? LB_OFF_EJECTED : 0u));
    CHECK_EQ(record->failures, m->failures);
    CHECK_EQ(record->ejections, m->ejections);
    CHECK_EQ(record->ejected_until_ns, m->until_ns);
    CHECK_EQ(record->recovered_ns, m->recovered_ns);
    CHECK_EQ(lb_counter_read(lb_in_flight(view->state, m->slot)), n_open_of(w, m->slot, m->generation));
}

/* Also of a target that is gone: its slot is nobody else's while a call is open. */
static void check_call(const world *w, const lb_call *call) {
    const lb_state *state = lb_upstream_state(w->up);
    CHECK_EQ(lb_record_of(state, call->slot)->generation, call->generation);
    CHECK_EQ(lb_counter_read(lb_in_flight(state, call->slot)), n_open_of(w, call->slot, call->generation));
}

static void check_world(const world *w) {
    uint32_t weight[MAX_TARGETS] = {0};
    for (uint32_t i = 0; i < w->n; i++) weight[i] = w->member[i].weight;
    CHECK_EQ(lb_upstream_view(w->up)->n_members, w->n);
    CHECK_EQ(lb_upstream_due(w->up), due_ns(w));
    walk_upstream(w->up, weight, w->stale);
    for (uint32_t i = 0; i < w->n; i++) check_member(w, i);
    for (uint32_t i = 0; i < w->n_open; i++) check_call(w, &w->open[i]);
}

/* ---- update ----------------------------------------------------------------------------------------------- */

typedef struct list {
    uint32_t n, name[MAX_TARGETS];
    lb_target_spec target[MAX_TARGETS];
    char text[MAX_TARGETS][16];
} list;

/* Large weights make large tables: they are rare, so that a program stays quick. */
static uint32_t read_weight(world *w) {
    static const uint32_t small[] = {1, 0, 2, 3, 7, 1, 5, 10};
    static const uint32_t large[] = {999, LB_MAX_WEIGHT, LB_MAX_WEIGHT + 1, UINT32_MAX};
    uint32_t roll = next(w, 64);
    return roll < 60 ? small[roll % 8] : large[roll - 60];
}

/* Odd names are ids that share one address; even ones are addresses. */
static void read_list(world *w, list *l) {
    l->n = next(w, MAX_TARGETS + 1);
    uint32_t first = next(w, N_NAMES), step = 1 + next(w, 8), kind = next(w, 3);
    for (uint32_t i = 0; i < l->n; i++) {
        l->name[i] = kind == 0 ? next(w, N_NAMES) : (first + i * step) % N_NAMES;
        snprintf(l->text[i], sizeof l->text[i], "t%u", l->name[i]);
        lb_str text = lb_str_of(l->text[i]);
        bool odd = l->name[i] % 2;
        l->target[i] = (lb_target_spec){
            .id = odd ? text : (lb_str){0}, .address = odd ? lb_str_of("shared:80") : text,
            .weight = kind == 2 ? 1 : read_weight(w), .user = &owner[l->name[i]],
        };
    }
}

/* The field of the error that the list deserves; empty if it is right. */
static void find_fault(const list *l, char *field, size_t size) {
    field[0] = 0;
    for (uint32_t i = 0; i < l->n; i++)
        if (l->target[i].weight > LB_MAX_WEIGHT) {
            snprintf(field, size, "targets[%u].weight", i);
            return;
        }
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t j = 0; j < i; j++)
            if (l->name[i] == l->name[j]) {
                snprintf(field, size, "targets[%u].%s", i, l->name[i] % 2 ? "id" : "address");
                return;
            }
}

static void adopt(world *w, const list *l) {
    const lb_view *view = lb_upstream_view(w->up);
    member before[MAX_TARGETS];
    uint32_t n_before = w->n;
    memcpy(before, w->member, sizeof before);
    w->n = l->n;
    for (uint32_t i = 0; i < l->n; i++) {
        member *m = &w->member[i];
        *m = (member){.name = l->name[i], .slot = view->slot[i],
                      .generation = lb_record_of(view->state, view->slot[i])->generation};
        for (uint32_t j = 0; j < n_before; j++)
            if (before[j].name == l->name[i]) *m = before[j];
        m->weight = l->target[i].weight;
    }
    shown(w);
}

static void update(world *w) {
    list l;
    lb_error err = {0};
    char field[64];
    read_list(w, &l);
    find_fault(&l, field, sizeof field);
    lb_status status = lb_upstream_update(w->up, l.target, l.n, w->now_ns, &err);
    if (status == LB_ERR_NOMEM) CHECK(w->armed);
    if (status == LB_OK) CHECK_EQ(field[0], 0);
    if (status == LB_ERR_CONFIG) CHECK(strcmp(err.field, field) == 0 || !field[0]);
    if (status == LB_OK) adopt(w, &l);
}

/* ---- one target ------------------------------------------------------------------------------------------- */

static void set_weight(world *w) {
    uint32_t i = next(w, MAX_TARGETS), weight = read_weight(w);
    lb_status status = lb_upstream_set_weight(w->up, i, weight, w->now_ns, NULL);
    bool wrong = i >= w->n || weight > LB_MAX_WEIGHT;
    CHECK_EQ(status == LB_ERR_CONFIG, wrong || status == LB_ERR_CONFIG);
    if (status == LB_ERR_NOMEM) CHECK(w->armed);
    if (status) return;
    if (w->member[i].weight == weight) {
        fired(w);
        return;
    }
    w->member[i].weight = weight;
    shown(w);
}

static void set_health(world *w) {
    uint32_t i = next(w, MAX_TARGETS);
    bool healthy = next(w, 2);
    lb_status status = lb_upstream_set_health(w->up, i, healthy, w->now_ns, NULL);
    CHECK_EQ(status == LB_ERR_CONFIG, i >= w->n);
    if (status == LB_ERR_NOMEM) CHECK(w->armed);
    if (status) return;
    member *m = &w->member[i];
    bool flips = m->unhealthy == healthy, ends = healthy && m->ejected;
    if (!flips && !ends) {
        fired(w);
        return;
    }
    m->unhealthy = !healthy;
    if (ends) recover(w, m);
    shown(w);
    if (ends) expect(w, LB_EVENT_RECOVERED, m);
    if (flips) expect(w, healthy ? LB_EVENT_HEALTHY : LB_EVENT_UNHEALTHY, m);
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

static void check_pick(world *w, uint32_t i) {
    uint32_t n_usable = 0;
    for (uint32_t j = 0; j < w->n; j++) n_usable += w->member[j].shown > 0;
    CHECK_EQ(i == LB_NONE, n_usable == 0);
    if (i != LB_NONE) CHECK(i < w->n && w->member[i].shown > 0);
    w->digest = (w->digest ^ i) * 0x9E3779B97F4A7C15u;
}

/* Anybody, or by one of 32 keys. */
static lb_want want(world *w) {
    if (!w->keyed) return (lb_want){0};
    snprintf(w->key, sizeof w->key, "k%u", next(w, 32));
    w->asked = (lb_key){.text = lb_str_of(w->key)};
    return (lb_want){.key = &w->asked};
}

static void pick(world *w) {
    lb_want wanted = want(w);
    uint32_t i = lb_upstream_choose(w->up, &wanted, w->now_ns);
    fired(w);
    check_pick(w, i);
}

/* Who tells no time fires nothing. */
static void pick_timeless(world *w) {
    lb_want wanted = want(w);
    check_pick(w, lb_upstream_choose(w->up, &wanted, 0));
}

/* As the binding does it. */
static void pick_replayed(world *w) {
    for (uint32_t turns = 1 + next(w, 32); turns && lb_upstream_is_replaying(w->up); turns--) {
        char *user = lb_upstream_replay_user(w->up);
        uint32_t i = 0;
        while (i < w->n && &owner[w->member[i].name] != user) i++;
        check_pick(w, i);
    }
}

static void acquire(world *w) {
    if (w->n_open == MAX_CALLS) return;
    lb_call call = {.member = LB_NONE};
    lb_want wanted = want(w);
    bool any = lb_upstream_begin(w->up, &wanted, w->now_ns, &call);
    fired(w);
    check_pick(w, call.member);
    CHECK_EQ(any, call.member != LB_NONE);
    if (!any) return;
    CHECK(member_of(w, &call) == &w->member[call.member]);
    CHECK_EQ(call.started_ns, w->now_ns);
    w->open[w->n_open++] = call;
}

static void release(world *w) {
    if (w->n_open == 0) return;
    uint32_t i = next(w, w->n_open);
    lb_call call = w->open[i];
    lb_upstream_release(w->up, &call);
    w->open[i] = w->open[--w->n_open];
    w->late[w->n_closed++ % N_LATE] = call;
}

static bool may_eject(const world *w) {
    uint32_t n_ejected = 0;
    for (uint32_t i = 0; i < w->n; i++) n_ejected += w->member[i].ejected;
    return n_ejected == 0 || (n_ejected + 1) * 100 <= w->rule.max_percent * w->n;
}

/* "base * (number of ejections so far), at most max; each base interval spent in service takes one": counted out. */
static void eject(world *w, member *m) {
    uint64_t base_ns = w->rule.base_ns;
    if (base_ns == 0) m->ejections = 0;
    for (uint64_t t = m->recovered_ns + base_ns; m->ejections && t <= w->now_ns; t += base_ns) m->ejections--;
    m->ejections++;
    uint64_t length_ns = base_ns * m->ejections;
    if (length_ns > w->rule.max_ns) length_ns = w->rule.max_ns;
    m->until_ns = w->now_ns + (length_ns ? length_ns : 1);
    m->ejected = true;
    expect(w, LB_EVENT_EJECTED, m);
    w->stale = w->armed && lb_upstream_due(w->up) == 1;
    if (!w->stale) shown(w);
}

static void report(world *w) {
    static const lb_verdict verdicts[] = {LB_FAILURE, LB_FAILURE, LB_FAILURE, LB_SUCCESS, LB_NEITHER};
    if (w->n_open == 0) return;
    lb_call *call = &w->open[next(w, w->n_open)];
    lb_verdict verdict = verdicts[next(w, 5)];
    lb_upstream_report(w->up, call, verdict, LB_NEVER, w->now_ns);
    member *m = member_of(w, call);
    if (!m) return;                                     /* gone: nobody to judge */
    fired(w);
    if (verdict == LB_SUCCESS) m->failures = 0;
    if (verdict != LB_FAILURE) return;
    m->failures++;
    if (w->rule.failures && m->failures >= w->rule.failures && !m->ejected && may_eject(w)) eject(w, m);
}

/* A call that ends twice, after its target has gone: harmless. */
static void come_late(world *w) {
    if (w->n_closed == 0) return;
    lb_call *call = &w->late[next(w, w->n_closed < N_LATE ? w->n_closed : N_LATE)];
    if (lb_record_of(lb_upstream_state(w->up), call->slot)->generation == call->generation) return;
    lb_upstream_report(w->up, call, LB_FAILURE, LB_NEVER, w->now_ns);
    lb_upstream_release(w->up, call);
}

/* ---- time and events -------------------------------------------------------------------------------------- */

static void pass_time(world *w) {
    static const uint64_t steps[] = {0, 1, SECOND, 3 * SECOND, 10 * SECOND, 60 * SECOND, 1000 * SECOND};
    uint64_t step_ns = steps[next(w, 7)] * (1 + next(w, 3));
    bool back = next(w, 8) == 7;
    if (!back) w->now_ns += step_ns;
    else if (w->now_ns > step_ns) w->now_ns -= step_ns;
}

static void advance(world *w) {
    lb_status status = lb_upstream_advance(w->up, w->now_ns, NULL);
    if (status) CHECK(w->armed && is_due(w));
    else fired(w);
}

/* Those that were dropped are the oldest. */
static void drain(world *w) {
    lb_event event;
    uint64_t dropped, n_dropped = 0;
    uint32_t n = 0;
    while (lb_upstream_next_event(w->up, &event, &dropped)) {
        n_dropped += dropped;
        uint64_t i = n_dropped + n++;
        CHECK(i < w->n_expected);
        if (i >= w->n_expected) return;
        const lb_event *want = &w->expected[i];
        CHECK(event.kind == want->kind && event.slot == want->slot && event.generation == want->generation);
        CHECK(event.at_ns == want->at_ns && event.until_ns == want->until_ns && event.failures == want->failures);
    }
    n_dropped += dropped;
    CHECK_EQ(n_dropped + n, w->n_expected);
    if (!w->any_failed) CHECK(n_dropped == 0 || n == 256);
    w->n_expected = 0;
}

/* ---- the program ------------------------------------------------------------------------------------------ */

static void (*const operations[])(world *) = {
    pick, acquire, report, report, release, pass_time, set_health, set_weight, update, advance, drain, pick_timeless,
    pick_replayed, come_late, acquire, report,
};

/* With an allocation that may fail, what is due is fired before: then a model need not guess which part failed. */
static void arm(world *w, void (*operation)(world *)) {
    uint32_t n = next(w, 32);
    if (operation != advance && is_due(w)) advance(w);
    w->armed = w->any_failed = true;
    fail_allocation((int)n);
}

static void step(world *w) {
    uint32_t code = next(w, 256);
    void (*operation)(world *) = operations[code % 16];
    if (code >= 224) arm(w, operation);
    operation(w);
    fail_allocation(-1);
    w->armed = false;
    if (w->n_expected > MAX_EXPECTED / 2) drain(w);
}

static void begin(world *w) {
    static const uint64_t lengths[] = {10 * SECOND, 0, 1, SECOND, 35 * SECOND, 300 * SECOND};
    lb_upstream_spec spec = {.policy = lb_policies[next(w, lb_n_policies)], .seed = next(w, 256)};
    small_params(spec.policy, spec.param);
    if (spec.policy->params && spec.policy->params->max == 1) spec.param[0] = next(w, 2);  /* yes or no */
    spec.passive.failures = next(w, 4);
    spec.passive.max_percent = next(w, 101);
    spec.passive.base_ns = lengths[next(w, 6)];
    spec.passive.max_ns = lengths[next(w, 6)];
    w->rule = spec.passive;
    w->keyed = spec.policy->walk != NULL;
    w->now_ns = 1000 * SECOND;
    CHECK_EQ(lb_upstream_new(&w->up, &spec, NULL, 0, w->now_ns, NULL), LB_OK);
}

static uint64_t run(const uint8_t *data, size_t size) {
    static world w;
    w = (world){.in = data, .left = size};
    begin(&w);
    while (w.left && !check_failed) {
        step(&w);
        check_world(&w);
    }
    drain(&w);
    lb_upstream_free(w.up);
    return w.digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_name = "operations";
    uint64_t first = run(data, size);
    CHECK(first == run(data, size));
    if (check_failed) abort();
    return 0;
}

/* fuzz_operations: any sequence of operations on an upstream, beside a naive model of what must hold.
 *
 * An input is a program: a header (policy, passive health, levels, limits), then one operation after the other, some of
 * them with an allocation that fails.  After each operation the View, the records, the counters, the due time and, when
 * they are drained, the events are those of the model; a pick is a usable member of its scope that nothing speaks
 * against, and nobody only where there is none.
 *
 * Each program runs twice and must pick the same.  The second run is blind: it asks for no candidates and no receipts,
 * makes many picks one by one and reads batches at once.  So looking moves no cursor, many picks are single picks, and
 * a batch reads the picture it began with.
 */
#include "model.h"

/* ---- update ----------------------------------------------------------------------------------------------- */

typedef struct list {
    uint32_t n, name[MAX_LIST];
    lb_target_spec target[MAX_LIST];
    char text[MAX_LIST][16];
} list;

/* Large weights are rare, and less large where tables grow with them. */
static uint32_t read_weight(world *w) {
    static const uint32_t small[] = {1, 0, 2, 3, 7, 1, 5, 10};
    static const uint32_t large[] = {999, LB_MAX_WEIGHT, LB_MAX_WEIGHT + 1, UINT32_MAX};
    uint32_t roll = next(w, 64);
    if (w->light && (roll == 60 || roll == 61)) return 4 * roll;
    return roll < 60 ? small[roll % 8] : large[roll - 60];
}

/* The labels of a set of bits, ascending. */
static const uint32_t *labels_of(uint32_t bits, uint32_t *n) {
    static const uint32_t labels[8][3] = {{0}, {10}, {20}, {10, 20}, {30}, {10, 30}, {20, 30}, {10, 20, 30}};
    *n = (bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1);
    return labels[bits];
}

/* Odd names are ids that share one address; even ones are addresses. */
static void read_list(world *w, list *l) {
    l->n = next(w, MAX_LIST + 1);
    uint32_t first = next(w, N_NAMES), step = 1 + next(w, 8), kind = next(w, 12), levels = 1 + kind / 3 % 3;
    for (uint32_t i = 0; i < l->n; i++) {
        l->name[i] = kind % 3 == 0 ? next(w, N_NAMES) : (first + i * step) % N_NAMES;
        snprintf(l->text[i], sizeof l->text[i], "t%u", l->name[i]);
        lb_str text = lb_str_of(l->text[i]);
        bool odd = l->name[i] % 2;
        lb_target_spec *target = &l->target[i];
        *target = (lb_target_spec){
            .id = odd ? text : (lb_str){0}, .address = odd ? lb_str_of("shared:80") : text,
            .weight = kind % 3 == 2 ? 1 : read_weight(w), .priority = l->name[i] / 2 % levels,
            .user = &owner[l->name[i]],
        };
        target->labels = labels_of(bits_of(l->name[i]), &target->n_labels);
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
    member before[MAX_LIST];
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
        m->priority = l->target[i].priority;
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
    uint32_t i = next(w, MAX_LIST), weight = read_weight(w);
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
    uint32_t i = next(w, MAX_LIST);
    bool healthy = next(w, 2);
    lb_status status = lb_upstream_set_health(w->up, i, healthy, true, w->now_ns, NULL);
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

static void drain(world *w) {
    static const uint64_t lengths[] = {0, SECOND, 100 * SECOND};
    uint32_t i = next(w, MAX_LIST), length = next(w, 4);
    bool drains = next(w, 3);
    uint64_t until_ns = length == 3 ? LB_NEVER : w->now_ns + lengths[length];
    lb_status status = drains ? lb_upstream_drain(w->up, i, until_ns, w->now_ns, NULL)
                              : lb_upstream_undrain(w->up, i, w->now_ns, NULL);
    CHECK_EQ(status == LB_ERR_CONFIG, i >= w->n);
    if (status == LB_ERR_NOMEM) CHECK(w->armed);
    if (status) return;
    member *m = &w->member[i];
    bool changes = m->draining != drains;
    m->draining = drains;
    m->drain_until_ns = drains ? until_ns : 0;
    if (changes) shown(w);
    else fired(w);
}

/* ---- subsets ---------------------------------------------------------------------------------------------- */

static void toggle_subset(world *w) {
    uint32_t k = next(w, N_SUBSETS), bits = next(w, 8), n;
    const uint32_t *labels = labels_of(bits, &n);
    if (w->subset[k]) {
        lb_subset_free(w->subset[k]);
        w->subset[k] = NULL;
        return;
    }
    lb_status status = lb_upstream_subset(w->up, labels, n, w->now_ns, &w->subset[k], NULL);
    CHECK_EQ(status != LB_OK, w->subset[k] == NULL);
    if (status == LB_ERR_NOMEM) CHECK(w->armed);        /* or the policy cannot hold that part */
    if (status) return;
    w->bits[1 + k] = bits;
    shown(w);
}

/* ---- picks ------------------------------------------------------------------------------------------------ */

/* What is asked for. */
typedef struct asked {
    lb_want want;
    uint32_t scope;
    lb_key key;
    char text[8];
    uint32_t exclude[MAX_LIST + 1];
    lb_receipt receipt;
} asked;

static void read_key(world *w, asked *a) {
    snprintf(a->text, sizeof a->text, "k%u", next(w, 32));
    a->key = (lb_key){.text = lb_str_of(a->text)};
    a->want.key = &a->key;
}

/* Nobody, one that may not be there, some, or all. */
static void read_exclusion(world *w, asked *a) {
    uint32_t how = next(w, 8), n_state = lb_upstream_state(w->up)->n_slots;
    if (how == 5) a->exclude[a->want.n_exclude++] = next(w, n_state + 1);
    for (uint32_t i = 0; i < w->n && how > 5; i++)
        if (how == 7 || next(w, 2)) a->exclude[a->want.n_exclude++] = w->member[i].slot;
    a->want.exclude = a->exclude;
}

static void read_want(world *w, asked *a) {
    *a = (asked){.scope = 0};
    uint32_t where = next(w, 6);
    if (w->keyed) read_key(w, a);
    if (where < N_SUBSETS && w->subset[where]) {
        a->scope = 1 + where;
        a->want.within = w->subset[where];
    }
    read_exclusion(w, a);
    if (!w->blind && where % 2) a->want.receipt = &a->receipt;
}

static bool is_excluded(const asked *a, uint32_t slot) {
    for (uint32_t i = 0; i < a->want.n_exclude; i++)
        if (a->exclude[i] == slot) return true;
    return false;
}

static bool is_full(const world *w, uint32_t i) {
    uint32_t most = w->spec.limits.in_flight;
    return most && n_calls_of(w, w->member[i].slot, w->member[i].generation) >= most;
}

/* Nothing that the model knows speaks against i (it knows no bounds). */
static bool suits(const world *w, const asked *a, uint32_t i) {
    return i < w->n && w->member[i].serves[a->scope] && !is_excluded(a, w->member[i].slot) && !is_full(w, i);
}

static uint32_t count_suiting(const world *w, const asked *a) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n; i++) n += suits(w, a, i);
    return n;
}

static void check_pick(world *w, const asked *a, uint32_t i) {
    bool by_bound = w->spec.policy->bounded && (a->want.n_exclude || w->spec.limits.in_flight);
    bool nobody = count_suiting(w, a) == 0 || (w->keyed && !a->want.key);
    if (i != LB_NONE) CHECK(!nobody && suits(w, a, i));
    else CHECK(nobody || by_bound);
    w->digest = (w->digest ^ i) * 0x9E3779B97F4A7C15u;
}

static void check_receipt(const world *w, const asked *a, uint32_t i) {
    const lb_receipt *r = &a->receipt;
    if (!a->want.receipt) return;
    CHECK(r->runner_up == LB_NONE || (r->runner_up != i && suits(w, a, r->runner_up)));
    if (i != LB_NONE) CHECK_EQ(r->priority, w->member[i].priority);
    for (uint32_t k = 0; k < r->n_passed && k < LB_MAX_PASSED; k++) {
        uint32_t passed = r->passed[k];
        CHECK(passed < w->n && passed != i && w->member[passed].serves[a->scope]);
        if (passed >= w->n) continue;
        CHECK_EQ(r->why[k] == LB_PASS_EXCLUDED, is_excluded(a, w->member[passed].slot));
        if (r->why[k] == LB_PASS_FULL) CHECK(is_full(w, passed));
        if (r->why[k] == LB_PASS_BOUND) CHECK(w->spec.policy->bounded);
    }
}

static void pick(world *w) {
    asked a;
    read_want(w, &a);
    uint32_t i = lb_upstream_choose(w->up, &a.want, w->now_ns);
    fired(w);
    check_receipt(w, &a, i);
    check_pick(w, &a, i);
}

/* Who tells no time fires nothing. */
static void pick_timeless(world *w) {
    asked a;
    read_want(w, &a);
    check_pick(w, &a, lb_upstream_choose(w->up, &a.want, 0));
}

/* As the binding does it: whether a schedule is replayed already is no matter of who is picked. */
static void pick_replayed(world *w) {
    asked anybody = {.scope = 0};
    for (uint32_t turns = 1 + next(w, 32); turns; turns--) {
        uint32_t i = 0;
        if (lb_upstream_is_replaying(w->up)) {
            char *user = lb_upstream_replay_user(w->up);
            while (i < w->n && &owner[w->member[i].name] != user) i++;
        } else {
            i = lb_upstream_pick(w->up, 0);
        }
        check_pick(w, &anybody, i);
    }
}

/* Different members that suit, as many as there are. */
static void look(world *w) {
    asked a;
    uint32_t found[MAX_LIST + 2], n = next(w, MAX_LIST + 2);
    read_want(w, &a);
    if (w->blind) {
        lb_upstream_advance(w->up, w->now_ns, NULL);
        fired(w);
        return;
    }
    uint32_t got = lb_upstream_candidates(w->up, &a.want, found, n, w->now_ns);
    fired(w);
    uint32_t n_suiting = count_suiting(w, &a), most = n_suiting < n ? n_suiting : n;
    CHECK(w->spec.policy->bounded ? got <= most : got == most);
    for (uint32_t i = 0; i < got; i++) {
        CHECK(suits(w, &a, found[i]));
        for (uint32_t j = 0; j < i; j++) CHECK(found[i] != found[j]);
    }
}

static void pick_many(world *w) {
    asked anybody = {.scope = 0};
    int32_t out[MAX_PICKS];
    uint32_t n = 1 + next(w, MAX_PICKS);
    if (!w->blind) lb_upstream_pick_many(w->up, out, n, w->now_ns);
    for (uint32_t i = 0; i < n && w->blind; i++) out[i] = (int32_t)lb_upstream_pick(w->up, w->now_ns);
    fired(w);
    for (uint32_t i = 0; i < n; i++) check_pick(w, &anybody, (uint32_t)out[i]);
}

static const lb_key *some_keys(uint32_t n) {
    static lb_key key[MAX_PICKS];
    static char text[MAX_PICKS][16];
    for (uint32_t i = 0; i < n; i++) {
        snprintf(text[i], sizeof text[i], "k%u", i);
        key[i].text = lb_str_of(text[i]);
    }
    return key;
}

static void pick_keys(world *w) {
    asked by_key = {.scope = 0};
    int32_t out[MAX_PICKS];
    uint32_t n = 1 + next(w, MAX_PICKS);
    const lb_key *key = some_keys(n);
    if (!w->blind) lb_upstream_pick_keys(w->up, key, out, n, w->now_ns);
    for (uint32_t i = 0; i < n && w->blind; i++) {
        lb_want want = {.key = &key[i]};
        out[i] = (int32_t)(w->keyed && i % 2 ? lb_upstream_pick_key(w->up, &key[i], w->now_ns)
                                             : lb_upstream_choose(w->up, &want, w->now_ns));
    }
    fired(w);
    by_key.want.key = key;
    for (uint32_t i = 0; i < n; i++) check_pick(w, &by_key, (uint32_t)out[i]);
}

/* ---- batches ---------------------------------------------------------------------------------------------- */

/* Members of the picture it began with, which may be gone: their indices only are compared. */
static void note_batch(world *w, const int32_t *out, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        uint64_t word = (uint64_t)w->batch_no << 40 | (uint64_t)i << 32 | (uint32_t)out[i];
        w->batch_digest += lb_splitmix(&word);
    }
    w->batch_no++;
}

static void end_batch(world *w) {
    int32_t out[MAX_PICKS];
    if (w->n_batch == 0) return;
    if (w->keyed) lb_batch_keys(&w->batch, some_keys(w->n_batch), out, w->n_batch);
    else lb_batch_turns(&w->batch, out, w->n_batch);
    lb_batch_end(&w->batch);
    note_batch(w, out, w->n_batch);
    w->n_batch = 0;
}

/* Where there is no schedule to read yet, single picks are the same. */
static void begin_batch(world *w) {
    int32_t out[MAX_PICKS];
    uint32_t n = 1 + next(w, MAX_PICKS);
    end_batch(w);
    bool begun = lb_batch_begin(&w->batch, w->up, n, w->keyed, w->now_ns);
    fired(w);
    w->n_batch = begun ? n : 0;
    if (begun && w->blind) end_batch(w);
    if (begun) return;
    for (uint32_t i = 0; i < n; i++) out[i] = (int32_t)lb_upstream_pick(w->up, 0);
    note_batch(w, out, n);
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

static void open_call(world *w, lb_call call) {
    CHECK(member_of(w, &call) == &w->member[call.member]);
    CHECK_EQ(call.started_ns, w->now_ns);
    CHECK_EQ(call.hold_until_ns, 0);
    w->open[w->n_open++] = call;
}

static void acquire(world *w) {
    if (w->n_open == MAX_CALLS) return;
    lb_call call = {.member = LB_NONE};
    asked a;
    read_want(w, &a);
    bool any = lb_upstream_begin(w->up, &a.want, w->now_ns, &call);
    fired(w);
    check_receipt(w, &a, call.member);
    check_pick(w, &a, call.member);
    CHECK_EQ(any, call.member != LB_NONE);
    if (any) open_call(w, call);
}

/* "Usable, or draining before its deadline." */
static void serve_session(world *w) {
    uint32_t i = next(w, MAX_LIST);
    if (i >= w->n || w->n_open == MAX_CALLS) return;
    const member *m = &w->member[i];
    uint32_t off = off_of(m);
    bool serves = off == 0 || m->serves[0] > 0 || (off == LB_OFF_DRAINING && w->now_ns < m->drain_until_ns);
    CHECK_EQ(lb_upstream_serves_session(w->up, i, w->now_ns), serves && m->weight > 0);
    lb_call call;
    lb_upstream_begin_on(w->up, i, w->now_ns, &call);
    open_call(w, call);
}

static void release(world *w) {
    if (w->n_open == 0 || w->n_held == MAX_HELD) return;
    uint32_t i = next(w, w->n_open);
    lb_call call = w->open[i];
    uint64_t before = lb_upstream_in_flight(w->up);
    lb_upstream_release(w->up, &call);
    w->open[i] = w->open[--w->n_open];
    w->late[w->n_closed++ % N_LATE] = call;
    bool to_hold = call.hold_until_ns && member_of(w, &call), held = lb_upstream_in_flight(w->up) == before;
    CHECK(held ? to_hold : !to_hold || w->armed);
    if (held) w->held[w->n_held++] = (lb_hold){call.slot, call.generation, call.hold_until_ns};
}

static bool may_eject(const world *w) {
    uint32_t n_ejected = 0;
    for (uint32_t i = 0; i < w->n; i++) n_ejected += w->member[i].ejected;
    return n_ejected == 0 || (n_ejected + 1) * 100 <= w->spec.passive.max_percent * w->n;
}

/* "base * (number of ejections so far), at most max; each base interval spent in service takes one": counted out. */
static void eject(world *w, member *m) {
    uint64_t base_ns = w->spec.passive.base_ns, max_ns = w->spec.passive.max_ns;
    if (base_ns == 0) m->ejections = 0;
    for (uint64_t t = m->recovered_ns + base_ns; m->ejections && t <= w->now_ns; t += base_ns) m->ejections--;
    m->ejections++;
    uint64_t length_ns = base_ns * m->ejections;
    if (length_ns > max_ns) length_ns = max_ns;
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
    bool holds = w->spec.policy->load_aware && w->spec.limits.hold_ns;
    CHECK_EQ(call->hold_until_ns, holds ? w->now_ns + w->spec.limits.hold_ns : 0);
    m->failures++;
    uint32_t most = w->spec.passive.failures;
    if (most && m->failures >= most && !m->ejected && may_eject(w)) eject(w, m);
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
    if (!status) {
        fired(w);
        return;
    }
    CHECK(w->armed && is_due(w));
    fired_small(w);                                     /* only the picture stays due */
}

/* Those that were dropped are the oldest. */
static void take_events(world *w) {
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

static void (*const operations[32])(world *) = {
    pick, acquire, report, report, release, pass_time, set_health, set_weight, update, advance, take_events,
    pick_timeless, pick_replayed, come_late, acquire, report, look, look, pick_many, pick_keys, begin_batch, end_batch,
    toggle_subset, drain, serve_session, pick, acquire, report, release, drain, set_health, pass_time,
};

/* With an allocation that may fail, what is due is fired before: then a model need not guess which part failed. */
static void arm(world *w, void (*operation)(world *)) {
    uint32_t n = next(w, 48);
    if (operation != advance && is_due(w)) advance(w);
    w->armed = w->any_failed = true;
    fail_allocation((int)n);
}

static void step(world *w) {
    uint32_t code = next(w, 256);
    void (*operation)(world *) = operations[code % 32];
    if (code >= 224) arm(w, operation);
    operation(w);
    fail_allocation(-1);
    w->armed = false;
    if (w->n_expected > MAX_EXPECTED / 2) take_events(w);
}

static void begin(world *w) {
    static const uint64_t lengths[] = {10 * SECOND, 0, 1, SECOND, 35 * SECOND, 300 * SECOND};
    static const uint32_t factors[] = {140, 0, 100, 1000}, panics[] = {0, 0, 50, 100};
    lb_upstream_spec *spec = &w->spec;
    *spec = (lb_upstream_spec){.policy = lb_policies[next(w, lb_n_policies)], .seed = next(w, 256)};
    lb_upstream_defaults(spec);
    small_params(spec->policy, spec->param);
    if (spec->policy->params && spec->policy->params->max == 1) spec->param[0] = next(w, 2);  /* yes or no */
    spec->passive.failures = next(w, 4);
    spec->passive.max_percent = next(w, 101);
    spec->passive.base_ns = lengths[next(w, 6)];
    spec->passive.max_ns = lengths[next(w, 6)];
    uint32_t rules = next(w, 256);
    spec->levels = (lb_levels){factors[rules % 4], panics[rules / 4 % 4]};
    spec->limits.in_flight = rules / 16 % 4 == 3 ? 1 + next(w, 4) : 0;
    spec->limits.hold_ns = rules / 64 ? (rules / 64 == 1 ? 1 : 5 * SECOND) : 0;
    w->keyed = spec->policy->walk != NULL;
    w->light = w->keyed || (spec->policy->replay && strcmp(spec->policy->name, "round_robin") != 0);
    w->now_ns = 1000 * SECOND;
    w->tick_due_ns = spec->policy->tick_ns ? w->now_ns + spec->policy->tick_ns : LB_NEVER;
    CHECK_EQ(lb_upstream_new(&w->up, spec, NULL, 0, w->now_ns, NULL), LB_OK);
}

typedef struct result { uint64_t digest, batch_digest; } result;

static result run(const uint8_t *data, size_t size, bool blind) {
    static world w;
    w = (world){.in = data, .left = size, .blind = blind};
    begin(&w);
    while (w.left && !check_failed) {
        step(&w);
        check_world(&w);
    }
    end_batch(&w);
    take_events(&w);
    lb_subset_free(w.subset[0]);
    lb_upstream_free(w.up);
    lb_subset_free(w.subset[1]);
    return (result){w.digest, w.batch_digest};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_name = "operations";
    result seeing = run(data, size, false), blind = run(data, size, true);
    CHECK(seeing.digest == blind.digest && seeing.batch_digest == blind.batch_digest);
    if (check_failed) abort();
    return 0;
}

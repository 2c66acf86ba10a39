/* fuzz_operations: any sequence of operations on an upstream, beside a naive model of what must hold.
 *
 * An input is a program: a header (policy, health, levels, limits), then one operation after the other, some of
 * them with an allocation that fails.  After each operation the View, the records, the counters, the due time and, when
 * they are drained, the events are those of the model; a pick is a usable member of its scope that nothing speaks
 * against, and nobody only where there is none.
 *
 * Each program runs twice and must pick the same.  The second run is blind: it asks for no candidates and no receipts,
 * makes many picks one by one and reads batches at once.  So looking moves no cursor, many picks are single picks, and
 * a batch reads the picture it began with.
 */
#include "changes.h"
#include "verdicts.h"

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
    shown(w, w->now_ns);
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

/* A breaker that is half open, and the calls that it may have are under way. */
static bool is_tried(const world *w, const member *m) {
    uint32_t most = w->spec.health.outlier.half_open;
    return most && m->trial && m->until_ns <= told(w) && n_calls_of(w, m->slot, m->generation) >= most;
}

/* In the picture, and where that is rough, not called out by its row. */
static bool is_in(const world *w, const asked *a, const member *m) {
    uint32_t off = w->rough ? off_at(m, told(w)) : 0;
    if (m->panics[a->scope]) off &= LB_OFF_DRAINING | LB_OFF_DISABLED;
    return m->serves[a->scope] && !off;
}

/* Nothing that the model knows speaks against i (it knows no bounds). */
static bool suits(const world *w, const asked *a, uint32_t i) {
    return i < w->n && is_in(w, a, &w->member[i]) && !is_excluded(a, w->member[i].slot) && !is_full(w, i)
           && !is_tried(w, &w->member[i]);
}

/* Who is well, and not in the picture: where that is all there is, a rough picture is renewed. */
static bool misses(const world *w, const asked *a) {
    for (uint32_t i = 0; i < w->n && w->rough; i++) {
        const member *m = &w->member[i];
        bool well = is_inside(w, m, a->scope) && m->weight && !off_at(m, told(w)) && !is_excluded(a, m->slot);
        if (well && !m->serves[a->scope] && !is_full(w, i) && !is_tried(w, m)) return true;
    }
    return false;
}

static uint32_t count_suiting(const world *w, const asked *a) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n; i++) n += suits(w, a, i);
    return n;
}

static void check_pick(world *w, const asked *a, uint32_t i) {
    bool passes = a->want.n_exclude || w->spec.limits.in_flight || w->spec.health.outlier.half_open || w->rough;
    bool by_bound = w->spec.policy->bounded && passes;
    bool nobody = count_suiting(w, a) == 0 || (w->keyed && !a->want.key);
    if (i != LB_NONE) CHECK(!nobody && suits(w, a, i));
    else CHECK((nobody && (w->armed || !misses(w, a))) || by_bound);
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
        CHECK_EQ(r->why[k] == LB_PASS_OUT, r->why[k] != LB_PASS_EXCLUDED && !is_in(w, a, &w->member[passed]));
        if (r->why[k] == LB_PASS_FULL) CHECK(is_full(w, passed));
        if (r->why[k] == LB_PASS_TRIAL) CHECK(is_tried(w, &w->member[passed]));
        if (r->why[k] == LB_PASS_BOUND) CHECK(w->spec.policy->bounded);
    }
}

static void pick(world *w) {
    asked a;
    read_want(w, &a);
    uint32_t i = lb_upstream_choose(w->up, &a.want, w->now_ns);
    fired(w);
    renewed(w);
    check_receipt(w, &a, i);
    check_pick(w, &a, i);
}

/* Who tells no time fires nothing, unless the picture is old: then it is the time that was told last. */
static void fired_timeless(world *w) {
    if (w->old) fired_at(w, told(w));
    renewed(w);
}

static void pick_timeless(world *w) {
    asked a;
    read_want(w, &a);
    uint32_t i = lb_upstream_choose(w->up, &a.want, 0);
    fired_timeless(w);
    check_pick(w, &a, i);
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
            fired_timeless(w);
        }
        check_pick(w, &anybody, i);
    }
}

/* Different members that suit, as many as there are. */
static void look(world *w) {
    asked a;
    uint32_t found[MAX_LIST + 2], n = next(w, MAX_LIST + 2);
    read_want(w, &a);
    if (w->rough) return;                               /* looking may renew it: the second run could not do the same */
    if (w->blind) {
        lb_upstream_fire(w->up, w->now_ns);
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
    if (w->rough) return;                               /* it might be renewed between two of them */
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
    if (w->rough) return;
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
    renewed(w);
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
    renewed(w);
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
    uint32_t off = off_at(m, w->now_ns);
    bool believed = m->serves[0] > 0 && !w->old && !w->rough;
    bool serves = off == 0 || believed || (off == LB_OFF_DRAINING && w->now_ns < m->drain_ns);
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
    if (member_of(w, &call)) tell_drained(w, member_of(w, &call), told(w));
}

static void report(world *w) {
    static const uint64_t pauses[] = {0, 0, 0, 1, SECOND, 5 * SECOND, 100 * SECOND, LB_NEVER};
    if (w->n_open == 0) return;
    lb_call *call = &w->open[next(w, w->n_open)];
    lb_report r = {.outcome = read_outcome(w), .latency_ns = LB_NEVER, .pause_ns = pauses[next(w, 8)]};
    lb_upstream_report(w->up, call, &r, w->now_ns);
    member *m = member_of(w, call);
    if (!m) return;                                     /* gone: nobody to judge */
    tended(w, w->now_ns);
    ending end = ending_of(&r.outcome);
    bool failed = end == FAILED || end == CONNECT || end == TIMEOUT;
    bool holds = failed && w->spec.policy->load_aware && w->spec.limits.hold_ns;
    if (failed) CHECK_EQ(call->hold_until_ns, holds ? w->now_ns + w->spec.limits.hold_ns : 0);
    detect(w, m, end, r.outcome.status);
    check(w, m, &w->spec.health.passive, end, r.outcome.status);
    pause_for(w, m, r.pause_ns, r.outcome.status);
}

static void probe(world *w) {
    uint32_t i = next(w, MAX_LIST);
    lb_outcome outcome = read_outcome(w);
    lb_upstream_checked(w->up, i, &outcome, w->now_ns);
    if (i >= w->n) return;
    tended(w, w->now_ns);
    check(w, &w->member[i], &w->spec.health.active, ending_of(&outcome), outcome.status);
}

/* A call that ends twice, after its target has gone: harmless. */
static void come_late(world *w) {
    if (w->n_closed == 0) return;
    lb_call *call = &w->late[next(w, w->n_closed < N_LATE ? w->n_closed : N_LATE)];
    if (lb_generation_of(lb_upstream_state(w->up), call->slot) == call->generation) return;
    report_verdict(w->up, call, LB_FAILURE, LB_NEVER, w->now_ns);
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
    CHECK_EQ(status != LB_OK, w->up->rough && (w->old || is_due(w)));   /* only the picture stays due */
    fired(w);
}

/* "The picture is of this moment afterwards." */
static void settle(world *w) {
    uint64_t at_ns = w->now_ns > told(w) ? w->now_ns : told(w);
    lb_status status = lb_upstream_settle(w->up, w->now_ns, NULL);
    fired_at(w, at_ns);
    renewed(w);
    CHECK(status == LB_OK ? !w->old && !w->rough : w->armed);
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
        CHECK(event.cause == want->cause && event.status == want->status);
    }
    n_dropped += dropped;
    CHECK_EQ(n_dropped + n, w->n_expected);
    if (!w->any_failed) CHECK(n_dropped == 0 || n == 256);
    w->n_expected = 0;
}

/* ---- the program ------------------------------------------------------------------------------------------ */

static void (*const operations[32])(world *) = {
    pick, acquire, report, report, release, pass_time, set_health, set_weight, update, advance, take_events,
    pick_timeless, pick_replayed, come_late, acquire, report, look, disable, pick_many, pick_keys, begin_batch, end_batch,
    toggle_subset, drain, serve_session, pick, acquire, report, release, probe, settle, pass_time,
};

/* With an allocation that may fail, what is due is fired before: then a model need not guess which part failed.  But
 * for what does nothing else that needs memory: then the picture may fail, and is rough. */
static void arm(world *w, void (*operation)(world *)) {
    uint32_t n = next(w, 48);
    bool alone = operation == advance || operation == settle || operation == pick || operation == acquire;
    if (!alone && (w->old || is_due(w))) advance(w);
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
    static const uint32_t factors[] = {140, 0, 100, 1000}, panics[] = {0, 0, 50, 100};
    lb_upstream_spec *spec = &w->spec;
    *spec = (lb_upstream_spec){.policy = lb_policies[next(w, lb_n_policies)], .seed = next(w, 256)};
    lb_upstream_defaults(spec);
    small_params(spec->policy, spec->param);
    if (spec->policy->params && spec->policy->params->max == 1) spec->param[0] = next(w, 2);  /* yes or no */
    read_health(w, spec);
    uint32_t rules = next(w, 256);
    spec->levels = (lb_levels){factors[rules % 4], panics[rules / 4 % 4]};
    spec->limits.in_flight = rules / 16 % 4 == 3 ? 1 + next(w, 4) : 0;
    spec->limits.hold_ns = rules / 64 ? (rules / 64 == 1 ? 1 : 5 * SECOND) : 0;
    w->keyed = spec->policy->walk != NULL;
    w->light = w->keyed || (spec->policy->replay && strcmp(spec->policy->name, "round_robin") != 0);
    w->now_ns = 1000 * SECOND;
    w->tick_due_ns = spec->policy->tick_ns ? w->now_ns + spec->policy->tick_ns : LB_NEVER;
    w->picture_due_ns = LB_NEVER;
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

/* choose: one choice: a level, the policy inside it, and who is passed over.
 *
 *   scope (all, or a subset) --level--> group --policy--> candidate 0, 1, 2, ...    the first that nothing speaks against
 *                                                         [x full] [x tried] [take]
 *
 * Level   schedulers: by the schedule of shares.  Keyed policies: Envoy's rule, the first level whose running sum of
 *         percents reaches hash % 100 + 1, with the policy's own hash of the key.
 * Last    a policy that names nobody more (a walk that ends, k steps of a schedule) leaves the rest of its group: the
 *         usable members in list order from a place that the key, or a draw, says.  After it, the other groups in order.
 * Cost    the policy's; each candidate passed over is one step more.
 * Keeps   a peek moves no cursor: it draws from a copy of the generator.  Nor does a choice with exclude on a schedule.
 */
#include "hash/xxh64.h"
#include "upstream/internal.h"

#define ASIDE 16u                   /* turns ahead among which a retry draws */
#define MOST_STEPS 1024u            /* that a policy is asked for before the rest of the group is looked through */

typedef lb_choice choice;

/* ---- who is passed over ----------------------------------------------------------------------------------------- */

/* ceil(bound * (in flight + 1) * weight / total) + margin.  Counts are cut at 2^28, so that products fit 64 bits. */
static uint64_t bound_of(const lb_upstream *up, const lb_view *view, uint32_t i) {
    uint64_t all = lb_upstream_counted(up) + 1, calls = all < 1u << 28 ? all : 1u << 28, total = view->total_weight;
    uint64_t whole = calls * view->weight[i] / total, rest = calls * view->weight[i] % total;
    uint64_t permille = up->spec.limits.bound_permille;
    uint64_t parts = whole * permille + (rest * permille + total - 1) / total;
    return (parts + 999) / 1000 + up->spec.limits.margin;
}

static bool is_excluded(const lb_want *want, uint32_t slot) {
    for (uint32_t i = 0; i < want->n_exclude; i++)
        if (want->exclude[i] == slot) return true;
    return false;
}

/* How many calls its breaker lets through at a time. */
static uint32_t trial_calls(const lb_upstream *up, uint32_t slot) {
    const lb_outlier *rule = &up->spec.health.outlier;
    const lb_record *record = lb_record_of(up->state, slot);
    bool back = !(lb_off_at(record, up->told_ns) & LB_OFF_EJECTED);     /* in panic it serves like the others */
    return back && lb_outlier_on_trial(rule, record) ? rule->half_open : LB_NONE;
}

/* What keeps a member out of this group, by its record: in panic health is not believed. */
static uint32_t off_in(const choice *c, uint32_t slot) {
    uint32_t off = lb_off_at(lb_record_of(c->up->state, slot), c->now_ns);
    return c->group->panic ? off & (LB_OFF_DRAINING | LB_OFF_DISABLED) : off;
}

static lb_pass pass_of(const choice *c, uint32_t i) {
    const lb_view *view = c->group->view;
    const lb_limits *limits = &c->up->spec.limits;
    uint32_t slot = view->slot[i];
    if (c->want->n_exclude && is_excluded(c->want, slot)) return LB_PASS_EXCLUDED;
    if (c->rough && off_in(c, slot)) return LB_PASS_OUT;
    bool trials = lb_counter_read(&c->up->n_trials) != 0;
    if (!limits->in_flight && !c->up->bounded && !trials) return LB_PASS_NOT;
    uint32_t calls = lb_counter_read(lb_in_flight(c->up->state, slot));
    if (limits->in_flight && calls >= limits->in_flight) return LB_PASS_FULL;
    if (trials && calls >= trial_calls(c->up, slot)) return LB_PASS_TRIAL;
    return c->up->bounded && calls >= bound_of(c->up, view, i) ? LB_PASS_BOUND : LB_PASS_NOT;
}

static bool was_taken(const choice *c, uint32_t member) {
    for (uint32_t i = 0; i < c->n_taken; i++)
        if (c->taken[i] == member) return true;
    return false;
}

static void note(lb_receipt *receipt, uint32_t member, lb_pass why) {
    for (uint32_t i = 0; i < receipt->n_passed && i < LB_MAX_PASSED; i++)
        if (receipt->passed[i] == member) return;
    if (receipt->n_passed < LB_MAX_PASSED) {
        receipt->passed[receipt->n_passed] = member;
        receipt->why[receipt->n_passed] = why;
    }
    receipt->n_passed++;
}

/* May candidate i of the group be taken? */
static bool suits(const choice *c, uint32_t i) {
    lb_pass why = pass_of(c, i);
    if (why == LB_PASS_NOT) return c->n_taken == 0 || !was_taken(c, lb_view_origin(c->group->view, i));
    if (c->want->receipt && !c->peek) note(c->want->receipt, lb_view_origin(c->group->view, i), why);
    return false;
}

/* ---- inside one group ------------------------------------------------------------------------------------------- */

static uint64_t hash_of(const choice *c) {
    const lb_policy *policy = c->up->spec.policy;
    const lb_key *key = c->want->key;
    if (policy->hash) return policy->hash(c->group->policy_state, key);
    return key->hashed ? key->hash : lb_xxh64(key->text.data, key->text.len, 0);
}

/* Whom the policy did not name: in list order from a place on. */
static uint32_t rest(const choice *c, uint32_t from) {
    const lb_view *view = c->group->view;
    for (uint32_t k = 0, place = from; k < view->n_usable; k++) {
        if (suits(c, view->usable[place])) return view->usable[place];
        if (++place == view->n_usable) place = 0;
    }
    return LB_NONE;
}

static inline uint32_t walk(const choice *c) {
    const lb_policy *policy = c->up->spec.policy;
    lb_walk walk = {.key = *c->want->key, .rng = c->rng, .peek = c->peek};
    for (; walk.step < MOST_STEPS; walk.step++) {
        uint32_t i = policy->walk(c->group->policy_state, c->group->view, &walk);
        if (i == LB_NONE) break;
        if (suits(c, i)) return i;
    }
    return rest(c, (uint32_t)(hash_of(c) % c->group->view->n_usable));
}

/* Is it a retry on a schedule?  It takes no turn of others: it only looks at those ahead. */
static bool is_aside(const choice *c) {
    const lb_policy *policy = c->up->spec.policy;
    return c->want->n_exclude && !policy->walk && !policy->pure && !policy->load_aware;
}

/* At most k steps of a schedule, as its bound says; the turns are spent.  The place of the rest is drawn from the
 * generator as it was before: a policy that is only peeked at leaves it there.  Aside, the turn is one drawn from the next
 * few: if one target fails many calls at once, their retries do not all meet at the one whose turn is next. */
static inline uint32_t schedule(const choice *c) {
    const lb_policy *policy = c->up->spec.policy;
    const lb_view *view = c->group->view;
    bool aside = !c->peek && is_aside(c);
    lb_ask ask = {.rng = c->rng, .kept = c->kept, .peek = c->peek || aside};
    lb_rng before = *c->rng;
    uint32_t most = ask.peek && view->n_usable > MOST_STEPS ? MOST_STEPS : view->n_usable, found = LB_NONE;
    uint32_t left = aside ? lb_rng_below(c->rng, view->n_usable < ASIDE ? view->n_usable : ASIDE) : 0;
    for (; ask.step < most; ask.step++) {
        uint32_t i = c->replay ? lb_replay_among(c->replay, &ask) : policy->pick(c->group->policy_state, view, &ask);
        if (i == LB_NONE) break;
        if (!suits(c, i)) continue;
        found = i;
        if (left-- == 0) return i;
    }
    if (found != LB_NONE) return found;
    lb_rng_next(c->rng);            /* a policy that draws nothing has another place next time */
    return rest(c, lb_rng_below(&before, view->n_usable));
}

/* A place among the usable, by weight (total_weight is far below 2^64: the bias is none to speak of). */
static uint32_t draw_place(const lb_view *view, lb_rng *rng) {
    uint64_t left = lb_rng_next(rng) % view->total_weight;
    uint32_t place = 0;
    for (; left >= view->weight[view->usable[place]]; place++) left -= view->weight[view->usable[place]];
    return place;
}

static inline uint32_t ask_policy(const choice *c) { return c->up->spec.policy->walk ? walk(c) : schedule(c); }

/* Beside other threads: one by one where the policy writes. */
static uint32_t ask_among(choice *c) {
    const lb_policy *policy = c->up->spec.policy;
    void *state = c->group->policy_state;
    if (lb_policy_is_pure(policy, state)) return ask_policy(c);
    const lb_view *view = c->group->view;
    uint32_t is = lb_gate_enter(&c->group->gate);
    if (is == LB_GATE_CLOSED)
        return rest(c, policy->walk ? (uint32_t)(hash_of(c) % view->n_usable) : draw_place(view, c->rng));
    lb_replay *replay = policy->replay ? policy->replay(state) : NULL;
    c->replay = is == LB_GATE_REPLAYS ? replay : NULL;
    uint32_t i = ask_policy(c);
    c->replay = NULL;
    if (is == LB_GATE_TAKEN) lb_gate_leave(&c->group->gate, replay && replay->table);
    return i;
}

static uint32_t choose_in(choice *c, lb_group *group) {
    c->group = group;
    if (group->view->n_usable == 0) return LB_NONE;
    uint32_t i = c->kept ? ask_among(c) : ask_policy(c);
    c->place = i;
    return i == LB_NONE ? LB_NONE : lb_view_origin(group->view, i);
}

/* ---- which group ------------------------------------------------------------------------------------------------ */

static uint32_t group_by_hash(choice *c, const lb_scope *scope) {
    c->group = &scope->group[0];
    uint64_t at = hash_of(c) % 100 + 1, sum = 0;
    for (uint32_t g = 0; g < scope->n_groups; g++) {
        sum += scope->level[g].percent;
        if (at <= sum) return g;
    }
    return 0;
}

/* Beside other threads. */
static uint32_t group_in_turn(const choice *c, lb_scope *scope, const lb_ask *ask) {
    lb_replay *replay = c->up->chooser->replay(scope->schedule);
    uint32_t is = lb_gate_enter(&scope->gate);
    if (is == LB_GATE_REPLAYS) return lb_replay_among(replay, ask);
    if (is == LB_GATE_CLOSED) return scope->shares->usable[draw_place(scope->shares, c->rng)];
    uint32_t g = c->up->chooser->pick(scope->schedule, scope->shares, ask);
    lb_gate_leave(&scope->gate, replay->table != NULL);
    return g;
}

static uint32_t group_of(choice *c, lb_scope *scope) {
    if (scope->n_groups == 1) return 0;
    if (c->up->spec.policy->walk) return group_by_hash(c, scope);
    if (scope->shares->n_usable == 0) return 0;
    lb_ask ask = {.rng = c->rng, .peek = c->peek || is_aside(c)};
    return c->kept ? group_in_turn(c, scope, &ask) : c->up->chooser->pick(scope->schedule, scope->shares, &ask);
}

/* The group that is due, then the others in order.  These have draws of their own: what the groups before them have
 * drawn differs between a peek and a choice. */
static uint32_t choose_from(choice *c, lb_scope *scope, uint32_t first) {
    lb_rng *drawn = c->rng, own;
    uint64_t seed = drawn->s[0];
    uint32_t member = choose_in(c, &scope->group[first]);
    if (member != LB_NONE || scope->n_groups == 1) return member;
    lb_rng_next(drawn);
    c->rng = &own;
    for (uint32_t g = 0; g < scope->n_groups && member == LB_NONE; g++) {
        if (g == first) continue;
        lb_rng_seed(&own, seed + g);
        member = choose_in(c, &scope->group[g]);
    }
    c->rng = drawn;
    return member;
}

static lb_scope *scope_of(const lb_upstream *up, const lb_want *want) {
    return want->within ? want->within->scope : &up->picture->scope[0];
}

/* ---- the public ones -------------------------------------------------------------------------------------------- */

static bool is_answerable(const choice *c, const lb_scope *scope) {
    return scope && (c->want->key || !c->up->spec.policy->walk);
}

/* Members that this very choice would give one after the other, at most n into out[]. */
static uint32_t look_ahead(const choice *asked, lb_scope *scope, uint32_t *out, uint32_t n) {
    choice c = *asked;
    if (!is_answerable(&c, scope)) return 0;
    lb_rng copy = *asked->rng;
    c.taken = out;
    c.rng = &copy;
    c.peek = true;
    uint32_t first = group_of(&c, scope);
    for (; c.n_taken < n; c.n_taken++) {
        copy = *asked->rng;
        out[c.n_taken] = choose_from(&c, scope, first);
        if (out[c.n_taken] == LB_NONE) break;
    }
    return c.n_taken;
}

/* The first two of a look ahead are the choice and the runner-up; or, where the choice is drawn from further on, the first
 * is whose turn it would have been. */
static uint32_t choose_traced(choice *c, lb_scope *scope, lb_receipt *receipt) {
    uint32_t two[2] = {LB_NONE, LB_NONE};
    look_ahead(c, scope, two, 2);
    *receipt = (lb_receipt){0};
    uint32_t member = choose_from(c, scope, group_of(c, scope));
    receipt->runner_up = member == two[0] ? two[1] : two[0];
    receipt->priority = c->group->priority;
    return member;
}

static inline uint32_t choose(choice *c, lb_scope *scope) {
    if (!is_answerable(c, scope)) return LB_NONE;
    if (c->want->receipt) return choose_traced(c, scope, c->want->receipt);
    return choose_from(c, scope, group_of(c, scope));
}

uint32_t lb_choose(choice *c, lb_scope *scope) { return choose(c, scope); }

/* The writer's. */
static inline choice begin_choice(lb_upstream *up, const lb_want *want) {
    return (choice){.up = up, .want = want, .rng = &up->rng, .now_ns = up->told_ns, .rough = up->rough};
}

static uint32_t choose_now(lb_upstream *up, const lb_want *want) {
    choice c = begin_choice(up, want);
    return choose(&c, scope_of(up, want));
}

static uint32_t candidates_now(lb_upstream *up, const lb_want *want, uint32_t *out, uint32_t n) {
    choice c = begin_choice(up, want);
    return look_ahead(&c, scope_of(up, want), out, n);
}

/* Would a new picture show somebody whom this one does not?  Who came back, or, where nobody is left, who is served all the
 * same.  Not where it is only that all are full, or excluded: a picture for each such choice would be one for each change. */
static bool is_missing_somebody(const lb_upstream *up, const lb_want *want) {
    const lb_scope *scope = scope_of(up, want);
    bool anybody = false;
    for (uint32_t g = 0; scope && g < scope->n_groups; g++) {
        const lb_view *view = scope->group[g].view;
        for (uint32_t i = 0; i < view->n_members; i++) {
            if (view->full[i] == 0 || lb_off_at(lb_record_of(up->state, view->slot[i]), up->told_ns)) continue;
            anybody = true;
            if (view->weight[i] == 0 && !is_excluded(want, view->slot[i])) return true;
        }
    }
    return scope && !anybody && (up->spec.when_empty || up->spec.levels.panic);
}

/* An old picture does not know who came back: where it knows nobody, it is made anew first. */
static bool is_renewed(lb_upstream *up, const lb_want *want) {
    return up->rough && is_missing_somebody(up, want) && !lb_upstream_publish(up, up->told_ns, NULL);
}

uint32_t lb_upstream_choose(lb_upstream *up, const lb_want *want, uint64_t now_ns) {
    lb_upstream_fire(up, now_ns);
    if (up->rough) lb_upstream_count_rough(up, now_ns);
    uint32_t member = choose_now(up, want);
    return member == LB_NONE && is_renewed(up, want) ? choose_now(up, want) : member;
}

static uint32_t pick_plain(lb_upstream *up) {
    const lb_group *group = &up->picture->scope[0].group[0];
    lb_ask ask = {.rng = &up->rng};
    return up->spec.policy->pick(group->policy_state, group->view, &ask);
}

uint32_t lb_upstream_pick(lb_upstream *up, uint64_t now_ns) {
    static const lb_want anybody = {0};
    lb_upstream_fire(up, now_ns);
    return up->plain && up->spec.policy->pick ? pick_plain(up) : lb_upstream_choose(up, &anybody, now_ns);
}

uint32_t lb_upstream_pick_key(lb_upstream *up, const lb_key *key, uint64_t now_ns) {
    lb_upstream_fire(up, now_ns);
    if (up->plain) {
        const lb_group *group = &up->picture->scope[0].group[0];
        lb_walk first = {.key = *key, .rng = &up->rng};
        uint32_t i = up->spec.policy->walk(group->policy_state, group->view, &first);
        if (i != LB_NONE) return lb_view_origin(group->view, i);
    }
    lb_want want = {.key = key};
    return lb_upstream_choose(up, &want, now_ns);
}

uint32_t lb_upstream_candidates(lb_upstream *up, const lb_want *want, uint32_t *out, uint32_t n, uint64_t now_ns) {
    lb_upstream_fire(up, now_ns);
    uint32_t found = candidates_now(up, want, out, n);
    return found == 0 && n && is_renewed(up, want) ? candidates_now(up, want, out, n) : found;
}

bool lb_upstream_serves_session(const lb_upstream *up, uint32_t member, uint64_t now_ns) {
    const lb_record *record = lb_record_of(up->state, up->hot.view->slot[member]);
    uint32_t off = lb_off_at(record, now_ns);
    if (up->members->weight[member] == 0) return false;
    bool believed = !up->rough && !lb_upstream_is_old(up);              /* the picture knows of panic */
    if (off == 0 || (up->hot.view->weight[member] > 0 && believed)) return true;
    return off == LB_OFF_DRAINING && now_ns < lb_word_read(&record->drain_until_ns);
}

/* Where `member` is picked from: the group, and its place there. */
static const lb_group *group_with(const lb_scope *scope, uint32_t member, uint32_t *place) {
    for (uint32_t g = 0; g < scope->n_groups; g++) {
        const lb_view *view = scope->group[g].view;
        for (*place = 0; *place < view->n_members; ++*place)
            if (lb_view_origin(view, *place) == member) return &scope->group[g];
    }
    return NULL;
}

uint32_t lb_upstream_bound(const lb_upstream *up, uint32_t member) {
    uint64_t most = up->spec.limits.in_flight ? up->spec.limits.in_flight : LB_NONE;
    uint32_t place;
    const lb_group *group = up->bounded ? group_with(&up->picture->scope[0], member, &place) : NULL;
    if (group && group->view->weight[place]) {
        uint64_t bound = bound_of(up, group->view, place);
        if (bound < most) most = bound;
    }
    return most < LB_NONE ? (uint32_t)most : LB_NONE;
}

uint32_t lb_choice_most(const lb_choice *c) {
    const lb_view *view = c->group->view;
    uint64_t most = c->up->spec.limits.in_flight ? c->up->spec.limits.in_flight : LB_NONE;
    uint64_t trial = lb_counter_read(&c->up->n_trials) ? trial_calls(c->up, view->slot[c->place]) : LB_NONE;
    uint64_t bound = c->up->bounded ? bound_of(c->up, view, c->place) : LB_NONE;
    if (trial < most) most = trial;
    if (bound < most) most = bound;
    return (uint32_t)most;
}

uint32_t lb_upstream_levels(const lb_upstream *up, uint32_t *priority, uint32_t *percent, uint32_t n) {
    const lb_scope *scope = &up->picture->scope[0];
    for (uint32_t l = 0; l < scope->n_levels && l < n; l++) {
        priority[l] = scope->level[l].priority;
        percent[l] = scope->level[l].percent;
    }
    return scope->n_levels;
}

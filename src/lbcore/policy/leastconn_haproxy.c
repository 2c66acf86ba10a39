/* leastconn_haproxy: HAProxy's `balance leastconn` as it was up to 3.1, turn for turn.
 *
 *   key      0        0        512          512      1280
 *          [ 2 ]    [ 0 ]     [ 3 ]        [ 1 ]     [ 4 ]       the first is taken, and filed again behind its equals
 *
 * Source  HAProxy 2.6's behaviour; checked against 2.6.12, idle and with requests held open.
 * Rule    the least key; key = (n + 1) * 4096 / (16 w), without its fraction, of n in flight and weight w, but 0 where n
 *         is 0, whatever the weight.  Of equal keys the one that was filed first; at the beginning in the order of the
 *         list.  A target is filed again whenever its n changes, and when it comes back or has a new weight.
 * Filed   a pick files its target with the request that follows.  The end of a call is filed when it is reported: so the
 *         order is HAProxy's own where calls end with a verdict and at that moment.  A call that ends without one
 *         (cancelled), or later than its report, and a pick that no call follows, are noticed at the next pick, and
 *         filed then, several in the order of the list.  Targets that came back are filed before them, in the order in
 *         which they did.
 * Beyond  weights above 256, which HAProxy does not have: a change of n may leave the key as it was; filed again all the
 *         same.
 * Step    asked again: the next in the order, and the one before is put back where it stood; after 16 steps, the targets
 *         that follow in the list.
 * Cost    pick O(n), peek O(n * step) up to 16 steps; build O(n); 8 bytes a target, and its pace in State.
 * Keeps   in State, so that all Views of an upstream see one order: pace.stamp_ns is the turn at which a target was
 *         filed, pace.mean_ns what it had in flight then (ENDED: a call has ended since), common->fleet counts the turns.
 *         Without State (backends of a split) the same stands here.  pick() writes both: one caller at a time.
 */
#include "base/alloc.h"
#include "policy/policy.h"

#define SCALE 256u                  /* 4096 / 16 */
#define STEPS 16u                   /* that are answered exactly */
#define ENDED (-1.0)
#define UNFILED ((uint64_t)1 << 63) /* above all turns */

typedef struct candidate {
    uint64_t key, turn;
    uint32_t place;                 /* in usable; also the last tie */
} candidate;

typedef struct state {
    uint32_t n_members;
    uint32_t *weight;               /* by member, as in the View: to see who comes back in the next one */
    uint32_t *back;                 /* by member: 0, or its place, from 1, among those that the next pick files first */
    uint32_t n_back;                /* the last of these places */
    lb_pace *own;                   /* where there is no State: by member */
    double own_turns;
    candidate last;                 /* what the ask under way gave last */
    lb_pace before;                 /* its pace before */
} state;

static lb_pace pace_of(const state *s, const lb_view *view, uint32_t member) {
    return s->own ? s->own[member] : lb_pace_read(view->state, view->slot[member]);
}

static void note_pace(state *s, const lb_view *view, uint32_t member, lb_pace pace) {
    if (s->own) s->own[member] = pace;
    else lb_pace_note(view->state, view->slot[member], pace);
}

static double turns_of(const lb_state *places) { return lb_word_glance_double(&places->common->fleet); }

/* The first of `n` turns; exact up to 2^53 of them. */
static uint64_t next_turn(state *s, const lb_view *view, uint32_t n) {
    double turns = s->own ? s->own_turns : turns_of(view->state);
    if (s->own) s->own_turns = turns + n;
    else lb_word_note_double(&view->state->common->fleet, turns + n);
    return (uint64_t)turns + 1;
}

static uint32_t load_of(const lb_view *view, uint32_t member) {
    return view->state ? lb_counter_read(lb_in_flight(view->state, view->slot[member])) : 0;
}

static bool is_filed(const lb_pace *pace, uint32_t n) { return pace->mean_ns == (double)n || pace->mean_ns == ENDED; }

/* ---- the order -------------------------------------------------------------------------------------------------- */

/* As it will stand after settle(). */
static candidate look_at(state *s, const lb_view *view, uint32_t place) {
    uint32_t member = view->usable[place], n = load_of(view, member);
    const lb_pace pace = pace_of(s, view, member);
    candidate c = {n ? ((uint64_t)n + 1) * SCALE / view->weight[member] : 0, pace.stamp_ns, place};
    if (s->n_back && s->back[member]) c.turn = UNFILED + s->back[member];
    else if (!is_filed(&pace, n)) c.turn = UNFILED + s->n_back + 1;
    return c;
}

static bool before(candidate a, candidate b) {
    if (a.key != b.key) return a.key < b.key;
    return a.turn != b.turn ? a.turn < b.turn : a.place < b.place;
}

/* The least that comes after `last` (NULL: the least of all).  Loads may change meanwhile; if that leaves none, `last`
 * again. */
static candidate least_after(state *s, const lb_view *view, const candidate *last) {
    candidate best = {0};
    bool found = false;
    for (uint32_t place = 0; place < view->n_usable; place++) {
        candidate c = look_at(s, view, place);
        if ((last && !before(*last, c)) || (found && !before(c, best))) continue;
        best = c;
        found = true;
    }
    return found || !last ? best : *last;
}

static candidate follower(state *s, const lb_view *view, candidate last, uint32_t step) {
    if (step < STEPS && step < view->n_usable) return least_after(s, view, &last);
    return look_at(s, view, last.place + 1 == view->n_usable ? 0 : last.place + 1);
}

static uint32_t peek(state *s, const lb_view *view, uint32_t step) {
    uint32_t exact = view->n_usable < STEPS ? view->n_usable : STEPS;
    candidate c = least_after(s, view, NULL);
    for (uint32_t i = 1; i <= step && i < exact; i++) c = least_after(s, view, &c);
    uint32_t further = step < exact ? 0 : step - exact + 1;
    return view->usable[((uint64_t)c.place + further) % view->n_usable];
}

/* ---- filing ----------------------------------------------------------------------------------------------------- */

static void file(state *s, const lb_view *view, uint32_t member, uint64_t turn) {
    note_pace(s, view, member, (lb_pace){.stamp_ns = turn, .mean_ns = load_of(view, member)});
}

static void file_back(state *s, const lb_view *view) {
    uint64_t first = next_turn(s, view, s->n_back);
    for (uint32_t i = 0; i < view->n_members; i++)
        if (s->back[i]) file(s, view, i, first + s->back[i] - 1);
    memset(s->back, 0, view->n_members * sizeof *s->back);
    s->n_back = 0;
}

/* Those that came back, then whose change nobody reported. */
static void settle(state *s, const lb_view *view) {
    if (s->n_back) file_back(s, view);
    for (uint32_t place = 0; place < view->n_usable; place++) {
        uint32_t member = view->usable[place];
        lb_pace pace = pace_of(s, view, member);
        bool known = is_filed(&pace, load_of(view, member));
        file(s, view, member, known ? pace.stamp_ns : next_turn(s, view, 1));
    }
}

/* With the request that is being placed. */
static uint32_t take(state *s, const lb_view *view, candidate c) {
    uint32_t member = view->usable[c.place];
    s->last = c;
    s->before = pace_of(s, view, member);
    uint64_t turn = next_turn(s, view, 1);
    note_pace(s, view, member, (lb_pace){.stamp_ns = turn, .mean_ns = (double)load_of(view, member) + 1});
    return member;
}

static uint32_t pick(void *st, const lb_view *view, const lb_ask *ask) {
    state *s = st;
    if (view->n_usable == 0) return LB_NONE;
    if (ask->peek) return peek(s, view, ask->step);
    if (ask->step == 0) {
        settle(s, view);
        return take(s, view, least_after(s, view, NULL));
    }
    note_pace(s, view, view->usable[s->last.place], s->before);
    return take(s, view, follower(s, view, s->last, ask->step));
}

static void observe(const void *st, lb_state *places, uint32_t slot, const lb_seen *seen) {
    (void)st, (void)seen;
    double turn = turns_of(places) + 1;
    lb_word_note_double(&places->common->fleet, turn);
    lb_pace_note(places, slot, (lb_pace){.stamp_ns = (uint64_t)turn, .mean_ns = ENDED});
}

/* ---- build ------------------------------------------------------------------------------------------------------ */

static void destroy(void *st) {
    state *s = st;
    if (!s) return;
    lb_free(s->weight);
    lb_free(s->back);
    lb_free(s->own);
    lb_free(s);
}

static lb_status make_room(state *s, const lb_view *view, lb_error *err) {
    s->n_members = view->n_members;
    s->weight = lb_alloc_array(s->n_members, sizeof *s->weight);
    s->back = lb_alloc_zero(s->n_members, sizeof *s->back);
    if (!view->state) s->own = lb_alloc_zero(s->n_members, sizeof *s->own);
    bool ready = s->weight && s->back && (view->state || s->own);
    return ready ? LB_OK : lb_no_memory(err, "policy");
}

/* Who waits to be filed waits on; behind them come the newcomers, those that are usable again, and new weights. */
static void take_over(state *s, const lb_view *view, const state *previous, const uint32_t *old_index) {
    s->n_back = previous->n_back;
    s->own_turns = previous->own_turns;
    for (uint32_t i = 0; i < s->n_members; i++) {
        uint32_t old = old_index[i], weight = view->weight[i];
        bool same = old != LB_NONE && previous->weight[old] == weight;
        if (s->own && previous->own && old != LB_NONE) s->own[i] = previous->own[old];
        if (weight) s->back[i] = same ? previous->back[old] : ++s->n_back;
    }
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    (void)param;
    state *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    lb_status status = make_room(s, view, err);
    if (status) {
        destroy(s);
        return status;
    }
    memcpy(s->weight, view->weight, s->n_members * sizeof *s->weight);
    if (previous) take_over(s, view, previous, old_index);
    *out = s;
    return LB_OK;
}

const lb_policy lb_policy_leastconn_haproxy = {
    .name = "leastconn_haproxy", .summary = "HAProxy's least connections, in its order up to 3.1.",
    .build = build, .destroy = destroy, .pick = pick, .observe = observe,
};

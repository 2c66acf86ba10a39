/* round_robin: every target gets its weight's share, within one pick, at every moment.
 *
 *   quota.c           turn    0   1   2   3   4   5   6   7
 *   the generator  ------->  [A] [B] [A] [A] [C] [ ] [ ] [ ]     room for a whole period: W/gcd picks
 *                                     ^           ^
 *                                   cursor       head            between them: looked at by peek, not yet picked
 *
 * The generator's picks are recorded.  A period in which everybody had exactly its weight is followed by the same
 * again, so from then on the recording is replayed and the generator stands still at the period's end.  A period that
 * was not exact (it began at a phase, or with debts) is overwritten by the next.  Periods above 2^20 turns are never
 * replayed; their ring has room for looking ahead only.
 *
 * Source  quota.h.  Phase, takeover and clipping are ours.
 * Phase   0: the schedule's beginning, so that what is configured is what the first requests see.  1: entered at a turn
 *         drawn from the seed, so that many short-lived workers follow the weights from their first pick.
 * Change  build() with `previous` takes over the debts as they are at its cursor.  A newcomer starts at 0.  What
 *         leaves, with the crumbs of rounding, is spread over those that stay, by weight.  A debt beyond 2 picks is
 *         clipped, and what was clipped cancels debts of the other sign.
 * Shared  where the View is `alike`, the schedule begins at its beginning and takes nothing over, so that all workers
 *         have the same; with a shared cursor a worker records up to the turn it was given.
 * Ties    by an order shuffled from the seed: view->usable from a drawn place on, round to it, then by Fisher-Yates; of
 *         more than 1,024 targets each 8 by themselves.  So neighbours stay neighbours where not all fit the cache, and
 *         two workers still begin at different places.  The phase is lb_rng_next() % period, drawn after it.
 * Bound   within 1 pick of the exact share at every prefix from phase 0, within 2 from any other phase.
 * Cost    pick: recording O(log n), replaying a table read.  build O(n); into a phase O(n log n); taking over, also the
 *         turns between cursor and head (a period at most).
 *         Memory: 44 bytes a target and 4 a turn of the period (4 KiB or 4 bytes a target where it is not replayed).
 * Keeps   turns [cursor, cursor + ahead) of the ring are the next picks; while replaying, all are.
 *         pick() and peek write to the state: one caller at a time.
 */
#include "policy/round_robin.h"

#include "base/alloc.h"
#include "base/exact.h"
#include "policy/quota.h"

#include <string.h>

#define MAX_PERIOD (1u << 20)       /* longer ones are not replayed */
#define LOOK_AHEAD 1024u            /* the least room of a ring */
#define MAX_DEBT (2 * LB_ONE_PICK)
#define FULLY_SHUFFLED 1024u        /* targets; of more, NEIGHBOURS by themselves */
#define NEIGHBOURS 8u
#define PHASE 0                     /* index of the parameter */
#define ABSENT INT64_MIN            /* instead of a debt */

typedef struct state {
    lb_replay replay;               /* n is the room of `turn`; table is NULL while recording */
    lb_quota quota;
    uint32_t n_members;             /* of the View */
    uint32_t head;                  /* where the next turn is recorded */
    uint32_t ahead;                 /* recorded and not yet picked */
    bool exact;                     /* nobody has had more than its share of the period */
    uint32_t *member;               /* by rank */
    uint32_t *left;                 /* by rank: share of the period not had yet; NULL where it is not replayed */
    uint32_t *turn;                 /* members */
} state;

static const lb_param params[] = {
    LB_WHOLE("phase", 1, 0, 1, "0: the beginning of the schedule; 1: a point of it drawn from the seed."),
    {0},
};

/* ---- recording -------------------------------------------------------------------------------------------------- */

static void begin_period(state *s) {
    memcpy(s->left, s->quota.weight, s->quota.n * sizeof *s->left);
    s->exact = true;
}

/* Shares add up to the period: if nobody had more, everybody had all of it. */
static void end_period(state *s) {
    if (s->exact) s->replay.table = s->turn;
    else begin_period(s);
}

static void record(state *s) {
    uint32_t rank = lb_quota_next(&s->quota);
    s->turn[s->head] = s->member[rank];
    s->ahead++;
    if (++s->head == s->replay.n) s->head = 0;
    if (!s->left) return;
    if (s->left[rank] == 0) s->exact = false;
    else s->left[rank]--;
    if (s->head == 0) end_period(s);
}

/* The first period of a schedule from its beginning is exact: `head` is the first turn not recorded, until all are. */
static uint32_t turn_at(state *s, uint32_t at) {
    while (!s->replay.table && s->head <= at) record(s);
    return s->turn[at];
}

static uint32_t peek(state *s, uint32_t step) {
    if (step >= s->replay.n) return LB_NONE;
    if (s->replay.shared)
        return turn_at(s, lb_replay_place(&s->replay, lb_word_glance(&s->replay.shared->turn) + step));
    while (!s->replay.table && s->ahead <= step) record(s);
    uint32_t at = s->replay.cursor + step;
    return s->turn[at < s->replay.n ? at : at - s->replay.n];
}

/* Each call spends a turn, whatever the step: a target that is skipped is not owed the turn. */
static uint32_t pick(void *st, const lb_view *view, const lb_ask *ask) {
    state *s = st;
    if (view->n_usable == 0) return LB_NONE;
    if (ask->peek) return peek(s, ask->step);
    if (s->replay.shared) return turn_at(s, lb_replay_take(&s->replay));
    if (s->replay.table) return lb_replay_next(&s->replay);
    if (s->ahead == 0) record(s);
    s->ahead--;
    uint32_t at = s->replay.cursor++;
    if (s->replay.cursor == s->replay.n) s->replay.cursor = 0;
    return s->turn[at];
}

static lb_replay *replay(void *st) { return &((state *)st)->replay; }

/* ---- debts at the cursor ---------------------------------------------------------------------------------------- */

/* The generator stands this many turns beyond the cursor; while replaying, at the period's end. */
static uint32_t turns_beyond(const state *s, uint32_t cursor) {
    return s->replay.table ? s->replay.n - cursor : s->ahead;
}

static uint32_t turn_beyond(const state *s, uint32_t cursor, uint32_t i) {
    uint32_t at = cursor + i;
    return s->turn[at < s->replay.n ? at : at - s->replay.n];
}

int64_t lb_round_robin_debt(const void *st, const lb_view *view, uint32_t member) {
    const state *s = st;
    if (view->weight[member] == 0) return 0;
    uint32_t cursor = lb_replay_at(&s->replay), beyond = turns_beyond(s, cursor), given = 0, place = 0;
    for (uint32_t i = 0; i < beyond; i++) given += turn_beyond(s, cursor, i) == member;
    while (s->member[lb_quota_rank(&s->quota, place)] != member) place++;
    return lb_quota_debt(&s->quota, place, lb_quota_ago(&s->quota, beyond), given);
}

/* The debts of all: owed[member], ABSENT where it was not usable.  given[member] is scratch, all 0. */
static void debts_at_cursor(const state *s, int64_t *owed, uint32_t *given) {
    uint32_t cursor = lb_replay_at(&s->replay), beyond = turns_beyond(s, cursor);     /* readers may move it meanwhile */
    lb_quota_time then = lb_quota_ago(&s->quota, beyond);
    for (uint32_t i = 0; i < beyond; i++) given[turn_beyond(s, cursor, i)]++;
    for (uint32_t i = 0; i < s->n_members; i++) owed[i] = ABSENT;
    for (uint32_t place = 0; place < s->quota.n; place++) {
        uint32_t member = s->member[lb_quota_rank(&s->quota, place)];
        owed[member] = lb_quota_debt(&s->quota, place, then, given[member]);
    }
}

/* ---- takeover: debt[rank] in 2^-32 pick, ABSENT for newcomers --------------------------------------------------- */

/* Make the debts sum to 0: what those that stay have too much goes off them by weight, in whole units.  Quotient and
 * rest are given out apart, for excess * weight would not fit; the rest is carried on, so that it comes out even. */
static void spread(int64_t *debt, const state *s, const uint32_t *weight, int64_t unit) {
    int64_t excess = 0, staying = 0, carried = 0;
    for (uint32_t r = 0; r < s->quota.n; r++) {
        if (debt[r] == ABSENT) continue;
        debt[r] = lb_floor_div(debt[r], unit);
        excess += debt[r];
        staying += weight[s->member[r]];
    }
    if (staying == 0) return;
    int64_t each = lb_floor_div(excess, staying), rest = excess - each * staying;
    for (uint32_t r = 0; r < s->quota.n; r++) {
        if (debt[r] == ABSENT) continue;
        int64_t w = weight[s->member[r]];
        carried += rest * w;
        debt[r] = (debt[r] - each * w - carried / staying) * unit;
        carried %= staying;
    }
}

static int64_t nearer_to_0(int64_t a, int64_t b) { return (a < 0 ? -a : a) < (b < 0 ? -b : b) ? a : b; }

/* No debt beyond 2 picks.  Debts sum to 0, so those of the other sign are large enough to take up what is clipped. */
static void clip(int64_t *debt, uint32_t n) {
    int64_t clipped = 0;
    for (uint32_t r = 0; r < n; r++) {
        int64_t fit = debt[r] < 0 ? -MAX_DEBT : MAX_DEBT, over = debt[r] - nearer_to_0(debt[r], fit);
        debt[r] -= over;
        clipped += over;
    }
    for (uint32_t r = 0; r < n; r++) {
        if ((debt[r] > 0) == (clipped > 0)) continue;
        int64_t cancel = nearer_to_0(clipped, -debt[r]);
        debt[r] += cancel;
        clipped -= cancel;
    }
}

static void inherit(int64_t *debt, const state *s, const lb_view *view, const int64_t *owed,
                    const uint32_t *old_index) {
    uint32_t n = s->quota.n;
    for (uint32_t r = 0; r < n; r++) {
        uint32_t old = old_index[s->member[r]];
        debt[r] = old == LB_NONE ? ABSENT : owed[old];
    }
    spread(debt, s, view->weight, LB_ONE_PICK >> s->quota.bits);
    for (uint32_t r = 0; r < n; r++)
        if (debt[r] == ABSENT) debt[r] = 0;
    clip(debt, n);
}

static lb_status take_over(state *s, const lb_view *view, const state *old, const uint32_t *old_index, lb_error *err) {
    int64_t *debt = lb_alloc_array(s->quota.n, sizeof *debt);
    int64_t *owed = lb_alloc_array(old->n_members, sizeof *owed);
    uint32_t *given = lb_alloc_zero(old->n_members, sizeof *given);
    bool ok = debt && owed && given;
    if (ok) {
        debts_at_cursor(old, owed, given);
        inherit(debt, s, view, owed, old_index);
        lb_quota_start(&s->quota, debt, 0);
    }
    lb_free(debt);
    lb_free(owed);
    lb_free(given);
    return ok ? LB_OK : lb_no_memory(err, "policy");
}

/* ---- build ------------------------------------------------------------------------------------------------------ */

/* Fisher-Yates from the last place to the second. */
static void shuffle(uint32_t *member, uint32_t n, lb_rng *rng) {
    for (uint32_t place = n - 1; place > 0; place--) {
        uint32_t partner = lb_rng_below(rng, place + 1), moved = member[place];
        member[place] = member[partner];
        member[partner] = moved;
    }
}

static void order_ties(uint32_t *member, const uint32_t *usable, uint32_t n, lb_rng *rng) {
    uint32_t from = lb_rng_below(rng, n), together = n > FULLY_SHUFFLED ? NEIGHBOURS : n;
    for (uint32_t i = 0; i < n; i++) member[i] = usable[i < n - from ? from + i : from + i - n];
    for (uint32_t i = 0; i < n; i += together) shuffle(member + i, n - i < together ? n - i : together, rng);
}

/* Room for what will be recorded.  Untouched pages of a long period cost nothing. */
static lb_status make_room(state *s, lb_error *err) {
    bool replayed = s->quota.period <= MAX_PERIOD;
    uint32_t ring = s->quota.n > LOOK_AHEAD ? s->quota.n : LOOK_AHEAD;
    s->replay.n = replayed ? (uint32_t)s->quota.period : ring;
    s->turn = lb_alloc_array(s->replay.n, sizeof *s->turn);
    if (!s->turn) return lb_no_memory(err, "policy");
    if (!replayed) return LB_OK;
    s->left = lb_alloc_array(s->quota.n, sizeof *s->left);
    return s->left ? LB_OK : lb_no_memory(err, "policy");
}

static lb_status make_schedule(state *s, const lb_view *view, bool from_start, const state *old,
                               const uint32_t *old_index, lb_error *err) {
    lb_rng rng;
    lb_rng_seed(&rng, view->seed);
    s->member = lb_alloc_array(view->n_usable, sizeof *s->member);
    if (!s->member) return lb_no_memory(err, "policy");
    order_ties(s->member, view->usable, view->n_usable, &rng);
    lb_status status = lb_quota_init(&s->quota, view->weight, s->member, view->n_usable, err);
    if (status == LB_OK) status = make_room(s, err);
    if (status) return status;
    if (old) status = take_over(s, view, old, old_index, err);
    else lb_quota_start(&s->quota, NULL, from_start ? 0 : lb_rng_next(&rng) % s->quota.period);
    if (status == LB_OK && s->left) begin_period(s);
    s->replay.alike = view->alike && s->left;
    return status;
}

static void destroy(void *st) {
    state *s = st;
    if (!s) return;
    lb_quota_free(&s->quota);
    lb_free(s->member);
    lb_free(s->left);
    lb_free(s->turn);
    lb_free(s);
}

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {
    state *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    s->n_members = view->n_members;
    bool from_start = param[PHASE] == 0 || view->alike;
    const void *old = view->alike ? NULL : previous;
    lb_status status = view->n_usable ? make_schedule(s, view, from_start, old, old_index, err) : LB_OK;
    if (status) destroy(s);
    else *out = s;
    return status;
}

const lb_policy lb_policy_round_robin = {
    .name = "round_robin", .summary = "Every target gets its weight's share, exactly, in the finest interleaving.",
    .params = params, .build = build, .destroy = destroy, .pick = pick, .replay = replay,
};

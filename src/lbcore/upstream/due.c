/* due: fires what is due, and brings an old picture up to date.
 *
 *   holds       failed calls that stay counted for a while       earliest end
 *   tick        what a policy learnt fades                       policy->tick_ns after the last
 *   picture     ends of ejections and pauses, steps of slow starts
 *   judge       the end of a detectors' interval
 *   look        the calls of other workers, once a millisecond where picks depend on them; who died, once a second
 *                                             hot.due_ns: the earliest of them
 *
 * Old     a picture older than the epoch is made anew at once where there are up to 256 targets, or the last one was made
 *         long enough ago: 20 us a target, at most 250 ms.  Else it serves on for so long, roughly: a choice passes over
 *         whom the records call out.  So a thousand changes a second of ten thousand targets do not make a thousand rings.
 *         A clock that stands still does not keep it longer than 16 choices a target.
 * Cost    O(1) but for the picture, which is made anew, and looks, which are O(targets).
 * Keeps   a failed attempt leaves its part due, and the picture rough.  A policy that refuses those who are usable now (a
 *         table too small for them) is asked again every 250 ms.
 */
#include "upstream/internal.h"

#include "base/alloc.h"

#define AT_ONCE 256u                /* targets, up to which a picture is cheap */
#define GAP_NS_A_TARGET 20000u
#define MOST_GAP_NS 250000000u
#define ROUGH_CHOICES 16u           /* a target */
#define LOOK_NS 1000000u            /* for each started LOOKED_AT slots */
#define LOOKED_AT 1024u
#define SWEEP_NS 1000000000u

/* ---- holds ------------------------------------------------------------------------------------------------------ */

static lb_hold *hold_at(const lb_holds *holds, uint32_t i) {
    return &holds->ring[(holds->first + i) % holds->capacity];
}

static bool make_room(lb_holds *holds) {
    if (holds->n < holds->capacity) return true;
    if (holds->capacity > UINT32_MAX / 4) return false;
    uint32_t capacity = holds->capacity ? 2 * holds->capacity : 16;
    lb_hold *ring = lb_alloc_array(capacity, sizeof *ring);
    if (!ring) return false;
    for (uint32_t i = 0; i < holds->n; i++) ring[i] = *hold_at(holds, i);
    lb_free(holds->ring);
    *holds = (lb_holds){.ring = ring, .n = holds->n, .capacity = capacity};
    return true;
}

/* Verdicts come in order and releases nearly so: few move. */
bool lb_holds_add(lb_holds *holds, lb_hold hold) {
    if (!make_room(holds)) return false;
    uint32_t at = holds->n++;
    for (; at > 0 && hold_at(holds, at - 1)->until_ns > hold.until_ns; at--)
        *hold_at(holds, at) = *hold_at(holds, at - 1);
    *hold_at(holds, at) = hold;
    return true;
}

static void end_holds(lb_upstream *up, uint64_t now_ns) {
    while (up->holds.n && hold_at(&up->holds, 0)->until_ns <= now_ns) {
        lb_hold hold = *hold_at(&up->holds, 0);
        up->holds.first = (up->holds.first + 1) % up->holds.capacity;
        up->holds.n--;
        if (lb_generation_of(up->state, hold.slot) == hold.generation) lb_seat_of(up->state, hold.slot)->n_held--;
        if (!lb_upstream_finish(up, hold.slot, hold.generation)) continue;
        if (up->n_draining) lb_upstream_drained(up, hold.slot, now_ns);
    }
}

/* ---- ticks ------------------------------------------------------------------------------------------------------ */

/* Once, however long the silence was: a tick is told the time. */
static void tick(lb_upstream *up, uint64_t now_ns) {
    const lb_policy *policy = up->spec.policy;
    policy->tick(up->picture->scope[0].group[0].policy_state, up->state, now_ns);
    up->tick_due_ns = now_ns + policy->tick_ns;
}

/* ---- other workers ---------------------------------------------------------------------------------------------- */

/* Do picks depend on the others' calls? */
static bool looks(const lb_upstream *up) {
    return up->state->backing && (up->spec.policy->load_aware || up->spec.limits.in_flight || up->bounded
                                  || lb_counter_read(&up->n_trials)
                                  || up->n_draining);
}

static void look(lb_upstream *up, uint64_t now_ns) {
    if (!up->state->backing || now_ns < up->look_due_ns) return;
    if (now_ns >= up->sweep_due_ns) {
        (void)up->state->backing->sweep(up->state->backing->context);
        up->sweep_due_ns = now_ns + SWEEP_NS;
    }
    lb_word_note(&up->others, lb_state_look(up->state));
    up->look_due_ns = now_ns + LOOK_NS * (1 + up->state->n_slots / LOOKED_AT);
    for (uint32_t i = 0; i < up->hot.view->n_members && up->n_draining; i++)
        lb_upstream_drained(up, up->hot.view->slot[i], now_ns);
}

/* ---- the picture ------------------------------------------------------------------------------------------------ */

static uint64_t gap_ns(uint32_t n_members) {
    uint64_t gap = (uint64_t)n_members * GAP_NS_A_TARGET;
    return gap < MOST_GAP_NS ? gap : MOST_GAP_NS;
}

/* From here on choices look at the records themselves. */
static void roughen(lb_upstream *up) {
    up->rough = true;
    up->plain = false;
    up->hot.replay = NULL;
}

/* The clock may stand still, or nobody tells the time. */
void lb_upstream_count_rough(lb_upstream *up, uint64_t now_ns) {
    (void)lb_upstream_moment(up, now_ns);               /* by which records are read */
    if (++up->n_rough <= ROUGH_CHOICES * up->hot.view->n_members) return;
    if (lb_upstream_publish(up, up->told_ns, NULL)) up->n_rough = 0;    /* without memory it is tried again as much later */
}

static lb_status catch_up(lb_upstream *up, uint64_t now_ns, lb_error *err) {
    uint32_t n = up->hot.view->n_members;
    uint64_t next_ns = up->published_ns + gap_ns(n);
    bool now = n <= AT_ONCE || now_ns >= next_ns || now_ns < up->published_ns;
    lb_status status = now ? lb_upstream_publish(up, now_ns, err) : LB_OK;
    if (status || !now) roughen(up);
    if (!now || status == LB_ERR_CONFIG) {              /* refused: so it will be again, until the list changes */
        up->hot.seen = lb_word_read(up->hot.epoch);
        up->picture_due_ns = now ? now_ns + MOST_GAP_NS : next_ns;
    }
    return status;
}

lb_status lb_upstream_settle(lb_upstream *up, uint64_t now_ns, lb_error *err) {
    if (now_ns > up->told_ns) up->told_ns = now_ns;
    if (up->state->backing) up->hot.due_ns = up->look_due_ns = up->sweep_due_ns = 1;    /* with the others' calls */
    lb_status status = lb_upstream_advance(up, up->told_ns, err);
    return up->rough && !status ? lb_upstream_publish(up, up->told_ns, err) : status;
}

/* ---- all -------------------------------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

void lb_upstream_set_due(lb_upstream *up) {
    uint64_t due_ns = earlier(up->picture_due_ns, up->tick_due_ns);
    due_ns = earlier(due_ns, up->judge_due_ns);
    if (looks(up)) due_ns = earlier(due_ns, up->look_due_ns);
    if (up->holds.n) due_ns = earlier(due_ns, hold_at(&up->holds, 0)->until_ns);
    up->hot.due_ns = up->orphan ? 1 : due_ns;
}

static void tend(lb_upstream *up, uint64_t now_ns) {
    end_holds(up, now_ns);
    if (up->spec.policy->tick_ns && now_ns >= up->tick_due_ns) tick(up, now_ns);
    look(up, now_ns);
    if (now_ns >= up->judge_due_ns) lb_judge_interval(up, now_ns);
}

uint64_t lb_upstream_tend(lb_upstream *up, uint64_t now_ns) {
    now_ns = lb_upstream_moment(up, now_ns);
    if (up->readers) lb_readers_attend(up);
    if (!lb_upstream_is_due(up, now_ns)) return now_ns;
    tend(up, now_ns);
    lb_upstream_set_due(up);
    return now_ns;
}

lb_status lb_upstream_advance(lb_upstream *up, uint64_t now_ns, lb_error *err) {
    now_ns = lb_upstream_moment(up, now_ns);
    if (up->readers) lb_readers_attend(up);
    if (!lb_upstream_is_old(up) && !lb_upstream_is_due(up, now_ns)) return LB_OK;
    tend(up, now_ns);
    bool late = lb_upstream_is_old(up) || now_ns >= up->picture_due_ns;
    lb_status status = late ? catch_up(up, now_ns, err) : LB_OK;
    lb_upstream_set_due(up);
    return status;
}

uint64_t lb_upstream_due(const lb_upstream *up) { return up->hot.due_ns; }

/* 0: it is not out.  Who is unhealthy, draining or disabled does not come back by itself; who is ejected and held comes
 * back when both are over. */
static uint64_t comes_back_ns(const lb_record *record) {
    if (lb_record_off(record) & ~(uint32_t)(LB_OFF_EJECTED | LB_OFF_HELD)) return LB_NEVER;
    uint64_t ejected_ns = lb_word_read(&record->ejected_until_ns), held_ns = lb_word_read(&record->held_until_ns);
    return ejected_ns > held_ns ? ejected_ns : held_ns;
}

uint64_t lb_upstream_back_ns(const lb_upstream *up) {
    const lb_view *view = up->hot.view;
    uint64_t first_ns = LB_NEVER;
    for (uint32_t i = 0; i < view->n_members; i++) {
        uint64_t at_ns = view->full[i] ? comes_back_ns(lb_record_of(up->state, view->slot[i])) : 0;
        if (at_ns) first_ns = earlier(first_ns, at_ns);
    }
    return first_ns;
}

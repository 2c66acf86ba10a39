/* reader: see reader.h.
 *
 *   lb_reader   | up next | - line - | inside picture rng ... note[64] n_told | - line - | n_heard |
 *                 writer's             the thread's: nobody else writes                    writer's
 *
 *   enter     inside = era, then read `shown`          both in the one order of sequentially consistent operations: either
 *   replace   `shown` = next, then read every inside   the writer sees the reader inside, or the reader the next picture
 *
 * An era that a reader read too early only makes more wait.  Notes (events, held calls) go by a ring that one thread fills
 * and the writer empties.
 * Cost    reclaim O(readers) a picture, at most LB_RECLAIMED pictures; attend O(readers + notes).
 * Keeps   retired pictures stand in the order of their eras, so whoever keeps one keeps those behind it: lists of names
 *         outlive all pictures that name them.  A slot that is left is given back when no picture that names it is
 *         retired any more (update), so that a reader never counts a call on a stranger.
 */
#include "upstream/internal.h"

#include "base/alloc.h"

#define LINE_BYTES 64u
#define MOST_NOTES 64u
#define MOST_CLAIMS 64u             /* choices that were full by the time they were counted */

/* What a reader tells the writer: an event, or a failed call that is to stay counted. */
typedef struct note {
    lb_event event;
    lb_call held;                   /* hold_until_ns 0: it is an event */
} note;

struct lb_reader {
    lb_upstream *up;                /* NULL: it is gone */
    lb_reader *next;
    char apart[LINE_BYTES];
    lb_word inside;                 /* the era it came in; 0: it is outside */
    lb_picture *picture;            /* while inside */
    uint32_t depth;
    lb_counter n_lost;              /* events that found no room */
    lb_rng rng, chance;
    lb_kept kept;
    uint64_t told_ns;
    lb_word calls;                  /* begun less released, where nothing is bounded; may wrap */
    lb_word n_told;                 /* notes ever written */
    note note[MOST_NOTES];
    char apart_too[LINE_BYTES];
    lb_word n_heard;                /* notes ever read */
    uint32_t n_lost_heard;
};

/* ---- in and out ------------------------------------------------------------------------------------------------- */

const lb_view *lb_reader_enter(lb_reader *reader) {
    if (reader->depth++ == 0) {
        atomic_store(&reader->inside, lb_word_read(&reader->up->era));
        reader->picture = atomic_load(&reader->up->shown);
    }
    return reader->picture->view;
}

void lb_reader_leave(lb_reader *reader) {
    if (--reader->depth == 0) lb_word_write(&reader->inside, 0);
}

static bool is_seen(const lb_upstream *up, uint64_t era) {
    for (lb_reader *reader = up->readers; reader; reader = reader->next) {
        uint64_t inside = atomic_load(&reader->inside);
        if (inside && inside <= era) return true;
    }
    return false;
}

static void free_oldest(lb_upstream *up) {
    lb_picture *picture = up->retired;
    up->retired = picture->next;
    up->n_retired--;
    lb_picture_free(up, picture);
}

uint32_t lb_upstream_reclaim(lb_upstream *up) {
    for (uint32_t n = 0; n < LB_RECLAIMED && up->retired && !up->n_pins && !is_seen(up, up->retired->era); n++)
        free_oldest(up);
    return up->n_retired;
}

/* All that nobody is in, where that cannot be many: slices are for who comes by often. */
void lb_pictures_reclaim(lb_upstream *up) {
    for (uint32_t before = LB_NONE, left = up->n_retired; left && left < before;) {
        before = left;
        left = lb_upstream_reclaim(up);
    }
}

void lb_picture_retire(lb_upstream *up, lb_picture *picture) {
    picture->era = atomic_fetch_add(&up->era, 1);
    picture->next = NULL;
    if (up->retired) up->youngest->next = picture;
    else up->retired = picture;
    up->youngest = picture;
    up->n_retired++;
    (void)lb_upstream_reclaim(up);
}

/* ---- notes ------------------------------------------------------------------------------------------------------ */

/* Room for one more, to be filled in and sent by send(); NULL: there is none. */
static note *next_note(lb_reader *reader) {
    uint64_t n = lb_word_glance(&reader->n_told);
    return n - lb_word_read(&reader->n_heard) < MOST_NOTES ? &reader->note[n % MOST_NOTES] : NULL;
}

static void send(lb_reader *reader) { lb_word_write(&reader->n_told, lb_word_glance(&reader->n_told) + 1); }

void lb_reader_tell(lb_reader *reader, lb_event event) {
    note *free_note = next_note(reader);
    if (!free_note) {
        lb_counter_add(&reader->n_lost, 1);
        return;
    }
    *free_note = (note){.event = event};
    send(reader);
}

static bool tell_held(lb_reader *reader, const lb_call *call) {
    note *free_note = next_note(reader);
    if (!free_note) return false;
    *free_note = (note){.held = *call};
    send(reader);
    return true;
}

lb_rng *lb_reader_chance(lb_reader *reader) { return &reader->chance; }

/* What the release of a held call does is the writer's from here on. */
static void hear(lb_upstream *up, lb_reader *reader) {
    uint64_t n_told = lb_word_read(&reader->n_told), n = lb_word_glance(&reader->n_heard);
    for (; n < n_told; n++) {
        const note *heard = &reader->note[n % MOST_NOTES];
        if (heard->held.hold_until_ns) lb_upstream_release(up, &heard->held);
        else lb_events_push(&up->events, heard->event);
    }
    lb_word_write(&reader->n_heard, n);
    uint32_t n_lost = lb_counter_read(&reader->n_lost);
    up->events.dropped += n_lost - reader->n_lost_heard;
    reader->n_lost_heard = n_lost;
}

void lb_readers_attend(lb_upstream *up) {
    for (lb_reader *reader = up->readers; reader; reader = reader->next) hear(up, reader);
    for (uint32_t i = 0; i < up->hot.view->n_members && up->n_draining; i++)
        lb_upstream_drained(up, up->hot.view->slot[i], up->told_ns);
    (void)lb_upstream_reclaim(up);
}

/* ---- gates ------------------------------------------------------------------------------------------------------ */

/* Policies with is_pure need none: their build reads nothing that asking writes. */
static void for_each_gate(const lb_upstream *up, lb_picture *picture, void (*turn)(lb_gate *)) {
    for (uint32_t s = 0; picture && s < picture->n_scopes; s++) {
        lb_scope *scope = &picture->scope[s];
        turn(&scope->gate);
        for (uint32_t g = 0; g < scope->n_groups && !up->spec.policy->is_pure; g++) turn(&scope->group[g].gate);
    }
}

void lb_gates_close(lb_upstream *up, lb_picture *picture) {
    if (up->readers) for_each_gate(up, picture, lb_gate_close);
}

void lb_gates_reopen(lb_upstream *up, lb_picture *picture) {
    if (up->readers) for_each_gate(up, picture, lb_gate_reopen);
}

/* ---- making and freeing ----------------------------------------------------------------------------------------- */

lb_status lb_reader_new(lb_reader **out, lb_upstream *up, uint64_t seed, lb_error *err) {
    lb_reader *reader = lb_alloc_zero(1, sizeof *reader);
    if (!reader) return lb_no_memory(err, "reader");
    reader->up = up;
    reader->told_ns = up->told_ns;
    lb_rng_seed(&reader->rng, seed);
    lb_rng_seed(&reader->chance, ~seed);
    reader->next = up->readers;
    up->readers = reader;
    *out = reader;
    return LB_OK;
}

/* The turns that readers took are behind the cursor from now on. */
static void fold(const lb_policy *policy, void *schedule, lb_gate *gate) {
    lb_replay *replay = policy->replay && schedule ? policy->replay(schedule) : NULL;
    lb_gate_leave(gate, false);
    if (!replay || !lb_word_glance(&replay->taken)) return;
    replay->cursor = lb_replay_at(replay);
    lb_word_note(&replay->taken, 0);
}

/* Nobody is left: schedules are one caller's again. */
static void fold_all(lb_upstream *up) {
    for (uint32_t s = 0; s < up->picture->n_scopes; s++) {
        lb_scope *scope = &up->picture->scope[s];
        fold(up->chooser, scope->schedule, &scope->gate);
        for (uint32_t g = 0; g < scope->n_groups; g++)
            fold(up->spec.policy, scope->group[g].policy_state, &scope->group[g].gate);
    }
}

static void part(lb_upstream *up, lb_reader *reader) {
    lb_reader **at = &up->readers;
    while (*at != reader) at = &(*at)->next;
    hear(up, reader);
    lb_word_add(&up->among, lb_word_glance(&reader->calls));
    *at = reader->next;
    if (!up->readers) fold_all(up);
    lb_pictures_reclaim(up);
}

void lb_reader_free(lb_reader *reader) {
    if (!reader) return;
    if (reader->up) part(reader->up, reader);
    lb_free(reader);
}

void lb_readers_part(lb_upstream *up) {
    for (lb_reader *reader = up->readers; reader; reader = reader->next) reader->up = NULL;
    while (up->retired) free_oldest(up);
}

uint64_t lb_readers_in_flight(const lb_upstream *up) {
    uint64_t sum = 0;
    for (const lb_reader *reader = up->readers; reader; reader = reader->next) sum += lb_word_glance(&reader->calls);
    return sum;
}

/* ---- choices ---------------------------------------------------------------------------------------------------- */

static uint64_t moment(lb_reader *reader, uint64_t now_ns) {
    if (now_ns > reader->told_ns) reader->told_ns = now_ns;
    return now_ns ? now_ns : reader->told_ns;
}

/* Of the picture that the reader is in: that of `within->scope` may be another. */
static lb_scope *scope_in(const lb_picture *picture, const lb_subset *within) {
    for (uint32_t s = 0; s < picture->n_scopes; s++)
        if (picture->scope[s].number == (within ? within->number : 0)) return &picture->scope[s];
    return NULL;
}

static lb_choice begin_choice(lb_reader *reader, const lb_want *want, uint64_t now_ns) {
    const lb_upstream *up = reader->up;
    return (lb_choice){.up = up, .want = want, .rng = &reader->rng, .kept = &reader->kept, .now_ns = now_ns,
                       .rough = lb_word_read(&up->state->common->epoch) != reader->picture->seen};
}

static bool choose(lb_reader *reader, lb_choice *c, lb_chosen *out) {
    uint32_t member = lb_choose(c, scope_in(reader->picture, c->want->within));
    if (member == LB_NONE) return false;
    const lb_view *view = c->group->view;
    uint32_t slot = view->slot[c->place];
    *out = (lb_chosen){view->user[c->place], member, slot, lb_generation_of(reader->up->state, slot)};
    return true;
}

bool lb_reader_choose(lb_reader *reader, const lb_want *want, uint64_t now_ns, lb_chosen *out) {
    now_ns = moment(reader, now_ns);
    lb_reader_enter(reader);
    lb_choice c = begin_choice(reader, want, now_ns);
    bool found = choose(reader, &c, out);
    lb_reader_leave(reader);
    return found;
}

bool lb_reader_pick(lb_reader *reader, uint64_t now_ns, lb_chosen *out) {
    static const lb_want anybody = {0};
    return lb_reader_choose(reader, &anybody, now_ns, out);
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

static void count(lb_reader *reader, uint64_t n) {
    if (reader->up->bounded) lb_word_add(&reader->up->among, n);
    else lb_word_note(&reader->calls, lb_word_glance(&reader->calls) + n);
}

/* One more call on the slot, unless it has `most` by now. */
static bool claim(lb_state *state, uint32_t slot, uint32_t most) {
    lb_counter *calls = lb_in_flight(state, slot);
    uint32_t n = lb_counter_read(calls);
    if (most == LB_NONE) {
        lb_state_begin(state, slot);
        return true;
    }
    do {
        if (n >= most) return false;
    } while (!lb_counter_swap(calls, &n, n + 1));
    if (state->row) lb_counter_add(&state->row[lb_seat_of(state, slot)->place], 1);
    return true;
}

/* Who is full by now is passed over the next time; that it is means that another thread got on. */
static bool choose_and_claim(lb_reader *reader, const lb_want *want, uint64_t now_ns, lb_chosen *out) {
    for (uint32_t i = 0; i < MOST_CLAIMS; i++) {
        lb_choice c = begin_choice(reader, want, now_ns);
        if (!choose(reader, &c, out)) return false;
        if (claim(reader->up->state, out->slot, lb_choice_most(&c))) return true;
    }
    return false;
}

bool lb_reader_begin(lb_reader *reader, const lb_want *want, uint64_t now_ns, lb_chosen *out, lb_call *call) {
    now_ns = moment(reader, now_ns);
    lb_reader_enter(reader);
    bool found = choose_and_claim(reader, want, now_ns, out);
    lb_reader_leave(reader);
    if (!found) return false;
    count(reader, 1);
    *call = (lb_call){
        .member = out->member, .slot = out->slot, .generation = out->generation, .started_ns = now_ns,
    };
    return true;
}

void lb_reader_report(lb_reader *reader, lb_call *call, const lb_report *report, uint64_t now_ns) {
    lb_upstream *up = reader->up;
    const lb_seat *seat = lb_seat_of(up->state, call->slot);
    if (lb_counter_read(&seat->generation) != call->generation || lb_flag_read(&seat->leaving)) return;
    now_ns = moment(reader, now_ns);
    lb_reader_enter(reader);
    lb_judge(&(lb_teller){up, reader, reader->picture}, call, report, now_ns);
    lb_reader_leave(reader);
}

void lb_reader_release(lb_reader *reader, const lb_call *call) {
    if (call->hold_until_ns && tell_held(reader, call)) return;
    if (lb_state_let_go(reader->up->state, call->slot, call->generation)) count(reader, UINT64_MAX);
}

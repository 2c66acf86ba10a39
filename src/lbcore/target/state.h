/* state: what changes while requests run, by target slot.
 *
 *   block        0           1                2
 *            +---------+ +-----------+ +------------------
 *   slots    | 0 .. 15 | | 16 .. 47  | | 48 .. 111   ...    each block twice as large as the one before
 *            +---------+ +-----------+ +------------------
 *   in_flight   hot: one counter a slot, touched by every call.  Where State is shared: own calls, and those of the other
 *               workers as they were when last looked at
 *   ratio       hot: how slow the target is, as a factor; 1 where nothing is known
 *   seat        who has the slot: generation, held calls, its place in a segment
 *   record      -> what is known of the target: its health, what latency policies have learnt (record.h)
 *                  the State's own, or in a segment that all workers share (backing.h)
 *
 * A slot belongs to one target identity until it is released; then its generation goes up, so that a
 * call which ends late finds a stranger's generation and touches nothing.  Blocks never move: the
 * address of a counter is good for the life of the State.
 * Cost    160 bytes a slot; less than 3 KiB for a State of up to 16 targets.
 * Keeps   counters, ratios and records may be read and changed by any thread; seats are changed by the owner of the
 *         upstream only; others read their generation and whether they are leaving.
 */
#ifndef LBCORE_TARGET_STATE_H
#define LBCORE_TARGET_STATE_H

#include "base/atomic.h"
#include "base/status.h"
#include "target/backing.h"
#include "target/record.h"

#define LB_FIRST_BLOCK 16u          /* slots of block 0 */
#define LB_MAX_BLOCKS 17            /* 16 * (2^17 - 1) slots: enough for LB_MAX_SLOTS */
#define LB_MAX_SLOTS (1u << 20)     /* targets of one upstream, those removed with open calls included */

typedef struct lb_seat {
    lb_counter generation;          /* goes up each time the slot changes hands */
    uint32_t n_held;                /* failed calls that stay counted in in_flight for a while */
    uint32_t place;                 /* in the segment, where State is shared */
    lb_counter others;              /* of in_flight: calls of the other workers */
    bool used;                      /* the slot belongs to a target */
    lb_flag leaving;                /* removed with calls open: released with the last one */
    bool drained;                   /* it drains, and the end of its last call was told */
    bool apart;                     /* after a fork: its place is the parent's, this process has none yet */
} lb_seat;

/* What a latency policy knows of a target.  Fields mean what the policy says they mean; all 0 at first. */
typedef struct lb_pace {
    union {
        uint64_t stamp_ns;          /* when it was last told something */
        double calls;               /* or: how many calls it rests on, less as they age */
    };
    union {
        double mean_ns;             /* its latency */
        double octaves;             /* or: of ns, octaves.h */
    };
} lb_pace;

_Static_assert(sizeof(lb_pace) == 2 * sizeof(uint64_t), "a pace is two words of a record");

typedef struct lb_state {
    lb_counter n_slots;             /* slots ever handed out: all used slots are below */
    uint32_t n_free;                /* length of free_slot */
    uint32_t *free_slot;            /* released slots, last in first out; room for every slot of the blocks */
    lb_counter *in_flight[LB_MAX_BLOCKS];
    lb_factor *ratio[LB_MAX_BLOCKS];
    lb_seat *seat[LB_MAX_BLOCKS];
    lb_record *own[LB_MAX_BLOCKS];  /* NULL where State is shared */
    lb_record **record[LB_MAX_BLOCKS];
    lb_common *common;              /* of all targets: own_common, or in the segment */
    lb_common own_common;
    const lb_backing *backing;      /* NULL: private */
    lb_mark mark;                   /* the upstream's, where State is shared */
    lb_counter *row;                /* this worker's counters by place; NULL: there are none (yet) */
    bool apart;                     /* after a fork: `common` is the parent's */
} lb_state;

/* Who takes a slot, for a State that is shared; NULL elsewhere. */
typedef struct lb_who {
    lb_mark identity;
    const char *name;               /* for people */
} lb_who;

/* `backing` NULL: private.  Errors of a shared one: those of backing->join. */
lb_status lb_state_new(lb_state **out, const lb_backing *backing, lb_mark mark, lb_error *err);
void lb_state_free(lb_state *state);                                   /* accepts NULL */

/* Hand out a slot with in_flight 0 (of this worker), ratio 1, and the record of its identity: an empty one where nobody
 * knows it; its generation is one nobody has seen.
 * LB_ERR_CONFIG ("targets") if LB_MAX_SLOTS are in use; errors of backing->seat. */
lb_status lb_state_take(lb_state *state, const lb_who *who, uint32_t *slot, lb_error *err);

/* The target is gone: release the slot now, or with its last call if some are open.  Cannot fail. */
void lb_state_leave(lb_state *state, uint32_t slot);

/* The same where other threads may still choose the target from an old picture: its slot stays until the owner's
 * lb_state_sweep(), which comes after they are done with it. */
void lb_state_leave_later(lb_state *state, uint32_t slot);

/* One call of `generation` ended: the counter goes down, never below 0; a stranger's generation is left alone.
 * True if the call counted. */
bool lb_state_finish(lb_state *state, uint32_t slot, uint32_t generation);

/* Where State is shared: look at the calls of the others: other workers, and other States of this one that have the same
 * targets.  Returns how many they are in all. */
uint64_t lb_state_look(lb_state *state);

/* The same for one slot: its calls, those of all workers. */
uint32_t lb_state_look_at(lb_state *state, uint32_t slot);

/* Give back what left with calls open and has none any more, where the last call could not do it: State is shared
 * ("load"), or another thread let it go. */
void lb_state_sweep(lb_state *state);

/* In the child of a fork: calls that are open are the parent's, and so are its row and its places.  Every slot has a new
 * generation and no calls.  Where State is shared, lb_state_join(), lb_state_reseat() for each slot and lb_state_joined()
 * follow at the next load; after a failure they may be called again, and go on where they stopped. */
void lb_state_forked(lb_state *state);
lb_status lb_state_join(lb_state *state, lb_error *err);
lb_status lb_state_reseat(lb_state *state, const lb_who *who, uint32_t slot, lb_error *err);
void lb_state_joined(lb_state *state);

/* Block b holds slots (2^b - 1) * 16 .. (2^(b+1) - 1) * 16 - 1: the place of the highest bit of slot + 16 names it. */
static inline uint32_t lb_block_of(uint32_t slot) {
#if defined(__GNUC__)
    return 31u - (uint32_t)__builtin_clz(slot + LB_FIRST_BLOCK) - 4u;
#else
    uint32_t block = 0;
    for (uint32_t rest = (slot + LB_FIRST_BLOCK) >> 5; rest; rest >>= 1) block++;
    return block;
#endif
}

static inline uint32_t lb_in_block(uint32_t slot, uint32_t block) {
    return slot + LB_FIRST_BLOCK - (LB_FIRST_BLOCK << block);
}

static inline lb_counter *lb_in_flight(const lb_state *state, uint32_t slot) {
    uint32_t block = lb_block_of(slot);
    return &state->in_flight[block][lb_in_block(slot, block)];
}

static inline lb_factor *lb_ratio_of(const lb_state *state, uint32_t slot) {
    uint32_t block = lb_block_of(slot);
    return &state->ratio[block][lb_in_block(slot, block)];
}

static inline lb_seat *lb_seat_of(const lb_state *state, uint32_t slot) {
    uint32_t block = lb_block_of(slot);
    return &state->seat[block][lb_in_block(slot, block)];
}

static inline lb_record *lb_record_of(const lb_state *state, uint32_t slot) {
    uint32_t block = lb_block_of(slot);
    return state->record[block][lb_in_block(slot, block)];
}

/* True if this worker has no call there. */
static inline bool lb_state_is_idle(const lb_state *state, uint32_t slot, const lb_seat *seat) {
    return lb_counter_read(lb_in_flight(state, slot)) == lb_counter_read(&seat->others);
}

/* One call more; returns the generation that it belongs to. */
static inline uint32_t lb_state_begin(lb_state *state, uint32_t slot) {
    const lb_seat *seat = lb_seat_of(state, slot);
    lb_counter_add(lb_in_flight(state, slot), 1);
    if (state->row) lb_counter_add(&state->row[seat->place], 1);
    return lb_counter_read(&seat->generation);
}

/* As lb_state_finish(), from any thread beside the owner's: releases no slot, which his next lb_state_sweep() does. */
static inline bool lb_state_let_go(lb_state *state, uint32_t slot, uint32_t generation) {
    const lb_seat *seat = lb_seat_of(state, slot);
    if (lb_counter_read(&seat->generation) != generation || lb_state_is_idle(state, slot, seat)) return false;
    lb_counter_sub(lb_in_flight(state, slot), 1);
    if (state->row) lb_counter_sub(&state->row[seat->place], 1);
    return true;
}

static inline uint32_t lb_generation_of(const lb_state *state, uint32_t slot) {
    return lb_counter_read(&lb_seat_of(state, slot)->generation);
}

/* Workers that tell of one target at the same moment may lose one of the two updates: it is a mean of many. */
static inline lb_pace lb_pace_read(const lb_state *state, uint32_t slot) {
    const lb_record *record = lb_record_of(state, slot);
    uint64_t words[2] = {lb_word_glance(&record->pace[0]), lb_word_glance(&record->pace[1])};
    lb_pace pace;
    memcpy(&pace, words, sizeof pace);
    return pace;
}

static inline void lb_pace_note(const lb_state *state, uint32_t slot, lb_pace pace) {
    lb_record *record = lb_record_of(state, slot);
    uint64_t words[2];
    memcpy(words, &pace, sizeof pace);
    lb_word_note(&record->pace[0], words[0]);
    lb_word_note(&record->pace[1], words[1]);
}

#endif

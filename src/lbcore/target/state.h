/* state: what changes while requests run, by target slot.
 *
 *   block        0           1                2
 *            +---------+ +-----------+ +------------------
 *   slots    | 0 .. 15 | | 16 .. 47  | | 48 .. 111   ...    each block twice as large as the one before
 *            +---------+ +-----------+ +------------------
 *   in_flight   hot: one counter a slot, touched by every call
 *   ratio       hot: how slow the target is, as a factor; 1 where nothing is known
 *   pace        what latency policies learn from calls
 *   record      cold: health, ejection, generation
 *
 * A slot belongs to one target identity until it is released; then its generation goes up, so that a
 * call which ends late finds a stranger's generation and touches nothing.  Blocks never move: the
 * address of a counter is good for the life of the State.
 * Cost    96 bytes a slot; less than 2 KiB for a State of up to 16 targets.
 * Keeps   in_flight is atomic; records are written by the owner of the upstream only.
 */
#ifndef LBCORE_TARGET_STATE_H
#define LBCORE_TARGET_STATE_H

#include "base/atomic.h"
#include "base/status.h"

#define LB_FIRST_BLOCK 16u          /* slots of block 0 */
#define LB_MAX_BLOCKS 17            /* 16 * (2^17 - 1) slots: enough for LB_MAX_SLOTS */
#define LB_MAX_SLOTS (1u << 20)     /* targets of one upstream, those removed with open calls included */

/* Why a target is not usable; several may hold at once.  0: it is healthy. */
enum {
    LB_OFF_UNHEALTHY = 1u << 0,     /* set_health(false): an active check or the operator says so */
    LB_OFF_EJECTED = 1u << 1,       /* passive health took it out until record.ejected_until_ns */
    LB_OFF_DRAINING = 1u << 2,      /* serves its sessions until record.drain_until_ns, nobody else */
};

typedef struct lb_record {
    uint32_t generation;            /* goes up each time the slot changes hands */
    uint32_t off;                   /* LB_OFF_*: 0 is healthy */
    uint32_t failures;              /* consecutive, since the last success */
    uint32_t ejections;             /* the multiplier of the next ejection's length */
    uint64_t ejected_until_ns;      /* while LB_OFF_EJECTED */
    uint64_t recovered_ns;          /* when the last ejection ended */
    uint64_t drain_until_ns;        /* while LB_OFF_DRAINING; LB_NEVER: without end */
    uint64_t slow_since_ns;         /* when its slow start began; 0: it is over, or never was */
    uint32_t n_held;                /* failed calls that stay counted in in_flight for a while */
    bool used;                      /* the slot belongs to a target */
    bool leaving;                   /* removed with calls open: released by the last done() */
} lb_record;

/* Fields mean what the policy that learns says they mean; all 0 at first. */
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

typedef struct lb_state {
    uint32_t n_slots;               /* slots ever handed out: all used slots are below */
    uint32_t n_free;                /* length of free_slot */
    uint32_t *free_slot;            /* released slots, last in first out; room for every slot of the blocks */
    lb_counter *in_flight[LB_MAX_BLOCKS];
    float *ratio[LB_MAX_BLOCKS];
    lb_pace *pace[LB_MAX_BLOCKS];
    lb_record *record[LB_MAX_BLOCKS];
    union {
        double fleet_ns;            /* the latency of all together; 0: nothing is known */
        double fleet_octaves;       /* or: of ns, as above */
    };
    uint64_t faded_ns;              /* when what was learnt last faded; 0: not yet */
} lb_state;

lb_status lb_state_new(lb_state **out, lb_error *err);
void lb_state_free(lb_state *state);                                   /* accepts NULL */

/* Hand out a slot with in_flight 0, ratio 1, an empty pace and a healthy record; its generation is one nobody has seen.
 * LB_ERR_CONFIG ("targets") if LB_MAX_SLOTS are in use. */
lb_status lb_state_take(lb_state *state, uint32_t *slot, lb_error *err);

/* The target is gone: release the slot now, or with its last call if some are open.  Cannot fail. */
void lb_state_leave(lb_state *state, uint32_t slot);

/* One call of `generation` ended: the counter goes down, never below 0; a stranger's generation is left alone.
 * True if the call counted. */
bool lb_state_finish(lb_state *state, uint32_t slot, uint32_t generation);

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

/* Slots of this block that were ever handed out: a prefix.  0: nor any of the blocks after it. */
static inline uint32_t lb_block_used(const lb_state *state, uint32_t block) {
    if (block >= LB_MAX_BLOCKS) return 0;
    uint32_t size = LB_FIRST_BLOCK << block, below = size - LB_FIRST_BLOCK;
    if (state->n_slots <= below) return 0;
    return state->n_slots - below < size ? state->n_slots - below : size;
}

static inline lb_counter *lb_in_flight(const lb_state *state, uint32_t slot) {
    uint32_t block = lb_block_of(slot);
    return &state->in_flight[block][slot + LB_FIRST_BLOCK - (LB_FIRST_BLOCK << block)];
}

static inline float *lb_ratio_of(const lb_state *state, uint32_t slot) {
    uint32_t block = lb_block_of(slot);
    return &state->ratio[block][slot + LB_FIRST_BLOCK - (LB_FIRST_BLOCK << block)];
}

static inline lb_pace *lb_pace_of(const lb_state *state, uint32_t slot) {
    uint32_t block = lb_block_of(slot);
    return &state->pace[block][slot + LB_FIRST_BLOCK - (LB_FIRST_BLOCK << block)];
}

static inline lb_record *lb_record_of(const lb_state *state, uint32_t slot) {
    uint32_t block = lb_block_of(slot);
    return &state->record[block][slot + LB_FIRST_BLOCK - (LB_FIRST_BLOCK << block)];
}

#endif

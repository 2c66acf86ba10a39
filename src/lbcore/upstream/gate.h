/* gate: how readers take turns of a policy whose pick() writes.
 *
 *   OPEN --a reader asks--> TAKEN --it is done--> OPEN          the others wait: as long as one choice takes
 *                             |--the schedule repeats by now--> REPLAYS     for good: turns by an atomic add, nobody waits
 *   OPEN --the writer builds from it--> CLOSED --it failed--> OPEN          picks are draws by weight, or places by key
 *
 * The writer's build reads what pick() writes, and takes long: so it closes the gate, and nobody waits for it.  Draws of the
 * meantime owe nothing to the schedule that follows.  A schedule that repeats need not close: only its turn moves.  Of the
 * keyed policies ketama_nginx, hash_nginx and ip_hash_nginx close: their keys may go elsewhere for the time of a build.
 *
 * Cost    OPEN: two atomic exchanges; REPLAYS: one load, one atomic add.
 * Keeps   what pick() writes is written by who has TAKEN the gate, read by who has, or by the writer behind CLOSED.  The
 *         table of a replay is there before REPLAYS is, and its cursor stands still from then on (lb_replay.taken moves).
 */
#ifndef LBCORE_UPSTREAM_GATE_H
#define LBCORE_UPSTREAM_GATE_H

#include "base/atomic.h"

typedef lb_counter lb_gate;

enum { LB_GATE_OPEN = 0, LB_GATE_TAKEN, LB_GATE_CLOSED, LB_GATE_REPLAYS };

/* Change places with whoever has it; false: it is neither open nor taken, but *is. */
static inline bool lb_gate_move(lb_gate *gate, uint32_t to, uint32_t *is) {
    for (;;) {
        uint32_t open = LB_GATE_OPEN;
        *is = atomic_load_explicit(gate, memory_order_acquire);
        if (*is > LB_GATE_TAKEN) return false;
        if (*is == LB_GATE_OPEN && atomic_compare_exchange_weak_explicit(gate, &open, to, memory_order_acquire,
                                                                         memory_order_relaxed)) return true;
    }
}

/* LB_GATE_TAKEN: it is the caller's until lb_gate_leave(); else CLOSED or REPLAYS. */
static inline uint32_t lb_gate_enter(lb_gate *gate) {
    uint32_t is;
    return lb_gate_move(gate, LB_GATE_TAKEN, &is) ? LB_GATE_TAKEN : is;
}

static inline void lb_gate_leave(lb_gate *gate, bool replays) {
    atomic_store_explicit(gate, replays ? LB_GATE_REPLAYS : LB_GATE_OPEN, memory_order_release);
}

/* The writer's. */
static inline void lb_gate_close(lb_gate *gate) {
    uint32_t is;
    (void)lb_gate_move(gate, LB_GATE_CLOSED, &is);
}

static inline void lb_gate_reopen(lb_gate *gate) {
    if (lb_counter_read(gate) == LB_GATE_CLOSED) lb_gate_leave(gate, false);
}

#endif

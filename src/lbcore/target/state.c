/* state: hands out slots, takes them back, and grows by whole blocks.
 *
 * Cost    take, leave and finish O(1) (a take that opens a block: O(block), once for each block); look O(slots).
 * Keeps   every slot below n_slots is used or stands in free_slot, never both; a slot of a leaving target
 *         has calls open (shared: or had, and waits for the next load); free_slot has room for every slot of the blocks,
 *         so that giving back cannot fail.
 */
#include "target/state.h"

#include "base/alloc.h"

/* ---- blocks ----------------------------------------------------------------------------------------------------- */

static void free_block(lb_state *state, uint32_t block) {
    lb_free(state->in_flight[block]);
    lb_free(state->ratio[block]);
    lb_free(state->seat[block]);
    lb_free(state->own[block]);
    lb_free(state->record[block]);
    state->in_flight[block] = NULL;
    state->ratio[block] = NULL;
    state->seat[block] = NULL;
    state->own[block] = NULL;
    state->record[block] = NULL;
}

/* All of a block or nothing: a longer free_slot that is left behind by a failure holds nothing more. */
static lb_status open_block(lb_state *state, uint32_t block, lb_error *err) {
    uint32_t n = LB_FIRST_BLOCK << block, n_below = n - LB_FIRST_BLOCK;
    uint32_t *room = lb_grow_array(state->free_slot, (size_t)n_below + n, sizeof *room);
    if (!room) return lb_no_memory(err, "targets");
    state->free_slot = room;
    bool shared = state->backing != NULL;
    state->in_flight[block] = lb_alloc_zero(n, sizeof **state->in_flight);
    state->ratio[block] = lb_alloc_zero(n, sizeof **state->ratio);
    state->seat[block] = lb_alloc_zero(n, sizeof **state->seat);
    state->record[block] = lb_alloc_zero(n, sizeof **state->record);
    if (!shared) state->own[block] = lb_alloc_zero(n, sizeof **state->own);
    if (!state->in_flight[block] || !state->ratio[block] || !state->seat[block] || !state->record[block]
        || (!shared && !state->own[block])) {
        free_block(state, block);
        return lb_no_memory(err, "targets");
    }
    for (uint32_t i = 0; i < n && !shared; i++) state->record[block][i] = &state->own[block][i];
    return LB_OK;
}

/* The slot after the last one ever handed out. */
static lb_status next_slot(lb_state *state, uint32_t *slot, lb_error *err) {
    if (state->n_slots == LB_MAX_SLOTS)
        return lb_fail(err, LB_ERR_CONFIG, "targets", "all %u slots of the upstream are in use (targets, and removed"
                       " targets with calls open)", LB_MAX_SLOTS);
    uint32_t block = lb_block_of(state->n_slots);
    if (!state->seat[block]) {
        lb_status status = open_block(state, block, err);
        if (status) return status;
    }
    *slot = state->n_slots++;           /* releases: who reads the number finds the block */
    return LB_OK;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

lb_status lb_state_new(lb_state **out, const lb_backing *backing, lb_mark mark, lb_error *err) {
    lb_state *state = lb_alloc_zero(1, sizeof *state);
    if (!state) return lb_no_memory(err, "targets");
    state->backing = backing;
    state->mark = mark;
    state->common = &state->own_common;
    lb_status status = backing ? backing->join(backing->context, mark, &state->common, err) : LB_OK;
    if (status) {
        lb_free(state);
        return status;
    }
    if (backing) state->row = backing->row(backing->context);
    *out = state;
    return LB_OK;
}

static void leave_segment(lb_state *state) {
    for (uint32_t slot = 0, n = state->n_slots; slot < n; slot++) {
        lb_seat *seat = lb_seat_of(state, slot);
        uint32_t own = lb_counter_read(lb_in_flight(state, slot)) - lb_counter_read(&seat->others);
        if (!seat->used || seat->apart) continue;
        if (state->row) lb_counter_sub(&state->row[seat->place], own);
        state->backing->unseat(state->backing->context, seat->place);
    }
    if (!state->apart) state->backing->part(state->backing->context, state->common);
}

void lb_state_free(lb_state *state) {
    if (!state) return;
    if (state->backing) leave_segment(state);
    for (uint32_t block = 0; block < LB_MAX_BLOCKS; block++) free_block(state, block);
    lb_free(state->free_slot);
    lb_free(state);
}

/* ---- slots ------------------------------------------------------------------------------------------------------ */

/* Its place in the segment, or its own record made empty. */
static lb_status seat_down(lb_state *state, const lb_who *who, uint32_t slot, lb_error *err) {
    lb_seat *seat = lb_seat_of(state, slot);
    if (!state->backing) {
        lb_record_clear(lb_record_of(state, slot));
        return LB_OK;
    }
    void *context = state->backing->context;
    lb_status status = state->backing->seat(context, state->mark, who->identity, who->name, &seat->place, err);
    if (status) return status;
    seat->apart = false;
    uint32_t block = lb_block_of(slot);
    state->record[block][lb_in_block(slot, block)] = state->backing->record(context, seat->place);
    return LB_OK;
}

lb_status lb_state_take(lb_state *state, const lb_who *who, uint32_t *slot, lb_error *err) {
    uint32_t taken = 0;
    if (state->n_free) {
        taken = state->free_slot[state->n_free - 1];
    } else {
        lb_status status = next_slot(state, &taken, err);
        if (status) return status;
        state->free_slot[state->n_free++] = taken;
    }
    lb_status status = seat_down(state, who, taken, err);
    if (status) return status;
    state->n_free--;
    lb_seat *seat = lb_seat_of(state, taken);
    seat->used = true;
    seat->drained = false;
    seat->n_held = 0;
    lb_counter_write(&seat->others, 0);
    /* One further than at the release, so that an all-zero lb_call fits no target either. */
    lb_counter_add(&seat->generation, 1);
    lb_counter_write(lb_in_flight(state, taken), 0);
    lb_factor_write(lb_ratio_of(state, taken), 1);
    *slot = taken;
    return LB_OK;
}

static void give_back(lb_state *state, uint32_t slot, lb_seat *seat) {
    if (state->backing && !seat->apart) state->backing->unseat(state->backing->context, seat->place);
    seat->used = false;
    lb_flag_write(&seat->leaving, false);
    lb_counter_add(&seat->generation, 1);
    state->free_slot[state->n_free++] = slot;
}

void lb_state_leave_later(lb_state *state, uint32_t slot) { lb_flag_write(&lb_seat_of(state, slot)->leaving, true); }

void lb_state_leave(lb_state *state, uint32_t slot) {
    lb_seat *seat = lb_seat_of(state, slot);
    if (lb_state_is_idle(state, slot, seat)) give_back(state, slot, seat);
    else lb_state_leave_later(state, slot);
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

bool lb_state_finish(lb_state *state, uint32_t slot, uint32_t generation) {
    if (!lb_state_let_go(state, slot, generation)) return false;
    lb_seat *seat = lb_seat_of(state, slot);
    if (lb_flag_read(&seat->leaving) && !state->backing && lb_state_is_idle(state, slot, seat)) give_back(state, slot, seat);
    return true;
}

/* Calls that other States of this process have on the place: an upstream that a reload made anew, beside the old one. */
static uint32_t beside(const lb_state *state, uint32_t slot, const lb_seat *seat) {
    if (!state->row) return 0;
    uint32_t own = lb_counter_read(lb_in_flight(state, slot)) - lb_counter_read(&seat->others);
    uint32_t all = lb_counter_read(&state->row[seat->place]);
    return all > own ? all - own : 0;
}

uint32_t lb_state_look_at(lb_state *state, uint32_t slot) {
    lb_seat *seat = lb_seat_of(state, slot);
    if (state->backing) {
        uint32_t others = state->backing->others(state->backing->context, seat->place) + beside(state, slot, seat);
        lb_counter_add(lb_in_flight(state, slot), others - lb_counter_read(&seat->others)); /* may wrap: a difference */
        lb_counter_write(&seat->others, others);
    }
    return lb_counter_read(lb_in_flight(state, slot));
}

uint64_t lb_state_look(lb_state *state) {
    uint64_t total = 0;
    for (uint32_t slot = 0, n = state->n_slots; slot < n && state->backing; slot++) {
        if (!lb_seat_of(state, slot)->used) continue;
        (void)lb_state_look_at(state, slot);
        total += lb_counter_read(&lb_seat_of(state, slot)->others);
    }
    return total;
}

void lb_state_sweep(lb_state *state) {
    for (uint32_t slot = 0, n = state->n_slots; slot < n; slot++) {
        lb_seat *seat = lb_seat_of(state, slot);
        if (lb_flag_read(&seat->leaving) && lb_state_is_idle(state, slot, seat)) give_back(state, slot, seat);
    }
}

/* ---- forks ------------------------------------------------------------------------------------------------------ */

void lb_state_forked(lb_state *state) {
    state->row = NULL;
    state->apart = state->backing != NULL;
    for (uint32_t slot = 0, n = state->n_slots; slot < n; slot++) {
        lb_seat *seat = lb_seat_of(state, slot);
        if (!seat->used) continue;
        lb_counter_add(&seat->generation, 1);
        lb_counter_write(lb_in_flight(state, slot), 0);
        lb_counter_write(&seat->others, 0);
        seat->n_held = 0;
        seat->apart = state->apart;
        if (!lb_flag_read(&seat->leaving)) continue;
        seat->used = false;                             /* nobody of this process will end its calls */
        lb_flag_write(&seat->leaving, false);
        state->free_slot[state->n_free++] = slot;
    }
}

lb_status lb_state_join(lb_state *state, lb_error *err) {
    if (!state->apart) return LB_OK;
    lb_status status = state->backing->join(state->backing->context, state->mark, &state->common, err);
    state->apart = status != LB_OK;
    return status;
}

lb_status lb_state_reseat(lb_state *state, const lb_who *who, uint32_t slot, lb_error *err) {
    return lb_seat_of(state, slot)->apart ? seat_down(state, who, slot, err) : LB_OK;
}

/* Calls that were begun since the fork stand in the new row too, so that their ends may be taken off it. */
void lb_state_joined(lb_state *state) {
    state->row = state->backing->row(state->backing->context);
    for (uint32_t slot = 0, n = state->n_slots; slot < n && state->row; slot++) {
        const lb_seat *seat = lb_seat_of(state, slot);
        uint32_t own = lb_counter_read(lb_in_flight(state, slot)) - lb_counter_read(&seat->others);
        if (seat->used) lb_counter_add(&state->row[seat->place], own);
    }
}

/* state: hands out slots, takes them back, and grows by whole blocks.
 *
 * Cost    take, leave and finish O(1) (a take that opens a block: O(block), once for each block).
 * Keeps   every slot below n_slots is used or stands in free_slot, never both; a slot of a leaving target
 *         has calls open; free_slot has room for every slot of the blocks, so that giving back cannot fail.
 */
#include "target/state.h"

#include "base/alloc.h"

/* All of a block or nothing: a longer free_slot that is left behind by a failure holds nothing more. */
static lb_status open_block(lb_state *state, uint32_t block, lb_error *err) {
    uint32_t n = LB_FIRST_BLOCK << block, n_below = n - LB_FIRST_BLOCK;
    uint32_t *room = lb_grow_array(state->free_slot, (size_t)n_below + n, sizeof *room);
    if (!room) return lb_no_memory(err, "targets");
    state->free_slot = room;
    lb_counter *in_flight = lb_alloc_zero(n, sizeof *in_flight);
    float *ratio = lb_alloc_zero(n, sizeof *ratio);
    lb_pace *pace = lb_alloc_zero(n, sizeof *pace);
    lb_record *record = lb_alloc_zero(n, sizeof *record);
    if (!in_flight || !ratio || !pace || !record) {
        lb_free(in_flight);
        lb_free(ratio);
        lb_free(pace);
        lb_free(record);
        return lb_no_memory(err, "targets");
    }
    state->in_flight[block] = in_flight;
    state->ratio[block] = ratio;
    state->pace[block] = pace;
    state->record[block] = record;
    return LB_OK;
}

/* The slot after the last one ever handed out. */
static lb_status next_slot(lb_state *state, uint32_t *slot, lb_error *err) {
    if (state->n_slots == LB_MAX_SLOTS)
        return lb_fail(err, LB_ERR_CONFIG, "targets", "all %u slots of the upstream are in use (targets, and removed"
                       " targets with calls open)", LB_MAX_SLOTS);
    uint32_t block = lb_block_of(state->n_slots);
    if (!state->record[block]) {
        lb_status status = open_block(state, block, err);
        if (status) return status;
    }
    *slot = state->n_slots++;
    return LB_OK;
}

static void give_back(lb_state *state, uint32_t slot, lb_record *record) {
    record->used = record->leaving = false;
    record->generation++;
    state->free_slot[state->n_free++] = slot;
}

lb_status lb_state_new(lb_state **out, lb_error *err) {
    lb_state *state = lb_alloc_zero(1, sizeof *state);
    if (!state) return lb_no_memory(err, "targets");
    *out = state;
    return LB_OK;
}

void lb_state_free(lb_state *state) {
    if (!state) return;
    for (int block = 0; block < LB_MAX_BLOCKS; block++) {
        lb_free(state->in_flight[block]);
        lb_free(state->ratio[block]);
        lb_free(state->pace[block]);
        lb_free(state->record[block]);
    }
    lb_free(state->free_slot);
    lb_free(state);
}

lb_status lb_state_take(lb_state *state, uint32_t *slot, lb_error *err) {
    uint32_t taken = 0;
    if (state->n_free) {
        taken = state->free_slot[--state->n_free];
    } else {
        lb_status status = next_slot(state, &taken, err);
        if (status) return status;
    }
    lb_record *record = lb_record_of(state, taken);
    /* One further than at the release, so that an all-zero lb_call fits no target either. */
    *record = (lb_record){.generation = record->generation + 1, .used = true};
    lb_counter_write(lb_in_flight(state, taken), 0);
    *lb_ratio_of(state, taken) = 1;
    *lb_pace_of(state, taken) = (lb_pace){0};
    *slot = taken;
    return LB_OK;
}

void lb_state_leave(lb_state *state, uint32_t slot) {
    lb_record *record = lb_record_of(state, slot);
    if (lb_counter_read(lb_in_flight(state, slot))) record->leaving = true;
    else give_back(state, slot, record);
}

bool lb_state_finish(lb_state *state, uint32_t slot, uint32_t generation) {
    lb_record *record = lb_record_of(state, slot);
    lb_counter *in_flight = lb_in_flight(state, slot);
    if (record->generation != generation || lb_counter_read(in_flight) == 0) return false;
    if (lb_counter_sub(in_flight, 1) == 1 && record->leaving) give_back(state, slot, record);
    return true;
}

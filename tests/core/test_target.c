/* target: the View derives what it promises; State hands out slots, blocks and generations as its header says. */
#include "check.h"

/* ---- View ------------------------------------------------------------------------------------------------- */

static void close_derives_usable_and_total(void) {
    static const struct { uint32_t n, weight[5], n_usable, usable[5]; uint64_t total; } cases[] = {
        {0, {0}, 0, {0}, 0},
        {1, {0}, 0, {0}, 0},
        {1, {7}, 1, {0}, 7},
        {4, {3, 0, 5, 2}, 3, {0, 2, 3}, 10},
        {5, {0, 0, 0, 0, 9}, 1, {4}, 9},
        {5, {LB_MAX_WEIGHT, LB_MAX_WEIGHT, LB_MAX_WEIGHT, LB_MAX_WEIGHT, LB_MAX_WEIGHT}, 5, {0, 1, 2, 3, 4}, 5000000},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        lb_view *view;
        CHECK_EQ(lb_view_new(&view, cases[c].n, NULL, NULL), LB_OK);
        CHECK(view->state == NULL);
        for (uint32_t i = 0; i < cases[c].n; i++) view->weight[i] = cases[c].weight[i];
        for (int again = 0; again < 2; again++) {
            lb_view_close(view);
            CHECK_EQ(view->n_members, cases[c].n);
            CHECK_EQ(view->n_usable, cases[c].n_usable);
            CHECK_EQ(view->total_weight, cases[c].total);
            for (uint32_t i = 0; i < view->n_usable; i++) CHECK_EQ(view->usable[i], cases[c].usable[i]);
        }
        lb_view_free(view);
    }
    lb_view_free(NULL);
}

static void the_sum_of_weights_needs_more_than_32_bits(void) {
    lb_view *view;
    const uint32_t n = 5000;
    CHECK_EQ(lb_view_new(&view, n, NULL, NULL), LB_OK);
    for (uint32_t i = 0; i < n; i++) view->weight[i] = LB_MAX_WEIGHT;
    lb_view_close(view);
    CHECK_EQ(view->total_weight, 5000000000);
    lb_view_free(view);
}

static void the_arrays_of_a_view_do_not_overlap(void) {
    lb_view *view;
    CHECK_EQ(lb_view_new(&view, 3, NULL, NULL), LB_OK);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(view->user[i] == NULL);
        view->usable[i] = 10 + i;
        view->weight[i] = 20 + i;
        view->slot[i] = 30 + i;
        view->user[i] = &view->slot[i];
    }
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQ(view->usable[i], 10 + i);
        CHECK_EQ(view->weight[i], 20 + i);
        CHECK_EQ(view->slot[i], 30 + i);
        CHECK(view->user[i] == &view->slot[i]);
    }
    lb_view_free(view);
}

static void a_view_without_memory_says_so(void) {
    lb_view *view = NULL;
    lb_error err = {0};
    fail_allocation(0);
    CHECK_EQ(lb_view_new(&view, 3, NULL, &err), LB_ERR_NOMEM);
    fail_allocation(-1);
    CHECK(view == NULL && err.reason[0]);
}

/* ---- State: places ---------------------------------------------------------------------------------------- */

static void blocks_double(void) {
    uint32_t slot = 0;
    for (uint32_t block = 0; block < LB_MAX_BLOCKS; block++) {
        uint32_t last = slot + (LB_FIRST_BLOCK << block) - 1;
        CHECK_EQ(lb_block_of(slot), block);
        CHECK_EQ(lb_block_of((slot + last) / 2), block);
        CHECK_EQ(lb_block_of(last), block);
        slot = last + 1;
    }
    CHECK(slot > LB_MAX_SLOTS);
}

static lb_state *new_state(void) {
    lb_state *state = NULL;
    CHECK_EQ(lb_state_new(&state, NULL, (lb_mark){0}, NULL), LB_OK);
    return state;
}

static uint32_t take(lb_state *state) {
    uint32_t slot = LB_NONE;
    CHECK_EQ(lb_state_take(state, NULL, &slot, NULL), LB_OK);
    return slot;
}

static void slots_come_in_order_and_never_move(void) {
    enum { N = 1000 };
    lb_state *state = new_state();
    lb_counter *counter[N];
    lb_record *record[N];
    for (uint32_t i = 0; i < N; i++) {
        CHECK_EQ(take(state), i);
        counter[i] = lb_in_flight(state, i);
        record[i] = lb_record_of(state, i);
        lb_counter_write(counter[i], i);
        lb_word_note(&record[i]->streaks, i);
    }
    CHECK_EQ(state->n_slots, N);
    for (uint32_t i = 0; i < N; i++) {
        CHECK(lb_in_flight(state, i) == counter[i] && lb_record_of(state, i) == record[i]);
        CHECK_EQ(lb_counter_read(counter[i]), i);
        CHECK_EQ(lb_word_read(&record[i]->streaks), i);
        CHECK(lb_seat_of(state, i)->used && !lb_seat_of(state, i)->leaving && lb_record_off(record[i]) == 0);
    }
    lb_state_free(state);
    lb_state_free(NULL);
}

/* ---- State: the life of a slot ---------------------------------------------------------------------------- */

static void a_slot_comes_back_healthy_and_with_a_new_generation(void) {
    lb_state *state = new_state();
    uint32_t slot = take(state);
    lb_word *word = (lb_word *)(void *)lb_record_of(state, slot);
    lb_seat *seat = lb_seat_of(state, slot);
    uint32_t before = seat->generation;
    CHECK(before != 0);                                 /* an all-zero lb_call fits nobody */
    for (size_t i = 0; i < sizeof(lb_record) / sizeof *word; i++) lb_word_note(&word[i], i + 1);
    seat->drained = true;
    *lb_ratio_of(state, slot) = 5;
    lb_state_leave(state, slot);
    CHECK(!seat->used && seat->generation != before);
    CHECK_EQ(take(state), slot);
    CHECK(seat->used && !seat->leaving && !seat->drained && seat->n_held == 0 && seat->generation != before);
    for (size_t i = 0; i < sizeof(lb_record) / sizeof *word; i++) CHECK_EQ(lb_word_read(&word[i]), 0);
    CHECK(*lb_ratio_of(state, slot) == 1);
    lb_state_free(state);
}

static void the_last_call_releases_a_leaving_slot(void) {
    lb_state *state = new_state();
    uint32_t slot = take(state), generation = lb_generation_of(state, slot);
    lb_counter_add(lb_in_flight(state, slot), 2);
    lb_state_leave(state, slot);
    CHECK(lb_seat_of(state, slot)->used && lb_seat_of(state, slot)->leaving);
    CHECK(take(state) != slot);
    CHECK(lb_state_finish(state, slot, generation));
    CHECK(lb_seat_of(state, slot)->leaving);
    CHECK_EQ(state->n_free, 0);
    CHECK(lb_state_finish(state, slot, generation));
    CHECK(!lb_seat_of(state, slot)->used && !lb_seat_of(state, slot)->leaving);
    CHECK_EQ(state->n_free, 1);
    CHECK(!lb_state_finish(state, slot, generation));
    CHECK_EQ(take(state), slot);
    lb_state_free(state);
}

static void finish_counts_its_own_generation_down_to_zero(void) {
    lb_state *state = new_state();
    uint32_t slot = take(state), generation = lb_generation_of(state, slot);
    CHECK(!lb_state_finish(state, slot, generation));           /* no call is open */
    lb_counter_add(lb_in_flight(state, slot), 1);
    CHECK(!lb_state_finish(state, slot, generation + 1));
    CHECK(!lb_state_finish(state, slot, generation - 1));
    CHECK_EQ(lb_counter_read(lb_in_flight(state, slot)), 1);
    CHECK(lb_state_finish(state, slot, generation));
    CHECK(!lb_state_finish(state, slot, generation));
    CHECK_EQ(lb_counter_read(lb_in_flight(state, slot)), 0);
    CHECK(lb_seat_of(state, slot)->used);
    lb_state_free(state);
}

/* ---- State: against a naive model ------------------------------------------------------------------------- */

enum { MODEL_SLOTS = 200 };

typedef struct model {
    bool used[MODEL_SLOTS], leaving[MODEL_SLOTS];
    uint32_t open[MODEL_SLOTS], seen[MODEL_SLOTS];      /* calls; the last generation */
} model;

/* Every slot is used or free, never both, and no slot is free twice. */
static void walk(const lb_state *state, const model *want) {
    uint32_t n_used = 0, times_free[MODEL_SLOTS] = {0};
    for (uint32_t i = 0; i < state->n_free; i++) times_free[state->free_slot[i]]++;
    for (uint32_t slot = 0; slot < state->n_slots; slot++) {
        const lb_seat *seat = lb_seat_of(state, slot);
        CHECK_EQ(seat->used, want->used[slot]);
        CHECK_EQ(seat->leaving, want->leaving[slot]);
        CHECK_EQ(lb_counter_read(lb_in_flight(state, slot)), want->open[slot]);
        CHECK_EQ(times_free[slot], !seat->used);
        n_used += seat->used;
    }
    CHECK_EQ(n_used + state->n_free, state->n_slots);
}

static void step(lb_state *state, model *m, lb_rng *rng) {
    uint32_t slot = lb_rng_below(rng, MODEL_SLOTS);
    uint32_t generation = slot < state->n_slots ? lb_generation_of(state, slot) : 0;
    switch (lb_rng_below(rng, 4)) {
    case 0:
        if (state->n_free == 0 && state->n_slots == MODEL_SLOTS) return;
        slot = take(state);
        CHECK(!m->used[slot]);
        CHECK(lb_generation_of(state, slot) > m->seen[slot]);
        m->seen[slot] = lb_generation_of(state, slot);
        m->used[slot] = true;
        break;
    case 1:
        if (!m->used[slot] || m->leaving[slot]) return;
        lb_state_leave(state, slot);
        m->used[slot] = m->leaving[slot] = m->open[slot] > 0;
        break;
    case 2:
        if (!m->used[slot] || m->leaving[slot]) return;
        lb_counter_add(lb_in_flight(state, slot), 1);
        m->open[slot]++;
        break;
    default:
        if (slot >= state->n_slots) return;
        CHECK_EQ(lb_state_finish(state, slot, generation), m->open[slot] > 0);
        if (m->open[slot] && --m->open[slot] == 0 && m->leaving[slot]) m->used[slot] = m->leaving[slot] = false;
    }
}

static void random_lives_agree_with_a_naive_model(void) {
    const uint64_t seed = 20240607;
    lb_rng rng;
    lb_rng_seed(&rng, seed);
    for (int round = 0; round < 20; round++) {
        lb_state *state = new_state();
        model m = {0};
        for (int i = 0; i < 1000; i++) {
            step(state, &m, &rng);
            walk(state, &m);
        }
        lb_state_free(state);
    }
    if (check_failed) printf("seed %llu\n", (unsigned long long)seed);
}

/* ---- State: the ends of the world ------------------------------------------------------------------------- */

static lb_status forty_slots(void) {
    lb_state *state;
    lb_status status = lb_state_new(&state, NULL, (lb_mark){0}, NULL);
    if (status) return status;
    for (uint32_t i = 0; i < 40 && !status; i++) {
        uint32_t slot = 12345;
        status = lb_state_take(state, NULL, &slot, NULL);
        CHECK_EQ(slot, status ? 12345 : i);
        CHECK_EQ(state->n_slots, status ? i : i + 1);
        if (status) {                                   /* the one after the failure finds everything as it was */
            CHECK_EQ(lb_state_take(state, NULL, &slot, NULL), LB_OK);
            CHECK_EQ(slot, i);
        }
    }
    lb_state_free(state);
    return status;
}

static void every_allocation_of_a_state_may_fail(void) {
    CHECK_EQ(every_allocation_fails_once(forty_slots), 1 + 2 * 6);     /* the State, and six for each of two blocks */
}

static void a_state_ends_at_its_last_slot(void) {
    lb_state *state = new_state();
    uint32_t slot = 0;
    while (state->n_slots < LB_MAX_SLOTS) slot = take(state);
    CHECK_EQ(slot, LB_MAX_SLOTS - 1);
    lb_error err = {0};
    CHECK_EQ(lb_state_take(state, NULL, &slot, &err), LB_ERR_CONFIG);
    CHECK_EQ(strcmp(err.field, "targets"), 0);
    CHECK(strstr(err.reason, "1048576") != NULL);
    CHECK_EQ(slot, LB_MAX_SLOTS - 1);
    for (uint32_t i = 0; i < LB_MAX_SLOTS; i++) lb_state_leave(state, i);
    CHECK_EQ(state->n_free, LB_MAX_SLOTS);
    CHECK_EQ(take(state), LB_MAX_SLOTS - 1);
    lb_state_free(state);
}

int main(void) {
    RUN(close_derives_usable_and_total);
    RUN(the_sum_of_weights_needs_more_than_32_bits);
    RUN(the_arrays_of_a_view_do_not_overlap);
    RUN(a_view_without_memory_says_so);
    RUN(blocks_double);
    RUN(slots_come_in_order_and_never_move);
    RUN(a_slot_comes_back_healthy_and_with_a_new_generation);
    RUN(the_last_call_releases_a_leaving_slot);
    RUN(finish_counts_its_own_generation_down_to_zero);
    RUN(random_lives_agree_with_a_naive_model);
    RUN(every_allocation_of_a_state_may_fail);
    RUN(a_state_ends_at_its_last_slot);
    return check_result();
}

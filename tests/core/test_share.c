/* share: every promise of share.h, with several workers in one process whose locks are a table.
 *
 * What real processes do is in test_share_processes.c, what threads see in test_share_threads.c, and any sequence of
 * operations beside a model in tests/fuzz/fuzz_share.c.
 */
#include "shares.h"

static const lb_share_size small = {.max_targets = 16, .max_workers = 4};

#define MOST_CREW 4

/* Workers 1.. of one segment. */
typedef struct crew {
    lb_share_size size;
    void *memory;
    kernel locks;
    worker w[MOST_CREW];
} crew;

static void gather(crew *c, const lb_share_size *size, uint32_t n) {
    memset(c, 0, sizeof *c);
    c->size = *size;
    c->memory = new_memory(size);
    for (uint32_t i = 0; i < n; i++) CHECK_EQ(hire(&c->w[i], c->memory, size, &c->locks, i + 1, NULL), LB_OK);
}

static void disband(crew *c) {
    for (uint32_t i = 0; i < MOST_CREW; i++) kill_worker(&c->w[i]);
    free(c->memory);
}

static uint32_t generation_of(worker *w, uint32_t place) {
    lb_share_place seen = {0};
    CHECK(lb_share_look(w->share, place, &seen));
    return seen.generation;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static void sizes_have_limits(void) {
    const struct { lb_share_size size; const char *field; } wrong[] = {
        {{15, 4}, "shared.max_targets"}, {{0, 4}, "shared.max_targets"}, {{1048577, 4}, "shared.max_targets"},
        {{16, 0}, "shared.max_workers"}, {{16, 65}, "shared.max_workers"},
    };
    for (uint32_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lb_error err = {0};
        lb_share_extent extent = {1, 2, 3};
        CHECK_EQ(lb_share_measure(&wrong[i].size, &extent, &err), LB_ERR_CONFIG);
        CHECK(strcmp(err.field, wrong[i].field) == 0);
        CHECK(extent.whole == 1 && extent.head == 2 && extent.row == 3);
    }
}

static void an_extent_is_pages(void) {
    const lb_share_size sizes[] = {{16, 1}, {17, 64}, {1000, 3}, {16384, 64}, {1048576, 64}};
    for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        lb_share_extent e = {0};
        CHECK_EQ(lb_share_measure(&sizes[i], &e, NULL), LB_OK);
        CHECK(e.row % LB_SHARE_PAGE == 0 && e.head % LB_SHARE_PAGE == 0);
        CHECK_EQ(e.whole, e.head + sizes[i].max_workers * e.row);
        CHECK(e.row >= sizes[i].max_targets * 4);
    }
}

static void places_are_a_power_of_two(void) {
    crew c;
    gather(&c, &(lb_share_size){.max_targets = 17, .max_workers = 1}, 1);
    CHECK_EQ(lb_share_places(c.w[0].share), 32);
    disband(&c);
}

static void the_first_seed_counts(void) {
    crew c;
    gather(&c, &small, 1);
    lb_share_locks functions = {.context = &c.w[1], .take = take_row, .give = give_row};
    c.w[1] = (worker){.locks = &c.locks, .who = 2};
    CHECK_EQ(lb_share_open(&c.w[1].share, c.memory, &small, 4711, &functions, NULL), LB_OK);
    CHECK_EQ(lb_share_backing(c.w[0].share)->seed, 42);
    CHECK_EQ(lb_share_backing(c.w[1].share)->seed, 42);
    disband(&c);
}

static void refuses(crew *c, const lb_share_size *size, const char *said) {
    lb_error err = {0};
    worker w;
    char before[LB_SHARE_PAGE];
    memcpy(before, c->memory, sizeof before);
    CHECK_EQ(hire(&w, c->memory, size, &c->locks, 9, &err), LB_ERR_CONFIG);
    CHECK(w.share == NULL);
    CHECK(strcmp(err.field, "shared") == 0 && strstr(err.reason, said));
    CHECK(memcmp(before, c->memory, sizeof before) == 0);
}

static void another_layout_or_size_is_refused(void) {
    crew c;
    gather(&c, &small, 1);
    lb_head *head = c.memory;
    refuses(&c, &(lb_share_size){32, 4}, "max_targets 16 and max_workers 4, this worker wants 32 and 4");
    refuses(&c, &(lb_share_size){16, 5}, "wants 16 and 5");
    lb_word_write(&head->layout, 77);
    refuses(&c, &small, "layout 77, this lbcore reads layout 1");
    lb_word_write(&head->magic, 0x123);
    refuses(&c, &small, "not a segment of lbcore: it begins with 0x123");
    disband(&c);
}

static void a_wrong_size_is_refused(void) {
    worker w;
    lb_error err = {0};
    CHECK_EQ(hire(&w, NULL, &(lb_share_size){16, 65}, NULL, 1, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "shared.max_workers") == 0);
}

static lb_status opened_and_closed(void) {
    static kernel locks;
    void *memory = new_memory(&small);
    worker w;
    lb_status status = hire(&w, memory, &small, &locks, 1, NULL);
    if (status == LB_OK) dismiss(&w);
    else CHECK_EQ(lb_word_read(&((lb_head *)memory)->magic), 0);
    free(memory);
    return status;
}

static void open_needs_one_allocation(void) { CHECK_EQ(every_allocation_fails_once(opened_and_closed), 1); }

/* ---- places ------------------------------------------------------------------------------------------------- */

static void one_identity_has_one_place(void) {
    crew c;
    gather(&c, &small, 2);
    uint32_t place = seat_of(&c.w[0], 5), other = seat_of(&c.w[0], 6);
    CHECK(place != other);
    lb_word_note(&c.w[0].b->record(c.w[0].share, place)->marks, LB_MARK_DISABLED);
    CHECK_EQ(seat_of(&c.w[1], 5), place);
    CHECK(c.w[0].b->record(c.w[0].share, place) == c.w[1].b->record(c.w[1].share, place));
    CHECK_EQ(lb_word_glance(&c.w[1].b->record(c.w[1].share, place)->marks), LB_MARK_DISABLED);
    disband(&c);
}

/* A process may seat a target twice: in the plan before a reload and in the one after it. */
static void a_place_is_kept_while_one_user_is_left(void) {
    crew c;
    gather(&c, &small, 2);
    uint32_t place = seat_of(&c.w[0], 5), generation = generation_of(&c.w[0], place);
    lb_word_note(&c.w[0].b->record(c.w[0].share, place)->streaks, 3);
    CHECK_EQ(seat_of(&c.w[0], 5), place);
    c.w[0].b->unseat(c.w[0].share, place);
    CHECK_EQ(seat_of(&c.w[1], 5), place);
    c.w[0].b->unseat(c.w[0].share, place);
    CHECK_EQ(generation_of(&c.w[1], place), generation);
    CHECK_EQ(lb_word_glance(&c.w[1].b->record(c.w[1].share, place)->streaks), 3);
    c.w[1].b->unseat(c.w[1].share, place);
    c.w[1].b->unseat(c.w[1].share, place);                      /* one too many: nothing */
    CHECK(!lb_share_look(c.w[1].share, place, NULL));
    CHECK_EQ(seat_of(&c.w[1], 5), place);
    CHECK_EQ(generation_of(&c.w[1], place), generation + 1);
    CHECK_EQ(lb_word_glance(&c.w[1].b->record(c.w[1].share, place)->streaks), 0);
    disband(&c);
}

static void a_full_table_is_refused_and_unharmed(void) {
    crew c;
    gather(&c, &small, 2);
    uint32_t place[16], none = 99;
    lb_error err = {0};
    for (uint32_t i = 0; i < 16; i++) place[i] = seat_of(&c.w[i % 2], i);
    CHECK_EQ(c.w[0].b->seat(c.w[0].share, mark(1), mark(16), "x", &none, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "shared.max_targets") == 0 && strstr(err.reason, "all 16 places are in use"));
    CHECK_EQ(none, 99);
    for (uint32_t i = 0; i < 16; i++) CHECK_EQ(seat_of(&c.w[0], i), place[i]);
    c.w[0].b->unseat(c.w[0].share, place[4]);
    c.w[0].b->unseat(c.w[0].share, place[4]);
    CHECK_EQ(seat_of(&c.w[1], 16), place[4]);                   /* the only free one */
    disband(&c);
}

static void the_dead_make_room(void) {
    crew c;
    gather(&c, &small, 2);
    for (uint32_t i = 0; i < 16; i++) seat_of(&c.w[1], i);
    CHECK(c.w[0].b->row(c.w[0].share) != NULL);
    kill_worker(&c.w[1]);
    seat_of(&c.w[0], 100);
    disband(&c);
}

/* Its maker died on the way: the entry is nobody's, and a search goes on behind it. */
static void a_half_made_place_is_nobodys(void) {
    crew c;
    gather(&c, &small, 1);
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t place = seat_of(&c.w[0], i);
        lb_entry *entry = lb_entry_at(&c.w[0].share->places, place);
        c.w[0].b->unseat(c.w[0].share, place);
        lb_word_write(&entry->tag, (lb_word_read(&entry->tag) & ~(uint64_t)LB_TAG_STATE) | LB_MADE);
        CHECK(!lb_share_look(c.w[0].share, place, NULL));
    }
    uint32_t seen = 0;
    for (uint32_t i = 0; i < 16; i++) seen |= 1u << seat_of(&c.w[0], i);
    CHECK_EQ(seen, 0xFFFF);
    disband(&c);
}

/* 100,000 targets come and go through 64 places of which some stay: searches stay short, and what stays is found. */
static void churn_does_not_wear_the_table_out(void) {
    crew c;
    gather(&c, &(lb_share_size){.max_targets = 64, .max_workers = 2}, 1);
    worker *w = &c.w[0];
    uint32_t stays[24], bounded = 0;
    for (uint32_t i = 0; i < 24; i++) stays[i] = seat_of(w, i);
    for (uint32_t i = 100; i < 100100; i++) {
        w->b->unseat(w->share, seat_of(w, i));
        uint64_t before = w->share->places.n_steps;
        CHECK_EQ(seat_of(w, i % 24), stays[i % 24]);
        w->b->unseat(w->share, stays[i % 24]);
        bounded += w->share->places.n_steps - before < 32;
    }
    CHECK(bounded > 95000);
    disband(&c);
}

static void names_are_for_people(void) {
    crew c;
    gather(&c, &small, 1);
    worker *w = &c.w[0];
    lb_share_place seen;
    uint32_t a, b;
    char large[200];
    memset(large, 'x', sizeof large);
    large[199] = 0;
    CHECK_EQ(w->b->seat(w->share, mark(9), mark(1), "default/web 10.0.0.1:80", &a, NULL), LB_OK);
    CHECK_EQ(w->b->seat(w->share, mark(9), mark(2), large, &b, NULL), LB_OK);
    CHECK(lb_share_look(w->share, a, &seen) && strcmp(seen.name, "default/web 10.0.0.1:80") == 0);
    CHECK(seen.upstream.high == 7 && seen.upstream.low == 9 && seen.identity.low == 1);
    CHECK(seen.common == NULL && seen.n_workers == 1 && seen.place == a);
    CHECK(lb_share_look(w->share, b, &seen) && strlen(seen.name) == LB_SHARE_NAME - 1);
    lb_common *common = common_of(w, 9);
    CHECK(lb_share_look(w->share, a, &seen) && seen.common == common);
    w->b->part(w->share, common);
    CHECK(lb_share_look(w->share, a, &seen) && seen.common == NULL);
    CHECK(!lb_share_look(w->share, 16, &seen));
    disband(&c);
}

/* ---- commons ------------------------------------------------------------------------------------------------ */

static void workers_of_an_upstream_have_one_common(void) {
    crew c;
    gather(&c, &small, 2);
    lb_common *common = common_of(&c.w[0], 1), *other = common_of(&c.w[0], 2);
    CHECK(common != other && common_of(&c.w[1], 1) == common);
    lb_word_write(&common->judged, 77);
    c.w[0].b->part(c.w[0].share, common);
    c.w[0].b->part(c.w[0].share, common);                       /* one too many */
    CHECK(common_of(&c.w[0], 1) == common && lb_word_read(&common->judged) == 77);
    c.w[0].b->part(c.w[0].share, common);
    c.w[1].b->part(c.w[1].share, common);
    CHECK(common_of(&c.w[1], 1) == common && lb_word_read(&common->judged) == 0);
    disband(&c);
}

static void too_many_upstreams_are_refused(void) {
    crew c;
    gather(&c, &small, 1);
    lb_error err = {0};
    lb_common *none = NULL;
    for (uint32_t i = 0; i < 16; i++) common_of(&c.w[0], i);
    CHECK_EQ(c.w[0].b->join(c.w[0].share, mark(16), &none, &err), LB_ERR_CONFIG);
    CHECK(!none && strcmp(err.field, "shared.max_targets") == 0 && strstr(err.reason, "all 16 upstreams"));
    disband(&c);
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

static void call(worker *w, uint32_t place, uint32_t n) { lb_counter_add(&w->b->row(w->share)[place], n); }

static void others_are_the_rows_of_the_others(void) {
    crew c;
    gather(&c, &small, 3);
    uint32_t place = seat_of(&c.w[0], 1);
    for (uint32_t i = 1; i < 3; i++) CHECK_EQ(seat_of(&c.w[i], 1), place);
    for (uint32_t i = 0; i < 3; i++) call(&c.w[i], place, 1u << i);
    for (uint32_t i = 0; i < 3; i++) CHECK_EQ(c.w[i].b->others(c.w[i].share, place), 7 - (1u << i));
    lb_share_place seen;
    CHECK(lb_share_look(c.w[0].share, place, &seen) && seen.in_flight == 7 && seen.n_workers == 3);
    dismiss(&c.w[2]);
    CHECK_EQ(c.w[0].b->others(c.w[0].share, place), 2);
    c.w[1].b->unseat(c.w[1].share, place);
    CHECK_EQ(c.w[0].b->others(c.w[0].share, place), 0);
    disband(&c);
}

static void who_has_no_row_sees_all_of_them(void) {
    crew c;
    gather(&c, &small, 2);
    uint32_t place = seat_of(&c.w[0], 1);
    call(&c.w[0], place, 3);
    CHECK_EQ(c.w[1].b->others(c.w[1].share, place), 3);
    disband(&c);
}

static void when_rows_are_out_nothing_is_seated(void) {
    crew c;
    gather(&c, &(lb_share_size){.max_targets = 16, .max_workers = 2}, 3);
    uint32_t none = 99;
    lb_common *common = NULL;
    lb_error err = {0};
    seat_of(&c.w[0], 1);
    seat_of(&c.w[1], 1);
    CHECK(c.w[2].b->row(c.w[2].share) == NULL);
    CHECK_EQ(c.w[2].b->seat(c.w[2].share, mark(1), mark(1), "x", &none, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "shared.max_workers") == 0 && strstr(err.reason, "all 2 rows"));
    CHECK_EQ(c.w[2].b->join(c.w[2].share, mark(1), &common, &err), LB_ERR_CONFIG);
    CHECK(none == 99 && !common && c.w[2].b->cursor(c.w[2].share, 8) == NULL);
    dismiss(&c.w[0]);
    CHECK(c.w[2].b->row(c.w[2].share) != NULL);
    disband(&c);
}

static void a_dead_workers_row_is_taken_over_clean(void) {
    crew c;
    gather(&c, &(lb_share_size){.max_targets = 16, .max_workers = 2}, 3);
    uint32_t place = seat_of(&c.w[0], 1);
    seat_of(&c.w[1], 1);
    lb_common *common = common_of(&c.w[1], 1);
    call(&c.w[0], place, 5);
    kill_worker(&c.w[0]);
    CHECK_EQ(c.w[1].b->others(c.w[1].share, place), 5);         /* nobody has looked yet */
    CHECK_EQ(c.w[2].b->row(c.w[2].share)[place], 0);
    CHECK_EQ(lb_share_own(c.w[2].share), 0);
    CHECK_EQ(c.w[1].b->others(c.w[1].share, place), 0);
    CHECK_EQ(lb_word_read(&common->epoch), 1);
    disband(&c);
}

static void a_sweep_clears_the_dead_alone(void) {
    crew c;
    gather(&c, &small, 3);
    uint32_t place = seat_of(&c.w[0], 1), alone = seat_of(&c.w[2], 2);
    lb_common *common = common_of(&c.w[0], 1);
    for (uint32_t i = 1; i < 3; i++) seat_of(&c.w[i], 1);
    for (uint32_t i = 0; i < 3; i++) call(&c.w[i], place, 1u << i);
    lb_cursor *cursor = c.w[2].b->cursor(c.w[2].share, 400);
    CHECK(!c.w[0].b->sweep(c.w[0].share));
    CHECK_EQ(lb_word_read(&common->epoch), 0);
    kill_worker(&c.w[2]);
    CHECK(c.w[0].b->sweep(c.w[0].share));
    CHECK(!c.w[0].b->sweep(c.w[0].share));
    CHECK_EQ(lb_word_read(&common->epoch), 1);
    CHECK_EQ(c.w[0].b->others(c.w[0].share, place), 2);
    CHECK_EQ(c.w[1].b->others(c.w[1].share, place), 1);
    CHECK_EQ(lb_word_read(&cursor->users), 0);
    CHECK_EQ(c.locks.owner[1], NOBODY);                         /* his was the second claim */
    CHECK(!lb_share_look(c.w[0].share, alone, NULL));
    lb_share_worker list[4];
    CHECK_EQ(lb_share_workers(c.w[0].share, list, 4), 2);
    disband(&c);
}

/* Between a look at the rows and the lock of one, another worker may have swept it: it is free then, and left alone. */
static bool take_after_a_sweep(void *context, uint32_t row) {
    worker *w = context;
    w[1].b->sweep(w[1].share);
    return take_row(context, row);
}

static void two_sweeps_count_one_death(void) {
    crew c;
    gather(&c, &small, 3);
    lb_common *common = common_of(&c.w[0], 1);
    seat_of(&c.w[1], 1);
    seat_of(&c.w[2], 1);
    kill_worker(&c.w[2]);
    c.w[0].share->locks.take = take_after_a_sweep;
    CHECK(!c.w[0].b->sweep(c.w[0].share));
    CHECK_EQ(lb_word_read(&common->epoch), 1);
    CHECK_EQ(c.locks.owner[2], NOBODY);
    disband(&c);
}

static void open_sweeps(void) {
    crew c;
    gather(&c, &small, 2);
    uint32_t place = seat_of(&c.w[0], 1);
    call(&c.w[0], place, 5);
    kill_worker(&c.w[0]);
    kill_worker(&c.w[1]);
    CHECK_EQ(hire(&c.w[2], c.memory, &small, &c.locks, 3, NULL), LB_OK);
    CHECK_EQ(lb_share_rows(c.w[2].share), 0);
    CHECK_EQ(seat_of(&c.w[2], 1), place);
    CHECK_EQ(c.w[2].b->row(c.w[2].share)[place], 0);
    disband(&c);
}

static void workers_are_listed(void) {
    crew c;
    gather(&c, &small, 3);
    lb_share_worker list[4] = {{0}};
    lb_share_tell(c.w[0].share, 4711, 99);
    CHECK_EQ(lb_share_workers(c.w[0].share, list, 4), 0);
    uint32_t a = seat_of(&c.w[0], 1), b = seat_of(&c.w[0], 2);
    call(&c.w[0], a, 3);
    call(&c.w[0], b, 4);
    seat_of(&c.w[1], 1);
    lb_share_tell(c.w[1].share, 4712, 100);
    CHECK_EQ(lb_share_workers(c.w[2].share, list, 4), 2);
    CHECK(list[0].row == 0 && list[0].pid == 4711 && list[0].since_ns == 99);
    CHECK(list[0].in_flight == 7 && list[0].n_places == 2);
    CHECK(list[1].row == 1 && list[1].pid == 4712 && list[1].since_ns == 100);
    CHECK(list[1].in_flight == 0 && list[1].n_places == 1);
    CHECK_EQ(lb_share_workers(c.w[2].share, list, 1), 1);
    disband(&c);
}

static void the_last_to_close_knows_it(void) {
    crew c;
    gather(&c, &small, 3);
    seat_of(&c.w[0], 1);
    seat_of(&c.w[1], 2);
    seat_of(&c.w[2], 3);
    CHECK(!dismiss(&c.w[0]));
    kill_worker(&c.w[1]);
    CHECK(dismiss(&c.w[2]));                                    /* the dead do not count */
    CHECK(!lb_share_close(NULL));
    disband(&c);
}

static void a_close_leaves_nothing(void) {
    crew c;
    gather(&c, &small, 2);
    uint32_t place = seat_of(&c.w[0], 1);
    lb_cursor *cursor = c.w[0].b->cursor(c.w[0].share, 400);
    call(&c.w[0], place, 5);
    dismiss(&c.w[0]);
    CHECK_EQ(lb_word_read(&cursor->users), 0);
    CHECK_EQ(c.w[1].b->row(c.w[1].share)[place], 0);
    CHECK(!lb_share_look(c.w[1].share, place, NULL));
    disband(&c);
}

/* The child has its parent's memory and none of his locks. */
static void a_forked_child_begins_with_nothing(void) {
    crew c;
    gather(&c, &small, 1);
    worker *child = &c.w[0];
    uint32_t place = seat_of(child, 1);
    lb_common *common = common_of(child, 1);
    lb_cursor *cursor = child->b->cursor(child->share, 400);
    call(child, place, 5);
    child->who = 2;                                             /* the parent, 1, lives on elsewhere */
    lb_share_forked(child->share);
    child->b->unseat(child->share, place);
    child->b->part(child->share, common);
    child->b->drop(child->share, cursor);
    CHECK_EQ(lb_word_read(&cursor->users), 1);
    CHECK_EQ(child->b->others(child->share, place), 5);
    CHECK_EQ(seat_of(child, 1), place);
    CHECK_EQ(lb_share_own(child->share), 1);
    CHECK_EQ(child->b->row(child->share)[place], 0);
    CHECK_EQ(child->b->others(child->share, place), 5);
    CHECK(child->b->cursor(child->share, 400) == cursor && lb_word_read(&cursor->users) == 3);
    CHECK(!dismiss(child));
    disband(&c);
}

/* ---- cursors ------------------------------------------------------------------------------------------------ */

static lb_cursor *cursor_of(worker *w, uint64_t fingerprint) { return w->b->cursor(w->share, fingerprint); }

static void one_schedule_has_one_cursor(void) {
    crew c;
    gather(&c, &small, 2);
    for (uint32_t i = 0; i < 2; i++) seat_of(&c.w[i], 1);
    lb_cursor *cursor = cursor_of(&c.w[0], 400);
    CHECK(cursor && cursor_of(&c.w[0], 800) != cursor);
    lb_word_add(&cursor->turn, 17);
    CHECK(cursor_of(&c.w[1], 400) == cursor && lb_word_read(&cursor->turn) == 17);
    CHECK_EQ(lb_word_read(&cursor->users), 3);
    CHECK(cursor_of(&c.w[0], 400) == cursor);
    c.w[0].b->drop(c.w[0].share, cursor);
    CHECK_EQ(lb_word_read(&cursor->users), 3);
    c.w[0].b->drop(c.w[0].share, cursor);
    CHECK_EQ(lb_word_read(&cursor->users), 2);
    c.w[0].b->drop(c.w[0].share, cursor);                       /* one too many */
    CHECK_EQ(lb_word_read(&cursor->users), 2);
    disband(&c);
}

static void a_schedule_that_comes_back_goes_on(void) {
    crew c;
    gather(&c, &small, 1);
    seat_of(&c.w[0], 1);
    lb_cursor *cursor = cursor_of(&c.w[0], 400);
    lb_word_add(&cursor->turn, 17);
    c.w[0].b->drop(c.w[0].share, cursor);
    CHECK(cursor_of(&c.w[0], 404) != cursor);
    CHECK(cursor_of(&c.w[0], 400) == cursor && lb_word_read(&cursor->turn) == 17);
    disband(&c);
}

static void every_fingerprint_will_do(void) {
    crew c;
    gather(&c, &small, 1);
    seat_of(&c.w[0], 1);
    const uint64_t some[] = {0, 1, 3, UINT64_MAX, 1ull << 63};
    for (uint32_t i = 0; i < 5; i++) {
        lb_cursor *cursor = cursor_of(&c.w[0], some[i]);
        CHECK(cursor && cursor_of(&c.w[0], some[i]) == cursor);
    }
    disband(&c);
}

/* 16 lines, all in one window. */
static void a_full_window_gives_none_then_the_longest_unused(void) {
    crew c;
    gather(&c, &small, 1);
    worker *w = &c.w[0];
    seat_of(w, 1);
    lb_cursor *cursor[16];
    for (uint64_t i = 0; i < 16; i++) cursor[i] = cursor_of(w, 4 * (i + 10));
    CHECK(cursor_of(w, 4000) == NULL);
    w->b->drop(w->share, NULL);
    for (uint32_t i = 0; i < 3; i++) w->b->drop(w->share, cursor[(5 + 7 * i) % 16]);    /* 5, 12, 3 */
    CHECK(cursor_of(w, 4 * 22) == cursor[12]);
    w->b->drop(w->share, cursor[12]);                           /* 5, 3, 12 */
    CHECK(cursor_of(w, 4000) == cursor[5] && lb_word_read(&cursor[5]->turn) == 0);
    CHECK(cursor_of(w, 4004) == cursor[3]);
    CHECK(cursor_of(w, 4008) == cursor[12]);
    CHECK(cursor_of(w, 4012) == NULL);
    disband(&c);
}

/* What a worker leaves who dies in the middle: 1 is "tentative", 2 is "leaving". */
static void a_cursor_left_in_the_middle_is_taken_over(void) {
    for (uint32_t stage = 1; stage <= 2; stage++) {
        crew c;
        gather(&c, &small, 2);
        for (uint32_t i = 0; i < 2; i++) seat_of(&c.w[i], 1);
        lb_cursor *cursor = cursor_of(&c.w[1], 400);
        lb_word_add(&cursor->turn, 9);
        kill_worker(&c.w[1]);
        lb_word_write(&cursor->fingerprint, 400 + stage);
        lb_cursor *mine = cursor_of(&c.w[0], 400);              /* not swept yet */
        CHECK(stage == 2 ? mine == NULL : mine != NULL && mine != cursor);
        if (mine) c.w[0].b->drop(c.w[0].share, mine);
        lb_word_write(&cursor->fingerprint, 400 + stage);
        CHECK(c.w[0].b->sweep(c.w[0].share));
        if (!mine) CHECK(cursor_of(&c.w[0], 400) == cursor);
        CHECK(mine == NULL || cursor_of(&c.w[0], 400) == mine);
        disband(&c);
    }
}

int main(void) {
    RUN(sizes_have_limits);
    RUN(an_extent_is_pages);
    RUN(places_are_a_power_of_two);
    RUN(the_first_seed_counts);
    RUN(another_layout_or_size_is_refused);
    RUN(a_wrong_size_is_refused);
    RUN(open_needs_one_allocation);
    RUN(one_identity_has_one_place);
    RUN(a_place_is_kept_while_one_user_is_left);
    RUN(a_full_table_is_refused_and_unharmed);
    RUN(the_dead_make_room);
    RUN(a_half_made_place_is_nobodys);
    RUN(churn_does_not_wear_the_table_out);
    RUN(names_are_for_people);
    RUN(workers_of_an_upstream_have_one_common);
    RUN(too_many_upstreams_are_refused);
    RUN(others_are_the_rows_of_the_others);
    RUN(who_has_no_row_sees_all_of_them);
    RUN(when_rows_are_out_nothing_is_seated);
    RUN(a_dead_workers_row_is_taken_over_clean);
    RUN(a_sweep_clears_the_dead_alone);
    RUN(two_sweeps_count_one_death);
    RUN(open_sweeps);
    RUN(workers_are_listed);
    RUN(the_last_to_close_knows_it);
    RUN(a_close_leaves_nothing);
    RUN(a_forked_child_begins_with_nothing);
    RUN(one_schedule_has_one_cursor);
    RUN(a_schedule_that_comes_back_goes_on);
    RUN(every_fingerprint_will_do);
    RUN(a_full_window_gives_none_then_the_longest_unused);
    RUN(a_cursor_left_in_the_middle_is_taken_over);
    return check_result();
}

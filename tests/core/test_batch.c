/* batch: many picks at once are those that single picks would have been, whatever happens meanwhile. */
#include "upstreams.h"

enum { N = 500 };

static const lb_key *keys(void) {
    static lb_key key[N];
    static char text[N][16];
    for (uint32_t i = 0; i < N && !key[N - 1].text.len; i++) {
        snprintf(text[i], sizeof text[i], "key %u", i);
        key[i].text = lb_str_of(text[i]);
    }
    return key;
}

/* Equal weights and few targets: every scheme of the register can hold them. */
static void alike(fleet *f) {
    f->n = 0;
    add_targets(f, 11, 0);
}

static void check_many(lb_upstream *up, lb_upstream *twin, uint32_t n) {
    int32_t out[N + 1];
    out[n] = 12345;
    lb_upstream_pick_many(up, out, n, 0);
    for (uint32_t i = 0; i < n; i++) CHECK_EQ(out[i], (int32_t)lb_upstream_pick(twin, 0));
    CHECK_EQ(out[n], 12345);
}

/* Under each policy, with keys none: n at once are n singles, also in the middle of a period and across its end. */
static void pick_many_is_single_picks(void) {
    static const uint32_t sizes[] = {0, 1, 3, 11, 12, 100, N};
    fleet f;
    alike(&f);
    for (uint32_t p = 0; p < lb_n_policies; p++) {
        lb_upstream *up = upstream_named(lb_policies[p]->name, &f), *twin = upstream_named(lb_policies[p]->name, &f);
        for (int round = 0; round < 3; round++)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) check_many(up, twin, sizes[s]);
        take_down(up, 0, 11);
        take_down(twin, 0, 11);
        check_many(up, twin, 7);                        /* nobody: -1 */
        walk_fleet(up, &f);
        lb_upstream_free(up);
        lb_upstream_free(twin);
    }
}

static void limits_and_levels_are_kept_in_batches(void) {
    fleet f = {0};
    add_targets(&f, 4, 0);
    add_targets(&f, 4, 1);
    for (int levels = 0; levels < 2; levels++) {
        lb_upstream_spec spec = spec_of(policy_named("round_robin"));
        if (!levels) spec.limits.in_flight = 1;
        f.n = levels ? 8 : 4;
        lb_upstream *up = upstream_with(&spec, &f, 0), *twin = upstream_with(&spec, &f, 0);
        lb_batch batch;
        CHECK(!lb_batch_begin(&batch, up, 5, false, 0));
        take_down(up, 0, 3);
        take_down(twin, 0, 3);
        lb_call call;
        lb_upstream_begin_on(up, 3, 0, &call);
        lb_upstream_begin_on(twin, 3, 0, &call);
        check_many(up, twin, 100);
        lb_upstream_free(up);
        lb_upstream_free(twin);
    }
}

/* What is due is fired by a batch too. */
static void a_batch_tells_the_time(void) {
    fleet f = {0};
    add_targets(&f, 2, 0);
    lb_upstream_spec spec = spec_of(policy_named("round_robin"));
    spec.health.outlier = ejecting(1, 50, SECOND, SECOND);
    lb_upstream *up = upstream_with(&spec, &f, 0);
    lb_call call;
    lb_upstream_begin_on(up, 0, SECOND, &call);
    report_verdict(up, &call, LB_FAILURE, LB_NEVER, SECOND);
    int32_t out[4];
    lb_upstream_pick_many(up, out, 4, SECOND);
    for (int i = 0; i < 4; i++) CHECK_EQ(out[i], 1);
    lb_upstream_pick_many(up, out, 4, 2 * SECOND);
    CHECK_EQ(out[0] + out[1] + out[2] + out[3], 2);
    lb_upstream_free(up);
}

static void check_keys(lb_upstream *up, lb_upstream *twin) {
    int32_t out[N];
    lb_upstream_pick_keys(up, keys(), out, N, 0);
    for (uint32_t i = 0; i < N; i++) {
        lb_want want = {.key = &keys()[i]};
        CHECK_EQ(out[i], (int32_t)lb_upstream_choose(twin, &want, 0));
    }
}

static void pick_keys_is_single_choices(void) {
    fleet f;
    alike(&f);
    for (uint32_t p = 0; p < lb_n_policies; p++) {
        lb_upstream *up = upstream_named(lb_policies[p]->name, &f), *twin = upstream_named(lb_policies[p]->name, &f);
        check_keys(up, twin);
        for (uint32_t i = 0; i < N && lb_policies[p]->walk; i++) {
            lb_want want = {.key = &keys()[i]};
            CHECK_EQ(lb_upstream_pick_key(up, &keys()[i], 0), lb_upstream_choose(twin, &want, 0));
        }
        take_down(up, 3, 4);
        take_down(twin, 3, 4);
        check_keys(up, twin);
        take_down(up, 0, 11);
        take_down(twin, 0, 11);
        check_keys(up, twin);
        lb_upstream_free(up);
        lb_upstream_free(twin);
    }
}

/* ---- in two parts ----------------------------------------------------------------------------------------------- */

/* half: a pure walk that names a member for every other key only. */
static lb_status no_tables(void **out, const lb_view *view, const double *param, const void *previous,
                           const uint32_t *old_index, lb_error *err) {
    (void)param, (void)previous, (void)old_index;
    uint32_t *first = lb_alloc(sizeof *first);
    if (!first) return lb_no_memory(err, "policy");
    *first = view->n_usable ? view->usable[0] : LB_NONE;
    *out = first;
    return LB_OK;
}

static uint32_t half_walk(void *state, const lb_view *view, lb_walk *walk) {
    const uint32_t *first = state;
    return view->n_usable && walk->step == 0 && walk->key.text.data[walk->key.text.len - 1] % 2 ? *first : LB_NONE;
}

static void half_destroy(void *state) { lb_free(state); }

static const lb_policy half = {
    .name = "half", .summary = "For tests.", .build = no_tables, .destroy = half_destroy, .walk = half_walk,
    .pure = true,
};

/* Whom the walk does not name comes by the rule of single choices. */
static void keys_without_a_home_are_chosen_one_by_one(void) {
    fleet f;
    alike(&f);
    lb_upstream_spec spec = spec_of(&half);
    lb_upstream *up = upstream_with(&spec, &f, 0), *twin = upstream_with(&spec, &f, 0);
    lb_batch batch;
    int32_t out[N];
    CHECK(lb_batch_begin(&batch, up, N, true, 0));
    lb_batch_keys(&batch, keys(), out, N);
    lb_batch_end(&batch);
    for (uint32_t i = 0; i < N; i++) CHECK_EQ(out[i], i % 2 ? 0 : -1);
    check_keys(up, twin);
    CHECK(!lb_batch_begin(&batch, up, 1, false, 0));    /* no schedule */
    take_down(up, 0, 11);
    CHECK(!lb_batch_begin(&batch, up, 1, true, 0));     /* nobody */
    lb_upstream_free(up);
    lb_upstream_free(twin);
}

/* Everything that replaces a picture, some of it twice. */
static void change_everything(lb_upstream *up, const fleet *f) {
    lb_call call;
    CHECK_EQ(lb_upstream_set_weight(up, 1, 7, 0, NULL), LB_OK);
    take_down(up, 0, 2);
    CHECK_EQ(lb_upstream_update(up, f->target + 1, f->n - 1, 0, NULL), LB_OK);
    CHECK_EQ(lb_upstream_drain(up, 3, LB_NEVER, 0, NULL), LB_OK);
    CHECK_EQ(lb_upstream_update(up, f->target, f->n, 0, NULL), LB_OK);
    lb_subset *subset = subset_of(up, 5);
    lb_upstream_begin_on(up, 2, 0, &call);
    lb_upstream_release(up, &call);
    lb_subset_free(subset);
    CHECK_EQ(lb_upstream_set_weight(up, 4, 9, 0, NULL), LB_OK);
}

/* "The picture stays": whole lists of targets come and go; AddressSanitizer sees what is freed too early. */
static void a_replaced_picture_stays_for_who_reads_it(void) {
    fleet f;
    alike(&f);
    lb_upstream *up = upstream_named("round_robin", &f), *twin = upstream_named("round_robin", &f);
    for (int t = 0; t < 15; t++) CHECK_EQ(lb_upstream_pick(up, 0), lb_upstream_pick(twin, 0));     /* a period is known */
    lb_batch batch;
    int32_t out[100];
    CHECK(lb_batch_begin(&batch, up, 100, false, 0));
    change_everything(up, &f);
    lb_batch_turns(&batch, out, 100);
    for (int i = 0; i < 100; i++) CHECK_EQ(out[i], (int32_t)lb_upstream_pick(twin, 0));
    CHECK(up->retired != NULL);
    lb_batch_end(&batch);
    CHECK(up->retired == NULL);
    lb_upstream_free(up);
    lb_upstream_free(twin);
}

static void batches_of_keys_read_the_picture_they_began_with(void) {
    fleet f;
    alike(&f);
    lb_upstream_spec spec = spec_of(&half);
    lb_upstream *up = upstream_with(&spec, &f, 0);
    lb_batch batch;
    int32_t out[N];
    CHECK(lb_batch_begin(&batch, up, N, true, 0));
    change_everything(up, &f);
    lb_batch_keys(&batch, keys(), out, N);
    for (uint32_t i = 0; i < N; i++) CHECK_EQ(out[i], i % 2 ? 0 : -1);
    lb_batch_end(&batch);
    take_down(up, 0, 1);                                /* 1 is down already */
    CHECK(lb_batch_begin(&batch, up, N, true, 0));
    lb_batch_keys(&batch, keys(), out, N);
    for (uint32_t i = 0; i < N; i++) CHECK_EQ(out[i], i % 2 ? 2 : -1);
    lb_batch_end(&batch);
    lb_upstream_free(up);
}

/* Several at once, of several pictures, ended in any order: the last one frees. */
static void batches_may_overlap(void) {
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {2, 0, 1}};
    fleet f;
    alike(&f);
    for (int o = 0; o < 4; o++) {
        lb_upstream *up = upstream_named("round_robin", &f), *twin = upstream_named("round_robin", &f);
        for (int t = 0; t < 22; t++) CHECK_EQ(lb_upstream_pick(up, 0), lb_upstream_pick(twin, 0));
        lb_batch batch[3];
        int32_t out[40];
        uint32_t want[3][40];
        for (int b = 0; b < 3; b++) {
            while (!lb_upstream_is_replaying(up)) CHECK_EQ(lb_upstream_pick(up, 0), lb_upstream_pick(twin, 0));
            CHECK(lb_batch_begin(&batch[b], up, 40, false, 0));
            for (int i = 0; i < 40; i++) want[b][i] = lb_upstream_pick(twin, 0);
            if (b == 0) continue;                       /* the first two read the same picture */
            change_everything(up, &f);
            change_everything(twin, &f);
            for (uint32_t i = 0; i < 2; i++) {
                CHECK_EQ(lb_upstream_set_health(up, i, true, true, 0, NULL), LB_OK);
                CHECK_EQ(lb_upstream_set_health(twin, i, true, true, 0, NULL), LB_OK);
            }
        }
        for (int e = 0; e < 3; e++) {
            lb_batch *ended = &batch[orders[o][e]];
            lb_batch_turns(ended, out, 40);
            for (int i = 0; i < 40; i++) CHECK_EQ(out[i], want[orders[o][e]][i]);
            lb_batch_end(ended);
            CHECK_EQ(up->retired == NULL, e == 2);
        }
        lb_upstream_free(up);
        lb_upstream_free(twin);
    }
}

/* "Turns that were reserved are nobody else's": the next single pick is the one after them. */
static void reserved_turns_are_nobody_else_s(void) {
    fleet f;
    alike(&f);
    lb_upstream *up = upstream_named("round_robin", &f), *twin = upstream_named("round_robin", &f);
    for (int t = 0; t < 11; t++) CHECK_EQ(lb_upstream_pick(up, 0), lb_upstream_pick(twin, 0));
    lb_batch batch;
    int32_t out[25];
    for (int round = 0; round < 20; round++) {
        CHECK(lb_batch_begin(&batch, up, 25, false, 0));
        uint32_t after = lb_upstream_pick(up, 0);
        lb_batch_turns(&batch, out, 25);
        for (int i = 0; i < 25; i++) CHECK_EQ(out[i], (int32_t)lb_upstream_pick(twin, 0));
        CHECK_EQ(after, lb_upstream_pick(twin, 0));
        lb_batch_end(&batch);
    }
    lb_upstream_free(up);
    lb_upstream_free(twin);
}

int main(void) {
    RUN(pick_many_is_single_picks);
    RUN(limits_and_levels_are_kept_in_batches);
    RUN(a_batch_tells_the_time);
    RUN(pick_keys_is_single_choices);
    RUN(keys_without_a_home_are_chosen_one_by_one);
    RUN(a_replaced_picture_stays_for_who_reads_it);
    RUN(batches_of_keys_read_the_picture_they_began_with);
    RUN(batches_may_overlap);
    RUN(reserved_turns_are_nobody_else_s);
    return check_result();
}

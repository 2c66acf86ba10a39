/* changes: what a program or the operator does to an upstream and to the model: target lists, weights, health, drains. */
#ifndef CHANGES_H
#define CHANGES_H

#include "model.h"

/* ---- update ----------------------------------------------------------------------------------------------- */

typedef struct list {
    uint32_t n, name[MAX_LIST];
    lb_target_spec target[MAX_LIST];
    char text[MAX_LIST][16];
} list;

/* Large weights are rare, and less large where tables grow with them. */
static uint32_t read_weight(world *w) {
    static const uint32_t small[] = {1, 0, 2, 3, 7, 1, 5, 10};
    static const uint32_t large[] = {999, LB_MAX_WEIGHT, LB_MAX_WEIGHT + 1, UINT32_MAX};
    uint32_t roll = next(w, 64);
    if (w->light && (roll == 60 || roll == 61)) return 4 * roll;
    return roll < 60 ? small[roll % 8] : large[roll - 60];
}

/* The labels of a set of bits, ascending. */
static const uint32_t *labels_of(uint32_t bits, uint32_t *n) {
    static const uint32_t labels[8][3] = {{0}, {10}, {20}, {10, 20}, {30}, {10, 30}, {20, 30}, {10, 20, 30}};
    *n = (bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1);
    return labels[bits];
}

/* Odd names are ids that share one address; even ones are addresses. */
static void read_list(world *w, list *l) {
    l->n = next(w, MAX_LIST + 1);
    uint32_t first = next(w, N_NAMES), step = 1 + next(w, 8), kind = next(w, 12), levels = 1 + kind / 3 % 3;
    for (uint32_t i = 0; i < l->n; i++) {
        l->name[i] = kind % 3 == 0 ? next(w, N_NAMES) : (first + i * step) % N_NAMES;
        snprintf(l->text[i], sizeof l->text[i], "t%u", l->name[i]);
        lb_str text = lb_str_of(l->text[i]);
        bool odd = l->name[i] % 2;
        lb_target_spec *target = &l->target[i];
        *target = (lb_target_spec){
            .id = odd ? text : (lb_str){0}, .address = odd ? lb_str_of("shared:80") : text,
            .weight = kind % 3 == 2 ? 1 : read_weight(w), .priority = l->name[i] / 2 % levels,
            .user = &owner[l->name[i]],
        };
        target->labels = labels_of(bits_of(l->name[i]), &target->n_labels);
    }
}

/* The field of the error that the list deserves; empty if it is right. */
static void find_fault(const list *l, char *field, size_t size) {
    field[0] = 0;
    for (uint32_t i = 0; i < l->n; i++)
        if (l->target[i].weight > LB_MAX_WEIGHT) {
            snprintf(field, size, "targets[%u].weight", i);
            return;
        }
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t j = 0; j < i; j++)
            if (l->name[i] == l->name[j]) {
                snprintf(field, size, "targets[%u].%s", i, l->name[i] % 2 ? "id" : "address");
                return;
            }
}

static void adopt(world *w, const list *l) {
    const lb_view *view = lb_upstream_view(w->up);
    member before[MAX_LIST];
    uint32_t n_before = w->n;
    memcpy(before, w->member, sizeof before);
    w->n = l->n;
    for (uint32_t i = 0; i < l->n; i++) {
        member *m = &w->member[i];
        *m = (member){.name = l->name[i], .slot = view->slot[i],
                      .generation = lb_generation_of(view->state, view->slot[i])};
        for (uint32_t j = 0; j < n_before; j++)
            if (before[j].name == l->name[i]) *m = before[j];
        m->weight = l->target[i].weight;
        m->priority = l->target[i].priority;
    }
    shown(w, w->now_ns);
}

static void update(world *w) {
    list l;
    lb_error err = {0};
    char field[64];
    read_list(w, &l);
    find_fault(&l, field, sizeof field);
    lb_status status = lb_upstream_update(w->up, l.target, l.n, w->now_ns, &err);
    if (status == LB_ERR_NOMEM) CHECK(w->armed);
    if (status == LB_OK) CHECK_EQ(field[0], 0);
    if (status == LB_ERR_CONFIG) CHECK(strcmp(err.field, field) == 0 || !field[0]);
    if (status == LB_OK) adopt(w, &l);
}

/* ---- one target ------------------------------------------------------------------------------------------- */

static void set_weight(world *w) {
    uint32_t i = next(w, MAX_LIST), weight = read_weight(w);
    lb_status status = lb_upstream_set_weight(w->up, i, weight, w->now_ns, NULL);
    bool wrong = i >= w->n || weight > LB_MAX_WEIGHT;
    CHECK_EQ(status == LB_ERR_CONFIG, wrong || status == LB_ERR_CONFIG);
    if (status == LB_ERR_NOMEM) CHECK(w->armed);
    if (status) return;
    if (w->member[i].weight == weight) {
        fired(w);
        return;
    }
    w->member[i].weight = weight;
    shown(w, told(w));
}

/* Changes of a member's state need no memory, and make no picture. */
static member *changed(world *w, uint32_t i, lb_status status) {
    CHECK_EQ(status, i < w->n ? LB_OK : LB_ERR_CONFIG);
    if (status) return NULL;
    tended(w, w->now_ns);
    return &w->member[i];
}

static void tell_change(world *w, lb_event_kind kind, member *m) {
    expect(w, kind, m, told(w));
    w->old = true;
}

static void clear_checks(member *m, lb_check_state state) {
    m->checks = state;
    m->successes = m->http = m->tcp = m->timeouts = 0;
}

/* "Also ends an ejection and a pause." */
static void make_well(world *w, member *m) {
    bool was_unhealthy = is_unhealthy(m);
    if (m->until_ns) {
        recover(m, told(w));
        m->trial = 0;
        tell_change(w, LB_EVENT_RECOVERED, m);
    }
    if (m->held_ns) {
        m->held_ns = 0;
        tell_change(w, LB_EVENT_RELEASED, m);
    }
    m->marked = false;
    clear_checks(m, LB_CHECK_HEALTHY);
    if (was_unhealthy) tell_change(w, LB_EVENT_HEALTHY, m);
}

static void set_health(world *w) {
    uint32_t i = next(w, MAX_LIST), how = next(w, 4);
    bool healthy = how % 2, keep = how / 2;
    member *m = changed(w, i, lb_upstream_set_health(w->up, i, healthy, keep, w->now_ns, NULL));
    if (m && healthy) make_well(w, m);
    if (!m || healthy) return;
    bool was_unhealthy = is_unhealthy(m);
    if (keep) m->marked = true;
    else clear_checks(m, LB_CHECK_UNHEALTHY);
    if (!was_unhealthy) tell_change(w, LB_EVENT_UNHEALTHY, m);
}

static void disable(world *w) {
    uint32_t i = next(w, MAX_LIST);
    bool disabled = next(w, 2);
    member *m = changed(w, i, lb_upstream_disable(w->up, i, disabled, w->now_ns, NULL));
    if (!m || m->disabled == disabled) return;
    m->disabled = disabled;
    tell_change(w, disabled ? LB_EVENT_DISABLED : LB_EVENT_ENABLED, m);
}

static void undrain(world *w, uint32_t i) {
    member *m = changed(w, i, lb_upstream_undrain(w->up, i, w->now_ns, NULL));
    if (!m || !m->drain_ns) return;
    m->drain_ns = 0;
    m->drained = false;
    tell_change(w, LB_EVENT_UNDRAINED, m);
}

static void drain(world *w) {
    static const uint64_t lengths[] = {0, SECOND, 100 * SECOND};
    uint32_t i = next(w, MAX_LIST), length = next(w, 4);
    if (next(w, 3) == 0) {
        undrain(w, i);
        return;
    }
    uint64_t until_ns = length == 3 ? LB_NEVER : w->now_ns + lengths[length];
    member *m = changed(w, i, lb_upstream_drain(w->up, i, until_ns, w->now_ns, NULL));
    bool begins = m && !m->drain_ns;
    if (m) m->drain_ns = until_ns;
    if (!begins) return;
    lb_event event = {.kind = LB_EVENT_DRAINING, .until_ns = until_ns == LB_NEVER ? 0 : until_ns};
    expect_event(w, event, m, told(w));
    w->old = true;
    tell_drained(w, m, told(w));
}

#endif

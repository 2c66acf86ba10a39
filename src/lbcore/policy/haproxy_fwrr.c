/* haproxy_fwrr: see haproxy_fwrr.h. */
#include "policy/haproxy_fwrr.h"

#include "base/alloc.h"

#define SCALE 16
#define MOST 4096                   /* the largest share that HAProxy knows */
#define PLACES 256                  /* of one position */
#define READY 0u

static uint32_t later(const lb_fwrr *f) { return 3 - f->fresh; }

/* ---- queues ----------------------------------------------------------------------------------------------------- */

/* The order in `ready`: of one position, a little later the more rest there is, and the lighter. */
static int64_t place_of(const lb_fwrr_member *m) {
    int64_t little = MOST + m->rest - m->share;
    return m->position * PLACES + (little > 0 ? little / SCALE : 0);
}

static bool before(const lb_fwrr *f, uint32_t queue, uint32_t left, uint32_t right) {
    const lb_fwrr_member *a = &f->member[left], *b = &f->member[right];
    int64_t a_place = queue == READY ? place_of(a) : -a->share, b_place = queue == READY ? place_of(b) : -b->share;
    return a_place != b_place ? a_place < b_place : a->ticket < b->ticket;
}

static void push(lb_fwrr *f, uint32_t queue, uint32_t member) {
    uint32_t *heap = f->queue[queue].member, at = f->queue[queue].n++;
    for (; at > 0 && before(f, queue, member, heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = member;
}

static uint32_t pop(lb_fwrr *f, uint32_t queue) {
    uint32_t *heap = f->queue[queue].member, n = --f->queue[queue].n, top = heap[0], last = heap[n], at = 0;
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(f, queue, heap[child + 1], heap[child])) child++;
        if (!before(f, queue, heap[child], last)) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

static uint32_t head(const lb_fwrr *f, uint32_t queue) {
    return f->queue[queue].n ? f->queue[queue].member[0] : LB_NONE;
}

static void enter(lb_fwrr *f, uint32_t queue, uint32_t member) {
    f->member[member].ticket = f->tickets++;
    f->member[member].queue = queue;
    push(f, queue, member);
}

/* Where its position says.  In `later` positions count from the next round's beginning. */
static void enter_by_position(lb_fwrr *f, uint32_t member) {
    lb_fwrr_member *m = &f->member[member];
    bool beyond = m->position >= 2 * f->round || m->position >= f->round + f->sum;
    if (beyond) m->position -= f->round;
    enter(f, beyond ? later(f) : READY, member);
}

/* ---- turns ------------------------------------------------------------------------------------------------------ */

static void begin_round(lb_fwrr *f) {
    f->fresh = later(f);
    f->round = f->now = f->sum;
}

/* Whose turn it is, out of its queue; LB_NONE: the round is over. */
static uint32_t whose_turn(lb_fwrr *f) {
    uint32_t ready = head(f, READY), fresh = head(f, f->fresh);
    if (ready != LB_NONE && (f->member[ready].position <= f->now || fresh == LB_NONE)) return pop(f, READY);
    if (fresh == LB_NONE) return LB_NONE;
    f->member[fresh].position = f->member[fresh].rest = 0;
    return pop(f, f->fresh);
}

uint32_t lb_fwrr_next(lb_fwrr *f) {
    uint32_t member = whose_turn(f);
    if (member == LB_NONE) {
        begin_round(f);
        member = whose_turn(f);
        if (member == LB_NONE) return LB_NONE;
    }
    lb_fwrr_member *m = &f->member[member];
    m->last = m->position ? m->position : f->now;
    m->position = m->last + f->sum / m->share;
    m->rest += f->sum % m->share;
    if (m->rest >= m->share) {
        m->rest -= m->share;
        m->position++;
    }
    f->now++;
    f->started = true;
    enter_by_position(f, member);
    return member;
}

/* ---- changes ---------------------------------------------------------------------------------------------------- */

static void come_back(lb_fwrr *f, uint32_t member, int64_t share) {
    lb_fwrr_member *m = &f->member[member];
    m->share = share;
    f->sum += share;
    int64_t left = f->sum + f->round - f->now;
    m->position = left < 0 ? 2 * f->round : f->now + left / share;     /* HAProxy's numbers have no sign: far away */
    enter_by_position(f, member);
}

static void change_weight(lb_fwrr *f, uint32_t member, int64_t share) {
    lb_fwrr_member *m = &f->member[member];
    f->sum += share - m->share;
    m->share = share;
    if (m->queue == f->fresh) {
        enter(f, f->fresh, member);
        return;
    }
    if (m->queue == later(f)) m->position += f->round;
    int64_t step = f->sum / share, next = m->last + step;
    m->rest = 0;
    if (next < m->position) m->position = next;
    if (m->position < f->now + 2) m->position = f->now + step;
    enter_by_position(f, member);
}

/* Members as they were, but for those who are not usable now; the sum of their shares. */
static int64_t keep(lb_fwrr *f, const lb_view *view, const lb_fwrr *previous, const uint32_t *old_index) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        f->member[i] = old_index[i] == LB_NONE ? (lb_fwrr_member){0} : previous->member[old_index[i]];
        if (view->weight[i] == 0) f->member[i].share = 0;
        sum += f->member[i].share;
    }
    return sum;
}

static void resume(lb_fwrr *f, const lb_view *view, const lb_fwrr *previous, const uint32_t *old_index) {
    f->fresh = previous->fresh;
    f->started = previous->started;
    f->tickets = previous->tickets;
    f->sum = keep(f, view, previous, old_index);
    bool never_there = !f->started && f->sum < previous->sum;          /* those who went */
    f->round = never_there ? f->sum : previous->round;
    f->now = never_there ? f->sum : previous->now;
    for (uint32_t u = 0; u < view->n_usable; u++) {
        uint32_t i = view->usable[u];
        int64_t share = (int64_t)view->weight[i] * SCALE, had = f->member[i].share;
        if (share == had) push(f, f->member[i].queue, i);
        else if (had) change_weight(f, i, share);
        else come_back(f, i, share);
    }
}

static void begin(lb_fwrr *f, const lb_view *view) {
    memset(f->member, 0, f->n * sizeof *f->member);
    for (uint32_t u = 0; u < view->n_usable; u++) {
        uint32_t i = view->usable[u];
        f->member[i].share = (int64_t)view->weight[i] * SCALE;
        f->sum += f->member[i].share;
        enter(f, f->fresh, i);
    }
    f->round = f->now = f->sum;
}

void lb_fwrr_start(lb_fwrr *f, const lb_view *view, const lb_fwrr *previous, const uint32_t *old_index) {
    if (previous) resume(f, view, previous, old_index);
    else begin(f, view);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

lb_status lb_fwrr_new(lb_fwrr **out, uint32_t n, lb_error *err) {
    lb_fwrr *f = lb_alloc_zero(1, sizeof *f);
    if (!f) return lb_no_memory(err, "policy");
    f->n = n;
    f->fresh = 1;
    f->member = lb_alloc_array(n, sizeof *f->member);
    uint32_t *heaps = lb_alloc_array((size_t)n * 3, sizeof *heaps);
    for (size_t q = 0; heaps && q < 3; q++) f->queue[q].member = heaps + q * n;
    if (!f->member || !heaps) {
        lb_fwrr_free(f);
        return lb_no_memory(err, "policy");
    }
    *out = f;
    return LB_OK;
}

void lb_fwrr_free(lb_fwrr *f) {
    if (!f) return;
    lb_free(f->member);
    lb_free(f->queue[0].member);
    lb_free(f);
}

void lb_fwrr_copy(lb_fwrr *to, const lb_fwrr *from) {
    lb_fwrr copy = *from;
    copy.member = to->member;
    memcpy(copy.member, from->member, from->n * sizeof *from->member);
    for (int q = 0; q < 3; q++) {
        copy.queue[q].member = to->queue[q].member;
        memcpy(copy.queue[q].member, from->queue[q].member, from->queue[q].n * sizeof(uint32_t));
    }
    *to = copy;
}

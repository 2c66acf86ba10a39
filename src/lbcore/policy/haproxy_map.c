/* haproxy_map: see haproxy_map.h.
 *
 *   due     place    0      1      2      3        the targets whose class rises there, chained by `chain`
 *                  [0 1 2] [ ]    [0]    [2] ...
 *   tickets          a heap: the highest class first, then the first in the list
 *
 * Why     score + places >= class * places is what a class is.  Of a target with weight w that has had p places, the
 *         score at place o is (o + 1) * w - p * places: so class c is reached where (o + 1) * w >= (p + c - 1) * places.
 *         With each place had, p goes up and c down: their sum k = p + c - 1 counts the rises, and no place had moves
 *         the next one.
 * Keeps   as many tickets of a target are in the heap as its class says, of classes 1 to that.  There are at most one
 *         more of them than usable targets: by place o there were at most o + 1 + n rises, and o tickets taken.
 */
#include "policy/haproxy_map.h"

#include "base/alloc.h"
#include "base/exact.h"

typedef struct ticket {
    uint32_t class, member;
} ticket;

typedef struct works {
    uint32_t n;                     /* places */
    uint64_t divisor;               /* of the weights */
    const lb_view *view;
    uint32_t *due;                  /* by place: a member, or LB_NONE */
    uint32_t *chain;                /* by member: the next one due at the same place */
    uint32_t *rises, *class;        /* by member */
    ticket *heap;
    uint32_t n_heap;
} works;

/* ---- the heap of tickets ---------------------------------------------------------------------------------------- */

static bool before(ticket a, ticket b) { return a.class != b.class ? a.class > b.class : a.member < b.member; }

static void push(works *w, ticket t) {
    uint32_t at = w->n_heap++;
    for (; at > 0 && before(t, w->heap[(at - 1) / 2]); at = (at - 1) / 2) w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = t;
}

static ticket pop(works *w) {
    ticket top = w->heap[0], last = w->heap[--w->n_heap];
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < w->n_heap; at = child) {
        if (child + 1 < w->n_heap && before(w->heap[child + 1], w->heap[child])) child++;
        if (!before(w->heap[child], last)) break;
        w->heap[at] = w->heap[child];
    }
    w->heap[at] = last;
    return top;
}

/* ---- the map ---------------------------------------------------------------------------------------------------- */

/* Where the next rise of a member is; the first one at place 0. */
static uint64_t next_rise(const works *w, uint32_t member) {
    uint64_t weight = w->view->full[member] / w->divisor, sum = (uint64_t)w->rises[member] * w->n;
    return sum ? (sum + weight - 1) / weight - 1 : 0;
}

/* The rises of a member at `place` (two, where it is alone), then its next one is noted. */
static void rise(works *w, uint32_t member, uint32_t place) {
    uint64_t next = place;
    while (next <= place) {
        push(w, (ticket){++w->class[member], member});
        w->rises[member]++;
        next = next_rise(w, member);
    }
    if (next >= w->n) return;
    w->chain[member] = w->due[next];
    w->due[next] = member;
}

static void fill(works *w, uint32_t *place) {
    for (uint32_t u = 0; u < w->view->n_usable; u++) rise(w, w->view->usable[u], 0);
    for (uint32_t at = 0; at < w->n; at++) {
        for (uint32_t member = at ? w->due[at] : LB_NONE, next; member != LB_NONE; member = next) {
            next = w->chain[member];
            rise(w, member, at);
        }
        place[at] = pop(w).member;
        w->class[place[at]]--;
    }
}

static void clear(works *w) {
    lb_free(w->due);
    lb_free(w->chain);
    lb_free(w->rises);
    lb_free(w->class);
    lb_free(w->heap);
}

static bool open_works(works *w) {
    uint32_t n = w->view->n_members;
    w->due = lb_alloc_array(w->n, sizeof *w->due);
    w->chain = lb_alloc_array(n, sizeof *w->chain);
    w->rises = lb_alloc_zero(n, sizeof *w->rises);
    w->class = lb_alloc_zero(n, sizeof *w->class);
    w->heap = lb_alloc_array((size_t)w->view->n_usable + 2, sizeof *w->heap);
    if (!(w->due && w->chain && w->rises && w->class && w->heap)) return false;
    memset(w->due, 0xFF, w->n * sizeof *w->due);                /* LB_NONE */
    return true;
}

/* The common divisor, and the places that all would need. */
static lb_status measure(const lb_view *view, uint64_t *divisor, lb_error *err) {
    uint64_t sum = 0;
    *divisor = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        *divisor = lb_gcd(*divisor, view->full[i]);
        sum += view->full[i];
    }
    if (sum == 0 || sum / *divisor <= LB_HAPROXY_MAX_MAP) return LB_OK;
    return lb_fail(err, LB_ERR_CONFIG, "targets",
                   "their weights, divided by %llu, ask for %llu places; a map has at most %u",
                   (unsigned long long)*divisor, (unsigned long long)(sum / *divisor), LB_HAPROXY_MAX_MAP);
}

lb_status lb_haproxy_map_new(uint32_t **place, uint32_t *n, const lb_view *view, lb_error *err) {
    works w = {.view = view};
    lb_status status = measure(view, &w.divisor, err);
    if (status) return status;
    uint32_t *made = NULL;
    uint64_t serving = 0;
    for (uint32_t i = 0; i < view->n_usable; i++) serving += view->full[view->usable[i]];
    w.n = view->n_usable ? (uint32_t)(serving / w.divisor) : 0;
    if (w.n > 0) {
        made = lb_alloc_array(w.n, sizeof *made);
        bool ready = made && open_works(&w);
        if (ready) fill(&w, made);
        clear(&w);
        if (!ready) {
            lb_free(made);
            return lb_no_memory(err, "policy");
        }
    }
    *place = made;
    *n = w.n;
    return LB_OK;
}

uint32_t lb_haproxy_map_walk(const uint32_t *place, uint32_t n, lb_counter *turn, const uint32_t *hash, lb_walk *walk) {
    if (walk->step >= n) return LB_NONE;
    if (walk->step == 0) walk->at = hash ? *hash % n : lb_counter_read(turn);
    uint32_t at = (uint32_t)((walk->at + walk->step) % n);
    if (!hash && !walk->peek) lb_counter_write(turn, at + 1 == n ? 0 : at + 1);
    return place[at];
}

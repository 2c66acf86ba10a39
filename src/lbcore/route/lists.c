/* lists: candidates into their lists, each in order of rank.
 *
 * Cost    O(nodes + n log n within a list); most lists hold one candidate, or are in order already.
 * Keeps   what is above a list has no lesser precedence than what is in it (a flavour's precedence sees a longer prefix
 *         before everything that may differ within a list): a walk upwards may end at the first list that answers.
 *         Not so in Kong's flavours, where no walk goes upwards (paths.c).
 */
#include "base/alloc.h"
#include "route/compile.h"

/* ---- order ------------------------------------------------------------------------------------------------ */

/* A group goes before candidates of the same precedence: some of its own may have a lesser tie. */
static uint64_t tie_of(const uint64_t *ties, const lb_candidate *c) {
    return c->route == LB_GROUP ? 0 : ties[c->route];
}

static bool precedes(const uint64_t *ties, const lb_candidate *a, const lb_candidate *b) {
    return a->precedence != b->precedence ? a->precedence < b->precedence : tie_of(ties, a) < tie_of(ties, b);
}

static void swap(lb_candidate *a, lb_candidate *b) {
    lb_candidate was = *a;
    *a = *b;
    *b = was;
}

static void sift_down(const uint64_t *ties, lb_candidate *heap, uint32_t root, uint32_t n) {
    for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && precedes(ties, &heap[child], &heap[child + 1])) child++;
        if (!precedes(ties, &heap[root], &heap[child])) return;
        swap(&heap[root], &heap[child]);
    }
}

/* Heap sort: in place, n log n for every input, and no recursion. */
static void sort_list(const uint64_t *ties, lb_candidate *list, uint32_t n) {
    uint32_t sorted = 1;
    while (sorted < n && !precedes(ties, &list[sorted], &list[sorted - 1])) sorted++;
    if (sorted >= n) return;
    for (uint32_t i = n / 2; i-- > 0;) sift_down(ties, list, i, n);
    while (n-- > 1) {
        swap(&list[0], &list[n]);
        sift_down(ties, list, 0, n);
    }
}

/* ---- layout ----------------------------------------------------------------------------------------------- */

static const lb_pending *pending_at(const lb_builder *b, uint32_t i) {
    return (const lb_pending *)b->pending.items + i;
}

static void count(const lb_builder *b, uint32_t *counts) {
    memset(counts, 0, b->parents.n * sizeof *counts);
    for (uint32_t i = 0; i < b->pending.n; i++) counts[pending_at(b, i)->node]++;
}

static uint32_t list_above(const lb_builder *b, uint32_t node) {
    uint32_t parent = ((const uint32_t *)b->parents.items)[node];
    return parent == LB_NONE ? LB_NONE : b->tree->nodes[parent];
}

/* Where each list begins: its candidates, and one more for the link to what is above.  Parents are older than their
 * children: one ascending pass.  Returns how many there are. */
static uint32_t place_lists(lb_builder *b, const uint32_t *counts) {
    uint32_t end = 0;
    for (uint32_t node = 0; node < b->parents.n; node++) {
        uint32_t above = list_above(b, node);
        b->tree->nodes[node] = counts[node] ? end : above;
        if (counts[node]) end += counts[node] + (above != LB_NONE);
    }
    return end;
}

/* From the last to the first, so that those of one list stay in order. */
static void fill_lists(const lb_builder *b, uint32_t *counts) {
    for (uint32_t i = b->pending.n; i-- > 0;) {
        const lb_pending *p = pending_at(b, i);
        b->tree->candidates[b->tree->nodes[p->node] + --counts[p->node]] = p->candidate;
    }
}

static void close_list(lb_builder *b, uint32_t node, uint32_t n) {
    lb_candidate *list = &b->tree->candidates[b->tree->nodes[node]];
    uint32_t above = list_above(b, node);
    sort_list(b->tree->ties, list, n);
    if (above == LB_NONE) list[n - 1].rule |= LB_LAST;
    else list[n] = (lb_candidate){UINT64_MAX, LB_NONE, above};
}

static bool lay_out(lb_builder *b, uint32_t *counts) {
    lb_tree *tree = b->tree;
    count(b, counts);
    tree->n_candidates = place_lists(b, counts);
    tree->candidates = lb_alloc_array(tree->n_candidates, sizeof *tree->candidates);
    if (!tree->candidates) return false;
    fill_lists(b, counts);
    count(b, counts);
    for (uint32_t node = 0; node < tree->n_nodes; node++)
        if (counts[node]) close_list(b, node, counts[node]);
    return true;
}

bool lb_lists_new(lb_builder *b) {
    b->tree->n_nodes = b->parents.n;
    b->tree->nodes = lb_alloc_array(b->parents.n, sizeof *b->tree->nodes);
    uint32_t *counts = lb_alloc_array(b->parents.n, sizeof *counts);
    bool ok = b->tree->nodes && counts && lay_out(b, counts);
    lb_free(counts);
    return ok;
}

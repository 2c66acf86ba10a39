/* lists: candidates into their lists, each in order of rank.
 *
 * Cost    O(nodes + n log n within a list); most lists hold one candidate, or are in order already.
 * Keeps   what is above a list has no lesser precedence than what is in it (a flavour's precedence sees a longer prefix
 *         before everything that may differ within a list): a walk upwards may end at the first list that answers.
 */
#include "base/alloc.h"
#include "route/router.h"

/* ---- order ------------------------------------------------------------------------------------------------ */

static bool precedes(const uint64_t *ties, const lb_candidate *a, const lb_candidate *b) {
    return a->precedence != b->precedence ? a->precedence < b->precedence : ties[a->route] < ties[b->route];
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

static void count(uint32_t *counts, uint32_t n_nodes, const lb_pending *pending, uint32_t n) {
    memset(counts, 0, n_nodes * sizeof *counts);
    for (uint32_t i = 0; i < n; i++) counts[pending[i].node]++;
}

static uint32_t list_above(const lb_tree *tree, const uint32_t *parents, uint32_t node) {
    return parents[node] == LB_NONE ? LB_NONE : tree->nodes[parents[node]];
}

/* Where each list begins: its candidates, and one more for the link to what is above.  Returns how many there are. */
static uint32_t place_lists(lb_tree *tree, const uint32_t *counts, const uint32_t *parents) {
    uint32_t end = 0;
    for (uint32_t node = 0; node < tree->n_nodes; node++) {
        uint32_t above = list_above(tree, parents, node);
        tree->nodes[node] = counts[node] ? end : above;
        if (counts[node]) end += counts[node] + (above != LB_NONE);
    }
    return end;
}

/* From the last to the first, so that those of one list stay in order. */
static void fill_lists(lb_tree *tree, uint32_t *counts, const lb_pending *pending, uint32_t n) {
    while (n-- > 0) {
        const lb_pending *p = &pending[n];
        tree->candidates[tree->nodes[p->node] + --counts[p->node]] = p->candidate;
    }
}

static void close_list(lb_tree *tree, uint32_t node, uint32_t n, uint32_t above) {
    lb_candidate *list = &tree->candidates[tree->nodes[node]];
    sort_list(tree->ties, list, n);
    if (above == LB_NONE) list[n - 1].rule |= LB_LAST;
    else list[n] = (lb_candidate){UINT64_MAX, LB_NONE, above};
}

static bool lay_out(lb_tree *tree, uint32_t *counts, const lb_pending *pending, uint32_t n, const uint32_t *parents) {
    count(counts, tree->n_nodes, pending, n);
    tree->n_candidates = place_lists(tree, counts, parents);
    tree->candidates = lb_alloc_array(tree->n_candidates, sizeof *tree->candidates);
    if (!tree->candidates) return false;
    fill_lists(tree, counts, pending, n);
    count(counts, tree->n_nodes, pending, n);
    for (uint32_t node = 0; node < tree->n_nodes; node++)
        if (counts[node]) close_list(tree, node, counts[node], list_above(tree, parents, node));
    return true;
}

bool lb_lists_new(lb_tree *tree, const lb_pending *pending, uint32_t n_pending, const uint32_t *parents,
                  uint32_t n_nodes) {
    tree->n_nodes = n_nodes;
    tree->nodes = lb_alloc_array(n_nodes, sizeof *tree->nodes);
    uint32_t *counts = lb_alloc_array(n_nodes, sizeof *counts);
    bool ok = tree->nodes && counts && lay_out(tree, counts, pending, n_pending, parents);
    lb_free(counts);
    return ok;
}

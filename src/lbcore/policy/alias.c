/* alias: see alias.h. */
#include "policy/alias.h"

#include "base/alloc.h"

typedef struct column {
    uint64_t cut;                   /* 0..height */
    uint32_t lender;                /* a place */
} column;

struct lb_alias {
    uint64_t height;                /* W */
    uint32_t n, shift;              /* 64 - shift bits hold every number below height */
    column column[];
};

/* Uniform in 0..height-1.  Rejection keeps it unbiased; at least half of all words do. */
static uint64_t coin(const lb_alias *table, lb_rng *rng) {
    uint64_t value;
    do value = lb_rng_next(rng) >> table->shift;
    while (value >= table->height);
    return value;
}

uint32_t lb_alias_draw(const lb_alias *table, lb_rng *rng) {
    uint32_t place = lb_rng_below(rng, table->n);
    return coin(table, rng) < table->column[place].cut ? place : table->column[place].lender;
}

/* Two stacks in one array: columns that lack something from the left, columns that have enough from the right.  One
 * that lacks is completed by the topmost that has enough, which then may lack something itself. */
static void fill(lb_alias *table, uint32_t *stack) {
    uint32_t lacking = 0, enough = table->n;
    for (uint32_t i = table->n; i-- > 0;) {
        if (table->column[i].cut < table->height) stack[lacking++] = i;
        else stack[--enough] = i;
    }
    while (lacking > 0) {
        column *low = &table->column[stack[--lacking]], *high = &table->column[stack[enough]];
        low->lender = stack[enough];
        high->cut -= table->height - low->cut;
        if (high->cut < table->height) stack[lacking++] = stack[enough++];
    }
}

lb_status lb_alias_new(lb_alias **out, const lb_view *view, lb_error *err) {
    uint32_t n = view->n_usable;
    lb_alias *table = lb_alloc(sizeof *table + n * sizeof(column));
    uint32_t *stack = lb_alloc_array(n, sizeof *stack);
    if (!table || !stack) {
        lb_free(table);
        lb_free(stack);
        return lb_no_memory(err, "policy");
    }
    *table = (lb_alias){.height = view->total_weight, .n = n, .shift = 63};
    while (table->height - 1 > UINT64_MAX >> table->shift) table->shift--;
    for (uint32_t i = 0; i < n; i++)
        table->column[i] = (column){(uint64_t)view->weight[view->usable[i]] * n, i};
    fill(table, stack);
    lb_free(stack);
    *out = table;
    return LB_OK;
}

void lb_alias_free(lb_alias *table) { lb_free(table); }

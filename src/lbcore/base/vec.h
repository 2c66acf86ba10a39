/* vec: a growing array while something is being built.
 *
 * Items move when it grows: keep indices, not pointers.
 * Cost    push is O(1) amortised; at most twice the memory until lb_vec_take() gives the rest back.
 */
#ifndef LBCORE_BASE_VEC_H
#define LBCORE_BASE_VEC_H

#include "base/alloc.h"

#include <string.h>

typedef struct lb_vec {
    void *items;
    size_t size;                    /* of one item */
    uint32_t n, capacity;
} lb_vec;

static inline void lb_vec_init(lb_vec *vec, size_t size) { *vec = (lb_vec){.size = size}; }

/* Room for at least `n` items in all.  False: out of memory, the vector is as it was. */
static inline bool lb_vec_reserve(lb_vec *vec, uint32_t n) {
    if (n <= vec->capacity) return true;
    void *items = lb_grow_array(vec->items, n, vec->size);
    if (!items) return false;
    vec->items = items;
    vec->capacity = n;
    return true;
}

/* One more item, cleared, for the caller to fill in; NULL: out of memory, the vector is as it was. */
static inline void *lb_vec_push(lb_vec *vec) {
    if (vec->n == vec->capacity) {
        uint64_t larger = vec->capacity < 8 ? 8 : (uint64_t)vec->capacity * 2;
        if (!lb_vec_reserve(vec, larger > UINT32_MAX ? UINT32_MAX : (uint32_t)larger)) return NULL;
        if (vec->n == vec->capacity) return NULL;           /* 2^32 - 1 items */
    }
    return memset((char *)vec->items + vec->size * vec->n++, 0, vec->size);
}

/* Move the items out, no larger than they are; the vector is empty then.  False: out of memory, nothing moved. */
static inline bool lb_vec_take(lb_vec *vec, void *out_pointer) {
    void *items = lb_grow_array(vec->items, vec->n, vec->size);
    if (!items) return false;
    memcpy(out_pointer, &items, sizeof items);
    lb_vec_init(vec, vec->size);
    return true;
}

static inline void lb_vec_free(lb_vec *vec) {
    lb_free(vec->items);
    lb_vec_init(vec, vec->size);
}

#endif

/* alloc: the only door to the heap.
 *
 * All memory of the core goes through these four, so that a test can make each allocation fail in
 * turn.  They are plain malloc and free; with LB_TEST_ALLOC the test program supplies
 * lb_test_may_allocate() and answers false where an allocation should fail.
 * Cost    as malloc.
 */
#ifndef LBCORE_BASE_ALLOC_H
#define LBCORE_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef LB_TEST_ALLOC
bool lb_test_may_allocate(void);
#else
static inline bool lb_test_may_allocate(void) { return true; }
#endif

/* `size` bytes, not cleared; NULL if there are none to be had.  A size of 0 is served as 1. */
static inline void *lb_alloc(size_t size) {
    return lb_test_may_allocate() ? malloc(size ? size : 1) : NULL;
}

/* `n` items of `size` bytes, cleared; NULL also where n * size overflows. */
static inline void *lb_alloc_zero(size_t n, size_t size) {
    return lb_test_may_allocate() ? calloc(n ? n : 1, size ? size : 1) : NULL;
}

/* `n` items of `size` bytes, not cleared; NULL also where n * size overflows. */
static inline void *lb_alloc_array(size_t n, size_t size) {
    if (size && n > SIZE_MAX / size) return NULL;
    return lb_alloc(n * size);
}

/* `old` with `n` items of `size` bytes; on failure NULL, and `old` stays as it was. */
static inline void *lb_grow_array(void *old, size_t n, size_t size) {
    if (size && n > SIZE_MAX / size) return NULL;
    return lb_test_may_allocate() ? realloc(old, n * size > 0 ? n * size : 1) : NULL;
}

static inline void lb_free(void *memory) { free(memory); }     /* accepts NULL */

#endif

/* lanes: the least of many int32, and where it stands, sixteen at a time.
 *
 *   block     | x x x x | x x x x | x x x x | x x x x |     four vectors of four: what every 64-bit processor has
 *   least         min       min       min       min         side by side, so that none waits for the one before
 *
 * Cost    O(n), a sixteenth of it in steps.  Compilers without vectors take the plain loops.
 * Keeps   the vectors and the plain loops give the same: the tests compare them.
 */
#ifndef LBCORE_BASE_LANES_H
#define LBCORE_BASE_LANES_H

#include <stdint.h>
#include <string.h>

#define LB_LANES 16u                /* items of a block */

/* The least of items[0..n-1]; n > 0. */
static inline int32_t lb_least_plain(const int32_t *items, uint32_t n) {
    int32_t least = items[0];
    for (uint32_t i = 1; i < n; i++) least = items[i] < least ? items[i] : least;
    return least;
}

/* The first of begin..end-1 whose item is `wanted`, else end. */
static inline uint32_t lb_find_plain(const int32_t *items, int32_t wanted, uint32_t begin, uint32_t end) {
    while (begin < end && items[begin] != wanted) begin++;
    return begin;
}

#if defined(__GNUC__)

typedef int32_t lb_four __attribute__((vector_size(16)));
typedef struct lb_sixteen { lb_four part[4]; } lb_sixteen;

static inline lb_sixteen lb_sixteen_at(const int32_t *items) {
    lb_sixteen block;
    memcpy(&block, items, sizeof block);
    return block;
}

static inline lb_four lb_lesser(lb_four a, lb_four b) {
    lb_four less = a < b;
    return (a & less) | (b & ~less);
}

/* As lb_least_plain(); n is a multiple of LB_LANES. */
static inline int32_t lb_least(const int32_t *items, uint32_t n) {
    lb_sixteen least = lb_sixteen_at(items);
    for (uint32_t at = LB_LANES; at < n; at += LB_LANES) {
        lb_sixteen now = lb_sixteen_at(items + at);
        for (int i = 0; i < 4; i++) least.part[i] = lb_lesser(least.part[i], now.part[i]);
    }
    lb_four four = lb_lesser(lb_lesser(least.part[0], least.part[1]), lb_lesser(least.part[2], least.part[3]));
    int32_t item[4];
    memcpy(item, &four, sizeof item);
    return lb_least_plain(item, 4);
}

static inline int lb_sixteen_have(const int32_t *items, int32_t wanted) {
    lb_sixteen block = lb_sixteen_at(items);
    lb_four equal = (block.part[0] == wanted) | (block.part[1] == wanted) | (block.part[2] == wanted)
                  | (block.part[3] == wanted);
    uint64_t half[2];
    memcpy(half, &equal, sizeof half);
    return (half[0] | half[1]) != 0;
}

/* As lb_find_plain(). */
static inline uint32_t lb_find(const int32_t *items, int32_t wanted, uint32_t begin, uint32_t end) {
    while (begin + LB_LANES <= end && !lb_sixteen_have(items + begin, wanted)) begin += LB_LANES;
    return lb_find_plain(items, wanted, begin, end);
}

#else

static inline int32_t lb_least(const int32_t *items, uint32_t n) { return lb_least_plain(items, n); }

static inline uint32_t lb_find(const int32_t *items, int32_t wanted, uint32_t begin, uint32_t end) {
    return lb_find_plain(items, wanted, begin, end);
}

#endif
#endif

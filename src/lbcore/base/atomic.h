/* atomic: the counters, factors and flags that many threads, or processes, touch.
 *
 * Relaxed order throughout: a counter publishes nothing but itself.  On common machines a relaxed read or write is the
 * plain one.
 */
#ifndef LBCORE_BASE_ATOMIC_H
#define LBCORE_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint32_t lb_counter;
typedef _Atomic float lb_factor;
typedef _Atomic bool lb_flag;

static inline uint32_t lb_counter_read(const lb_counter *c) { return atomic_load_explicit(c, memory_order_relaxed); }
static inline void lb_counter_write(lb_counter *c, uint32_t value) { atomic_store_explicit(c, value, memory_order_relaxed); }
static inline uint32_t lb_counter_add(lb_counter *c, uint32_t n) { return atomic_fetch_add_explicit(c, n, memory_order_relaxed); }
static inline uint32_t lb_counter_sub(lb_counter *c, uint32_t n) { return atomic_fetch_sub_explicit(c, n, memory_order_relaxed); }

/* True if the counter was *expected and is `value` now; else *expected is what it is. */
static inline bool lb_counter_swap(lb_counter *c, uint32_t *expected, uint32_t value) {
    return atomic_compare_exchange_weak_explicit(c, expected, value, memory_order_relaxed, memory_order_relaxed);
}

static inline float lb_factor_read(const lb_factor *f) { return atomic_load_explicit(f, memory_order_relaxed); }
static inline void lb_factor_write(lb_factor *f, float value) { atomic_store_explicit(f, value, memory_order_relaxed); }

static inline bool lb_flag_read(const lb_flag *f) { return atomic_load_explicit(f, memory_order_relaxed); }
static inline void lb_flag_write(lb_flag *f, bool value) { atomic_store_explicit(f, value, memory_order_relaxed); }

#endif

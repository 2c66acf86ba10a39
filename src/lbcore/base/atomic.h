/* atomic: the counters that many threads (later: many processes) touch.
 *
 * Relaxed order throughout: a counter publishes nothing but itself.
 */
#ifndef LBCORE_BASE_ATOMIC_H
#define LBCORE_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint32_t lb_counter;

static inline uint32_t lb_counter_read(const lb_counter *c) { return atomic_load_explicit(c, memory_order_relaxed); }
static inline void lb_counter_write(lb_counter *c, uint32_t value) { atomic_store_explicit(c, value, memory_order_relaxed); }
static inline uint32_t lb_counter_add(lb_counter *c, uint32_t n) { return atomic_fetch_add_explicit(c, n, memory_order_relaxed); }
static inline uint32_t lb_counter_sub(lb_counter *c, uint32_t n) { return atomic_fetch_sub_explicit(c, n, memory_order_relaxed); }

#endif

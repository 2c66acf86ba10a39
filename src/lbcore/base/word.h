/* word: the 64-bit words that several threads or processes read and change.
 *
 * One word is one fact: what must change together stands in one word, or is written by whoever won the CAS on another.
 * Order   a CAS that succeeds releases, a read acquires: who sees a fact sees what was written before it.
 */
#ifndef LBCORE_BASE_WORD_H
#define LBCORE_BASE_WORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef _Atomic uint64_t lb_word;

static inline uint64_t lb_word_read(const lb_word *w) { return atomic_load_explicit(w, memory_order_acquire); }
static inline void lb_word_write(lb_word *w, uint64_t value) { atomic_store_explicit(w, value, memory_order_release); }

/* For values that stand for themselves alone: nobody orders anything by them. */
static inline uint64_t lb_word_glance(const lb_word *w) { return atomic_load_explicit(w, memory_order_relaxed); }
static inline void lb_word_note(lb_word *w, uint64_t value) { atomic_store_explicit(w, value, memory_order_relaxed); }

/* True if the word was *expected and is `value` now; else *expected is what it is. */
static inline bool lb_word_swap(lb_word *w, uint64_t *expected, uint64_t value) {
    return atomic_compare_exchange_strong_explicit(w, expected, value, memory_order_acq_rel, memory_order_acquire);
}

static inline uint64_t lb_word_add(lb_word *w, uint64_t n) {
    return atomic_fetch_add_explicit(w, n, memory_order_acq_rel);
}

/* A double in a word. */
static inline double lb_word_glance_double(const lb_word *w) {
    uint64_t bits = lb_word_glance(w);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline void lb_word_note_double(lb_word *w, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    lb_word_note(w, bits);
}

#endif

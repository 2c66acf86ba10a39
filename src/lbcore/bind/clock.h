/* clock: the only place of the project that reads a clock for the core, in nanoseconds since some fixed moment. */
#ifndef LBCORE_BIND_CLOCK_H
#define LBCORE_BIND_CLOCK_H

#include <stdint.h>
#include <time.h>

#if defined(_WIN32)
#include <windows.h>
static inline uint64_t lb_clock_ns(void) {
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    uint64_t whole = (uint64_t)ticks.QuadPart / (uint64_t)per_second.QuadPart;
    uint64_t rest = (uint64_t)ticks.QuadPart % (uint64_t)per_second.QuadPart;
    return whole * 1000000000u + rest * 1000000000u / (uint64_t)per_second.QuadPart;
}
static inline uint64_t lb_clock_coarse_ns(void) { return lb_clock_ns(); }
static inline uint64_t lb_clock_thread_ns(void) { return lb_clock_ns(); }
#else
static inline uint64_t lb_clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static inline uint64_t lb_clock_ns(void) { return lb_clock_of(CLOCK_MONOTONIC); }
static inline uint64_t lb_clock_thread_ns(void) { return lb_clock_of(CLOCK_THREAD_CPUTIME_ID); }    /* on the CPU */
#if defined(CLOCK_MONOTONIC_COARSE)
static inline uint64_t lb_clock_coarse_ns(void) { return lb_clock_of(CLOCK_MONOTONIC_COARSE); }
#else
static inline uint64_t lb_clock_coarse_ns(void) { return lb_clock_ns(); }
#endif
#endif

#endif

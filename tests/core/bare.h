/* bare: what the C tests of one room need and no more; check.h is this and the whole C API.
 *
 *     static void weights_of_zero_are_refused(void) { CHECK(...); CHECK_EQ(a, b); }
 *     int main(void) { RUN(weights_of_zero_are_refused); return check_result(); }
 *
 * Allocation failure: every_allocation_fails_once(scenario) runs the scenario with allocation number 0, 1, 2, ...
 * failing until it succeeds untouched.  The scenario returns LB_OK or the status it met, and must free everything
 * (AddressSanitizer's leak check proves it).
 */
#ifndef BARE_H
#define BARE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern int check_failed;
extern const char *check_name;

void check_fail(const char *file, int line, const char *what, long long got, long long want);
int check_result(void);                         /* prints "N passed, N failed"; 0 if none failed */
void check_ran(void);

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) check_fail(__FILE__, __LINE__, #condition, 0, 1);       \
    } while (0)
#define CHECK_EQ(got, want)                                                       \
    do {                                                                          \
        long long got_ = (long long)(got), want_ = (long long)(want);             \
        if (got_ != want_) check_fail(__FILE__, __LINE__, #got " == " #want, got_, want_); \
    } while (0)
#define RUN(test)                                                                 \
    do {                                                                          \
        check_name = #test;                                                       \
        test();                                                                   \
        check_ran();                                                              \
    } while (0)

/* Returns the number of allocations of the untouched run; fails the test if a failure was not reported as NOMEM. */
int every_allocation_fails_once(lb_status (*scenario)(void));

/* Count down to a failing allocation: the n-th from now fails (once); negative: none. */
void fail_allocation(int n);

#endif

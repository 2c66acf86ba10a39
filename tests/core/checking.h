/* checking: CHECK and RUN, for tests of one room that need no other.
 *
 *     static void weights_of_zero_are_refused(void) { CHECK(...); CHECK_EQ(a, b); }
 *     int main(void) { RUN(weights_of_zero_are_refused); return check_result(); }
 */
#ifndef CHECKING_H
#define CHECKING_H

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

#endif

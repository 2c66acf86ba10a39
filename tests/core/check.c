#include "check.h"

int check_failed;
const char *check_name = "";
static int n_run;
static int countdown = -1;

void check_fail(const char *file, int line, const char *what, long long got, long long want) {
    check_failed++;
    fprintf(stderr, "%s:%d: in %s: %s (got %lld, want %lld)\n", file, line, check_name, what, got, want);
}

void check_ran(void) { n_run++; }

int check_result(void) {
    printf("%d passed, %d failed\n", check_failed ? n_run - 1 : n_run, check_failed);
    return check_failed ? 1 : 0;
}

void fail_allocation(int n) { countdown = n; }

bool lb_test_may_allocate(void) {
    if (countdown < 0) return true;
    return countdown-- != 0;
}

int every_allocation_fails_once(lb_status (*scenario)(void)) {
    for (int n = 0;; n++) {
        fail_allocation(n);
        lb_status status = scenario();
        bool untouched = countdown >= 0;
        fail_allocation(-1);
        if (untouched) {
            CHECK_EQ(status, LB_OK);
            return n;
        }
        CHECK_EQ(status, LB_ERR_NOMEM);
    }
}

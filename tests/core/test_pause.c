/* pause: each row a hold that stands, what is asked, and what comes of it. */
#include "bare.h"

#include "health/pause.h"

#define SECOND 1000000000ull
#define LAST (LB_NEVER - 1)

static const struct {
    uint64_t stands, for_ns, max_ns, now_ns;
    bool told, moved;
    uint64_t until;
} holds[] = {
    {0, 5 * SECOND, 60 * SECOND, SECOND, true, false, 6 * SECOND},
    {0, 61 * SECOND, 60 * SECOND, SECOND, true, false, 61 * SECOND},           /* at most max */
    {0, 0, 60 * SECOND, SECOND, false, false, 0},                              /* for no time */
    {0, 5 * SECOND, 0, SECOND, false, false, 0},                               /* it is not listened to */
    {9 * SECOND, 5 * SECOND, 60 * SECOND, SECOND, false, false, 9 * SECOND},   /* a longer one stays */
    {6 * SECOND, 5 * SECOND, 60 * SECOND, SECOND, false, false, 6 * SECOND},   /* so does the same */
    {6 * SECOND, 6 * SECOND, 60 * SECOND, SECOND, true, true, 7 * SECOND},
    {2 * SECOND, 5 * SECOND, 60 * SECOND, 3 * SECOND, true, true, 8 * SECOND}, /* over, but nobody has ended it */
    {2 * SECOND, 1, 60 * SECOND, SECOND, false, false, 2 * SECOND},
    {0, 1, 1, 0, true, false, 1},
    {LB_NEVER, 5 * SECOND, 60 * SECOND, SECOND, false, false, LB_NEVER},       /* without end */
    {0, UINT64_MAX, UINT64_MAX, 0, true, false, LAST},                         /* no sum runs over, and it ends */
    {0, UINT64_MAX, UINT64_MAX, UINT64_MAX, true, false, LAST},
    {0, 1, 1, LAST, true, false, LAST},
    {0, UINT64_MAX - 5, UINT64_MAX, 4, true, false, LAST},
    {0, UINT64_MAX - 6, UINT64_MAX, 4, true, false, UINT64_MAX - 2},
    {LAST, UINT64_MAX, UINT64_MAX, 5, false, false, LAST},
};

static void a_hold_lasts_as_long_as_asked_and_no_longer_than_allowed(void) {
    for (size_t i = 0; i < sizeof holds / sizeof *holds; i++) {
        lb_record record = {.held_until_ns = holds[i].stands};
        bool moved = !holds[i].moved;
        CHECK_EQ(lb_pause_hold(&record, holds[i].for_ns, holds[i].max_ns, holds[i].now_ns, &moved), holds[i].told);
        CHECK_EQ(moved, holds[i].moved);
        CHECK_EQ(lb_word_read(&record.held_until_ns), holds[i].until);
        CHECK_EQ(lb_record_off(&record), holds[i].until ? LB_OFF_HELD : 0);
    }
}

static void it_ends_once_and_when_it_is_over(void) {
    static const struct { uint64_t stands, now_ns; bool ended; } cases[] = {
        {0, 5, false}, {6, 5, false}, {5, 5, true}, {5, 6, true}, {5, LB_NEVER, true},
        {LB_NEVER, 5, false}, {LB_NEVER, LB_NEVER, false}, {LAST, LAST - 1, false}, {LAST, LAST, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lb_record record = {.held_until_ns = cases[i].stands};
        CHECK_EQ(lb_pause_end(&record, cases[i].now_ns), cases[i].ended);
        CHECK_EQ(lb_word_read(&record.held_until_ns), cases[i].ended ? 0 : cases[i].stands);
        CHECK(!lb_pause_end(&record, cases[i].now_ns) || !cases[i].ended);
    }
}

int main(void) {
    RUN(a_hold_lasts_as_long_as_asked_and_no_longer_than_allowed);
    RUN(it_ends_once_and_when_it_is_over);
    return check_result();
}

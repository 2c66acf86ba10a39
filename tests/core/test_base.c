/* base: status, exact arithmetic, generator, strings, allocation. */
#include "base/exact.h"
#include "check.h"

/* ---- status ----------------------------------------------------------------------------------------------------- */

static void fail_fills_field_and_reason(void) {
    lb_error err;
    CHECK_EQ(lb_fail(&err, LB_ERR_CONFIG, "weight", "%u is above %u", 7u, 5u), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "weight") == 0);
    CHECK(strcmp(err.reason, "7 is above 5") == 0);
}

static void fail_accepts_no_error(void) {
    CHECK_EQ(lb_fail(NULL, LB_ERR_CONFIG, "weight", "%d", 1), LB_ERR_CONFIG);
    CHECK_EQ(lb_no_memory(NULL, "targets"), LB_ERR_NOMEM);
    lb_error_in(NULL, "targets", 3);
}

static void no_memory_has_one_text(void) {
    lb_error err;
    CHECK_EQ(lb_no_memory(&err, "targets"), LB_ERR_NOMEM);
    CHECK(strcmp(err.field, "targets") == 0);
    CHECK(strcmp(err.reason, "out of memory") == 0);
}

static void long_texts_are_cut(void) {
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    lb_error err;
    lb_fail(&err, LB_ERR_CONFIG, text, "%s", text);
    CHECK_EQ(strlen(err.field), sizeof err.field - 1);
    CHECK_EQ(strlen(err.reason), sizeof err.reason - 1);
    lb_error_in(&err, "targets", 12);
    CHECK_EQ(strlen(err.field), sizeof err.field - 1);
    CHECK(strncmp(err.field, "targets[12].xxx", 15) == 0);
    lb_error_in(&err, text, 1);
    CHECK_EQ(strlen(err.field), sizeof err.field - 1);
}

static void the_place_is_put_before_the_field(void) {
    lb_error err;
    lb_fail(&err, LB_ERR_CONFIG, "weight", "bad");
    lb_error_in(&err, "targets", 3);
    CHECK(strcmp(err.field, "targets[3].weight") == 0);
    lb_error_in(&err, "backends", 0);
    CHECK(strcmp(err.field, "backends[0].targets[3].weight") == 0);
    CHECK(strcmp(err.reason, "bad") == 0);
    lb_fail(&err, LB_ERR_CONFIG, "", "bad");
    lb_error_in(&err, "targets", 4);
    CHECK(strcmp(err.field, "targets[4]") == 0);
}

/* ---- exact ------------------------------------------------------------------------------------------------------ */

static void floor_division_rounds_down(void) {
    static const int64_t cases[][3] = {
        {7, 2, 3}, {-7, 2, -4}, {6, 2, 3}, {-6, 2, -3}, {0, 5, 0}, {-1, INT64_MAX, -1}, {INT64_MIN, 1, INT64_MIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_EQ(lb_floor_div(cases[i][0], cases[i][1]), cases[i][2]);
}

static void gcd_knows_zero(void) {
    CHECK_EQ(lb_gcd(12, 18), 6);
    CHECK_EQ(lb_gcd(18, 12), 6);
    CHECK_EQ(lb_gcd(0, 5), 5);
    CHECK_EQ(lb_gcd(5, 0), 5);
    CHECK_EQ(lb_gcd(1000000, 999983), 1);
}

/* ---- rng -------------------------------------------------------------------------------------------------------- */

/* Words computed by an independent implementation of the published algorithms (tests/twins/rng.py). */
static void the_generator_gives_known_words(void) {
    uint64_t x = 0;
    CHECK(lb_splitmix(&x) == UINT64_C(0xE220A8397B1DCDAF));
    lb_rng rng;
    lb_rng_seed(&rng, 42);
    CHECK(lb_rng_next(&rng) == UINT64_C(0xD0764D4F4476689F));
    CHECK(lb_rng_next(&rng) == UINT64_C(0x519E4174576F3791));
}

static void bounded_draws_are_in_range_and_even(void) {
    lb_rng rng;
    lb_rng_seed(&rng, 7);
    uint32_t seen[6] = {0};
    for (int i = 0; i < 60000; i++) {
        uint32_t value = lb_rng_below(&rng, 6);
        CHECK(value < 6);
        seen[value % 6]++;
    }
    for (int i = 0; i < 6; i++) CHECK(seen[i] > 9600 && seen[i] < 10400);
    CHECK_EQ(lb_rng_below(&rng, 1), 0);
    for (int i = 0; i < 1000; i++) CHECK(lb_rng_below(&rng, 0xC0000000u) < 0xC0000000u);     /* a quarter is redrawn */
}

/* ---- str, alloc ------------------------------------------------------------------------------------------------- */

static void strings_compare_by_bytes(void) {
    CHECK(lb_str_equal(lb_str_of("abc"), (lb_str){"abcd", 3}));
    CHECK(!lb_str_equal(lb_str_of("abc"), lb_str_of("abd")));
    CHECK(!lb_str_equal(lb_str_of("abc"), lb_str_of("ab")));
    CHECK(lb_str_equal((lb_str){NULL, 0}, lb_str_of("")));
}

static void sizes_that_overflow_are_refused(void) {
    CHECK(lb_alloc_array(SIZE_MAX / 2, 4) == NULL);
    CHECK(lb_grow_array(NULL, SIZE_MAX / 2, 4) == NULL);
    void *nothing = lb_alloc(0), *zero = lb_alloc_zero(0, 0);
    CHECK(nothing && zero);
    zero = lb_grow_array(zero, 4, 4);
    CHECK(zero != NULL);
    lb_free(nothing);
    lb_free(zero);
    lb_free(NULL);
}

int main(void) {
    RUN(fail_fills_field_and_reason);
    RUN(fail_accepts_no_error);
    RUN(no_memory_has_one_text);
    RUN(long_texts_are_cut);
    RUN(the_place_is_put_before_the_field);
    RUN(floor_division_rounds_down);
    RUN(gcd_knows_zero);
    RUN(the_generator_gives_known_words);
    RUN(bounded_draws_are_in_range_and_even);
    RUN(strings_compare_by_bytes);
    RUN(sizes_that_overflow_are_refused);
    return check_result();
}

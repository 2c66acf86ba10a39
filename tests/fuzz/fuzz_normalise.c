/* Fuzz target: the normaliser.  Input: method, host and target, separated by line feeds; the target is the rest.
 *
 * Asserts: a refusal has a reason; a canonical path is not longer than the target, holds what a canonical path may
 * hold and is its own canonical form; a canonical host likewise; the second reading of a path is canonical too.
 */
#include "lbcore.h"

#include "route/normalise.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ASSERT(condition) \
    do {                  \
        if (!(condition)) abort(); \
    } while (0)

static lb_str take_line(lb_str *rest) {
    size_t n = 0;
    while (n < rest->len && rest->data[n] != '\n') n++;
    lb_str line = {rest->data, n};
    size_t skip = n < rest->len ? n + 1 : n;
    *rest = (lb_str){rest->data + skip, rest->len - skip};
    return line;
}

/* Just `n` bytes, so that a sanitizer sees a write behind them. */
static char *scratch_of(size_t n) {
    char *scratch = malloc(n ? n : 1);
    ASSERT(scratch);
    return scratch;
}

static bool is_unreserved(long byte) {
    char c = (char)byte;
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return byte > 0 && byte < 0x7F && (letter || (c >= '0' && c <= '9') || strchr("-._~", c));
}

/* "%" and two upper-case hex digits that stand neither for NUL nor for an unreserved byte. */
static void check_escape(lb_str at) {
    ASSERT(at.len >= 3);
    char digits[3] = {at.data[1], at.data[2], 0};
    ASSERT(strspn(digits, "0123456789ABCDEF") == 2);
    long byte = strtol(digits, NULL, 16);
    ASSERT(byte != 0 && !is_unreserved(byte));
}

static bool begins_with_segment(lb_str at, const char *segment) {
    size_t n = strlen(segment);
    return at.len >= n && memcmp(at.data, segment, n) == 0 && (at.len == n || at.data[n] == '/');
}

/* No "//", no dot segment, no byte outside the URI. */
static void check_canonical_path(lb_str path) {
    ASSERT(path.len > 0 && path.data[0] == '/');
    for (size_t i = 0; i < path.len; i++) {
        lb_str at = {path.data + i, path.len - i};
        ASSERT(at.data[0] > 0x20 && at.data[0] < 0x7F && !strchr("\"#<>?\\^`{|}", at.data[0]));
        if (at.data[0] == '%') check_escape(at);
        ASSERT(!(at.len > 1 && begins_with_segment(at, "/") && at.data[1] == '/'));
        ASSERT(!begins_with_segment(at, "/.") && !begins_with_segment(at, "/.."));
    }
}

static void check_fixed_point(lb_str path) {
    char *scratch = scratch_of(path.len);
    lb_str again, query, authority;
    const char *reason;
    check_canonical_path(path);
    ASSERT(lb_normalise_target(lb_str_of("GET"), path, scratch, &again, &query, &authority, &reason));
    ASSERT(lb_str_equal(again, path) && !query.data && !authority.data);
    free(scratch);
}

static void check_second_reading(lb_str path) {
    char *scratch = scratch_of(path.len);
    lb_str again;
    if (!lb_read_again(path, scratch, &again)) {
        ASSERT(again.len <= path.len);
        check_fixed_point(again);
    }
    free(scratch);
}

static void check_target(lb_str method, lb_str target) {
    char *scratch = scratch_of(target.len);
    lb_str path, query, authority;
    const char *reason;
    bool ok = lb_normalise_target(method, target, scratch, &path, &query, &authority, &reason);
    ASSERT(ok == (reason == NULL));
    if (ok) {
        ASSERT(path.len + query.len + authority.len <= target.len);
        if (path.len == 1 && path.data[0] == '*') {
            ASSERT(lb_str_equal(method, lb_str_of("OPTIONS")));
        } else {
            check_fixed_point(path);
            check_second_reading(path);
        }
    }
    free(scratch);
}

static void check_host(lb_str host) {
    char *scratch = scratch_of(host.len), *second = scratch_of(host.len);
    lb_str out, again;
    const char *reason;
    bool ok = lb_normalise_host(host, scratch, &out, &reason);
    ASSERT(ok == (reason == NULL));
    if (ok) {
        ASSERT(out.len <= host.len && (host.len == 0 || out.len > 0));
        for (size_t i = 0; i < out.len; i++)
            ASSERT(out.data[i] && strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.:[]", out.data[i]));
        ASSERT(lb_normalise_host(out, second, &again, &reason) && lb_str_equal(out, again));
    }
    free(scratch);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lb_str rest = {(const char *)data, size};
    lb_str method = take_line(&rest), host = take_line(&rest);
    check_host(host);
    check_target(method, rest);
    return 0;
}

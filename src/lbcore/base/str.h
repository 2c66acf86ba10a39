/* str: a view of bytes that somebody else owns. */
#ifndef LBCORE_BASE_STR_H
#define LBCORE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct lb_str {
    const char *data;               /* not NUL-terminated; NULL only where len is 0 */
    size_t len;
} lb_str;

static inline lb_str lb_str_of(const char *text) { return (lb_str){text, strlen(text)}; }

static inline bool lb_str_equal(lb_str a, lb_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif

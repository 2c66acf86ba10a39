/* pattern: see pattern.h.
 *
 *     /api/v\d+/(a|b)      "/api/v"          /files/x\.png      "/files/x.png"
 *     /colou?r             "/colo"           /a|/b               "/": an alternative outside parentheses
 *
 * Source  RE2's syntax page; the same constructs mean the same, or end the literal, in PCRE and in Rust's regex.
 * Keeps   only bytes that stand for themselves in a canonical path are taken: unreserved ones and "/".
 */
#include "route/pattern.h"

#include "route/bytes.h"

/* Behind the class that begins at *i; false: it has no end. */
static bool skip_class(lb_str p, size_t *i) {
    size_t first = *i + 1;
    if (first < p.len && p.data[first] == '^') first++;
    for (size_t k = first; k < p.len; k++) {
        if (p.data[k] == '\\' || (p.data[k] == '[' && k + 1 < p.len && p.data[k + 1] == ':')) k++;
        else if (p.data[k] == ']' && k > first && p.data[k - 1] != ':') return *i = k, true;
    }
    return false;
}

/* "|" outside parentheses; also where that is not sure. */
static bool has_alternatives(lb_str p) {
    size_t depth = 0;
    if (p.len == 0 || !memchr(p.data, '|', p.len)) return false;
    for (size_t i = 0; i < p.len; i++) {
        char c = p.data[i];
        if (c == '\\' && (++i == p.len || p.data[i] == 'Q')) return true;
        if (c == '[' && !skip_class(p, &i)) return true;
        depth += c == '(';
        if (c == ')' && depth-- == 0) return true;
        if (c == '|' && depth == 0) return true;
    }
    return false;
}

static bool stands_for_itself(char c) { return c == '/' || lb_byte_is(c, LB_BYTE_UNRESERVED); }

/* The literal at *i, which moves behind it; '\0': there is none. */
static char take_literal(lb_str p, size_t *i) {
    char c = p.data[*i];
    bool escaped = c == '\\';
    if (escaped && *i + 1 == p.len) return '\0';
    if (escaped) c = p.data[*i + 1];
    bool word = lb_byte_is(c, LB_BYTE_LABEL) && c != '-';
    if (!stands_for_itself(c) || (escaped ? word : c == '.')) return '\0';     /* "\d" is a class, "." any byte */
    *i += escaped ? 2 : 1;
    return c;
}

/* What follows may make the literal before it optional. */
static bool may_vanish(lb_str p, size_t i) {
    return i < p.len && (p.data[i] == '*' || p.data[i] == '?' || p.data[i] == '{');
}

lb_str lb_pattern_prefix(lb_str pattern, char *to) {
    size_t n = 0, i = pattern.len > 0 && pattern.data[0] == '^';
    if (!has_alternatives(pattern)) {
        while (i < pattern.len) {
            char c = take_literal(pattern, &i);
            if (c == '\0' || may_vanish(pattern, i)) break;
            to[n++] = c;
            if (i < pattern.len && pattern.data[i] == '+') break;
        }
    }
    if (n == 0 || to[0] != '/') to[0] = '/', n = 1;         /* it never matches, or its beginning is not known */
    return (lb_str){to, n};
}

/* predicate: method, header and query conditions.
 *
 * Source  Gateway API v1, HTTPHeaderMatch ("case-insensitive") and HTTPQueryParamMatch (a repeated parameter: the
 *         first value, as recommended).  RFC 9110 section 5.3: repeated fields are one, "separated by a comma".
 * Query   names and values of the request are percent-decoded once and compared byte for byte; "+" is a plus, ";"
 *         separates nothing, and a name without "=" has the empty value.
 * Cost    linear in the header or the query, for each condition looked at.
 */
#include "route/predicate.h"

#include "route/bytes.h"

uint32_t lb_method_bit(lb_str method) {
    static const struct { const char *text; size_t len; } common[LB_N_COMMON_METHODS] = {
        {"GET", 3}, {"POST", 4}, {"HEAD", 4}, {"PUT", 3}, {"DELETE", 6},
        {"OPTIONS", 7}, {"PATCH", 5}, {"CONNECT", 7}, {"TRACE", 5},
    };
    for (uint32_t i = 0; i < LB_N_COMMON_METHODS; i++)
        if (method.len == common[i].len && memcmp(method.data, common[i].text, method.len) == 0) return 1u << i;
    return 0;
}

/* Everything up to `separator` or the end; *rest goes on behind it, or becomes data NULL at the end. */
static lb_str next_part(lb_str *rest, char separator) {
    const char *found = rest->len ? memchr(rest->data, separator, rest->len) : NULL;
    if (!found) {
        lb_str last = *rest;
        *rest = (lb_str){0};
        return last;
    }
    lb_str part = {rest->data, (size_t)(found - rest->data)};
    *rest = (lb_str){found + 1, rest->len - part.len - 1};
    return part;
}

static bool method_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    if (p->name & seen->method_bit) return true;
    for (lb_str others = lb_table_text(pool, p->value); others.len > 0;)
        if (lb_str_equal(next_part(&others, ' '), seen->method)) return true;
    return false;
}

/* If *want begins with `part`, take it away. */
static bool take(lb_str *want, lb_str part) {
    if (want->len < part.len || memcmp(want->data, part.data, part.len) != 0) return false;
    *want = (lb_str){want->data + part.len, want->len - part.len};
    return true;
}

static bool header_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    lb_str name = lb_table_text(pool, p->name), want = lb_table_text(pool, p->value);
    bool found = false;
    for (uint32_t i = 0; i < seen->n_headers; i++) {
        if (!lb_equal_ignoring_case(seen->headers[i].name, name)) continue;
        lb_str value = lb_trimmed(seen->headers[i].value);
        if (found && !take(&want, lb_str_of(","))) return false;
        if (value.len > 0 && !take(&want, value)) return false;
        found = true;
    }
    return found && want.len == 0;
}

/* `raw`, percent-decoded once, is `plain`.  The normaliser has seen to it that every "%" has its digits. */
static bool decodes_to(lb_str raw, lb_str plain) {
    size_t n = 0;
    for (size_t i = 0; i < raw.len; n++) {
        bool escaped = raw.data[i] == '%';
        char c = escaped ? (char)lb_byte_escaped(raw.data + i, raw.len - i) : raw.data[i];
        if (n == plain.len || c != plain.data[n]) return false;
        i += escaped ? 3 : 1;
    }
    return n == plain.len;
}

static bool query_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    lb_str name = lb_table_text(pool, p->name), rest = seen->query;
    while (rest.len > 0) {
        lb_str value = next_part(&rest, '&');
        if (decodes_to(next_part(&value, '='), name)) return decodes_to(value, lb_table_text(pool, p->value));
    }
    return false;
}

bool lb_predicate_holds(const lb_predicate *predicate, const lb_table *pool, const lb_seen *seen) {
    static bool (*const holds[])(const lb_predicate *, const lb_table *, const lb_seen *) = {
#define LB_PREDICATE(name) name##_holds,
#include "route/predicates.def"
#undef LB_PREDICATE
    };
    return holds[predicate->kind](predicate, pool, seen);
}

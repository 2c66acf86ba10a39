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

/* `bit` if the method is `text`, which has its length. */
#define BIT_IF(text, bit) (memcmp(method.data, text, sizeof(text) - 1) == 0 ? 1u << (bit) : 0u)

uint32_t lb_method_bit(lb_str method) {
    switch (method.len) {
    case 3: return BIT_IF("GET", 0) | BIT_IF("PUT", 3);
    case 4: return BIT_IF("POST", 1) | BIT_IF("HEAD", 2);
    case 5: return BIT_IF("PATCH", 6) | BIT_IF("TRACE", 8);
    case 6: return BIT_IF("DELETE", 4);
    case 7: return BIT_IF("OPTIONS", 5) | BIT_IF("CONNECT", 7);
    default: return 0;
    }
}

/* Everything up to `separator` or the end; *rest goes on behind it, or becomes data NULL at the end. */
static lb_str take_until(lb_str *rest, char separator) {
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

lb_verdict lb_method_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    if (p->name & seen->method_bit) return LB_HOLDS;
    for (lb_str others = lb_table_text(pool, p->value); others.len > 0;)
        if (lb_str_equal(lb_next_part(&others), seen->request->method)) return LB_HOLDS;
    return LB_FAILS;
}

lb_verdict lb_path_regex_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    (void)p, (void)pool, (void)seen;                        /* its literal beginning was matched on the way here */
    return LB_UNKNOWN;
}

/* ---- header ------------------------------------------------------------------------------------------------- */

static const lb_header *field_of(const lb_seen *seen, lb_str name, uint32_t from) {
    for (uint32_t i = from; i < seen->request->n_headers; i++)
        if (lb_equal_ignoring_case(seen->request->headers[i].name, name)) return &seen->request->headers[i];
    return NULL;
}

static uint32_t place_behind(const lb_seen *seen, const lb_header *field) {
    return (uint32_t)(field - seen->request->headers) + 1;
}

/* If *want begins with `part`, take it away. */
static bool take(lb_str *want, lb_str part) {
    if (want->len < part.len || memcmp(want->data, part.data, part.len) != 0) return false;
    *want = (lb_str){want->data + part.len, want->len - part.len};
    return true;
}

/* Whether the fields of the name, joined, are `want`; the first of them is `field`. */
static bool fields_are(const lb_seen *seen, const lb_header *field, lb_str name, lb_str want) {
    for (bool first = true; field; field = field_of(seen, name, place_behind(seen, field)), first = false) {
        lb_str value = lb_trimmed(field->value);
        if (!first && !take(&want, lb_str_of(","))) return false;
        if (value.len > 0 && !take(&want, value)) return false;
    }
    return want.len == 0;
}

lb_verdict lb_header_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    lb_str name = lb_table_text(pool, p->name);
    const lb_header *field = field_of(seen, name, 0);
    return field && fields_are(seen, field, name, lb_table_text(pool, p->value)) ? LB_HOLDS : LB_FAILS;
}

lb_verdict lb_header_in_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    lb_str name = lb_table_text(pool, p->name);
    const lb_header *field = field_of(seen, name, 0);
    for (lb_str values = lb_table_text(pool, p->value); field && values.len > 0;)
        if (fields_are(seen, field, name, lb_next_part(&values))) return LB_HOLDS;
    return LB_FAILS;
}

lb_verdict lb_header_present_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    return field_of(seen, lb_table_text(pool, p->name), 0) ? LB_HOLDS : LB_FAILS;
}

lb_verdict lb_header_absent_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    return field_of(seen, lb_table_text(pool, p->name), 0) ? LB_FAILS : LB_HOLDS;
}

lb_verdict lb_header_regex_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    return field_of(seen, lb_table_text(pool, p->name), 0) ? LB_UNKNOWN : LB_FAILS;
}

/* One field of the name is one of the values; both in any case. */
lb_verdict lb_header_each_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    lb_str name = lb_table_text(pool, p->name);
    for (const lb_header *f = field_of(seen, name, 0); f; f = field_of(seen, name, place_behind(seen, f)))
        for (lb_str values = lb_table_text(pool, p->value); values.len > 0;)
            if (lb_equal_ignoring_case(lb_trimmed(f->value), lb_next_part(&values))) return LB_HOLDS;
    return LB_FAILS;
}

lb_verdict lb_header_each_regex_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    return lb_header_regex_holds(p, pool, seen);
}

lb_value lb_header_each(const lb_seen *seen, lb_str name, uint32_t *i, char *to, size_t size) {
    const lb_header *field = field_of(seen, name, *i);
    if (!field) return (lb_value){.fits = true};
    *i = place_behind(seen, field);
    lb_str value = lb_trimmed(field->value);
    if (value.len > size) return (lb_value){.found = true};
    for (size_t k = 0; k < value.len; k++) to[k] = lb_byte_lower(value.data[k]);
    return (lb_value){{to, value.len}, true, true, true};
}

lb_value lb_header_value(const lb_seen *seen, lb_str name, char *to, size_t size) {
    const lb_header *field = field_of(seen, name, 0), *next = field;
    if (!field) return (lb_value){.fits = true};
    next = field_of(seen, name, place_behind(seen, field));
    if (!next) return (lb_value){lb_trimmed(field->value), true, true, false};
    size_t n = 0;
    for (; field; field = field_of(seen, name, place_behind(seen, field))) {
        lb_str value = lb_trimmed(field->value);
        if (value.len + 1 > size - n) return (lb_value){.found = true};
        if (n > 0) to[n - 1] = ',';
        if (value.len > 0) memcpy(to + n, value.data, value.len);
        n += value.len + 1;                                 /* room for the next comma */
    }
    return (lb_value){{to, n - 1}, true, true, true};
}

/* ---- query -------------------------------------------------------------------------------------------------- */

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

/* The raw value of the first parameter of the name. */
static bool find_parameter(const lb_seen *seen, lb_str name, lb_str *value) {
    for (lb_str rest = seen->query; rest.len > 0;) {
        *value = take_until(&rest, '&');
        if (decodes_to(take_until(value, '='), name)) return true;
    }
    return false;
}

lb_verdict lb_query_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    lb_str value;
    if (!find_parameter(seen, lb_table_text(pool, p->name), &value)) return LB_FAILS;
    return decodes_to(value, lb_table_text(pool, p->value)) ? LB_HOLDS : LB_FAILS;
}

lb_verdict lb_query_in_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    lb_str value;
    if (!find_parameter(seen, lb_table_text(pool, p->name), &value)) return LB_FAILS;
    for (lb_str values = lb_table_text(pool, p->value); values.len > 0;)
        if (decodes_to(value, lb_next_part(&values))) return LB_HOLDS;
    return LB_FAILS;
}

lb_verdict lb_query_present_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    lb_str value;
    return find_parameter(seen, lb_table_text(pool, p->name), &value) ? LB_HOLDS : LB_FAILS;
}

lb_verdict lb_query_absent_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    return lb_query_present_holds(p, pool, seen) == LB_HOLDS ? LB_FAILS : LB_HOLDS;
}

lb_verdict lb_query_regex_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    return lb_query_present_holds(p, pool, seen) == LB_HOLDS ? LB_UNKNOWN : LB_FAILS;
}

lb_value lb_query_value(const lb_seen *seen, lb_str name, char *to, size_t size) {
    lb_str raw;
    if (!find_parameter(seen, name, &raw)) return (lb_value){.fits = true};
    if (raw.len == 0 || !memchr(raw.data, '%', raw.len)) return (lb_value){raw, true, true, false};
    size_t n = 0;
    for (size_t i = 0; i < raw.len; n++) {
        bool escaped = raw.data[i] == '%';
        if (n == size) return (lb_value){.found = true};
        to[n] = escaped ? (char)lb_byte_escaped(raw.data + i, raw.len - i) : raw.data[i];
        i += escaped ? 3 : 1;
    }
    return (lb_value){{to, n}, true, true, true};
}

/* ---- the register ------------------------------------------------------------------------------------------- */

lb_verdict lb_predicate_holds(const lb_predicate *predicate, const lb_table *pool, const lb_seen *seen) {
    static lb_verdict (*const holds[])(const lb_predicate *, const lb_table *, const lb_seen *) = {
#define LB_PREDICATE(name) lb_##name##_holds,
#include "route/predicates.def"
#undef LB_PREDICATE
    };
    return holds[predicate->kind](predicate, pool, seen);
}

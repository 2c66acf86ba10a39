/* target: the request target to one canonical path.
 *
 * Source  rules 1 to 4 of the default profile; RFC 9112 section 3.2 (the forms of a target), RFC 3986 sections 5.2.4
 *         (dot segments) and 6.2.2 (equivalent spellings).
 * Cost    a target with nothing to normalise: one pass over its bytes, no copy.  Else one more pass to decode and one
 *         to remove segments; linear for every input, no recursion, no allocation.
 * Keeps   the canonical path is never longer than what it came from, and is its own canonical form.
 */
#include "route/normalise.h"

#include "hash/fold.h"
#include "route/bytes.h"

/* ---- rule 3: slashes and dot segments --------------------------------------------------------------------- */

static bool is_dot(const char *at, size_t len) { return len == 1 && at[0] == '.'; }
static bool is_dot_dot(const char *at, size_t len) { return len == 2 && at[0] == '.' && at[1] == '.'; }

/* Rule 3: "Merge slashes and remove dot segments (above the root stays at the root).  If the two orders (merge first,
 * dots first) give different paths, refuse."
 *
 * Read from the right, a ".." is a debt that the next segment to the left pays by vanishing; a debt left at the root is
 * void.  The two orders differ in one point only: an empty segment ("//") pays when dots go first, and is not there
 * when slashes are merged first.  So the debt of the second order is never the smaller, what it keeps the first keeps
 * too, and the paths differ exactly if a segment vanishes in one order and not in the other.
 *
 *     /api//..//admin         merge first: /api/../admin -> /admin         dots first: /api//admin -> /api/admin
 *
 * Works in place on buf[0..n), which begins with "/": the result is the tail that *out gets. */
static const char *remove_segments(char *buf, size_t n, lb_str *out) {
    size_t merged = 0, unmerged = 0;                        /* the debts of the two orders */
    size_t to = n;                                          /* buf[to..n) is written */
    for (size_t end = n, begin; end > 0; end = begin - 1) {
        for (begin = end; buf[begin - 1] != '/'; begin--) {}
        size_t len = end - begin;
        bool last = end == n, dots = is_dot_dot(buf + begin, len);
        if (len == 0 || dots || is_dot(buf + begin, len)) {
            if (last) buf[--to] = '/';                      /* "/a/", "/a/." and "/a/b/.." end in a slash */
            else if (len == 0 && unmerged > 0) unmerged--;
            merged += dots;
            unmerged += dots;
        } else if (merged > 0) {
            if (unmerged == 0) return "the path differs by whether slashes are merged or dot segments removed first";
            merged--;
            unmerged--;
        } else {
            to -= len;
            memmove(buf + to, buf + begin, len);
            buf[--to] = '/';
        }
    }
    *out = (lb_str){buf + to, n - to};
    return NULL;
}

/* ---- rules 1 and 2 ---------------------------------------------------------------------------------------- */

static const char bad_byte[] = "the target holds a byte that a URI cannot hold";
static const char bad_escape[] = "the target holds a \"%\" without two hexadecimal digits";
static const char escaped_nul[] = "the path holds %00";

static bool is_slash_or_dot(char c) { return c == '/' || c == '.'; }

/* The high bit of each of eight bytes that is 0; all of them are below 0x80. */
static uint64_t zeros_of(uint64_t eight) {
    const uint64_t low = 0x7F7F7F7F7F7F7F7Fu;
    return ~((eight + low) | low);
}

/* Eight bytes that need no rewriting: all are of a path, and with the one before them there is no "//" and no "/.". */
static bool are_plain(const char *at) {
    const uint8_t *is = lb_byte_classes;
    const unsigned char *p = (const unsigned char *)at;
    const uint64_t slashes = 0x2F2F2F2F2F2F2F2Fu, ones = 0x0101010101010101u;          /* "." | 1 is "/" */
    int all = is[p[0]] & is[p[1]] & is[p[2]] & is[p[3]] & is[p[4]] & is[p[5]] & is[p[6]] & is[p[7]];
    uint64_t slash_before = zeros_of(lb_read8(at - 1) ^ slashes);
    return (all & LB_BYTE_PATH) && !(slash_before & zeros_of((lb_read8(at) | ones) ^ slashes));
}

/* The length of what needs no rewriting: up to the first byte that is not data, or the "/" or "." behind a "/". */
static size_t plain_length(lb_str path) {
    size_t i = 1;                                           /* path.data[0] is "/" */
    while (path.len - i >= 8 && are_plain(path.data + i)) i += 8;
    if (path.len - i < 8 && path.len > 8 && are_plain(path.data + path.len - 8)) return path.len;
    for (; i < path.len; i++) {
        char c = path.data[i];
        if (!lb_byte_is(c, LB_BYTE_PATH) || (is_slash_or_dot(c) && path.data[i - 1] == '/')) break;
    }
    return i;
}

static char hex_digit(int value) { return "0123456789ABCDEF"[value]; }

/* Rule 2: "Decode %XX of unreserved characters, once; upper-case the hex of the rest.  Nothing else is decoded."
 * `*plain` bytes of `raw` stand for themselves already; `*plain` becomes where the path ends ("?" or the end). */
static const char *rewrite(lb_str raw, size_t *plain, char *scratch, lb_reading *out) {
    size_t i = *plain, n = *plain;
    bool segments = false;                                  /* something for rule 3 */
    memcpy(scratch, raw.data, n);
    while (i < raw.len && raw.data[i] != '?') {
        char c = raw.data[i];
        if (c == '%') {
            int byte = lb_byte_escaped(raw.data + i, raw.len - i);
            if (byte < 0) return bad_escape;
            if (byte == 0) return escaped_nul;
            i += 3;
            if (byte > 0x7F || !lb_byte_is((char)byte, LB_BYTE_UNRESERVED)) {
                scratch[n++] = '%';
                scratch[n++] = hex_digit(byte >> 4);
                scratch[n++] = hex_digit(byte & 15);
                out->encoded_slash |= byte == '/' || byte == '\\';
                continue;
            }
            c = (char)byte;
        } else if (lb_byte_is(c, LB_BYTE_PATH)) {
            i++;
        } else {
            return bad_byte;
        }
        segments |= is_slash_or_dot(c) && scratch[n - 1] == '/';
        scratch[n++] = c;
    }
    *plain = i;
    out->path = (lb_str){scratch, n};
    return segments ? remove_segments(scratch, n, &out->path) : NULL;
}

/* What follows the path at `from`: nothing, or "?" and the query.  The query stays as it is, but it is a URI's:
 * %00 is let through, as binary parameters are legal data and are never decoded into a path. */
static const char *read_query(lb_str rest, size_t from, lb_str *query) {
    if (from == rest.len) return NULL;
    for (size_t i = from + 1; i < rest.len; i++) {
        if (lb_byte_is(rest.data[i], LB_BYTE_QUERY)) continue;
        if (rest.data[i] != '%') return bad_byte;
        if (lb_byte_escaped(rest.data + i, rest.len - i) < 0) return bad_escape;
    }
    *query = (lb_str){rest.data + from + 1, rest.len - from - 1};
    return NULL;
}

/* ---- the forms of a target -------------------------------------------------------------------------------- */

static size_t scheme_length(lb_str target) {
    if (target.len >= 7 && lb_equal_ignoring_case((lb_str){target.data, 7}, lb_str_of("http://"))) return 7;
    if (target.len >= 8 && lb_equal_ignoring_case((lb_str){target.data, 8}, lb_str_of("https://"))) return 8;
    return 0;
}

/* The absolute-form: what is left of *target begins with "/" or "?", or is empty. */
static const char *split_absolute(lb_str *target, lb_str *authority) {
    size_t begin = scheme_length(*target), end = begin;
    if (begin == 0) return "the target begins neither with \"/\" nor with http:// or https://";
    while (end < target->len && target->data[end] != '/' && target->data[end] != '?') end++;
    /* RFC 9110 4.2.1: "A recipient that processes such a URI reference MUST reject it as invalid." */
    if (end == begin) return "the target is a URL without a host";
    *authority = (lb_str){target->data + begin, end - begin};
    *target = (lb_str){target->data + end, target->len - end};
    return NULL;
}

/* An absolute-form without path.  RFC 9112 3.2.4: OPTIONS without path and query is "*"; else the path is "/"
 * (RFC 3986 6.2.3), for which the slash before the authority stands in. */
static lb_str path_of_bare_authority(lb_str method, lb_str rest, lb_str authority, char *scratch) {
    if (rest.len > 0 || !lb_str_equal(method, lb_str_of("OPTIONS"))) return (lb_str){authority.data - 1, 1};
    scratch[0] = '*';
    return (lb_str){scratch, 1};
}

static const char *read_asterisk(lb_str method, lb_str target, lb_reading *out) {
    if (!lb_str_equal(method, lb_str_of("OPTIONS"))) return "the target \"*\" belongs to OPTIONS only";
    out->path = target;
    return NULL;
}

static const char *read_path(lb_str rest, char *scratch, lb_reading *out) {
    size_t end = plain_length(rest);
    const char *refused = NULL;
    if (end == rest.len || rest.data[end] == '?') out->path = (lb_str){rest.data, end};
    else refused = rewrite(rest, &end, scratch, out);
    return refused || end == rest.len ? refused : read_query(rest, end, &out->query);
}

const char *lb_read_target(lb_str method, lb_str target, char *scratch, lb_reading *out) {
    *out = (lb_reading){0};
    if (target.len == 0) return "the target is empty";
    if (target.len == 1 && target.data[0] == '*') return read_asterisk(method, target, out);
    lb_str rest = target;
    if (rest.data[0] != '/') {
        const char *refused = split_absolute(&rest, &out->authority);
        if (refused) return refused;
        if (rest.len == 0 || rest.data[0] == '?') {
            out->path = path_of_bare_authority(method, rest, out->authority, scratch);
            return read_query(rest, 0, &out->query);
        }
    }
    return read_path(rest, scratch, out);
}

/* ---- rule 4: the second reading --------------------------------------------------------------------------- */

/* In a canonical path every "%" has two digits behind it, and they are upper case. */
static bool is_encoded_slash(const char *at) {
    return at[0] == '%' && ((at[1] == '2' && at[2] == 'F') || (at[1] == '5' && at[2] == 'C'));
}

const char *lb_read_again(lb_str path, char *scratch, lb_str *out) {
    size_t n = 0;
    for (size_t i = 0; i < path.len; n++) {
        bool slash = is_encoded_slash(path.data + i);
        scratch[n] = slash ? '/' : path.data[i];
        i += slash ? 3 : 1;
    }
    return remove_segments(scratch, n, out);
}

/* ---- public ----------------------------------------------------------------------------------------------- */

bool lb_normalise_target(lb_str method, lb_str target, char *scratch, lb_str *path, lb_str *query, lb_str *authority,
                         const char **reason) {
    lb_reading reading;
    *reason = lb_read_target(method, target, scratch, &reading);
    if (*reason) reading = (lb_reading){0};
    *path = reading.path;
    *query = reading.query;
    *authority = reading.authority;
    return *reason == NULL;
}

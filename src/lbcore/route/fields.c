/* fields: the method and the header fields of a request.
 *
 * Source  rule 7 of the default profile: "Header names: tokens, ASCII case-insensitive; values trimmed of SP/HTAB;
 *         repeated fields joined with a comma; CR, LF, NUL refused; more than one Host refused.  Methods
 *         case-sensitive tokens."  RFC 9110 sections 5.5, 5.6.2 and 9.1, RFC 9112 section 3.2.
 * Host    has one place, request->host.  A Host among the fields must say the same, byte for byte: another one is a
 *         second Host, and one beside "none was sent" would lead to a weaker route than the caller's own.
 * Cost    one pass over names and values; values eight bytes at a time.
 */
#include "route/normalise.h"

#include "hash/fold.h"
#include "route/bytes.h"

/* Whether one of eight bytes may be below 0x0E (CR, LF, NUL, but HTAB too); never misses one. */
static bool may_hold_control(uint64_t eight) {
    const uint64_t ones = 0x0101010101010101u;
    return ((eight - ones * 0x0E) & ~eight & (ones * 0x80)) != 0;
}

static bool is_line_or_nul(char c) { return c == '\r' || c == '\n' || c == '\0'; }

static bool is_clean(lb_str value) {
    for (size_t i = 0; i < value.len;) {
        if (value.len - i >= 8 && !may_hold_control(lb_read8(value.data + i))) i += 8;
        else if (is_line_or_nul(value.data[i++])) return false;
    }
    return true;
}

static bool is_host(lb_str name) { return name.len == 4 && lb_equal_ignoring_case(name, lb_str_of("host")); }

/* One Host among the fields, the `n`-th of them. */
static const char *check_host(const lb_request *request, lb_str value, uint32_t n) {
    if (n > 1) return "there is more than one Host field";
    if (!request->host.data) return "there is a Host field, but no Host was given";
    return lb_str_equal(lb_trimmed(value), request->host) ? NULL : "a Host field differs from the Host given";
}

const char *lb_check_method(lb_str method) { return lb_is_token(method) ? NULL : "the method is not a token"; }

const char *lb_check_fields(const lb_request *request) {
    const char *refused = NULL;
    uint32_t n_hosts = 0;
    for (uint32_t i = 0; i < request->n_headers && !refused; i++) {
        const lb_header *field = &request->headers[i];
        if (!lb_is_token(field->name)) refused = "a header name is not a token";
        else if (!is_clean(field->value)) refused = "a header value holds CR, LF or NUL";
        else if (is_host(field->name)) refused = check_host(request, field->value, ++n_hosts);
    }
    return refused;
}

/* host: the Host field to one canonical host.
 *
 * Source  rule 6 of the default profile: "ASCII lower case; port (0..65535, may be empty) and one trailing dot removed;
 *         IPv6 literals validated; anything outside the grammar (userinfo, path, delimiters, empty labels, label > 63,
 *         non-ASCII) refused."  RFC 3986 section 3.2.2, RFC 1035 section 2.3.4 (63 and 253 bytes).
 *         Percent-encoding, IPvFuture and zone identifiers are refused: nothing routes by them.
 * Cost    one pass, two if there is upper case; a canonical host is not copied.
 * Keeps   an IPv6 literal keeps its spelling (in lower case, copied); routes cannot name one.
 */
#include "route/normalise.h"

#include "route/bytes.h"

enum { LABEL_MAX = 63, NAME_MAX_BYTES = 253 };

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* dec-octet ("." dec-octet){3}, the whole of `text`; 0 to 255 without leading zeros. */
static bool is_ipv4(lb_str text) {
    size_t i = 0;
    for (int octet = 0; octet < 4; octet++) {
        if (octet > 0 && (i == text.len || text.data[i++] != '.')) return false;
        size_t begin = i;
        int value = 0;
        while (i < text.len && i - begin < 3 && is_digit(text.data[i])) value = value * 10 + (text.data[i++] - '0');
        if (i == begin || value > 255 || (i - begin > 1 && text.data[begin] == '0')) return false;
    }
    return i == text.len;
}

static bool is_gap(lb_str text, size_t i) {
    return text.len - i >= 2 && text.data[i] == ':' && text.data[i + 1] == ':';
}

/* Step over what stands between two groups, ":" or, once, "::"; nothing else will do, and something follows a ":". */
static bool step_over(lb_str text, size_t *i, bool *gap) {
    bool here = is_gap(text, *i);
    if (here ? *gap : text.data[*i] != ':' || *i + 1 == text.len) return false;
    *gap |= here;
    *i += here ? 2 : 1;
    return true;
}

/* IPv6address of RFC 3986: eight groups of 1 to 4 hex digits, or at most seven around one "::"; the last two may be
 * an IPv4 address. */
static bool is_ipv6(lb_str text) {
    int groups = 0;
    bool gap = is_gap(text, 0);
    for (size_t i = gap ? 2 : 0, begin; i < text.len;) {
        for (begin = i; i < text.len && lb_byte_is(text.data[i], LB_BYTE_HEX); i++) {}
        if (i < text.len && text.data[i] == '.') {
            groups += 2;
            if (!is_ipv4((lb_str){text.data + begin, text.len - begin})) return false;
            break;
        }
        groups++;
        if (i == begin || i - begin > 4) return false;
        if (i < text.len && !step_over(text, &i, &gap)) return false;
    }
    return gap ? groups <= 7 : groups == 8;
}

/* `text` is what follows the host: nothing, or ":" and a port of 0 to 65535 in any number of digits. */
static bool is_port(lb_str text) {
    if (text.len == 0) return true;
    if (text.data[0] != ':') return false;
    unsigned long value = 0;
    for (size_t i = 1; i < text.len; i++) {
        if (!is_digit(text.data[i])) return false;
        value = value * 10 + (unsigned long)(text.data[i] - '0');
        if (value > 65535) return false;
    }
    return true;
}

/* What a host was found to be: its length, where it ends in the text (one trailing dot further on or not), and whether
 * lower case would change it. */
typedef struct extent { size_t len, end; bool upper; } extent;

static const char *read_name(lb_str host, extent *found) {
    size_t i = 0, label = 0;                                /* where the label begins */
    int seen = 0;
    for (;; label = ++i) {
        for (; i < host.len && lb_byte_is(host.data[i], LB_BYTE_LABEL); i++)
            seen |= lb_byte_classes[(unsigned char)host.data[i]];
        bool dot = i < host.len && host.data[i] == '.';
        if (i - label > LABEL_MAX) return "the host has a label of more than 63 bytes";
        if (i == label && dot) return "the host has an empty label";
        if (i == 0) return "the host begins with a byte that no host name holds";
        if (!dot) break;
    }
    *found = (extent){i == label ? i - 1 : i, i, (seen & LB_BYTE_UPPER) != 0};
    return found->len > NAME_MAX_BYTES ? "the host has more than 253 bytes" : NULL;
}

static const char *read_literal(lb_str host, extent *found) {
    const char *close = memchr(host.data, ']', host.len);
    if (!close) return "the host begins with \"[\" and has no \"]\"";
    size_t len = (size_t)(close - host.data) + 1;
    *found = (extent){len, len, true};
    return is_ipv6((lb_str){host.data + 1, len - 2}) ? NULL : "the host is not an IPv6 address";
}

static lb_str lowered(lb_str text, char *scratch) {
    for (size_t i = 0; i < text.len; i++) scratch[i] = lb_byte_lower(text.data[i]);
    return (lb_str){scratch, text.len};
}

const char *lb_read_host(lb_str host, char *scratch, lb_str *out, bool *dropped) {
    extent found;
    *out = host;
    *dropped = false;
    /* RFC 9112 3.2: a target without authority comes with an empty Host; it is the host of no name. */
    if (host.len == 0) return NULL;
    const char *refused = host.data[0] == '[' ? read_literal(host, &found) : read_name(host, &found);
    if (refused) return refused;
    if (!is_port((lb_str){host.data + found.end, host.len - found.end}))
        return "the host is followed by something that is not a port of 0 to 65535";
    *dropped = found.len < host.len;
    out->len = found.len;
    if (found.upper) *out = lowered(*out, scratch);
    return NULL;
}

bool lb_normalise_host(lb_str host, char *scratch, lb_str *out, const char **reason) {
    bool dropped;
    *reason = lb_read_host(host, scratch, out, &dropped);
    if (*reason) *out = (lb_str){0};
    return *reason == NULL;
}

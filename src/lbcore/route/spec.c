/* spec: is a route specification one that requests can meet?
 *
 * What a request can never be after normalisation is refused here, with the spelling that would do: a route that no
 * request reaches, or reaches by another road than its author meant, is worse than an error.
 */
#include "route/router.h"

#include "base/alloc.h"
#include "route/bytes.h"
#include "route/normalise.h"
#include "route/template.h"

enum { QUOTED = 96 };

/* `text` fit for an error: printable ASCII, the rest as \xNN, cut with "..." where it is long. */
static const char *quoted(lb_str text, char out[QUOTED]) {
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (n + 8 > QUOTED) {
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        if (c >= 0x20 && c < 0x7F) {
            out[n++] = (char)c;
        } else {
            memcpy(out + n, "\\x", 2);
            out[n + 2] = "0123456789ABCDEF"[c >> 4];
            out[n + 3] = "0123456789ABCDEF"[c & 15];
            n += 4;
        }
    }
    out[n] = '\0';
    return out;
}

/* ---- path ------------------------------------------------------------------------------------------------- */

static lb_status check_reading(lb_str path, char *scratch, lb_error *err) {
    char text[QUOTED], canonical[QUOTED];
    lb_reading reading;
    const char *refused = lb_read_target(lb_str_of("GET"), path, scratch, &reading);
    if (refused) return lb_fail(err, LB_ERR_CONFIG, "path", "\"%s\" is no path: %s", quoted(path, text), refused);
    if (reading.query.data)
        return lb_fail(err, LB_ERR_CONFIG, "path", "\"%s\" holds a query; use a query condition", quoted(path, text));
    if (!lb_str_equal(reading.path, path))
        return lb_fail(err, LB_ERR_CONFIG, "path", "\"%s\" is not canonical and never matches; write \"%s\"",
                       quoted(path, text), quoted(reading.path, canonical));
    return LB_OK;
}

static bool name_was_before(lb_str path, size_t n, lb_str name) {
    lb_segment segment;
    for (size_t at = 0; lb_segment_next(path, &at, &segment) && at <= n;)
        if (segment.kind != LB_SEGMENT_LITERAL && lb_str_equal(segment.text, name)) return true;
    return false;
}

/* The segments of a template; `plain` becomes what is left with an "x" for each parameter. */
static lb_status check_segments(lb_str path, char *plain, size_t *n, lb_error *err) {
    char text[QUOTED];
    lb_segment segment;
    const char *wrong = NULL;
    uint32_t n_segments = 0;
    for (size_t at = 0, before = 0; !wrong && lb_segment_next(path, &at, &segment); before = at) {
        bool literal = segment.kind == LB_SEGMENT_LITERAL;
        if (++n_segments > LB_N_SEGMENTS_MAX) wrong = "it has more than 128 segments";
        if (segment.kind == LB_SEGMENT_TAIL && at < path.len) wrong = "\"{name...}\" is not the last segment";
        if (!literal && !lb_segment_has_name(&segment)) wrong = "a name is letters, digits and \"_\"";
        if (!literal && name_was_before(path, before, segment.text)) wrong = "a name occurs twice";
        plain[(*n)++] = '/';
        if (literal && segment.text.len > 0) memcpy(plain + *n, segment.text.data, segment.text.len);
        if (!literal) plain[*n] = 'x';
        *n += literal ? segment.text.len : 1;
    }
    if (!wrong) return LB_OK;
    return lb_fail(err, LB_ERR_CONFIG, "path", "\"%s\" is no template: %s", quoted(path, text), wrong);
}

static lb_status check_template(lb_str path, char *scratch, char *plain, lb_error *err) {
    size_t n = 0;
    lb_status status = check_segments(path, plain, &n, err);
    return status == LB_OK ? check_reading((lb_str){plain, n}, scratch, err) : status;
}

static lb_status check_path(const lb_route_spec *spec, bool kong, lb_error *err) {
    char text[QUOTED];
    lb_str path = spec->path;
    if (kong && path.len == 0 && spec->path_type == LB_PATH_PLAIN) return LB_OK;
    if ((unsigned)spec->path_type > LB_PATH_REGEX)
        return lb_fail(err, LB_ERR_CONFIG, "path_type", "%d is not known; 0 is exact, 1 prefix, 2 template, 3 plain, "
                       "4 regex", (int)spec->path_type);
    if (path.len > LB_PATH_MAX)
        return lb_fail(err, LB_ERR_CONFIG, "path", "has %zu bytes; at most 65535", path.len);
    if (spec->path_type == LB_PATH_REGEX) return LB_OK;     /* the caller has compiled it */
    if (path.len == 0 || path.data[0] != '/')
        return lb_fail(err, LB_ERR_CONFIG, "path", "\"%s\" does not begin with \"/\"", quoted(path, text));
    char *scratch = lb_alloc(2 * path.len);
    if (!scratch) return lb_no_memory(err, "path");
    bool template = spec->path_type == LB_PATH_TEMPLATE;
    lb_status status = template ? check_template(path, scratch, scratch + path.len, err)
                                : check_reading(path, scratch, err);
    lb_free(scratch);
    return status;
}

/* ---- host ------------------------------------------------------------------------------------------------- */

static lb_status bad_host(lb_str host, const char *why, lb_error *err) {
    char text[QUOTED];
    return lb_fail(err, LB_ERR_CONFIG, "", "\"%s\" is not a host name such as x.example.com or *.example.com: %s",
                   quoted(host, text), why);
}

/* Take ":port" off, 1 to 65535 without leading zeros; what is none stays for the grammar to refuse. */
static uint16_t take_port(lb_str *host) {
    uint32_t value = 0, unit = 1;
    for (size_t i = host->len; i-- > 1 && unit <= 100000; unit *= 10) {
        char c = host->data[i];
        if (c == ':' && unit > 1 && value <= 65535 && value >= unit / 10) {
            host->len = i;
            return (uint16_t)value;
        }
        if (c < '0' || c > '9') return 0;
        value += (uint32_t)(c - '0') * unit;
    }
    return 0;
}

/* Take the "*." or, in Kong's flavours, the ".*" off. */
static void take_wildcard(lb_str *name, bool kong, lb_spec_host *out) {
    out->kind = LB_HOST_EXACT;
    if (name->len > 2 && name->data[0] == '*' && name->data[1] == '.') {
        out->kind = LB_HOST_SUFFIX;
        *name = (lb_str){name->data + 2, name->len - 2};
    } else if (kong && name->len > 2 && name->data[name->len - 1] == '*' && name->data[name->len - 2] == '.') {
        out->kind = LB_HOST_PREFIX;
        name->len -= 2;
    }
}

lb_status lb_spec_read_host(lb_str host, bool kong, lb_spec_host *out, lb_error *err) {
    if (host.len == 0) return bad_host(host, "it is empty; give no hosts for every host", err);
    if (host.len > LB_HOST_MAX) return bad_host(host, "it has more than 255 bytes", err);
    lb_str name = host;
    out->port = kong ? take_port(&name) : 0;
    take_wildcard(&name, kong, out);
    if (name.data[0] == '[') return bad_host(host, "an IPv6 address has many spellings", err);
    bool dropped;
    const char *refused = lb_read_host(name, out->lowered, &out->name, &dropped);
    if (refused) return bad_host(host, refused, err);
    if (dropped) return bad_host(host, "it has a port or a trailing dot", err);
    return LB_OK;
}

/* ---- methods and conditions ------------------------------------------------------------------------------- */

static lb_status check_methods(const lb_route_spec *spec, lb_error *err) {
    char text[QUOTED];
    if (spec->n_methods > LB_N_METHODS_MAX)
        return lb_fail(err, LB_ERR_CONFIG, "methods", "there are %u; at most 1023", spec->n_methods);
    for (uint32_t i = 0; i < spec->n_methods; i++) {
        if (spec->methods[i].len <= LB_METHOD_MAX && lb_is_token(spec->methods[i])) continue;
        lb_fail(err, LB_ERR_CONFIG, "", "\"%s\" is not a token (RFC 9110 5.6.2) of at most 255 bytes",
                quoted(spec->methods[i], text));
        lb_error_in(err, "methods", i);
        return LB_ERR_CONFIG;
    }
    return LB_OK;
}

/* After trimming and parsing a field value holds no CR, LF, NUL and no space at its ends. */
static bool can_be_field_value(lb_str value) {
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] == '\r' || value.data[i] == '\n' || value.data[i] == '\0') return false;
    return lb_trimmed(value).len == value.len;
}

static lb_status check_value(const lb_condition *condition, lb_str value, lb_error *err) {
    char text[QUOTED];
    if (condition->kind == LB_CONDITION_QUERY || can_be_field_value(value)) return LB_OK;
    return lb_fail(err, LB_ERR_CONFIG, "value",
                   "\"%s\" never matches: a header value has no CR, LF, NUL and no space at its ends",
                   quoted(value, text));
}

static lb_status check_test(const lb_condition *condition, lb_error *err) {
    lb_status status = LB_OK;
    if ((unsigned)condition->test > LB_TEST_REGEX)
        return lb_fail(err, LB_ERR_CONFIG, "test", "%d is not known; 0 to 4", (int)condition->test);
    if (condition->test == LB_TEST_EXACT) return check_value(condition, condition->value, err);
    if (condition->test != LB_TEST_ANY_OF) return LB_OK;
    if (condition->n_values == 0 || condition->n_values > LB_N_VALUES_MAX)
        return lb_fail(err, LB_ERR_CONFIG, "values", "there are %u; 1 to 1023", condition->n_values);
    for (uint32_t i = 0; i < condition->n_values && status == LB_OK; i++)
        status = check_value(condition, condition->values[i], err);
    return status;
}

static lb_status check_condition(const lb_condition *condition, lb_error *err) {
    char text[QUOTED];
    if (condition->kind == LB_CONDITION_QUERY && condition->name.len == 0)
        return lb_fail(err, LB_ERR_CONFIG, "name", "the name of a query parameter is empty");
    if (condition->kind == LB_CONDITION_HEADER && !lb_is_token(condition->name))
        return lb_fail(err, LB_ERR_CONFIG, "name", "\"%s\" is not a header name (a token, RFC 9110 5.6.2)",
                       quoted(condition->name, text));
    return check_test(condition, err);
}

/* Users know headers and query parameters apart. */
static uint32_t place_in_kind(const lb_route_spec *spec, uint32_t i) {
    uint32_t place = 0;
    for (uint32_t before = 0; before < i; before++) place += spec->conditions[before].kind == spec->conditions[i].kind;
    return place;
}

static lb_status check_conditions(const lb_route_spec *spec, lb_error *err) {
    uint32_t n_patterns = 0;
    if (spec->n_conditions > LB_N_CONDITIONS_MAX)
        return lb_fail(err, LB_ERR_CONFIG, "conditions", "there are %u; at most 1023", spec->n_conditions);
    for (uint32_t i = 0; i < spec->n_conditions; i++) {
        n_patterns += spec->conditions[i].test == LB_TEST_REGEX;
        lb_status status = check_condition(&spec->conditions[i], err);
        if (status == LB_OK) continue;
        lb_error_in(err, spec->conditions[i].kind == LB_CONDITION_HEADER ? "headers" : "query", place_in_kind(spec, i));
        return status;
    }
    n_patterns += spec->path_type == LB_PATH_REGEX;
    if (n_patterns > LB_N_PATTERNS_MAX)
        return lb_fail(err, LB_ERR_CONFIG, "conditions", "%u are regular expressions; at most 16", n_patterns);
    return LB_OK;
}

/* ---- connection --------------------------------------------------------------------------------------------- */

static lb_status check_snis(const lb_route_spec *spec, lb_error *err) {
    lb_spec_host host;
    for (uint32_t i = 0; i < spec->n_snis; i++) {
        lb_status status = lb_spec_read_host(spec->snis[i], false, &host, err);
        if (status == LB_OK) continue;
        lb_error_in(err, "snis", i);
        return status;
    }
    return LB_OK;
}

/* scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) (RFC 3986 3.1) */
static bool is_scheme(lb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = lb_byte_lower(text.data[i]);
        bool letter = c >= 'a' && c <= 'z', other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (!letter && (i == 0 || !other)) return false;
    }
    return text.len > 0;
}

static lb_status check_schemes(const lb_route_spec *spec, lb_error *err) {
    char text[QUOTED];
    for (uint32_t i = 0; i < spec->n_schemes; i++) {
        if (is_scheme(spec->schemes[i])) continue;
        lb_fail(err, LB_ERR_CONFIG, "", "\"%s\" is not a scheme such as https", quoted(spec->schemes[i], text));
        lb_error_in(err, "schemes", i);
        return LB_ERR_CONFIG;
    }
    return LB_OK;
}

static lb_status check_ports(const lb_route_spec *spec, lb_error *err) {
    for (uint32_t i = 0; i < spec->n_ports; i++) {
        if (spec->ports[i] > 0) continue;
        lb_fail(err, LB_ERR_CONFIG, "", "0 is no port; 1 to 65535");
        lb_error_in(err, "ports", i);
        return LB_ERR_CONFIG;
    }
    return LB_OK;
}

static lb_status check_peers(const char *name, const lb_peers *peers, uint32_t n, lb_error *err) {
    char text[QUOTED];
    lb_block block;
    for (uint32_t i = 0; i < n; i++) {
        lb_status status = LB_OK;
        if (peers[i].port > 65535) status = lb_fail(err, LB_ERR_CONFIG, "port", "%u is above 65535", peers[i].port);
        else if (!lb_block_read(&peers[i], &block))
            status = lb_fail(err, LB_ERR_CONFIG, "block", "\"%s\" is not an IP address or block such as 10.0.0.0/8",
                             quoted(peers[i].block, text));
        if (status == LB_OK) continue;
        lb_error_in(err, name, i);
        return status;
    }
    return LB_OK;
}

static lb_status check_connection(const lb_route_spec *spec, lb_error *err) {
    const struct { const char *name; uint32_t n; } lists[] = {
        {"snis", spec->n_snis}, {"schemes", spec->n_schemes}, {"ports", spec->n_ports},
        {"sources", spec->n_sources}, {"destinations", spec->n_destinations},
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (lists[i].n > LB_N_VALUES_MAX)
            return lb_fail(err, LB_ERR_CONFIG, lists[i].name, "there are %u; at most 1023", lists[i].n);
    lb_status status = check_snis(spec, err);
    if (status == LB_OK) status = check_schemes(spec, err);
    if (status == LB_OK) status = check_ports(spec, err);
    if (status == LB_OK) status = check_peers("sources", spec->sources, spec->n_sources, err);
    if (status == LB_OK) status = check_peers("destinations", spec->destinations, spec->n_destinations, err);
    return status;
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

static bool same_name(const lb_condition *a, const lb_condition *b) {
    if (a->kind != b->kind) return false;
    return a->kind == LB_CONDITION_HEADER ? lb_equal_ignoring_case(a->name, b->name) : lb_str_equal(a->name, b->name);
}

bool lb_spec_condition_counts(const lb_route_spec *spec, uint32_t i) {
    for (uint32_t before = 0; before < i; before++)
        if (same_name(&spec->conditions[before], &spec->conditions[i])) return false;
    return true;
}

static lb_status check_stream(const lb_route_spec *spec, lb_error *err) {
    const struct { const char *name; size_t n; } none[] = {
        {"hosts", spec->n_hosts}, {"path", spec->path.len}, {"methods", spec->n_methods},
        {"conditions", spec->n_conditions},
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (none[i].n > 0) return lb_fail(err, LB_ERR_CONFIG, none[i].name, "a route for streams has none");
    return check_connection(spec, err);
}

lb_status lb_spec_check(const lb_route_spec *spec, bool kong, lb_error *err) {
    if (spec->stream) return check_stream(spec, err);
    lb_status status = check_path(spec, kong, err);
    if (status == LB_OK) status = check_methods(spec, err);
    if (status == LB_OK) status = check_conditions(spec, err);
    if (status == LB_OK) status = check_connection(spec, err);
    return status;
}

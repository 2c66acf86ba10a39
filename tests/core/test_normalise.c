/* Tests of the room route: the normaliser, rules 1 to 4 and 6 of the default profile. */
#include "route_rows.h"

static bool is(lb_str got, const char *want) {
    return want ? got.data && lb_str_equal(got, lb_str_of(want)) : got.data == NULL;
}

/* ---- rules 1 to 3: the target ----------------------------------------------------------------------------- */

typedef struct target_case {
    const char *method, *target, *path, *query, *authority;                 /* path NULL: refused */
} target_case;

static const target_case targets[] = {
    /* nothing to do */
    {"GET", "/", "/", NULL, NULL},
    {"GET", "/a/b.c/d-e_f~g", "/a/b.c/d-e_f~g", NULL, NULL},
    {"GET", "/a/", "/a/", NULL, NULL},
    {"GET", "/!$&'()*+,;=:@[]", "/!$&'()*+,;=:@[]", NULL, NULL},
    {"GET", "/a..b/...", "/a..b/...", NULL, NULL},
    {"GET", "/.well-known/x", "/.well-known/x", NULL, NULL},
    {"GET", "/..a/.b./...", "/..a/.b./...", NULL, NULL},
    /* the path ends at the first "?" (RFC 3986 3.4); dots and slashes mean nothing behind it */
    {"GET", "/a?", "/a", "", NULL},
    {"GET", "/a?b?c/../d//e", "/a", "b?c/../d//e", NULL},
    {"GET", "/a//?x", "/a/", "x", NULL},
    {"GET", "/a?%2f%41%00", "/a", "%2f%41%00", NULL},
    /* rule 2: "Decode %XX of unreserved characters, once; upper-case the hex of the rest.  Nothing else is decoded." */
    {"GET", "/%61%4A%30%2d%2E%5f%7e", "/aJ0-._~", NULL, NULL},
    {"GET", "/%2f%5c%3f%23%3a%c3%a9%20%7f", "/%2F%5C%3F%23%3A%C3%A9%20%7F", NULL, NULL},
    {"GET", "/%25%36%31dmin", "/%2561dmin", NULL, NULL},
    {"GET", "/api%2e%2e/admin", "/api../admin", NULL, NULL},
    {"GET", "/%0a%0D%01", "/%0A%0D%01", NULL, NULL},
    /* rule 3: "Merge slashes and remove dot segments (RFC 3986 5.2.4; above the root stays at the root)." */
    {"GET", "//", "/", NULL, NULL},
    {"GET", "//app.example.com/admin", "/app.example.com/admin", NULL, NULL},
    {"GET", "/a//b///c//", "/a/b/c/", NULL, NULL},
    {"GET", "/.", "/", NULL, NULL},
    {"GET", "/..", "/", NULL, NULL},
    {"GET", "/../a", "/a", NULL, NULL},
    {"GET", "/../../..", "/", NULL, NULL},
    {"GET", "/a/.", "/a/", NULL, NULL},
    {"GET", "/a/./b", "/a/b", NULL, NULL},
    {"GET", "/a/..", "/", NULL, NULL},
    {"GET", "/a/b/..", "/a/", NULL, NULL},
    {"GET", "/a/b/../..", "/", NULL, NULL},
    {"GET", "/a/b/../c", "/a/c", NULL, NULL},
    {"GET", "/a/../../b", "/b", NULL, NULL},
    {"GET", "/a/%2e%2E/b/%2e", "/b/", NULL, NULL},
    {"GET", "/x/..%2fadmin", "/x/..%2Fadmin", NULL, NULL},
    {"GET", "/x/..;/admin", "/x/..;/admin", NULL, NULL},
    /* "If the two orders (merge first, dots first) give different paths, refuse." */
    {"GET", "//api//..//admin", NULL, NULL, NULL},
    {"GET", "/a//..", NULL, NULL, NULL},
    {"GET", "/a//../b", NULL, NULL, NULL},
    {"GET", "/a/b//../..", NULL, NULL, NULL},
    {"GET", "/a//../../b", "/b", NULL, NULL},
    {"GET", "//..//a", "/a", NULL, NULL},
    {"GET", "/a/..//b", "/b", NULL, NULL},
    {"GET", "/a//./b", "/a/b", NULL, NULL},
    /* rule 1: "Refuse: a target that does not start with /, bytes <= 0x20, 0x7F, >= 0x80, \, # and the other non-URI
     * characters, a % without two hex digits, %00." */
    {"GET", "", NULL, NULL, NULL},
    {"GET", "a/b", NULL, NULL, NULL},
    {"GET", "?a", NULL, NULL, NULL},
    {"GET", " /a", NULL, NULL, NULL},
    {"GET", "/a b", NULL, NULL, NULL},
    {"GET", "/a\t", NULL, NULL, NULL},
    {"GET", "/a\r\nx:y", NULL, NULL, NULL},
    {"GET", "/\x7f", NULL, NULL, NULL},
    {"GET", "/\x80", NULL, NULL, NULL},
    {"GET", "/\xc3\xa9", NULL, NULL, NULL},
    {"GET", "/\\", NULL, NULL, NULL},
    {"GET", "/a#b", NULL, NULL, NULL},
    {"GET", "/\"", NULL, NULL, NULL},
    {"GET", "/<>", NULL, NULL, NULL},
    {"GET", "/^", NULL, NULL, NULL},
    {"GET", "/`", NULL, NULL, NULL},
    {"GET", "/{a}", NULL, NULL, NULL},
    {"GET", "/a|b", NULL, NULL, NULL},
    {"GET", "/%", NULL, NULL, NULL},
    {"GET", "/%4", NULL, NULL, NULL},
    {"GET", "/%G0", NULL, NULL, NULL},
    {"GET", "/%0g", NULL, NULL, NULL},
    {"GET", "/%u0061", NULL, NULL, NULL},
    {"GET", "/a%00", NULL, NULL, NULL},
    {"GET", "/%2e\x80", NULL, NULL, NULL},
    {"GET", "/a?b#c", NULL, NULL, NULL},
    {"GET", "/a?b c", NULL, NULL, NULL},
    {"GET", "/a?\xff", NULL, NULL, NULL},
    {"GET", "/a?b%", NULL, NULL, NULL},
    {"GET", "/a?%zz", NULL, NULL, NULL},
    /* "after the absolute-form is taken apart: its authority replaces Host" */
    {"GET", "http://x.example.com/a?b", "/a", "b", "x.example.com"},
    {"GET", "HTTPS://X.example.com:8/a//b", "/a/b", NULL, "X.example.com:8"},
    {"GET", "http://x", "/", NULL, "x"},
    {"GET", "http://x?a/b", "/", "a/b", "x"},
    {"GET", "http://x//", "/", NULL, "x"},
    {"GET", "http://", NULL, NULL, NULL},
    {"GET", "http:///a", NULL, NULL, NULL},
    {"GET", "https://?a", NULL, NULL, NULL},
    {"GET", "http:/a", NULL, NULL, NULL},
    {"GET", "file:///admin", NULL, NULL, NULL},
    {"GET", "javascript:alert(1)", NULL, NULL, NULL},
    {"CONNECT", "x.example.com:443", NULL, NULL, NULL},
    /* "* only for OPTIONS and never a path"; RFC 9112 3.2.4: OPTIONS on a URL without path and query is "*" */
    {"OPTIONS", "*", "*", NULL, NULL},
    {"GET", "*", NULL, NULL, NULL},
    {"options", "*", NULL, NULL, NULL},
    {"OPTIONS", "**", NULL, NULL, NULL},
    {"OPTIONS", "http://x:8", "*", NULL, "x:8"},
    {"OPTIONS", "http://x:8?", "/", "", "x:8"},
    {"OPTIONS", "http://x:8/", "/", NULL, "x:8"},
};

static void targets_become_canonical(void) {
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        const target_case *c = &targets[i];
        lb_str target = lb_str_of(c->target), path, query, authority;
        char *scratch = malloc(target.len + 1);
        const char *reason;
        bool ok = lb_normalise_target(lb_str_of(c->method), target, scratch, &path, &query, &authority, &reason);
        bool right = ok == (c->path != NULL) && (reason == NULL) == ok && is(path, c->path) && is(query, c->query)
                     && is(authority, c->authority);
        if (!right) fprintf(stderr, "%s %s -> %.*s (%s)\n", c->method, c->target, (int)path.len, path.data, reason);
        CHECK(right);
        free(scratch);
    }
}

static void nul_in_a_target_is_refused(void) {
    char scratch[4];
    const char *reason;
    lb_str path, query, authority;
    CHECK(!lb_normalise_target(lb_str_of("GET"), (lb_str){"/a\0b", 4}, scratch, &path, &query, &authority, &reason));
    CHECK(!lb_normalise_target(lb_str_of("GET"), (lb_str){"/?\0b", 4}, scratch, &path, &query, &authority, &reason));
}

static void what_is_canonical_is_not_copied(void) {
    char scratch[32];
    const char *reason, *text = "/a/b.c?d";
    lb_str path, query, authority, host;
    CHECK(lb_normalise_target(lb_str_of("GET"), lb_str_of(text), scratch, &path, &query, &authority, &reason));
    CHECK(path.data == text && query.data == text + 7);
    const char *name = "x.example.com:80";
    CHECK(lb_normalise_host(lb_str_of(name), scratch, &host, &reason));
    CHECK(host.data == name && host.len == 13);
}

/* Any bytes: refused, or a path that is not longer, begins with "/" and is its own canonical form. */
static void check_invariants(const char *text, size_t n) {
    char scratch[64], again_scratch[64];
    const char *reason;
    lb_str path, query, authority, again, none;
    if (!lb_normalise_target(lb_str_of("GET"), (lb_str){text, n}, scratch, &path, &query, &authority, &reason)) return;
    CHECK(path.len <= n && path.data[0] == '/');
    CHECK(lb_normalise_target(lb_str_of("GET"), path, again_scratch, &again, &none, &authority, &reason));
    CHECK(lb_str_equal(again, path) && none.data == NULL);
}

static void canonical_is_a_fixed_point(void) {
    static const char *const parts[] = {"/", "/", "//", ".", "..", "a", "b", "%2e", "%2E", "%61", "%2f", "%5C", "%c3",
                                        "%00", "%", "?", " ", ";", "http://x"};
    lb_rng rng;
    lb_rng_seed(&rng, 42);
    for (int i = 0; i < 200000; i++) {
        char text[64] = "/";
        size_t n = lb_rng_below(&rng, 8) ? 1 : 0;
        for (uint32_t k = lb_rng_below(&rng, 7); k > 0; k--) {
            uint32_t limit = lb_rng_below(&rng, 4) ? 13 : (uint32_t)(sizeof parts / sizeof *parts);
            const char *part = parts[lb_rng_below(&rng, limit)];
            memcpy(text + n, part, strlen(part));
            n += strlen(part);
        }
        check_invariants(text, n);
    }
}

/* ---- rule 6: the host ------------------------------------------------------------------------------------- */

typedef struct host_case { const char *host, *canonical; } host_case;       /* canonical NULL: refused */

#define L63 "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc"

static const host_case hosts[] = {
    /* "ASCII lower case; port (0..65535, may be empty) and one trailing dot removed" */
    {"x.example.com", "x.example.com"},
    {"X.Example.COM", "x.example.com"},
    {"x.example.com.", "x.example.com"},
    {"x.example.com.:80", "x.example.com"},
    {"x.example.com:", "x.example.com"},
    {"X:0", "x"},
    {"x:65535", "x"},
    {"x:0000080", "x"},
    {"x_y-z", "x_y-z"},
    {"xn--bcher-kva.example", "xn--bcher-kva.example"},
    {"127.0.0.1:80", "127.0.0.1"},
    {L63 "." L63 "." L63 "." L63, NULL},                    /* 255 */
    {L63 "." L63 "." L63 ".abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghija",
     L63 "." L63 "." L63 ".abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghija"},
    {L63 "." L63 "." L63 ".abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijab", NULL},
    {L63 ".x", L63 ".x"},
    /* RFC 9110 7.2: "If the authority component is missing or undefined for the target URI, then a client MUST send a
     * Host header field with an empty field value." */
    {"", ""},
    /* "anything outside the grammar (userinfo, path, delimiters, empty labels, label > 63, non-ASCII) refused" */
    {"x:65536", NULL},
    {"x:99999999999999999999999", NULL},
    {"x:-1", NULL},
    {"x:8a", NULL},
    {"x:8:8", NULL},
    {":80", NULL},
    {".", NULL},
    {"..", NULL},
    {".x", NULL},
    {"x..y", NULL},
    {"x..", NULL},
    {"x..:80", NULL},
    {L63 "d.x", NULL},
    {"user@x.example.com", NULL},
    {"x.example.com/a", NULL},
    {"x.example.com?a", NULL},
    {"x.example.com#a", NULL},
    {"http://x.example.com", NULL},
    {" x.example.com", NULL},
    {"x.example.com ", NULL},
    {"x\texample", NULL},
    {"x,y", NULL},
    {"x;y", NULL},
    {"*.example.com", NULL},
    {"x%2eexample.com", NULL},
    {"x\\y", NULL},
    {"x\x7f", NULL},
    {"\xc4\xb0nternal.example.com", NULL},
    {"x\xef\xbc\x8e" "example", NULL},
    /* "IPv6 literals validated" by the grammar of RFC 3986 3.2.2 */
    {"[::]", "[::]"},
    {"[::1]:80", "[::1]"},
    {"[::1]:", "[::1]"},
    {"[1::]", "[1::]"},
    {"[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]"},
    {"[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7::]"},
    {"[::2:3:4:5:6:7:8]", "[::2:3:4:5:6:7:8]"},
    {"[2001:DB8::A]", "[2001:db8::a]"},
    {"[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"},
    {"[1:2:3:4:5:6:1.2.3.4]", "[1:2:3:4:5:6:1.2.3.4]"},
    {"[::255.255.255.255]", "[::255.255.255.255]"},
    {"[::1:2:3:4:5:1.2.3.4]", "[::1:2:3:4:5:1.2.3.4]"},
    {"[", NULL},
    {"[]", NULL},
    {"[:]", NULL},
    {"[:::]", NULL},
    {"[::1", NULL},
    {"[::1].", NULL},
    {"[::1]x", NULL},
    {"x[::1]", NULL},
    {"[:1]", NULL},
    {"[1:]", NULL},
    {"[1]", NULL},
    {"[1:2:3:4:5:6:7]", NULL},
    {"[1:2:3:4:5:6:7:8:9]", NULL},
    {"[1:2:3:4:5:6:7:8::]", NULL},
    {"[1::2::3]", NULL},
    {"[::12345]", NULL},
    {"[::g]", NULL},
    {"[::1%25eth0]", NULL},
    {"[v1.app.example.com]", NULL},
    {"[x.example.com]", NULL},
    {"[::1.2.3]", NULL},
    {"[::1.2.3.4.5]", NULL},
    {"[::1.2.3.256]", NULL},
    {"[::1.2.3.04]", NULL},
    {"[::1.2.3.]", NULL},
    {"[::1.2.3.4444]", NULL},
    {"[::a.2.3.4]", NULL},
    {"[1.2.3.4]", NULL},
    {"[1:2:3:4:5:6:7:1.2.3.4]", NULL},
    {"[::1:2:3:4:5:6:1.2.3.4]", NULL},
    {"[1.2.3.4:1:2:3:4:5:6]", NULL},
};

static void hosts_become_canonical(void) {
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        lb_str host = lb_str_of(hosts[i].host), out, again;
        char *scratch = malloc(host.len + 1), *second = malloc(host.len + 1);
        const char *reason;
        bool ok = lb_normalise_host(host, scratch, &out, &reason);
        bool right = ok == (hosts[i].canonical != NULL) && (reason == NULL) == ok && is(out, hosts[i].canonical);
        if (right && ok) right = lb_normalise_host(out, second, &again, &reason) && lb_str_equal(out, again);
        if (!right) fprintf(stderr, "%s -> %.*s (%s)\n", hosts[i].host, (int)out.len, out.data, reason);
        CHECK(right);
        free(scratch);
        free(second);
    }
    const char *reason;
    lb_str out;
    CHECK(!lb_normalise_host((lb_str){"x\0y", 3}, NULL, &out, &reason));
    CHECK(lb_normalise_host((lb_str){NULL, 0}, NULL, &out, &reason) && out.data == NULL);
}

/* ---- 64 KiB in every shape -------------------------------------------------------------------------------- */

enum { LONG = 65536 };

static double ms_of_one(const char *target, bool host) {
    static char scratch[LONG];
    const char *reason;
    lb_str path, query, authority;
    double best = 1e9;
    for (int i = 0; i < 20; i++) {
        clock_t begin = clock();
        if (host) lb_normalise_host((lb_str){target, LONG}, scratch, &path, &reason);
        else lb_normalise_target(lb_str_of("GET"), (lb_str){target, LONG}, scratch, &path, &query, &authority, &reason);
        double ms = ms_since(begin);
        if (ms < best) best = ms;
    }
    return best;
}

static void long_input_is_linear(void) {
    static const char *const shapes[] = {"/", "/a", "/.", "/..", "/a/..", "//..", "%2F", "%2e", "/%2e%2E", ".", "a",
                                         "%C3", "/a//../..", "?", "/?a=1&", "http://x/", "*", "[", ":", "a."};
    char *text = malloc(LONG);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t len = strlen(shapes[i]);
        for (size_t k = 0; k < LONG; k++) text[k] = shapes[i][k % len];
        double host = ms_of_one(text, true);
        text[0] = '/';
        double target = ms_of_one(text, false);
        bool in_time = target <= LONG_REQUEST_MS && host <= LONG_REQUEST_MS;
        if (!in_time) fprintf(stderr, "%s: %.3f ms, as host %.3f ms\n", shapes[i], target, host);
        CHECK(in_time);
    }
    free(text);
}

int main(void) {
    RUN(targets_become_canonical);
    RUN(nul_in_a_target_is_refused);
    RUN(what_is_canonical_is_not_copied);
    RUN(canonical_is_a_fixed_point);
    RUN(hosts_become_canonical);
    RUN(long_input_is_linear);
    return check_result();
}

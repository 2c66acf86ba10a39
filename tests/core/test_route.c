/* Tests of the room route: the compiled router against the rules, and what it refuses to compile. */
#include "route_rows.h"

#include "route/pattern.h"

static void check_match(const lb_router *router, const ask *a, int want) {
    lb_answer answer;
    int got = match_row(router, a, &answer);
    if (got != want) fprintf(stderr, "%s %s %s: %s\n", a->method, a->host, a->target, answer.reason);
    CHECK_EQ(got, want);
}

typedef struct expectation { ask ask; int want; } expectation;

static void check_all(const row *rows, uint32_t n, const expectation *expected, size_t n_expected) {
    lb_router *router = router_of(rows, n, NULL);
    for (size_t i = 0; i < n_expected; i++) check_match(router, &expected[i].ask, expected[i].want);
    lb_router_free(router);
}

#define CHECK_ALL(rows, expected) \
    check_all(rows, sizeof(rows) / sizeof *(rows), expected, sizeof(expected) / sizeof *(expected))

/* ---- tables ----------------------------------------------------------------------------------------------- */

/* "PathPrefix is by path element: a trailing / of the value is ignored; /abc matches /abc, /abc/, /abc/def, not /abcd.
 * Exact is case-sensitive and slash-sensitive." */
static void paths_match_by_element(void) {
    static const row rows[] = {
        {.path = "/abc", .type = LB_PATH_PREFIX}, {.path = "/abc/d/", .type = LB_PATH_PREFIX},
        {.path = "/abc/d/e/f", .type = LB_PATH_PREFIX}, {.path = "/x", .type = LB_PATH_EXACT},
        {.path = "/y/", .type = LB_PATH_EXACT}, {.path = "/%C3%A9", .type = LB_PATH_PREFIX},
    };
    static const expectation expected[] = {
        {{"GET", "h", "/abc", {0}}, 0}, {{"GET", "h", "/abc/", {0}}, 0}, {{"GET", "h", "/abc/def", {0}}, 0},
        {{"GET", "h", "/abcd", {0}}, NONE}, {{"GET", "h", "/ABC", {0}}, NONE}, {{"GET", "h", "/ab", {0}}, NONE},
        {{"GET", "h", "/abc/d", {0}}, 1}, {{"GET", "h", "/abc/d/", {0}}, 1}, {{"GET", "h", "/abc/d/x", {0}}, 1},
        {{"GET", "h", "/abc/d/e", {0}}, 1}, {{"GET", "h", "/abc/d/e/f", {0}}, 2}, {{"GET", "h", "/abc/dd", {0}}, 0},
        {{"GET", "h", "/x", {0}}, 3}, {{"GET", "h", "/x/", {0}}, NONE}, {{"GET", "h", "/X", {0}}, NONE},
        {{"GET", "h", "/y/", {0}}, 4}, {{"GET", "h", "/y", {0}}, NONE}, {{"GET", "h", "/", {0}}, NONE},
        {{"GET", "h", "/%c3%a9/z", {0}}, 5}, {{"GET", "h", "/abc//d?q", {0}}, 1}, {{"GET", "h", "/q/../abc", {0}}, 0},
        {{"GET", NULL, "/abc", {0}}, 0}, {{"GET", "", "/abc", {0}}, 0}, {{"GET", "[::1]:8", "/abc", {0}}, 0},
    };
    CHECK_ALL(rows, expected);
}

/* "{name}" is one segment, not empty; "{name...}" all behind its slash. */
static void templates_match_by_segment(void) {
    static const row rows[] = {
        {.path = "/users/{id}", .type = LB_PATH_TEMPLATE}, {.path = "/users/me", .type = LB_PATH_EXACT},
        {.path = "/users/{id}/", .type = LB_PATH_TEMPLATE}, {.path = "/users/{id}/posts/{n}", .type = LB_PATH_TEMPLATE},
        {.path = "/files/{path...}", .type = LB_PATH_TEMPLATE}, {.path = "/{a}/x/{b...}", .type = LB_PATH_TEMPLATE},
        {.path = "/users", .type = LB_PATH_PREFIX}, {.path = "/users/me/posts", .type = LB_PATH_PREFIX},
        {.path = "/users/{id}/posts/last", .type = LB_PATH_TEMPLATE}, {.path = "/only", .type = LB_PATH_TEMPLATE},
    };
    static const expectation expected[] = {
        {{"GET", "h", "/users/7", {0}}, 0}, {{"GET", "h", "/users/me", {0}}, 1}, {{"GET", "h", "/users/7/", {0}}, 2},
        {{"GET", "h", "/users/", {0}}, 6}, {{"GET", "h", "/users", {0}}, 6}, {{"GET", "h", "/users/7/posts/8", {0}}, 3},
        {{"GET", "h", "/users/me/posts/8", {0}}, 3}, {{"GET", "h", "/users/me/posts", {0}}, 7},
        {{"GET", "h", "/users/7/posts/last", {0}}, 8}, {{"GET", "h", "/users/7/posts", {0}}, 6},
        {{"GET", "h", "/users/7/posts/8/9", {0}}, 6}, {{"GET", "h", "/users/x/y", {0}}, 6},
        {{"GET", "h", "/files", {0}}, NONE}, {{"GET", "h", "/files/", {0}}, 4}, {{"GET", "h", "/files/a/b/", {0}}, 4},
        {{"GET", "h", "/files/x/b", {0}}, 4}, {{"GET", "h", "/q/x/b", {0}}, 5}, {{"GET", "h", "/q/x", {0}}, NONE},
        {{"GET", "h", "/only", {0}}, 9}, {{"GET", "h", "/only/", {0}}, NONE}, {{"GET", "h", "/", {0}}, NONE},
    };
    CHECK_ALL(rows, expected);
}

static void captures_are_spans(void) {
    lb_capture c[3];
    lb_str template = lb_str_of("/users/{id}/files/{path...}"), path = lb_str_of("/users/7/files/a/b");
    CHECK_EQ(lb_template_captures(template, path, c, 3), 2);
    CHECK(lb_str_equal(c[0].name, lb_str_of("id")) && lb_str_equal(c[0].text, lb_str_of("7")));
    CHECK(lb_str_equal(c[1].name, lb_str_of("path")) && lb_str_equal(c[1].text, lb_str_of("a/b")));
    CHECK(c[0].text.data == path.data + 7);
    CHECK_EQ(lb_template_captures(template, lb_str_of("/users/7/files/"), c, 1), 2);
    CHECK_EQ(lb_template_captures(template, lb_str_of("/users"), c, 3), 0);
    CHECK_EQ(lb_template_captures(lb_str_of("/a"), lb_str_of("/a"), c, 3), 0);
}

/* Byte for byte, not by element; the longest in characters wins. */
static void plain_prefixes_match_by_byte(void) {
    static char longest[200];
    memset(longest, 'x', sizeof longest - 1);
    longest[0] = '/';
    static const row rows[] = {
        {.path = "/api", .type = LB_PATH_PLAIN}, {.path = "/api/", .type = LB_PATH_PLAIN},
        {.path = "/api/v1/it", .type = LB_PATH_PLAIN}, {.path = "/ap", .type = LB_PATH_PLAIN},
        {.path = longest, .type = LB_PATH_PLAIN}, {.path = "/.well", .type = LB_PATH_PLAIN},
    };
    static const expectation expected[] = {
        {{"GET", "h", "/api", {0}}, 0}, {{"GET", "h", "/apix/y", {0}}, 0}, {{"GET", "h", "/api/", {0}}, 1},
        {{"GET", "h", "/api/x", {0}}, 1}, {{"GET", "h", "/api/v1/items/7", {0}}, 2}, {{"GET", "h", "/api/v1/i", {0}}, 1},
        {{"GET", "h", "/apx", {0}}, 3}, {{"GET", "h", "/a", {0}}, NONE}, {{"GET", "h", "/", {0}}, NONE},
        {{"GET", "h", "/.well-known/x", {0}}, 5},
    };
    CHECK_ALL(rows, expected);
    lb_router *router = router_of(rows, 6, NULL);
    char target[300];
    snprintf(target, sizeof target, "%syz/a", longest);
    check_match(router, &(ask){"GET", "h", target, {0}}, 4);
    target[198] = 'z';
    check_match(router, &(ask){"GET", "h", target, {0}}, NONE);
    lb_router_free(router);
}

/* Exact > template to the end > regex, the longer text first > prefix; asked only where the literal beginning is there. */
static void regexes_match_whole_paths(void) {
    static const row rows[] = {
        {.path = "/a", .type = LB_PATH_PREFIX}, {.path = "/a/.*", .type = LB_PATH_REGEX},
        {.path = "/a/b.*", .type = LB_PATH_REGEX}, {.path = "/a/{x}", .type = LB_PATH_TEMPLATE},
        {.path = "/a/b", .type = LB_PATH_EXACT}, {.path = "/z/.*", .type = LB_PATH_REGEX},
    };
    static const expectation expected[] = {
        {{"GET", "h", "/a/b", {0}}, 4}, {{"GET", "h", "/a/bc", {0}}, 3}, {{"GET", "h", "/a/bc/d", {0}}, 2},
        {{"GET", "h", "/a/c/d", {0}}, 1}, {{"GET", "h", "/a", {0}}, 0}, {{"GET", "h", "/z/", {0}}, 5},
        {{"GET", "h", "/z", {0}}, NONE}, {{"GET", "h", "/a/c%2Fd", {0}}, REFUSED}, {{"GET", "h", "/a/x/c%2Fd", {0}}, 1},
    };
    CHECK_ALL(rows, expected);
    lb_router *router = router_of(rows, 6, NULL);
    lb_request request = {.method = lb_str_of("GET"), .target = lb_str_of("/a/c/d")};
    lb_matching m;
    lb_answer answer;
    char scratch[16];
    CHECK_EQ(lb_router_begin(router, &request, scratch, &m, &answer), LB_NEED_REGEX);
    CHECK_EQ(m.n_questions, 1);
    CHECK(lb_str_equal(m.questions[0].text, request.target));
    lb_router_free(router);
}

static void a_pattern_has_a_literal_beginning(void) {
    static const char *const cases[][2] = {
        {"/api/v\\d+/(a|b)", "/api/v"}, {"^/files/x\\.png$", "/files/x.png"}, {"/colou?r", "/colo"}, {"/a|/b", "/"},
        {"/a+", "/a"}, {"/a*", "/"}, {"/ab{2}", "/a"}, {"/(a|b)", "/"}, {"", "/"}, {"a", "/"}, {".*", "/"}, {"/a\\", "/a"},
        {"/a[|]b", "/a"}, {"/a[]|]b|/c", "/"}, {"/a\\Q(\\E|/b", "/"}, {"/a[(]|/b", "/"}, {"/a(b|c", "/a"}, {"/a)|(", "/"},
        {"/\xc3\xa9", "/"}, {"/a%2F", "/a"}, {"/a\\-b", "/a-b"}, {"/a\\/b", "/a/b"}, {"(?i)/a", "/"}, {"/a[[:alpha:]|]", "/a"},
        {"/a[b|", "/"}, {"/a\\|b", "/a"}, {"/a.b", "/a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char to[64];
        lb_str got = lb_pattern_prefix(lb_str_of(cases[i][0]), to);
        bool right = lb_str_equal(got, lb_str_of(cases[i][1]));
        if (!right) fprintf(stderr, "%s: %.*s\n", cases[i][0], (int)got.len, got.data);
        CHECK(right);
    }
}

/* "*.a.b matches one or more labels on the left, never a.b itself"; "most characters in a matching non-wildcard
 * hostname, then most characters in a matching hostname"; a host whose routes do not hold leads on to the wider one. */
static void hosts_match_by_label(void) {
    static const row rows[] = {
        {.path = "/", .type = LB_PATH_PREFIX}, {.hosts = {"*.example.com"}, .path = "/", .type = LB_PATH_PREFIX},
        {.hosts = {"*.b.example.com"}, .path = "/", .type = LB_PATH_PREFIX},
        {.hosts = {"X.example.com", "y.b.example.com"}, .path = "/only", .type = LB_PATH_PREFIX},
        {.hosts = {"example.com"}, .path = "/", .type = LB_PATH_PREFIX, .methods = {"GET"}},
    };
    static const expectation expected[] = {
        {{"GET", "example.com", "/", {0}}, 4}, {{"PUT", "example.com", "/", {0}}, 0}, {{"GET", "com", "/", {0}}, 0},
        {{"GET", "a.example.com", "/", {0}}, 1}, {{"GET", "a.a.example.com", "/", {0}}, 1},
        {{"GET", "b.example.com", "/", {0}}, 1}, {{"GET", "a.b.example.com", "/", {0}}, 2},
        {{"GET", "c.a.b.example.com", "/only", {0}}, 2}, {{"GET", "x.example.com", "/only/x", {0}}, 3},
        {{"GET", "x.EXAMPLE.com.:8080", "/only", {0}}, 3}, {{"GET", "x.example.com", "/", {0}}, 1},
        {{"GET", "y.b.example.com", "/only", {0}}, 3}, {{"GET", "y.b.example.com", "/o", {0}}, 2},
        {{"GET", "xexample.com", "/", {0}}, 0}, {{"GET", "a.example.com.evil.com", "/", {0}}, 0},
        {{"GET", "a..example.com", "/", {0}}, REFUSED}, {{"GET", ".example.com", "/", {0}}, REFUSED},
    };
    CHECK_ALL(rows, expected);
}

/* "Exact path > longest PathPrefix (characters) > has a method match > number of header matches > number of query
 * matches", then the order of the specifications. */
static void precedence_is_the_gateway_apis(void) {
    static const row rows[] = {
        {.path = "/a", .type = LB_PATH_PREFIX, .headers = {{"h", "1"}, {"i", "1"}}, .query = {{"q", "1"}, {"r", "1"}}},
        {.path = "/a", .type = LB_PATH_PREFIX, .query = {{"q", "1"}, {"r", "1"}}},
        {.path = "/a", .type = LB_PATH_PREFIX, .headers = {{"h", "1"}}},
        {.path = "/a", .type = LB_PATH_PREFIX},
        {.path = "/a", .type = LB_PATH_PREFIX},
        {.path = "/a", .type = LB_PATH_PREFIX, .methods = {"GET"}},
        {.path = "/a", .type = LB_PATH_EXACT, .methods = {"PUT"}},
        {.path = "/a/b", .type = LB_PATH_PREFIX, .methods = {"PUT"}},
        {.path = "/a", .type = LB_PATH_PREFIX, .query = {{"q", "1"}}},
    };
    static const expectation expected[] = {
        {{"GET", "h", "/a", {0}}, 5}, {{"POST", "h", "/a", {0}}, 3}, {{"PUT", "h", "/a", {0}}, 6},
        {{"PUT", "h", "/a/b", {0}}, 7}, {{"GET", "h", "/a/b", {0}}, 5}, {{"POST", "h", "/a/b", {0}}, 3},
        {{"POST", "h", "/a?q=1", {0}}, 8}, {{"POST", "h", "/a?q=1&r=1", {0}}, 1},
        {{"POST", "h", "/a?q=1&r=1", {"H", "1"}}, 2}, {{"POST", "h", "/a?q=1&r=1", {"H", "1", "I", "1"}}, 0},
        {{"GET", "h", "/a?q=1&r=1", {"H", "1", "I", "1"}}, 5},
    };
    CHECK_ALL(rows, expected);
}

/* "methods are case-sensitive tokens" (RFC 9110 9.1) */
static void methods_are_tokens(void) {
    static const row rows[] = {
        {.path = "/", .type = LB_PATH_PREFIX, .methods = {"POST", "PATCH"}},
        {.path = "/", .type = LB_PATH_PREFIX, .methods = {"PURGE", "DELETE", "LINK"}},
        {.path = "/", .type = LB_PATH_PREFIX, .methods = {"X"}, .query = {{"a", "1"}}},
    };
    static const expectation expected[] = {
        {{"POST", "h", "/", {0}}, 0}, {{"PATCH", "h", "/", {0}}, 0}, {{"post", "h", "/", {0}}, NONE},
        {{"PURGE", "h", "/", {0}}, 1}, {{"DELETE", "h", "/", {0}}, 1}, {{"LINK", "h", "/", {0}}, 1},
        {{"LIN", "h", "/", {0}}, NONE}, {{"GET", "h", "/", {0}}, NONE}, {{"PURGE ", "h", "/", {0}}, REFUSED},
        {{"", "h", "/", {0}}, REFUSED}, {{"X", "h", "/?a=1", {0}}, 2}, {{"X", "h", "/", {0}}, NONE},
        {{"X\xc5\xbf", "h", "/", {0}}, REFUSED}, {{"OPTIONS", "h", "*", {0}}, NONE}, {{"PRI", "h", "*", {0}}, REFUSED},
    };
    CHECK_ALL(rows, expected);
}

/* "names case-insensitive; a repeated name in the list: only the first counts"; rule 7: "values trimmed of SP/HTAB;
 * repeated fields joined with a comma; CR, LF, NUL refused; more than one Host refused" */
static void headers_match(void) {
    static const row rows[] = {
        {.path = "/", .type = LB_PATH_PREFIX},
        {.path = "/", .type = LB_PATH_PREFIX, .headers = {{"X-Version", "2"}, {"x-vERSION", "3"}}},
        {.path = "/", .type = LB_PATH_PREFIX, .headers = {{"x-list", "a,b, c"}, {"x-other", ""}}},
    };
    static const expectation expected[] = {
        {{"GET", "h", "/", {"x-version", "2"}}, 1}, {{"GET", "h", "/", {"X-VERSION", " \t2 \t"}}, 1},
        {{"GET", "h", "/", {"x-version", "3"}}, 0}, {{"GET", "h", "/", {"x-version", ""}}, 0},
        {{"GET", "h", "/", {"x-version", "22"}}, 0}, {{"GET", "h", "/", {"x-version", "2", "x-version", "2"}}, 0},
        {{"GET", "h", "/", {"x-versio", "2"}}, 0}, {{"GET", "h", "/", {"x-versiom", "2"}}, 0},
        {{"GET", "h", "/", {"x-list", "a", "x-other", "", "X-List", "b, c"}}, 2},
        {{"GET", "h", "/", {"x-list", "a", "x-other", "", "X-List", "b,c"}}, 0},
        {{"GET", "h", "/", {"x-list", "a,b, c"}}, 0}, {{"GET", "h", "/", {"x-list", "a,b, c", "x-other", "1"}}, 0},
        {{"GET", "h", "/", {"x-list", "a", "x-list", "b", "x-list", "c", "x-other", ""}}, 0},
        {{"GET", "h", "/", {"x-version:", "2"}}, REFUSED}, {{"GET", "h", "/", {"", "2"}}, REFUSED},
        {{"GET", "h", "/", {"x y", "2"}}, REFUSED}, {{"GET", "h", "/", {"x", "long enough for a word\r"}}, REFUSED},
        {{"GET", "h", "/", {"x", "a\nb"}}, REFUSED}, {{"GET", "h", "/", {"x", "\t\t\t\t\t\t\t\t\x01\xff"}}, 0},
        {{"GET", "h", "/", {"Host", "h"}}, 0}, {{"GET", "h", "/", {"host", " h "}}, 0},
        {{"GET", "h", "/", {"Host", "H"}}, REFUSED}, {{"GET", "h", "/", {"Host", "h", "host", "h"}}, REFUSED},
        {{"GET", NULL, "/", {"Host", "h"}}, REFUSED}, {{"GET", "g", "http://h/", {"Host", "g"}}, 0},
        {{"GET", "g", "http://h/", {"Host", "h"}}, REFUSED}, {{"GET", "g", "/", {"hosu", "h"}}, 0},
    };
    CHECK_ALL(rows, expected);
    lb_router *router = router_of(rows, 3, NULL);
    lb_answer answer;
    char scratch[8];
    lb_header nul = {lb_str_of("x-version"), {"2\0", 2}};
    lb_request request = {.method = lb_str_of("GET"), .host = lb_str_of("h"), .target = lb_str_of("/"), .headers = &nul, .n_headers = 1};
    CHECK_EQ(lb_router_match(router, &request, scratch, &answer), LB_REFUSED);
    lb_router_free(router);
}

/* "First value of a repeated query parameter counts"; percent-decoded, "+" is a plus. */
static void query_parameters_match(void) {
    static const row rows[] = {
        {.path = "/", .type = LB_PATH_PREFIX},
        {.path = "/", .type = LB_PATH_PREFIX, .query = {{"debug", "true"}, {"debug", "false"}}},
        {.path = "/", .type = LB_PATH_PREFIX, .query = {{"a b", "c&d=+"}}},
        {.path = "/", .type = LB_PATH_PREFIX, .query = {{"empty", ""}, {"e2", ""}}},
    };
    static const expectation expected[] = {
        {{"GET", "h", "/?debug=true", {0}}, 1}, {{"GET", "h", "/?x=1&debug=true&debug=false", {0}}, 1},
        {{"GET", "h", "/?debug=false&debug=true", {0}}, 0}, {{"GET", "h", "/?debug=false", {0}}, 0},
        {{"GET", "h", "/?%64ebug=tru%65", {0}}, 1}, {{"GET", "h", "/?debug%3Dtrue", {0}}, 0},
        {{"GET", "h", "/?x=debug=true", {0}}, 0}, {{"GET", "h", "/?debug", {0}}, 0}, {{"GET", "h", "/?debug=", {0}}, 0},
        {{"GET", "h", "/?debug=true%00", {0}}, 0}, {{"GET", "h", "/?debug=tru", {0}}, 0},
        {{"GET", "h", "/?a=1;debug=true", {0}}, 0}, {{"GET", "h", "/?DEBUG=true", {0}}, 0},
        {{"GET", "h", "/?a%20b=c%26d=+", {0}}, 2}, {{"GET", "h", "/?a+b=c%26d=+", {0}}, 0},
        {{"GET", "h", "/?a%20b=c%26d%3d%2B", {0}}, 2}, {{"GET", "h", "/?a%20b=c%26d%3D%20", {0}}, 0},
        {{"GET", "h", "/?empty&e2=", {0}}, 3}, {{"GET", "h", "/?empty", {0}}, 0}, {{"GET", "h", "/?", {0}}, 0},
        {{"GET", "h", "/?&&=&e2&empty=", {0}}, 3}, {{"GET", "h", "/?debug=true#", {0}}, REFUSED},
    };
    CHECK_ALL(rows, expected);
}

/* One of several values, presence, absence, a pattern over the whole value. */
static void conditions_have_tests(void) {
    static const row rows[] = {
        {.path = "/", .type = LB_PATH_PREFIX},
        {.path = "/h", .type = LB_PATH_PREFIX, .headers = {{"x", "|a|b,c"}}},
        {.path = "/h", .type = LB_PATH_PREFIX, .headers = {{"y", "?"}, {"z", "!"}}},
        {.path = "/h", .type = LB_PATH_PREFIX, .headers = {{"y", "~v.*9"}, {"z", "~1"}}},
        {.path = "/q", .type = LB_PATH_PREFIX, .query = {{"x", "|a|b c"}}},
        {.path = "/q", .type = LB_PATH_PREFIX, .query = {{"y", "?"}, {"z", "!"}}},
        {.path = "/q", .type = LB_PATH_PREFIX, .query = {{"y", "~v.*9"}, {"z", "~1"}}},
    };
    static const expectation expected[] = {
        {{"GET", "h", "/h", {"x", "a"}}, 1}, {{"GET", "h", "/h", {"x", "b", "x", "c"}}, 1},
        {{"GET", "h", "/h", {"x", "b"}}, 0}, {{"GET", "h", "/h", {"x", ""}}, 0}, {{"GET", "h", "/h", {0}}, 0},
        {{"GET", "h", "/h", {"Y", ""}}, 2}, {{"GET", "h", "/h", {"Y", "v19", "z", ""}}, 0},
        {{"GET", "h", "/h", {"Y", "v19", "z", "1"}}, 3}, {{"GET", "h", "/h", {"Y", "v1", "y", "9", "z", "1"}}, 3},
        {{"GET", "h", "/h", {"Y", "v1", "y", "8", "z", "1"}}, 0}, {{"GET", "h", "/h", {"Y", "v19", "z", "11"}}, 0},
        {{"GET", "h", "/q?x=a", {0}}, 4}, {{"GET", "h", "/q?x=b%20c", {0}}, 4}, {{"GET", "h", "/q?x=b", {0}}, 0},
        {{"GET", "h", "/q?y", {0}}, 5}, {{"GET", "h", "/q?y=v%39&z=", {0}}, 0}, {{"GET", "h", "/q?y=v%39&z=1", {0}}, 6},
        {{"GET", "h", "/q?y=v%38&z=1", {0}}, 0}, {{"GET", "h", "/q?z=1", {0}}, 0},
    };
    CHECK_ALL(rows, expected);
}

/* ---- connection --------------------------------------------------------------------------------------------- */

typedef struct wire_expectation { wire wire; int want; } wire_expectation;

static void check_wires(const row *rows, uint32_t n, const wire_expectation *expected, size_t n_expected) {
    static const ask a = {"GET", "h", "/", {0}};
    lb_router *router = router_of(rows, n, NULL);
    lb_answer answer;
    for (size_t i = 0; i < n_expected; i++) CHECK_EQ(match_on(router, &a, &expected[i].wire, &answer), expected[i].want);
    lb_router_free(router);
}

static void connections_match(void) {
    static const row rows[] = {
        {.path = "/", .type = LB_PATH_PREFIX, .snis = {"a.example", "*.b.example"}},
        {.path = "/", .type = LB_PATH_PREFIX, .schemes = {"https", "wss"}, .ports = {443, 8443}},
        {.path = "/", .type = LB_PATH_PREFIX, .sources = {"10.0.0.0/8", "2001:db8::/33"}},
        {.path = "/", .type = LB_PATH_PREFIX, .destinations = {"192.0.2.1"}},
        {.path = "/", .type = LB_PATH_PREFIX, .source_ports = {7}},
    };
    static const wire_expectation expected[] = {
        {{.sni = "A.example."}, 0}, {{.sni = "b.example"}, NONE}, {{.sni = "x.y.B.example"}, 0}, {{.sni = "."}, NONE},
        {{.scheme = "HTTPS", .port = 443}, 1}, {{.scheme = "wss", .port = 8443}, 1}, {{.scheme = "https"}, NONE},
        {{.scheme = "http", .port = 443}, NONE}, {{.port = 443}, NONE},
        {{.source = "10.255.0.1"}, 2}, {{.source = "11.0.0.1"}, NONE}, {{.source = "::ffff:10.0.0.1"}, 2},
        {{.source = "2001:db8:7fff::"}, 2}, {{.source = "2001:db8:8000::"}, NONE}, {{.source = "10.0.0"}, NONE},
        {{.destination = "192.0.2.1"}, 3}, {{.destination = "192.0.2.2"}, NONE}, {{.source = "192.0.2.1"}, NONE},
        {{.source_port = 7}, 4}, {{.source_port = 8}, NONE}, {{.destination_port = 7}, NONE},
    };
    check_wires(rows, 5, expected, sizeof expected / sizeof *expected);
}

/* "*.x" is one label (Kubernetes: "only covers one DNS label"); the longest path first, exact before prefix. */
static void ingress_orders_by_path(void) {
    static const row rows[] = {
        {.path = "/", .type = LB_PATH_PREFIX, .hosts = {"*.x.com"}}, {.path = "/a/b", .type = LB_PATH_PREFIX},
        {.path = "/a", .type = LB_PATH_PREFIX, .hosts = {"y.x.com"}}, {.path = "/a", .type = LB_PATH_EXACT, .hosts = {"y.x.com"}},
        {.path = "/a/b", .type = LB_PATH_PREFIX, .hosts = {"y.x.com"}},
    };
    static const expectation expected[] = {
        {{"GET", "z.x.com", "/q", {0}}, 0}, {{"GET", "w.z.x.com", "/q", {0}}, NONE}, {{"GET", "x.com", "/q", {0}}, NONE},
        {{"GET", "w.z.x.com", "/a/b", {0}}, 1}, {{"GET", "z.x.com", "/a/b", {0}}, 0}, {{"GET", "y.x.com", "/a", {0}}, 3},
        {{"GET", "y.x.com", "/a/", {0}}, 2}, {{"GET", "y.x.com", "/a/b", {0}}, 4}, {{"GET", "y.x.com", "/c", {0}}, 0},
    };
    spec_store stores[5];
    lb_route_spec specs[5];
    for (int i = 0; i < 5; i++) specs[i] = spec_of(&rows[i], &stores[i]);
    lb_router *router = NULL;
    CHECK_EQ(lb_router_new(&router, specs, 5, LB_FLAVOR_INGRESS, 1, NULL), LB_OK);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) check_match(router, &expected[i].ask, expected[i].want);
    lb_router_free(router);
    CHECK(lb_flavor_whole_path(LB_FLAVOR_INGRESS) && lb_flavor_whole_path((lb_flavor)9));
    CHECK(!lb_flavor_whole_path(LB_FLAVOR_KONG_TRADITIONAL));
}

/* ---- streams ------------------------------------------------------------------------------------------------ */

static lb_router *stream_router(const row *rows, uint32_t n, lb_flavor flavor) {
    lb_route_spec *specs = calloc(n, sizeof *specs);
    spec_store *stores = calloc(n, sizeof *stores);
    lb_router *router = NULL;
    for (uint32_t i = 0; i < n; i++) {
        specs[i] = spec_of(&rows[i], &stores[i]);
        specs[i].path = (lb_str){0};
        specs[i].stream = true;
    }
    CHECK_EQ(lb_router_new(&router, specs, n, flavor, 1, NULL), LB_OK);
    free(specs);
    free(stores);
    return router;
}

static int stream_of(const lb_router *router, const wire *w) {
    static const ask nothing = {"", NULL, "", {0}};
    lb_header headers[4];
    lb_request request = request_of(&nothing, w, headers);
    lb_answer answer;
    return lb_router_match_stream(router, &request, &answer) == LB_FOUND ? (int)answer.route : NONE;
}

/* Most characters in an exact SNI, in an SNI; a port; the longest prefix of the source, then of the destination. */
static void streams_match_by_connection(void) {
    static const row rows[] = {
        {.path = "", .schemes = {"tcp", "tls"}}, {.path = "", .ports = {9000}}, {.path = "", .snis = {"*.x.com"}},
        {.path = "", .snis = {"a.x.com"}}, {.path = "", .snis = {"*.a.x.com"}, .ports = {9000}},
        {.path = "", .ports = {9000}, .sources = {"10.0.0.0/8"}}, {.path = "", .ports = {9000}, .sources = {"10.1.0.0/16"}},
        {.path = "", .ports = {9000}, .sources = {"10.1.0.0/16"}, .destinations = {"::1"}},
        {.path = "", .ports = {53}, .schemes = {"udp"}}, {.path = "", .ports = {9000}, .sources = {"2001:db8::/32", "0.0.0.0/0"}},
    };
    static const wire_expectation expected[] = {
        {{.scheme = "tcp"}, 0}, {{.scheme = "udp"}, NONE}, {{.scheme = "tcp", .port = 9000}, 1}, {{.scheme = "udp", .port = 53}, 8},
        {{.sni = "b.X.com"}, 2}, {{.sni = "a.x.com."}, 3}, {{.sni = "b.a.x.com", .port = 9000}, 4}, {{.sni = "b.a.x.com"}, 2},
        {{.port = 9000, .source = "10.2.0.1"}, 5}, {{.port = 9000, .source = "10.1.0.1"}, 6}, {{.port = 9000, .source = "11.0.0.1"}, 9},
        {{.port = 9000, .source = "10.1.0.1", .destination = "::1"}, 7}, {{.port = 9000, .source = "2001:db8::1"}, 9},
        {{.port = 9000, .source = "2002:db8::1"}, 1}, {{.sni = "x.com"}, NONE},
    };
    lb_router *router = stream_router(rows, 10, LB_FLAVOR_GATEWAY_API);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) CHECK_EQ(stream_of(router, &expected[i].wire), expected[i].want);
    check_match(router, &(ask){"GET", "h", "/", {0}}, NONE);
    lb_router_free(router);
}

/* Many SNIs, ports and blocks: found by the index, the same as one by one. */
static void many_streams_are_indexed(void) {
    enum { N = 300 };
    static row rows[N];
    static char names[N][32];
    for (uint32_t i = 0; i < N; i++) {
        rows[i] = (row){.path = ""};
        if (i % 3 == 0) rows[i].snis[0] = names[i], snprintf(names[i], 32, i % 2 ? "*.S%u.com" : "s%u.com", i);
        if (i % 3 == 1) rows[i].ports[0] = (uint16_t)(i + 1), rows[i].ports[1] = 7;
        if (i % 3 == 2) rows[i].sources[0] = names[i], snprintf(names[i], 32, "10.%u.0.0/%u", i % 256, 16 + i % 5);
    }
    for (int flavor = 0; flavor < 4; flavor++) {
        if (flavor == LB_FLAVOR_KONG_COMPATIBLE) continue;  /* there an SNI holds where there is no TLS */
        lb_router *router = stream_router(rows, N, (lb_flavor)flavor);
        for (uint32_t i = 0; i < N; i++) {
            char text[40];
            wire w = {.scheme = "tls"};
            if (i % 3 == 0) w.sni = text, snprintf(text, 40, i % 2 ? "x.s%u.Com" : "S%u.com.", i);
            if (i % 3 == 1) w.port = (uint16_t)(i + 1);
            if (i % 3 == 2) w.source = text, snprintf(text, 40, "10.%u.0.9", i % 256);
            CHECK_EQ(stream_of(router, &w), i);
        }
        CHECK_EQ(stream_of(router, &(wire){.scheme = "tls", .port = 7}), 1);
        CHECK_EQ(stream_of(router, &(wire){.scheme = "tls", .sni = "s1.com"}), NONE);
        lb_router_free(router);
    }
}

/* ---- questions ---------------------------------------------------------------------------------------------- */

/* Only what can still win is asked, the least rank first; equal questions once. */
static void only_patterns_that_can_win_are_asked(void) {
    static const row rows[] = {
        {.path = "/", .type = LB_PATH_PREFIX, .headers = {{"x", "~a"}}},
        {.path = "/p", .type = LB_PATH_PREFIX, .headers = {{"x", "~b"}}, .query = {{"q", "~b"}}},
        {.path = "/p", .type = LB_PATH_PREFIX, .headers = {{"x", "~b"}}, .methods = {"PUT"}},
        {.path = "/p", .type = LB_PATH_PREFIX},
        {.path = "/p/q", .type = LB_PATH_EXACT, .headers = {{"x", "~b"}}, .methods = {"GET"}},
    };
    lb_router *router = router_of(rows, 5, NULL);
    static const ask a = {"GET", "h", "/p/q?q=b", {"x", "b"}};
    lb_header headers[4];
    lb_request request = request_of(&a, NULL, headers);
    lb_matching m;
    lb_answer answer;
    char scratch[64];
    CHECK_EQ(lb_router_match(router, &request, scratch, &answer), LB_NEED_REGEX);
    CHECK_EQ(lb_router_begin(router, &request, scratch, &m, &answer), LB_NEED_REGEX);
    CHECK_EQ(m.n_questions, 1);                             /* one pattern, one text: both rules ask the same */
    CHECK(lb_str_equal(m.questions[0].text, lb_str_of("b")));
    CHECK_EQ(lb_router_resume(&m, 1, &answer), LB_FOUND);
    CHECK_EQ(answer.route, 4);
    CHECK_EQ(lb_router_begin(router, &request, scratch, &m, &answer), LB_NEED_REGEX);
    CHECK_EQ(lb_router_resume(&m, 0, &answer), LB_FOUND);
    CHECK_EQ(answer.route, 3);
    lb_router_free(router);
}

/* More candidates than one round has room for; and the two readings of a %2F, each with its own questions. */
static void many_patterns_take_rounds(void) {
    enum { N = 150 };
    static row rows[N];
    static char patterns[N][8];
    for (uint32_t i = 0; i < N; i++) {
        snprintf(patterns[i], sizeof patterns[i], "~%u", i);
        rows[i] = (row){.path = i % 2 ? "/" : "/p", .type = LB_PATH_PREFIX, .headers = {{"x", patterns[i]}}};
    }
    lb_router *router = router_of(rows, N, NULL);
    check_match(router, &(ask){"GET", "h", "/p", {"x", "148"}}, 148);
    check_match(router, &(ask){"GET", "h", "/p", {"x", "149"}}, 149);
    check_match(router, &(ask){"GET", "h", "/p", {"x", "0"}}, 0);
    check_match(router, &(ask){"GET", "h", "/p", {"x", "150"}}, NONE);
    check_match(router, &(ask){"GET", "h", "/q%2F", {"x", "149"}}, 149);
    check_match(router, &(ask){"GET", "h", "/%2Fp", {"x", "148"}}, REFUSED);
    check_match(router, &(ask){"GET", "h", "/%2Fp", {"x", "147"}}, 147);
    lb_router_free(router);
}

static void long_values_are_refused_only_if_a_pattern_must_see_them(void) {
    static const row rows[] = {
        {.path = "/", .type = LB_PATH_PREFIX}, {.path = "/p", .type = LB_PATH_PREFIX, .query = {{"q", "~.*"}}},
        {.path = "/p", .type = LB_PATH_EXACT},
    };
    static char target[LB_ASKED_MAX + 64];
    lb_router *router = router_of(rows, 3, NULL);
    for (size_t n = LB_ASKED_MAX - 1; n <= LB_ASKED_MAX + 1; n++) {
        static char scratch[sizeof target + 8];
        lb_matching m;
        lb_answer answer;
        memcpy(target, "/p/?q=", 6);
        memset(target + 6, 'a', n);
        lb_request request = {.method = lb_str_of("GET"), .target = {target, n + 6}};
        CHECK_EQ(naive_drive(router, &request, scratch, &m, &answer), n <= LB_ASKED_MAX ? LB_FOUND : LB_REFUSED);
        CHECK_EQ(answer.route, n <= LB_ASKED_MAX ? 1u : LB_NONE);
        memcpy(target, "/x/?q=", 6);
        CHECK_EQ(naive_drive(router, &request, scratch, &m, &answer), LB_FOUND);
        memcpy(target, "/p/?q=%61", 9);                     /* has to be written anew */
        request.target.len = 9 + LB_JOINED_MAX + n - LB_ASKED_MAX;
        CHECK_EQ(naive_drive(router, &request, scratch, &m, &answer), n < LB_ASKED_MAX ? LB_FOUND : LB_REFUSED);
    }
    lb_router_free(router);
}

/* Rule 4: "%2F and %5C stay data.  If reading them as / would select another route, refuse; otherwise match and forward
 * as they are." */
static void encoded_slashes_need_two_equal_readings(void) {
    static const row rows[] = {
        {.hosts = {"h"}, .path = "/", .type = LB_PATH_PREFIX}, {.path = "/admin", .type = LB_PATH_PREFIX},
        {.hosts = {"h"}, .path = "/admin", .type = LB_PATH_PREFIX}, {.path = "/f/a%2Fb", .type = LB_PATH_EXACT},
        {.path = "/f", .type = LB_PATH_PREFIX},
    };
    static const expectation expected[] = {
        {{"GET", "h", "/files/a%2Fb", {0}}, 0}, {{"GET", "h", "/x/..%2fadmin", {0}}, REFUSED},
        {{"GET", "h", "/admin%2f", {0}}, REFUSED}, {{"GET", "h", "/%5cadmin", {0}}, REFUSED},
        {{"GET", "h", "/x/..%5Cadmin", {0}}, REFUSED}, {{"GET", "h", "/admin/a%2fb%5c", {0}}, 2},
        {{"GET", "h", "/admin/..%2f", {0}}, REFUSED}, {{"GET", "h", "/a%2F%2F..%2Fb", {0}}, REFUSED},
        {{"GET", "g", "/admin%2f", {0}}, REFUSED}, {{"GET", "g", "/a%2fb", {0}}, NONE},
        {{"GET", "g", "/admin%2fx/../..%2f", {0}}, NONE}, {{"GET", "h", "/x%2F/../admin", {0}}, 2},
        {{"GET", "g", "/f/a%2fb", {0}}, REFUSED}, {{"GET", "g", "/f/a%2fc", {0}}, 4}, {{"GET", "h", "/%252F", {0}}, 0},
        {{"GET", "x", "HTTP://H/files/a%5cb", {0}}, 0}, {{"GET", "x", "HTTP://H/%5Cadmin", {0}}, REFUSED},
    };
    CHECK_ALL(rows, expected);
}

static void check_answer(const lb_router *r, const ask *a, const char *path, const char *query, const char *host) {
    lb_answer answer;
    match_row(r, a, &answer);
    CHECK(path ? lb_str_equal(answer.path, lb_str_of(path)) : answer.path.data == NULL);
    CHECK(query ? answer.query.data && lb_str_equal(answer.query, lb_str_of(query)) : answer.query.data == NULL);
    CHECK(host ? lb_str_equal(answer.host, lb_str_of(host)) : answer.host.data == NULL);
}

/* Rule 5: "Match the canonical path, and give it to the proxy: what was matched is what is forwarded." */
static void the_answer_is_canonical(void) {
    static const row rows[] = {{.path = "/a", .type = LB_PATH_PREFIX}};
    lb_router *r = router_of(rows, 1, NULL);
    check_answer(r, &(ask){"GET", "X.Y:80", "/a/../%61//b?c=%2f", {0}}, "/a/b", "c=%2f", "x.y");
    check_answer(r, &(ask){"GET", NULL, "/a", {0}}, "/a", NULL, NULL);
    check_answer(r, &(ask){"GET", "", "/nowhere/..", {0}}, "/", NULL, "");
    check_answer(r, &(ask){"GET", "Q", "http://A-Long.Authority.EXAMPLE.com:8080/%61?", {0}}, "/a", "",
                 "a-long.authority.example.com");
    check_answer(r, &(ask){"GET", "x", "HTTP://Y.Z/a%2Fb/a/../c", {0}}, NULL, NULL, NULL);
    check_answer(r, &(ask){"GET", "x", "HTTP://Y.Z/a/a%2Fb/a/../c", {0}}, "/a/a%2Fb/c", NULL, "y.z");
    check_answer(r, &(ask){"OPTIONS", "x", "http://Y.Z", {0}}, "*", NULL, "y.z");
    check_answer(r, &(ask){"OPTIONS", "x", "*", {0}}, "*", NULL, "x");
    check_answer(r, &(ask){"GET", "x y", "/a", {0}}, NULL, NULL, NULL);
    check_answer(r, &(ask){"GET", "x y", "http://y/a", {0}}, NULL, NULL, NULL);
    check_answer(r, &(ask){"GET", "x", "http://u@y/a", {0}}, NULL, NULL, NULL);
    check_match(r, &(ask){"GET", "x", "http://y/a", {0}}, 0);
    lb_router_free(r);
}

int main(void) {
    RUN(paths_match_by_element);
    RUN(templates_match_by_segment);
    RUN(captures_are_spans);
    RUN(plain_prefixes_match_by_byte);
    RUN(regexes_match_whole_paths);
    RUN(a_pattern_has_a_literal_beginning);
    RUN(hosts_match_by_label);
    RUN(precedence_is_the_gateway_apis);
    RUN(methods_are_tokens);
    RUN(headers_match);
    RUN(query_parameters_match);
    RUN(conditions_have_tests);
    RUN(connections_match);
    RUN(ingress_orders_by_path);
    RUN(streams_match_by_connection);
    RUN(many_streams_are_indexed);
    RUN(only_patterns_that_can_win_are_asked);
    RUN(many_patterns_take_rounds);
    RUN(long_values_are_refused_only_if_a_pattern_must_see_them);
    RUN(encoded_slashes_need_two_equal_readings);
    RUN(the_answer_is_canonical);
    return check_result();
}

/* Tests of the room route: what it refuses to compile, and what a failed allocation leaves. */
#include "route_rows.h"

/* ---- what lb_router_new refuses --------------------------------------------------------------------------- */

static void check_refused(const row *bad, const char *field, const char *in_reason) {
    row rows[2] = {{.path = "/", .type = LB_PATH_PREFIX}, *bad};
    lb_error err = {{0}, {0}};
    CHECK(router_of(rows, 2, NULL) == NULL);
    CHECK(router_of(rows, 2, &err) == NULL);
    bool right = strcmp(err.field, field) == 0 && strstr(err.reason, in_reason);
    if (!right) fprintf(stderr, "%s: %s (want %s: %s)\n", err.field, err.reason, field, in_reason);
    CHECK(right);
}

static void wrong_specifications_are_named(void) {
    const struct { row row; const char *field, *reason; } bad[] = {
        {{.path = ""}, "routes[1].path", "begin with"},
        {{.path = "a"}, "routes[1].path", "\"a\" does not begin with"},
        {{.path = "*"}, "routes[1].path", "begin with"},
        {{.path = "http://x/"}, "routes[1].path", "begin with"},
        {{.path = "/a//b"}, "routes[1].path", "write \"/a/b\""},
        {{.path = "/a/.."}, "routes[1].path", "write \"/\""},
        {{.path = "/%c3"}, "routes[1].path", "write \"/%C3\""},
        {{.path = "/a//.."}, "routes[1].path", "is no path: the path differs"},
        {{.path = "/a?b"}, "routes[1].path", "query"},
        {{.path = "/a b\xc3\n"}, "routes[1].path", "\"/a b\\xC3\\x0A\" is no path: the target holds a byte"},
        {{.path = "/a/{}", .type = LB_PATH_TEMPLATE}, "routes[1].path", "a name is letters"},
        {{.path = "/a/{...}", .type = LB_PATH_TEMPLATE}, "routes[1].path", "a name is letters"},
        {{.path = "/a/{b-c}", .type = LB_PATH_TEMPLATE}, "routes[1].path", "a name is letters"},
        {{.path = "/a/{b}/{b...}", .type = LB_PATH_TEMPLATE}, "routes[1].path", "a name occurs twice"},
        {{.path = "/a/{b...}/c", .type = LB_PATH_TEMPLATE}, "routes[1].path", "not the last"},
        {{.path = "/a/x{b}", .type = LB_PATH_TEMPLATE}, "routes[1].path", "is no path"},
        {{.path = "/a//{b}", .type = LB_PATH_TEMPLATE}, "routes[1].path", "not canonical"},
        {{.path = "a/{b}", .type = LB_PATH_TEMPLATE}, "routes[1].path", "begin with"},
        {{.path = "/a", .type = (lb_path_type)7}, "routes[1].path_type", "7"},
        {{.path = "/a", .hosts = {"x", ""}}, "routes[1].hosts[1]", "empty"},
        {{.path = "/a", .hosts = {"*"}}, "routes[1].hosts[0]", "\"*\" is not a host name"},
        {{.path = "/a", .hosts = {"*."}}, "routes[1].hosts[0]", "begins with a byte"},
        {{.path = "/a", .hosts = {"*.*.x"}}, "routes[1].hosts[0]", "begins with a byte"},
        {{.path = "/a", .hosts = {"x.*.y"}}, "routes[1].hosts[0]", "followed by"},
        {{.path = "/a", .hosts = {"x:80"}}, "routes[1].hosts[0]", "port"},
        {{.path = "/a", .hosts = {"x."}}, "routes[1].hosts[0]", "trailing dot"},
        {{.path = "/a", .hosts = {"x..y"}}, "routes[1].hosts[0]", "empty label"},
        {{.path = "/a", .hosts = {"[::1]"}}, "routes[1].hosts[0]", "IPv6"},
        {{.path = "/a", .hosts = {"*.[::1]"}}, "routes[1].hosts[0]", "is not a host name"},
        {{.path = "/a", .methods = {"GET", "P T"}}, "routes[1].methods[1]", "\"P T\" is not a token"},
        {{.path = "/a", .headers = {{"x:", "1"}}}, "routes[1].headers[0].name", "\"x:\" is not a header name"},
        {{.path = "/a", .headers = {{"x", " 1"}}}, "routes[1].headers[0].value", "never matches"},
        {{.path = "/a", .headers = {{"x", "1\n2"}}}, "routes[1].headers[0].value", "\\x0A"},
        {{.path = "/a", .headers = {{"x", "1"}}, .query = {{"", "1"}}}, "routes[1].query[0].name", "empty"},
        {{.path = "/a", .headers = {{"x", "|1|2 "}}}, "routes[1].headers[0].value", "\"2 \" never matches"},
        {{.path = "/a", .snis = {"x.y", "x:1"}}, "routes[1].snis[1]", "port"},
        {{.path = "/a", .schemes = {"1http"}}, "routes[1].schemes[0]", "\"1http\" is not a scheme"},
        {{.path = "/a", .schemes = {""}}, "routes[1].schemes[0]", "not a scheme"},
        {{.path = "/a", .sources = {"10.0.0.0/33"}}, "routes[1].sources[0].block", "10.0.0.0/33"},
        {{.path = "/a", .sources = {"10.0.0.0/"}}, "routes[1].sources[0].block", "not an IP address"},
        {{.path = "/a", .sources = {"::/0128"}}, "routes[1].sources[0].block", "not an IP address"},
        {{.path = "/a", .sources = {"::/1x"}}, "routes[1].sources[0].block", "not an IP address"},
        {{.path = "/a", .destinations = {"::1", "fe80::1%e"}}, "routes[1].destinations[1].block", "not an IP"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_refused(&bad[i].row, bad[i].field, bad[i].reason);
}

static void limits_are_named(void) {
    enum { HOSTS = (1 << 20) + 1 };
    lb_router *router = NULL;
    lb_error err;
    char *text = malloc(70000);
    memset(text, 'a', 70000);
    text[0] = '/';
    lb_route_spec spec = {.path = {text, 65536}};
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].path") == 0 && strstr(err.reason, "65536 bytes; at most 65535"));
    spec.path.len = 100;
    text[50] = ' ';
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strstr(err.reason, "aaa...\" is no path") != NULL);
    spec.path.len = 50;
    lb_str host = {text + 100, 256}, method = host;
    spec.hosts = &host;
    spec.n_hosts = 1;
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].hosts[0]") == 0 && strstr(err.reason, "more than 255 bytes"));
    spec.n_hosts = 0;
    spec.methods = &method;
    spec.n_methods = 1;
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].methods[0]") == 0);
    spec.n_methods = 1024;
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].methods") == 0 && strstr(err.reason, "1024; at most 1023"));
    spec.n_methods = 0;
    spec.n_conditions = 1024;
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].conditions") == 0 && strstr(err.reason, "1024; at most 1023"));
    static lb_condition conditions[LB_N_PATTERNS_MAX + 1];
    spec.conditions = conditions;
    spec.n_conditions = 1;
    conditions[0] = (lb_condition){.name = {text, 20}, .kind = LB_CONDITION_QUERY, .test = LB_TEST_ANY_OF};
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].query[0].values") == 0 && strstr(err.reason, "0; 1 to 1023"));
    conditions[0].test = (lb_test)5;
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].query[0].test") == 0);
    for (uint32_t i = 0; i <= LB_N_PATTERNS_MAX; i++)
        conditions[i] = (lb_condition){.name = {text, i + 1}, .kind = LB_CONDITION_QUERY, .test = LB_TEST_REGEX};
    spec.n_conditions = LB_N_PATTERNS_MAX + 1;
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].conditions") == 0 && strstr(err.reason, "at most 16"));
    spec.n_conditions = 0;
    lb_peers peers = {{0}, 65536};
    static const uint16_t no_port = 0;
    spec.sources = &peers;
    spec.n_sources = 1;
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].sources[0].port") == 0);
    spec.n_sources = 1024;
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].sources") == 0);
    spec.n_sources = 0;
    spec.ports = &no_port;
    spec.n_ports = 1;
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].ports[0]") == 0);
    spec.n_ports = 0;
    CHECK_EQ(lb_router_new(&router, &spec, 1, (lb_flavor)9, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "flavor") == 0);
    lb_route_spec two[2] = {spec, spec};
    two[0].n_hosts = two[1].n_hosts = UINT32_MAX;
    CHECK_EQ(lb_router_new(&router, two, 2, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes") == 0 && strstr(err.reason, "8589934590"));
    lb_str *hosts = malloc(HOSTS * sizeof *hosts);
    char (*names)[8] = malloc(HOSTS * sizeof *names);
    for (uint32_t i = 0; i < HOSTS; i++) {
        snprintf(names[i], sizeof names[i], "%x", i);
        hosts[i] = lb_str_of(names[i]);
    }
    spec.hosts = hosts;
    spec.n_hosts = HOSTS;
    CHECK_EQ(lb_router_new(&router, &spec, 1, LB_FLAVOR_GATEWAY_API, 0, &err), LB_ERR_CONFIG);
    CHECK(strcmp(err.field, "routes[0].hosts[1048576]") == 0);
    CHECK(router == NULL);
    free(names);
    free(hosts);
    free(text);
}

/* ---- memory ----------------------------------------------------------------------------------------------- */

static lb_status build_and_free(void) {
    static const row rows[] = {
        {.path = "/a/b", .type = LB_PATH_PREFIX, .hosts = {"x.com", "*.y.com"}, .methods = {"PURGE", "GET"}},
        {.path = "/a%2Fb", .type = LB_PATH_EXACT, .headers = {{"a", "1"}}, .query = {{"b", "2"}}},
        {.path = "/1/2/3/4/5/6/7/8/9/10/11/12", .type = LB_PATH_PREFIX, .methods = {"LINK", "UNLINK", "PATCH"}},
        {.path = "/b", .type = LB_PATH_EXACT, .headers = {{"a", "1"}, {"b", "1"}}},
        {.path = "/c", .hosts = {"1", "2", "3"}}, {.path = "/d", .hosts = {"4", "5", "6"}},
        {.path = "/e", .hosts = {"7", "8", "9"}, .query = {{"a", "1"}, {"b", "1"}, {"c", "1"}}},
        {.path = "/f", .query = {{"a", "1"}, {"b", "1"}, {"c", "1"}}}, {.path = "/g", .query = {{"a", "1"}}},
        {.path = "/h", .query = {{"a", "1"}}}, {.path = "/i", .query = {{"a", "1"}}},
        {.path = "/j", .query = {{"a", "1"}}}, {.path = "/k", .query = {{"a", "1"}}},
        {.path = "/l", .headers = {{"a", "1"}}}, {.path = "/l", .headers = {{"a", "2"}}},
        {.path = "/l", .headers = {{"a", "3"}}}, {.path = "/l", .headers = {{"a", "|4|5|6"}}},
        {.path = "/l", .headers = {{"a", "a long value"}}}, {.path = "/l", .sources = {"10.0.0.0/8"}, .ports = {1, 2}},
        {.path = "/l", .headers = {{"a", "|7|8"}}}, {.path = "/l", .headers = {{"a", "|9|10|11|12|13|14|15|16|17"}}},
        {.path = "/l", .headers = {{"a", "18"}}}, {.path = "/l", .headers = {{"a", "19"}}},
        {.path = "/n/{a}/{b...}", .type = LB_PATH_TEMPLATE}, {.path = "/n/{a}/{b}/c", .type = LB_PATH_TEMPLATE},
        {.path = "/plain/prefix", .type = LB_PATH_PLAIN}, {.path = "/re/.*", .type = LB_PATH_REGEX},
        {.path = "/m", .headers = {{"a", "~18"}}, .snis = {"a.b"}, .schemes = {"https"}, .destinations = {"::/0"}},
    };
    enum { N = sizeof rows / sizeof *rows };
    spec_store stores[N];
    lb_route_spec specs[N];
    for (uint32_t i = 0; i < N; i++) specs[i] = spec_of(&rows[i], &stores[i]);
    lb_router *router = NULL;
    lb_error err = {{0}, {0}};
    lb_status status = lb_router_new(&router, specs, N, LB_FLAVOR_GATEWAY_API, 1, &err);
    CHECK((router == NULL) == (status != LB_OK));
    if (status == LB_ERR_NOMEM) CHECK(strcmp(err.reason, "out of memory") == 0);
    lb_router_free(router);
    return status;
}

static void a_failed_allocation_leaves_nothing(void) {
    CHECK(every_allocation_fails_once(build_and_free) > 30);
    lb_router_free(NULL);
}

int main(void) {
    RUN(wrong_specifications_are_named);
    RUN(limits_are_named);
    RUN(a_failed_allocation_leaves_nothing);
    return check_result();
}

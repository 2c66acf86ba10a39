/* Fuzz target: a table of routes and requests, both out of the input; in every flavour the router must say what a scan of
 * the list says, made at once and made by changes.
 *
 * Input: lines.  "r" begins a route, "x" one for streams, "q" asks; the lines between say what, one letter and a text:
 *   p exact path   P prefix   h host   m method   H header name=value   Q query name=value       for the route begun
 *   t template   y plain prefix   R regex                                                         for the route begun
 *   s SNI   c scheme   o port (as many as there are bytes)   a source   d destination            for the route begun
 *   M method   T target   O host   F field name:value                                            for the next "q"
 *   S SNI   C scheme   N port (likewise)   A source   D destination                              for the next "q"
 * The value of H and Q: "?" present, "!" absent, "~x" matches the pattern x, "|a|b" a or b, else the value itself.
 * Routes the router refuses to compile are left out: it must refuse them alone as well as in the table.
 */
#include "lbcore.h"

#include "../core/naive_traditional.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ASSERT(condition) \
    do {                  \
        if (!(condition)) abort(); \
    } while (0)

enum { MAX_ROUTES = 24, MAX_PARTS = 4, MAX_ASKS = 16 };

enum { PATTERN_MAX = 12 };              /* the twin's matcher tries every split */

typedef struct parts {
    lb_str hosts[MAX_PARTS], methods[MAX_PARTS], snis[MAX_PARTS], schemes[MAX_PARTS], values[MAX_PARTS][MAX_PARTS];
    lb_condition conditions[MAX_PARTS];
    lb_peers sources[MAX_PARTS], destinations[MAX_PARTS];
    uint16_t ports[MAX_PARTS];
} parts;

typedef struct scene {
    lb_route_spec specs[MAX_ROUTES];
    parts parts[MAX_ROUTES];
    uint32_t n;
    lb_header headers[MAX_PARTS];
    lb_request request;
    uint32_t n_asks;
} scene;

static lb_str take_line(lb_str *rest) {
    size_t n = 0;
    while (n < rest->len && rest->data[n] != '\n') n++;
    lb_str line = {rest->data, n};
    size_t skip = n < rest->len ? n + 1 : n;
    *rest = (lb_str){rest->data + skip, rest->len - skip};
    return line;
}

static lb_str split(lb_str *text, char separator) {
    size_t n = 0;
    while (n < text->len && text->data[n] != separator) n++;
    lb_str first = {text->data, n};
    size_t skip = n < text->len ? n + 1 : n;
    *text = (lb_str){text->data + skip, text->len - skip};
    return first;
}

static bool compiles(const lb_route_spec *specs, uint32_t n, lb_flavor flavor, lb_router **router) {
    lb_error err = {{0}, {0}};
    lb_status status = lb_router_new(router, specs, n, flavor, 11, &err);
    ASSERT(status == LB_OK || (status == LB_ERR_CONFIG && strncmp(err.field, "routes[", 7) == 0 && err.reason[0]));
    return status == LB_OK;
}

static void keep_last_if_it_compiles(scene *s) {
    lb_router *router = NULL;
    if (s->n == 0) return;
    if (!compiles(&s->specs[s->n - 1], 1, LB_FLAVOR_GATEWAY_API, &router)) s->n--;
    lb_router_free(router);
}

static void begin_route(scene *s, bool stream) {
    keep_last_if_it_compiles(s);
    if (s->n == MAX_ROUTES) return;
    parts *p = &s->parts[s->n];
    memset(p, 0, sizeof *p);
    s->specs[s->n++] = (lb_route_spec){.hosts = p->hosts, .path = {"/", stream ? 0 : 1}, .path_type = LB_PATH_PREFIX,
                                       .stream = stream,
                                       .methods = p->methods, .conditions = p->conditions, .snis = p->snis,
                                       .schemes = p->schemes, .ports = p->ports, .sources = p->sources,
                                       .destinations = p->destinations};
}

/* ---- asking ----------------------------------------------------------------------------------------------------- */

/* The request, and its connection: the router says what the twin says of the list; order[i] is the number of list[i]. */
static void compare(const lb_router *router, lb_flavor flavor, const lb_route_spec *list, const uint32_t *order, uint32_t n,
                    const lb_request *request) {
    lb_answer answer, stream;
    lb_matching matching;
    uint32_t want, want_stream = naive_stream(flavor, list, n, request);
    char *scratch = malloc(lb_scratch_size(request) + 1);
    lb_match_outcome expected = naive_match_in(flavor, list, n, request, &want);
    lb_match_outcome got = naive_drive(router, request, scratch, &matching, &answer);
    ASSERT(got == expected && answer.route == (want == LB_NONE ? LB_NONE : order[want]));
    ASSERT((got == LB_REFUSED) == (answer.reason != NULL));
    ASSERT(got == LB_REFUSED || answer.path.len > 0);
    lb_match_outcome found = lb_router_match_stream(router, request, &stream);
    ASSERT(stream.route == (want_stream == LB_NONE ? LB_NONE : order[want_stream]));
    ASSERT((found == LB_FOUND) == (stream.route != LB_NONE));
    free(scratch);
}

/* ---- changes: the same routes by another way ---------------------------------------------------------------------- */

/* Half of the routes at first, the others added one by one at their places; every third is taken away again.  What is
 * left answers as a list of it does, before a merge and after. */
typedef struct history {
    lb_router *router;
    lb_route_spec specs[MAX_ROUTES], list[MAX_ROUTES];      /* by number; in order */
    uint32_t order[MAX_ROUTES], n, n_ids;
} history;

static void replace(history *h, lb_router *next) {
    ASSERT(next);
    lb_router_free(h->router);
    h->router = next;
}

static void insert(history *h, const lb_route_spec *spec, uint32_t place) {
    lb_router *next = NULL;
    lb_addition added = {*spec, place < h->n ? h->order[place] : LB_NONE};
    ASSERT(lb_router_change(&next, h->router, NULL, 0, &added, 1, NULL) == LB_OK);
    replace(h, next);
    memmove(&h->order[place + 1], &h->order[place], (h->n++ - place) * sizeof *h->order);
    h->order[place] = h->n_ids;
    h->specs[h->n_ids++] = *spec;
}

static void take_away(history *h, uint32_t place) {
    lb_router *next = NULL;
    ASSERT(lb_router_change(&next, h->router, &h->order[place], 1, NULL, 0, NULL) == LB_OK);
    replace(h, next);
    memmove(&h->order[place], &h->order[place + 1], (--h->n - place) * sizeof *h->order);
}

static void compare_history(history *h, lb_flavor flavor, const lb_request *request) {
    for (uint32_t i = 0; i < h->n; i++) h->list[i] = h->specs[h->order[i]];
    compare(h->router, flavor, h->list, h->order, h->n, request);
}

static void ask_changed(const scene *s, lb_flavor flavor) {
    history *h = calloc(1, sizeof *h);
    lb_router *merged = NULL;
    for (uint32_t i = 0; i < s->n; i += 2) h->order[h->n++] = h->n_ids, h->specs[h->n_ids++] = s->specs[i];
    ASSERT(compiles(h->specs, h->n, flavor, &h->router));
    for (uint32_t i = 1; i < s->n; i += 2) insert(h, &s->specs[i], i);
    compare_history(h, flavor, &s->request);
    for (uint32_t i = h->n; i-- > 0;)
        if (i % 3 == 2) take_away(h, i);
    compare_history(h, flavor, &s->request);
    ASSERT(lb_router_merge(&merged, h->router, h->specs, NULL) == LB_OK);
    replace(h, merged);
    compare_history(h, flavor, &s->request);
    lb_router_free(h->router);
    free(h);
}

static void ask(scene *s) {
    uint32_t order[MAX_ROUTES];
    keep_last_if_it_compiles(s);
    if (s->n_asks++ >= MAX_ASKS) return;
    for (uint32_t i = 0; i < s->n; i++) order[i] = i;
    for (int flavor = LB_FLAVOR_GATEWAY_API; flavor <= LB_FLAVOR_KONG_COMPATIBLE; flavor++) {
        lb_router *router = NULL;
        ASSERT(compiles(s->specs, s->n, (lb_flavor)flavor, &router));
        compare(router, (lb_flavor)flavor, s->specs, order, s->n, &s->request);
        lb_router_free(router);
    }
    ask_changed(s, (lb_flavor)(s->n_asks % 4));             /* each flavour in turn */
    s->request.n_headers = 0;
}

/* ---- reading the input --------------------------------------------------------------------------------------------- */

static void add_values(lb_condition *c, lb_str *values, lb_str text) {
    c->test = LB_TEST_ANY_OF;
    c->values = values;
    while (text.len > 0 && c->n_values < MAX_PARTS) values[c->n_values++] = split(&text, '|');
}

static void add_condition(lb_route_spec *spec, parts *p, char what, lb_str text) {
    lb_condition *c = &p->conditions[spec->n_conditions];
    lb_str name = split(&text, '='), rest = {text.data + 1, text.len - 1};
    char test = text.len ? text.data[0] : 'x';
    if (test == '~' && rest.len > PATTERN_MAX) return;
    *c = (lb_condition){.name = name, .value = text};
    if (what == 'Q') c->kind = LB_CONDITION_QUERY;
    if (test == '?') c->test = LB_TEST_PRESENT;
    if (test == '!') c->test = LB_TEST_ABSENT;
    if (test == '~') c->test = LB_TEST_REGEX, c->value = rest, c->pattern = naive_pattern(rest);
    if (test == '|') add_values(c, p->values[spec->n_conditions], rest);
    spec->n_conditions++;
}

static void add_connection(lb_route_spec *spec, parts *p, char what, lb_str text) {
    if (what == 's' && spec->n_snis < MAX_PARTS) p->snis[spec->n_snis++] = text;
    if (what == 'c' && spec->n_schemes < MAX_PARTS) p->schemes[spec->n_schemes++] = text;
    if (what == 'o' && spec->n_ports < MAX_PARTS) p->ports[spec->n_ports++] = (uint16_t)text.len;
    lb_str block = split(&text, '@');                       /* what follows the "@" counts as a port */
    if (what == 'a' && spec->n_sources < MAX_PARTS)
        p->sources[spec->n_sources++] = (lb_peers){block, (uint32_t)text.len};
    if (what == 'd' && spec->n_destinations < MAX_PARTS)
        p->destinations[spec->n_destinations++] = (lb_peers){block, (uint32_t)text.len};
}

static void add_to_route(scene *s, char what, lb_str text) {
    if (s->n == 0) return;
    lb_route_spec *spec = &s->specs[s->n - 1];
    parts *p = &s->parts[s->n - 1];
    if (what == 'R' && text.len > PATTERN_MAX) return;
    if (memchr("pPtyR", what, 5)) {
        spec->path = text;
        spec->path_type = what == 'p' ? LB_PATH_EXACT : what == 'P' ? LB_PATH_PREFIX : what == 't' ? LB_PATH_TEMPLATE
                          : what == 'y' ? LB_PATH_PLAIN : LB_PATH_REGEX;
        spec->pattern = naive_pattern(what == 'R' ? text : (lb_str){0});
    } else if (what == 'h' && spec->n_hosts < MAX_PARTS) {
        p->hosts[spec->n_hosts++] = text;
    } else if (what == 'm' && spec->n_methods < MAX_PARTS) {
        p->methods[spec->n_methods++] = text;
    } else if ((what == 'H' || what == 'Q') && spec->n_conditions < MAX_PARTS) {
        add_condition(spec, p, what, text);
    } else {
        add_connection(spec, p, what, text);
    }
}

static void add_to_request(scene *s, char what, lb_str text) {
    if (what == 'M') s->request.method = text;
    if (what == 'T') s->request.target = text;
    if (what == 'O') s->request.host = text;
    if (what == 'S') s->request.sni = text;
    if (what == 'C') s->request.scheme = text;
    if (what == 'N') s->request.port = (uint16_t)text.len;
    if (what == 'A') s->request.source = text;
    if (what == 'D') s->request.destination = text, s->request.destination_port = s->request.source_port = 1;
    if (what == 'F' && s->request.n_headers < MAX_PARTS) {
        lb_str name = split(&text, ':');
        s->headers[s->request.n_headers++] = (lb_header){name, text};
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lb_str rest = {(const char *)data, size};
    scene *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->request = (lb_request){.method = lb_str_of("GET"), .target = lb_str_of("/"), .headers = s->headers};
    while (rest.len > 0) {
        lb_str line = take_line(&rest);
        if (line.len == 0) continue;
        char what = line.data[0];
        lb_str text = {line.data + 1, line.len - 1};
        if (what == 'r' || what == 'x') begin_route(s, what == 'x');
        else if (what == 'q') ask(s);
        else add_to_route(s, what, text), add_to_request(s, what, text);
    }
    ask(s);
    naive_forget_patterns();
    free(s);
    return 0;
}

/* Tests of the room route: Kong's two router flavours against recorded answers of Kong (tests/golden/kong/README.md). */
#include "route_rows.h"

#include <regex.h>

enum { MAX_SPECS = 64, MAX_PATTERNS = 64, LINE = 2048, LISTS = 8 };

/* ---- a table of the file ---------------------------------------------------------------------------------------- */

typedef struct stored {
    lb_str hosts[LISTS], methods[LISTS], snis[LISTS], values[LISTS][LISTS];
    lb_peers sources[LISTS], destinations[LISTS];
    lb_condition conditions[LISTS];
    char line[LINE];
} stored;

typedef struct table {
    lb_flavor flavor;
    int number;
    bool stream;
    lb_route_spec specs[MAX_SPECS];
    stored stores[MAX_SPECS];
    int routes[MAX_SPECS];                      /* as the file counts them */
    uint32_t n;
    regex_t patterns[MAX_PATTERNS];
    uint32_t n_patterns;
    lb_router *router;
} table;

static uint32_t new_pattern(table *t, const char *text, bool at_start) {
    char anchored[LINE];
    snprintf(anchored, sizeof anchored, "%s%s", at_start ? "^" : "", text);
    if (t->n_patterns == MAX_PATTERNS || regcomp(&t->patterns[t->n_patterns], anchored, REG_EXTENDED | REG_NOSUB)) abort();
    return t->n_patterns++;
}

static bool holds(const table *t, const lb_question *q) {
    char text[LINE];
    snprintf(text, sizeof text, "%.*s", (int)q->text.len, q->text.data);
    return regexec(&t->patterns[q->pattern], text, 0, NULL, 0) == 0;
}

static void clear(table *t) {
    lb_router_free(t->router);
    for (uint32_t i = 0; i < t->n_patterns; i++) regfree(&t->patterns[i]);
    memset(t, 0, sizeof *t);
}

static void add_header(table *t, lb_route_spec *spec, stored *store, char *text) {
    lb_condition *c = &store->conditions[spec->n_conditions];
    lb_str *values = store->values[spec->n_conditions++];
    char *sign = strchr(text, '=');
    *sign = '\0';
    *c = (lb_condition){.name = lb_str_of(text), .values = values, .test = sign[1] == '~' ? LB_TEST_REGEX : LB_TEST_ANY_OF};
    if (c->test == LB_TEST_REGEX) c->pattern = new_pattern(t, sign + 2, false);
    else for (char *value = strtok(sign + 1, "|"); value; value = strtok(NULL, "|")) values[c->n_values++] = lb_str_of(value);
}

static lb_peers peers_of(char *text) {
    char *port = strchr(text, '@');
    return (lb_peers){{text, (size_t)(port - text)}, (uint32_t)atoi(port + 1)};
}

static void add_field(table *t, lb_route_spec *spec, stored *store, char *field) {
    char *text = field + 1;
    switch (field[0]) {
    case 'R': t->routes[t->n] = atoi(text); break;
    case 'h': store->hosts[spec->n_hosts++] = lb_str_of(text); break;
    case 'm': store->methods[spec->n_methods++] = lb_str_of(text); break;
    case 's': store->snis[spec->n_snis++] = lb_str_of(text); break;
    case 'a': store->sources[spec->n_sources++] = peers_of(text); break;
    case 'd': store->destinations[spec->n_destinations++] = peers_of(text); break;
    case 'H': add_header(t, spec, store, text); break;
    case 'p': spec->path = lb_str_of(text); break;
    case 'r': spec->path = lb_str_of(text), spec->path_type = LB_PATH_REGEX; break;
    case 'e': spec->pattern = new_pattern(t, text, true); break;
    case 'P': spec->priority = (uint32_t)atoi(text); break;
    default: abort();
    }
}

/* The next of tab-separated fields; NULL: none left. */
static char *next_field(char **rest) {
    char *field = *rest;
    if (!field) return NULL;
    char *tab = strchr(field, '\t');
    *rest = tab ? tab + 1 : NULL;
    if (tab) *tab = '\0';
    return field;
}

static void add_route(table *t, const char *line) {
    stored *store = &t->stores[t->n];
    lb_route_spec *spec = &t->specs[t->n];
    snprintf(store->line, LINE, "%s", line);
    *spec = (lb_route_spec){.path_type = LB_PATH_PLAIN, .hosts = store->hosts, .methods = store->methods,
                            .snis = store->snis, .sources = store->sources, .destinations = store->destinations,
                            .conditions = store->conditions, .stream = t->stream};
    char *rest = store->line, *field;
    while ((field = next_field(&rest))) add_field(t, spec, store, field);
    t->n++;
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static lb_match_outcome drive(const table *t, const lb_request *request, lb_answer *answer) {
    static char scratch[LINE];
    static lb_matching m;
    if (t->stream) return lb_router_match_stream(t->router, request, answer);
    lb_match_outcome outcome = lb_router_begin(t->router, request, scratch, &m, answer);
    while (outcome == LB_NEED_REGEX) {
        uint32_t verdicts = 0;
        for (uint32_t i = 0; i < m.n_questions; i++) verdicts |= (uint32_t)holds(t, &m.questions[i]) << i;
        outcome = lb_router_resume(&m, verdicts, answer);
    }
    return outcome;
}

static int ask_line(const table *t, char *rest, int *want) {
    lb_header headers[LISTS];
    lb_request request = {.headers = headers};
    lb_answer answer;
    for (char *field; (field = next_field(&rest));) {
        char *text = field + 1, *at = strchr(text, field[0] == 'F' ? '=' : '@');
        if (field[0] == 'Q') *want = atoi(text);
        if (field[0] == 'c') request.scheme = lb_str_of(text);
        if (field[0] == 'm') request.method = lb_str_of(text);
        if (field[0] == 't') request.target = lb_str_of(text);
        if (field[0] == 'h') request.host = lb_str_of(text);
        if (field[0] == 's') request.sni = lb_str_of(text);
        if (field[0] == 'a') request.source = (lb_str){text, (size_t)(at - text)}, request.source_port = (uint16_t)atoi(at + 1);
        if (field[0] == 'd')
            request.destination = (lb_str){text, (size_t)(at - text)}, request.destination_port = (uint16_t)atoi(at + 1);
        if (field[0] == 'F') headers[request.n_headers++] = (lb_header){{text, (size_t)(at - text)}, lb_str_of(at + 1)};
    }
    lb_match_outcome outcome = drive(t, &request, &answer);
    return outcome == LB_REFUSED ? REFUSED : outcome == LB_NO_ROUTE ? NONE : t->routes[answer.route];
}

static FILE *open_golden(void) {
    char path[1024];
    const char *name = strrchr(__FILE__, '/');
    snprintf(path, sizeof path, "%.*s/../golden/kong/routes.txt", name ? (int)(name - __FILE__) : 1, name ? __FILE__ : ".");
    return fopen(path, "r");
}

/* Per flavour and subsystem: how many answers, how many of them as recorded. */
static uint32_t asked[4][2], equal[4][2];

/* Where lbcore means to differ.  Rule 6: hosts are the same in any case (Kong compares the field as it came).  Rule 4: a
 * %2F is refused where reading it as "/" selects another route. */
static bool differs_by_rule(const char *line, int got) {
    bool upper = strstr(line, "\thA.") != NULL, slash = strstr(line, "%2F") != NULL;
    return upper || (slash && got == REFUSED);
}

static void check_line(table *t, char *line) {
    char copy[LINE];
    lb_error err = {{0}, {0}};
    int want = NONE;
    if (line[0] == 'C') {
        clear(t);
        t->flavor = (lb_flavor)(line[1] - '0');
        t->stream = strstr(line, "stream") != NULL;
        t->number = atoi(line + 3);
    }
    if (line[0] == 'R') add_route(t, line);
    if (line[0] != 'Q') return;
    if (!t->router && lb_router_new(&t->router, t->specs, t->n, t->flavor, 1, &err) != LB_OK)
        fprintf(stderr, "case %d: %s: %s\n", t->number, err.field, err.reason);
    if (!t->router) return;
    snprintf(copy, sizeof copy, "%s", line);
    int got = ask_line(t, copy, &want);
    asked[t->flavor][t->stream]++;
    equal[t->flavor][t->stream] += got == want;
    if (got == want || differs_by_rule(line, got)) return;
    fprintf(stderr, "flavour %d, case %d: got %d, want %s\n", (int)t->flavor, t->number, got, line);
    CHECK_EQ(got, want);
}

static void answers_are_kongs(void) {
    static table t;
    static char line[LINE];
    FILE *golden = open_golden();
    CHECK(golden != NULL);
    while (golden && fgets(line, sizeof line, golden)) {
        line[strcspn(line, "\n")] = '\0';
        check_line(&t, line);
    }
    clear(&t);
    if (golden) fclose(golden);
    for (int flavor = 2; flavor < 4; flavor++)
        printf("flavour %d: http %u of %u, stream %u of %u\n", flavor, equal[flavor][0], asked[flavor][0], equal[flavor][1],
               asked[flavor][1]);
    CHECK(equal[2][0] >= 1409 && equal[2][1] == 432 && equal[3][0] >= 1409 && equal[3][1] == 432);
    CHECK(asked[2][0] == 1456 && asked[3][0] == 1456 && asked[2][1] == 432 && asked[3][1] == 432);
}

int main(void) {
    RUN(answers_are_kongs);
    return check_result();
}

/* request: from the request line to the outcome; readings, questions, answers.
 *
 *     begin -> normalise -> [second reading, if %2F or %5C] -> first reading -> answer
 *                              |     ^                          |     ^
 *                              v     | verdicts                 v     |
 *                              questions                        questions
 *
 * Rule 4 "%2F and %5C stay data.  If reading them as / would select another route, refuse."  No route is another than
 *         one.  The second reading goes first: it needs the scratch of the first, which is then read once more.
 * Rounds  the search gives the least rank that holds, and the candidates before it that hold if their patterns do, the
 *         least LB_N_MAYBES of them.  Their patterns are asked, the first of them whose patterns match is the answer;
 *         if none does, all up to the last asked are settled and, where some were left out, the search runs once more.
 * Hits    in a flavour that reduces, each reading begins with a search for the path that is hit anywhere (hits.h),
 *         whose patterns are asked in rounds of their own.
 * Cost    a search per round; a round settles LB_N_QUESTIONS patterns at least.
 */
#include "route/bytes.h"
#include "route/normalise.h"
#include "route/hits.h"

/* ---- questions ---------------------------------------------------------------------------------------------- */

static const char too_long[] =
    "a path or value is too long, or a field repeated too often, for the routes' regular expressions";

static bool is_pattern(uint32_t kind) {
    return kind == LB_PREDICATE_path_regex || kind == LB_PREDICATE_header_regex || kind == LB_PREDICATE_query_regex
           || kind == LB_PREDICATE_header_each_regex;
}

/* A maybe, and which of the fields of a name it is asked about where any of them may match (header_each_regex): its
 * ways are numbered through, the fields of its first such condition count fastest. */
typedef struct way {
    const lb_maybe *maybe;
    const lb_seen *seen;
    uint32_t number;
} way;

static uint32_t n_fields(const lb_seen *seen, lb_str name) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < seen->request->n_headers; i++)
        n += lb_equal_ignoring_case(seen->request->headers[i].name, name);
    return n;
}

/* The predicates of a maybe: [*from, *to). */
static const lb_predicate *predicates_of(const lb_maybe *maybe, const lb_predicate **to) {
    const uint32_t *first = &maybe->tree->rules[maybe->rule - LB_BARE_RULES];
    *to = maybe->tree->predicates + first[1];
    return maybe->tree->predicates + first[0];
}

static uint64_t n_ways_of(const lb_maybe *maybe, const lb_seen *seen) {
    uint64_t n = 1;
    const lb_predicate *to, *p = predicates_of(maybe, &to);
    for (; p < to && n <= LB_N_QUESTIONS; p++)
        if (p->kind == LB_PREDICATE_header_each_regex) n *= n_fields(seen, lb_table_text(&maybe->tree->table, p->name));
    return n;
}

/* The field that this way asks about; what is left of its number is for the next condition. */
static lb_value field_of_way(way *w, lb_str name, char *to, size_t size) {
    uint32_t n = n_fields(w->seen, name), i = 0;
    lb_value value = {0};
    for (uint32_t skip = w->number % n + 1; skip > 0; skip--) value = lb_header_each(w->seen, name, &i, to, size);
    w->number /= n;
    return value;
}

/* What the pattern of a predicate is asked about; false: there is no room to write it. */
static bool text_of(lb_matching *m, way *w, const lb_predicate *p, lb_str *text) {
    char *to = m->joined + m->n_joined;
    size_t size = LB_JOINED_MAX - m->n_joined;
    *text = m->path;
    if (p->kind == LB_PREDICATE_path_regex) return text->len <= LB_ASKED_MAX;
    lb_str name = lb_table_text(&w->maybe->tree->table, p->name);
    lb_value value = p->kind == LB_PREDICATE_query_regex    ? lb_query_value(w->seen, name, to, size)
                     : p->kind == LB_PREDICATE_header_regex ? lb_header_value(w->seen, name, to, size)
                                                            : field_of_way(w, name, to, size);
    *text = value.text;
    return value.fits && value.text.len <= LB_ASKED_MAX;
}

static bool same_question(const lb_question *q, uint32_t pattern, lb_str text) {
    return q->pattern == pattern && lb_str_equal(q->text, text);
}

/* The bit of the question, asked anew if need be; 0: there is no room. */
static uint32_t bit_of_question(lb_matching *m, uint32_t pattern, lb_str text) {
    uint32_t i = 0;
    while (i < m->n_questions && !same_question(&m->questions[i], pattern, text)) i++;
    if (i == LB_N_QUESTIONS) return 0;
    if (i == m->n_questions) {
        m->questions[m->n_questions++] = (lb_question){pattern, text};
        if (text.data == m->joined + m->n_joined) m->n_joined += (uint32_t)text.len;
    }
    return UINT32_C(1) << i;
}

/* Add what one way needs; false: there is no room. */
static bool add_way(lb_matching *m, way w) {
    uint32_t needs = 0;
    const lb_predicate *to, *p = predicates_of(w.maybe, &to);
    for (; p < to; p++) {
        lb_str text;
        if (!is_pattern(p->kind)) continue;
        uint32_t bit = text_of(m, &w, p, &text) ? bit_of_question(m, p->value, text) : 0;
        if (bit == 0) return false;
        needs |= bit;
    }
    m->ways[m->n_ways].rank = w.maybe->rank;
    m->ways[m->n_ways].route = w.maybe->route;
    m->ways[m->n_ways++].needs = needs;
    return true;
}

/* Add all ways of a maybe, or, if there is no room for all, none. */
static bool add_maybe(lb_matching *m, const lb_maybe *maybe, const lb_seen *seen) {
    uint32_t n_questions = m->n_questions, n_joined = m->n_joined, n_ways = m->n_ways;
    uint64_t n = n_ways_of(maybe, seen);
    bool ok = n <= LB_N_QUESTIONS - n_ways;
    for (uint32_t i = 0; i < n && ok; i++) ok = add_way(m, (way){maybe, seen, i});
    if (ok) return true;
    m->n_questions = n_questions;
    m->n_joined = n_joined;
    m->n_ways = n_ways;
    return false;
}

/* The questions of the maybes that are better than the best, as many as there is room for.  The first always has room,
 * unless its texts are too long or too many. */
static const char *ask(lb_matching *m, const lb_search *s) {
    m->n_questions = m->n_ways = m->n_joined = 0;
    m->more = s->more;
    lb_rank best = {s->best, *s->best_tie};
    for (uint32_t i = 0; i < s->n_maybes && lb_rank_less(s->maybes[i].rank, best); i++) {
        if (add_maybe(m, &s->maybes[i], s->seen)) continue;
        m->more = true;
        return m->n_ways == 0 ? too_long : NULL;
    }
    return NULL;
}

/* ---- readings ----------------------------------------------------------------------------------------------- */

static const char two_routes[] = "the path holds %2F or %5C, and reading them as \"/\" would give another route";
static const lb_rank nothing_settled = {0, 0};

static lb_match_outcome refuse(const char *reason, lb_answer *answer) {
    *answer = (lb_answer){.route = LB_NONE, .reason = reason};
    return LB_REFUSED;
}

static lb_match_outcome conclude(const lb_matching *m, uint32_t route, lb_answer *answer) {
    *answer = (lb_answer){.route = route, .path = m->path, .query = m->query, .host = m->host};
    return route == LB_NONE ? LB_NO_ROUTE : LB_FOUND;
}

/* In a flavour that reduces: first what path is hit, anywhere, then what wins in view of the hits. */
static void find_best(lb_matching *m, lb_search *s) {
    lb_hits hits;
    s->hits = NULL;
    if (m->hitting) {
        lb_search_paths(m->router, s);
        return;
    }
    if (m->router->flavor->reduces) {
        lb_hits_find(&hits, m->router, s->seen, m->host, m->hit);
        s->hits = &hits;
    }
    lb_search_router(m->router, s, m->host, m->bucket);
}

/* Search the path of this reading.  True: m->best is its route; false: there are questions, or *refused. */
static bool search(lb_matching *m, const char **refused) {
    lb_maybe maybes[LB_N_MAYBES];
    lb_seen seen = {m->request, m->query, m->method_bit, m->host_port, false};
    lb_search s;
    s.path = lb_table_key(&m->router->base->table, m->path);
    s.seen = &seen;
    s.settled = m->settled;
    s.maybes = maybes;
    find_best(m, &s);
    m->best = s.route;
    if (s.n_maybes == 0) return true;
    *refused = ask(m, &s);
    return !*refused && m->n_ways == 0;
}

static void read_first_again(lb_matching *m) {
    lb_reading reading;
    (void)lb_read_target(m->request->method, m->request->target, m->scratch, &reading);
    m->path = reading.path;
    m->second = false;
    m->hitting = m->router->flavor->reduces;
    m->settled = nothing_settled;
}

/* From a search on, or from the route of this reading if it is known. */
static lb_match_outcome go_on(lb_matching *m, bool known, lb_answer *answer) {
    const char *refused = NULL;
    for (;; known = false) {
        if (!known && !search(m, &refused)) break;
        if (m->hitting) {
            m->hit = m->best;
            m->hitting = false;
            m->settled = nothing_settled;
            continue;
        }
        if (!m->second) {
            if (m->again && m->best != m->other) return refuse(two_routes, answer);
            return conclude(m, m->best, answer);
        }
        m->other = m->best;
        read_first_again(m);
    }
    if (refused) return refuse(refused, answer);
    *answer = (lb_answer){.route = LB_NONE};
    return LB_NEED_REGEX;
}

/* Rule 1: in the absolute-form "its authority replaces Host"; a Host that is none is refused all the same (RFC 9112
 * 3.2).  The scratch of the host lies behind that of the path, and is as long as both. */
static const char *read_host_of(lb_matching *m, const lb_reading *reading) {
    bool dropped;
    char *behind = m->scratch + (m->request->target.len - reading->authority.len);
    const char *refused = lb_read_host(m->request->host, behind, &m->host, &dropped);
    if (!refused && reading->authority.data) refused = lb_read_host(reading->authority, behind, &m->host, &dropped);
    return refused;
}

/* Most requests name a host that the table holds, and what it holds is canonical: there is nothing to read. */
static const char *find_host(lb_matching *m, const lb_reading *reading) {
    const lb_tree *base = m->router->base;
    m->host = m->request->host;
    m->bucket = reading->authority.data ? LB_NONE : lb_bucket_of(base, m->host);
    if (m->bucket != LB_NONE) return NULL;
    const char *refused = read_host_of(m, reading);
    bool as_sent = m->host.data == m->request->host.data && m->host.len == m->request->host.len;
    if (!refused && !as_sent) m->bucket = lb_bucket_of(base, m->host);
    return refused;
}

/* The number behind the last ":" of a host that was found right; 0: there is none. */
static uint32_t port_of(lb_str host) {
    uint32_t value = 0, unit = 1;
    for (size_t i = host.len; i-- > 0 && host.data[i] != ':'; unit = unit < 100000 ? unit * 10 : 0) {
        if (host.data[i] < '0' || host.data[i] > '9' || i == 0) return 0;
        value += (uint32_t)(host.data[i] - '0') * unit;
    }
    return value;
}

static const char *read_request(lb_matching *m) {
    lb_reading reading;
    m->method_bit = lb_method_bit(m->request->method);
    const char *refused = m->method_bit ? NULL : lb_check_method(m->request->method);
    if (!refused && m->request->n_headers > 0) refused = lb_check_fields(m->request);
    if (!refused) refused = lb_read_target(m->request->method, m->request->target, m->scratch, &reading);
    if (!refused) refused = find_host(m, &reading);
    if (refused) return refused;
    m->path = reading.path;
    m->query = reading.query;
    m->host_port = m->router->flavor->kong ? port_of(reading.authority.data ? reading.authority : m->request->host) : 0;
    m->again = m->second = reading.encoded_slash;
    return m->second ? lb_read_again(reading.path, m->scratch, &m->path) : NULL;
}

lb_match_outcome lb_router_begin(const lb_router *router, const lb_request *request, char *scratch, lb_matching *m,
                           lb_answer *answer) {
    m->router = router;
    m->request = request;
    m->scratch = scratch;
    m->settled = nothing_settled;
    m->hitting = router->flavor->reduces;
    m->host = (lb_str){0};
    const char *refused = read_request(m);
    if (refused) return refuse(refused, answer);
    if (m->path.data[0] != '/') return conclude(m, LB_NONE, answer);           /* "*" "and never a path" (rule 1) */
    return go_on(m, false, answer);
}

lb_match_outcome lb_router_resume(lb_matching *m, uint32_t verdicts, lb_answer *answer) {
    for (uint32_t i = 0; i < m->n_ways; i++) {
        if (m->ways[i].needs & ~verdicts) continue;
        m->best = m->ways[i].route;
        return go_on(m, true, answer);
    }
    m->settled = m->ways[m->n_ways - 1].rank;
    return go_on(m, !m->more, answer);
}

lb_match_outcome lb_router_match(const lb_router *router, const lb_request *request, char *scratch, lb_answer *answer) {
    lb_matching matching;
    return lb_router_begin(router, request, scratch, &matching, answer);
}

lb_match_outcome lb_router_match_stream(const lb_router *router, const lb_request *request, lb_answer *answer) {
    lb_seen seen = {.request = request, .stream = true};
    lb_search search = {.seen = &seen};
    lb_hits hits;
    if (router->flavor->reduces) {
        lb_hits_find(&hits, router, &seen, (lb_str){0}, LB_NONE);
        search.hits = &hits;
    }
    lb_search_streams(router, &search);
    *answer = (lb_answer){.route = search.route};
    return search.route == LB_NONE ? LB_NO_ROUTE : LB_FOUND;
}

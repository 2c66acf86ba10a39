/* route: from a request to the rule that serves it, in three outcomes: found, none, refused.
 *
 *   request --normalise--> canonical host, path --host table--> bucket --exact table, segment trie--> candidates
 *                                                                         | by rank, predicates
 *                                                                         v
 *                                                              the least rank whose predicates hold
 *
 * What was matched is what is forwarded: the answer carries the canonical path.
 * Keeps   a router is immutable; any number of threads may match at once.  No recursion over input, no allocation
 *         in match.
 */
#ifndef LBCORE_ROUTE_ROUTE_H
#define LBCORE_ROUTE_ROUTE_H

#include "base/status.h"
#include "base/str.h"

typedef enum lb_path_type {
    LB_PATH_EXACT = 0,              /* byte for byte */
    LB_PATH_PREFIX,                 /* by path element: /abc matches /abc, /abc/ and /abc/d, never /abcd */
    LB_PATH_TEMPLATE,               /* by segment, to the end: "{name}" is one segment, not empty; "{name...}", the
                                       last, is all that is left behind its slash, be it nothing */
    LB_PATH_PLAIN,                  /* byte for byte, the beginning: /abc matches /abcd too */
    LB_PATH_REGEX,                  /* the caller's `pattern`; `path` is its text, for its literal beginning */
} lb_path_type;

/* How routes are ordered and read; a flavour is data (rank.c). */
typedef enum lb_flavor {
    LB_FLAVOR_GATEWAY_API = 0,      /* the Gateway API's, and lbcore's own form */
    LB_FLAVOR_INGRESS,              /* Kubernetes Ingress: "*.x" is one label */
    LB_FLAVOR_KONG_TRADITIONAL,     /* Kong's traditional.lua */
    LB_FLAVOR_KONG_COMPATIBLE,      /* Kong's traditional_compatible */
} lb_flavor;

/* Whether the patterns of paths cover the whole path; else they are anchored at its start only (Kong). */
bool lb_flavor_whole_path(lb_flavor flavor);

/* What a condition asks of a value. */
typedef enum lb_test {
    LB_TEST_EXACT = 0,              /* it is `value` */
    LB_TEST_ANY_OF,                 /* it is one of `values` */
    LB_TEST_PRESENT,                /* it is there, be it empty */
    LB_TEST_ABSENT,                 /* it is not */
    LB_TEST_REGEX,                  /* the caller's `pattern` matches it */
} lb_test;

/* One condition beside host, path and method.  Header names compare ASCII case-insensitively, all else byte for byte:
 * a header's trimmed value, repeated fields joined with ","; a query parameter's first value, name and value of the
 * request percent-decoded once ("+" is a plus).  Of conditions with the same name only the first counts.
 * Kong's flavours: a header's values are compared ASCII case-insensitively, each field alone; a pattern sees it in
 * lower case. */
typedef struct lb_condition {
    enum { LB_CONDITION_HEADER = 0, LB_CONDITION_QUERY } kind;
    lb_str name, value;
    lb_test test;
    uint32_t pattern;               /* the caller's number, which questions come back with */
    const lb_str *values;
    uint32_t n_values;
} lb_condition;

/* Addresses and a port at one end of a connection. */
typedef struct lb_peers {
    lb_str block;                   /* "10.0.0.1", "10.0.0.0/8", "2001:db8::/32"; empty: every address */
    uint32_t port;                  /* 1 to 65535; 0: every port */
} lb_peers;

/* One match of one rule.  All strings are copied by lb_router_new(). */
typedef struct lb_route_spec {
    const lb_str *hosts;            /* exact, or "*.suffix" (one or more labels); none: every host.  Kong's
                                       flavours: also "prefix.*", and ":port" behind any */
    uint32_t n_hosts;
    lb_str path;                    /* begins with "/" and is canonical, else LB_ERR_CONFIG; a regex: RE2's syntax,
                                       matched from the first byte of the path on.  Kong's flavours: empty
                                       (LB_PATH_PLAIN): no condition */
    lb_path_type path_type;
    const lb_str *methods;          /* tokens, case-sensitive; none: every method */
    uint32_t n_methods;
    const lb_condition *conditions; /* all must hold */
    uint32_t n_conditions;
    /* Of the connection; each list: one of it must hold, none: no condition. */
    const lb_str *snis;             /* exact, or "*.suffix" (one or more labels) */
    uint32_t n_snis;
    const lb_str *schemes;          /* "https": letters, digits, "+", "-", "."; compared ASCII case-insensitively */
    uint32_t n_schemes;
    const uint16_t *ports;          /* of the listener, 1 to 65535 */
    uint32_t n_ports;
    const lb_peers *sources, *destinations;
    uint32_t n_sources, n_destinations;
    uint32_t pattern;               /* LB_PATH_REGEX: the caller's number, which questions come back with */
    uint32_t priority;              /* LB_PATH_REGEX in Kong's flavours: its regex_priority, the greater first */
    bool stream;                    /* for lb_router_match_stream() alone: nothing but connection is given */
} lb_route_spec;

typedef struct lb_header { lb_str name, value; } lb_header;

typedef struct lb_request {
    lb_str method;
    lb_str host;                    /* the Host field or :authority; data NULL: none was sent */
    lb_str target;                  /* raw, as on the request line, with ?query */
    const lb_header *headers;       /* a Host among them must be the only one and equal to `host`, else LB_REFUSED */
    uint32_t n_headers;
    /* Of the connection; empty, 0: not known, and no condition on it holds. */
    lb_str scheme, sni;             /* of the SNI one trailing dot is dropped */
    lb_str source, destination;     /* IP addresses as text, without port; ::ffff:1.2.3.4 is 1.2.3.4 */
    uint16_t port;                  /* of the listener */
    uint16_t source_port, destination_port;
} lb_request;

typedef enum lb_match_outcome { LB_NO_ROUTE = 0, LB_FOUND, LB_REFUSED, LB_NEED_REGEX } lb_match_outcome;

typedef struct lb_answer {
    uint32_t route;                 /* LB_FOUND: index into the specs, else LB_NONE */
    lb_str path;                    /* canonical; points into the request or the scratch */
    lb_str query;                   /* raw, without "?"; data NULL: there was no "?" */
    lb_str host;                    /* canonical: lower case, no port, no trailing dot; data NULL: none was sent */
    const char *reason;             /* LB_REFUSED: a constant sentence, else NULL */
} lb_answer;

typedef struct lb_router lb_router;

/* Compile.  Precedence of the flavour first, then the order of the specs (rank.c).  Errors name "routes[i].path" and
 * the like; *out is as it was then.  `seed` should be secret: it keeps hostile names from meeting in the tables. */
lb_status lb_router_new(lb_router **out, const lb_route_spec *specs, uint32_t n, lb_flavor flavor, uint64_t seed,
                        lb_error *err);
void lb_router_free(lb_router *router);                                /* accepts NULL */

/* ---- changes: a new router that shares what did not change ----------------------------------------------------
 *
 * A route's number is its index at lb_router_new(); the added ones get the next numbers, lb_router_n_ids(old) on.  No
 * change moves a number, and answers speak in numbers.  To replace a route: remove it and add another `before` it. */
enum { LB_DELTA_MAX = 1024 };       /* changed routes beside the base */

typedef struct lb_addition {
    lb_route_spec spec;
    uint32_t before;                /* its place in the order: before this route of `old`, which may be removed in
                                       the same call, or before one added earlier in it; LB_NONE: last */
} lb_addition;

/* `old` with routes removed and added; it stays as it is, and both may be used and freed in any order, by any thread.
 * LB_OK with *out NULL: lb_router_merge() first, the delta is full or there is no label between two neighbours.  Errors
 * name "removed[i]", "added[i].path" and the like. */
lb_status lb_router_change(lb_router **out, const lb_router *old, const uint32_t *removed, uint32_t n_removed,
                           const lb_addition *added, uint32_t n_added, lb_error *err);

/* The same routes in a base of their own, with the same numbers.  specs[i] is route i, as it was given, for all
 * lb_router_n_ids(old); those of removed routes are not read.  Needs no lock: `old` may be in use meanwhile. */
lb_status lb_router_merge(lb_router **out, const lb_router *old, const lb_route_spec *specs, lb_error *err);

uint32_t lb_router_n_ids(const lb_router *router);                     /* numbers given so far, removed ones included */
uint32_t lb_router_n_changed(const lb_router *router);                 /* routes in the delta */
bool lb_router_has(const lb_router *router, uint32_t id);              /* it was given and is not removed */

/* Bytes of scratch that a match of this request may need: target.len + host.len. */
static inline size_t lb_scratch_size(const lb_request *request) { return request->target.len + request->host.len; }

/* Match.  `scratch` has lb_scratch_size() bytes and must outlive *answer.  LB_NEED_REGEX, with no route: a pattern has
 * to be asked, which lb_router_begin() is for. */
lb_match_outcome lb_router_match(const lb_router *router, const lb_request *request, char *scratch, lb_answer *answer);

/* Match a connection by scheme ("tcp", "tls", "udp"), port, SNI, source and destination, with the routes that have
 * `stream`.  The rest of the request is not read; answer->route alone is set.  LB_FOUND or LB_NO_ROUTE.
 * Order (gateway_api, ingress): most characters in an SNI that is exact, then in an SNI; has a port; longest prefix of
 * the source, then of the destination; has a source port, a destination port; then that of the routes.  Where a list
 * says several, the one of the least counts. */
lb_match_outcome lb_router_match_stream(const lb_router *router, const lb_request *request, lb_answer *answer);

/* ---- regular expressions: the caller evaluates them, the match goes on --------------------------------------
 *
 *     outcome = lb_router_begin(router, &request, scratch, &matching, &answer);
 *     while (outcome == LB_NEED_REGEX) {
 *         uint32_t verdicts = 0;                              // bit i: questions[i].pattern matches questions[i].text
 *         for (uint32_t i = 0; i < matching.n_questions; i++) verdicts |= ...;
 *         outcome = lb_router_resume(&matching, verdicts, &answer);
 *     }
 *
 * Only patterns that can still win are asked, those of the least ranks first: a candidate whose other conditions hold
 * and which would win if its patterns did.  A round asks at most LB_N_QUESTIONS; one is enough unless more candidates
 * than that are in the running.  kong_traditional asks for paths of any host before (hits.h).  Texts of over
 * LB_ASKED_MAX bytes are refused, as are repeated fields and escaped query values of over LB_JOINED_MAX that have to be
 * written anew. */
enum { LB_N_QUESTIONS = 32, LB_N_PATTERNS_MAX = 16, LB_ASKED_MAX = 8192, LB_JOINED_MAX = 1024 };

typedef struct lb_question {
    uint32_t pattern;               /* the caller's number */
    lb_str text;                    /* in the request, the scratch or the matching */
} lb_question;

/* A place in the order of candidates; the lesser wins. */
typedef struct lb_rank { uint64_t precedence, tie; } lb_rank;

typedef struct lb_matching {
    lb_question questions[LB_N_QUESTIONS];
    uint32_t n_questions;
    /* From here on the router's own. */
    uint32_t n_ways;
    struct { lb_rank rank; uint32_t route, needs; } ways[LB_N_QUESTIONS];      /* needs: bits of questions, all */
    lb_rank settled;                /* what is not beyond it was asked, and does not hold */
    const lb_router *router;
    const lb_request *request;
    char *scratch;
    lb_str path, query, host;
    uint32_t method_bit, host_port;
    uint32_t bucket;                /* of the host, in the base's table; LB_NONE: it is not there */
    uint32_t best, other;           /* routes: the best without questions; that of the second reading */
    uint32_t hit;                   /* a route whose path was hit (hits.h) */
    bool hitting;                   /* that is being looked for */
    bool more, again, second;       /* candidates are left; there is a second reading; it is being read */
    uint32_t n_joined;
    char joined[LB_JOINED_MAX];
} lb_matching;

/* As lb_router_match().  *matching needs no initial value; it and all arguments must outlive the last resume. */
lb_match_outcome lb_router_begin(const lb_router *router, const lb_request *request, char *scratch,
                                 lb_matching *matching, lb_answer *answer);

/* Go on after LB_NEED_REGEX. */
lb_match_outcome lb_router_resume(lb_matching *matching, uint32_t verdicts, lb_answer *answer);

/* ---- templates: what "{name}" stands for --------------------------------------------------------------------- */

enum { LB_N_SEGMENTS_MAX = 128 };   /* of a template */

typedef struct lb_capture {
    lb_str name;                    /* in the template, without "..." */
    lb_str text;                    /* in the path */
} lb_capture;

/* The captures of a template (LB_PATH_TEMPLATE, as in the specification) that matches the canonical `path`, from the
 * left; how many there are.  At most LB_N_SEGMENTS_MAX; the first `n` are written. */
uint32_t lb_template_captures(lb_str template, lb_str path, lb_capture *out, uint32_t n);

size_t lb_router_memory(const lb_router *router);                      /* bytes */

/* ---- the normaliser alone, for tests, fuzzing and tools ---------------------------------------------------- */

/* Rules 1 to 3 of the default profile.  `scratch` has target.len bytes; *authority is that of an absolute-form, raw, or
 * data NULL; *path is "*" for the asterisk-form.  False: refused, with *reason. */
bool lb_normalise_target(lb_str method, lb_str target, char *scratch, lb_str *path, lb_str *query, lb_str *authority,
                         const char **reason);

/* Rule 6.  `scratch` has host.len bytes.  False: refused, with *reason. */
bool lb_normalise_host(lb_str host, char *scratch, lb_str *out, const char **reason);

#endif

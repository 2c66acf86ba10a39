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
} lb_path_type;

typedef enum lb_flavor { LB_FLAVOR_GATEWAY_API = 0 } lb_flavor;

/* One condition beside host, path and method.  Header names compare ASCII case-insensitively, all else byte for byte:
 * a header's trimmed value, repeated fields joined with ","; a query parameter's first value, name and value of the
 * request percent-decoded once ("+" is a plus).  Of conditions with the same name only the first counts. */
typedef struct lb_condition {
    enum { LB_CONDITION_HEADER = 0, LB_CONDITION_QUERY } kind;
    lb_str name, value;
} lb_condition;

/* One match of one rule.  All strings are copied by lb_router_new(). */
typedef struct lb_route_spec {
    const lb_str *hosts;            /* exact, or "*.suffix" (one or more labels); none: every host */
    uint32_t n_hosts;
    lb_str path;                    /* begins with "/" and is canonical, else LB_ERR_CONFIG */
    lb_path_type path_type;
    const lb_str *methods;          /* tokens, case-sensitive; none: every method */
    uint32_t n_methods;
    const lb_condition *conditions; /* all must hold */
    uint32_t n_conditions;
} lb_route_spec;

typedef struct lb_header { lb_str name, value; } lb_header;

typedef struct lb_request {
    lb_str method;
    lb_str host;                    /* the Host field or :authority; data NULL: none was sent */
    lb_str target;                  /* raw, as on the request line, with ?query */
    const lb_header *headers;       /* a Host among them must be the only one and equal to `host`, else LB_REFUSED */
    uint32_t n_headers;
} lb_request;

typedef enum lb_match_outcome { LB_NO_ROUTE = 0, LB_FOUND, LB_REFUSED } lb_match_outcome;

typedef struct lb_answer {
    uint32_t route;                 /* LB_FOUND: index into the specs, else LB_NONE */
    lb_str path;                    /* canonical; points into the request or the scratch */
    lb_str query;                   /* raw, without "?"; data NULL: there was no "?" */
    lb_str host;                    /* canonical: lower case, no port, no trailing dot; data NULL: none was sent */
    const char *reason;             /* LB_REFUSED: a constant sentence, else NULL */
} lb_answer;

typedef struct lb_router lb_router;

/* Compile.  Precedence of the flavour first, then the order of the specs.  Errors name "routes[i].path" and the like;
 * *out is as it was then.  `seed` should be secret: it keeps hostile names from meeting in the tables. */
lb_status lb_router_new(lb_router **out, const lb_route_spec *specs, uint32_t n, lb_flavor flavor, uint64_t seed,
                        lb_error *err);
void lb_router_free(lb_router *router);                                /* accepts NULL */

/* Bytes of scratch that a match of this request may need: target.len + host.len. */
static inline size_t lb_scratch_size(const lb_request *request) { return request->target.len + request->host.len; }

/* Match.  `scratch` has lb_scratch_size() bytes and must outlive *answer. */
lb_match_outcome lb_router_match(const lb_router *router, const lb_request *request, char *scratch, lb_answer *answer);

size_t lb_router_memory(const lb_router *router);                      /* bytes */

/* ---- the normaliser alone, for tests, fuzzing and tools ---------------------------------------------------- */

/* Rules 1 to 3 of the default profile.  `scratch` has target.len bytes; *authority is that of an absolute-form, raw, or
 * data NULL; *path is "*" for the asterisk-form.  False: refused, with *reason. */
bool lb_normalise_target(lb_str method, lb_str target, char *scratch, lb_str *path, lb_str *query, lb_str *authority,
                         const char **reason);

/* Rule 6.  `scratch` has host.len bytes.  False: refused, with *reason. */
bool lb_normalise_host(lb_str host, char *scratch, lb_str *out, const char **reason);

#endif

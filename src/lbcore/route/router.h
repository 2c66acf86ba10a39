/* router: the compiled structure; written by compile.c, read by match.c.
 *
 *     one table, keyed by (owner, bytes):
 *       (HOSTS, "x.example.com")      -> bucket             exact hosts
 *       (WILDCARDS, "example.com")    -> bucket             "*.example.com"
 *       (root, "/whole/path")         -> node               exact paths of the bucket with this root
 *       (node, "segment")             -> node               prefixes: one edge of the trie
 *     No segment holds a "/", and every path begins with one: the last two never meet.
 *
 *     buckets[0] is any host's
 *
 *     nodes[node] -> candidates of the exact path, or of the prefix that ends here, else of the nearest above
 *
 *     candidates:  ... | route, rule | route, rule | NONE, above | route, rule | NONE, NONE | ...
 *                        `-- one list, least rank first            `-- the list of the next prefix above: the
 *                            longest prefix comes first, and no stack is needed
 *
 * A rule below LB_BARE_RULES is the mask of the common methods it allows, 0 for all; from there on it counts rules[],
 * each a run of predicates.
 * Memory  46 bytes a route with a path of its own, 30 for each further segment of its own, and the text of long keys.
 */
#ifndef LBCORE_ROUTE_ROUTER_H
#define LBCORE_ROUTE_ROUTER_H

#include "route/predicate.h"
#include "route/route.h"
#include "route/table.h"

enum { LB_BARE_RULES = 1 << LB_N_COMMON_METHODS };

#define LB_OWNER_HOSTS (LB_NONE - 1)
#define LB_OWNER_WILDCARDS (LB_NONE - 2)
#define LB_N_NODES_MAX (LB_NONE - 2)

typedef struct lb_bucket {
    uint32_t root;                  /* node */
    bool has_exact, has_prefix;
} lb_bucket;

typedef struct lb_candidate {
    uint32_t route;                 /* LB_NONE: the list ends here */
    uint32_t rule;                  /* there: where the next one begins, or LB_NONE */
} lb_candidate;

struct lb_router {
    lb_table table;
    lb_bucket *buckets;
    uint32_t *nodes;
    lb_candidate *candidates;
    uint32_t *rules;                /* first predicate; and one more */
    lb_predicate *predicates;
    uint32_t n_buckets, n_nodes, n_candidates, n_rules, n_predicates;
    bool has_wildcard;              /* anywhere */
};

/* ---- spec.c: what a specification may say ---------------------------------------------------------------- */

enum {
    LB_HOST_MAX = 255, LB_PATH_MAX = 65535, LB_METHOD_MAX = 255,                /* bytes */
    LB_N_METHODS_MAX = 1023, LB_N_CONDITIONS_MAX = 1023, LB_N_HOSTS_MAX = 1 << 20, LB_N_CANDIDATES_MAX = INT32_MAX,
};

/* A host of a specification, read: `name` is lower case, without the "*." of a wildcard. */
typedef struct lb_spec_host {
    lb_str name;
    bool wildcard;
    char lowered[LB_HOST_MAX];
} lb_spec_host;

lb_status lb_spec_check(const lb_route_spec *spec, lb_error *err);              /* all but the hosts */
lb_status lb_spec_read_host(lb_str host, lb_spec_host *out, lb_error *err);

/* Only the first condition of a name counts (gateway-api.md 2.8). */
bool lb_spec_condition_counts(const lb_route_spec *spec, uint32_t i);

#endif

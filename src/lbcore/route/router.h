/* router: the compiled structure; written by compile.c and lists.c, read by match.c.
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
 *     candidates:  ... | rank, route, rule | rank, route, rule | link: above | rank, route, rule LAST | ...
 *                        `-- one list, least rank first          `-- the list of the next prefix above: the
 *                            longest prefix comes first, and no stack is needed
 *
 * A rank is (precedence, tie): the 64-bit precedence stands in the candidate, the tie label in ties[route], where it is
 * read only if two precedences are equal.  Ranks of different lists, buckets and trees can be compared, so the lists
 * may be visited in any order; each is left at the first candidate that cannot win any more.
 * A rule below LB_BARE_RULES is the mask of the common methods it allows, 0 for all; from there on it counts rules[],
 * each a run of predicates.
 * Memory  54 bytes a route with an exact path of its own, 30 for each further segment of its own, and the text of long
 *         keys.
 */
#ifndef LBCORE_ROUTE_ROUTER_H
#define LBCORE_ROUTE_ROUTER_H

#include "route/predicate.h"
#include "route/rank.h"
#include "route/route.h"
#include "route/table.h"

enum { LB_BARE_RULES = 1 << LB_N_COMMON_METHODS };

#define LB_OWNER_HOSTS (LB_NONE - 1)
#define LB_OWNER_WILDCARDS (LB_NONE - 2)
#define LB_N_NODES_MAX (LB_NONE - 2)

typedef struct lb_bucket {
    uint64_t best, best_prefix;     /* the least precedence in it; that of its prefixes */
    uint32_t root;                  /* node */
    bool has_exact, has_prefix;
} lb_bucket;

#define LB_LAST (UINT32_C(1) << 31)     /* in a candidate's rule: the list ends behind it, and there is none above */

typedef struct lb_candidate {
    uint64_t precedence;
    uint32_t route;                 /* LB_NONE: no candidate but a link, the list ends before it */
    uint32_t rule;                  /* there: where the list above begins */
} lb_candidate;

typedef struct lb_tree {
    lb_table table;
    lb_bucket *buckets;
    uint32_t *nodes;                /* LB_NONE: no list here nor above */
    lb_candidate *candidates;
    uint64_t *ties;                 /* of each route */
    uint32_t *rules;                /* first predicate; and one more */
    lb_predicate *predicates;
    uint64_t *wildcards;            /* NULL: none; [n] the least precedence of the hosts "*.suffix" whose suffix has at
                                       most n characters, n <= LB_HOST_MAX */
    uint32_t n_buckets, n_nodes, n_candidates, n_routes, n_rules, n_predicates;
} lb_tree;

struct lb_router {
    lb_tree *tree;
};

/* ---- compile.c -------------------------------------------------------------------------------------------- */

/* Errors as lb_router_new(). */
lb_status lb_tree_new(lb_tree **out, const lb_route_spec *specs, uint32_t n, const lb_flavor_rules *rules,
                      uint64_t seed, lb_error *err);
void lb_tree_free(lb_tree *tree);                                               /* accepts NULL */
size_t lb_tree_memory(const lb_tree *tree);

/* ---- lists.c: candidates in order ------------------------------------------------------------------------- */

/* A candidate on its way into its list. */
typedef struct lb_pending {
    lb_candidate candidate;
    uint32_t node;
} lb_pending;

/* Lay out the lists: tree->nodes, tree->candidates.  parents[node]: the prefix above, or LB_NONE; parents are older than
 * their children.  False: out of memory. */
bool lb_lists_new(lb_tree *tree, const lb_pending *pending, uint32_t n_pending, const uint32_t *parents,
                  uint32_t n_nodes);

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

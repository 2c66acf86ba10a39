/* router: the compiled structure; written by compile.c and lists.c, read by match.c.
 *
 *     one table, keyed by (owner, bytes):
 *       (HOSTS, "x.example.com")      -> bucket             exact hosts
 *       (WILDCARDS, "example.com")    -> bucket             "*.example.com"
 *       (PREFIXES, "svc")             -> bucket             "svc.*"
 *       (root, "/whole/path")         -> node               exact paths of the bucket with this root
 *       (node, "segment")             -> node               prefixes: one edge of the trie
 *       (PLAIN | node, "seg")         -> node               plain prefixes: the last segment, or its beginning
 *       (group's owner, "value")      -> node               candidates that ask for this value (index.c)
 *       (NAMES, "x-user")             -> place in the pool  of headers and parameters
 *     No segment holds a "/", and every path begins with one: the last two never meet.
 *
 *     buckets[0] is any host's, buckets[streams] that of the routes for streams
 *
 *     nodes[node] -> candidates of the exact path, or of the prefix that ends here, else of the nearest above
 *
 *     candidates:  ... | rank, route, rule | rank, route, rule | link: above | rank, route, rule LAST | ...
 *                        `-- one list, least rank first          `-- the list of the next prefix above: the
 *                            longest prefix comes first, and no stack is needed
 *
 * A segment parameter is a fork beside the literal edges of a node; a walk tries both, the literal first.
 * A plain prefix is found by the segments that it holds whole, then by the bytes that are left: they are looked up in
 * pieces of the lengths that occur at their node.  A regex is a plain prefix, its literal beginning, and a predicate.
 *
 *     /users/me      root --users--> (1) --me--> (2)              /api/v   root --api--> (3) ==v==> (4)    "==" PLAIN
 *     /users/{id}                     `--{}--> (5) end -> list    /api/    root --api--> (3) ====> (6)
 *
 * A rank is (precedence, tie): the 64-bit precedence stands in the candidate, the tie label in ties[route], where it is
 * read only if two precedences are equal.  Ranks of different lists, buckets and trees can be compared, so the lists
 * may be visited in any order; each is left at the first candidate that cannot win any more.
 * A rule below LB_BARE_RULES is the mask of the common methods it allows, 0 for all; from there on it counts rules[],
 * each a run of predicates.
 * A long list is split by values that its candidates ask for: a group stands in it as one entry (index.c).
 * Memory  54 bytes a route with an exact path of its own, 30 for each further segment of its own, and the text of long
 *         keys.
 */
#ifndef LBCORE_ROUTE_ROUTER_H
#define LBCORE_ROUTE_ROUTER_H

#include <stdatomic.h>

#include "base/vec.h"
#include "route/predicate.h"
#include "route/rank.h"
#include "route/route.h"
#include "route/table.h"

enum { LB_BARE_RULES = 1 << LB_N_COMMON_METHODS };

#define LB_OWNER_PLAIN (UINT32_C(1) << 31)      /* | node */
#define LB_OWNER_HOSTS (LB_NONE - 1)
#define LB_OWNER_WILDCARDS (LB_NONE - 2)
#define LB_OWNER_NAMES (LB_NONE - 3)
#define LB_OWNER_PREFIXES (LB_NONE - 4)
#define LB_OWNER_COUNTS (UINT32_C(1) << 30)     /* | what: hits.h */
#define LB_N_NODES_MAX ((1 << 30) - 1)

typedef struct lb_bucket {
    uint64_t best, best_prefix;     /* the least precedence in it; that of its prefixes */
    uint32_t root;                  /* node */
    bool has_exact, has_prefix, has_plain;
    bool has_template;              /* then prefixes are walked with them */
} lb_bucket;

/* Where the trie goes on by other than a literal; nodes, LB_NONE: not. */
typedef struct lb_fork {
    uint32_t parameter;             /* any one segment, not empty */
    uint32_t end;                   /* templates that end here: holds a list only */
    uint32_t tail;                  /* templates whose tail begins here: likewise */
} lb_fork;

enum {
    LB_INDEX_FROM = 8,              /* candidates in a list, different values in it */
    LB_INDEX_VALUES_MAX = 64,       /* of one condition */
    LB_INDEXED_MAX = 255,           /* bytes of a value */
    LB_BLOCK_KEY = 18,              /* bytes of an lb_block without its port */
};

/* The candidates of one list that ask the same thing for different values (index.c). */
typedef struct lb_group {
    uint32_t kind, name;            /* as in their predicates */
    uint32_t owner;                 /* of the values in the table: (owner, value) -> node */
    uint64_t lengths[3];            /* of addresses, the prefixes that occur: bit 0 to 32 IPv4, 33 to 161 IPv6 */
} lb_group;

#define LB_GROUP (LB_NONE - 1)
#define LB_LAST (UINT32_C(1) << 31)     /* in a candidate's rule: the list ends behind it, and there is none above */

typedef struct lb_candidate {
    uint64_t precedence;
    uint32_t route;                 /* LB_NONE: no candidate but a link, the list ends before it; LB_GROUP: a group */
    uint32_t rule;                  /* of a link: where the list above begins; of a group: which one */
} lb_candidate;

/* The path of a route, where hits count (hits.h). */
typedef struct lb_uri {
    uint32_t count;                 /* where it is counted, the same for equal paths; LB_NONE: it has none */
    uint32_t text;                  /* in the pool */
    uint32_t is_regex;
} lb_uri;

typedef struct lb_specs lb_specs;

typedef struct lb_tree {
    lb_table table;
    lb_bucket *buckets;
    uint32_t *nodes;                /* LB_NONE: no list here nor above */
    lb_candidate *candidates;
    uint64_t *ties;                 /* of each route */
    uint32_t *ids;                  /* of each route; NULL: its index */
    _Atomic uint32_t n_owners;      /* routers */
    uint32_t *rules;                /* first predicate; and one more */
    lb_predicate *predicates;
    lb_group *groups;
    lb_fork *forks;                 /* of the first n_forks nodes; the others have none */
    uint64_t *lengths;              /* of the first n_lengths nodes: bit n, a plain prefix goes on with n bytes */
    uint64_t *wildcards;            /* NULL: none; [n] the least precedence of the hosts "*.suffix" whose suffix has at
                                       most n characters, n <= LB_HOST_MAX */
    uint64_t best_of_prefixes;      /* the least precedence of the hosts "prefix.*"; UINT64_MAX: there are none */
    uint32_t streams;               /* LB_NONE: none */
    uint32_t paths;                 /* bucket of all paths (hits.h); LB_NONE: none */
    uint32_t *counts, *keys, *firsts;                       /* hits.h; firsts: and one more */
    lb_uri *uris;                   /* of each route */
    uint32_t n_counts, n_keys, n_uris;
    bool one_label;                 /* "*.suffix" matches one label only */
    uint32_t n_buckets, n_nodes, n_candidates, n_routes, n_rules, n_predicates, n_groups, n_forks, n_lengths;
} lb_tree;

/* A base that later routers share, and what has changed since.  Routes have numbers (ids) that no change moves: the
 * base holds those below base->n_routes, the delta says its own.
 *
 *     base    immutable, counted        id = index                            minus the dead
 *     delta   immutable, of this router id = delta->ids[index]                at most LB_DELTA_MAX routes
 */
struct lb_router {
    lb_tree *base;
    lb_tree *delta;                 /* NULL: none */
    lb_specs *specs;                /* what the delta was made from, in its order */
    uint64_t *dead;                 /* a bit for each id; NULL: none is */
    uint32_t *gone;                 /* what the dead of the base take from its counts (hits.h); NULL: nothing */
    bool has_tombstones;            /* some of the dead stand in the base */
    uint32_t n_ids;
    const lb_flavor_rules *flavor;
};

static inline bool lb_bit(const uint64_t *bits, uint32_t i) { return bits && (bits[i / 64] >> i % 64 & 1); }

/* ---- compile.c -------------------------------------------------------------------------------------------- */

/* How to compile, beside the specifications. */
typedef struct lb_plan {
    const lb_flavor_rules *flavor;
    uint64_t seed;
    const uint64_t *ties;           /* of each specification; NULL: their order */
    const uint32_t *ids;            /* of each; NULL: their index */
    const uint64_t *dead;           /* bits of specifications to leave out; may be NULL */
    const char *name;               /* of the list in errors, and where in it ours begins */
    uint32_t first;
} lb_plan;

/* Errors as lb_router_new(). */
lb_status lb_tree_new(lb_tree **out, const lb_route_spec *specs, uint32_t n, const lb_plan *plan, lb_error *err);
void lb_tree_free(lb_tree *tree);                                               /* one owner less; accepts NULL */
size_t lb_tree_memory(const lb_tree *tree);

/* ---- copy.c: specifications that nobody else has to keep ----------------------------------------------------- */

struct lb_specs {
    lb_route_spec *specs;
    uint64_t *ties;
    uint32_t *ids;
    uint32_t n;
    size_t n_bytes;                 /* of all of them, copies included */
    lb_vec blocks;                  /* texts and lists, one block for each specification */
};

lb_specs *lb_specs_new(uint32_t capacity);                                      /* NULL: out of memory */
void lb_specs_free(lb_specs *specs);                                            /* accepts NULL */
/* There is room.  False: out of memory, nothing added. */
bool lb_specs_add(lb_specs *specs, const lb_route_spec *spec, uint32_t id, uint64_t tie);

/* ---- match.c ---------------------------------------------------------------------------------------------- */

/* A candidate that holds if its patterns do. */
typedef struct lb_maybe {
    lb_rank rank;
    const lb_tree *tree;
    uint32_t route, rule;           /* id; rule of the tree */
} lb_maybe;

enum { LB_N_MAYBES = LB_N_QUESTIONS };

struct lb_hits;

/* What a walk looks for, and what it has found. */
typedef struct lb_search {
    const lb_tree *tree;
    lb_key path;
    const lb_seen *seen;
    const uint64_t *dead;           /* routes of the tree that do not count; may be NULL */
    struct lb_hits *hits;           /* that decide with the rank; NULL: none do */
    uint32_t bucket;                /* that is searched */
    lb_rank settled;                /* maybes up to here do not hold */
    uint64_t best;                  /* the least precedence that holds */
    const uint64_t *best_tie;       /* where its tie stands: read only if a precedence equals it */
    uint32_t route;                 /* its id */
    uint32_t n_maybes;              /* the least, in order */
    bool more;                      /* there are more maybes than these */
    lb_maybe *maybes;               /* LB_N_MAYBES of them */
} lb_search;

/* The bucket of an exact host, or LB_NONE. */
uint32_t lb_bucket_of(const lb_tree *tree, lb_str host);

/* The least rank that holds, and the maybes before it.  `bucket` is that of the host in the base. */
void lb_search_router(const lb_router *router, lb_search *search, lb_str host, uint32_t bucket);

/* Likewise among all paths, of any host (hits.h). */
void lb_search_paths(const lb_router *router, lb_search *search);

/* Likewise among the routes for streams. */
void lb_search_streams(const lb_router *router, lb_search *search);

static inline bool lb_rank_less(lb_rank a, lb_rank b) {
    return a.precedence != b.precedence ? a.precedence < b.precedence : a.tie < b.tie;
}

/* ---- template.c, pattern.c: see template.h, pattern.h ------------------------------------------------------- */

enum { LB_PIECE = 63 };             /* bytes of a plain prefix that one edge holds at most */

/* ---- spec.c: what a specification may say ---------------------------------------------------------------- */

enum {
    LB_HOST_MAX = 255, LB_PATH_MAX = 65535, LB_METHOD_MAX = 255,                /* bytes */
    LB_N_METHODS_MAX = 1023, LB_N_CONDITIONS_MAX = 1023, LB_N_VALUES_MAX = 1023,
    LB_N_HOSTS_MAX = 1 << 20, LB_N_CANDIDATES_MAX = INT32_MAX,
};

/* A host of a specification, read: `name` is lower case, without the "*." or ".*" of a wildcard and without port. */
typedef struct lb_spec_host {
    lb_str name;
    enum { LB_HOST_EXACT = 0, LB_HOST_SUFFIX, LB_HOST_PREFIX } kind;
    uint16_t port;                  /* 0: any */
    char lowered[LB_HOST_MAX];
} lb_spec_host;

lb_status lb_spec_check(const lb_route_spec *spec, bool kong, lb_error *err);   /* all but the hosts */
lb_status lb_spec_read_host(lb_str host, bool kong, lb_spec_host *out, lb_error *err);

/* Only the first condition of a name counts (gateway-api.md 2.8). */
bool lb_spec_condition_counts(const lb_route_spec *spec, uint32_t i);

#endif

/* compile: what is shared while a tree is being built. */
#ifndef LBCORE_ROUTE_COMPILE_H
#define LBCORE_ROUTE_COMPILE_H

#include "base/vec.h"
#include "route/router.h"

typedef struct lb_builder {
    const lb_plan *plan;
    lb_tree *tree;                  /* the table grows in place, arrays come from the vectors at the end */
    lb_vec buckets, parents, rules, predicates;         /* parents: one for each node */
    lb_vec pending, groups, forks, lengths;
    lb_vec counts, keys, firsts, uris;                  /* hits.h */
} lb_builder;

/* What of a specification is the same for each of its hosts. */
typedef struct lb_compiled {
    const lb_route_spec *spec;
    uint32_t route, rule;
    lb_facts facts;
    unsigned category;              /* of a flavour that reduces, and its order within one */
    uint64_t order;
} lb_compiled;

/* A candidate on its way into its list. */
typedef struct lb_pending {
    lb_candidate candidate;
    uint32_t node;
} lb_pending;

/* A new node below `parent` (LB_NONE: below none); LB_NONE: out of memory. */
uint32_t lb_builder_node(lb_builder *b, uint32_t parent);

/* b->tree->paths.  False: out of memory. */
bool lb_builder_paths(lb_builder *b);

/* The node under (owner, key), made as a child of `parent` if need be; LB_NONE: out of memory. */
uint32_t lb_builder_node_under(lb_builder *b, uint32_t owner, lb_str key, uint32_t parent);

/* paths.c: the node whose list a path belongs to, in this bucket; LB_NONE: out of memory.  `bucket` must not lie in
 * anything that a build grows but b->buckets. */
uint32_t lb_compile_path(lb_builder *b, lb_bucket *bucket, const lb_route_spec *spec);

/* paths.c: what a flavour weighs of a path. */
lb_facts lb_facts_of_path(const lb_route_spec *spec);

/* rule.c: c->rule, and what of c->facts it counts.  `host`, if it has a port, adds a condition.  False: out of
 * memory. */
bool lb_compile_rule(lb_builder *b, lb_compiled *c, const lb_spec_host *host);

/* rule.c: a rule of its path alone, a regex.  False: out of memory. */
bool lb_compile_path_rule(lb_builder *b, const lb_route_spec *spec, uint32_t *rule);

/* index.c: move candidates of long lists under the values they ask for.  False: out of memory. */
bool lb_index_lists(lb_builder *b);

/* lists.c: lay out tree->nodes and tree->candidates.  False: out of memory. */
bool lb_lists_new(lb_builder *b);

#endif

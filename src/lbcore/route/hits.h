/* hits: what of a request occurs anywhere in a table, and which list of a category Kong's traditional tries first.
 *
 * Source  kong.md 3.1, 4: "First a reduced candidate list is tried (for headers: routes with the first header name hit;
 *         else the shortest list among host/uri/method/sni hits), then the whole category, then the next category";
 *         "the search starts at the category made of what the request hit anywhere in the config, or at the first one".
 *
 *     (COUNT kind category, value) -> counts[]     how many routes of the category ask for the value
 *     (COUNT kind ANY, value)      -> counts[]     how many of all
 *     (FIRST kind, value)          -> list         the routes with this header's name or wildcard host, in order
 *     buckets[paths]               -> lists        all paths, of any host: regexes in order, then the longest
 *     keys[firsts[route]] ...      -> counts[]     where a route was counted: to take it away when it is removed
 *
 * Cost    a look-up for each kind and category met, for each header and each label of the host, and a walk over the
 *         paths, whose regular expressions are asked before the search.  Memory: 44 bytes for each value of a route,
 *         and its path once more.
 */
#ifndef LBCORE_ROUTE_HITS_H
#define LBCORE_ROUTE_HITS_H

#include "route/compile.h"

/* As in the bits of a category, from the highest on; then what is counted beside them. */
enum {
    LB_KIND_HOST, LB_KIND_HEADER, LB_KIND_URI, LB_KIND_METHOD, LB_KIND_SNI, LB_KIND_SOURCE, LB_KIND_DESTINATION,
    LB_N_KINDS,
    LB_KIND_REGEX = LB_N_KINDS, LB_KIND_SOURCE_PORT, LB_KIND_DESTINATION_PORT, LB_KIND_ITSELF,
};

enum { LB_ANY_CATEGORY = 0x80, LB_HITS_KEY = LB_HOST_MAX + 16 };

/* Owners in the table; routes for streams are a table of their own. */
static inline uint32_t lb_hits_owner(bool stream, int kind, unsigned category) {
    return LB_OWNER_COUNTS | (uint32_t)stream << 16 | (uint32_t)kind << 8 | category;
}
static inline uint32_t lb_hits_first_owner(int kind) { return lb_hits_owner(false, kind, 0xFF); }

/* A host as it is counted: with "*." or ".*", and its port unless 0.  `to` has LB_HITS_KEY bytes. */
lb_str lb_hits_host_key(char *to, int host_kind, lb_str name, uint32_t port);

/* The hits of one request, for one search. */
typedef struct lb_hits {
    const lb_router *router;
    const lb_seen *seen;
    lb_str host, host_key, header, sni;                     /* len 0: nothing was hit, or sent */
    lb_str uri;                                             /* data NULL: nothing was hit */
    bool uri_is_regex;
    unsigned category;                                      /* of all hits */
    bool starts;                                            /* the search starts there, not at the first */
    uint32_t port;                                          /* of the host that was hit; 0: none */
    uint32_t buckets[2], uris[2];                           /* of host and path that were hit, in base and delta */
    signed char kinds[128];                                 /* of each category whose list goes first; -1: none,
                                                               -2: not known yet */
    char key[LB_HITS_KEY], name[LB_HITS_KEY];
} lb_hits;

/* `hit`: a route whose path was hit, or LB_NONE. */
void lb_hits_find(lb_hits *hits, const lb_router *router, const lb_seen *seen, lb_str host, uint32_t hit);

/* The precedence of a candidate found in `bucket`; UINT64_MAX: it is passed over. */
uint64_t lb_hits_precedence(lb_hits *hits, const lb_tree *tree, const lb_candidate *candidate, uint32_t bucket);

/* hits_build.c: count and list what a specification asks for.  False: out of memory. */
bool lb_compile_hits(lb_builder *b, const lb_compiled *c);

#endif

/* rank: who wins.  A flavour is data: how the facts of a candidate make its precedence, and what else differs.
 *
 *     rank = | precedence, 64 bits: by the flavour, least wins | tie label, 64 bits: the order of the routes |
 *
 * Tie labels have gaps between neighbours, so that a later change can put a route between two.
 */
#ifndef LBCORE_ROUTE_RANK_H
#define LBCORE_ROUTE_RANK_H

#include "route/route.h"

/* What a flavour may weigh of one host and path of one specification. */
typedef struct lb_facts {
    lb_path_type path_type;
    uint32_t path_characters;       /* without a prefix's trailing "/"; of a template those outside braces; of a
                                       regex those of its text */
    bool path_has_tail;             /* a template that ends in "{name...}" */
    uint32_t host_characters;       /* with "*."; 0: every host */
    bool host_is_exact;
    const lb_route_spec *spec;
    bool hosts_are_plain;           /* all of them, and there are some */
    bool wildcard_has_port;         /* one of the hosts is a wildcard with a port */
    uint32_t n_methods, n_headers, n_query;
    uint32_t n_connection;          /* how many of ports, schemes, SNIs, sources, destinations are given */
} lb_facts;

typedef struct lb_flavor_rules {
    const char *name;
    uint64_t (*precedence)(const lb_facts *facts);
    uint64_t (*stream_precedence)(const lb_facts *facts);
    bool whole_path;                /* patterns cover all of it */
    bool one_label;                 /* "*.x" matches one label, else one or more */
    bool kong;                      /* hosts "x.*" and "x:80", no path, header values each alone and in any case */
    bool sni_by_scheme;             /* a condition on the SNI holds where the scheme has none */
    bool stream_sni_by_scheme;
    bool port_as_sent;              /* a plain host's port must stand in the Host field */
    bool reduces;                   /* what the request hits decides with the rank (hits.h) */
} lb_flavor_rules;

/* Bits of a precedence that every route of a flavour that reduces has set, and who goes first has not: members of the
 * reduced list, and among these, by address or port, who has both. */
#define LB_RANK_REDUCED (UINT64_C(1) << 53)
#define LB_RANK_BOTH (UINT64_C(1) << 52)

/* NULL: not known. */
const lb_flavor_rules *lb_flavor_rules_of(lb_flavor flavor);

/* Between two neighbours' labels, and before the first. */
#define LB_TIE_GAP (UINT64_C(1) << 31)

/* The label of the i-th of routes that come in order. */
static inline uint64_t lb_tie_of(uint32_t i) { return (i + UINT64_C(1)) * LB_TIE_GAP; }

#endif

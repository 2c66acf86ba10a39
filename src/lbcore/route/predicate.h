/* predicate: one condition beside host and path; the register is predicates.def. */
#ifndef LBCORE_ROUTE_PREDICATE_H
#define LBCORE_ROUTE_PREDICATE_H

#include "route/route.h"
#include "route/table.h"

typedef enum lb_predicate_kind {
#define LB_PREDICATE(name) LB_PREDICATE_##name,
#include "route/predicates.def"
#undef LB_PREDICATE
} lb_predicate_kind;

typedef struct lb_predicate {
    uint32_t kind;
    uint32_t name;                  /* header, query: place of the name in the pool; method: mask of common methods */
    uint32_t value;                 /* place of the value; method: of the other methods, separated by spaces */
} lb_predicate;

/* A request as predicates see it. */
typedef struct lb_seen {
    lb_str method, query;
    uint32_t method_bit;            /* 0: not a common method */
    const lb_header *headers;
    uint32_t n_headers;
} lb_seen;

enum { LB_N_COMMON_METHODS = 9 };

/* The bit of a common method, below 1 << LB_N_COMMON_METHODS; 0 for any other. */
uint32_t lb_method_bit(lb_str method);

/* Cost    method O(1) for common ones; header and query linear in the request's header or query. */
bool lb_predicate_holds(const lb_predicate *predicate, const lb_table *pool, const lb_seen *seen);

#endif

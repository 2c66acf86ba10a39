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

typedef enum lb_verdict { LB_FAILS = 0, LB_HOLDS, LB_UNKNOWN } lb_verdict;     /* unknown: a pattern must be asked */

/* Texts stand in the pool of the table, by their place.  A list is one text, of parts (lb_next_part). */
typedef struct lb_predicate {
    uint32_t kind;
    uint32_t name;                  /* header, query: the name; method: mask of common methods; sni: bits of LB_SNI_;
                                       host_port: whether it must have been sent */
    uint32_t value;                 /* the value, or the list of them; _regex: the pattern's number; host_port:
                                       the port */
} lb_predicate;

/* A request as predicates see it. */
typedef struct lb_seen {
    const lb_request *request;
    lb_str query;                   /* raw */
    uint32_t method_bit;            /* 0: not a common method */
    uint32_t host_port;             /* behind the host, as sent; 0: none */
    bool stream;
} lb_seen;

enum { LB_N_COMMON_METHODS = 9, LB_SNI_BY_SCHEME = 1, LB_SNI_STREAM_BY_SCHEME = 2 };

/* The bit of a common method, below 1 << LB_N_COMMON_METHODS; 0 for any other. */
uint32_t lb_method_bit(lb_str method);

/* The port that the request came for: as sent, else the listener's, else the scheme's own. */
uint32_t lb_seen_port(const lb_seen *seen);

/* Cost    method, scheme, port, sni: O(1) for one value; header and query linear in the request's header or query;
 *         lists linear in the list. */
lb_verdict lb_predicate_holds(const lb_predicate *predicate, const lb_table *pool, const lb_seen *seen);

#define LB_PREDICATE(name) lb_verdict lb_##name##_holds(const lb_predicate *, const lb_table *, const lb_seen *);
#include "route/predicates.def"
#undef LB_PREDICATE

/* Take one part off a list: | length, 4 bytes | bytes | ... */
static inline lb_str lb_next_part(lb_str *list) {
    lb_str part = {list->data + 4, lb_read4(list->data)};
    *list = (lb_str){part.data + part.len, list->len - 4 - part.len};
    return part;
}

/* ---- values: what exact conditions, indexes and patterns look at ---------------------------------------------- */

/* A value of the request in one piece: `text` in the request, or rewritten into `to`. */
typedef struct lb_value {
    lb_str text;
    bool found;                     /* the request has one */
    bool fits;                      /* else it needs more than `size` bytes, and text is empty */
    bool rewritten;
} lb_value;

/* Fields of the name: trimmed, joined with ",". */
lb_value lb_header_value(const lb_seen *seen, lb_str name, char *to, size_t size);
/* The next field of the name behind place *i (0 at first), trimmed and in lower case; not found: there is none left. */
lb_value lb_header_each(const lb_seen *seen, lb_str name, uint32_t *i, char *to, size_t size);
/* The first parameter of the name, decoded. */
lb_value lb_query_value(const lb_seen *seen, lb_str name, char *to, size_t size);

/* ---- connection.c ------------------------------------------------------------------------------------------- */

/* Addresses that begin with the same `bits` bits, and a port. */
typedef struct lb_block {
    unsigned char bytes[16];        /* the bits behind are 0 */
    uint8_t family;                 /* 4 or 16 bytes; 0: every address */
    uint8_t bits;
    uint16_t port;                  /* 0: every port */
} lb_block;

/* False: `peers` is no block. */
bool lb_block_read(const lb_peers *peers, lb_block *out);

/* The address of `text` as the block of itself alone; family 0: it is none. */
lb_block lb_address_read(lb_str text, uint16_t port);

/* The first `bits` bits of `address`. */
lb_block lb_block_shorten(const lb_block *address, uint8_t bits);

#endif

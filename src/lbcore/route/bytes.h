/* bytes: what each byte may be in a request, as one table; ASCII only, everywhere.
 *
 * Source  RFC 3986 section 2 and 3.3 (unreserved, pchar), RFC 9110 section 5.6.2 (tchar).
 */
#ifndef LBCORE_ROUTE_BYTES_H
#define LBCORE_ROUTE_BYTES_H

#include "base/str.h"

#include <stdint.h>

enum {
    LB_BYTE_TOKEN = 1,              /* tchar: methods and field names */
    LB_BYTE_UNRESERVED = 2,         /* the same whether percent-encoded or not */
    LB_BYTE_PATH = 4,               /* in a path: "/", pchar without "%"; also "[" and "]" */
    LB_BYTE_QUERY = 8,              /* in a query: PATH and "?" */
    LB_BYTE_LABEL = 16,             /* in a label of a host name: letters, digits, "-" and "_" */
    LB_BYTE_HEX = 32,
    LB_BYTE_UPPER = 64,             /* A to Z */
};

extern const uint8_t lb_byte_classes[256];

static inline bool lb_byte_is(char c, int classes) { return (lb_byte_classes[(unsigned char)c] & classes) != 0; }

/* ASCII lower case; the bytes of other characters stay as they are. */
static inline char lb_byte_lower(char c) { return lb_byte_is(c, LB_BYTE_UPPER) ? (char)(c | 0x20) : c; }

/* The byte that "%XY" stands for, read at the "%" with `left` bytes left there; -1 without two hex digits. */
int lb_byte_escaped(const char *at, size_t left);

/* token = 1*tchar (RFC 9110 5.6.2) */
bool lb_is_token(lb_str text);

bool lb_equal_ignoring_case(lb_str a, lb_str b);

/* Without SP and HTAB at both ends (OWS, RFC 9110 5.6.3). */
lb_str lb_trimmed(lb_str text);

#endif

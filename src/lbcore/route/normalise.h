/* normalise: one safe reading of a request; what the files of this room share of it.
 *
 *   target.c   rules 1 to 4   target -> canonical path, raw query, authority
 *   host.c     rule 6         Host -> canonical host
 *   fields.c   rule 7         method and header fields
 *
 * The rules are those of the default profile; each file quotes its own.  A reading returns NULL, or the constant
 * sentence that says why the request is refused.
 */
#ifndef LBCORE_ROUTE_NORMALISE_H
#define LBCORE_ROUTE_NORMALISE_H

#include "route/route.h"

typedef struct lb_reading {
    lb_str path;                    /* canonical; "*" for the asterisk-form */
    lb_str query;                   /* raw, without "?"; data NULL: there was no "?" */
    lb_str authority;               /* of the absolute-form; data NULL: another form */
    bool encoded_slash;             /* a %2F or %5C was seen: the second reading must be asked */
} lb_reading;

/* `scratch` has target.len bytes; of these only the first target.len - authority.len are written. */
const char *lb_read_target(lb_str method, lb_str target, char *scratch, lb_reading *out);

/* Rule 4, the second reading of a canonical path: every %2F and %5C is a "/", rule 3 once more.  Written to `scratch`
 * (path.len bytes), in which `path` may lie: it is destroyed then. */
const char *lb_read_again(lb_str path, char *scratch, lb_str *out);

/* The host alone and, apart, whether anything but case was dropped (port, trailing dot). */
const char *lb_read_host(lb_str host, char *scratch, lb_str *out, bool *dropped);

/* Rule 7 for the method, and for all header fields; `request->host` is what the caller gave as the request's Host. */
const char *lb_check_method(lb_str method);
const char *lb_check_fields(const lb_request *request);

#endif

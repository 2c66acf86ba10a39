/* pattern: the literal beginning of a regular expression, by which its route is found. */
#ifndef LBCORE_ROUTE_PATTERN_H
#define LBCORE_ROUTE_PATTERN_H

#include "base/str.h"

/* What every path begins with that `pattern`, anchored at the start, can match; written to `to` (pattern.len + 1
 * bytes).  It begins with "/", as every path does.  Never too long; shorter than it could be where the syntax is
 * intricate. */
lb_str lb_pattern_prefix(lb_str pattern, char *to);

#endif

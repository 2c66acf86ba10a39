/* pause: a target asked for one (429 or 503 with Retry-After), and it is held until then. */
#ifndef LBCORE_HEALTH_PAUSE_H
#define LBCORE_HEALTH_PAUSE_H

#include "health/outcome.h"

/* Hold until now_ns + at most max_ns; a longer hold that stands already stays.  True if it was not held before (this very
 * call holds it), or if the end moved: *moved says which. */
bool lb_pause_hold(lb_record *record, uint64_t for_ns, uint64_t max_ns, uint64_t now_ns, bool *moved);

/* End it where it is over at now_ns: true if this very call did. */
bool lb_pause_end(lb_record *record, uint64_t now_ns);

#endif

/* pause: a target asked for one (429 or 503 with Retry-After), and it is held until then.
 *
 *   held_until_ns     0 --hold--> until --hold for longer--> later --end, when it is over--> 0        one word, by CAS
 */
#ifndef LBCORE_HEALTH_PAUSE_H
#define LBCORE_HEALTH_PAUSE_H

#include "health/outcome.h"

/* Hold until now_ns + for_ns, or + max_ns where that is less; a hold that lasts longer already stays, and one for no time
 * is none.  True if this very call held it, or moved the end: *moved says which (one that is over but has not been ended
 * yet is moved). */
bool lb_pause_hold(lb_record *record, uint64_t for_ns, uint64_t max_ns, uint64_t now_ns, bool *moved);

/* End it where it is over at now_ns: true if this very call did. */
bool lb_pause_end(lb_record *record, uint64_t now_ns);

#endif

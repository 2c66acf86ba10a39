/* window: how many calls a target had in this interval and the last, and how many of them succeeded.
 *
 *   record.window   | tag 24 | successes 20 | calls 20 |     one word an interval, by CAS
 *                     even intervals     odd intervals
 *
 * The tag is the interval's number: the first call of an interval starts its word afresh, nobody has to clear it.
 * Keeps   calls stop at LB_MAX_VOLUME, and successes with them: the rate stands.  A call of an interval that is older than
 *         what the word holds (a clock that went back, a worker that was stopped) is not counted: by up to 255, beyond that
 *         it is the word that is old.  Tags come again after 2^24 intervals: 5 years of 10 s.
 */
#ifndef LBCORE_HEALTH_WINDOW_H
#define LBCORE_HEALTH_WINDOW_H

#include "target/record.h"

/* Count one call of this interval (its number since the clock's beginning). */
void lb_window_add(lb_record *record, uint64_t interval, bool success);

/* Calls and successes of an interval: the present one or that before, of others nothing is known: 0. */
uint32_t lb_window_calls(const lb_record *record, uint64_t interval, uint32_t *successes);

#endif

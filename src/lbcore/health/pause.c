/* pause: holds that targets asked for.
 *
 * Source  RFC 9110 10.2.3 (Retry-After); the longest hold is the embedder's.
 * Cost    O(1), one CAS.
 * Keeps   a hold ends: at LB_NEVER - 1 at the latest.  An end only moves away; who moves it, or ends it, wins the CAS.
 */
#include "health/pause.h"

bool lb_pause_hold(lb_record *record, uint64_t for_ns, uint64_t max_ns, uint64_t now_ns, bool *moved) {
    uint64_t length = for_ns < max_ns ? for_ns : max_ns, last = LB_NEVER - 1;
    uint64_t until = now_ns < last && length < last - now_ns ? now_ns + length : last;
    uint64_t stands = lb_word_read(&record->held_until_ns);
    *moved = false;
    if (length == 0) return false;
    do {
        if (stands >= until) return false;
    } while (!lb_word_swap(&record->held_until_ns, &stands, until));
    *moved = stands != 0;
    return true;
}

/* One attempt is enough: if the word has changed, somebody else ended the hold or moved its end. */
bool lb_pause_end(lb_record *record, uint64_t now_ns) {
    uint64_t until = lb_word_read(&record->held_until_ns);
    if (until == 0 || until == LB_NEVER || until > now_ns) return false;
    return lb_word_swap(&record->held_until_ns, &until, 0);
}

/* reader: picks, calls and reports of many threads at once, beside one writer.
 *
 *   thread 1  lb_reader  enter -> picture of this moment -> choose, count -> leave      \
 *   thread 2  lb_reader  ...                                                             >  any number, none waits
 *   thread 3  lb_reader  report -> words of the target's record, the epoch              /
 *   the writer, under the embedder's lock: update, set_weight, set_health, drain, advance, ...
 *
 *   up->era      7            8            9               goes up with each picture that is replaced
 *   pictures   [replaced]  [replaced]  [present]           those replaced wait in order, each with the era it ended in
 *   readers    inside 0 (outside)   inside 8   inside 9    a picture of era e is freed when nobody is inside e or before
 *
 * Threads  Each thread has a handle of its own and uses it alone.  The handle is made and freed under the lock of the
 *          writer; all functions that take one need no lock.
 * Writer   While there are readers, the functions of upstream.h are the writer's, under one lock.  Those that pick (pick,
 *          acquire, choose, begin, candidates, pick_many, batches) are nobody's: who holds the lock and wants to pick has
 *          a reader too.  The writer calls lb_upstream_advance() every so often, 100 ms or less, whatever
 *          lb_upstream_due() says: it makes the picture that readers' reports ask for, hears what they have to tell
 *          (events; failed calls that stay counted), and frees replaced pictures, a few a call.
 * Old      Until then a reader passes over whom the records call out; who came back is not picked yet.  If nobody can be
 *          had, the writer may know somebody: lb_upstream_advance(), and ask again.
 * Waits    nobody: round_robin and static_rr_haproxy once their schedule repeats, random, first, least_conn, p2c,
 *          least_request, peak_ewma, adaptive, hash, hash_bounded, jump, ring_hash and maglev without a bound of their own,
 *          chash_kong, ketama_libmemcached, weighted_clusters, chash_haproxy, map_haproxy, source_haproxy.  The others wait for each other, for the time of one choice,
 *          and so does round_robin in its first period and where that is above 2^20 turns, and the choice among
 *          priorities or localities in its first period: gate.h, which says also what they do while the writer builds.
 * Order    A thread's own calls see its own changes.  Picks of several threads at the same moment do not see each other's
 *          calls: several may choose the same least loaded target.  limits.in_flight and bounds hold all the same where
 *          lb_reader_begin() counts; the share that may be ejected at once may be passed by one target for each reader
 *          that ejects at the very moment of a new picture.
 * Not      Retry budgets, sessions, splits and forks: the writer's.  A process that forks frees its readers before.  A subset is
 *          freed when no reader is asked for it any more.
 * Cost     enter and leave: one atomic exchange and one store.  A subset is found in O(number of subsets).
 */
#ifndef LBCORE_UPSTREAM_READER_H
#define LBCORE_UPSTREAM_READER_H

#include "upstream/upstream.h"

typedef struct lb_reader lb_reader;

/* Whom a reader got.  `user` is the embedder's: see lb_upstream_reclaim() for how long it may be used. */
typedef struct lb_chosen {
    void *user;
    uint32_t member;                /* in the picture it was picked from */
    uint32_t slot, generation;
} lb_chosen;

/* Under the writer's lock.  `seed`: of the reader's draws; readers with the same seed draw the same.  With the seed of the
 * upstream a single reader picks what lb_upstream_choose() would.  Fails for want of memory only. */
lb_status lb_reader_new(lb_reader **out, lb_upstream *up, uint64_t seed, lb_error *err);

/* Under the writer's lock, outside, before the upstream is freed.  Accepts NULL. */
void lb_reader_free(lb_reader *reader);

/* From enter to leave the reader stays in one picture, which is returned, and so are the users it names: several choices
 * are made from the same.  May be nested.  The functions below do both by themselves; stay inside shortly, nothing that
 * was replaced meanwhile is freed before. */
const lb_view *lb_reader_enter(lb_reader *reader);
void lb_reader_leave(lb_reader *reader);

/* As lb_upstream_pick() and lb_upstream_choose() (a receipt's runner-up is what it was a moment before).  False: nobody can
 * be had, or a keyed policy gets no key.  now_ns 0 tells no time: the latest that this reader was told counts. */
bool lb_reader_pick(lb_reader *reader, uint64_t now_ns, lb_chosen *out);
bool lb_reader_choose(lb_reader *reader, const lb_want *want, uint64_t now_ns, lb_chosen *out);

/* As choose, and one more in flight. */
bool lb_reader_begin(lb_reader *reader, const lb_want *want, uint64_t now_ns, lb_chosen *out, lb_call *call);

/* As lb_upstream_report() and lb_upstream_release(), of any thread's call.  Events go to the writer's queue when it comes
 * by: 64 for each reader wait, of the rest the number is told.  So do failed calls that stay counted for a while
 * (limits.hold_ns); one that finds no room is released at once. */
void lb_reader_report(lb_reader *reader, lb_call *call, const lb_report *report, uint64_t now_ns);
void lb_reader_release(lb_reader *reader, const lb_call *call);

/* The writer's, also part of advance and update: free replaced pictures that no reader is in, oldest first, at most
 * LB_RECLAIMED of them.  How many are left: 0 means that nobody is in a picture older than the present one, so that users
 * which it does not name may be freed, as far as no call is open on them. */
#define LB_RECLAIMED 4u
uint32_t lb_upstream_reclaim(lb_upstream *up);

#endif

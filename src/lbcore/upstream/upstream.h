/* upstream: a named group of targets with one policy.  Publishes Views, picks, counts calls, fires what is due.
 *
 *   update, set_weight, set_health, eject, recover
 *          | make a View aside (a failure leaves the old one)
 *          v
 *   lb_upstream --view--> lb_view, policy state        read by pick and acquire
 *               --state-> lb_state                     written by acquire and done
 *
 * Time    every call that may depend on it takes now_ns (monotonic) and first fires what is due, if
 *         now_ns >= lb_upstream_due().  A caller that passes 0 fires nothing.
 * Events  ejected, recovered, unhealthy, healthy go to a queue of the last 256; what it had to drop is counted.
 * Keeps   the same calls with the same arguments give the same picks.  One caller at a time (the binding's
 *         GIL); in-flight counters may be read by anyone.
 */
#ifndef LBCORE_UPSTREAM_UPSTREAM_H
#define LBCORE_UPSTREAM_UPSTREAM_H

#include "base/str.h"
#include "health/passive.h"
#include "policy/policy.h"

/* One target as configured.  Identity is `id`, else `address`. */
typedef struct lb_target_spec {
    lb_str id;                      /* empty: the address is the identity */
    lb_str address;
    lb_str hash_key;                /* what schemes hash instead of the address; empty: nothing given */
    uint32_t weight;                /* 0..LB_MAX_WEIGHT */
    void *user;                     /* the embedder's, handed back by picks; not owned */
} lb_target_spec;

typedef struct lb_upstream_spec {
    const lb_policy *policy;
    double param[LB_MAX_PARAMS];    /* in the order of policy->params */
    uint64_t seed;
    lb_passive passive;
} lb_upstream_spec;

typedef enum lb_event_kind {
    LB_EVENT_EJECTED = 0,
    LB_EVENT_RECOVERED,             /* an ejection ended */
    LB_EVENT_UNHEALTHY,             /* set_health(false) */
    LB_EVENT_HEALTHY,               /* set_health(true) */
} lb_event_kind;

typedef struct lb_event {
    lb_event_kind kind;
    uint32_t slot, generation;      /* of the target; its user pointer may be gone */
    uint64_t at_ns, until_ns;       /* until_ns: of an ejection, else 0 */
    uint32_t failures;              /* consecutive, of an ejection */
} lb_event;

typedef struct lb_upstream lb_upstream;

/* One call in flight.  Plain data: the embedder keeps it and gives it back once. */
typedef struct lb_call {
    uint32_t member;                /* index in the View it was picked from */
    uint32_t slot, generation;
    uint64_t started_ns;
} lb_call;

lb_status lb_upstream_new(lb_upstream **out, const lb_upstream_spec *spec, const lb_target_spec *targets, uint32_t n,
                          uint64_t now_ns, lb_error *err);
void lb_upstream_free(lb_upstream *up);                                /* accepts NULL */

/* Replace the target list.  Members kept by identity keep slot, in-flight, health and debts; set_weight is
 * forgotten.  Errors: a duplicate identity, a weight above LB_MAX_WEIGHT, an empty address ("targets[i].field"); more
 * than LB_MAX_SLOTS targets, those that go and those that come counted together ("targets"). */
lb_status lb_upstream_update(lb_upstream *up, const lb_target_spec *targets, uint32_t n, uint64_t now_ns,
                             lb_error *err);
lb_status lb_upstream_set_weight(lb_upstream *up, uint32_t member, uint32_t weight, uint64_t now_ns, lb_error *err);

/* healthy = true also ends an ejection. */
lb_status lb_upstream_set_health(lb_upstream *up, uint32_t member, bool healthy, uint64_t now_ns, lb_error *err);

/* Fire what is due (ejections that end).  Running out of memory leaves it due: the next call tries again. */
lb_status lb_upstream_advance(lb_upstream *up, uint64_t now_ns, lb_error *err);
uint64_t lb_upstream_due(const lb_upstream *up);                       /* LB_NEVER: nothing is waiting */

/* A member of lb_upstream_view(), or LB_NONE if nobody is usable.  Never allocates unless something was due. */
uint32_t lb_upstream_pick(lb_upstream *up, uint64_t now_ns);

/* How a target is wanted; {0} says nothing. */
typedef struct lb_want {
    const lb_key *key;              /* for keyed policies, which need one; NULL: none.  The others ignore it */
} lb_want;

/* As pick, for what is wanted.  LB_NONE also where a keyed policy gets no key. */
uint32_t lb_upstream_choose(lb_upstream *up, const lb_want *want, uint64_t now_ns);

/* As choose, but the member in *call counts one more in flight.  False: nobody can be had. */
bool lb_upstream_begin(lb_upstream *up, const lb_want *want, uint64_t now_ns, lb_call *call);

/* As pick, but the member in *call counts one more in flight.  False: nobody is usable. */
bool lb_upstream_acquire(lb_upstream *up, uint64_t now_ns, lb_call *call);

/* The verdict on the call's target (it may be ejected by it); releases nothing.  A stale generation is ignored.
 * latency_ns: as the caller measured it; LB_NEVER: since the call was acquired.
 * If there is no memory for the View without an ejected target, the ejection stands and lb_upstream_due() is in the
 * past: picks may give the target until the next call that tells the time finds the memory. */
void lb_upstream_report(lb_upstream *up, const lb_call *call, lb_verdict verdict, uint64_t latency_ns,
                        uint64_t now_ns);

/* The call has ended: one less in flight, on its own generation only. */
void lb_upstream_release(lb_upstream *up, const lb_call *call);

/* The current picture.  Valid until the next function that takes now_ns. */
const lb_view *lb_upstream_view(const lb_upstream *up);
lb_state *lb_upstream_state(const lb_upstream *up);
const void *lb_upstream_policy_state(const lb_upstream *up);           /* for tests and tools of the policy itself */

/* Take the oldest event; false if there is none.  *dropped counts events lost since the last call of this. */
bool lb_upstream_next_event(lb_upstream *up, lb_event *out, uint64_t *dropped);

/* ---- the part that a binding inlines ---------------------------------------------------------------------- */

/* The first fields of every lb_upstream, laid out for one cache line: enough to pick from a replayed schedule. */
typedef struct lb_upstream_hot {
    lb_view *view;
    lb_replay *replay;              /* of the policy; NULL: it has none */
    uint64_t due_ns;                /* LB_NEVER: nothing is waiting */
} lb_upstream_hot;

#define LB_PREFETCH_TURNS 24        /* ahead for the object, twice as many for the pointer to it */
#define LB_PREFETCH_FROM 4096       /* turns: what shorter schedules touch is in the cache by itself */

/* True if a pick needs no clock and no policy call: nothing waits and a schedule is being replayed. */
static inline bool lb_upstream_is_replaying(const lb_upstream *up) {
    const lb_upstream_hot *hot = (const lb_upstream_hot *)(const void *)up;
    return hot->due_ns == LB_NEVER && hot->replay && hot->replay->table;
}

/* The user pointer of the next turn; only while lb_upstream_is_replaying().
 *
 * Brings near what the turns ahead will touch, first the user pointer, later the object itself: with 100,000 targets
 * each would be a cache miss, and the second must not wait for the first.  (Not a function of its own:
 * GCC takes one that only prefetches for one without effect, and drops the call.) */
static inline void *lb_upstream_replay_user(lb_upstream *up) {
    lb_upstream_hot *hot = (lb_upstream_hot *)(void *)up;
    lb_replay *replay = hot->replay;
    void **user = hot->view->user;
    uint32_t member = lb_replay_next(replay);
#if defined(__GNUC__)
    uint32_t near = replay->cursor + LB_PREFETCH_TURNS, far = near + LB_PREFETCH_TURNS;
    if (replay->n > LB_PREFETCH_FROM && far < replay->n) {
        __builtin_prefetch(&user[replay->table[far]]);
        __builtin_prefetch(user[replay->table[near]], 1);
    }
#endif
    return user[member];
}

#endif

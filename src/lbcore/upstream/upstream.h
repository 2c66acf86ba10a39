/* upstream: a named group of targets with one policy.  Publishes Views, picks, counts calls, fires what is due.
 *
 *   set_health, drain, report, another worker --record, epoch--> the picture is old
 *   update, set_weight                        --list, weights-->       | made anew aside by the next call that picks
 *                                                                      v (a failure leaves the old one)
 *   lb_upstream --picture--> lb_view, policy states     read by pick and acquire
 *               --state----> lb_state                   written by acquire and done
 *
 * Health  a change of a target's state is one word of its record and a higher epoch: O(1), whatever the number of
 *         targets.  The next pick makes the picture anew.  With many targets it does so at most every so often
 *         (due.c), and until then passes over who is out.
 * Time    every call that may depend on it takes now_ns (monotonic) and first fires what is due, if
 *         now_ns >= lb_upstream_due().  A new picture, for one that is due or old, is made by calls that pick, advance,
 *         or change the list or a weight; never by reports, checks and changes of health: these allocate nothing but the
 *         first event, and what an interval's end works with.  A caller that passes 0 tells no time.
 * Events  what happened to targets goes to a queue of the last 256; what it had to drop is counted.
 * Keeps   the same calls with the same arguments give the same picks.  One caller at a time (the binding's
 *         GIL), but for what says otherwise; in-flight counters may be read by anyone.  Many threads: reader.h.
 */
#ifndef LBCORE_UPSTREAM_UPSTREAM_H
#define LBCORE_UPSTREAM_UPSTREAM_H

#include "base/str.h"
#include "health/checks.h"
#include "health/outlier.h"
#include "health/pause.h"
#include "policy/policy.h"

/* ---- what an upstream is made of -------------------------------------------------------------------------------- */

#define LB_MAX_PRIORITIES 128u
#define LB_MAX_LOCALITIES 256u

/* One target as configured.  Identity is `id`, else `address`. */
typedef struct lb_target_spec {
    lb_str id;                      /* empty: the address is the identity */
    lb_str address;
    lb_str hash_key;                /* what schemes hash instead of the address; empty: nothing given */
    uint32_t weight;                /* 0..LB_MAX_WEIGHT */
    uint32_t priority;              /* 0 is served first; below LB_MAX_PRIORITIES */
    uint32_t locality;              /* a number for its place, below LB_MAX_LOCALITIES; 0: none */
    uint32_t locality_weight;       /* 0..LB_MAX_WEIGHT, the same for all targets of one locality */
    const uint32_t *labels;         /* numbers for its labels, ascending; a subset asks for some of them */
    uint32_t n_labels;
    void *user;                     /* the embedder's, handed back by picks; not owned */
} lb_target_spec;

/* How priorities share the load, and when health is no longer believed.
 *
 * Source  Envoy's priority levels: a level's health is min(100, overprovisioning * healthy / all) percent; level after
 *         level takes as much of what is left; what rounding leaves goes to the first healthy one.  While all levels
 *         together have less than 100, a level with less than `panic` percent healthy serves with all its targets;
 *         where every level is in panic, they share by their numbers of targets. */
typedef struct lb_levels {
    uint32_t overprovisioning;      /* percent, 100..1000000; 0: a level serves alone while anybody in it is usable */
    uint32_t panic;                 /* percent, 0..100; 0: off */
} lb_levels;

#define LB_SLOW_STEPS 16u

/* A target that comes (back) serves with step[i] / 65536 of its weight in the i-th part of window_ns, at least 1. */
typedef struct lb_slow_start {
    uint64_t window_ns;             /* 0: off */
    uint32_t step[LB_SLOW_STEPS];   /* 1..65536 */
} lb_slow_start;

/* Fast facts: who is over a limit is passed over at the pick.  Policies that are `bounded` bring a bound of their own. */
typedef struct lb_limits {
    uint32_t in_flight;             /* calls on one target; 0: any number */
    uint32_t bound_permille;        /* calls on one target < ceil(bound * (calls in all + 1) * its share) + margin; */
    uint32_t margin;                /* 0 permille: no bound.  1000..100000 */
    uint64_t hold_ns;               /* a failed call stays counted that long, where the policy is load_aware */
    uint32_t retry_percent;         /* retries allowed, of the first tries of the last 10 s, */
    uint32_t retry_per_second;      /* and a second besides: budget.h */
} lb_limits;

/* What decides that a target is well. */
typedef struct lb_health {
    lb_outlier outlier;             /* Envoy's detectors */
    lb_check_limits passive;        /* Kong's checks, by the outcomes of calls */
    lb_check_limits active;         /* and of probes */
    double threshold;               /* percent: the upstream serves only while more of its weight is available; 0: off */
    uint64_t max_hold_ns;           /* that a target may ask for by retry_after; 0: it is not listened to */
} lb_health;

/* Who serves when nobody is usable. */
typedef enum lb_when_empty {
    LB_EMPTY_FAIL = 0,              /* nobody */
    LB_EMPTY_PANIC,                 /* everybody who is not draining or disabled, by weight */
    LB_EMPTY_LEAST_BAD,             /* of these who is held or ejected and back soonest, else who is unhealthy */
} lb_when_empty;

typedef struct lb_upstream_spec {
    const lb_policy *policy;
    double param[LB_MAX_PARAMS];    /* in the order of policy->params */
    uint64_t seed;                  /* of schedules and draws */
    lb_health health;
    lb_when_empty when_empty;
    const lb_backing *backing;      /* where State is shared with other workers; NULL: it is private */
    lb_str name;                    /* of the upstream, where it is shared: what the workers know it by */
    lb_levels levels;
    lb_slow_start slow_start;
    lb_limits limits;
} lb_upstream_spec;

typedef enum lb_event_kind {
    LB_EVENT_EJECTED = 0,
    LB_EVENT_RECOVERED,             /* an ejection ended */
    LB_EVENT_UNHEALTHY,             /* set_health(false), or its checks */
    LB_EVENT_HEALTHY,
    LB_EVENT_HELD,                  /* it asked for a pause */
    LB_EVENT_RELEASED,              /* the pause is over */
    LB_EVENT_DRAINING,
    LB_EVENT_DRAINED,               /* its last call has ended */
    LB_EVENT_UNDRAINED,
    LB_EVENT_DISABLED,
    LB_EVENT_ENABLED,
} lb_event_kind;

typedef struct lb_event {
    lb_event_kind kind;
    uint32_t slot, generation;      /* of the target; its user pointer may be gone */
    uint64_t at_ns, until_ns;       /* until_ns: of an ejection, a pause, a drain; else 0 */
    uint32_t failures;              /* consecutive, that led to an ejection; 0: a statistical detector */
    lb_cause cause;                 /* of an ejection */
    uint16_t status;                /* of the answer that asked for a pause; 0: none */
} lb_event;

typedef struct lb_upstream lb_upstream;

/* The targets that have certain labels, with a schedule of their own; stays valid over updates. */
typedef struct lb_subset lb_subset;

/* One call in flight.  Plain data: the embedder keeps it and gives it back once. */
typedef struct lb_call {
    uint32_t member;                /* index in the View it was picked from */
    uint32_t slot, generation;
    uint64_t started_ns;
    uint64_t hold_until_ns;         /* it failed, and stays counted until then; 0: it does not */
} lb_call;

/* ---- making and changing ---------------------------------------------------------------------------------------- */

/* The defaults of everything but policy, param and seed; State is private. */
void lb_upstream_defaults(lb_upstream_spec *spec);

/* Errors: a parameter's name, "health.*", "levels.*", "limits.*", "slow_start.*"; as lb_upstream_update(). */
lb_status lb_upstream_new(lb_upstream **out, const lb_upstream_spec *spec, const lb_target_spec *targets, uint32_t n,
                          uint64_t now_ns, lb_error *err);
void lb_upstream_free(lb_upstream *up);                                /* accepts NULL; its subsets are empty then */

/* Replace the target list.  Members kept by identity keep slot, in-flight, health, drain and debts; set_weight is
 * forgotten.  Errors: a duplicate identity, a weight above LB_MAX_WEIGHT, an empty address ("targets[i].field"); more
 * than LB_MAX_SLOTS targets, those that go and those that come counted together ("targets"); what the policy refuses. */
lb_status lb_upstream_update(lb_upstream *up, const lb_target_spec *targets, uint32_t n, uint64_t now_ns,
                             lb_error *err);
lb_status lb_upstream_set_weight(lb_upstream *up, uint32_t member, uint32_t weight, uint64_t now_ns, lb_error *err);

/* healthy = true also ends an ejection and a pause.  keep: checks do not change it again. */
lb_status lb_upstream_set_health(lb_upstream *up, uint32_t member, bool healthy, bool keep, uint64_t now_ns,
                                 lb_error *err);

/* No new calls but those of its sessions, and these until until_ns (LB_NEVER: without end). */
lb_status lb_upstream_drain(lb_upstream *up, uint32_t member, uint64_t until_ns, uint64_t now_ns, lb_error *err);
lb_status lb_upstream_undrain(lb_upstream *up, uint32_t member, uint64_t now_ns, lb_error *err);

/* Out of service by hand, sessions too, until it is enabled. */
lb_status lb_upstream_disable(lb_upstream *up, uint32_t member, bool disabled, uint64_t now_ns, lb_error *err);

/* Fire what is due: ejections and holds that end, steps of a slow start, decay, the ends of detectors' intervals; look at
 * the other workers.  Running out of memory leaves it due: the next call tries again. */
lb_status lb_upstream_advance(lb_upstream *up, uint64_t now_ns, lb_error *err);
uint64_t lb_upstream_due(const lb_upstream *up);                       /* LB_NEVER: nothing is waiting */

/* As advance, and the picture is of this moment afterwards, however many targets there are: for looking in. */
lb_status lb_upstream_settle(lb_upstream *up, uint64_t now_ns, lb_error *err);

/* When the first of those who are out is back by itself; LB_NEVER: nobody.  O(n): for telling a caller who got nobody. */
uint64_t lb_upstream_back_ns(const lb_upstream *up);

/* In the child of a fork: open calls are the parent's, draws and the place in a schedule are the child's own.  Where State
 * is shared, lb_upstream_rejoin() follows at the next load, before anything else. */
void lb_upstream_forked(lb_upstream *up, uint64_t seed);
lb_status lb_upstream_rejoin(lb_upstream *up, uint64_t now_ns, lb_error *err);

/* The targets with all of `labels` (ascending).  The handle is the caller's, to be freed before or after `up`. */
lb_status lb_upstream_subset(lb_upstream *up, const uint32_t *labels, uint32_t n, uint64_t now_ns, lb_subset **out,
                             lb_error *err);
void lb_subset_free(lb_subset *subset);                                /* accepts NULL */
const lb_view *lb_subset_view(const lb_subset *subset, uint32_t group);/* a priority's; NULL: no such group, or no upstream */

/* ---- picking ---------------------------------------------------------------------------------------------------- */

/* Why a candidate was passed over. */
typedef enum lb_pass {
    LB_PASS_NOT = 0,
    LB_PASS_EXCLUDED,               /* the caller said so, or it was tried */
    LB_PASS_FULL,                   /* limits.in_flight */
    LB_PASS_BOUND,                  /* the bound on its share of the load */
    LB_PASS_OUT,                    /* not usable any more */
    LB_PASS_TRIAL,                  /* its breaker is half open, and the calls that it may have are under way */
} lb_pass;

#define LB_MAX_PASSED 16u

/* What a choice came from, for who wants to know. */
typedef struct lb_receipt {
    uint32_t priority;              /* of the level that was chosen */
    uint32_t runner_up;             /* who would have come next; LB_NONE: nobody */
    uint32_t n_passed;              /* in all, the first LB_MAX_PASSED are listed; of others each asking counts */
    uint32_t passed[LB_MAX_PASSED]; /* members */
    lb_pass why[LB_MAX_PASSED];
} lb_receipt;

/* How a target is wanted; {0} says nothing. */
typedef struct lb_want {
    const lb_key *key;              /* for keyed policies, which need one; NULL: none.  The others ignore it */
    const lb_subset *within;        /* NULL: all targets */
    const uint32_t *exclude;        /* slots that are passed over */
    uint32_t n_exclude;
    lb_receipt *receipt;            /* NULL: none is written */
} lb_want;

/* A member of lb_upstream_view(), or LB_NONE if nobody is usable.  Never allocates unless something was due. */
uint32_t lb_upstream_pick(lb_upstream *up, uint64_t now_ns);

/* As pick, for what is wanted.  LB_NONE also where a keyed policy gets no key, and where everybody is passed over. */
uint32_t lb_upstream_choose(lb_upstream *up, const lb_want *want, uint64_t now_ns);

/* As choose with nothing but a key, for keyed policies. */
uint32_t lb_upstream_pick_key(lb_upstream *up, const lb_key *key, uint64_t now_ns);

/* As pick and choose, but the member in *call counts one more in flight.  False: nobody can be had. */
bool lb_upstream_acquire(lb_upstream *up, uint64_t now_ns, lb_call *call);
bool lb_upstream_begin(lb_upstream *up, const lb_want *want, uint64_t now_ns, lb_call *call);

/* A first try was made; may a retry be made (it counts then)? */
void lb_upstream_first_try(lb_upstream *up, uint64_t now_ns);
bool lb_upstream_may_retry(lb_upstream *up, uint64_t now_ns);

/* One more call on `member` itself, for who has chosen it by other means (a session); it is asked nothing. */
void lb_upstream_begin_on(lb_upstream *up, uint32_t member, uint64_t now_ns, lb_call *call);

/* True if `member` may take a call of one of its sessions at now_ns: usable, or draining before its deadline. */
bool lb_upstream_serves_session(const lb_upstream *up, uint32_t member, uint64_t now_ns);

/* The members that choose would give one after the other, each passed over for the next: at most n into `out`, all
 * different.  Returns how many.  Moves no cursor. */
uint32_t lb_upstream_candidates(lb_upstream *up, const lb_want *want, uint32_t *out, uint32_t n, uint64_t now_ns);

/* n picks at once into out[]: members, or -1 where nobody is usable. */
void lb_upstream_pick_many(lb_upstream *up, int32_t *out, uint32_t n, uint64_t now_ns);
void lb_upstream_pick_keys(lb_upstream *up, const lb_key *keys, int32_t *out, uint32_t n, uint64_t now_ns);

/* The same in two parts.  Between them other threads may do with the upstream what they like: the picture stays.
 * lb_batch_begin() false: this upstream's picks cannot be made so (limits, levels, no schedule to read yet). */
typedef struct lb_batch {
    lb_upstream *up;
    const struct lb_group *group;
    uint32_t from;                  /* turn of a schedule */
} lb_batch;
bool lb_batch_begin(lb_batch *batch, lb_upstream *up, uint32_t n, bool keyed, uint64_t now_ns);
void lb_batch_turns(const lb_batch *batch, int32_t *out, uint32_t n);
void lb_batch_keys(const lb_batch *batch, const lb_key *keys, int32_t *out, uint32_t n);
void lb_batch_end(lb_batch *batch);

/* How a call ended. */
typedef struct lb_report {
    lb_outcome outcome;
    uint64_t latency_ns;            /* as the caller measured it; LB_NEVER: since the call was acquired */
    uint64_t pause_ns;              /* that the target asks for; 0: none */
} lb_report;

/* The verdict on the call's target (it may be out by it); releases nothing, makes no picture.  A stale
 * generation is ignored. */
void lb_upstream_report(lb_upstream *up, lb_call *call, const lb_report *report, uint64_t now_ns);

/* The outcome of an active check of a member. */
void lb_upstream_checked(lb_upstream *up, uint32_t member, const lb_outcome *outcome, uint64_t now_ns);

/* The call has ended: one less in flight, on its own generation only; or later, where it failed and is held. */
void lb_upstream_release(lb_upstream *up, const lb_call *call);

/* ---- looking in ------------------------------------------------------------------------------------------------- */

/* The current picture of all targets.  Valid until the next function that takes now_ns. */
const lb_view *lb_upstream_view(const lb_upstream *up);
lb_state *lb_upstream_state(const lb_upstream *up);
const void *lb_upstream_policy_state(const lb_upstream *up);           /* for tests and tools of the policy itself */
uint64_t lb_upstream_in_flight(const lb_upstream *up);                 /* of all targets and workers, held calls included */

/* Shares of the priority levels in percent, by ascending priority, at most n; returns how many there are. */
uint32_t lb_upstream_levels(const lb_upstream *up, uint32_t *priority, uint32_t *percent, uint32_t n);

/* The most calls that `member` may have for the next one to be given to it, by the limits and by its share in its
 * group; LB_NONE: any number. */
uint32_t lb_upstream_bound(const lb_upstream *up, uint32_t member);

/* Take the oldest event; false if there is none.  *dropped counts events lost since the last call of this. */
bool lb_upstream_next_event(lb_upstream *up, lb_event *out, uint64_t *dropped);

/* ---- the part that a binding inlines ---------------------------------------------------------------------- */

/* The first fields of every lb_upstream, laid out for one cache line: enough to pick from a replayed schedule. */
typedef struct lb_upstream_hot {
    lb_view *view;
    lb_replay *replay;              /* of the policy; NULL: it has none, or picks must look at more than the schedule */
    uint64_t due_ns;                /* LB_NEVER: nothing is waiting */
    const lb_word *epoch;           /* of what the picture was made from */
    uint64_t seen;                  /* what it was then */
} lb_upstream_hot;

#define LB_TURNS_BETWEEN_LOOKS 256u /* where a schedule is shared: then a pick asks for the time */

#define LB_PREFETCH_TURNS 24        /* ahead for the object, twice as many for the pointer to it */
#define LB_PREFETCH_FROM 4096       /* turns: what shorter schedules touch is in the cache by itself */

/* True if the next call has something to do before it picks: it should be told the time. */
static inline bool lb_upstream_is_waiting(const lb_upstream *up) {
    const lb_upstream_hot *hot = (const lb_upstream_hot *)(const void *)up;
    return hot->due_ns != LB_NEVER || lb_word_read(hot->epoch) != hot->seen;
}

/* True if a pick needs no clock and no policy call: nothing waits and a schedule is being replayed. */
static inline bool lb_upstream_is_replaying(const lb_upstream *up) {
    const lb_upstream_hot *hot = (const lb_upstream_hot *)(const void *)up;
    return !lb_upstream_is_waiting(up) && hot->replay && hot->replay->table;
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
    if (replay->shared && replay->n_taken % LB_TURNS_BETWEEN_LOOKS == 0) hot->due_ns = 1;
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

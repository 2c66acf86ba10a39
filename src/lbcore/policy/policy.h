/* policy: the contract of a selection policy, and the register of all of them.
 *
 * A policy is one file policy/<name>.c that ends in `const lb_policy lb_policy_<name>`, and one line
 * LB_POLICY(<name>) in policies.def.  What it must not do: judge health, honour limits, skip tried
 * targets, count in-flight, read a clock, allocate in pick.  The upstream does these once for all.
 */
#ifndef LBCORE_POLICY_POLICY_H
#define LBCORE_POLICY_POLICY_H

#include "base/rng.h"
#include "base/str.h"
#include "target/backing.h"
#include "target/view.h"

#define LB_MAX_PARAMS 8

/* One parameter of a policy.  All are numbers; `whole` ones are refused with a fraction.  A choice among words is the
 * whole number of the word in `words`, so its range is 0..number of words - 1. */
typedef struct lb_param {
    const char *name;
    double initial, min, max;       /* the default and the allowed range, both ends included */
    const char *doc;                /* one sentence for the reference page */
    bool whole;
    const char *const *words;       /* ends with NULL; NULL: a plain number */
} lb_param;

/* Rows of a policy's table of parameters: a number, a whole number, a word (the default is the first), yes or no. */
#define LB_NUMBER(name, initial, min, max, doc) {name, initial, min, max, doc, false, NULL}
#define LB_WHOLE(name, initial, min, max, doc) {name, initial, min, max, doc, true, NULL}
#define LB_WORD(name, words, doc) {name, 0, 0, sizeof(words) / sizeof *(words) - 2, doc, true, words}
#define LB_FLAG(name, initial, doc) {name, initial, 0, 1, doc, true, lb_no_yes}

extern const char *const lb_no_yes[];       /* "no", "yes" */

#define LB_KEPT_STEPS 16u

/* What a policy keeps between the steps of one ask, where that cannot stand in its state: another thread may be asking. */
typedef struct lb_kept {
    uint32_t n;
    uint32_t place[LB_KEPT_STEPS];
} lb_kept;

/* How one choice is asked for. */
typedef struct lb_ask {
    lb_rng *rng;                    /* the upstream's, or a reader's */
    lb_kept *kept;                  /* other threads ask too, and change State: its counters are read one by one, as
                                     * atomics.  NULL: one caller at a time */
    uint32_t step;                  /* 0, then 1, 2, ... when the one before had to be skipped */
    bool peek;                      /* look ahead only: no cursor moves */
} lb_ask;

/* What a keyed policy is asked for. */
typedef struct lb_key {
    lb_str text;                    /* the bytes that the scheme hashes */
    uint64_t hash;                  /* where `hashed`: stands for the result of the scheme's own hash of the key */
    bool hashed;
} lb_key;

/* A walk through the candidates of one key.  The core fills in key, rng and peek and counts step; the other two are
 * the policy's, set at step 0 and kept between the steps. */
typedef struct lb_walk {
    lb_key key;
    lb_rng *rng;                    /* the upstream's; a copy where peek */
    uint32_t step;                  /* 0, then 1, 2, ... when the one before had to be skipped */
    bool peek;                      /* look only: no cursor moves */
    uint64_t hash;                  /* the key's hash */
    uint64_t at;                    /* where the walk stands */
} lb_walk;

/* How a call went, for policies that learn from it. */
typedef struct lb_seen {
    uint64_t now_ns;
    uint64_t latency_ns;            /* from acquire to done, or as the caller measured it */
    bool failed;
} lb_seen;

/* A schedule that repeats, offered by a policy so that a pick is an array read.  table is NULL while there is none.
 * The caller of lb_replay_next() plays the policy's part: it moves the cursor as pick() would. */
typedef struct lb_replay {
    const uint32_t *table;          /* member indices */
    uint32_t n;                     /* the period */
    uint32_t cursor;                /* next turn, < n */
    uint32_t n_taken;               /* of shared turns, by this worker */
    bool alike;                     /* every worker with the same View has the same turns */
    lb_cursor *shared;              /* whose turns all workers take; NULL: our own cursor counts */
    uint64_t base;                  /* of shared turns: a multiple of n, not far below */
    lb_word taken;                  /* turns that readers took, from the cursor on: upstream/gate.h */
} lb_replay;

typedef struct lb_policy {
    const char *name;               /* file, symbol and configuration name */
    const char *summary;            /* one line for lists and the reference page */
    const lb_param *params;         /* ends with {0}; NULL: none */

    /* What the ranges cannot say (a prime, one not above the other), asked before any build.  NULL: nothing. */
    lb_status (*check)(const double *param, lb_error *err);

    /* Make the tables for `view`.  `param` has one checked value a parameter.  `previous` is the state of the same
     * policy for the View before (NULL: none); old_index[i] is member i's index there, LB_NONE for a newcomer.
     * It is read, never changed: it stays valid whether or not the build succeeds.  On failure *out is untouched. */
    lb_status (*build)(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err);
    void (*destroy)(void *state);   /* accepts NULL */

    /* Exactly one of pick and walk.
     * pick: a usable member, or LB_NONE where n_usable is 0.  Asked again with step + 1 for the next one.
     * walk (keyed policies): the usable candidates of a key, the most preferred first; one may come again.  LB_NONE:
     * there are no more, and the core goes on by its own rule. */
    uint32_t (*pick)(void *state, const lb_view *view, const lb_ask *ask);
    uint32_t (*walk)(void *state, const lb_view *view, lb_walk *walk);

    lb_replay *(*replay)(void *state);      /* NULL: the policy has none */

    /* Policies that learn from calls.  A call on `slot` ended: note it in `places` (pace, ratio, fleet_ns), which all
     * Views of the upstream share.  tick() is called tick_ns after the last one or later (0: never): what was learnt
     * fades by the time that passed. */
    void (*observe)(const void *state, lb_state *places, uint32_t slot, const lb_seen *seen);
    void (*tick)(const void *state, lb_state *places, uint64_t now_ns);
    uint64_t tick_ns;

    /* The hash of a key by which peers also choose the priority level.  NULL: XXH64 of the text. */
    uint64_t (*hash)(const void *state, const lb_key *key);

    /* Threads.  pure: pick() or walk() writes nothing but what it is handed, and relaxed words, and a walk() draws nothing:
     * any number of threads may ask at once.  is_pure: for policies whose state decides, or whose peek is no
     * choice; NULL: `pure` says it.  build() of those that have it reads nothing of `previous` that asking writes, but
     * relaxed words.  Of the others readers take turns: upstream/gate.h. */
    bool pure;
    bool (*is_pure)(const void *state);
    bool load_aware;                /* a failed call stays counted for a while, so that failing fast is not being idle */
    bool bounded;                   /* the core keeps loads below a bound: params[0] is its factor, params[1] its margin */
} lb_policy;

static inline bool lb_policy_is_pure(const lb_policy *policy, const void *state) {
    return policy->is_pure ? policy->is_pure(state) : policy->pure;
}

/* The register, in the order of policies.def. */
extern const lb_policy *const lb_policies[];
extern const uint32_t lb_n_policies;

const lb_policy *lb_policy_find(lb_str name);                          /* NULL: unknown */

/* Check one value against its range.  Errors name the parameter, the value and the range (or the words). */
lb_status lb_param_check(const lb_param *param, double value, lb_error *err);

/* The number of parameters of a policy, and its defaults into param[LB_MAX_PARAMS]. */
uint32_t lb_policy_defaults(const lb_policy *policy, double *param);

/* The place of turn t in the period. */
static inline uint32_t lb_replay_place(lb_replay *replay, uint64_t t) {
    uint64_t at = t - replay->base;
    if (at >= replay->n) {
        at = t % replay->n;
        replay->base = t - at;
    }
    return (uint32_t)at;
}

/* Take a turn of those that all workers share. */
static inline uint32_t lb_replay_take(lb_replay *replay) {
    replay->n_taken++;
    replay->cursor = lb_replay_place(replay, atomic_fetch_add_explicit(&replay->shared->turn, 1, memory_order_relaxed));
    return replay->cursor;
}

/* Take n turns at once: the first of them. */
static inline uint32_t lb_replay_reserve(lb_replay *replay, uint32_t n) {
    uint32_t first = replay->cursor;
    if (replay->shared) {
        replay->n_taken += n;
        first = lb_replay_place(replay, atomic_fetch_add_explicit(&replay->shared->turn, n, memory_order_relaxed));
    }
    replay->cursor = (uint32_t)(((uint64_t)first + n) % replay->n);
    return first;
}

/* Where the next turn stands. */
static inline uint32_t lb_replay_at(const lb_replay *replay) {
    uint64_t taken = lb_word_glance(&replay->taken);
    return taken ? (uint32_t)((replay->cursor + taken) % replay->n) : replay->cursor;
}

/* A turn for a thread among others, the step-th from now on without taking it where it peeks; only while nobody plays the
 * policy's part by itself. */
static inline uint32_t lb_replay_among(lb_replay *replay, const lb_ask *ask) {
    lb_word *taken = replay->shared ? &replay->shared->turn : &replay->taken;
    uint64_t turn = ask->peek ? lb_word_glance(taken) + ask->step
                              : atomic_fetch_add_explicit(taken, 1, memory_order_relaxed);
    return replay->table[(turn + (replay->shared ? 0 : replay->cursor)) % replay->n];
}

static inline uint32_t lb_replay_next(lb_replay *replay) {
    if (replay->shared) return replay->table[lb_replay_take(replay)];
    uint32_t turn = replay->cursor, next = turn + 1;
    replay->cursor = next == replay->n ? 0 : next;
    return replay->table[turn];
}

#endif

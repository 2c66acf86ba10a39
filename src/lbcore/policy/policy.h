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
#include "target/view.h"

#define LB_MAX_PARAMS 8

/* One parameter of a policy.  All are numbers; `whole` ones are refused with a fraction. */
typedef struct lb_param {
    const char *name;
    double initial, min, max;       /* the default and the allowed range, both ends included */
    const char *doc;                /* one sentence for the reference page */
    bool whole;
} lb_param;

/* How one choice is asked for. */
typedef struct lb_ask {
    lb_rng *rng;                    /* the upstream's */
    uint32_t step;                  /* 0, then 1, 2, ... when the one before had to be skipped */
    bool peek;                      /* look ahead only: no cursor moves */
} lb_ask;

/* A schedule that repeats, offered by a policy so that a pick is an array read.  table is NULL while there is none.
 * The caller of lb_replay_next() plays the policy's part: it moves the cursor as pick() would. */
typedef struct lb_replay {
    const uint32_t *table;          /* member indices */
    uint32_t n;                     /* the period */
    uint32_t cursor;                /* next turn, < n */
} lb_replay;

typedef struct lb_policy {
    const char *name;               /* file, symbol and configuration name */
    const char *summary;            /* one line for lists and the reference page */
    const lb_param *params;         /* ends with {0}; NULL: none */

    /* Make the tables for `view`.  `param` has one checked value a parameter.  `previous` is the state of the same
     * policy for the View before (NULL: none); old_index[i] is member i's index there, LB_NONE for a newcomer.
     * It is read, never changed: it stays valid whether or not the build succeeds.  On failure *out is untouched. */
    lb_status (*build)(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err);
    void (*destroy)(void *state);   /* accepts NULL */

    /* A usable member, or LB_NONE where n_usable is 0.  Asked again with step + 1 for the next one. */
    uint32_t (*pick)(void *state, const lb_view *view, const lb_ask *ask);

    lb_replay *(*replay)(void *state);      /* NULL: the policy has none */
} lb_policy;

/* The register, in the order of policies.def. */
extern const lb_policy *const lb_policies[];
extern const uint32_t lb_n_policies;

const lb_policy *lb_policy_find(lb_str name);                          /* NULL: unknown */

/* Check one value against its range.  Errors name the parameter, the value and the range. */
lb_status lb_param_check(const lb_param *param, double value, lb_error *err);

/* The number of parameters of a policy, and its defaults into param[LB_MAX_PARAMS]. */
uint32_t lb_policy_defaults(const lb_policy *policy, double *param);

static inline uint32_t lb_replay_next(lb_replay *replay) {
    uint32_t turn = replay->cursor, next = turn + 1;
    replay->cursor = next == replay->n ? 0 : next;
    return replay->table[turn];
}

#endif

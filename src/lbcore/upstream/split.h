/* split: draws a backend by weight, before a target is picked inside it.
 *
 * The first of the two levels: 75/25 between two backends stays 75/25 whatever number of targets each has.
 * It runs the round_robin scheduler over the backends' weights and knows nothing of health; or, by key, the stable
 * table of `hash`, so that a key keeps its backend while weights allow.
 * Cost    as a pick of round_robin or hash.
 */
#ifndef LBCORE_UPSTREAM_SPLIT_H
#define LBCORE_UPSTREAM_SPLIT_H

#include "policy/policy.h"

#define LB_MAX_BACKENDS 1024u

typedef struct lb_split lb_split;

typedef struct lb_split_spec {
    const uint32_t *weight;         /* 0..LB_MAX_WEIGHT */
    const lb_str *name;             /* what stands for a backend where it is chosen by key; NULL: in turn */
    uint32_t n;
    uint64_t seed;
    const lb_backing *backing;      /* where its turns are shared with other workers; NULL: they are its own */
    lb_str common;                  /* what the workers know it by, where they are */
} lb_split_spec;

/* From the beginning of the schedule.  `previous` (may be NULL) hands over its debts: old_index[i] is backend i's index
 * there, LB_NONE for a new one; it stays valid.  Errors: "backends[i].weight". */
lb_status lb_split_new(lb_split **out, const lb_split_spec *spec, const lb_split *previous, const uint32_t *old_index,
                       lb_error *err);
void lb_split_free(lb_split *split);                                   /* accepts NULL */

/* In the child of a fork: its turns are its own from here on, from a place drawn from the seed. */
void lb_split_forked(lb_split *split, uint64_t seed);

/* Then, at the next load, where turns are shared: take them with the other workers again. */
void lb_split_rejoin(lb_split *split);

/* LB_NONE if all weights are 0.  `key` is for splits by key, which need one. */
uint32_t lb_split_pick(lb_split *split, const lb_key *key);

#endif

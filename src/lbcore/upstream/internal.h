/* internal: what the files of this room share.
 *
 *   members.c   the target list as configured: names, weights, priorities, labels
 *   weigh.c     who serves with which weight at a moment: health, drain, slow start, panic; what each priority takes
 *   scope.c     the parts of an upstream that are picked from: all or a subset, by priority and locality
 *   publish.c   makes a picture aside, swaps it in
 *   due.c       fires what is due: held calls, decay, ends of ejections, steps of slow starts, looks at other workers
 *   judge.c     what outcomes do to a target's state; ends of detectors' intervals
 *   events.c    the bounded queue of what happened
 *   turns.c     schedules whose turns all workers take together
 *   choose.c    one choice: level, policy, who is passed over
 *   batch.c     many at once
 *   budget.c    how many retries are allowed
 *   call.c      acquire, report, release
 *   reader.c    the same for many threads, each with a handle; frees what they may still read
 *   gate.h      who may take a turn of a policy whose pick() writes
 *   upstream.c  new, update; forks
 *   change.c    set_weight, set_health, drain, disable
 *
 *   lb_picture
 *     view      all members, with the weights they serve with
 *     scope[0]  all      group  group  ...       a group: a View (of scope[0] with one group: the picture's own) and
 *     scope[1]  a subset group  ...              the policy's state for it
 */
#ifndef LBCORE_UPSTREAM_INTERNAL_H
#define LBCORE_UPSTREAM_INTERNAL_H

#include "upstream/budget.h"
#include "upstream/gate.h"
#include "upstream/reader.h"

/* ---- members.c -------------------------------------------------------------------------------------------- */

/* Where a target belongs. */
typedef struct lb_place {
    uint32_t priority, locality, locality_weight;
    uint32_t first_label, n_labels;                     /* in lb_members.label */
} lb_place;

/* The target list of one View.  Only weight changes after lb_members_new(). */
typedef struct lb_members {
    uint32_t n;
    uint32_t mask;                  /* size of entry - 1 */
    uint64_t seed;
    lb_name *name;                  /* by member index; the bytes are the list's own */
    lb_place *place;
    uint32_t *weight;               /* as configured, or as set_weight left it */
    uint32_t *label;
    uint32_t *entry;                /* open addressing over identity: a member index, or LB_NONE */
    bool plain;                     /* everybody has priority 0 and no locality */
} lb_members;

lb_status lb_weight_check(uint32_t weight, lb_error *err);

/* Errors: "targets" (too many), "targets[i].address", "targets[i].id", "targets[i].weight". */
lb_status lb_members_new(lb_members **out, const lb_target_spec *targets, uint32_t n, uint64_t seed, lb_error *err);
void lb_members_free(lb_members *members);                             /* accepts NULL */
uint32_t lb_members_find(const lb_members *members, lb_str identity);  /* LB_NONE: not there, or members is NULL */

/* Has member all of the n labels (ascending)? */
bool lb_members_has(const lb_members *members, uint32_t member, const uint32_t *labels, uint32_t n);

/* ---- weigh.c ---------------------------------------------------------------------------------------------- */

/* One priority of a scope. */
typedef struct lb_level {
    uint32_t priority;
    uint32_t n_all, n_usable;       /* members with a configured weight; those that serve */
    uint32_t percent;               /* its share of the load */
    bool panic;                     /* health is not believed: everybody serves */
} lb_level;

/* LB_OFF_* that keep a member out at now_ns: what is over, but not ended yet, does not. */
uint32_t lb_off_at(const lb_record *record, uint64_t now_ns);

/* view->weight: what each member serves with at now_ns, health alone considered.  Returns when that changes by itself;
 * LB_NEVER: it does not. */
uint64_t lb_weigh(const lb_upstream *up, lb_view *view, const lb_members *members, uint64_t now_ns);

/* The levels of the n members in part[] (NULL: all), into level[LB_MAX_PRIORITIES] by ascending priority. */
uint32_t lb_level_count(const lb_view *view, const lb_members *members, const uint32_t *part, uint32_t n,
                        lb_level *level);

/* What each of n levels takes, and who is in panic. */
void lb_level_share(const lb_levels *rule, lb_level *level, uint32_t n);
void lb_level_share_all(lb_level *level, uint32_t n);   /* by numbers of targets, all in panic */

/* ---- scope.c ---------------------------------------------------------------------------------------------- */

/* One priority, or one locality of one priority, with its View and the policy's state. */
typedef struct lb_group {
    uint32_t priority, locality;
    lb_view *view;
    void *policy_state;
    bool borrowed;                  /* the View is the picture's */
    bool panic;                     /* health is not believed here */
    lb_cursor *cursor;              /* whose turns all workers take; NULL: the schedule is our own */
    lb_gate gate;                   /* of policy_state, for readers */
} lb_group;

typedef struct lb_scope {
    lb_subset *subset;              /* NULL: all */
    uint64_t number;                /* the subset's; 0: all */
    uint32_t n_groups, n_levels;
    lb_group *group;                /* by priority, then locality */
    lb_level *level;
    lb_view *shares;                /* of groups, where a scheduler chooses among them; NULL where there is one group */
    void *schedule;
    lb_cursor *cursor;              /* of `schedule` */
    lb_gate gate;                   /* of `schedule`, for readers */
} lb_scope;

struct lb_subset {
    lb_upstream *up;                /* NULL: it is gone */
    lb_subset *next;                /* of the upstream's */
    lb_scope *scope;                /* in the present picture; NULL before the first */
    uint64_t number;                /* from 1, of this upstream: what readers know it by */
    uint32_t n;
    uint32_t label[];
};

/* A picture: everything that picks read. */
typedef struct lb_picture {
    lb_view *view;
    const lb_members *members;
    lb_scope *scope;
    uint32_t n_scopes;
    uint64_t made_ns;               /* the moment that it shows */
    uint64_t due_ns;                /* when its weights change by themselves */
    uint64_t seen;                  /* the epoch from which it was made */
    struct lb_picture *next;        /* of the retired ones: the next younger */
    uint64_t era;                   /* in which it was retired */
    lb_members *retired;            /* the list whose bytes its View names, freed with it; NULL: not its own */
} lb_picture;

/* Make all scopes of the picture, whose view is complete, from those of `old` (NULL: none).  What was made before a
 * failure is in the picture. */
lb_status lb_scopes_new(lb_upstream *up, lb_picture *picture, const lb_picture *old, const uint32_t *old_index,
                        lb_error *err);
void lb_scopes_free(const lb_upstream *up, lb_picture *picture);

/* ---- turns.c ---------------------------------------------------------------------------------------------- */

/* Let `schedule` (of `policy` for `view`) take its turns from a cursor that all workers share, where State is shared and
 * the schedule is alike in all of them; *cursor is NULL where not.  salt: tells schedules of one upstream apart. */
void lb_turns_share(const lb_upstream *up, const lb_view *view, uint64_t salt, const lb_policy *policy, void *schedule,
                    lb_cursor **cursor);
void lb_turns_leave(const lb_upstream *up, lb_cursor **cursor);

/* ---- events.c --------------------------------------------------------------------------------------------- */

#define LB_MAX_EVENTS 256u

typedef struct lb_events {
    lb_event *ring;                 /* LB_MAX_EVENTS; NULL until the first event: most upstreams never have one */
    uint32_t first, n;
    uint64_t dropped;
} lb_events;

void lb_events_push(lb_events *events, lb_event event);
bool lb_events_take(lb_events *events, lb_event *out, uint64_t *dropped);

/* ---- due.c ------------------------------------------------------------------------------------------------ */

/* A failed call that stays counted. */
typedef struct lb_hold {
    uint32_t slot, generation;
    uint64_t until_ns;
} lb_hold;

typedef struct lb_holds {
    lb_hold *ring;                  /* by until_ns, the earliest first */
    uint32_t first, n, capacity;
} lb_holds;

/* False: there is no memory to remember it. */
bool lb_holds_add(lb_holds *holds, lb_hold hold);

/* ---- judge.c ---------------------------------------------------------------------------------------------- */

/* Who tells an outcome: the writer (reader NULL), or a reader, each from its picture. */
typedef struct lb_teller {
    lb_upstream *up;
    lb_reader *reader;
    const lb_picture *picture;
} lb_teller;

/* As lb_upstream_report(), of a call whose target is still there, at a time that is known. */
void lb_judge(const lb_teller *by, lb_call *call, const lb_report *report, uint64_t now_ns);

/* One fewer is ejected. */
void lb_upstream_uneject(lb_upstream *up);

/* The end of a detectors' interval. */
void lb_judge_interval(lb_upstream *up, uint64_t now_ns);

/* ---- the upstream ----------------------------------------------------------------------------------------- */

struct lb_upstream {
    lb_upstream_hot hot;            /* first: see lb_upstream_is_replaying() */
    lb_picture *picture;
    lb_state *state;
    lb_word in_flight;              /* over all slots, begun less ended by the writer */
    lb_word among;                  /* by readers: where calls are bounded, and of those that are gone */
    const lb_policy *chooser;       /* among groups: round_robin */
    bool plain;                     /* one group, no limits: a pick is the policy's */
    bool bounded;
    bool unwatched;                 /* a success says nothing but that it ends a streak */
    bool rough;                     /* the picture is old, and picks look at the records themselves */
    bool orphan;                    /* after a fork, before lb_upstream_rejoin() */
    lb_upstream_spec spec;
    lb_mark mark;                   /* of its name */
    lb_rng rng;
    lb_rng chance;                  /* of jitter and of what is carried out by percent: picks do not depend on it */
    lb_word others;                 /* calls of the other workers, over all slots */
    lb_counter n_ejected;           /* members that are ejected */
    lb_counter n_trials;            /* members whose breaker is half open, or will be when they are back */
    uint32_t n_draining;            /* members that drain and still have calls */
    uint32_t n_rough;               /* choices made from the old picture */
    uint64_t told_ns;               /* the latest time told */
    uint64_t published_ns;          /* when the picture was made */
    uint64_t picture_due_ns, tick_due_ns, judge_due_ns, look_due_ns, sweep_due_ns;
    lb_holds holds;
    lb_budget budget;
    lb_members *members;
    lb_subset *subsets;
    lb_events events;
    uint32_t n_pins;                /* batches that read a picture */
    lb_picture *retired, *youngest; /* what they, or readers, may still read, the oldest first */
    uint32_t n_retired;
    uint64_t n_subsets;             /* ever made */
    lb_reader *readers;             /* NULL: one caller at a time */
    _Atomic(lb_picture *) shown;    /* `picture`, for readers */
    lb_word era;                    /* from 1; goes up with each picture that is retired */
};

/* One call more, or less (UINT64_MAX), of the writer's, who alone writes the word. */
static inline void lb_upstream_count(lb_upstream *up, uint64_t n) {
    lb_word_note(&up->in_flight, lb_word_glance(&up->in_flight) + n);
}

/* Calls of all, where they are bounded; else without those that readers count for themselves. */
static inline uint64_t lb_upstream_counted(const lb_upstream *up) {
    return lb_word_glance(&up->in_flight) + lb_word_glance(&up->others) + lb_word_glance(&up->among);
}

/* A call of the writer's has ended; false: it did not count.  A slot that is left with it may still be chosen by a reader in
 * an old picture: then the next update gives it back. */
static inline bool lb_upstream_finish(lb_upstream *up, uint32_t slot, uint32_t generation) {
    bool counted = up->readers ? lb_state_let_go(up->state, slot, generation)
                               : lb_state_finish(up->state, slot, generation);
    if (counted) lb_upstream_count(up, UINT64_MAX);
    return counted;
}

/* ---- choose.c --------------------------------------------------------------------------------------------- */

/* One choice under way. */
typedef struct lb_choice {
    const lb_upstream *up;
    const lb_want *want;
    lb_group *group;
    uint32_t place;                 /* in the group's View, of whom was chosen */
    uint32_t n_taken;
    const uint32_t *taken;          /* members that came before (peeking for several) */
    lb_rng *rng;
    lb_kept *kept;                  /* a reader's; NULL: one caller at a time */
    lb_replay *replay;              /* plays the policy's part */
    uint64_t now_ns;                /* at which records are read, */
    bool rough;                     /* where the picture is old */
    bool peek;
} lb_choice;

/* A member of the whole, with c->group and c->place; or LB_NONE.  scope NULL: there is nobody. */
uint32_t lb_choose(lb_choice *c, lb_scope *scope);

/* The most calls that who was chosen may have, for one more to be given to it; LB_NONE: any number. */
uint32_t lb_choice_most(const lb_choice *c);

/* ---- publish.c -------------------------------------------------------------------------------------------- */

/* A picture of `members`, with slot and user still to be filled. */
lb_status lb_picture_new(lb_picture **out, const lb_upstream *up, const lb_members *members, lb_error *err);

/* Complete it: the weights of those who may serve at now_ns, then the policy's states.  Changes nothing else. */
lb_status lb_picture_finish(lb_upstream *up, lb_picture *picture, const uint32_t *old_index, uint64_t now_ns,
                            lb_error *err);
void lb_picture_free(const lb_upstream *up, lb_picture *picture);      /* accepts NULL */

/* Put the picture in place of the present one, end what is over at now_ns, take stock.  Cannot fail.
 * `gone`: the list whose bytes the present one names, where it goes with it; else NULL. */
void lb_picture_show(lb_upstream *up, lb_picture *picture, lb_members *gone, uint64_t now_ns);

/* A new picture of the same members: after a change of weights or records, or when something is due. */
lb_status lb_upstream_publish(lb_upstream *up, uint64_t now_ns, lb_error *err);

/* Put a target whose ejection is over at now_ns back. */
void lb_end_ejection(lb_upstream *up, uint32_t slot, uint64_t now_ns);

void lb_upstream_set_due(lb_upstream *up);                             /* hot.due_ns from its three sources */

static inline bool lb_upstream_is_due(const lb_upstream *up, uint64_t now_ns) {
    return now_ns >= up->hot.due_ns && up->hot.due_ns != LB_NEVER;
}

/* The time of a change: a caller that passes 0 tells none, and it is that told last. */
static inline uint64_t lb_upstream_moment(lb_upstream *up, uint64_t now_ns) {
    if (now_ns > up->told_ns) up->told_ns = now_ns;
    return now_ns ? now_ns : up->told_ns;
}

/* Somebody's state has changed since the picture was made. */
static inline bool lb_upstream_is_old(const lb_upstream *up) {
    return lb_word_read(up->hot.epoch) != up->hot.seen;
}

/* The state of a target has changed: all pictures are old. */
static inline void lb_upstream_stir(lb_upstream *up) { lb_word_add(&up->state->common->epoch, 1); }

/* ---- reader.c --------------------------------------------------------------------------------------------- */

lb_rng *lb_reader_chance(lb_reader *reader);            /* as up->chance */
void lb_reader_tell(lb_reader *reader, lb_event event); /* for the writer's queue */

/* The writer comes by: hears what readers tell, frees what they are done with. */
void lb_readers_attend(lb_upstream *up);
void lb_readers_part(lb_upstream *up);                  /* the upstream goes, and what was retired with it */
uint64_t lb_readers_in_flight(const lb_upstream *up);   /* what they have counted by themselves */

/* The picture is replaced: free it, or have it wait. */
void lb_picture_retire(lb_upstream *up, lb_picture *picture);

void lb_pictures_reclaim(lb_upstream *up);              /* all that nobody is in */

/* Before the writer builds from the picture's states (NULL: there is none), and after it has failed. */
void lb_gates_close(lb_upstream *up, lb_picture *picture);
void lb_gates_reopen(lb_upstream *up, lb_picture *picture);

/* ---- the upstream, again ---------------------------------------------------------------------------------- */

/* An event of `slot`; what belongs to its kind is filled in from the record. */
void lb_upstream_tell(lb_upstream *up, lb_event event, uint64_t now_ns);

/* One choice more from a rough picture: after many it is made anew. */
void lb_upstream_count_rough(lb_upstream *up, uint64_t now_ns);

/* Fire what is due but the picture: for calls that pick nobody.  Returns the time that counts: what was told, or is known. */
uint64_t lb_upstream_tend(lb_upstream *up, uint64_t now_ns);

/* What is due comes first.  Without memory for it the present picture serves on, and who is out is passed over: a pick must
 * not fail for that. */
static inline void lb_upstream_fire(lb_upstream *up, uint64_t now_ns) {
    if (lb_upstream_is_due(up, now_ns) || lb_upstream_is_old(up)) (void)lb_upstream_advance(up, now_ns, NULL);
}

/* Tell it if `slot` drains and its last call has ended. */
void lb_upstream_drained(lb_upstream *up, uint32_t slot, uint64_t now_ns);

#endif

/* scope: the parts of an upstream that are picked from: all targets or a subset, by priority and locality.
 *
 *   members   0   1   2   3   4   5           one priority, no locality: the only group borrows the picture's View
 *   priority  0   0   1   0   1   0
 *   groups   [0   1   3   5] [2   4]          else: a View for each, whose origin[] names the members
 *   share     80 %            20 %            schedulers: drawn exactly by round_robin over the groups
 *                                             keyed policies: by the key's hash (choose.c)
 *
 * Locality  where targets have one, a scheduler's groups are the localities of each priority.  A locality takes its
 *           weight times min(100, overprovisioning * usable / all) percent, as Envoy's does.  A keyed policy keeps one
 *           group a priority (a key must find its home); there each target's weight is its part of its locality's.
 * Panic     a level whose health is not believed serves with everybody who is not draining or disabled.
 * Empty     where nobody is usable, when_empty may let all serve, or who is least bad.
 * Shared    a schedule that all workers compute alike takes its turns from a cursor that they share, by fingerprint.
 * Cost      O(n) a scope and the policy's build for each group.
 * Keeps     a group takes over from the group of the same priority and locality of the same scope in the old picture.
 */
#include "upstream/internal.h"

#include "base/alloc.h"
#include "base/vec.h"
#include "hash/fold.h"

#define MILLION 1000000u

/* What the making of one picture's scopes works with. */
typedef struct frame {
    lb_upstream *up;
    lb_picture *picture;
    const lb_picture *old;
    const lb_scope *old_scope;
    const uint32_t *old_index;
    uint32_t n;                     /* members of the scope under way */
    uint32_t *part;                 /* which */
    bool empty;                     /* none of them is usable */
    uint32_t *local;                /* by old member: its index in an old group */
    uint32_t *map;                  /* by a group's member: its index in the old group */
} frame;

static bool is_keyed(const frame *f) { return f->up->spec.policy->walk != NULL; }

/* ---- a group's View --------------------------------------------------------------------------------------------- */

static bool belongs(const frame *f, const lb_group *group, uint32_t i) {
    const lb_place *place = &f->picture->members->place[i];
    return place->priority == group->priority && (group->locality == LB_NONE || place->locality == group->locality);
}

static void copy_member(lb_view *to, uint32_t at, const lb_view *from, uint32_t i) {
    to->origin[at] = i;
    to->weight[at] = from->weight[i];
    to->full[at] = from->full[i];
    to->slot[at] = from->slot[i];
    to->user[at] = from->user[i];
}

static lb_status new_view(frame *f, lb_group *group, lb_error *err) {
    uint32_t n = 0, at = 0;
    for (uint32_t k = 0; k < f->n; k++) n += belongs(f, group, f->part[k]);
    lb_status status = lb_view_new(&group->view, n, f->up->state, err);
    if (status) return status;
    group->view->origin = lb_alloc_array(n, sizeof *group->view->origin);
    if (!group->view->origin) return lb_no_memory(err, "targets");
    for (uint32_t k = 0; k < f->n; k++)
        if (belongs(f, group, f->part[k])) copy_member(group->view, at++, f->picture->view, f->part[k]);
    group->view->seed = f->picture->view->seed;
    group->view->alike = f->picture->view->alike;
    group->view->name = f->picture->view->name;
    return LB_OK;
}

static uint32_t off_of(const frame *f, const lb_view *view, uint32_t i) {
    return lb_off_at(lb_record_of(f->up->state, view->slot[i]), f->picture->made_ns);
}

static void panic(const frame *f, lb_view *view, uint32_t priority) {
    for (uint32_t i = 0; i < view->n_members; i++) {
        if (f->picture->members->place[lb_view_origin(view, i)].priority != priority) continue;
        if (!(off_of(f, view, i) & (LB_OFF_DRAINING | LB_OFF_DISABLED))) view->weight[i] = view->full[i];
    }
}

/* ---- nobody is usable ------------------------------------------------------------------------------------------- */

/* How bad it is to send something there; the least is best.  Held or ejected: the sooner it ends the better.  Unhealthy is
 * worse.  LB_NEVER: out of the question. */
static uint64_t badness(const frame *f, const lb_view *view, uint32_t i) {
    const lb_record *record = lb_record_of(f->up->state, view->slot[i]);
    uint32_t off = off_of(f, view, i);
    if (view->full[i] == 0 || (off & (LB_OFF_DRAINING | LB_OFF_DISABLED))) return LB_NEVER;
    if (off & LB_OFF_UNHEALTHY) return LB_NEVER - 1;
    uint64_t ejected_ns = off & LB_OFF_EJECTED ? lb_word_read(&record->ejected_until_ns) : 0;
    uint64_t held_ns = off & LB_OFF_HELD ? lb_word_read(&record->held_until_ns) : 0;
    return ejected_ns > held_ns ? ejected_ns : held_ns;
}

/* In the scope's part of `view`, those who are as little bad as anybody get their weight back. */
static void serve_least_bad(const frame *f, lb_view *view) {
    uint64_t least = LB_NEVER;
    for (uint32_t k = 0; k < f->n; k++) {
        uint64_t bad = badness(f, view, f->part[k]);
        if (bad < least) least = bad;
    }
    for (uint32_t k = 0; k < f->n && least < LB_NEVER; k++)
        if (badness(f, view, f->part[k]) == least) view->weight[f->part[k]] = view->full[f->part[k]];
}

static bool is_empty(const frame *f, const lb_view *view) {
    for (uint32_t k = 0; k < f->n; k++)
        if (view->weight[f->part[k]]) return false;
    return true;
}

/* ---- localities ------------------------------------------------------------------------------------------------- */

static bool has_localities(const frame *f) {
    for (uint32_t k = 0; k < f->n && !f->picture->members->plain; k++)
        if (f->picture->members->place[f->part[k]].locality) return true;
    return false;
}

/* Each target's part of its locality's part, in millionths. */
static void weigh_localities(const frame *f, lb_view *view) {
    const lb_place *place = f->picture->members->place;
    uint64_t full[LB_MAX_LOCALITIES] = {0}, weight[LB_MAX_LOCALITIES] = {0}, total = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        const lb_place *mine = &place[lb_view_origin(view, i)];
        if (view->full[i] && !full[mine->locality]) total += weight[mine->locality] = mine->locality_weight;
        full[mine->locality] += view->full[i];
    }
    for (uint32_t i = 0; i < view->n_members; i++) {
        uint32_t at = place[lb_view_origin(view, i)].locality;
        uint64_t share = total && full[at] ? MILLION * weight[at] / total * view->full[i] / full[at] : 0;
        if (share == 0 && view->full[i] && weight[at]) share = 1;
        view->full[i] = (uint32_t)share;
        if (view->weight[i]) view->weight[i] = (uint32_t)share;
    }
}

/* What a group weighs among the localities of its priority: 0..100 * LB_MAX_WEIGHT. */
static uint64_t locality_share(const frame *f, const lb_group *group) {
    const lb_levels *rule = &f->up->spec.levels;
    const lb_view *view = group->view;
    uint64_t n_all = 0, n_usable = 0, most = rule->overprovisioning ? rule->overprovisioning : 100;
    for (uint32_t i = 0; i < view->n_members; i++) {
        n_all += view->full[i] > 0;
        n_usable += view->weight[i] > 0;
    }
    if (n_usable == 0) return 0;
    uint64_t percent = most * n_usable / n_all;
    return f->picture->members->place[lb_view_origin(view, 0)].locality_weight * (percent < 100 ? percent : 100);
}

/* ---- which groups there are ------------------------------------------------------------------------------------- */

static bool knows(const lb_scope *scope, uint32_t priority, uint32_t locality) {
    for (uint32_t g = 0; g < scope->n_groups; g++)
        if (scope->group[g].priority == priority && scope->group[g].locality == locality) return true;
    return false;
}

/* The groups of one priority: itself, or its localities in the order of the list. */
static bool list_level(const frame *f, lb_scope *scope, lb_vec *groups, uint32_t priority, bool localities) {
    const lb_place *place = f->picture->members->place;
    for (uint32_t k = 0; k < (localities ? f->n : 1); k++) {
        uint32_t locality = localities ? place[f->part[k]].locality : LB_NONE;
        if (localities && (place[f->part[k]].priority != priority || knows(scope, priority, locality))) continue;
        lb_group *group = lb_vec_push(groups);
        if (!group) return false;
        group->priority = priority;
        group->locality = locality;
        scope->group = groups->items;
        scope->n_groups = groups->n;
    }
    return true;
}

/* An empty scope has one level and one group without members. */
static lb_status list_groups(frame *f, lb_scope *scope, lb_error *err) {
    lb_level level[LB_MAX_PRIORITIES] = {{0}};
    lb_vec groups;
    lb_vec_init(&groups, sizeof(lb_group));
    uint32_t n = lb_level_count(f->picture->view, f->picture->members, f->part, f->n, level);
    scope->n_levels = n ? n : 1;
    if (f->empty && f->up->spec.when_empty == LB_EMPTY_PANIC) lb_level_share_all(level, scope->n_levels);
    else lb_level_share(&f->up->spec.levels, level, scope->n_levels);
    scope->level = lb_alloc_array(scope->n_levels, sizeof *scope->level);
    if (!scope->level) return lb_no_memory(err, "targets");
    memcpy(scope->level, level, scope->n_levels * sizeof *level);
    bool localities = !is_keyed(f) && has_localities(f);
    for (uint32_t l = 0; l < scope->n_levels; l++)
        if (!list_level(f, scope, &groups, level[l].priority, localities)) return lb_no_memory(err, "targets");
    return LB_OK;
}

/* ---- from the old picture --------------------------------------------------------------------------------------- */

static const lb_group *same_group(const lb_scope *old, const lb_group *group) {
    for (uint32_t g = 0; old && g < old->n_groups; g++)
        if (old->group[g].priority == group->priority && old->group[g].locality == group->locality)
            return &old->group[g];
    return NULL;
}

/* Where the members of `group` stood in `before`. */
static const uint32_t *map_group(frame *f, const lb_group *group, const lb_group *before) {
    if (group->borrowed && before->borrowed) return f->old_index;
    for (uint32_t i = 0; i < f->old->view->n_members; i++) f->local[i] = LB_NONE;
    for (uint32_t i = 0; i < before->view->n_members; i++) f->local[lb_view_origin(before->view, i)] = i;
    for (uint32_t i = 0; i < group->view->n_members; i++) {
        uint32_t old = f->old_index[lb_view_origin(group->view, i)];
        f->map[i] = old == LB_NONE ? LB_NONE : f->local[old];
    }
    return f->map;
}

/* Tells the schedules of scopes apart that have the same members: each takes its own turns. */
static uint64_t salt_of(const lb_scope *scope) {
    uint64_t salt = scope->subset ? ~(uint64_t)scope->subset->n : 0;
    for (uint32_t i = 0; scope->subset && i < scope->subset->n; i++)
        salt = lb_hash_words(salt, scope->subset->label[i], i);
    return salt;
}

static lb_status build_policy(frame *f, const lb_scope *scope, lb_group *group, lb_error *err) {
    const lb_group *before = same_group(f->old_scope, group);
    const uint32_t *map = before ? map_group(f, group, before) : f->old_index;
    const lb_policy *policy = f->up->spec.policy;
    lb_status status = policy->build(&group->policy_state, group->view, f->up->spec.param,
                                     before ? before->policy_state : NULL, map, err);
    uint64_t salt = salt_of(scope) ^ ((uint64_t)group->priority << 32 | group->locality);
    if (!status) lb_turns_share(f->up, group->view, salt, policy, group->policy_state, &group->cursor);
    return status;
}

/* ---- who chooses among groups ----------------------------------------------------------------------------------- */

static uint32_t percent_of(const lb_scope *scope, uint32_t priority) {
    for (uint32_t l = 0; l < scope->n_levels; l++)
        if (scope->level[l].priority == priority) return scope->level[l].percent;
    return 0;
}

/* The groups' shares: percents, or parts of them in millionths where localities share a level. */
static void fill_shares(const frame *f, const lb_scope *scope) {
    for (uint32_t g = 0; g < scope->n_groups; g++) {
        const lb_group *group = &scope->group[g];
        uint64_t mine = 0, total = 0, percent = percent_of(scope, group->priority);
        for (uint32_t k = 0; k < scope->n_groups && group->locality != LB_NONE; k++) {
            if (scope->group[k].priority != group->priority) continue;
            uint64_t share = locality_share(f, &scope->group[k]);
            total += share;
            if (k == g) mine = share;
        }
        uint64_t weight = group->locality == LB_NONE ? percent : total ? 10000 * percent * mine / total : 0;
        scope->shares->weight[g] = scope->shares->full[g] = (uint32_t)weight;
    }
}

static lb_status build_schedule(frame *f, lb_scope *scope, lb_error *err) {
    lb_status status = lb_view_new(&scope->shares, scope->n_groups, NULL, err);
    if (status) return status;
    fill_shares(f, scope);
    scope->shares->seed = f->picture->view->seed;
    scope->shares->alike = f->picture->view->alike;
    lb_view_close(scope->shares);
    const lb_policy *chooser = f->up->chooser;
    double param[LB_MAX_PARAMS];
    lb_policy_defaults(chooser, param);
    if (f->up->spec.policy == chooser) param[0] = f->up->spec.param[0];     /* its phase */
    bool known = f->old_scope && f->old_scope->schedule;
    for (uint32_t g = 0; g < scope->n_groups && known; g++) {
        const lb_group *before = same_group(f->old_scope, &scope->group[g]);
        f->map[g] = before ? (uint32_t)(before - f->old_scope->group) : LB_NONE;
    }
    status = chooser->build(&scope->schedule, scope->shares, param, known ? f->old_scope->schedule : NULL, f->map, err);
    if (!status) lb_turns_share(f->up, scope->shares, ~salt_of(scope), chooser, scope->schedule, &scope->cursor);
    return status;
}

/* ---- a scope ---------------------------------------------------------------------------------------------------- */

static lb_status build_group(frame *f, lb_scope *scope, lb_group *group, lb_error *err) {
    group->borrowed = !scope->subset && scope->n_groups == 1;
    if (group->borrowed) {
        group->view = f->picture->view;
    } else {
        lb_status status = new_view(f, group, err);
        if (status) return status;
    }
    for (uint32_t l = 0; l < scope->n_levels; l++)
        if (scope->level[l].panic && scope->level[l].priority == group->priority) {
            panic(f, group->view, group->priority);
            group->panic = true;
        }
    if (is_keyed(f) && has_localities(f)) weigh_localities(f, group->view);
    lb_view_close(group->view);
    return build_policy(f, scope, group, err);
}

/* Who is in it, and what it was in the old picture. */
static void enter(frame *f, const lb_scope *scope) {
    const lb_members *members = f->picture->members;
    f->old_scope = NULL;
    for (uint32_t s = 0; f->old && s < (scope->subset ? f->old->n_scopes : 1); s++)
        if (f->old->scope[s].subset == scope->subset) f->old_scope = &f->old->scope[s];
    f->n = 0;
    for (uint32_t i = 0; i < members->n; i++)
        if (!scope->subset || lb_members_has(members, i, scope->subset->label, scope->subset->n)) f->part[f->n++] = i;
    f->empty = is_empty(f, f->picture->view);
}

static lb_status build_groups(frame *f, lb_scope *scope, lb_error *err) {
    lb_status status = list_groups(f, scope, err);
    for (uint32_t g = 0; g < scope->n_groups && !status; g++) status = build_group(f, scope, &scope->group[g], err);
    if (!status && scope->n_groups > 1 && !is_keyed(f)) status = build_schedule(f, scope, err);
    return status;
}

/* The other scopes are made from the same View: what a subset's emptiness gave its members is theirs alone. */
static lb_status build_scope(frame *f, lb_scope *scope, lb_error *err) {
    enter(f, scope);
    bool rescue = f->empty && f->up->spec.when_empty == LB_EMPTY_LEAST_BAD;
    if (rescue) serve_least_bad(f, f->picture->view);
    lb_status status = build_groups(f, scope, err);
    for (uint32_t k = 0; k < f->n && rescue && scope->subset; k++) f->picture->view->weight[f->part[k]] = 0;
    return status;
}

/* The picture's own View shows panic too; the subsets have been made from it as it was without. */
static void show_panic(const frame *f, const lb_scope *all) {
    if (all->group[0].borrowed) return;
    for (uint32_t l = 0; l < all->n_levels; l++)
        if (all->level[l].panic) panic(f, f->picture->view, all->level[l].priority);
    lb_view_close(f->picture->view);
}

static lb_status build_all(frame *f, lb_error *err) {
    lb_status status = LB_OK;
    for (uint32_t s = f->picture->n_scopes; s-- > 0 && !status;) status = build_scope(f, &f->picture->scope[s], err);
    if (!status) show_panic(f, &f->picture->scope[0]);
    return status;
}

/* All, then the subsets that somebody holds. */
static lb_status list_scopes(const lb_upstream *up, lb_picture *picture, lb_error *err) {
    uint32_t n = 1;
    for (const lb_subset *subset = up->subsets; subset; subset = subset->next) n++;
    picture->scope = lb_alloc_zero(n, sizeof *picture->scope);
    if (!picture->scope) return lb_no_memory(err, "targets");
    picture->n_scopes = n;
    for (lb_subset *subset = up->subsets; subset; subset = subset->next) picture->scope[--n].subset = subset;
    return LB_OK;
}

lb_status lb_scopes_new(lb_upstream *up, lb_picture *picture, const lb_picture *old, const uint32_t *old_index,
                        lb_error *err) {
    frame f = {.up = up, .picture = picture, .old = old, .old_index = old_index};
    uint32_t n = picture->view->n_members, n_old = old ? old->view->n_members : 0;
    lb_status status = list_scopes(up, picture, err);
    if (status) return status;
    f.part = lb_alloc_array(3 * (size_t)n + n_old + 3, sizeof *f.part);
    if (!f.part) return lb_no_memory(err, "targets");
    f.map = f.part + n;             /* by members, or by groups: at most n of either, or one */
    f.local = f.map + n + 1;
    status = build_all(&f, err);
    lb_free(f.part);
    return status;
}

static void free_scope(const lb_upstream *up, lb_scope *scope) {
    for (uint32_t g = 0; g < scope->n_groups; g++) {
        lb_turns_leave(up, &scope->group[g].cursor);
        up->spec.policy->destroy(scope->group[g].policy_state);
        if (!scope->group[g].borrowed) lb_view_free(scope->group[g].view);
    }
    lb_turns_leave(up, &scope->cursor);
    if (scope->schedule) up->chooser->destroy(scope->schedule);
    lb_view_free(scope->shares);
    lb_free(scope->group);
    lb_free(scope->level);
}

void lb_scopes_free(const lb_upstream *up, lb_picture *picture) {
    for (uint32_t s = 0; s < picture->n_scopes; s++) free_scope(up, &picture->scope[s]);
    lb_free(picture->scope);
}

/* ---- subsets ---------------------------------------------------------------------------------------------------- */

static void forget(lb_subset *subset) {
    lb_subset **at = &subset->up->subsets;
    while (*at != subset) at = &(*at)->next;
    *at = subset->next;
}

lb_status lb_upstream_subset(lb_upstream *up, const uint32_t *labels, uint32_t n, uint64_t now_ns, lb_subset **out,
                             lb_error *err) {
    lb_subset *subset = lb_alloc_zero(1, sizeof *subset + n * sizeof *labels);
    if (!subset) return lb_no_memory(err, "subset");
    if (n) memcpy(subset->label, labels, n * sizeof *labels);
    subset->up = up;
    subset->n = n;
    subset->next = up->subsets;
    up->subsets = subset;
    lb_status status = lb_upstream_publish(up, lb_upstream_moment(up, now_ns), err);
    if (status) {
        forget(subset);
        lb_free(subset);
        return status;
    }
    *out = subset;
    return LB_OK;
}

/* The present picture may still have a scope for it, which nobody will ask; the next one has none. */
void lb_subset_free(lb_subset *subset) {
    if (!subset) return;
    if (subset->scope) subset->scope->subset = NULL;
    if (subset->up) forget(subset);
    lb_free(subset);
}

const lb_view *lb_subset_view(const lb_subset *subset, uint32_t group) {
    return subset->scope && group < subset->scope->n_groups ? subset->scope->group[group].view : NULL;
}

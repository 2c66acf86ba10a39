/* index: the values that many candidates of one list ask for, as a table.
 *
 *     list of "/p":   | x-user: a | x-user: b | x-user: c | ... | PUT | any |
 *     becomes         | group: x-user | PUT | any |
 *                         `- (owner, "a") -> list, (owner, "b") -> list, ...      in the table of the tree
 *
 * A group stands in the list where the best of its candidates stood, so the order of visits and the pruning stay what
 * they are; a candidate under its value still checks its whole rule, so the index can lose nothing but time.
 * Chosen  for each candidate of a list of LB_INDEX_FROM or more: of its conditions the one whose subject (a name, the
 *         port, an end of the connection) has the most different values in this list; ties: the first.
 * Cost    building: linear in the conditions.  A match: one look-up per group of a list that it visits; per group of
 *         addresses one for each prefix length in it, of SNIs one for each label asked for.
 * Keeps   what a request must hold to find its list is what the predicate asks: the same text, decoded and joined.
 */
#include "base/alloc.h"
#include "route/bytes.h"
#include "route/compile.h"

/* What some candidates of a list ask about. */
typedef struct subject {
    uint32_t kind, name;
    uint32_t n_values;              /* different ones */
    uint32_t group;                 /* LB_NONE: none yet */
    uint64_t best;                  /* precedence in the group */
} subject;

/* While one list is looked at. */
typedef struct survey {
    lb_builder *b;
    lb_table seen;                  /* (0, kind and name) -> subject, (1 + subject, value) -> 0 */
    lb_vec subjects;
} survey;

/* ---- keys of a predicate ------------------------------------------------------------------------------------ */

static bool is_list(uint32_t kind) {
    return kind == LB_PREDICATE_header_in || kind == LB_PREDICATE_query_in || kind == LB_PREDICATE_port
           || kind == LB_PREDICATE_source || kind == LB_PREDICATE_destination || kind == LB_PREDICATE_sni
           || kind == LB_PREDICATE_header_each;
}

/* Compared in any case: their keys are in lower case. */
static bool is_folded(uint32_t kind) { return kind == LB_PREDICATE_sni || kind == LB_PREDICATE_header_each; }

static bool is_peer(uint32_t kind) { return kind == LB_PREDICATE_source || kind == LB_PREDICATE_destination; }

static lb_str values_of(const survey *s, const lb_predicate *p) { return lb_table_text(&s->b->tree->table, p->value); }

/* The next key of what is left of the values. */
static lb_str next_key(const lb_predicate *p, lb_str *left) {
    if (is_list(p->kind)) return lb_next_part(left);
    lb_str all = *left;
    *left = (lb_str){0};
    return all;
}

static bool can_be_key(const lb_predicate *p, lb_str key) {
    lb_block block;
    if (!is_peer(p->kind)) return key.len <= LB_INDEXED_MAX;
    memcpy(&block, key.data, sizeof block);
    return block.family > 0;                                /* a port is left to the rule */
}

static bool can_be_indexed(const survey *s, const lb_predicate *p) {
    if (!is_list(p->kind) && p->kind != LB_PREDICATE_header && p->kind != LB_PREDICATE_query) return false;
    if (p->kind == LB_PREDICATE_sni && p->name != 0) return false;              /* may hold without a name */
    lb_str left = values_of(s, p);
    uint32_t n = 0;
    if (!is_list(p->kind)) return can_be_key(p, left);
    while (left.len > 0)
        if (++n > LB_INDEX_VALUES_MAX || !can_be_key(p, lb_next_part(&left))) return false;
    return true;
}

/* ---- survey of a list --------------------------------------------------------------------------------------- */

static subject *subject_at(const survey *s, uint32_t i) { return (subject *)s->subjects.items + i; }

/* The subject of a predicate; NULL: out of memory. */
static subject *subject_of(survey *s, const lb_predicate *p) {
    uint32_t about[2] = {p->kind, p->name};
    uint32_t *i = lb_table_at(&s->seen, 0, (lb_str){(const char *)about, sizeof about});
    if (!i) return NULL;
    if (*i != LB_NONE) return subject_at(s, *i);
    subject *new = lb_vec_push(&s->subjects);
    *i = s->subjects.n - (new != NULL);
    if (new) *new = (subject){p->kind, p->name, 0, LB_NONE, UINT64_MAX};
    return new;
}

static bool count_values(survey *s, const lb_predicate *p) {
    subject *about = subject_of(s, p);
    if (!about) return false;
    uint32_t owner = 1 + (uint32_t)(about - (subject *)s->subjects.items);
    for (lb_str left = values_of(s, p), key; is_list(p->kind) ? left.len > 0 : left.data != NULL;) {
        key = next_key(p, &left);
        uint32_t *seen = lb_table_at(&s->seen, owner, key);
        if (!seen) return false;
        about->n_values += *seen == LB_NONE;
        *seen = 0;
    }
    return true;
}

/* The predicates of a candidate: [*from, *to). */
static void predicates_of(const lb_builder *b, uint32_t rule, uint32_t *from, uint32_t *to) {
    const uint32_t *first = b->rules.items;
    *from = rule < LB_BARE_RULES ? 0 : first[rule - LB_BARE_RULES];
    *to = rule < LB_BARE_RULES ? 0 : first[rule - LB_BARE_RULES + 1];
}

static const lb_predicate *predicate_at(const lb_builder *b, uint32_t i) {
    return (const lb_predicate *)b->predicates.items + i;
}

static bool survey_candidate(survey *s, uint32_t rule) {
    uint32_t from, to;
    for (predicates_of(s->b, rule, &from, &to); from < to; from++) {
        const lb_predicate *p = predicate_at(s->b, from);
        if (can_be_indexed(s, p) && !count_values(s, p)) return false;
    }
    return true;
}

/* The predicate to find a candidate by; NULL: none is worth it.  After the survey no subject is new. */
static const lb_predicate *choose(survey *s, uint32_t rule) {
    const lb_predicate *best = NULL;
    uint32_t from, to, most = LB_INDEX_FROM - 1;
    for (predicates_of(s->b, rule, &from, &to); from < to; from++) {
        const lb_predicate *p = predicate_at(s->b, from);
        if (!can_be_indexed(s, p)) continue;
        const subject *about = subject_of(s, p);
        if (!about || about->n_values <= most) continue;
        most = about->n_values;
        best = p;
    }
    return best;
}

/* ---- moving candidates -------------------------------------------------------------------------------------- */

static lb_group *group_at(const survey *s, uint32_t i) { return (lb_group *)s->b->groups.items + i; }

static bool want_group(survey *s, subject *about) {
    if (about->group != LB_NONE) return true;
    uint32_t owner = lb_builder_node(s->b, LB_NONE);
    lb_group *group = owner == LB_NONE ? NULL : lb_vec_push(&s->b->groups);
    if (!group) return false;
    *group = (lb_group){.kind = about->kind, .name = about->name, .owner = owner};
    about->group = s->b->groups.n - 1;
    return true;
}

/* Addresses are looked up by each prefix length that occurs. */
static void note_length(lb_group *group, lb_str key) {
    lb_block block;
    if (!is_peer(group->kind)) return;
    memcpy(&block, key.data, sizeof block);
    uint32_t i = block.bits + (block.family == 4 ? 0u : 33u);
    group->lengths[i / 64] |= (uint64_t)1 << i % 64;
}

/* Of an address without its port; of "*.suffix" with the "." but without the "*". */
static lb_str key_in_table(uint32_t kind, lb_str key) {
    if (is_peer(kind)) return (lb_str){key.data, LB_BLOCK_KEY};
    bool wildcard = kind == LB_PREDICATE_sni && key.data[0] == '*';
    return wildcard ? (lb_str){key.data + 1, key.len - 1} : key;
}

/* The first key takes the candidate itself, each further one a copy. */
static lb_pending *place_for(survey *s, uint32_t i, bool first) {
    return first ? (lb_pending *)s->b->pending.items + i : lb_vec_push(&s->b->pending);
}

static bool move_to_key(survey *s, lb_group *group, lb_str key, uint32_t i, bool first) {
    char text[LB_INDEXED_MAX];                              /* the key lies in the pool, which may move */
    lb_pending moved = ((lb_pending *)s->b->pending.items)[i];
    note_length(group, key);
    key = key_in_table(group->kind, key);
    for (size_t k = 0; k < key.len; k++) text[k] = is_folded(group->kind) ? lb_byte_lower(key.data[k]) : key.data[k];
    moved.node = lb_builder_node_under(s->b, group->owner, (lb_str){text, key.len}, LB_NONE);
    lb_pending *place = moved.node == LB_NONE ? NULL : place_for(s, i, first);
    if (place) *place = moved;
    return place != NULL;
}

static bool move(survey *s, uint32_t i, const lb_predicate *p, lb_group *group) {
    size_t used = 0;                                        /* of the values */
    bool ok = true, first = true;
    do {
        lb_str left = values_of(s, p);
        left = (lb_str){left.data + used, left.len - used};
        lb_str key = next_key(p, &left);
        used += is_list(p->kind) ? 4 + key.len : key.len;
        ok = move_to_key(s, group, key, i, first);
        first = false;
    } while (ok && used < values_of(s, p).len);
    return ok;
}

static bool move_candidate(survey *s, uint32_t i) {
    const lb_candidate c = ((lb_pending *)s->b->pending.items)[i].candidate;
    const lb_predicate *p = choose(s, c.rule);
    if (!p) return true;
    subject *about = subject_of(s, p);
    if (!want_group(s, about)) return false;
    if (c.precedence < about->best) about->best = c.precedence;
    return move(s, i, p, group_at(s, about->group));
}

/* A group stands in the list as one more candidate. */
static bool add_groups(survey *s, uint32_t node) {
    for (uint32_t i = 0; i < s->subjects.n; i++) {
        const subject *about = subject_at(s, i);
        if (about->group == LB_NONE) continue;
        lb_pending *entry = lb_vec_push(&s->b->pending);
        if (!entry) return false;
        *entry = (lb_pending){{about->best, LB_GROUP, about->group}, node};
    }
    return true;
}

/* ---- all lists ---------------------------------------------------------------------------------------------- */

static bool index_list(lb_builder *b, uint32_t node, const uint32_t *members, uint32_t n) {
    survey s = {.b = b};
    lb_vec_init(&s.subjects, sizeof(subject));
    bool ok = lb_table_init(&s.seen, n, b->tree->table.seed);
    for (uint32_t i = 0; i < n && ok; i++)
        ok = survey_candidate(&s, ((lb_pending *)b->pending.items)[members[i]].candidate.rule);
    for (uint32_t i = 0; i < n && ok; i++) ok = move_candidate(&s, members[i]);
    ok = ok && add_groups(&s, node);
    lb_table_free(&s.seen);
    lb_vec_free(&s.subjects);
    return ok;
}

/* begin[node] becomes where the members of a long list begin, or LB_NONE. */
static uint32_t place_members(const lb_builder *b, uint32_t *begin, uint32_t n_nodes) {
    uint32_t sum = 0;
    memset(begin, 0, n_nodes * sizeof *begin);
    for (uint32_t i = 0; i < b->pending.n; i++) begin[((lb_pending *)b->pending.items)[i].node]++;
    for (uint32_t node = 0; node < n_nodes; node++) {
        uint32_t n = begin[node];
        begin[node] = n < LB_INDEX_FROM ? LB_NONE : sum;
        if (n >= LB_INDEX_FROM) sum += n;
    }
    return sum;
}

static void gather_members(const lb_builder *b, uint32_t *end, uint32_t *members) {
    for (uint32_t i = 0; i < b->pending.n; i++) {
        uint32_t node = ((lb_pending *)b->pending.items)[i].node;
        if (end[node] != LB_NONE) members[end[node]++] = i;
    }
}

bool lb_index_lists(lb_builder *b) {
    uint32_t n_nodes = b->parents.n, from = 0;
    uint32_t *end = lb_alloc_array(n_nodes, sizeof *end);
    if (!end) return false;
    uint32_t n = place_members(b, end, n_nodes);
    uint32_t *members = lb_alloc_array(n, sizeof *members);
    bool ok = members != NULL;
    if (ok) gather_members(b, end, members);
    for (uint32_t node = 0; node < n_nodes && ok; node++) {
        if (end[node] == LB_NONE) continue;
        ok = index_list(b, node, members + from, end[node] - from);
        from = end[node];
    }
    lb_free(members);
    lb_free(end);
    return ok;
}

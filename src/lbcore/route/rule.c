/* rule: the conditions of a specification as a run of predicates.
 *
 * A rule that asks for common methods only is their mask; one with nothing to ask is 0.  Neither needs memory.
 */
#include "route/compile.h"

static lb_table *pool_of(lb_builder *b) { return &b->tree->table; }

static bool add(lb_builder *b, lb_predicate_kind kind, uint32_t name, uint32_t value) {
    if (name == LB_NONE || value == LB_NONE) return false;
    lb_predicate *p = lb_vec_push(&b->predicates);
    if (p) *p = (lb_predicate){(uint32_t)kind, name, value};
    return p != NULL;
}

/* ---- lists -------------------------------------------------------------------------------------------------- */

static void list_init(lb_vec *list) { lb_vec_init(list, 1); }

static bool list_add(lb_vec *list, const void *data, size_t n) {
    uint32_t at = list->n, len = (uint32_t)n;
    if (!lb_vec_reserve(list, at + 4 + len)) return false;
    memcpy((char *)list->items + at, &len, 4);
    memcpy((char *)list->items + at + 4, data, len);
    list->n = at + 4 + len;
    return true;
}

static bool list_add_texts(lb_vec *list, const lb_str *texts, uint32_t n) {
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++) ok = list_add(list, texts[i].data, texts[i].len);
    return ok;
}

/* Keep the list in the pool; its place, or LB_NONE. */
static uint32_t list_keep(lb_builder *b, lb_vec *list, bool ok) {
    uint32_t place = ok ? lb_table_keep(pool_of(b), (lb_str){list->items, list->n}) : LB_NONE;
    lb_vec_free(list);
    return place;
}

static uint32_t keep_texts(lb_builder *b, const lb_str *texts, uint32_t n) {
    lb_vec list;
    list_init(&list);
    return list_keep(b, &list, list_add_texts(&list, texts, n));
}

/* ---- methods ------------------------------------------------------------------------------------------------ */

static uint32_t mask_of_common(const lb_route_spec *spec, uint32_t *n_others) {
    uint32_t mask = 0;
    *n_others = 0;
    for (uint32_t i = 0; i < spec->n_methods; i++) {
        uint32_t bit = lb_method_bit(spec->methods[i]);
        mask |= bit;
        *n_others += bit == 0;
    }
    return mask;
}

static uint32_t keep_other_methods(lb_builder *b, const lb_route_spec *spec) {
    lb_vec list;
    bool ok = true;
    list_init(&list);
    for (uint32_t i = 0; i < spec->n_methods && ok; i++)
        if (!lb_method_bit(spec->methods[i])) ok = list_add(&list, spec->methods[i].data, spec->methods[i].len);
    return list_keep(b, &list, ok);
}

static bool add_methods(lb_builder *b, const lb_route_spec *spec, uint32_t mask) {
    return spec->n_methods == 0 || add(b, LB_PREDICATE_method, mask, keep_other_methods(b, spec));
}

/* ---- connection --------------------------------------------------------------------------------------------- */

static bool add_ports(lb_builder *b, const lb_route_spec *spec) {
    lb_vec list;
    bool ok = true;
    if (spec->n_ports == 0) return true;
    list_init(&list);
    for (uint32_t i = 0; i < spec->n_ports && ok; i++) ok = list_add(&list, &spec->ports[i], sizeof spec->ports[i]);
    return add(b, LB_PREDICATE_port, 0, list_keep(b, &list, ok));
}

static bool add_peers(lb_builder *b, lb_predicate_kind kind, const lb_peers *peers, uint32_t n) {
    lb_vec list;
    lb_block block;
    bool ok = true;
    if (n == 0) return true;
    list_init(&list);
    for (uint32_t i = 0; i < n && ok; i++)
        ok = lb_block_read(&peers[i], &block) && list_add(&list, &block, sizeof block);
    return add(b, kind, 0, list_keep(b, &list, ok));
}

static uint32_t sni_bits(const lb_flavor_rules *flavor) {
    return (flavor->sni_by_scheme ? LB_SNI_BY_SCHEME : 0u)
           | (flavor->stream_sni_by_scheme ? LB_SNI_STREAM_BY_SCHEME : 0u);
}

static bool add_connection(lb_builder *b, const lb_route_spec *spec) {
    bool ok = add_ports(b, spec);
    if (ok && spec->n_schemes) ok = add(b, LB_PREDICATE_scheme, 0, keep_texts(b, spec->schemes, spec->n_schemes));
    if (ok && spec->n_snis)
        ok = add(b, LB_PREDICATE_sni, sni_bits(b->plan->flavor), keep_texts(b, spec->snis, spec->n_snis));
    return ok && add_peers(b, LB_PREDICATE_source, spec->sources, spec->n_sources)
           && add_peers(b, LB_PREDICATE_destination, spec->destinations, spec->n_destinations);
}

static uint32_t n_connection(const lb_route_spec *spec) {
    return (uint32_t)((spec->n_ports > 0) + (spec->n_schemes > 0) + (spec->n_snis > 0) + (spec->n_sources > 0)
                      + (spec->n_destinations > 0));
}

/* ---- headers and query -------------------------------------------------------------------------------------- */

/* One place for each spelling, so that equal names have equal places. */
static uint32_t intern(lb_builder *b, lb_str name) {
    uint32_t *at = lb_table_at(pool_of(b), LB_OWNER_NAMES, name);
    if (!at || *at != LB_NONE) return at ? *at : LB_NONE;
    uint32_t place = lb_table_keep(pool_of(b), name);
    *at = place == LB_NONE ? 0 : place;                     /* never read: the build fails */
    return place;
}

static lb_predicate_kind kind_of(const lb_condition *c, bool each) {
    static const lb_predicate_kind kinds[3][5] = {
        {LB_PREDICATE_header, LB_PREDICATE_header_in, LB_PREDICATE_header_present, LB_PREDICATE_header_absent,
         LB_PREDICATE_header_regex},
        {LB_PREDICATE_query, LB_PREDICATE_query_in, LB_PREDICATE_query_present, LB_PREDICATE_query_absent,
         LB_PREDICATE_query_regex},
        {LB_PREDICATE_header_each, LB_PREDICATE_header_each, LB_PREDICATE_header_present, LB_PREDICATE_header_absent,
         LB_PREDICATE_header_each_regex},
    };
    return kinds[c->kind == LB_CONDITION_QUERY ? 1 : each ? 2 : 0][c->test];
}

static uint32_t keep_value(lb_builder *b, const lb_condition *c) {
    bool each = b->plan->flavor->kong && c->kind == LB_CONDITION_HEADER;
    if (c->test == LB_TEST_EXACT && each) return keep_texts(b, &c->value, 1);
    if (c->test == LB_TEST_EXACT) return lb_table_keep(pool_of(b), c->value);
    if (c->test == LB_TEST_ANY_OF) return keep_texts(b, c->values, c->n_values);
    return c->test == LB_TEST_REGEX ? c->pattern : 0;
}

static bool add_conditions(lb_builder *b, lb_compiled *c) {
    for (uint32_t i = 0; i < c->spec->n_conditions; i++) {
        const lb_condition *condition = &c->spec->conditions[i];
        if (!lb_spec_condition_counts(c->spec, i)) continue;
        lb_predicate_kind kind = kind_of(condition, b->plan->flavor->kong);
        if (!add(b, kind, intern(b, condition->name), keep_value(b, condition))) return false;
        if (condition->kind == LB_CONDITION_HEADER) c->facts.n_headers++;
        else c->facts.n_query++;
    }
    return true;
}

static bool add_host_port(lb_builder *b, const lb_spec_host *host) {
    bool as_sent = b->plan->flavor->port_as_sent && host->kind == LB_HOST_EXACT;
    return add(b, LB_PREDICATE_host_port, as_sent, host->port);
}

bool lb_compile_path_rule(lb_builder *b, const lb_route_spec *spec, uint32_t *rule) {
    *rule = LB_BARE_RULES + b->rules.n;
    uint32_t *first = lb_vec_push(&b->rules);
    if (!first) return false;
    *first = b->predicates.n;
    return add(b, LB_PREDICATE_path_regex, 0, spec->pattern);
}

bool lb_compile_rule(lb_builder *b, lb_compiled *c, const lb_spec_host *host) {
    uint32_t n_others, mask = mask_of_common(c->spec, &n_others);
    c->facts.n_headers = c->facts.n_query = 0;
    c->facts.n_methods = c->spec->n_methods;
    c->facts.n_connection = n_connection(c->spec);
    c->rule = mask;
    bool regex = c->spec->path_type == LB_PATH_REGEX && !c->spec->stream, port = host && host->port;
    if (n_others == 0 && c->spec->n_conditions == 0 && c->facts.n_connection == 0 && !regex && !port) return true;
    c->rule = LB_BARE_RULES + b->rules.n;
    uint32_t *first = lb_vec_push(&b->rules);
    if (!first) return false;
    *first = b->predicates.n;
    return add_methods(b, c->spec, mask) && add_connection(b, c->spec) && add_conditions(b, c)
           && (!port || add_host_port(b, host)) && (!regex || add(b, LB_PREDICATE_path_regex, 0, c->spec->pattern));
}

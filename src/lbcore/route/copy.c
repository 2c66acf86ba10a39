/* copy: specifications with all that they point to, one block of memory each.
 *
 *     block = | hosts | methods | ... | lists of values | texts |      lists first: they are aligned, texts need not be
 */
#include "route/router.h"

#include "base/alloc.h"

/* A first run with `base` NULL measures, a second one writes. */
typedef struct writer {
    char *base;
    size_t lists, texts;            /* where the next goes */
} writer;

static lb_str put_text(writer *w, lb_str text) {
    lb_str copy = {w->base ? w->base + w->texts : NULL, text.len};
    if (w->base && text.len > 0) memcpy(w->base + w->texts, text.data, text.len);
    w->texts += text.len;
    return text.len > 0 ? copy : text;
}

/* A list of `n` items, for the caller to go through; NULL while measuring, or of none. */
static void *put_list(writer *w, const void *items, uint32_t n, size_t size) {
    char *copy = w->base && n > 0 ? w->base + w->lists : NULL;
    if (copy) memcpy(copy, items, n * size);
    w->lists += (n * size + 7) & ~(size_t)7;
    return copy;
}

static const lb_str *put_texts(writer *w, const lb_str *texts, uint32_t n) {
    lb_str *copy = put_list(w, texts, n, sizeof *texts);
    for (uint32_t i = 0; i < n; i++) {
        lb_str text = put_text(w, texts[i]);
        if (copy) copy[i] = text;
    }
    return copy;
}

static const lb_peers *put_peers(writer *w, const lb_peers *peers, uint32_t n) {
    lb_peers *copy = put_list(w, peers, n, sizeof *peers);
    for (uint32_t i = 0; i < n; i++) {
        lb_str block = put_text(w, peers[i].block);
        if (copy) copy[i].block = block;
    }
    return copy;
}

static const lb_condition *put_conditions(writer *w, const lb_condition *conditions, uint32_t n) {
    lb_condition *copy = put_list(w, conditions, n, sizeof *conditions);
    for (uint32_t i = 0; i < n; i++) {
        lb_condition c = conditions[i];
        c.name = put_text(w, c.name);
        c.value = put_text(w, c.value);
        c.n_values = c.test == LB_TEST_ANY_OF ? c.n_values : 0;
        c.values = put_texts(w, c.values, c.n_values);
        if (copy) copy[i] = c;
    }
    return copy;
}

static lb_route_spec put_spec(writer *w, const lb_route_spec *spec) {
    lb_route_spec copy = *spec;
    copy.hosts = put_texts(w, spec->hosts, spec->n_hosts);
    copy.methods = put_texts(w, spec->methods, spec->n_methods);
    copy.conditions = put_conditions(w, spec->conditions, spec->n_conditions);
    copy.snis = put_texts(w, spec->snis, spec->n_snis);
    copy.schemes = put_texts(w, spec->schemes, spec->n_schemes);
    copy.ports = put_list(w, spec->ports, spec->n_ports, sizeof *spec->ports);
    copy.sources = put_peers(w, spec->sources, spec->n_sources);
    copy.destinations = put_peers(w, spec->destinations, spec->n_destinations);
    copy.path = put_text(w, spec->path);
    return copy;
}

lb_specs *lb_specs_new(uint32_t capacity) {
    lb_specs *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return NULL;
    s->specs = lb_alloc_array(capacity, sizeof *s->specs);
    s->ties = lb_alloc_array(capacity, sizeof *s->ties);
    s->ids = lb_alloc_array(capacity, sizeof *s->ids);
    lb_vec_init(&s->blocks, sizeof(char *));
    if (s->specs && s->ties && s->ids && lb_vec_reserve(&s->blocks, capacity)) return s;
    lb_specs_free(s);
    return NULL;
}

void lb_specs_free(lb_specs *s) {
    if (!s) return;
    for (uint32_t i = 0; i < s->blocks.n; i++) lb_free(((char **)s->blocks.items)[i]);
    lb_vec_free(&s->blocks);
    lb_free(s->specs);
    lb_free(s->ties);
    lb_free(s->ids);
    lb_free(s);
}

bool lb_specs_add(lb_specs *s, const lb_route_spec *spec, uint32_t id, uint64_t tie) {
    writer size = {NULL, 0, 0};
    (void)put_spec(&size, spec);
    writer w = {lb_alloc(size.lists + size.texts), 0, size.lists};
    if (!w.base) return false;
    char **block = lb_vec_push(&s->blocks);                 /* there is room */
    *block = w.base;
    s->n_bytes += size.lists + size.texts + sizeof *s->specs + sizeof *s->ties + sizeof *s->ids;
    s->specs[s->n] = put_spec(&w, spec);
    s->ids[s->n] = id;
    s->ties[s->n++] = tie;
    return true;
}

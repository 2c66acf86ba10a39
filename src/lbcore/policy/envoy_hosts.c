/* envoy_hosts: see envoy_hosts.h.
 *
 * Source  Envoy, source/extensions/load_balancing_policies/common/thread_aware_lb_impl.cc (normalizeHostWeights).
 */
#include "policy/envoy_hosts.h"

#include "base/alloc.h"
#include "hash/xxh64.h"

lb_str lb_envoy_text(const lb_view *view, uint32_t member) {
    const lb_name *name = lb_view_name(view, member);
    return name->hash_key.len ? name->hash_key : name->address;
}

uint64_t lb_envoy_hash(const void *state, const lb_key *key) {
    (void)state;
    return key->hashed ? key->hash : lb_xxh64(key->text.data, key->text.len, 0);
}

uint32_t lb_envoy_steps(const lb_envoy *s) {
    return s->order ? 2 * s->table->n + 16 : 8 * s->table->n + 64;     /* a bounded step costs O(n) */
}

lb_status lb_envoy_check_balance(double balance, lb_error *err) {
    if (balance == 0 || balance >= 100) return LB_OK;
    return lb_fail(err, LB_ERR_CONFIG, "hash_balance_factor", "%.15g is neither 0 (no bound) nor in 100..%d", balance,
                   LB_ENVOY_MAX_BALANCE);
}

/* ---- recipe: weight, length and bytes of each usable target's text, one behind the other ------------------------ */

static char *put_number(char *at, size_t value) {
    memcpy(at, &value, sizeof value);           /* never leaves this process: its byte order will do */
    return at + sizeof value;
}

static lb_status write_recipe(lb_envoy_table *table, const lb_view *view, lb_error *err) {
    size_t len = 0;
    for (uint32_t i = 0; i < view->n_usable; i++) len += 2 * sizeof len + lb_envoy_text(view, view->usable[i]).len;
    char *at = table->recipe = lb_alloc(len);
    if (!at) return lb_no_memory(err, "policy");
    for (uint32_t i = 0; i < view->n_usable; i++) {
        lb_str text = lb_envoy_text(view, view->usable[i]);
        at = put_number(put_number(at, view->weight[view->usable[i]]), text.len);
        memcpy(at, text.data, text.len);
        at += text.len;
    }
    table->recipe_len = len;
    return LB_OK;
}

static bool same_recipe(const lb_envoy_table *a, const lb_envoy_table *b) {
    return a->recipe_len == b->recipe_len && memcmp(a->recipe, b->recipe, a->recipe_len) == 0;
}

/* ---- table ------------------------------------------------------------------------------------------------------ */

static lb_status weigh(lb_envoy_table *table, const lb_view *view, lb_error *err) {
    table->share = lb_alloc_array(table->n, sizeof *table->share);
    if (!table->share) return lb_no_memory(err, "policy");
    table->least = 1;
    for (uint32_t i = 0; i < table->n; i++) {
        double share = (double)view->weight[view->usable[i]] / (double)view->total_weight;
        table->share[i] = share;
        if (share < table->least) table->least = share;
        if (share > table->most) table->most = share;
    }
    return LB_OK;
}

static void release(lb_envoy_table *table, const lb_envoy_scheme *scheme) {
    if (!table || --table->n_users > 0) return;
    scheme->drop(table->lookup);
    lb_free(table->share);
    lb_free(table->recipe);
    lb_free(table);
}

/* Put the table for `view` into *s: the old one if it has the same recipe.  What was made is in *s also on failure. */
static lb_status set_table(lb_envoy *s, const lb_view *view, const lb_envoy_scheme *scheme, const double *param,
                           const lb_envoy *old, lb_error *err) {
    lb_envoy_table *table = s->table = lb_alloc_zero(1, sizeof *table);
    if (!table) return lb_no_memory(err, "policy");
    table->n_users = 1;
    table->n = view->n_usable;
    lb_status status = write_recipe(table, view, err);
    if (status) return status;
    if (old && same_recipe(table, old->table)) {
        release(table, scheme);
        s->table = old->table;
        s->table->n_users++;
        return LB_OK;
    }
    status = weigh(table, view, err);
    return status || table->n == 0 ? status : scheme->make(&table->lookup, view, table, param, err);
}

void lb_envoy_destroy(void *state, const lb_envoy_scheme *scheme) {
    lb_envoy *s = state;
    if (!s) return;
    release(s->table, scheme);
    lb_free(s->order);
    lb_free(s);
}

static lb_status fill_in(lb_envoy *s, const lb_view *view, const lb_envoy_scheme *scheme, const double *param,
                         const lb_envoy *old, lb_error *err) {
    if (view->n_usable > 0 && !view->name)
        return lb_fail(err, LB_ERR_CONFIG, "policy", "it hashes the addresses of targets, and these have none");
    if (s->balance) {
        s->order = lb_alloc_array(view->n_usable, sizeof *s->order);
        if (!s->order) return lb_no_memory(err, "policy");
    }
    return set_table(s, view, scheme, param, old, err);
}

lb_status lb_envoy_build(void **out, const lb_view *view, const lb_envoy_scheme *scheme, const double *param,
                         double balance, const void *previous, lb_error *err) {
    lb_envoy *s = lb_alloc_zero(1, sizeof *s);
    if (!s) return lb_no_memory(err, "policy");
    s->balance = (uint32_t)balance;             /* whole, up to LB_ENVOY_MAX_BALANCE */
    lb_status status = fill_in(s, view, scheme, param, previous, err);
    if (status) lb_envoy_destroy(s, scheme);
    else *out = s;
    return status;
}

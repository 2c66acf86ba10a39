/* recipe: see recipe.h. */
#include "policy/recipe.h"

#include "base/alloc.h"

struct lb_recipe {
    size_t n_bytes;
    char bytes[];
};

static size_t bytes_of(const lb_view *view) {
    size_t n = 0;
    for (uint32_t i = 0; i < view->n_members; i++) {
        const lb_name *name = lb_view_name(view, i);
        n += sizeof view->full[i] + 2 * sizeof(uint32_t) + name->address.len + name->hash_key.len;
    }
    return n;
}

static char *put_number(char *to, uint32_t number) {
    memcpy(to, &number, sizeof number);
    return to + sizeof number;
}

static char *put_text(char *to, lb_str text) {
    to = put_number(to, (uint32_t)text.len);
    if (text.len) memcpy(to, text.data, text.len);
    return to + text.len;
}

lb_status lb_recipe_new(lb_recipe **out, const lb_view *view, lb_error *err) {
    if (!view->name && view->n_members)
        return lb_fail(err, LB_ERR_CONFIG, "policy", "it hashes the names of targets, and these members have none");
    size_t n_bytes = bytes_of(view);
    lb_recipe *recipe = lb_alloc(sizeof *recipe + n_bytes);
    if (!recipe) return lb_no_memory(err, "policy");
    recipe->n_bytes = n_bytes;
    char *at = recipe->bytes;
    for (uint32_t i = 0; i < view->n_members; i++) {
        at = put_number(at, view->full[i]);
        at = put_text(at, lb_view_name(view, i)->address);
        at = put_text(at, lb_view_name(view, i)->hash_key);
    }
    *out = recipe;
    return LB_OK;
}

void lb_recipe_free(lb_recipe *recipe) { lb_free(recipe); }

bool lb_recipe_equal(const lb_recipe *a, const lb_recipe *b) {
    return a->n_bytes == b->n_bytes && memcmp(a->bytes, b->bytes, a->n_bytes) == 0;
}

/* paths: where in the trie a path has its list (router.h draws it).
 *
 * Cost    O(bytes of the path).
 */
#include "base/alloc.h"
#include "route/compile.h"
#include "route/pattern.h"
#include "route/template.h"

static lb_str without_trailing_slash(lb_str path) {
    return path.data[path.len - 1] == '/' ? (lb_str){path.data, path.len - 1} : path;
}

/* ---- prefixes by element ------------------------------------------------------------------------------------ */

/* The node behind all segments of `path`, which ends before a "/" or at its end. */
static uint32_t node_of_segments(lb_builder *b, uint32_t root, lb_str path) {
    uint32_t node = root;
    for (size_t i = 0; i < path.len && node != LB_NONE;) {
        size_t begin = ++i;
        while (i < path.len && path.data[i] != '/') i++;
        node = lb_builder_node_under(b, node, (lb_str){path.data + begin, i - begin}, node);
    }
    return node;
}

/* ---- templates ---------------------------------------------------------------------------------------------- */

/* NULL: out of memory.  Valid until the next fork is wanted. */
static lb_fork *fork_of(lb_builder *b, uint32_t node) {
    while (b->forks.n <= node) {
        lb_fork *fork = lb_vec_push(&b->forks);
        if (!fork) return NULL;
        *fork = (lb_fork){LB_NONE, LB_NONE, LB_NONE};
    }
    return (lb_fork *)b->forks.items + node;
}

static uint32_t want_node(lb_builder *b, uint32_t *at, uint32_t parent) {
    if (*at == LB_NONE) *at = lb_builder_node(b, parent);
    return *at;
}

static uint32_t node_of_template(lb_builder *b, uint32_t root, lb_str path) {
    lb_segment segment;
    uint32_t node = root;
    for (size_t at = 0; node != LB_NONE && lb_segment_next(path, &at, &segment);) {
        if (segment.kind == LB_SEGMENT_LITERAL) {
            node = lb_builder_node_under(b, node, segment.text, node);
            continue;
        }
        lb_fork *fork = fork_of(b, node);
        if (!fork) return LB_NONE;
        if (segment.kind == LB_SEGMENT_TAIL) return want_node(b, &fork->tail, LB_NONE);
        node = want_node(b, &fork->parameter, node);
    }
    lb_fork *last = node == LB_NONE ? NULL : fork_of(b, node);
    return last ? want_node(b, &last->end, LB_NONE) : LB_NONE;
}

/* ---- plain prefixes ----------------------------------------------------------------------------------------- */

static bool note_length(lb_builder *b, uint32_t node, size_t n) {
    while (b->lengths.n <= node)
        if (!lb_vec_push(&b->lengths)) return false;
    ((uint64_t *)b->lengths.items)[node] |= (uint64_t)1 << n;
    return true;
}

static uint32_t node_of_plain(lb_builder *b, uint32_t root, lb_str path) {
    size_t slash = path.len;
    while (path.data[slash - 1] != '/') slash--;
    lb_str left = {path.data + slash, path.len - slash};    /* behind the last "/" */
    uint32_t node = node_of_segments(b, root, (lb_str){path.data, slash - 1});
    for (bool more = true; more && node != LB_NONE;) {
        size_t n = left.len < LB_PIECE ? left.len : LB_PIECE;
        if (!note_length(b, node, n)) return LB_NONE;
        node = lb_builder_node_under(b, LB_OWNER_PLAIN | node, (lb_str){left.data, n}, LB_NONE);
        left = (lb_str){left.data + n, left.len - n};
        more = left.len > 0;
    }
    return node;
}

static uint32_t node_of_regex(lb_builder *b, uint32_t root, lb_str pattern) {
    char *prefix = lb_alloc(pattern.len + 1);
    uint32_t node = prefix ? node_of_plain(b, root, lb_pattern_prefix(pattern, prefix)) : LB_NONE;
    lb_free(prefix);
    return node;
}

/* ---- public ------------------------------------------------------------------------------------------------- */

uint32_t lb_compile_path(lb_builder *b, lb_bucket *bucket, const lb_route_spec *spec) {
    if (spec->stream) return bucket->root;
    switch (spec->path_type) {
    case LB_PATH_EXACT:
        bucket->has_exact = true;
        return lb_builder_node_under(b, bucket->root, spec->path, LB_NONE);
    case LB_PATH_TEMPLATE:
        bucket->has_template = true;
        return node_of_template(b, bucket->root, spec->path);
    case LB_PATH_PLAIN:
        bucket->has_plain = true;
        return node_of_plain(b, bucket->root, spec->path.len > 0 ? spec->path : lb_str_of("/"));
    case LB_PATH_REGEX:
        bucket->has_plain = true;
        return node_of_regex(b, bucket->root, spec->path);
    case LB_PATH_PREFIX: break;
    }
    bucket->has_prefix = true;
    bucket->has_template |= b->plan->flavor->kong;          /* a longer prefix need not win: all must be visited */
    return node_of_segments(b, bucket->root, without_trailing_slash(spec->path));
}

lb_facts lb_facts_of_path(const lb_route_spec *spec) {
    lb_facts facts = {.path_type = spec->path_type, .path_characters = (uint32_t)spec->path.len};
    if (spec->path_type == LB_PATH_PREFIX && spec->path.len > 0)
        facts.path_characters = (uint32_t)without_trailing_slash(spec->path).len;
    if (spec->path_type != LB_PATH_TEMPLATE) return facts;
    facts.path_characters = lb_template_characters(spec->path);
    facts.path_has_tail = lb_template_has_tail(spec->path);
    return facts;
}

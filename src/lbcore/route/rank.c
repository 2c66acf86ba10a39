/* rank: see rank.h; one function a flavour, the least precedence wins.
 *
 * Source  gateway_api: gateway-api.md 2.3 to 2.5, quoted below.
 */
#include "route/rank.h"

#include "base/status.h"

/* "most characters in a matching non-wildcard hostname, then most characters in a matching hostname"; "Exact path >
 * longest PathPrefix (characters) > has a method match > number of header matches > number of query matches"; then the
 * order of the specifications.
 *
 * Paths that the standard does not know, or leaves open ("RegularExpression paths: implementation-specific place"):
 * exact > template to the end > regex > prefix, plain prefix and template with a tail; among equals of these the longer,
 * in characters outside braces, of a regex in characters of its text.  Last: number of kinds of conditions on the
 * connection.  Greater is better in each field, so the complement of the whole is least for the best.
 *
 *     | exact host, characters 8 | host, characters 8 | kind of path 2 | its characters 17 | has method 1
 *     | headers 10 | query 10 | connection 3 | 5 bits free |
 */
static uint64_t kind_of_path(const lb_facts *f) {
    if (f->path_type == LB_PATH_EXACT) return 3;
    if (f->path_type == LB_PATH_TEMPLATE && !f->path_has_tail) return 2;
    return f->path_type == LB_PATH_REGEX;
}

static uint64_t gateway_api(const lb_facts *f) {
    uint64_t kind = kind_of_path(f), name = f->host_is_exact ? f->host_characters : 0;
    uint64_t characters = kind == 3 ? 0 : f->path_characters;
    uint64_t good = name << 56 | (uint64_t)f->host_characters << 48 | kind << 46 | characters << 29
                    | (uint64_t)(f->n_methods > 0) << 28 | (uint64_t)f->n_headers << 18
                    | (uint64_t)f->n_query << 8 | (uint64_t)f->n_connection << 5;
    return ~good;
}

static const lb_flavor_rules flavors[] = {
    [LB_FLAVOR_GATEWAY_API] = {.name = "gateway_api", .precedence = gateway_api},
};

const lb_flavor_rules *lb_flavor_rules_of(lb_flavor flavor) {
    size_t n = sizeof flavors / sizeof *flavors;
    return (size_t)flavor < n ? &flavors[flavor] : NULL;
}

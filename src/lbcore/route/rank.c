/* rank: see rank.h; one function a flavour, the least precedence wins.
 *
 * Source  gateway_api: gateway-api.md 2.3 to 2.5, quoted below.
 */
#include "route/rank.h"

#include "base/status.h"

/* "most characters in a matching non-wildcard hostname, then most characters in a matching hostname"; "Exact path >
 * longest PathPrefix (characters) > has a method match > number of header matches > number of query matches"; then the
 * order of the specifications.  What the standard does not know comes last: number of kinds of conditions on the
 * connection.  Greater is better in each field, so the complement of the whole is least for the best.
 *
 *     | exact host, characters 8 | host, characters 8 | exact path 1 | prefix, characters 17 | has method 1
 *     | headers 10 | query 10 | connection 3 | 6 bits free |
 */
static uint64_t gateway_api(const lb_facts *f) {
    bool exact = f->path_type == LB_PATH_EXACT;
    uint64_t name = f->host_is_exact ? f->host_characters : 0, prefix = exact ? 0 : f->path_characters;
    uint64_t good = name << 56 | (uint64_t)f->host_characters << 48 | (uint64_t)exact << 47 | prefix << 30
                    | (uint64_t)(f->n_methods > 0) << 29 | (uint64_t)f->n_headers << 19
                    | (uint64_t)f->n_query << 9 | (uint64_t)f->n_connection << 6;
    return ~good;
}

static const lb_flavor_rules flavors[] = {
    [LB_FLAVOR_GATEWAY_API] = {.name = "gateway_api", .precedence = gateway_api},
};

const lb_flavor_rules *lb_flavor_rules_of(lb_flavor flavor) {
    size_t n = sizeof flavors / sizeof *flavors;
    return (size_t)flavor < n ? &flavors[flavor] : NULL;
}

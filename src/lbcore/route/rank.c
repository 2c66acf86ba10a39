/* rank: see rank.h; one function a flavour, the least precedence wins.
 *
 * Source  gateway_api: gateway-api.md 2.3 to 2.5, quoted below; ingress: the Kubernetes documentation, Ingress,
 *         "Hostname wildcards" and "Multiple matches"; kong_*: kong.md 3, from Kong 3.10.
 */
#include "route/router.h"

/* "most characters in a matching non-wildcard hostname, then most characters in a matching hostname"; "Exact path >
 * longest PathPrefix (characters) > has a method match > number of header matches > number of query matches"; then the
 * order of the specifications.
 *
 * Paths that the standard does not know, or leaves open ("RegularExpression paths: implementation-specific place"):
 * exact > template to the end > regex > prefix, plain prefix and template with a tail; among equals of these the
 * longer, in characters outside braces, of a regex in characters of its text.  Last: number of kinds of conditions on
 * the connection.  Greater is better in each field, so the complement of the whole is least for the best.
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

/* ---- streams ------------------------------------------------------------------------------------------------ */

/* Of several the least, so that a list cannot win by an entry that did not match. */
static uint64_t least_sni(const lb_route_spec *spec, bool exact) {
    uint64_t least = spec->n_snis > 0 ? LB_HOST_MAX : 0;
    for (uint32_t i = 0; i < spec->n_snis; i++) {
        uint64_t n = exact && spec->snis[i].data[0] == '*' ? 0 : spec->snis[i].len;
        if (n < least) least = n;
    }
    return least;
}

/* 1 + bits of the prefix, as of IPv6 (an IPv4 address has 32 more in front); 0: every address. */
static uint64_t least_prefix(const lb_peers *peers, uint32_t n, bool *has_port) {
    uint64_t least = n > 0 ? 255 : 0;
    *has_port = n > 0;
    for (uint32_t i = 0; i < n; i++) {
        lb_block block;
        if (!lb_block_read(&peers[i], &block)) continue;    /* checked before */
        uint64_t bits = block.family == 0 ? 0 : 1u + block.bits + (block.family == 4 ? 96u : 0u);
        if (bits < least) least = bits;
        *has_port = *has_port && block.port > 0;
    }
    return least;
}

/*     | exact SNI 8 | SNI 8 | has port 1 | source 8 | destination 8 | source has port 1 | destination has port 1 | */
static uint64_t stream(const lb_facts *f) {
    const lb_route_spec *s = f->spec;
    bool source_port, destination_port;
    uint64_t source = least_prefix(s->sources, s->n_sources, &source_port);
    uint64_t destination = least_prefix(s->destinations, s->n_destinations, &destination_port);
    uint64_t good = least_sni(s, true) << 56 | least_sni(s, false) << 48 | (uint64_t)(s->n_ports > 0) << 47
                    | source << 39 | destination << 31 | (uint64_t)source_port << 30 | (uint64_t)destination_port << 29;
    return ~good;
}

/* ---- ingress ------------------------------------------------------------------------------------------------ */

/* "Precise matches require that the HTTP host header matches the host field.  Wildcard matches ...": exact host first;
 * "precedence will be given first to the longest matching path", then "to paths with an exact path type over prefix".
 * Among equals as in gateway_api. */
static uint64_t ingress(const lb_facts *f) {
    bool exact = f->path_type == LB_PATH_EXACT;
    uint64_t characters = f->path_characters;
    uint64_t good = (uint64_t)f->host_is_exact << 63 | (uint64_t)f->host_characters << 55 | characters << 38
                    | (uint64_t)exact << 37 | kind_of_path(f) << 35 | (uint64_t)(f->n_methods > 0) << 34
                    | (uint64_t)f->n_headers << 24 | (uint64_t)f->n_query << 14 | (uint64_t)f->n_connection << 11;
    return ~good;
}

/* ---- kong (kong.md 3.1, 3.2) -------------------------------------------------------------------------------- */

enum { HOST = 0x40, HEADER = 0x20, URI = 0x10, METHOD = 0x08, SNI = 0x04, SOURCE = 0x02, DESTINATION = 0x01 };

/* "Category = set of criteria kinds present" */
static unsigned criteria(const lb_facts *f) {
    const lb_route_spec *s = f->spec;
    return (s->n_hosts ? HOST : 0u) | (f->n_headers ? HEADER : 0u) | (s->path.len ? URI : 0u)
           | (s->n_methods ? METHOD : 0u) | (s->n_snis ? SNI : 0u) | (s->n_sources ? SOURCE : 0u)
           | (s->n_destinations ? DESTINATION : 0u);
}

static uint64_t n_bits(unsigned bits) {
    uint64_t n = 0;
    for (; bits; bits &= bits - 1) n++;
    return n;
}

static uint64_t header_names(const lb_facts *f) { return f->n_headers < 255 ? f->n_headers : 255; }

/* 3.1: categories "by number of kinds (more first), then by the bits"; within one "(a) submatch bits as one number:
 * wildcard host with port 4, plain hosts only 2, regex path 1; (b) more header NAMES; (c) if regex: higher
 * regex_priority; (d) longer plain path (regex counts 0); (e) older created_at", which is the order of the routes.
 *
 *     | kinds 3 | bits 7 | reduced 1, both 1: hits.h | submatch 3 | header names 8 | regex_priority or path 32
 *     | 8 free | 1 |
 *
 * The last bit keeps the precedence of a route without criteria from being UINT64_MAX, which is none.
 */
static uint64_t traditional(const lb_facts *f) {
    bool regex = f->path_type == LB_PATH_REGEX;
    unsigned bits = criteria(f);
    uint64_t submatch = (f->wildcard_has_port ? 4u : 0u) | (f->hosts_are_plain ? 2u : 0u) | (regex ? 1u : 0u);
    uint64_t last = regex ? f->spec->priority : f->path_characters;
    return ~(n_bits(bits) << 61 | (uint64_t)bits << 54 | submatch << 49 | header_names(f) << 41 | last << 9 | 1);
}

/* A shift as Kong makes it: it means 64 bits, but hands its numbers to LuaJIT's 32-bit shift, whose count is modulo 32
 * and whose result is signed.  So fields lie elsewhere than they were meant to, and four kinds of criteria (bit 31) win
 * over everything.  Measured: all recorded answers agree with this, 39 of 559 contradict the order that was meant. */
static uint64_t kong_shift(uint64_t value, unsigned n) {
    return (uint64_t)(int64_t)(int32_t)(uint32_t)(value << n % 32);
}

/* 3.2, "bits 61..63 number of criteria kinds; 60 hosts given and all plain; 52..59 number of header names, capped at
 * 255; 51 regex path; 19..50 regex_priority (regex only); 0..18 plain path length", of which 60 and 51 stand where they
 * say. */
static uint64_t compatible(const lb_facts *f) {
    bool regex = f->path_type == LB_PATH_REGEX;
    uint64_t priority = regex ? f->spec->priority : 0, characters = regex ? 0 : f->path_characters;
    return ~(kong_shift(n_bits(criteria(f)), 61) | (uint64_t)f->hosts_are_plain << 60 | kong_shift(header_names(f), 52)
             | (uint64_t)regex << 51 | kong_shift(priority, 19) | (characters & 0x7FFFF));
}

/* "source bits << 4, destination bits: IP 8, port 4, CIDR 1" */
static uint64_t peer_bits(const lb_peers *peers, uint32_t n) {
    uint64_t bits = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool block = peers[i].block.len > 0 && memchr(peers[i].block.data, '/', peers[i].block.len);
        bits |= (block ? 1u : peers[i].block.len > 0 ? 8u : 0u) | (peers[i].port ? 4u : 0u);
    }
    return bits;
}

/* "Stream: bit 61 if SNI is given, or if both sources and destinations are" */
static uint64_t compatible_stream(const lb_facts *f) {
    const lb_route_spec *s = f->spec;
    uint64_t first = s->n_snis > 0 || (s->n_sources > 0 && s->n_destinations > 0);
    return ~(kong_shift(first, 61) | peer_bits(s->sources, s->n_sources) << 4
             | peer_bits(s->destinations, s->n_destinations));
}

static const lb_flavor_rules flavors[] = {
    [LB_FLAVOR_GATEWAY_API] = {.name = "gateway_api", .precedence = gateway_api, .stream_precedence = stream,
                               .whole_path = true},
    [LB_FLAVOR_INGRESS] = {.name = "ingress", .precedence = ingress, .stream_precedence = stream, .whole_path = true,
                           .one_label = true},
    [LB_FLAVOR_KONG_TRADITIONAL] = {.name = "kong_traditional", .precedence = traditional,
                                    .stream_precedence = traditional, .kong = true, .sni_by_scheme = true,
                                    .port_as_sent = true, .reduces = true},
    [LB_FLAVOR_KONG_COMPATIBLE] = {.name = "kong_compatible", .precedence = compatible,
                                   .stream_precedence = compatible_stream, .kong = true, .sni_by_scheme = true,
                                   .stream_sni_by_scheme = true},
};

const lb_flavor_rules *lb_flavor_rules_of(lb_flavor flavor) {
    size_t n = sizeof flavors / sizeof *flavors;
    return (size_t)flavor < n ? &flavors[flavor] : NULL;
}

bool lb_flavor_whole_path(lb_flavor flavor) {
    const lb_flavor_rules *rules = lb_flavor_rules_of(flavor);
    return !rules || rules->whole_path;
}

/* connection: predicates on what carries a request: SNI, scheme, ports, addresses.
 *
 * Source  RFC 4632 section 3.1 (prefix notation), RFC 4291 section 2.5.5.2 (an IPv4 address inside IPv6 is that
 *         address: a socket that serves both families shows it so), RFC 6066 section 3 (SNI: no trailing dot).
 * Ties    none here: a predicate holds or not; how long the prefix is counts in a flavour's precedence, if at all.
 * Keeps   bits of a block behind its prefix are taken as 0, whatever was written there.
 */
#include "route/predicate.h"

#include "base/ip.h"
#include "route/bytes.h"

/* ---- blocks of addresses ------------------------------------------------------------------------------------ */

static void clear_behind(unsigned char *bytes, uint8_t family, uint8_t bits) {
    unsigned whole = bits / 8u;
    if (whole == family) return;
    bytes[whole] = (unsigned char)(bytes[whole] & (0xFF00u >> bits % 8));
    memset(bytes + whole + 1, 0, family - whole - 1);
}

/* A block within ::ffff:0:0/96 is one of IPv4. */
static void unmap(lb_block *b) {
    static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    if (b->family != 16 || b->bits < 96 || memcmp(b->bytes, mapped, 12) != 0) return;
    memmove(b->bytes, b->bytes + 12, 4);
    memset(b->bytes + 4, 0, 12);
    b->family = 4;
    b->bits = (uint8_t)(b->bits - 96);
}

/* Up to three digits, at most `most`; -1: they are none. */
static int read_bits(lb_str text, int most) {
    int value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || i == 3) return -1;
        value = value * 10 + (text.data[i] - '0');
    }
    return text.len == 0 || value > most ? -1 : value;
}

bool lb_block_read(const lb_peers *peers, lb_block *out) {
    *out = (lb_block){.port = (uint16_t)peers->port};
    if (peers->block.len == 0) return true;
    const char *slash = memchr(peers->block.data, '/', peers->block.len);
    lb_str address = {peers->block.data, slash ? (size_t)(slash - peers->block.data) : peers->block.len};
    if (memchr(address.data, '%', address.len)) return false;                  /* a zone is no part of a block */
    int family = lb_ip_read(address, out->bytes), bits = family * 8;
    if (slash) bits = read_bits((lb_str){slash + 1, peers->block.len - address.len - 1}, bits);
    if (family == 0 || bits < 0) return false;
    out->family = (uint8_t)family;
    out->bits = (uint8_t)bits;
    clear_behind(out->bytes, out->family, out->bits);
    unmap(out);
    return true;
}

lb_block lb_address_read(lb_str text, uint16_t port) {
    lb_block out = {.port = port};
    out.family = (uint8_t)lb_ip_read(text, out.bytes);
    out.bits = (uint8_t)(out.family * 8);
    unmap(&out);
    return out;
}

lb_block lb_block_shorten(const lb_block *address, uint8_t bits) {
    lb_block out = *address;
    out.bits = bits;
    clear_behind(out.bytes, out.family, bits);
    return out;
}

static bool is_within(const lb_block *address, const lb_block *block) {
    if (block->port != 0 && block->port != address->port) return false;
    if (block->family == 0) return true;
    if (block->family != address->family) return false;
    lb_block prefix = lb_block_shorten(address, block->bits);
    return memcmp(prefix.bytes, block->bytes, block->family) == 0;
}

static lb_verdict peer_holds(const lb_predicate *p, const lb_table *pool, lb_str text, uint16_t port) {
    lb_block address = lb_address_read(text, port), block;
    for (lb_str blocks = lb_table_text(pool, p->value); blocks.len > 0;) {
        memcpy(&block, lb_next_part(&blocks).data, sizeof block);
        if (is_within(&address, &block)) return LB_HOLDS;
    }
    return LB_FAILS;
}

lb_verdict lb_source_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    return peer_holds(p, pool, seen->request->source, seen->request->source_port);
}

lb_verdict lb_destination_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    return peer_holds(p, pool, seen->request->destination, seen->request->destination_port);
}

/* ---- names and ports ---------------------------------------------------------------------------------------- */

lb_verdict lb_port_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    uint16_t port;
    for (lb_str ports = lb_table_text(pool, p->value); ports.len > 0;) {
        memcpy(&port, lb_next_part(&ports).data, sizeof port);
        if (port == seen->request->port) return LB_HOLDS;
    }
    return LB_FAILS;
}

uint32_t lb_seen_port(const lb_seen *seen) {
    if (seen->host_port > 0) return seen->host_port;
    if (seen->request->port > 0) return seen->request->port;
    return lb_equal_ignoring_case(seen->request->scheme, lb_str_of("https")) ? 443 : 80;
}

lb_verdict lb_host_port_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    (void)pool;
    return (p->name ? seen->host_port : lb_seen_port(seen)) == p->value ? LB_HOLDS : LB_FAILS;
}

lb_verdict lb_scheme_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    for (lb_str schemes = lb_table_text(pool, p->value); schemes.len > 0;)
        if (lb_equal_ignoring_case(lb_next_part(&schemes), seen->request->scheme)) return LB_HOLDS;
    return LB_FAILS;
}

/* "*.a.b" matches one or more labels on the left, never "a.b" itself. */
static bool name_is(lb_str name, lb_str pattern) {
    if (pattern.data[0] != '*') return lb_equal_ignoring_case(name, pattern);
    lb_str suffix = {pattern.data + 1, pattern.len - 1};
    if (name.len <= suffix.len) return false;
    return lb_equal_ignoring_case((lb_str){name.data + name.len - suffix.len, suffix.len}, suffix);
}

static bool has_sni(const lb_seen *seen) {
    return lb_equal_ignoring_case(seen->request->scheme, lb_str_of(seen->stream ? "tls" : "https"));
}

lb_verdict lb_sni_holds(const lb_predicate *p, const lb_table *pool, const lb_seen *seen) {
    lb_str name = seen->request->sni;
    uint32_t by_scheme = seen->stream ? LB_SNI_STREAM_BY_SCHEME : LB_SNI_BY_SCHEME;
    if ((p->name & by_scheme) && !has_sni(seen)) return LB_HOLDS;
    if (name.len > 0 && name.data[name.len - 1] == '.') name.len--;
    for (lb_str names = lb_table_text(pool, p->value); name.len > 0 && names.len > 0;)
        if (name_is(name, lb_next_part(&names))) return LB_HOLDS;
    return LB_FAILS;
}

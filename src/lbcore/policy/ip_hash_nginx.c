/* ip_hash_nginx: nginx's ip_hash, pick for pick: clients of a /24 (IPv4) or of one address (IPv6) share a target.
 *
 * Source  nginx, ngx_http_upstream_get_ip_hash_peer() (1.22 to 1.31).
 * Key     the text of an IP address (base/ip.h).  Its bytes: the first 3 of IPv4, all 16 of IPv6, three zeros for
 *         "unix:", which is what nginx calls a client on a socket of that kind.  Any other text has no bytes and goes
 *         to smooth turns at once; nginx has no such key.
 * Try     h = (h * 113 + byte) mod 6271 over the bytes, from 89 at first, then from where it stands; the member is the
 *         one at h mod W, W the configured weights of all members, also of those that are down.
 * Then    tries.h.
 * Hashed  a key that is a hash stands for h of try 0; later ones run its four bytes, the lowest first.
 * Range   6,271 values: members behind the first 6,271 units of weight get no addresses.
 * Cost    walk O(log n), build O(n); memory 44 bytes a member.  The line of weights is not taken over: to see that it
 *         is the same costs as much as to make it.
 * Keeps   smooth turns write to the state: one caller at a time.
 */
#include "base/ip.h"
#include "policy/tries.h"

#define MODULUS 6271u

typedef struct client {
    const lb_line *line;
    uint32_t n;
    unsigned char bytes[16];
} client;

/* What is hashed of a key into bytes[16]; how many bytes, 0: there is nothing to hash. */
static uint32_t bytes_of(const lb_key *key, unsigned char *bytes) {
    if (key->hashed) {
        for (int i = 0; i < 4; i++) bytes[i] = (unsigned char)(key->hash >> 8 * i);
        return 4;
    }
    if (lb_str_equal(key->text, lb_str_of("unix:"))) {
        memset(bytes, 0, 3);
        return 3;
    }
    int n = lb_ip_read(key->text, bytes);
    return n == 4 ? 3 : (uint32_t)n;
}

static uint32_t try(const void *table, const lb_view *view, lb_walk *walk) {
    (void)view;
    const client *c = table;
    uint64_t hash = walk->at == 0 ? 89 : walk->hash;
    if (walk->at == 0 && walk->key.hashed) hash = (uint32_t)walk->key.hash;
    else
        for (uint32_t i = 0; i < c->n; i++) hash = (hash * 113 + c->bytes[i]) % MODULUS;
    walk->hash = hash;
    return lb_line_at(c->line, hash);
}

static uint32_t walk(void *state, const lb_view *view, lb_walk *walk) {
    client c = {.line = state};
    c.n = bytes_of(&walk->key, c.bytes);
    return lb_tries_walk(c.line->smooth, view, walk, c.line->n > 0 && c.n > 0, try, &c);
}

const lb_policy lb_policy_ip_hash_nginx = {
    .name = "ip_hash_nginx", .summary = "nginx's ip_hash: clients of one network share a target.",
    .build = lb_line_build, .destroy = lb_line_destroy, .walk = walk,
};

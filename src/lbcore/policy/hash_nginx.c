/* hash_nginx: nginx's `hash key`, pick for pick: the key's hash modulo the sum of all weights.
 *
 * Source  nginx, ngx_http_upstream_get_hash_peer() (1.22 to 1.31), after Cache::Memcached's rule.
 * Try     sum += (crc32(r in decimal, nothing for r = 0; then the key) >> 16) & 0x7FFF; the member is the one at
 *         sum mod W, W the configured weights of all members, also of those that are down.
 * Then    tries.h.  An empty key, or no weight at all: smooth turns at once.
 * Hashed  a key that is a hash stands for the crc32 of try 0; later ones take its four bytes, the lowest first, as key.
 * Range   try 0 reaches the first 32,768 units of weight only; members behind them get keys by later tries.
 * Cost    walk O(log n), build O(n); memory 44 bytes a member.  The line of weights is not taken over: to see that it
 *         is the same costs as much as to make it.
 * Keeps   smooth turns write to the state: one caller at a time.
 */
#include "hash/crc32.h"
#include "policy/tries.h"

/* The crc32 of try r, which has at most two digits. */
static uint32_t hash_of(const lb_key *key, unsigned r) {
    if (key->hashed && r == 0) return (uint32_t)key->hash;
    char digits[2], bytes[4];
    size_t n = 0;
    if (r > 9) digits[n++] = (char)('0' + r / 10);
    if (r > 0) digits[n++] = (char)('0' + r % 10);
    uint32_t state = lb_crc32_more(UINT32_MAX, digits, n);
    if (!key->hashed) return ~lb_crc32_more(state, key->text.data, key->text.len);
    for (int i = 0; i < 4; i++) bytes[i] = (char)(key->hash >> 8 * i & 0xFF);
    return ~lb_crc32_more(state, bytes, sizeof bytes);
}

static uint32_t try(const void *line, const lb_view *view, lb_walk *walk) {
    (void)view;
    if (walk->at == 0) walk->hash = 0;
    walk->hash += hash_of(&walk->key, (unsigned)walk->at) >> 16 & 0x7FFF;
    return lb_line_at(line, walk->hash);
}

static uint32_t walk(void *state, const lb_view *view, lb_walk *walk) {
    const lb_line *line = state;
    bool hashable = line->n > 0 && (walk->key.hashed || walk->key.text.len > 0);
    return lb_tries_walk(line->smooth, view, walk, hashable, try, line);
}

const lb_policy lb_policy_hash_nginx = {
    .name = "hash_nginx", .summary = "nginx's `hash key`: the key's hash modulo the sum of the weights.",
    .build = lb_line_build, .destroy = lb_line_destroy, .walk = walk,
};

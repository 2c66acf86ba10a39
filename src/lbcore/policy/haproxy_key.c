/* haproxy_key: see haproxy_key.h. */
#include "policy/haproxy_key.h"

#include "hash/crc32.h"
#include "hash/djb2.h"
#include "hash/full_hash.h"
#include "hash/sdbm.h"
#include "hash/wt6.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

/* The low 32 bits of the number that a text begins with: a sign, digits; what follows does not count, no digits are 0.
 * It stops at the ends of 64 bits with sign: all further ones are the last. */
static uint32_t leading_number(lb_str text) {
    bool negative = text.len > 0 && text.data[0] == '-';
    uint64_t most = negative ? (uint64_t)1 << 63 : ((uint64_t)1 << 63) - 1, n = 0;
    size_t i = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+');
    for (; i < text.len && is_digit(text.data[i]); i++) {
        uint64_t digit = (uint64_t)(text.data[i] - '0');
        n = n > (most - digit) / 10 ? most : n * 10 + digit;
        if (n == most) break;
    }
    return (uint32_t)(negative ? 0 - n : n);
}

static uint32_t plain_hash(lb_haproxy_function function, lb_str text) {
    switch (function) {
    case LB_HAPROXY_DJB2: return lb_djb2(text.data, text.len);
    case LB_HAPROXY_WT6: return lb_wt6(text.data, text.len);
    case LB_HAPROXY_CRC32: return lb_crc32(text.data, text.len);
    case LB_HAPROXY_NONE: return leading_number(text);
    case LB_HAPROXY_SDBM: break;
    }
    return lb_sdbm(text.data, text.len);
}

bool lb_haproxy_hash(lb_haproxy_function function, bool avalanche, const lb_key *key, uint32_t *hash) {
    if (!key->hashed && key->text.len == 0) return false;
    uint32_t h = key->hashed ? (uint32_t)key->hash : plain_hash(function, key->text);
    *hash = avalanche && !key->hashed ? lb_full_hash(h) : h;
    return true;
}

bool lb_haproxy_source_hash(bool avalanche, const lb_key *key, uint32_t *hash) {
    lb_haproxy_address address;
    if (!key->hashed && !lb_haproxy_address_of(key->text, &address)) return false;
    uint32_t h = (uint32_t)key->hash;
    if (!key->hashed) {
        h = 0;
        for (uint32_t i = 0; i < address.n; i++) h ^= (uint32_t)(unsigned char)address.byte[i] << (24 - 8 * (i % 4));
        if (avalanche) h = lb_full_hash(h);
    }
    *hash = h;
    return true;
}

/* ---- addresses -------------------------------------------------------------------------------------------------- */

/* Digits only, without zeros in front, up to `most`. */
static bool whole_number(lb_str text, uint32_t most, uint32_t *number) {
    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.data[0] == '0')) return false;
    uint32_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.data[i])) return false;
        n = n * 10 + (uint32_t)(text.data[i] - '0');
    }
    *number = n;
    return n <= most;
}

/* What stands before the next `c`, which is taken away with it; all, where there is none. */
static lb_str take_until(lb_str *text, char c) {
    const char *found = text->len ? memchr(text->data, c, text->len) : NULL;
    lb_str before = {text->data, found ? (size_t)(found - text->data) : text->len};
    size_t taken = before.len + (found != NULL);
    if (taken) *text = (lb_str){text->data + taken, text->len - taken};
    return before;
}

static size_t count(lb_str text, char c) {
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) n += text.data[i] == c;
    return n;
}

static bool four_bytes(lb_str text, char *byte) {
    if (count(text, '.') != 3) return false;
    for (int i = 0; i < 4; i++) {
        uint32_t number;
        if (!whole_number(take_until(&text, '.'), 255, &number)) return false;
        byte[i] = (char)(unsigned char)number;
    }
    return true;
}

/* One to four hexadecimal digits as two bytes. */
static bool two_bytes(lb_str text, char *byte) {
    if (text.len == 0 || text.len > 4) return false;
    uint32_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i], lower = (char)(c | 0x20);
        if (!is_digit(c) && (lower < 'a' || lower > 'f')) return false;
        n = n << 4 | (uint32_t)(is_digit(c) ? c - '0' : lower - 'a' + 10);
    }
    byte[0] = (char)(unsigned char)(n >> 8);
    byte[1] = (char)(unsigned char)n;
    return true;
}

/* Groups between colons, the last of which may be an IPv4 address where `last`.  The bytes written, LB_NONE: not so. */
static uint32_t groups(lb_str text, bool last, char *byte) {
    if (text.len == 0) return 0;
    size_t left = count(text, ':') + 1;
    uint32_t n = 0;
    for (; left > 0; left--) {
        lb_str group = take_until(&text, ':');
        bool dotted = last && left == 1 && count(group, '.') > 0;
        uint32_t size = dotted ? 4 : 2;
        if (n + size > 16 || !(dotted ? four_bytes(group, byte + n) : two_bytes(group, byte + n))) return LB_NONE;
        n += size;
    }
    return n;
}

/* RFC 4291, 2.2: "::" stands for one or more groups of zeros, once. */
static bool sixteen_bytes(lb_str text, char *byte) {
    size_t gap = 0;
    while (gap + 1 < text.len && memcmp(text.data + gap, "::", 2) != 0) gap++;
    if (gap + 1 >= text.len) return groups(text, true, byte) == 16;
    char tail[16];
    uint32_t head = groups((lb_str){text.data, gap}, false, byte);
    uint32_t rest = groups((lb_str){text.data + gap + 2, text.len - gap - 2}, true, tail);
    if (head == LB_NONE || rest == LB_NONE || head + rest > 14) return false;
    memset(byte + head, 0, 16 - head - rest);
    memcpy(byte + 16 - rest, tail, rest);
    return true;
}

bool lb_haproxy_address_of(lb_str text, lb_haproxy_address *address) {
    address->n = count(text, ':') ? 16 : 4;
    if (address->n == 4) return four_bytes(text, address->byte);
    return sixteen_bytes(take_until(&text, '%'), address->byte);
}

bool lb_haproxy_endpoint_of(lb_str text, lb_haproxy_address *address, uint32_t *port) {
    lb_str host = text, rest = {NULL, 0};
    if (text.len > 0 && text.data[0] == '[') {
        rest = (lb_str){text.data + 1, text.len - 1};
        if (count(rest, ']') != 1) return false;
        host = take_until(&rest, ']');
        if (rest.len > 0 && take_until(&rest, ':').len > 0) return false;
    } else if (count(text, ':') == 1) {
        rest = text;
        host = take_until(&rest, ':');
    }
    *port = 0;
    return lb_haproxy_address_of(host, address) && (rest.len == 0 || whole_number(rest, 65535, port));
}

/* combine: one hash of a request from several of its parts, as Envoy's list of hash policies makes it.
 *
 *     parts that the request has    x-key: a      cookie sid: b      source 10.0.0.1
 *     hash of each                  X(a)          X(b)               X(10.0.0.1)
 *     so far                        X(a)          rotl(., 1) ^ X(b)  rotl(., 1) ^ X(10.0.0.1)
 *
 * The rotation keeps two equal parts from cancelling each other out.  A part that the request lacks is left out; after
 * a terminal part no other counts once there is a hash; without any hash the peer draws at random.
 * Source  Envoy, source/common/http/hash_policy.cc; checked by recorded answers of 1.40.
 */
#ifndef LBCORE_HASH_COMBINE_H
#define LBCORE_HASH_COMBINE_H

#include "base/str.h"
#include "hash/xxh64.h"

#include <stdbool.h>
#include <stdlib.h>

/* The hash so far with that of one more part; `previous` is ignored where there is none so far. */
static inline uint64_t lb_combine(uint64_t previous, bool has_previous, uint64_t next) {
    return has_previous ? lb_rotl64(previous, 1) ^ next : next;
}

/* For qsort: by bytes, a shorter one before those that it begins. */
static inline int lb_combine_order(const void *left, const void *right) {
    const lb_str *a = left, *b = right;
    size_t shorter = a->len < b->len ? a->len : b->len;
    int order = shorter ? memcmp(a->data, b->data, shorter) : 0;
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* The hash of one part that was sent n > 0 times (a repeated header): the values in order of their bytes, each hash the
 * seed of the next.  Sorts `value` in place; of one value it is the plain hash. */
static inline uint64_t lb_combine_values(lb_str *value, size_t n) {
    uint64_t h = 0;
    if (n > 1) qsort(value, n, sizeof *value, lb_combine_order);
    for (size_t i = 0; i < n; i++) h = lb_xxh64(value[i].data, value[i].len, h);
    return h;
}

#endif

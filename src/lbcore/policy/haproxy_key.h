/* haproxy_key: how HAProxy makes a 32-bit number of a request's key, and of an address.
 *
 * Source  HAProxy's configuration manual, "hash-type" and "balance source"; its recorded answers.
 * Cost    O(bytes).
 * Keeps   reads nothing but its arguments.
 */
#ifndef LBCORE_POLICY_HAPROXY_KEY_H
#define LBCORE_POLICY_HAPROXY_KEY_H

#include "policy/policy.h"

/* In the order of the words that policies offer. */
typedef enum lb_haproxy_function {
    LB_HAPROXY_SDBM,
    LB_HAPROXY_DJB2,
    LB_HAPROXY_WT6,
    LB_HAPROXY_CRC32,
    LB_HAPROXY_NONE,                /* the key is a decimal number */
} lb_haproxy_function;

/* The number of a key.  False: there is no key (it is empty), which HAProxy answers by taking turns. */
bool lb_haproxy_hash(lb_haproxy_function function, bool avalanche, const lb_key *key, uint32_t *hash);

/* The number of a client's address as text.  False: the key is no IP address, and HAProxy takes turns. */
bool lb_haproxy_source_hash(bool avalanche, const lb_key *key, uint32_t *hash);

/* is_pure of policies that write but a turn for requests without a key. */
static inline bool lb_haproxy_is_pure(const void *state) { return (void)state, true; }

/* ---- addresses ---- */

typedef struct lb_haproxy_address {
    char byte[16];                  /* in the order of the network */
    uint32_t n;                     /* 4 or 16 */
} lb_haproxy_address;

/* "10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", "fe80::1%eth0" (the zone is left out).  False: none of them. */
bool lb_haproxy_address_of(lb_str text, lb_haproxy_address *address);

/* A server's "address", "address:port", "[address]" or "[address]:port"; without a port it is 0.  False: none. */
bool lb_haproxy_endpoint_of(lb_str text, lb_haproxy_address *address, uint32_t *port);

#endif

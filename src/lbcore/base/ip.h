/* ip: IP addresses from their text.
 *
 * Source  RFC 3986 section 3.2.2 (IPv4address, IPv6address), RFC 4007 section 11 (a zone behind "%", here ignored).
 *         An IPv4 part has no leading zeros; "::" may stand for one group of zeros or more.
 * Cost    one pass.
 */
#ifndef LBCORE_BASE_IP_H
#define LBCORE_BASE_IP_H

#include "base/str.h"

/* The bytes of an address in network order into out[16]; how many there are: 4, 16, or 0 where `text` is no address
 * (brackets and ports are no part of one). */
int lb_ip_read(lb_str text, unsigned char *out);

#endif

/* md5: the MD5 message digest.
 *
 * Source  RFC 1321.
 * Used    by libmemcached's weighted ketama, whose points are the words of digests.
 * Cost    one block of 64 bytes about 100 ns; a text of up to 55 bytes is one block.
 * Keeps   no secret: MD5 is broken as a signature, and here only spreads names.
 */
#ifndef LBCORE_HASH_MD5_H
#define LBCORE_HASH_MD5_H

#include <stddef.h>

/* The digest of `n` bytes; `p` may be NULL where n is 0. */
void lb_md5(const char *p, size_t n, unsigned char out[16]);

#endif

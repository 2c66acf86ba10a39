/* lbcore: the whole C API.  bind/, tests/core and foreign C code include this header and no other.
 *
 *   upstream   a group of targets: pick, acquire, report, release        upstream/upstream.h
 *   reader     the same for many threads at once                          upstream/reader.h
 *   split      backends by weight, above upstreams                       upstream/split.h
 *   router     requests to rules                                         route/route.h
 *   share      State in memory that processes map together               share/share.h
 *
 * No clock, no I/O, no thread, no randomness of its own, no mutable global: time, seeds and memory are arguments.
 */
#ifndef LBCORE_H
#define LBCORE_H

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/str.h"
#include "hash/hash.h"
#include "hash/xxh64.h"
#include "health/checks.h"
#include "health/outlier.h"
#include "health/pause.h"
#include "policy/policy.h"
#include "policy/round_robin.h"
#include "route/route.h"
#include "share/share.h"
#include "target/state.h"
#include "target/view.h"
#include "upstream/reader.h"
#include "upstream/split.h"
#include "upstream/upstream.h"

#define LBCORE_VERSION "0.1.0"

#endif

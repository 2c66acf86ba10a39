/* status: how a core function reports failure.
 *
 * Every function that can fail returns an lb_status and takes an lb_error that may be NULL.
 * lb_fail() fills it and hands the status back, so a failure is one line at its origin:
 *
 *     return lb_fail(err, LB_ERR_CONFIG, "weight", "%u is above 1000000", weight);
 *
 * The caller that knows the place prefixes it: lb_error_in(err, "targets", 3) turns the field
 * "weight" into "targets[3].weight".
 * Keeps   a failed call changes nothing; what it would have changed is as it was.
 */
#ifndef LBCORE_BASE_STATUS_H
#define LBCORE_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LB_NONE UINT32_MAX          /* "no index" */
#define LB_NEVER UINT64_MAX         /* "no time": later than every now_ns */

typedef enum lb_status {
    LB_OK = 0,
    LB_ERR_NOMEM,                   /* an allocation failed */
    LB_ERR_CONFIG,                  /* a value outside its allowed range, or a conflict */
} lb_status;

typedef struct lb_error {
    char field[160];                /* path of the field, such as "targets[3].weight"; cut, never overrun */
    char reason[320];               /* the value, what is wrong with it and the allowed range */
} lb_error;

#if defined(__GNUC__)
#define LB_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define LB_PRINTF(text, first)
#endif

/* Fill *err (unless NULL) and return `status`. */
lb_status lb_fail(lb_error *err, lb_status status, const char *field, const char *reason, ...) LB_PRINTF(4, 5);

/* The one text for LB_ERR_NOMEM. */
lb_status lb_no_memory(lb_error *err, const char *what);

/* Prefix err->field (unless err is NULL) with "name[index]." or, where the field is empty, "name[index]". */
void lb_error_in(lb_error *err, const char *name, size_t index);

#endif

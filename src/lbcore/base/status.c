/* status: filling an lb_error.
 *
 * Cost    failures only.
 * Keeps   texts are cut to their arrays and always end in NUL.
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

lb_status lb_fail(lb_error *err, lb_status status, const char *field, const char *reason, ...) {
    if (!err) return status;
    snprintf(err->field, sizeof err->field, "%s", field);
    va_list values;
    va_start(values, reason);
    vsnprintf(err->reason, sizeof err->reason, reason, values);
    va_end(values);
    return status;
}

lb_status lb_no_memory(lb_error *err, const char *what) {
    return lb_fail(err, LB_ERR_NOMEM, what, "out of memory");
}

void lb_error_in(lb_error *err, const char *name, size_t index) {
    if (!err) return;
    char place[sizeof err->field];
    snprintf(place, sizeof place, err->field[0] ? "%s[%zu]." : "%s[%zu]", name, index);
    size_t used = strlen(place), last = sizeof err->field - 1;
    memmove(err->field + used, err->field, last - used);
    memcpy(err->field, place, used);
    err->field[last] = '\0';
}

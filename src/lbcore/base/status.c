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
    char inner[sizeof err->field];
    memcpy(inner, err->field, sizeof inner);
    int used = snprintf(err->field, sizeof err->field, "%s[%zu]", name, index);
    if (inner[0] == '\0' || used < 0 || (size_t)used >= sizeof err->field) return;
    snprintf(err->field + used, sizeof err->field - (size_t)used, ".%s", inner);
}

# Options of an upstream: from lbcore.options to the core's words.  Values have been checked there.

cdef tuple exception_types(failures):
    given = failures if isinstance(failures, (tuple, list)) else (failures,)
    for kind in given:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ConfigError("failures", f"{shown(kind)} is not an exception class")
    return tuple(given)


cdef int configure(lb_upstream_spec *spec, limits, slow_start, levels) except -1:
    """Hand over the options; lbcore.options has checked their values."""
    cdef int i
    if limits is not None:
        if not hasattr(limits, "error_hold"):
            raise ConfigError("limits", f"{shown(limits)} is not a Limits")
        spec.limits.in_flight = limits.in_flight or 0
        spec.limits.bound_permille = <uint32_t>round(1000 * limits.bound) if limits.bound else 0
        spec.limits.margin = limits.margin
        spec.limits.hold_ns = <uint64_t>(1e9 * limits.error_hold)
        spec.limits.retry_percent = limits.retry_percent
        spec.limits.retry_per_second = limits.retry_per_second
    if slow_start is not None:
        if not hasattr(slow_start, "steps"):
            raise ConfigError("slow_start", f"{shown(slow_start)} is not a SlowStart")
        spec.slow_start.window_ns = <uint64_t>(1e9 * slow_start.window)
        for i, step in enumerate(slow_start.steps):
            spec.slow_start.step[i] = step
    if levels is not None:
        if not hasattr(levels, "overprovisioning"):
            raise ConfigError("levels", f"{shown(levels)} is not a Levels")
        spec.levels.overprovisioning = levels.overprovisioning if levels.spill else 0
        spec.levels.panic = levels.panic
    return 0

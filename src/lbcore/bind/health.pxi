# What decides that a target is well: from lbcore.healthrules to the core's words, and outcomes of calls.

cdef object EVENT_KINDS = ("ejected", "recovered", "unhealthy", "healthy", "held", "released", "draining", "drained",
                           "undrained", "disabled", "enabled")
cdef object CAUSES = (None, "consecutive_5xx", "consecutive_gateway_failure", "consecutive_local_origin_failure",
                      "success_rate", "failure_percentage", "half_open")
cdef object WHEN_EMPTY = ("fail", "panic", "least_bad")


cdef uint64_t ns_of(value) except? 0:
    """Seconds that an option has checked, in the core's unit."""
    return <uint64_t>(<double>value * 1e9)


cdef int outlier_of(rule, lb_outlier *out) except -1:
    cdef lb_outlier made = lb_outlier_off
    if rule is None:
        out[0] = made
        return 0
    made.consecutive_5xx = rule.consecutive_5xx
    made.consecutive_gateway = rule.consecutive_gateway_failure
    made.consecutive_local = rule.consecutive_local_origin_failure
    made.split = rule.split_external_local_origin_errors
    made.enforce[<int>LB_CAUSE_5XX] = rule.enforcing_consecutive_5xx
    made.enforce[<int>LB_CAUSE_GATEWAY] = rule.enforcing_consecutive_gateway_failure
    made.enforce[<int>LB_CAUSE_LOCAL] = rule.enforcing_consecutive_local_origin_failure
    made.enforce[<int>LB_CAUSE_SUCCESS_RATE] = rule.enforcing_success_rate
    made.enforce[<int>LB_CAUSE_FAILURE_PERCENTAGE] = rule.enforcing_failure_percentage
    made.enforce[<int>LB_CAUSE_TRIAL] = 100
    made.interval_ns, made.base_ns = ns_of(rule.interval), ns_of(rule.base_ejection_time)
    made.max_ns, made.jitter_ns = ns_of(rule.max_ejection_time), ns_of(rule.max_ejection_time_jitter)
    made.max_percent, made.always_one = rule.max_ejection_percent, rule.always_eject_one_host
    made.rate_hosts, made.rate_volume = rule.success_rate_minimum_hosts, rule.success_rate_request_volume
    made.rate_factor_permille = rule.success_rate_stdev_factor
    made.failure_percent = rule.failure_percentage_threshold
    made.failure_hosts = rule.failure_percentage_minimum_hosts
    made.failure_volume = rule.failure_percentage_request_volume
    made.half_open, made.half_open_successes = rule.half_open, rule.half_open_successes
    out[0] = made
    return 0


cdef int checks_of(rule, lb_check_limits *out) except -1:
    """The limits of active or passive checks; None is off."""
    memset(out, 0, sizeof(lb_check_limits))
    if rule is None:
        return 0
    out.successes, out.http_failures = rule.healthy_successes, rule.unhealthy_http_failures
    out.tcp_failures, out.timeouts = rule.unhealthy_tcp_failures, rule.unhealthy_timeouts
    for status in rule.healthy_http_statuses:
        lb_status_add(&out.healthy, status)
    for status in rule.unhealthy_http_statuses:
        lb_status_add(&out.unhealthy, status)
    return 0


cdef int health_of(health, lb_health *out) except -1:
    """``out`` has the defaults already."""
    if health == "passive":
        return 0
    if health is None:
        outlier_of(None, &out.outlier)
        out.max_hold_ns = 0
        return 0
    if not hasattr(health, "max_hold"):
        raise ConfigError("health", f"{shown(health)} is not 'passive', None or a Health")
    outlier_of(health.outlier, &out.outlier)
    checks_of(health.passive, &out.passive)
    checks_of(health.active, &out.active)
    out.threshold, out.max_hold_ns = health.threshold, ns_of(health.max_hold)
    return 0


cdef lb_when_empty when_empty_of(word) except *:
    if word not in WHEN_EMPTY:
        raise ConfigError("when_empty", f"{shown(word)} is not one of {', '.join(WHEN_EMPTY)}")
    return <lb_when_empty><int>WHEN_EMPTY.index(word)


cdef int outcome_of(ok, status, error, failures, lb_outcome *out) except -1:
    """How a call ended.

    ``ok`` goes first.  A TimeoutError, another OSError and what ``failures`` names speak against the target; any other
    exception, cancellation included, says nothing of it.  Without an error, the status speaks; with nothing at all it
    went well.
    """
    memset(out, 0, sizeof(lb_outcome))
    if status is not None:
        if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
            raise ValueError(f"status: {shown(status)} is not a whole number in 100..599")
        out.status = status
    if error is not None:
        if isinstance(error, TimeoutError):
            out.fault = LB_FAULT_TIMEOUT
        elif isinstance(error, OSError) or (failures and isinstance(error, failures)):
            out.fault = LB_FAULT_CONNECT
        elif ok is None:
            out.status = 0
            return 0
    if ok is not None:
        out.verdict = LB_SUCCESS if ok else LB_FAILURE
    elif error is None and status is None:
        out.verdict = LB_SUCCESS
    return 0


cdef uint64_t pause_of(retry_after) except? 0:
    """The seconds, or the text of a Retry-After header: a number, or a date.  Text that is neither asks for nothing."""
    cdef double seconds
    if isinstance(retry_after, (bytes, bytearray)):
        retry_after = bytes(retry_after).decode("latin-1")
    if isinstance(retry_after, str):
        seconds = seconds_of_header(retry_after.strip())
    elif isinstance(retry_after, bool) or not isinstance(retry_after, (int, float)) or retry_after != retry_after:
        raise ValueError(f"retry_after: {shown(retry_after)} is not a number of seconds, a header's text or None")
    else:
        seconds = min(max(retry_after, 0.0), 1e9)
    return <uint64_t>(seconds * 1e9)


cdef double seconds_of_header(str text) except? -1:
    if text.isascii() and text.isdigit():
        return float(text) if len(text) < 10 else 1e9
    from email.utils import parsedate_to_datetime
    try:
        then = parsedate_to_datetime(text)
        return min(max(then.timestamp() - time.time(), 0.0), 1e9)
    except (ValueError, TypeError, OverflowError, IndexError, OSError):
        return 0.0

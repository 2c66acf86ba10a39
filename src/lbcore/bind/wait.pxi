# Waiting: what lbcore.aio needs to stand in line for an upstream.  It picks, counts and decides nothing by itself.

def wanted(source, key, within, session):
    """What a call of an Upstream, Split or Match waits for: (upstream, key, backend).

    A split draws once, here: asking it again at every try would move shares.  Raises NoKey, NoTarget, ConfigError.
    """
    cdef Upstream up
    if isinstance(source, Upstream):
        up, backend = source, None
        if session is not None and up.affinity is None:
            raise ConfigError("session", f"upstream {up.name!r} has no affinity=")
        if within is not None and not (isinstance(within, Subset) and (<Subset>within).up is up):
            raise ConfigError("within", f"{shown(within)} is not a subset of {up.name!r}")
    elif within is not None:
        raise ConfigError("within", "a subset is one upstream's: acquire from that")
    elif isinstance(source, Match):
        return wanted_by(source, key, session)
    elif isinstance(source, Split):
        up, key, backend = drawn(source, key, session)
    else:
        raise TypeError(f"an Upstream, Split or Match, not {type(source).__name__}")
    if key is None and up.keyed and (session is None or up.home_of(session, up.now()) is None):
        raise NoKey(up.name, up.policy.name)
    return up, key, backend


cdef tuple wanted_by(Match m, key, session):
    if key is not None or m.route.key is None:
        return wanted(m.route.split, key, None, session)
    key = m.key
    try:
        return wanted(m.route.split, key, None, session)
    except NoKey as error:
        if key is not None:
            raise
        raise MissingKey(error.upstream, error.policy, m.route.key.sources) from None


cdef tuple drawn(Split split, key, session):
    cdef Backend backend = None if session is None else split.home_of(session)
    if backend is None:
        backend = split.draw(key)
    return backend.upstream, backend.key(split, key), backend


def begun_or_none(Upstream up not None, key, within, exclude, session, backend):
    """As acquire, at the exact time; None if nobody can be had."""
    cdef Want want
    cdef Call call
    if up.affinity is not None:
        try:
            call = up.resumed(key, within, exclude, session, False)
        except NoTarget:
            return None
    else:
        want = up.wanted(key, within, exclude)
        call = Call.__new__(Call)
        if not lb_upstream_begin(up.ptr, &want.c, up.now(), &call.c):
            return None
        up.opened(call)
    call.backend = backend
    return call


def due_in(Upstream up not None):
    """Seconds until something of the upstream changes by itself; None: nothing will."""
    cdef uint64_t due = lb_upstream_due(up.ptr), now
    if due == LB_NEVER:
        return None
    now = up.now()
    return seconds(due - now) if due > now else 0.0


def nobody_of(Upstream up not None):
    """The NoTarget of this moment."""
    return up.nobody()


def line_of(Upstream up not None, make):
    """The upstream's line of those who wait; made by ``make(up)`` when it is first asked for."""
    if up.line is None:
        made = make(up)
        if up.line is None:                 # another thread may have been quicker
            up.line = made
    return up.line


def is_leaving(Target t not None):
    """True if it is draining, disabled or removed, whatever its health."""
    cdef lb_record *record = t.record()
    return record == NULL or lb_record_off(record) & (LB_OFF_DISABLED | LB_OFF_DRAINING) != 0


def look_around(Upstream up not None):
    """Look at the other workers' calls now."""
    up.settled()


def is_shared(Upstream up not None):
    """True if other workers' calls and changes count, too."""
    return up.segment is not None

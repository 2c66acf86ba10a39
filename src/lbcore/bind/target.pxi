# Target: a specification, or the live member of an upstream.

@cython.final
cdef class Target:
    """One address that can serve.  See ``_core.pyi``."""

    cdef readonly str address, id
    cdef readonly str hash_key
    cdef readonly uint32_t weight, priority
    cdef readonly object labels, data
    cdef Upstream up                    # None: a specification, or its upstream is gone
    cdef uint32_t slot, generation
    cdef readonly Py_ssize_t index

    def __cinit__(self, address, *, id=None, weight=1, priority=0, labels=None, data=None, hash_key=None, scheme=None,
                  path=""):
        self.index = -1
        self.address = checked_text("address", address)
        self.id = self.address if id is None else checked_text("id", id)
        self.weight = <uint32_t>whole("weight", weight, LB_MAX_WEIGHT)
        self.priority = <uint32_t>whole("priority", priority, LB_MAX_PRIORITIES - 1)
        if scheme is not None or path != "":
            not_yet("scheme or path of a target")
        self.hash_key = None if hash_key is None else checked_text("hash_key", hash_key)
        self.labels = frozen_labels(labels)
        self.data = data

    @property
    def upstream(self):
        return self.up

    @property
    def scheme(self):
        return None

    @property
    def path(self):
        return ""

    @property
    def host(self):
        return host_and_port(self.address)[0]

    @property
    def port(self):
        return host_and_port(self.address)[1]

    @property
    def state(self):
        cdef lb_record *record = self.record()
        if not record:
            return "healthy" if self.up is None else "removed"
        return state_of(record)

    @property
    def until(self):
        cdef lb_record *record = self.record()
        return until_of(record) if record else None

    @property
    def in_flight(self):
        cdef lb_state *state
        if self.up is None:
            return 0
        state = lb_upstream_state(self.up.ptr)
        if lb_generation_of(state, self.slot) != self.generation:
            return 0
        return lb_counter_read(lb_in_flight(state, self.slot)) - lb_seat_of(state, self.slot).n_held

    def drain(self, deadline=None):
        """No new calls but those of its sessions, for ``deadline`` seconds from now (None: without end)."""
        cdef lb_error err
        cdef uint64_t now, until
        self.must_be_live("drain")
        now = self.up.now()
        until = drain_end(deadline, now)
        check(lb_upstream_drain(self.up.ptr, <uint32_t>self.index, until, now, &err), &err)

    def undrain(self):
        """Take new calls again."""
        cdef lb_error err
        self.must_be_live("undrain")
        check(lb_upstream_undrain(self.up.ptr, <uint32_t>self.index, self.up.now(), &err), &err)
        self.up.wake()

    def disable(self):
        """Out of service, its sessions too, until ``enable``."""
        self.serve(False)

    def enable(self):
        """Back in service, as far as its health allows."""
        self.serve(True)

    cdef int serve(self, bint on) except -1:
        cdef lb_error err
        self.must_be_live("enable" if on else "disable")
        check(lb_upstream_disable(self.up.ptr, <uint32_t>self.index, not on, self.up.now(), &err), &err)
        return self.up.wake()

    cdef int must_be_live(self, what) except -1:
        if self.up is None or self.index < 0:
            raise LbcoreError(f"{what}: {self.address} is not a target of an upstream")
        return 0

    cdef lb_record *record(self):
        """Its record while it is a member, else NULL."""
        if self.up is None or self.index < 0:
            return NULL
        return lb_record_of(lb_upstream_state(self.up.ptr), self.slot)

    cdef Target live(self, Upstream up):
        """A live copy for ``up``; its place comes with ``settle``."""
        cdef Target copy = Target.__new__(Target, self.address, id=self.id, weight=self.weight,
                                          priority=self.priority, hash_key=self.hash_key)
        copy.up = up
        copy.labels, copy.data = self.labels, self.data
        return copy

    cdef void become(self, Target spec):
        """Take over what an update says of this identity."""
        self.address, self.weight, self.labels, self.data = spec.address, spec.weight, spec.labels, spec.data
        self.hash_key, self.priority = spec.hash_key, spec.priority

    def __reduce__(self):
        return (remade_target, (self.address, self.id, self.weight, dict(self.labels), self.data, self.hash_key,
                                self.priority))

    def __repr__(self):
        named = "" if self.id == self.address else f", id={self.id!r}"
        return f"Target({self.address!r}{named}, weight={self.weight})"


cdef str state_of(lb_record *record):
    """One word for why a target is usable or not."""
    cdef uint32_t off = lb_record_off(record)
    if off & LB_OFF_DISABLED:
        return "disabled"
    if off & LB_OFF_UNHEALTHY:
        return "unhealthy"
    if off & LB_OFF_EJECTED:
        return "ejected"
    if off & LB_OFF_HELD:
        return "held"
    return "draining" if off & LB_OFF_DRAINING else "healthy"


cdef object until_of(lb_record *record):
    """When that ends by itself; None: it does not."""
    cdef uint64_t end = lb_word_read(&record.ejected_until_ns) or lb_word_read(&record.held_until_ns)
    end = end or lb_word_read(&record.drain_until_ns)
    return None if end == 0 or end == LB_NEVER else seconds(end)


cdef uint64_t drain_end(deadline, uint64_t now) except? 0:
    if deadline is None:
        return LB_NEVER
    if isinstance(deadline, bool) or not isinstance(deadline, (int, float)) or not 0 <= deadline <= 1e9:
        raise ConfigError("deadline", f"{shown(deadline)} is not a time in 0..1e9 seconds")
    return now + <uint64_t>(<double>deadline * 1e9)


def remade_target(address, id, weight, labels, data, hash_key=None, priority=0):
    """A specification from a pickle."""
    return Target(address, id=id, weight=weight, labels=labels, data=data, hash_key=hash_key, priority=priority)


cdef object NO_LABELS = MappingProxyType({})


cdef object frozen_labels(labels):
    if not labels:
        return NO_LABELS
    try:
        copy = dict(labels)
    except (TypeError, ValueError):
        raise ConfigError("labels", f"{shown(labels)} is not a mapping of strings") from None
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in copy.items()):
        raise ConfigError("labels", f"{shown(copy)} is not a mapping of strings to strings")
    return MappingProxyType(copy)


cdef tuple host_and_port(str address):
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host.removeprefix("[").removesuffix("]")
    elif ":" in host:
        colon = ""
    if not colon or not host or not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError(f"target {address!r} has no host and port")
    return host, int(port)


@cython.final
cdef class Event:
    """Something that happened to a target."""

    cdef readonly str kind, upstream
    cdef readonly Target target
    cdef readonly object at, until
    cdef readonly uint32_t failures
    cdef readonly object cause, status

    def __init__(self):
        raise TypeError("events come from Upstream.events()")

    def __repr__(self):
        who = self.target.address if self.target is not None else "a removed target"
        return f"Event({self.kind}, {self.upstream}: {who})"

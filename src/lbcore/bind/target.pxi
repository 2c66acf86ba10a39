# Target: a specification, or the live member of an upstream.

@cython.final
cdef class Target:
    """One address that can serve.  See ``_core.pyi``."""

    cdef readonly str address, id
    cdef readonly str hash_key
    cdef readonly uint32_t weight
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
        if whole("priority", priority, 2**32 - 1):
            not_yet("priority")
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
        if record:
            if record.off & LB_OFF_UNHEALTHY:
                return "unhealthy"
            return "ejected" if record.off & LB_OFF_EJECTED else "healthy"
        return "healthy" if self.up is None else "removed"

    @property
    def until(self):
        cdef lb_record *record = self.record()
        if record and record.off & LB_OFF_EJECTED:
            return seconds(record.ejected_until_ns)
        return None

    @property
    def in_flight(self):
        cdef lb_record *record
        if self.up is None:
            return 0
        record = lb_record_of(lb_upstream_state(self.up.ptr), self.slot)
        if record.generation != self.generation:
            return 0
        return lb_counter_read(lb_in_flight(lb_upstream_state(self.up.ptr), self.slot))

    def drain(self, deadline=None):
        """Not available yet."""
        not_yet("drain")

    def undrain(self):
        """Not available yet."""
        not_yet("undrain")

    cdef lb_record *record(self):
        """Its record while it is a member, else NULL."""
        if self.up is None or self.index < 0:
            return NULL
        return lb_record_of(lb_upstream_state(self.up.ptr), self.slot)

    cdef Target live(self, Upstream up):
        """A live copy for ``up``; its place comes with ``settle``."""
        cdef Target copy = Target.__new__(Target, self.address, id=self.id, weight=self.weight,
                                          hash_key=self.hash_key)
        copy.up = up
        copy.labels, copy.data = self.labels, self.data
        return copy

    cdef void become(self, Target spec):
        """Take over what an update says of this identity."""
        self.address, self.weight, self.labels, self.data = spec.address, spec.weight, spec.labels, spec.data
        self.hash_key = spec.hash_key

    def __reduce__(self):
        return (remade_target, (self.address, self.id, self.weight, dict(self.labels), self.data, self.hash_key))

    def __repr__(self):
        named = "" if self.id == self.address else f", id={self.id!r}"
        return f"Target({self.address!r}{named}, weight={self.weight})"


def remade_target(address, id, weight, labels, data, hash_key=None):
    """A specification from a pickle."""
    return Target(address, id=id, weight=weight, labels=labels, data=data, hash_key=hash_key)


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

    def __init__(self):
        raise TypeError("events come from Upstream.events()")

    def __repr__(self):
        who = self.target.address if self.target is not None else "a removed target"
        return f"Event({self.kind}, {self.upstream}: {who})"

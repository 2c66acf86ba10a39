# How a target is asked for: keys, exclusions, subsets; and calls that follow one another.

@cython.final
@cython.freelist(16)
cdef class Want:
    """One question to the core, with what its pointers point into."""

    cdef lb_want c
    cdef lb_key key
    cdef object held                    # what the key's bytes belong to, a subset
    cdef uint32_t slot[8]               # exclusions, while they are few
    cdef uint32_t *slots                # else

    def __dealloc__(self):
        lb_free(self.slots)


cdef Want want_of(Upstream up, key, within, exclude):
    cdef Want want = Want.__new__(Want)
    if key is not None:
        digits = key_of(key, &want.key)
        want.held = key if digits is None else digits
        want.c.key = &want.key
    if within is not None:
        if not isinstance(within, Subset) or (<Subset>within).up is not up:
            raise ConfigError("within", f"{shown(within)} is not a subset of {up.name!r}")
        want.held = (want.held, within)
        want.c.within = (<Subset>within).ptr
    if exclude is not None:
        pass_over(want, up, exclude)
    return want


cdef int pass_over(Want want, Upstream up, exclude) except -1:
    """The slots of the targets in ``exclude``; who is none of ours cannot be picked anyway."""
    cdef Target t
    cdef uint32_t *slots = want.slot
    items = [exclude] if isinstance(exclude, (Target, str)) else list(exclude)
    if len(items) > 8:
        slots = want.slots = <uint32_t *>lb_alloc_array(len(items), sizeof(uint32_t))
        if not slots:
            raise MemoryError()
    for item in items:
        t = up.by_id.get(item.id if isinstance(item, Target) else item)
        if t is not None:
            slots[want.c.n_exclude] = t.slot
            want.c.n_exclude += 1
    want.c.exclude = slots
    return 0


cdef object plain_key(key):
    """A key as a receipt shows it."""
    return key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else key


@cython.final
cdef class Subset:
    """The targets of an upstream that have certain labels.  See ``_core.pyi``."""

    cdef lb_subset *ptr
    cdef readonly Upstream up
    cdef readonly object labels

    def __init__(self):
        raise TypeError("subsets come from Upstream.subset()")

    def __dealloc__(self):
        lb_subset_free(self.ptr)

    @property
    def targets(self):
        """Its targets at this moment, in the order of the upstream's."""
        cdef Target t
        return tuple([t for t in self.up.targets if all(t.labels.get(k) == v for k, v in self.labels.items())])

    def __len__(self):
        return len(self.targets)

    def __repr__(self):
        wanted = "".join(f", {name}={value!r}" for name, value in self.labels.items())
        return f"Subset({self.up.name!r}{wanted})"


cdef Subset subset_of(Upstream up, dict labels):
    cdef Subset self = Subset.__new__(Subset)
    cdef lb_error err
    cdef uint32_t number[64]
    if len(labels) > 64:
        raise ConfigError("labels", f"{len(labels)} labels; a subset asks for at most 64")
    self.up, self.labels = up, frozen_labels(labels)
    for i, n in enumerate(sorted([up.number(pair) for pair in self.labels.items()])):
        number[<int>i] = n
    check(lb_upstream_subset(up.ptr, number, <uint32_t>len(self.labels), up.now(), &self.ptr, &err), &err)
    return self


@cython.final
cdef class Attempts:
    """Calls on different targets, one after the other.  See ``Upstream.attempts``."""

    cdef Upstream up
    cdef readonly object backend
    cdef object key, within, session
    cdef list tried                     # those that had their turn
    cdef uint64_t left
    cdef bint begun, repeat

    def __init__(self):
        raise TypeError("attempts come from attempts()")

    def __iter__(self):
        return self

    def __next__(self):
        cdef Call call
        if self.left == 0 or not self.allowed():
            raise StopIteration
        try:
            call = self.another()
        except (NoTarget, NoKey):       # no key: a session did without
            if not self.begun:
                raise
            raise StopIteration from None
        call.backend = self.backend
        self.begun = True
        self.left -= 1
        self.tried.append(call.target)
        return call

    cdef Call another(self):
        try:
            return self.begin()
        except NoTarget:
            if not self.repeat or not self.tried:
                raise
        self.tried = []                 # a new round
        return self.begin()

    cdef Call begin(self):
        tried = self.tried or None
        if self.up.affinity is None:
            return self.up.begin(self.key, self.within, tried)
        return self.up.resumed(self.key, self.within, tried, self.session, False)

    cdef bint allowed(self) except -1:
        """The first try is free and pays for others."""
        cdef uint64_t now = self.up.now()
        if self.begun:
            return lb_upstream_may_retry(self.up.ptr, now)
        lb_upstream_first_try(self.up.ptr, now)
        return True


cdef Attempts attempts_of(Upstream up, key, uint64_t n, within, backend):
    cdef Attempts self = Attempts.__new__(Attempts)
    if n == 0:
        raise ConfigError("n", "0 is not a whole number in 1..2147483648")
    self.up, self.key, self.within, self.backend = up, key, within, backend
    self.tried = []
    self.left = n
    return self


def combined_hash(previous, values):
    """Envoy's combination of hashes: ``previous`` (None: none) with that of one source's ``values``, sorted."""
    cdef lb_key key
    cdef uint64_t hash = 0
    for value in sorted(value.encode() if isinstance(value, str) else value for value in values):
        key_of(value, &key)
        hash = lb_xxh64(key.text.data, key.text.len, hash)
    if previous is None:
        return hash
    return lb_rotl64(<uint64_t>previous, 1) ^ hash

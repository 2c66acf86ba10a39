# Split: the first of the two levels; draws a backend, then asks its upstream.

@cython.final
cdef class Backend:
    """One destination of a split: an upstream and its weight.  See ``_core.pyi``."""

    cdef readonly Upstream upstream
    cdef readonly uint32_t weight
    cdef readonly tuple filters

    def __cinit__(self, upstream, weight=1, filters=()):
        if upstream is not None and not isinstance(upstream, Upstream):
            raise ConfigError("upstream", f"{shown(upstream)} is not an Upstream")
        self.upstream = upstream
        self.weight = <uint32_t>whole("weight", weight, LB_MAX_WEIGHT)
        self.filters = filters_of(filters)

    cdef object key(self, Split split, key):
        """What the upstream is handed: one without a use for keys is not to warn where others of the split have."""
        return key if self.upstream.keyed or not split.uses_keys else None

    def __repr__(self):
        return f"Backend({self.upstream!r}, weight={self.weight})"


@cython.final
@cython.no_gc_clear                     # its end needs the segment; nothing it holds leads back to it alone
cdef class Split:
    """Backends drawn by weight, exactly, before a target is picked inside the one drawn.  See ``_core.pyi``."""

    cdef lb_split *ptr
    cdef readonly tuple backends
    cdef readonly str by
    cdef bint uses_keys                 # to draw, or inside one of the backends
    cdef bint filtered                  # one of the backends has filters
    cdef Segment segment                # where its turns are shared with other workers; None: they are its own
    cdef bint orphan
    cdef PyObject *before               # the list of all splits, for forks
    cdef PyObject *behind

    def __cinit__(self, backends, by=None, *, previous=None, name=None):
        cdef lb_error err
        cdef lb_split_spec spec
        cdef uint32_t *weights = NULL
        cdef lb_str *names = NULL
        cdef Split old = previous
        cdef Backend b
        cdef size_t i, n
        if by not in (None, "key"):
            raise ConfigError("by", f"{shown(by)} is not 'key' or None")
        self.by = by
        self.backends = tuple(backend_of(item, i) for i, item in enumerate(backends))
        self.uses_keys = by is not None
        for b in self.backends:
            self.uses_keys |= b.upstream is not None and b.upstream.keyed
            self.filtered |= len(b.filters) > 0
        n = len(self.backends)
        weights = <uint32_t *>lb_alloc_array(2 * n, sizeof(uint32_t))
        names = <lb_str *>lb_alloc_array(n, sizeof(lb_str))
        try:
            if not weights or not names:
                raise MemoryError()
            held = backend_names(self.backends)
            places = places_before(old.backends, self.backends) if old is not None else ()
            for i in range(n):
                weights[i] = (<Backend>self.backends[i]).weight
                weights[n + i] = LB_NONE if old is None or places[i] is None else places[i]
                names[i] = utf8_of(held[i])
            memset(&spec, 0, sizeof(spec))
            spec.weight, spec.n = weights, <uint32_t>n
            if by is not None:
                spec.name = names
            if name is not None and by is None:
                spec.common = utf8_of(checked_text("name", name))
                self.segment = common_segment(self.backends)
                if self.segment is not None:
                    spec.backing = self.segment.backing()
            check(lb_split_new(&self.ptr, &spec, old.ptr if old is not None else NULL, weights + n, &err), &err)
        finally:
            lb_free(weights)
            lb_free(names)
        enlist_split(self)

    def __dealloc__(self):
        strike_off_split(self)
        if self.segment is None:
            lb_split_free(self.ptr)
        elif not ENDED:
            lb_split_free(self.ptr)
            let_go(self.segment)

    def pick(self, key=None):
        """The next target; nothing is counted.  Raises NoTarget, NoKey."""
        cdef Backend backend = self.draw(key)
        return backend.upstream.pick(backend.key(self, key))

    def acquire(self, key=None, *, session=None, trace=False):
        """Draw a backend, pick a target inside it, count one call in flight.  Raises NoTarget, NoKey."""
        cdef Backend backend = None if session is None else self.home_of(session)
        cdef Call call
        if backend is None:
            backend = self.draw(key)
        if session is None and not trace and backend.upstream.affinity is None:
            call = backend.upstream.begin(backend.key(self, key), None, None)
        else:
            call = backend.upstream.resumed(backend.key(self, key), None, None, session, trace)
        call.backend = backend
        return call

    def attempts(self, key=None, *, n=3, session=None, bint repeat=False):
        """Draw a backend; calls on different targets inside it, one after the other."""
        cdef Backend backend = None if session is None else self.home_of(session)
        cdef Attempts found
        if backend is None:
            backend = self.draw(key)
        found = attempts_of(backend.upstream, backend.key(self, key), whole("n", n, 2**31), None, backend)
        found.session, found.repeat = session, repeat
        return found

    cdef Backend home_of(self, session):
        """The backend that a session began on, while it serves it; None: any."""
        cdef Backend b
        for b in self.backends:
            if b.weight and b.upstream is not None and b.upstream.home_of(session, b.upstream.now()) is not None:
                return b
        return None

    cdef Backend draw(self, key):
        cdef lb_key k
        cdef uint32_t i
        cdef Backend backend
        if self.orphan:
            self.come_home()
        digits = None if key is None else key_of(key, &k)
        if key is None and self.by is not None:
            raise NoKey("split", "by='key'")
        i = lb_split_pick(self.ptr, NULL if key is None else &k)
        if i == LB_NONE:
            raise NoTarget("no backend has a weight", status=500)
        backend = <Backend>self.backends[i]
        if backend.upstream is None:
            raise NoTarget(f"backends[{i}]", status=500)
        return backend

    cdef int come_home(self) except -1:
        """The first use in the child of a fork: its upstreams first, they bring the row."""
        cdef Backend b
        for b in self.backends:
            if b.upstream is not None:
                b.upstream.now()
        lb_split_rejoin(self.ptr)
        self.orphan = False
        return 0

    def __repr__(self):
        return f"Split({list(self.backends)!r})"


cdef tuple filters_of(filters):
    """Each knows how to make programs: this module need not know their room."""
    found = tuple(filters)
    for i, item in enumerate(found):
        if not hasattr(item, "programs"):
            raise ConfigError(f"filters[{i}]", f"{shown(item)} is not a filter")
    return found


cdef Segment common_segment(tuple backends):
    """The one segment of all upstreams of a split, with one user more; None where they share none, or not the same."""
    cdef Backend b
    cdef Segment found = None
    for b in backends:
        if b.upstream is None:
            continue
        if b.upstream.segment is None or found not in (None, b.upstream.segment):
            return None
        found = b.upstream.segment
    if found is not None:
        found.n_users += 1
    return found


cdef list backend_names(tuple backends):
    """What stands for each backend in a split by key: its upstream's name, numbered where it comes again."""
    cdef Backend b
    seen, found = {}, []
    for b in backends:
        name = b.upstream.name if b.upstream is not None else ""
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return found


cdef Backend backend_of(item, Py_ssize_t place):
    if isinstance(item, Backend):
        return item
    if isinstance(item, Upstream):
        return Backend(item)
    raise ConfigError(f"backends[{place}]", f"{shown(item)} is not a Backend or Upstream")


cdef list places_before(tuple old, tuple new):
    """For each new backend the place of its like in ``old``, matched by upstream name in order; None for a newcomer."""
    cdef Backend b
    waiting = {}
    for i, b in enumerate(old):
        waiting.setdefault(b.upstream.name if b.upstream is not None else None, []).append(i)
    found = []
    for b in new:
        places = waiting.get(b.upstream.name if b.upstream is not None else None)
        found.append(places.pop(0) if places else None)
    return found

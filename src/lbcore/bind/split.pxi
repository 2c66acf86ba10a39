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
        if filters:
            not_yet("filters= of a backend")
        self.upstream = upstream
        self.weight = <uint32_t>whole("weight", weight, LB_MAX_WEIGHT)
        self.filters = ()

    def __repr__(self):
        return f"Backend({self.upstream!r}, weight={self.weight})"


@cython.final
cdef class Split:
    """Backends drawn by weight, exactly, before a target is picked inside the one drawn.  See ``_core.pyi``."""

    cdef lb_split *ptr
    cdef readonly tuple backends

    def __cinit__(self, backends, by=None, *, previous=None):
        cdef lb_error err
        cdef uint32_t *weights
        cdef Split old = previous
        cdef size_t i, n
        if by is not None:
            not_yet("by= of a split")
        self.backends = tuple(backend_of(item, i) for i, item in enumerate(backends))
        n = len(self.backends)
        weights = <uint32_t *>lb_alloc_array(2 * n, sizeof(uint32_t))
        if not weights:
            raise MemoryError()
        try:
            places = places_before(old.backends, self.backends) if old is not None else ()
            for i in range(n):
                weights[i] = (<Backend>self.backends[i]).weight
                weights[n + i] = LB_NONE if old is None or places[i] is None else places[i]
            check(lb_split_new(&self.ptr, weights, <uint32_t>n, 0, old.ptr if old is not None else NULL, weights + n,
                               &err), &err)
        finally:
            lb_free(weights)

    def __dealloc__(self):
        lb_split_free(self.ptr)

    def pick(self, key=None):
        """The next target; nothing is counted.  Raises NoTarget."""
        return self.draw().upstream.pick(key)

    def acquire(self, key=None):
        """Draw a backend, pick a target inside it, count one call in flight.  Raises NoTarget."""
        cdef Backend backend = self.draw()
        cdef Call call = backend.upstream.begin(key, None, None)
        call.backend = backend
        return call

    def attempts(self, key=None, *, n=3):
        """Not available yet."""
        not_yet("attempts")

    cdef Backend draw(self):
        cdef uint32_t i = lb_split_pick(self.ptr)
        cdef Backend backend
        if i == LB_NONE:
            raise NoTarget("no backend has a weight", status=500)
        backend = <Backend>self.backends[i]
        if backend.upstream is None:
            raise NoTarget(f"backends[{i}]", status=500)
        return backend

    def __repr__(self):
        return f"Split({list(self.backends)!r})"


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

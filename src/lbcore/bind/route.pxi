# Route: conditions and destinations, as data.

@cython.final
cdef class Route:
    """One entry of a routing table.  See ``_core.pyi``."""

    cdef readonly str name, path, path_type
    cdef readonly tuple hosts, methods, headers, query
    cdef readonly Split split
    cdef readonly object data, key
    cdef readonly object programs       # of its filters and its backends'; None: there are none
    cdef readonly object timeouts, retry
    cdef bint asks                      # a match keeps more of the request: for the key, or for filters

    def __cinit__(self, name, *, hosts=(), path="/", path_type="prefix", methods=(), headers=(), query=(), backends=(),
                  filters=(), timeouts=None, retry=None, data=None, key=None):
        self.name = checked_text("name", name)
        self.path = checked_text("path", path)
        self.path_type = checked_path_type(path_type)
        self.hosts = texts("hosts", hosts)
        self.methods = texts("methods", methods)
        self.headers = pairs("headers", headers)
        self.query = pairs("query", query)
        self.split = backends if isinstance(backends, Split) else Split(backends)
        self.data = data
        if key is not None and not hasattr(key, "of"):
            raise ConfigError("key", f"{shown(key)} is not a KeySource")
        self.key = key
        self.programs = programs_of(filters, self.split, self.path_type)
        self.asks = key is not None or self.programs is not None
        if timeouts is not None and not hasattr(timeouts, "left"):
            raise ConfigError("timeouts", f"{shown(timeouts)} is not a Timeouts")
        if retry is not None and not hasattr(retry, "again"):
            raise ConfigError("retry", f"{shown(retry)} is not a Retry")
        self.timeouts, self.retry = timeouts, retry

    @property
    def backends(self):
        return self.split.backends

    @property
    def filters(self):
        return () if self.programs is None else self.programs.rule.filters

    def __repr__(self):
        where = ",".join(self.hosts) or "*"
        return f"Route({self.name!r}, {where}{self.path} ({self.path_type}))"


cdef object programs_of(filters, Split split, str path_type):
    """What a route's filters and its backends' come to; None: there are none."""
    cdef Backend b
    if hasattr(filters, "of"):          # made before, for all the routes of a rule
        if filters.backends != split.backends:
            raise ConfigError("filters", "programs made for other backends than those of the route")
        return filters
    own = filters_of(filters)
    if own:
        return own[0].programs(own, split.backends, path_types=(path_type,))
    if split.filtered:
        for b in split.backends:
            if b.filters:
                return b.filters[0].programs((), split.backends, path_types=(path_type,))
    return None


cdef str checked_path_type(path_type):
    if path_type in ("regex", "template"):
        not_yet(f"path_type={path_type!r}")
    if path_type not in ("exact", "prefix"):
        raise ConfigError("path_type", f"{shown(path_type)} is not 'exact' or 'prefix'")
    return path_type


cdef tuple texts(field, values):
    if isinstance(values, (str, bytes)):
        raise ConfigError(field, f"{shown(values)} is a string, not a list of strings")
    return tuple([value if is_text(value) else checked_text(f"{field}[{i}]", value) for i, value in enumerate(values)])


cdef tuple pairs(field, values):
    """(name, value) pairs of text; the value may be empty."""
    found = []
    for i, pair in enumerate(values.items() if hasattr(values, "items") else values):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigError(f"{field}[{i}]", f"{shown(pair)} is not a (name, value) pair")
        name, value = pair
        found.append((name if is_text(name) else checked_text(f"{field}[{i}].name", name),
                      value if value == "" or is_text(value) else checked_text(f"{field}[{i}].value", value)))
    return tuple(found)

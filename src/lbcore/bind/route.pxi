# Route: conditions and destinations, as data.

@cython.final
cdef class Route:
    """One entry of a routing table.  See ``_core.pyi``."""

    cdef readonly str name, path, path_type
    cdef readonly tuple hosts, methods, headers, query
    cdef readonly Split split
    cdef readonly object data, key

    def __cinit__(self, name, *, hosts=(), path="/", path_type="prefix", methods=(), headers=(), query=(), backends=(),
                  filters=(), timeouts=None, retry=None, data=None, key=None):
        self.name = checked_text("name", name)
        if filters or timeouts is not None or retry is not None:
            not_yet("filters=, timeouts= or retry= of a route")
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

    @property
    def backends(self):
        return self.split.backends

    @property
    def filters(self):
        return ()

    @property
    def timeouts(self):
        return None

    @property
    def retry(self):
        return None

    def __repr__(self):
        where = ",".join(self.hosts) or "*"
        return f"Route({self.name!r}, {where}{self.path} ({self.path_type}))"


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

# Route: conditions and destinations, as data.

cdef tuple PATH_TYPES = ("prefix", "exact", "template", "plain", "regex")


@cython.final
cdef class Route:
    """One entry of a routing table.  See ``_core.pyi``."""

    cdef readonly str name, path, path_type
    cdef readonly tuple hosts, methods, headers, query
    cdef readonly tuple snis, schemes, ports, sources, destinations
    cdef readonly Split split
    cdef readonly object data, key
    cdef readonly uint32_t priority
    cdef readonly bint stream
    cdef Regex regex                    # of the path; None: it is none
    cdef readonly object programs       # of its filters and its backends'; None: there are none
    cdef readonly object timeouts, retry
    cdef bint asks                      # a match keeps more of the request: for the key, or for filters

    def __cinit__(self, name, *, hosts=(), path="/", path_type="prefix", methods=(), headers=(), query=(), snis=(),
                  schemes=(), ports=(), sources=(), destinations=(), priority=0, stream=False, backends=(),
                  filters=(), timeouts=None, retry=None, data=None, key=None):
        self.name = checked_text("name", name)
        self.path_type = checked_path_type(path_type)
        self.path = checked_path(path, self.path_type)
        if self.path_type == "regex":
            self.regex = regex_of_route(self.name, path)
            self.path = self.regex.pattern
        self.hosts = texts("hosts", hosts)
        self.methods = texts("methods", methods)
        self.headers = conditions_of("headers", headers)
        self.query = conditions_of("query", query)
        self.snis, self.schemes = texts("snis", snis), texts("schemes", schemes)
        self.ports = ports_of(ports)
        self.sources, self.destinations = peers_of("sources", sources), peers_of("destinations", destinations)
        self.priority = <uint32_t>whole("priority", priority, 2**32 - 1)
        self.stream = stream
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
        if self.stream:
            return f"Route({self.name!r}, stream)"
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
    if not isinstance(path_type, str) or path_type not in PATH_TYPES:
        raise ConfigError("path_type", f"{shown(path_type)} is not one of {', '.join(PATH_TYPES)}")
    return path_type


cdef str checked_path(path, str path_type):
    """The text of a path; the empty one, no condition, is for Kong's flavours.  Of a regex it is checked later."""
    if path_type == "regex":
        return ""
    if path_type == "plain" and path == "":
        return ""
    return path if is_text(path) else checked_text("path", path)


cdef Regex regex_of_route(str name, path):
    try:
        return regex_of("path", path)
    except ConfigError as error:
        raise ConfigError("path", f"{error.problems[0].reason} (route {name!r})") from None


cdef bint is_nothing(values) noexcept:
    """The default of a list: nothing to go through."""
    return PyTuple_CheckExact(values) and len(<tuple>values) == 0


cdef tuple texts(field, values):
    if is_nothing(values):
        return ()
    if isinstance(values, (str, bytes)):
        raise ConfigError(field, f"{shown(values)} is a string, not a list of strings")
    return tuple([value if is_text(value) else checked_text(f"{field}[{i}]", value) for i, value in enumerate(values)])


cdef tuple ports_of(ports):
    if is_nothing(ports):
        return ()
    found = []
    for i, port in enumerate([ports] if isinstance(ports, int) else ports):
        found.append(whole(f"ports[{i}]", port, 65535))
    return tuple(found)


cdef tuple peers_of(field, values):
    """(block or None, port or None) of each: a block, or a pair of both."""
    if is_nothing(values):
        return ()
    if isinstance(values, (str, bytes)):
        raise ConfigError(field, f"{shown(values)} is a string, not a list of addresses")
    found = []
    for i, value in enumerate(values):
        block, port = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, None)
        if block is None and port is None:
            raise ConfigError(f"{field}[{i}]", "neither an address nor a port")
        found.append((None if block is None else checked_text(f"{field}[{i}].block", block),
                      None if port is None else whole(f"{field}[{i}].port", port, 65535)))
    return tuple(found)


# ---- what is asked of headers and query parameters --------------------------------------------------------------

cdef tuple conditions_of(field, values):
    """(name, test) pairs; a test is text, a tuple of texts, True, False or a Regex."""
    if is_nothing(values):
        return ()
    found = []
    for i, pair in enumerate(values.items() if hasattr(values, "items") else values):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigError(f"{field}[{i}]", f"{shown(pair)} is not a (name, value) pair")
        name, value = pair
        found.append((name if is_text(name) else checked_text(f"{field}[{i}].name", name),
                      value if is_text(value) else test_of(f"{field}[{i}]", value)))
    return tuple(found)


cdef object test_of(place, value):
    if isinstance(value, bool):
        return value
    if isinstance(value, (tuple, list)):
        return tuple([value_of(f"{place}.values[{i}]", one) for i, one in enumerate(value)])
    if isinstance(value, Regex) or is_python_pattern(value):
        return regex_of(f"{place}.value", value)
    if not isinstance(value, str):
        raise ConfigError(f"{place}.value", f"{shown(value)} is not a str, a list of them, True (there), False "
                                            "(not there) or a Regex")
    return value_of(f"{place}.value", value)


cdef object value_of(field, value):
    """Text, maybe empty."""
    return value if value == "" and isinstance(value, str) else checked_text(field, value)


# ---- what a path stands for -------------------------------------------------------------------------------------

cdef dict params_of(Route route, str path, bint whole):
    """What the names of a template or of a regex's groups stand for; {} for other paths."""
    if route.path_type == "template":
        return captures_of(route.path, path)
    if route.regex is None or not route.regex.compiled.groupindex:
        return {}
    found = route.regex.compiled.fullmatch(path) if whole else route.regex.compiled.match(path)
    return {} if found is None else {name: text for name, text in found.groupdict().items() if text is not None}


cdef dict captures_of(str template, str path):
    cdef lb_capture *captures = <lb_capture *>lb_alloc_array(LB_N_SEGMENTS_MAX, sizeof(lb_capture))
    cdef uint32_t i, n
    if not captures:
        raise MemoryError()
    try:
        n = lb_template_captures(utf8_of(template), utf8_of(path), captures, LB_N_SEGMENTS_MAX)
        return {ascii_of(captures[i].name): ascii_of(captures[i].text) for i in range(n)}
    finally:
        lb_free(captures)

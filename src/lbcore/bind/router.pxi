# Router: owner of one lb_router and of the routes that its answers index.

cdef enum:
    STACK = 2048                        # a request's scratch up to this size needs no allocation


cdef struct route_pool:                 # what the specs of a build point into; the cursors move while it is filled
    lb_route_spec *specs
    lb_str *texts
    lb_condition *conditions
    lb_route_spec *spec
    lb_str *text
    lb_condition *condition


@cython.final
cdef class Entries:
    """Routes of a table that are not made before somebody meets them.  See ``_core.pyi``."""

    cdef list conditions, hosts
    cdef object make

    def __cinit__(self, list conditions not None, list hosts not None, make):
        if len(conditions) != len(hosts):
            raise ConfigError("hosts", f"{len(hosts)} of them for {len(conditions)} conditions")
        self.conditions, self.hosts, self.make = conditions, hosts, make


@cython.final
cdef class Router:
    """An immutable routing table.  See ``_core.pyi``."""

    cdef lb_router *ptr
    cdef list made                      # the routes by index; None: nobody has met it yet
    cdef object make                    # index -> Route, for these; None: there are none
    cdef tuple all                      # the routes, once somebody asked for all
    cdef readonly str flavor

    def __cinit__(self, routes, flavor="gateway_api", *, seed=None, yielder=None):
        cdef Yielder pauses = Yielder() if yielder is None else yielder
        cdef Entries entries = None
        cdef uint64_t start = new_seed() if seed is None else whole("seed", seed, 2**64 - 1)
        if flavor != "gateway_api":
            if flavor in ("ingress", "kong_traditional", "kong_compatible"):
                not_yet(f"flavor={flavor!r}")
            raise ConfigError("flavor", f"{shown(flavor)} is not 'gateway_api'")
        self.flavor = flavor
        if isinstance(routes, Entries):
            entries = routes
            self.make = entries.make
            self.made = [None] * len(entries.conditions)
            if self.make is not None:
                PyObject_GC_UnTrack(self.made)      # so that no collection walks it; what it gets has no way back
            self.build(entries.conditions, entries.hosts, start, pauses)
        else:
            self.all = tuple(routes)
            self.made = list(self.all)
            for i, route in enumerate(self.made):
                if not isinstance(route, Route):
                    raise ConfigError(f"routes[{i}]", f"{shown(route)} is not a Route")
                pauses.step()
            self.build(self.made, None, start, pauses)

    cdef int build(self, list conditions, list hosts, uint64_t seed, Yielder yielder) except -1:
        """Compile: of Routes, or with ``hosts`` of anything that has their conditions."""
        cdef route_pool pool
        cdef lb_error err
        cdef lb_status status
        cdef uint32_t n = <uint32_t>len(conditions)
        memset(&pool, 0, sizeof(route_pool))
        try:
            pool_new(&pool, conditions, hosts, yielder)
            yielder.let_go()
            with nogil:
                status = lb_router_new(&self.ptr, pool.specs, n, LB_FLAVOR_GATEWAY_API, seed, &err)
            yielder.take_up()
            check(status, &err)
        finally:
            with nogil:
                pool_free(&pool)
        return 0

    def __dealloc__(self):
        with nogil:                     # giving back the memory of a large table takes longer than others should wait
            lb_router_free(self.ptr)

    @property
    def routes(self):
        cdef Py_ssize_t i
        if self.all is None:
            self.all = tuple([self.route(i) for i in range(len(self.made))])
        return self.all

    cdef Route route(self, Py_ssize_t i):
        """Route ``i``; made now if nobody has met it.  It stays the one that it is."""
        cdef Route found = self.made[i]
        if found is None:
            found = self.make(i)
            if self.made[i] is None:    # making it may have let another thread in
                self.made[i] = found
            found = self.made[i]
        return found

    def match(self, method, host, target, headers=(), *, port=None, scheme=None, sni=None, source=None, context=None):
        """The route of a request, None if there is none.  Raises BadRequest."""
        if sni is not None or context is not None:
            not_yet("sni= or context= of Router.match")
        if scheme is not None or port is not None:
            return told(self.found(method, host, target, headers, source), scheme, port)
        return self.found(method, host, target, headers, source)

    def match_or_raise(self, method, host, target, headers=(), *, port=None, scheme=None, sni=None, source=None,
                       context=None):
        """As match; raises NoRoute where that gives None."""
        match = self.match(method, host, target, headers, port=port, scheme=scheme, sni=sni, source=source,
                           context=context)
        if match is None:
            raise NoRoute(f"no route for {as_text(method)} {shown(as_text(target))} on {shown(as_text(host))}")
        return match

    def match_scope(self, scope):
        """The route of an ASGI http or websocket scope.  Raises BadRequest."""
        target = scope.get("raw_path")
        if target is None:
            raise BadRequest("the scope has no raw_path, and its decoded path has no safe reading")
        if scope.get("query_string"):
            target = target + b"?" + scope["query_string"]
        headers = scope.get("headers", ())
        if not isinstance(headers, (list, tuple)):
            headers = list(headers)
        host = None
        for name, value in headers:
            if name == b"host":
                host = value
                break
        client, server = scope.get("client"), scope.get("server")
        return told(self.found(scope.get("method", "GET"), host, target, headers, client[0] if client else None),
                    scope.get("scheme"), server[1] if server else None)

    def match_stream(self, protocol, port, *, sni=None, source=None, destination=None):
        """Not available yet: a Router has no listeners.  Engine.match_stream answers by port."""
        not_yet("Router.match_stream")

    cdef Match found(self, method, host, target, headers, source):
        cdef Match match
        cdef char stack[STACK]
        cdef char *scratch = stack
        cdef lb_header *array = NULL
        cdef lb_request request
        cdef lb_answer answer
        cdef lb_match_outcome outcome
        memset(&request, 0, sizeof(request))
        bytes_of(method, &request.method)
        bytes_of(target, &request.target)
        if host is None:
            request.host.data, request.host.len = NULL, 0
        else:
            bytes_of(host, &request.host)
        if lb_scratch_size(&request) > STACK:
            scratch = <char *>lb_alloc(lb_scratch_size(&request))
            if not scratch:
                raise MemoryError()
        try:
            if not (PyTuple_CheckExact(headers) and len(<tuple>headers) == 0):
                headers = header_pairs(headers)
                array = header_array(headers)
                request.headers, request.n_headers = array, <uint32_t>len(headers)
            outcome = lb_router_match(self.ptr, &request, scratch, &answer)
            if outcome == LB_REFUSED:
                raise BadRequest(answer.reason.decode())
            if outcome == LB_NO_ROUTE:
                return None
            match = match_of(self.route(answer.route), method, host, target, &request, &answer)
            if match.route.asks:
                match.facts = facts_of(headers, source)
            return match
        finally:
            lb_free(array)
            if scratch != stack:
                lb_free(scratch)

    def __len__(self):
        return len(self.made)

    def __repr__(self):
        return f"Router({len(self.made)} routes, {self.flavor})"


cdef Match told(Match match, scheme, port):
    """``match`` (None: there is none) that knows these, if its route asks."""
    if match is not None and match.facts is not None:
        match.facts.scheme, match.facts.port = scheme, port
    return match


cdef Match match_of(Route route, method, host, target, lb_request *request, lb_answer *answer):
    cdef Match self = Match.__new__(Match, route)
    cdef const char *raw = request.target.data
    self.method, self.host, self.raw = method, host, target
    if raw <= answer.path.data and answer.path.data + answer.path.len <= raw + request.target.len:
        self.canonical = None           # nothing was rewritten: cut it from the request when asked
        self.start = answer.path.data - raw
        self.end = self.start + <Py_ssize_t>answer.path.len
    else:
        self.canonical = ascii_of(answer.path)
    self.query = ascii_of(answer.query) if answer.query.data else None
    if request.target.len and raw[0] != c"/" and answer.host.len:
        self.host = ascii_of(answer.host)
    return self


cdef lb_header *header_array(headers) except NULL:
    """Views of (name, value) pairs, valid as long as ``headers`` lives.  The caller frees the array."""
    cdef lb_header *array = <lb_header *>lb_alloc_array(len(headers), sizeof(lb_header))
    cdef Py_ssize_t i = 0
    if not array:
        raise MemoryError()
    try:
        for name, value in headers:
            bytes_of(name, &array[i].name)
            bytes_of(value, &array[i].value)
            i += 1
    except BaseException:
        lb_free(array)
        raise
    return array


cdef int pool_new(route_pool *pool, list conditions, list hosts, Yielder yielder) except -1:
    """Views of all text, in three arrays; a pause now and then."""
    cdef size_t n_texts = 0, n_conditions = 0
    cdef Py_ssize_t i, n = len(conditions)
    for i in range(n):
        measure(conditions[i], None if hosts is None else hosts[i], &n_texts, &n_conditions)
        yielder.step()
    pool.specs = pool.spec = <lb_route_spec *>lb_alloc_array(n, sizeof(lb_route_spec))
    pool.texts = pool.text = <lb_str *>lb_alloc_array(n_texts, sizeof(lb_str))
    pool.conditions = pool.condition = <lb_condition *>lb_alloc_array(n_conditions, sizeof(lb_condition))
    if not pool.specs or not pool.texts or not pool.conditions:
        raise MemoryError()
    memset(pool.specs, 0, n * sizeof(lb_route_spec))
    memset(pool.conditions, 0, n_conditions * sizeof(lb_condition))
    for i in range(n):
        try:
            fill(pool, conditions[i], None if hosts is None else hosts[i])
        except ConfigError as error:
            problem = error.problems[0]
            raise ConfigError(f"routes[{i}].{problem.field}", problem.reason) from None
        yielder.step()
    return 0


cdef int measure(item, hosts, size_t *n_texts, size_t *n_conditions) except -1:
    cdef Route route
    if hosts is None:
        route = <Route>item             # checked by the caller, as what a Route holds was by itself
        n_texts[0] += len(route.hosts) + len(route.methods)
        n_conditions[0] += len(route.headers) + len(route.query)
    else:
        n_texts[0] += len(<tuple?>hosts) + len(<tuple?>item.methods)
        n_conditions[0] += len(<tuple?>item.headers) + len(<tuple?>item.query)
    return 0


cdef int fill(route_pool *pool, item, hosts) except -1:
    cdef Route route
    if hosts is None:
        route = <Route>item
        return fill_spec(pool, route.path, route.path_type, route.hosts, route.methods, route.headers, route.query)
    return fill_spec(pool, same("path", checked_text("path", item.path), item.path),
                     checked_path_type(item.path_type), same("hosts", texts("hosts", hosts), hosts),
                     same("methods", texts("methods", item.methods), item.methods),
                     same("headers", pairs("headers", item.headers), item.headers),
                     same("query", pairs("query", item.query), item.query))


cdef object same(field, checked, given):
    """What was given, if a Route would have taken it as it is: its text is read where it stands."""
    if checked != given or type(checked) is not type(given):
        raise ConfigError(field, f"{shown(given)} is not {shown(checked)}")
    return given


cdef int fill_spec(route_pool *pool, str path, str path_type, tuple hosts, tuple methods, tuple headers,
                   tuple query) except -1:
    cdef lb_route_spec *spec = pool.spec
    spec.path = utf8_of(path)
    spec.path_type = LB_PATH_EXACT if path_type == "exact" else LB_PATH_PREFIX
    spec.hosts, spec.n_hosts = pool.text, <uint32_t>len(hosts)
    fill_texts(pool, hosts)
    spec.methods, spec.n_methods = pool.text, <uint32_t>len(methods)
    fill_texts(pool, methods)
    spec.conditions = pool.condition
    spec.n_conditions = <uint32_t>(len(headers) + len(query))
    fill_conditions(pool, headers, LB_CONDITION_HEADER)
    fill_conditions(pool, query, LB_CONDITION_QUERY)
    pool.spec += 1
    return 0


cdef int fill_texts(route_pool *pool, tuple texts) except -1:
    for text in texts:
        pool.text[0] = utf8_of(text)
        pool.text += 1
    return 0


cdef int fill_conditions(route_pool *pool, tuple pairs, int kind) except -1:
    for name, value in pairs:
        pool.condition.kind = kind
        pool.condition.name = utf8_of(name)
        pool.condition.value = utf8_of(value)
        pool.condition += 1
    return 0


cdef void pool_free(route_pool *pool) noexcept nogil:
    lb_free(pool.specs)
    lb_free(pool.texts)
    lb_free(pool.conditions)

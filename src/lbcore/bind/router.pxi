# Router: owner of one lb_router and of the routes that its answers index.

cdef enum:
    STACK = 2048                        # a request's scratch up to this size needs no allocation


cdef struct route_pool:                 # what the specs of a build point into
    lb_route_spec *specs
    lb_str *texts
    lb_condition *conditions


@cython.final
cdef class Router:
    """An immutable routing table.  See ``_core.pyi``."""

    cdef lb_router *ptr
    cdef readonly tuple routes
    cdef readonly str flavor

    def __cinit__(self, routes, flavor="gateway_api", *, seed=None):
        cdef route_pool pool
        cdef lb_error err
        cdef lb_status status
        cdef uint64_t start = new_seed() if seed is None else whole("seed", seed, 2**64 - 1)
        cdef uint32_t n
        if flavor != "gateway_api":
            if flavor in ("ingress", "kong_traditional", "kong_compatible"):
                not_yet(f"flavor={flavor!r}")
            raise ConfigError("flavor", f"{shown(flavor)} is not 'gateway_api'")
        self.flavor = flavor
        self.routes = tuple(routes)
        for i, route in enumerate(self.routes):
            if not isinstance(route, Route):
                raise ConfigError(f"routes[{i}]", f"{shown(route)} is not a Route")
        n = <uint32_t>len(self.routes)
        pool_new(&pool, self.routes)
        try:
            with nogil:
                status = lb_router_new(&self.ptr, pool.specs, n, LB_FLAVOR_GATEWAY_API, start, &err)
            check(status, &err)
        finally:
            pool_free(&pool)

    def __dealloc__(self):
        lb_router_free(self.ptr)

    def match(self, method, host, target, headers=(), *, port=None, scheme=None, sni=None, source=None, context=None):
        """The route of a request, None if there is none.  Raises BadRequest."""
        if port is not None or scheme is not None or sni is not None or context is not None:
            not_yet("port=, scheme=, sni= or context= of Router.match")
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
        client = scope.get("client")
        return self.found(scope.get("method", "GET"), host, target, headers, client[0] if client else None)

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
            match = match_of(<Route>self.routes[answer.route], method, host, target, &request, &answer)
            if match.route.key is not None:
                match.headers, match.source = headers, source
            return match
        finally:
            lb_free(array)
            if scratch != stack:
                lb_free(scratch)

    def __len__(self):
        return len(self.routes)

    def __repr__(self):
        return f"Router({len(self.routes)} routes, {self.flavor})"


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


cdef int pool_new(route_pool *pool, tuple routes) except -1:
    """Views of all routes' text, in three arrays."""
    cdef Route route
    cdef size_t n_texts = 0, n_conditions = 0
    for route in routes:
        n_texts += len(route.hosts) + len(route.methods)
        n_conditions += len(route.headers) + len(route.query)
    pool.specs = <lb_route_spec *>lb_alloc_array(len(routes), sizeof(lb_route_spec))
    pool.texts = <lb_str *>lb_alloc_array(n_texts, sizeof(lb_str))
    pool.conditions = <lb_condition *>lb_alloc_array(n_conditions, sizeof(lb_condition))
    if not pool.specs or not pool.texts or not pool.conditions:
        pool_free(pool)
        raise MemoryError()
    memset(pool.specs, 0, len(routes) * sizeof(lb_route_spec))
    memset(pool.conditions, 0, n_conditions * sizeof(lb_condition))
    pool_fill(pool, routes)
    return 0


cdef int pool_fill(route_pool *pool, tuple routes) except -1:
    cdef lb_str *text = pool.texts
    cdef lb_condition *condition = pool.conditions
    cdef lb_route_spec *spec = pool.specs
    cdef Route route
    for route in routes:
        spec.path = utf8_of(route.path)
        spec.path_type = LB_PATH_EXACT if route.path_type == "exact" else LB_PATH_PREFIX
        spec.hosts, spec.n_hosts = text, <uint32_t>len(route.hosts)
        text = fill_texts(text, route.hosts)
        spec.methods, spec.n_methods = text, <uint32_t>len(route.methods)
        text = fill_texts(text, route.methods)
        spec.conditions = condition
        spec.n_conditions = <uint32_t>(len(route.headers) + len(route.query))
        condition = fill_conditions(condition, route.headers, LB_CONDITION_HEADER)
        condition = fill_conditions(condition, route.query, LB_CONDITION_QUERY)
        spec += 1
    return 0


cdef lb_str *fill_texts(lb_str *into, tuple texts) except NULL:
    for text in texts:
        into[0] = utf8_of(text)
        into += 1
    return into


cdef lb_condition *fill_conditions(lb_condition *into, tuple pairs, int kind) except NULL:
    for name, value in pairs:
        into.kind = kind
        into.name = utf8_of(name)
        into.value = utf8_of(value)
        into += 1
    return into


cdef void pool_free(route_pool *pool) noexcept:
    lb_free(pool.specs)
    lb_free(pool.texts)
    lb_free(pool.conditions)

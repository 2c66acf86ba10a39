# The routes of a build as the core reads them: specs, and arrays that these point into.

cdef struct route_counts:
    size_t texts, conditions, peers, ports


cdef struct route_pool:                 # the arrays; the cursors move while they are filled
    lb_route_spec *specs
    lb_str *texts
    lb_condition *conditions
    lb_peers *peers
    uint16_t *ports
    lb_route_spec *spec
    lb_str *text
    lb_condition *condition
    lb_peers *peer
    uint16_t *port


cdef int pool_new(route_pool *pool, name, list conditions, list hosts, Patterns patterns, Yielder yielder) except -1:
    """Views of all text, a pause now and then.  ``name``: what errors call the list; no ``hosts``: of Routes."""
    cdef route_counts n
    cdef Py_ssize_t i
    memset(&n, 0, sizeof(route_counts))
    for i in range(len(conditions)):
        measure(conditions[i], None if hosts is None else hosts[i], &n)
        yielder.step()
    pool_alloc(pool, len(conditions), &n)
    for i in range(len(conditions)):
        try:
            fill(pool, conditions[i], None if hosts is None else hosts[i], patterns)
        except ConfigError as error:
            problem = error.problems[0]
            raise ConfigError(f"{name}[{i}].{problem.field}", problem.reason) from None
        yielder.step()
    return 0


cdef int pool_alloc(route_pool *pool, size_t n, const route_counts *counts) except -1:
    pool.specs = pool.spec = <lb_route_spec *>lb_alloc_array(n, sizeof(lb_route_spec))
    pool.texts = pool.text = <lb_str *>lb_alloc_array(counts.texts, sizeof(lb_str))
    pool.conditions = pool.condition = <lb_condition *>lb_alloc_array(counts.conditions, sizeof(lb_condition))
    pool.peers = pool.peer = <lb_peers *>lb_alloc_array(counts.peers, sizeof(lb_peers))
    pool.ports = pool.port = <uint16_t *>lb_alloc_array(counts.ports, sizeof(uint16_t))
    if not (pool.specs and pool.texts and pool.conditions and pool.peers and pool.ports):
        raise MemoryError()
    memset(pool.specs, 0, n * sizeof(lb_route_spec))
    memset(pool.conditions, 0, counts.conditions * sizeof(lb_condition))
    return 0


cdef void pool_free(route_pool *pool) noexcept nogil:
    lb_free(pool.specs)
    lb_free(pool.texts)
    lb_free(pool.conditions)
    lb_free(pool.peers)
    lb_free(pool.ports)


cdef int measure(item, hosts, route_counts *n) except -1:
    cdef Route route
    if hosts is None:
        route = <Route>item             # checked by the caller, as what a Route holds was by itself
        n.texts += len(route.hosts) + len(route.methods) + len(route.snis) + len(route.schemes)
        n.peers += len(route.sources) + len(route.destinations)
        n.ports += len(route.ports)
        measure_conditions(route.headers, n)
        measure_conditions(route.query, n)
    else:
        n.texts += len(<tuple?>hosts) + len(<tuple?>item.methods)
        measure_conditions(<tuple?>item.headers, n)
        measure_conditions(<tuple?>item.query, n)
    return 0


cdef int measure_conditions(tuple conditions, route_counts *n) except -1:
    if len(conditions) == 0:
        return 0
    n.conditions += len(conditions)
    for _, test in conditions:
        if type(test) is tuple:
            n.texts += len(<tuple>test)
    return 0


cdef int fill(route_pool *pool, item, hosts, Patterns patterns) except -1:
    cdef Route route
    cdef Regex regex = None
    if hosts is None:
        route = <Route>item
        fill_spec(pool, route.path, route.path_type, route.hosts, route.methods)
        if not patterns.whole and not route.stream and route.path_type == "prefix":
            fill_kong_prefix(pool.spec)
        fill_tests(pool, route.regex, route.headers, route.query, patterns)
        if route.stream or len(route.snis) + len(route.schemes) + len(route.ports) + len(route.sources) \
                + len(route.destinations) > 0:
            fill_connection(pool, route)
        pool.spec.priority = route.priority
    else:
        path_type = checked_path_type(item.path_type)
        if path_type == "regex":
            regex = regex_of("path", item.path)
        fill_spec(pool, same("path", checked_text("path", item.path), item.path), path_type,
                  same("hosts", texts("hosts", hosts), hosts),
                  same("methods", texts("methods", item.methods), item.methods))
        if not patterns.whole and path_type == "prefix":
            fill_kong_prefix(pool.spec)
        fill_tests(pool, regex, same("headers", conditions_of("headers", item.headers), item.headers),
                   same("query", conditions_of("query", item.query), item.query), patterns)
    pool.spec += 1
    return 0


cdef object same(field, checked, given):
    """What was given, if a Route would have taken it as it is: its text is read where it stands."""
    if checked != given or type(checked) is not type(given):
        raise ConfigError(field, f"{shown(given)} is not {shown(checked)}")
    return given


cdef int fill_spec(route_pool *pool, str path, str path_type, tuple hosts, tuple methods) except -1:
    cdef lb_route_spec *spec = pool.spec
    spec.path = utf8_of(path)
    spec.path_type = path_type_of(path_type)
    spec.hosts, spec.n_hosts = pool.text, <uint32_t>len(hosts)
    fill_texts(pool, hosts)
    spec.methods, spec.n_methods = pool.text, <uint32_t>len(methods)
    fill_texts(pool, methods)
    return 0


cdef int fill_kong_prefix(lb_route_spec *spec) except -1:
    """In Kong's orders a shorter prefix may win over a longer one: the core's walk along elements does not see it."""
    if spec.path.len != 1:
        raise ConfigError("path_type", "'prefix' is not of Kong's flavours; 'plain', 'exact', 'template' or 'regex'")
    spec.path_type = LB_PATH_PLAIN      # "/", the default: what every path begins with
    return 0


cdef lb_path_type path_type_of(str path_type) except *:
    if path_type == "prefix":
        return LB_PATH_PREFIX
    if path_type == "exact":
        return LB_PATH_EXACT
    if path_type == "template":
        return LB_PATH_TEMPLATE
    return LB_PATH_PLAIN if path_type == "plain" else LB_PATH_REGEX


cdef int fill_tests(route_pool *pool, Regex regex, tuple headers, tuple query, Patterns patterns) except -1:
    cdef lb_route_spec *spec = pool.spec
    if regex is not None:
        spec.pattern = patterns.number(regex, True)
    spec.conditions = pool.condition
    spec.n_conditions = <uint32_t>(len(headers) + len(query))
    if spec.n_conditions > 0:
        fill_conditions(pool, headers, LB_CONDITION_HEADER, patterns)
        fill_conditions(pool, query, LB_CONDITION_QUERY, patterns)
    return 0


cdef int fill_conditions(route_pool *pool, tuple conditions, int kind, Patterns patterns) except -1:
    for name, test in conditions:
        pool.condition.kind = kind
        pool.condition.name = utf8_of(name)
        fill_test(pool, pool.condition, test, patterns)
        pool.condition += 1
    return 0


cdef int fill_test(route_pool *pool, lb_condition *condition, test, Patterns patterns) except -1:
    if isinstance(test, str):
        condition.test, condition.value = LB_TEST_EXACT, utf8_of(test)
    elif isinstance(test, tuple):
        condition.test = LB_TEST_ANY_OF
        condition.values, condition.n_values = pool.text, <uint32_t>len(<tuple>test)
        fill_texts(pool, test)
    elif isinstance(test, Regex):
        condition.test, condition.value = LB_TEST_REGEX, utf8_of((<Regex>test).pattern)
        condition.pattern = patterns.number(test, False)
    else:
        condition.test = LB_TEST_PRESENT if test else LB_TEST_ABSENT
    return 0


cdef int fill_texts(route_pool *pool, tuple texts) except -1:
    for text in texts:
        pool.text[0] = utf8_of(text)
        pool.text += 1
    return 0


cdef int fill_connection(route_pool *pool, Route route) except -1:
    cdef lb_route_spec *spec = pool.spec
    spec.stream = route.stream
    if route.stream and route.path == "/":
        spec.path.len = 0               # the default; another is refused
    spec.snis, spec.n_snis = pool.text, <uint32_t>len(route.snis)
    fill_texts(pool, route.snis)
    spec.schemes, spec.n_schemes = pool.text, <uint32_t>len(route.schemes)
    fill_texts(pool, route.schemes)
    spec.ports, spec.n_ports = pool.port, <uint32_t>len(route.ports)
    for port in route.ports:
        pool.port[0] = port
        pool.port += 1
    spec.sources, spec.n_sources = pool.peer, <uint32_t>len(route.sources)
    fill_peers(pool, route.sources)
    spec.destinations, spec.n_destinations = pool.peer, <uint32_t>len(route.destinations)
    fill_peers(pool, route.destinations)
    return 0


cdef int fill_peers(route_pool *pool, tuple peers) except -1:
    for block, port in peers:
        pool.peer.block.data, pool.peer.block.len = NULL, 0
        if block is not None:
            pool.peer.block = utf8_of(block)
        pool.peer.port = 0 if port is None else port
        pool.peer += 1
    return 0

# Router: owner of one lb_router and of the routes that its answers number.
#
#     Router --made--> [route, None, route, ...]     by number; None: nobody has met it yet
#            --order-> [0, 2, 5, ...]                 number by place among equals; none: a number is its place
#
# The versions that `changed` makes share `made`, which grows; each has the numbers below its n_ids.

cdef enum:
    STACK = 2048                        # a request's scratch up to this size needs no allocation
    SLICE = 256                         # routes that are copied at once

cdef extern from "Python.h":
    PyObject *item_at "PyList_GET_ITEM"(PyObject *items, Py_ssize_t i)

cdef dict FLAVORS = {"gateway_api": LB_FLAVOR_GATEWAY_API, "ingress": LB_FLAVOR_INGRESS,
                     "kong_traditional": LB_FLAVOR_KONG_TRADITIONAL, "kong_compatible": LB_FLAVOR_KONG_COMPATIBLE}
cdef object BLANK = object()                        # instead of routes: they come later
cdef dict HTTP_SCHEMES = {"ws": "http", "wss": "https"}        # what a WebSocket's handshake comes by
cdef str SAFE = "/!$&'()*+,;=:@~"                # what stays as it is where a path is encoded (RFC 3986 3.3)


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
    cdef list made
    cdef object make                    # place -> Route, for those not made; None: there are none
    cdef uint32_t *order
    cdef Py_ssize_t n
    cdef tuple all                      # the routes, once somebody asked for all
    cdef Patterns patterns              # None: no route has a regex
    cdef lb_flavor kind
    cdef bint whole
    cdef readonly str flavor

    def __cinit__(self, routes, flavor="gateway_api", *, seed=None, yielder=None):
        cdef Yielder pauses = Yielder() if yielder is None else yielder
        cdef Entries entries = None
        cdef uint64_t start = new_seed() if seed is None else whole("seed", seed, 2**64 - 1)
        if not isinstance(flavor, str) or flavor not in FLAVORS:
            raise ConfigError("flavor", f"{shown(flavor)} is not one of {', '.join(FLAVORS)}")
        self.flavor, self.kind = flavor, FLAVORS[flavor]
        self.whole = lb_flavor_whole_path(self.kind)
        if routes is BLANK:
            return
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
        cdef Patterns patterns = Patterns(self.whole)
        self.n = n
        memset(&pool, 0, sizeof(route_pool))
        try:
            pool_new(&pool, "routes", conditions, hosts, patterns, yielder)
            patterns.settle(yielder)
            yielder.let_go()
            with nogil:
                status = lb_router_new(&self.ptr, pool.specs, n, self.kind, seed, &err)
            yielder.take_up()
            check(status, &err)
        finally:
            with nogil:
                pool_free(&pool)
        if patterns.numbers:
            self.patterns = patterns
        return 0

    def __dealloc__(self):
        with nogil:                     # giving back the memory of a large table takes longer than others should wait
            lb_router_free(self.ptr)
            lb_free(self.order)

    cdef bint has_its_own_list(self) noexcept:
        """False if another version of the table shares it."""
        return n_references(<PyObject *>self.made) == 1

    # ---- routes ------------------------------------------------------------------------------------------------

    @property
    def routes(self):
        cdef Py_ssize_t i
        if self.all is None:
            self.all = tuple([self.route(self.number(i)) for i in range(self.n)])
        return self.all

    cdef uint32_t number(self, Py_ssize_t place) noexcept:
        return self.order[place] if self.order else <uint32_t>place

    cdef Py_ssize_t place(self, uint32_t number) noexcept:
        cdef Py_ssize_t i = 0
        if not self.order:
            return number
        while self.order[i] != number:
            i += 1
        return i

    cdef Route route(self, uint32_t number):
        """The route of a number; made now if nobody has met it.  It stays the one that it is."""
        cdef Route found = self.made[number]
        if found is None:
            found = self.make(self.place(number))
            if self.made[number] is None:           # making it may have let another thread in
                self.made[number] = found
            found = self.made[number]
        return found

    # ---- match -------------------------------------------------------------------------------------------------

    def match(self, method, host, target, headers=(), *, port=None, scheme=None, sni=None, source=None,
              destination=None, context=None):
        """The route of a request, None if there is none.  Raises BadRequest."""
        cdef lb_request request
        known = connection_of(&request, port, scheme, sni, source, destination)
        match = self.found(&request, method, host, target, headers, known, context)
        return match if scheme is None and port is None else told(match, scheme, port)

    def match_or_raise(self, method, host, target, headers=(), *, port=None, scheme=None, sni=None, source=None,
                       destination=None, context=None):
        """As match; raises NoRoute where that gives None."""
        match = self.match(method, host, target, headers, port=port, scheme=scheme, sni=sni, source=source,
                           destination=destination, context=context)
        if match is None:
            raise NoRoute(f"no route for {as_text(method)} {shown(as_text(target))} on {shown(as_text(host))}")
        return match

    def match_scope(self, scope, *, allow_decoded_path=False, sni=None, context=None):
        """The route of an ASGI http or websocket scope.  Raises BadRequest."""
        cdef lb_request request
        target = scope.get("raw_path")
        if target is None:
            if not allow_decoded_path:
                raise BadRequest("the scope has no raw_path, and its decoded path has no safe reading")
            target = encoded(scope["path"])
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
        scheme, server = scope.get("scheme"), socket_of(scope.get("server"))
        known = connection_of(&request, server[1] if server else None, HTTP_SCHEMES.get(scheme, scheme), sni,
                              socket_of(scope.get("client")), server if server and server[1] is not None else None)
        match = self.found(&request, scope.get("method", "GET"), host, target, headers, known, context)
        return told(match, scheme, server[1] if server else None)

    def match_stream(self, protocol, port, *, sni=None, source=None, destination=None, context=None):
        """The route of a connection, of those that are for streams; None if there is none."""
        cdef lb_request request
        cdef lb_answer answer
        cdef Match match
        known = connection_of(&request, port, protocol, sni, source, destination)
        if lb_router_match_stream(self.ptr, &request, &answer) != LB_FOUND:
            return None
        match = Match.__new__(Match, self.route(answer.route), known)
        match.context = context
        return match

    cdef Match found(self, lb_request *request, method, host, target, headers, source, context):
        cdef Match match
        cdef char stack[STACK]
        cdef char *scratch = stack
        cdef lb_header *array = NULL
        cdef lb_answer answer
        cdef lb_match_outcome outcome
        bytes_of(method, &request.method)
        bytes_of(target, &request.target)
        if host is None:
            request.host.data, request.host.len = NULL, 0
        else:
            bytes_of(host, &request.host)
        request.headers, request.n_headers = NULL, 0
        if lb_scratch_size(request) > STACK:
            scratch = <char *>lb_alloc(lb_scratch_size(request))
            if not scratch:
                raise MemoryError()
        try:
            if not (PyTuple_CheckExact(headers) and len(<tuple>headers) == 0):
                headers = header_pairs(headers)
                array = header_array(headers)
                request.headers, request.n_headers = array, <uint32_t>len(headers)
            if self.patterns is None:
                outcome = lb_router_match(self.ptr, request, scratch, &answer)
            else:
                outcome = self.asked(request, scratch, &answer)
            if outcome == LB_REFUSED:
                raise BadRequest(answer.reason.decode())
            if outcome == LB_NO_ROUTE:
                return None
            match = match_of(self.route(answer.route), method, host, target, request, &answer)
            match.whole = self.whole
            if context is not None:
                match.context = context
            if match.route.asks or source is not None:
                match.facts = facts_of(headers, source)
            return match
        finally:
            lb_free(array)
            if scratch != stack:
                lb_free(scratch)

    cdef lb_match_outcome asked(self, const lb_request *request, char *scratch, lb_answer *answer) except *:
        """As lb_router_match, with patterns evaluated where they can decide."""
        cdef lb_matching matching
        cdef lb_match_outcome outcome = lb_router_begin(self.ptr, request, scratch, &matching, answer)
        while outcome == LB_NEED_REGEX:
            outcome = lb_router_resume(&matching, self.patterns.verdicts(&matching), answer)
        return outcome

    # ---- why ---------------------------------------------------------------------------------------------------

    def explain(self, method, host, target, headers=(), *, port=None, scheme=None, sni=None, source=None,
                destination=None):
        """What was considered for a request, in order, and what each failed on.  Raises BadRequest."""
        from lbcore.explain import explain

        return explain(self, method, host, target, headers, port=port, scheme=scheme, sni=sni, source=source,
                       destination=destination)

    def conflicts(self):
        """Rules that can never win, duplicates, and overlaps that only the order decides."""
        from lbcore.explain import conflicts

        return conflicts(self)

    # ---- changes -----------------------------------------------------------------------------------------------

    def changed(self, *, removed=(), added=(), yielder=None):
        """This table without ``removed`` and with ``added``: (route, before) pairs."""
        routes, places = [], []
        if self.make is not None:
            self.routes                 # none is left to be made
        gone = sorted({self.place_of(f"removed[{i}]", item) for i, item in enumerate(removed)})
        for i, pair in enumerate(added):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[0], Route):
                raise ConfigError(f"added[{i}]", f"{shown(pair)} is not a (Route, before) pair")
            routes.append(pair[0])
            places.append(self.n if pair[1] is None else self.place_of(f"added[{i}].before", pair[1]))
        return self.successor(gone, places, routes, None, None, Yielder() if yielder is None else yielder)

    def changed_to(self, Entries entries not None, removed, added, *, yielder=None):
        """The table of ``entries``, which differs in the places ``removed`` of this and ``added`` of ``entries``."""
        cdef list gone = sorted(removed), new = sorted(added)
        if len(entries.conditions) != self.n - len(gone) + len(new):
            raise ConfigError("entries", f"{len(entries.conditions)} of them; {self.n} less {len(gone)} and {len(new)} "
                                         "more are not as many")
        conditions = [entries.conditions[i] for i in new]
        hosts = [entries.hosts[i] for i in new]
        return self.successor(gone, stands_before(gone, new), conditions, hosts, entries,
                              Yielder() if yielder is None else yielder)

    cdef Py_ssize_t place_of(self, field, item) except -1:
        """The place of a route, or a place."""
        cdef Py_ssize_t i
        cdef PyObject *wanted = <PyObject *>item
        if not isinstance(item, Route):
            if self.n == 0:
                raise ConfigError(field, f"{shown(item)}: the table has no routes")
            return <Py_ssize_t>whole(field, item, self.n - 1)
        for i in range(self.n):
            if item_at(<PyObject *>self.made, self.number(i)) == wanted:
                return i
        raise ConfigError(field, f"{shown(item)} is not in the table")

    cdef Router successor(self, list gone, list places, list conditions, list hosts, Entries entries, Yielder yielder):
        """``places``: before which of this table's each of ``conditions`` goes."""
        cdef Router new = Router.__new__(Router, BLANK, self.flavor)
        cdef uint32_t n_ids = lb_router_n_ids(self.ptr)
        new.n = self.n - len(gone) + len(places)
        new.make = None if entries is None else entries.make
        new.order = order_after(self, gone, places)
        if self.may_patch(new, len(places)):
            self.patch(new, gone, places, conditions, hosts, yielder)
        if new.ptr:
            if entries is None:
                new.made = self.shared_list(n_ids)
            else:
                new.made = copied(self.made, n_ids, yielder)
                for i in gone:
                    new.made[self.number(i)] = None
            new.made.extend(conditions if hosts is None else [None] * len(places))
            return new
        return self.rebuilt(new, conditions, hosts, entries, yielder)

    cdef list shared_list(self, uint32_t n_ids):
        """``made``, if no other version went on with it; all of it is made, so nobody writes but at its end."""
        return self.made if len(self.made) == n_ids else self.made[:n_ids]

    cdef bint may_patch(self, Router new, Py_ssize_t n_added) noexcept:
        """A change costs what was changed since the last table of one's own, and that costs what all routes cost: the
        sum is least with one every sqrt(2n) changes.  Until then what was removed is kept, too."""
        cdef uint64_t n_changed = lb_router_n_changed(self.ptr) + <uint64_t>n_added
        cdef uint64_t n_dead = lb_router_n_ids(self.ptr) + <uint64_t>n_added - <uint64_t>new.n
        cdef uint64_t most = max(n_changed, n_dead)
        return most <= LB_DELTA_MAX and (most <= 64 or most * most <= 2 * <uint64_t>new.n)

    cdef int patch(self, Router new, list gone, list places, list conditions, list hosts, Yielder yielder) except -1:
        """The core's router with a delta; none if there is no room for it."""
        cdef route_pool pool
        cdef lb_error err
        cdef lb_status status
        cdef uint32_t n_removed = <uint32_t>len(gone), n_added = <uint32_t>len(places)
        cdef lb_addition *added = <lb_addition *>lb_alloc_array(n_added, sizeof(lb_addition))
        cdef uint32_t *removed = <uint32_t *>lb_alloc_array(n_removed, sizeof(uint32_t))
        cdef Patterns patterns = Patterns(self.whole) if self.patterns is None else self.patterns.copy()
        memset(&pool, 0, sizeof(route_pool))
        try:
            if not added or not removed:
                raise MemoryError()
            pool_new(&pool, "added", conditions, hosts, patterns, yielder)
            patterns.settle(yielder)
            for i in range(n_removed):
                removed[i] = self.number(gone[i])
            for i in range(n_added):
                added[i].spec = pool.specs[i]
                added[i].before = LB_NONE if places[i] == self.n else self.number(places[i])
            yielder.let_go()
            with nogil:
                status = lb_router_change(&new.ptr, self.ptr, removed, n_removed, added, n_added, &err)
            yielder.take_up()
            check(status, &err)
        finally:
            with nogil:
                pool_free(&pool)
                lb_free(added)
                lb_free(removed)
        new.patterns = patterns if patterns.numbers else None
        return 0

    cdef Router rebuilt(self, Router new, list conditions, list hosts, Entries entries, Yielder yielder):
        """A core's router of its own, numbered anew."""
        cdef Py_ssize_t i
        cdef uint32_t number, n_ids = lb_router_n_ids(self.ptr)
        cdef list made = []
        if entries is not None:
            PyObject_GC_UnTrack(made)
        for i in range(new.n):
            number = new.order[i]
            made.append(self.made[number] if number < n_ids else None if hosts is not None
                        else conditions[number - n_ids])
            yielder.step()
        lb_free(new.order)
        new.order, new.made = NULL, made
        if entries is None:
            new.build(made, None, new_seed(), yielder)
        else:
            new.build(entries.conditions, entries.hosts, new_seed(), yielder)
        return new

    def __len__(self):
        return self.n

    def __repr__(self):
        return f"Router({self.n} routes, {self.flavor})"


# ---- requests ---------------------------------------------------------------------------------------------------

cdef inline void forget_connection(lb_request *request) noexcept:
    """Nothing is known of the connection."""
    request.scheme.data, request.scheme.len = NULL, 0
    request.sni.data, request.sni.len = NULL, 0
    request.source.data, request.source.len = NULL, 0
    request.destination.data, request.destination.len = NULL, 0
    request.port = request.source_port = request.destination_port = 0


cdef object connection_of(lb_request *request, port, scheme, sni, source, destination):
    """Fill in what is known of the connection; returns the client's address."""
    forget_connection(request)
    if port is not None:
        request.port = port_of("port", port)
    if scheme is not None:
        bytes_of(scheme, &request.scheme)
    if sni is not None:
        bytes_of(sni, &request.sni)
    peer_of("destination", destination, &request.destination, &request.destination_port)
    return peer_of("source", source, &request.source, &request.source_port)


cdef object peer_of(name, peer, lb_str *text, uint16_t *port):
    """An address, or (address, port, ...) as sockets and ASGI have it; returns the address."""
    if peer is None:
        return None
    if isinstance(peer, (tuple, list)):
        if len(peer) < 2:
            raise ValueError(f"{name}: {shown(peer)} is not an address or (address, port)")
        if peer[1] is not None:
            port[0] = port_of(name, peer[1])
        peer = peer[0]
    if peer is not None:
        bytes_of(peer, text)
    return peer


cdef uint16_t port_of(name, port) except? 0:
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ValueError(f"{name}: {shown(port)} is not a port in 0..65535")
    return port


cdef object encoded(path):
    """A raw path for a decoded one: what was a "%2F" in it is a "/" now, and nobody can tell."""
    from urllib.parse import quote

    try:
        return quote(path, safe=SAFE).encode()
    except UnicodeEncodeError:
        raise BadRequest("the scope's path has no UTF-8 form") from None


cdef object socket_of(end):
    """One end of a connection as a scope has it; some servers write the port as text."""
    if end and isinstance(end[1], str):
        return end[0], int(end[1]) if end[1].isascii() and end[1].isdigit() else None
    return end


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
    """Views of (name, value) pairs, valid as long as ``headers`` lives.  The caller frees the array.

    All of them, not only those that routes ask about: any that breaks the grammar refuses the request.
    """
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


# ---- changes ----------------------------------------------------------------------------------------------------

cdef list copied(list made, uint32_t n, Yielder yielder):
    """A list of one's own of routes that are made when they are met."""
    cdef list mine = []
    cdef Py_ssize_t i
    PyObject_GC_UnTrack(mine)
    for i in range(0, n, SLICE):
        mine.extend(made[i:min(i + SLICE, <Py_ssize_t>n)])
        yielder.step()
    return mine


cdef list stands_before(list gone, list new):
    """For places of a new table, in order, the place in the old one before which each goes; ``gone``: places of the
    old one that the new has not."""
    cdef list places = []
    cdef Py_ssize_t i, kept, old, n_passed = 0
    for i in range(len(new)):
        kept = new[i] - i               # so many that both have stand before it
        old = kept + n_passed
        while n_passed < len(gone) and gone[n_passed] <= old:
            n_passed += 1
            old += 1
        places.append(old)
    return places


cdef uint32_t *order_after(Router old, list gone, list places) except NULL:
    """The numbers by place after a change; what is added gets the next ones."""
    cdef uint32_t first = lb_router_n_ids(old.ptr)
    cdef Py_ssize_t n = old.n - len(gone) + len(places), from_ = 0, to = 0
    cdef uint32_t *order = <uint32_t *>lb_alloc_array(n, sizeof(uint32_t))
    cdef list stops = [(place, 0, i) for i, place in enumerate(places)] + [(place, 1, 0) for place in gone]
    if not order:
        raise MemoryError()
    for place, is_gone, i in sorted(stops):
        to = copy_numbers(old, order, to, from_, place)
        from_ = place + 1 if is_gone else place
        if not is_gone:
            order[to] = first + <uint32_t>i
            to += 1
    copy_numbers(old, order, to, from_, old.n)
    return order


cdef Py_ssize_t copy_numbers(Router old, uint32_t *order, Py_ssize_t to, Py_ssize_t begin, Py_ssize_t end) noexcept:
    """Those of the places from ``begin`` to ``end``; returns where the next goes."""
    cdef Py_ssize_t i
    if old.order:
        memcpy(order + to, old.order + begin, (end - begin) * sizeof(uint32_t))
    else:
        for i in range(begin, end):
            order[to + i - begin] = <uint32_t>i
    return to + end - begin

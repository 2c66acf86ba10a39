# Match: a request's route.  Text is made when it is asked for: most programs ask for little.

@cython.final
cdef class Answer:
    """A response that needs no backend.  See ``_core.pyi``."""

    cdef readonly int status
    cdef readonly tuple headers
    cdef readonly bytes body

    def __cinit__(self, status, headers=(), bytes body=b""):
        self.status = whole("status", status, 599)
        if self.status < 200:
            raise ConfigError("status", f"{status} is not a whole number in 200..599")
        self.headers, self.body = tuple(headers), body

    cdef tuple parts(self):
        return self.status, self.headers, self.body

    def __eq__(self, other):
        return self.parts() == (<Answer>other).parts() if isinstance(other, Answer) else NotImplemented

    def __hash__(self):
        return hash(self.parts())

    def __repr__(self):
        return f"Answer({self.status}, {self.headers!r}, {self.body!r})"


cdef Answer NO_BACKENDS = Answer(500)


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Facts:
    """What a match keeps of the request and of its connection, where the route asks for it."""

    cdef object headers                 # pairs, as given
    cdef object source, scheme, port

    def __init__(self):
        raise TypeError("facts are a match's own")


cdef Facts facts_of(headers, source):
    cdef Facts self = Facts.__new__(Facts)
    self.headers, self.source = headers, source
    return self


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Match:
    """A request's route.  ``path`` and ``target`` are canonical: forward these, not what came in."""

    cdef readonly Route route
    cdef object method, host, raw       # of the request, as given
    cdef object canonical               # the path as str, or None: it is raw[start:end], or nobody asked yet
    cdef readonly object query          # str, or None where there was no "?"
    cdef Facts facts                    # None: the route does not ask for them
    cdef readonly object context
    cdef object made_key                # of the route's key source, once it was asked for
    cdef bint keyed
    cdef bint whole                     # a regex was matched to the end of the path
    cdef Py_ssize_t start, end

    def __cinit__(self, Route route not None, source=None):
        self.route = route
        self.canonical = "/"
        if source is not None:
            self.facts = facts_of((), source)

    @property
    def source(self):
        return None if self.facts is None else self.facts.source

    @property
    def authority(self):
        return as_text(self.host)

    @property
    def path(self):
        if self.canonical is None:
            part = self.raw[self.start:self.end]
            self.canonical = part if PyUnicode_Check(part) else (<bytes>part).decode("ascii", "surrogateescape")
        return self.canonical

    @property
    def target(self):
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def params(self):
        return params_of(self.route, self.path, self.whole)

    @property
    def key(self):
        if not self.keyed and self.route.key is not None:
            self.made_key = self.route.key.of(self)
            self.keyed = True
        return self.made_key

    def header_values(self, str name):
        """The values of a header in the order sent; only for routes with a key or filters."""
        wanted = name.lower()
        return [as_text(value).strip(" \t") for field, value in self.sent() if as_text(field).lower() == wanted]

    cdef object sent(self):
        """The request's headers."""
        return () if self.facts is None else self.facts.headers

    @property
    def backends(self):
        return self.route.split.backends

    @property
    def upstream(self):
        backends = self.route.split.backends
        return (<Backend>backends[0]).upstream if len(backends) == 1 else None

    @property
    def filters(self):
        return self.route.filters

    @property
    def timeouts(self):
        return self.route.timeouts

    @property
    def retry(self):
        return self.route.retry

    @property
    def answer(self):
        if self.route.programs is None:
            return None if self.route.split.backends else NO_BACKENDS
        found = self.answer_by(self.route.programs.rule)
        if found is None and not self.route.split.backends:
            found = Answer(500, self.response((), binary=False))
        return found

    def answer_of(self, Backend backend):
        """The answer of the filters of a backend that was drawn; None: it is to be asked."""
        if backend is None or not backend.filters:
            return None
        return self.answer_by(self.route.programs.of(backend))

    cdef object answer_by(self, program):
        if not program.answers:
            return None
        scheme, port = (None, None) if self.facts is None else (self.facts.scheme, self.facts.port)
        return program.answer(as_text(self.method), as_text(self.host), self.path, self.query, self.sent(),
                              self.matched(), scheme or "http", port)

    cdef Py_ssize_t matched(self) except -1:
        """How much of the path is what the route's path stands for."""
        if self.route.path_type == "prefix":
            return min(len(self.path), len(self.route.path))
        return len(self.path)

    def acquire(self, key=None, *, session=None, trace=False):
        """Draw a backend by weight, pick a target inside it, count one in flight.  Raises NoTarget, NoKey."""
        if key is None and self.route.key is not None:
            key = self.key
            if key is None:
                return self.begin_keyless(session, trace)
        return self.route.split.acquire(key, session=session, trace=trace)

    def attempts(self, key=None, *, n=None, session=None, bint repeat=False):
        """Draw a backend; calls on different targets inside it, one after the other."""
        if n is None:
            n = 3 if self.route.retry is None else 1 + self.route.retry.attempts
        if key is None and self.route.key is not None:
            key = self.key
            if key is None:
                return self.try_keyless(n, session, repeat)
        return self.route.split.attempts(key, n=n, session=session, repeat=repeat)

    cdef object begin_keyless(self, session, trace):
        """For a request that has none of the key's sources: a session or a policy without keys may do without."""
        try:
            return self.route.split.acquire(None, session=session, trace=trace)
        except NoKey as error:
            raise MissingKey(error.upstream, error.policy, self.route.key.sources) from None

    cdef object try_keyless(self, n, session, bint repeat):
        cdef Attempts found
        try:
            found = self.route.split.attempts(None, n=n, session=session, repeat=repeat)
        except NoKey as error:
            raise MissingKey(error.upstream, error.policy, self.route.key.sources) from None
        if found.up.keyed and found.up.home_of(session, found.up.now()) is None:
            raise MissingKey(found.up.name, found.up.policy.name, self.route.key.sources)
        return found

    def forward(self, headers, Backend backend=None, *, binary=None):
        """(method, host, target, headers) to send to the backend; Host is not among the headers."""
        if self.route.programs is not None:
            return self.route.programs.of(backend).forward(
                as_text(self.method), as_text(self.host), self.path, self.query, header_pairs(headers),
                self.matched(), binary)
        kept = [(name, value) for name, value in header_pairs(headers) if name.lower() not in ("host", b"host")]
        return as_text(self.method), as_text(self.host), self.target, kept

    def response(self, headers, Backend backend=None, *, binary=None):
        """The headers of an answer to the client, whoever made it."""
        headers = header_pairs(headers)
        if self.route.programs is None:
            return headers
        return self.route.programs.of(backend).response(headers, self.sent(), binary)

    def mirrors(self, Backend backend=None):
        """What gets a copy of this request; each call counts one request."""
        return () if self.route.programs is None else self.route.programs.of(backend).mirrors()

    def __repr__(self):
        return f"<Match {self.route.name!r} {self.path}>"


cdef object as_text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


cdef object header_pairs(headers):
    if hasattr(headers, "items"):
        return list(headers.items())
    return headers if isinstance(headers, (list, tuple)) else list(headers)

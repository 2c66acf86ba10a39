# Match: a request's route.  Text is made when it is asked for: most programs ask for little.

@cython.final
cdef class Answer:
    """A response that needs no backend."""

    cdef readonly int status
    cdef readonly tuple headers

    def __init__(self):
        raise TypeError("answers come from Match.answer")

    def __repr__(self):
        return f"Answer({self.status})"


cdef Answer answer_of(int status):
    cdef Answer self = Answer.__new__(Answer)
    self.status = status
    self.headers = ()
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
    cdef object headers                 # pairs, where the route's key may ask for them
    cdef readonly object source, context
    cdef object made_key                # of the route's key source, once it was asked for
    cdef bint keyed
    cdef bint whole                     # a regex was matched to the end of the path
    cdef Py_ssize_t start, end

    def __cinit__(self, Route route not None, source=None):
        self.route, self.source = route, source
        self.canonical = "/"

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
        """The values of a header in the order sent; only for routes with a key."""
        wanted = name.lower()
        return [as_text(value).strip(" \t") for field, value in self.headers or () if as_text(field).lower() == wanted]

    @property
    def backends(self):
        return self.route.split.backends

    @property
    def upstream(self):
        backends = self.route.split.backends
        return (<Backend>backends[0]).upstream if len(backends) == 1 else None

    @property
    def filters(self):
        return ()

    @property
    def timeouts(self):
        return None

    @property
    def retry(self):
        return None

    @property
    def answer(self):
        return None if self.route.split.backends else answer_of(500)

    def acquire(self, key=None, *, session=None, trace=False):
        """Draw a backend by weight, pick a target inside it, count one in flight.  Raises NoTarget, NoKey."""
        if key is None and self.route.key is not None:
            key = self.key
            if key is None:
                return self.begin_keyless(session, trace)
        return self.route.split.acquire(key, session=session, trace=trace)

    def attempts(self, key=None, *, n=3):
        """Draw a backend; calls on different targets inside it, one after the other."""
        if key is None and self.route.key is not None:
            key = self.key
            if key is None:
                return self.try_keyless(n)
        return self.route.split.attempts(key, n=n)

    cdef object begin_keyless(self, session, trace):
        """For a request that has none of the key's sources: a session or a policy without keys may do without."""
        try:
            return self.route.split.acquire(None, session=session, trace=trace)
        except NoKey as error:
            raise MissingKey(error.upstream, error.policy, self.route.key.sources) from None

    cdef object try_keyless(self, n):
        cdef Attempts found
        try:
            found = self.route.split.attempts(None, n=n)
        except NoKey as error:
            raise MissingKey(error.upstream, error.policy, self.route.key.sources) from None
        if found.up.keyed:
            raise MissingKey(found.up.name, found.up.policy.name, self.route.key.sources)
        return found

    def forward(self, headers):
        """(method, host, target, headers) to send to the backend; Host is the client's and not among the headers."""
        kept = [(name, value) for name, value in header_pairs(headers) if name.lower() not in ("host", b"host")]
        return as_text(self.method), as_text(self.host), self.target, kept

    def __repr__(self):
        return f"<Match {self.route.name!r} {self.path}>"


cdef object as_text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


cdef object header_pairs(headers):
    if hasattr(headers, "items"):
        return list(headers.items())
    return headers if isinstance(headers, (list, tuple)) else list(headers)

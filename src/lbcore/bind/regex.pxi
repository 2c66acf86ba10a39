# Regular expressions, run by RE2: in time linear in the text, whatever the pattern.

cdef enum:
    SET_SIZE = 16                       # patterns that are asked at once; a set compiles in a third of a millisecond
    FEW = 4                             # fewer are asked one by one

cdef object re2 = None                  # the module, once a pattern was met
cdef object re2_options = None

# Of the module re, which only its patterns need: IGNORECASE, MULTILINE, DOTALL, and UNICODE, which RE2 always is.
cdef dict PYTHON_FLAGS = {2: "i", 8: "m", 16: "s", 32: ""}


cdef int load_re2() except -1:
    global re2, re2_options
    if re2 is not None:
        return 0
    try:
        import re2 as module
    except ImportError:
        raise LbcoreError('regular expressions need google-re2: pip install "lbcore[regex]"') from None
    re2_options = module.Options()
    re2_options.log_errors = False
    re2 = module
    return 0


cdef object compiled(field, str pattern):
    """Raises ConfigError that says what RE2 does not know, and where."""
    load_re2()
    try:
        return re2.compile(pattern, re2_options)
    except re2.error as error:
        why = error.args[0]
    if isinstance(why, bytes):
        why = why.decode("utf-8", "replace")
    at = max(pattern.find(why.partition(": ")[2]), 0) + 1
    raise ConfigError(field, f"{shown(pattern)} is no pattern of RE2: {why} (at character {at})")


@cython.final
cdef class Regex:
    """A regular expression in RE2's syntax.  See ``_core.pyi``."""

    cdef readonly str pattern
    cdef object compiled

    def __cinit__(self, pattern):
        self.pattern = checked_text("pattern", pattern)
        self.compiled = compiled("pattern", self.pattern)

    @property
    def groups(self):
        return tuple(sorted(self.compiled.groupindex, key=self.compiled.groupindex.get))

    def matches(self, text, *, whole=True):
        """Whether it matches all of ``text``, or with ``whole=False`` its beginning."""
        return (self.compiled.fullmatch(text) if whole else self.compiled.match(text)) is not None

    def __eq__(self, other):
        return isinstance(other, Regex) and (<Regex>other).pattern == self.pattern

    def __hash__(self):
        return hash(("Regex", self.pattern))

    def __reduce__(self):
        return Regex, (self.pattern,)

    def __repr__(self):
        return f"Regex({self.pattern!r})"


cdef Regex regex_of(field, value):
    """A Regex of a Regex, a compiled pattern of ``re`` or, at last, text."""
    if isinstance(value, Regex):
        return value
    if is_python_pattern(value):
        value = translated(field, value)
    try:
        return Regex(value)
    except ConfigError as error:
        raise ConfigError(field, error.problems[0].reason) from None


cdef bint is_python_pattern(value) except -1:
    module = sys.modules.get("re")
    return module is not None and isinstance(value, module.Pattern)


cdef object translated(field, pattern):
    """What ``re.compile`` was given, with its flags written as RE2 writes them."""
    flags, known = "", 0
    for flag, letter in PYTHON_FLAGS.items():
        known |= flag
        flags += letter if pattern.flags & flag else ""
    if not isinstance(pattern.pattern, str) or pattern.flags & ~known:
        raise ConfigError(field, f"{shown(pattern)}: RE2 takes a str; and IGNORECASE, MULTILINE and DOTALL as flags")
    return f"(?{flags}){pattern.pattern}" if flags else pattern.pattern


# ---- the patterns of a router ----------------------------------------------------------------------------------

@cython.final
cdef class Patterns:
    """The patterns that the questions of a core's router are about, by number; equal ones have one.

    A few are asked one by one.  Many are asked in sets: what is asked of a text is then answered by one pass over it
    for each set.  A set that runs out of memory finds nothing, not even the pattern that it has beside the others and
    which matches everything: that refuses the request.
    """

    cdef bint whole                     # paths are matched to their end
    cdef dict numbers                   # (anchor, pattern) -> number
    cdef list tests                     # number -> bytes -> whether it matches
    cdef list places                    # number -> (set, index in it), or None
    cdef list sets                      # bytes -> indices
    cdef list loose                     # (anchor, Regex) of numbers that are in no set yet

    def __cinit__(self, bint whole):
        self.whole, self.numbers, self.tests, self.places, self.sets, self.loose = whole, {}, [], [], [], []

    cdef Patterns copy(self):
        cdef Patterns new = Patterns.__new__(Patterns, self.whole)
        new.numbers, new.tests, new.places, new.sets = dict(self.numbers), self.tests[:], self.places[:], self.sets[:]
        return new

    cdef uint32_t number(self, Regex regex, bint of_path) except? 0xFFFFFFFF:
        """Paths and values are matched whole; in Kong's flavours paths from their beginning, values anywhere."""
        anchor = "fullmatch" if self.whole else "match" if of_path else "search"
        found = self.numbers.get((anchor, regex.pattern))
        if found is None:
            found = self.numbers[anchor, regex.pattern] = len(self.tests)
            self.tests.append(getattr(regex.compiled, anchor))
            self.places.append(None)
            self.loose.append((anchor, regex, found))
        return found

    cdef int settle(self, Yielder yielder) except -1:
        """Put the new ones into sets."""
        for anchor in ("fullmatch", "match", "search"):
            alike = [one for one in self.loose if one[0] == anchor]
            for i in range(0, len(alike), SET_SIZE):
                if len(alike) - i >= FEW:
                    self.add_set(anchor, alike[i:i + SET_SIZE])
                    yielder.pause()
        self.loose = []
        return 0

    cdef int add_set(self, anchor, list members) except -1:
        makers = {"fullmatch": re2.Set.FullMatchSet, "match": re2.Set.MatchSet, "search": re2.Set.SearchSet}
        together = makers[anchor](re2_options)
        together.Add(r"\C*")
        try:
            for _, regex, _ in members:
                together.Add(regex.pattern)
            together.Compile()
        except re2.error:               # too large together: one by one
            return 0
        for i, (_, _, number) in enumerate(members):
            self.places[number] = (len(self.sets), i + 1)
        self.sets.append(together.Match)
        return 0

    cdef uint32_t verdicts(self, lb_matching *matching) except? 0xFFFFFFFF:
        """Bit i: the pattern of question i matches its text.  Raises BadRequest."""
        cdef uint32_t i, bits = 0
        cdef dict found = {}
        for i in range(matching.n_questions):
            if self.holds(&matching.questions[i], found):
                bits |= <uint32_t>1 << i
        return bits

    cdef bint holds(self, lb_question *question, dict found) except -1:
        text = PyBytes_FromStringAndSize(question.text.data, <Py_ssize_t>question.text.len)
        place = self.places[question.pattern]
        if place is None:
            return self.tests[question.pattern](text) is not None
        number, index = place
        hits = found.get((number, text))
        if hits is None:
            hits = self.sets[number](text)
            if not hits:
                raise BadRequest("the regular expressions of the routes need more memory for it than they have")
            found[number, text] = hits
        return index in hits

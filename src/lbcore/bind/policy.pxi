# Policies by name, with their parameters.

@cython.final
cdef class Param:
    """One parameter of a policy: its ``name``, ``default``, allowed range ``min``..``max`` or ``words``, and one
    sentence ``doc``."""

    cdef const lb_param *ptr
    cdef readonly str name, doc
    cdef readonly double min, max
    cdef readonly tuple words

    @property
    def default(self):
        return self.shown(self.ptr.initial)

    @property
    def range(self):
        """What may be given, as text."""
        if self.words is None:
            return f"{self.min:g}..{self.max:g}"
        return "True or False" if self.ptr.words == lb_no_yes else ", ".join(map(repr, self.words))

    cdef object shown(self, double value):
        """A value of the core as Python has it: True and False, a word, or a number."""
        if self.words is None:
            return value
        return value != 0 if self.ptr.words == lb_no_yes else self.words[<int>value]

    cdef double number(self, value) except? -1:
        """A value of Python as the core has it."""
        if self.words is not None:
            if self.ptr.words == lb_no_yes and isinstance(value, bool):
                return value
            if isinstance(value, str) and value in self.words:
                return self.words.index(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and -2**63 < value < 2**63:
            return value
        kind = "a number in " if self.words is None else "" if self.ptr.words == lb_no_yes else "one of "
        raise ConfigError(f"policy.{self.name}", f"{shown(value)} is not {kind}{self.range}")

    def __repr__(self):
        default = f"{self.default:g}" if self.words is None else self.default
        return f"{self.name}={default} ({self.range})"


cdef Param param_of(const lb_param *ptr):
    cdef Param self = Param.__new__(Param)
    cdef const char *const *word = ptr.words
    self.ptr = ptr
    self.name, self.doc = ptr.name.decode(), ptr.doc.decode()
    self.min, self.max = ptr.min, ptr.max
    if word:
        words = []
        while word[0]:
            words.append(word[0].decode())
            word += 1
        self.words = tuple(words)
    return self


@cython.final
cdef class Policy:
    """A selection policy with its parameters set; made by ``policy()``."""

    cdef const lb_policy *ptr
    cdef double param[8]

    def __init__(self):
        raise TypeError("use lbcore.policy(name)")

    @property
    def name(self):
        return self.ptr.name.decode()

    @property
    def summary(self):
        return self.ptr.summary.decode()

    @property
    def keyed(self):
        return self.ptr.walk != NULL

    @property
    def params(self):
        cdef Param p
        return {p.name: p.shown(self.param[i]) for i, p in enumerate(self.parameters)}

    @property
    def parameters(self):
        cdef const lb_param *p = self.ptr.params
        found = []
        while p and p.name:
            found.append(param_of(p))
            p += 1
        return tuple(found)

    def __repr__(self):
        given = "".join(f", {name}={value:g}" if type(value) is float else f", {name}={value!r}"
                        for name, value in self.params.items())
        return f"policy({self.name!r}{given})"


cdef Policy policy_of(const lb_policy *ptr):
    cdef Policy self = Policy.__new__(Policy)
    self.ptr = ptr
    lb_policy_defaults(ptr, self.param)
    return self


cdef object nearest(name, known):
    import difflib
    close = difflib.get_close_matches(str(name), known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known) or 'none'}"


def policy(name, /, **params):
    """The policy ``name`` with ``params`` in place of its defaults."""
    cdef lb_error err
    cdef Policy self
    cdef const lb_policy *ptr = NULL
    if isinstance(name, Policy):
        raise ConfigError("policy", "already a policy; its name is wanted")
    if isinstance(name, str) and name.isascii():
        ptr = lb_policy_find(utf8_of(str(name)))
    if not ptr:
        raise ConfigError("policy", f"{shown(name)} is not known{nearest(name, list(policies()))}")
    self = policy_of(ptr)
    known = [p.name for p in self.parameters]
    for key, value in params.items():
        if key not in known:
            raise ConfigError(f"policy.{key}", f"{name} has no such parameter{nearest(key, known)}")
        i = known.index(key)
        number = param_of(&ptr.params[<int>i]).number(value)
        status = lb_param_check(&ptr.params[<int>i], number, &err)
        if status != LB_OK:
            raise ConfigError(f"policy.{key}", err.reason.decode())
        self.param[<int>i] = number
    if ptr.check and ptr.check(self.param, &err) != LB_OK:
        raise ConfigError(f"policy.{err.field.decode()}", err.reason.decode())
    return self


def policies():
    """Every policy of this build with its defaults, by name."""
    return {lb_policies[i].name.decode(): policy_of(lb_policies[i]) for i in range(lb_n_policies)}

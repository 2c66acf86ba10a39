# Policies by name, with their parameters.

@cython.final
cdef class Param:
    """One parameter of a policy: its ``name``, ``default``, allowed range ``min``..``max`` and one sentence ``doc``."""

    cdef readonly str name, doc
    cdef readonly double default, min, max

    def __repr__(self):
        return f"{self.name}={self.default:g} ({self.min:g}..{self.max:g})"


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
    def params(self):
        return {p.name: self.param[i] for i, p in enumerate(self.parameters)}

    @property
    def parameters(self):
        cdef const lb_param *p = self.ptr.params
        cdef Param one
        found = []
        while p and p.name:
            one = Param.__new__(Param)
            one.name, one.doc = p.name.decode(), p.doc.decode()
            one.default, one.min, one.max = p.initial, p.min, p.max
            found.append(one)
            p += 1
        return tuple(found)

    def __repr__(self):
        given = "".join(f", {name}={value:g}" for name, value in self.params.items())
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
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -2**63 < value < 2**63:
            raise ConfigError(f"policy.{key}", f"{shown(value)} is not a number in {self.parameters[i].min:g}.."
                                               f"{self.parameters[i].max:g}")
        status = lb_param_check(&ptr.params[<int>i], value, &err)
        if status != LB_OK:
            raise ConfigError(f"policy.{key}", err.reason.decode())
        self.param[<int>i] = value
    return self


def policies():
    """Every policy of this build with its defaults, by name."""
    return {lb_policies[i].name.decode(): policy_of(lb_policies[i]) for i in range(lb_n_policies)}

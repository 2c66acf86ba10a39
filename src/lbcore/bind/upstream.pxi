# Upstream: owner of one lb_upstream and of the live targets that its Views point at.

cdef object EVENT_KINDS = ("ejected", "recovered", "unhealthy", "healthy")
cdef Py_ssize_t MOST_REASONS = 64       # how many targets a NoTarget names


@cython.final
cdef class Upstream:
    """A named group of targets with one policy.  See ``_core.pyi``."""

    cdef lb_upstream *ptr
    cdef readonly str name
    cdef readonly Policy policy
    cdef readonly tuple targets
    cdef dict by_id
    cdef object clock
    cdef bint warned, keyed, learns
    cdef uint64_t dropped

    def __cinit__(self, name, targets, policy="round_robin", *, health="passive", limits=None, slow_start=None,
                  affinity=None, when_empty="fail", shared=None, seed=None, clock=None):
        cdef lb_upstream_spec spec
        self.name = checked_text("name", name)
        self.policy = policy if isinstance(policy, Policy) else policy_named(policy)
        if limits is not None or slow_start is not None or affinity is not None or shared is not None:
            not_yet("limits=, slow_start=, affinity= or shared= of an upstream")
        if when_empty != "fail":
            not_yet(f"when_empty={shown(when_empty)}")
        if health not in ("passive", None):
            not_yet(f"health={shown(health)}")
        if clock is not None and not callable(clock):
            raise ConfigError("clock", f"{shown(clock)} is not callable")
        self.clock = clock
        self.targets, self.by_id = (), {}
        self.keyed, self.learns = self.policy.ptr.walk != NULL, self.policy.ptr.observe != NULL
        spec.policy = self.policy.ptr
        spec.param = self.policy.param
        spec.seed = new_seed() if seed is None else whole("seed", seed, 2**64 - 1)
        spec.passive = lb_passive_default if health == "passive" else lb_passive_off
        self.publish(targets, &spec)

    def __dealloc__(self):
        lb_upstream_free(self.ptr)              # accepts NULL: __cinit__ may have failed

    # ---- picking --------------------------------------------------------------------------------------------

    def pick(self, key=None, *, within=None, exclude=None):
        """The target for ``key``, or the next by the policy; nothing is counted.  Raises NoTarget, NoKey."""
        target = self.chosen(key, within, exclude)
        if target is None:
            raise self.nobody()
        return target

    def pick_or_none(self, key=None, *, within=None, exclude=None):
        """As pick, but None if nobody is usable."""
        return self.chosen(key, within, exclude)

    def acquire(self, key=None, *, within=None, exclude=None, session=None, trace=False):
        """Pick a target and count one call in flight on it.  Raises NoTarget, NoKey."""
        if session is not None or trace:
            not_yet("session= or trace=")
        return self.begin(key, within, exclude)

    cdef object chosen(self, key, within, exclude):
        cdef lb_want want
        cdef lb_key k
        digits = self.wanted(&want, &k, key, within, exclude)
        return self.user(lb_upstream_choose(self.ptr, &want, self.coarse()))

    cdef Call begin(self, key, within, exclude):
        cdef lb_want want
        cdef lb_key k
        cdef Call call = Call.__new__(Call)
        digits = self.wanted(&want, &k, key, within, exclude)
        if not lb_upstream_begin(self.ptr, &want, self.start(), &call.c):
            raise self.nobody()
        return self.opened(call)

    cdef object wanted(self, lb_want *want, lb_key *k, key, within, exclude):
        """Fill in ``want``; what is returned must live as long as it is used."""
        digits = None
        want.key = NULL
        if within is not None or exclude is not None:
            not_yet("within= or exclude=")
        if key is not None:
            digits = key_of(key, k)
            want.key = k
            if not self.keyed and not self.warned:
                self.warned = True
                warnings.warn(f"upstream {self.name!r}: {self.policy.name} does not use keys", ConfigWarning,
                              stacklevel=2)
        elif self.keyed:
            raise NoKey(self.name, self.policy.name)
        return digits

    cdef inline Call opened(self, Call call):
        call.open = True
        call.upstream = self
        call.target = <Target>lb_upstream_view(self.ptr).user[call.c.member]
        return call

    cdef inline object user(self, uint32_t member):
        return None if member == LB_NONE else <object>lb_upstream_view(self.ptr).user[member]

    # ---- the same without arguments: see hot.pxi ------------------------------------------------------------

    cdef object first(self):
        if self.keyed:
            raise NoKey(self.name, self.policy.name)
        target = self.user(lb_upstream_pick(self.ptr, self.coarse()))
        if target is None:
            raise self.nobody()
        return target

    cdef Call start_first(self):
        cdef Call call
        if self.keyed:
            raise NoKey(self.name, self.policy.name)
        call = Call.__new__(Call)
        if not lb_upstream_acquire(self.ptr, self.start(), &call.c):
            raise self.nobody()
        return self.opened(call)

    cdef object nobody(self):
        """The NoTarget that says who is out, why, and when somebody comes back."""
        cdef uint64_t due = lb_upstream_due(self.ptr), now
        retry_after = None
        if due != LB_NEVER:
            now = self.now()
            retry_after = seconds(due - now) if due > now else 0.0
        reasons = {t.id: t.state if t.weight else "weight 0" for t in self.targets[:MOST_REASONS]}
        return NoTarget(self.name, retry_after=retry_after, reasons=reasons)

    # ---- what is not there yet ------------------------------------------------------------------------------

    def attempts(self, key=None, *, n=3, within=None):
        """Not available yet."""
        not_yet("attempts")

    def candidates(self, key, n):
        """Not available yet."""
        not_yet("candidates")

    def pick_many(self, n, out=None):
        """Not available yet."""
        not_yet("pick_many")

    def pick_keys(self, keys, out=None):
        """Not available yet."""
        not_yet("pick_keys")

    def subset(self, **labels):
        """Not available yet."""
        not_yet("subset")

    def what_if(self, key):
        """Not available yet."""
        not_yet("what_if")

    # ---- changes --------------------------------------------------------------------------------------------

    def update(self, targets):
        """Replace the targets; those kept by identity keep in-flight, health and what the schedule owes them."""
        self.publish(targets, NULL)

    def set_weight(self, target, weight):
        """Change one weight (0..1000000) until the next update."""
        cdef lb_error err
        cdef Target t = self.member(target)
        cdef uint32_t w = <uint32_t>whole("weight", weight, LB_MAX_WEIGHT)
        check(lb_upstream_set_weight(self.ptr, <uint32_t>t.index, w, self.now(), &err), &err)
        t.weight = w

    def set_health(self, target, ok, hold=False):
        """Mark a target (un)healthy; ok=True also ends an ejection."""
        cdef lb_error err
        cdef Target t = self.member(target)
        if hold:
            not_yet("hold=")
        check(lb_upstream_set_health(self.ptr, <uint32_t>t.index, bool(ok), self.now(), &err), &err)

    def advance(self):
        """Fire what is due."""
        cdef lb_error err
        check(lb_upstream_advance(self.ptr, self.now(), &err), &err)

    cdef Target member(self, target):
        """A target of ours, given as itself or by its identity."""
        cdef Target found
        if isinstance(target, Target):
            found = target
            if found.up is self and found.index >= 0:
                return found
            target = found.id
        found = self.by_id.get(target)
        if found is None:
            raise ConfigError("target", f"{shown(target)} is not a target of {self.name!r}")
        return found

    cdef int publish(self, targets, const lb_upstream_spec *spec) except -1:
        """Give the core a new target list: a new upstream if ``spec``, else an update.  All or nothing."""
        cdef lb_error err
        cdef lb_target_spec *array
        cdef lb_status status
        cdef Target given, live
        specs, lives = [], []
        if isinstance(targets, (str, bytes)):
            raise ConfigError("targets", f"{shown(targets)} is a string, not a list of targets")
        for item in targets:
            specs.append(target_spec(item, len(specs)))
        array = <lb_target_spec *>lb_alloc_array(len(specs), sizeof(lb_target_spec))
        if not array:
            raise MemoryError()
        try:
            for i, given in enumerate(specs):
                live = self.by_id.get(given.id)
                if live is None:
                    live = given.live(self)
                lives.append(live)
                array[<size_t>i].id = utf8_of(given.id)
                array[<size_t>i].address = utf8_of(given.address)
                array[<size_t>i].hash_key.data, array[<size_t>i].hash_key.len = NULL, 0
                if given.hash_key is not None:
                    array[<size_t>i].hash_key = utf8_of(given.hash_key)
                array[<size_t>i].weight = given.weight
                array[<size_t>i].user = <void *>live
            members, by_id = tuple(lives), {t.id: t for t in lives}
            now = self.now()
            if spec:
                status = lb_upstream_new(&self.ptr, spec, array, <uint32_t>len(lives), now, &err)
            else:
                status = lb_upstream_update(self.ptr, array, <uint32_t>len(lives), now, &err)
            check(status, &err)
        finally:
            lb_free(array)
        self.settle(specs, members, by_id)
        return 0

    cdef int settle(self, list specs, tuple lives, dict by_id) except -1:
        """The core has taken the list: make the live objects say the same.  Allocates nothing: it must not fail."""
        cdef Target live, given
        cdef const lb_view *view = lb_upstream_view(self.ptr)
        cdef uint32_t i
        for live in self.targets:
            live.index = -1
        for i in range(view.n_members):
            given, live = <Target>specs[i], <Target>lives[i]
            live.become(given)
            live.index = i
            live.slot = view.slot[i]
            live.generation = lb_record_of(lb_upstream_state(self.ptr), live.slot).generation
        self.targets = lives
        self.by_id = by_id
        return 0

    # ---- watching -------------------------------------------------------------------------------------------

    def events(self):
        """Take the events since the last call, oldest first."""
        cdef lb_event e
        cdef uint64_t dropped = 0
        cdef Event made
        cdef Target t
        found = []
        by_slot = {(t.slot, t.generation): t for t in self.targets}
        while lb_upstream_next_event(self.ptr, &e, &dropped):
            made = Event.__new__(Event)
            made.kind = EVENT_KINDS[<int>e.kind]
            made.upstream = self.name
            made.target = by_slot.get((e.slot, e.generation))
            made.at = seconds(e.at_ns)
            made.until = seconds(e.until_ns) if e.until_ns else None
            made.failures = e.failures
            found.append(made)
        self.dropped += dropped
        return found

    def stats(self):
        """Figures of this moment as plain data."""
        cdef const lb_view *view = lb_upstream_view(self.ptr)
        targets = [
            {"id": t.id, "address": t.address, "weight": t.weight, "state": t.state, "in_flight": t.in_flight}
            for t in self.targets
        ]
        return {
            "name": self.name,
            "policy": self.policy.name,
            "n_targets": view.n_members,
            "n_usable": view.n_usable,
            "in_flight": sum(t["in_flight"] for t in targets),
            "ejected": sum(t["state"] == "ejected" for t in targets),
            "events_dropped": self.dropped,
            "targets": targets,
        }

    cdef uint64_t now(self) except? 0:
        return lb_clock_ns() if self.clock is None else nanoseconds(self.clock())

    cdef inline uint64_t coarse(self) except? 0:
        """The time if anything waits for it, else 0: a pick then reads no clock."""
        if lb_upstream_due(self.ptr) == LB_NEVER:
            return 0
        return lb_clock_coarse_ns() if self.clock is None else nanoseconds(self.clock())

    cdef inline uint64_t start(self) except? 0:
        """The time of a call's beginning: exact where the policy learns from how long calls take."""
        return self.now() if self.learns else self.coarse()

    def __len__(self):
        return len(self.targets)

    def __iter__(self):
        return iter(self.targets)

    def __getitem__(self, id):
        return self.targets[id] if isinstance(id, int) else self.by_id[id]

    def __repr__(self):
        return f"Upstream({self.name!r}, {self.policy.name}, {len(self.targets)} targets)"


cdef Policy policy_named(name):
    return policy(name)


cdef Target target_spec(item, Py_ssize_t place):
    """What was given for one place of the list, as a Target."""
    if isinstance(item, Target):
        return item
    try:
        return Target(item)
    except ConfigError as error:
        raise ConfigError(f"targets[{place}].address", error.problems[0].reason) from None

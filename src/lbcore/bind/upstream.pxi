# Upstream: owner of one lb_upstream and of the live targets that its Views point at.

cdef object PASS_REASONS = ("", "excluded", "at its limit", "over its bound", "out", "on trial")
cdef Py_ssize_t MOST_REASONS = 64       # how many targets a NoTarget names


@cython.final
@cython.no_gc_clear                     # its end needs the segment; cycles are broken at its targets and callbacks
cdef class Upstream:
    """A named group of targets with one policy.  See ``_core.pyi``."""

    cdef lb_upstream *ptr
    cdef readonly str name
    cdef readonly Policy policy
    cdef readonly tuple targets
    cdef readonly object affinity
    cdef dict by_id, by_tag             # by_tag: identities by what stands for them in sessions
    cdef dict numbers                   # of labels, (name, value): what the core knows them by
    cdef dict places                    # numbers of localities
    cdef object clock, levels, rules    # rules: of health, as given
    cdef readonly tuple failures
    cdef tuple watchers                 # called when somebody may be had who could not before; None: nobody
    cdef bint news, telling
    cdef object line                    # of those who wait in lbcore.aio; None: nobody ever did
    cdef Segment segment                # where State is shared; None: it is private
    cdef bint orphan                    # in the child of a fork, until it has places of its own
    cdef PyObject *before               # the list of all upstreams, for forks
    cdef PyObject *behind
    cdef bint warned, keyed
    cdef bint learns                    # calls must be told the exact time
    cdef readonly uint64_t events_dropped

    def __cinit__(self, name, targets, policy="round_robin", *, health="passive", limits=None, slow_start=None,
                  affinity=None, when_empty="fail", shared=None, seed=None, clock=None, levels=None, failures=()):
        cdef lb_upstream_spec spec
        self.name = checked_text("name", name)
        self.policy = policy if isinstance(policy, Policy) else policy_named(policy)
        if clock is not None and not callable(clock):
            raise ConfigError("clock", f"{shown(clock)} is not callable")
        self.clock, self.levels, self.affinity = clock, levels, affinity
        self.targets, self.by_id, self.by_tag, self.numbers, self.places = (), {}, {}, {}, {}
        self.keyed = self.policy.ptr.walk != NULL
        self.rules, self.failures = health, exception_types(failures)
        lb_upstream_defaults(&spec)
        spec.policy = self.policy.ptr
        spec.param = self.policy.param
        self.segment = None if shared is None else segment_of(shared)
        spec.name = utf8_of(self.name)
        if self.segment is not None:
            spec.backing = self.segment.backing()
            spec.seed = common_seed(self.name, spec.backing.seed)
        if seed is not None:
            spec.seed = whole("seed", seed, 2**64 - 1)
        elif self.segment is None:
            spec.seed = new_seed()
        health_of(health, &spec.health)
        spec.when_empty = when_empty_of(when_empty)
        self.learns = self.policy.ptr.observe != NULL or lb_outlier_judges(&spec.health.outlier)
        configure(&spec, limits, slow_start, levels)
        if affinity is not None and not hasattr(affinity, "seal"):
            raise ConfigError("affinity", f"{shown(affinity)} is not an Affinity")
        self.publish(targets, &spec)
        enlist(self)

    def __dealloc__(self):
        strike_off(self)
        if self.segment is None:
            lb_upstream_free(self.ptr)          # accepts NULL: __cinit__ may have failed
        elif not ENDED:                        # else all was given back, and other threads may have the locks for ever
            self.leave()

    cdef int leave(self) except -1:
        """Give the places back; where somebody else loads for too long, the end of the process does."""
        cdef lb_segment_fault fault
        cdef int error
        if self.ptr != NULL:
            error = self.segment.try_lock(LOAD_WAIT_MS, &fault)
            if error and not lb_segment_was_removed(error):
                return 0
            lb_upstream_free(self.ptr)
            if not error:
                self.segment.unlock()
        return let_go(self.segment)

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
        if session is not None and self.affinity is None:
            raise ConfigError("session", f"upstream {self.name!r} has no affinity=")
        if self.affinity is not None:
            return self.resumed(key, within, exclude, session, trace)
        return self.traced(key, within, exclude) if trace else self.begin(key, within, exclude)

    cdef object chosen(self, key, within, exclude):
        cdef Want want = self.wanted(key, within, exclude)
        return self.user(lb_upstream_choose(self.ptr, &want.c, self.coarse()))

    cdef Call begin(self, key, within, exclude):
        cdef Want want = self.wanted(key, within, exclude)
        cdef Call call = Call.__new__(Call)
        if not lb_upstream_begin(self.ptr, &want.c, self.start(), &call.c):
            raise self.nobody()
        return self.opened(call)

    cdef Want wanted(self, key, within, exclude):
        """What the core is asked; the keys' bytes live as long as it does."""
        cdef Want want = want_of(self, key, within, exclude)
        if key is None:
            if self.keyed:
                raise NoKey(self.name, self.policy.name)
        elif not self.keyed and not self.warned:
            self.warned = True
            warnings.warn(f"upstream {self.name!r}: {self.policy.name} does not use keys", ConfigWarning, stacklevel=2)
        return want

    cdef inline Call opened(self, Call call):
        call.open = True
        call.upstream = self
        call.target = <Target>lb_upstream_view(self.ptr).user[call.c.member]
        return call

    cdef inline object user(self, uint32_t member):
        return None if member == LB_NONE else <object>lb_upstream_view(self.ptr).user[member]

    # ---- sessions and receipts ------------------------------------------------------------------------------

    cdef Call resumed(self, key, within, exclude, session, trace):
        """A call of a session: on its target while that serves it, else a new session on another."""
        cdef Call call
        cdef uint64_t now = self.now()
        cdef Target home = self.home_of(session, now) if within is None and exclude is None else None
        if home is not None:
            call = Call.__new__(Call)
            lb_upstream_begin_on(self.ptr, <uint32_t>home.index, now, &call.c)
            self.opened(call)
            call.extra = (None, {"upstream": self.name, "target": home.id, "session": "kept"}) if trace else None
            return call
        call = self.traced(key, within, exclude) if trace else self.begin(key, within, exclude)
        if self.affinity is not None:
            call.extra = (self.affinity.seal(self.tag(call.target.id)), call.why)
        return call

    cdef Target home_of(self, session, uint64_t now):
        """The target of a session that may go on there; None: a new session, or one of somebody else."""
        cdef Target home
        cdef lb_error err
        if self.affinity is None or session is None:
            return None
        home = self.by_id.get(self.by_tag.get(self.affinity.open(session)))
        lb_upstream_advance(self.ptr, now, &err)        # out of memory: what it says of health is older, and checked
        if home is None or not lb_upstream_serves_session(self.ptr, <uint32_t>home.index, now):
            return None
        return home if self.affinity.on_drain == "keep" or home.state != "draining" else None

    cdef object tag(self, id):
        return self.affinity.tag(f"{self.name}\0{id}")

    cdef Call traced(self, key, within, exclude):
        cdef Want want = self.wanted(key, within, exclude)
        cdef Call call = Call.__new__(Call)
        cdef lb_receipt receipt
        want.c.receipt = &receipt
        if not lb_upstream_begin(self.ptr, &want.c, self.start(), &call.c):
            raise self.nobody()
        self.opened(call)
        call.extra = (None, self.receipt_of(&receipt, call.target, key))
        return call

    cdef dict receipt_of(self, lb_receipt *receipt, Target target, key):
        """What a choice came from, as plain data."""
        cdef uint32_t i
        runner_up = self.user(receipt.runner_up)
        passed = [
            {"target": (<Target>self.user(receipt.passed[i])).id, "reason": PASS_REASONS[<int>receipt.why[i]]}
            for i in range(min(receipt.n_passed, LB_MAX_PASSED))
        ]
        return {
            "upstream": self.name,
            "policy": self.policy.name,
            "key": None if key is None else plain_key(key),
            "target": target.id,
            "priority": receipt.priority,
            "passed": passed,
            "more_passed": receipt.n_passed - len(passed),
            "runner_up": None if runner_up is None else runner_up.id,
        }

    def what_if(self, key=None):
        """Whom ``key`` (or the next pick) would get, who would come after, and what speaks against each."""
        cdef Target t
        cdef uint32_t bound
        first = self.candidates(key, min(len(self.targets), MOST_REASONS))
        found = []
        for t in first:
            bound = lb_upstream_bound(self.ptr, <uint32_t>t.index)
            found.append({
                "target": t.id, "weight": t.weight, "priority": t.priority, "state": t.state, "in_flight": t.in_flight,
                "limit": None if bound == LB_NONE else bound,
            })
        return {
            "upstream": self.name,
            "policy": self.policy.name,
            "key": None if key is None else plain_key(key),
            "target": first[0].id if first else None,
            "candidates": found,
            "out": {t.id: self.reason(t) for t in self.targets[:MOST_REASONS] if t not in first},
        }

    def candidates(self, key, n):
        """The ``n`` targets that picks would give one after the other, all different; moves no cursor."""
        cdef Want want = self.wanted(key, None, None)
        cdef uint32_t i, most = <uint32_t>min(whole("n", n, 2**31), len(self.targets))
        cdef uint32_t *out = <uint32_t *>lb_alloc_array(most, sizeof(uint32_t))
        if not out:
            raise MemoryError()
        try:
            most = lb_upstream_candidates(self.ptr, &want.c, out, most, self.coarse())
            return [self.user(out[i]) for i in range(most)]
        finally:
            lb_free(out)

    def pick_many(self, n, out=None):
        """``n`` picks at once, as indices into ``targets`` (-1: nobody is usable)."""
        return pick_many(self, n, out)

    def pick_keys(self, keys, out=None):
        """The pick of each key, as indices into ``targets`` (-1: nobody is usable)."""
        return pick_keys(self, keys, out)

    def attempts(self, key=None, *, n=3, within=None):
        """Calls on different targets, one after the other, while retries are within the budget."""
        return attempts_of(self, key, whole("n", n, 2**31), within, None)

    def subset(self, **labels):
        """The targets that have all of ``labels``, with a schedule of their own; pass it as ``within=``."""
        return subset_of(self, labels)

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
        if self.affinity is not None:
            return self.resumed(None, None, None, None, False)
        call = Call.__new__(Call)
        if not lb_upstream_acquire(self.ptr, self.start(), &call.c):
            raise self.nobody()
        return self.opened(call)

    cdef object nobody(self):
        """The NoTarget that says who is out, why, and when somebody comes back."""
        cdef uint64_t due = lb_upstream_back_ns(self.ptr), now
        retry_after = None
        if due != LB_NEVER:
            now = self.now()
            retry_after = seconds(due - now) if due > now else 0.0
        reasons = {t.id: self.reason(t) for t in self.targets[:MOST_REASONS]}
        return NoTarget(self.name, retry_after=retry_after, reasons=reasons)

    cdef str reason(self, Target t):
        """Why a target is not picked, as far as one word goes; "passed over" where only this pick says so."""
        if t.weight == 0:
            return "weight 0"
        if t.state != "healthy":
            return t.state
        if lb_upstream_view(self.ptr).n_usable == 0:
            return "below the threshold"        # of the health: too little weight is available
        return "passed over" if lb_upstream_view(self.ptr).weight[t.index] else "not its priority's turn"

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
        self.wake()

    def set_health(self, target, ok, hold=False):
        """Mark a target (un)healthy; ok=True also ends an ejection and a pause."""
        cdef lb_error err
        cdef Target t = self.member(target)
        before = t.state
        check(lb_upstream_set_health(self.ptr, <uint32_t>t.index, bool(ok), bool(hold), self.now(), &err), &err)
        if t.state != before:
            self.wake()

    @property
    def health(self):
        from lbcore.healthrules import Health
        return Health() if self.rules == "passive" else self.rules

    def checked(self, target, *, status=None, error=None, ok=None):
        """The outcome of one active check; nothing for a target that was removed."""
        cdef lb_outcome outcome
        cdef Target t = target
        if t.up is not self or t.index < 0:
            return
        outcome_of(ok, status, error, self.failures, &outcome)
        if ok is False and error is None and status is None:
            outcome.fault = LB_FAULT_GARBLED
        before = t.state
        lb_upstream_checked(self.ptr, <uint32_t>t.index, &outcome, self.now())
        if t.state != before:
            self.wake()

    def takes_traffic(self, target):
        """True if its checks say so, whatever else may keep it out."""
        cdef Target t = self.member(target)
        return lb_checks_state(t.record()) <= LB_CHECK_MOSTLY_HEALTHY

    def watch(self, watcher):
        """Have ``watcher()`` called whenever a target may be had that could not before."""
        if not callable(watcher):
            raise TypeError(f"watcher: {shown(watcher)} is not callable")
        if self.watchers is None:
            self.watchers = (watcher,)
        elif watcher not in self.watchers:
            self.watchers = (*self.watchers, watcher)

    def unwatch(self, watcher):
        """Call ``watcher`` no more; nothing for one that is not watching."""
        if self.watchers is not None and watcher in self.watchers:
            self.watchers = tuple([w for w in self.watchers if w != watcher]) or None

    cdef int wake(self) except -1:
        """Tell who watches.  News that come meanwhile (from a watcher, a thread) come after it: it never recurs."""
        if self.watchers is None:
            return 0
        self.news = True
        if self.telling:
            return 0
        self.telling = True
        try:
            while self.news and self.watchers is not None:
                self.news = False
                for watcher in self.watchers:
                    tell(watcher)
        finally:
            self.telling = False
        return 0

    def advance(self):
        """Fire what is due."""
        cdef lb_error err
        check(lb_upstream_advance(self.ptr, self.now(), &err), &err)
        self.wake()

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
        cdef uint32_t *labels = NULL
        cdef size_t n_labels = 0
        specs, lives = [], []
        if isinstance(targets, (str, bytes)):
            raise ConfigError("targets", f"{shown(targets)} is a string, not a list of targets")
        for item in targets:
            given = target_spec(item, len(specs))
            specs.append(given)
            n_labels += len(given.labels)
        array = <lb_target_spec *>lb_alloc_array(len(specs), sizeof(lb_target_spec))
        labels = <uint32_t *>lb_alloc_array(n_labels, sizeof(uint32_t))
        try:
            if not array or not labels:
                raise MemoryError()
            n_labels = 0
            for i, given in enumerate(specs):
                live = self.by_id.get(given.id)
                if live is None:
                    live = given.live(self)
                lives.append(live)
                n_labels += self.describe(given, i, &array[<size_t>i], labels + n_labels)
                array[<size_t>i].user = <void *>live
            members, by_id = tuple(lives), {t.id: t for t in lives}
            by_tag = {} if self.affinity is None else {self.tag(id): id for id in by_id}
            now = self.now()
            self.load_begins()
            if spec:
                status = lb_upstream_new(&self.ptr, spec, array, <uint32_t>len(lives), now, &err)
            else:
                status = lb_upstream_update(self.ptr, array, <uint32_t>len(lives), now, &err)
            self.load_ends()
            check(status, &err)
        finally:
            lb_free(array)
            lb_free(labels)
        self.by_tag = by_tag
        if self.settle(specs, members, by_id):
            self.wake()
        return 0

    cdef uint32_t describe(self, Target given, Py_ssize_t place, lb_target_spec *out, uint32_t *labels) except? 0:
        """Fill in what the core is told of a target; returns how many labels it has."""
        memset(out, 0, sizeof(lb_target_spec))
        out.id, out.address = utf8_of(given.id), utf8_of(given.address)
        out.weight, out.priority = given.weight, given.priority
        out.labels, out.n_labels = labels, <uint32_t>len(given.labels)
        if given.hash_key is not None:
            out.hash_key = utf8_of(given.hash_key)
        for i, number in enumerate(sorted([self.number(pair) for pair in given.labels.items()])):
            labels[<size_t>i] = number
        if self.levels is not None and self.levels.locality is not None:
            where = given.labels.get(self.levels.locality)
            out.locality = self.locality(where, place)
            out.locality_weight = self.levels.weights.get(where, self.levels.default_weight)
        return out.n_labels

    cdef uint32_t number(self, pair) except? 0:
        """The number by which the core knows a label."""
        return self.numbers.setdefault(pair, len(self.numbers) + 1)

    cdef uint32_t locality(self, where, Py_ssize_t place) except? 0:
        """The number of a locality; targets without the label are a locality of their own."""
        found = self.places.setdefault(where, len(self.places) + 1)
        if found >= LB_MAX_LOCALITIES:
            raise ConfigError(f"targets[{place}].labels", f"{shown(where)} would be locality {found}; an upstream "
                                                          f"knows at most {LB_MAX_LOCALITIES - 1}")
        return found

    cdef bint settle(self, list specs, tuple lives, dict by_id) except -1:
        """The core has taken the list: make the live objects say the same.  True if anything changed.  Allocates
        nothing: it must not fail."""
        cdef bint changed = len(lives) != len(self.targets)
        cdef Target live, given
        cdef const lb_view *view = lb_upstream_view(self.ptr)
        cdef uint32_t i
        for live in self.targets:
            live.index = -1
        for i in range(view.n_members):
            given, live = <Target>specs[i], <Target>lives[i]
            changed |= live.generation != lb_generation_of(lb_upstream_state(self.ptr), view.slot[i])
            changed |= live.weight != given.weight or live.priority != given.priority
            live.become(given)
            live.index = i
            live.slot = view.slot[i]
        self.targets = lives
        self.by_id = by_id
        self.recount()
        return changed

    cdef void recount(self) noexcept:
        """The live objects stand for the generation of now: after an update, and in the child of a fork."""
        cdef Target live
        for live in self.targets:
            live.generation = lb_generation_of(lb_upstream_state(self.ptr), live.slot)

    # ---- watching -------------------------------------------------------------------------------------------

    def events(self):
        """Take the events since the last call, oldest first."""
        return events_of(self)

    def stats(self):
        """Figures of this moment as plain data."""
        return stats_of(self)

    cdef const lb_view *settled(self) except NULL:
        """The picture of this moment."""
        cdef lb_error err
        check(lb_upstream_settle(self.ptr, self.now(), &err), &err)
        return lb_upstream_view(self.ptr)

    def may_probe(self):
        """True if this worker is the one that probes the targets, or becomes it now: its host has no other."""
        return self.segment is None or lb_segment_take_job(&self.segment.file, self.job())

    def give_up_probing(self):
        """Let another worker of the host probe."""
        if self.segment is not None:
            lb_segment_give_job(&self.segment.file, self.job())

    cdef uint32_t job(self) except? 0:
        return <uint32_t>(common_seed(self.name, 0) >> 33)

    cdef inline int load_begins(self) except -1:
        return 0 if self.segment is None else self.segment.lock()

    cdef inline int load_ends(self) except -1:
        return 0 if self.segment is None else self.segment.unlock()

    cdef int come_home(self) except -1:
        """The first use in the child of a fork: places of its own."""
        cdef lb_error err
        cdef lb_status status
        cdef uint64_t now
        self.orphan = False
        try:
            now = self.now()
            self.segment.lock()
            status = lb_upstream_rejoin(self.ptr, now, &err)
            self.segment.unlock()
            check(status, &err)
            plan_the_end()
            self.recount()
        except BaseException:
            self.orphan = True
            raise
        return 0

    cdef uint64_t now(self) except? 0:
        if self.orphan:
            self.come_home()
        return lb_clock_ns() if self.clock is None else nanoseconds(self.clock())

    cdef inline uint64_t coarse(self) except? 0:
        """The time if anything waits for it, else 0: a pick then reads no clock."""
        if not lb_upstream_is_waiting(self.ptr):
            return 0
        if self.orphan:
            self.come_home()
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


cdef int tell(watcher) except -1:
    """Its failure is not that of whose call ended: it is reported as that of a destructor is."""
    cdef PyObject *answer = PyObject_CallNoArgs(watcher)
    if answer == NULL:
        if not PyErr_ExceptionMatches(Exception):
            return -1                       # KeyboardInterrupt and its like, on their way
        PyErr_WriteUnraisable(watcher)
    Py_XDECREF(answer)
    return 0


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

# Segment: this process's end of a State that worker processes share.
#
# One a process and file: POSIX locks vanish when any descriptor of the file is closed.  So all that are open stand in
# one table, and one thread at a time opens or closes.  Everything that allocates places is done between lock() and
# unlock(), by one thread of the process at a time.
#
# Locks, in this order: OPENING, the segment's mutex, the load lock of the file.  The thread that has one may take it
# again: a collection of garbage may end an upstream anywhere.  Waiting for the file lets the GIL go.

cdef dict SEGMENTS = {}                 # (dir without links, name) -> Segment: all that are open
cdef object OPENING = _thread.RLock()
cdef uint32_t LOAD_WAIT_MS = 10000
cdef uint32_t LAST_WAIT_MS = 1000       # at the end of the program


cdef object shared_fault(lb_segment_fault *fault):
    return ConfigError("shared", f"{fault.reason.decode('utf-8', 'replace')}; shared_dir= names another place")


@cython.final
@cython.no_gc
cdef class Segment:
    """The memory that the workers of a host share under one name.  See ``_core.pyi``."""

    cdef lb_segment file
    cdef lb_share *ptr                  # NULL: closed
    cdef lb_share_locks locks
    cdef readonly str name, dir
    cdef readonly uint32_t max_targets, max_workers
    cdef object mutex                   # of threads: a file lock does not keep them apart
    cdef uint32_t depth                 # how often its owner has locked
    cdef Py_ssize_t n_users             # upstreams, splits, and those who look in

    def __init__(self):
        raise TypeError("segments come from look_in()")

    cdef int make(self, const lb_share_size *size) except -1:
        """Open the file, or make it, and take a row."""
        cdef lb_segment_fault fault
        cdef lb_segment_shape shape = shape_of(size)
        cdef bytes dir = os.fsencode(self.dir), name = self.name.encode()
        cdef const char *where = dir
        cdef const char *what = name
        cdef int error
        with nogil:
            error = lb_segment_open(&self.file, where, what, shape, LOAD_WAIT_MS, &fault)
        if error:
            raise shared_fault(&fault)
        self.attach(size)
        lb_share_backing(self.ptr).row(self.ptr)    # now: the next opener takes a segment without rows for nobody's
        lb_segment_unlock(&self.file)
        return 0

    cdef int find(self) except -1:
        """Open what others share; never makes anything."""
        cdef lb_segment_fault fault
        cdef lb_share_size size
        cdef lb_error err
        cdef uint64_t head[8]
        cdef bytes dir = os.fsencode(self.dir), name = self.name.encode()
        cdef const char *where = dir
        cdef const char *what = name
        cdef int error
        with nogil:
            error = lb_segment_find(&self.file, where, what, head, sizeof(head), LOAD_WAIT_MS, &fault)
        if error:
            raise ConfigError("shared", fault.reason.decode("utf-8", "replace"))
        self.vet(lb_share_size_of(head, &size, &err), &err)
        self.file.shape = shape_of(&size)
        if lb_segment_map(&self.file, &fault):
            lb_segment_close(&self.file)
            raise shared_fault(&fault)
        self.attach(&size)
        lb_segment_unlock(&self.file)
        return 0

    cdef int attach(self, const lb_share_size *size) except -1:
        cdef lb_error err
        self.max_targets, self.max_workers = size.max_targets, size.max_workers
        self.locks.context = &self.file
        self.locks.take, self.locks.give = lb_segment_take_row, lb_segment_give_row
        self.vet(lb_share_open(&self.ptr, self.file.memory, size, new_seed(), &self.locks, &err), &err)
        lb_share_tell(self.ptr, os.getpid(), lb_clock_ns())
        return 0

    cdef int vet(self, lb_status status, lb_error *err) except -1:
        """What the core says of the file; a file that it refuses is closed, and so unlocked."""
        if status == LB_OK:
            return 0
        lb_segment_close(&self.file)
        if status == LB_ERR_NOMEM:
            raise MemoryError()
        reason = err.reason.decode("utf-8", "replace")
        raise ConfigError("shared", f"{reason} ({self.path}); shared_dir= names another place")

    cdef int leave(self) except -1:
        """The last user of the process is gone: give everything back, and remove the file if nobody else is there."""
        cdef lb_segment_fault fault
        cdef lb_share *share = self.ptr
        cdef bint last
        cdef int error = self.try_lock(LOAD_WAIT_MS, &fault)
        self.ptr = NULL
        if error and not lb_segment_was_removed(error):
            return 0                    # somebody loads for too long: the kernel gives back what is ours
        last = lb_share_close(share)
        if not error:
            if last:
                lb_segment_remove(&self.file)
            self.unlock()
        lb_segment_close(&self.file)
        return 0

    cdef int retire(self) except -1:
        """At the end of the program.  Nothing is freed, for threads may still run: they count for themselves now."""
        cdef lb_segment_fault fault
        if self.try_lock(LAST_WAIT_MS, &fault):
            return 0                    # the kernel gives back what is ours
        set_adrift(self)
        if lb_share_retire(self.ptr):
            lb_segment_remove(&self.file)
        self.unlock()
        return 0

    # ---- locks ----------------------------------------------------------------------------------------------

    cdef int try_lock(self, uint32_t wait_ms, lb_segment_fault *fault) except -1:
        """0, or an errno."""
        cdef int error = 0
        if not self.mutex.acquire(True, wait_ms / 1000):
            return lb_segment_busy(&self.file, fault)
        if self.depth == 0:
            with nogil:
                error = lb_segment_lock(&self.file, wait_ms, fault)
        if error:
            self.mutex.release()
        else:
            self.depth += 1
        return error

    cdef int lock(self) except -1:
        """For the time of a load.  Raises ConfigError where somebody else loads for too long."""
        cdef lb_segment_fault fault
        if self.try_lock(LOAD_WAIT_MS, &fault):
            raise shared_fault(&fault)
        return 0

    cdef int unlock(self) except -1:
        self.depth -= 1
        if self.depth == 0:
            lb_segment_unlock(&self.file)
        self.mutex.release()
        return 0

    cdef const lb_backing *backing(self) noexcept:
        return lb_share_backing(self.ptr)

    cdef int forked(self) except -1:
        self.mutex = _thread.RLock()    # its owner may be a thread of the parent
        self.depth = 0
        lb_share_forked(self.ptr)
        lb_share_tell(self.ptr, os.getpid(), lb_clock_ns())
        return 0

    # ---- looking in, also from outside ----------------------------------------------------------------------

    def close(self):
        """The end of a look in."""
        if self.ptr != NULL:
            let_go(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    @property
    def path(self):
        return self.file.path.decode("utf-8", "surrogateescape")

    cdef const lb_backing *opened(self) except NULL:
        if self.ptr == NULL:
            raise LbcoreError(f"segment {self.name!r} is closed")
        return self.backing()

    def workers(self):
        """Who uses it: ``pid since in_flight n_targets`` of each, as plain data."""
        cdef lb_share_worker found[64]
        cdef const lb_backing *backing = self.opened()
        cdef uint32_t i, n
        backing.sweep(backing.context)
        n = lb_share_workers(self.ptr, found, 64)
        return [
            {"pid": found[i].pid, "since": seconds(found[i].since_ns), "in_flight": found[i].in_flight,
             "n_targets": found[i].n_places}
            for i in range(n)
        ]

    def places(self):
        """Every target in use: ``place upstream target state until in_flight n_workers cut``, as plain data."""
        cdef lb_share_place place
        cdef uint32_t i
        found = []
        self.opened()
        for i in range(lb_share_places(self.ptr)):
            if lb_share_look(self.ptr, i, &place):
                upstream, _, target = place.name.decode("utf-8", "replace").partition(" ")
                found.append({
                    "place": i, "upstream": upstream, "target": target, "state": state_of(place.record),
                    "until": until_of(place.record), "in_flight": place.in_flight, "n_workers": place.n_workers,
                    "cut": len(place.name) == LB_SHARE_NAME - 1,
                })
        return found

    def drain(self, place, deadline=None):
        """Let the target of ``place`` take no new calls but those of its sessions, ``deadline`` seconds long (None:
        without end); False where nobody uses the place."""
        return self.set_drain(place, drain_end(deadline, lb_clock_ns()))

    def undrain(self, place):
        """Let the target of ``place`` take new calls again; False where nobody uses it."""
        return self.set_drain(place, 0)

    cdef bint set_drain(self, uint32_t place, uint64_t until) except -1:
        cdef lb_share_place found
        self.opened()
        if place >= lb_share_places(self.ptr) or not lb_share_look(self.ptr, place, &found):
            return False
        lb_word_write(&found.record.drain_until_ns, until)
        if found.common != NULL:
            lb_word_add(&found.common.epoch, 1)
        return True

    def __repr__(self):
        return f"Segment({self.name!r}, {self.path})"


cdef lb_segment_shape shape_of(const lb_share_size *size) except *:
    """How long the parts of a file of these sizes are."""
    cdef lb_segment_shape shape
    cdef lb_share_extent extent
    cdef lb_error err
    check(lb_share_measure(size, &extent, &err), &err)
    shape.whole, shape.head, shape.row = extent.whole, extent.head, extent.row
    return shape


cdef Segment new_segment(str name, str dir):
    cdef Segment segment = Segment.__new__(Segment)
    segment.file.fd = -1
    segment.name, segment.dir = name, dir
    segment.mutex = _thread.RLock()
    return segment


cdef Segment segment_of(shared):
    """The segment that ``shared`` (a name, or a Shared) means, with one user more; opened if this is the first."""
    cdef Segment segment
    cdef lb_share_size size
    from lbcore.options import Shared
    wanted = Shared(shared) if isinstance(shared, str) else shared
    if not isinstance(wanted, Shared):
        raise ConfigError("shared", f"{shown(shared)} is not a name or a Shared")
    size.max_targets, size.max_workers = wanted.max_targets, wanted.max_workers
    place = (os.path.realpath(wanted.directory), wanted.name)
    with OPENING:
        segment = SEGMENTS.get(place)
        if segment is None:
            segment = new_segment(wanted.name, place[0])
            segment.make(&size)
            SEGMENTS[place] = segment
        elif (segment.max_targets, segment.max_workers) != (wanted.max_targets, wanted.max_workers):
            raise ConfigError("shared", f"{wanted.name!r} is open in this process with "
                                        f"max_targets={segment.max_targets} and max_workers={segment.max_workers}")
        segment.n_users += 1
    plan_the_end()
    return segment


def look_in(name, dir):
    """The Segment that workers share under ``name`` in ``dir``, to be closed after use; makes none."""
    cdef Segment segment
    place = (os.path.realpath(checked_text("shared_dir", dir)), checked_text("shared", name))
    with OPENING:
        segment = SEGMENTS.get(place)
        if segment is None:
            segment = new_segment(place[1], place[0])
            segment.find()
            SEGMENTS[place] = segment
        segment.n_users += 1
    return segment


cdef int let_go(Segment segment) except -1:
    """One user less; the last one closes it."""
    with OPENING:
        segment.n_users -= 1
        if segment.n_users == 0:
            SEGMENTS.pop((segment.dir, segment.name), None)
            segment.leave()
    return 0


def give_back():
    """At the end of the program."""
    global ENDED
    cdef Segment segment
    if ENDED:
        return
    ENDED = True
    for segment in list(SEGMENTS.values()):
        segment.retire()


atexit.register(give_back)


cdef object planned_by = None           # the process that has planned its end


cdef int plan_the_end() except -1:
    """Where a process is a child of multiprocessing, nothing is done at its exit but what that module was told."""
    global planned_by
    util = sys.modules.get("multiprocessing.util")
    if util is not None and planned_by != os.getpid():
        util.Finalize(None, give_back, exitpriority=-1000)
        planned_by = os.getpid()
    return 0

# Segment: this process's end of a State that worker processes share.
#
# One a process and name: POSIX locks vanish when any descriptor of the file is closed.  Everything that allocates places
# is done between lock() and unlock(), by one thread of the process at a time.

cdef dict SEGMENTS = {}                 # (dir, name) -> Segment: all that are open
cdef uint32_t LOAD_WAIT_MS = 10000


cdef object shared_fault(lb_segment_fault *fault, name):
    return ConfigError("shared", f"{fault.reason.decode('utf-8', 'replace')}; shared_dir= names another place")


@cython.final
@cython.no_gc
cdef class Segment:
    """The memory that the workers of a host share under one name.  See ``_core.pyi``."""

    cdef lb_segment file
    cdef lb_share *ptr
    cdef lb_share_locks locks
    cdef readonly str name, dir
    cdef readonly uint32_t max_targets, max_workers
    cdef object mutex                   # of threads: a file lock does not keep them apart
    cdef Py_ssize_t n_users

    def __cinit__(self, name, dir, max_targets, max_workers):
        cdef lb_segment_fault fault
        cdef lb_share_extent extent
        cdef lb_share_size size
        cdef lb_segment_shape shape
        cdef lb_error err
        cdef lb_status status
        cdef int error
        cdef bytes folder = os.fsencode(dir), text = name.encode()
        cdef const char *where = folder
        cdef const char *what = text
        self.file.fd = -1
        self.name, self.dir, self.max_targets, self.max_workers = name, dir, max_targets, max_workers
        self.mutex = _thread.RLock()
        size.max_targets, size.max_workers = max_targets, max_workers
        check(lb_share_measure(&size, &extent, &err), &err)
        shape.whole, shape.head, shape.row = extent.whole, extent.head, extent.row
        with nogil:
            error = lb_segment_open(&self.file, where, what, shape, LOAD_WAIT_MS, &fault)
        if error:
            raise shared_fault(&fault, name)
        self.locks.context = &self.file
        self.locks.take, self.locks.give = lb_segment_take_row, lb_segment_give_row
        status = lb_share_open(&self.ptr, self.file.memory, &size, new_seed(), &self.locks, &err)
        lb_segment_unlock(&self.file)
        try:
            check(status, &err)
        except ConfigError as refused:
            lb_segment_close(&self.file)
            raise ConfigError("shared", f"{refused.problems[0].reason} ({self.path}); shared_dir= names another place") \
                from None
        lb_share_tell(self.ptr, os.getpid(), lb_clock_ns())

    def __dealloc__(self):
        self.leave()

    cdef int leave(self) except -1:
        """The last user of the process is gone: give everything back, and remove the file if nobody else is there."""
        cdef bint last
        if self.ptr == NULL or ENDED:
            return 0
        if self.take_lock(LOAD_WAIT_MS) != 0:
            self.ptr = NULL             # somebody loads for too long: the kernel gives back what is ours
            return 0
        last = lb_share_close(self.ptr)
        self.ptr = NULL
        if last:
            lb_segment_remove(&self.file)
        lb_segment_unlock(&self.file)
        lb_segment_close(&self.file)
        return 0

    cdef int take_lock(self, uint32_t wait_ms) except -1:
        cdef lb_segment_fault fault
        cdef int error
        with nogil:
            error = lb_segment_lock(&self.file, wait_ms, &fault)
        return error

    cdef int lock(self) except -1:
        """For the time of a load.  Raises ConfigError where another process loads for too long."""
        cdef lb_segment_fault fault
        cdef int error
        self.mutex.acquire()
        with nogil:
            error = lb_segment_lock(&self.file, LOAD_WAIT_MS, &fault)
        if error:
            self.mutex.release()
            raise shared_fault(&fault, self.name)
        return 0

    cdef int unlock(self) except -1:
        lb_segment_unlock(&self.file)
        self.mutex.release()
        return 0

    cdef const lb_backing *backing(self) noexcept:
        return lb_share_backing(self.ptr)

    cdef int forked(self) except -1:
        self.mutex = _thread.RLock()    # its owner may be a thread of the parent
        lb_share_forked(self.ptr)
        lb_share_tell(self.ptr, os.getpid(), lb_clock_ns())
        return 0

    # ---- looking in, also from outside ----------------------------------------------------------------------

    @property
    def path(self):
        return self.file.path.decode("utf-8", "surrogateescape")

    def workers(self):
        """Who uses it: ``pid since in_flight n_targets`` of each, as plain data."""
        cdef lb_share_worker found[64]
        cdef const lb_backing *backing = lb_share_backing(self.ptr)
        cdef uint32_t i, n
        backing.sweep(backing.context)
        n = lb_share_workers(self.ptr, found, 64)
        return [
            {"pid": found[i].pid, "since": seconds(found[i].since_ns), "in_flight": found[i].in_flight,
             "n_targets": found[i].n_places}
            for i in range(n)
        ]

    def places(self):
        """Every target in use: ``upstream target state until in_flight n_workers``, as plain data."""
        cdef lb_share_place place
        cdef uint32_t i
        found = []
        for i in range(lb_share_places(self.ptr)):
            if lb_share_look(self.ptr, i, &place):
                upstream, _, target = place.name.decode("utf-8", "replace").partition(" ")
                found.append({
                    "place": i, "upstream": upstream, "target": target, "state": state_of(place.record),
                    "until": until_of(place.record), "in_flight": place.in_flight, "n_workers": place.n_workers,
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
        if place >= lb_share_places(self.ptr) or not lb_share_look(self.ptr, place, &found):
            return False
        lb_word_write(&found.record.drain_until_ns, until)
        if found.common != NULL:
            lb_word_add(&found.common.epoch, 1)
        return True

    def __repr__(self):
        return f"Segment({self.name!r}, {self.path})"


cdef Segment segment_of(shared):
    """The segment that ``shared`` (a name, or a Shared) means, with one user more; opened if this is the first."""
    cdef Segment segment
    from lbcore.options import Shared
    wanted = Shared(shared) if isinstance(shared, str) else shared
    if not isinstance(wanted, Shared):
        raise ConfigError("shared", f"{shown(shared)} is not a name or a Shared")
    place = (wanted.directory, wanted.name)
    segment = SEGMENTS.get(place)
    if segment is None:
        segment = Segment(wanted.name, wanted.directory, wanted.max_targets, wanted.max_workers)
        SEGMENTS[place] = segment
    elif (segment.max_targets, segment.max_workers) != (wanted.max_targets, wanted.max_workers):
        raise ConfigError("shared", f"{wanted.name!r} is open in this process with max_targets={segment.max_targets} and "
                                    f"max_workers={segment.max_workers}")
    segment.n_users += 1
    return segment


cdef int let_go(Segment segment) except -1:
    """One user less; the last one closes it."""
    if ENDED:
        return 0
    segment.n_users -= 1
    if segment.n_users == 0:
        SEGMENTS.pop((segment.dir, segment.name), None)
        segment.leave()
    return 0


def remove_segments():
    """At the end of the program: remove the files that nobody else uses.  Nothing is freed: threads may still run, and
    the kernel takes back what is ours."""
    global ENDED
    cdef Segment segment
    ENDED = True
    for segment in list(SEGMENTS.values()):
        if segment.take_lock(100) == 0:
            if lb_share_alone(segment.ptr):
                lb_segment_remove(&segment.file)
            lb_segment_unlock(&segment.file)


atexit.register(remove_segments)

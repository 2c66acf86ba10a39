# Forks: what a child has of its own.  Open calls, rows and places are its parent's; draws and turns begin anew.
#
# The lists of all upstreams and splits hold nobody, so that these go when their users do.

cdef PyObject *FIRST_UPSTREAM = NULL


cdef void enlist(Upstream up) noexcept:
    """Into the list of all: it holds nobody, so that an upstream goes when its users do."""
    global FIRST_UPSTREAM
    up.behind = FIRST_UPSTREAM
    if FIRST_UPSTREAM != NULL:
        (<Upstream>FIRST_UPSTREAM).before = <PyObject *>up
    FIRST_UPSTREAM = <PyObject *>up


cdef void strike_off(Upstream up) noexcept:
    global FIRST_UPSTREAM
    if up.before != NULL:
        (<Upstream>up.before).behind = up.behind
    elif FIRST_UPSTREAM == <PyObject *>up:
        FIRST_UPSTREAM = up.behind
    if up.behind != NULL:
        (<Upstream>up.behind).before = up.before


cdef int forked_upstreams() except -1:
    cdef Upstream up
    cdef Target t
    cdef PyObject *at = FIRST_UPSTREAM
    while at != NULL:
        up = <Upstream>at
        lb_upstream_forked(up.ptr, new_seed())
        up.recount()
        up.orphan = up.segment is not None
        up.watchers = up.line = None        # those who wait are the parent's
        up.telling = False
        at = up.behind
    return 0


cdef uint64_t common_seed(str name, uint64_t seed) except? 0:
    """What all workers draw alike."""
    cdef lb_str text = utf8_of(name)
    return lb_xxh64(text.data, text.len, seed)


cdef PyObject *FIRST_SPLIT = NULL


cdef void enlist_split(Split split) noexcept:
    global FIRST_SPLIT
    split.behind = FIRST_SPLIT
    if FIRST_SPLIT != NULL:
        (<Split>FIRST_SPLIT).before = <PyObject *>split
    FIRST_SPLIT = <PyObject *>split


cdef void strike_off_split(Split split) noexcept:
    global FIRST_SPLIT
    if split.before != NULL:
        (<Split>split.before).behind = split.behind
    elif FIRST_SPLIT == <PyObject *>split:
        FIRST_SPLIT = split.behind
    if split.behind != NULL:
        (<Split>split.behind).before = split.before


cdef int forked_splits() except -1:
    cdef Split split
    cdef PyObject *at = FIRST_SPLIT
    while at != NULL:
        split = <Split>at
        lb_split_forked(split.ptr, new_seed())
        split.orphan = split.segment is not None
        at = split.behind
    return 0


cdef int set_adrift(Segment segment) except -1:
    """From here on the calls of its upstreams are counted in this process alone."""
    cdef Upstream up
    cdef PyObject *at = FIRST_UPSTREAM
    while at != NULL:
        up = <Upstream>at
        if up.segment is segment:
            lb_upstream_state(up.ptr).row = NULL
        at = up.behind
    return 0


def forked():
    """In the child of a fork: what the parent holds is the parent's."""
    global OPENING
    cdef Segment segment
    OPENING = _thread.RLock()
    for segment in SEGMENTS.values():
        segment.forked()
    forked_upstreams()
    forked_splits()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forked)

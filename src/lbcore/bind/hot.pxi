# The hot calls without their arguments' parsing.
#
# `router.match(method, host, target, headers)`, `up.pick()`, `up.pick(key)`, `up.acquire()`, `up.acquire(key)` and
# `call.done()` are what a proxy does for each request.  Cython's generated entry parses optional arguments even where
# there are none, which costs as much as the pick.  So the method table of these four gets an entry that tests for
# "none, or a key" (a match: nothing by name) first and hands everything else to Cython's own.
#
# An entry is `noexcept` and calls what may raise through a pointer: it then passes NULL and the exception on as they
# are, and its fast way stays free of code for errors.

ctypedef PyObject *(*entry)(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) noexcept
ctypedef PyObject *(*maker)(PyObject *self) noexcept
ctypedef PyObject *(*key_maker)(PyObject *self, PyObject *key) noexcept
ctypedef PyObject *(*match_maker)(PyObject *self, PyObject *const *args, Py_ssize_t n) noexcept

cdef extern from "Python.h":
    ctypedef struct PyMethodDef:
        void *ml_meth
        int ml_flags
    ctypedef struct PyMethodDescrObject:
        PyMethodDef *d_method
    const int METH_FASTCALL, METH_KEYWORDS
    bint PyUnicode_IS_COMPACT_ASCII(PyObject *text)
    void *PyUnicode_DATA(PyObject *text)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *text)
    bint PyUnicode_CheckExact(PyObject *o)

cdef entry parsed_pick, parsed_acquire, parsed_done, parsed_match
cdef maker make_pick = <maker><void *>&picked
cdef maker make_call = <maker><void *>&begun
cdef maker make_done = <maker><void *>&ended
cdef key_maker make_pick_of = <key_maker><void *>&picked_key
cdef key_maker make_call_of = <key_maker><void *>&begun_key
cdef match_maker make_match = <match_maker><void *>&matched


cdef PyObject *hot_pick(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) noexcept:
    cdef lb_upstream *up = (<Upstream>self).ptr
    cdef PyObject *target
    if n != 0 or names != NULL:
        if n == 1 and names == NULL and (<Upstream>self).keyed:
            return make_pick_of(self, args[0])
        return parsed_pick(self, args, n, names)
    if not lb_upstream_is_replaying(up):
        return make_pick(self)
    target = <PyObject *>lb_upstream_replay_user(up)
    Py_INCREF(<object>target)
    return target


cdef PyObject *picked(PyObject *self) except NULL:
    target = (<Upstream>self).first()
    Py_INCREF(target)
    return <PyObject *>target


cdef object quick_key(PyObject *key, lb_key *out):
    """As ``key_of``, quicker for a str of ASCII."""
    if PyUnicode_CheckExact(key) and PyUnicode_IS_COMPACT_ASCII(key):
        out.hashed = False
        out.text.data = <const char *>PyUnicode_DATA(key)
        out.text.len = <size_t>PyUnicode_GET_LENGTH(key)
        return None
    return key_of(<object>key, out)


cdef PyObject *picked_key(PyObject *self, PyObject *key) except NULL:
    cdef Upstream up = <Upstream>self
    cdef lb_key k
    cdef uint32_t member
    if <object>key is None:
        raise NoKey(up.name, up.policy.name)
    digits = quick_key(key, &k)
    member = lb_upstream_pick_key(up.ptr, &k, up.coarse())
    if member == LB_NONE:
        raise up.nobody()
    target = <object>lb_upstream_view(up.ptr).user[member]
    Py_INCREF(target)
    return <PyObject *>target


cdef PyObject *begun_key(PyObject *self, PyObject *key) except NULL:
    cdef Upstream up = <Upstream>self
    cdef lb_key k
    cdef uint32_t member
    cdef uint64_t now
    cdef Call call
    if <object>key is None:
        raise NoKey(up.name, up.policy.name)
    digits = quick_key(key, &k)
    call = Call.__new__(Call)
    now = up.start()
    member = lb_upstream_pick_key(up.ptr, &k, now)
    if member == LB_NONE:
        raise up.nobody()
    lb_upstream_begin_on(up.ptr, member, now, &call.c)
    up.opened(call)
    Py_INCREF(call)
    return <PyObject *>call


cdef PyObject *hot_acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) noexcept:
    if n == 0 and names == NULL:
        return make_call(self)
    if n == 1 and names == NULL and (<Upstream>self).keyed and (<Upstream>self).affinity is None:
        return make_call_of(self, args[0])
    return parsed_acquire(self, args, n, names)


cdef PyObject *begun(PyObject *self) except NULL:
    call = (<Upstream>self).start_first()
    Py_INCREF(call)
    return <PyObject *>call


cdef PyObject *hot_done(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) noexcept:
    if n != 0 or names != NULL or (<Call>self).judged:
        return parsed_done(self, args, n, names)
    if (<Call>self).upstream.learns or (<Call>self).upstream.watchers is not None:
        return make_done(self)
    quick_done(<Call>self)
    Py_INCREF(None)
    return <PyObject *>None


cdef inline void quick_done(Call call) noexcept:
    """Nobody asks when it ended, and nobody waits for its end."""
    if call.open:
        call.open = False
        call.judged = True
        lb_upstream_report(call.upstream.ptr, &call.c, &WENT_WELL, 0)
        lb_upstream_release(call.upstream.ptr, &call.c)


cdef PyObject *ended(PyObject *self) except NULL:
    (<Call>self).succeed()
    Py_INCREF(None)
    return <PyObject *>None


cdef PyObject *hot_match(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) noexcept:
    if names != NULL or n < 3 or n > 4:
        return parsed_match(self, args, n, names)
    return make_match(self, args, n)


cdef PyObject *matched(PyObject *self, PyObject *const *args, Py_ssize_t n) except NULL:
    cdef lb_request request
    forget_connection(&request)
    match = (<Router>self).found(&request, <object>args[0], <object>args[1], <object>args[2],
                                 <object>args[3] if n == 4 else (), None, None)
    Py_INCREF(match)
    return <PyObject *>match


cdef entry hasten(type cls, str name, entry hot) except NULL:
    """Put ``hot`` in the method table; returns what stood there."""
    cdef object method = cls.__dict__[name]
    cdef PyMethodDef *row = (<PyMethodDescrObject *>method).d_method
    cdef entry parsed = <entry>row.ml_meth
    if row.ml_flags != METH_FASTCALL | METH_KEYWORDS:
        raise SystemError(f"{cls.__name__}.{name} is not called as the hot entry expects")
    row.ml_meth = <void *>hot
    return parsed


parsed_pick = hasten(Upstream, "pick", &hot_pick)
parsed_acquire = hasten(Upstream, "acquire", &hot_acquire)
parsed_done = hasten(Call, "done", &hot_done)
parsed_match = hasten(Router, "match", &hot_match)

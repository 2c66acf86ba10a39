# The hot calls without their arguments' parsing.
#
# `up.pick()`, `up.acquire()` and `call.done()` without arguments are what a proxy does for each request.  Cython's
# generated entry parses optional arguments even where there are none, which costs as much as the pick.  So the method
# table of these three gets an entry that tests for "no arguments" first and hands everything else to Cython's own.
#
# An entry is `noexcept` and calls what may raise through a pointer: it then passes NULL and the exception on as they
# are, and its fast way stays free of code for errors.

ctypedef PyObject *(*entry)(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) noexcept
ctypedef PyObject *(*maker)(PyObject *self) noexcept

cdef extern from "Python.h":
    ctypedef struct PyMethodDef:
        void *ml_meth
        int ml_flags
    ctypedef struct PyMethodDescrObject:
        PyMethodDef *d_method
    const int METH_FASTCALL, METH_KEYWORDS

cdef entry parsed_pick, parsed_acquire, parsed_done
cdef maker make_pick = <maker><void *>&picked
cdef maker make_call = <maker><void *>&begun


cdef PyObject *hot_pick(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) noexcept:
    cdef lb_upstream *up = (<Upstream>self).ptr
    cdef PyObject *target
    if n != 0 or names != NULL:
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


cdef PyObject *hot_acquire(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) noexcept:
    return make_call(self) if n == 0 and names == NULL else parsed_acquire(self, args, n, names)


cdef PyObject *begun(PyObject *self) except NULL:
    call = (<Upstream>self).start_first()
    Py_INCREF(call)
    return <PyObject *>call


cdef PyObject *hot_done(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) noexcept:
    if n == 0 and names == NULL and not (<Call>self).judged and not (<Call>self).upstream.learns:
        (<Call>self).succeed()
        Py_INCREF(None)
        return <PyObject *>None
    return parsed_done(self, args, n, names)


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

# Long work beside running requests: let others have the interpreter, and make and free many objects without a stall.

from _thread import _count as n_other_threads
from time import sleep

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1
    void PyObject_GC_UnTrack(object o)
    bint PyObject_GC_IsTracked(object o)
    bint PyObject_IS_GC(object o)
    Py_ssize_t Py_REFCNT(object o)
    Py_ssize_t n_references "Py_REFCNT"(PyObject *o)
    void Py_DECREF(PyObject *o)
    void PyTuple_SET_ITEM(PyObject *t, Py_ssize_t i, PyObject *o)
    PyObject *PyTuple_GET_ITEM(PyObject *t, Py_ssize_t i)
    ctypedef int (*visitproc)(PyObject *o, void *arg) noexcept
    ctypedef int (*traverseproc)(PyObject *o, visitproc visit, void *arg) noexcept
    ctypedef PyObject *(*newfunc)(PyObject *cls, PyObject *args, PyObject *names) noexcept
    ctypedef struct PyTypeObject:
        traverseproc tp_traverse
        newfunc tp_new                  # made.pxi sets it
    PyTypeObject *Py_TYPE(PyObject *o)

cdef uint64_t STRETCH_NS = 300_000      # of work between two looks of others
cdef uint32_t STRIDE = 8                # items between two looks at the clock
cdef double PAUSE = 50e-6               # seconds; sleep(0) would let go and take again before anybody else wakes


class Stopped(Exception):
    """Raised in the work whose :class:`Yielder` was stopped."""


@cython.final
cdef class Yielder:
    """Gives the interpreter away every 300 microseconds of a long piece of work.  See ``_core.pyi``."""

    cdef uint64_t since, begun          # of this stretch: by the clock, and in the thread's CPU time (0: not begun)
    cdef uint64_t longest_ns
    cdef uint32_t left
    cdef bint stopped

    def __cinit__(self):
        self.since, self.left = lb_clock_ns(), STRIDE

    @property
    def longest(self):
        return seconds(self.longest_ns)

    def tick(self):
        """After each item of a few microseconds at most."""
        self.step()

    def stop(self):
        """Let the work end: its next pause raises ``Stopped``."""
        self.stopped = True

    def pause(self):
        """Give way now, whatever the time.  Raises ``Stopped``, and what signal handlers raise."""
        self.let_go()
        if n_other_threads():
            sleep(PAUSE)
        self.take_up()
        PyErr_CheckSignals()
        if self.stopped:
            raise Stopped("the work was stopped")

    cdef inline int step(self) except -1:
        self.left -= 1
        if self.left == 0:
            self.left = STRIDE
            if lb_clock_ns() - self.since >= STRETCH_NS:
                self.pause()
        return 0

    cdef void let_go(self) noexcept:
        """Before the interpreter is let go."""
        cdef uint64_t now = lb_clock_thread_ns()
        if self.begun and now - self.begun > self.longest_ns:
            self.longest_ns = now - self.begun

    cdef void take_up(self) noexcept:
        """After it was taken again: a new stretch begins."""
        self.begun, self.since, self.left = lb_clock_thread_ns(), lb_clock_ns(), STRIDE


# ---- no work for the cyclic collector ---------------------------------------------------------------------------

def settle(item, frozenset kinds):
    """Take ``item`` and what it is made of out of the cyclic collector's sight.  See ``_core.pyi``."""
    settle_one(<PyObject *>item, <void *>kinds)
    return item


def untrack(container):
    """As ``settle``, without looking at what is in it."""
    PyObject_GC_UnTrack(container)
    return container


cdef int settle_one(PyObject *o, void *kinds) noexcept:
    """As a visitor of tp_traverse.  What is not tracked was settled before, or is an atom: so this ends."""
    cdef object item = <object>o
    if PyObject_IS_GC(item) and PyObject_GC_IsTracked(item) and type(item) in <frozenset>kinds:
        PyObject_GC_UnTrack(item)
        Py_TYPE(o).tp_traverse(o, <visitproc>settle_one, kinds)
    return 0


def held_elsewhere(list parts not None):
    """True if somebody else has the last of ``parts``."""
    part = parts[len(parts) - 1]
    return Py_REFCNT(part) > 2              # the list, and this name


def dismantle(list parts not None, Yielder yielder not None):
    """Free ``parts`` and what they are made of without a stall.  See ``_core.pyi``."""
    held = []
    while parts:
        part = parts.pop()                  # which lets go of the one before
        yielder.step()
        if Py_REFCNT(part) > 1:             # somebody else has it, and will free it
            if isinstance(part, Router):
                held.append(part)
            continue
        if isinstance(part, tuple):
            empty_tuple(<tuple>part, yielder)
        elif isinstance(part, list):
            empty_list(<list>part, yielder)
        elif isinstance(part, Router):
            if (<Router>part).has_its_own_list():
                empty_list((<Router>part).made, yielder)
            yielder.let_go()
            part = None                     # its table goes without the interpreter
            yielder.take_up()
        elif hasattr(part, "parts"):
            parts.extend(part.parts())
    return held


cdef int empty_list(list items, Yielder yielder) except -1:
    while items:
        items.pop()
        yielder.step()
    return 0


cdef int empty_tuple(tuple items, Yielder yielder) except -1:
    """Nobody but our caller has it: its places may be written."""
    cdef PyObject *item
    cdef Py_ssize_t i
    for i in range(len(items)):
        item = PyTuple_GET_ITEM(<PyObject *>items, i)
        Py_INCREF(None)
        PyTuple_SET_ITEM(<PyObject *>items, i, <PyObject *>None)
        Py_DECREF(item)
        yielder.step()
    return 0

# Classes whose objects only lbcore makes: an empty one (``Call.__new__(Call)``) would point at nothing.
#
# Cython makes them through its own constructors, which stay as they are; Python finds one that refuses.

cdef PyObject *refused(PyObject *cls, PyObject *args, PyObject *names) except NULL:
    raise TypeError(f"{(<type>cls).__name__} objects come from lbcore: nobody else makes them")


cdef newfunc refuse = <newfunc><void *>&refused

for made_class in (Answer, AsyncStream, Attempts, Call, Event, Param, Policy, Stream, Subset, Want):
    (<PyTypeObject *>made_class).tp_new = refuse
del made_class

"""Mend one fault of Cython (3.3.1) in the C that it wrote: ``python mend.py _core.c``.

A list comprehension that runs out of memory gives its item back twice: ``__Pyx_ListComp_AppendAndDecref()`` does,
and so does the caller's error path.  Here the function leaves it to the caller.  Where the fault is gone nothing is
changed; ``test_em_oom`` notices if it comes back in another form.
"""

import pathlib
import sys

FAULT = """    int result = PyList_Append(list, x);
    Py_DECREF(x);
    return result;
"""
MENDED = """    int result = PyList_Append(list, x);
    if (result == 0) Py_DECREF(x);
    return result;
"""

path = pathlib.Path(sys.argv[1])
path.write_text(path.read_text(encoding="utf-8").replace(FAULT, MENDED), encoding="utf-8")

# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic, auto_pickle=False
# cython: boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=False, autotestdict=False
"""The compiled engine of lbcore.  Import from ``lbcore``; the documented contract is ``_core.pyi``.

One module from one file a C handle, in order of dependency.  Each class owns its handle: it converts, checks and calls,
and decides nothing.  ``binding=False`` makes a call a third cheaper.
"""
cimport cython
from cpython.buffer cimport (PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release,
                             PyObject_CheckBuffer, PyObject_GetBuffer)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.math cimport isfinite
from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from lbcore cimport *
from lbcore_route cimport *

import _thread
import atexit
import os
import sys
import time
import warnings
from types import MappingProxyType

from lbcore.errors import (BadRequest, ConfigError, ConfigWarning, LbcoreError, MissingKey, NoKey, NoRoute,
                           NoTarget)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_Check(object o)
    bint PyBytes_Check(object o)
    bint PyTuple_CheckExact(object o)
    PyObject *PyObject_CallNoArgs(object call) noexcept
    bint PyErr_ExceptionMatches(object kind) noexcept
    void PyErr_WriteUnraisable(object where) noexcept
    void Py_XDECREF(PyObject *o) noexcept

core_version = LBCORE_VERSION.decode()

include "check.pxi"
include "yielding.pxi"
include "policy.pxi"
include "hash.pxi"
include "health.pxi"
include "target.pxi"
include "want.pxi"
include "call.pxi"
include "segment.pxi"
include "options.pxi"
include "upstream.pxi"
include "watch.pxi"
include "batch.pxi"
include "split.pxi"
include "fork.pxi"
include "regex.pxi"
include "route.pxi"
include "match.pxi"
include "wait.pxi"
include "pool.pxi"
include "router.pxi"
include "made.pxi"
include "hot.pxi"

# From C to Python and back: statuses, numbers, text, time.

# The program is at its end: the last objects go after the module's own names, and nobody is left to mend anything.
cdef bint ENDED = False

cdef int check(lb_status status, lb_error *err) except -1:
    """The one place where a core status becomes an exception."""
    if status == LB_OK:
        return 0
    if status == LB_ERR_NOMEM:
        raise MemoryError()
    raise ConfigError(err.field.decode("utf-8", "replace"), err.reason.decode("utf-8", "replace"))


cdef object shown(value):
    """``value`` as error messages quote it, cut to 80 characters."""
    text = repr(value) if not isinstance(value, int) or -10**30 < value < 10**30 else "a huge number"
    return text if len(text) <= 80 else text[:77] + "..."


cdef int not_yet(what) except -1:
    raise LbcoreError(f"{what} is not available yet")


cdef uint64_t whole(field, value, uint64_t most) except? 0:
    """A whole number in 0..most."""
    if not isinstance(value, bool) and hasattr(value, "__index__"):
        number = value.__index__()
        if 0 <= number <= most:
            return number
    raise ConfigError(field, f"{shown(value)} is not a whole number in 0..{most}")


cdef object checked_text(field, value):
    """A non-empty str that UTF-8 can carry, without control characters."""
    cdef Py_ssize_t size
    if not isinstance(value, str) or not value:
        raise ConfigError(field, f"{shown(value)} is not a non-empty string")
    if type(value) is not str:
        value = str(value)
    try:
        PyUnicode_AsUTF8AndSize(value, &size)
    except UnicodeEncodeError:
        raise ConfigError(field, f"{shown(value)} cannot be written as UTF-8") from None
    if has_controls(value):
        raise ConfigError(field, f"{shown(value)} has control characters")
    return value


cdef bint is_text(value) except -1:
    """The quick answer to whether ``checked_text`` would return ``value`` itself; False: ask it."""
    return (type(value) is str and PyUnicode_IS_COMPACT_ASCII(<PyObject *>value) and value != ""
            and not has_controls(value))


cdef bint has_controls(str text) except -1:
    """In UTF-8 a byte below 0x80 is a character of its own."""
    cdef lb_str utf8 = utf8_of(text)
    cdef size_t i
    for i in range(utf8.len):
        if <unsigned char>utf8.data[i] < 0x20 or utf8.data[i] == 0x7f:
            return True
    return False


cdef lb_str utf8_of(str text) except *:
    """A view of the UTF-8 that ``text`` carries itself: valid as long as it lives."""
    cdef Py_ssize_t size = 0
    cdef lb_str out
    out.data = PyUnicode_AsUTF8AndSize(text, &size)
    out.len = <size_t>size
    return out


cdef int bytes_of(text, lb_str *out) except -1:
    """A view of a str or bytes of a request: valid as long as it lives.  BadRequest for anything else."""
    cdef Py_ssize_t size = 0
    if PyUnicode_Check(text):
        try:
            out.data = PyUnicode_AsUTF8AndSize(text, &size)
        except UnicodeEncodeError:
            raise BadRequest("a byte outside the grammar") from None
        out.len = <size_t>size
    elif PyBytes_Check(text):
        out.data = PyBytes_AS_STRING(text)
        out.len = <size_t>PyBytes_GET_SIZE(text)
    else:
        raise TypeError(f"a request is made of str and bytes, not {type(text).__name__}")
    return 0


cdef inline object ascii_of(lb_str text):
    return PyUnicode_DecodeASCII(text.data, <Py_ssize_t>text.len, "surrogateescape")


cdef inline object seconds(uint64_t ns):
    return ns / 1e9


cdef uint64_t nanoseconds(value) except? 0:
    """What an injected clock returned, in the core's unit."""
    cdef double s = value
    if not isfinite(s) or s < 0 or s > 1e10:
        raise ValueError(f"clock: {shown(value)} is not a time in 0..1e10 seconds")
    return <uint64_t>(s * 1e9)


cdef uint64_t latency_ns(value) except? 0:
    """How long a call took, in the core's unit."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1e9:
        raise ValueError(f"latency: {shown(value)} is not a time in 0..1e9 seconds")
    return <uint64_t>(<double>value * 1e9)


@cython.final
cdef class Hashed(int):
    """A key that is a hash already: it stands for the result of the policy's own hash of the key."""

    def __repr__(self):
        return f"Hashed({int(self)})"


cdef str key_of(key, lb_key *out):
    """Fill in ``out`` from a str, bytes or int (its decimal digits).  The bytes live as long as ``key`` and what is
    returned do."""
    cdef Py_ssize_t size = 0
    cdef str digits = None
    out.hashed = False
    if PyUnicode_Check(key):
        out.text.data = PyUnicode_AsUTF8AndSize(key, &size)
        out.text.len = <size_t>size
    elif PyBytes_Check(key):
        out.text.data = PyBytes_AS_STRING(key)
        out.text.len = <size_t>PyBytes_GET_SIZE(key)
    elif isinstance(key, int):
        digits = int.__repr__(key)
        out.text = utf8_of(digits)
        if isinstance(key, Hashed):
            out.hashed = True
            out.hash = key
    else:
        raise TypeError(f"key: a str, bytes or int, not {type(key).__name__}")
    return digits


cdef uint64_t new_seed() except? 0:
    return int.from_bytes(os.urandom(8), "little")

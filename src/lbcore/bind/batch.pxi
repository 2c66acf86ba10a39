# Many picks at once: into a caller's buffer of int32, or a new one (a numpy array where numpy is there).

cdef Py_ssize_t WORTH_LETTING_GO = 4096         # picks: above, other threads may run meanwhile
cdef Py_ssize_t KEYS_AT_ONCE = 4096              # of a list: what they touch stays in the cache until they are done

cdef extern from "Python.h":
    PyObject *PyList_GET_ITEM(object list, Py_ssize_t i)


cdef object new_indices(Py_ssize_t n):
    """Room for n int32: a numpy array if numpy is there, else an array.array."""
    try:
        import numpy
    except ImportError:
        from array import array
        return array("i", bytes(4 * n))
    return numpy.empty(n, numpy.int32)


cdef class Filled:
    """A caller's buffer, held while it is filled."""

    cdef Py_buffer view
    cdef bint held

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


cdef Filled filled(out, Py_ssize_t n):
    """The writable int32 buffer of ``out``, with room for n."""
    cdef Filled self = Filled.__new__(Filled)
    PyObject_GetBuffer(out, &self.view, PyBUF_WRITABLE | PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
    self.held = True
    if self.view.itemsize != 4 or self.view.format == NULL or self.view.format[0] not in b"il":
        raise ConfigError("out", "wanted: a writable, contiguous buffer of int32")
    if self.view.len < 4 * n:
        raise ConfigError("out", f"has room for {self.view.len // 4} indices; {n} are wanted")
    return self


cdef object pick_many(Upstream up, n, out):
    cdef lb_batch batch
    cdef Filled room
    cdef uint32_t count = <uint32_t>whole("n", n, 2**31 - 1)
    cdef uint64_t now
    if up.keyed:
        raise NoKey(up.name, up.policy.name)
    if out is None:
        out = new_indices(count)
    room = filled(out, count)
    now = up.coarse()
    if count > WORTH_LETTING_GO and lb_batch_begin(&batch, up.ptr, count, False, now):
        with nogil:
            lb_batch_turns(&batch, <int32_t *>room.view.buf, count)
        lb_batch_end(&batch)
    else:
        lb_upstream_pick_many(up.ptr, <int32_t *>room.view.buf, count, now)
    return out


cdef class Keys:
    """Keys of a batch, as the core takes them, with what their bytes belong to."""

    cdef lb_key *key
    cdef uint32_t n
    cdef object held
    cdef char *digits
    cdef Py_buffer view
    cdef bint viewed

    def __dealloc__(self):
        lb_free(self.key)
        lb_free(self.digits)
        if self.viewed:
            PyBuffer_Release(&self.view)

    cdef int reserve(self, Py_ssize_t n) except -1:
        if n > 2**31 - 1:
            raise ConfigError("keys", f"{n} keys; at most {2**31 - 1}")
        self.key = <lb_key *>lb_alloc_array(<size_t>n, sizeof(lb_key))
        if not self.key:
            raise MemoryError()
        self.n = <uint32_t>n
        return 0


cdef Keys listed_keys(list items):
    """The keys in ``items``, which nobody else has: it keeps their bytes."""
    cdef Keys self = Keys.__new__(Keys)
    cdef Py_ssize_t i, n = len(items)
    self.reserve(n)
    held = []
    for i in range(n):
        digits = quick_key(PyList_GET_ITEM(items, i), &self.key[i])
        if digits is not None:
            held.append(digits)
    self.held = items, held
    return self


cdef Keys numbered_keys(buffer):
    """A buffer of uint64: each key is its decimal digits, as for an int."""
    cdef Keys self = Keys.__new__(Keys)
    cdef Py_ssize_t i
    cdef uint64_t *number
    PyObject_GetBuffer(buffer, &self.view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
    self.viewed = True
    if self.view.itemsize != 8 or self.view.format == NULL or self.view.format[0] not in b"QL":
        raise ConfigError("keys", "wanted: a list of str, bytes and int, or a contiguous buffer of uint64")
    self.reserve(self.view.len // 8)
    self.digits = <char *>lb_alloc_array(<size_t>self.n, 20)
    if not self.digits:
        raise MemoryError()
    number = <uint64_t *>self.view.buf
    with nogil:
        for i in range(self.n):
            self.key[i].hashed = False
            self.key[i].text = decimal(number[i], self.digits + 20 * i)
    return self


cdef lb_str decimal(uint64_t number, char *end) noexcept nogil:
    """The digits of ``number``, written into the 20 bytes at ``end`` from their end."""
    cdef lb_str text
    cdef char *at = end + 20
    while True:
        at -= 1
        at[0] = <char>(48 + number % 10)
        number //= 10
        if number == 0:
            break
    text.data = at
    text.len = <size_t>(end + 20 - at)
    return text


cdef object pick_keys(Upstream up, keys, out):
    cdef Filled room
    cdef Keys k
    cdef Py_ssize_t n, at
    if not up.keyed:
        raise ConfigError("keys", f"{up.policy.name} does not use keys; pick_many(n) is its batch")
    if isinstance(keys, (str, bytes)):
        raise ConfigError("keys", f"{shown(keys)} is one key, not a list of keys")
    if not isinstance(keys, list) and PyObject_CheckBuffer(keys):
        k = numbered_keys(keys)
        out = new_indices(k.n) if out is None else out
        room = filled(out, k.n)
        pick_batch(up, k, <int32_t *>room.view.buf)
        return out
    items = keys if isinstance(keys, list) else list(keys)
    n = len(items)
    out = new_indices(n) if out is None else out
    room = filled(out, n)
    for at in range(0, n, KEYS_AT_ONCE):
        k = listed_keys(items[at:at + KEYS_AT_ONCE])
        if k.n != min(KEYS_AT_ONCE, n - at):
            raise RuntimeError("keys: another thread has shortened the list")
        pick_batch(up, k, <int32_t *>room.view.buf + at)
    return out


cdef int pick_batch(Upstream up, Keys k, int32_t *out) except -1:
    cdef lb_batch batch
    cdef uint64_t now = up.coarse()
    cdef uint32_t i
    if k.n < WORTH_LETTING_GO or not lb_batch_begin(&batch, up.ptr, k.n, True, now):
        lb_upstream_pick_keys(up.ptr, k.key, out, k.n, now)
        return 0
    with nogil:
        lb_batch_keys(&batch, k.key, out, k.n)
    lb_batch_end(&batch)
    for i in range(k.n):                    # whom the walk did not name
        if out[i] < 0:
            lb_upstream_pick_keys(up.ptr, &k.key[i], &out[i], 1, now)
    return 0

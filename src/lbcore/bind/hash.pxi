# Hash functions by name.

cdef const lb_hash *hash_of(name) except NULL:
    """The function ``name``, or ConfigError naming the nearest known one."""
    cdef const lb_hash *ptr = NULL
    if isinstance(name, str) and name.isascii():
        ptr = lb_hash_find(utf8_of(str(name)))
    if not ptr:
        raise ConfigError("hash", f"{shown(name)} is not known{nearest(name, list(hashes()))}")
    return ptr


cdef uint64_t seed_of(const lb_hash *ptr, seed) except? 0:
    """A seed that the function takes."""
    if ptr.seed_bits:
        return whole("seed", seed, 2**<object>ptr.seed_bits - 1)
    if whole("seed", seed, 2**64 - 1):
        raise ConfigError("seed", f"{shown(seed)} is given, and {ptr.name.decode()} has no seed")
    return 0


def hash_bytes(name, data, seed=0):
    """The hash of ``data`` by the function ``name``."""
    cdef const lb_hash *ptr = hash_of(name)
    cdef uint64_t start = seed_of(ptr, seed)
    cdef lb_str text
    if PyUnicode_Check(data):
        text = utf8_of(data)
    elif PyBytes_Check(data):
        text.data = PyBytes_AS_STRING(data)
        text.len = <size_t>PyBytes_GET_SIZE(data)
    else:
        raise TypeError(f"data: a str or bytes, not {type(data).__name__}")
    if ptr.takes and text.len != ptr.takes:
        raise ConfigError("data", f"{text.len} bytes; {ptr.name.decode()} takes exactly {ptr.takes}")
    return ptr.of(text, start)


def hashes():
    """Every hash function of this build: its summary by its name."""
    return {lb_hashes[i].name.decode(): lb_hashes[i].summary.decode() for i in range(lb_n_hashes)}

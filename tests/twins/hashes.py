"""The hash functions of the core, written down slowly: numbers without a width, cut to it where the rule cuts.

``TWINS[name](data, seed)`` is the twin of ``lbcore.hash_bytes(name, data, seed)``.  What the standard library has is
taken from there.  Sources are those of ``src/lbcore/hash/<name>.h``.
"""

import hashlib
import zlib

U32, U64 = 2**32 - 1, 2**64 - 1


def rotl(x, k, bits):
    return ((x << k) | (x >> (bits - k))) & (2**bits - 1) if k else x


def words(data, size):
    """Whole words of ``size`` bytes, little endian, and the bytes that are left over."""
    whole = len(data) // size * size
    return [le(data[i : i + size]) for i in range(0, whole, size)], data[whole:]


def le(data):
    return int.from_bytes(data, "little")


# ---- one byte after the other -----------------------------------------------------------------------------------


def reflected_crc(data, polynomial):
    """Bit by bit: the remainder of the message, lowest bit first."""
    state = U32
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (polynomial if state & 1 else 0)
    return state ^ U32


def polynomial(data, factor, start):
    """The digits of a number to the base ``factor``: ``start``, then the bytes of the text."""
    n = len(data)
    return sum(digit * pow(factor, n - i, 2**32) for i, digit in enumerate([start, *data])) & U32


def wt6(data):
    a, b, i, k = 0xA53C965A, 0x5CA6953A, 6, 18
    for byte in data:
        a, b = U32 - (a ^ byte), U32 - ((b + byte) & U32)
        a, b = rotl(b, i, 32), rotl(a, k, 32)
        mixed = (a >> 16 ^ b) & 0xFFFF
        i, k = mixed % 32, mixed // 2**11
    return a ^ b


def full_hash(x):
    x = (x + 0x7ED55D16 + (x << 12)) & U32
    x = x ^ 0xC761C23C ^ x >> 19
    x = (x + 0x165667B1 + (x << 5)) & U32
    x = (x + 0xD3A2646C & U32) ^ (x << 9 & U32)
    x = (x + 0xFD7046C5 + (x << 3)) & U32
    x = x ^ 0xB55A4F09 ^ x >> 16
    return x * (3 * 2**30 + 1) & U32


def fnv1a(data, start, prime, bits):
    for byte in data:
        start = (start ^ byte) * prime % 2**bits
    return start


def one_at_a_time(data):
    h = 0
    for byte in data:
        h = h + byte & U32
        h = h + (h << 10) & U32
        h ^= h >> 6
    h = h + (h << 3) & U32
    h ^= h >> 11
    return h + (h << 15) & U32


# ---- MurmurHash -------------------------------------------------------------------------------------------------


def murmur2(data, seed):
    m = 0xC6A4A7935BD1E995
    whole, rest = words(data, 8)
    h = seed ^ len(data) * m & U64
    for word in whole:
        word = word * m & U64
        word = (word ^ word >> 47) * m & U64
        h = (h ^ word) * m & U64
    if rest:
        h = (h ^ le(rest)) * m & U64
    h = (h ^ h >> 47) * m & U64
    return h ^ h >> 47


def murmur3_32(data, seed):
    def scrambled(word):
        return rotl(word * 0xCC9E2D51 & U32, 15, 32) * 0x1B873593 & U32

    whole, rest = words(data, 4)
    h = seed
    for word in whole:
        h = (rotl(h ^ scrambled(word), 13, 32) * 5 + 0xE6546B64) & U32
    h ^= scrambled(le(rest)) ^ len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & U32
    h = (h ^ h >> 13) * 0xC2B2AE35 & U32
    return h ^ h >> 16


def murmur3_128(data, seed):
    """Both halves, as one number."""
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F

    def low_of(word):
        return rotl(word * c1 & U64, 31, 64) * c2 & U64

    def high_of(word):
        return rotl(word * c2 & U64, 33, 64) * c1 & U64

    def mixed(h):
        h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & U64
        h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & U64
        return h ^ h >> 33

    whole, rest = words(data, 16)
    low = high = seed
    for word in whole:
        low = ((rotl(low ^ low_of(word & U64), 27, 64) + high) * 5 + 0x52DCE729) & U64
        high = ((rotl(high ^ high_of(word >> 64), 31, 64) + low) * 5 + 0x38495AB5) & U64
    low ^= low_of(le(rest[:8])) ^ len(data)
    high ^= high_of(le(rest[8:])) ^ len(data)
    low = low + high & U64
    high = high + low & U64
    low, high = mixed(low), mixed(high)
    low = low + high & U64
    return low | (high + low & U64) << 64


# ---- xxHash -----------------------------------------------------------------------------------------------------

PRIMES_32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)
PRIMES_64 = (
    *(0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9),
    *(0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5),
)


def lanes(stripes, seed, primes, turn, bits):
    """The four sums over all stripes of four words."""
    p1, p2, *_ = primes
    sums = [seed + p1 + p2, seed + p2, seed, seed - p1]
    for stripe in zip(*[iter(stripes)] * 4, strict=True):
        sums = [rotl((s + w * p2) % 2**bits, turn, bits) * p1 for s, w in zip(sums, stripe, strict=True)]
    return [s % 2**bits for s in sums]


def xxh32(data, seed):
    p1, p2, p3, p4, p5 = PRIMES_32
    whole = len(data) // 16 * 16
    if whole:
        sums = lanes(words(data[:whole], 4)[0], seed, PRIMES_32, 13, 32)
        h = sum(rotl(s, k, 32) for s, k in zip(sums, (1, 7, 12, 18), strict=True))
    else:
        h = seed + p5
    h = h + len(data) & U32
    rest, last = words(data[whole:], 4)
    for word in rest:
        h = rotl(h + word * p3 & U32, 17, 32) * p4 & U32
    for byte in last:
        h = rotl(h + byte * p5 & U32, 11, 32) * p1 & U32
    h = (h ^ h >> 15) * p2 & U32
    h = (h ^ h >> 13) * p3 & U32
    return h ^ h >> 16


def xxh64_avalanche(h):
    h = (h ^ h >> 33) * PRIMES_64[1] & U64
    h = (h ^ h >> 29) * PRIMES_64[2] & U64
    return h ^ h >> 32


def xxh64(data, seed):
    p1, p2, p3, p4, p5 = PRIMES_64

    def rounded(word):
        return rotl(word * p2 & U64, 31, 64) * p1 & U64

    whole = len(data) // 32 * 32
    if whole:
        sums = lanes(words(data[:whole], 8)[0], seed, PRIMES_64, 31, 64)
        h = sum(rotl(s, k, 64) for s, k in zip(sums, (1, 7, 12, 18), strict=True)) & U64
        for s in sums:
            h = ((h ^ rounded(s)) * p1 + p4) & U64
    else:
        h = seed + p5
    h = h + len(data) & U64
    eights, rest = words(data[whole:], 8)
    for word in eights:
        h = (rotl(h ^ rounded(word), 27, 64) * p1 + p4) & U64
    fours, last = words(rest, 4)
    for word in fours:
        h = (rotl(h ^ word * p1 & U64, 23, 64) * p2 + p3) & U64
    for byte in last:
        h = rotl(h ^ byte * p5 & U64, 11, 64) * p1 & U64
    return xxh64_avalanche(h)


SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)


def xxh3_avalanche(h):
    h = (h ^ h >> 37) * 0x165667919E3779F9 & U64
    return h ^ h >> 32


def folded(a, b):
    return (a * b & U64) ^ (a * b >> 64)


def key(at, size=8):
    return le(SECRET[at : at + size])


def mix_16(data, at, secret_at, seed):
    first, second = le(data[at : at + 8]), le(data[at + 8 : at + 16])
    return folded(first ^ (key(secret_at) + seed & U64), second ^ (key(secret_at + 8) - seed & U64))


def xxh3_up_to_16(data, seed):
    n = len(data)
    if n == 0:
        return xxh64_avalanche(seed ^ key(56) ^ key(64))
    if n <= 3:
        mixed = data[0] << 16 | data[n // 2] << 24 | data[-1] | n << 8
        return xxh64_avalanche(mixed ^ ((key(0, 4) ^ key(4, 4)) + seed & U64))
    if n <= 8:
        seed ^= le((seed & U32).to_bytes(4, "big")) << 32
        h = (le(data[-4:]) + (le(data[:4]) << 32)) ^ ((key(8) ^ key(16)) - seed & U64)
        h ^= rotl(h, 49, 64) ^ rotl(h, 24, 64)
        h = h * 0x9FB21C651E98DF25 & U64
        h ^= (h >> 35) + n
        h = h * 0x9FB21C651E98DF25 & U64
        return h ^ h >> 28
    low = le(data[:8]) ^ ((key(24) ^ key(32)) + seed & U64)
    high = le(data[-8:]) ^ ((key(40) ^ key(48)) - seed & U64)
    return xxh3_avalanche(n + le(low.to_bytes(8, "big")) + high + folded(low, high) & U64)


def xxh3_up_to_240(data, seed):
    n, h = len(data), len(data) * PRIMES_64[0]
    if n <= 128:
        for i in range((n + 31) // 32):
            h += mix_16(data, 16 * i, 32 * i, seed) + mix_16(data, n - 16 * (i + 1), 32 * i + 16, seed)
        return xxh3_avalanche(h & U64)
    h = xxh3_avalanche(h + sum(mix_16(data, 16 * i, 16 * i, seed) for i in range(8)) & U64)
    h += sum(mix_16(data, 16 * i, 16 * (i - 8) + 3, seed) for i in range(8, n // 16))
    return xxh3_avalanche(h + mix_16(data, n - 16, 136 - 17, seed) & U64)


def xxh3_longer(data, seed):
    signs = (1, -1) * 12
    secret = b"".join((key(8 * i) + sign * seed & U64).to_bytes(8, "little") for i, sign in enumerate(signs))
    (p1, p2, p3, p4, p5), (q1, q2, q3, *_) = PRIMES_64, PRIMES_32
    sums = [q3, p1, p2, p3, p4, q2, p5, q1]

    def take(stripe, secret_at):
        for i in range(8):
            word = le(stripe[8 * i : 8 * i + 8])
            keyed = word ^ le(secret[secret_at + 8 * i :][:8])
            sums[i ^ 1] += word
            sums[i] += (keyed & U32) * (keyed >> 32)

    for number in range((len(data) - 1) // 64):
        take(data[64 * number : 64 * number + 64], number % 16 * 8)
        if number % 16 == 15:
            for i in range(8):
                s = sums[i] & U64
                sums[i] = (s ^ s >> 47 ^ le(secret[128 + 8 * i :][:8])) * q1
    take(data[-64:], 192 - 64 - 7)
    h = len(data) * p1
    for i in range(4):
        a, b = sums[2 * i] & U64, sums[2 * i + 1] & U64
        h += folded(a ^ le(secret[11 + 16 * i :][:8]), b ^ le(secret[19 + 16 * i :][:8]))
    return xxh3_avalanche(h & U64)


def xxh3(data, seed):
    if len(data) <= 16:
        return xxh3_up_to_16(data, seed)
    return xxh3_up_to_240(data, seed) if len(data) <= 240 else xxh3_longer(data, seed)


TWINS = {
    "crc32": lambda data, seed: zlib.crc32(data),
    "crc32c": lambda data, seed: reflected_crc(data, 0x82F63B78),
    "djb2": lambda data, seed: polynomial(data, 33, 5381),
    "fnv1a_32": lambda data, seed: fnv1a(data, 0x811C9DC5, 0x01000193, 32),
    "fnv1a_64": lambda data, seed: fnv1a(data, 0xCBF29CE484222325, 0x00000100000001B3, 64),
    "full_hash": lambda data, seed: full_hash(le(data)),
    "md5": lambda data, seed: le(hashlib.md5(data, usedforsecurity=False).digest()[:4]),
    "murmur2": murmur2,
    "murmur3_128": lambda data, seed: murmur3_128(data, seed) & U64,
    "murmur3_32": murmur3_32,
    "one_at_a_time": lambda data, seed: one_at_a_time(data),
    "sdbm": lambda data, seed: polynomial(data, 65599, 0),
    "wt6": lambda data, seed: wt6(data),
    "xxh3": xxh3,
    "xxh32": xxh32,
    "xxh64": xxh64,
}
SEED_BITS = {"murmur2": 64, "murmur3_128": 32, "murmur3_32": 32, "xxh3": 64, "xxh32": 32, "xxh64": 64}

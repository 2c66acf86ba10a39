"""Known answers of the hash functions: PyPI's xxhash and mmh3, zlib, hashlib, and HAProxy's own converters."""

import json
import pathlib

import pytest

import lbcore
from twins.hashes import murmur3_128

VECTORS = json.loads((pathlib.Path(__file__).parent / "golden/vectors/hashes.json").read_text())
LOW_HALF = 2**64 - 1


def hashed(name, seed=0):
    return lambda data: lbcore.hash_bytes(name, data, seed)


def avalanche(name):
    return lambda data: lbcore.hash_bytes("full_hash", hashed(name)(data).to_bytes(4, "little"))


# Each row of the file by its name there: what it stands for in our words.
ROWS = {
    "xxh64": hashed("xxh64"),
    "xxh64_seed1": hashed("xxh64", 1),
    "xxh32": hashed("xxh32"),
    "xxh32_seed1": hashed("xxh32", 1),
    "xxh3_64": hashed("xxh3"),
    "murmur3_x86_32": hashed("murmur3_32"),
    "murmur3_x86_32_seed42": hashed("murmur3_32", 42),
    "murmur3_x64_128": hashed("murmur3_128"),
    "murmur2_64A_seed_c70f6907": hashed("murmur2", 0xC70F6907),
    "crc32": hashed("crc32"),
    "md5_first4_le": hashed("md5"),
    "fnv1a_64": hashed("fnv1a_64"),
    "fnv1a_32": hashed("fnv1a_32"),
    "nginx_plain_15bit": lambda data: hashed("crc32")(data) >> 16 & 0x7FFF,
    "haproxy_sdbm": hashed("sdbm"),
    "haproxy_djb2": hashed("djb2"),
    "haproxy_wt6": hashed("wt6"),
    "haproxy_crc32c": hashed("crc32c"),
    "haproxy_sdbm_avalanche": avalanche("sdbm"),
    "haproxy_djb2_avalanche": avalanche("djb2"),
    "haproxy_wt6_avalanche": avalanche("wt6"),
    "haproxy_crc32_avalanche": avalanche("crc32"),
}


def expected(row, answer):
    """What we must give: of MurmurHash3's 128 bits the register has the low half."""
    return int(answer) & LOW_HALF if row == "murmur3_x64_128" else int(answer)


def answers(row):
    """(data, answer) of every text that the peer was asked for, and of the binary ones."""
    texts = zip(VECTORS["texts"], VECTORS["hashes"][row], strict=True)
    binary = [(bytes.fromhex(b["hex"]), b[row]) for b in VECTORS["binary"] if row in b]
    return [(text.encode(), answer) for text, answer in texts if answer is not None] + binary


def wrong(row, known):
    return [data for data, answer in known if ROWS[row](data) != expected(row, answer)]


def test_every_row_of_the_file_is_checked():
    assert set(VECTORS["hashes"]) == set(ROWS)
    assert {row for b in VECTORS["binary"] for row in b} - {"hex"} <= set(ROWS)
    assert all(len(answers(row)) >= 250 for row in ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_known_answers(row):
    assert not wrong(row, answers(row))


@pytest.mark.parametrize("row", ROWS)
def test_one_changed_answer_is_noticed(row):
    known = answers(row)
    data, answer = known[len(known) // 2]
    known[len(known) // 2] = (data, str(int(answer) ^ 1))
    assert wrong(row, known) == [data]


def test_both_halves_of_murmur3_128():
    assert all(murmur3_128(data, 0) == int(answer) for data, answer in answers("murmur3_x64_128"))


def test_full_hash_of_haproxy():
    assert len(VECTORS["haproxy_full_hash"]) == 69
    for number, answer in VECTORS["haproxy_full_hash"]:
        assert lbcore.hash_bytes("full_hash", int(number).to_bytes(4, "little")) == int(answer)

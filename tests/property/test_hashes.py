"""The hash functions against their twins, and what holds for every function of the register."""

import pathlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from twins.hashes import SEED_BITS, TWINS

NAMES = sorted(TWINS)
BYTES = st.one_of(
    st.binary(max_size=40),
    st.binary(min_size=41, max_size=300),
    st.integers(230, 2200).flatmap(lambda n: st.binary(min_size=1, max_size=8).map(lambda b: (b * n)[:n])),
)


def data_for(name):
    return st.binary(min_size=4, max_size=4) if name == "full_hash" else BYTES


def seeds_for(name):
    bits = SEED_BITS.get(name)
    return st.integers(0, 2**bits - 1) if bits else st.just(0)


def test_every_function_has_a_twin():
    assert list(lbcore.hashes()) == NAMES


@pytest.mark.parametrize("name", NAMES)
@given(draw=st.data())
def test_a_function_is_its_twin(name, draw):
    data, seed = draw.draw(data_for(name)), draw.draw(seeds_for(name))
    assert lbcore.hash_bytes(name, data, seed) == TWINS[name](data, seed)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "full_hash"])
def test_every_length_is_right(name):
    text = bytes(i * 7 + i // 256 & 255 for i in range(2200))
    for n in [*range(260), *range(1020, 1030), *range(1085, 1092), 2047, 2048, 2049, 2113]:
        assert lbcore.hash_bytes(name, text[:n]) == TWINS[name](text[:n], 0)


@given(text=st.text(max_size=40))
def test_text_counts_as_its_utf8(text):
    assert lbcore.hash_bytes("xxh64", text) == lbcore.hash_bytes("xxh64", text.encode())


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(SEED_BITS)))
def test_a_function_without_a_seed_refuses_one(name):
    with pytest.raises(lbcore.ConfigError, match=f"seed: 7 is given, and {name} has no seed"):
        lbcore.hash_bytes(name, b"abcd", 7)


@pytest.mark.parametrize("name", sorted(SEED_BITS))
def test_a_seed_has_its_width(name):
    most = 2 ** SEED_BITS[name] - 1
    assert lbcore.hash_bytes(name, b"abcd", most) != lbcore.hash_bytes(name, b"abcd", most - 1)
    for wrong in (most + 1, -1, 0.5, "1", True):
        with pytest.raises(lbcore.ConfigError, match=rf"seed: .* is not a whole number in 0\.\.{most}"):
            lbcore.hash_bytes(name, b"abcd", wrong)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("xx64", b""), lbcore.ConfigError, "hash: 'xx64' is not known; did you mean 'xxh64'"),
        (("ééé", b""), lbcore.ConfigError, "hash: 'ééé' is not known; known: crc32, "),
        ((None, b""), lbcore.ConfigError, "hash: None is not known"),
        (("full_hash", b"abc"), lbcore.ConfigError, "data: 3 bytes; full_hash takes exactly 4"),
        (("md5", 3), TypeError, "data: a str or bytes, not int"),
    ],
)
def test_what_cannot_be_hashed_is_refused(arguments, error, said):
    with pytest.raises(error) as caught:
        lbcore.hash_bytes(*arguments)
    assert said in str(caught.value)


# ---- the register -----------------------------------------------------------------------------------------------

ROOT = pathlib.Path(__file__).parents[2]


def test_hashes_def_names_the_hash_files_and_no_others():
    folder = ROOT / "src" / "lbcore" / "hash"
    registered = re.findall(r"^LB_HASH\((\w+)\)$", (folder / "hashes.def").read_text(), re.M)
    described = [
        (path.stem, found)
        for path in folder.glob("*.c")
        for found in re.findall(r"^const lb_hash lb_hash_(\w+) *= *\{", path.read_text(), re.M)
    ]
    assert registered == sorted(registered) == NAMES
    assert sorted(described) == [(name, name) for name in registered], "file and symbol are the same word"


def test_the_reference_page_has_a_row_for_each():
    page = (ROOT / "docs" / "reference" / "hashes.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+)(?: of 128)? \| (\d*)", page, re.M)
    assert sorted(name for name, *_ in rows) == NAMES
    for name, bits, seed in rows:
        assert int(seed or 0) == SEED_BITS.get(name, 0)
        assert (lbcore.hash_bytes(name, b"abcd") >> 32 > 0) == (bits == "64")

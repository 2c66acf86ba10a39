"""libmemcached's ketama against the answers of libmemcached 1.1.4, and jump hash against the published algorithm's."""

import json
import pathlib

import pytest

import lbcore

VECTORS = pathlib.Path(__file__).parent / "golden" / "vectors"
KETAMA = json.loads((VECTORS / "libmemcached.json").read_text())
HASHES = json.loads((VECTORS / "hashes.json").read_text())

every_case = pytest.mark.parametrize("case", KETAMA["cases"], ids=lambda c: c["id"])


def differences(case, picks):
    targets = [lbcore.Target(b["address"], weight=b["weight"]) for b in case["backends"]]
    policy = lbcore.policy("ketama_libmemcached", weighted=case["params"]["weighted"])
    up = lbcore.Upstream("u", targets, policy)
    return sum(
        up.pick(key).index != pick for key, pick in zip(KETAMA["keys"][case["keys"]], picks, strict=True)
    )


@every_case
def test_every_pick_is_libmemcacheds(case):
    assert (case["policy"], case["kind"]) == ("libmemcached_ketama", "keyed")
    assert not any(b.get("down") for b in case["backends"])
    assert differences(case, case["picks"]) == 0


@every_case
def test_one_wrong_pick_is_seen(case):
    picks = list(case["picks"])
    picks[len(picks) // 2] = (picks[len(picks) // 2] + 1) % len(case["backends"])
    assert differences(case, picks) == 1


# ---- jump ---------------------------------------------------------------------------------------------------------


def shards(n):
    return lbcore.Upstream("u", [lbcore.Target(f"shard-{i}") for i in range(n)], "jump")


@pytest.mark.parametrize(("key", "n", "bucket"), HASHES["jump"])
def test_every_bucket_is_the_published_one(key, n, bucket):
    assert shards(n).pick(lbcore.Hashed(int(key))).index == bucket


def test_the_number_of_a_text_is_its_xxh64():
    up = shards(97)
    pairs = [(t, h) for t, h in zip(HASHES["texts"], HASHES["hashes"]["xxh64"], strict=True) if h is not None]
    assert len(pairs) > 200
    for text, number in pairs:
        assert up.pick(text) is up.pick(text.encode()) is up.pick(lbcore.Hashed(int(number)))

"""Kong's consistent hashing against the answers of Kong's own algorithm file.

``vectors/kong_consistent_hashing.json``: picks of targets given as addresses, also with one down.
``kong/balancer_hash.json``: also names of several addresses, unavailable targets, weight 0, and entries by address.
"""

import collections
import json
import pathlib

import pytest

import lbcore
from twins.kong import Wheel

GOLDEN = pathlib.Path(__file__).parent / "golden"
VECTORS = json.loads((GOLDEN / "vectors/kong_consistent_hashing.json").read_text())
RINGS = json.loads((GOLDEN / "kong/balancer_hash.json").read_text())["cases"]

every_case = pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda c: c["id"])
every_ring = pytest.mark.parametrize("ring", RINGS, ids=range(len(RINGS)))


def differences(case, picks):
    targets = [lbcore.Target(b["address"], weight=b["weight"]) for b in case["backends"]]
    up = lbcore.Upstream("u", targets, lbcore.policy("chash_kong", slots=case["params"]["slots"]))
    for target, backend in zip(up.targets, case["backends"], strict=True):
        up.set_health(target, not backend.get("down"))
    return sum(
        up.pick(key).index != pick for key, pick in zip(VECTORS["keys"][case["keys"]], picks, strict=True)
    )


@every_case
def test_every_pick_is_kongs(case):
    assert (case["policy"], case["kind"]) == ("kong_consistent_hashing", "keyed")
    assert differences(case, case["picks"]) == 0


@every_case
def test_one_wrong_pick_is_seen(case):
    picks = list(case["picks"])
    picks[len(picks) // 2] = (picks[len(picks) // 2] + 1) % len(case["backends"])
    assert differences(case, picks) == 1


def targets_of(ring):
    """The addresses of a ring as targets: a name of several is the hash_key of each."""
    for target in ring["targets"]:
        for address in target["addresses"]:
            yield (
                lbcore.Target(
                    f"{address['ip']}:{address['port']}",
                    weight=address["weight"],
                    hash_key=f"{target['host']}:{target['port']}",
                ),
                address.get("available", True),
            )


def ring_differences(ring, picks):
    given = list(targets_of(ring))
    up = lbcore.Upstream("u", [t for t, _ in given], lbcore.policy("chash_kong", slots=ring["slots"]))
    for target, (_, available) in zip(up.targets, given, strict=True):
        up.set_health(target, available)
    got = (up.pick_or_none(key) for key in ring["keys"])
    return sum((t and t.address) != pick for t, pick in zip(got, picks, strict=True))


@every_ring
def test_every_pick_of_a_ring_is_kongs(ring):
    assert ring_differences(ring, ring["expect"]["picks"]) == 0


@every_ring
def test_one_wrong_pick_of_a_ring_is_seen(ring):
    picks = list(ring["expect"]["picks"])
    picks[7] = next(a for a in ring["expect"]["entries_by_address"] if a != picks[7])
    assert ring_differences(ring, picks) == 1


@every_ring
def test_the_wheel_of_the_twin_is_kongs(ring):
    """Entries cannot be counted from outside; the core's picks are the twin's in property/test_kong.py."""
    given = list(targets_of(ring))
    wheel = Wheel([(t.address, t.hash_key, t.weight) for t, _ in given], ring["slots"])
    entries = collections.Counter(given[i][0].address for i in wheel.slots if i is not None)
    assert len(wheel.slots) == ring["expect"]["points"]
    assert entries == ring["expect"]["entries_by_address"]
    assert entries.total() == ring["expect"]["entries"]

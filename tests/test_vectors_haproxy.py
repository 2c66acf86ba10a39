"""HAProxy's recorded picks, replayed: every case of its files, without a difference."""

from __future__ import annotations

import copy
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

import lbcore

VECTORS = pathlib.Path(__file__).parent / "golden" / "vectors"
FILES = (
    "haproxy_consistent.json",
    "haproxy3_consistent.json",
    "haproxy_map.json",
    "haproxy_rr.json",
    "traces.json",
)

Case = dict[str, Any]


def read() -> dict[str, tuple[Case, dict[str, list[str]]]]:
    """Every case of HAProxy by its id, with the keys that it may name."""
    found = {}
    for name in FILES:
        content = json.loads((VECTORS / name).read_text())
        for case in content["cases"]:
            if case["policy"].startswith("haproxy_"):
                found[case["id"]] = (case, content.get("keys", {}))
    return found


CASES = read()
SEQUENCES = {
    "haproxy_roundrobin": "roundrobin_haproxy",
    "haproxy_static_rr": "static_rr_haproxy",
    "haproxy_leastconn_idle": "leastconn_haproxy",
    "haproxy_leastconn": "leastconn_haproxy",
}


def policy_of(case: Case) -> lbcore.Policy:
    """Our policy for a case, spelt as a user would."""
    params = dict(case["params"])
    if case["policy"] in SEQUENCES:
        assert not params
        return lbcore.policy(SEQUENCES[case["policy"]])
    consistent = case["policy"] == "haproxy_consistent"
    if params.pop("input", None) == "source":
        kind = "consistent" if consistent else "map-based"
        return lbcore.policy("source_haproxy", type=kind, avalanche=params.pop("avalanche"))
    if params.pop("bare", False):
        assert params.pop("function") == "sdbm"
        assert params.pop("avalanche") == consistent
    elif "hash_balance_factor" in params:  # recorded with a bare hash-type
        assert params.pop("function") == "sdbm"
        assert params.pop("avalanche")
    return lbcore.policy("chash_haproxy" if consistent else "map_haproxy", **params)


def upstream(case: Case) -> lbcore.Upstream:
    by_guid = case["params"].get("hash_key") == "guid"
    targets = [
        lbcore.Target(
            backend["address"],
            id=backend["id"],
            weight=backend["weight"],
            hash_key=backend["guid"]
            if by_guid
            else str(backend["server_id"])
            if "server_id" in backend
            else None,
        )
        for backend in case["backends"]
    ]
    up = lbcore.Upstream("u", targets, policy_of(case), health=None)
    for target, backend in zip(up.targets, case["backends"], strict=True):
        if backend.get("down"):
            up.set_health(target, False)
    return up


def replay(case: Case, keys: dict[str, list[str]]) -> Sequence[tuple[int, int]]:
    """What differs: pairs of (recorded, ours)."""
    up = upstream(case)
    if "steps" in case:
        return replay_trace(up, case["steps"])
    asked = [(key,) for key in keys[case["keys"]]] if case["kind"] == "keyed" else [()] * len(case["picks"])
    assert len(asked) == len(case["picks"])
    pairs = []
    for recorded, args in zip(case["picks"], asked, strict=True):
        with up.acquire(*args) as call:  # one request at a time
            pairs.append((recorded, call.target.index))
    return [pair for pair in pairs if pair[0] != pair[1]]


def replay_trace(up: lbcore.Upstream, steps: list[list[Any]]) -> Sequence[tuple[int, int]]:
    calls, differing = [], []
    for step in steps:
        if step[0] == "-":
            calls[step[1]].done()
            continue
        _, key, recorded = step
        call = up.acquire() if key is None else up.acquire(key)
        calls.append(call)
        if call.target.index != recorded:
            differing.append((recorded, call.target.index))
    for call in calls:
        call.done()
    return differing


def test_the_files_are_all_there() -> None:
    counts = {"haproxy_consistent": 0, "haproxy_map": 0, "haproxy_roundrobin": 0, "haproxy_static_rr": 0}
    counts |= {"haproxy_leastconn_idle": 0, "haproxy_leastconn": 0}
    for case, _ in CASES.values():
        counts[case["policy"]] += 1
    assert all(counts.values())


@pytest.mark.parametrize("name", CASES)
def test_every_pick_is_haproxys(name: str) -> None:
    assert replay(*CASES[name]) == []


@pytest.mark.parametrize("name", CASES)
def test_one_changed_pick_is_seen(name: str) -> None:
    case, keys = CASES[name]
    changed = copy.deepcopy(case)
    n = len(case["backends"])
    if "steps" in case:
        starts = [step for step in changed["steps"] if step[0] == "+"]
        starts[len(starts) // 2][2] = (starts[len(starts) // 2][2] + 1) % n
    else:
        middle = len(case["picks"]) // 2
        changed["picks"][middle] = (case["picks"][middle] + 1) % n
    assert len(replay(changed, keys)) == 1

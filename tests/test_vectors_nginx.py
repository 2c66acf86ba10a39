"""What nginx 1.22.1 picked, case by case (``golden/vectors/nginx.json``, ``traces.json``)."""

import json
import pathlib

import pytest

import lbcore

VECTORS = pathlib.Path(__file__).parent / "golden" / "vectors"
NGINX = json.loads((VECTORS / "nginx.json").read_text())
TRACES = json.loads((VECTORS / "traces.json").read_text())
POLICIES = {
    "nginx_hash_consistent": "ketama_nginx",
    "nginx_hash": "hash_nginx",
    "nginx_ip_hash": "ip_hash_nginx",
    "nginx_round_robin": "smooth_nginx",
    "nginx_least_conn_idle": "least_conn_nginx",
    "nginx_least_conn": "least_conn_nginx",
}

every_case = pytest.mark.parametrize("case", NGINX["cases"], ids=lambda case: case["id"])
every_trace = pytest.mark.parametrize(
    "trace", [c for c in TRACES["cases"] if c["policy"] in POLICIES], ids=lambda case: case["id"]
)


def upstream(case):
    """The upstream of a case: backups are of a second priority, which serves where the first has nobody."""
    targets = [
        lbcore.Target(b["address"], id=b["id"], weight=b["weight"], priority=int(b.get("backup", False)))
        for b in case["backends"]
    ]
    levels = lbcore.Levels(spill=False)
    up = lbcore.Upstream(case["id"], targets, POLICIES[case["policy"]], health=None, levels=levels)
    for target, backend in zip(up.targets, case["backends"], strict=True):
        if backend.get("down"):
            up.set_health(target, False)
    return up


def replay(case):
    """What we pick where nginx picked ``case["picks"]``."""
    up = upstream(case)
    keys = [()] * len(case["picks"])
    if case["kind"] == "keyed":
        keys = [(key,) for key in NGINX["keys"][case["keys"]]]
    return [up.pick(*key).index for key in keys]


def replay_trace(trace):
    up, calls = upstream(trace), []
    for step in trace["steps"]:
        if step[0] == "+":
            calls.append(up.acquire())
        else:
            calls[step[1]].done()
    return [call.target.index for call in calls]


def picks(trace):
    return [step[2] for step in trace["steps"] if step[0] == "+"]


def differences(got, want):
    assert len(got) == len(want)
    return [(i, a, b) for i, (a, b) in enumerate(zip(got, want, strict=True)) if a != b]


@every_case
def test_every_pick_is_nginxs(case):
    assert differences(replay(case), case["picks"]) == []


@every_trace
def test_every_pick_under_load_is_nginxs(trace):
    assert differences(replay_trace(trace), picks(trace)) == []


def test_one_other_pick_is_noticed():
    for i, case in enumerate(NGINX["cases"]):
        place = i * 7 % len(case["picks"])
        other = [*case["picks"]]
        other[place] = (other[place] + 1) % len(case["backends"])
        assert [d[0] for d in differences(replay(case), other)] == [place]
    for trace in TRACES["cases"]:
        if trace["policy"] in POLICIES:
            other = [(pick + (i == 50)) % len(trace["backends"]) for i, pick in enumerate(picks(trace))]
            assert [d[0] for d in differences(replay_trace(trace), other)] == [50]


def test_nothing_is_left_out():
    assert len(NGINX["cases"]) == 34
    assert {c["policy"] for c in NGINX["cases"]} <= set(POLICIES)
    assert sum(c["policy"] in POLICIES for c in TRACES["cases"]) == 2

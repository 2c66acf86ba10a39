"""Every pick that a real Envoy made, made again: ring_hash, maglev, bounded loads, hash policies, levels, panic."""

import json
import pathlib

import pytest

import lbcore
from twins import envoy

VECTORS = pathlib.Path(__file__).parent / "golden" / "vectors"
FILES = {
    name: json.loads((VECTORS / f"envoy_{name}.json").read_text())
    for name in ("ring_hash", "maglev", "hash_policy", "rr")
}
TRACES = [
    c for c in json.loads((VECTORS / "traces.json").read_text())["cases"] if c["policy"].startswith("envoy_")
]
KEYED = [
    pytest.param(case, file["keys"][case["keys"]], id=case["id"])
    for file in FILES.values()
    for case in file["cases"]
    if case["kind"] == "keyed"
]
SEQUENCES = [pytest.param(case, id=case["id"]) for case in FILES["rr"]["cases"] if case["kind"] == "sequence"]


# ---- how a case becomes an upstream -----------------------------------------------------------------------------


def upstream(case):
    """The case's backends as an upstream; ids are their indices in the case."""
    own = ("hash_policy", "panic_threshold", "priorities")
    params = {k: v for k, v in case["params"].items() if k not in own}
    targets = [
        lbcore.Target(
            b["address"],
            id=str(i),
            weight=b["weight"],
            hash_key=b.get("hash_key"),
            priority=b.get("priority", 0),
        )
        for i, b in enumerate(case["backends"])
    ]
    policy = lbcore.policy(case["policy"].removeprefix("envoy_"), **params)
    levels = lbcore.Levels(panic=case["params"].get("panic_threshold", 0))
    up = lbcore.Upstream(case["id"], targets, policy, levels=levels, seed=1)
    for target, b in zip(up, case["backends"], strict=True):
        up.set_health(target, not b.get("down", False))
    return up


class Request:
    """A request that has the parts of a case's key, as ``KeySource`` asks for them."""

    path, params = "/", {}

    def __init__(self, parts):
        self.parts = {k: v if isinstance(v, list) else [v] for k, v in parts.items()}
        self.query = "".join(f"q={v}" for v in self.parts.get("query:q", [])) or None
        self.source = self.parts.get("source_ip", [None])[0]

    def header_values(self, name):
        if name == "cookie":
            return [f"other=1; sid={v}" for v in self.parts.get("cookie:sid", [])]
        return self.parts.get(f"header:{name}", [])


def key_of(case, key):
    """What goes to pick(); None: Envoy drew at random."""
    policies = case["params"].get("hash_policy")
    if policies is None:
        return key
    named = [(p["from"].replace("source_ip", "ip"), p.get("terminal", False)) for p in policies]
    source = lbcore.KeySource(
        *[name for name, _ in named], combine=True, terminal=[name for name, ends in named if ends]
    )
    return source.of(Request(key))


def replayed(case, keys):
    """The index of the backend for each key; None where Envoy drew at random."""
    up = upstream(case)
    given = [key_of(case, key) for key in keys]
    return [None if key is None else int(up.pick(key).id) for key in given]


def differences(case, keys):
    """The places where a pick of ours is not Envoy's; where none of its hash policies applied, neither does ours."""
    got = replayed(case, keys)
    assert len(got) == len(case["picks"]) > 0
    return [i for i, (a, b) in enumerate(zip(got, case["picks"], strict=True)) if a != b]


# ---- keyed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "keys"), KEYED)
def test_every_key_goes_where_envoy_sent_it(case, keys):
    assert differences(case, keys) == []


@pytest.mark.parametrize(("case", "keys"), KEYED)
def test_a_changed_pick_is_seen(case, keys):
    place = next(i for i, pick in enumerate(case["picks"]) if i > 100 and pick is not None)
    picks = list(case["picks"])
    picks[place] = (picks[place] + 1) % len(case["backends"])
    assert differences({**case, "picks": picks}, keys) == [place]


# ---- bounded loads ----------------------------------------------------------------------------------------------


def wrong_steps(case):
    """The "+" steps in which we chose another backend than Envoy; the trace goes on with Envoy's choice."""
    up, calls, wrong = upstream(case), [], []
    for i, (what, *rest) in enumerate(case["steps"]):
        if what == "+":
            calls.append(up.acquire(rest[0]))
            if calls[-1].target.id != str(rest[1]):
                wrong.append(i)
        else:
            calls[rest[0]].done()
    for call in calls:
        call.done()
    assert up.stats()["in_flight"] == 0
    return wrong


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in TRACES])
def test_every_call_goes_where_envoy_sent_it(case):
    assert wrong_steps(case) == []
    place = next(i for i, step in enumerate(case["steps"]) if i > 50 and step[0] == "+")
    what, key, pick = case["steps"][place]
    steps = [
        *case["steps"][:place],
        [what, key, (pick + 1) % len(case["backends"])],
        *case["steps"][place + 1 :],
    ]
    assert wrong_steps({**case, "steps": steps}) == [place]


def test_the_traces_go_beyond_the_first_choice():
    """Else they would prove nothing about the overflow.  (Of one case with factor 200 every call fits.)"""
    beyond = 0
    for case in TRACES:
        plain = {**case, "params": {k: v for k, v in case["params"].items() if k != "hash_balance_factor"}}
        beyond += len(wrong_steps(plain))
    assert beyond > 100


# ---- round robin ------------------------------------------------------------------------------------------------


def weights_of(case):
    return [0 if b.get("down") else b["weight"] for b in case["backends"]]


def a_rotation(weights, picks):
    """Whether equal members come in the order of the list, from any place on."""
    usable = [i for i, w in enumerate(weights) if w]
    start = usable.index(picks[0])
    return list(picks) == [usable[(start + i) % len(usable)] for i in range(len(picks))]


@pytest.mark.parametrize("case", SEQUENCES)
def test_a_recorded_order_is_a_schedule_by_earliest_deadline(case):
    weights, picks = weights_of(case), case["picks"]
    assert envoy.explained(weights, picks)
    equal = len(set(weights) - {0}) == 1
    if equal:
        assert a_rotation(weights, picks)
    place = len(picks) // 2
    changed = [
        *picks[:place],
        next(i for i, w in enumerate(weights) if w and i != picks[place]),
        *picks[place + 1 :],
    ]
    assert not envoy.explained(weights, changed)
    assert not equal or not a_rotation(weights, changed)


@pytest.mark.parametrize("case", SEQUENCES)
def test_edf_gives_such_orders(case):
    up = upstream({**case, "policy": "edf"})
    picks = [up.pick().index for _ in case["picks"]]
    assert envoy.explained(weights_of(case), picks)
    if len(set(weights_of(case)) - {0}) == 1:
        assert a_rotation(weights_of(case), picks)


# ---- the twin itself --------------------------------------------------------------------------------------------


def twin_of(case):
    hosts = [
        ((b.get("hash_key") or b["address"]).encode(), b["weight"])
        for b in case["backends"]
        if not b.get("down")
    ]
    if case["policy"] == "envoy_maglev":
        return envoy.Maglev(hosts, case["params"]["table_size"])
    point = envoy.xxh64 if case["params"]["hash_function"] == "XX_HASH" else envoy.murmur_point
    return envoy.Ring(hosts, case["params"]["minimum_ring_size"], case["params"]["maximum_ring_size"], point)


@pytest.mark.parametrize("name", ["ring_hash", "maglev"])
def test_the_twin_is_envoy_too(name):
    """One level and no panic; of Maglev the small tables and one of full size."""
    file = FILES[name]
    for case in file["cases"]:
        big = case["params"].get("table_size", 0) > 1000 and case["id"] != "envoy/maglev/odd"
        if big or "panic_threshold" in case["params"] or "priorities" in case["params"]:
            continue
        twin, usable = twin_of(case), [i for i, b in enumerate(case["backends"]) if not b.get("down")]
        picks = [usable[twin.pick(envoy.xxh64(key.encode()))] for key in file["keys"][case["keys"]]]
        assert picks == case["picks"], case["id"]

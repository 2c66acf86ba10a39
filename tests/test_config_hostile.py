"""Broken and hostile configuration: a ConfigError or a report, soon, and nothing else."""

import copy
import json
import pathlib
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import lbcore
from bodies import built

HERE = pathlib.Path(__file__).parent
CASES = json.loads((HERE / "golden/badinput/configs.json").read_text())["cases"]
CANARY = [
    document
    for path in sorted((HERE.parent / "examples/canary").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
SHORT = {
    "lbcore": 1,
    "listeners": {"web": {"protocol": "http", "port": 80, "hostname": "*.a.com"}, "dns": {"protocol": "udp",
    "port": 53}},
    "upstreams": {
        "a": {"policy": {"name": "round_robin", "phase": 0}, "targets": [{"address": "10.0.0.1:80",
        "weight": 3, "labels": {"x": "y"}}]},
        "b": {"targets": ["[::1]:80"], "seed": 1},
    },
    "routes": [
        {"name": "r", "listeners": ["web"], "hosts": ["x.a.com"], "path": "/p", "path_type": "exact",
        "methods": ["GET"],
         "headers": {"x": "1"}, "query": {"q": "1"}, "backends": [{"upstream": "a", "weight": 2}, "b"]},
        {"name": "s", "listeners": ["dns"], "backends": ["b"]},
    ],
}  # fmt: skip
FEATURES = [case["objects"] for name in ("attach", "gateways", "rules") for case in
            yaml.safe_load((HERE / f"golden/config/{name}.yaml").read_text())]  # fmt: skip


@pytest.mark.parametrize("case", [c for c in CASES if c["format"] == "gateway"], ids=lambda c: c["id"])
def test_gateway_cases(case):
    began = time.process_time()
    report = lbcore.load(built(case["body"])).report()
    assert time.process_time() - began < case["max_ms"] / 1000
    messages = [str(problem) for problem in report.problems]
    assert all(len(message) <= 500 for message in messages)
    if case["expect"] == "reject":
        assert any(field in message for field in case["field"] for message in messages)
        with pytest.raises(lbcore.ConfigError):
            lbcore.load(built(case["body"]), strict=True)


@pytest.mark.parametrize("case", [c for c in CASES if c["format"].endswith("-text")], ids=lambda c: c["id"])
def test_text_cases(case):
    """Of formats that are not there yet; reading their text must not harm either."""
    text = built(case["body"])
    began = time.process_time()
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load(text if text.startswith("{") else text + "\n")
    assert time.process_time() - began < case["max_ms"] / 1000
    assert len(str(caught.value)) <= 500


# ---- mutations --------------------------------------------------------------------------------------------------

odd = st.sampled_from([
    None, True, False, 0, -1, 1, 65536, 10**30, 10**400, 1.5, float("nan"), float("inf"), 1e300, "", " ", "x",
    "/", "*", "*.", "\x00",
    "a\nb", "\ud800", "é", "a" * 5000, "-", "0", "80", "HTTP", "TCP", "Service", "Gateway", "v1", "default",
    "httpbin", "Same", [], {},
    [[]], [{}], [None], {"": None}, {"a": 1}, {"name": "x"}, ["a"] * 100, {"name": {"name": []}}, b"x",
    object(), (), {1: 2},
])  # fmt: skip
keys = st.sampled_from(
    [
        "name",
        "namespace",
        "port",
        "weight",
        "kind",
        "group",
        "filters",
        "hostnames",
        "x",
        "",
        "from",
        "spec",
        "matches",
    ]
)


@st.composite
def mutated(draw, documents):
    """The documents with a few values dropped, replaced, nested, doubled or added."""
    data = copy.deepcopy(documents)
    for _ in range(draw(st.integers(1, 4))):
        places = list(places_of(data))
        box, key = places[draw(st.integers(0, len(places) - 1))]
        action = draw(st.sampled_from(["drop", "replace", "nest", "double", "add"]))
        if action == "drop":
            del box[key]
        elif action == "replace":
            box[key] = copy.deepcopy(draw(odd))
        elif action == "nest":
            box[key] = draw(st.sampled_from([[box[key]], {"a": box[key]}, {"name": box[key]}]))
        elif action == "double" and isinstance(box, list):
            box.append(copy.deepcopy(box[key]))
        elif isinstance(box, dict):
            box[draw(keys)] = copy.deepcopy(draw(odd))
        if not data:
            break
    return data


def places_of(data):
    """Every (container, key) inside ``data``."""
    for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
        yield data, key
        if isinstance(value, (dict, list)) and value:
            yield from places_of(value)


def check(data):
    began = time.process_time()
    try:
        engine = lbcore.load(data)
    except lbcore.ConfigError as error:
        problems = error.problems
        assert problems
    else:
        problems = engine.report().problems
        for listener in engine.listeners:
            if listener.protocol == "HTTP":
                engine.match("GET", "x.a.com", "/p", {"x": "1"}, port=listener.port)
        if problems:
            with pytest.raises(lbcore.ConfigError):
                lbcore.load(data, strict=True)
    assert time.process_time() - began < 2
    for problem in problems:
        assert problem.reason and len(str(problem)) <= 500
        assert isinstance(json.dumps(problem.as_dict()), str)


@settings(max_examples=300)
@given(data=mutated(CANARY))
def test_mutated_manifests(data):
    check(data)


@settings(max_examples=300)
@given(data=st.sampled_from(FEATURES).flatmap(mutated))
def test_mutated_features(data):
    check(data)


@settings(max_examples=300)
@given(data=mutated([SHORT]))
def test_mutated_short_form(data):
    check(data)


@settings(max_examples=200)
@given(at=st.integers(0, 10_000), what=st.sampled_from(["", ":", "\t", "- ", "[", "}", "*x", "&x", "\x00",
"\ud800", "'", "!!x ", "\n"]),
       cut=st.integers(0, 3), which=st.sampled_from(["routes", "gateway", "endpoints"]))  # fmt: skip
def test_mutated_text(at, what, cut, which):
    text = (HERE.parent / f"examples/canary/{which}.yaml").read_text()
    at %= len(text)
    check(text[:at] + what + text[at + cut :])


def test_a_report_is_bounded():
    bad = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r"},
           "spec": {f"unknown{i}": i for i in range(5000)}}  # fmt: skip
    report = lbcore.load([{**bad, "metadata": {"name": f"r{i}"}} for i in range(50)]).report()
    assert len(report.problems) == 1001
    assert report.problems[-1].reason == f"and {50 * 100 - 1000} more problems"
    assert len(report.objects) == 50 and all(not c.status for o in report.objects for c in o.conditions)


def test_long_names_are_cut():
    bad = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "K" * 5000, "metadata": {"name": "n" * 5000,
    "namespace": "s" * 5000},
           "spec": {"x" * 5000: {"y" * 5000: 1}}}  # fmt: skip
    for kind in ("K" * 5000, "HTTPRoute"):
        problems = lbcore.load({**bad, "kind": kind}).report().problems
        assert problems and all(len(str(problem)) <= 500 for problem in problems)

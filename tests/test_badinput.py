"""Hostile requests: each has one right outcome, and outcomes that would be a breach."""

import json
import pathlib
import time

import pytest

import lbcore

CASES = json.loads((pathlib.Path(__file__).parent / "golden/badinput/requests.json").read_text())


def as_bytes(part):
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, list):
        return b"".join(map(as_bytes, part))
    if "hex" in part:
        return bytes.fromhex(part["hex"])
    return as_bytes(part["repeat"]) * part["times"]


@pytest.fixture(scope="module")
def router():
    return lbcore.Router(
        lbcore.Route(
            r["name"],
            hosts=r["hosts"],
            path=r["path"]["value"],
            path_type={"PathPrefix": "prefix", "Exact": "exact", "RegularExpression": "regex"}[
                r["path"]["type"]
            ],
            methods=[r["method"]] if "method" in r else (),
            headers=[(h["name"], h["value"]) for h in r.get("headers", ())],
            query=[(q["name"], q["value"]) for q in r.get("query", ())],
        )
        for r in CASES["table"]["routes"]
    )


def outcome_of(router, request):
    headers = [(as_bytes(n), as_bytes(v)) for n, v in request["headers"]]
    host = request["host"]
    host = as_bytes(host) if host is not None else None
    try:
        match = router.match(as_bytes(request["method"]), host, as_bytes(request["target"]), headers)
    except lbcore.BadRequest:
        return "reject", None
    return (f"route:{match.route.name}", match) if match else ("none", None)


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda c: c["id"])
def test_request(router, case):
    start = time.process_time()
    outcome, match = outcome_of(router, case["request"])
    spent_ms = (time.process_time() - start) * 1e3
    assert outcome not in case.get("never", ()), f"breach: {case['why']}"
    assert outcome in [case["expect"], *case.get("also_ok", ())], case["why"]
    if match and "path_out" in case and outcome == case["expect"]:
        assert match.path.encode("ascii") == as_bytes(case["path_out"])
    assert spent_ms <= case.get("max_ms", 1000)


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda c: c["id"])
def test_what_is_forwarded_reads_the_same_again(router, case):
    """What a match hands to the proxy is a fixed point: matched again, the same route and the same text."""
    _, match = outcome_of(router, case["request"])
    if match:
        method, host, target, headers = match.forward(
            [(as_bytes(n), as_bytes(v)) for n, v in case["request"]["headers"]]
        )
        again = router.match(method, host, target, headers)
        assert (again.route, again.target) == (match.route, match.target)

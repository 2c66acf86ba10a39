"""Broken and hostile balancer configuration: each case of ``golden/badinput/configs.json``.

A refusal is a ConfigError (a ValueError) of at most 500 characters that names the field; an accepted one picks as its
case says, within its time and memory.  Anything else that is raised is a failure.
"""

import collections
import json
import pathlib
import sys
import time

import pytest

import balancer_format
import lbcore
from bodies import built

CASES = json.loads((pathlib.Path(__file__).parent / "golden/badinput/configs.json").read_text())["cases"]
LOADERS = {"balancer": balancer_format.load, "balancer-json-text": balancer_format.load_text}
MINE = [case for case in CASES if case["format"] in LOADERS]
REJECTED = [case for case in MINE if case["expect"] == "reject"]
ACCEPTED = [case for case in MINE if case["expect"] == "accept"]
PEAK = pathlib.Path("/proc/self/clear_refs")


def loaded(case):
    """What the case's body makes; skips what the engine does not have yet."""
    try:
        return LOADERS[case["format"]](built(case["body"]))
    except balancer_format.NotYet as missing:
        pytest.skip(f"the engine does not have it yet: {missing}")


def peak_mb():
    return next(
        int(line.split()[1]) / 1024
        for line in pathlib.Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )


@pytest.fixture
def within(request):
    """Loading and picking stay within the case's CPU time and, on Linux, its memory above what is there."""
    case = request.getfixturevalue("case")
    before = 0.0
    measured = sys.platform == "linux" and "max_mb" in case
    if measured:
        PEAK.write_text("5")  # the high-water mark is what is there now
        before = peak_mb()
    began = time.process_time()
    yield
    assert (time.process_time() - began) * 1e3 <= case["max_ms"]
    if measured:
        assert peak_mb() - before <= case["max_mb"]


@pytest.mark.parametrize("case", REJECTED, ids=lambda c: c["id"])
@pytest.mark.usefixtures("within")
def test_it_is_refused(case):
    with pytest.raises(lbcore.ConfigError) as refused:
        loaded(case)
    text = str(refused.value)
    assert isinstance(refused.value, ValueError)
    assert len(text) <= 500
    assert text.isprintable()
    fields = case.get("field", [])
    assert not fields or any(field in text for field in fields), f"{text!r} names none of {fields}"


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda c: c["id"])
@pytest.mark.usefixtures("within")
def test_it_is_accepted_and_picks_as_it_should(case):
    behaviour = case.get("behaviour", {})
    try:
        up = loaded(case)
    except lbcore.ConfigError as refused:
        field = behaviour.get("or_reject_field")
        assert field and field in str(refused), refused
        return
    counts = collections.Counter(outcomes(up, behaviour.get("picks", 0)))
    if behaviour.get("outcome") == "no_target":
        assert set(counts) <= {None}
        return
    assert None not in counts
    assert not set(counts) & set(behaviour.get("never_pick", ()))
    assert set(counts) <= set(behaviour.get("only_pick", counts))
    assert len(counts) >= behaviour.get("distinct_at_least", 0)
    if "share_tolerance" in behaviour:
        total = sum(t.weight for t in up.targets)
        for t in up.targets:
            share = counts[t.address] / counts.total()
            assert abs(share - t.weight / total) <= behaviour["share_tolerance"]


def outcomes(up, n):
    """The addresses of n picks; None for NoTarget."""
    for i in range(n):
        try:
            yield (up.pick(f"key {i}") if up.policy.keyed else up.pick()).address
        except lbcore.NoTarget:
            yield None


def test_an_error_says_which_target_and_what_is_allowed():
    with pytest.raises(lbcore.ConfigError) as refused:
        balancer_format.load(
            {"policy": "random", "targets": [{"target": "a:1"}, {"target": "b:1", "weight": -1}]}
        )
    assert str(refused.value) == "targets[1].weight: -1 is not a whole number in 0..1000000"

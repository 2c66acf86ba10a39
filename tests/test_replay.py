"""Replay: seed and clock given, the same calls make the same picks, with every policy."""

import hashlib
import random
import struct

import pytest

import lbcore
from lbcore.testing import ManualClock

ROUNDS = 20
BATCH = 50_000  # picks of a round: 10^6 in all


def upstream(policy, clock):
    targets = [
        lbcore.Target(f"10.0.{i}.1:80", weight=4, priority=i % 3 // 2, labels={"zone": "ab"[i % 2]})
        for i in range(9)
    ]
    slow = lbcore.SlowStart(window=3.0)
    limits = lbcore.Limits(in_flight=40)
    return lbcore.Upstream(
        "u",
        targets,
        policy,
        seed=11,
        clock=clock,
        slow_start=slow,
        limits=limits,
        levels=lbcore.Levels(panic=20),
    )


def events(up, clock, chance, key):
    """Some of everything that can happen to an upstream; yields the picks."""
    calls = []
    for _ in range(400):
        what = chance.random()
        clock.advance(chance.choice((0.0, 0.01, 0.2)))
        if what < 0.5:
            try:
                calls.append(up.acquire(*key(chance.random())))
            except lbcore.NoTarget:
                yield -1
            else:
                yield calls[-1].target.index
        elif what < 0.9 and calls:
            call = calls.pop(chance.randrange(len(calls)))
            if chance.random() < 0.3:
                call.done(error=ConnectionResetError())
            else:
                call.done(latency=chance.random())
        elif what < 0.95:
            up.set_health(up.targets[chance.randrange(9)], chance.random() < 0.7)
        elif what < 0.97:
            up.targets[chance.randrange(9)].drain()
        else:
            up.targets[chance.randrange(9)].undrain()
    for call in calls:
        call.done()


def digest(policy):
    clock, chance = ManualClock(100.0), random.Random(5)
    up = upstream(policy, clock)
    within = up.subset(zone="a")
    seen = hashlib.sha256()

    def key(value):
        return (f"key {value}",) if up.policy.keyed else ()

    for round in range(ROUNDS):
        for pick in events(up, clock, chance, key):
            seen.update(struct.pack("i", pick))
        batch = [f"{round} {i}" for i in range(BATCH)]
        picks = up.pick_keys(batch) if up.policy.keyed else up.pick_many(BATCH)
        seen.update(memoryview(picks).cast("B"))
        found = [up.pick_or_none(*key(i), within=within) for i in range(50)]
        seen.update(",".join("-" if t is None else t.id for t in found).encode())
        names = [t.id for t in up.candidates(*(key(round) or (None,)), 5)]
        seen.update(",".join(names).encode())
    return seen.hexdigest()


@pytest.mark.parametrize("policy", lbcore.policies())
def test_the_same_calls_make_the_same_picks(policy):
    assert digest(policy) == digest(policy)

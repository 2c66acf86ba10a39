"""An upstream whose clock stands until it is told, for tests of health."""

import asyncio

import pytest

import lbcore
from lbcore.testing import ManualClock

REFUSED, LATE = ConnectionRefusedError(), TimeoutError()
ENDS = {  # how a call ends: the arguments of done()
    "o": {"status": 200},
    "4": {"status": 404},
    "b": {"status": 500},
    "g": {"status": 503},
    "9": {"status": 429},
    "r": {"error": REFUSED},
    "t": {"error": LATE},
    "R": {"error": ConnectionResetError(), "status": 200},
    "F": {"ok": False},
    "f": {"ok": False, "status": 200},
    "s": {},
    "O": {"ok": True, "status": 503, "error": REFUSED},
    "x": {"error": ZeroDivisionError(), "status": 503},
    "c": {"error": asyncio.CancelledError()},
}


class Rig:
    """An upstream whose clock stands until it is told, and calls on whom one likes, in service or not."""

    def __init__(self, health="passive", n=5, **more):
        self.clock = ManualClock(100.0)
        targets = [lbcore.Target(f"10.0.0.{i}:80", labels={"n": str(i)}) for i in range(n)]
        self.up = lbcore.Upstream("api", targets, health=health, clock=self.clock, seed=1, **more)

    def __getitem__(self, i):
        return self.up.targets[i]

    def call(self, i):
        return self.up.acquire("key" if self.up.policy.keyed else None, within=self.up.subset(n=str(i)))

    def run(self, ends, i=0):
        """Calls on target ``i`` that begin together, and end one after the other."""
        calls = [self.call(i) for _ in ends]
        for call, end in zip(calls, ends, strict=True):
            call.done(**ENDS[end])

    def wait(self, seconds):
        self.clock.advance(seconds)
        self.up.advance()

    @property
    def states(self):
        return [t.state for t in self.up]

    def kinds(self):
        return [event.kind for event in self.up.events()]

    def nobody(self):
        with pytest.raises(lbcore.NoTarget) as raised:
            self.up.pick()
        return raised.value

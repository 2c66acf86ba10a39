"""An event loop whose time is a ManualClock: where it would sleep, the clock jumps.  Nobody waits in real time."""

import asyncio
import selectors

from lbcore.testing import ManualClock


class _Jumping(selectors.DefaultSelector):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def select(self, timeout=None):
        found = super().select(0)
        if found or timeout == 0:
            return found
        if timeout is None:
            return super().select(20)  # another thread's turn
        self.clock.advance(max(timeout, 1e-9))
        return []


class ManualLoop(asyncio.SelectorEventLoop):
    """A loop that runs on ``clock``."""

    def __init__(self, clock):
        super().__init__(_Jumping(clock))
        self._clock = clock

    def time(self):
        return self._clock()


def run(coroutine, clock=None):
    """Run ``coroutine`` in a loop whose sleeps take no time."""
    clock = ManualClock() if clock is None else clock
    with asyncio.Runner(loop_factory=lambda: ManualLoop(clock)) as runner:
        return runner.run(coroutine)

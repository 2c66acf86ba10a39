"""Does anybody stand still while 100,000 routes are reloaded?  ``python -m benches.stalls [ROUTES] [RELOADS]``

A picker thread matches, acquires and ends calls without a pause; a prober wakes every 0.1 ms and takes the interpreter;
the main thread reloads a validated Spec.  Printed, as the worst of all reloads:

picker, CPU of a pick       by the thread's own CPU clock: what a reload makes a pick do
reloader, held              the longest stretch of the reloader's CPU time between two pauses: it holds the interpreter
                            all the while (the compile in C, which does not, ends a stretch); collections included
reloader, held at most      the reloader's CPU time while the prober could not get the interpreter; an upper bound, seen
                            from outside: where the prober lost its CPU to somebody else it counts that, too
picker, between two picks   by the clock: this machine's scheduler, and other programs, are in it
"""

from __future__ import annotations

import dataclasses
import gc
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lbcore.engine
from lbcore._core import Yielder
from lbcore.engine import (
    BackendSpec,
    Engine,
    ListenerSpec,
    MatchSpec,
    RuleSpec,
    Spec,
    TargetSpec,
    UpstreamSpec,
)

WEB = ListenerSpec("web", "HTTP", 8080)
N_UPSTREAMS = 100


def spec(n: int, path: str) -> Spec:
    """``n`` rules on hosts of their own under ``path``, to 100 upstreams of 3 targets."""
    upstreams = tuple(
        UpstreamSpec(f"u{i}", tuple(TargetSpec(f"10.0.{i}.{j}:80") for j in range(3)))
        for i in range(N_UPSTREAMS)
    )
    rules = tuple(
        RuleSpec(
            f"rule/{i}",
            {WEB.name: (f"h{i}.example.com",)},
            (MatchSpec(f"/{path}/{i}"),),
            (BackendSpec(f"u{i % N_UPSTREAMS}"),),
        )
        for i in range(n)
    )
    return Spec((WEB,), upstreams, rules)


@contextmanager
def yielders() -> Iterator[list[Yielder]]:
    """Those of the reloads inside the block."""
    made: list[Yielder] = []

    def make() -> Yielder:
        made.append(Yielder())
        return made[-1]

    lbcore.engine.Yielder = make  # type: ignore[assignment, misc]
    try:
        yield made
    finally:
        lbcore.engine.Yielder = Yielder  # type: ignore[misc]


class Worker(threading.Thread):
    """Calls ``step`` until it is stopped."""

    def __init__(self, step: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._step = step
        self._over = False

    def run(self) -> None:
        while not self._over:
            self._step()

    def stop(self) -> None:
        self._over = True
        self.join()


class Picker:
    """Matches one route after the other; ``cpu_ns`` and ``gap_ns`` are the worst of a pick and between two."""

    def __init__(self, engine: Engine, n: int) -> None:
        self.cpu_ns = self.gap_ns = self.n_picks = 0
        self._engine = engine
        self._n = n
        self._last = time.perf_counter_ns()

    def step(self) -> None:
        i = (self.n_picks * 7919) % self._n
        before = time.thread_time_ns()
        match = self._engine.match("GET", f"h{i}.example.com", f"/a/{i}")
        if match is not None:
            match.acquire().done()
        self.cpu_ns = max(self.cpu_ns, time.thread_time_ns() - before)
        now = time.perf_counter_ns()
        self.gap_ns = max(self.gap_ns, now - self._last)
        self._last = now
        self.n_picks += 1


class Prober:
    """Wakes every 0.1 ms; ``held_ns`` is the most CPU time that ``thread`` took while it waited."""

    def __init__(self, thread: int) -> None:
        self.held_ns = 0
        self._schedstat = pathlib.Path(f"/proc/self/task/{thread}/schedstat")

    def step(self) -> None:
        before = self._cpu_ns()
        time.sleep(0.0001)
        self.held_ns = max(self.held_ns, self._cpu_ns() - before)

    def _cpu_ns(self) -> int:
        return int(self._schedstat.read_bytes().split()[0]) if self._schedstat.exists() else 0


def measure(n: int, reloads: int) -> dict[str, Any]:
    """The worst figures of ``reloads`` reloads in which every rule changes, and every rule was met."""
    first, second = spec(n, "a"), spec(n, "b")
    one = dataclasses.replace(second.rules[n // 2], matches=(MatchSpec("/c"),))
    third = dataclasses.replace(second, rules=(*second.rules[: n // 2], one, *second.rules[n // 2 + 1 :]))
    specs = [second, third, first] * reloads
    engine = Engine(first, lambda source: specs.pop(0))
    gc.collect()
    picker, prober = Picker(engine, n), Prober(threading.get_native_id())
    workers = [Worker(picker.step), Worker(prober.step)]
    collections: list[int] = []
    gc.callbacks.append(lambda phase, info: collections.append(info["generation"]))
    for worker in workers:
        worker.start()
    time.sleep(0.5)
    picker.cpu_ns = picker.gap_ns = prober.held_ns = 0
    del collections[:], first, second, third, one
    with yielders() as made:
        begin = time.perf_counter()
        for _ in range(reloads):
            engine.reload()
        took = time.perf_counter() - begin
    for worker in workers:
        worker.stop()
    gc.callbacks.pop()
    return {
        "reloader, held": max(y.longest for y in made) * 1e3,
        "reloader, held at most": prober.held_ns / 1e6,
        "picker, CPU of a pick": picker.cpu_ns / 1e6,
        "picker, between two picks": picker.gap_ns / 1e6,
        "a reload": took / reloads * 1e3,
        "full collections": collections.count(2) // 2,
        "picks": picker.n_picks,
    }


def main() -> None:
    """Print the figures; times in milliseconds."""
    n, reloads = (int(text) for text in (sys.argv[1:] + ["100000", "6"][len(sys.argv) - 1 :]))
    for name, value in measure(n, reloads).items():
        print(f"{name:28} {value:12.3f} ms" if isinstance(value, float) else f"{name:28} {value:12,}")


if __name__ == "__main__":
    main()

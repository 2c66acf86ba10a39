"""One run: Poisson arrivals at proxies, each with an ``lbcore.Upstream`` of its own, before servers with a queue each.

The policies are the engine's: this file picks nothing, except for the reference policies of ``peers.py``.  When a
request begins on a server is known as it joins the queue (first come, first served; speeds change at known times; no
cancellation), so every request is one entry of one heap: its end, or the moment when its client gives up.

The same scenario, seed and number of proxies bring every policy the same requests, and the same run twice the same
figures: the only randomness is ``Random(seed)`` and the engine's own generator, seeded too.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from random import Random
from statistics import NormalDist
from typing import Any

import lbcore
from lbcore.testing import ManualClock

from .peers import PEERS
from .scenarios import (
    FAST_FAILURE,
    MEAN_SIZE,
    OBJECTIVE,
    SIZE_CV,
    TIMEOUT,
    WORKERS,
    Bursts,
    Change,
    Scenario,
    Server,
)

SETTLED = 10_000.0  # seconds after the last end: longer than the longest hold of a failed call (3,600 s)


@dataclass(frozen=True)
class Sizes:
    """Work of a request in seconds at speed 1: log-normal with this mean and cv; ``cv`` None is exponential."""

    mean: float = MEAN_SIZE
    cv: float | None = SIZE_CV

    def drawn(self, uniforms: Sequence[float]) -> list[float]:
        """One size for each of ``uniforms``, by inversion."""
        if self.cv is None:
            return [-self.mean * math.log1p(-u) for u in uniforms]
        variance = math.log1p(self.cv**2)
        normal = NormalDist(math.log(self.mean) - variance / 2, math.sqrt(variance))
        return [math.exp(normal.inv_cdf(u or 2.0**-54)) for u in uniforms]


@dataclass(frozen=True)
class Traffic:
    """What comes in, by request: ``at`` seconds, ``size`` seconds of work, through ``proxy``; ``coin`` in [0, 1) says
    whether a server that fails some requests fails this one.  ``span``: the expected seconds of the run."""

    at: list[float]
    size: list[float]
    proxy: list[int]
    coin: list[float]
    span: float


def arrivals(rate: float, bursts: Bursts | None, uniforms: Sequence[float]) -> list[float]:
    """Times of a Poisson process of mean ``rate``: unit-rate exponentials, spent at the rate of the moment."""
    period, length, factor = (bursts.period, bursts.length, bursts.factor) if bursts else (math.inf, 0.0, 1.0)
    quiet = period - length
    calm = rate if bursts is None else rate * (period - factor * length) / quiet
    times, now, ends, busy = [], 0.0, quiet, False
    for u in uniforms:
        need = -math.log1p(-u)
        while need > (ends - now) * (factor * rate if busy else calm):
            need -= (ends - now) * (factor * rate if busy else calm)
            now, busy = ends, not busy
            ends += length if busy else quiet
        now += need / (factor * rate if busy else calm)
        times.append(now)
    return times


def traffic(
    scenario: Scenario,
    *,
    seed: int,
    proxies: int,
    requests: int,
    workers: int = WORKERS,
    sizes: Sizes | None = None,
) -> Traffic:
    """The requests of a run; the same for every policy."""
    sizes = sizes or Sizes()
    at_first = sum(s.speed for s in scenario.servers if s.joins <= 0.0)
    rate = scenario.load * workers * at_first / sizes.mean
    rng = Random(seed)
    uniform = [[rng.random() for _ in range(requests)] for _ in range(4)]
    return Traffic(
        at=arrivals(rate, scenario.bursts, uniform[0]),
        size=sizes.drawn(uniform[1]),
        proxy=[int(u * proxies) for u in uniform[2]],
        coin=uniform[3],
        span=requests / rate,
    )


class Place:
    """A server in the run: when its workers are free, and what becomes of it, in seconds."""

    def __init__(self, server: Server, workers: int, span: float) -> None:
        self.free = [0.0] * workers  # a heap
        self.joins, self.leaves = server.joins * span, server.leaves * span
        changes = (Change(-1.0), *sorted(server.changes, key=lambda change: change.at))
        self.since = [change.at * span for change in changes]
        self.speeds = [server.speed * change.speed for change in changes]
        self.fails = [change.fails for change in changes]
        self.steady = len(changes) == 1
        self.requests = 0
        self.busy = 0.0
        self.longest_wait = 0.0

    def is_there(self, now: float) -> bool:
        """Is it in the proxies' lists?"""
        return self.joins <= now < self.leaves

    def speed_at(self, when: float) -> float:
        return self.speeds[0] if self.steady else self.speeds[bisect_right(self.since, when) - 1]

    def fails_at(self, when: float) -> float:
        return 0.0 if self.steady else self.fails[bisect_right(self.since, when) - 1]

    def take(self, now: float, size: float) -> float:
        """Queue a request of ``size``; returns when it ends.  It is served at the speed of the moment it begins."""
        begins = self.free[0]
        if begins > now:
            self.longest_wait = max(self.longest_wait, begins - now)
        else:
            begins = now
        service = size / self.speed_at(begins)
        heapreplace(self.free, begins + service)
        self.requests += 1
        self.busy += service
        return begins + service


class Fleet:
    """The servers of a run, and when anything about them changes."""

    def __init__(self, servers: Sequence[Server], workers: int, span: float) -> None:
        self.servers, self.workers, self.span = servers, workers, span
        self.places = [Place(server, workers, span) for server in servers]
        times = {time for place in self.places for time in (*place.since, place.joins, place.leaves)}
        self.changes = sorted(time for time in times if 0.0 < time <= span)

    def listed(self, now: float) -> list[lbcore.Target]:
        """What the proxies are told at this time; ``data`` is the server's index."""
        return [
            lbcore.Target(f"10.0.{i // 250}.{i % 250}:80", weight=server.weight, data=i)
            for i, (server, place) in enumerate(zip(self.servers, self.places, strict=True))
            if place.is_there(now)
        ]

    def has_idle(self, now: float) -> bool:
        """Has anybody in the lists a free worker?"""
        return any(place.free[0] <= now for place in self.places if place.is_there(now))


class Engine:
    """The production engine: one upstream for each proxy."""

    def __init__(
        self,
        fleet: Fleet,
        policy: lbcore.Policy,
        proxies: int,
        seed: int,
        health: str,
        clock: ManualClock,
        limits: lbcore.Limits | None = None,
    ) -> None:
        self.fleet, self.clock = fleet, clock
        self.upstreams = [
            lbcore.Upstream(
                f"proxy{i}",
                fleet.listed(0.0),
                policy,
                health={"off": None, "passive": "passive"}[health],
                limits=limits,
                seed=seed * 1_000 + i,
                clock=clock,
            )
            for i in range(proxies)
        ]
        self.acquire = [up.acquire for up in self.upstreams]
        self.placed = None

    def changed(self, now: float) -> None:
        """Tell the proxies of joins and departures, if any."""
        if any(now in (place.joins, place.leaves) for place in self.fleet.places):
            for up in self.upstreams:
                up.update(self.fleet.listed(now))

    def left_in_flight(self) -> int:
        """What is counted in flight long after the last call's end."""
        self.clock.advance(SETTLED)
        for up in self.upstreams:
            up.advance()
        return sum(target.in_flight for up in self.upstreams for target in up)


class _Change:
    """An entry of the heap that is no request: something changes in the fleet."""

    def __init__(self, balancer: Any, at: float) -> None:
        self.balancer, self.at = balancer, at

    def done(self) -> None:
        self.balancer.changed(self.at)


@dataclass(frozen=True)
class Share:
    """One server in a run: ``utilisation`` of its workers over the run; ``longest_wait`` of a request in its queue."""

    requests: int
    utilisation: float
    longest_wait: float


@dataclass(frozen=True)
class Result:
    """A run's figures.  Seconds are of successful requests; shares are of all requests.

    ``outside``: failed, or slower than the objective.  ``needless``: queued while another server had a free worker.
    """

    requests: int
    succeeded: int
    errors: int
    timeouts: int
    refused: int
    ended: int
    left_in_flight: int
    mean: float
    p50: float
    p99: float
    outside: float
    needless: float
    shares: tuple[Share, ...]

    @property
    def failed(self) -> float:
        return (self.errors + self.timeouts + self.refused) / self.requests


def quantile(ordered: Sequence[float], q: float) -> float:
    """The least value that at least the share ``q`` does not exceed; NaN of nothing."""
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)] if ordered else math.nan


def run(
    scenario: Scenario,
    policy: str | lbcore.Policy,
    *,
    proxies: int = 8,
    requests: int = 30_000,
    seed: int = 1,
    health: str = "off",
    workers: int = WORKERS,
    sizes: Sizes | None = None,
    timeout: float = TIMEOUT,
    limits: lbcore.Limits | None = None,
) -> Result:
    """Run ``scenario`` once.  ``policy``: one of the engine's, keyless, or the name of a reference in ``PEERS``.

    ``health``: "off", or "passive" for the engine's passive ejection with its defaults.  ``limits``: the upstreams'.
    """
    come = traffic(scenario, seed=seed, proxies=proxies, requests=requests, workers=workers, sizes=sizes)
    fleet = Fleet(scenario.servers, workers, come.span)
    clock = ManualClock()
    if isinstance(policy, str) and policy in PEERS:
        balancer = PEERS[policy](fleet, proxies, seed, clock)
    else:
        known = policy if isinstance(policy, lbcore.Policy) else lbcore.policy(policy)
        balancer = Engine(fleet, known, proxies, seed, health, clock, limits)
    outcome = _play(come, fleet, balancer, clock, timeout)
    return _result(outcome, fleet, balancer.left_in_flight())


@dataclass
class _Outcome:
    latencies: list[float]  # of successes
    errors: int = 0
    timeouts: int = 0
    refused: int = 0
    ended: int = 0
    needless: int = 0


def _play(come: Traffic, fleet: Fleet, balancer: Any, clock: ManualClock, timeout: float) -> _Outcome:
    """The loop.  Entries of the heap: (time, tie, call, its error); what ends as a request arrives ends first."""
    seen = _Outcome([])
    reset, gave_up = ConnectionResetError(), TimeoutError()
    acquire, placed, places = balancer.acquire, balancer.placed, fleet.places
    ends: list[tuple[float, int, Any, Exception | None]] = [
        (time, -1 - i, _Change(balancer, time), None) for i, time in enumerate(fleet.changes)
    ]
    heapify(ends)

    def finish() -> None:
        clock.now, tie, call, error = heappop(ends)
        if error is None:
            call.done()
        else:
            call.done(error=error)
        seen.ended += tie >= 0

    for number, (now, size, proxy, coin) in enumerate(
        zip(come.at, come.size, come.proxy, come.coin, strict=True)
    ):
        while ends and ends[0][0] <= now:
            finish()
        clock.now = now
        try:
            call = acquire[proxy]()
        except lbcore.NoTarget:
            seen.refused += 1
            seen.ended += 1
            continue
        server = call.target.data
        place = places[server]
        error: Exception | None = None
        if not place.steady and coin < place.fails_at(now):
            ends_at, error = now + FAST_FAILURE, reset
            seen.errors += 1
        else:
            if place.free[0] > now:
                seen.needless += fleet.has_idle(now)
            ends_at = leaves_at = place.take(now, size)
            if placed:
                placed(server, leaves_at)
            if ends_at - now <= timeout:
                seen.latencies.append(ends_at - now)
            else:
                ends_at, error = now + timeout, gave_up
                seen.timeouts += 1
        heappush(ends, (ends_at, number, call, error))
    while ends:
        finish()
    return seen


def _result(seen: _Outcome, fleet: Fleet, left_in_flight: int) -> Result:
    latencies = sorted(seen.latencies)
    failures = seen.errors + seen.timeouts + seen.refused
    total = len(latencies) + failures
    slow = len(latencies) - bisect_right(latencies, OBJECTIVE)
    return Result(
        requests=total,
        succeeded=len(latencies),
        errors=seen.errors,
        timeouts=seen.timeouts,
        refused=seen.refused,
        ended=seen.ended,
        left_in_flight=left_in_flight,
        mean=math.fsum(latencies) / len(latencies) if latencies else math.nan,
        p50=quantile(latencies, 0.50),
        p99=quantile(latencies, 0.99),
        outside=(failures + slow) / total,
        needless=seen.needless / total,
        shares=tuple(
            Share(p.requests, p.busy / (fleet.workers * fleet.span), p.longest_wait) for p in fleet.places
        ),
    )

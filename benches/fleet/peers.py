"""Reference policies that the engine does not have: what an all-knowing chooser reaches.

Each stands in for the engine in ``model.run``: ``acquire[proxy]()`` gives a call, ``placed(server, leaves_at)`` says
what became of it, ``changed(now)`` that a server changed.
"""

from __future__ import annotations

from contextlib import suppress
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import lbcore

if TYPE_CHECKING:
    from lbcore.testing import ManualClock

    from .model import Fleet


class _Server:
    """What stands in for a target: ``data`` is the server's index."""

    def __init__(self, data: int) -> None:
        self.data = data


class _Call:
    """What stands in for a call.  Who knows everything learns nothing from its end."""

    def __init__(self, target: _Server) -> None:
        self.target = target

    def done(self, error: Exception | None = None) -> None:
        """Nothing to say."""


class Oracle:
    """Join the shortest queue, all-knowing: the server with the least (requests on it + 1) / speed.

    It sees the true queues of all proxies together, abandoned requests included, and the speed of the moment; who is
    not in the lists or fails requests is never joined.  It does not know the sizes of requests.  Ties to the first.
    """

    def __init__(self, fleet: Fleet, proxies: int, seed: int, clock: ManualClock) -> None:
        self.fleet, self.clock = fleet, clock
        self.calls = [_Call(_Server(i)) for i in range(len(fleet.places))]
        self.on_it = [0] * len(fleet.places)
        self.leaving: list[tuple[float, int]] = []  # a heap of (when, server)
        self.cost = [0.0] * len(fleet.places)  # of the next request, seconds at speed 1
        self.added = [0.0] * len(fleet.places)  # what one request more costs: 1 / speed
        self.acquire = [self.choose] * proxies
        self.changed(0.0)

    def choose(self) -> _Call:
        now, leaving, cost = self.clock.now, self.leaving, self.cost
        while leaving and leaving[0][0] <= now:
            server = heappop(leaving)[1]
            self.on_it[server] -= 1
            cost[server] = (self.on_it[server] + 1) * self.added[server]
        least = min(cost)
        if least == float("inf"):
            raise lbcore.NoTarget("oracle")
        return self.calls[cost.index(least)]

    def placed(self, server: int, leaves_at: float) -> None:
        """A request joined ``server`` and will leave it then."""
        self.on_it[server] += 1
        self.cost[server] = (self.on_it[server] + 1) * self.added[server]
        heappush(self.leaving, (leaves_at, server))

    def changed(self, now: float) -> None:
        """Speeds, failures or the list changed."""
        for i, place in enumerate(self.fleet.places):
            joinable = place.is_there(now) and not place.fails_at(now)
            self.added[i] = 1.0 / place.speed_at(now) if joinable else float("inf")
            self.cost[i] = (self.on_it[i] + 1) * self.added[i]

    def left_in_flight(self) -> int:
        """Requests that never left, long after the last one's end."""
        self.clock.now = float("inf")
        with suppress(lbcore.NoTarget):
            self.choose()
        return sum(self.on_it)


PEERS = {"oracle": Oracle}

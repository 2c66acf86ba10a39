"""A UDP proxy on asyncio, for one listener.

A flow is what one client address and port sends and receives: one call, one socket to its target, until it is idle.
The split is by flow.  One that cannot be served (no route, an invalid backend, no usable target) is dropped as a whole
for an idle time, so that an invalid backend's share is one of flows; then it is decided anew.  A target that refuses
(ICMP) fails the call and ends the flow; if a reload removed the target, the next datagram starts another.  At
``max_flows``, or when descriptors run out, the flow that has been idle longest makes room.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lbcore._core import Call, Match
from lbcore.adapters._flow import Address, Flow, send
from lbcore.errors import NoTarget

log = logging.getLogger("lbcore.datagram")
_LINGER = 1.0  # seconds for answers after stop()


@dataclass(slots=True)
class Counters:
    """What happened since the start."""

    flows: int = 0  # begun
    evicted: int = 0  # ended to make room
    dropped: int = 0  # datagrams, in both directions


class Matcher(Protocol):
    """What routes: an Engine."""

    def match_stream(self, protocol: str, port: int, *, source: str | None) -> Match | None: ...


class DatagramProxy(asyncio.DatagramProtocol):
    """Serve the UDP listener ``port`` of ``engine`` on a bound socket, whatever port that has.

    ``idle`` seconds without a datagram in either direction end a flow.  ``clock`` returns monotonic seconds.
    It ends with ``stop()``, ``wait()`` (a second for answers to what was sent on) and ``abort()`` (always).
    """

    def __init__(
        self,
        engine: Matcher,
        port: int,
        *,
        idle: float = 60.0,
        max_flows: int = 65_536,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._port = port
        self._idle = idle
        self._max_flows = max_flows
        self._clock = clock
        self._stopping = False
        self.counters = Counters()
        self.flows: OrderedDict[Address, Flow] = OrderedDict()  # the longest idle first

    async def start(self, sock: socket.socket) -> None:
        """Receive on ``sock``, which becomes ours."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)
        self._sweep()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def stop(self) -> None:
        """Send nothing more on."""
        self._stopping = True

    async def wait(self) -> None:
        """Give targets a moment to answer what they were sent."""
        if self.flows:
            await asyncio.sleep(_LINGER)

    async def abort(self) -> None:
        """End every flow."""
        self._sweeper.cancel()
        self._transport.close()
        for flow in list(self.flows.values()):
            flow.end()

    def datagram_received(self, data: bytes, client: Address) -> None:
        """A datagram of a client."""
        if self._stopping:
            return self.drop()
        flow = self.flows.get(client)
        if flow is not None and flow.call is not None and flow.call.target.state == "removed":
            flow.end()
            flow = None
        if flow is None:
            if len(self.flows) >= self._max_flows:
                self.evict()
            self.counters.flows += 1
            flow = self.flows[client] = Flow(self, client, self._acquire(client), self._clock())
        flow.send(data)

    def _acquire(self, client: Address) -> Call | None:
        match = self._engine.match_stream("UDP", self._port, source=client[0])
        try:
            return match.acquire() if match else None
        except NoTarget as error:
            log.debug("%s", error)
            return None

    def answer(self, data: bytes, client: Address) -> None:
        """Send a target's datagram to the flow's client."""
        send(self._transport, data, client, self)

    def drop(self) -> None:
        """Count a datagram that is not sent."""
        self.counters.dropped += 1

    def touched(self, flow: Flow) -> None:
        """The flow is not idle."""
        if flow.client in self.flows:
            flow.seen = self._clock()
            self.flows.move_to_end(flow.client)

    def ended(self, flow: Flow) -> None:
        """Forget the flow."""
        if self.flows.get(flow.client) is flow:
            del self.flows[flow.client]

    def evict(self) -> None:
        """End the flow that has been idle longest."""
        if self.flows:
            self.counters.evicted += 1
            next(iter(self.flows.values())).end()

    def expire(self) -> None:
        """End the flows that have been idle for too long; done every second."""
        horizon = self._clock() - self._idle
        while self.flows and (flow := next(iter(self.flows.values()))).seen <= horizon:
            flow.end()

    def _sweep(self) -> None:
        self.expire()
        self._sweeper = asyncio.get_running_loop().call_later(1, self._sweep)

"""A flow of the UDP proxy: one client address, one call, one connected socket to its target."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from lbcore._core import Call, Target
from lbcore.adapters._blame import blame

log = logging.getLogger("lbcore.datagram")

Address = tuple[Any, ...]
_WAITING = 16  # datagrams that are kept while the socket is being made
_BUFFERED_BYTES = 1_048_576  # more than this unsent: drop, as UDP does


class Flows(Protocol):
    """What a flow asks of its proxy."""

    def touched(self, flow: Flow) -> None: ...  # it is not idle
    def ended(self, flow: Flow) -> None: ...
    def answer(self, data: bytes, client: Address) -> None: ...
    def drop(self) -> None: ...  # count a datagram that is not sent
    def evict(self) -> None: ...  # end the flow that has been idle longest


def send(transport: asyncio.DatagramTransport, data: bytes, to: Address | None, flows: Flows) -> None:
    """Send a datagram, or drop it if too many wait already."""
    if transport.get_write_buffer_size() > _BUFFERED_BYTES:  # type: ignore[attr-defined]  # every loop's has it
        flows.drop()
    else:
        transport.sendto(data, to)


class Flow(asyncio.DatagramProtocol):
    """``call`` None: the flow's datagrams are dropped.  ``seen`` is when it was last not idle.

    A flow that was answered is a success, with the time until the first answer as latency.  One that never was says
    nothing of its target: its protocol may have no answers.
    """

    def __init__(self, flows: Flows, client: Address, call: Call | None, now: float) -> None:
        self.client = client
        self.call = call
        self.seen = self._began = now
        self._latency: float | None = None  # until the first answer
        self._flows = flows
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: list[bytes] = []
        self._opening = asyncio.get_running_loop().create_task(self._open(call.target)) if call else None

    async def _open(self, target: Target) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_datagram_endpoint(lambda: self, remote_addr=(target.host, target.port))
        except (OSError, ValueError) as error:  # ValueError: the address has no port
            log.info("%s: %s", target.address, error)
            told = blame(error) if isinstance(error, OSError) else error
            self.end(told)
            if told is not error:
                self._flows.evict()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.send(data)

    def send(self, data: bytes) -> None:
        """Pass a datagram of the client on."""
        if self.call is None or len(self._waiting) >= _WAITING:
            self._flows.drop()
            return
        self._flows.touched(self)
        if self._transport is None:
            self._waiting.append(data)
        else:
            send(self._transport, data, None, self._flows)

    def datagram_received(self, data: bytes, source: Address) -> None:
        """A datagram of the target."""
        self._flows.touched(self)
        if self._latency is None:
            self._latency = max(0.0, self.seen - self._began)
        self._flows.answer(data, self.client)

    def error_received(self, error: OSError) -> None:  # type: ignore[override]
        """The target refuses (ICMP), or our machine does."""
        self.end(blame(error))

    def end(self, error: BaseException | None = None) -> None:
        """Close the flow; its call is done, well if it was answered and ``error`` does not say otherwise."""
        self._flows.ended(self)
        if self._transport is not None:
            self._transport.close()
        elif self._opening is not None:
            self._opening.cancel()
        if self._latency is None:
            error = error or asyncio.CancelledError()
        if self.call is not None:
            self.call.done(error=error, latency=self._latency)

"""For tests of programs that use lbcore: time by hand, exact shares, targets that answer.

::

    clock = ManualClock()
    up = lbcore.Upstream("api", ["10.0.0.1:80", "10.0.0.2:80"], clock=clock, seed=1)
    ...
    clock.advance(10.0)                       # nobody sleeps
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager
from typing import Any


class ManualClock:
    """Seconds that pass when told to; pass it as ``clock=``."""

    def __init__(self, start: float = 0.0) -> None:
        self.now = float(start)

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` (not negative) pass."""
        if seconds < 0:
            raise ValueError(f"seconds: {seconds} is negative; set() puts a clock back")
        self.now += seconds

    def set(self, now: float) -> None:
        """Make it ``now``, which may be earlier: to see what a clock that goes back does."""
        self.now = float(now)

    def __repr__(self) -> str:
        return f"ManualClock({self.now:g})"


def wrong_shares(counts: Mapping[Hashable, int], weights: Mapping[Hashable, int]) -> list[str]:
    """What is not within one pick of its weight's share of all ``counts``; empty if everything is.

    A name that is in one mapping only counts as 0 in the other.
    """
    total, weight_sum = sum(counts.values()), sum(weights.values())
    wrong = []
    for name in {**weights, **counts}:
        got, weight = counts.get(name, 0), weights.get(name, 0)
        if abs(got * weight_sum - total * weight) > weight_sum or (got and not weight):
            due = total * weight / weight_sum if weight_sum else 0.0
            wrong.append(f"{name}: {got} of {total}, {due:.2f} are due to weight {weight} of {weight_sum}")
    return wrong


def assert_shares(counts: Mapping[Hashable, int], weights: Mapping[Hashable, int]) -> None:
    """Fail unless each of ``counts`` is within one pick of its weight's share."""
    wrong = wrong_shares(counts, weights)
    assert not wrong, "\n".join(wrong)


# ---- targets on real sockets; each answers with its name ---------------------------------------------------------


@asynccontextmanager
async def http_target(name: str, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """An HTTP/1.1 server with keep-alive; every request is answered 200 with ``name``.  Yields ``host:port``."""
    body = name.encode()
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n%s" % (
        len(body),
        body,
    )
    async with _server(lambda: _HttpTarget(response), host, port) as address:
        yield address


@asynccontextmanager
async def tcp_target(name: str, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """A TCP server that sends ``name`` and a newline, then echoes until the client ends.  Yields ``host:port``."""
    async with _server(lambda: _TcpTarget(name.encode() + b"\n"), host, port) as address:
        yield address


@asynccontextmanager
async def udp_target(name: str, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """A UDP server that answers each datagram with ``name``.  Yields ``host:port``."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _UdpTarget(name.encode()), local_addr=(host, port)
    )
    try:
        yield _address(transport.get_extra_info("sockname"))
    finally:
        transport.close()


def _address(sockname: tuple[Any, ...]) -> str:
    host, port = sockname[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@asynccontextmanager
async def _server(protocol: Any, host: str, port: int) -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(protocol, host, port, backlog=1024)
    try:
        yield _address(server.sockets[0].getsockname())
    finally:
        server.close()


class _HttpTarget(asyncio.Protocol):
    """Answers at the end of each header; bodies with a Content-Length are skipped."""

    def __init__(self, response: bytes) -> None:
        self._response = response
        self._buffer = b""
        self._skip = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        while data:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
            header, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                break
            for line in header.split(b"\r\n"):
                field, _, value = line.partition(b":")
                if field.lower() == b"content-length":
                    self._skip = int(value)
            self._transport.write(self._response)
            data = rest
        self._buffer = data


class _TcpTarget(asyncio.Protocol):
    def __init__(self, greeting: bytes) -> None:
        self._greeting = greeting

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.write(self._greeting)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class _UdpTarget(asyncio.DatagramProtocol):
    def __init__(self, reply: bytes) -> None:
        self._reply = reply

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, client: tuple[Any, ...]) -> None:
        self._transport.sendto(self._reply, client)

"""Connections for probes: a name is looked up in a daemon thread, a socket lives no longer than its probe.

Not asyncio's own lookup: that uses the few threads of the loop's executor, where one name server that does not answer
would hold up everybody else's names, and the end of the interpreter.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakSet

Found = list[tuple[int, tuple[str, int] | tuple[str, int, int, int]]]  # family, address

MAX_LOOKUPS = 32  # at a time, each in a thread; the next waits as long as its probe may take

# Those of probes in flight, for a child to close after a fork: its copy would keep the connection open.
_sockets: WeakSet[socket.socket] = WeakSet()


class Resolver:
    """Addresses of names; one lookup of a name at a time, whoever asks.  For one event loop."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, int], asyncio.Future[Found]] = {}

    async def addresses(self, host: str, port: int) -> Found:
        """Where ``host`` (a name or an IP address) listens.  Raises ``OSError``."""
        with suppress(OSError, UnicodeError):  # a name, then
            return _lookup(host, port, socket.AI_NUMERICHOST)
        while (host, port) not in self._running and len(self._running) >= MAX_LOOKUPS:
            await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
        running = self._running.get((host, port)) or self._begin(host, port)
        return await asyncio.shield(running)  # the time-out is one probe's; others may be waiting

    def _begin(self, host: str, port: int) -> asyncio.Future[Found]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Found] = loop.create_future()

        def end(found: Found | None, error: Exception | None) -> None:
            del self._running[host, port]
            if error is None and found is not None:
                future.set_result(found)
            else:
                future.set_exception(error or OSError(f"{host} has no address"))
                future.exception()  # seen: nobody may be waiting any more

        def run() -> None:
            found, error = None, None
            try:
                found = _lookup(host, port)
            except OSError as failed:
                error = failed
            except UnicodeError as failed:  # not a name at all
                error = OSError(f"{host!r} is not a host name: {failed}")
            with suppress(RuntimeError):  # the loop may have ended
                loop.call_soon_threadsafe(end, found, error)

        threading.Thread(target=run, name="lbcore-lookup", daemon=True).start()
        self._running[host, port] = future  # end() comes with a later turn of the loop
        return future


def _lookup(host: str, port: int, flags: int = 0) -> Found:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]  # stream: 2 or 4 parts


async def connected(resolver: Resolver, host: str, port: int) -> socket.socket:
    """A connected socket: the first of the name's addresses that takes it.  Raises ``OSError``."""
    failed: OSError = OSError(f"{host} has no address")
    for family, address in await resolver.addresses(host, port):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, address)
        except OSError as error:
            failed = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            _sockets.add(sock)
            return sock
    raise failed


@asynccontextmanager
async def connection(
    resolver: Resolver, host: str, port: int, tls: ssl.SSLContext | None, server_name: str | None, limit: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is cut on leaving, whatever happened; ``limit``: bytes that the reader looks ahead.

    ``server_name`` is what the certificate must be for, and the SNI; only with ``tls``.  Raises ``OSError``.
    """
    sock = await connected(resolver, host, port)
    try:
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname=server_name if tls else None, limit=limit
        )
    except BaseException:
        sock.close()
        raise
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def close_in_child() -> None:
    """After a fork: close the child's copies, without touching what the loop of the parent knows of them."""
    for sock in list(_sockets):
        fd = sock.detach()
        if fd >= 0:
            os.close(fd)
    _sockets.clear()

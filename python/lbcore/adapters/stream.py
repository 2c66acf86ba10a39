"""A TCP proxy on asyncio, for one listener.

A connection is one call: in flight until both directions have ended, a success once the target is connected, a failure
if it cannot be.  An end in one direction is passed on and the other goes on (half-close); each direction runs at the
pace of its slower end.  A connection that cannot be served (no route, an invalid backend, no usable target, no answer)
is reset, and so is one whose other side was.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from typing import Protocol

from lbcore._core import Call, Match
from lbcore.adapters._blame import blame
from lbcore.adapters._reset import reset
from lbcore.errors import BadRequest, NoTarget

log = logging.getLogger("lbcore.stream")

_CHUNK = 65_536
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect: float = 5.0  # until the target is connected
    idle: float = 60.0  # without a byte in either direction; then both sides are reset


class Matcher(Protocol):
    """What routes: an Engine."""

    def match_stream(self, protocol: str, port: int, *, source: str | None) -> Match | None: ...


class StreamProxy:
    """Serve the TCP listener ``port`` of ``engine`` on a listening socket, whatever port that has.

    It ends with ``stop()`` (no more connections), ``wait()`` (for those that are open) and ``abort()`` (of what is
    left; always).
    """

    def __init__(self, engine: Matcher, port: int, *, timeouts: Timeouts | None = None) -> None:
        self._engine = engine
        self._port = port
        self._timeouts = timeouts or Timeouts()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on ``sock``, which becomes ours."""
        self._server = await asyncio.start_server(self._accepted, sock=sock, limit=_CHUNK, backlog=1024)

    def stop(self) -> None:
        """Accept nothing more."""
        self._server.close()

    async def wait(self) -> None:
        """Return when no connection is left."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def abort(self) -> None:
        """Reset what is left."""
        for task in self._tasks:
            task.cancel()
        await self.wait()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve((reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Ends) -> None:
        call = None
        try:
            peer = client[1].get_extra_info("peername")  # None: the client has left already
            match = self._engine.match_stream("TCP", self._port, source=peer[0] if peer else None)
            if match is None:
                return
            call = match.acquire()
            target = await self._connect(call)
            call.report()
            await self._join(client, target)
        except (
            NoTarget,
            BadRequest,
            OSError,
        ) as error:  # BadRequest: the key is to be an address, and there is none
            log.debug("%s: %s", client[1].get_extra_info("peername"), error or "idle")
        finally:
            reset(client[1].transport)  # nothing after an orderly end
            if call is not None:
                call.done(error=asyncio.CancelledError())  # the verdict was given; or there is none

    async def _connect(self, call: Call) -> Ends:
        target = call.target
        try:
            async with asyncio.timeout(self._timeouts.connect):
                return await asyncio.open_connection(target.host, target.port, limit=_CHUNK)
        except OSError as error:
            log.info("%s: %s", target.address, error or "time-out")
            call.done(error=blame(error))
            raise

    async def _join(self, client: Ends, target: Ends) -> None:
        """Pass bytes both ways until both ends are through."""
        try:
            async with asyncio.timeout(self._timeouts.idle) as alarm:
                async with asyncio.TaskGroup() as directions:
                    directions.create_task(self._pump(client[0], target[1], alarm))
                    directions.create_task(self._pump(target[0], client[1], alarm))
                for _, writer in (client, target):
                    writer.close()
                    await writer.wait_closed()  # what is buffered goes out first
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            reset(target[1].transport)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, alarm: asyncio.Timeout
    ) -> None:
        loop = asyncio.get_running_loop()
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            alarm.reschedule(loop.time() + self._timeouts.idle)
            await writer.drain()
            alarm.reschedule(loop.time() + self._timeouts.idle)
        writer.write_eof()

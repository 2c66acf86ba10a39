"""An HTTP/1.1 reverse proxy on aiohttp, for one listener.

What was matched is what is forwarded: the canonical target, byte for byte.  Host is the client's.  Headers of one
connection (RFC 9110 7.6.1) are removed; X-Forwarded-For, -Proto and -Host are appended to; an affinity's session is
handed out.  WebSocket gets 501; other upgrades are ignored (RFC 9110 7.8).  Trailers and 1xx other than 100 end here.

404 no route; 400 no one safe reading, or no key where the route needs one; 500 and 503 by NoTarget (with Retry-After);
408 a client that stops sending; 502 a target that fails before its response's head is in (503 where the route has a
retry); 504 a time-out.  A response that breaks off later cuts the connection.  Filters, time-outs and retries of the
route: ``_carrier``.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, Protocol, cast

from lbcore._core import Match
from lbcore.adapters._carrier import Carrier
from lbcore.adapters._relay import Broken, ClientGone, Refused, Timeouts, web
from lbcore.adapters._reset import reset
from lbcore.adapters._server import Connection, Reply, answer, incoming
from lbcore.errors import BadRequest, LbcoreError

log = logging.getLogger("lbcore.http")

__all__ = ["HttpProxy", "Timeouts"]


class Matcher(Protocol):
    """What routes: an Engine or a Router."""

    def match(
        self,
        method: Any,
        host: Any,
        target: Any,
        headers: Any,
        *,
        port: int | None,
        source: str | None,
        scheme: str | None,
    ) -> Match | None: ...


class HttpProxy:
    """Serve the HTTP listener ``port`` of ``engine`` on a listening socket, whatever port that has.

    ``append_forwarded=False`` drops the client's own X-Forwarded headers.  It ends with ``stop()`` (no more requests),
    ``wait()`` (for those in flight) and ``abort()`` (of what is left; always).
    """

    def __init__(
        self,
        engine: Matcher,
        port: int | None = None,
        *,
        timeouts: Timeouts | None = None,
        append_forwarded: bool = True,
    ) -> None:
        self._engine = engine
        self._port = port
        self._timeouts = timeouts or Timeouts()
        self._carrier = Carrier(self._timeouts, log, append_forwarded=append_forwarded)
        self._connections: set[Connection] = set()

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on ``sock``, which becomes ours."""
        manager = web.Server(self._handle, request_factory=Connection.begin, handler_cancellation=True)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(manager, self._connections, self._timeouts, log), sock=sock, backlog=1024
        )

    def stop(self) -> None:
        """Accept nothing more.  Idle connections end now, the others with the request they are at."""
        self._server.close()
        for connection in list(self._connections):
            connection.closing = True
            if connection.idle:
                connection.force_close()

    async def wait(self) -> None:
        """Return when no connection is left."""
        while self._connections:
            await next(iter(self._connections)).gone.wait()

    async def abort(self) -> None:
        """Cut what is left and let go of everything."""
        await asyncio.gather(*(connection.shutdown(0.01) for connection in list(self._connections)))
        await self._carrier.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        reply = Reply(request)
        try:
            response = await self._forward(request, reply)
        except (Broken, ClientGone) as cut:
            level = logging.INFO if isinstance(cut, Broken) else logging.DEBUG
            log.log(level, "%s %s: cut: %s", request.method, request.raw_path, cut)
            reset(request.transport)
            response = reply.response
        connection = cast(Connection, request.protocol)
        connection.idle = request.content.is_eof()
        if connection.closing or not connection.idle:
            response.force_close()  # what is left of a body that nobody wanted is not another request
        return response

    async def _forward(self, request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        """Relay the request, or say what to answer instead."""
        try:
            match = self._match(request)
            if match is None:
                return answer(404)
            found = await self._carrier.carry(match, incoming(request), reply)
        except BadRequest as error:
            return answer(400, error.reason)
        except Refused as error:
            log.debug("%s %s: %d: %s", request.method, request.raw_path, error.status, error)
            return answer(error.status)
        if found is None:
            return reply.response
        return answer(found.status, headers=found.headers, body=found.body)

    def _match(self, request: web.BaseRequest) -> Match | None:
        if "websocket" in request.headers.get("Upgrade", "").lower():
            raise Refused(501, "WebSocket is not passed on")
        if request.headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
            raise Refused(501, "a transfer coding other than chunked")
        hosts = [value for name, value in request.raw_headers if name.lower() == b"host"]
        if len(hosts) != 1 and (hosts or request.version >= (1, 1)):  # RFC 9112 3.2
            raise Refused(400, "a request has one Host")
        host, target = hosts[0] if hosts else None, request.raw_path.encode("utf-8", "surrogateescape")
        try:
            return self._engine.match(
                request.method,
                host,
                target,
                request.raw_headers,
                port=self._port,
                source=request.remote,
                scheme=request.scheme,
            )
        except BadRequest:
            raise
        except LbcoreError:
            return None  # a reload has removed this listener since the connection was made

"""An HTTP/1.1 reverse proxy on aiohttp, for one listener.

What was matched is what is forwarded: the canonical target, byte for byte.  Host is the client's.  Headers of one
connection (RFC 9110 7.6.1) are removed; X-Forwarded-For, -Proto and -Host are appended to.  A request to switch to
WebSocket gets 501; other upgrades are ignored, as RFC 9110 7.8 allows.  Trailers and 1xx other than 100 end here.

404 no route; 400 no one safe reading; 500 and 503 by NoTarget (with Retry-After); 408 a client that stops sending; 502 a
target that fails before its response's head is in; 504 a time-out.  A response that breaks off later cuts the connection.
"""

from __future__ import annotations

import asyncio
import http
import logging
import math
import socket
from collections.abc import AsyncIterator
from typing import Any, Protocol

from lbcore._core import Match
from lbcore.adapters._connection import Connection, Streamed, Text
from lbcore.adapters._headers import Pairs, end_to_end, first, forwarded
from lbcore.adapters._relay import Broken, ClientGone, Refused, Request, Timeouts, client_session, relay, web
from lbcore.errors import BadRequest, LbcoreError, NoTarget

log = logging.getLogger("lbcore.http")

__all__ = ["HttpProxy", "Timeouts"]


class Matcher(Protocol):
    """What routes: an Engine."""

    def match(self, method: Any, host: Any, target: Any, headers: Any, *, port: int | None) -> Match | None: ...


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
        self._append = append_forwarded
        self._connections: set[Connection] = set()
        self._stopping = False

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on ``sock``, which becomes ours."""
        self._session = client_session(self._timeouts)
        manager = web.Server(self._handle, request_factory=Connection.begin, handler_cancellation=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(manager, self._connections, self._timeouts, log), sock=sock, backlog=1024
        )

    def stop(self) -> None:
        """Accept nothing more.  Idle connections end now, the others with the request they are at."""
        self._stopping = True
        self._server.close()
        for connection in list(self._connections):
            if connection.idle:
                connection.force_close()

    async def wait(self) -> None:
        """Return when no connection is left."""
        while self._connections:
            await next(iter(self._connections)).gone.wait()

    async def abort(self) -> None:
        """Cut what is left and let go of everything."""
        await asyncio.gather(*(connection.shutdown(0.01) for connection in list(self._connections)))
        await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        reply = _Reply(request, self)
        try:
            response = await self._forward(request, reply) or reply.response
        except (Broken, ClientGone) as cut:
            log.debug("%s %s: %s", request.method, request.raw_path, cut)
            if request.transport is not None:
                request.transport.abort()
            response = reply.response
        finally:
            request.protocol.served()  # type: ignore[attr-defined]
        assert response is not None  # a Reply that was not started is Refused
        if self._stopping:
            response.force_close()
        return response

    async def _forward(self, request: web.BaseRequest, reply: _Reply) -> web.StreamResponse | None:
        """Relay the request; or what to answer instead."""
        try:
            match = self._match(request)
            if match is None:
                return _answer(404)
            if match.answer is not None:
                return _answer(match.answer.status, headers=match.answer.headers)
            call = match.acquire()
            method, host, target, headers = match.forward(end_to_end(request.raw_headers))
            headers = forwarded(headers, request.remote, request.scheme, host, append=self._append)
            body = _body(request) if request.body_exists else None
            await relay(
                self._session, call, Request(method, host, target, headers, body), reply, self._timeouts.idle
            )
            return None
        except BadRequest as error:
            return _answer(400, error.reason)
        except NoTarget as error:
            after = error.retry_after
            return _answer(error.status, headers=[] if after is None else [("Retry-After", str(math.ceil(after)))])
        except Refused as error:
            log.info("%s %s: %d: %s", request.method, request.raw_path, error.status, error)
            return _answer(error.status)

    def _match(self, request: web.BaseRequest) -> Match | None:
        if "websocket" in request.headers.get("Upgrade", "").lower():
            raise Refused(501, "WebSocket is not passed on")
        host = first(request.raw_headers, b"host")
        target = request.raw_path.encode("utf-8", "surrogateescape")
        try:
            return self._engine.match(request.method, host, target, request.raw_headers, port=self._port)
        except BadRequest:
            raise
        except LbcoreError:
            return None  # a reload has removed this listener since the request came in


class _Reply:
    """The client's side of a relay."""

    def __init__(self, request: web.BaseRequest, proxy: HttpProxy) -> None:
        self._request = request
        self._proxy = proxy
        self.response: Streamed | None = None

    async def start(self, status: int, reason: str, headers: Pairs) -> None:
        ...

"""A reverse proxy as an ASGI application, for any ASGI server; requests go out over aiohttp.

::

    app = ReverseProxy(lbcore.load("lb.yaml"))             # uvicorn module:app

The rules are those of ``lbcore.adapters.http``; framing, keep-alive and header time-outs are the server's.  A
client's disconnect cancels the request at the target.  WebSocket is not passed on: 501, or, from a server that speaks
it, a close with 1011 (most answer the handshake 403).  A response that breaks off raises :class:`Broken`, upon which a
server cuts the connection.  X-Forwarded-For gets what the server calls its client; uvicorn may take that from a
trusted proxy's header.
"""

from __future__ import annotations

import asyncio
import logging
import math
from http.client import responses
from typing import Any, Protocol, cast

from lbcore._core import Match
from lbcore.adapters._headers import Pairs, end_to_end, first, forwarded
from lbcore.adapters._inbox import Inbox, Outbox, Receive, Scope, Send
from lbcore.adapters._relay import Broken, ClientGone, Refused, Request, Timeouts, client_session, relay
from lbcore.adapters._session import session_of
from lbcore.errors import BadRequest, NoTarget

log = logging.getLogger("lbcore.asgi")

__all__ = ["Broken", "ReverseProxy", "Timeouts"]


class Matcher(Protocol):
    """What routes: an Engine or a Router."""

    def match_scope(self, scope: Scope, /) -> Match | None: ...


class ReverseProxy:
    """Route each request by ``matcher`` and relay it to the target that was acquired.

    ``append_forwarded=False`` drops the client's own X-Forwarded headers.  The pool of connections is made by the first
    request and closed at the lifespan's shutdown, or by ``aclose()`` where the server has no lifespan.
    """

    def __init__(
        self, matcher: Matcher, *, timeouts: Timeouts | None = None, append_forwarded: bool = True
    ) -> None:
        self._matcher = matcher
        self._timeouts = timeouts or Timeouts()
        self._append = append_forwarded
        self._session: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1011, "reason": "WebSocket is not passed on"})
        else:
            await self._http({**scope, "headers": [*scope["headers"]]}, receive, send)

    async def aclose(self) -> None:
        """Close the connections to the targets."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if b"websocket" in (first(scope["headers"], b"upgrade") or b"").lower():
                raise Refused(
                    501, "WebSocket is not passed on"
                )  # a server without WebSocket hands it on as HTTP
            match = self._matcher.match_scope(scope)
            if match is None:
                await _answer(send, 404)
            elif match.answer is not None:
                headers = [(name.encode(), value.encode()) for name, value in match.answer.headers]
                await _answer(send, match.answer.status, headers)
            else:
                await self._relay(match, scope, receive, send)
        except BadRequest:
            await _answer(send, 400)
        except NoTarget as error:
            after = (
                [] if error.retry_after is None else [(b"retry-after", b"%d" % math.ceil(error.retry_after))]
            )
            await _answer(send, error.status, after)
        except Refused as error:
            # What clients do wrong must not fill the log.
            level = logging.INFO if error.status in (502, 504) else logging.DEBUG
            log.log(level, "%s %s: %d: %s", scope["method"], scope["path"], error.status, error)
            await _answer(send, error.status)
        except ClientGone as error:
            log.debug("%s %s: %s", scope["method"], scope["path"], error)

    async def _relay(self, match: Match, scope: Scope, receive: Receive, send: Send) -> None:
        if self._session is None:
            self._session = client_session(self._timeouts)
        inbox, outbox = Inbox(scope, receive), Outbox(send)
        request = self._outgoing(match, scope, inbox)
        call = match.acquire(session=session_of(match, scope["headers"]))
        relaying = asyncio.create_task(relay(self._session, call, request, outbox, self._timeouts.idle))
        leaving = asyncio.create_task(inbox.disconnected())
        try:
            await asyncio.wait((relaying, leaving), return_when=asyncio.FIRST_COMPLETED)
            if relaying.done():
                await relaying
                await outbox.end()
        finally:
            relaying.cancel()
            leaving.cancel()
            await asyncio.gather(relaying, leaving, return_exceptions=True)
            call.done(error=asyncio.CancelledError())  # in case that the relay was cancelled before it began

    def _outgoing(self, match: Match, scope: Scope, inbox: Inbox) -> Request:
        method, host, target, kept = match.forward(end_to_end(scope["headers"]))
        client, scheme = (scope.get("client") or [None])[0], scope.get("scheme", "http")
        headers = forwarded(cast(Pairs, kept), client, scheme, host, append=self._append)
        return Request(method, host, target, headers, inbox.body() if inbox.has_body else None)


async def _answer(send: Send, status: int, headers: Pairs | None = None) -> None:
    text = f"{status} {responses.get(status, 'Unknown')}\n".encode()
    own = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": status, "headers": [*(headers or []), *own]})
    await send({"type": "http.response.body", "body": text})

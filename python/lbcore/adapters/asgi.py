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
from http.client import responses
from typing import Protocol

from lbcore._core import Answer, Match
from lbcore.adapters._carrier import Carrier, Incoming
from lbcore.adapters._headers import first
from lbcore.adapters._inbox import Inbox, Outbox, Receive, Scope, Send
from lbcore.adapters._relay import Broken, ClientGone, Timeouts
from lbcore.errors import BadRequest

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
        self._carrier = Carrier(timeouts or Timeouts(), log, append_forwarded=append_forwarded)

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
        await self._carrier.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if b"websocket" in (first(scope["headers"], b"upgrade") or b"").lower():
                answer: Answer | None = Answer(501)  # a server without WebSocket hands it on as HTTP
            elif (match := self._matcher.match_scope(scope)) is None:
                answer = Answer(404)
            else:
                answer = await self._carry(match, scope, receive, send)
        except BadRequest:
            answer = Answer(400)
        except ClientGone as error:
            log.debug("%s %s: %s", scope["method"], scope["path"], error)
            return
        if answer is not None:
            await _answer(send, answer)

    async def _carry(self, match: Match, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        """What to answer; None: the response was passed on, or the client has left."""
        inbox, outbox = Inbox(scope, receive), Outbox(send)
        incoming = _incoming(scope, inbox)
        carrying = asyncio.create_task(self._carrier.carry(match, incoming, outbox))
        leaving = asyncio.create_task(inbox.disconnected())
        try:
            await asyncio.wait((carrying, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not carrying.done():
                return None
            answer = await carrying
            if answer is None:
                await outbox.end()
            return answer
        finally:
            carrying.cancel()
            leaving.cancel()
            await asyncio.gather(carrying, leaving, return_exceptions=True)


def _incoming(scope: Scope, inbox: Inbox) -> Incoming:
    return Incoming(
        name=f"{scope['method']} {scope['path']}",
        headers=scope["headers"],
        client=(scope.get("client") or [None])[0],
        scheme=scope.get("scheme", "http"),
        body=inbox.body() if inbox.has_body else None,
        arrived=asyncio.get_running_loop().time(),
    )


async def _answer(send: Send, answer: Answer) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    text = answer.body
    if answer.status not in (204, 304):
        text = text or f"{answer.status} {responses.get(answer.status, 'Unknown')}\n".encode()
        if first(headers, b"content-type") is None:
            headers.append((b"content-type", b"text/plain; charset=utf-8"))
        headers.append((b"content-length", b"%d" % len(text)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": text})

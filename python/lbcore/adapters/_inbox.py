"""The two ends of an ASGI request: what the server hands us, and what it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from lbcore.adapters._headers import Pairs, first

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Inbox:
    """The request's body, and after it the news that the client has gone; never more read than is asked for."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = scope["headers"]
        self.has_body = any(first(headers, name) for name in (b"content-length", b"transfer-encoding"))
        # HTTP/2 and 3 may send a body without either; without a body, nothing follows but the disconnect.
        self.has_body |= scope.get("http_version", "1.1")[0] != "1" and scope["method"] not in ("GET", "HEAD")
        self._receive = receive
        self._read = asyncio.Event()  # the body is read
        if not self.has_body:
            self._read.set()

    async def body(self) -> AsyncIterator[bytes]:
        """The body, chunk by chunk.  ConnectionResetError: the client has gone."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client has disconnected")
            yield message.get("body", b"")
            more = message.get("more_body", False)
        self._read.set()

    async def disconnected(self) -> None:
        """Return when the client has gone."""
        await self._read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


class Outbox:
    """The client's side of a relay."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def start(self, status: int, reason: str, headers: Pairs) -> None:
        """Send the response's head."""
        lower = [(name.lower(), value) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": lower})

    async def write(self, chunk: bytes) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        """Send the body's end."""
        await self._send({"type": "http.response.body", "body": b""})

"""aiohttp's server made fit for a proxy: header time-outs, connections that can be asked to end, nothing invented."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from http.client import responses
from typing import Any, cast

from lbcore.adapters._carrier import Incoming
from lbcore.adapters._headers import Pairs
from lbcore.adapters._relay import Timeouts, web


class Connection(web.RequestHandler):
    """A client's connection.  Each request's header must be in ``timeouts.header`` seconds after its first byte (the
    first request's: after the connection was made).  ``connections`` has those that are open."""

    def __init__(
        self, manager: web.Server, connections: set[Connection], timeouts: Timeouts, log: logging.Logger
    ) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=timeouts.keep_alive,
            logger=log,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
        )
        self._open = connections
        self._patience = timeouts.header
        self._alarm: asyncio.TimerHandle | None = None
        self.idle = True  # nothing of a request has come that is not answered
        self.closing = False  # no request after the one it is at
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._open.add(self)
        self._await_header()

    def connection_lost(self, error: BaseException | None) -> None:
        self._header_done()
        self._open.discard(self)
        self.gone.set()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self.idle:
            self.idle = False
            if self._alarm is None:
                self._await_header()
        super().data_received(data)

    @staticmethod
    def begin(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        """The server's ``request_factory``: called when a request's header is complete."""
        protocol.idle = False
        protocol._header_done()
        return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())

    def _await_header(self) -> None:
        self._alarm = asyncio.get_running_loop().call_later(self._patience, self._late)

    def _header_done(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _late(self) -> None:
        if self.transport is not None and not self.idle:
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what aiohttp could not parse (400) or we did not expect (500, logged)."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        response = answer(400)
        response.force_close()
        return response


class _Uninvented:
    """A response without the Server and Content-Type that aiohttp would make up."""

    async def _prepare_headers(self) -> None:
        response = cast(web.StreamResponse, self)
        absent = [name for name in ("Server", "Content-Type") if name not in response.headers]
        await super()._prepare_headers()  # type: ignore[misc]
        for name in absent:
            response.headers.popall(name, None)


class Streamed(_Uninvented, web.StreamResponse):
    """A target's response."""


class Short(_Uninvented, web.Response):
    """A response of our own."""


def answer(
    status: int, reason: str = "", headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> web.StreamResponse:
    """A short answer: ``body``, or, in plain text, the status, its name, and ``reason``."""
    lines = [*headers]
    if status not in (204, 304):
        text = f"{status} {responses.get(status, 'Unknown')}{': ' if reason else ''}{reason}\n"
        body = body or text.encode()
        if not any(name.lower() == "content-type" for name, _ in lines):
            lines.append(("Content-Type", "text/plain; charset=utf-8"))
    return Short(status=status, body=body, headers=lines)


async def body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """The request's body, chunk by chunk."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        await request.writer.write(
            b"HTTP/1.1 100 Continue\r\n\r\n"
        )  # the target wants the body: it said so to us
        request.writer.output_size = 0
    async for chunk in request.content.iter_any():
        yield chunk


def incoming(request: web.BaseRequest) -> Incoming:
    """``request`` as a carrier takes it; it has arrived now."""
    return Incoming(
        name=f"{request.method} {request.raw_path}",
        headers=cast(Pairs, request.raw_headers),
        client=request.remote,
        scheme=request.scheme,
        body=body(request) if request.body_exists else None,
        arrived=asyncio.get_running_loop().time(),
    )


class Reply:
    """The client's side of a relay; ``response`` is there once it was started."""

    response: Streamed

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request

    async def start(self, status: int, reason: str, headers: Pairs) -> None:
        """Send the response's head."""
        response = Streamed(
            status=status, reason=reason if reason.isascii() else None, headers=_text(headers)
        )
        no_chunks = self._request.version < (1, 1)
        if self._request.protocol.closing or (no_chunks and "Content-Length" not in response.headers):  # type: ignore
            response.force_close()  # in HTTP/1.0, the connection's end is the body's
        self.response = response
        await response.prepare(self._request)

    async def write(self, chunk: bytes) -> None:
        """Send a part of the body."""
        await self.response.write(chunk)


def _text(headers: Pairs) -> list[tuple[str, str]]:
    """aiohttp writes UTF-8 only: a value in another encoding is taken for Latin-1 and written in UTF-8."""

    def decoded(value: bytes) -> str:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")

    return [(name.decode("latin-1"), decoded(value)) for name, value in headers]

"""One HTTP request on its way to a target and back: what the HTTP proxies share.

Bodies stream in both directions, one chunk at a time, each at the pace of its slower end.  The call that was
acquired for the request is done exactly once, when the response's *body* has ended: a success, or a failure where the
target is to blame.  A client that goes away or falls asleep, and a shortage on this machine, speak neither for nor
against the target.  A session that began with the call is handed out in the response's head.

The call is told the response's status, its Retry-After, and as latency the time from the request's end to the
response's head: what a slow client adds is not the target's.  A response that breaks off counts as a connection error,
whatever its status was, and not as an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

try:
    import aiohttp
    from aiohttp import web as web
    from yarl import URL
except ImportError as missing:
    raise ImportError("lbcore's HTTP proxies need aiohttp: pip install 'lbcore[proxy]'") from missing

from lbcore._core import Call
from lbcore.adapters._blame import blame
from lbcore.adapters._headers import Pairs, end_to_end
from lbcore.adapters._session import handing_out
from lbcore.errors import LbcoreError


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.  There is no limit on a request's total time."""

    connect: float = 5.0  # until a connection to the target stands
    idle: float = 60.0  # without a byte in either direction, while a response is awaited or streams
    header: float = 10.0  # for a client to finish a request's header (``lbcore.adapters.http`` only)
    keep_alive: float = (
        75.0  # between two requests of one client's connection (``lbcore.adapters.http`` only)
    )


class Refused(LbcoreError):
    """No response was begun: answer ``status`` (400, 408, 502, 503 or 504).  ``sent`` False: nor did the target see
    anything of the request."""

    def __init__(self, status: int, reason: str, *, sent: bool = True) -> None:
        self.status = status
        self.sent = sent
        super().__init__(reason)


class Broken(LbcoreError):
    """The response broke off after its head was passed on: cut the client's connection, do not end it cleanly."""


class ClientGone(LbcoreError):
    """The client went away, or stopped taking its response."""


class Reply(Protocol):
    """Where a response goes.  An OSError from either method means that the client has gone."""

    async def start(self, status: int, reason: str, headers: Pairs) -> None: ...
    async def write(self, chunk: bytes) -> None: ...


@dataclass(slots=True)
class Request:
    """What is sent to the target.  ``host`` None sends the target's own address as Host."""

    method: str
    host: str | None
    target: str  # path and query, exactly as they go on the wire
    headers: Pairs  # without Host
    body: AsyncIterator[bytes] | None = None  # its errors are the client's


@dataclass(slots=True)
class Terms:
    """What the rule of a request says of an attempt.

    ``deadline``: when it must have ended, by the loop's clock.  ``edit`` makes the response's headers those of the
    client.  ``again`` is asked of a response's status: True, and nothing of it is passed on.
    """

    deadline: float | None = None
    edit: Callable[[Pairs], Pairs] | None = None
    again: Callable[[int], bool] | None = None


NO_TERMS = Terms()


def client_session(
    timeouts: Timeouts, once_over: aiohttp.ClientSession | None = None
) -> aiohttp.ClientSession:
    """A pool of connections to targets that invents nothing: no headers, cookies, redirects, proxies, decoding.

    aiohttp sends a bodiless idempotent request once more, to the same target, if the connection ends without an answer:
    a kept one may have been closed while the request was on its way.  Nothing else is ever sent twice; and with
    ``once_over``, over the connections of that session, not even this: for requests whose retries are counted.
    """
    session = aiohttp.ClientSession(
        connector=once_over.connector if once_over else aiohttp.TCPConnector(limit=0),
        connector_owner=once_over is None,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        max_line_size=65_536,
        max_field_size=65_536,
    )
    session._retry_connection = once_over is None  # no public name says it; a test counts what arrives
    return session


async def relay(
    session: aiohttp.ClientSession,
    call: Call,
    request: Request,
    reply: Reply,
    idle: float,
    terms: Terms = NO_TERMS,
) -> bool:
    """Send ``request`` to ``call.target`` and its response to ``reply``; the call is done when this ends.

    False: ``terms.again`` has kept the response back.  Raises :class:`Refused` if no response was begun,
    :class:`Broken` or :class:`ClientGone` later.
    """
    exchange = _Exchange(reply, idle, terms)
    try:
        async with asyncio.timeout_at(exchange.due()) as exchange.alarm:
            status = await exchange.run(session, call, request)
    except BaseException as error:
        outcome, verdict = exchange.judge(error)
        call.done(error=verdict)
        if outcome is error:
            raise
        raise outcome from error
    call.done(status=status, latency=exchange.latency, retry_after=exchange.retry_after)
    return exchange.started


class _Exchange:
    """The state of one relay: who is waited for, and who failed."""

    alarm: asyncio.Timeout

    def __init__(self, reply: Reply, idle: float, terms: Terms) -> None:
        self.reply = reply
        self.idle = idle
        self.terms = terms
        self.started = False
        self.body_waits = False  # for the client to send more
        self.reply_waits = False  # for the client to take more
        self.client_error: BaseException | None = None
        self.asked = asyncio.get_running_loop().time()  # when the target was last handed something
        self.latency = 0.0
        self.retry_after: str | None = None

    def due(self) -> float:
        """When this must have ended if nothing moves from now on."""
        idle = asyncio.get_running_loop().time() + self.idle
        return idle if self.terms.deadline is None else min(idle, self.terms.deadline)

    async def run(self, session: aiohttp.ClientSession, call: Call, request: Request) -> int:
        """The response's status, when its body has been handed over, or is not to be."""
        target = call.target
        # The whole target goes in as the path: yarl then neither parses nor normalises what was matched.
        url = URL.build(
            scheme=target.scheme or "http",
            authority=target.address,
            path=target.path + request.target,
            encoded=True,
        )
        headers, expects = _for_aiohttp(request)
        body = self._upload(request.body) if request.body else None
        async with session.request(
            request.method, url, headers=headers, data=body, expect100=expects, allow_redirects=False
        ) as response:
            self.latency = asyncio.get_running_loop().time() - self.asked
            self.retry_after = response.headers.get("Retry-After")
            if not 200 <= response.status <= 599:
                raise ConnectionError(
                    f"{target.address} answered {response.status}, which is no final status"
                )
            if response.headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
                raise ConnectionError(f"{target.address} answered in a transfer coding other than chunked")
            if self.terms.again is not None and self.terms.again(response.status):
                return response.status
            head = end_to_end(response.raw_headers)
            if self.terms.edit is not None:
                head = self.terms.edit(head)
            head = handing_out(call, head)
            await self._hand_over(self.reply.start(response.status, response.reason or "", head))
            self.started = True
            async for chunk in response.content.iter_any():
                self._moved()
                await self._hand_over(self.reply.write(chunk))
            return response.status

    async def _upload(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.body_waits = True
        try:
            yield b""  # sends the head now; aiohttp would keep it until the client has sent a part of the body
            async for chunk in body:
                self.body_waits = False
                self._moved()
                yield chunk
                self.asked = asyncio.get_running_loop().time()
                self._moved()
                self.body_waits = True
        except Exception as error:
            self.client_error = error
            raise
        self.body_waits = False

    async def _hand_over(self, sending: Awaitable[None]) -> None:
        self.reply_waits = True
        try:
            await sending
        except OSError as error:
            self.client_error = error
            raise
        self.reply_waits = False
        self._moved()

    def _moved(self) -> None:
        with contextlib.suppress(RuntimeError):  # the upload may move once more while the alarm is going off
            self.alarm.reschedule(self.due())

    def judge(self, error: BaseException) -> tuple[BaseException, BaseException]:
        """(what to raise, what to tell the call) of an exchange that ended with ``error``."""
        if not isinstance(error, OSError | aiohttp.ClientError):
            return error, error  # cancelled, refused here, or a mistake of ours
        late = isinstance(error, TimeoutError)
        if self.client_error or (late and (self.body_waits or self.reply_waits)):
            asleep = f"it was idle for {self.idle:g} s, or the request's time is over"
            outcome: LbcoreError = ClientGone(f"the client: {self.client_error or asleep}")
            if not self.started:
                outcome = Refused(400 if self.client_error else 408, str(outcome))
            return outcome, outcome
        if self.started:
            outcome = Broken(str(error) or "time-out")
        else:
            sent = not isinstance(error, _NOT_SENT)
            outcome = Refused(504 if late else 502, str(error) or "time-out", sent=sent)
        if isinstance(error, OSError):
            return outcome, blame(error)
        return outcome, ConnectionResetError(
            f"{type(error).__name__}: {error}"
        )  # a disconnect, an answer not HTTP


# No connection was made.
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


def _for_aiohttp(request: Request) -> tuple[list[tuple[str, str]], bool]:
    """The request's headers as text, and whether the client waits for a 100 before it sends the body."""
    headers = [("Host", request.host)] if request.host else []
    expects = False
    spelled: dict[bytes, bytes] = {}  # aiohttp lets a name in another spelling replace the ones before
    for name, value in request.headers:
        name = spelled.setdefault(name.lower(), name)
        if request.body and name.lower() == b"expect" and value.lower() == b"100-continue":
            expects = True
            continue
        try:
            headers.append((name.decode("ascii"), value.decode("utf-8")))
        except UnicodeDecodeError:
            raise Refused(400, f"header {name.decode('latin-1')} is not UTF-8") from None
    return headers, expects

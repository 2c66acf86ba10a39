"""A matched request on its way through its rule: filters, mirrors, time-outs and retries.

::

    match.answer -> draw a backend -> its filters' answer -> attempt, attempt, ... -> response
                                                         \\-> copies to mirrors

Every answer, ours too, gets the response filters of the backend that was drawn.  A mirror gets its copy beside the
first attempt, once the body is whole; what comes back, and what goes wrong, is nobody's business.  An attempt is
repeated as the rule's retry says, if the upstream's budget and the request's time allow: on another target, or, where
all had their turn, on one of them again.  A body can be sent twice only if it is small (64 KiB) or nothing of it was
read.  Where retries end without an answer it is 503; without a retry rule a target that fails is 502.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from lbcore._core import Answer, Attempts, Call, Match
from lbcore.adapters._body import Body
from lbcore.adapters._headers import Pairs, end_to_end, forwarded
from lbcore.adapters._relay import Refused, Reply, Request, Terms, Timeouts, client_session, relay
from lbcore.adapters._session import session_of
from lbcore.errors import LbcoreError, NoTarget

MOST_MIRRORS = 256  # copies on their way at once; more are dropped


@dataclass(slots=True)
class Incoming:
    """A client's request.  ``arrived``: by the loop's clock."""

    name: str  # in logs
    headers: Pairs
    client: str | None
    scheme: str
    body: AsyncIterator[bytes] | None
    arrived: float


class Carrier:
    """Carries requests out over one pool of connections, which the first one makes and ``close()`` closes."""

    def __init__(self, timeouts: Timeouts, log: logging.Logger, *, append_forwarded: bool) -> None:
        self.timeouts = timeouts
        self.log = log
        self.mirrors_dropped = 0
        self._append = append_forwarded
        self._session: Any = None
        self._once: Any = None  # over the same connections
        self._mirroring: set[asyncio.Task[None]] = set()

    def session(self, match: Match | None) -> Any:
        """What sends an attempt.  Where the rule has a retry nothing else may repeat it."""
        if self._session is None:
            self._session = client_session(self.timeouts)
            self._once = client_session(self.timeouts, self._session)
        return self._session if match is None or match.retry is None else self._once

    async def close(self) -> None:
        """Cut the mirrors off and close the connections to the targets."""
        copies = list(self._mirroring)
        for task in copies:
            task.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        if self._session is not None:
            await self._once.close()
            await self._session.close()
            self._session = self._once = None

    async def carry(self, match: Match, incoming: Incoming, reply: Reply) -> Answer | None:
        """Bring the request to a target and its response to ``reply``; else give what to answer instead.

        Raises BadRequest (a request without its route's key), Broken and ClientGone.
        """
        if (answer := match.answer) is not None:
            return answer
        backend, lines = None, []
        try:
            tries = match.attempts(
                n=None if match.retry is not None else 1,
                session=session_of(match, incoming.headers),
                repeat=True,
            )
            backend = tries.backend
            if (answer := match.answer_of(backend)) is None:
                await _Trip(self, match, tries, incoming, reply).run()
            return answer
        except NoTarget as error:
            status = error.status
            if error.retry_after is not None:
                lines.append(("Retry-After", str(math.ceil(error.retry_after))))
        except Refused as error:
            status = error.status
            # What clients do wrong must not fill the log.
            level = logging.DEBUG if status < 500 else logging.INFO
            self.log.log(level, "%s: %d: %s", incoming.name, status, error)
        edited = match.response(lines, backend, binary=False)
        return Answer(status, cast(Sequence[tuple[str, str]], edited))

    def outgoing(self, match: Match, tries: Attempts, incoming: Incoming) -> Request:
        """What is sent, but for its body.  X-Forwarded fields are written first: filters have the last word."""
        headers = forwarded(
            end_to_end(incoming.headers),
            incoming.client,
            incoming.scheme,
            match.authority,
            append=self._append,
        )
        method, host, target, kept = match.forward(headers, tries.backend, binary=True)
        return Request(method, host, target, cast(Pairs, kept))

    def mirror(self, match: Match, tries: Attempts, request: Request, body: Body | None) -> None:
        """Send copies to the mirrors whose turn it is; nobody waits for them."""
        for to in match.mirrors(tries.backend):
            if len(self._mirroring) >= MOST_MIRRORS:
                self.mirrors_dropped += 1
                continue
            policy = getattr(to, "policy", None)  # a split's backends see to it themselves
            key = match.key if policy is None or policy.keyed else None
            task = asyncio.get_running_loop().create_task(self._copy(to, key, request, body))
            self._mirroring.add(task)
            task.add_done_callback(self._mirroring.discard)

    async def _copy(self, to: Any, key: Any, request: Request, body: Body | None) -> None:
        idle = self.timeouts.idle
        try:
            chunks = await body.copy() if body is not None else []
            if chunks is None:
                raise LbcoreError("the body is too large, or broke off")
            request = replace(request, body=_again(chunks) if body is not None else None)
            ends = Terms(deadline=asyncio.get_running_loop().time() + idle)
            await relay(self.session(None), to.acquire(key), request, _Nobody(), idle, ends)
        except LbcoreError as error:
            self.log.debug("mirror: %s", error)
        except Exception:
            self.log.warning("mirror: %s %s", request.method, request.target, exc_info=True)


class _Trip:
    """One request, from its first attempt to its last."""

    call: Call

    def __init__(
        self, carrier: Carrier, match: Match, tries: Attempts, incoming: Incoming, reply: Reply
    ) -> None:
        self._carrier = carrier
        self._match = match
        self._tries = tries
        self._arrived = incoming.arrived
        self._reply = reply
        self._request = carrier.outgoing(match, tries, incoming)
        self._stream, self._body = incoming.body, None
        if incoming.body is not None and (match.retry is not None or match.route.programs is not None):
            self._body = Body(incoming.body)  # it may be sent more than once
        self._n_retries = 0
        self._following: Call | None = None  # of the next attempt

    async def run(self) -> None:
        """Raises what the last attempt does."""
        self.call = next(self._tries)
        try:
            self._carrier.mirror(self._match, self._tries, self._request, self._body)
            while not await self._attempt():
                assert self._following is not None and self._match.retry is not None
                self.call, self._following = self._following, None
                await asyncio.sleep(self._match.retry.wait(self._n_retries))
                self._n_retries += 1
        finally:
            self.call.done(error=asyncio.CancelledError())  # nothing, unless no attempt came to an end
            if self._following is not None:
                self._following.done(error=asyncio.CancelledError())
            if self._body is not None:
                self._body.close()

    async def _attempt(self) -> bool:
        """True: the response was handed over; False: ``_following`` is to try."""
        backend = self._tries.backend
        body = self._body.send() if self._body is not None else self._stream
        terms = Terms(
            deadline=self._deadline(),
            edit=lambda headers: cast(Pairs, self._match.response(headers, backend, binary=True)),
            again=self._goes_on,
        )
        request = replace(self._request, body=body)
        try:
            session = self._carrier.session(self._match)
            return await relay(session, self.call, request, self._reply, self._carrier.timeouts.idle, terms)
        except Refused as error:
            if error.status not in (502, 504):
                raise
            if self._goes_on(None, sent=error.sent):
                return False
            if error.status == 502 and self._match.retry is not None:
                raise Refused(503, str(error)) from error
            raise

    def _deadline(self) -> float | None:
        now = asyncio.get_running_loop().time()
        left = self._left(now)
        return None if left is None else now + left

    def _left(self, at: float) -> float | None:
        timeouts = self._match.timeouts
        return None if timeouts is None else timeouts.left(at - self._arrived)

    def _goes_on(self, status: int | None, *, sent: bool = True) -> bool:
        """True if there will be another attempt after this one's ``status``, or after its failure."""
        retry = self._match.retry
        if retry is None or not retry.again(self._n_retries, self._request.method, status, sent=sent):
            return False
        if self._body is not None and not self._body.repeatable:
            return False
        if self._left(asyncio.get_running_loop().time() + retry.wait(self._n_retries)) == 0:
            return False
        self._following = next(self._tries, None)
        return self._following is not None


class _Nobody:
    """Takes what a mirror answers."""

    async def start(self, status: int, reason: str, headers: Pairs) -> None: ...

    async def write(self, chunk: bytes) -> None: ...


async def _again(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk

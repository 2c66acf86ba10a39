"""The HTTP/1.1 that a probe needs: one request, the status of its answer, and the beginning of its body.

Source  RFC 9112.  A redirect is not followed: its status is the answer.  Interim answers (1xx other than 101) are
passed over.  Nothing is kept open, nothing is sent with a body, and no more is read than says how the target is.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

MAX_HEAD_BYTES = 32 * 1024  # of all heads of one answer, interim ones too
MAX_BODY_BYTES = 64 * 1024  # in which a text is looked for

_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9]{2})(?: .*)?", re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?", re.DOTALL)


class Garbage(Exception):
    """What came is not an HTTP/1.x answer, or is larger than any that a check should get."""


class Request:
    """A probe's request but for its Host.  Raises ``ValueError``, which names what cannot be sent."""

    def __init__(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        if not _TOKEN.fullmatch(method):
            raise ValueError(f"http_method: {method!r} is not a method")
        if (
            not path.startswith("/")
            or not path.isascii()
            or not path.isprintable()
            or " " in path
            or "#" in path
        ):
            raise ValueError(f"http_path: {path!r} is not a path: / and printable ASCII without space and #")
        self.method = method
        self._host = next((value for name, value in headers.items() if name.lower() == "host"), None)
        ours = {"user-agent": "lbcore", "accept": "*/*", "accept-encoding": "identity"}
        lines = [f"{method} {path} HTTP/1.1"]
        for name, value in headers.items():
            _check_header(name, value)
            ours.pop(name.lower(), None)
            if name.lower() != "host":
                lines.append(f"{name}: {value}")
        lines += [f"{name}: {value}" for name, value in ours.items()]
        if method in ("POST", "PUT", "PATCH"):
            lines.append("content-length: 0")
        self._lines = lines

    def encode(self, authority: str) -> bytes:
        """The bytes to send; ``authority`` is the Host where the headers have none."""
        first, *others = self._lines
        lines = (first, f"host: {self._host or authority}", *others, "connection: close", "", "")
        return "\r\n".join(lines).encode("latin-1")


def _check_header(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"headers: {name!r} is not a header's name")
    if name.lower() in ("connection", "content-length", "transfer-encoding"):
        raise ValueError(f"headers: {name} is the probe's own")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"headers: {name}: {value!r} has characters outside of Latin-1") from None
    if any(sign in value for sign in "\r\n\0"):
        raise ValueError(f"headers: {name}: {value!r} has a line end or a zero")


class Answer:
    """What a target says, read no further than it is asked about."""

    def __init__(self, reader: asyncio.StreamReader, method: str) -> None:
        self._reader = reader
        self._method = method
        self._left = MAX_HEAD_BYTES
        self._status = 0
        self._length: int | None = None
        self._chunked = False

    async def status(self) -> int:
        """Read the head.  Raises ``Garbage``, or ``ConnectionError`` if it breaks off."""
        while not self._status or (100 <= self._status < 200 and self._status != 101):
            self._status = _status(await self._line())
            await self._headers()
        return self._status

    async def has(self, text: bytes) -> bool:
        """True if ``text`` is in the first ``MAX_BODY_BYTES`` of the body.  After ``status``; raises as it does."""
        seen = bytearray()
        async with aclosing(self._body()) as pieces:
            async for piece in pieces:
                begin = max(0, len(seen) - len(text) + 1)
                seen += piece[: MAX_BODY_BYTES - len(seen)]
                if seen.find(text, begin) >= 0:
                    return True
                if len(seen) == MAX_BODY_BYTES:
                    break
        return not text

    async def _headers(self) -> None:
        self._length, self._chunked = None, False
        while line := await self._line():
            if line[:1] in b" \t":
                continue  # RFC 9112 5.2: folded; none that we want is
            name, colon, value = line.partition(b":")
            if not colon:
                raise Garbage(f"a header line without a colon: {line[:40]!r}")
            self._framing(name.lower(), value.strip(b" \t"))

    def _framing(self, name: bytes, value: bytes) -> None:
        if name == b"transfer-encoding":
            self._chunked = value.lower().endswith(b"chunked")
        elif name == b"content-length":
            if not value.isdigit() or len(value) > 19:
                raise Garbage(f"content-length: {value[:40]!r}")
            self._length = int(value)

    async def _body(self) -> AsyncGenerator[bytes]:
        """RFC 9112 6.3: a coding wins over a length, and without both the body ends with the connection."""
        if self._method == "HEAD" or self._status in (204, 304):
            return
        if self._chunked:
            async for piece in self._chunks():
                yield piece
        elif self._length is not None:
            async for piece in self._exactly(self._length):
                yield piece
        else:
            while piece := await self._reader.read(MAX_BODY_BYTES):
                yield piece

    async def _chunks(self) -> AsyncGenerator[bytes]:
        while True:
            self._left = (
                MAX_HEAD_BYTES  # for each line of sizes; how many there are is limited by the body's bytes
            )
            size = _SIZE.fullmatch(await self._line())
            if not size:
                raise Garbage("a chunk without its size")
            n_bytes = int(size[1], 16)
            if n_bytes == 0:
                return
            async for piece in self._exactly(n_bytes):
                yield piece
            if await self._line():
                raise Garbage("a chunk that is longer than its size")

    async def _exactly(self, n_bytes: int) -> AsyncGenerator[bytes]:
        while n_bytes:
            piece = await self._reader.read(min(n_bytes, MAX_BODY_BYTES))
            if not piece:
                raise ConnectionResetError("closed before the end of the body")
            n_bytes -= len(piece)
            yield piece

    async def _line(self) -> bytes:
        """The next line without its end.  RFC 9112 2.2: a recipient may take a bare LF for one."""
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise Garbage(f"a line of more than {MAX_HEAD_BYTES} bytes") from None
        except asyncio.IncompleteReadError as cut:
            if cut.partial and not self._status and not b"HTTP/".startswith(cut.partial[:5]):
                raise Garbage(f"not HTTP: {cut.partial[:40]!r}") from None
            raise ConnectionResetError("closed before the end of the answer") from None
        self._left -= len(line)
        if self._left < 0:
            raise Garbage(f"a head of more than {MAX_HEAD_BYTES} bytes")
        return line.removesuffix(b"\n").removesuffix(b"\r")


def _status(line: bytes) -> int:
    found = _STATUS.fullmatch(line)
    if not found:
        raise Garbage(f"not HTTP/1.x: {line[:40]!r}")
    return int(found[1])

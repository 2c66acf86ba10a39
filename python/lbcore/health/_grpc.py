"""The gRPC health check: one call of ``grpc.health.v1.Health/Check``, over HTTP/2 by the ``h2`` library.

Source  grpc/health/v1/health.proto; gRPC over HTTP/2 (PROTOCOL-HTTP2).  Both messages have one field, so they are
written and read here.  h2 and not grpcio: it does no I/O, so time-outs, cancellation and forks are those of the other
probes; grpcio has threads of its own, which a fork breaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

try:
    import h2.config
    import h2.connection
    import h2.errors
    import h2.events
    import h2.exceptions
except ImportError as missing:
    raise ImportError("gRPC checks need h2: pip install 'lbcore[grpc]'") from missing

from lbcore.health._http import Garbage

PATH = "/grpc.health.v1.Health/Check"
MAX_ANSWER_BYTES = 64 * 1024
STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def check(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    scheme: str,
    authority: str,
    service: str,
    headers: Mapping[str, str],
) -> str:
    """What ``service`` says of itself: "SERVING" is well, all else is not.

    Raises ``Garbage`` for what is no answer of gRPC, ``ConnectionError`` if the answer breaks off.
    """
    call = _Call()
    head = [
        *((":method", "POST"), (":scheme", scheme), (":path", PATH), (":authority", authority)),
        *(("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "lbcore")),
        *((name.lower(), value) for name, value in headers.items()),
    ]
    call.begin(head, _framed(service.encode()))
    n_bytes = 0
    while True:
        writer.write(call.to_send())
        if call.ended:
            return call.verdict()
        data = await reader.read(MAX_ANSWER_BYTES)
        if not data:
            raise ConnectionResetError("closed before the end of the answer")
        n_bytes += len(data)
        if n_bytes > MAX_ANSWER_BYTES:
            raise Garbage(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        call.received(data)


class _Call:
    """One call on a connection of its own: bytes in, bytes out."""

    def __init__(self) -> None:
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._status = ""
        self._grpc_status = ""
        self._grpc_message = ""
        self._body = b""
        self.ended = False

    def begin(self, head: list[tuple[str, str]], body: bytes) -> None:
        self._h2.initiate_connection()
        self._h2.send_headers(1, head)
        self._h2.send_data(1, body, end_stream=True)

    def to_send(self) -> bytes:
        return bytes(self._h2.data_to_send())

    def received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except (h2.exceptions.ProtocolError, UnicodeDecodeError) as error:
            raise Garbage(f"not HTTP/2: {error or type(error).__name__}") from None

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            found = {_text(name): _text(value) for name, value in event.headers or ()}
            self._status = found.get(":status", self._status)
            self._grpc_status = found.get("grpc-status", self._grpc_status)
            self._grpc_message = found.get("grpc-message", self._grpc_message)
        elif isinstance(event, h2.events.DataReceived):
            self._body += event.data or b""
        elif isinstance(event, h2.events.StreamEnded):
            self.ended = True
        elif isinstance(event, h2.events.StreamReset):
            raise Garbage(f"the stream was reset ({event.error_code})")
        elif isinstance(event, h2.events.ConnectionTerminated) and event.error_code:
            raise Garbage(f"the connection was ended ({event.error_code})")

    def verdict(self) -> str:
        if self._status != "200":
            return f"status {self._status}"
        if self._grpc_status != "0":
            said = f": {self._grpc_message}" if self._grpc_message else ""
            return f"grpc-status {self._grpc_status or 'missing'}{said}"
        return _serving(self._body)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def _framed(service: bytes) -> bytes:
    """``HealthCheckRequest{service = 1}`` in a message of gRPC: a byte for "not compressed", four for the length."""
    message = b"\x0a" + _varint(len(service)) + service if service else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def _serving(body: bytes) -> str:
    """The status of ``HealthCheckResponse{status = 1}``; absent is 0, as ever in protocol buffers."""
    message = body[5:]
    if len(body) < 5 or body[0] or int.from_bytes(body[1:5], "big") != len(message):
        raise Garbage("not one uncompressed message of gRPC")
    status = 0
    while message:
        if len(message) < 2 or message[0] != 0x08 or message[1] > 127:
            raise Garbage("not a HealthCheckResponse")
        status, message = message[1], message[2:]
    return STATUS.get(status, f"status {status}")

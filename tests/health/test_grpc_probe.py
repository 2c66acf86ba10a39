"""gRPC probes: against servers made of h2, and against grpcio's server in a process of its own."""

import asyncio
import contextlib
import ssl
import subprocess
import sys
import textwrap

import h2.config
import h2.connection
import h2.events
import pytest
import trustme
from fakes import FakeTarget, FakeUpstream, answering, checks, endless, on_loop, serving

from lbcore.health import _grpc
from lbcore.health._connect import Resolver
from lbcore.health._http import Garbage
from lbcore.health.probes import Prober, tls_context

SERVING = b"\0\0\0\0\2\x08\1"


async def probe(address, tls=tls_context, **settings):
    settings = {"type": "grpc", "timeout": 5.0, **settings}
    prober = Prober(FakeUpstream([], checks()), checks(**settings), tls, Resolver())
    return await prober(FakeTarget(address))


def server(body=SERVING, status="200", trailers=(("grpc-status", "0"),), heard=None, before=None):
    """A handler that answers the first call; ``before(connection, stream)`` may do something else instead."""

    async def handle(reader, writer):
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        request = {"headers": [], "body": b""}
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    request["headers"] = [(bytes(k).decode(), bytes(v).decode()) for k, v in event.headers]
                elif isinstance(event, h2.events.DataReceived):
                    request["body"] += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    if heard is not None:
                        heard.append(request)
                    answer(connection, event.stream_id)
            writer.write(connection.data_to_send())
            await writer.drain()

    def answer(connection, stream):
        if before is not None:
            before(connection, stream)
        elif body is None:
            connection.send_headers(stream, [(":status", status), *trailers], end_stream=True)
        else:
            connection.send_headers(stream, [(":status", status), ("content-type", "application/grpc")])
            connection.send_data(stream, body)
            connection.send_headers(stream, trailers, end_stream=True)

    return handle


async def of(handle, **settings):
    async with serving(handle) as address:
        return await probe(address, **settings)


@on_loop
async def test_the_call():
    heard = []
    async with serving(server(heard=heard)) as address:
        outcome = await probe(address, grpc_service="my.Service", headers={"X-Check": "yes"})
    assert outcome.ok is True
    assert dict(heard[0]["headers"]) == {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": address,
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "lbcore",
        "x-check": "yes",
    }
    assert heard[0]["body"] == b"\0\0\0\0\x0c\x0a\x0amy.Service"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"body": b"\0\0\0\0\2\x08\2"}, "NOT_SERVING"),
        ({"body": b"\0\0\0\0\2\x08\3"}, "SERVICE_UNKNOWN"),
        ({"body": b"\0\0\0\0\0"}, "UNKNOWN"),
        ({"body": b"\0\0\0\0\2\x08\x09"}, "status 9"),
        (
            {"body": None, "trailers": [("grpc-status", "12"), ("grpc-message", "no such")]},
            "grpc-status 12: no such",
        ),
        ({"body": SERVING, "trailers": [("grpc-status", "14")]}, "grpc-status 14"),
        ({"body": SERVING, "trailers": [("x", "y")]}, "grpc-status missing"),
        ({"body": None, "status": "503", "trailers": []}, "status 503"),
        ({"body": b"\1\0\0\0\2\x08\1"}, "not one uncompressed message of gRPC"),
        ({"body": SERVING * 2}, "not one uncompressed message of gRPC"),
        ({"body": b""}, "not one uncompressed message of gRPC"),
        ({"body": b"\0\0\0\0\2\x12\1"}, "not a HealthCheckResponse"),
        ({"before": lambda connection, stream: connection.reset_stream(stream)}, "the stream was reset"),
        ({"before": lambda connection, stream: connection.close_connection(2)}, "the connection was ended"),
    ],
)
@on_loop
async def test_all_but_serving_is_a_failure(settings, reason):
    outcome = await of(server(**settings))
    assert (outcome.ok, outcome.status, outcome.error) == (False, None, None)
    assert reason in outcome.reason


@on_loop
async def test_what_is_not_http2_is_a_failure():
    outcome = await of(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000))
    assert outcome.ok is False


@on_loop
async def test_an_answer_without_end_is_cut():
    async def pings(reader, writer):
        writer.write(b"\0\0\0\4\0\0\0\0\0")  # SETTINGS
        while True:
            writer.write(b"\0\0\x08\6\1\0\0\0\0" + bytes(8))  # acknowledged PING
            await writer.drain()

    outcome = await of(pings)
    assert outcome.ok is False


@on_loop
async def test_a_server_that_hangs_up_is_a_tcp_failure():
    async def hang_up(reader, writer):
        await reader.read(10)

    assert isinstance((await of(hang_up)).error, ConnectionError)


@on_loop
async def test_a_server_that_says_nothing_is_a_time_out():
    assert isinstance((await of(endless, timeout=0.05)).error, TimeoutError)


@on_loop
async def test_grpcs():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(["h2"])
    heard = []
    async with serving(server(heard=heard), tls=context) as address:
        strict = await probe(address, type="grpcs")
        lax = await probe(address, type="grpcs", https_verify_certificate=False)
    assert isinstance(strict.error, ssl.SSLCertVerificationError)
    assert lax.ok is True
    assert (":scheme", "https") in heard[0]["headers"]


@pytest.mark.parametrize("n", [0, 1, 127, 128, 300, 20_000])
def test_a_long_service_is_framed(n):
    framed = _grpc._framed(b"s" * n)
    assert framed[0] == 0
    assert int.from_bytes(framed[1:5], "big") == len(framed) - 5
    assert framed.endswith(b"s" * n)
    if n:
        length, shift = 0, 0
        for byte in framed[6:]:
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        assert length == n


@pytest.mark.parametrize("size", range(8))
def test_any_beginning_of_an_answer_is_read_or_refused(size):
    with contextlib.suppress(Garbage):
        assert _grpc._serving(SERVING[:size]) == "SERVING"
        assert size == len(SERVING)


def test_without_h2_the_error_says_how_to_install_it(tmp_path):
    script = textwrap.dedent("""
        import sys
        sys.modules["h2"] = None
        import lbcore.health
        from fakes import FakeUpstream, checks
        try:
            lbcore.health.start(FakeUpstream(["a:1"], checks(type="grpc")), thread=True)
        except lbcore.LbcoreError as error:
            assert "pip install 'lbcore[grpc]'" in str(error), error
        else:
            raise AssertionError
    """)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30, env={"PYTHONPATH": FAKES})


FAKES = __file__.rpartition("/")[0]

GRPCIO = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc

def check(request, context):
    if request == b"":
        return b"\\x08\\x01"
    if request == b"\\x0a\\x04down":
        return b"\\x08\\x02"
    context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")

method = grpc.unary_unary_rpc_method_handler(check)  # bytes in, bytes out
server = grpc.server(ThreadPoolExecutor(1))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})])
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(None)
"""


@pytest.fixture(scope="module")
def grpcio():
    """The address of grpcio's server.  In a process of its own: its threads and our tests' forks do not mix."""
    pytest.importorskip("grpc", reason="needs grpcio")
    process = subprocess.Popen(
        [sys.executable, "-c", GRPCIO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.communicate(timeout=20)


@pytest.mark.parametrize(
    ("service", "ok", "reason"),
    [("", True, ""), ("down", False, "NOT_SERVING"), ("other", False, "grpc-status 5")],
)
def test_grpcio_answers(grpcio, service, ok, reason):
    outcome = asyncio.run(probe(grpcio, grpc_service=service))
    assert outcome.ok is ok, str(outcome)
    assert reason in outcome.reason

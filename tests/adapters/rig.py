"""What the adapters' tests are made of: engines from a line of text, proxies on free ports, targets that do as told."""

import asyncio
import contextlib
import functools
import inspect
import socket
import time

from lbcore.adapters.datagram import DatagramProxy
from lbcore.adapters.http import HttpProxy
from lbcore.adapters.http import Timeouts as HttpTimeouts
from lbcore.adapters.stream import StreamProxy
from lbcore.engine import (
    BackendSpec,
    Engine,
    ListenerSpec,
    MatchSpec,
    RuleSpec,
    Spec,
    StreamSpec,
    TargetSpec,
    UpstreamSpec,
)

PATIENCE = 20.0  # seconds until a test that waits for something has failed


def on_loop(test):
    """An ``async def`` test on an event loop of its own, ended after a while."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        async def limited():
            async with asyncio.timeout(3 * PATIENCE):
                await test(*args, **kwargs)

        asyncio.run(limited())

    run.__signature__ = inspect.signature(test)
    return run


async def until(condition, what=""):
    """Wait for ``condition()``."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass: {what or condition}"
        await asyncio.sleep(0.002)


def spec(backends, protocol="HTTP", *, paths=("/",), port=80):
    """One route to ``backends``: (name, weight, addresses) each; addresses None is an invalid reference."""
    upstreams = tuple(
        UpstreamSpec(name, tuple(TargetSpec(a) for a in addresses))
        for name, _, addresses in backends
        if addresses is not None
    )
    refs = tuple(
        BackendSpec(name if addresses is not None else None, weight) for name, weight, addresses in backends
    )
    listeners = (ListenerSpec("main", protocol, port),)
    if protocol != "HTTP":
        return Spec(listeners, upstreams, streams=(StreamSpec("route", ("main",), refs),))
    matches = tuple(MatchSpec(path=path) for path in paths)
    return Spec(listeners, upstreams, rules=(RuleSpec("route", {"main": ()}, matches, refs),))


def engine(backends, protocol="HTTP", **more):
    """An engine whose ``reload`` takes another ``spec(...)``."""
    first = spec(backends, protocol, **more)
    return Engine(first, loader=lambda source: source, source=first)


def listening(kind=socket.SOCK_STREAM):
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        sock.listen(1024)
    return sock


def address_of(sock):
    return f"127.0.0.1:{sock.getsockname()[1]}"


def closed_port():
    """An address where nobody listens."""
    with listening() as sock:
        return address_of(sock)


@contextlib.asynccontextmanager
async def running(proxy, kind=socket.SOCK_STREAM):
    """Start ``proxy``, give its port, end it and see that it lets go."""
    sock = listening(kind)
    port = sock.getsockname()[1]
    await proxy.start(sock)
    try:
        yield port
    finally:
        proxy.stop()
        await proxy.abort()


def http_proxy(engine, **timeouts):
    return running(HttpProxy(engine, 80, timeouts=HttpTimeouts(**timeouts)))


@contextlib.asynccontextmanager
async def serving(app):
    """Run ``app`` on uvicorn, in this loop."""
    import uvicorn

    sock = listening()
    config = uvicorn.Config(
        app, log_level="critical", lifespan="on", proxy_headers=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    server.capture_signals = contextlib.nullcontext
    running = asyncio.create_task(server.serve(sockets=[sock]))
    await until(lambda: server.started or running.done())
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        await running
        sock.close()


def stream_proxy(engine, **more):
    return running(StreamProxy(engine, 80, **more))


@contextlib.asynccontextmanager
async def datagram_proxy(engine, **more):
    proxy = DatagramProxy(engine, 80, **more)
    async with running(proxy, socket.SOCK_DGRAM) as port:
        yield proxy, port


class Seen(list):
    """The requests that a target has got, as raw heads, and how many connections."""

    address: str
    connections = 0


@contextlib.asynccontextmanager
async def target(respond):
    """A target on asyncio: ``respond`` is bytes, or ``async def (reader, writer, head)`` for each request's head."""
    seen, tasks = Seen(), set()

    async def serve(reader, writer):
        seen.connections += 1
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen.append(head)
                if isinstance(respond, bytes):
                    writer.write(respond)
                elif await respond(reader, writer, head) is not None:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.address = address_of(server.sockets[0])
    try:
        yield seen
    finally:
        server.close()
        for task in tasks:
            task.cancel()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Response:
    """A response as it came over the wire."""

    def __init__(self, head, body, complete):
        line, *rest = head.decode("latin-1").split("\r\n")[:-2]
        self.status = int(line.split()[1])
        self.pairs = [tuple(part.strip() for part in text.split(":", 1)) for text in rest]
        self.headers = {name.lower(): value for name, value in self.pairs}
        self.body = body
        self.complete = complete


async def read_response(reader, method="GET"):
    head = await reader.readuntil(b"\r\n\r\n")
    response = Response(head, b"", True)
    headers = response.headers
    if method == "HEAD" or response.status in (204, 304) or response.status < 200:
        return response
    try:
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                response.body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        elif "content-length" in headers:
            response.body = await reader.readexactly(int(headers["content-length"]))
        else:
            response.body = await reader.read()
    except (OSError, asyncio.IncompleteReadError, ValueError):
        response.complete = False
    return response


async def send(port, raw, method="GET"):
    """Send bytes on a connection of its own and read one response; None if the connection ends without."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        return await read_response(reader, method)
    except (OSError, asyncio.IncompleteReadError):
        return None
    finally:
        writer.close()


async def get(port, path="/", headers="", method="GET", body=b""):
    length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: example.com\r\n{length}{headers}\r\n"
    return await send(port, head.encode("latin-1") + body, method)


def in_flight(engine):
    return sum(upstream.stats()["in_flight"] for upstream in engine.upstreams.values())


def states(engine):
    return {t.state for upstream in engine.upstreams.values() for t in upstream.targets}

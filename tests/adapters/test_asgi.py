"""The ASGI reverse proxy on uvicorn, on real sockets; and the idioms of an application that balances by itself."""

import asyncio
import collections
import pathlib

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from rig import (
    OK,
    closed_port,
    engine,
    get,
    in_flight,
    on_loop,
    read_response,
    send,
    serving,
    states,
    target,
    until,
)

import lbcore
from lbcore.adapters.asgi import ReverseProxy, Timeouts
from lbcore.testing import assert_shares, http_target

MIB = 1 << 20


@on_loop
async def test_a_request_and_its_response_pass_unchanged_but_for_what_belongs_to_the_connection():
    raw = (
        b"HTTP/1.1 201 Made\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: X-Private\r\nX-Private: 1\r\n"
        b"X-Name: caf\xe9\r\nContent-Length: 3\r\n\r\nabc"
    )
    async with target(raw) as seen, serving(ReverseProxy(engine([("a", 1, [seen.address])]))) as port:
        response = await get(
            port, "/a/%41?q=%20&x", "Connection: X-Mine\r\nX-Mine: 1\r\nX-Forwarded-For: 10.0.0.9\r\n"
        )
        line, *headers = seen[0].decode().split("\r\n")[:-2]
    assert line == "GET /a/A?q=%20&x HTTP/1.1"
    assert {name.lower(): value for name, value in (h.split(": ", 1) for h in headers)} == {
        "host": "example.com",
        "x-forwarded-for": "10.0.0.9, 127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "example.com",
    }
    assert (response.status, response.body) == (201, b"abc")
    assert [value for name, value in response.pairs if name == "set-cookie"] == ["a=1", "b=2"]
    assert "x-private" not in response.headers
    assert response.headers["x-name"] == "caf\xe9"  # bytes in, the same bytes out


@pytest.mark.parametrize(
    ("backends", "raw", "status"),
    [
        ([], b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 500),
        ([("a", 1, None)], b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 500),
        ([("a", 1, [])], b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 503),
        ([("a", 1, [closed_port()])], b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 502),
        ([("a", 1, [])], b"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ],
)
@on_loop
async def test_answers_of_our_own(backends, raw, status):
    async with serving(ReverseProxy(engine(backends))) as port:
        assert (await send(port, raw)).status == status


@on_loop
async def test_no_route_and_a_router_instead_of_an_engine():
    async with target(OK) as seen:
        router = lbcore.Router(
            [lbcore.Route("r", path="/app", backends=[lbcore.Upstream("a", [seen.address])])]
        )
        async with serving(ReverseProxy(router)) as port:
            assert (await get(port, "/app/x")).status == 200
            assert (await get(port, "/")).status == 404


@on_loop
async def test_a_target_that_is_silent_and_retry_after():
    async def silence(reader, writer, head):
        await reader.read()

    async with target(silence) as seen:
        on = engine([("a", 1, [seen.address])])
        async with serving(ReverseProxy(on, timeouts=Timeouts(idle=0.1))) as port:
            assert [(await get(port)).status for _ in range(3)] == [504] * 3
            response = await get(port)
            assert (response.status, response.headers["retry-after"]) == (503, "10")


@on_loop
async def test_bodies_stream_both_ways_at_once():
    """The target answers each part before the next one is sent."""

    async def echo(reader, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            size = int(await reader.readline(), 16)
            part = await reader.readexactly(size)
            await reader.readline()
            writer.write(b"%x\r\n%s\r\n" % (size, part))
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"0\r\n\r\n")

    async with target(echo) as seen:
        on = engine([("a", 1, [seen.address])])
        async with serving(ReverseProxy(on)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            for part in (b"one", b"two", b"three"):
                writer.write(b"%x\r\n%s\r\n" % (len(part), part))
                assert await reader.readuntil(part + b"\r\n") == b"%x\r\n%s\r\n" % (len(part), part)
                assert in_flight(on) == 1
            writer.write(b"0\r\n\r\n")
            assert await reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"
            await until(lambda: in_flight(on) == 0)
            writer.close()


@on_loop
async def test_a_large_upload_and_download_arrive_whole():
    async def echo(reader, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (12 * MIB))
        left = 12 * MIB
        while left:
            chunk = await reader.read(65536)
            left -= len(chunk)
            writer.write(chunk)
            await writer.drain()

    async with target(echo) as seen, serving(ReverseProxy(engine([("a", 1, [seen.address])]))) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (12 * MIB))
        block = bytes(range(256)) * 4096

        async def upload():
            for _ in range(12):
                writer.write(block)
                await writer.drain()

        sending = asyncio.create_task(upload())
        assert (await read_response(reader)).body == block * 12
        await sending
        writer.close()


@pytest.mark.parametrize("when", ["waiting", "streaming", "uploading"])
@on_loop
async def test_a_client_that_leaves_cancels_the_request_and_blames_nobody(when):
    gone = asyncio.Event()

    async def serve(reader, writer, head):
        if when == "streaming":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await reader.read()
        gone.set()
        return True

    async with target(serve) as seen:
        on = engine([("a", 1, [seen.address])])
        async with serving(ReverseProxy(on)) as port:
            for i in range(4):
                gone.clear()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                length = 5 if when == "uploading" else 0
                writer.write(
                    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % length + b"abc"[:length]
                )
                await until(lambda: len(seen) == i + 1)  # noqa: B023
                if when == "streaming":
                    await reader.readuntil(b"ab")
                writer.close()
                await asyncio.wait_for(gone.wait(), 10)
                await until(lambda: in_flight(on) == 0)
            assert states(on) == {"healthy"}


@on_loop
async def test_a_target_that_dies_inside_the_body_cuts_the_client_and_is_blamed():
    async def die(reader, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await writer.drain()
        return True

    async with target(die) as seen:
        on = engine([("a", 1, [seen.address])])
        async with serving(ReverseProxy(on)) as port:
            for _ in range(3):
                response = await get(port)
                assert not response.complete
            await until(lambda: states(on) == {"ejected"})
            assert in_flight(on) == 0


@on_loop
async def test_a_websocket_is_refused():
    async with target(OK) as seen, serving(ReverseProxy(engine([("a", 1, [seen.address])]))) as port:
        handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        handshake += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
        assert (await get(port, headers=handshake)).status in (501, 403)
        assert not seen
    sent = []

    async def connect():
        return {"type": "websocket.connect"}

    async def take(message):
        sent.append(message)

    await ReverseProxy(engine([]))({"type": "websocket"}, connect, take)
    assert [(m["type"], m["code"]) for m in sent] == [("websocket.close", 1011)]


# ---- an application that balances by itself ----------------------------------------------------------------------


@on_loop
async def test_an_exception_of_the_application_ejects_nobody():
    up = lbcore.Upstream("a", ["10.0.0.1:80"])
    app = FastAPI()

    @app.get("/{item}")
    async def read(item: str):
        with up.acquire():
            raise HTTPException(404)

    async with serving(app) as port:
        assert [(await get(port, "/x")).status for _ in range(20)] == [404] * 20
    assert (up.targets[0].state, up.targets[0].in_flight) == ("healthy", 0)


@pytest.mark.parametrize("idiom", ["stream", "by hand"])
@on_loop
async def test_a_streaming_response_that_leaves_the_block_is_in_flight_until_its_last_byte(idiom):
    up = lbcore.Upstream("a", ["10.0.0.1:80"])
    app = FastAPI()
    go = asyncio.Event()

    async def parts():
        yield b"first"
        await go.wait()
        yield b"last"

    async def until_done(call, body):
        try:
            async for part in body:
                yield part
        except BaseException as error:  # the client's leaving too
            call.done(error=error)
            raise
        call.done(status=200)

    @app.get("/")
    async def read():
        if idiom == "stream":
            with up.acquire() as call:
                return StreamingResponse(call.stream(parts()))
        return StreamingResponse(until_done(up.acquire(), parts()))

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"first")
        assert up.targets[0].in_flight == 1
        go.set()
        await reader.readuntil(b"last")
        await until(lambda: up.targets[0].in_flight == 0)
        go.clear()
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"first")
        assert up.targets[0].in_flight == 1
        writer.close()  # a client that leaves releases it too
        await until(lambda: up.targets[0].in_flight == 0)
    assert up.targets[0].state == "healthy"


# ---- the example -------------------------------------------------------------------------------------------------


@on_loop
async def test_the_example_splits_three_to_one():
    place = pathlib.Path(__file__).parents[2] / "examples" / "asgi_proxy.py"
    text = place.read_text()
    assert len([line for line in text.splitlines()[1:] if line]) <= 10
    async with http_target("one") as one, http_target("two") as two, http_target("canary") as canary:
        for port, address in (("9001", one), ("9002", two), ("9003", canary)):
            text = text.replace(f"127.0.0.1:{port}", address)
        names = {}
        exec(compile(text, str(place), "exec"), names)
        async with serving(names["app"]) as port:
            raw = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
            answers = collections.Counter([(await send(port, raw)).body.decode() for _ in range(40)])
            assert (await get(port)).status == 404
    stable = answers["one"] + answers["two"]
    assert_shares({"stable": stable, "canary": answers["canary"]}, {"stable": 75, "canary": 25})
    assert_shares({"one": answers["one"], "two": answers["two"]}, {"one": 1, "two": 1})

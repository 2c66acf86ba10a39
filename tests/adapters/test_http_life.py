"""The HTTP proxy on real sockets: bodies, the life of a call, time-outs, the end."""

import asyncio

import pytest
from rig import (
    OK,
    engine,
    get,
    http_proxy,
    in_flight,
    listening,
    on_loop,
    read_response,
    send,
    states,
    target,
    until,
)

from lbcore.adapters.http import HttpProxy


async def silence(reader, writer, head):
    await reader.read()


# ---- bodies ------------------------------------------------------------------------------------------------------

MIB = 1 << 20


@on_loop
async def test_a_large_upload_and_download_arrive_whole():
    async def echo(reader, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (16 * MIB))
        left = 16 * MIB
        while left:
            chunk = await reader.read(65536)
            left -= len(chunk)
            writer.write(chunk)
            await writer.drain()

    async with target(echo) as seen:
        on = engine([("a", 1, [seen.address])])
        async with http_proxy(on) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (16 * MIB))
            block = bytes(range(256)) * 4096

            async def upload():
                for _ in range(16):
                    writer.write(block)
                    await writer.drain()

            sending = asyncio.create_task(upload())
            response = await read_response(reader)
            await sending
            assert response.body == block * 16
            await until(lambda: in_flight(on) == 0)
            writer.close()


async def push(writer, block, limit):
    """Write until the other side takes no more; the bytes written."""
    sent = 0
    while sent < limit:
        writer.write(block)
        sent += len(block)
        try:
            await asyncio.wait_for(writer.drain(), 0.5)
        except TimeoutError:
            break
    return sent


@on_loop
async def test_an_upload_that_the_target_does_not_read_stops_at_the_client():
    go = asyncio.Event()

    async def sleepy(reader, writer, head):
        await go.wait()

    async with target(sleepy) as seen, http_proxy(engine([("a", 1, [seen.address])])) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (512 * MIB))
        assert await push(writer, bytes(65536), 100 * MIB) < 50 * MIB  # what the kernel's buffers take
        writer.transport.abort()
        go.set()


@on_loop
async def test_a_download_that_the_client_does_not_read_stops_at_the_target():
    sent = asyncio.get_running_loop().create_future()

    async def pour(reader, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (512 * MIB))
        sent.set_result(await push(writer, bytes(65536), 100 * MIB))
        return True

    async with target(pour) as seen, http_proxy(engine([("a", 1, [seen.address])])) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await sent < 50 * MIB
        writer.transport.abort()


# ---- the life of a call ------------------------------------------------------------------------------------------


@on_loop
async def test_a_call_ends_with_the_body():
    go = asyncio.Event()

    async def slowly(reader, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await go.wait()
        writer.write(b"k")

    async with target(slowly) as seen:
        on = engine([("a", 1, [seen.address])])
        async with http_proxy(on) as port:
            asked = asyncio.create_task(get(port))
            await until(lambda: seen)
            assert in_flight(on) == 1
            go.set()
            assert (await asked).body == b"ok"
            await until(lambda: in_flight(on) == 0)


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 9\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"]
)
@on_loop
async def test_a_target_that_dies_inside_the_body_cuts_the_client_and_is_blamed(framing):
    async def die(reader, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing)
        await writer.drain()
        return True

    async with target(die) as seen, target(OK) as good:
        on = engine([("a", 1, [seen.address, good.address])])
        async with http_proxy(on) as port:
            for version in ("1.1", "1.0", "1.1"):
                raw = f"GET / HTTP/{version}\r\nHost: h\r\n\r\n".encode()
                whole = [r for r in (await send(port, raw), await send(port, raw)) if r and r.complete]
                assert [r.body for r in whole] == [b"ok"], version
            await until(lambda: on.upstreams["a"].targets[0].state == "ejected")
            assert in_flight(on) == 0


@pytest.mark.parametrize("when", ["waiting", "streaming", "uploading"])
@on_loop
async def test_a_client_that_leaves_cancels_the_request_and_blames_nobody(when):
    gone = asyncio.Event()

    async def serve(reader, writer, head):
        if when == "streaming":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await reader.read()  # until the proxy hangs up
        gone.set()
        return True

    async with target(serve) as seen:
        on = engine([("a", 1, [seen.address])])
        async with http_proxy(on) as port:
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


# ---- time-outs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: h\r\n"])
@on_loop
async def test_a_header_that_does_not_end(raw):
    async with http_proxy(engine([("a", 1, [])]), header=0.2) as port:
        response = await send(port, raw)
        assert response.status == 408 if raw else response is None


@on_loop
async def test_a_header_that_does_not_end_on_a_kept_connection():
    async with target(OK) as seen, http_proxy(engine([("a", 1, [seen.address])]), header=0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await read_response(reader)).status == 200
        writer.write(b"GET / HT")
        assert (await read_response(reader)).status == 408
        assert await reader.read() == b""
        writer.close()


@on_loop
async def test_an_idle_connection_is_closed():
    async with target(OK) as seen, http_proxy(engine([("a", 1, [seen.address])]), keep_alive=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await read_response(reader)).status == 200
        assert await reader.read() == b""
        writer.close()


@on_loop
async def test_a_client_that_stops_sending_is_to_blame_itself():
    async with target(silence) as seen:
        on = engine([("a", 1, [seen.address])])
        async with http_proxy(on, idle=0.2) as port:
            for _ in range(4):
                raw = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"
                assert (await send(port, raw)).status == 408
            assert states(on) == {"healthy"}
            assert in_flight(on) == 0


@on_loop
async def test_a_client_that_stops_reading_is_to_blame_itself():
    async def pour(reader, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (512 * MIB))
        await push(writer, bytes(65536), 512 * MIB)
        return True

    async with target(pour) as seen:
        on = engine([("a", 1, [seen.address])])
        async with http_proxy(on, idle=0.3) as port:
            writers = []
            for _ in range(4):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.transport.pause_reading()
                writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                writers.append(writer)
            await until(lambda: len(seen) == 4)
            await until(lambda: in_flight(on) == 0)
            assert states(on) == {"healthy"}
            for writer in writers:
                writer.transport.abort()


@on_loop
async def test_a_slow_stream_is_not_idle():
    """Each pause is shorter than the time-out; their sum is not."""

    async def drip(reader, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        for _ in range(5):
            await asyncio.sleep(0.15)  # the case itself, not a way to wait for something
            writer.write(b"x")

    async with target(drip) as seen, http_proxy(engine([("a", 1, [seen.address])]), idle=0.5) as port:
        assert (await get(port)).body == b"xxxxx"


# ---- the end -----------------------------------------------------------------------------------------------------


@on_loop
async def test_stop_lets_a_request_finish_and_closes_idle_connections():
    go = asyncio.Event()

    async def wait(reader, writer, head):
        await go.wait()
        writer.write(OK)

    async with target(wait) as seen:
        on = engine([("a", 1, [seen.address])])
        proxy, sock = HttpProxy(on, 80), listening()
        port = sock.getsockname()[1]
        await proxy.start(sock)
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        asked = asyncio.create_task(get(port))
        await until(lambda: seen)
        proxy.stop()
        assert await idle_reader.read() == b""
        ended = asyncio.create_task(proxy.wait())
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        assert not ended.done()
        go.set()
        response = await asked
        assert (response.body, response.headers["connection"]) == (b"ok", "close")
        await ended
        await proxy.abort()
        idle_writer.close()


@on_loop
async def test_abort_cuts_what_is_left_and_blames_nobody():
    async with target(silence) as seen:
        on = engine([("a", 1, [seen.address])])
        proxy, sock = HttpProxy(on, 80), listening()
        await proxy.start(sock)
        asked = asyncio.create_task(get(sock.getsockname()[1]))
        await until(lambda: seen)
        proxy.stop()
        await proxy.abort()
        assert await asked is None
        await until(lambda: in_flight(on) == 0)
        assert states(on) == {"healthy"}

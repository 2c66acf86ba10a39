"""The TCP proxy on real sockets."""

import asyncio
import socket

import pytest
from rig import (
    address_of,
    closed_port,
    engine,
    in_flight,
    listening,
    on_loop,
    spec,
    states,
    stream_proxy,
    until,
)

from lbcore.adapters._reset import reset
from lbcore.adapters.stream import StreamProxy, Timeouts
from lbcore.testing import tcp_target

MIB = 1 << 20


def tcp(backends):
    return engine(backends, "TCP")


async def connect(port):
    return await asyncio.open_connection("127.0.0.1", port)


async def server(handle):
    made = await asyncio.start_server(handle, "127.0.0.1", 0)
    return made, address_of(made.sockets[0])


async def assert_reset(reader):
    with pytest.raises(ConnectionResetError):
        await reader.read()


@on_loop
async def test_an_end_in_one_direction_leaves_the_other_open():
    """Client to target first (the usual ``nc``), then target to client."""

    async def both(reader, writer):
        got = await reader.read()  # until the client's end
        writer.write(got.upper())
        await writer.drain()
        writer.close()

    async def target_first(reader, writer):
        writer.write(b"hello")
        writer.write_eof()
        said.append(await reader.read())
        writer.close()

    said = []
    for handle in (both, target_first):
        made, address = await server(handle)
        on = tcp([("a", 1, [address])])
        async with stream_proxy(on) as port:
            reader, writer = await connect(port)
            if handle is both:
                writer.write(b"abc")
                writer.write_eof()
                assert await reader.read() == b"ABC"
            else:
                assert await reader.read() == b"hello"
                assert in_flight(on) == 1
                writer.write(b"later")
                writer.write_eof()
                await until(lambda: said == [b"later"])
            await until(lambda: in_flight(on) == 0)  # noqa: B023
            writer.close()
        made.close()
        assert states(on) == {"healthy"}


@on_loop
async def test_bytes_arrive_whole_in_both_directions():
    async with tcp_target("a") as address, stream_proxy(tcp([("a", 1, [address])])) as port:
        reader, writer = await connect(port)
        assert await reader.readline() == b"a\n"
        block = bytes(range(256)) * 4096

        async def upload():
            for _ in range(12):
                writer.write(block)
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(upload())
        assert await reader.read() == block * 12
        await sending
        writer.close()


@on_loop
async def test_a_target_that_does_not_read_stops_the_client():
    go = asyncio.Event()

    async def sleepy(reader, writer):
        await go.wait()
        writer.close()

    made, address = await server(sleepy)
    async with stream_proxy(tcp([("a", 1, [address])])) as port:
        _, writer = await connect(port)
        sent = 0
        while sent < 100 * MIB:
            writer.write(bytes(65536))
            sent += 65536
            try:
                await asyncio.wait_for(writer.drain(), 0.5)
            except TimeoutError:
                break
        assert sent < 50 * MIB
        writer.transport.abort()
        go.set()
    made.close()


@pytest.mark.parametrize("backends", [[], [("a", 1, None)], [("a", 1, [])], [("a", 0, ["127.0.0.1:1"])]])
@on_loop
async def test_a_share_that_cannot_be_served_is_reset(backends):
    async with stream_proxy(tcp(backends)) as port:
        reader, _ = await connect(port)
        await assert_reset(reader)


@on_loop
async def test_a_port_without_a_route_is_reset():
    on = tcp([("a", 1, [])])
    async with stream_proxy(on) as port:
        on.reload(spec([("a", 1, [])], "TCP", port=81))
        reader, _ = await connect(port)
        await assert_reset(reader)


@on_loop
async def test_a_target_that_refuses_is_blamed_and_one_that_breaks_off_is_not():
    async def slam(reader, writer):
        await reader.readexactly(1)
        reset(writer.transport)

    made, address = await server(slam)
    on = tcp([("a", 1, [closed_port(), address])])
    async with stream_proxy(on) as port:
        for _ in range(10):
            reader, writer = await connect(port)
            writer.write(b"xx")
            await assert_reset(reader)
        await until(lambda: in_flight(on) == 0)
    made.close()
    assert [t.state for t in on.upstreams["a"].targets] == ["ejected", "healthy"]


@on_loop
async def test_an_idle_connection_is_reset_on_both_sides_and_nobody_is_blamed():
    ends = []

    async def listen(reader, writer):
        try:
            await reader.read()
        except ConnectionResetError:
            ends.append("reset")
        writer.close()

    made, address = await server(listen)
    on = tcp([("a", 1, [address])])
    async with stream_proxy(on, timeouts=Timeouts(idle=0.2)) as port:
        for i in range(4):
            reader, _ = await connect(port)
            await assert_reset(reader)
            await until(lambda: len(ends) == i + 1)  # noqa: B023
        await until(lambda: in_flight(on) == 0)
    made.close()
    assert states(on) == {"healthy"}


@on_loop
async def test_a_target_that_does_not_answer_the_connection_in_time(monkeypatch):
    on = tcp([("a", 1, ["127.0.0.1:1"]), ("b", 0, ["127.0.0.1:2"])])
    async with stream_proxy(on, timeouts=Timeouts(connect=0.05)) as port:
        sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        hanging = []

        async def never(*args, **more):
            hanging.append(args[:2])
            await asyncio.get_running_loop().create_future()

        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "open_connection", never)
            await until(lambda: len(hanging) == 3)
            await until(lambda: in_flight(on) == 0)
        assert hanging == [("127.0.0.1", 1)] * 3
        assert (
            on.upstreams["a"].targets[0].state == "ejected"
        )  # time-outs are failures; one always may be ejected
        for sock in sockets:
            sock.close()


@on_loop
async def test_stop_waits_for_connections_and_abort_resets_them():
    async with tcp_target("a") as address:
        on = tcp([("a", 1, [address])])
        proxy, sock = StreamProxy(on, 80), listening()
        port = sock.getsockname()[1]
        await proxy.start(sock)
        first, second = await connect(port), await connect(port)
        for reader, _ in (first, second):
            assert await reader.readline() == b"a\n"
        proxy.stop()
        ended = asyncio.create_task(proxy.wait())
        with pytest.raises(OSError):
            await connect(port)
        first[1].write(b"still")
        first[1].write_eof()
        assert await first[0].read() == b"still"
        assert not ended.done()
        await proxy.abort()
        await assert_reset(second[0])
        await ended
        assert in_flight(on) == 0
        assert states(on) == {"healthy"}
        first[1].close()

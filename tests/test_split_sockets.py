"""The split over real sockets: exact within one pick, whatever the weights, the endpoints and the protocol."""

import asyncio
import collections
import contextlib
import socket

import pytest

from adapters.rig import (
    datagram_proxy,
    engine,
    http_proxy,
    in_flight,
    on_loop,
    read_response,
    spec,
    stream_proxy,
    until,
)
from lbcore.testing import assert_shares, http_target, tcp_target, udp_target

N = 240  # requests of a case
WEIGHTS = [(75, 25), (1, 1), (99, 1), (1000, 1, 1)]
TARGETS = {"HTTP": http_target, "TCP": tcp_target, "UDP": udp_target}


@contextlib.asynccontextmanager
async def backends(protocol, weights, endpoints):
    """As the rig wants them: backend 0 has ``endpoints`` targets, the others one; each answers ``backend/target``."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for i, weight in enumerate(weights):
            names = [f"{i}/{j}" for j in range(1 if i else endpoints)]
            made.append(
                (str(i), weight, [await stack.enter_async_context(TARGETS[protocol](name)) for name in names])
            )
        yield made


async def ask_http(port, n, connections=1):
    """The answers to ``n`` requests over kept connections; in order of arrival if there is one."""
    answers = []

    async def ask(k):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(k):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            response = await read_response(reader)
            assert response.status == 200
            answers.append(response.body.decode())
        writer.close()

    await asyncio.gather(*(ask(n // connections + (i < n % connections)) for i in range(connections)))
    return answers


async def ask_tcp(port, n):
    answers = []
    for _ in range(n):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write_eof()
        answers.append((await reader.read()).strip().decode())
        writer.close()
    return answers


async def ask_udp(port, n):
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(n)
        ]  # n ports: n flows
        answers = []
        for client in clients:
            client.setblocking(False)
            client.connect(("127.0.0.1", port))
            client.send(b"x")
            async with asyncio.timeout(10):
                answers.append((await loop.sock_recv(client, 100)).decode())
    return answers


def assert_split(answers, weights, endpoints):
    """Each backend within one pick of its weight, and each target of its backend's share."""
    of_backend = collections.Counter(answer.split("/")[0] for answer in answers)
    assert_shares(of_backend, {str(i): weight for i, weight in enumerate(weights)})
    first = collections.Counter(answer for answer in answers if answer.startswith("0/"))
    assert_shares(first, {f"0/{j}": 1 for j in range(endpoints)})


def assert_every_prefix(answers, weights, endpoints):
    for n in range(1, len(answers) + 1):
        assert_split(answers[:n], weights, endpoints)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@on_loop
async def test_http_by_weights(weights):
    async with backends("HTTP", weights, 10) as made, http_proxy(engine(made)) as port:
        assert_every_prefix(await ask_http(port, N), weights, 10)


@pytest.mark.parametrize("endpoints", range(1, 31))
@on_loop
async def test_http_by_endpoints(endpoints):
    async with backends("HTTP", (75, 25), endpoints) as made, http_proxy(engine(made)) as port:
        assert_every_prefix(await ask_http(port, N), (75, 25), endpoints)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@on_loop
async def test_http_at_the_same_time(weights):
    async with backends("HTTP", weights, 7) as made:
        on = engine(made)
        async with http_proxy(on) as port:
            assert_split(await ask_http(port, N, connections=16), weights, 7)
            await until(lambda: in_flight(on) == 0)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@on_loop
async def test_tcp(weights):
    async with backends("TCP", weights, 10) as made, stream_proxy(engine(made, "TCP")) as port:
        assert_every_prefix(await ask_tcp(port, N), weights, 10)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@on_loop
async def test_udp(weights):
    async with backends("UDP", weights, 10) as made, datagram_proxy(engine(made, "UDP")) as (_, port):
        assert_every_prefix(await ask_udp(port, N), weights, 10)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@on_loop
async def test_across_reloads_that_leave_the_weights(weights):
    """Reload after 1, 3, 5 ... requests: a schedule that began anew each time would starve the light backends."""
    async with backends("HTTP", weights, 10) as made:
        on = engine(made)
        async with http_proxy(on) as port:
            answers = []
            for n in range(1, 31, 2):
                answers += await ask_http(port, n)
                on.reload(spec(made, paths=("/", f"/new/{n}")))
            assert_every_prefix(answers, weights, 10)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@on_loop
async def test_across_a_reload_that_takes_endpoints_away(weights):
    async with backends("HTTP", weights, 10) as made:
        on = engine(made)
        async with http_proxy(on) as port:
            answers = await ask_http(port, 101)
            fewer = [(name, weight, addresses[:4]) for name, weight, addresses in made]
            on.reload(spec(fewer))
            after = await ask_http(port, 120)
            of_backend = collections.Counter(answer.split("/")[0] for answer in answers + after)
            assert_shares(of_backend, {str(i): weight for i, weight in enumerate(weights)})
            assert {answer for answer in after if answer.startswith("0/")} == {f"0/{j}" for j in range(4)}


@on_loop
async def test_across_a_reload_that_changes_the_weights():
    """What was owed is paid, so the new weights are met within the two picks that a debt may be."""
    async with backends("HTTP", (75, 25), 10) as made:
        on = engine(made)
        async with http_proxy(on) as port:
            assert_split(await ask_http(port, 101), (75, 25), 10)
            on.reload(spec([("0", 1, made[0][2]), ("1", 9, made[1][2])]))
            got = collections.Counter(answer.split("/")[0] for answer in await ask_http(port, 200))
            assert abs(got["0"] - 20) <= 2

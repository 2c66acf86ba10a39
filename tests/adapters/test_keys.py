"""Keys of routes through the proxies, on real sockets: one header or address, one target, also over a reload."""

import asyncio
import contextlib
import socket

import pytest
from rig import datagram_proxy, get, http_proxy, in_flight, listening, on_loop, stream_proxy, until
from test_asgi import serving

import lbcore
from lbcore.adapters.asgi import ReverseProxy
from lbcore.testing import http_target, tcp_target, udp_target

USERS = [f"user-{i}" for i in range(40)]
ROUTES = """\
  - {name: users, path: /u, key: header:x-user, backends: [app]}
  - {name: guests, path: /g, key: [header:x-user, random], backends: [app]}
  - {name: clients, path: /ip, key: ip, backends: [app]}
  - {name: canary, path: /c, key: header:x-user, split: key,
     backends: [{upstream: app, weight: 3}, {upstream: next, weight: 1}]}
"""


def form(protocol, targets, routes, more=()):
    return (
        f"lbcore: 1\nlisteners: {{main: {{protocol: {protocol}, port: 80}}}}\n"
        f"upstreams: {{app: {{policy: hash, targets: [{', '.join(map(repr, targets))}]}},\n"
        f"            next: {{targets: [{', '.join(map(repr, more))}]}}}}\n"
        f"routes:\n{routes}"
    )


@contextlib.asynccontextmanager
async def targets(kind, n, prefix="t"):
    """``n`` targets, by address; each answers with its name."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(kind(f"{prefix}{i}")) for i in range(n)]


@contextlib.asynccontextmanager
async def proxied(how, engine):
    """The port of a proxy for ``engine``, by aiohttp or by uvicorn."""
    async with http_proxy(engine) if how == "http" else serving(ReverseProxy(engine)) as port:
        yield port


async def answer(port, path, user=None):
    response = await get(port, path, f"X-User: {user}\r\n" if user else "")
    return response.status, response.body.decode().strip()


@pytest.mark.parametrize("how", ["http", "asgi"])
@on_loop
async def test_one_header_one_target(how):
    async with targets(http_target, 5) as all_of, targets(http_target, 1, "n") as more:
        engine = lbcore.load(form("http", all_of[:4], ROUTES, more))
        async with proxied(how, engine) as port:
            up = engine.upstreams["app"]
            named = {target.address: f"t{i}" for i, target in enumerate(up.targets)}
            for path in ("/u", "/g"):
                got = {await answer(port, path, "ann") for _ in range(50)}
                assert got == {(200, named[up.pick("ann").address])}
            by_ip = {await answer(port, "/ip", user) for user in USERS}
            assert by_ip == {(200, named[up.pick("127.0.0.1").address])}
            assert len({await answer(port, "/g") for _ in range(60)}) == 4  # without the header: anybody
            before = {user: await answer(port, "/u", user) for user in USERS}
            canary = {user: (await answer(port, "/c", user))[1] for user in USERS}
            assert 0 < list(canary.values()).count("n0") < len(USERS) / 2
            engine.reload(form("http", all_of, ROUTES, more))
            after = {user: await answer(port, "/u", user) for user in USERS}
            moved = [user for user in USERS if before[user] != after[user]]
            assert {after[user] for user in moved} <= {(200, "t4")}
            assert len(moved) < len(USERS) / 2
            once_more = {user: (await answer(port, "/c", user))[1] for user in USERS}
            assert all((canary[u] == "n0") == (once_more[u] == "n0") for u in USERS)
            await until(lambda: in_flight(engine) == 0)


@pytest.mark.parametrize("how", ["http", "asgi"])
@on_loop
async def test_a_request_without_the_key_of_its_route_is_a_bad_one(how):
    async with (
        targets(http_target, 2) as addresses,
        proxied(how, lbcore.load(form("http", addresses, ROUTES))) as port,
    ):
        status, text = await answer(port, "/u")
        assert status == 400
        if how == "http":
            assert text == "400 Bad Request: the request has no key: header:x-user"
        assert (await answer(port, "/u", "ann"))[0] == 200


@on_loop
async def test_a_tcp_connection_goes_where_its_address_belongs():
    route = "  - {name: r, listeners: [main], key: ip, backends: [app]}\n"
    async with targets(tcp_target, 4) as addresses:
        engine = lbcore.load(form("tcp", addresses, route))
        up = engine.upstreams["app"]
        named = {target.address: f"t{i}\n" for i, target in enumerate(up.targets)}
        async with stream_proxy(engine) as port:
            for client in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
                for _ in range(5):
                    try:
                        reader, writer = await asyncio.open_connection(
                            "127.0.0.1", port, local_addr=(client, 0)
                        )
                    except OSError:  # macOS has 127.0.0.1 only
                        continue
                    assert (await reader.readline()).decode() == named[up.pick(client).address]
                    writer.close()
            await until(lambda: in_flight(engine) == 0)


@on_loop
async def test_a_udp_flow_goes_where_its_address_belongs():
    route = "  - {name: r, listeners: [main], key: ip, backends: [app]}\n"
    async with targets(udp_target, 4) as addresses:
        engine = lbcore.load(form("udp", addresses, route))
        up = engine.upstreams["app"]
        home = f"t{[t.address for t in up.targets].index(up.pick('127.0.0.1').address)}".encode()
        async with datagram_proxy(engine) as (proxy, port):
            for _ in range(6):
                with listening(socket.SOCK_DGRAM) as client:
                    client.setblocking(False)
                    client.connect(("127.0.0.1", port))
                    client.send(b"x")
                    async with asyncio.timeout(10):
                        assert await asyncio.get_running_loop().sock_recv(client, 100) == home
            assert proxy.counters.flows == 6

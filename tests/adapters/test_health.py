"""What proxies tell of their targets: pauses, failures, latencies; and what a client learns where nobody serves."""

import asyncio
import email.utils
import socket
import time

import pytest

import lbcore
from adapters.rig import (
    OK,
    address_of,
    closed_port,
    engine,
    get,
    http_proxy,
    in_flight,
    listening,
    on_loop,
    serving,
    states,
    target,
    until,
)
from lbcore.adapters._flow import Flow
from lbcore.adapters._relay import Request, Timeouts, client_session, relay
from lbcore.adapters.asgi import ReverseProxy


def asgi_proxy(on, **timeouts):
    return serving(ReverseProxy(on, timeouts=Timeouts(**timeouts)))


both = pytest.mark.parametrize("proxy", [http_proxy, asgi_proxy], ids=["http", "asgi"])


def saying(status, headers=""):
    return f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n{headers}\r\nno".encode()


@both
@pytest.mark.parametrize("status", [429, 503])
@on_loop
async def test_a_target_that_asks_for_a_pause_is_held(proxy, status):
    async with target(saying(status, "Retry-After: 30\r\n")) as busy, target(OK) as good:
        on = engine([("a", 1, [busy.address, good.address])])
        async with proxy(on) as port:
            answers = [(await get(port)).status for _ in range(8)]
            assert sorted(answers) == [200] * 7 + [status]  # the client gets that answer: it is not repeated
            assert (len(busy), in_flight(on)) == (1, 0)
            held = on.upstreams["a"].targets[0]
            assert (held.state, states(on)) == ("held", {"held", "healthy"})
            assert held.until - time.monotonic() <= 30
            (event,) = on.upstreams["a"].events()
            assert (event.kind, event.target, event.status) == ("held", held, status)


@both
@on_loop
async def test_where_everybody_is_held_a_client_learns_for_how_long_in_whole_seconds(proxy):
    async with target(saying(503, "Retry-After: 30\r\n")) as busy:
        on = engine([("a", 1, [busy.address])])
        async with proxy(on) as port:
            first = await get(port)
            assert (first.status, first.headers["retry-after"], first.body) == (503, "30", b"no")
            second = await get(port)
            assert (second.status, second.body[:3]) == (503, b"503")  # ours
            left = on.upstreams["a"].targets[0].until - time.monotonic()
            assert left <= int(second.headers["retry-after"]) <= 30
            on.upstreams["a"].set_health(on.upstreams["a"].targets[0], False)
            assert "retry-after" not in (await get(port)).headers  # it does not come back by itself
            assert len(busy) == 1


@both
@pytest.mark.parametrize(
    ("status", "said", "held"),
    [
        (503, "Retry-After: 3600", 60),
        (503, "retry-after:   7  ", 7),
        (503, "Retry-After: Wed, 21 Oct 2515 07:28:00 GMT", 60),
        (503, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", None),
        (503, "Retry-After: soon", None),
        (503, "Retry-After: -5", None),
        (503, "Retry-After: \u00ff\u00fe", None),
        (503, "Retry-After: 0", None),
        (503, "X-Other: 30", None),
        (200, "Retry-After: 30", None),
        (301, "Retry-After: 30", None),
        (500, "Retry-After: 30", None),
    ],
)
@on_loop
async def test_what_a_target_may_say(proxy, status, said, held):
    raw = saying(status, said + "\r\n").decode().encode("latin-1")
    async with target(raw) as only:
        on = engine([("a", 1, [only.address])])
        async with proxy(on) as port:
            before = time.monotonic()
            assert (await get(port)).status == status
            t = on.upstreams["a"].targets[0]
            if held is None:
                assert (await get(port)).status == status
                assert t.state == "healthy"
            else:
                assert 0 <= t.until - before - held < 20


@on_loop
async def test_a_date_is_a_time_of_day():
    said = email.utils.formatdate(time.time() + 40, usegmt=True)
    async with target(saying(503, f"Retry-After: {said}\r\n")) as only:
        on = engine([("a", 1, [only.address])])
        async with http_proxy(on) as port:
            await get(port)
            assert 15 < on.upstreams["a"].targets[0].until - time.monotonic() <= 40


@both
@on_loop
async def test_refused_connections_eject_and_a_client_that_goes_away_does_not(proxy):
    waiting = asyncio.Event()

    async def never(reader, writer, head):
        waiting.set()
        await reader.read()

    async with target(never) as silent:
        on = engine([("a", 1, [closed_port()]), ("b", 1, [silent.address])])
        async with proxy(on) as port:
            for _ in range(4):  # the split gives each backend half
                waiting.clear()
                refused = asyncio.create_task(get(port))
                left = asyncio.create_task(get(port))
                await asyncio.wait_for(waiting.wait(), 10)
                done, pending = await asyncio.wait((refused, left), return_when=asyncio.FIRST_COMPLETED)
                for task in pending:
                    task.cancel()
                await asyncio.gather(*pending, return_exceptions=True)
                await until(lambda: in_flight(on) == 0)
                assert {task.result().status for task in done} <= {502, 503}
            assert [on.upstreams[name].targets[0].state for name in "ab"] == ["ejected", "healthy"]
            (event,) = on.upstreams["a"].events()
            assert (event.cause, event.failures) == ("consecutive_local_origin_failure", 3)
            assert on.upstreams["b"].events() == []


@both
@on_loop
async def test_a_time_out_is_one_for_kongs_checks(proxy):
    """Its counter is another one than that of refused connections."""

    async def silence(reader, writer, head):
        await reader.read()

    checks = lbcore.Health.kong(
        passive=lbcore.PassiveChecks(
            unhealthy_timeouts=1, unhealthy_tcp_failures=2, unhealthy_http_failures=1
        )
    )
    async with target(silence) as silent, target(saying(500)) as broken:
        ups = [
            lbcore.Upstream(name, [address], health=checks)
            for name, address in (("t", silent.address), ("c", closed_port()), ("s", broken.address))
        ]
        routes = [lbcore.Route(up.name, path=f"/{up.name}", backends=[up]) for up in ups]
        router = lbcore.Router(routes)

        class On:
            """A router as the proxies want it."""

            def match(self, method, host, target, headers, *, port, scheme, source):
                return router.match(method, host, target, headers, source=source)

            match_scope = staticmethod(router.match_scope)

        async with proxy(On(), idle=0.2) as port:
            assert [(await get(port, path)).status for path in ("/t", "/c", "/s")] == [504, 502, 500]
            assert [up.targets[0].state for up in ups] == ["unhealthy", "healthy", "unhealthy"]
            assert (await get(port, "/c")).status == 502
            assert ups[1].targets[0].state == "unhealthy"
            assert (await get(port, "/c")).status == 503


# ---- latencies ---------------------------------------------------------------------------------------------------


class Told:
    """A call that remembers what it is told."""

    session = None

    class upstream:
        affinity = None

    def __init__(self, address):
        self.target = lbcore.Target(address)
        self.told = None

    def done(self, **verdict):
        self.told = self.told or verdict


class Reply:
    def __init__(self, slow):
        self.slow = slow
        self.started = None

    async def start(self, status, reason, headers):
        self.started = asyncio.get_running_loop().time()

    async def write(self, chunk):
        await self.slow(chunk)


@on_loop
async def test_latency_ends_with_the_head_and_begins_with_the_requests_end():
    """A client that is slow to send and to take makes no target slow."""
    loop = asyncio.get_running_loop()
    go = asyncio.Event()

    async def respond(reader, writer, head):
        await reader.readuntil(b"0\r\n\r\n")  # the whole of the request
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await go.wait()
        writer.write(b"k")

    sent = []

    async def body():
        yield b"a"
        await asyncio.sleep(0.2)
        yield b"b"
        sent.append(loop.time())

    async def slow(chunk):
        await asyncio.sleep(0.1)
        go.set()

    async with target(respond) as seen:
        call, reply = Told(seen.address), Reply(slow)
        session = client_session(Timeouts())
        async with session:
            await relay(session, call, Request("POST", "h", "/", [], body()), reply, 10.0)
    assert (call.told["status"], call.told["retry_after"]) == (200, None)
    assert 0 <= call.told["latency"] <= reply.started - sent[0]


class Flows:
    """What a flow's proxy does, with a clock of its own."""

    def __init__(self):
        self.now = 100.0
        self.answers = []

    def touched(self, flow):
        flow.seen = self.now

    def ended(self, flow):
        pass

    def answer(self, data, client):
        self.answers.append(data)

    def drop(self):
        raise AssertionError

    def evict(self):
        raise AssertionError


@pytest.mark.parametrize("answered", [True, False])
@on_loop
async def test_a_flow_that_was_answered_is_a_success_and_another_says_nothing(answered):
    with listening(socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        call, flows = Told(address_of(sock)), Flows()
        flow = Flow(flows, ("127.0.0.1", 9), call, flows.now)
        flow.send(b"x")
        async with asyncio.timeout(10):
            _, source = await loop.sock_recvfrom(sock, 10)
        for data in (b"first", b"second"):
            flows.now += 1.5
            if answered:
                sock.sendto(data, source)
                await until(lambda: flows.answers[-1:] == [data])  # noqa: B023
        flow.end()
    if answered:
        assert call.told == {"error": None, "latency": 1.5}
    else:
        assert isinstance(call.told["error"], asyncio.CancelledError) and call.told["latency"] is None

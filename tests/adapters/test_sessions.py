"""Sessions over the HTTP proxies, on real sockets: who comes back, who begins anew, and what a client is told."""

import base64
import contextlib

import pytest
from rig import closed_port, get, on_loop, running, serving, target

import lbcore
from lbcore.adapters.asgi import ReverseProxy
from lbcore.adapters.http import HttpProxy
from lbcore.testing import ManualClock, http_target

SECRET = b"sixteen bytes or more"
NAMES = ("one", "two", "three")


def http(router):
    return running(HttpProxy(router))


def asgi(router):
    return serving(ReverseProxy(router))


both = pytest.mark.parametrize("proxy", [http, asgi])


@contextlib.asynccontextmanager
async def targets():
    """Three servers that answer their names, as specifications with the names as identities."""
    async with contextlib.AsyncExitStack() as stack:
        yield [lbcore.Target(await stack.enter_async_context(http_target(name)), id=name) for name in NAMES]


def upstream(found, affinity, **more):
    return lbcore.Upstream("api", found, affinity=affinity, **more)


def router(*backends):
    return lbcore.Router([lbcore.Route("all", backends=backends)])


def sticky(**more):
    return lbcore.Affinity(cookie="sid", secret=SECRET, **more)


async def ask(port, cookie=None):
    """(who answered, the new session or None)."""
    response = await get(port, headers="" if cookie is None else f"Cookie: theme=dark; sid={cookie}\r\n")
    assert response.status == 200
    given = [value for name, value in response.pairs if name.lower() == "set-cookie"]
    assert len(given) <= 1
    if given:
        assert given[0].endswith("; Path=/; HttpOnly; SameSite=Lax")
    return response.body.decode(), given[0].removeprefix("sid=").split(";")[0] if given else None


@both
@on_loop
async def test_a_client_gets_a_cookie_and_comes_back_to_its_target(proxy):
    async with targets() as found, proxy(router(upstream(found, sticky()))) as port:
        homes = set()
        for _ in range(3):
            home, cookie = await ask(port)
            assert cookie is not None
            homes.add(home)
            for _ in range(20):
                assert await ask(port, cookie) == (home, None)
        assert homes == set(NAMES)  # new sessions follow the policy


@both
@on_loop
async def test_a_forged_a_spoilt_and_an_old_cookie_begin_a_new_session(proxy):
    clock = ManualClock(1e9)
    affinity = lbcore.Affinity(cookie="sid", secret=SECRET, clock=clock, absolute_timeout=60)
    async with targets() as found, proxy(router(upstream(found, affinity))) as port:
        first = await get(port)
        value = first.headers["set-cookie"].removeprefix("sid=").split(";")[0]
        assert "; Max-Age=60;" in first.headers["set-cookie"]
        raw = bytearray(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        raw[0] ^= 1  # another target's tag, without the secret
        forged = base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
        other = lbcore.Affinity(cookie="sid", secret=b"not the same secret").seal(bytes(12))
        for wrong in (forged, value[:-1], value + "A", "", "two", other):
            assert "set-cookie" in (await get(port, headers=f"Cookie: sid={wrong}\r\n")).headers, wrong
        clock.advance(59)
        assert "set-cookie" not in (await get(port, headers=f"Cookie: sid={value}\r\n")).headers
        clock.advance(1)
        assert "set-cookie" in (await get(port, headers=f"Cookie: sid={value}\r\n")).headers


@both
@on_loop
async def test_a_draining_target_keeps_its_sessions_until_the_deadline(proxy):
    clock = ManualClock()
    async with targets() as found:
        up = upstream(found, sticky(), clock=clock)
        async with proxy(router(up)) as port:
            home, cookie = await ask(port)
            up[home].drain(30)
            assert {(await ask(port))[0] for _ in range(6)} == set(NAMES) - {home}
            clock.advance(29)
            assert await ask(port, cookie) == (home, None)
            clock.advance(2)
            elsewhere, moved = await ask(port, cookie)
            assert elsewhere != home and moved is not None
            assert await ask(port, moved) == (elsewhere, None)


@both
@on_loop
async def test_on_drain_move_and_an_unhealthy_target_send_sessions_elsewhere(proxy):
    async with targets() as found:
        up = upstream(found, sticky(on_drain="move"))
        async with proxy(router(up)) as port:
            for leave in (lambda t: t.drain(30), lambda t: up.set_health(t, False)):
                home, cookie = await ask(port)
                leave(up[home])
                elsewhere, moved = await ask(port, cookie)
                assert elsewhere != home and await ask(port, moved) == (elsewhere, None)


@both
@on_loop
async def test_two_workers_with_one_secret_agree(proxy):
    async with targets() as found:
        workers = [router(upstream(found, sticky(), seed=i)) for i in range(2)]
        strange = router(upstream(found, lbcore.Affinity(cookie="sid", secret=b"a secret of its own")))
        async with proxy(workers[0]) as a, proxy(workers[1]) as b, proxy(strange) as c:
            for _ in range(4):
                home, cookie = await ask(a)
                for port in (b, a, b):
                    assert await ask(port, cookie) == (home, None)
                assert (await ask(c, cookie))[1] is not None


@both
@on_loop
async def test_a_session_stays_with_its_backend_of_a_split(proxy):
    async with targets() as found:
        stable = upstream(found[:2], sticky())
        canary = lbcore.Upstream(
            "canary", found[2:], affinity=lbcore.Affinity(cookie="canary", secret=SECRET)
        )
        splits = router(lbcore.Backend(stable, weight=2), lbcore.Backend(canary, weight=1))
        async with proxy(splits) as port:
            for _ in range(6):
                first = await get(port)
                pair = first.headers["set-cookie"].split(";")[0]
                assert pair.startswith("canary=" if first.body == b"three" else "sid=")
                for _ in range(6):
                    again = await get(port, headers=f"Cookie: {pair}\r\n")
                    assert again.body == first.body and "set-cookie" not in again.headers


@both
@on_loop
async def test_a_worthless_session_of_one_backend_does_not_hide_that_of_another(proxy):
    async with targets() as found:
        stable = upstream(found[:2], sticky())
        canary = lbcore.Upstream(
            "canary", found[2:], affinity=lbcore.Affinity(cookie="canary", secret=SECRET)
        )
        session = canary.acquire().session
        async with proxy(router(stable, canary)) as port:
            for _ in range(4):
                response = await get(port, headers=f"Cookie: sid=old; canary={session}\r\n")
                assert response.body == b"three" and "set-cookie" not in response.headers


@both
@on_loop
async def test_a_header_in_place_of_a_cookie(proxy):
    raw = b"HTTP/1.1 200 OK\r\nX-Session: the target's own\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok"
    async with target(raw) as seen:
        affinity = lbcore.Affinity(header="X-Session", secret=SECRET)
        async with proxy(router(lbcore.Upstream("api", [seen.address], affinity=affinity))) as port:
            first = await get(port)
            given = [value for name, value in first.pairs if name.lower() == "x-session"]
            assert len(given) == 1 and affinity.open(given[0]) is not None
            assert first.headers["set-cookie"] == "a=b"
            again = await get(port, headers=f"x-session: {given[0]}\r\n")
            assert again.headers["x-session"] == "the target's own"


@both
@on_loop
async def test_without_affinity_and_without_an_answer_there_is_no_cookie(proxy):
    async with targets() as found:
        async with proxy(router(lbcore.Upstream("api", found))) as port:
            assert "set-cookie" not in (await get(port, headers="Cookie: sid=x\r\n")).headers
        async with proxy(router(lbcore.Upstream("api", [closed_port()], affinity=sticky()))) as port:
            response = await get(port)
            assert response.status == 502 and "set-cookie" not in response.headers


@both
@on_loop
async def test_the_clients_address_is_a_key(proxy):
    async with targets() as found:
        up = lbcore.Upstream("api", found, "hash")
        route = lbcore.Route("all", backends=[up], key=lbcore.KeySource("header:x-user", "ip"))
        async with proxy(lbcore.Router([route])) as port:
            for headers, key in (("", "127.0.0.1"), ("X-User: 4711\r\n", "4711")):
                response = await get(port, headers=headers)
                assert response.body.decode() == up.pick(key).id

"""What a route's filters, time-outs and retry do in the HTTP and ASGI proxies, on real sockets."""

import asyncio
import contextlib

import pytest
from rig import OK, closed_port, get, on_loop, running, send, serving, target, until

import lbcore
from lbcore import filters as f
from lbcore.adapters import _body, _carrier
from lbcore.adapters.asgi import ReverseProxy
from lbcore.adapters.http import HttpProxy


def http(route):
    return running(HttpProxy(lbcore.Router([route]), 80))


def asgi(route):
    return serving(ReverseProxy(lbcore.Router([route])))


both = pytest.mark.parametrize("proxy", [http, asgi])


def up(*addresses, name="u", **more):
    return lbcore.Upstream(name, addresses, **more)


def route(*filters, backends=(), path="/", **more):
    return lbcore.Route("r", path=path, filters=filters, backends=backends, **more)


def sent(head):
    """(the target, headers in lower case) of a request as it arrived."""
    line, *lines = head.decode("latin-1").split("\r\n")[:-2]
    return line.split()[1], {k.lower(): v for k, v in (text.split(": ", 1) for text in lines)}


def in_flight(*upstreams):
    return sum(u.stats()["in_flight"] for u in upstreams)


def statuses(*each):
    """A target that answers these statuses one after the other, and the last for ever."""
    left = list(each)

    async def respond(reader, writer, head):
        status = left.pop(0) if len(left) > 1 else left[0]
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % status)

    return respond


async def hang_up(reader, writer, head):
    return True


async def silence(reader, writer, head):
    await reader.read()


async def echo(reader, writer, head):
    size = int(sent(head)[1].get("content-length", 0))
    body = await reader.readexactly(size)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


# ---- filters ----------------------------------------------------------------------------------------------------


@both
@on_loop
async def test_request_and_response_are_edited_and_rewritten(proxy):
    rule = (
        f.RequestHeaders(set={"X-Env": "blue"}, add={"X-More": "2"}, remove=["X-Gone", "X-Forwarded-For"]),
        f.ResponseHeaders(set={"X-Served": "by us"}, remove=["x-secret"]),
        f.URLRewrite("users.internal", f.ReplacePrefixMatch("/v2")),
    )
    raw = b"HTTP/1.1 200 OK\r\nX-Secret: 1\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok"
    async with target(raw) as seen, proxy(route(*rule, path="/users", backends=[up(seen.address)])) as port:
        response = await get(port, "/users/7?full=1", "X-Env: red\r\nX-More: 1\r\nX-Gone: 1\r\n")
    assert sent(seen[0]) == (
        "/v2/7?full=1",
        {
            "host": "users.internal",
            "x-more": "2",
            "x-env": "blue",
            "x-forwarded-proto": "http",
            "x-forwarded-host": "example.com",  # what the client asked for
        },
    )
    assert seen[0].lower().count(b"x-more: ") == 2
    assert (response.status, response.body) == (200, b"ok")
    assert response.headers["x-served"] == "by us" and response.headers["x-kept"] == "1"
    assert "x-secret" not in response.headers


@both
@on_loop
async def test_a_host_of_none_is_the_targets_own(proxy):
    async with target(OK) as seen, proxy(route(f.ToService("/in"), backends=[up(seen.address)])) as port:
        await get(port, "/x")
    assert sent(seen[0])[0] == "/in/x" and sent(seen[0])[1]["host"] == seen.address


@both
@on_loop
async def test_only_the_share_of_a_backend_gets_its_filters(proxy):
    edit = [f.RequestHeaders(set={"X-Env": "canary"}), f.ResponseHeaders(set={"X-Env": "canary"})]
    async with target(OK) as a, target(OK) as b:
        backends = [
            lbcore.Backend(up(a.address), 3),
            lbcore.Backend(up(b.address, name="canary"), 1, edit),
        ]
        async with proxy(route(backends=backends)) as port:
            answers = [(await get(port)).headers.get("x-env") for _ in range(8)]
    assert answers.count("canary") == 2 and answers.count(None) == 6
    assert [sent(head)[1].get("x-env") for head in b] == 2 * ["canary"]
    assert [sent(head)[1].get("x-env") for head in a] == 6 * [None]


@both
@on_loop
async def test_redirects_of_a_rule_and_of_a_backend(proxy):
    moved = f.RequestRedirect("https", path=f.ReplacePrefixMatch("/new"), status=301)
    async with proxy(route(moved, path="/old")) as port:
        response = await get(port, "/old/x?q=1")
    assert (response.status, response.headers["location"]) == (301, "https://example.com/new/x?q=1")
    async with proxy(route(backends=[lbcore.Backend(up(), 1, [moved])])) as port:
        response = await get(port, "/x")
    assert (response.status, response.headers["location"]) == (301, "https://example.com/new/x")


@both
@on_loop
async def test_https_only(proxy):
    async with target(OK) as seen, proxy(route(f.HttpsOnly(), backends=[up(seen.address)])) as port:
        response = await get(port)
    assert (response.status, response.body, len(seen)) == (426, b"https only\n", 0)
    assert response.headers["upgrade"] == "TLS/1.2, HTTP/1.1"


@both
@on_loop
async def test_cors(proxy):
    cors = f.Cors(["https://a.test"], ["PUT"], allow_credentials=True)
    async with target(OK) as seen:
        async with proxy(route(cors, backends=[up(seen.address)])) as port:
            asked = "Origin: https://a.test\r\nAccess-Control-Request-Method: PUT\r\n"
            preflight = await get(port, headers=asked, method="OPTIONS")
            assert len(seen) == 0
            plain = await get(port, headers="Origin: https://a.test\r\n")
            other = await get(port, headers="Origin: https://b.test\r\n")
        async with proxy(route(cors, backends=[up()])) as port:
            nobody = await get(port, headers="Origin: https://a.test\r\n")
    assert (preflight.status, preflight.body) == (204, b"")
    assert preflight.headers["access-control-allow-methods"] == "PUT"
    assert (plain.status, nobody.status, len(seen)) == (200, 503, 2)
    for response in (preflight, plain, nobody):  # scripts may read our own 503, too
        assert response.headers["access-control-allow-origin"] == "https://a.test"
        assert response.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in other.headers and other.headers["vary"] == "Origin"


# ---- mirrors ----------------------------------------------------------------------------------------------------


@both
@on_loop
async def test_a_mirror_gets_a_copy_and_its_answer_is_ignored(proxy):
    bodies = []

    async def fail(reader, writer, head):
        bodies.append(await reader.readexactly(3))
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    async with target(echo) as seen, target(fail) as shadow:
        rule = (f.Mirror(up(shadow.address, name="shadow")), f.RequestHeaders(set={"X": "1"}))
        async with proxy(route(*rule, backends=[up(seen.address)])) as port:
            response = await get(port, "/x?q", method="PUT", body=b"abc")
            await until(lambda: bodies)
    assert (response.status, response.body, bodies) == (200, b"abc", [b"abc"])
    assert sent(shadow[0]) == sent(seen[0]) and sent(seen[0])[1]["x"] == "1"


@both
@on_loop
async def test_a_mirror_that_is_silent_or_gone_or_a_large_body_is_nobodys_business(proxy, monkeypatch):
    monkeypatch.setattr(_body, "MOST_KEPT", 5)
    async with target(echo) as seen, target(silence) as shadow, target(OK) as whole:
        silent = up(shadow.address, name="silent")
        mirrors = [f.Mirror(u) for u in (silent, up(closed_port()), up(name="empty"), "no upstream")]
        backends = [up(seen.address)]
        async with proxy(route(*mirrors, backends=backends)) as port:
            for _ in range(3):
                assert (await get(port, method="PUT", body=b"abcde")).body == b"abcde"
            await until(lambda: len(shadow) == 3)
        assert in_flight(silent, *backends) == 0  # the proxy's end cuts them off
        async with proxy(route(f.Mirror(up(whole.address)), backends=backends)) as port:
            assert (await get(port, method="PUT", body=b"abcdef")).body == b"abcdef"
            assert (await get(port, method="PUT", body=b"abcde")).body == b"abcde"
            await until(lambda: whole)
    assert len(whole) == 1 and sent(whole[0])[1]["content-length"] == "5"


@both
@on_loop
async def test_mirrors_on_their_way_are_bounded(proxy, monkeypatch):
    monkeypatch.setattr(_carrier, "MOST_MIRRORS", 2)
    async with target(OK) as seen, target(silence) as shadow:
        rule = route(f.Mirror(up(shadow.address)), backends=[up(seen.address)])
        async with proxy(rule) as port:
            for _ in range(5):
                await get(port)
            await until(lambda: len(shadow) == 2)
            await get(port)
            assert len(shadow) == 2


# ---- time-outs --------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "times", [{"request": 0.05}, {"backend_request": 0.05}, {"request": 9, "backend_request": 0.05}]
)
@on_loop
async def test_a_target_that_takes_too_long_is_504_and_its_fault(proxy, times):
    async with target(silence) as seen:
        backend = up(seen.address)
        async with proxy(route(backends=[backend], timeouts=f.Timeouts(**times))) as port:
            assert (await get(port)).status == 504
            await until(lambda: in_flight(backend) == 0)
            assert [(await get(port)).status for _ in range(2)] == [504, 504]
            assert (await get(port)).status == 503  # ejected
    assert len(seen) == 3


@both
@on_loop
async def test_the_time_of_a_request_ends_also_while_bytes_arrive(proxy):
    async def drip(reader, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.005)

    async with target(drip) as seen:
        backend = up(seen.address)
        async with proxy(route(backends=[backend], timeouts=f.Timeouts(request=0.1))) as port:
            response = await get(port)
            assert (response.status, response.complete) == (200, False)
            await until(lambda: in_flight(backend) == 0)


@both
@on_loop
async def test_times_that_are_kept_change_nothing(proxy):
    async with target(OK) as seen:
        async with proxy(route(backends=[up(seen.address)], timeouts=f.Timeouts(20, 10))) as port:
            assert (await get(port)).body == b"ok"
        async with proxy(route(backends=[up(seen.address)], timeouts=f.Timeouts(0, 0))) as port:
            assert (await get(port)).body == b"ok"


# ---- retries ----------------------------------------------------------------------------------------------------

NOW = {"backoff": 0}


@both
@on_loop
async def test_after_a_refusal_the_second_target_gets_it_whatever_the_method(proxy):
    async with target(echo) as seen:
        backend = up(closed_port(), seen.address)
        async with proxy(route(backends=[backend], retry=f.Retry(**NOW))) as port:
            for _ in range(4):
                response = await get(port, method="POST", body=b"abc")
                assert (response.status, response.body) == (200, b"abc")
        assert in_flight(backend) == 0
    assert len(seen) == 4


@both
@on_loop
async def test_where_retries_end_without_an_answer_it_is_503(proxy):
    """The suite's HTTPRouteRetryConnectionError wants 500 or 503."""
    async with target(hang_up) as seen:
        backends = [up(seen.address, health=None)]
        async with proxy(route(backends=backends, retry=f.Retry(attempts=3, **NOW))) as port:
            assert (await get(port)).status == 503
            assert len(seen) == 4
            assert (await get(port, method="POST", body=b"a")).status == 503  # once: it may have been done
            assert len(seen) == 5
        async with proxy(route(backends=backends)) as port:
            assert (await get(port)).status == 502


@both
@on_loop
async def test_the_same_target_again_where_there_is_no_other(proxy):
    """HTTPRouteRetry: infra-backend-v3 has one replica."""
    async with target(statuses(500, 503, 200)) as seen:
        backend = up(seen.address)
        async with proxy(route(backends=[backend], retry=f.Retry([500, 503], **NOW))) as port:
            assert (await get(port)).status == 200
            assert len(seen) == 3
        assert in_flight(backend) == 0


@both
@on_loop
async def test_the_last_answer_is_passed_on_with_its_headers_and_body(proxy):
    async with target(b"HTTP/1.1 503 No\r\nX: 1\r\nContent-Length: 4\r\n\r\nbusy") as seen:
        backend = up(seen.address, health=None)
        rule = route(f.ResponseHeaders(add={"Y": "2"}), backends=[backend], retry=f.Retry([503], 2, 0))
        async with proxy(rule) as port:
            response = await get(port)
    assert (response.status, response.body, len(seen)) == (503, b"busy", 3)
    assert (response.headers["x"], response.headers["y"]) == ("1", "2")
    async with target(statuses(500)) as seen:
        rule = route(backends=[up(seen.address)], retry=f.Retry([503], **NOW))
        async with proxy(rule) as port:
            assert (await get(port)).status == 500
    assert len(seen) == 1  # not among the codes


@both
@on_loop
async def test_a_body_is_sent_again_if_it_is_small(proxy, monkeypatch):
    monkeypatch.setattr(_body, "MOST_KEPT", 5)
    tries = []

    async def second_time_lucky(reader, writer, head):
        tries.append(await reader.readexactly(int(sent(head)[1]["content-length"])))
        status = 503 if len(tries) % 2 else 200
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)

    async with target(second_time_lucky) as seen:
        rule = route(backends=[up(seen.address, health=None)], retry=f.Retry([503], **NOW))
        async with proxy(rule) as port:
            assert (await get(port, method="POST", body=b"abcde")).status == 200
            assert (await get(port, method="POST", body=b"abcdef")).status == 503
    assert tries == [b"abcde", b"abcde", b"abcdef"]


@both
@on_loop
async def test_a_budget_of_nothing_allows_no_retry(proxy):
    limits = lbcore.Limits(retry_percent=0, retry_per_second=0)
    async with target(statuses(503)) as seen:
        rule = route(backends=[up(seen.address, limits=limits)], retry=f.Retry([503], **NOW))
        async with proxy(rule) as port:
            assert (await get(port)).status == 503
    assert len(seen) == 1


@both
@on_loop
async def test_an_attempt_that_is_late_is_repeated_until_the_requests_time_is_over(proxy):
    """HTTPRouteRetryWithTimeouts."""
    first = []

    async def late_once(reader, writer, head):
        if not first:
            first.append(1)
            await reader.read()
        writer.write(OK)

    async with target(late_once) as seen:
        rule = route(
            backends=[up(seen.address)], timeouts=f.Timeouts(backend_request=0.1), retry=f.Retry(**NOW)
        )
        async with proxy(rule) as port:
            assert (await get(port)).status == 200
    assert len(seen) == 2
    async with target(silence) as seen:
        backend = up(seen.address, health=None)
        times, retry = f.Timeouts(0.25, 0.1), f.Retry(attempts=50, backoff=0)
        async with proxy(route(backends=[backend], timeouts=times, retry=retry)) as port:
            assert (await get(port)).status == 504
        assert in_flight(backend) == 0
    assert 2 <= len(seen) <= 4


@both
@on_loop
async def test_who_leaves_between_two_attempts_leaves_nothing_in_flight(proxy):
    async with target(statuses(503)) as seen:
        backend = up(seen.address, health=None)
        async with proxy(route(backends=[backend], retry=f.Retry([503], backoff=50))) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await until(lambda: seen and in_flight(backend) == 1)
            writer.close()
            await until(lambda: in_flight(backend) == 0)
    assert len(seen) == 1


@both
@on_loop
async def test_a_header_that_cannot_be_sent_is_not_tried_again(proxy):
    async with target(OK) as seen:
        backend = up(seen.address)
        async with proxy(route(backends=[backend], retry=f.Retry(**NOW))) as port:
            with contextlib.suppress(OSError):
                response = await send(port, b"GET / HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\n")
                assert response.status == 400
        assert in_flight(backend) == 0 and not seen


@both
@on_loop
async def test_a_session_outlives_filters_and_moves_with_a_retry(proxy):
    sticky = lbcore.Affinity(cookie="sid", secret=b"sixteen bytes or more")
    raw = b"HTTP/1.1 200 OK\r\nSet-Cookie: theirs=1\r\nContent-Length: 2\r\n\r\nok"
    async with target(raw) as seen, target(hang_up) as gone:
        backend = up(gone.address, seen.address, affinity=sticky, health=None)
        home = next(call for call in iter(backend.acquire, None) if call.target.index == 0 or call.done())
        home.done()
        rule = route(f.ResponseHeaders(remove=["Set-Cookie"]), backends=[backend], retry=f.Retry(**NOW))
        async with proxy(rule) as port:
            response = await get(port, headers=f"Cookie: sid={home.session}\r\n")
            assert (response.status, len(gone), len(seen)) == (200, 1, 1)
            (cookie,) = [value for name, value in response.pairs if name.lower() == "set-cookie"]
            assert cookie.startswith("sid=") and home.session not in cookie
            back = await get(port, headers=f"Cookie: {cookie.split(';')[0]}\r\n")
            assert "set-cookie" not in back.headers and len(seen) == 2


@both
@on_loop
async def test_a_route_without_rules_keeps_nothing_of_a_body(proxy, monkeypatch):
    monkeypatch.setattr(_carrier, "Body", None)
    async with target(echo) as seen, proxy(route(backends=[up(seen.address)])) as port:
        assert (await get(port, method="PUT", body=b"abc")).body == b"abc"

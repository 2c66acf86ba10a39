"""The HTTP proxy on real sockets: what is passed on, what is answered, and what a call is told."""

import asyncio
import logging

import pytest
from rig import (
    OK,
    closed_port,
    engine,
    get,
    http_proxy,
    in_flight,
    on_loop,
    read_response,
    running,
    send,
    spec,
    states,
    target,
    until,
)

from lbcore.adapters.http import HttpProxy

# ---- what goes to the target -------------------------------------------------------------------------------------


def lines(head):
    return head.decode("latin-1").split("\r\n")[:-2]


@on_loop
async def test_the_request_arrives_as_it_was_sent_but_for_what_belongs_to_the_connection():
    async with target(OK) as seen, http_proxy(engine([("a", 1, [seen.address])])) as port:
        await send(
            port,
            b"GET /a//b/%7Ec?q=%20&r=/../x? HTTP/1.1\r\nHost: Shop.example:8080\r\nX-One: 1\r\nAccept: text/html\r\n"
            b"Connection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\n"
            b"Proxy-Authorization: x\r\nProxy-Connection: x\r\nX-One: 2\r\nCookie: a=b; c=d\r\n\r\n",
        )
    line, *headers = lines(seen[0])
    method, path, version = line.split()
    assert (method, version) == ("GET", "HTTP/1.1")
    assert path.endswith("?q=%20&r=/../x?")
    assert headers == [
        "Host: Shop.example:8080",
        *("X-One: 1", "Accept: text/html", "X-One: 2", "Cookie: a=b; c=d"),
        *("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: Shop.example:8080"),
    ]


@on_loop
async def test_what_was_matched_is_what_is_forwarded():
    on = engine([("a", 1, [])])
    async with target(OK) as seen:
        on = engine([("a", 1, [seen.address])])
        async with http_proxy(on) as port:
            for path in ("/", "/x/./y", "/x/%41", "/?", "/x?", "/%E4%B8%AD"):
                match = on.match("GET", "example.com", path, port=80)
                assert (await get(port, path)).status == 200
                assert lines(seen[-1])[0].split()[1] == match.target, path


@on_loop
async def test_x_forwarded_is_appended_to_or_replaced():
    theirs = "X-Forwarded-For: 10.0.0.9\r\nx-forwarded-proto: https\r\n"
    async with target(OK) as seen:
        on = engine([("a", 1, [seen.address])])
        async with http_proxy(on) as port:
            await get(port, headers=theirs)
        async with running(HttpProxy(on, 80, append_forwarded=False)) as port:
            await get(port, headers=theirs)
    assert "X-Forwarded-For: 10.0.0.9, 127.0.0.1" in lines(seen[0])
    assert "X-Forwarded-Proto: https, http" in lines(seen[0])
    assert "X-Forwarded-For: 127.0.0.1" in lines(seen[1])
    assert "X-Forwarded-Proto: http" in lines(seen[1])


@on_loop
async def test_connection_cannot_take_host_and_length_away():
    async def echo(reader, writer, head):
        writer.write(OK + await reader.readexactly(3))

    async with target(echo) as seen, http_proxy(engine([("a", 1, [seen.address])])) as port:
        await get(port, method="POST", body=b"abc", headers="Connection: host, content-length\r\n")
    assert "Host: example.com" in lines(seen[0])
    assert "Content-Length: 3" in lines(seen[0])


@on_loop
async def test_a_chunked_body_goes_on_chunked_and_its_trailers_end_here():
    bodies = []

    async def read(reader, writer, head):
        bodies.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(OK)

    async with target(read) as seen, http_proxy(engine([("a", 1, [seen.address])])) as port:
        raw = b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
        raw += b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
        assert (await send(port, raw)).status == 200
    assert bodies == [b"3\r\nabc\r\n0\r\n\r\n"]
    assert "Transfer-Encoding: chunked" in lines(seen[0])
    assert not any(line.lower().startswith(("trailer", "content-length")) for line in lines(seen[0]))


@on_loop
async def test_an_expectation_is_passed_on_and_its_100_comes_from_the_target():
    permit = asyncio.Event()

    async def hesitate(reader, writer, head):
        await permit.wait()
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(3) == b"abc"
        writer.write(OK)

    async with target(hesitate) as seen, http_proxy(engine([("a", 1, [seen.address])])) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        await until(lambda: seen)
        assert "Expect: 100-continue" in lines(seen[0])
        permit.set()
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await read_response(reader)).body == b"ok"
        writer.close()


@on_loop
async def test_a_target_may_refuse_before_the_body_is_sent():
    on = None
    async with target(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n") as seen:
        on = engine([("a", 1, [seen.address])])
        async with http_proxy(on) as port:
            raw = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
            assert (await send(port, raw)).status == 413
            assert (await send(port, raw.replace(b"Expect: 100-continue\r\n", b""))).status == 413
            await until(lambda: in_flight(on) == 0)


# ---- what comes back ---------------------------------------------------------------------------------------------


@on_loop
async def test_the_response_arrives_as_it_was_sent_but_for_what_belongs_to_the_connection():
    raw = (
        b"HTTP/1.1 299 Fine By Me\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: X-Private\r\nX-Private: 1\r\n"
        b"Keep-Alive: timeout=5\r\nDate: today\r\nContent-Encoding: gzip\r\nX-Name: caf\xe9\r\n"
        b"Content-Length: 3\r\n\r\nabc"
    )
    async with target(raw) as seen, http_proxy(engine([("a", 1, [seen.address])])) as port:
        response = await get(port, headers="Accept-Encoding: gzip\r\n")
    assert (response.status, response.body) == (299, b"abc")
    assert sorted(response.pairs) == sorted(
        [
            *(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Date", "today"), ("Content-Encoding", "gzip")),
            ("X-Name", "caf\xc3\xa9"),  # in UTF-8 now
            ("Content-Length", "3"),
        ]
    )


@pytest.mark.parametrize(
    ("method", "raw", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "5"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', None),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", None),
    ],
)
@on_loop
async def test_responses_without_a_body_leave_the_connections_usable(method, raw, length):
    async with target(raw) as seen, http_proxy(engine([("a", 1, [seen.address])])) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(f"{method} / HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            response = await read_response(reader, method)
            assert response.headers.get("content-length") == length
        writer.close()
        assert (len(seen), seen.connections) == (3, 1)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@on_loop
async def test_a_body_of_unknown_length(version):
    async def stream(reader, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nabc")
        return True

    async with target(stream) as seen, http_proxy(engine([("a", 1, [seen.address])])) as port:
        response = await send(
            port, f"GET / HTTP/{version}\r\nHost: h\r\nConnection: keep-alive\r\n\r\n".encode()
        )
    assert response.body == b"abc"
    assert ("transfer-encoding" in response.headers) == (version == "1.1")


# ---- answers of our own ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /elsewhere HTTP/1.1\r\nHost: h\r\n\r\n", 404),
        (b"GET /app/../x HTTP/1.1\r\nHost: h\r\n\r\n", 404),
        (b"GET /app/%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /app/\xff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /app HTTP/1.1\r\n\r\n", 400),
        (b"GET /app HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /app HTTP/1.1\r\nHost: h\r\nX-Name: caf\xe9\r\n\r\n", 400),
        (
            b"POST /app HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST /app HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /app HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", 400),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /app HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 501),
        (b"POST /app HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"GET /app HTTP/1.1\r\nHost: h\r\n\r\n", 200),
        (b"GET /app HTTP/1.0\r\n\r\n", 200),
    ],
)
@on_loop
async def test_requests_that_are_answered_here(raw, status, caplog):
    async with target(OK) as seen:
        on = engine([("a", 1, [seen.address])], paths=("/app",))
        async with http_proxy(on) as port:
            assert (await send(port, raw)).status == status
            await until(lambda: in_flight(on) == 0)
    assert len(seen) == (status == 200)
    assert states(on) == {"healthy"}
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("backends", "status"),
    [
        ([], 500),
        ([("a", 1, None)], 500),
        ([("a", 0, ["127.0.0.1:1"])], 500),
        ([("a", 1, [])], 503),
    ],
)
@on_loop
async def test_nobody_to_ask(backends, status):
    async with http_proxy(engine(backends)) as port:
        assert (await get(port)).status == status


async def garbage(reader, writer, head):
    writer.write(b"lorem ipsum\r\n\r\n")


async def hang_up(reader, writer, head):
    return True


async def switch(reader, writer, head):
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")


async def number(reader, writer, head):
    writer.write(b"HTTP/1.1 777 Lucky\r\nContent-Length: 0\r\n\r\n")


async def zipped(reader, writer, head):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")


async def silence(reader, writer, head):
    await reader.read()


@pytest.mark.parametrize(
    "respond", [garbage, hang_up, switch, number, zipped, silence], ids=lambda f: f.__name__
)
@on_loop
async def test_targets_that_fail_before_an_answer(respond):
    """Each is a failure of the target: three in a row eject it, and then it is 503 with a Retry-After."""
    async with target(respond) as seen, target(OK) as good:
        on = engine([("a", 1, [seen.address, good.address])])
        async with http_proxy(on, idle=0.3) as port:
            answers = [(await get(port, method="POST")).status for _ in range(8)]
    bad = 504 if respond is silence else 502
    assert answers in ([bad, 200, bad, 200, bad, 200, 200, 200], [200, bad, 200, bad, 200, bad, 200, 200])
    assert [t.state for t in on.upstreams["a"].targets] == ["ejected", "healthy"]
    assert in_flight(on) == 0


@on_loop
async def test_a_target_that_refuses_connections_and_retry_after():
    on = engine([("a", 1, [closed_port()])])
    async with http_proxy(on) as port:
        assert [(await get(port)).status for _ in range(3)] == [502] * 3
        response = await get(port)
        assert (response.status, response.headers["retry-after"]) == (503, "10")


@on_loop
async def test_a_port_that_the_configuration_no_longer_has_is_404():
    on = engine([("a", 1, [])])
    async with http_proxy(on) as port:
        on.reload(spec([("a", 1, [])], port=81))
        assert (await get(port)).status == 404


@on_loop
async def test_a_body_that_nobody_wanted_is_not_taken_for_a_request():
    async with target(OK) as seen, http_proxy(engine([("a", 1, [seen.address])], paths=("/app",))) as port:
        for length, kept in ((3, True), (5_000_000, False)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\nabc" % length)
            assert (await read_response(reader)).status == 404
            if kept:
                writer.write(b"GET /app HTTP/1.1\r\nHost: h\r\n\r\n")
                assert (await read_response(reader)).status == 200
            else:
                writer.write(b"GET /app HTTP/1.1\r\nHost: h\r\n\r\n" * 100_000)
                writer.write_eof()
                assert await reader.read() == b""
            writer.close()
    assert len(seen) == 1


# ---- connections to targets --------------------------------------------------------------------------------------


@on_loop
async def test_a_kept_connection_that_turns_out_closed_is_not_retried_for_a_post():
    """The target reads the second request on the connection and hangs up: it may have acted on it."""
    served = set()

    async def one_answer_a_connection(reader, writer, head):
        if writer in served:
            return True
        served.add(writer)
        writer.write(OK)

    for method, statuses, arrived in (("POST", [200, 502], 2), ("GET", [200, 200], 3)):
        async with (
            target(one_answer_a_connection) as seen,
            http_proxy(engine([("a", 1, [seen.address])])) as port,
        ):
            assert [(await get(port, method=method)).status for _ in range(2)] == statuses
            assert len(seen) == arrived, method

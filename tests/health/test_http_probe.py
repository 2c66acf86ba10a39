"""HTTP and HTTPS probes against servers on loopback, well-behaved and not."""

import asyncio
import ssl

import pytest
import trustme
from fakes import FakeTarget, FakeUpstream, answering, checks, endless, on_loop, serving

from lbcore.errors import ConfigError
from lbcore.health._connect import Resolver
from lbcore.health._http import MAX_BODY_BYTES, MAX_HEAD_BYTES, Request
from lbcore.health.probes import Prober, tls_context

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def probe(address, tls=tls_context, **settings):
    settings = {"type": "http", "timeout": 5.0, **settings}
    prober = Prober(FakeUpstream([], checks()), checks(**settings), tls, Resolver())
    return await prober(FakeTarget(address))


async def of(*pieces, heard=None, **settings):
    """The outcome of a probe that is answered with ``pieces``."""
    async with serving(answering(*pieces, heard=heard)) as address:
        return await probe(address, **settings)


# ---- the request ------------------------------------------------------------------------------------------------


@on_loop
async def test_the_request():
    heard = []
    async with serving(answering(OK, heard=heard)) as address:
        await probe(address, http_path="/health?deep=1", headers={"X-Check": "yes", "User-Agent": "me"})
    assert heard == [
        f"GET /health?deep=1 HTTP/1.1\r\nhost: {address}\r\nX-Check: yes\r\nUser-Agent: me\r\n"
        "accept: */*\r\naccept-encoding: identity\r\nconnection: close\r\n\r\n".encode()
    ]


@on_loop
async def test_a_host_of_the_headers_wins():
    heard = []
    await of(OK, heard=heard, headers={"Host": "api.example"})
    assert heard[0].lower().count(b"host:") == 1
    assert b"host: api.example\r\n" in heard[0]


@on_loop
async def test_the_method():
    heard = []
    await of(OK, heard=heard, http_method="POST")
    assert heard[0].startswith(b"POST / ")
    assert b"content-length: 0\r\n" in heard[0]


@on_loop
async def test_an_ipv6_address_is_bracketed():
    heard = []
    try:
        async with serving(answering(OK, heard=heard), host="::1") as address:
            assert (await probe(address)).status == 200
    except OSError:
        pytest.skip("this machine has no ::1")
    assert f"host: {address}\r\n".encode() in heard[0]


@on_loop
async def test_a_name_is_looked_up_and_the_port_of_the_checks_wins():
    heard = []
    async with serving(answering(OK, heard=heard)) as address:
        port = int(address.rpartition(":")[2])
        assert (await probe("localhost:1", port=port)).status == 200
    assert f"host: localhost:{port}\r\n".encode() in heard[0]


def test_the_default_port_is_not_in_the_host():
    prober = Prober(FakeUpstream([], checks()), checks(type="http"), tls_context, Resolver())
    assert prober._authority("10.0.0.1", 80) == "10.0.0.1"
    assert prober._authority("::1", 443) == "[::1]:443"


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("http_method", {"http_method": "GET /"}),
        ("http_method", {"http_method": ""}),
        ("http_path", {"http_path": "health"}),
        ("http_path", {"http_path": "/a b"}),
        ("http_path", {"http_path": "/a\r\nX: y"}),
        ("http_path", {"http_path": "/ä"}),
        ("headers", {"headers": {"X": "a\r\nY: b"}}),
        ("headers", {"headers": {"X": "a\0"}}),
        ("headers", {"headers": {"X Y": "a"}}),
        ("headers", {"headers": {"X": "€"}}),
        ("headers", {"headers": {"Host": "a\r\nY: b"}}),
        ("headers", {"headers": {"Connection": "keep-alive"}}),
        ("headers", {"headers": {"transfer-encoding": "chunked"}}),
        ("timeout", {"timeout": 0.0}),
        ("type", {"type": "icmp"}),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once(field, settings):
    """By the checks themselves, or by the prober, which names the upstream, too."""
    with pytest.raises(ConfigError, match=rf"^(api\.)?health\.active\.{field}(\[.*\])?: "):
        Prober(FakeUpstream([], checks()), checks(**{"type": "http", **settings}), tls_context, Resolver())


# ---- the answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([OK], 200),
        ([b"HTTP/1.1 ", b"503 ", b"Away\r", b"\n\r\n"], 503),
        ([b"HTTP/1.0 200 OK\r\n\r\nold"], 200),
        ([b"HTTP/1.1 204\r\n\r\n"], 204),
        ([b"HTTP/1.1 200 OK\nServer: bare line feeds\n\n"], 200),
        ([b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"], 302),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK], 200),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"], 101),
        ([b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n"], 200),
        ([b"HTTP/1.1 200 \xff\xfe\r\nX: \xff\r\n\r\n"], 200),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"a" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n"], 200),
    ],
)
@on_loop
async def test_a_status_is_told_as_it_is(pieces, status):
    outcome = await of(*pieces)
    assert (outcome.status, outcome.error, outcome.ok) == (status, None, None)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"SSH-2.0-OpenSSH_9.6\r\n"],
        [b"\x15\x03\x01\x00\x02\x02\x28"],  # a TLS alert
        [b"\r\n\r\n"],
        [b"HTTP/2.0 200 OK\r\n\r\n"],
        [b"HTTP/1.1 20 OK\r\n\r\n"],
        [b"HTTP/1.1 2000 OK\r\n\r\n"],
        [b"HTTP/1.1 600 OK\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"a" * 1000 + b"\r\n"] * 100],
        [b"HTTP/1.1 100 Continue\r\n\r\n" * 4000],
        [b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n"],
    ],
)
@on_loop
async def test_garbage_is_an_http_failure(pieces):
    outcome = await of(*pieces)
    assert (outcome.status, outcome.error, outcome.ok) == (None, None, False)
    assert outcome.reason


@pytest.mark.parametrize("pieces", [[], [b"HTT"], [b"HTTP/1.1 200 OK\r\nX:"], [b"HTTP/1.1 200 OK\r\n"]])
@on_loop
async def test_an_answer_that_breaks_off_is_a_tcp_failure(pieces):
    outcome = await of(*pieces)
    assert isinstance(outcome.error, ConnectionError)
    assert not isinstance(outcome.error, TimeoutError)


@on_loop
async def test_nobody_listens():
    async with serving(endless) as address:
        pass
    assert isinstance((await probe(address)).error, ConnectionRefusedError)


async def endless_head(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n" * 100)
        await writer.drain()


async def slow_head(reader, writer):
    for i in range(10_000):
        writer.write(b"H" if i == 0 else b"TTP/1.1 200 OK\r\n"[i - 1 : i] if i < 16 else b"X")
        await asyncio.sleep(0.01)


@on_loop
async def test_an_endless_head_is_cut():
    async with serving(endless_head) as address:
        assert (await probe(address)).ok is False


@pytest.mark.parametrize("handle", [endless, slow_head])
@on_loop
async def test_the_time_out_covers_the_whole_probe(handle):
    async with serving(handle) as address:
        outcome = await probe(address, timeout=0.05)
    assert isinstance(outcome.error, TimeoutError)


# ---- the body ---------------------------------------------------------------------------------------------------


def chunked(*chunks, end=b"0\r\n\r\n"):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [head, *(b"%x;ext=1\r\n%s\r\n" % (len(c), c) for c in chunks), end]


LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "found"),
    [
        ([OK], True),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhello"], False),
        ([b"HTTP/1.1 200 OK\r\n\r\nsay ", b"he", b"llo"], True),
        ([b"HTTP/1.0 200 OK\r\n\r\nhi"], False),
        (chunked(b"say h", b"ello"), True),
        (chunked(b"hel", b"\r\n", b"lo"), False),
        (chunked(b"say hello", end=b"garbage"), True),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nhello"], False),
        ([LARGE + b"a" * (MAX_BODY_BYTES - 5) + b"hello"], True),
        ([LARGE + b"a" * (MAX_BODY_BYTES - 4) + b"hello"], False),
        (chunked(b"a" * (MAX_BODY_BYTES - 4), b"hello" * 100_000), False),
        (chunked(end=b"no size\r\n"), False),
        ([*chunked(end=b"3\r\nabcd\r\n")], False),
        ([b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello"], True),
        ([b"HTTP/1.1 302 Found\r\nContent-Length: 5\r\n\r\nhello"], True),
        (
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            ],
            True,
        ),
    ],
)
@on_loop
async def test_the_text_that_the_body_must_have(pieces, found):
    outcome = await of(*pieces, body_match="hello")
    assert (outcome.ok is None) == found, str(outcome)
    assert outcome.error is None
    assert (outcome.status in (200, 302)) == found


@on_loop
async def test_a_text_is_found_before_the_body_ends():
    async def stream(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await reader.read()
        await reader.read()

    async with serving(stream) as address:
        assert (await probe(address, body_match="hello")).status == 200


@pytest.mark.parametrize(
    "pieces", [[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell"], chunked(b"hell", end=b"5\r\n")]
)
@on_loop
async def test_a_body_that_breaks_off_is_a_tcp_failure(pieces):
    assert isinstance((await of(*pieces, body_match="hello")).error, ConnectionError)


@on_loop
async def test_a_bad_status_is_told_whatever_the_body():
    outcome = await of(b"HTTP/1.1 503 Away\r\nContent-Length: 2\r\n\r\nno", body_match="hello")
    assert outcome.status == 503


def test_every_header_stands_once():
    made = Request("GET", "/", {"ACCEPT": "a", "Host": "h"}).encode("ignored").lower()
    for name in (b"accept:", b"host:", b"connection:", b"user-agent:"):
        assert made.count(b"\r\n" + name) == 1


# ---- TLS --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def server_of(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def trusting(authority):
    def tls(checks):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    return tls


@on_loop
async def test_https_by_address(authority):
    async with serving(answering(OK), tls=server_of(authority, "127.0.0.1")) as address:
        assert (await probe(address, trusting(authority), type="https")).status == 200


@on_loop
async def test_sni_is_sent_and_what_the_certificate_must_be_for(authority):
    names = []
    server = server_of(authority, "api.example")
    server.sni_callback = lambda sock, name, context: names.append(name)
    async with serving(answering(OK), tls=server) as address:
        good = await probe(address, trusting(authority), type="https", https_sni="api.example")
        other = await probe(address, trusting(authority), type="https", https_sni="www.example")
    assert good.status == 200
    assert isinstance(other.error, ssl.SSLCertVerificationError)
    assert names == ["api.example", "www.example"]


@on_loop
async def test_an_unknown_authority_is_a_tcp_failure_unless_nothing_is_verified(authority):
    async with serving(answering(OK), tls=server_of(authority, "127.0.0.1")) as address:
        strict = await probe(address, type="https")
        lax = await probe(address, type="https", https_verify_certificate=False)
    assert isinstance(strict.error, ssl.SSLCertVerificationError)
    assert lax.status == 200


@on_loop
async def test_https_to_a_server_without_tls_is_a_tcp_failure():
    async def plain(reader, writer):
        await reader.read(10)
        writer.write(OK)

    async with serving(plain) as address:
        outcome = await probe(address, type="https")
    assert isinstance(outcome.error, ssl.SSLError)
    assert not isinstance(outcome.error, TimeoutError)


@on_loop
async def test_a_server_that_does_not_shake_hands_is_a_time_out():
    async with serving(endless) as address:
        outcome = await probe(address, type="https", timeout=0.05)
    assert isinstance(outcome.error, TimeoutError)

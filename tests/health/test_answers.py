"""Answers of HTTP and gRPC, made up: right ones in any pieces, broken ones of any kind."""

import asyncio

import h2.config
import h2.connection
from hypothesis import given
from hypothesis import strategies as st

from lbcore.health import _grpc
from lbcore.health._http import MAX_BODY_BYTES, MAX_HEAD_BYTES, Answer, Garbage


def ask(pieces, text=None, method="GET"):
    """What an answer in these pieces, and then the end of the connection, says: status, and whether it has the text."""

    async def read():
        reader = asyncio.StreamReader(limit=MAX_HEAD_BYTES)

        async def feed():
            for piece in pieces:
                reader.feed_data(piece)
                await asyncio.sleep(0)
            reader.feed_eof()

        feeding = asyncio.ensure_future(feed())
        try:
            answer = Answer(reader, method)
            return await answer.status(), None if text is None else await answer.has(text)
        finally:
            feeding.cancel()

    return asyncio.run(read())


def cut(data, places):
    """``data`` in pieces that end at ``places``."""
    ends = sorted({p % (len(data) + 1) for p in places} | {len(data)})
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def encoded(status, framing, body, chunk, interim):
    head = (
        b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * interim + b"HTTP/1.1 %d Reason\r\nServer: x\r\n" % status
    )
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    if framing == "close":
        return head + b"\r\n" + body
    chunks = b"".join(
        b"%X\r\n%s\r\n" % (len(part), part)
        for i in range(0, len(body), chunk)
        for part in [body[i : i + chunk]]
    )
    return head + b"transfer-encoding: gzip, Chunked\r\n\r\n" + chunks + b"0\r\nTrailer: z\r\n\r\n"


@given(
    status=st.integers(200, 599).filter(lambda s: s not in (204, 304)),
    framing=st.sampled_from(["length", "close", "chunked"]),
    body=st.binary(max_size=60) | st.text("ab\r\n", max_size=60).map(str.encode),
    chunk=st.integers(1, 20),
    interim=st.integers(0, 2),
    text=st.text("ab\r\n", min_size=1, max_size=3).map(str.encode),
    places=st.lists(st.integers(0, 1000), max_size=10),
)
def test_a_right_answer_is_read_in_any_pieces(status, framing, body, chunk, interim, text, places):
    assert ask(cut(encoded(status, framing, body, chunk, interim), places), text) == (status, text in body)


@given(
    n=st.integers(MAX_BODY_BYTES - 20, MAX_BODY_BYTES + 20),
    framing=st.sampled_from(["length", "close", "chunked"]),
    chunk=st.integers(1000, 100_000),
)
def test_a_text_counts_if_it_ends_within_the_limit(n, framing, chunk):
    body = b"a" * n + b"needle" + b"a" * 50_000
    assert ask([encoded(200, framing, body, chunk, 0)], b"needle") == (200, n + 6 <= MAX_BODY_BYTES)


FRAGMENTS = st.sampled_from(
    [
        *(
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 100 C\r\n\r\n",
            b"\r\n",
            b"\n",
            b"\0",
            b"5\r\n",
            b"0\r\n\r\n",
            b"hello",
        ),
        *(
            b"Content-Length: 5\r\n",
            b"Content-Length: 9999999999999999999\r\n",
            b"Transfer-Encoding: chunked\r\n",
        ),
        *(b"ffffffff\r\n", b"-1\r\n", b": x\r\n", b" folded\r\n", b"x" * 40_000),
    ]
)


@given(st.lists(FRAGMENTS | st.binary(max_size=20), max_size=12), st.sampled_from(["GET", "HEAD"]))
def test_anything_else_is_garbage_or_breaks_off(pieces, method):
    try:
        status, found = ask(pieces, b"hello", method)
    except (Garbage, ConnectionError):
        return
    assert 101 <= status <= 599
    assert not (found and method == "HEAD")
    assert not found or b"hello" in b"".join(pieces)


def grpc_answer():
    """The bytes of a right answer, SETTINGS to trailers."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    call = _grpc._Call()
    call.begin([(":method", "POST"), (":scheme", "http"), (":path", _grpc.PATH), (":authority", "a")], b"")
    server.receive_data(call.to_send())
    server.send_headers(1, [(":status", "200")])
    server.send_data(1, b"\0\0\0\0\2\x08\1")
    server.send_headers(1, [("grpc-status", "0")], end_stream=True)
    return server.data_to_send()


def hear(pieces):
    call = _grpc._Call()
    call.begin([(":method", "POST"), (":scheme", "http"), (":path", _grpc.PATH), (":authority", "a")], b"")
    for piece in pieces:
        call.received(piece)
        call.to_send()
        if call.ended:
            return call.verdict()
    return None


@given(st.lists(st.integers(0, 1000), max_size=10))
def test_a_right_grpc_answer_is_read_in_any_pieces(places):
    assert hear(cut(grpc_answer(), places)) == "SERVING"


@given(
    st.integers(0, 1000),
    st.binary(max_size=8),
    st.integers(0, 3),
    st.lists(st.integers(0, 1000), max_size=3),
)
def test_a_broken_grpc_answer_is_garbage_or_no_end(at, put, skip, places):
    data = grpc_answer()
    at %= len(data)
    try:
        said = hear(cut(data[:at] + put + data[at + skip :], places))
    except Garbage:
        return
    assert said is None or said in _grpc.STATUS.values() or said.startswith(("status", "grpc-status"))


@given(st.binary(max_size=20))
def test_any_body_of_grpc_is_read_or_refused(body):
    try:
        said = _grpc._serving(body)
    except Garbage:
        return
    assert said in _grpc.STATUS.values() or said.startswith("status")

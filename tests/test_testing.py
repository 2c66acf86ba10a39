"""The helpers that users' tests get."""

import asyncio

import pytest

from lbcore.testing import ManualClock, assert_shares, http_target, tcp_target, udp_target, wrong_shares


def test_the_clock_goes_by_hand():
    clock = ManualClock(5)
    clock.advance(2.5)
    assert clock() == 7.5
    with pytest.raises(ValueError, match="-1"):
        clock.advance(-1)
    clock.set(1)
    assert clock() == 1


@pytest.mark.parametrize(
    ("counts", "weights", "right"),
    [
        ({"a": 75, "b": 25}, {"a": 75, "b": 25}, True),
        ({"a": 76, "b": 24}, {"a": 75, "b": 25}, True),
        ({"a": 77, "b": 23}, {"a": 75, "b": 25}, False),
        ({"a": 1}, {"a": 1000, "b": 1}, True),
        ({"a": 3}, {"a": 1, "b": 1}, False),
        ({"a": 4, "x": 1}, {"a": 1}, False),  # nobody asked for x
        ({"a": 1}, {"a": 0}, False),
        ({}, {"a": 1, "b": 0}, True),
    ],
)
def test_shares_within_one_pick(counts, weights, right):
    assert (wrong_shares(counts, weights) == []) == right
    if not right:
        with pytest.raises(AssertionError):
            assert_shares(counts, weights)


def test_targets_answer_with_their_names():
    async def ask():
        async with http_target("h") as h, tcp_target("t") as t, udp_target("u") as u:
            reader, writer = await asyncio.open_connection(*h.split(":"))
            for _ in range(2):
                body = b"GET / HTTP/1.1\r\n\r\n" * 2 + b"four"
                writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n" + body)
                assert (await reader.readuntil(b"h")).startswith(b"HTTP")
                assert (await reader.readuntil(b"\r\n\r\nh")).endswith(b"\r\n\r\nh")
            writer.close()
            reader, writer = await asyncio.open_connection(*t.split(":"))
            writer.write(b"abc")
            writer.write_eof()
            assert await reader.read() == b"t\nabc"
            writer.close()
            answered = asyncio.get_running_loop().create_future()

            class Client(asyncio.DatagramProtocol):
                def datagram_received(self, data, source):
                    answered.set_result(data)

            host, port = u.split(":")
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=(host, int(port)))
            transport.sendto(b"x")
            assert await asyncio.wait_for(answered, 10) == b"u"
            transport.close()

    asyncio.run(ask())

"""The UDP proxy on real sockets; idleness by a manual clock."""

import asyncio
import contextlib
import errno
import socket

import pytest
from rig import address_of, datagram_proxy, engine, in_flight, listening, on_loop, spec, states, until

from lbcore.testing import ManualClock, udp_target


def udp(backends):
    return engine(backends, "UDP")


class Client:
    """A UDP socket that talks to one port."""

    def __init__(self, port):
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.connect(("127.0.0.1", port))

    async def ask(self, data=b"x"):
        self.sock.send(data)
        return await self.read()

    async def read(self):
        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().sock_recv(self.sock, 65536)


@contextlib.contextmanager
def clients(port, n):
    made = [Client(port) for _ in range(n)]
    try:
        yield made
    finally:
        for client in made:
            client.sock.close()


@on_loop
async def test_a_flow_keeps_its_target_and_the_split_is_by_flow():
    async with udp_target("a") as a, udp_target("b") as b:
        on = udp([("a", 1, [a]), ("b", 1, [b])])
        async with datagram_proxy(on) as (proxy, port):
            with clients(port, 8) as made:
                answers = [[await client.ask() for _ in range(5)] for client in made]
                assert all(len(set(one)) == 1 for one in answers)
                assert sorted(one[0] for one in answers) == [b"a"] * 4 + [b"b"] * 4
                assert (proxy.counters.flows, in_flight(on)) == (8, 8)


@on_loop
async def test_flows_end_when_they_are_idle():
    clock = ManualClock()
    async with udp_target("a") as a:
        on = udp([("a", 1, [a])])
        async with datagram_proxy(on, idle=60, clock=clock) as (proxy, port):
            with clients(port, 2) as (one, two):
                await one.ask()
                clock.advance(40)
                await two.ask()
                clock.advance(19.9)
                proxy.expire()
                assert in_flight(on) == 2
                clock.advance(0.1)
                proxy.expire()
                assert in_flight(on) == 1
                await two.ask()  # not idle: its time begins again
                clock.advance(59)
                proxy.expire()
                assert in_flight(on) == 1
                clock.advance(1)
                proxy.expire()
                assert (in_flight(on), states(on)) == (0, {"healthy"})
                await one.ask()
                assert proxy.counters.flows == 3


@on_loop
async def test_an_answer_of_the_target_keeps_the_flow():
    clock = ManualClock()
    target = listening(socket.SOCK_DGRAM)
    target.setblocking(False)
    loop = asyncio.get_running_loop()
    on = udp([("a", 1, [address_of(target)])])
    async with datagram_proxy(on, clock=clock) as (proxy, port):
        with clients(port, 1) as (client,):
            client.sock.send(b"x")
            async with asyncio.timeout(10):
                _, upstream_side = await loop.sock_recvfrom(target, 100)
            for _ in range(3):
                clock.advance(50)
                target.sendto(b"tick", upstream_side)
                assert await client.read() == b"tick"
                proxy.expire()
                assert in_flight(on) == 1
    target.close()


@pytest.mark.parametrize("bad", [("b", 1, None), ("b", 1, [])])
@on_loop
async def test_the_share_of_a_bad_backend_is_dropped_by_flow_and_decided_anew(bad):
    clock = ManualClock()
    async with udp_target("a") as a:
        on = udp([("a", 1, [a]), bad])
        async with datagram_proxy(on, clock=clock) as (proxy, port):
            with clients(port, 6) as made:
                for _ in range(3):
                    for client in made:
                        client.sock.send(b"x")
                await until(lambda: proxy.counters.dropped == 9)  # 3 flows of 3 datagrams
                assert (proxy.counters.flows, in_flight(on)) == (6, 3)
                on.reload(spec([("a", 1, [a])], "UDP"))
                clock.advance(60)
                proxy.expire()
                for client in made:
                    while await client.ask() != b"a":
                        pass


@on_loop
async def test_a_target_that_refuses_is_blamed_and_the_flow_ends():
    async with udp_target("good") as good:
        closed = listening(socket.SOCK_DGRAM)
        refused = address_of(closed)
        closed.close()
        on = udp([("a", 1, [refused, good])])
        async with datagram_proxy(on) as (proxy, port):
            with clients(port, 6) as made:
                for client in made:
                    client.sock.send(b"x")
                await until(lambda: "ejected" in states(on))
                await until(lambda: len(proxy.flows) == 3)
                assert {await client.ask() for client in made} == {b"good"}
    assert in_flight(on) == 0


@on_loop
async def test_the_longest_idle_flow_makes_room():
    clock = ManualClock()
    async with udp_target("a") as a:
        on = udp([("a", 1, [a])])
        async with datagram_proxy(on, max_flows=2, clock=clock) as (proxy, port):
            with clients(port, 3) as (one, two, three):
                for client in (one, two, one, three):
                    clock.advance(1)
                    await client.ask()
                assert set(proxy.flows) == {one.sock.getsockname(), three.sock.getsockname()}
                assert (proxy.counters.evicted, in_flight(on)) == (1, 2)


@on_loop
async def test_a_removed_target_loses_its_flows_with_their_next_datagram():
    async with udp_target("a") as a, udp_target("b") as b:
        on = udp([("a", 1, [a])])
        async with datagram_proxy(on) as (proxy, port):
            with clients(port, 1) as (client,):
                assert await client.ask() == b"a"
                on.reload(spec([("a", 1, [b])], "UDP"))
                assert await client.ask() == b"b"
                assert (len(proxy.flows), in_flight(on)) == (1, 1)


@on_loop
async def test_a_shortage_of_ours_blames_no_target(monkeypatch):
    async with udp_target("a") as a:
        on = udp([("a", 1, [a])])
        async with datagram_proxy(on) as (proxy, port):
            with clients(port, 5) as made:
                await made[0].ask()
                loop = asyncio.get_running_loop()

                async def none_left(*args, **more):
                    raise OSError(errno.EMFILE, "Too many open files")

                with monkeypatch.context() as patch:
                    patch.setattr(type(loop), "create_datagram_endpoint", none_left)
                    for client in made[1:]:
                        client.sock.send(b"x")
                    await until(lambda: proxy.counters.flows == 5 and in_flight(on) == 0)
                assert states(on) == {"healthy"}
                assert proxy.counters.evicted == 1
                assert await made[1].ask() == b"a"


@on_loop
async def test_datagrams_that_come_before_the_socket_is_there_wait_in_order():
    target = listening(socket.SOCK_DGRAM)
    target.setblocking(False)
    on = udp([("a", 1, [address_of(target)])])
    async with datagram_proxy(on) as (proxy, port):
        with clients(port, 1) as (client,):
            for i in range(10):
                client.sock.send(b"%d" % i)
            async with asyncio.timeout(10):
                got = [await asyncio.get_running_loop().sock_recv(target, 100) for _ in range(10)]
            assert got == [b"%d" % i for i in range(10)]
            assert proxy.counters.dropped == 0
    target.close()

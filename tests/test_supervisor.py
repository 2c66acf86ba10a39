"""The running proxy: listeners come and go, a reload drops nothing, a stop is graceful.  In this process."""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import socket

import pytest

from adapters.rig import OK, get, in_flight, on_loop, send, target, until
from lbcore.cli.supervisor import PortInUse, Supervisor, stamps
from lbcore.engine import (
    BackendSpec,
    Engine,
    ListenerSpec,
    RuleSpec,
    Spec,
    StreamSpec,
    TargetSpec,
    UpstreamSpec,
)
from lbcore.errors import ConfigError
from lbcore.testing import http_target, tcp_target


def loaded(path):
    """A Spec from a small JSON file: {"listeners": [[protocol, port], ...], "targets": [...]}."""
    try:
        given = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError("file", str(error)) from None
    listeners = tuple(
        ListenerSpec(f"{protocol}-{port}", protocol, port) for protocol, port in given["listeners"]
    )
    http = {x.name: () for x in listeners if x.protocol == "HTTP"}
    streams = tuple(x.name for x in listeners if x.protocol != "HTTP")
    return Spec(
        listeners,
        (UpstreamSpec("up", tuple(map(TargetSpec, given["targets"]))),),
        (RuleSpec("rule", http, backends=(BackendSpec("up"),)),),
        (StreamSpec("stream", streams, (BackendSpec("up"),)),),
    )


class Site:
    """A configuration file, its engine and its supervisor; every listener on a free port."""

    def __init__(self, folder):
        self.file = folder / "site.json"
        self.told = []
        self.ports = {}

    def write(self, targets, *listeners):
        """Replace the file at once, as an editor or a mounted ConfigMap does."""
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps({"listeners": listeners or [["HTTP", 80]], "targets": targets}))
        os.replace(new, self.file)

    def say(self, kind, **facts):
        self.told.append(kind)
        if kind == "listening":
            (name,) = facts["listeners"]
            self.ports[name] = facts["port"]

    @contextlib.asynccontextmanager
    async def served(self, **more):
        self.engine = Engine(loaded(self.file), loader=loaded, source=self.file)
        maps = dict.fromkeys(range(70, 100), 0)
        self.supervisor = Supervisor(self.engine, ports=maps, files=[str(self.file)], say=self.say, **more)
        await self.supervisor.start()
        try:
            yield self.supervisor
        finally:
            await self.supervisor.stop()

    @contextlib.asynccontextmanager
    async def watched(self):
        watching = asyncio.create_task(self.supervisor.watch(every=0.01))
        try:
            yield
        finally:
            watching.cancel()


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


# ---- reload ------------------------------------------------------------------------------------------------------


@on_loop
async def test_a_reload_under_load_drops_nothing(site):
    """20 reloads: endpoints change, listeners come and go; on new connections and kept ones every request is a 200."""
    async with http_target("a") as a, http_target("b") as b:
        site.write([a, b])
        async with site.served() as supervisor:
            port = site.ports["HTTP-80"]
            statuses, going = [], True

            async def keep_asking():
                while going:
                    statuses.append((await get(port)).status)

            async def keep_asking_on_one_connection():
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                while going:
                    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(1)
                    statuses.append(int(head.split()[1]))
                writer.close()

            load = [asyncio.create_task(f()) for f in (keep_asking, keep_asking_on_one_connection) * 3]
            for i in range(20):
                site.write([a, b][i % 3 > 0 :], ["HTTP", 80], *([["HTTP", 81]] if i % 2 else []))
                await supervisor.reload()
                seen = len(statuses)
                await until(lambda: len(statuses) > seen + 10)  # noqa: B023
            going = False
            await asyncio.gather(*load)
            assert set(statuses) == {200}
            assert site.told.count("closed") == 9
            await until(lambda: in_flight(site.engine) == 0)


@on_loop
async def test_a_request_in_flight_survives_the_end_of_its_listener_and_target(site):
    go = asyncio.Event()

    async def wait(reader, writer, head):
        await go.wait()
        writer.write(OK)

    async with target(wait) as seen, http_target("b") as b:
        site.write([seen.address], ["HTTP", 80], ["HTTP", 81])
        async with site.served() as supervisor:
            port = site.ports["HTTP-81"]
            asked = asyncio.create_task(get(port))
            await until(lambda: seen)
            site.write([b])
            await supervisor.reload()
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", port)
            go.set()
            assert (await asked).body == b"ok"


@on_loop
async def test_files_that_change_are_seen_and_broken_ones_are_told_once(site, caplog):
    caplog.set_level(logging.INFO, "lbcore")
    async with http_target("a") as a, http_target("b") as b:
        site.write([a])
        async with site.served(), site.watched():
            port = site.ports["HTTP-80"]

            async def body():
                return (await get(port)).body

            assert await body() == b"a"
            site.write([b])
            await until(lambda: "reload: 0 added, 0 removed, 1 changed" in caplog.text)
            assert await body() == b"b"
            caplog.clear()
            site.file.write_text("{")
            await until(lambda: "the old configuration stays" in caplog.text)
            assert await body() == b"b"
            site.file.unlink()
            await until(lambda: caplog.text.count("the old configuration stays") == 2)  # once a change
            assert await body() == b"b"
            site.write([a])
            await until(lambda: "1 changed" in caplog.text)
            assert await body() == b"a"
            assert caplog.text.count("the old configuration stays") == 2


def test_a_directory_is_watched_for_files_that_come_and_go(tmp_path):
    seen = [stamps([str(tmp_path)])]
    for act in (
        lambda: (tmp_path / "a.yaml").write_text("x"),
        lambda: (tmp_path / "a.yaml").write_text("xy"),
        lambda: (tmp_path / "b.json").write_text("x"),
        lambda: (tmp_path / "b.json").unlink(),
    ):
        act()
        seen.append(stamps([str(tmp_path)]))
    assert all(one != other for one, other in itertools.pairwise(seen))


@on_loop
async def test_a_new_port_that_is_taken_leaves_everything_as_it_was(site, caplog):
    async with http_target("a") as a, http_target("b") as b:
        site.write([a])
        async with site.served() as supervisor:
            with socket.create_server(("127.0.0.1", 0)) as taken:
                number = taken.getsockname()[1]
                site.write([b], ["HTTP", 80], ["TCP", 90], ["HTTP", number])
                await supervisor.reload()
                assert f"HTTP port {number} on 127.0.0.1 is in use" in caplog.text
                assert (await get(site.ports["HTTP-80"])).body == b"a"
                assert "TCP-90" not in site.ports
            await supervisor.reload()
            assert (await get(site.ports["HTTP-80"])).body == b"b"
            assert (await get(number)).body == b"b"


@on_loop
async def test_a_port_changes_its_protocol(site):
    async with http_target("a") as a, tcp_target("t") as t:
        site.write([a])
        async with site.served() as supervisor:
            port = site.ports["HTTP-80"]
            assert (await get(port)).body == b"a"
            site.write([t], ["TCP", 80])
            await supervisor.reload()
            assert site.ports["TCP-80"] == port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.readline() == b"t\n"
            writer.close()
            site.write([a])
            await supervisor.reload()
            assert (await get(port)).body == b"a"


@on_loop
async def test_standard_input_cannot_be_read_again(caplog):
    await Supervisor(Engine(Spec())).reload()
    assert "standard input" in caplog.text


# ---- start and stop ----------------------------------------------------------------------------------------------


@on_loop
async def test_a_taken_port_at_the_start_names_it_and_the_way_out():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        spec = Spec((ListenerSpec("x", "TCP", 80), ListenerSpec("y", "TCP", 81)))
        supervisor = Supervisor(Engine(spec), ports={80: 0, 81: number}, files=[])
        with pytest.raises(PortInUse, match=rf"TCP port {number} on 127.0.0.1 is in use: .* --port-map 81="):
            await supervisor.start()
        await supervisor.stop()


@pytest.mark.parametrize("end", ["finished", "drained", "hurried"])
@on_loop
async def test_a_stop_waits_for_what_is_in_flight_but_not_for_ever(site, end):
    go = asyncio.Event()

    async def wait(reader, writer, head):
        await go.wait()
        writer.write(OK)

    async with target(wait) as seen:
        site.write([seen.address], ["HTTP", 80], ["TCP", 81], ["UDP", 82])
        async with site.served(drain=0.05 if end == "drained" else 30) as supervisor:
            asked = asyncio.create_task(get(site.ports["HTTP-80"]))
            piped = asyncio.create_task(send(site.ports["TCP-81"], b"GET / HTTP/1.1\r\n\r\n"))
            await until(lambda: len(seen) == 2)
            stopping = asyncio.create_task(supervisor.stop())
            if end == "finished":
                go.set()
                assert (await asked).body == (await piped).body == b"ok"
            elif end == "hurried":
                supervisor.hurry()
            await stopping
            if end != "finished":
                assert await asked is None
                assert await piped is None
            await until(lambda: in_flight(site.engine) == 0)


# ---- what is logged ----------------------------------------------------------------------------------------------

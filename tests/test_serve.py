"""``lbcore serve`` as a program: signals, exit codes, what it prints."""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import sys

import pytest

from adapters.rig import OK, address_of, closed_port, get, on_loop, read_response, target, until
from lbcore.testing import http_target, tcp_target, udp_target

ROOT = pathlib.Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


def manifests(targets, *, weight=1, broken=False):
    """Gateway API objects: one HTTP listener on port 80, a route to a Service with these targets."""
    meta = {"namespace": "default"}
    slices = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "name": f"app-{i}", "labels": {"kubernetes.io/service-name": "app"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address.split(":")[0]]}],
            "ports": [{"name": "http", "port": int(address.split(":")[1])}],
        }
        for i, address in enumerate(targets)
    ]
    gateway = "gateway.networking.k8s.io/v1"
    items = [
        {
            "apiVersion": gateway,
            "kind": "GatewayClass",
            "metadata": {"name": "lbcore"},
            "spec": {"controllerName": "lbcore.example/gateway"},
        },
        {
            "apiVersion": gateway,
            "kind": "Gateway",
            "metadata": {**meta, "name": "edge"},
            "spec": {
                "gatewayClassName": "lbcore",
                "listeners": [{"name": "web", "protocol": "HTTP", "port": 80}],
            },
        },
        {
            "apiVersion": gateway,
            "kind": "HTTPRoute",
            "metadata": {**meta, "name": "app"},
            "spec": {
                "parentRefs": [{"name": "edge"}],
                "rules": [{"backendRefs": [{"name": "app", "port": 80, "weight": weight}]}],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**meta, "name": "app"},
            "spec": {"ports": [{"name": "http", "port": 80}]},
        },
        *slices,
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})[: -1 if broken else None]


class Program:
    """A running ``lbcore serve``; its log is read as it comes."""

    def __init__(self, process):
        self.process = process
        self.ports = {}
        self.log = ""

    async def started(self):
        async for line in self.process.stdout:
            said = json.loads(line)
            if said["event"] == "listening":
                self.ports[said["protocol"]] = said["port"]
            if said["event"] == "ready":
                return self
        raise AssertionError(f"it did not start: {self.log}")

    async def read_log(self):
        async for line in self.process.stderr:
            self.log += json.loads(line)["message"] + "\n"

    async def logged(self, text):
        await until(lambda: text in self.log, f"{text!r} in the log:\n{self.log}")


@contextlib.asynccontextmanager
async def serve(*args, stdin=b""):
    command = [sys.executable, "-m", "lbcore", "serve", "--json", *map(str, args)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    process = await asyncio.create_subprocess_exec(*command, **pipes)
    process.stdin.write(stdin)
    process.stdin.close()
    program = Program(process)
    reading = asyncio.create_task(program.read_log())
    try:
        yield program
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


@on_loop
async def test_a_life(tmp_path):
    """Start, change of file, broken file, SIGHUP, SIGTERM."""
    file = tmp_path / "all.json"
    async with http_target("a") as a, http_target("b") as b:
        file.write_text(manifests([a]))
        async with serve("-f", tmp_path, "--port-map", "80=0") as program:
            port = (await program.started()).ports["HTTP"]
            assert (await get(port)).body == b"a"
            (tmp_path / "new").write_text(manifests([b]))
            os.replace(tmp_path / "new", file)
            await program.logged("reload: 0 added, 0 removed, 1 changed")
            assert (await get(port)).body == b"b"
            file.write_text(manifests([a], broken=True))
            await program.logged("the old configuration stays")
            assert (await get(port)).body == b"b"
            program.log = ""
            program.process.send_signal(signal.SIGHUP)
            await program.logged("the old configuration stays")
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await read_response(reader)).body == b"b"
            program.process.send_signal(signal.SIGTERM)
            assert await reader.read() == b""
            assert await program.process.wait() == 0
            writer.close()
            with pytest.raises(OSError):
                await get(port)


SHORT = """\
lbcore: 1
listeners: {{web: {{protocol: http, port: 80}}, db: {{protocol: tcp, port: 81}}}}
upstreams:
  app: {{policy: hash, targets: {targets}, limits: {{in_flight: 50}}, slow_start: {{window: 0.001}}}}
  raw: {{policy: maglev, targets: ["{raw}"]}}
routes:
  - {{name: users, path: /u, key: header:x-user, backends: [app]}}
  - {{name: tenants, path: /t, key: [header:x-tenant, random], split: key, backends: [app]}}
  - {{name: db, listeners: [db], key: ip, backends: [raw]}}
"""


@on_loop
async def test_keys_of_a_short_form_and_a_reload_that_is_refused_by_a_policy(tmp_path):
    file = tmp_path / "lb.yaml"

    def write(targets, **changes):
        text = SHORT.format(targets=json.dumps(targets), raw=raw)
        for old, new in changes.items():
            text = text.replace(old, new)
        (tmp_path / "new").write_text(text)
        os.replace(tmp_path / "new", file)

    async with contextlib.AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(http_target(f"t{i}")) for i in range(5)]
        raw = await stack.enter_async_context(tcp_target("raw"))
        write(addresses[:4])
        args = ("-f", file, "--port-map", "80=0", "81=0")
        program = await stack.enter_async_context(serve(*args))
        ports = (await program.started()).ports

        async def answers(path, header):
            users = [f"user-{i}" for i in range(30)]
            return {user: (await get(ports["HTTP"], path, f"{header}: {user}\r\n")).body for user in users}

        assert len({(await get(ports["HTTP"], "/u", "X-User: ann\r\n")).body for _ in range(50)}) == 1
        assert len({(await get(ports["HTTP"], "/t", "X-Tenant: ann\r\n")).body for _ in range(50)}) == 1
        assert (await get(ports["HTTP"], "/u")).status == 400
        assert len({(await get(ports["HTTP"], "/t")).body for _ in range(60)}) == 4
        before = await answers("/u", "X-User"), await answers("/t", "X-Tenant")
        assert before[0] == before[1] and len(set(before[0].values())) == 4
        write(addresses)
        await program.logged("reload: 0 added, 0 removed, 1 changed")
        after = await answers("/u", "X-User")
        moved = [user for user in after if after[user] != before[0][user]]
        assert {after[user] for user in moved} <= {b"t4"} and len(moved) < 15
        heavy = {"address": addresses[0], "weight": 2}
        write([heavy, *addresses[1:]], **{"policy: hash": "policy: jump"})
        await program.logged("short form upstreams.app.targets[1].weight: 1 is not the 2 of targets[0]")
        assert f"the old configuration stays: {file}:4:" in program.log
        assert await answers("/u", "X-User") == after
        reader, writer = await asyncio.open_connection("127.0.0.1", ports["TCP"])
        assert await reader.readline() == b"raw\n"
        writer.close()


@on_loop
async def test_standard_input():
    async with (
        http_target("a") as a,
        serve("-f", "-", "--port-map", "80=0", stdin=manifests([a]).encode()) as program,
    ):
        port = (await program.started()).ports["HTTP"]
        assert (await get(port)).body == b"a"
        program.process.send_signal(signal.SIGHUP)
        await program.logged("standard input, which cannot be read again")
        program.process.send_signal(signal.SIGINT)
        assert await program.process.wait() == 0


@pytest.mark.parametrize("signals", [1, 2])
@on_loop
async def test_a_request_in_flight_and_one_or_two_signals(tmp_path, signals):
    go, asked = asyncio.Event(), asyncio.Event()

    async def wait(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    address = address_of(server.sockets[0])
    (tmp_path / "x.json").write_text(manifests([address]))
    async with serve("-f", tmp_path / "x.json", "--port-map", "80=0", "--drain", "20") as program:
        port = (await program.started()).ports["HTTP"]
        answer = asyncio.create_task(get(port))
        await asked.wait()
        program.process.send_signal(signal.SIGTERM)
        await until_refused(port)
        if signals == 2:
            program.process.send_signal(signal.SIGTERM)
        else:
            go.set()
        response = await answer
        assert (response.body if response else None) == (b"ok" if signals == 1 else None)
        assert await program.process.wait() == 0
    go.set()
    server.close()


async def until_refused(port):
    """Wait until nobody listens."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()


@on_loop
async def test_a_port_in_use_at_the_start(tmp_path):
    (tmp_path / "x.json").write_text(manifests(["127.0.0.1:1"]))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        async with serve("-f", tmp_path / "x.json", "--port-map", f"80={number}") as program:
            assert await program.process.wait() == 1
            await program.logged(
                f"port {number} on 127.0.0.1 is in use: choose another one with --port-map 80="
            )
    assert "Traceback" not in program.log


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "x.json"),
        ('{"apiVersion": "v1", "kind": "List", "items": []}', "nothing to serve"),
        (None, "cannot be read"),
    ],
)
@on_loop
async def test_a_configuration_that_cannot_be_served(tmp_path, content, says):
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    async with serve("-f", tmp_path / "x.json") as program:
        assert await program.process.wait() == 1
        await program.logged(says)
    assert "Traceback" not in program.log


@pytest.mark.parametrize(
    "args", [["--port-map", "80"], ["--port-map", "0=1"], ["--drain", "-1"], ["--drain", "x"]]
)
@on_loop
async def test_wrong_arguments(args):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lbcore", "serve", "-f", "x", *args), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert args[0].encode() in said


@on_loop
async def test_the_lines_for_people(tmp_path):
    (tmp_path / "x.json").write_text(manifests(["127.0.0.1:1"]))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lbcore", "serve", "-f", str(tmp_path / "x.json"), "--port-map", "80=0"),
        stdout=asyncio.subprocess.PIPE,
    )
    line = (await process.stdout.readline()).decode()
    assert line.startswith("listening HTTP 127.0.0.1:")
    assert line.rstrip().endswith("default/edge/web")
    assert await process.stdout.readline() == b"ready\n"
    process.terminate()
    assert (await process.communicate())[0] == b"stopped\n"


# ---- the demonstration -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
@on_loop
async def test_the_demonstration(taken):
    """A small ``make demo``; with a listener's and a backend's port taken by somebody else."""
    async with contextlib.AsyncExitStack() as stack:
        if taken:
            with contextlib.suppress(OSError):  # somebody has it anyhow
                await stack.enter_async_context(tcp_target("x", "127.0.0.1", 8080))
            with contextlib.suppress(OSError):
                await stack.enter_async_context(udp_target("x", "127.0.1.4", 19053))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "tools" / "demo.py")),
            *("--requests", "400", "--connections", "60", "--flows", "60"),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    text = said.decode()
    assert process.returncode == 0, text
    assert "Every share is within one pick of its weight." in text
    if taken:
        assert "HTTP port 8080 is in use" in text
        assert "taking ports of 127.0.0.1" in text


CHECKED = """\
lbcore: 1
listeners: {{web: {{protocol: http, port: 80}}}}
upstreams:
  app:
    targets: ["{address}"]
    health: {{outlier: none, active: {{{checks}}}}}
  more: {{targets: {more}, health: {{active: {{healthy_interval: 0.05, unhealthy_tcp_failures: 9}}}}}}
routes: [{{name: all, backends: [app]}}, {{name: more, path: /more, backends: [more]}}]
"""
OFTEN = """timeout: 5, healthy_interval: 0.05, unhealthy_interval: 0.05, jitter: 0, healthy_successes: 1,
      unhealthy_tcp_failures: 2"""


@on_loop
async def test_active_checks_take_a_target_out_and_bring_it_back(tmp_path):
    """And a reload's new targets are probed; the log says what happens to them."""
    file = tmp_path / "lb.yaml"

    def write(address, more):
        (tmp_path / "new").write_text(CHECKED.format(address=address, checks=OFTEN, more=json.dumps(more)))
        os.replace(tmp_path / "new", file)

    async with http_target("up") as address:
        port = int(address.rpartition(":")[2])
    write(address, [])
    async with serve("-f", file, "--port-map", "80=0") as program, target(OK) as other:
        web = (await program.started()).ports["HTTP"]
        await program.logged(f"target {address} of app unhealthy")
        answer = await get(web)
        assert (answer.status, "retry-after" in answer.headers) == (503, False)  # nobody knows when
        async with http_target("up", port=port):
            await program.logged(f"target {address} of app healthy")
            assert (await get(web)).body == b"up"
            write(address, [other.address])
            await program.logged("reload: 0 added, 0 removed, 1 changed")
            await until(lambda: len(other) > 1, "probes of the new target")
            assert other[0].startswith(b"GET / HTTP/1.1\r\n")
            assert (await get(web)).body == b"up"
        program.log = ""
        await program.logged(f"target {address} of app unhealthy")
        program.process.send_signal(signal.SIGTERM)
        assert await program.process.wait() == 0
    assert "Traceback" not in program.log and "never retrieved" not in program.log


@on_loop
async def test_pauses_and_ejections_are_logged_with_their_reason(tmp_path):
    async with target(b"HTTP/1.1 503 X\r\nRetry-After: 40\r\nContent-Length: 0\r\n\r\n") as busy:
        text = CHECKED.format(address=busy.address, checks="", more=json.dumps([closed_port()]))
        (tmp_path / "lb.yaml").write_text(text.replace("healthy_interval: 0.05, ", ""))
        async with serve("-f", tmp_path / "lb.yaml", "--port-map", "80=0") as program:
            web = (await program.started()).ports["HTTP"]
            answers = [await get(web) for _ in range(2)]
            assert [(a.status, a.headers["retry-after"]) for a in answers] == [(503, "40")] * 2
            assert len(busy) == 1
            assert [(await get(web, "/more")).status for _ in range(4)] == [502, 502, 502, 503]
            await program.logged(f"target {busy.address} of app held 40 s: 503")
            await program.logged("ejected 10 s: 3 connection errors or time-outs in a row")


@on_loop
async def test_checks_that_cannot_be_made_are_an_error_of_the_start(tmp_path):
    """The program does not begin to serve."""
    checks = "healthy_interval: 1, timeout: 0"
    (tmp_path / "lb.yaml").write_text(CHECKED.format(address="127.0.0.1:1", checks=checks, more="[]"))
    async with serve("-f", tmp_path / "lb.yaml", "--port-map", "80=0") as program:
        assert await program.process.stdout.read() == b""
        assert await program.process.wait() == 1
    assert "app.health.active.timeout: 0.0 is not a time in which a probe could end" in program.log

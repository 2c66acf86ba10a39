"""``make demo``: stub backends, the proxy on examples/canary, real traffic, and a table that shows the split.

Exits 1 unless every share is within one pick of its weight: backends of their rule, targets of their backend.
Nothing is written outside the checkout, and into build/demo only if an address or port is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import lbcore
from lbcore.testing import http_target, tcp_target, udp_target, wrong_shares

ROOT = pathlib.Path(__file__).resolve().parent.parent
STUBS = {"HTTP": http_target, "TCP": tcp_target, "UDP": udp_target}
NOUNS = {"HTTP": "requests", "TCP": "connections", "UDP": "flows"}
PATIENCE = 30.0  # seconds for one answer, on a busy machine

Stub = tuple[str, str]  # protocol and address, as the manifests have them


# ---- what the manifests ask for ----------------------------------------------------------------------------------


@dataclass
class Traffic:
    """One listener's share of the demonstration."""

    protocol: str
    port: int
    backends: dict[str, int]  # weight by upstream
    targets: dict[str, dict[str, int]]  # by upstream: weight by address
    host: str = "localhost"
    path: str = "/"
    latencies: dict[str, list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )  # seconds, by address


def traffic_of(engine: Any) -> list[Traffic]:
    """The first route of every protocol."""
    spec = engine.spec
    listeners = {listener.name: listener for listener in spec.listeners}
    found: dict[str, Traffic] = {}
    for rule in (*spec.rules, *spec.streams):
        name = next(iter(getattr(rule, "attached", None) or rule.listeners))
        protocol, port = listeners[name].protocol, listeners[name].port
        backends = {b.upstream: b.weight for b in rule.backends}
        targets = {
            u.name: {t.address: t.weight for t in u.targets} for u in spec.upstreams if u.name in backends
        }
        one = Traffic(protocol, port, backends, targets)
        if protocol == "HTTP":
            one.host = next(iter(rule.attached[name]), "localhost").replace("*", "www")
            one.path = rule.matches[0].path
        found.setdefault(protocol, one)
    return [found[protocol] for protocol in STUBS if protocol in found]


def stubs_of(traffic: list[Traffic]) -> list[Stub]:
    return [
        (one.protocol, address) for one in traffic for targets in one.targets.values() for address in targets
    ]


# ---- stub backends -----------------------------------------------------------------------------------------------


async def start_stubs(
    stubs: list[Stub], stack: contextlib.AsyncExitStack, *, elsewhere: bool
) -> dict[Stub, str]:
    """Where each stub answers: at its address, or, ``elsewhere``, at a free port of 127.0.0.1."""
    places = {}
    for protocol, address in stubs:
        host, _, port = address.rpartition(":")
        at = ("127.0.0.1", 0) if elsewhere else (host.strip("[]"), int(port))
        places[protocol, address] = await stack.enter_async_context(STUBS[protocol](address, *at))
    return places


def moved(manifests: pathlib.Path, places: dict[Stub, str]) -> pathlib.Path:
    """A copy of the manifests whose EndpointSlices name the stubs' places: a slice for each endpoint."""
    from lbcore.config.yaml import documents

    new_port = {
        (protocol == "UDP", address): int(at.rpartition(":")[2]) for (protocol, address), at in places.items()
    }
    items = []
    for file in sorted(manifests.glob("*.yaml")) if manifests.is_dir() else [manifests]:
        for item in documents(file.read_text()):
            items += (
                slices(item, new_port)
                if item and item.get("kind") == "EndpointSlice"
                else [item]
                if item
                else []
            )
    folder = ROOT / "build" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "manifests.json"
    copy.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1))
    return copy


def slices(item: dict[str, Any], new_port: dict[tuple[bool, str], int]) -> Iterator[dict[str, Any]]:
    for i, endpoint in enumerate(item["endpoints"]):
        for address in endpoint["addresses"]:
            ports = []
            for port in item["ports"]:
                key = (port.get("protocol") == "UDP", f"{address}:{port['port']}")
                if key in new_port:
                    ports.append({**port, "port": new_port[key]})
            metadata = {**item["metadata"], "name": f"{item['metadata']['name']}-{i}"}
            yield {
                **item,
                "metadata": metadata,
                "addressType": "IPv4",
                "endpoints": [{**endpoint, "addresses": ["127.0.0.1"]}],
                "ports": ports,
            }


# ---- the proxy ---------------------------------------------------------------------------------------------------


def port_is_free(protocol: str, port: int) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM) as sock:
        if protocol != "UDP":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.asynccontextmanager
async def proxy(manifests: pathlib.Path, traffic: list[Traffic]) -> Any:
    """Run ``lbcore serve``; gives the port that serves each protocol."""
    command = [sys.executable, "-m", "lbcore", "serve", "-f", str(manifests), "--json"]
    for one in traffic:
        if not port_is_free(one.protocol, one.port):
            print(f"{one.protocol} port {one.port} is in use or not ours to open: taking a free one")
            command += ["--port-map", f"{one.port}=0"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        ports = {}
        async for line in process.stdout:
            said = json.loads(line)
            if said["event"] == "listening":
                ports[said["protocol"]] = said["port"]
            elif said["event"] == "ready":
                break
        else:
            raise SystemExit(f"the proxy did not start: exit code {await process.wait()}")
        print(f"lbcore serve -f {os.path.relpath(manifests)} is ready (process {process.pid})")
        yield ports
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        code = await process.wait()
    if code:
        raise SystemExit(f"the proxy ended with exit code {code}")


# ---- traffic -----------------------------------------------------------------------------------------------------


class Bar:
    """Progress on one line; without a terminal, only its end is printed."""

    WIDTH = 40

    def __init__(self, protocol: str, n: int) -> None:
        self.label, self.n, self.done, self.drawn = f"{protocol:<4} {n:>6,} {NOUNS[protocol]:<11}", n, 0, 0.0
        self.begun = time.perf_counter()

    def step(self) -> None:
        self.done += 1
        now = time.perf_counter()
        if self.done == self.n or (sys.stdout.isatty() and now - self.drawn > 0.1):
            self.drawn = now
            filled = self.WIDTH * self.done // self.n
            start, end = ("\r", "\n" if self.done == self.n else "") if sys.stdout.isatty() else ("", "\n")
            text = f"{self.label} [{'#' * filled}{'.' * (self.WIDTH - filled)}] {now - self.begun:5.1f} s"
            print(start + text, end=end, flush=True)


async def drive(one: Traffic, port: int, n: int, workers: int) -> None:
    """``n`` requests, connections or flows; their targets and latencies go to ``one.latencies``."""
    bar = Bar(one.protocol, n)
    left = iter(range(n))

    async def work(make: Callable[[], Awaitable[Any]]) -> None:
        async with contextlib.aclosing(await make()) as asking:
            for _ in left:
                begun = time.perf_counter()
                async with asyncio.timeout(PATIENCE):
                    target = await anext(asking)
                one.latencies[target].append(time.perf_counter() - begun)
                bar.step()

    used: set[int] = set()
    asks = {
        "HTTP": lambda: ask_http(one, port),
        "TCP": lambda: ask_tcp(port),
        "UDP": lambda: ask_udp(port, used),
    }

    async def begin() -> Any:
        return asks[one.protocol]()

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work(begin))


async def ask_http(one: Traffic, port: int) -> Any:
    """The target of each request, on one kept-alive connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            writer.write(f"GET {one.path} HTTP/1.1\r\nHost: {one.host}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"the proxy answered {head.splitlines()[0].decode()}")
            length = next(x for x in head.lower().splitlines() if x.startswith(b"content-length:"))
            yield (await reader.readexactly(int(length.split(b":")[1]))).decode()
    finally:
        writer.close()


async def ask_tcp(port: int) -> Any:
    """The target of each connection."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write_eof()
        yield (await reader.read()).strip().decode()
        writer.close()


async def ask_udp(port: int, used: set[int]) -> Any:
    """The target of each flow: of each source port, none of which is used twice."""
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.ExitStack() as stack:
            while True:
                sock = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
                sock.setblocking(False)
                sock.bind(("127.0.0.1", 0))
                if (source := sock.getsockname()[1]) not in used:
                    break
            used.add(source)
            sock.connect(("127.0.0.1", port))
            answer = None
            while answer is None:  # a datagram may be lost: the same flow again
                sock.send(b"demo")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(2):
                        answer = await loop.sock_recv(sock, 1024)
            yield answer.decode()


# ---- the verdict -------------------------------------------------------------------------------------------------


def decision_ns(engine: Any, one: Traffic, n: int = 20_000) -> float:
    """Nanoseconds for one decision in this process: match, acquire, done."""
    if one.protocol == "HTTP":

        def decide() -> None:
            engine.match("GET", one.host, one.path, port=one.port).acquire().done()
    else:

        def decide() -> None:
            engine.match_stream(one.protocol, one.port).acquire().done()

    begun = time.perf_counter_ns()
    for _ in range(n):
        decide()
    return (time.perf_counter_ns() - begun) / n


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def report(one: Traffic, ns: float) -> list[str]:
    """Print one protocol's table; what is wrong with its shares."""
    counts = {address: len(values) for address, values in one.latencies.items()}
    of_backend = {name: sum(counts.get(a, 0) for a in targets) for name, targets in one.targets.items()}
    wrong = wrong_shares(of_backend, one.backends)
    total, weights = sum(counts.values()), sum(one.backends.values())
    print(
        f"\n{one.protocol}: {total:,} {NOUNS[one.protocol]}, {ns / 1000:.2f} us of the engine's own time a decision"
    )
    print(f"  {'backend':<24}{'target':<18}{'wanted':>10}{'got':>8}{'p50 ms':>9}{'p99 ms':>9}")
    for name, targets in one.targets.items():
        wrong += wrong_shares({a: counts.get(a, 0) for a in targets}, targets)
        due = total * one.backends[name] / weights
        row(name, "", due, [x for a in targets for x in one.latencies.get(a, [])])
        for address, weight in targets.items():
            row(
                "", address, of_backend[name] * weight / sum(targets.values()), one.latencies.get(address, [])
            )
    unknown = set(counts) - {a for targets in one.targets.values() for a in targets}
    return wrong + [f"{address}: not a target of this route" for address in unknown]


def row(backend: str, target: str, wanted: float, latencies: list[float]) -> None:
    p50, p99 = (1000 * percentile(latencies, part) for part in (0.5, 0.99))
    print(f"  {backend:<24}{target:<18}{wanted:>10,.1f}{len(latencies):>8,}{p50:>9.2f}{p99:>9.2f}")


async def demonstrate(manifests: pathlib.Path, n: dict[str, int]) -> int:
    engine = lbcore.load(str(manifests))
    traffic = traffic_of(engine)
    stubs = stubs_of(traffic)
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with contextlib.AsyncExitStack() as trial:
                await start_stubs(stubs, trial, elsewhere=False)
                stack.push_async_exit(trial.pop_all())
        except OSError as error:
            print(
                f"a backend's address cannot be used ({error.strerror or error}): taking ports of 127.0.0.1"
            )
            manifests = moved(manifests, await start_stubs(stubs, stack, elsewhere=True))
        print(f"{len(stubs)} stub backends answer")
        ports = await stack.enter_async_context(proxy(manifests, traffic))
        for one in traffic:
            await drive(one, ports[one.protocol], n[one.protocol], workers=4)
    wrong = [f"{one.protocol}: {what}" for one in traffic for what in report(one, decision_ns(engine, one))]
    print("\n" + ("\n".join(wrong) if wrong else "Every share is within one pick of its weight."))
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifests", nargs="?", type=pathlib.Path, default=ROOT / "examples" / "canary")
    for protocol, default in (("HTTP", 10_000), ("TCP", 1_000), ("UDP", 1_000)):
        parser.add_argument(f"--{NOUNS[protocol]}", type=int, default=default, dest=protocol)
    args = parser.parse_args()
    return asyncio.run(demonstrate(args.manifests.resolve(), {name: getattr(args, name) for name in STUBS}))


if __name__ == "__main__":
    sys.exit(main())

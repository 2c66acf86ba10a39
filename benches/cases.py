"""What the benches measure: the inputs, set up in one place for ratios.py, the pytest-benchmark files and the
instruction gate.

Everything is made from fixed seeds.  The routes are our own, in the shape of a large public API.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import lbcore

HOST = "api.example.com"

# ---- upstreams --------------------------------------------------------------------------------------------------


def weights(n: int) -> list[int]:
    """1, 2, ... 10, 1, 2, ...: the weights of every pick that is measured."""
    return [1 + i % 10 for i in range(n)]


def upstream(n: int, policy: str = "round_robin") -> lbcore.Upstream:
    """``n`` targets, health and weights on; nothing picked yet."""
    return lbcore.Upstream(
        "u", [lbcore.Target(f"t{i}", weight=w) for i, w in enumerate(weights(n))], policy, seed=1
    )


def shared_upstream(n: int, name: str) -> lbcore.Upstream:
    """As :func:`upstream`, with State in a segment; each process has one of its own."""
    targets = [lbcore.Target(f"t{i}", weight=w) for i, w in enumerate(weights(n))]
    return lbcore.Upstream("u", targets, shared=f"bench-{name}-{os.getpid()}", seed=1)


def settled(n: int, shared: str | None = None) -> lbcore.Upstream:
    """As :func:`upstream`, with its schedule known: it began at some phase, so the first whole period is the second.

    ``shared``: the name under which its State is shared; this is the only worker.
    """
    up = upstream(n) if shared is None else shared_upstream(n, shared)
    for _ in range(2 * sum(weights(n)) + n):
        up.pick()
    return up


def endless(n: int = 1000) -> lbcore.Upstream:
    """Weights whose sum is above 2^20, so that the schedule is never kept."""
    return lbcore.Upstream("u", [lbcore.Target(f"t{i}", weight=1001 + i) for i in range(n)], seed=1)


def keyed(n: int, policy: str | lbcore.Policy) -> lbcore.Upstream:
    """``n`` targets of weight 1 with addresses, as the rings of the field know them."""
    return lbcore.Upstream("u", [f"10.0.{i // 250}.{i % 250}:8080" for i in range(n)], policy, seed=1)


def keys(n: int = 1_024) -> list[tuple[str]]:
    """``n`` keys of 16 bytes, as arguments of a call."""
    return [(f"user-{i:011d}",) for i in range(n)]


def disturbed(n: int) -> lbcore.Upstream:
    """As :func:`settled`, with slow start on, one target in ten down and one draining."""
    targets = [lbcore.Target(f"t{i}", weight=w) for i, w in enumerate(weights(n))]
    up = lbcore.Upstream("u", targets, seed=1, slow_start=lbcore.SlowStart(window=0.001))
    for i in range(0, n, 10):
        up.set_health(up.targets[i], False)
    up.targets[1].drain()
    for _ in range(2 * sum(weights(n)) + n):
        up.pick()
    return up


# ---- routes -----------------------------------------------------------------------------------------------------

_AREAS = {
    "/repos/octo/hello": "archive assignees branches collaborators comments commits compare contents contributors "
    "deployments downloads events forks git/blobs git/commits git/refs git/tags git/trees hooks issues issues/comments "
    "issues/events keys labels languages merges milestones notifications pulls pulls/comments readme releases "
    "stargazers stats/code_frequency stats/commit_activity stats/contributors stats/participation stats/punch_card "
    "statuses subscribers subscription tags teams",
    "/orgs/acme": "events issues members public_members repos teams hooks",
    "/teams/core": "members memberships repos",
    "/user": "emails followers following issues keys orgs repos starred subscriptions teams",
    "/users/mona": "events events/public followers following gists keys orgs received_events repos starred "
    "subscriptions",
    "/gists": "public starred comments forks",
    "/search": "repositories code issues users legacy/issues legacy/repositories",
    "/": "authorizations emojis events feeds gitignore/templates issues markdown markdown/raw meta notifications "
    "rate_limit networks/octo/hello/events applications/tokens",
}


@dataclass(frozen=True)
class Entry:
    """One route: a method and a path, exact or a prefix by path element."""

    method: str
    path: str
    prefix: bool

    @property
    def example(self) -> str:
        """A request path that this entry serves."""
        return f"{self.path}/42" if self.prefix else self.path


def api_entries() -> list[Entry]:
    """203 routes in the shape of a large public API; every third path is a prefix."""
    paths = []
    for area, names in _AREAS.items():
        base = area.rstrip("/")
        paths += ([base] if base else []) + [f"{base}/{name}" for name in names.split()]
    entries = [
        Entry(method, path, i % 3 == 0)
        for every, method in ((1, "GET"), (2, "POST"), (2, "DELETE"), (2, "PUT"))
        for i, path in enumerate(paths)
        if i % every == 0
    ]
    return entries[:203]


def many_entries(n: int) -> list[Entry]:
    """``n`` routes over n / 100 services; every third is a prefix."""
    return [Entry("GET", f"/svc{i // 100}/v1/res{i % 100}", i % 3 == 0) for i in range(n)]


def routes(entries: Sequence[Entry]) -> list[lbcore.Route]:
    """The entries as routes of ours, on one host, to one upstream."""
    split = lbcore.Split([lbcore.Backend(upstream(10))])
    return [
        lbcore.Route(
            str(i),
            hosts=(HOST,),
            path=e.path,
            path_type="prefix" if e.prefix else "exact",
            methods=(e.method,),
            backends=split,
        )
        for i, e in enumerate(entries)
    ]


def requests(entries: Sequence[Entry], n: int = 1024) -> list[tuple[str, str, str]]:
    """``n`` requests (method, host, target) drawn evenly over the entries."""
    drawn = random.Random(3).choices(entries, k=n)
    return [(e.method, HOST, e.example) for e in drawn]


def manifests(n: int = 10_000) -> list[dict[str, Any]]:
    """A Gateway, a Service with its EndpointSlice, and ``n`` HTTPRoutes, as Kubernetes objects."""
    gateway, core, discovery = "gateway.networking.k8s.io/v1", "v1", "discovery.k8s.io/v1"

    def meta(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "namespace": "default", **more}

    return [
        {
            "apiVersion": gateway,
            "kind": "GatewayClass",
            "metadata": {"name": "lbcore"},
            "spec": {"controllerName": "lbcore.io/gateway"},
        },
        {
            "apiVersion": gateway,
            "kind": "Gateway",
            "metadata": meta("edge"),
            "spec": {
                "gatewayClassName": "lbcore",
                "listeners": [{"name": "http", "protocol": "HTTP", "port": 8080}],
            },
        },
        {
            "apiVersion": core,
            "kind": "Service",
            "metadata": meta("app"),
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8000}]},
        },
        {
            "apiVersion": discovery,
            "kind": "EndpointSlice",
            "metadata": meta("app-1", labels={"kubernetes.io/service-name": "app"}),
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8000}],
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
        },
        *(
            {
                "apiVersion": gateway,
                "kind": "HTTPRoute",
                "metadata": meta(f"route-{i}"),
                "spec": {
                    "parentRefs": [{"name": "edge"}],
                    "hostnames": [f"host-{i % 100}.example.com"],
                    "rules": [
                        {
                            "matches": [{"path": {"type": "PathPrefix", "value": f"/svc/{i}"}}],
                            "backendRefs": [{"name": "app", "port": 80, "weight": 1}],
                        }
                    ],
                },
            }
            for i in range(n)
        ),
    ]


def as_json(objects: list[dict[str, Any]]) -> str:
    """The objects as one JSON list."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def as_yaml(objects: list[dict[str, Any]]) -> str:
    """The objects as YAML documents in block style, as people write them."""

    def block(value: Any, indent: int) -> str:
        pad = "\n" + " " * indent
        if isinstance(value, dict):
            return "".join(f"{pad}{k}:{block(v, indent + 2)}" for k, v in value.items())
        if isinstance(value, list):
            return "".join(f"{pad}-{block(v, indent + 2)}" for v in value)
        plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z/][\w./-]*", value)
        return f" {value}" if plain else " " + json.dumps(value)

    return "\n---".join(block(o, 0) for o in objects) + "\n"


# ---- timing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One timed call.

    ``statement`` runs once a turn with ``names`` in reach.  ``each`` makes the loop go over argument tuples instead of
    nothing (``each=("m, h, t", tuples)``).  ``turns`` fixes the turns of a round where they must not be calibrated.
    """

    name: str
    statement: str
    names: dict[str, Any] = field(default_factory=dict)
    each: tuple[str, Sequence[Any]] | None = None
    turns: int | None = None


def timer(case: Case, clock: Callable[[], int]) -> Callable[[int], int]:
    """A function of its own for ``case``: ``run(turns) -> ticks of clock``, loop included.

    Its own code object, because the interpreter specialises each call site for what it sees there; names are
    parameters, because a local is what a program's hot loop reads.
    """
    variable, over = ("_", None) if case.each is None else case.each
    source = (
        f"def run(turns, {', '.join(f'{n}={n}' for n in ('clock', 'loop', *case.names))}):\n"
        f"    turns = loop(turns)\n"
        f"    started = clock()\n"
        f"    for {variable} in turns:\n"
        f"        {case.statement}\n"
        f"    return clock() - started\n"
    )

    def loop(turns: int) -> Any:
        if over is None:
            return itertools.repeat(None, turns)
        return itertools.chain.from_iterable(itertools.repeat(over, max(1, turns // len(over))))

    space = {"clock": clock, "loop": loop, **case.names}
    exec(compile(source, f"<{case.name}>", "exec"), space)
    return space["run"]

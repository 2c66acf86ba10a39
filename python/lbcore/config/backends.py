"""backendRefs to upstreams: a Service's port with the ready endpoints of its EndpointSlices.

A reference that cannot be followed keeps its weight and has no upstream, so its share is answered with 500.  A Service
without ready endpoints is an upstream without targets: 503.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from lbcore.config import model
from lbcore.config.kubernetes import GATEWAY_GROUP, Found, Objects
from lbcore.config.plain import Path, shown
from lbcore.config.validate import MAX_FAULTS
from lbcore.engine import BackendSpec, TargetSpec, UpstreamSpec

SERVICE_LABEL = "kubernetes.io/service-name"
FAMILIES = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}
PLAIN_HTTP = (None, "", "http", "http1")  # appProtocol of what an HTTPRoute can be sent to


class Resolved(NamedTuple):
    """What a reference leads to.  If nowhere: the reason of ResolvedRefs=False, the field, why, and if it is reported
    with another object already."""

    upstream: str | None
    reason: str = ""
    at: Path = ()
    message: str = ""
    known: bool = False


class Backends:
    """Resolves references, each target once; adds the upstreams that are referred to."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.problems = objects.draft.problems
        self.upstreams = objects.draft.upstreams
        self.slices: dict[tuple[str, str], list[model.EndpointSlice]] = {}  # by namespace and Service
        self.grants: dict[str, list[model.GrantSpec]] = {}  # by the namespace that grants
        self.resolved: dict[tuple[str, ...], Resolved] = {}
        for found in list(objects.of("EndpointSlice").values()):
            self._read_slice(found)
        for grant in objects.of("ReferenceGrant").values():
            self.grants.setdefault(grant.namespace, []).append(grant.object.spec)

    def resolve(
        self, route: Found[Any], refs: tuple[Any, ...], path: Path
    ) -> tuple[tuple[BackendSpec, ...], Resolved | None]:
        """The backends of a rule, and the first that leads nowhere."""
        first_wrong = None
        backends = []
        for i, ref in enumerate(refs):
            found = self._resolve(route, ref)
            backends.append(BackendSpec(found.upstream, ref.weight))
            if found.upstream is None:
                first_wrong = first_wrong or found
                if not found.known:
                    self.problems.add(route.document, (*path, "backendRefs", i, *found.at), found.message)
        return tuple(backends), first_wrong

    def _resolve(self, route: Found[Any], ref: model.BackendRef) -> Resolved:
        namespace = ref.namespace or route.namespace
        key = (route.object.kind, route.namespace, ref.group, ref.kind, namespace, ref.name, str(ref.port))
        found = self.resolved.get(key)
        if found is None:
            found = self.resolved[key] = self._follow(route, ref, namespace)
        return found

    def _follow(self, route: Found[Any], ref: model.BackendRef, namespace: str) -> Resolved:
        if (ref.group, ref.kind) != ("", "Service"):
            what = f"{ref.group}/{ref.kind}" if ref.group else ref.kind
            return Resolved(None, "InvalidKind", ("kind",), f"a backend of kind {what} is not available")
        if namespace != route.namespace and not self._is_granted(route, namespace, ref.name):
            why = f"no ReferenceGrant of namespace {namespace} lets {route.object.kind}s of {route.namespace} in"
            return Resolved(None, "RefNotPermitted", ("namespace",), why)
        service = self.objects.of("Service").get((namespace, ref.name))
        if service is None:
            left_out = self.objects.was_left_out("Service", namespace, ref.name)
            why = f"Service {namespace}/{ref.name} is {'left out' if left_out else 'not there'}"
            return Resolved(None, "BackendNotFound", ("name",), why, left_out)
        return self._port(route.object.kind, service, ref)

    def _is_granted(self, route: Found[Any], namespace: str, name: str) -> bool:
        origin = (GATEWAY_GROUP, route.object.kind, route.namespace)
        return any(
            any((one.group, one.kind, one.namespace) == origin for one in grant.origin)
            and any((one.group, one.kind) == ("", "Service") and one.name in (None, name) for one in grant.to)
            for grant in self.grants.get(namespace, ())
        )

    def _port(self, route_kind: str, service: Found[model.Service], ref: model.BackendRef) -> Resolved:
        spec = service.object.spec
        if spec.type == "ExternalName":
            return Resolved(
                None, "InvalidKind", ("name",), "a Service of type ExternalName is not available yet"
            )
        by_protocol: dict[str, model.ServicePort] = {
            port.protocol: port for port in spec.ports if port.port == ref.port
        }
        if not by_protocol:
            ports = ", ".join(str(port.port) for port in spec.ports[:8]) or "none"
            return Resolved(
                None, "BackendNotFound", ("port",), f"{ref.port} is no port of the Service; ports: {ports}"
            )
        protocol = "UDP" if route_kind == "UDPRoute" else "TCP"
        port = by_protocol.get(protocol)
        why = (
            _why_not(route_kind, port)
            if port
            else f"port {ref.port} is {', '.join(by_protocol)}, not {protocol}"
        )
        if port is None or why:
            return Resolved(None, "UnsupportedProtocol", ("port",), why)
        # One number may stand for a TCP and a UDP port; then the UDP one says so.
        suffix = "/udp" if protocol == "UDP" and len(by_protocol) > 1 else ""
        name = f"{service.namespace}/{service.name}:{ref.port}{suffix}"
        if name not in self.upstreams:
            self.upstreams[name] = UpstreamSpec(name, self._targets(service, port))
        return Resolved(name)

    def _targets(self, service: Found[model.Service], port: model.ServicePort) -> tuple[TargetSpec, ...]:
        """Every ready address, once, in the order of the slices."""
        addresses: dict[str, None] = {}
        for one in self.slices.get((service.namespace, service.name), ()):
            number = _endpoint_port(one, port)
            if number is None:
                continue
            for endpoint in one.endpoints:
                if endpoint.conditions.ready is not False:  # unknown counts as ready
                    for address in endpoint.addresses:
                        addresses[f"[{address}]:{number}" if ":" in address else f"{address}:{number}"] = None
        return tuple(TargetSpec(address) for address in addresses)

    def _read_slice(self, found: Found[model.EndpointSlice]) -> None:
        faults = list(islice(_slice_faults(found.object), MAX_FAULTS))
        for path, why in faults:
            self.problems.add(found.document, path, why)
        if faults:
            found.verdict.conditions = (found.condition("Accepted", False, "Invalid", faults[0][1]),)
            self.objects.leave_out(found)
            return
        service = found.object.metadata.labels[SERVICE_LABEL]
        self.slices.setdefault((found.namespace, service), []).append(found.object)


def _why_not(route_kind: str, port: model.ServicePort) -> str:
    """Why a route of this kind cannot be sent to this port, or nothing."""
    if route_kind == "HTTPRoute" and port.appProtocol not in PLAIN_HTTP:
        return f"appProtocol {shown(port.appProtocol)} of the Service's port is not available yet"
    return ""


def _endpoint_port(one: model.EndpointSlice, port: model.ServicePort) -> int | None:
    """The number of a Service's port at the endpoints: by its name in the slice, else by the target's number."""
    number = port.port if port.targetPort is None else port.targetPort
    target = number if isinstance(number, int) and 1 <= number <= 65535 else None
    for candidate in one.ports:
        if candidate.protocol == port.protocol and (candidate.name or "") == port.name:
            return candidate.port if candidate.port is not None else target
    for candidate in one.ports:
        if candidate.protocol == port.protocol and not candidate.name and candidate.port in (None, target):
            return target
    return None


def _slice_faults(one: model.EndpointSlice) -> Iterator[tuple[Path, str]]:
    if SERVICE_LABEL not in one.metadata.labels:
        yield ("metadata", "labels"), f"{SERVICE_LABEL} is missing: the slice belongs to no Service"
    if one.addressType not in FAMILIES:
        yield ("addressType",), f"{one.addressType} is not available yet"
        return
    for i, endpoint in enumerate(one.endpoints):
        for j, address in enumerate(endpoint.addresses):
            if not _is_address(FAMILIES[one.addressType], address):
                yield (
                    ("endpoints", i, "addresses", j),
                    f"{shown(address)} is not an {one.addressType} address",
                )


def _is_address(family: int, address: str) -> bool:
    try:
        socket.inet_pton(family, address)
    except (OSError, ValueError):
        return False
    return True

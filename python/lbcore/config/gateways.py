"""Gateways to listeners: which are served, what may attach to them, and what is said of each.

Conflicts are settled as the Gateway API says inside a Gateway (nobody who is in conflict is served).  Between Gateways,
which all share the addresses of one process, the older Gateway keeps a port; the short form's listeners come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lbcore.config import model
from lbcore.config.kubernetes import GATEWAY_GROUP, Found, Objects
from lbcore.config.plain import Path, shown
from lbcore.engine import Condition, ListenerSpec

ROUTE_KIND = {"HTTP": "HTTPRoute", "TCP": "TCPRoute", "UDP": "UDPRoute"}
LATER_PROTOCOLS = {"HTTPS": "HTTPRoute", "TLS": "TLSRoute"}
# Protocols of different families cannot share a port; UDP's ports are its own.
FAMILY = {"HTTP": "http", "HTTPS": "tls", "TLS": "tls", "TCP": "tcp"}
# What a Gateway may ask for and does not get yet, with the reason of its Accepted=False.
LATER_FIELDS = {"addresses": "UnsupportedAddress", "allowedListeners": "Invalid", "tls": "Invalid",
                "defaultScope": "Invalid"}  # fmt: skip
INFRASTRUCTURE = ("labels", "annotations")  # for objects that a controller makes; there are none here


@dataclass(slots=True)
class Listener:
    """One listener of a Gateway; ``refused`` is the condition type and reason if it is not served."""

    gateway: Found[model.Gateway]
    index: int
    spec: model.Listener
    kinds: tuple[str, ...] = ()  # of routes that may attach
    unknown_kinds: bool = False
    refused: tuple[str, str, str] | None = None  # condition, reason, message
    routes: set[tuple[str, str, str]] = field(default_factory=set)

    @property
    def name(self) -> str:
        """``default/edge/web``."""
        return f"{self.gateway.namespace}/{self.gateway.name}/{self.spec.name}"

    @property
    def path(self) -> Path:
        return ("spec", "listeners", self.index)

    def conditions(self) -> tuple[Condition, ...]:
        """Accepted, Programmed, ResolvedRefs, Conflicted."""
        say = self.gateway.condition
        kind, reason, message = self.refused or ("", "", "")
        conflicted = kind == "Conflicted"
        return (
            say("Accepted", kind != "Accepted", reason if kind == "Accepted" else "Accepted", message),
            say(
                "Programmed",
                not kind,
                "Invalid" if kind else "Programmed",
                f"attached routes: {len(self.routes)}",
            ),
            say(
                "ResolvedRefs",
                not self.unknown_kinds,
                "InvalidRouteKinds" if self.unknown_kinds else "ResolvedRefs",
            ),
            say(
                "Conflicted",
                conflicted,
                reason if conflicted else "NoConflicts",
                message if conflicted else "",
            ),
        )


class Gateways:
    """The Gateways of one load with their listeners."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.problems = objects.draft.problems
        self.listeners: dict[tuple[str, str], list[Listener]] = {}  # by the Gateway's namespace and name
        # Who has a port: (is it UDP, port) -> the Gateway's name
        self.ports = {
            (have.protocol == "UDP", have.port): "the short form" for have in objects.draft.listeners
        }
        self._check_classes()
        for gateway in objects.by_age("Gateway"):
            self._read(gateway)

    def finish(self) -> None:
        """Write the verdicts, when the routes are attached."""
        for listeners in self.listeners.values():
            gateway = listeners[0].gateway
            served = [one for one in listeners if one.refused is None]
            whole = len(served) == len(listeners)
            gateway.verdict.conditions = (
                gateway.condition("Accepted", bool(served), "Accepted" if whole else "ListenersNotValid"),
                gateway.condition("Programmed", bool(served), "Programmed" if served else "Invalid"),
            )
            gateway.verdict.parents = {one.spec.name: one.conditions() for one in listeners}

    # ---- what a class and a Gateway say as a whole ---------------------------------------------------------------

    def _check_classes(self) -> None:
        for found in list(self.objects.of("GatewayClass").values()):
            refused = found.object.spec.parametersRef is not None
            if refused:
                self.problems.add(found.document, ("spec", "parametersRef"), "is not available yet")
                self.objects.leave_out(found)
            found.verdict.conditions = (
                found.condition("Accepted", not refused, "InvalidParameters" if refused else "Accepted"),
                found.condition("SupportedVersion", True, "SupportedVersion"),
            )

    def _read(self, gateway: Found[model.Gateway]) -> None:
        faults = list(_faults(gateway.object.spec))
        if faults:
            for path, why, _ in faults:
                self.problems.add(gateway.document, path, why)
            gateway.verdict.conditions = (gateway.condition("Accepted", False, faults[0][2], faults[0][1]),)
            self.objects.leave_out(gateway)
            return
        listeners = [Listener(gateway, i, spec) for i, spec in enumerate(gateway.object.spec.listeners)]
        self.listeners[gateway.namespace, gateway.name] = listeners
        for listener in listeners:
            self._check_protocol(listener)
            self._check_kinds(listener)
            self._check_namespaces(listener)
        self._check_conflicts(listeners)
        self._claim_ports(listeners)
        self.objects.draft.listeners += [
            ListenerSpec(one.name, one.spec.protocol, one.spec.port, one.spec.hostname)
            for one in listeners
            if one.refused is None
        ]

    # ---- what its listeners say ----------------------------------------------------------------------------------

    def _refuse(self, listener: Listener, condition: str, reason: str, at: str, message: str) -> None:
        self.problems.add(listener.gateway.document, (*listener.path, *at.split(".")), message)
        listener.refused = listener.refused or (condition, reason, message)

    def _check_protocol(self, listener: Listener) -> None:
        protocol = listener.spec.protocol
        if protocol in LATER_PROTOCOLS:
            self._refuse(
                listener, "Accepted", "UnsupportedProtocol", "protocol", f"{protocol} is not available yet"
            )
        elif protocol not in ROUTE_KIND:
            why = f"{shown(protocol)} is not known; protocols: {', '.join(ROUTE_KIND)}"
            self._refuse(listener, "Accepted", "UnsupportedProtocol", "protocol", why)

    def _check_kinds(self, listener: Listener) -> None:
        ours = {**ROUTE_KIND, **LATER_PROTOCOLS}.get(listener.spec.protocol, "")
        wanted = listener.spec.allowedRoutes.kinds
        if not wanted:
            listener.kinds = (ours,)
            return
        for i, one in enumerate(wanted):
            if one.group == GATEWAY_GROUP and one.kind == ours:
                listener.kinds = (ours,)
            elif listener.refused is None:
                listener.unknown_kinds = True
                why = f"{one.kind} cannot be attached to a listener of protocol {listener.spec.protocol}"
                path = (*listener.path, "allowedRoutes", "kinds", i, "kind")
                self.problems.add(listener.gateway.document, path, why)

    def _check_namespaces(self, listener: Listener) -> None:
        allowed = listener.spec.allowedRoutes.namespaces
        if allowed.origin == "Selector" and allowed.selector is None:
            where, why = "allowedRoutes.namespaces.selector", "is missing, and from is Selector"
            self._refuse(listener, "Accepted", "UnsupportedValue", where, why)

    def _check_conflicts(self, listeners: list[Listener]) -> None:
        """Same port and protocol and hostname, or protocols that cannot share a port: none of them is served."""
        families: dict[int, set[str]] = {}
        twins: dict[tuple[int, str, str | None], int] = {}
        for one in listeners:
            spec = one.spec
            if spec.protocol in FAMILY:
                families.setdefault(spec.port, set()).add(FAMILY[spec.protocol])
            key = (spec.port, spec.protocol, spec.hostname)
            twins[key] = twins.get(key, 0) + 1
        for one in listeners:
            spec = one.spec
            if spec.protocol in FAMILY and len(families[spec.port]) > 1:
                why = f"port {spec.port} is asked for by protocols that cannot share it"
                self._refuse(one, "Conflicted", "ProtocolConflict", "port", why)
            elif twins[spec.port, spec.protocol, spec.hostname] > 1:
                why = f"another listener has port {spec.port} with the same protocol and hostname"
                self._refuse(one, "Conflicted", "HostnameConflict", "port", why)

    def _claim_ports(self, listeners: list[Listener]) -> None:
        for one in (one for one in listeners if one.refused is None):
            me = f"Gateway {one.gateway.namespace}/{one.gateway.name}"
            owner = self.ports.setdefault((one.spec.protocol == "UDP", one.spec.port), me)
            if owner != me:
                why = f"port {one.spec.port} is taken by {owner}, which is older"
                self._refuse(one, "Accepted", "PortUnavailable", "port", why)


def _faults(spec: model.GatewaySpec) -> Iterator[tuple[Path, str, str]]:
    """What leaves a whole Gateway out: where, why, the reason of Accepted=False."""
    for name, reason in LATER_FIELDS.items():
        if getattr(spec, name):
            yield ("spec", name), "is not available yet", reason
    yield from _infrastructure_faults(spec.infrastructure)
    seen = set()
    for i, listener in enumerate(spec.listeners):
        path = ("spec", "listeners", i)
        if listener.name in seen:
            yield (*path, "name"), f"another listener is named {shown(listener.name)}", "Invalid"
        seen.add(listener.name)
        if listener.hostname is not None and listener.protocol in ("TCP", "UDP"):
            yield (*path, "hostname"), f"a {listener.protocol} listener has no hostname", "Invalid"
        if listener.tls is not None and listener.protocol in ROUTE_KIND:
            yield (*path, "tls"), f"a listener of protocol {listener.protocol} has no TLS", "Invalid"


def _infrastructure_faults(infrastructure: object) -> Iterator[tuple[Path, str, str]]:
    if infrastructure is None:
        return
    if not isinstance(infrastructure, dict):
        yield ("spec", "infrastructure"), f"{shown(infrastructure)} is not an object", "Invalid"
        return
    for name in infrastructure:
        if name == "parametersRef":
            yield ("spec", "infrastructure", name), "is not available yet", "InvalidParameters"
        elif name not in INFRASTRUCTURE:
            yield (
                ("spec", "infrastructure", name),
                f"is not known; known: {', '.join(INFRASTRUCTURE)}",
                "Invalid",
            )

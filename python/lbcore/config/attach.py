"""Routes to listeners: which parentRefs hold, and for which hostnames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lbcore.config import model
from lbcore.config.gateways import Gateways, Listener
from lbcore.config.kubernetes import GATEWAY_GROUP, Found
from lbcore.config.plain import Path, shown
from lbcore.engine import Condition

NAMESPACE_NAME = "kubernetes.io/metadata.name"  # a label that every namespace has


@dataclass(slots=True)
class Attachment:
    """Where a route is served, and what is said of it, parent by parent."""

    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by listener; empty: all
    accepted: dict[str, Condition] = field(default_factory=dict)  # by the parent's name


class Outcome(NamedTuple):
    """What became of one parentRef: the condition's reason, and if it failed the field, why, and whether that is
    reported with another object already."""

    reason: str
    at: Path = ()
    message: str = ""
    known: bool = False


def hostnames_served(route: tuple[str, ...], listener: str | None) -> tuple[str, ...] | None:
    """The narrower of each pair of hostnames that meet; () is every host, None that none meet."""
    if not route:
        return (listener,) if listener else ()
    if not listener:
        return tuple(dict.fromkeys(route))
    meeting = (narrower(one, listener) for one in route)
    return tuple(dict.fromkeys(host for host in meeting if host)) or None


def narrower(a: str, b: str) -> str | None:
    """The hostnames that both ``a`` and ``b`` serve, None if there are none.  ``*.x`` is one label or more before x."""
    if a == b or (b.startswith("*.") and a.removeprefix("*").endswith(b[1:]) and len(a) > len(b) - 1):
        return a
    if a.startswith("*.") and b.removeprefix("*").endswith(a[1:]) and len(b) > len(a) - 1:
        return b
    return None


def attach(route: Found[Any], hostnames: tuple[str, ...], gateways: Gateways) -> Attachment:
    """Attach ``route`` to the listeners that its parentRefs name."""
    found = Attachment()
    problems = gateways.problems
    refs: tuple[model.ParentRef, ...] = route.object.spec.parentRefs
    if not refs:
        problems.add(route.document, ("spec", "parentRefs"), "is missing: the route is attached to nothing")
    for i, ref in enumerate(refs):
        outcome = _attach(route, hostnames, ref, gateways, found)
        if outcome.message and not outcome.known:
            problems.add(route.document, ("spec", "parentRefs", i, *outcome.at), outcome.message)
        accepted = route.condition("Accepted", not outcome.message, outcome.reason, outcome.message)
        found.accepted[_name(route, ref)] = accepted
    return found


def _name(route: Found[Any], ref: model.ParentRef) -> str:
    section = f"/{ref.sectionName}" if ref.sectionName else ""
    port = f":{ref.port}" if ref.port else ""
    return f"{ref.namespace or route.namespace}/{ref.name}{section}{port}"


def _attach(
    route: Found[Any], hostnames: tuple[str, ...], ref: model.ParentRef, gateways: Gateways, into: Attachment
) -> Outcome:
    """Attach by one reference."""
    named, outcome = _named(route, ref, gateways)
    if outcome:
        return outcome
    kind, namespace = route.object.kind, route.namespace
    allowed = [one for one in named if kind in one.kinds and _admits(one, namespace, gateways)]
    if not allowed:
        return Outcome("NotAllowedByListeners", (), f"no listener allows {kind}s of this namespace")
    served = [one for one in allowed if one.refused is None]
    if not served:
        return Outcome("NoMatchingParent", (), "the listener is left out", known=True)
    n_attached = 0
    for one in served:
        hosts = hostnames_served(hostnames, one.spec.hostname)
        if hosts is not None:
            n_attached += 1
            into.hosts[one.name] = hosts
            one.routes.add((kind, namespace, route.name))
    if not n_attached:
        return Outcome("NoMatchingListenerHostname", (), "no hostname of the route meets a listener's")
    return Outcome("Accepted")


def _named(
    route: Found[Any], ref: model.ParentRef, gateways: Gateways
) -> tuple[list[Listener], Outcome | None]:
    """The listeners that a reference means, or why there are none."""
    if (ref.group, ref.kind) != (GATEWAY_GROUP, "Gateway"):
        return [], Outcome("UnsupportedValue", ("kind",), f"a parent of kind {ref.kind} is not available yet")
    namespace = ref.namespace or route.namespace
    listeners = gateways.listeners.get((namespace, ref.name))
    if listeners is None:
        left_out = gateways.objects.was_left_out("Gateway", namespace, ref.name)
        why = f"Gateway {namespace}/{ref.name} is {'left out' if left_out else 'not there'}"
        return [], Outcome("NoMatchingParent", ("name",), why, known=left_out)
    named = [one for one in listeners if _is_meant(one, ref)]
    if named:
        return named, None
    at = "sectionName" if ref.sectionName else "port"
    value = shown(ref.sectionName) if ref.sectionName else str(ref.port)
    port = f" with port {ref.port}" if ref.sectionName and ref.port else ""
    return [], Outcome("NoMatchingParent", (at,), f"the Gateway has no listener {value}{port}")


def _is_meant(listener: Listener, ref: model.ParentRef) -> bool:
    return (ref.sectionName is None or ref.sectionName == listener.spec.name) and (
        ref.port is None or ref.port == listener.spec.port
    )


def _admits(listener: Listener, namespace: str, gateways: Gateways) -> bool:
    """True if the listener takes routes of ``namespace``."""
    allowed = listener.spec.allowedRoutes.namespaces
    if allowed.origin == "Selector" and allowed.selector is not None:
        known = gateways.objects.of("Namespace").get(("", namespace))
        labels = {**(known.object.metadata.labels if known else {}), NAMESPACE_NAME: namespace}
        return selects(allowed.selector, labels)
    return allowed.origin == "All" or (allowed.origin == "Same" and namespace == listener.gateway.namespace)


def selects(selector: model.Selector, labels: dict[str, str]) -> bool:
    """Kubernetes' label selector: every label and every expression must hold; an empty one selects all."""
    return all(labels.get(key) == value for key, value in selector.matchLabels.items()) and all(
        _holds(one, labels) for one in selector.matchExpressions
    )


def _holds(expression: model.Expression, labels: dict[str, str]) -> bool:
    here = expression.key in labels
    if expression.operator == "In":
        return here and labels[expression.key] in expression.values
    if expression.operator == "NotIn":
        return not (here and labels[expression.key] in expression.values)
    return here == (expression.operator == "Exists")

"""Kubernetes objects of every kind that is read here: recognised, checked, and at hand by kind and name.

An object that is wrong is left out and reported; the others are served.  An object that stands twice
(whatever its version) is read once: the first.  Kinds that lbcore has nothing to do with (Deployment, Secret)
are reported as skipped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from lbcore.config import model, validate
from lbcore.config.draft import Draft, Verdict
from lbcore.config.plain import cut, shown
from lbcore.config.problems import Document
from lbcore.engine import Condition

GATEWAY_GROUP = model.GATEWAY_GROUP
GATEWAY_VERSIONS = ("v1", "v1beta1", "v1alpha2", "v1alpha3")
CLUSTER = ("GatewayClass", "Namespace")  # kinds without a namespace

MODELS: dict[tuple[str, str], type[model.Object]] = {
    (GATEWAY_GROUP, "GatewayClass"): model.GatewayClass,
    (GATEWAY_GROUP, "Gateway"): model.Gateway,
    (GATEWAY_GROUP, "HTTPRoute"): model.HTTPRoute,
    (GATEWAY_GROUP, "TCPRoute"): model.TCPRoute,
    (GATEWAY_GROUP, "UDPRoute"): model.UDPRoute,
    (GATEWAY_GROUP, "ReferenceGrant"): model.ReferenceGrant,
    ("", "Service"): model.Service,
    ("", "Namespace"): model.NamespaceObject,
    ("discovery.k8s.io", "EndpointSlice"): model.EndpointSlice,
}
VERSIONS = {GATEWAY_GROUP: GATEWAY_VERSIONS, "": ("v1",), "discovery.k8s.io": ("v1", "v1beta1")}
# Groups and kinds that say how traffic goes: not to serve them is worth a word.
LATER_GROUPS = (
    GATEWAY_GROUP,
    "gateway.networking.x-k8s.io",
    "inference.networking.k8s.io",
    "configuration.konghq.com",
)
LATER = {("networking.k8s.io", "Ingress"), ("networking.k8s.io", "IngressClass")}
# The reason of Accepted=False for an object that its schema forbids.
INVALID = {"Gateway": "Invalid", "GatewayClass": "InvalidParameters", "HTTPRoute": "UnsupportedValue",
           "TCPRoute": "UnsupportedValue", "UDPRoute": "UnsupportedValue"}  # fmt: skip

_Model = TypeVar("_Model", bound=model.Object)
Key = tuple[str, str]  # namespace ("" for kinds without), name


@dataclass(slots=True)
class Found(Generic[_Model]):
    """An object that was read, with the verdict that is to be filled in."""

    object: _Model
    document: Document
    verdict: Verdict

    @property
    def namespace(self) -> str:
        return self.object.metadata.namespace

    @property
    def name(self) -> str:
        return self.object.metadata.name

    def condition(self, kind: str, status: bool, reason: str, message: str = "") -> Condition:
        """A condition on this object."""
        return Condition(kind, status, reason, message, self.object.metadata.generation)

    def age(self) -> tuple[bool, Any, str]:
        """Sorts by age: the oldest first, those without a time last, then by namespace/name."""
        created = self.object.metadata.creationTimestamp
        return (created is None, created, f"{self.namespace}/{self.name}")


@dataclass(slots=True)
class Objects:
    """The objects of one load, by kind; ``left_out`` has those that were there and wrong."""

    draft: Draft
    by_kind: dict[str, dict[Key, Found[Any]]] = field(default_factory=dict)
    left_out: set[tuple[str, str, str]] = field(default_factory=set)

    def of(self, kind: str) -> dict[Key, Found[Any]]:
        """All objects of a kind, in the order of the input."""
        return self.by_kind.setdefault(kind, {})

    def by_age(self, kind: str) -> list[Found[Any]]:
        """All objects of a kind, the oldest first."""
        return sorted(self.of(kind).values(), key=Found.age)

    def was_left_out(self, kind: str, namespace: str, name: str) -> bool:
        """True if the object is in the input and has its own problem already."""
        return (kind, namespace, name) in self.left_out

    def leave_out(self, found: Found[Any]) -> None:
        """An object that its schema allows and that cannot be served."""
        kind = found.object.kind
        self.by_kind[kind].pop(self._key(kind, found.namespace, found.name), None)
        self.left_out.add((kind, found.namespace, found.name))

    @staticmethod
    def _key(kind: str, namespace: str, name: str) -> Key:
        return ("" if kind in CLUSTER else namespace, name)

    def read(self, document: Document) -> None:
        """Take in one document that has an apiVersion or a kind."""
        data = document.data
        version, kind = data.get("apiVersion"), data.get("kind")
        namespace, name = _identity(data)
        label_kind = kind if isinstance(kind, str) else "object"
        document.label = cut(label_kind, 63) + " " + (name if kind in CLUSTER else f"{namespace}/{name}")
        verdict = Verdict(document, label_kind, "" if kind in CLUSTER else namespace, name)
        self.draft.verdicts.append(verdict)
        for field_name, value in (("apiVersion", version), ("kind", kind)):
            if not isinstance(value, str) or not value:
                why = "is missing" if value is None else f"{shown(value)} is not text"
                return self._wrong(verdict, [validate.Fault((field_name,), why)])
        group, _, number = version.rpartition("/")
        wanted = MODELS.get((group, kind))
        if wanted is None:
            return self._other(verdict, group, kind)
        if number not in VERSIONS[group]:
            why = f"{shown(version)} is not known; versions: {', '.join(VERSIONS[group])}"
            return self._wrong(verdict, [validate.Fault(("apiVersion",), why)])
        self._take(verdict, wanted, lenient=group != GATEWAY_GROUP)

    def _take(self, verdict: Verdict, wanted: type[model.Object], lenient: bool) -> None:
        # Fields of core kinds that are newer than this list do not change those that are read: served, and reported.
        document = verdict.document
        read, faults = validate.read(document.data, wanted, lenient=lenient)
        if read is None:
            return self._wrong(verdict, faults)
        for fault in faults:
            self.draft.problems.add(document, fault.path, fault.reason)
        objects = self.of(read.kind)
        key = self._key(read.kind, read.metadata.namespace, read.metadata.name)
        if key in objects:
            first = objects[key].document
            where = f" in {first.source.name}" if first.source.name != document.source.name else ""
            return self._wrong(
                verdict,
                [validate.Fault(("metadata", "name"), f"this object stood before{where}")],
                remember=False,
            )
        objects[key] = Found(read, document, verdict)

    def _other(self, verdict: Verdict, group: str, kind: str) -> None:
        if group in LATER_GROUPS or (group, kind) in LATER:
            reason = f"{cut(kind, 63)} of {cut(group, 63)} is not available yet"
            self._wrong(verdict, [validate.Fault(("kind",), reason)])
        else:
            message = f"lbcore has nothing to do with {cut(kind, 63)} objects"
            verdict.conditions = (Condition("Skipped", True, "OtherKind", message),)

    def _wrong(self, verdict: Verdict, faults: list[validate.Fault], *, remember: bool = True) -> None:
        for fault in faults:
            self.draft.problems.add(verdict.document, fault.path, fault.reason)
        reason = INVALID.get(verdict.kind, "Invalid")
        verdict.conditions = (Condition("Accepted", False, reason, cut(faults[0].reason, 240)),)
        if remember:
            self.left_out.add((verdict.kind, verdict.namespace or "default", verdict.name))


def _identity(data: dict[str, Any]) -> Key:
    """Namespace and name as far as they can be read, for reports."""
    metadata = data.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    namespace, name = metadata.get("namespace"), metadata.get("name")
    return (
        cut(namespace, 63) if isinstance(namespace, str) and namespace else "default",
        cut(name, 253) if isinstance(name, str) and name else "?",
    )

"""HTTPRoute, TCPRoute and UDPRoute to rules.

What a route's schema forbids beyond types and ranges leaves the route out.  What the Gateway API allows and
lbcore cannot do yet is never skipped: a rule whose action cannot be done (a filter, a time-out) answers 500,
so that its requests do not fall through to a less careful rule; a match that cannot be evaluated (a regular
expression) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lbcore.config import model
from lbcore.config.attach import Attachment, attach
from lbcore.config.backends import Backends, Resolved
from lbcore.config.gateways import Gateways
from lbcore.config.kubernetes import Found
from lbcore.config.plain import Path, shown
from lbcore.engine import Condition, MatchSpec, RuleSpec, StreamSpec

MAX_MATCHES = 128  # of one route, over all rules
PATH_TYPES = {"Exact": "exact", "PathPrefix": "prefix"}
EVERYTHING = (MatchSpec(),)
LATER = "is not available yet; the rule answers 500"
RULE_LATER = ("timeouts", "retry", "sessionPersistence")

PCHAR = r"[-A-Za-z0-9._~!$&'()*+,;=:@]"
# Segments that are not "." or "..", without percent signs: nothing to look at further.
PLAIN_PATH = re.compile(rf"/(?:(?!\.\.?(?:/|\Z)){PCHAR}+/)*(?:(?!\.\.?\Z){PCHAR}+)?")
PATH = re.compile(rf"(?:/|{PCHAR}|%[0-9a-fA-F]{{2}})*")
ESCAPE = re.compile("%([0-9a-fA-F]{2})")
UNRESERVED = re.compile(r"[-A-Za-z0-9._~]")
FORBIDDEN_IN_PATH = ("//", "/./", "/../", "%2F", "%00")
FORBIDDEN_AT_END = ("/.", "/..")


# ---- paths ------------------------------------------------------------------------------------------------------


def canonical_path(value: str) -> str:
    """``value`` as requests come out of the normaliser (``%7e`` is ``~``).  Raises ValueError for what cannot match."""
    if PLAIN_PATH.fullmatch(value):
        return value
    if not value.startswith("/"):
        raise ValueError(f'{shown(value)} does not begin with "/"')
    if not PATH.fullmatch(value):
        raise ValueError(f"{shown(value)} has a character that no path has")
    path = ESCAPE.sub(_unescaped, value)
    for part in FORBIDDEN_IN_PATH:
        if part in path:
            raise ValueError(f'{shown(value)} must not contain "{part}"')
    for end in FORBIDDEN_AT_END:
        if path.endswith(end):
            raise ValueError(f'{shown(value)} must not end with "{end}"')
    return path


def _unescaped(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if UNRESERVED.fullmatch(character) else escape[0].upper()


# ---- what leaves a route out ------------------------------------------------------------------------------------


def _faults(spec: Any) -> Iterator[tuple[Path, str]]:
    """What the schema of a route forbids, beyond types and ranges."""
    yield from _parent_faults(spec.parentRefs)
    if spec.useDefaultGateways is not None:
        yield ("spec", "useDefaultGateways"), "is not available yet"
    names = set()
    for i, rule in enumerate(spec.rules):
        path = ("spec", "rules", i)
        if rule.name is not None and rule.name in names:
            yield (*path, "name"), f"another rule is named {shown(rule.name)}"
        names.add(rule.name)
        for j, ref in enumerate(rule.backendRefs):
            if ref.port is None and (ref.group, ref.kind) == ("", "Service"):
                yield (*path, "backendRefs", j, "port"), "is missing: a Service needs one"


def _parent_faults(refs: tuple[model.ParentRef, ...]) -> Iterator[tuple[Path, str]]:
    """Several references to one parent must differ in sectionName or port, and each must have one."""
    seen: dict[tuple[str, str, str | None, str], set[tuple[str | None, int | None]]] = {}
    for i, ref in enumerate(refs):
        sections = seen.setdefault((ref.group, ref.kind, ref.namespace, ref.name), set())
        section = (ref.sectionName, ref.port)
        if sections and (section in sections or section == (None, None) or (None, None) in sections):
            yield (
                ("spec", "parentRefs", i),
                "refers to the same parent as another; both need a sectionName or port of their own",
            )
        sections.add(section)


def _http_faults(spec: model.HttpRouteSpec) -> Iterator[tuple[Path, str]]:
    yield from _faults(spec)
    n = 0
    for i, rule in enumerate(spec.rules):
        n += len(rule.matches) or 1
        for j, match in enumerate(rule.matches):
            if match.path.type != "RegularExpression":
                try:
                    canonical_path(match.path.value)
                except ValueError as error:
                    yield ("spec", "rules", i, "matches", j, "path", "value"), str(error)
    if n > MAX_MATCHES:
        yield ("spec", "rules"), f"have {n} matches together; at most {MAX_MATCHES}"


# ---- routes -----------------------------------------------------------------------------------------------------


class Routes:
    """Adds the rules of every route to the draft."""

    def __init__(self, gateways: Gateways, backends: Backends) -> None:
        self.gateways = gateways
        self.backends = backends
        self.objects = gateways.objects
        self.draft = gateways.objects.draft
        self.problems = gateways.problems

    def add_all(self) -> None:
        """The oldest first: of routes that fit a request equally well, the older wins."""
        for found in self.objects.by_age("HTTPRoute"):
            if self._is_right(found, list(_http_faults(found.object.spec))):
                self._add_http(found)
        for kind in ("TCPRoute", "UDPRoute"):
            for found in self.objects.by_age(kind):
                if self._is_right(found, list(_faults(found.object.spec))):
                    self._add_stream(found)

    def _is_right(self, found: Found[Any], faults: list[tuple[Path, str]]) -> bool:
        for path, why in faults:
            self.problems.add(found.document, path, why)
        if faults:
            found.verdict.conditions = (found.condition("Accepted", False, "UnsupportedValue", faults[0][1]),)
            self.objects.leave_out(found)
        return not faults

    def _add_http(self, found: Found[model.HTTPRoute]) -> None:
        spec = found.object.spec
        attachment = attach(found, spec.hostnames, self.gateways)
        wrong: Resolved | None = None
        n_whole = 0
        for i, rule in enumerate(spec.rules):
            path: Path = ("spec", "rules", i)
            matches = self._matches(found, rule, path)
            can_do = self._can_do(found, rule, path)
            backends, unresolved = self.backends.resolve(found, rule.backendRefs, path)
            wrong = wrong or unresolved
            n_whole += can_do and len(matches) == max(1, len(rule.matches))
            if matches and attachment.hosts:
                name = f"{found.namespace}/{found.name}/{_rule_name(rule.name, i)}"
                self.draft.rules.append(RuleSpec(name, attachment.hosts, matches, backends if can_do else ()))
        self._conclude(found, attachment, wrong, n_whole, len(spec.rules))

    def _add_stream(self, found: Found[Any]) -> None:
        attachment = attach(found, (), self.gateways)
        rule = found.object.spec.rules[0]
        backends, wrong = self.backends.resolve(found, rule.backendRefs, ("spec", "rules", 0))
        if attachment.hosts:
            self.draft.streams.append(StreamSpec(_stream_name(found), tuple(attachment.hosts), backends))
        self._conclude(found, attachment, wrong, 1, 1)

    def _matches(self, found: Found[Any], rule: model.HttpRule, path: Path) -> tuple[MatchSpec, ...]:
        """The matches that can be evaluated."""
        if not rule.matches:
            return EVERYTHING
        matches = []
        for j, match in enumerate(rule.matches):
            at = _regular_expression(match)
            if at is None:
                matches.append(_match(match))
            else:
                why = "RegularExpression is not available yet; the match is left out"
                self.problems.add(found.document, (*path, "matches", j, *at, "value"), why)
        return tuple(matches)

    def _can_do(self, found: Found[Any], rule: model.HttpRule, path: Path) -> bool:
        """True if everything is there that the rule asks for."""
        later: list[Path] = [(name,) for name in RULE_LATER if getattr(rule, name) is not None]
        later += [("filters", k) for k in range(len(rule.filters))]
        for j, ref in enumerate(rule.backendRefs):
            later += [("backendRefs", j, "filters", k) for k in range(len(ref.filters))]
        for at in later:
            self.problems.add(found.document, (*path, *at), LATER)
        return not later

    def _conclude(
        self, found: Found[Any], attachment: Attachment, wrong: Resolved | None, n_whole: int, n_rules: int
    ) -> None:
        """The conditions at each parent."""
        more: list[Condition] = []
        refused = None
        if n_whole == 0:
            refused = found.condition("Accepted", False, "UnsupportedValue", "no rule is available yet")
        elif n_whole < n_rules:
            more.append(
                found.condition(
                    "PartiallyInvalid", True, "UnsupportedValue", "some rules are not available yet"
                )
            )
        resolved = (
            found.condition("ResolvedRefs", False, wrong.reason, wrong.message)
            if wrong
            else found.condition("ResolvedRefs", True, "ResolvedRefs")
        )
        found.verdict.parents = {
            name: ((refused or accepted) if accepted.status else accepted, resolved, *more)
            for name, accepted in attachment.accepted.items()
        }


def _rule_name(name: str | None, index: int) -> str:
    """The rule's name, or its place; a name of digits could be another's place."""
    return str(index) if name is None or name.isdigit() else name


def _stream_name(found: Found[Any]) -> str:
    """Unlike an HTTP rule's and one of the other protocol: routes of different kinds may have one name."""
    return f"{found.object.kind[:3].lower()}:{found.namespace}/{found.name}/0"


def _regular_expression(match: model.HttpMatch) -> Path | None:
    """Where a match has a regular expression."""
    if match.path.type == "RegularExpression":
        return ("path",)
    for k, header in enumerate(match.headers):
        if header.type == "RegularExpression":
            return ("headers", k)
    for k, parameter in enumerate(match.queryParams):
        if parameter.type == "RegularExpression":
            return ("queryParams", k)
    return None


def _match(match: model.HttpMatch) -> MatchSpec:
    # "If multiple entries specify equivalent header names, only the first entry ... MUST be considered"
    headers: dict[str, tuple[str, str]] = {}
    for header in match.headers:
        headers.setdefault(header.name.lower(), (header.name, header.value))
    query: dict[str, str] = {}
    for parameter in match.queryParams:
        query.setdefault(parameter.name, parameter.value)
    return MatchSpec(
        canonical_path(match.path.value),
        PATH_TYPES[match.path.type],
        (match.method,) if match.method else (),
        tuple(headers.values()),
        tuple(query.items()),
    )

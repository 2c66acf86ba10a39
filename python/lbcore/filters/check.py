"""Which filters go together: what a loader asks before it makes programs.

Source  Gateway API v1: "Specifying the same filter multiple times is not supported unless explicitly indicated"; "All
        filters are expected to be compatible with each other except for the URLRewrite and RequestRedirect filters".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lbcore.errors import Problem
from lbcore.filters.checks import shown
from lbcore.filters.values import KINDS, Filter, ReplacePrefixMatch, RequestRedirect, ToService, URLRewrite

# Two of a kind, of which each excludes the others: they all say where the request goes.
EXCLUSIVE = (URLRewrite, RequestRedirect, ToService)


def check_filters(
    filters: Iterable[object],
    backends: Sequence[Iterable[object]] = (),
    *,
    path_types: Sequence[str] = ("prefix",),
    at: str = "",
    of_backends: str = "backendRefs",
) -> list[Problem]:
    """Everything that is wrong with a rule's ``filters`` and with those of its ``backends``, one list for each.

    ``path_types``: "prefix", "exact" or "regex" of each match of the rule.  ``at``: what fields begin with, such as
    ``spec.rules[0].``; fields are ``filters[i]`` and ``backendRefs[j].filters[i]``, or what ``of_backends`` says.
    """
    rule = [(f"{at}filters[{i}]", item) for i, item in enumerate(filters)]
    found = _level(rule, [], path_types)
    for j, own in enumerate(backends):
        there = [(f"{at}{of_backends}[{j}].filters[{i}]", item) for i, item in enumerate(own)]
        found += _level(there, rule, path_types)
    if backends:
        found += [
            Problem(field, "RequestRedirect beside backends: a rule redirects or forwards")
            for field, item in rule
            if isinstance(item, RequestRedirect)
        ]
    return found


Placed = list[tuple[str, object]]


def _level(own: Placed, above: Placed, path_types: Sequence[str]) -> list[Problem]:
    """The problems of one list; ``above``: the rule's, for a backend's list."""
    found = []
    for i, (field, item) in enumerate(own):
        if not isinstance(item, KINDS):
            found.append(Problem(field, f"{shown(item)} is not a filter"))
            continue
        kind = type(item)
        first = next((where for where, other in own[:i] if type(other) is kind), None)
        if kind.once and first is not None:
            found.append(Problem(field, f"a second {kind.__name__}; {first} is one: at most one in a list"))
        found += _collisions(field, item, above + own[:i])
        if _replaces_prefix(item) and list(path_types) != ["prefix"]:
            wanted = "ReplacePrefixMatch needs a rule with exactly one match, by prefix"
            found.append(Problem(field, f"{wanted}; it has {', '.join(path_types) or 'none'}"))
    return found


def _collisions(field: str, item: Filter, others: Placed) -> list[Problem]:
    if not isinstance(item, EXCLUSIVE):
        return []
    return [
        Problem(field, f"{type(item).__name__} cannot be combined with {type(other).__name__} ({where})")
        for where, other in others
        if isinstance(other, EXCLUSIVE) and type(other) is not type(item)
    ]


def _replaces_prefix(item: Filter) -> bool:
    return isinstance(item, (URLRewrite, RequestRedirect)) and isinstance(item.path, ReplacePrefixMatch)

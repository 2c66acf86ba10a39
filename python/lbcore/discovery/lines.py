"""Targets as plain lines: ``address [weight=1] [priority=0] [id=a] [hash_key=k] [label=value ...]``.

A ``#`` at the begin of a line or after a space begins a comment; empty lines count for nothing.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from lbcore._core import Target
from lbcore.errors import ConfigError, Problem

WORD = re.compile(r"\S+")
COMMENT = re.compile(r"(^|(?<=\s))#.*", re.S)
NUMBERS = ("weight", "priority")
TEXTS = ("id", "hash_key")
MAX_PROBLEMS = 100
MAX_SHOWN = 80


def read(text: str, name: str) -> tuple[Target, ...]:
    """The targets of ``text``.  Raises :class:`ConfigError` with the problems, each with line and column."""
    targets: dict[str, Target] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = [(found[0], found.start() + 1) for found in WORD.finditer(COMMENT.sub("", line))]
        if not words:
            continue
        try:
            target = _target(words)
            if target.id in targets:
                raise _Wrong(
                    f"{_shown(target.id)} stands here twice; give each an id of its own", words[0][1]
                )
            targets[target.id] = target
        except _Wrong as wrong:
            problems.append(Problem("", wrong.reason, file=name, line=number, column=wrong.column))
            if len(problems) == MAX_PROBLEMS:
                break
    if problems:
        raise ConfigError.of(problems)
    return tuple(targets.values())


class _Wrong(Exception):
    def __init__(self, reason: str, column: int) -> None:
        self.reason, self.column = reason, column


def _target(words: list[tuple[str, int]]) -> Target:
    (address, column), *rest = words
    if not is_address(address):
        raise _Wrong(f"{_shown(address)} is not an address: host:port or [ipv6]:port", column)
    given: dict[str, str] = {}
    for word, at in rest:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise _Wrong(f"{_shown(word)} is not like weight=2 or zone=a", at)
        if key in given:
            raise _Wrong(f"{_shown(key)} stands here twice", at)
        if key in NUMBERS and not (value.isascii() and value.isdigit() and len(value) <= 9):
            raise _Wrong(f"{key}: {_shown(value)} is not a whole number", at)
        given[key] = value
    try:
        return Target(
            address,
            id=given.pop("id", None),
            weight=int(given.pop("weight", "1")),
            priority=int(given.pop("priority", "0")),
            hash_key=given.pop("hash_key", None),
            labels=given,
        )
    except ConfigError as error:
        problem = error.problems[0]
        at = next((at for word, at in rest if word.startswith(f"{problem.field}=")), column)
        raise _Wrong(f"{problem.field}: {problem.reason}", at) from None


def is_address(address: str) -> bool:
    """True for ``host:port`` and ``[ipv6]:port`` with a port of 1..65535."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        return False
    if host.startswith("[") and host.endswith("]"):
        try:
            IPv6Address(host[1:-1])
        except ValueError:
            return False
        return True
    return re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", host) is not None


def _shown(text: str) -> str:
    return repr(text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "...")

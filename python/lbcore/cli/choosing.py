"""What ``lbcore pick`` and its comparison share: targets, policies and keys from the command line, picks in batches."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

import lbcore
from lbcore.cli.common import Usage, load
from lbcore.moves import address
from lbcore.moves import drawn_keys as drawn_keys

MOST_SEED = 2**63 - 1
PATIENT = 1000  # keys that are picked twice, to see that the policy places them


def targets_of(args: argparse.Namespace) -> tuple[str, Sequence[lbcore.Target]]:
    """The name and the targets of what the command line chose among: of an upstream with ``-f``, else its own."""
    if not args.file:
        return "targets", [target(text) for text in args.what]
    upstream = upstream_of(args)
    return upstream.name, upstream.targets


def upstream_of(args: argparse.Namespace) -> lbcore.Upstream:
    """The upstream that ``-f FILES UPSTREAM`` names."""
    if len(args.what) != 1:
        raise Usage("with -f one upstream is wanted")
    upstreams = load(args.file).upstreams
    if args.what[0] not in upstreams:
        listed = ", ".join(list(upstreams)[:20]) or "none"
        raise Usage(f"UPSTREAM: {args.what[0][:80]!r} is not known; upstreams: {listed}")
    return upstreams[args.what[0]]


def target(text: str) -> lbcore.Target:
    """``ADDRESS`` or ``ADDRESS=WEIGHT``."""
    address, equals, weight = text.rpartition("=")
    if not equals:
        return lbcore.Target(text)
    if not (weight.isascii() and weight.isdigit() and len(weight) <= 7):
        raise Usage(f"{text[:80]!r}: the weight is not a whole number in 0..1000000")
    return lbcore.Target(address, weight=int(weight))


def policy(option: str, text: str) -> lbcore.Policy:
    """The policy of ``NAME`` or ``NAME:param=value,param=value``, as ``option`` gave it."""
    name, _, rest = text.partition(":")
    return policy_with(name, option, rest.split(",") if rest else ())


def policy_with(name: str, option: str, settings: Iterable[str]) -> lbcore.Policy:
    """The policy with ``param=value`` each, from the beginning of its schedule where it has one.

    Raises Usage for what is no setting, ConfigError for what the policy does not take.
    """
    known = lbcore.policies().get(name)
    begins = known is not None and any(p.name == "phase" for p in known.parameters)
    params: dict[str, float | str | bool] = {"phase": 0} if begins else {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals and value):
            raise Usage(f"{option} {setting[:80]!r}: wanted NAME=VALUE")
        params[key] = _value(value)
    return lbcore.policy(name, **params)


def _value(text: str) -> float | str | bool:
    """A number, ``true`` or ``false``, else a word."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text


def checked_seed(seed: int) -> int:
    """Raises Usage for a seed out of range."""
    if not 0 <= seed <= MOST_SEED:
        raise Usage(f"--seed: {seed} is not in 0..{MOST_SEED}")
    return seed


def numbered_keys(n: int, ip: bool) -> list[str]:
    """``key 0``, ``key 1`` and so on; or as many addresses."""
    return [address(i * 2654435761) if ip else f"key {i}" for i in range(n)]


def picks(upstream: lbcore.Upstream, n: int, keys: list[str] | None) -> list[int]:
    """Indices into ``upstream.targets``: of the keys, else the next ``n``.

    Raises NoTarget if nobody is usable, Usage if the policy does not place these keys.
    """
    found: list[int] = (upstream.pick_many(n) if keys is None else upstream.pick_keys(keys)).tolist()
    if -1 in found:
        raise lbcore.NoTarget(upstream.name, reasons={t.id: t.state for t in upstream.targets})
    if keys is not None and not _placed(upstream, keys[:PATIENT], found):
        raise Usage(
            f"{upstream.policy.name} does not place these keys; for a policy of IP addresses: --keys ip"
        )
    return found


def _placed(upstream: lbcore.Upstream, keys: list[str], found: list[int]) -> bool:
    """True if the keys go where they went before, but for a few that found nobody; turns would not repeat backwards."""
    again: list[int] = upstream.pick_keys(keys[::-1]).tolist()[::-1]
    moved = [x != y for x, y in zip(again, found[: len(keys)], strict=True)]
    return sum(moved) <= len(keys) // 20


def shares(targets: Iterable[Any]) -> list[float]:
    """What is due to each of the targets by its weight, of 1."""
    weights = [t.weight for t in targets]
    total = sum(weights)
    return [weight / total if total else 0.0 for weight in weights]

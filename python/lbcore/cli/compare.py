"""``lbcore pick --compare A B``: which keys would go elsewhere if the policy B took over from A.

Of keyless policies: the shares they give, and the places of their sequences that differ.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass

import lbcore
from lbcore.cli import choosing
from lbcore.cli.common import Usage, counted, percent, say, say_json, say_table
from lbcore.errors import ConfigError, LbcoreError
from lbcore.moves import least_moves, places_moved

SHOWN = 20  # picks of each sequence that are printed


@dataclass(frozen=True)
class Comparison:
    """The picks (indices into ``targets``) of two policies for the same keys, or one after the other."""

    a: lbcore.Policy
    b: lbcore.Policy
    targets: tuple[lbcore.Target, ...]
    keys: list[str] | None
    before: list[int]
    after: list[int]

    @property
    def differ(self) -> list[int]:
        """The places at which the picks are not the same."""
        return places_moved(self.before, self.after)

    @property
    def least(self) -> int:
        """How many must move, as the shares of the targets are not the same."""
        return least_moves(self.before, self.after)

    def rows(self) -> list[tuple[str, int, float, int, int, int, int]]:
        """By target: id, weight, due share, picks before and after, moved away and in."""
        before, after = Counter(self.before), Counter(self.after)
        away = Counter(self.before[i] for i in self.differ)
        into = Counter(self.after[i] for i in self.differ)
        due = choosing.shares(self.targets)
        return [
            (t.id, t.weight, due[i], before[i], after[i], away[i], into[i])
            for i, t in enumerate(self.targets)
        ]


def run(args: argparse.Namespace) -> int:
    """0; 1 if a policy cannot have these targets or nobody is usable."""
    a, b = (choosing.policy("--compare", text) for text in args.compare)
    if a.keyed != b.keyed:
        with_keys, without = (a, b) if a.keyed else (b, a)
        raise Usage(
            f"--compare: {with_keys.name} places keys and {without.name} uses none: no key could move"
        )
    if args.key and not a.keyed:
        raise Usage(f"--key: {a.name} and {b.name} use no keys")
    seed = choosing.checked_seed(args.seed)
    _, targets = choosing.targets_of(args)
    keys = args.key or (choosing.drawn_keys(args.n, args.keys == "ip", seed) if a.keyed else None)
    first, second = (_upstream(policy, targets, seed) for policy in (a, b))
    found = Comparison(
        a, b, first.targets, keys, choosing.picks(first, args.n, keys), choosing.picks(second, args.n, keys)
    )
    if args.json:
        say_json(_plain(found, seed))
    elif args.key:
        _say_keys(found)
    elif keys is None:
        _say_sequences(found)
    else:
        _say_moves(found, seed)
    return 0


def _upstream(policy: lbcore.Policy, targets: object, seed: int) -> lbcore.Upstream:
    try:
        return lbcore.Upstream(policy.name, targets, policy, health=None, seed=seed)  # type: ignore[arg-type]
    except ConfigError as error:
        raise LbcoreError(f"{policy.name}: {error}") from None


def _named(policy: lbcore.Policy) -> str:
    """``NAME:param=value``, with what is not the default."""
    given = [f"{p.name}={_text(policy.params[p.name])}" for p in policy.parameters
             if policy.params[p.name] != p.default and p.name != "phase"]  # fmt: skip
    return policy.name + (":" + ",".join(given) if given else "")


def _text(value: float | str | bool) -> str:
    return (
        str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value
    )


def _say_moves(found: Comparison, seed: int) -> None:
    n, moved = len(found.before), len(found.differ)
    say(f"{_named(found.a)} -> {_named(found.b)}: {counted(n, 'key')}, seed {seed}")
    say(
        f"{percent(moved, n)} of the keys would move; for these shares at least {percent(found.least, n)} must"
    )
    say()
    head = ("TARGET", "WEIGHT", "WANTED", "BEFORE", "AFTER", "MOVED AWAY", "MOVED IN")
    say_table(head, [(id, str(weight), f"{100 * due:.4g} %", *(percent(x, n) for x in counts))
                     for id, weight, due, *counts in found.rows()])  # fmt: skip


def _say_keys(found: Comparison) -> None:
    ids = [target.id for target in found.targets]
    rows = zip(found.keys or (), found.before, found.after, strict=True)
    head = ("KEY", found.a.name, found.b.name, "")
    say_table(head, [(key, ids[x], ids[y], "" if x == y else "moves") for key, x, y in rows])


def _say_sequences(found: Comparison) -> None:
    n, differ = len(found.before), found.differ
    ids = [target.id for target in found.targets]
    for policy, picks in ((found.a, found.before), (found.b, found.after)):
        more = " ..." if n > SHOWN else ""
        say(f"{_named(policy)}: {' '.join(ids[i] for i in picks[:SHOWN])}{more}")
    place = f", the first is the pick {differ[0] + 1}" if differ else ""
    say(f"{len(differ)} of {counted(n, 'pick')} differ{place}")
    say()
    say_table(("TARGET", "WEIGHT", "WANTED", "BEFORE", "AFTER"),
              [(id, str(weight), f"{100 * due:.4g} %", percent(x, n), percent(y, n))
               for id, weight, due, x, y, *_ in found.rows()])  # fmt: skip


def _plain(found: Comparison, seed: int) -> dict[str, object]:
    n = len(found.before)
    names = ("target", "weight", "share", "before", "after", "moved_away", "moved_in")
    keyed = found.keys is not None
    rows = [(id, weight, due, *(x / n for x in counts)) for id, weight, due, *counts in found.rows()]
    sides = {side: {"policy": p.name, "params": p.params} for side, p in (("a", found.a), ("b", found.b))}
    more: dict[str, object] = {"moved": len(found.differ) / n, "least": found.least / n}
    if not keyed:
        more = {"differ": len(found.differ), "first": found.differ[0] if found.differ else None}
    kept = len(names) if keyed else 5
    targets = [dict(zip(names[:kept], row[:kept], strict=True)) for row in rows]
    return {**sides, "keyed": keyed, "n": n, "seed": seed, **more, "targets": targets}

"""``lbcore pick``: the next picks of an upstream, and the shares they make.

lbcore pick -f examples/canary default/httpbin:80 -n 20
lbcore pick --policy round_robin a=3 b=1 -n 8
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import lbcore
from lbcore.cli.common import Usage, add_files, add_json, load, percent, safe, say, say_json, say_table

MOST = 1_000_000
SHOWN = 100  # picks of the sequence that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_files(parser, required=False)
    parser.add_argument(
        "what",
        nargs="+",
        metavar="UPSTREAM | TARGET[=WEIGHT]",
        help="with -f: the upstream's name; else targets",
    )
    parser.add_argument("-n", type=int, default=10, metavar="N", help="how many picks (default %(default)s)")
    parser.add_argument(
        "--policy", default=None, metavar="NAME", help="of the targets given (default round_robin)"
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the policy; may be repeated",
    )
    parser.add_argument("--seed", type=int, default=0, help="of policies that draw (default %(default)s)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """0; 1 if nobody is usable."""
    if not 1 <= args.n <= MOST:
        raise Usage(f"-n: {args.n} is not in 1..{MOST}")
    upstream = _of_files(args) if args.file else _of_targets(args)
    picks = []
    for _ in range(args.n):
        target = upstream.pick_or_none()
        if target is None:
            raise lbcore.NoTarget(upstream.name)
        picks.append(target.id)
    counts = Counter(picks)
    total = sum(target.weight for target in upstream.targets)
    rows = [(t.id, t.weight, t.weight / total if total else 0.0, counts[t.id]) for t in upstream.targets]
    if args.json:
        names = ("target", "weight", "share", "picks")
        say_json(
            {
                "upstream": upstream.name,
                "policy": upstream.policy.name,
                "sequence": picks,
                "targets": [dict(zip(names, row, strict=True)) for row in rows],
            }
        )
        return 0
    say(" ".join(map(safe, picks[:SHOWN])) + (f" ... ({args.n} in all)" if args.n > SHOWN else ""))
    say()
    cells = [
        (name, str(weight), percent(weight, total), str(got), percent(got, args.n))
        for name, weight, _, got in rows
    ]
    say_table(("TARGET", "WEIGHT", "WANTED", "PICKS", "GOT"), cells)
    return 0


def _of_files(args: argparse.Namespace) -> Any:
    if args.policy or args.param:
        raise Usage("--policy and --param are for targets on the command line; -f has its own")
    if len(args.what) != 1:
        raise Usage("with -f one upstream is wanted")
    upstreams = load(args.file).upstreams
    if args.what[0] not in upstreams:
        listed = ", ".join(list(upstreams)[:20]) or "none"
        raise Usage(f"UPSTREAM: {args.what[0][:80]!r} is not known; upstreams: {listed}")
    return upstreams[args.what[0]]


def _of_targets(args: argparse.Namespace) -> Any:
    name = args.policy or "round_robin"
    params = {"phase": 0.0} if name == "round_robin" else {}  # from the beginning of the schedule
    for text in args.param:
        key, _, value = text.partition("=")
        try:
            params[key] = float(value)
        except ValueError:
            raise Usage(f"--param {text[:80]!r}: wanted NAME=NUMBER") from None
    if not 0 <= args.seed < 2**63:
        raise Usage(f"--seed: {args.seed} is not in 0..{2**63 - 1}")
    return lbcore.Upstream(
        "targets", [_target(text) for text in args.what], lbcore.policy(name, **params), seed=args.seed
    )


def _target(text: str) -> lbcore.Target:
    address, equals, weight = text.rpartition("=")
    if not equals:
        return lbcore.Target(text)
    if not (weight.isascii() and weight.isdigit() and len(weight) <= 7):
        raise Usage(f"{text[:80]!r}: the weight is not a whole number in 0..1000000")
    return lbcore.Target(address, weight=int(weight))

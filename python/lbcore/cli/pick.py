"""``lbcore pick``: the next picks of an upstream, and the shares they make; what a change of policy would move.

lbcore pick -f examples/canary default/httpbin:80 -n 20
lbcore pick --policy round_robin a=3 b=1 -n 8
lbcore pick --policy chash_kong --param slots=1000 --key alice --key bob a:80 b:80
lbcore pick --compare ketama_libmemcached:weighted=false jump a:11211 b:11211
"""

from __future__ import annotations

import argparse
from collections import Counter

import lbcore
from lbcore.cli import choosing, compare
from lbcore.cli.common import Usage, add_files, add_json, percent, safe, say, say_json, say_table

MOST = 1_000_000
FEW, MANY = 10, 100_000  # picks where -n is not given: to look at, to compare
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
    parser.add_argument(
        "-n", type=int, metavar="N", help=f"how many picks (default {FEW}; with --compare {MANY})"
    )
    parser.add_argument(
        "--policy", default=None, metavar="NAME", help="of the targets given (default round_robin)"
    )
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE",
        help="a parameter of the policy: a number, a word, true or false; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--key",
        action="append",
        metavar="KEY",
        help="a key of a keyed policy; may be repeated (default: N keys)",
    )
    parser.add_argument(
        "--keys", choices=("text", "ip"), default="text",
        help="what the N keys are: texts, or IPv4 addresses (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--compare", nargs=2, metavar="NAME[:PARAM=VALUE,...]",
        help="two policies: which keys (or picks) would go elsewhere if the second took over from the first",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, help="of policies and keys that are drawn (default %(default)s)"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """0; 1 if nobody is usable."""
    args.n = _how_many(args)
    if args.compare:
        if args.policy or args.param:
            raise Usage(
                "--compare A:PARAM=VALUE B:PARAM=VALUE says the policies; --policy and --param do not go with it"
            )
        return compare.run(args)
    upstream = _of_files(args) if args.file else _of_targets(args)
    keys = _keys(args, upstream.policy)
    picked = choosing.picks(upstream, args.n, keys)
    ids = [target.id for target in upstream.targets]
    counts = Counter(picked)
    sequence = [ids[i] for i in picked]
    rows = [
        (t.id, t.weight, share, counts[i])
        for i, (t, share) in enumerate(zip(upstream.targets, choosing.shares(upstream.targets), strict=True))
    ]
    if args.json:
        names = ("target", "weight", "share", "picks")
        say_json(
            {
                "upstream": upstream.name,
                "policy": upstream.policy.name,
                **({} if keys is None else {"keys": keys}),
                "sequence": sequence,
                "targets": [dict(zip(names, row, strict=True)) for row in rows],
            }
        )
        return 0
    if args.key:
        say_table(("KEY", "TARGET"), zip(args.key, sequence, strict=True))
        return 0
    say(" ".join(map(safe, sequence[:SHOWN])) + (f" ... ({args.n} in all)" if args.n > SHOWN else ""))
    say()
    total = sum(target.weight for target in upstream.targets)
    cells = [
        (name, str(weight), percent(weight, total), str(got), percent(got, args.n))
        for name, weight, _, got in rows
    ]
    say_table(("TARGET", "WEIGHT", "WANTED", "KEYS" if keys else "PICKS", "GOT"), cells)
    return 0


def _how_many(args: argparse.Namespace) -> int:
    if args.key and args.n is not None:
        raise Usage("-n: the number of keys is that of --key")
    n = len(args.key) if args.key else args.n if args.n is not None else MANY if args.compare else FEW
    if not 1 <= n <= MOST:
        raise Usage(f"-n: {n} is not in 1..{MOST}")
    return n


def _keys(args: argparse.Namespace, policy: lbcore.Policy) -> list[str] | None:
    if policy.keyed:
        return args.key or choosing.numbered_keys(args.n, args.keys == "ip")
    if args.key:
        raise Usage(f"--key: {policy.name} uses no keys")
    return None


def _of_files(args: argparse.Namespace) -> lbcore.Upstream:
    if args.policy or args.param:
        raise Usage("--policy and --param are for targets on the command line; -f has its own")
    return choosing.upstream_of(args)


def _of_targets(args: argparse.Namespace) -> lbcore.Upstream:
    policy = choosing.policy_with(args.policy or "round_robin", "--param", args.param)
    name, targets = choosing.targets_of(args)
    return lbcore.Upstream(name, targets, policy, seed=choosing.checked_seed(args.seed))

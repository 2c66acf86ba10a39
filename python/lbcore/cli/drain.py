"""``lbcore drain``: let a target take no new calls, in all workers of this host that share State.

lbcore drain 10.0.0.7:8080 --shared shop
lbcore drain 10.0.0.7:8080 --shared shop --upstream default/shop:80 --deadline 60
lbcore drain 10.0.0.7:8080 --shared shop --undo
"""

from __future__ import annotations

import argparse
import math
from typing import Any

from lbcore.cli import sharing
from lbcore.cli.common import complain, counted, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("target", metavar="TARGET", help="its id, or its address if it has no other")
    sharing.add_arguments(parser)
    parser.add_argument("--upstream", metavar="NAME", help="needed where several upstreams have the target")
    end = parser.add_mutually_exclusive_group()
    end.add_argument(
        "--deadline", type=_seconds, metavar="SECONDS",
        help="how long its sessions may go on; then nobody is served (default: without end)",
    )  # fmt: skip
    end.add_argument("--undo", action="store_true", help="let it take calls again")


def run(args: argparse.Namespace) -> int:
    """0; 1 if there is no such target, or several, or nobody shares under the name."""
    with sharing.look(args) as segment:
        found = _candidates(segment.places(), args.target, args.upstream)
        if len(found) != 1:
            return _refuse(args, found)
        (place,) = found
        done = segment.undrain(place["place"]) if args.undo else segment.drain(place["place"], args.deadline)
    if not done:
        complain(f"{place['target']} of {place['upstream']} went away")
        return 1
    calls = f", {counted(place['in_flight'], 'call')} in flight" if not args.undo else ""
    word = "serves again" if args.undo else "drains"
    say(
        f"{sharing.shown(place)} of {place['upstream']} {word} ({counted(place['n_workers'], 'worker')}{calls})"
    )
    return 0


def _candidates(places: list[dict[str, Any]], target: str, upstream: str | None) -> list[dict[str, Any]]:
    """Who may be meant: of names that were cut, only the beginning is known."""
    fit = [p for p in places if p["target"] == target or (p["cut"] and target.startswith(p["target"]))]
    if upstream is not None:
        fit = [
            p for p in fit if p["upstream"] == upstream or (p["cut"] and upstream.startswith(p["upstream"]))
        ]
    return sharing.in_order(fit)


def _refuse(args: argparse.Namespace, found: list[dict[str, Any]]) -> int:
    of = f" of {args.upstream}" if args.upstream is not None else ""
    if not found:
        complain(
            f"nobody who shares under {args.shared} has a target {args.target}{of}: lbcore top lists them"
        )
        return 1
    listed = "\n".join(f"  {sharing.shown(p)} --upstream {p['upstream']}" for p in found)
    complain(f"{args.target}{of} may be one of {len(found)}:\n{listed}")
    return 1


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds in 0..1e9")
    return value

"""``lbcore top``: what the workers of this host share: their targets, and themselves.

lbcore top --shared shop
lbcore top --shared shop --watch
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from lbcore._core import Segment
from lbcore.cli import sharing
from lbcore.cli.common import Usage, add_json, counted, say, say_json, say_table

CLEAR = "\x1b[H\x1b[J"
EVERY = 1.0  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    sharing.add_arguments(parser)
    parser.add_argument(
        "--watch", action="store_true", help="again every second, until Ctrl-C or nobody is left"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """0; 1 if nobody shares under the name."""
    if args.watch and args.json:
        raise Usage("--watch is for a terminal; --json prints once")
    while True:
        with sharing.look(args) as segment:
            found = _figures(segment)
        if args.json:
            say_json(found)
            return 0
        if args.watch and sys.stdout.isatty():
            print(CLEAR, end="")
        _print(found)
        if not args.watch:
            return 0
        sys.stdout.flush()
        time.sleep(EVERY)


def _figures(segment: Segment) -> dict[str, Any]:
    """As plain data; times are seconds from now."""
    now = time.monotonic()
    workers = [
        {"pid": w["pid"], "age": round(max(0.0, now - w["since"]), 1), "in_flight": w["in_flight"],
         "n_targets": w["n_targets"]}
        for w in segment.workers()
    ]  # fmt: skip
    targets = [
        {"upstream": p["upstream"], "target": p["target"], "cut": p["cut"], "state": p["state"],
         "until": None if p["until"] is None else round(max(0.0, p["until"] - now), 1),
         "in_flight": p["in_flight"], "n_workers": p["n_workers"]}
        for p in sharing.in_order(segment.places())
    ]  # fmt: skip
    return {"name": segment.name, "path": segment.path, "workers": workers, "targets": targets}


def _print(found: dict[str, Any]) -> None:
    workers, targets = found["workers"], found["targets"]
    calls = sum(t["in_flight"] for t in targets)
    say(
        f"{found['name']} ({found['path']}): {counted(len(workers), 'worker')}, {counted(len(targets), 'target')}, "
        f"{counted(calls, 'call')} in flight"
    )
    say()
    rows = [
        (t["upstream"], sharing.shown(t), t["state"], "" if t["until"] is None else f"{t['until']:.1f} s",
         str(t["in_flight"]), str(t["n_workers"]))
        for t in targets
    ]  # fmt: skip
    say_table(("UPSTREAM", "TARGET", "STATE", "UNTIL", "IN FLIGHT", "WORKERS"), rows)
    say()
    say_table(
        ("PID", "AGE", "IN FLIGHT", "TARGETS"),
        [(str(w["pid"]), f"{w['age']:.0f} s", str(w["in_flight"]), str(w["n_targets"])) for w in workers],
    )

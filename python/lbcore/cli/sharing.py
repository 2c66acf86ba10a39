"""What the commands about shared State have in common: which one is meant, and looking at it from outside."""

from __future__ import annotations

import argparse
from typing import Any

from lbcore._core import Segment, look_in
from lbcore.cli.common import Usage
from lbcore.options import Shared


def add_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Which State is meant."""
    parser.add_argument(
        "--shared", required=required, metavar="NAME", help="the name under which workers share State"
    )
    parser.add_argument(
        "--shared-dir", metavar="DIR", help="where its file is, if the workers say so (default: as they do)"
    )


def shared_of(args: argparse.Namespace) -> Shared | None:
    """What the options say.  Raises ``ConfigError``."""
    if args.shared is None:
        if args.shared_dir is not None:
            raise Usage("--shared-dir goes with --shared NAME")
        return None
    return Shared(args.shared, args.shared_dir)


def look(args: argparse.Namespace) -> Segment:
    """To be closed after use.  Raises ``ConfigError`` where nobody shares under the name: nothing is made."""
    return look_in(args.shared, Shared(args.shared, args.shared_dir).directory)


def in_order(places: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By the names that people read."""
    return sorted(places, key=lambda p: (p["upstream"], p["target"]))


def shown(place: dict[str, Any]) -> str:
    """A target's name, and a sign where it was cut."""
    return str(place["target"]) + ("..." if place["cut"] else "")

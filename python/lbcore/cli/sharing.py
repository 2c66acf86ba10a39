"""What ``top`` and ``drain`` share: finding the State that workers share, from outside."""

from __future__ import annotations

import argparse
from typing import Any

from lbcore._core import Segment, look_in
from lbcore.options import Shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which State is meant."""
    parser.add_argument("--shared", required=True, metavar="NAME", help="the name that the workers share")
    parser.add_argument(
        "--shared-dir", metavar="DIR", help="where its file is, if the workers say so (default: as they do)"
    )


def look(args: argparse.Namespace) -> Segment:
    """To be closed after use.  Raises ``ConfigError`` where nobody shares under the name: nothing is made."""
    return look_in(args.shared, Shared(args.shared, args.shared_dir).directory)


def in_order(places: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By the names that people read."""
    return sorted(places, key=lambda p: (p["upstream"], p["target"]))


def shown(place: dict[str, Any]) -> str:
    """A target's name, and a sign where it was cut."""
    return str(place["target"]) + ("..." if place["cut"] else "")

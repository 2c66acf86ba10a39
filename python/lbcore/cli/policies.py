"""``lbcore policies``: the selection policies of this build, with their parameters."""

from __future__ import annotations

import argparse

import lbcore
from lbcore.cli.common import add_json, say_json, say_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """0."""
    policies = lbcore.policies()
    if args.json:
        say_json(
            {
                name: {
                    "summary": policy.summary,
                    "parameters": [
                        {
                            "name": p.name,
                            "default": p.default,
                            **({"words": p.words} if p.words else {"min": p.min, "max": p.max}),
                            "doc": p.doc,
                        }
                        for p in policy.parameters
                    ],
                }
                for name, policy in policies.items()
            }
        )
        return 0
    rows = []
    for name, policy in policies.items():
        rows.append((name, "", "", "", policy.summary))
        rows += [("", p.name, shown(p.default), p.range, p.doc) for p in policy.parameters]
    say_table(("POLICY", "PARAMETER", "DEFAULT", "RANGE", "WHAT IT DOES"), rows)
    return 0


def shown(value: float | str | bool) -> str:
    """A default as the command line takes it."""
    return f"{value:g}" if type(value) is float else str(value)

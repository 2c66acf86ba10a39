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
                        {"name": p.name, "default": p.default, "min": p.min, "max": p.max, "doc": p.doc}
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
        rows += [("", p.name, f"{p.default:g}", f"{p.min:g}..{p.max:g}", p.doc) for p in policy.parameters]
    say_table(("POLICY", "PARAMETER", "DEFAULT", "RANGE", "WHAT IT DOES"), rows)
    return 0

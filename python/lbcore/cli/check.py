"""``lbcore check``: everything that is wrong with a configuration, each with its place."""

from __future__ import annotations

import argparse
from collections import Counter

from lbcore.cli.common import add_files, add_json, complain, counted, say, say_json
from lbcore.engine import Engine, Report, Spec
from lbcore.errors import ConfigError, Problem

NOUNS = {"Gateway": "gateway", "HTTPRoute": "HTTP route", "TCPRoute": "TCP route", "UDPRoute": "UDP route",
         "Service": "service", "EndpointSlice": "endpoint slice"}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="as -f")
    add_files(parser, required=False)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """0 if nothing is wrong, else 1."""
    from lbcore.config import read

    files = [*args.files, *(args.file or ())]
    if not files:
        complain("check: name a FILE")
        return 2
    spec, problems = Spec(), list[Problem]()
    try:
        spec = read(files)
        problems = list(spec.report.problems)
        Engine(spec)
    except ConfigError as error:
        problems += error.problems
    if args.json:
        say_json(
            {
                "ok": not problems,
                "problems": [problem.as_dict() for problem in problems],
                "objects": [_object(one) for one in spec.report.objects],
            }
        )
    else:
        for problem in problems:
            say(str(problem))
        say(_summary(spec, problems))
    return 1 if problems else 0


def _object(one: object) -> dict[str, object]:
    from dataclasses import asdict

    data = asdict(one)  # type: ignore[call-overload]
    data.pop("problems")
    return data  # type: ignore[no-any-return]


def _summary(spec: Spec, problems: list[Problem]) -> str:
    if problems:
        return counted(len(problems), "problem")
    kinds = _kinds(spec.report)
    listed = [counted(n, noun) for noun, n in kinds.items() if n]
    skipped = sum(any(c.type == "Skipped" for c in one.conditions) for one in spec.report.objects)
    return (
        "ok: "
        + (", ".join(listed) or "nothing")
        + (f" ({counted(skipped, 'object')} of other kinds skipped)" if skipped else "")
    )


def _kinds(report: Report) -> Counter[str]:
    found = Counter(dict.fromkeys(NOUNS.values(), 0))
    found.update(NOUNS[one.kind] for one in report.objects if one.kind in NOUNS)
    return found

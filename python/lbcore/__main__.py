"""The command line: ``lbcore`` and ``python -m lbcore``.

A command is one module of ``lbcore.cli`` with ``add_arguments(parser)`` and ``run(args) -> exit code``; only
the one that is asked for is imported.  Exit codes: 0 done, 1 the answer is no (a problem, no route), 2 wrong
usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

COMMANDS = {
    "serve": "run the reference proxy",
    "check": "say everything that is wrong with a configuration",
    "routes": "list the routes",
    "match": "say where a request would go",
    "pick": "list the next picks of an upstream",
    "policies": "list the selection policies",
    "top": "show the targets and workers of a shared State",
    "drain": "let a target take no new calls, in all workers that share State",
}
LATER = ("explain", "convert", "push", "get", "gates", "schema")


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code.  Errors are lines on standard error, never tracebacks."""
    arguments = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # whatever a file's name or a manifest holds
    name = next((word for word in arguments if not word.startswith("-")), None)
    if name in LATER:
        print(f"lbcore {name}: not available yet", file=sys.stderr)
        return 2
    return _guarded(_parser(name), arguments)


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lbcore", description="Load balancing and routing: try, check, serve."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == chosen:
            module = import_module(f"lbcore.cli.{name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


class _Version(argparse.Action):
    """``--version``: importing the extension is left until somebody asks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import lbcore

        print(f"lbcore {lbcore.__version__}")
        parser.exit()


def _guarded(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    from lbcore.cli.common import Usage, complain
    from lbcore.errors import LbcoreError

    try:
        args = parser.parse_args(arguments)
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except Usage as error:
        complain(str(error))
        return 2
    except LbcoreError as error:
        complain(str(error))
    except OSError as error:
        complain(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    except MemoryError:
        complain("out of memory")
    return 1


if __name__ == "__main__":
    sys.exit(main())

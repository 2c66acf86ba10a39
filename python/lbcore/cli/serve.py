"""``lbcore serve``: the reference proxy."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import signal
import sys
from typing import Any

from lbcore.cli import sharing
from lbcore.cli.common import add_files, safe
from lbcore.errors import LbcoreError

log = logging.getLogger("lbcore")

EPILOG = """
The configuration is read again on SIGHUP and when a file changes; one that cannot be read leaves the old one in
service.  SIGTERM and SIGINT stop: requests in flight are finished, a second signal cuts them.

Time-outs in seconds: connect 5, idle 60 (no byte in either direction; TCP and UDP too), a request's header 10,
between two requests of a connection 75, total none.

Upstreams with active checks are probed.  The log says what happens to targets.

Clients' X-Forwarded-For, -Proto and -Host are appended to.  WebSocket is not passed on (501).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``lbcore serve``."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_files(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, on both outputs")
    parser.add_argument(
        "--listen",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="the IP address to listen on (default %(default)s; 0.0.0.0 or :: for all)",
    )
    parser.add_argument(
        "--port-map",
        type=_port_pair,
        nargs="+",
        action="extend",
        default=[],
        metavar="80=8080",
        help="open another port than the configuration's; 0 takes a free one",
    )
    parser.add_argument(
        "--drain",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="how long a stop waits for requests in flight (default %(default)g)",
    )
    sharing.add_arguments(parser, required=False)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; the exit code: 0 after a stop, 1 if the configuration or a port does not allow a start."""
    say = _say_json if args.json else _say_text
    _set_up_logging(args.json)
    try:
        from lbcore.cli.supervisor import Supervisor, stamps  # aiohttp comes with it

        sources = [str(name) for name in args.file]
        seen = stamps(sources)
        engine = _load(sources, sharing.shared_of(args))
        supervisor = Supervisor(
            engine,
            address=args.listen,
            ports=dict(args.port_map),
            files=None if "-" in sources else sources,
            seen=seen,
            drain=args.drain,
            say=say,
        )
        return asyncio.run(_checked(engine, supervisor, say))
    except (LbcoreError, ImportError, OSError) as error:
        log.error("%s", error)
        return 1


def _load(sources: list[str], shared: Any = None) -> Any:
    import lbcore

    engine = lbcore.load(sources, shared=shared)
    for problem in engine.report().problems:
        log.warning("%s", problem)
    if not engine.listeners:
        raise LbcoreError("the configuration has no listener: there is nothing to serve")
    return engine


async def _checked(engine: Any, supervisor: Any, say: Any) -> int:
    """Serve, and probe the targets of upstreams that have active checks: what cannot be probed is not served."""
    from lbcore import health

    async with health.start(engine):
        return await _serve(supervisor, say)


async def _serve(supervisor: Any, say: Any) -> int:
    loop = asyncio.get_running_loop()
    _raise_descriptor_limit()
    await supervisor.start()
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            supervisor.hurry()
        stopping.set()

    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(supervisor.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for name, action in (("SIGTERM", stop), ("SIGINT", stop), ("SIGHUP", reload)):
        if hasattr(signal, name):
            try:
                loop.add_signal_handler(getattr(signal, name), action)
            except NotImplementedError:  # Windows: Ctrl-C ends the program at once
                break
    watching = loop.create_task(supervisor.watch())
    say("ready")
    await stopping.wait()
    watching.cancel()
    await supervisor.stop()
    say("stopped")
    return 0


def _raise_descriptor_limit() -> None:
    """A connection takes two descriptors and a UDP flow one; the usual 1,024 are soon gone."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 20 if hard == resource.RLIM_INFINITY else min(hard, 1 << 20)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            log.debug("the limit of %d open files stays", soft)


# ---- what is printed --------------------------------------------------------------------------------------------


def _say_text(kind: str, **facts: Any) -> None:
    if "port" in facts:
        address = f"[{facts['address']}]" if ":" in facts["address"] else facts["address"]
        where = f"{facts['protocol']:<4} {address}:{facts['port']}"
        print(safe(f"{kind} {where}  {' '.join(facts.get('listeners', ()))}".rstrip()), flush=True)
    else:
        print(kind, flush=True)


def _say_json(kind: str, **facts: Any) -> None:
    print(json.dumps({"event": kind, **facts}), flush=True)


class _Lines(logging.Formatter):
    """A log record as lines that no manifest can make a terminal obey."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{self.formatTime(record)} {record.levelname} {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return "\n".join(map(safe, text.split("\n")))


class _JsonLines(logging.Formatter):
    """A log record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": round(record.created, 3), "level": record.levelname.lower(), "logger": record.name}
        entry["message"] = record.getMessage()
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _set_up_logging(as_json: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if as_json else _Lines())
    root = logging.getLogger("lbcore")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False


# ---- what is typed ----------------------------------------------------------------------------------------------


def _port_pair(text: str) -> tuple[int, int]:
    configured, equals, opened = text.partition("=")
    if not (equals and configured.isdecimal() and opened.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 80=8080")
    pair = int(configured), int(opened)
    if not (1 <= pair[0] <= 65_535 and pair[1] <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r}: ports are 1 to 65535 (0 after the = takes a free one)")
    return pair


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds in 0..86400")
    return value

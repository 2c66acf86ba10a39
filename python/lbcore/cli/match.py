"""``lbcore match``: where a request would go, and with which shares."""

from __future__ import annotations

import argparse

from lbcore.cli.common import Usage, add_files, add_json, key_words, load, percent, say, say_json, shares
from lbcore.engine import Engine
from lbcore.errors import BadRequest
from lbcore.explain import Explanation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_files(parser)
    parser.add_argument("method", metavar="METHOD", help="GET, POST, ...")
    parser.add_argument(
        "url", metavar="URL", help="http://host[:port]/path?query, or a path; taken as it is, byte for byte"
    )
    parser.add_argument(
        "-H", "--header", action="append", default=[], metavar="NAME:VALUE", help="a header; may be repeated"
    )
    parser.add_argument("--port", type=int, help="the listener's port (default: the URL's, or the only one)")
    parser.add_argument("--source", metavar="ADDRESS", help="the client's address, for a key of ip")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="every route in the order in which they win, and what each failed on",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """0 for a route, 1 if none matches or the request is refused."""
    host, target = split_url(args.url)
    headers = [_header(text) for text in args.header]
    engine = load(args.file)
    port = _port(engine, args.port, host)
    given = [value for name, value in headers if name.lower() == "host"]
    request = (args.method, given[0] if given else host, target, headers)
    try:
        if args.explain:
            return _explain(args.json, engine.router(port).explain(*request, source=args.source))
        found = engine.match(*request, port=port, source=args.source)
    except BadRequest as error:
        return _answer(args.json, "refused", 400, error.reason)
    if found is None:
        return _answer(args.json, "none", 404, "no route")
    backends = shares(found.backends)
    if args.json:
        say_json(
            {
                "outcome": "route",
                "rule": found.route.name,
                "port": port,
                "target": found.target,
                "backends": backends,
                **key_words(found.route.data),
                **({"key_value": found.key} if found.route.key else {}),
            }
        )
        return 0
    say(f"rule    {found.route.name}")
    say(f"target  {found.target}")
    if found.route.key is not None:
        value = "the request has none" if found.key is None else repr(found.key)
        say(f"key     {', '.join(found.route.key.sources)}: {value}")
    if found.route.split.by is not None:
        say("split   by key")
    total = sum(one["weight"] for one in backends)
    for one in backends:
        say(f"{percent(one['weight'], total):>8}  {one['upstream'] or '(invalid: answers 500)'}")
    if not backends:
        say("no backend: answers 500")
    return 0


def _explain(as_json: bool, told: Explanation) -> int:
    if as_json:
        rows = [{"rule": one.route.name, "host": one.host, "failed": one.failed} for one in told.considered]
        say_json({"outcome": "none" if told.match is None else "route", "considered": rows})
    else:
        for line in str(told).splitlines():
            say(line)
    return 0 if told.match is not None else 1


def _answer(as_json: bool, outcome: str, status: int, reason: str) -> int:
    if as_json:
        say_json({"outcome": outcome, "status": status, "reason": reason})
    else:
        say(reason if outcome == "none" else f"refused: {reason}")
    return 1


def split_url(url: str) -> tuple[str | None, str]:
    """Host (with port) and raw target of a URL; None for the host of a bare path.  Nothing is decoded or repaired."""
    if url.startswith("/"):
        return None, url
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() != "http":
        raise Usage(f"URL: {url[:80]!r} begins neither with http:// nor with /")
    ends = [at for at in (rest.find(c) for c in "/?#") if at >= 0]
    at = min(ends, default=len(rest))
    target = rest[at:]
    return rest[:at], target if target.startswith("/") else "/" + target


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise Usage(f"-H {text[:80]!r}: wanted NAME:VALUE")
    return name, value.strip(" \t")


def _port(engine: Engine, asked: int | None, host: str | None) -> int:
    """The port asked for, that of the URL, the only one, or 80."""
    ports = sorted({one.port for one in engine.listeners if one.protocol == "HTTP"})
    _, colon, digits = (host or "").rpartition(":")
    in_url = int(digits) if colon and digits.isascii() and digits.isdigit() and len(digits) <= 5 else None
    wanted = asked if asked is not None else in_url if in_url in ports else None
    if wanted is None:
        wanted = ports[0] if len(ports) == 1 else 80
    if wanted not in ports:
        listed = ", ".join(map(str, ports)) or "none"
        raise Usage(f"--port: {wanted} is not an HTTP listener's port; ports: {listed}")
    return wanted

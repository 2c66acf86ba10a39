"""``lbcore routes``: the routing table as people read it."""

from __future__ import annotations

import argparse
from typing import Any

from lbcore.cli.common import add_files, add_json, in_words, key_words, load, say_json, say_table, shares
from lbcore.engine import MatchSpec, Spec

HEAD = ("LISTENER", "PORT", "HOST", "PATH", "METHOD", "MORE", "BACKENDS", "RULE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_files(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """0; a configuration that cannot be read raises."""
    rows = list(_rows(load(args.file).spec))
    if args.json:
        say_json({"routes": [{**row, "backends": shares(row["backends"])} for row in rows]})
    else:
        say_table(HEAD, [_cells(row) for row in rows])
    return 0


def _rows(spec: Spec) -> Any:
    """One row for each listener and match of a rule."""
    listeners = {one.name: one for one in spec.listeners}
    for rule in spec.rules:
        for name, hosts in rule.attached.items():
            for match in rule.matches:
                yield _row(listeners[name], rule, list(hosts), match)
    for stream in spec.streams:
        for name in stream.listeners:
            yield _row(listeners[name], stream, [], None)


def _row(listener: Any, rule: Any, hosts: list[str], match: MatchSpec | None) -> dict[str, Any]:
    row = {"listener": listener.name, "protocol": listener.protocol, "port": listener.port, "rule": rule.name}
    if match is not None:
        row |= {
            "hosts": hosts,
            "path": match.path,
            "path_type": match.path_type,
            "methods": list(match.methods),
            "headers": [list(pair) for pair in match.headers],
            "query": [list(pair) for pair in match.query],
        }
    return {**row, "backends": rule.backends, **key_words(rule)}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    place = (row["listener"], f"{row['protocol']} {row['port']}")
    what = (in_words(row["backends"]), row["rule"])
    key = [f"key={','.join(row['key'])}"] if "key" in row else []
    key += [f"split={row['split']}"] if "split" in row else []
    if "path" not in row:
        return (*place, "", "", "", " ".join(key), *what)
    path = row["path"] if row["path_type"] == "exact" else row["path"].rstrip("/") + "/*"
    more = [f"{name}: {value}" for name, value in row["headers"]] + [
        f"?{name}={value}" for name, value in row["query"]
    ]
    more += key
    return (
        *place,
        ",".join(row["hosts"]) or "*",
        path,
        ",".join(row["methods"]) or "*",
        " ".join(more),
        *what,
    )

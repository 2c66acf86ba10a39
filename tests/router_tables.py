"""Random tables and requests with every condition that a route can have, for the core and for its twin at once."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import lbcore
from twins import router as twin

FLAVORS = ("gateway_api", "ingress", "kong_traditional", "kong_compatible")
HOSTS = ("x.com", "y.x.com", "z.y.x.com", "*.x.com", "*.y.x.com", "*.com", "Q")
KONG_HOSTS = (*HOSTS, "x.*", "y.x.*", "x.com:8080", "*.x.com:81")
ASKED_HOSTS = (
    None,
    "",
    "x.com",
    "Y.x.com",
    "z.y.x.com:81",
    "x.com:8080",
    "v.x.com",
    "com",
    "q.",
    "u.y.x.com",
    "x.y.org",
)
SEGMENTS = ("a", "b", "c", "ab", "a%2Fb", "%5C", "d.e", "svc")
NOISE = ("%61", ".", "..", "", "a%2fb", "%2F..", "%5c..%2Fa", "%41", "a b", "%zz")
REGEXES = (
    ".*",
    "/a.*",
    "/b*/c",
    "/a/.*b",
    "/ab*.*",
    "/svc\\.*",
    "/a/b",
    "/.*/.*",
    "/(?P<who>[a-c]+)(/(?P<rest>.*))?",
    "/(a|b)/c",
)
TEXTS = ("1", "2", "1,2", "")
NAMES = ("h", "H", "i", "jj")
VALUE_REGEXES = (".*2", "1.*", ".*1.*2.*", "")
BLOCKS = (
    "10.0.0.0/8",
    "10.1.2.3",
    "10.1.0.0/16",
    "::/0",
    "2001:db8::/32",
    "0.0.0.0/0",
    "2001:db8::1",
    "::ffff:10.1.0.0/112",
)
ADDRESSES = ("10.1.2.3", "10.129.0.1", "::ffff:10.1.9.9", "2001:db8::1", "192.0.2.1")
SNIS = ("x.com", "*.x.com", "*.com", "Y.x.com")
METHODS = ("GET", "POST", "PURGE", "get")
SCHEMES = ("http", "https", "HTTPS")
QUERIES = ("", "?h=1", "?i=2&h=1", "?jj=1%2c2&i", "?", "?H=1&h=2", "?%68=%31", "?h=")


def some(rng: Random, values: Any, most: int) -> list[Any]:
    return rng.sample(values, rng.randint(0, most))


def test_of(rng: Random) -> Any:
    kind = rng.randint(0, 5)
    if kind == 0:
        return tuple(rng.sample(TEXTS, rng.randint(1, 3)))
    if kind == 1:
        return rng.random() < 0.5
    if kind == 2:
        return lbcore.Regex(rng.choice(VALUE_REGEXES[:3]))
    return rng.choice(TEXTS)


def path_of(rng: Random) -> tuple[str, str]:
    kind = rng.choice(("exact", "prefix", "prefix", "template", "plain", "regex"))
    parts = rng.choices(SEGMENTS, k=rng.randint(0, 4))
    if kind == "regex":
        return kind, rng.choice(REGEXES)
    if kind == "template":
        parts = [f"{{p{i}}}" if rng.random() < 0.5 else part for i, part in enumerate(parts)]
        if parts and rng.random() < 0.3:
            parts[-1] = "{rest...}"
    path = "/" + "/".join(parts) + ("/" if parts and rng.random() < 0.2 and "..." not in parts[-1] else "")
    if kind == "plain" and len(path) > 2 and "%" not in path[-4:] and path[-2] != "/" and rng.random() < 0.5:
        path = path[:-1]
    return kind, path


def peers(rng: Random) -> list[Any]:
    found = [(rng.choice((None, *BLOCKS)), rng.choice((None, None, 1, 2))) for _ in range(rng.randint(0, 2))]
    return [peer for peer in found if peer != (None, None)]


def route(rng: Random, flavor: str = "gateway_api") -> dict[str, Any]:
    """The arguments of a Route."""
    kind, path = path_of(rng)
    kong = flavor.startswith("kong")
    if kong and (kind == "prefix" or rng.random() < 0.2):
        kind, path = rng.choice((("plain", ""), ("plain", path), ("prefix", "/")))
        kind, path = ("plain", "/a") if re.search(r"[^\w/.%-]", path) else (kind, path)
    found: dict[str, Any] = {
        "path": path,
        "path_type": kind,
        "hosts": some(rng, KONG_HOSTS if kong else HOSTS, 2),
    }
    if rng.random() < 0.3:
        found["methods"] = some(rng, METHODS, 2)
    for name in ("headers", "query"):
        if rng.random() < 0.3:
            found[name] = [(rng.choice(NAMES), test_of(rng)) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.3:
        found |= {
            "snis": some(rng, SNIS, 1),
            "schemes": some(rng, SCHEMES, 1),
            "ports": some(rng, (1, 2, 3), 2),
        }
        found |= {"sources": peers(rng), "destinations": peers(rng)}
    if kind == "regex":
        found["priority"] = rng.randint(0, 2)
    return found


def core_route(name: str, arguments: dict[str, Any]) -> lbcore.Route:
    return lbcore.Route(name, **arguments)


def _raw_test(test: Any) -> Any:
    if isinstance(test, str):
        return test.encode()
    if isinstance(test, tuple):
        return tuple(value.encode() for value in test)
    return re.compile(test.pattern.encode()) if isinstance(test, lbcore.Regex) else test


def twin_route(arguments: dict[str, Any]) -> twin.Route:
    raw = {name: value for name, value in arguments.items() if name != "priority"}
    raw["path"] = raw["path"].encode()
    for name in ("hosts", "methods", "snis", "schemes"):
        raw[name] = tuple(text.encode() for text in raw.get(name, ()))
    for name in ("headers", "query"):
        raw[name] = tuple((key.encode(), _raw_test(test)) for key, test in raw.get(name, ()))
    for name in ("ports", "sources", "destinations"):
        raw[name] = tuple(raw.get(name, ()))
    return twin.Route(**raw)


def request(rng: Random, routes: list[dict[str, Any]]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and the other arguments of a match."""
    near = rng.choice(routes)["path"] if routes and rng.random() < 0.6 else ""
    text = re.sub(r"\{\w+(\.\.\.)?\}", lambda _: rng.choice(SEGMENTS), near)
    if not text.startswith("/") or not re.fullmatch(r"[\w/.%~-]*", text):
        text = "/" + "/".join(rng.choices(SEGMENTS, k=rng.randint(0, 4)))
    if rng.random() < 0.3:
        text += "/" + rng.choice((*SEGMENTS, *NOISE))
    start = rng.choice(("", "", "", "", "", "http://y.x.com", "HTTPS://X.com:1"))
    headers = [(rng.choice(NAMES), rng.choice((*TEXTS, " 1\t"))) for _ in range(rng.randint(0, 3))]
    known: dict[str, Any] = {}
    if rng.random() < 0.6:
        known = {
            "scheme": rng.choice(SCHEMES),
            "sni": rng.choice((None, "y.x.com", "X.com.")),
            "port": rng.randint(1, 4),
        }
    for name in ("source", "destination"):
        if rng.random() < 0.6:
            known[name] = (rng.choice(ADDRESSES), rng.randint(1, 3))
    return (rng.choice(METHODS), rng.choice(ASKED_HOSTS), start + text + rng.choice(QUERIES), headers), known


def twin_match(slow: twin.Router, positional: tuple[Any, ...], known: dict[str, Any]) -> twin.Answer:
    method, host, target, headers = positional
    connection = twin.Connection(
        (known.get("scheme") or "").encode(),
        (known.get("sni") or "").encode(),
        known.get("port"),
        known.get("source", (None, None)),
        known.get("destination", (None, None)),
    )
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return slow.match(
        method.encode(), None if host is None else host.encode(), target.encode(), raw, connection
    )

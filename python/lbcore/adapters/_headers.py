"""Which headers a proxy passes on, and what it adds; for requests and responses."""

from __future__ import annotations

from collections.abc import Iterable

Pairs = list[tuple[bytes, bytes]]

# RFC 9110 7.6.1, with the fields that 11.7 and 6.5 tie to one connection.  Trailers are not passed on.
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding "
    b"upgrade".split()
)
_KEPT = frozenset(
    (b"host", b"content-length")
)  # whatever Connection says of them: they aim and frame the message


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """``headers`` without those that belong to one connection, the ones that Connection names included."""
    pairs = [(name.lower(), name, value) for name, value in headers]
    drop = _HOP_BY_HOP
    for lower, _, value in pairs:
        if lower == b"connection":
            drop |= {token.strip().lower() for token in value.split(b",")} - _KEPT
        elif lower == b"transfer-encoding":
            drop |= {b"content-length"}  # RFC 9112 6.3: Transfer-Encoding overrides it
    return [(name, value) for lower, name, value in pairs if lower not in drop]


def forwarded(
    headers: Pairs, client: str | None, scheme: str, host: str | None, *, append: bool = True
) -> Pairs:
    """``headers`` with the X-Forwarded-For, -Proto and -Host of this hop.

    They are appended to the client's own, as each proxy of a chain does (a reader counts from the right); with
    ``append=False`` the client's are dropped.
    """
    chain: dict[bytes, list[bytes]] = {
        b"x-forwarded-for": [],
        b"x-forwarded-proto": [],
        b"x-forwarded-host": [],
    }
    rest = []
    for name, value in headers:
        if name.lower() not in chain:
            rest.append((name, value))
        elif append:
            chain[name.lower()].append(value)
    for values, own in zip(chain.values(), (client, scheme, host), strict=True):
        if own:
            values.append(own.encode("utf-8", "surrogateescape"))
    return rest + [(name.title(), b", ".join(values)) for name, values in chain.items() if values]


def first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first header called ``name`` (lower case)."""
    return next((value for key, value in headers if key.lower() == name), None)

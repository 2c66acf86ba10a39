"""The nine rules of the default profile, one function each, slow and obviously right.

The twin of ``src/lbcore/route``: ``target.c``, ``host.c`` and ``fields.c``.  Bytes in; out comes the canonical
form, or ``Refused`` is raised.  Rules 5, 8 and 9 concern the router: ``router.py``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple

ALPHA = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGIT = b"0123456789"
UNRESERVED = ALPHA + DIGIT + b"-._~"
RESERVED = b":/?[]@" + b"!$&'()*+,;="  # "#" ends a URI and is never in a target
TOKEN = ALPHA + DIGIT + b"!#$%&'*+-.^_`|~"

ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
PORT = rb"(?::0*([0-9]*))?"
HOST_NAME = re.compile(rb"([0-9A-Za-z_-]{1,63}(?:\.[0-9A-Za-z_-]{1,63})*)\.?" + PORT)
HOST_LITERAL = re.compile(rb"(\[([0-9A-Fa-f:.]+)\])" + PORT)


class Refused(ValueError):
    """The request is refused: a 400."""


class Target(NamedTuple):
    """A target taken apart; ``query`` and ``authority`` are None where there is none."""

    path: bytes
    query: bytes | None
    authority: bytes | None


def split_form(method: bytes, target: bytes) -> Target:
    """Rule 1, the forms of a target: ``/...``, an absolute http(s) URL, or ``*`` for OPTIONS."""
    authority = None
    if target == b"*":
        if method != b"OPTIONS":
            raise Refused("* belongs to OPTIONS only")
        return Target(b"*", None, None)
    if not target.startswith(b"/"):
        absolute = ABSOLUTE.fullmatch(target)
        if not absolute or not absolute[1]:
            raise Refused("no origin-form and no absolute-form")
        authority, target = absolute[1], absolute[2]
    path, mark, query = target.partition(b"?")
    if not path:
        path = b"*" if method == b"OPTIONS" and not mark else b"/"
    return Target(path, query if mark else None, authority)


def check_bytes(part: bytes) -> None:
    """Rule 1: only the bytes of a URI, and each ``%`` with two hex digits."""
    if any(byte not in UNRESERVED + RESERVED for byte in ESCAPE.sub(b"", part)):
        raise Refused("a byte that a URI cannot hold, or a % without two hex digits")


def decode_unreserved(path: bytes) -> bytes:
    """Rule 2: decode ``%XX`` of unreserved characters, once; upper-case the hex of the rest."""

    def decoded(escape: re.Match[bytes]) -> bytes:
        byte = bytes([int(escape[1], 16)])
        return byte if byte in UNRESERVED else escape[0].upper()

    return ESCAPE.sub(decoded, path)


def merge_slashes(path: bytes) -> bytes:
    """``//`` as ``/``."""
    return re.sub(rb"/+", b"/", path)


def remove_dots(path: bytes) -> bytes:
    """RFC 3986 5.2.4, by segments: ``..`` removes the segment before it, an empty one too."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def remove_segments(path: bytes) -> bytes:
    """Rule 3: slashes and dots in both orders; refused where the orders differ."""
    merged_first = remove_dots(merge_slashes(path))
    dots_first = merge_slashes(remove_dots(path))
    if merged_first != dots_first:
        raise Refused("the order of merging slashes and removing dots matters")
    return merged_first


def target(method: bytes, raw: bytes) -> Target:
    """Rules 1 to 3: the canonical path, the raw query, the authority of an absolute-form.

    %00 is refused in the path only: in a query it is data that nothing decodes into a path.
    """
    path, query, authority = split_form(method, raw)
    if path == b"*":
        return Target(path, query, authority)
    check_bytes(path)
    check_bytes(query or b"")
    if b"%00" in path:
        raise Refused("%00 in the path")
    return Target(remove_segments(decode_unreserved(path)), query, authority)


def second_reading(path: bytes) -> bytes:
    """Rule 4: a canonical path with every ``%2F`` and ``%5C`` as ``/``, rules 2 and 3 again."""
    return remove_segments(decode_unreserved(path.replace(b"%2F", b"/").replace(b"%5C", b"/")))


def host(raw: bytes | None) -> bytes | None:
    """Rule 6: lower case, without port and trailing dot.  None (none sent) and the empty Host stay as they are."""
    if not raw:
        return raw
    if name := HOST_NAME.fullmatch(raw):
        canonical, port = name[1], name[2]
        if len(canonical) > 253:
            raise Refused("the host has more than 253 bytes")
    elif literal := HOST_LITERAL.fullmatch(raw):
        canonical, port = literal[1], literal[3]
        try:
            ipaddress.IPv6Address(literal[2].decode("ascii"))
        except ValueError as error:
            raise Refused(str(error)) from None
    else:
        raise Refused("no host")
    if port and (len(port) > 5 or int(port) > 65535):
        raise Refused("the port is above 65535")
    return canonical.lower()


def is_token(text: bytes) -> bool:
    """1*tchar, RFC 9110 5.6.2."""
    return bool(text) and all(byte in TOKEN for byte in text)


def fields(
    method: bytes, given_host: bytes | None, headers: Sequence[tuple[bytes, bytes]]
) -> dict[bytes, bytes]:
    """Rule 7: header fields by lower-case name, trimmed, repeated ones joined with a comma."""
    if not is_token(method):
        raise Refused("the method is not a token")
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        if not is_token(name):
            raise Refused("a header name is not a token")
        if any(byte in value for byte in b"\r\n\0"):
            raise Refused("a header value holds CR, LF or NUL")
        name, value = name.lower(), value.strip(b" \t")
        if name == b"host" and (name in joined or value != given_host):
            raise Refused("a second Host")
        joined[name] = joined[name] + b"," + value if name in joined else value
    return joined

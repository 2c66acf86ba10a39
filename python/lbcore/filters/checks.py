"""The checks of settings that the values of this room share.  Each raises ConfigError with field, value and range."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lbcore.errors import ConfigError

# RFC 9110 5.6.2: what a method or a header's name is made of.
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
# Gateway API, HTTPHeader.value: printable US-ASCII characters, separated by spaces or tabs.
VALUE = re.compile(r"[!-~](?:[\t -~]*[!-~])?")
MOST_VALUE = 4096
# Gateway API, PreciseHostname: RFC 1123 labels in lower case, no wildcard, no port.
LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
HOSTNAME = re.compile(rf"{LABEL}(?:\.{LABEL})*")
MOST_HOSTNAME = 253
# RFC 3986 3.3: what a path is made of; %00 is nobody's path.
PATH = re.compile(r"/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%(?!00)[0-9A-Fa-f]{2})*")
MOST_PATH = 1024

# They aim and frame the message: the proxy's own business, and a way to smuggle requests in anybody else's hands.
FRAMING = frozenset(
    (
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


def shown(value: object) -> str:
    """The value as an error shows it: its repr, cut."""
    text = repr(value) if not isinstance(value, int) or -(10**30) < value < 10**30 else "a huge number"
    return text if len(text) <= 80 else text[:77] + "..."


def refuse(field: str, value: object, wanted: str) -> ConfigError:
    """The error for a value that is not what is wanted."""
    return ConfigError(field, f"{shown(value)} is not {wanted}")


def whole(field: str, value: object, low: int, high: int) -> None:
    """A whole number in low..high."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise refuse(field, value, f"a whole number in {low}..{high}")


def seconds(field: str, value: object, high: float) -> None:
    """A duration in 0..high seconds."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= high:
        raise refuse(field, value, f"a number of seconds in 0..{high:g}")


def yes_no(field: str, value: object) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise refuse(field, value, "True or False")


def one_of(field: str, value: object, choices: Iterable[object]) -> None:
    """One of a few values."""
    choices = tuple(choices)
    if isinstance(value, bool) or value not in choices:
        raise refuse(field, value, f"one of {', '.join(map(str, choices))}")


def listed(field: str, values: object) -> tuple[object, ...]:
    """A list of anything, as a tuple."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise refuse(field, values, "a list")
    return tuple(values)


def token(field: str, value: object, what: str) -> str:
    """A method's or a header's name."""
    if not isinstance(value, str) or not TOKEN.fullmatch(value):
        raise refuse(field, value, f"{what}: letters, digits and !#$%&'*+-.^_`|~")
    return value


def header_value(field: str, value: object) -> str:
    """A header's value that can stand on one line."""
    if not isinstance(value, str) or len(value) > MOST_VALUE or not VALUE.fullmatch(value):
        raise refuse(
            field, value, f"a header's value: 1..{MOST_VALUE} printable ASCII characters, no blanks around"
        )
    return value


def hostname(field: str, value: object) -> str:
    """A host's name and nothing else."""
    if not isinstance(value, str) or len(value) > MOST_HOSTNAME or not HOSTNAME.fullmatch(value):
        raise refuse(
            field, value, f"a host's name: at most {MOST_HOSTNAME} characters, labels of a-z 0-9 and -"
        )
    return value


def plain_path(field: str, value: object) -> str:
    """A path without query that everybody reads in one way: no ``//`` and no dot segments, escaped or not."""
    if not isinstance(value, str) or len(value) > MOST_PATH or not PATH.fullmatch(value):
        raise refuse(field, value, f"a path: / and at most {MOST_PATH} characters of RFC 3986, no query")
    read = re.sub("%2[eE]", ".", value)
    if "//" in read or any(part in (".", "..") for part in read.split("/")):
        raise refuse(field, value, "a path without // and without . or .. segments")
    return value

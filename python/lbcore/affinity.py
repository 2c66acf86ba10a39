"""Session affinity: a client comes back to the target that served it.

The client carries a value, in a cookie or a header, that names its target; without the secret nobody can make one.

    value    tag . issued . mac       urlsafe text of 12 + 5 + 12 bytes
    tag      keyed hash of the target's id: tells nothing about it
    issued   seconds since 1970: when the session began
    mac      keyed hash of tag and issued
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Iterable

from lbcore.errors import ConfigError

TAG, TIME, MAC = 12, 5, 12


class Affinity:
    """How sessions are kept.

    ``cookie`` or ``header``: where the value travels (exactly one of them).  ``absolute_timeout``: seconds after which
    a session ends whatever happens; None: never.  ``secret``: at least 16 bytes, the same in all workers that serve a
    client; None: drawn, so that sessions end with the process.  ``on_drain``: "keep" lets a draining target serve its
    sessions until its deadline, "move" sends them elsewhere at once.  ``clock``: seconds since 1970.
    Raises ConfigError.
    """

    def __init__(
        self,
        *,
        cookie: str | None = None,
        header: str | None = None,
        absolute_timeout: float | None = None,
        secret: bytes | None = None,
        on_drain: str = "keep",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if (cookie is None) == (header is None):
            raise ConfigError("affinity", "exactly one of cookie= and header= is wanted")
        for field, name in (("cookie", cookie), ("header", header)):
            if name is not None and not (isinstance(name, str) and _is_token(name)):
                raise ConfigError(f"affinity.{field}", f"{name!r:.80} is not a token")
        if absolute_timeout is not None and not (
            isinstance(absolute_timeout, (int, float))
            and not isinstance(absolute_timeout, bool)
            and 0 < absolute_timeout <= 1e9
        ):
            raise ConfigError(
                "affinity.absolute_timeout", f"{absolute_timeout!r:.80} is not in 0..1e9 seconds"
            )
        if secret is not None and not (isinstance(secret, bytes) and 16 <= len(secret) <= 64):
            raise ConfigError("affinity.secret", "wanted: 16 to 64 bytes")
        if on_drain not in ("keep", "move"):
            raise ConfigError("affinity.on_drain", f"{on_drain!r:.80} is not 'keep' or 'move'")
        self.cookie, self.header = cookie, header
        self.absolute_timeout = absolute_timeout
        self.on_drain = on_drain
        self._secret = os.urandom(32) if secret is None else secret
        self._clock = clock

    def tag(self, id: str) -> bytes:
        """What stands for a target's ``id`` in a session's value."""
        return hashlib.blake2b(
            id.encode(), digest_size=TAG, key=self._secret, person=b"lbcore target"
        ).digest()

    def seal(self, tag: bytes) -> str:
        """The value of a session that begins now, on the target of ``tag``."""
        body = tag + int(self._clock()).to_bytes(TIME, "big")
        return base64.urlsafe_b64encode(body + self._mac(body)).decode().rstrip("=")

    def open(self, value: str | None) -> bytes | None:
        """The tag in a session's value; None if it is forged, malformed or over."""
        if not isinstance(value, str) or len(value) > 64:
            return None
        try:
            raw = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
        except (ValueError, UnicodeError):
            return None
        body, mac = raw[: TAG + TIME], raw[TAG + TIME :]
        if len(raw) != TAG + TIME + MAC or not hmac.compare_digest(mac, self._mac(body)):
            return None
        issued = int.from_bytes(body[TAG:], "big")
        over = self.absolute_timeout is not None and self._clock() >= issued + self.absolute_timeout
        return None if over else body[:TAG]

    def read(self, headers: Iterable[tuple[str | bytes, str | bytes]]) -> str | None:
        """The session's value among a request's headers; None if there is none."""
        wanted = "cookie" if self.cookie is not None else str(self.header).lower()
        for name, text in headers:
            if _text(name).lower() != wanted:
                continue
            if self.cookie is None:
                return _text(text).strip()
            for part in _text(text).split(";"):
                key, _, value = part.strip().partition("=")
                if key == self.cookie:
                    return value.strip('"')
        return None

    def write(self, value: str) -> tuple[str, str]:
        """The response header that hands ``value`` to the client."""
        if self.header is not None:
            return self.header, value
        age = "" if self.absolute_timeout is None else f"; Max-Age={int(self.absolute_timeout)}"
        return "Set-Cookie", f"{self.cookie}={value}; Path=/{age}; HttpOnly; SameSite=Lax"

    def _mac(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, digest_size=MAC, key=self._secret, person=b"lbcore session").digest()

    def __repr__(self) -> str:
        where = f"cookie={self.cookie!r}" if self.cookie is not None else f"header={self.header!r}"
        return f"Affinity({where})"


def _is_token(name: str) -> bool:
    return (
        name.isascii() and 0 < len(name) <= 100 and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value

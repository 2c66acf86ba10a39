"""Targets by a file that somebody else writes: a deployment tool, a ConfigMap, an editor.

Watched by its stamp (device, inode, time of change, size) as the path leads to it, so that a new file in its place and
a symbolic link turned elsewhere are seen like an edit.  A stamp that is new is given a moment; what is read is what
stands still, and the stamp is compared again after the reading.
"""

from __future__ import annotations

import os
import stat
from typing import Literal

from lbcore._core import Target
from lbcore.discovery import lines
from lbcore.discovery.aside import Aside
from lbcore.discovery.found import Found
from lbcore.discovery.names import WhenNone, check_word, seconds
from lbcore.errors import ConfigError, LbcoreError, Problem

Format = Literal["lines", "yaml", "json"]

MAX_BYTES = 16 << 20
SETTLE_SECONDS = 0.1  # without a change: whoever writes the file is through
TIMEOUT_SECONDS = 10.0  # of one reading: a network file system may hang
FORMATS: dict[str, Format] = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}
Stamp = tuple[int, int, int, int]


class File:
    """A file of targets; made by :func:`file`."""

    def __init__(self, path: str, format: Format, interval: float, accept_empty: bool) -> None:
        self._path, self._format, self._interval = path, format, interval
        self._accept_empty = accept_empty
        self.backoff = (interval, interval)
        self._aside = Aside()
        self._seen: Stamp | None = None  # what the last look saw
        self._read: Stamp | None = None  # what was read
        self._targets: tuple[Target, ...] | None = None  # of the last good reading
        self._error: LbcoreError | None = None  # what is wrong with what was read

    def __repr__(self) -> str:
        return f"file({self._path})"

    async def resolve(self) -> Found:
        """Look once.  Raises :class:`LbcoreError` if the file cannot be read, :class:`ConfigError` if it is wrong."""
        return await self._aside.run(self._look, TIMEOUT_SECONDS)

    def _look(self) -> Found:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from None
        try:
            now = self._stamp(descriptor)
            before, self._seen = self._seen, now
            if now != self._read and (before not in (None, now) or not self._take(descriptor, now)):
                return self._as_before()
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from None
        finally:
            os.close(descriptor)
        if self._error is not None:
            raise self._error.with_traceback(None)  # which would grow with each look
        return Found(self._targets or (), self._interval)

    def _as_before(self) -> Found:
        """It is being written: look again in a moment; until then what was is good."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._targets is None:
            raise self._unreadable("it is being written")
        return Found(self._targets, min(SETTLE_SECONDS, self._interval))

    def _take(self, descriptor: int, stamp: Stamp) -> bool:
        """Read and parse; False, and nothing happened, if the file is no longer what ``stamp`` says."""
        content = b"" if stamp[3] > MAX_BYTES else _content(descriptor)
        if self._stamp(descriptor) != stamp:
            return False
        self._read = stamp
        try:
            if stamp[3] > MAX_BYTES or len(content) > MAX_BYTES:
                raise self._wrong(f"is larger than {MAX_BYTES >> 20} MiB")
            self._targets = self._parsed(self._decoded(content))
            self._error = None
        except LbcoreError as error:
            self._error = error
        return True

    def _parsed(self, text: str) -> tuple[Target, ...]:
        if self._format == "lines":
            targets = lines.read(text, self._path)
        else:
            from lbcore.config.targets import read

            specs = read(text, self._path, is_json=self._format == "json")
            targets = tuple(
                Target(
                    s.address,
                    id=s.id,
                    weight=s.weight,
                    priority=s.priority,
                    hash_key=s.hash_key,
                    labels=s.labels,
                )
                for s in specs
            )
        if not targets and not self._accept_empty:
            raise self._wrong('holds no target; empty="accept" would empty the upstream')
        return targets

    def _decoded(self, content: bytes) -> str:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            column = error.start - content.rfind(b"\n", 0, error.start)
            raise self._wrong(f"is not UTF-8: byte 0x{content[error.start]:02x}", line, column) from None
        if (at := text.find("\0")) >= 0:  # what a file has where its blocks are not written yet
            line = text.count("\n", 0, at) + 1
            raise self._wrong("has a NUL byte", line, at - text.rfind("\n", 0, at))
        return text

    def _stamp(self, descriptor: int) -> Stamp:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise self._unreadable("it is not a regular file")
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size

    def _wrong(self, reason: str, line: int = 0, column: int = 0) -> ConfigError:
        return ConfigError.of([Problem("", reason, file=self._path, line=line, column=column)])

    def _unreadable(self, reason: str) -> LbcoreError:
        return LbcoreError(f"{self._path}: cannot be read: {reason}")


def _content(descriptor: int) -> bytes:
    """All of it, as far as the limit and one more byte."""
    chunks, left = [], MAX_BYTES + 1
    while left > 0 and (chunk := os.read(descriptor, min(left, 1 << 20))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def file(
    path: str | os.PathLike[str],
    *,
    format: Format | None = None,
    interval: float = 1.0,
    empty: WhenNone = "keep",
) -> File:
    """The targets that the file ``path`` holds, looked at every ``interval`` seconds (0.05..86400).

    ``format``: ``lines`` (an address a line, with ``weight=``, ``priority=``, ``id=``, ``hash_key=`` and labels),
    ``yaml`` or ``json`` (the short form's ``targets``); None: by the suffix, lines if it is another.  At most 16 MiB.
    What is broken, half written or gone leaves the targets as they were; so does a file without targets, unless
    ``empty="accept"``.

    Raises :class:`ConfigError`; :class:`LbcoreError` if the format needs an extra that is not installed.

    >>> file("targets.txt")
    file(targets.txt)
    """
    name = os.fspath(path)
    if not isinstance(name, str) or not name or "\0" in name:
        raise ConfigError("path", f"{name!r} is not the path of a file, as text")
    if format is None:
        format = FORMATS.get(os.path.splitext(name)[1].lower(), "lines")
    check_word("format", format, ("lines", "yaml", "json"))
    check_word("empty", empty, ("keep", "accept"))
    seconds("interval", interval, 0.05, 86_400.0)
    if format != "lines":
        try:
            import lbcore.config.targets  # noqa: F401
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in ("msgspec", "yaml"):
                raise
            raise LbcoreError(
                f'a {format} file of targets needs {error.name}: pip install "lbcore[config]"'
            ) from None
    return File(name, format, interval, empty == "accept")

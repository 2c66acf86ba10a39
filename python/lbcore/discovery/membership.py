"""What the sources of an upstream have said, and what of it the upstream has been given.

Pure but for the upstream and the log: no clock, no I/O.  Three rules:

* A failure keeps what was.  An upstream follows the last good answer of each of its sources.
* An answer that changes nothing is not given to the upstream.
* An update never makes an upstream that could serve one that cannot (see :func:`_end_ejections`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lbcore._core import Target, Upstream
from lbcore.discovery.found import Found
from lbcore.errors import LbcoreError

log = logging.getLogger("lbcore")


class _Part:
    """One source: its last good answer, and what is wrong now."""

    __slots__ = ("asked", "error", "found", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = False
        self.found: Found | None = None
        self.error: Exception | None = None


class Membership:
    """The targets of ``upstream`` by the answers of the sources called ``names``.

    Nothing is given before every source has answered or failed once: the targets that the upstream began with stay.
    """

    def __init__(self, upstream: Upstream, names: Sequence[str]) -> None:
        self.upstream = upstream
        self._parts = [_Part(name) for name in names]
        self._given: tuple[Target, ...] | None = None

    @property
    def error(self) -> Exception | None:
        """What is wrong now with a source, the first that has something."""
        return next((part.error for part in self._parts if part.error), None)

    @property
    def complete(self) -> bool:
        """True once every source has answered or failed."""
        return all(part.asked for part in self._parts)

    def answer(self, i: int, found: Found) -> bool:
        """Source ``i`` has answered; True if the upstream was updated.

        Raises :class:`ConfigError` if the upstream refuses the targets; what was stays.
        """
        if not isinstance(found, Found):
            raise TypeError(f"resolve() returned a {type(found).__name__}, not a Found")
        part = self._parts[i]
        before, part.found = part.found, found
        asked, part.asked = part.asked, True
        try:
            updated = self._give()
        except Exception:
            part.found, part.asked = before, asked
            raise
        if part.error:
            log.info("%s: %s answers again", self.upstream.name, part.name)
            part.error = None
        return updated

    def failure(self, i: int, error: Exception) -> bool:
        """Source ``i`` has failed; True if the upstream was updated, by what others had answered before."""
        part = self._parts[i]
        first, part.asked = not part.asked, True
        before, part.error = part.error, error
        if str(before) != str(error) or before is None:
            unforeseen = not isinstance(error, (LbcoreError, OSError))
            log.warning(
                "%s: %s: %s; its targets stay as they were",
                self.upstream.name,
                part.name,
                error if not unforeseen else repr(error),
                exc_info=error if unforeseen else None,
            )
        try:
            return first and self._give()
        except LbcoreError as refused:
            part.error = refused
            log.warning("%s: %s", self.upstream.name, refused)
            return False

    def _give(self) -> bool:
        answers = [part.found for part in self._parts if part.found is not None]
        if not (answers and self.complete):
            return False
        targets = tuple(target for found in answers for target in found.targets)
        live = self.upstream.targets
        stands = self._given is not None and [t.id for t in live] == [t.id for t in targets]
        if stands and [*map(_facts, self._given or ())] == [*map(_facts, targets)]:
            return False
        served = any(_serves(target) for target in live)
        if served:
            _end_ejections(self.upstream, targets)
        self.upstream.update(targets)
        if served:  # again: a thread may have ejected one meanwhile
            _end_ejections(self.upstream, targets)
        self._given = targets
        self._tell(live, targets)
        return True

    def _tell(self, before: Sequence[Target], after: Sequence[Target]) -> None:
        old, new = {t.id for t in before}, {t.id for t in after}
        names = ", ".join(part.name for part in self._parts)
        counts = len(new), len(new - old), len(old - new)
        log.info("%s: targets now %d (%d new, %d gone) by %s", self.upstream.name, *counts, names)


def _facts(t: Target) -> tuple[object, ...]:
    """All that an update can change in a target; ``data`` by identity, as its equality may be anything."""
    return (
        t.id,
        t.address,
        t.weight,
        t.priority,
        t.hash_key,
        t.scheme,
        t.path,
        sorted(t.labels.items()),
        id(t.data),
    )


def _serves(target: Target) -> bool:
    return target.weight > 0 and target.state == "healthy"


def _end_ejections(upstream: Upstream, targets: Sequence[Target]) -> None:
    """End the ejections among ``targets`` if nobody of them could serve otherwise.

    They were ejected while others carried the load ("at most half"); when exactly these others leave, the ejected would
    be all there is, and every request would fail although nobody ever judged the whole upstream to be down.
    """
    live = {target.id: target for target in upstream.targets}
    staying = [live.get(target.id) for target in targets if target.weight > 0]
    if any(target is None or target.state == "healthy" for target in staying):  # a newcomer is healthy
        return
    for target in staying:
        if target is not None and target.state == "ejected":
            upstream.set_health(target, True)

"""The events of one upstream, of several, or of all of an engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lbcore._core import Event, Upstream
from lbcore.engine import Engine

Source = Upstream | Engine | Iterable[Upstream]


def upstreams_of(source: Source) -> list[Upstream]:
    """The upstreams that ``source`` means, an engine's as of its present configuration."""
    if isinstance(source, Upstream):
        return [source]
    if isinstance(source, Engine):
        return list(source.upstreams.values())
    return list(source)


def events(source: Source) -> Iterator[Event]:
    """What happened since the last time, and what is due by now; ends when that is told, and never waits.

    Upstream after upstream, each at most the 256 events that its queue holds: none keeps the others waiting.  Within an
    upstream the oldest is first.  Each event is given to one reader.
    """
    for upstream in upstreams_of(source):
        yield from taken(upstream)


def taken(upstream: Upstream) -> list[Event]:
    """The events of one upstream.  Ends of ejections, pauses and the like come at their time even if nobody picks."""
    upstream.advance()
    return upstream.events()

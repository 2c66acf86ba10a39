"""Sessions of HTTP clients: the value that a request brings, and the header that hands a new one out."""

from __future__ import annotations

from lbcore._core import Call, Match
from lbcore.adapters._headers import Pairs


def session_of(match: Match, headers: Pairs) -> str | None:
    """The session that a request goes on with: the first that is neither forged nor over, of its backends' affinities.

    None begins a new one, or there are no sessions here.
    """
    for backend in match.backends:
        affinity = backend.upstream.affinity if backend.upstream is not None else None
        if affinity is not None:
            value = affinity.read(headers)
            if affinity.open(value) is not None:
                return value
    return None


def handing_out(call: Call, headers: Pairs) -> Pairs:
    """A response's headers, with the session that ``call`` began; a header of that name is not the target's to set."""
    affinity = call.upstream.affinity
    if affinity is None or call.session is None:
        return headers
    name, value = (text.encode() for text in affinity.write(call.session))
    if affinity.header is not None:
        headers = [pair for pair in headers if pair[0].lower() != name.lower()]
    return [*headers, (name, value)]

"""Where targets come from: a source says them, a follower keeps an upstream at what its sources say.

::

    follower = discovery.start(up, discovery.dns("api.example.com:8080"))
    ...
    await follower.aclose()

A source that fails, or finds nothing, changes nothing: the upstream keeps the last good answer.
"""

from __future__ import annotations

from lbcore.discovery.follow import Follower, start
from lbcore.discovery.found import Found, Source, static
from lbcore.discovery.listing import file
from lbcore.discovery.names import dns, system

__all__ = ["Follower", "Found", "Source", "dns", "file", "start", "static", "system"]

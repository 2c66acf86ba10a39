"""What happened to targets, for logs and for programs that act on it.

::

    for event in lbcore.observe.events(engine):         # what there is now; never waits
        ...
    lbcore.observe.log_events(engine)                   # the same as lines of the logger ``lbcore``
    task = asyncio.create_task(lbcore.observe.follow(engine))
"""

from lbcore.observe.lines import follow, line_of, log_events
from lbcore.observe.queues import events

__all__ = ["events", "follow", "line_of", "log_events"]

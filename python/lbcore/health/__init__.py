"""Active health checks: probes that ask each target whether it can serve.

::

    checker = lbcore.health.start(engine)                 # in the running event loop
    checker = lbcore.health.start(engine, thread=True)    # in a thread of its own: for programs without a loop
    ...
    checker.stop()

What is probed, how and how often is ``upstream.health.active``; what follows from an outcome is the upstream's to judge
(``upstream.checked``).  All I/O of the checks is in this package:

    schedule     when each target is due: no I/O, no clock of its own
    checker      runs what is due, in a loop or a thread, and survives forks
    probes       one probe, whatever its type, as an Outcome
    _http _grpc _connect    what the probes speak, and over what
"""

from lbcore.health.checker import Checker, start

__all__ = ["Checker", "start"]

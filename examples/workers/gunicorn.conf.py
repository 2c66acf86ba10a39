"""Two workers.  preload_app may be on or off: after a fork each worker has a row of its own at its first use."""

import os

bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = 2
preload_app = os.environ.get("PRELOAD") == "1"


def post_worker_init(worker):
    """Threads do not survive a fork: the checks of a WSGI worker start here.  One worker of the host probes."""
    import app

    import lbcore.health

    if worker.wsgi is app.application:
        app.checker = lbcore.health.start(app.shop, thread=True)

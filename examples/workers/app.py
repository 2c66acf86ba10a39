"""One proxy, any number of workers: they share health, calls in flight and the turns of the schedule.

gunicorn -c gunicorn.conf.py app:application             # WSGI: sync or gthread workers
gunicorn -c gunicorn.conf.py -k uvicorn_worker.UvicornWorker app:app
uvicorn --workers 2 app:app
granian --workers 2 --respawn-failed-workers --interface asgi app:app
"""

import http.client
import os

import lbcore
import lbcore.health
from lbcore.adapters.asgi import ReverseProxy

TARGETS = os.environ.get("TARGETS", "127.0.0.1:9001 127.0.0.1:9002").split()
EVERY = float(os.environ.get("CHECK_EVERY", "5"))  # seconds

shop = lbcore.Upstream(
    "shop",
    TARGETS,
    shared=lbcore.Shared("shop", os.environ.get("SHARED_DIR")),
    health=lbcore.Health(
        active=lbcore.ActiveChecks(
            http_path="/health",
            healthy_interval=EVERY,
            healthy_successes=1,
            unhealthy_interval=EVERY,
            unhealthy_http_failures=1,
            unhealthy_tcp_failures=1,
            unhealthy_timeouts=1,
        )
    ),
)


def application(environ, start_response):
    """WSGI: GET requests, to show where acquire and done belong.  gunicorn.conf.py starts the checks."""
    with shop.acquire() as call:
        connection = http.client.HTTPConnection(call.target.host, call.target.port, timeout=5)
        try:
            connection.request("GET", environ["PATH_INFO"])
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        call.report(status=answer.status)
    start_response(f"{answer.status} {answer.reason}", [("Content-Length", str(len(body)))])
    return [body]


proxy = ReverseProxy(lbcore.Router([lbcore.Route("shop", backends=[lbcore.Backend(shop)])]))


async def app(scope, receive, send):
    """ASGI: the checks live as long as the application.  Each worker starts them; one of them probes."""
    if scope["type"] == "lifespan":
        async with lbcore.health.start(shop):
            await proxy(scope, receive, send)
    else:
        await proxy(scope, receive, send)

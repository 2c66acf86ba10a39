"""examples/workers under real servers: gunicorn (sync, gthread and uvicorn workers; preload both ways), uvicorn,
granian."""

import collections
import concurrent.futures
import contextlib
import fcntl
import http.client
import http.server
import importlib.util
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

import lbcore
from lbcore._core import look_in

EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "workers"
EVERY = 0.4  # seconds between checks
PATIENCE = 40.0
GUNICORN = ("gunicorn", "-c", "gunicorn.conf.py")
UVICORN_WORKER = (*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "app:app")
SERVERS = {
    "gunicorn sync": (*GUNICORN, "app:application"),
    "gunicorn sync, preload": (*GUNICORN, "app:application"),
    "gunicorn gthread": (*GUNICORN, "-k", "gthread", "--threads", "4", "app:application"),
    "gunicorn gthread, preload": (*GUNICORN, "-k", "gthread", "--threads", "4", "app:application"),
    "gunicorn uvicorn": UVICORN_WORKER,
    "gunicorn uvicorn, preload": UVICORN_WORKER,
    "uvicorn": ("uvicorn", "--workers", "2", "--host", "127.0.0.1", "--port", "{port}", "app:app"),
    "granian": (
        "granian",
        "--respawn-failed-workers",
        "--workers",
        "2",
        "--interface",
        "asgi",
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
        "app:app",
    ),
}

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="looks at the locks of processes as Linux shows them"
)


class Target:
    """A target that counts what it is asked, and may fail its checks."""

    def __init__(self):
        self.asked = collections.Counter()
        self.checked = []  # times
        self.well = True
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/health":
                    target.checked.append(time.monotonic())
                target.asked[self.path] += 1
                self.send_response(200 if target.well or self.path != "/health" else 503)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"it did not come to pass: {what}"
        time.sleep(0.02)


def get(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def answers(port):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return get(port) == 200
    return False


def get_many(port, n):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return collections.Counter(pool.map(lambda _: get(port), range(n)))


def prober(path):
    """The process that holds a lock of a job, as the kernel says; None: nobody."""
    layout = "hhqqi"
    with open(path, "r+b") as file:
        asked = struct.pack(layout, fcntl.F_WRLCK, 0, (1 << 40) + 4096, 1 << 32, 0)
        kind, _, _, _, pid = struct.unpack(layout, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return pid if kind != fcntl.F_UNLCK else None


@contextlib.contextmanager
def served(name, place, targets):
    port = free_port()
    environment = {
        **os.environ,
        "TARGETS": " ".join(t.address for t in targets),
        "SHARED_DIR": place,
        "CHECK_EVERY": str(EVERY),
        "BIND": f"127.0.0.1:{port}",
        "PRELOAD": str(int(name.endswith("preload"))),
        "PYTHONPATH": str(EXAMPLE),
    }
    command = [sys.executable, "-m", *(word.format(port=port) for word in SERVERS[name])]
    log = pathlib.Path(place).parent / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=EXAMPLE,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: process.poll() is not None or answers(port), "it answers")
        assert process.poll() is None
        yield process, port
    except BaseException:
        print(log.read_text())
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


@pytest.mark.parametrize("name", SERVERS)
def test_the_workers_of(name, tmp_path):
    needed = {"gunicorn": "gunicorn", "uvicorn": "uvicorn", "granian": "granian"}[name.split()[0]]
    for module in (needed, *(("uvicorn_worker",) if "gunicorn uvicorn" in name else ())):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    place = tmp_path / "shared"
    place.mkdir()
    a, b = targets = (Target(), Target())
    with served(name, str(place), targets) as (process, port):
        with look_in("shop", str(place)) as segment:
            path = segment.path
            n = 3 if name.endswith("preload") else 2  # the master has a row, too
            until(lambda: get_many(port, 8) and len(segment.workers()) == n, f"{n} workers")

            # Exact over all workers together.
            before = [t.asked["/"] for t in targets]
            assert get_many(port, 200) == {200: 200}
            got = [t.asked["/"] - was for t, was in zip(targets, before, strict=True)]
            assert sum(got) == 200
            assert abs(got[0] - got[1]) <= 2

            # What the prober finds out, all know.
            b.well = False
            until(
                lambda: {p["state"] for p in segment.places()} == {"healthy", "unhealthy"}, "b is unhealthy"
            )
            asked = b.asked["/"]
            assert get_many(port, 40) == {200: 40}
            assert b.asked["/"] == asked
            b.well = True
            until(lambda: {p["state"] for p in segment.places()} == {"healthy"}, "b is healthy")

        # One prober; after its death another takes over.
        pid = prober(path)
        assert pid not in (None, process.pid)
        os.kill(pid, signal.SIGKILL)
        died = time.monotonic()
        until(lambda: prober(path) not in (None, pid), "another one probes")
        until(lambda: any(at > died + 0.05 for at in a.checked), "it probes")
        first = min(at for at in a.checked if at > died + 0.05)
        assert first - died < 2 * EVERY + 1.0  # and what a busy machine adds
        with look_in("shop", str(place)) as segment:
            until(lambda: get_many(port, 8) and len(segment.workers()) == n, "the dead one has a successor")
        assert get_many(port, 20) == {200: 20}

        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        if "uvicorn" in name and not name.endswith("preload"):
            # It raises the signal anew at its end, and dies of it: what it leaves is nobody's.
            with pytest.raises(lbcore.ConfigError, match="nobody shares under shop"):
                look_in("shop", str(place))
        else:
            until(lambda: os.listdir(place) == [], "the last one removes the file")
    for target in targets:
        target.server.shutdown()
        target.server.server_close()

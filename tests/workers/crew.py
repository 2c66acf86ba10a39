"""Starts and speaks to workers; the other scripts of this folder run by themselves."""

import contextlib
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
PATIENCE = 60.0  # seconds


class Refused(Exception):
    """What a worker was told to do raised: the type's name and its text."""


class Worker:
    """One process of ``worker.py``."""

    def __init__(self):
        command = [sys.executable, str(HERE / "worker.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def tell(self, code):
        """Begin; ``hear`` waits for the end."""
        self.process.stdin.write(json.dumps({"code": code}) + "\n")
        self.process.stdin.flush()

    def hear(self):
        said = json.loads(self.process.stdout.readline())
        if "error" in said:
            raise Refused(f"{said['error']}: {said['text']}")
        return said["value"]

    def do(self, code):
        self.tell(code)
        return self.hear()

    def close(self):
        """The end in order; waits for it."""
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        assert self.process.returncode == 0

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdin.close()
        self.process.stdout.close()


@contextlib.contextmanager
def crew(n, *begin):
    """``n`` workers that have done ``begin`` at the same time; those left at the end are ended in order."""
    workers = [Worker() for _ in range(n)]
    try:
        for w in workers:
            assert w.hear() == "ready"
        for code in begin:
            together(workers, code)
        yield workers
        for w in workers:
            if w.process.poll() is None:
                w.close()
    finally:
        for w in workers:
            if w.process.poll() is None:
                w.kill()


def together(workers, code):
    """All at once; what each said."""
    for w in workers:
        w.tell(code)
    return [w.hear() for w in workers]


def script(name, *arguments, patience=PATIENCE):
    """Run a script of this folder to its end; what it prints, as JSON."""
    command = [sys.executable, str(HERE / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience)
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return json.loads(done.stdout)

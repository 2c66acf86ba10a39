"""Python processes for tests: what goes wrong in them hangs or crashes, so each has a time-out."""

import subprocess
import sys
import textwrap

HELPERS = """
import gc, os, signal, sys, threading, warnings
import lbcore

def child_of(what):
    "Run what() in a forked child; fail if that does."
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            what()
            code = 0
        except BaseException as error:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def python(code, *args, timeout=120, flags=("-X", "dev")):
    """Run ``code`` with HELPERS before it; what it printed.  It must end well and say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", HELPERS + textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert (done.returncode, done.stderr) == (0, ""), f"exit code {done.returncode}\n{done.stderr[-4000:]}"
    return done.stdout.strip()

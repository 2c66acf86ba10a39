"""Kill -9 workers at random moments and see what becomes of the others.

    python killing.py KILLS SEED DIRECTORY

Four children of a fork share an upstream in DIRECTORY and make calls as fast as they can; this process kills one, forks
another in its place, and looks in as a fifth worker.  Prints one JSON object:

    kills       how many
    before      calls per CPU second of a worker while nobody dies
    during      the same of the survivors while others die
    healed      seconds until the calls of a dead worker were gone, the longest of several; nobody asks for stats()
    counted     calls in flight that are counted at the end, where there are none
    left        files in DIRECTORY after the last orderly end
"""

import json
import mmap
import os
import random
import signal
import struct
import sys
import time

import lbcore

N = 4
CELL = struct.Struct("QQQ")  # calls, CPU ns, stop


def upstream(directory):
    targets = [lbcore.Target(f"10.0.0.{i}:80", weight=1 + i % 3) for i in range(16)]
    return lbcore.Upstream(
        "u", targets, "least_conn", shared=lbcore.Shared("killing", directory, max_targets=64, max_workers=16)
    )


def work(directory, board, slot):
    """Calls, three of them open at a time, until told to stop."""
    signal.alarm(300)
    up = upstream(directory)
    calls, total = [], 0
    while not CELL.unpack_from(board, slot * CELL.size)[2]:
        for _ in range(64):
            calls.append(up.acquire())
            if len(calls) > 3:
                calls.pop(0).done()
        total += 64
        struct.pack_into("QQ", board, slot * CELL.size, total, time.process_time_ns())
    for call in calls:
        call.done()


def hold(directory, pipe):
    """Seven calls that never end."""
    signal.alarm(300)
    up = upstream(directory)
    calls = [up.acquire() for _ in range(7)]
    os.write(pipe, b"7")
    signal.pause()
    del calls


def fork(what, *arguments):
    pid = os.fork()
    if pid:
        return pid
    try:
        what(*arguments)
        sys.exit(0)  # in order: the interpreter's own end
    except SystemExit:
        raise
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(3)


def rates(board, seconds):
    """Calls per CPU second of each worker over a while."""
    first = [CELL.unpack_from(board, i * CELL.size) for i in range(N)]
    time.sleep(seconds)
    last = [CELL.unpack_from(board, i * CELL.size) for i in range(N)]
    return [(b[0] - a[0]) / max(1, b[1] - a[1]) * 1e9 for a, b in zip(first, last, strict=True)]


def reap(pid):
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def healing(directory, up):
    """Seconds until the calls of a worker that was killed are gone; this worker picks, as any other."""
    reader, writer = os.pipe()
    pid = fork(hold, directory, writer)
    assert os.read(reader, 1) == b"7"
    os.close(reader)
    os.close(writer)
    counted(up, lambda n: n >= 7)
    os.kill(pid, signal.SIGKILL)
    reap(pid)
    began = time.monotonic()
    counted(up, lambda n: n < 7)
    return time.monotonic() - began


def counted(up, wanted, patience=10.0):
    """Pick until the calls in flight are as wanted; how many they are."""
    end = time.monotonic() + patience
    while True:
        up.pick()
        n = sum(t.in_flight for t in up.targets)
        if wanted(n) or time.monotonic() > end:
            return n
        time.sleep(0.001)


def main():
    kills, seed, directory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rng = random.Random(seed)
    board = mmap.mmap(-1, N * CELL.size)
    up = upstream(directory)
    pids = [fork(work, directory, board, i) for i in range(N)]
    while not all(CELL.unpack_from(board, i * CELL.size)[0] for i in range(N)):
        time.sleep(0.001)
    before = rates(board, 0.5)
    during, last = [], 0
    for k in range(kills):
        victim = rng.randrange(N)
        survivors = rates(board, rng.random() * 0.03 + 0.01)
        if k:
            during += [r for i, r in enumerate(survivors) if i != last and r]
        last = victim
        os.kill(pids[victim], signal.SIGKILL)
        reap(pids[victim])
        CELL.pack_into(board, victim * CELL.size, 0, 0, 0)
        pids[victim] = fork(work, directory, board, victim)
    for i in range(N):
        struct.pack_into("Q", board, i * CELL.size + 16, 1)
    codes = [reap(pid) for pid in pids]
    healed = [healing(directory, up) for _ in range(3)]
    n = counted(up, lambda n: n == 0)
    during.sort()
    before.sort()
    workers = len(up.stats()["workers"])
    result = {
        "kills": kills, "before": before[len(before) // 2], "during": during[len(during) // 2], "healed": max(healed),
        "counted": n, "codes": codes, "workers": workers,
    }  # fmt: skip
    del up
    import gc

    gc.collect()
    print(json.dumps(result | {"left": os.listdir(directory)}))


if __name__ == "__main__":
    main()

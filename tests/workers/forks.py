"""Upstreams and forks, spawns, threads and ends of programs; one JSON object.

python forks.py WHAT DIRECTORY
"""

import gc
import json
import multiprocessing
import os
import signal
import sys
import threading
import time

import lbcore

ADDRESSES = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"]


def upstream(directory, policy="round_robin", **more):
    return lbcore.Upstream("u", ADDRESSES, policy, shared=lbcore.Shared("forks", directory), **more)


def in_child(work):
    """What ``work()`` returns in a child of a fork, which ends in order."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        try:
            said = {"value": work()}
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        os.write(writer, json.dumps(said).encode())
        sys.exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = json.load(pipe)
    assert os.waitpid(pid, 0)[1] == 0
    return said.get("value", said.get("error"))


def before(directory):
    """Made before the fork, with a call open: the child's calls and turns are its own and are counted together."""
    up = upstream(directory)
    call = up.acquire()
    picked = [up.pick().id for _ in range(3)]

    def child():
        mine = [up.pick().id for _ in range(4)]
        with up.acquire():
            stats = up.stats()
        return (
            mine,
            stats["in_flight"],
            stats["own_in_flight"],
            sorted(w["in_flight"] for w in stats["workers"]),
        )

    mine, *counted = in_child(child)
    call.done()
    return {"picked": sorted([*picked, call.target.id]), "child": sorted(mine), "counted": counted}


def after(directory):
    """Made after the fork, by name, on both sides."""
    out = in_child(lambda: [upstream(directory).pick().id for _ in range(4)])
    up = upstream(directory)
    return {"child": sorted(out), "picked": sorted(up.pick().id for _ in range(4))}


def bad_clock(directory):
    """A clock that fails in the child leaves no lock behind."""
    times = iter([1.0] * 4)
    up = upstream(directory, clock=lambda: next(times))

    def child():
        try:
            up.pick()
        except StopIteration:
            pass
        else:
            return "it picked"
        other = upstream(directory)  # needs the lock
        return other.pick().id

    for _ in times:
        pass
    return {"child": in_child(child)}


def dropped(directory):
    """Upstreams that the collector frees leave nothing open; the same name begins anew."""
    left = []
    for _ in range(20):
        up = upstream(directory)
        split = lbcore.Split([up], name="s")
        split.pick()
        up.watch(lambda up=up: None)
        del up, split
        gc.collect()
        left.append(os.listdir(directory))
    return {"left": left}


def storm(directory):
    """Threads that make and drop upstreams of one name: the process keeps its row, which a looker from outside sees."""
    kept = upstream(directory)
    end = time.monotonic() + 1.5
    failed = []

    def make():
        while time.monotonic() < end:
            try:
                up = lbcore.Upstream("v", ADDRESSES, shared=lbcore.Shared("forks", directory))
                other = lbcore.Upstream("w", ADDRESSES, shared=lbcore.Shared("storm", directory + "/."))
                up.acquire().done()
                other.pick()
                del up, other
                gc.collect()
            except Exception as error:
                failed.append(repr(error))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()

    def child():
        return len(upstream(directory).stats()["workers"])

    return {"failed": failed, "workers": in_child(child), "picked": kept.pick().id in ADDRESSES}


def pool(directory):
    """A child that multiprocessing forks ends without the interpreter's own end; it is the last to have the segment."""
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    left = []
    for made_before in (False, True):
        up = upstream(directory) if made_before else None
        p = context.Process(target=lambda up=up: queue.put((up or upstream(directory)).pick().id))
        p.start()
        queue.get()
        del up
        p.join(60)
        gc.collect()
        left.append([p.exitcode, os.listdir(directory)])
    return {"left": left}


def spawned(directory, queue):
    up = upstream(directory)
    queue.put([up.pick().id for _ in range(2)])


def spawn(directory):
    """Two spawned processes open the segment by name."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    up = upstream(directory)
    first = [up.pick().id for _ in range(4)]
    processes = [context.Process(target=spawned, args=(directory, queue)) for _ in range(2)]
    for p in processes:
        p.start()
    theirs = [id for _ in processes for id in queue.get()]
    for p in processes:
        p.join(60)
    return {"picked": sorted(first), "theirs": sorted(theirs), "codes": [p.exitcode for p in processes]}


def daemons(directory):
    """Daemon threads that never stop: the program ends all the same."""
    up = upstream(directory)

    def call():
        while True:
            with up.acquire():
                pass

    def load():
        while True:
            up.update([*ADDRESSES, f"10.0.1.{time.monotonic_ns() % 200}:80"])

    for work in (call, call, load):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.2)
    return {"picked": up.pick() is not None}


if __name__ == "__main__":
    signal.alarm(100)
    print(json.dumps(globals()[sys.argv[1]](sys.argv[2])))

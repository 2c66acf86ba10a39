"""State that worker processes share, with real processes: exact shares, health, calls, deaths, forks, ends.

Nothing here waits for a certain time to pass but for what another process does.  ``LBCORE_SOAK=1`` (``make soak``)
stops and kills for longer.
"""

import gc
import mmap
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

import lbcore
from lbcore._core import look_in
from workers.crew import Refused, crew, script, together

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shared State is not available on Windows")

SOAK = bool(os.environ.get("LBCORE_SOAK"))
SEED = int(os.environ.get("LBCORE_SEED", "20240607"))


@pytest.fixture
def place(tmp_path):
    """The directory of the segments; empty again at the end."""
    directory = tmp_path / "shared"
    directory.mkdir()
    yield str(directory)
    gc.collect()
    assert os.listdir(directory) == []


def shared(place, **more):
    options = "".join(f", {name}={value!r}" for name, value in more.items())
    return f"lbcore.Shared('test', {place!r}{options})"


def made(place, targets="['a:1', 'b:1']", more="", **size):
    return f"up = lbcore.Upstream('u', {targets}, shared={shared(place, **size)}{more})"


def until(condition, patience=20.0):
    """Seconds until ``condition()``."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < patience, "it did not come to pass"
        time.sleep(0.001)
    return time.monotonic() - began


def counts(workers, n, what="up.pick().id"):
    """What all of them pick, ``n`` times each and at the same time, summed."""
    found = {}
    code = f"[{what} for _ in range({n})]"
    for picked in together(workers, f"__import__('collections').Counter({code})"):
        for id, count in picked.items():
            found[id] = found.get(id, 0) + count
    return found


def off(found, weights, n):
    """How far the counts are from the exact shares of ``n`` picks, at most."""
    total = sum(weights.values())
    return max(abs(found.get(id, 0) - n * w / total) for id, w in weights.items())


# ---- exact shares -----------------------------------------------------------------------------------------------

WEIGHTED = "[lbcore.Target('a:1', weight=3), lbcore.Target('b:1', weight=1)]"


def test_eight_workers_keep_the_shares_of_a_split(place):
    stable = f"stable = lbcore.Upstream('stable', ['a:1', 'a:2'], shared={shared(place)})"
    canary = f"canary = lbcore.Upstream('canary', ['b:1'], shared={shared(place)})"
    split = "split = lbcore.Split([lbcore.Backend(stable, 75), lbcore.Backend(canary, 25)], name='rule')"
    rng = random.Random(SEED)
    total, got = 0, {}
    with crew(8, stable, canary, split) as workers:
        for _ in range(6):
            n = rng.randrange(1, 400)
            total += 8 * n
            for id, count in counts(workers, n, "split.pick().id").items():
                got[id[0]] = got.get(id[0], 0) + count
            assert off(got, {"a": 75, "b": 25}, total) <= 1, (SEED, total, got)


def test_eight_workers_keep_the_weights_of_an_upstream(place):
    rng = random.Random(SEED)
    total, got = 0, {}
    with crew(8, made(place, WEIGHTED)) as workers:
        for _ in range(6):
            n = rng.randrange(1, 400)
            total += 8 * n
            for id, count in counts(workers, n).items():
                got[id] = got.get(id, 0) + count
            assert off(got, {"a:1": 3, "b:1": 1}, total) <= 1, (SEED, total, got)


RUN = """
import mmap
file = open({board!r}, "r+b")
board = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
def run(slot, n):
    a = b = 0
    for _ in range(n):
        if up.pick().id == "a:1": a += 1
        else: b += 1
        board[slot] = a << 32 | b
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says who is stopped")
def test_a_pick_in_flight_is_off_by_one_at_most(place, tmp_path):
    """All are stopped in the middle of their picks: each may have one that it has not counted."""
    board = tmp_path / "board"
    board.write_bytes(bytes(64))
    with crew(8, made(place, WEIGHTED), RUN.format(board=str(board))) as workers, board.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
        for slot, w in enumerate(workers):
            w.tell(f"run({slot}, 100000)")
        for _ in range(40):
            for w in workers:
                os.kill(w.pid, signal.SIGSTOP)
            until(lambda: all(is_stopped(w.pid) for w in workers))
            cells = [int.from_bytes(memory[8 * i : 8 * i + 8], "little") for i in range(8)]
            a, b = sum(c >> 32 for c in cells), sum(c & 0xFFFFFFFF for c in cells)
            assert abs(a - 0.75 * (a + b)) <= 1 + 8
            for w in workers:
                os.kill(w.pid, signal.SIGCONT)
        for w in workers:
            w.hear()
        assert (
            abs(sum(int.from_bytes(memory[8 * i + 4 : 8 * i + 8], "little") for i in range(8)) - 600_000) <= 1
        )


def is_stopped(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def test_a_rolling_change_of_weights_costs_one_pick_per_target(place):
    with crew(8, made(place, WEIGHTED)) as workers:
        old, new = {"a:1": 3, "b:1": 1}, {"a:1": 1, "b:1": 2}
        got_old, n_old = counts(workers, 101), 8 * 101
        got_new, n_new = {}, 0
        for i, w in enumerate(workers):
            w.do("up.update([lbcore.Target('a:1', weight=1), lbcore.Target('b:1', weight=2)])")
            for part, got in ((workers[: i + 1], got_new), (workers[i + 1 :], got_old)):
                for id, count in counts(part, 37).items():
                    got[id] = got.get(id, 0) + count
            n_new += 37 * (i + 1)
            n_old += 37 * (7 - i)
            assert off(got_old, old, n_old) <= 1
            assert off(got_new, new, n_new) <= 1
            both = {id: got_old[id] + got_new[id] for id in old}
            wanted = {id: n_old * old[id] / 4 + n_new * new[id] / 3 for id in old}
            assert all(abs(both[id] - wanted[id]) <= 2 for id in old)  # one, and one for the change


def test_workers_with_different_configurations_do_not_disturb_each_other(place):
    with crew(2) as (one, two):
        one.do(made(place, WEIGHTED))
        two.do(made(place, "['a:1', 'b:1', 'c:1']", ", limits=lbcore.Limits(in_flight=5)"))
        got = ({}, {})
        for _ in range(5):
            one.tell("__import__('collections').Counter(up.pick().id for _ in range(333))")
            two.tell("__import__('collections').Counter(up.pick().id for _ in range(334))")
            for w, found in zip((one, two), got, strict=True):
                for id, count in w.hear().items():
                    found[id] = found.get(id, 0) + count
        assert off(got[0], {"a:1": 3, "b:1": 1}, 5 * 333) <= 1
        assert off(got[1], {"a:1": 1, "b:1": 1, "c:1": 1}, 5 * 334) <= 1
        one.do("up.set_health('a:1', False)")
        assert "a:1" not in counts([two], 30)
        two.do("up.update(['b:1'])")
        one.do("up.set_health('a:1', True)")
        assert "a:1" in counts([one], 30)


# ---- health -----------------------------------------------------------------------------------------------------

AIM = """
def aim():
    call = up.acquire()
    while call.target.id != "a:1":
        call.done()
        call = up.acquire()
    return call
"""
FLIPS = {
    "eject": ("for _ in range(3): aim().done(error=ConnectionRefusedError())", "ejected"),
    "set_health": ("up.set_health('a:1', False)", "unhealthy"),
    "drain": ("up['a:1'].drain()", "draining"),
    "hold": ("aim().done(status=503, retry_after=50)", "held"),
    "disable": ("up['a:1'].disable()", "disabled"),
}


@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("policy", ["round_robin", "hash", "least_conn", "random"])
def test_what_one_finds_out_all_know_at_their_next_pick(place, flip, policy):
    key = "'k'" if policy == "hash" else ""
    aim = AIM.replace("up.acquire()", "up.acquire(__import__('os').urandom(8))") if key else AIM
    pick = f"up.pick({key or ''}).id"
    with crew(
        3,
        made(place, "['a:1', 'b:1', 'c:1']", f", policy={policy!r}, limits=lbcore.Limits(error_hold=0)"),
        aim,
    ) as workers:
        for w in workers:
            w.do(f"[{pick} for _ in range(10)]")
        code, state = FLIPS[flip]
        workers[0].do(code)
        for w in workers:
            assert w.do(f"[{pick} for _ in range(1)]")[0] != "a:1"
            assert "a:1" not in w.do(f"[{pick} for _ in range(50)]")
            assert w.do("up['a:1'].state") == state
        workers[1].do("up['a:1'].undrain(); up['a:1'].enable(); up.set_health('a:1', True)")
        assert together(workers, "up['a:1'].state") == ["healthy"] * 3
        if not key:
            assert all("a:1" in w.do(f"[{pick} for _ in range(200)]") for w in workers)


def test_one_address_in_two_upstreams_is_two_targets(place):
    with crew(2, made(place), made(place).replace("up =", "other =").replace("'u'", "'v'")) as (one, two):
        one.do("up.set_health('a:1', False); call = other.acquire(exclude='b:1')")
        assert two.do("[t.state for t in (*up, *other)]") == ["unhealthy", "healthy", "healthy", "healthy"]
        assert two.do("(up.stats()['in_flight'], other.stats()['in_flight'])") == [0, 1]
        one.do("call.done()")


# ---- calls ------------------------------------------------------------------------------------------------------


def test_least_conn_and_limits_see_the_calls_of_all(place):
    with crew(2) as (one, two):
        one.do(made(place))
        two.do(made(place, more=", policy='least_conn', limits=lbcore.Limits(in_flight=6)"))
        one.do(AIM)
        one.do("calls = [aim() for _ in range(5)]")
        seen = until(lambda: two.do("(up.pick(), up['a:1'].in_flight)[1]") == 5)
        assert seen < 1.0, seen  # a millisecond, and what a busy machine adds
        assert two.do("[up.pick().id for _ in range(20)]") == ["b:1"] * 20
        one.do("calls.append(aim())")
        until(lambda: two.do("(up.pick(), up['a:1'].in_flight)[1]") == 6)
        assert two.do("up.pick_or_none(exclude='b:1')") is None
        one.do("[c.done() for c in calls]")
        until(lambda: two.do("(up.pick(), up['a:1'].in_flight)[1]") == 0)


def test_two_upstreams_of_one_name_in_one_process_count_together(place):
    """As a reload leaves them: the old one lives on in its calls."""
    with crew(2, made(place)) as (one, two):
        one.do("call = up.acquire()")
        one.do("old = up; " + made(place, more=", policy='least_conn'"))
        until(lambda: one.do("(up.pick(), up[call.target.id].in_flight)[1]") == 1)
        assert one.do("up.pick() is not up[call.target.id]")
        assert two.do("up.stats()['in_flight']") == 1
        one.do("del old, up; __import__('gc').collect()")
        assert two.do("up.stats()['in_flight']") == 1
        one.do("call.done(); del call; __import__('gc').collect()")
        assert two.do("(up.stats()['in_flight'], len(up.stats()['workers']))") == [0, 1]


def test_a_worker_that_is_stopped_loses_nothing(place):
    with crew(2, made(place)) as (one, two):
        one.do("calls = [up.acquire() for _ in range(3)]")
        os.kill(one.pid, signal.SIGSTOP)
        try:
            end = time.monotonic() + (10 if SOAK else 2)
            while time.monotonic() < end:
                stats = two.do("up.stats()")
                assert stats["in_flight"] == 3
                assert {w["pid"] for w in stats["workers"]} == {one.pid, two.pid}
                two.do("up.update(['a:1', 'b:1', 'c:1'])")
                time.sleep(0.05)
        finally:
            os.kill(one.pid, signal.SIGCONT)
        one.do("[c.done() for c in calls]")
        assert two.do("up.stats()['in_flight']") == 0


def test_workers_that_are_killed_leave_nothing(place):
    before = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    result = script("killing.py", 1000 if SOAK else 50, SEED, place, patience=280)
    print(SEED, result)
    assert result["codes"] == [0] * 4
    assert result["counted"] == 0
    assert result["healed"] < 2.0
    assert result["workers"] == 1
    assert result["left"] == []
    assert result["during"] > 0.6 * result["before"], result  # of one core that others may use as well
    if before:
        assert {
            n for n in set(os.listdir("/dev/shm")) - before if n.startswith(("lbcore-0-killing", "sem."))
        } == set()


def test_a_row_is_its_workers_whatever_has_its_number(place):
    """Death is told by the lock, not by the pid: a dead worker's number may be somebody else's by now."""
    with crew(2, made(place)) as (one, two):
        one.do("calls = [up.acquire() for _ in range(3)]")
        pid = one.pid.to_bytes(8, "little")
        with open(two.do("__import__('glob').glob(" + repr(place + "/*") + ")[0]"), "r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
        at = memory.find(pid)
        assert at > 0
        assert memory.find(pid, at + 1) < 0
        one.kill()
        memory[at : at + 8] = os.getpid().to_bytes(8, "little")  # a process that lives
        memory.close()
        assert two.do("(up.stats()['in_flight'], len(up.stats()['workers']))") == [0, 1]


# ---- beginnings and ends ----------------------------------------------------------------------------------------


def test_all_may_begin_at_once(place):
    with crew(8) as workers:
        for _ in range(25):
            together(workers, made(place))
            assert together(workers, "len(up.stats()['workers'])") == [8] * 8
            together(workers, "del up; __import__('gc').collect()")
            assert os.listdir(place) == []


def test_all_may_end_at_once(place):
    for _ in range(5):
        with crew(4, made(place)) as workers:
            together(workers, "up.acquire().done()")
            for w in workers:
                w.process.stdin.close()
            assert [w.process.wait(60) for w in workers] == [0] * 4
            for w in workers:
                w.process.stdout.close()
        assert os.listdir(place) == []


def test_made_before_the_fork(place):
    result = script("forks.py", "before", place)
    assert result["picked"] == result["child"] == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"]
    assert result["counted"] == [2, 1, [1, 1]]


def test_made_after_the_fork(place):
    result = script("forks.py", "after", place)
    assert result["picked"] == result["child"] == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"]


def test_children_of_multiprocessing_end_in_order(place):
    assert script("forks.py", "pool", place)["left"] == [[0, []], [0, []]]


def test_spawned_processes_open_it_by_name(place):
    result = script("forks.py", "spawn", place)
    assert result["picked"] == result["theirs"]
    assert result["codes"] == [0, 0]


def test_a_clock_that_fails_in_a_child_leaves_no_lock(place):
    assert script("forks.py", "bad_clock", place)["child"].startswith("10.0.0.")


def test_what_the_collector_frees_leaves_nothing_open(place):
    assert script("forks.py", "dropped", place)["left"] == [[]] * 20


def test_threads_may_make_and_drop_what_they_like(place):
    result = script("forks.py", "storm", place)
    assert result == {"failed": [], "workers": 2, "picked": True}


def test_daemon_threads_do_not_keep_a_program_from_its_end(place):
    assert script("forks.py", "daemons", place) == {"picked": True}


# ---- what is refused --------------------------------------------------------------------------------------------


def refused(place, name="test", **size):
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.Upstream("u", ["a:1"], shared=lbcore.Shared(name, place, **size))
    return caught.value.problems[0]


def file_of(place, name="test"):
    return pathlib.Path(place) / f"lbcore-{os.geteuid()}-{name}"


def test_other_sizes_are_refused_and_change_nothing(place):
    with crew(1, made(place)) as (worker,):
        was = file_of(place).stat()
        problem = refused(place, max_targets=100_000)
        assert problem.field == "shared"
        assert "max_targets 16384 and max_workers 64, this worker wants 100000 and 64" in problem.reason
        assert "shared_dir=" in problem.reason
        assert str(file_of(place)) in problem.reason
        now = file_of(place).stat()
        assert (now.st_size, now.st_blocks) == (was.st_size, was.st_blocks)
        assert worker.do("up.pick().id") in ("a:1", "b:1")


def test_another_layout_is_refused_while_it_lives(place):
    with crew(1, made(place)) as (worker,):
        with file_of(place).open("r+b") as file:
            file.seek(8)
            file.write((77).to_bytes(8, "little"))
        assert "has layout 77, this lbcore reads layout" in refused(place).reason
        worker.kill()
        up = lbcore.Upstream("u", ["a:1"], shared=lbcore.Shared("test", place))  # nobody's: begun anew
        assert len(up.stats()["workers"]) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(place):
    file_of(place).touch(0o600)
    os.chown(file_of(place), 4242, 4242)
    reason = refused(place).reason
    assert "belongs to user 4242, this process runs as user 0" in reason
    assert "shared_dir=" in reason
    file_of(place).unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_directory_without_write_is_refused(place):
    os.chmod(place, 0o555)
    for parent in pathlib.Path(place).parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    with crew(1) as (worker,):
        worker.do("lbcore.Shared('x'); __import__('os').setuid(65534)")
        with pytest.raises(
            Refused, match=r"ConfigError: shared: .* cannot be made: Permission denied; shared_dir= names"
        ):
            worker.do(made(place))
    os.chmod(place, 0o700)


@pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="needs root to mount a small file system"
)
def test_a_full_directory_is_refused(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "lbcore-test", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        problem = refused(str(small))
        assert "no room for" in problem.reason
        assert "shared_dir=" in problem.reason
        assert os.listdir(small) == []
        up = lbcore.Upstream(
            "u", ["a:1"], shared=lbcore.Shared("test", str(small), max_targets=256, max_workers=8)
        )
        assert up.pick().id == "a:1"
        del up
        gc.collect()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_full_segment_is_refused_and_nothing_has_changed(place):
    up = lbcore.Upstream(
        "u", [f"a:{i}" for i in range(16)], shared=lbcore.Shared("test", place, max_targets=16)
    )
    with pytest.raises(lbcore.ConfigError, match=r"shared\.max_targets: all 16 places are in use"):
        up.update([f"b:{i}" for i in range(17)])
    assert [t.id for t in up.targets] == [f"a:{i}" for i in range(16)]
    with pytest.raises(lbcore.ConfigError, match=r"shared\.max_targets"):
        lbcore.Upstream("v", ["b:1"], shared=lbcore.Shared("test", place, max_targets=16))
    with look_in("test", place) as segment:
        assert sorted(p["target"] for p in segment.places()) == sorted(t.id for t in up.targets)
    up.update([f"a:{i}" for i in range(15)])
    up.update([*(f"a:{i}" for i in range(15)), "b:1"])
    assert up.pick() is not None


def test_more_workers_than_rows_are_refused(place):
    with crew(3) as workers:
        for w in workers[:2]:
            w.do(made(place, max_workers=2))
        with pytest.raises(Refused, match=r"shared\.max_workers: all 2 rows are held by living workers"):
            workers[2].do(made(place, max_workers=2))
        workers[0].kill()
        workers[2].do(made(place, max_workers=2))
        assert workers[2].do("len(up.stats()['workers'])") == 2


def test_what_is_wrong_besides_leaves_no_segment(place):
    for wrong in (
        {"health": "?"},
        {"seed": -1},
        {"affinity": 3},
        {"targets": ["a:1", "a:1"]},
        {"when_empty": "?"},
    ):
        with pytest.raises(lbcore.ConfigError):
            lbcore.Upstream("u", **{"targets": ["a:1"], **wrong}, shared=lbcore.Shared("test", place))
        gc.collect()
        assert os.listdir(place) == []


def test_nothing_is_looked_into_that_is_not_there(place):
    with pytest.raises(lbcore.ConfigError, match=f"nobody shares under test in {place}"):
        look_in("test", place)
    with crew(1, made(place)) as (worker,):
        worker.kill()
    assert file_of(place).exists()  # nobody's
    with pytest.raises(lbcore.ConfigError, match="nobody shares under test"):
        look_in("test", place)
    file_of(place).unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc lists descriptors")
def test_a_file_that_somebody_removed_serves_on_but_takes_no_load(place):
    up = lbcore.Upstream("u", ["a:1"], shared=lbcore.Shared("test", place))
    file_of(place).unlink()
    assert up.pick().id == "a:1"
    with pytest.raises(lbcore.ConfigError, match="was removed"):
        up.update(["b:1"])
    assert up.pick().id == "a:1"
    n_open = len(os.listdir("/proc/self/fd"))
    del up
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == n_open - 1
    other = lbcore.Upstream("u", ["b:1"], shared=lbcore.Shared("test", place))
    assert len(other.stats()["workers"]) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="/proc lists descriptors")
def test_a_process_has_one_descriptor_however_it_says_the_directory(place, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(place)
    names = (place, str(link), place + "/", place + "/../shared")
    ups = [lbcore.Upstream(f"u{i}", ["a:1"], shared=lbcore.Shared("test", n)) for i, n in enumerate(names)]
    open_files = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    assert open_files.count(str(file_of(os.path.realpath(place)))) == 1
    assert len(ups[0].stats()["workers"]) == 1
    del ups


CONFIG = """
lbcore: 1
listeners: {web: {protocol: http, port: 8080}}
upstreams:
  stable: {targets: ["10.0.0.1:80", "10.0.0.2:80"]}
  canary: {targets: ["10.0.0.3:80"]}
routes: [{name: all, backends: [{upstream: stable, weight: 75}, {upstream: canary, weight: 25}]}]
"""
REQUEST = "engine.match('GET', 'example.com', '/')"


def test_the_upstreams_and_rules_of_an_engine_share(place):
    load = f"text = {CONFIG!r}; engine = lbcore.load(text, shared={shared(place)})"
    draw = f"def draw():\n    with {REQUEST}.acquire() as call: return call.upstream.name[:6]"
    rng = random.Random(SEED)
    total, got = 0, {}
    with crew(4, load, draw) as workers:
        for _ in range(4):
            n = rng.randrange(1, 300)
            total += 4 * n
            for name, count in counts(workers, n, "draw()").items():
                got[name] = got.get(name, 0) + count
            assert off(got, {"stable": 75, "canary": 25}, total) <= 1, (SEED, total, got)
        workers[0].do("up = engine.upstreams['stable']; up.set_health('10.0.0.1:80', False)")
        state = "[t.state for t in engine.upstreams['stable']]"
        assert together(workers, state) == [["unhealthy", "healthy"]] * 4
        changed = "engine.reload(text.replace('stable: {', 'stable: {policy: least_conn, ')); "
        together(workers, "call = " + REQUEST + ".acquire()")
        together(workers, changed + "__import__('gc').collect()")  # made anew beside the old one
        assert together(workers, state) == [["unhealthy", "healthy"]] * 4
        in_flight = "sum(u.stats()['in_flight'] for u in engine.upstreams.values())"
        assert together(workers, in_flight) == [4] * 4
        together(workers, "call.done(); del call")
        assert together(workers, in_flight) == [0] * 4


def test_an_engine_that_does_not_fit_is_refused_and_the_old_one_serves(place):
    size = lbcore.Shared("test", place, max_targets=16)
    engine = lbcore.load(CONFIG, shared=size)
    many = ", ".join(f'"10.0.1.{i}:80"' for i in range(20))
    for change in (
        lambda text: text.replace('"10.0.0.3:80"', many),
        lambda text: text.replace(
            'canary: {targets: ["10.0.0.3:80"]', f"canary: {{policy: least_conn, targets: [{many}]"
        ),
    ):
        with pytest.raises(lbcore.ConfigError, match=r"shared\.max_targets: all 16 places are in use"):
            engine.reload(change(CONFIG))
        assert engine.match("GET", "example.com", "/").acquire().target is not None
        assert [len(u) for u in engine.upstreams.values()] == [2, 1]
    gc.collect()
    with look_in("test", place) as segment:
        assert len(segment.places()) == 3

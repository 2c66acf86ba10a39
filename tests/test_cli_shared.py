"""``lbcore top`` and ``lbcore drain``: the real commands beside real workers."""

import gc
import json
import os
import re
import subprocess
import sys
import time

import pytest

from workers.crew import crew

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shared State is not available on Windows")


@pytest.fixture
def place(tmp_path):
    directory = tmp_path / "shared"
    directory.mkdir()
    yield str(directory)
    gc.collect()
    assert os.listdir(directory) == []


@pytest.fixture
def lb(place):
    """Runs the command in a process of its own: (code, out, err)."""

    def run(*args):
        command = [sys.executable, "-m", "lbcore", *args, "--shared", "shop", "--shared-dir", place]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


def made(place, name="default/shop:80", targets=("10.0.0.1:80", "10.0.0.2:80")):
    return (
        f"ups = globals().setdefault('ups', {{}}); "
        f"ups[{name!r}] = up = lbcore.Upstream({name!r}, {list(targets)!r}, shared=lbcore.Shared('shop', {place!r}))"
    )


def test_top_shows_targets_and_workers(place, lb):
    with crew(2, made(place)) as (one, two):
        one.do("calls = [up.acquire() for _ in range(3)]")
        two.do("up['10.0.0.2:80'].drain(100)")
        code, out, err = lb("top")
        assert (code, err) == (0, "")
        head, blank, *lines = out.splitlines()
        file = f"{place}/lbcore-{os.geteuid()}-shop"
        assert head == f"shop ({file}): 2 workers, 2 targets, 3 calls in flight"
        assert blank == ""
        assert lines[0].split("  ")[0] == "UPSTREAM"
        assert re.fullmatch(r"default/shop:80 +10\.0\.0\.1:80 +healthy +[12] +2", lines[1])
        assert re.fullmatch(
            r"default/shop:80 +10\.0\.0\.2:80 +draining +(9\d\.\d|100\.0) s +[12] +2", lines[2]
        )
        assert {line.split()[0] for line in lines[5:]} == {str(one.pid), str(two.pid)}
        one.do("[c.done() for c in calls]")


def test_top_as_json(place, lb):
    with crew(1, made(place)) as (one,):
        one.do("call = up.acquire()")
        code, out, _ = lb("top", "--json")
        found = json.loads(out)
        assert code == 0
        assert sum(t["in_flight"] for t in found["targets"]) == 1
        assert found["targets"][0] == {
            "upstream": "default/shop:80", "target": "10.0.0.1:80", "cut": False, "state": "healthy", "until": None,
            "in_flight": found["targets"][0]["in_flight"], "n_workers": 1,
        }  # fmt: skip
        (worker,) = found["workers"]
        assert (worker["pid"], worker["in_flight"], worker["n_targets"]) == (one.pid, 1, 2)
        assert 0 <= worker["age"] < 60
        one.do("call.done()")


def test_top_watches_until_nobody_is_left(place):
    command = [sys.executable, "-m", "lbcore", "top", "--watch", "--shared", "shop", "--shared-dir", place]
    with crew(1, made(place)) as (one,):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert "1 worker, 2 targets" in process.stdout.readline()
            one.close()
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 1
        assert err == f"lbcore: shared: nobody shares under shop in {place}\n"


@pytest.mark.parametrize("command", [("top",), ("drain", "a:1")])
def test_nothing_is_made(place, lb, command):
    assert lb(*command) == (1, "", f"lbcore: shared: nobody shares under shop in {place}\n")
    assert os.listdir(place) == []


def test_drain_and_undo(place, lb):
    with crew(2, made(place)) as (one, two):
        call = "call = up.acquire(exclude='10.0.0.2:80')"
        one.do(call)
        assert lb("drain", "10.0.0.1:80") == (
            0,
            "10.0.0.1:80 of default/shop:80 drains (2 workers, 1 call in flight)\n",
            "",
        )
        for w in (one, two):
            assert set(w.do("[up.pick().id for _ in range(20)]")) == {"10.0.0.2:80"}
            assert w.do("(up['10.0.0.1:80'].state, up['10.0.0.1:80'].until)") == ["draining", None]
        assert lb("drain", "10.0.0.1:80", "--deadline", "60")[0] == 0
        left = two.do("up['10.0.0.1:80'].until") - time.monotonic()
        assert 30 < left <= 60
        one.do("call.done()")
        told = one.do("[e.kind for e in (up.stats(), up.events())[1]]")
        assert told == ["drained"]
        assert lb("drain", "10.0.0.1:80", "--undo") == (
            0,
            "10.0.0.1:80 of default/shop:80 serves again (2 workers)\n",
            "",
        )
        assert len(set(two.do("[up.pick().id for _ in range(20)]"))) == 2


def test_a_target_of_several_upstreams_is_asked_for(place, lb):
    with crew(1, made(place), made(place, "default/other:80", ("10.0.0.1:80",))) as (one,):
        code, out, err = lb("drain", "10.0.0.1:80")
        assert (code, out) == (1, "")
        assert err.splitlines() == [
            "lbcore: 10.0.0.1:80 may be one of 2:",
            "lbcore:   10.0.0.1:80 --upstream default/other:80",
            "lbcore:   10.0.0.1:80 --upstream default/shop:80",
        ]
        assert lb("drain", "10.0.0.1:80", "--upstream", "default/other:80")[0] == 0
        assert one.do("[up['10.0.0.1:80'].state for up in ups.values()]") == ["healthy", "draining"]


def test_a_target_that_nobody_has(place, lb):
    with crew(1, made(place)):
        said = "lbcore: nobody who shares under shop has a target 10.9.9.9:80: lbcore top lists them\n"
        assert lb("drain", "10.9.9.9:80") == (1, "", said)


def test_long_names_are_found_by_what_is_kept_of_them(place, lb):
    name, target = "a-namespace-with-a-long-name/a-service-with-a-long-name:8080", "10.0.0.1:80"
    with crew(1, made(place, name, (target,))) as (one,):
        assert "..." in lb("top")[1]
        assert lb("drain", target)[0] == 0
        assert one.do("up.targets[0].state") == "draining"


@pytest.mark.parametrize(
    "args",
    [
        ("top", "--watch", "--json"),
        ("drain",),
        ("drain", "a", "--deadline", "-1"),
        ("drain", "a", "--deadline", "1", "--undo"),
    ],
)
def test_wrong_usage(lb, args):
    code, out, err = lb(*args)
    assert (code, out) == (2, "")
    assert err


# ---- serve ------------------------------------------------------------------------------------------------------

CONFIG = """
lbcore: 1
listeners: {web: {protocol: http, port: 8080}}
upstreams: {api: {targets: ["127.0.0.1:9", "127.0.0.2:9"]}}
routes: [{name: all, backends: [api]}]
"""


def test_two_proxies_share(place, lb, tmp_path):
    pytest.importorskip("aiohttp")
    file = tmp_path / "lb.yaml"
    file.write_text(CONFIG)
    shared = ("--shared", "shop", "--shared-dir", place)
    command = [sys.executable, "-m", "lbcore", "serve", "-f", str(file), "--port-map", "8080=0", *shared]
    proxies = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for proxy in proxies:
            assert any(line == "ready\n" for line in proxy.stdout)
        found = json.loads(lb("top", "--json")[1])
        assert {w["pid"] for w in found["workers"]} == {proxy.pid for proxy in proxies}
        assert [(t["target"], t["n_workers"]) for t in found["targets"]] == [
            ("127.0.0.1:9", 2),
            ("127.0.0.2:9", 2),
        ]
    finally:
        for proxy in proxies:
            proxy.terminate()
        codes = [proxy.wait(60) for proxy in proxies]
        for proxy in proxies:
            proxy.stdout.close()
    assert codes == [0, 0]


def test_serve_wants_a_name_with_a_directory(place, tmp_path):
    command = [sys.executable, "-m", "lbcore", "serve", "-f", str(tmp_path), "--shared-dir", place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--shared-dir goes with --shared NAME" in done.stderr

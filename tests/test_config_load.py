"""load: sources, the two kinds of wrong, strict, gates, reload, missing packages."""

import io
import json
import pathlib
import subprocess
import sys
import threading

import pytest
import yaml

import lbcore
from lbcore.config import read
from lbcore.engine import TargetSpec

CANARY = pathlib.Path(__file__).parent.parent / "examples" / "canary"
SHORT = """\
lbcore: 1
listeners: {web: {protocol: http, port: 80}}
upstreams: {a: {targets: ['10.0.0.1:80']}}
routes: [{name: r, backends: [a]}]
"""


def objects():
    return [
        document
        for path in sorted(CANARY.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]


def as_list():
    return {"apiVersion": "v1", "kind": "List", "items": objects()}


@pytest.mark.parametrize("source", [
    CANARY,
    str(CANARY),
    sorted(CANARY.glob("*.yaml")),
    sorted(map(str, CANARY.glob("*.yaml"))),
    "\n---\n".join(path.read_text() for path in sorted(CANARY.glob("*.yaml"))),
    objects(),
    tuple(objects()),
    as_list(),
    json.dumps(as_list()),
    json.dumps(as_list(), indent=1),
    {"kind": "List", "items": [as_list()]},
], ids=lambda source: type(source).__name__)  # fmt: skip
def test_every_source_gives_the_same(source):
    spec = read(source, strict=True)
    assert sorted(spec.upstreams, key=str) == sorted(read(CANARY, strict=True).upstreams, key=str)
    assert [rule.name for rule in spec.rules] == ["default/canary/0"]
    assert [stream.name for stream in spec.streams] == ["tcp:default/canary/0", "udp:default/canary/0"]


def test_the_canary_is_what_it_says():
    engine = lbcore.load(CANARY, strict=True)
    assert [(one.protocol, one.port) for one in engine.listeners] == [
        ("HTTP", 8080),
        ("TCP", 9000),
        ("UDP", 9053),
    ]
    assert (
        len(engine.upstreams["default/httpbin:80"]) == 10 and len(engine.upstreams["default/nginx:80"]) == 1
    )
    picks = []
    for _ in range(1000):
        with engine.match("GET", "shop.example", "/cart").acquire() as call:
            picks.append(call.upstream.name)
    assert picks.count("default/httpbin:80") == 750
    assert engine.match_stream("TCP", 9000).backends[0].weight == 90
    assert engine.match_stream("UDP", 9053).backends[0].weight == 60


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SHORT.encode())))
    assert lbcore.load("-").upstreams["a"].targets[0].address == "10.0.0.1:80"
    with pytest.raises(lbcore.ConfigError, match="<stdin>: holds no object"):
        lbcore.load("-")


def test_a_list_of_one_kind_leaves_the_kind_out():
    route = {"metadata": {"name": "r"}, "spec": {"parentRefs": [{"name": "edge"}]}}
    given = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRouteList",
        "metadata": {},
        "items": [route],
    }
    assert [rule.name for rule in read([*objects(), given]).rules] == ["default/canary/0", "default/r/0"]


def test_files_of_a_directory(tmp_path):
    (tmp_path / "b.yml").write_text(SHORT.split("routes")[0])
    (tmp_path / "a.yaml").write_text("# nothing yet\n")
    (tmp_path / "c.json").write_text('{"lbcore": 1, "routes": [{"name": "r", "backends": ["a"]}]}')
    (tmp_path / ".hidden.yaml").write_text("x: [")
    (tmp_path / "notes.txt").write_text("x: [")
    (tmp_path / "d.yaml").mkdir()
    assert [rule.name for rule in read(tmp_path).rules] == ["r"]


def test_all_unreadable_files_are_named_in_order(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [\n")
    (tmp_path / "b.yaml").write_bytes(b"a: \xff\n")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfea\0")
    (tmp_path / "d.yaml").write_text("x: 1\n")
    (tmp_path / "e.json").write_text("{")
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load([tmp_path, tmp_path / "gone", "x\0y", tmp_path / "empty" / ".."])
    found = [(pathlib.Path(p.file).name, p.reason.split(":")[0], p.line) for p in caught.value.problems]
    assert found[:5] == [
        ("a.yaml", found[0][1], 2),
        ("b.yaml", "is not UTF-8", 1),
        ("c.yaml", "is UTF-16; it is to be UTF-8", 1),
        ("d.yaml", "is not recognised", 1),
        ("e.json", "not JSON", 1),
    ]
    assert [reason for _, reason, _ in found[5:]] == ["cannot be read"] * 3


@pytest.mark.parametrize(("source", "reason"), [
    (7, "the source is 7"), (None, "the source is null"), ([None], "the source is null"), (b"x",
    "the source is a bytes"),
    ("\n", "<text>: holds no object"), ("---\n---\n", "holds no object"), ("{}", "it has nothing"), ({},
    "it has nothing"),
    ({"a": 1}, "is not recognised: it has 'a'; wanted: lbcore's short form"), ("a: b\n",
    "<text>:1:1: is not recognised"),
    ("_format_version: '3.0'\n", "Kong's declarative configuration"), ("x" * 5000, "cannot be read"),
    (set(), "the source is a set"),
])  # fmt: skip
def test_what_is_no_configuration(source, reason):
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load(source)
    assert reason in str(caught.value)


def test_a_directory_without_configuration(tmp_path):
    with pytest.raises(lbcore.ConfigError, match=r"is a directory without \.yaml, \.yml, \.json files"):
        lbcore.load(tmp_path)


def test_an_explicitly_empty_list_serves_nothing():
    for source in ([], {"apiVersion": "v1", "kind": "List", "items": []}, '{"kind": "List", "items": []}'):
        assert lbcore.load(source).routes == ()


def test_files_are_capped(tmp_path, monkeypatch):
    from lbcore.config import sources

    monkeypatch.setattr(sources, "MAX_BYTES", 100)
    monkeypatch.setattr(sources, "MAX_ALL_BYTES", 150)
    (tmp_path / "a.yaml").write_text("#" * 90)
    (tmp_path / "b.yaml").write_text("#" * 90)
    (tmp_path / "c.yaml").write_text("#" * 101)
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load(tmp_path)
    assert ["is larger than" in p.reason and pathlib.Path(p.file).name for p in caught.value.problems] == [
        "b.yaml",
        "c.yaml",
    ]


def test_an_endless_file_ends():
    if not pathlib.Path("/dev/zero").exists():
        pytest.skip("no /dev/zero here")
    with pytest.raises(lbcore.ConfigError, match="is larger than 64 MiB"):
        lbcore.load("/dev/zero")


def test_feature_gates():
    assert lbcore.load(SHORT, feature_gates={}).routes
    for gates in ({"Nope": True}, ["Nope"]):
        with pytest.raises(lbcore.ConfigError, match="feature_gates"):
            lbcore.load(SHORT, feature_gates=gates)


def test_unreadable_input_refuses_all_and_names_what_is_wrong_with_the_rest_too():
    bad = {**objects()[0], "kind": "Nope"}
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load([bad, {"lbcore": 2}])
    assert len(caught.value.problems) == 2 or caught.value.problems[-1].object == "short form"


def test_reload_keeps_and_refuses(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(SHORT)
    engine = lbcore.load(file)
    call = engine.match("GET", "x", "/").acquire()
    file.write_text(SHORT.replace("'10.0.0.1:80'", "'10.0.0.1:80', '10.0.0.2:80'"))
    assert engine.reload().changed == ("upstream a",)
    assert engine.upstreams["a"].targets[0].in_flight == 1
    for text in ("a: [", "", SHORT.replace("http", "htpp")):
        file.write_text(text)
        with pytest.raises(lbcore.ConfigError):
            engine.reload()
        assert len(engine.upstreams["a"]) == 2
    call.done()


def test_strict_stays_strict_at_reload():
    source = objects()
    engine = lbcore.load(source, strict=True)
    source[3]["spec"]["unknown"] = 1
    with pytest.raises(lbcore.ConfigError):
        engine.reload()


def test_the_collector_is_as_it_was():
    import gc

    read(SHORT)
    assert gc.isenabled()
    gc.disable()
    try:
        read(SHORT)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_loading_in_threads():
    results = []
    threads = [threading.Thread(target=lambda: results.append(read(CANARY).upstreams)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(result == results[0] for result in results)
    assert results[0][0].targets[0] == TargetSpec("127.0.1.1:18080")


@pytest.mark.parametrize(
    ("missing", "named", "source"), [("msgspec", "msgspec", "{}"), ("yaml", "PyYAML", "a: b\n")]
)
def test_a_missing_package_is_named(missing, named, source):
    code = f"""
import sys
sys.modules[{missing!r}] = None
import lbcore
try:
    lbcore.load({source!r})
except lbcore.LbcoreError as error:
    print(error)
"""
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert got.stdout.strip() == f'configuration needs {named}: pip install "lbcore[config]"', got.stderr


def test_importing_is_light():
    heavy = [
        "logging",
        "msgspec",
        "yaml",
        "argparse",
        "json",
        "lbcore.engine",
        "lbcore.config",
        "asyncio",
        "dataclasses",
    ]
    code = f"import sys, lbcore; print(*[name for name in {heavy!r} if name in sys.modules])"
    got = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
    )
    assert got.stdout.strip() == "", got.stderr


def test_public_names():
    assert set(lbcore.__all__) <= set(dir(lbcore))
    assert all(getattr(lbcore, name) is not None for name in lbcore.__all__)
    with pytest.raises(AttributeError, match="nope"):
        lbcore.nope


def test_what_kubectl_prints_is_served_without_a_word():
    """Server-set fields, status, node names, hints, other kinds: nothing of it is a problem."""
    engine = lbcore.load(str(pathlib.Path(__file__).parent / "golden/config/kubectl-list.json"), strict=True)
    assert engine.report().problems == ()
    names = []
    for _ in range(100):
        with engine.match("GET", "a.example", "/").acquire() as call:
            names.append(call.upstream.name)
    assert names.count("default/nginx:80") == 25

"""A file as a source: what it may say, what is refused, and how it is watched.  A look is one call; nothing sleeps."""

import asyncio
import json
import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from lbcore import discovery
from lbcore.discovery import lines
from lbcore.discovery.membership import Membership

YAML = pytest.importorskip("lbcore.config.targets", reason='needs pip install "lbcore[config]"')


def look(source):
    return asyncio.run(source.resolve())


def hosts(found):
    return [t.host for t in found.targets]


def settled(source):
    """The answer once the file stands still: the second look at the same stamp."""
    assert look(source).good_for <= 0.1, "a change is given a moment"
    return look(source)


def refusal(source):
    with pytest.raises(lbcore.LbcoreError) as raised:
        look(source)
    return str(raised.value)


def facts(found):
    return [(t.id, t.address, t.weight, t.priority, t.hash_key, dict(t.labels)) for t in found.targets]


LINES = """\
# the pool
10.0.0.1:8080
10.0.0.2:8080 weight=3 id=b priority=1 hash_key=k zone=a rack=r#1   # trailing words
\t[fd00::1]:80 zone=b\r

api.example.com:80"""
SAME = [
    "10.0.0.1:8080",
    {
        "address": "10.0.0.2:8080",
        "weight": 3,
        "id": "b",
        "priority": 1,
        "hash_key": "k",
        "labels": {"zone": "a", "rack": "r#1"},
    },
    {"address": "[fd00::1]:80", "labels": {"zone": "b"}},
    "api.example.com:80",
]
FACTS = [
    ("10.0.0.1:8080", "10.0.0.1:8080", 1, 0, None, {}),
    ("b", "10.0.0.2:8080", 3, 1, "k", {"zone": "a", "rack": "r#1"}),
    ("[fd00::1]:80", "[fd00::1]:80", 1, 0, None, {"zone": "b"}),
    ("api.example.com:80", "api.example.com:80", 1, 0, None, {}),
]


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("t.txt", LINES, {}),
        ("targets", LINES, {}),
        ("t.yaml", LINES, {"format": "lines"}),
        ("t.txt", "\ufeff" + LINES, {}),
        ("t.json", json.dumps(SAME), {}),
        ("t.json", json.dumps({"targets": SAME}), {}),
        ("t.yaml", json.dumps(SAME), {}),
        ("t.YML", "targets:\n- 10.0.0.1:8080\n" + "".join(f"- {json.dumps(t)}\n" for t in SAME[1:]), {}),
        ("pool", json.dumps(SAME), {"format": "json"}),
    ],
)
def test_every_format_says_the_same(tmp_path, name, text, options):
    path = tmp_path / name
    path.write_text(text)
    found = look(discovery.file(path, **options))
    assert facts(found) == FACTS and found.good_for == 1.0


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("10.0.0.1", ["1:1: '10.0.0.1' is not an address: host:port or [ipv6]:port"]),
        ("a:0", ["1:1: 'a:0' is not an address: host:port or [ipv6]:port"]),
        ("\n\n  a:1 b", ["3:7: 'b' is not like weight=2 or zone=a"]),
        ("a:1 =b", ["1:5: '=b' is not like weight=2 or zone=a"]),
        ("a:1 b=", ["1:5: 'b=' is not like weight=2 or zone=a"]),
        ("a:1 weight=x", ["1:5: weight: 'x' is not a whole number"]),
        ("a:1 weight=-1", ["1:5: weight: '-1' is not a whole number"]),
        ("a:1 zone=a weight=1000001", ["1:12: weight: 1000001 is not a whole number in 0..1000000"]),
        ("a:1 priority=128", ["1:5: priority: 128 is not a whole number in 0..127"]),
        ("a:1 zone=a zone=b", ["1:12: 'zone' stands here twice"]),
        ("a:1\na:1", ["2:1: 'a:1' stands here twice; give each an id of its own"]),
        ("a:1 id=x\nb:1 id=x", ["2:1: 'x' stands here twice; give each an id of its own"]),
        ("x\ny", ["1:1: 'x' is not an address", "2:1: 'y' is not an address"]),
    ],
)
def test_a_wrong_line_is_named_with_its_place(tmp_path, text, problems):
    path = tmp_path / "t.txt"
    path.write_text(text)
    said = refusal(discovery.file(path)).split("\n")
    assert len(said) == len(problems)
    for line, problem in zip(said, problems, strict=True):
        assert line.startswith(f"{path}:{problem}")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (
            "t.yaml",
            "- a:1\n- address: b:1\n  wieght: 2\n",
            ":3:3: [1].wieght: is not known; did you mean weight?",
        ),
        ("t.yaml", "targets:\n- address: b:1\n  weight: -2\n", ":3:3: targets[0].weight: "),
        ("t.yaml", "- a:1\n- b\n", ":2:3: [1]: 'b' is not an address"),
        ("t.yaml", "- a:1\n- address: a\n", ":2:3: [1].address: 'a' is not an address"),
        ("t.yaml", "- a:1\n- a:1\n", ":2:3: [1]: 'a:1' stands here twice"),
        ("t.yaml", "- a:1\n---\n- b:1\n", ": has 2 documents; a file of targets is one"),
        ("t.yaml", "targets: [a:1", ":1:"),
        ("t.yaml", "just words", ":1:1: is 'just words'; it is to be a list of targets"),
        ("t.yaml", "", ": has 0 documents; a file of targets is one"),
        ("t.json", "", ":1:1: not JSON: "),
        ("t.json", '{"targets": ["a:1"', ":1:19: not JSON: "),
        ("t.json", '{"pool": []}', "targets"),
        ("t.json", '{"targets": [], "targets": []}', ":1:17: targets: the key 'targets' stands here twice"),
    ],
)
def test_a_wrong_document_is_named_with_field_and_place(tmp_path, name, text, problem):
    path = tmp_path / name
    path.write_text(text)
    said = refusal(discovery.file(path))
    assert said.startswith(str(path)) and problem in said


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a:1\nb:1\xff", ":2:4: is not UTF-8: byte 0xff"),
        (b"a:1\n\0\0", ":2:1: has a NUL byte"),
        (b"", ": holds no target"),
        (b"# nobody\n", ": holds no target"),
    ],
)
def test_what_is_no_text_or_empty_is_refused(tmp_path, content, problem):
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    assert f"{path}{problem}" in refusal(discovery.file(path))


def test_a_file_without_targets_is_accepted_where_that_is_wanted(tmp_path):
    path = tmp_path / "t.json"
    path.write_text("[]")
    assert look(discovery.file(path, empty="accept")).targets == ()


def test_a_file_over_the_limit_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "t.txt"
    with open(path, "wb") as f:
        f.truncate((16 << 20) + 1)
    assert refusal(discovery.file(path)) == f"{path}: is larger than 16 MiB"


@pytest.mark.parametrize("kind", ["directory", "fifo", "absent"])
def test_what_is_no_file_is_an_error_and_blocks_nobody(tmp_path, kind):
    path = tmp_path / "t.txt"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    said = refusal(discovery.file(path))
    assert said == f"{path}: cannot be read: " + (
        "No such file or directory" if kind == "absent" else "it is not a regular file"
    )


# ---- watching -----------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "targets.txt"
    path.write_text("10.0.0.1:80\n")
    return path


def touch(path, text, n):
    """Write in place, with a time of change of its own: a test is faster than the file system's clock."""
    path.write_text(text)
    os.utime(path, ns=(n, n))


def test_a_file_is_read_once_as_long_as_it_does_not_change(path, monkeypatch):
    source = discovery.file(path)
    first = look(source)
    monkeypatch.setattr(lines, "read", None)
    assert look(source).targets is first.targets


def test_an_edit_is_seen_once_it_stands_still(path):
    source = discovery.file(path, interval=5.0)
    assert hosts(look(source)) == ["10.0.0.1"]
    touch(path, "10.0.0.2:80\n10.0.0.3", 1)  # the writer is in the middle of an address
    found = look(source)
    assert (hosts(found), found.good_for) == (["10.0.0.1"], 0.1)
    touch(path, "10.0.0.2:80\n10.0.0.3:80\n", 2)
    assert hosts(settled(source)) == ["10.0.0.2", "10.0.0.3"]
    assert look(source).good_for == 5.0


def test_a_file_put_in_its_place_is_seen(path, tmp_path):
    source = discovery.file(path)
    look(source)
    stamp = os.stat(path)
    other = tmp_path / "other"
    other.write_text("10.0.0.2:80\n")  # the same size, and the same time of change
    os.utime(other, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    os.replace(other, path)
    assert hosts(settled(source)) == ["10.0.0.2"]


def test_a_configmap_that_is_swapped_is_seen(tmp_path):
    """Kubernetes mounts a ConfigMap as ``name -> ..data/name`` and swaps the link ``..data``."""
    for version in ("1", "2"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "targets.yaml").write_text(f"- 10.0.0.{version}:80\n")
    (tmp_path / "..data").symlink_to("..1")
    mounted = tmp_path / "targets.yaml"
    mounted.symlink_to("..data/targets.yaml")
    source = discovery.file(mounted)
    assert hosts(look(source)) == ["10.0.0.1"]
    (tmp_path / "..tmp").symlink_to("..2")
    os.replace(tmp_path / "..tmp", tmp_path / "..data")
    (tmp_path / "..1" / "targets.yaml").unlink()
    assert hosts(settled(source)) == ["10.0.0.2"]


def test_a_broken_file_is_reported_once_and_its_repair_is_seen(path, caplog):
    caplog.set_level(logging.INFO, "lbcore")
    source = discovery.file(path)
    up = lbcore.Upstream("api", [])
    members = Membership(up, [repr(source)])

    def poll(n):
        for _ in range(n):
            try:
                members.answer(0, look(source))
            except lbcore.LbcoreError as error:
                members.failure(0, error)

    poll(3)
    touch(path, "10.0.0.9\n", 1)
    poll(5)
    assert [t.host for t in up.targets] == ["10.0.0.1"]
    assert isinstance(members.error, lbcore.ConfigError) and members.error.problems[0].line == 1
    touch(path, "10.0.0.2:80\n", 2)
    poll(5)
    assert [t.host for t in up.targets] == ["10.0.0.2"]
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "WARNING", "INFO", "INFO"]
    assert f"{path}:1:1: '10.0.0.9' is not an address" in caplog.records[1].getMessage()


def test_a_file_that_goes_and_comes_is_seen(path):
    source = discovery.file(path)
    look(source)
    path.unlink()
    assert "No such file" in refusal(source)
    path.write_text("10.0.0.2:80\n")
    assert hosts(settled(source)) == ["10.0.0.2"]


def test_a_file_that_changes_while_it_is_read_is_read_again(path, monkeypatch):
    from lbcore.discovery import listing

    source = discovery.file(path)
    real, n = listing._content, iter(range(10))

    def slow(descriptor):
        content = real(descriptor)
        if next(n) == 0:
            touch(path, "10.0.0.2:80\n", 1)
        return content

    monkeypatch.setattr(listing, "_content", slow)
    assert "it is being written" in refusal(source)
    with pytest.raises(lbcore.LbcoreError):
        look(source)  # the new stamp, seen for the first time
    assert hosts(look(source)) == ["10.0.0.2"]


WRITES = st.lists(
    st.one_of(
        st.just("broken"),
        st.just("gone"),
        st.just("empty"),
        st.lists(st.sampled_from("abcd"), min_size=1, unique=True),
    ),
    max_size=8,
)


@given(writes=WRITES)
def test_after_any_sequence_the_targets_are_those_of_the_last_good_file(tmp_path_factory, writes):
    path = tmp_path_factory.mktemp("files") / "t.txt"
    source, last = discovery.file(path), None
    up = lbcore.Upstream("api", ["seed:1"])
    members = Membership(up, ["file"])
    for n, write in enumerate(writes):
        if write == "gone":
            path.unlink(missing_ok=True)
        elif isinstance(write, str):
            touch(path, "half an addr" if write == "broken" else "", n)
        else:
            touch(path, "".join(f"{name}:1\n" for name in write), n)
            last = [f"{name}:1" for name in write]
        for _ in range(2):
            try:
                members.answer(0, source._look())
            except lbcore.LbcoreError as error:
                members.failure(0, error)
        assert [t.id for t in up.targets] == (last or ["seed:1"])


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    try:
        targets = lines.read(text, "t")
    except lbcore.ConfigError as error:
        assert all(problem.line for problem in error.problems)
    else:
        lbcore.Upstream("api", targets)


# ---- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "options", "field"),
    [
        ("", {}, "path"),
        (b"t", {}, "path"),
        ("a\0b", {}, "path"),
        ("t", {"format": "toml"}, "format"),
        ("t", {"interval": 0}, "interval"),
        ("t", {"interval": float("inf")}, "interval"),
        ("t", {"empty": "drop"}, "empty"),
    ],
)
def test_a_wrong_setting_is_named(path, options, field):
    with pytest.raises(lbcore.ConfigError) as raised:
        discovery.file(path, **options)
    assert raised.value.problems[0].field == field

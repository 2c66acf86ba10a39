"""The command line: what it prints, its exit codes, and never a traceback."""

import io
import json
import os
import pathlib
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lbcore
from lbcore.__main__ import COMMANDS, LATER, main
from lbcore.cli.common import safe
from lbcore.cli.match import split_url

CANARY = str(pathlib.Path(__file__).parent.parent / "examples" / "canary")
BROKEN = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: edge}]
  rules:
    - backendRefs:
        - name: httpbin
          port: 80
          weight: 1000001
"""


@pytest.fixture
def lb(capsys):
    """Runs a command in this process: (code, out, err)."""

    def run(*args):
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def outside(*args, **more):
    """Runs a command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "lbcore", *args], capture_output=True, **more)


# ---- check ------------------------------------------------------------------------------------------------------


def test_check_says_ok(lb):
    ok = "ok: 1 gateway, 1 HTTP route, 1 TCP route, 1 UDP route, 2 services, 2 endpoint slices\n"
    assert lb("check", CANARY) == (0, ok, "")
    assert lb("check", "-f", CANARY) == (0, ok, "")
    assert lb("check")[0] == 2


def test_check_names_every_problem_with_its_place(lb, tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(BROKEN + "---\nkind: Deployment\napiVersion: apps/v1\nmetadata: {name: d}\n")
    code, out, err = lb("check", CANARY, file)
    place = f"{file}:10:11: HTTPRoute default/r spec.rules[0].backendRefs[0].weight: "
    assert (code, err) == (1, "")
    assert out == place + "1000001 is not a whole number in 0..1000000\n1 problem\n"
    file.write_text("a: [\n")
    code, out, err = lb("check", file)
    assert code == 1 and out.startswith(f"{file}:2:1: ")


def test_check_as_json(lb, tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(BROKEN)
    code, out, _ = lb("check", "--json", CANARY, file)
    got = json.loads(out)
    assert code == 1 and got["ok"] is False
    assert {key: got["problems"][0][key] for key in ("line", "column", "field")} == {
        "line": 10, "column": 11, "field": "spec.rules[0].backendRefs[0].weight"}  # fmt: skip
    broken = next(one for one in got["objects"] if one["name"] == "r")
    assert broken["conditions"][0]["status"] is False
    assert json.loads(lb("check", "--json", CANARY)[1])["ok"] is True
    assert json.loads(lb("check", "--json", tmp_path / "gone")[1])["problems"][0]["line"] == 0


def test_check_one_broken_of_500(lb, tmp_path):
    routes = [BROKEN.replace("name: r}", f"name: r{i}}}") for i in range(500)]
    routes = [text if i == 321 else text.replace("1000001", "1") for i, text in enumerate(routes)]
    (tmp_path / "routes.yaml").write_text("---\n".join(routes))
    code, out, _ = lb("check", CANARY, tmp_path)
    assert code == 1
    assert (
        out.count("\n") == 2
        and "HTTPRoute default/r321 " in out
        and f"routes.yaml:{321 * 11 + 10}:11: " in out
    )


# ---- routes, match ----------------------------------------------------------------------------------------------


def test_routes(lb):
    code, out, err = lb("routes", "-f", CANARY)
    lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert lines[0] == ["LISTENER", "PORT", "HOST", "PATH", "METHOD", "MORE", "BACKENDS", "RULE"]
    assert lines[1] == [
        "default/edge/web",
        "HTTP",
        "8080",
        "*",
        "/*",
        "*",
        "default/httpbin:80",
        "75",
        "%,",
        "default/nginx:80",
        "25",
        "%",
        "default/canary/0",
    ]
    assert len(lines) == 4
    rows = json.loads(lb("routes", "--json", "-f", CANARY)[1])["routes"]
    assert rows[0]["backends"][0] == {"upstream": "default/httpbin:80", "weight": 75, "share": 0.75}
    assert [row["port"] for row in rows] == [8080, 9000, 9053]


def test_routes_with_problems_says_so_on_standard_error(lb, tmp_path):
    (tmp_path / "r.yaml").write_text(BROKEN)
    code, out, err = lb("routes", "-f", CANARY, "-f", tmp_path)
    assert code == 0 and len(out.splitlines()) == 4
    assert err == "lbcore: 1 problem; what is wrong is left out (lbcore check says more)\n"


def test_match(lb):
    code, out, _ = lb("match", "-f", CANARY, "GET", "http://shop.example/a/../b%7e?c=%20d")
    assert code == 0
    assert out.splitlines() == [
        "rule    default/canary/0", "target  /b~?c=%20d", "    75 %  default/httpbin:80",
        "    25 %  default/nginx:80"]  # fmt: skip
    got = json.loads(lb("match", "--json", "-f", CANARY, "GET", "/x", "-H", "Host: a.b", "--port", "8080")[1])
    assert (got["outcome"], got["rule"], got["target"], got["port"]) == (
        "route",
        "default/canary/0",
        "/x",
        8080,
    )


def test_match_explains(lb):
    code, out, _ = lb("match", "-f", CANARY, "GET", "http://shop.example/a", "--explain")
    assert (code, out.splitlines()[0]) == (0, "default/canary/0")
    told = json.loads(lb("match", "--json", "--explain", "-f", CANARY, "GET", "http://shop.example/a")[1])
    assert told["considered"][0] == {"rule": "default/canary/0", "host": None, "failed": None}


def test_match_no_route_refused_and_wrong_usage(lb, tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(
        "lbcore: 1\n"
        "listeners: {a: {protocol: http, port: 8080}, b: {protocol: http, port: 8081}}\n"
        "upstreams: {u: {}}\n"
        "routes: [{name: r, listeners: [b], hosts: [x.y], headers: {a: '1'}, backends: [u]}]\n"
    )
    assert lb("match", "-f", file, "GET", "http://x.y:8080/")[:2] == (1, "no route\n")
    assert lb("match", "-f", file, "GET", "http://x.y:8081/", "-H", "A:1")[0] == 0
    assert lb("match", "-f", file, "GET", "http://x.y:8081?q", "-H", "A:1")[0] == 0
    assert lb("match", "-f", file, "GET", "http://x.y/%00", "--port", "8081")[:2] == (
        1,
        "refused: the path holds %00\n",
    )
    assert (
        json.loads(lb("match", "-f", file, "GET", "http://x_!/", "--port", "8081", "--json")[1])["status"]
        == 400
    )
    for wrong in (
        ["http://x.y/"],
        ["ftp://x.y/"],
        ["x.y"],
        ["/", "-H", "nocolon"],
        ["/", "--port", "80x"],
        ["/", "--port", "1"],
    ):
        code, out, err = lb("match", "-f", file, "GET", *wrong)
        assert (code, out) == (2, "") and err, wrong


KEYED = """\
lbcore: 1
listeners: {web: {protocol: http, port: 80}, db: {protocol: tcp, port: 81}}
upstreams: {u: {policy: hash, targets: ["a:1"]}, v: {targets: ["b:1"]}}
routes:
  - {name: r, headers: {h: "1"}, key: [header:x-user, ip], split: key, backends: [u, v]}
  - {name: plain, backends: [v]}
  - {name: s, listeners: [db], key: ip, backends: [u]}
"""


def test_routes_and_match_show_keys(lb, tmp_path):
    file = tmp_path / "k.yaml"
    file.write_text(KEYED)
    lines = lb("routes", "-f", file)[1].splitlines()
    assert "h: 1 key=header:x-user,ip split=key  u 50 %" in lines[1]
    assert "key" not in lines[2] and "key=ip" in lines[3].split()
    rows = json.loads(lb("routes", "--json", "-f", file)[1])["routes"]
    assert [(row.get("key"), row.get("split")) for row in rows] == [
        (["header:x-user", "ip"], "key"), (None, None), (["ip"], None)]  # fmt: skip
    ask = ("match", "-f", file, "GET", "/", "-H", "h:1")
    assert lb(*ask, "-H", "X-User: ann")[1].splitlines()[2:4] == [
        "key     header:x-user, ip: 'ann'",
        "split   by key",
    ]
    assert "key     header:x-user, ip: '192.0.2.1'" in lb(*ask, "--source", "192.0.2.1")[1]
    assert "key     header:x-user, ip: the request has none" in lb(*ask)[1]
    assert "key" not in lb("match", "-f", file, "GET", "/")[1]
    got = json.loads(lb(*ask, "--json", "--source", "192.0.2.1")[1])
    assert (got["key"], got["key_value"], got["split"]) == (["header:x-user", "ip"], "192.0.2.1", "key")
    plain = json.loads(lb("match", "-f", file, "GET", "/", "--json")[1])
    assert not {"key", "key_value", "split"} & set(plain)


@pytest.mark.parametrize(("url", "parts"), [
    ("/a?b", (None, "/a?b")), ("http://h", ("h", "/")), ("http://h:1/a//b?c=/#d", ("h:1", "/a//b?c=/#d")),
    ("HTTP://h?x", ("h", "/?x")), ("http://[::1]:80/%2F", ("[::1]:80", "/%2F")), ("http:///x", ("", "/x")),
])  # fmt: skip
def test_split_url_keeps_every_byte(url, parts):
    assert split_url(url) == parts


# ---- pick, policies ---------------------------------------------------------------------------------------------


def test_pick_of_targets(lb):
    code, out, _ = lb("pick", "a=3", "b=1", "-n", "8")
    assert code == 0
    assert sorted(out.splitlines()[0].split()) == ["a"] * 6 + ["b"] * 2
    assert out.splitlines()[3].split() == ["a", "3", "75", "%", "6", "75", "%"]
    got = json.loads(lb("pick", "--json", "--policy", "random", "--seed", "7", "a=3", "b", "-n", "1000")[1])
    assert got["policy"] == "random" and len(got["sequence"]) == 1000
    assert got == json.loads(
        lb("pick", "--json", "--policy", "random", "--seed", "7", "a=3", "b", "-n", "1000")[1]
    )


def test_pick_of_files(lb):
    code, out, _ = lb("pick", "-f", CANARY, "default/httpbin:80", "-n", "200", "--json")
    assert code == 0 and {one["picks"] for one in json.loads(out)["targets"]} == {20}


@pytest.mark.parametrize(("args", "code", "words"), [
    (["pick", "a=x"], 2, "weight"), (["pick", "a=99999999"], 2, "weight"), (["pick", "a", "-n", "0"], 2,
    "1..1000000"),
    (["pick", "a", "a"], 1, "a"), (["pick", "a=0"], 1, "no usable target"), (["pick", "a=1000001"], 1, "1000000"),
    (["pick", "a", "--policy", "robin"], 1, "round_robin"), (["pick", "a", "--param", "x"], 2, "NAME=VALUE"),
    (["pick", "a", "--param", "fase=1"], 1, "phase"), (["pick", "-f", CANARY, "nope"], 2, "default/httpbin:80"),
    (["pick", "-f", CANARY, "a", "b"], 2, "one upstream"), (["pick", "-f", CANARY, "a", "--policy", "random"],
    2, "--policy"),
    (["pick", "a", "--seed", "-1"], 2, "--seed"), (["pick"], 2, "required"), (["pick", "a", "--param",
    "phase=nan"], 1, "phase"),
])  # fmt: skip
def test_pick_wrong(lb, args, code, words):
    got, out, err = lb(*args)
    assert (got, out) == (code, "") and words in err


def test_policies_lists_the_register(lb):
    code, out, _ = lb("policies")
    assert code == 0
    for name, policy in lbcore.policies().items():
        assert name in out and policy.summary in out
        assert all(p.name in out and p.doc in out for p in policy.parameters)
    assert set(json.loads(lb("policies", "--json")[1])) == set(lbcore.policies())


# ---- the frame --------------------------------------------------------------------------------------------------


def test_usage(lb):
    assert lb()[0] == 2 and lb("nope")[0] == 2 and lb("check")[0] == 2 and lb("routes")[0] == 2
    assert lb("--version") == (0, f"lbcore {lbcore.__version__}\n", "")
    assert all(name in lb("--help")[1] for name in COMMANDS)
    for name in COMMANDS:
        assert lb(name, "--help")[0] == 0
    for name in LATER:
        assert lb(name, "x") == (2, "", f"lbcore {name}: not available yet\n")


@pytest.mark.parametrize(
    "args", [["routes", "-f"], ["match", "GET", "/", "-f"], ["pick", "x", "-f"], ["check"]]
)
def test_every_problem_of_an_unreadable_file_is_a_line(lb, args, tmp_path):
    (tmp_path / "a.yaml").write_text("lbcore: 1\nx: 1\ny: 2\n")
    code, out, err = lb(*args, tmp_path)
    assert code == 1
    assert len((out + err).strip().splitlines()) == (3 if args == ["check"] else 2)


def test_hostile_names_and_texts_are_printed_as_escapes(lb, tmp_path):
    file = tmp_path / "a\x1b[31m\nb\u202e.yaml"
    file.write_text(BROKEN.replace("name: r}", 'name: "\\e[2J"}'))
    code, out, err = lb("check", file)
    assert code == 1 and "\x1b" not in out + err and "\u202e" not in out and len(out.splitlines()) == 2
    assert safe("a\x1bb\ud800\u202ec\n") == "a\\x1bb\\ud800\\u202ec\\n" and safe("é ß") == "é ß"


def test_a_name_that_is_no_text():
    if sys.platform != "linux":
        pytest.skip("file names are bytes on Linux only")
    got = outside("check", b"/tmp/\xff\x1b.yaml", env={**os.environ, "LC_ALL": "C"})
    assert got.returncode == 1 and b"Traceback" not in got.stderr and b"\x1b" not in got.stdout


def test_standard_input(monkeypatch, lb):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BROKEN.encode())))
    code, out, _ = lb("check", "-")
    assert code == 1 and out.startswith("<stdin>:10:11: ")


def test_a_closed_pipe_is_quiet(tmp_path):
    lines = "".join(f"  r{i}: {{protocol: http, port: 0}}\n" for i in range(900))
    (tmp_path / "a.yaml").write_text("lbcore: 1\nlisteners:\n" + lines)
    command = f"{sys.executable} -m lbcore check {tmp_path} | head -1"
    got = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
    assert got.stderr == "" and got.stdout.count("\n") == 1


def test_as_a_module_and_ascii_terminals(tmp_path):
    (tmp_path / "é.yaml").write_text(BROKEN.replace("name: r}", "name: é}"), encoding="utf-8")
    got = outside(
        "check", tmp_path, env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    )
    assert got.returncode == 1 and b"Traceback" not in got.stderr and b"metadata.name" in got.stdout


def test_a_command_imports_only_what_it_needs():
    code = """
import sys
from lbcore.__main__ import main
main(["policies", "--json"])
print([name for name in ("msgspec", "yaml", "asyncio", "aiohttp", "lbcore.engine",
"lbcore.cli.serve") if name in sys.modules], file=sys.stderr)
"""
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert got.stderr.strip() == "[]"


@settings(max_examples=150)
@given(
    text=st.text(alphabet="abc:-[]{}&*!|>'\"%#,? \n\t01.~<\\\x00\x1b\ud800é", max_size=60),
    name=st.sampled_from(["yaml", "json"]),
)
def test_no_text_makes_a_traceback(text, name, tmp_path_factory):
    file = tmp_path_factory.mktemp("cli") / f"a.{name}"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert main(["check", str(file)]) in (0, 1)
    assert main(["routes", "-f", str(file)]) in (0, 1)

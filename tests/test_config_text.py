"""Text to data: YAML 1.2 core scalars, JSON, what is refused, and the places of problems."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbcore
from lbcore.config import jsontext, places, yaml
from lbcore.config.plain import Unreadable, plain, shown, written

SCALARS = {
    "yes": "yes", "no": "no", "on": "on", "NO": "NO", "1:30": "1:30", "1_000": "1_000", "012": "012", "0o17": "0o17",
    "0b1": "0b1", "2026-01-31": "2026-01-31", "=": "=", "nullx": "nullx", "-": None, "": None, "~": None,
    "null": None,
    "true": True, "False": False, "TRUE": True, "tRUE": "tRUE", "0": 0, "-17": -17, "+3": 3, "0x1F": 31,
    "0X1F": "0X1F",
    "1.5": 1.5, "-.5": -0.5, "1e3": 1000.0, "1.": 1.0, "1e400": math.inf, ".inf": math.inf, "-.INF": -math.inf,
    ".5.": ".5.",
    "'12'": "12", '"true"': "true", "'~'": "~", "1.2.3": "1.2.3", "007": "007", "-0": 0, "00": "00",
}  # fmt: skip

REFUSED = {  # text: (reason, line, column, field)
    "a: 1\nb: 2\na: 3\n": ("the key 'a' stands here twice", 3, 1, "a"),
    "a:\n- b: 1\n  b: 2\n": ("the key 'b' stands here twice", 3, 3, "a[0].b"),
    "a: {b: !!str c}\n": ("tags such as", 1, 8, "a.b"),
    "a: !local {}\n": ("tags such as '!local'", 1, 4, "a"),
    "--- !<tag:x>\na: 1\n": ("tags such as", 1, 5, ""),
    "1: x\n": ("the key 1 is not text", 1, 1, ""),
    "null: x\n": ("the key null is not text", 1, 1, ""),
    "yes: 1\n? [a]\n: 2\n": ("the key a list is not text", 2, 5, ""),
    "a: &x {b: 1}\nc:\n  <<: *x\n": ("the merge key", 3, 3, "c"),
    "a: *gone\n": ("alias 'gone' has no anchor", 1, 4, "a"),
    "&x [*x]\n": ("alias 'x' has no anchor", 1, 5, "[0]"),
    "a: &x 1\n---\nb: *x\n": ("alias 'x' has no anchor", 3, 4, "b"),
    "a: b: c\n": ("mapping values are not allowed", 1, 5, ""),
    "a: [1\n": ("did not find expected|expected ',' or ']'", 2, 1, ""),
    "a: 'x\n": ("found unexpected end of stream", 2, 1, ""),
    "é: é\n\nbé: \x01\n": ("character #x01 is not allowed", 3, 5, ""),
    "a: \x01\n": ("character #x01 is not allowed", 1, 4, ""),
    "%YAML 3.0\n---\na\n": ("incompatible", 1, 1, ""),
    "a: " + "9" * 400 + "\n": ("a number of 400 digits", 1, 4, "a"),
    "a: " + "[" * 101 + "\n": ("nested deeper than 100", 1, 103, "a[0][0]"),
    "a: \x00\n": ("NUL", 1, 4, ""),
    "- a\n- b\n": ("a document is a list", 1, 1, ""),
    "---\n---\nplain words\n": ("a document is 'plain words'", 3, 1, ""),
}

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join([f'*{b}'] * 9)}]\n" for b, c in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture(params=["libyaml", "python"])
def parser(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(yaml, "CParser", None)
    elif yaml.CParser is None:
        pytest.skip("PyYAML was built without libyaml")
    return request.param


@pytest.mark.parametrize("text", SCALARS)
def test_scalars_are_those_of_yaml_12(parser, text):
    (got,) = yaml.documents(f"[{text}]" if text != "-" else "[ ]")[:1]
    wanted = [SCALARS[text]] if text not in ("-", "") else []
    assert got == wanted
    assert [type(value) for value in got] == [type(value) for value in wanted]


def test_not_a_number(parser):
    assert math.isnan(yaml.documents(".nan")[0])


def test_documents_aliases_and_byte_order_mark(parser):
    text = "\ufeffa: &x [1, {b: c}]\nd: *x\n---\n# nothing\n---\n- '<<': 1\n...\n"
    assert yaml.documents(text) == [{"a": [1, {"b": "c"}], "d": [1, {"b": "c"}]}, None, [{"<<": 1}]]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:20]))
def test_refused_with_place(parser, text):
    reason, line, column, field = REFUSED[text]
    with pytest.raises(lbcore.ConfigError, match=reason) as caught:
        lbcore.load(text)
    (problem,) = caught.value.problems
    assert problem.file == "<text>"
    assert problem.field.startswith(field) and bool(problem.field) == bool(field)
    if parser == "libyaml" or "'x" not in text:
        assert (problem.line, problem.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "{a: " * 20_000,
        "[" * 100_000 + "\n",
        "- " * 50_000,
        "? " * 50_000,
        '{"a":' * 100_000 + "\n",
        "a: &x [" + "1," * 5000 + "]\nb: [" + "*x," * 5000 + "]\n",
        "a: " + "9" * 1_000_000 + "\n",
        '{"a": ' + "9" * 1_000_000 + "}",
        '{"a": "' + "\\ud800" * 100_000 + '"}',
        "'" + "x" * 1_000_000 + "\n",
        "!" * 100_000 + "\n",
        "&" * 100_000 + "\n",
        '{"lbcore": 1, ' + ",".join(f'"k{i}": 1' for i in range(100_000)) + "}",
        "\n" + "a" * 2_000_000 + ": 1\n",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_bombs_are_refused_soon(text):
    began = time.process_time()
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load(text)
    assert time.process_time() - began < 2
    assert len(caught.value.problems) <= 1001
    assert all(len(str(problem)) <= 500 for problem in caught.value.problems)


def test_a_million_nodes_by_alias_are_too_many_ten_thousand_are_not():
    few = yaml.documents("a: &x [" + "1," * 99 + "1]\nb: [" + "*x," * 99 + "*x]\n")[0]
    assert sum(map(len, few["b"])) == 10_000


JSON_REFUSED = {
    '{"a": 1, "b": {"c": 1,\n "c": 2}}': ("the key 'c' stands here twice", 2, 2, "b.c"),
    '{"a": NaN}': ("NaN is not JSON", 0, 0, ""),
    '{"a": -Infinity}': ("-Infinity is not JSON", 0, 0, ""),
    '{"a": "\\ud800"}': ("a character that UTF-8 cannot carry", 0, 0, "a"),
    '{"a": 1} x': ("not JSON: Extra data", 1, 10, ""),
    '{"a": 1,\n}': ("not JSON", 2, 1, ""),
    '{"a": 1e5, "b": ' + "1" * 400 + "}": ("a number of 400 digits", 0, 0, ""),
    '{"a": ' + "[" * 101 + "]" * 101 + "}": ("nested deeper than 100 levels", 0, 0, ""),
}


@pytest.mark.parametrize("text", JSON_REFUSED, ids=lambda text: repr(text[:16]))
def test_json_refused_with_place(text, tmp_path):
    reason, line, column, field = JSON_REFUSED[text]
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(lbcore.ConfigError, match=reason) as caught:
        lbcore.load(tmp_path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (line, column)
    assert problem.field.startswith(field)


def test_yaml_in_braces_is_yaml_and_a_json_file_is_json(tmp_path):
    short = "{lbcore: 1, listeners: {web: {protocol: http, port: 80}}}"
    assert lbcore.load(short).listeners[0].port == 80
    (tmp_path / "a.json").write_text(short)
    with pytest.raises(lbcore.ConfigError, match="not JSON"):
        lbcore.load(tmp_path / "a.json")


# ---- places -----------------------------------------------------------------------------------------------------

YAML = """\
# comment
a:
  - b: "x: y"
    'c d': &x {e: [1, 2]}
  - *x
---
f: g
"""
JSON = '{"a": [{"b": "x\\"{",\n "c": [1,\n  2]}],\n "d": {}}'


def test_places_in_yaml(parser):
    wanted = {
        (0, "a"): (2, 1), (0, "a", 0): (3, 5), (0, "a", 0, "b"): (3, 5), (0, "a", 0, "c d"): (4, 5),
        (0, "a", 0, "c d", "e", 1): (4, 23), (0, "a", 1): (5, 5), (0, "a", 1, "e"): (5, 5), (1, "f"): (7, 1),
        (0, "gone", "deeper"): (2, 1), (7,): (0, 0),
    }  # fmt: skip
    assert places.locate(YAML, False, wanted) == wanted


def test_places_in_json():
    wanted = {
        (0, "a"): (1, 2),
        (0, "a", 0, "c"): (2, 2),
        (0, "a", 0, "c", 1): (3, 3),
        (0, "d"): (4, 2),
        (0, "d", "x"): (4, 2),
    }
    assert places.locate(JSON, True, wanted) == wanted


plain_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(data=plain_data, indent=st.sampled_from([None, 0, 2]))
def test_json_is_read_as_python_reads_it_and_every_node_has_a_place(data, indent):
    import json

    text = json.dumps(data, indent=indent)
    assert jsontext.document(text) == json.loads(text)
    found = [path for path, _, _ in places.nodes(jsontext.events(text))]
    assert len(found) == len(set(found)) == nodes(data)


def nodes(data):
    if isinstance(data, dict):
        return 1 + sum(map(nodes, data.values()))
    return 1 + sum(map(nodes, data)) if isinstance(data, list) else 1


@given(text=st.text(alphabet="ab:-[]{}&*!|>'\"%#,? \n\t01.~<\\", max_size=40))
def test_any_text_is_read_or_refused(text):
    both = []
    for parser in (yaml.CParser, None):
        was, yaml.CParser = yaml.CParser, parser
        try:
            both.append(yaml.documents(text))
        except Unreadable as error:
            assert error.reason
            both.append(None)
        finally:
            yaml.CParser = was


# ---- plain data -------------------------------------------------------------------------------------------------


class Strange:
    def __repr__(self):
        raise RuntimeError("looked at")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"a": Strange()}, "a: a Strange is not data"),
        ({1: 2}, "the key 1 is not text"),
        ({"a": {("b",): 2}}, "a: the key a list is not text"),
        ({"a": "\ud800"}, r"a: '\\ud800' has a character"),
        ({"\ud800": 1}, "has a character that UTF-8 cannot carry"),
        ({"a": 10**400}, "more than 308 digits"),
        ({"a": b"x"}, "a bytes is not data"),
        ({"a": {1, 2}}, "a set is not data"),
    ],
)
def test_what_is_no_data(data, reason):
    with pytest.raises(lbcore.ConfigError, match=reason):
        lbcore.load(data)


def test_cycles_and_depth():
    cycle = {}
    cycle["a"] = [cycle, cycle]
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for data in (cycle, {"a": deep}, {"kind": "List", "items": [cycle]}):
        with pytest.raises(lbcore.ConfigError, match="nested deeper than 100"):
            lbcore.load(data)


def test_plain_copies():
    inner = [1]
    data = {"b": inner, "a": (1, True, 2.5, None)}
    copy = plain(data)
    assert copy == {"b": [1], "a": [1, True, 2.5, None]} and list(copy) == ["b", "a"]
    assert copy["b"] is not inner


def test_what_problems_quote():
    assert written(("spec", "rules", 0, "a.b", "c-d_e")) == "spec.rules[0]['a.b'].c-d_e"
    assert shown("x" * 1000) == "'" + "x" * 76 + "..." and len(shown("\n" * 1000)) == 80
    assert (shown(None), shown(True), shown(10**40), shown([]), shown({}), shown(1.5)) == (
        "null", "true", "a huge number", "a list", "an object", "1.5")  # fmt: skip

"""Every condition of a route as a program writes it: what matches, and what is refused with which field."""

import pickle
import random
import re
import subprocess
import sys
import time

import pytest

import lbcore


def router(*routes, flavor="gateway_api"):
    return lbcore.Router([lbcore.Route(f"r{i}", **one) for i, one in enumerate(routes)], flavor)


def name(match):
    return None if match is None else match.route.name


def asked(one, *args, **known):
    return name(router(one).match("GET", "a.example", *(args or ("/",)), **known)) == "r0"


# ---- headers and query ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "test, value, holds",
    [
        ("prod", "prod", True),
        ("prod", " prod\t", True),
        ("prod", "PROD", False),
        ("", "", True),
        (["a", "b"], "b", True),
        (("a", ""), "", True),
        (["a", "b"], "c", False),
        (["a", "b"], None, False),
        (True, "", True),
        (True, None, False),
        (False, None, True),
        (False, "x", False),
        (lbcore.Regex("v[0-9]+"), "v12", True),
        (lbcore.Regex("v[0-9]+"), "v12x", False),
        (lbcore.Regex("v[0-9]+"), None, False),
        (re.compile("V[0-9]+", re.I), "v1", True),
    ],
)
def test_what_a_value_must_be(test, value, holds):
    headers = [] if value is None else [("X-Env", value)]
    assert asked({"headers": [("x-env", test)]}, "/", headers) == holds
    assert asked({"headers": {"x-env": test}}, "/", dict(headers)) == holds
    query = "" if value is None else "?x-env=" + value.strip().replace(" ", "%20")
    assert asked({"query": {"x-env": test}}, "/" + query) == holds


def test_all_conditions_hold_and_the_first_of_a_name_counts():
    one = {"headers": [("a", "1"), ("A", "2"), ("b", True)]}
    assert asked(one, "/", [("a", "1"), ("b", "")])
    assert not asked(one, "/", [("a", "1")])
    assert not asked(one, "/", [("a", "2"), ("b", "")])


def test_a_route_shows_its_conditions():
    route = lbcore.Route(
        "r", headers={"a": ["1", "2"], "b": re.compile("x")}, query={"q": False}, sources=["10.0.0.0/8"]
    )
    assert route.headers == (("a", ("1", "2")), ("b", lbcore.Regex("x")))
    assert (route.query, route.sources) == ((("q", False),), (("10.0.0.0/8", None),))
    assert (route.snis, route.ports, route.priority, route.stream) == ((), (), 0, False)


# ---- paths ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, path, target, params",
    [
        ("template", "/users/{id}", "/users/7", {"id": "7"}),
        ("template", "/users/{id}", "/users/7/", None),
        ("template", "/users/{id}", "/users/", None),
        ("template", "/u/{id}/f/{rest...}", "/u/7/f/a/b%2fc", {"id": "7", "rest": "a/b%2Fc"}),
        ("template", "/u/{rest...}", "/u/", {"rest": ""}),
        ("plain", "/ab", "/abc", {}),
        ("plain", "/ab", "/a", None),
        ("regex", "/v[0-9]+/.*", "/v2/x", {}),
        ("regex", "/v[0-9]+", "/v2/x", None),
        ("regex", "/(?P<area>[a-z]+)(/(?P<id>[0-9]+))?", "/users/7", {"area": "users", "id": "7"}),
        ("regex", "/(?P<area>[a-z]+)(/(?P<id>[0-9]+))?", "/users", {"area": "users"}),
        ("regex", lbcore.Regex("/x"), "/x", {}),
        ("regex", re.compile("/X", re.IGNORECASE), "/x", {}),
    ],
)
def test_paths(kind, path, target, params):
    match = router({"path": path, "path_type": kind}).match("GET", "a", target)
    assert (None if match is None else match.params) == params


def test_kongs_flavours_match_from_the_start():
    table = router({"path": "/(?P<n>[0-9]+)", "path_type": "regex"}, flavor="kong_traditional")
    match = table.match("GET", "a", "/12/more")
    assert (match.route.name, match.params) == ("r0", {"n": "12"})
    assert router(
        {"path": "", "path_type": "plain", "hosts": ["a:80", "b.*"]}, flavor="kong_compatible"
    ).match("GET", "b.example", "/")
    with pytest.raises(
        lbcore.ConfigError, match=r"routes\[0\].path_type: 'prefix' is not of Kong's flavours"
    ):
        router({"path": "/a"}, flavor="kong_compatible")


def test_a_key_is_made_of_a_capture():
    up = lbcore.Upstream("u", ["a:1", "b:1"], "hash")
    table = router(
        {
            "path": "/t/{tenant}",
            "path_type": "template",
            "backends": [up],
            "key": lbcore.KeySource("capture:tenant"),
        }
    )
    assert table.match("GET", "a", "/t/acme").key == "acme"


# ---- regular expressions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3, 4, 17, 40])
def test_few_and_many_patterns_find_the_same(n):
    """One by one below four, in sets of sixteen above; those that are asked together are of equal rank."""
    table = router(*({"path": f"/[a-z]+/{i:03}(/.*)?", "path_type": "regex"} for i in range(n)))
    for i in range(n):
        assert name(table.match("GET", "a", f"/x/{i:03}/y")) == f"r{i}"
    assert table.match("GET", "a", "/x/999") is None


def test_more_candidates_than_questions():
    """Rounds of 32: the last of 100 patterns that share their beginning is found, too."""
    table = router(*({"headers": {"h": lbcore.Regex(f"(x|y){i:03}")}} for i in range(100)))
    assert name(table.match("GET", "a", "/", [("h", "y099")])) == "r99"
    assert table.match("GET", "a", "/", [("h", "y100")]) is None


def test_a_set_without_memory_refuses(monkeypatch):
    """Never "no match": a rule that keeps somebody out must not be passed by what exhausts it.

    A set that is out of memory says that nothing matches, not even the pattern that matches everything.
    """
    import re2

    monkeypatch.setattr(re2.Set, "Match", lambda self, text: None)
    table = router(*({"headers": {"h": lbcore.Regex(f"x{i}")}} for i in range(16)), {"path": "/"})
    with pytest.raises(lbcore.BadRequest, match="memory"):
        table.match("GET", "a", "/", [("h", "y")])
    assert name(table.match("GET", "a", "/")) == "r16"  # nothing was asked


@pytest.mark.parametrize("length", [8, 100])
def test_hostile_patterns_and_texts_take_linear_time(length):
    """A deterministic automaton of these has 2^length states; a backtracker would not come back."""
    pattern = [{"headers": {"h": lbcore.Regex(f"(.*)*a[ab]{{{length + i}}}c")}} for i in range(16)]
    table = router(*pattern, {"path": "/"})
    text = "".join(random.Random(1).choice("ab") for _ in range(8000))
    begun = time.process_time()
    assert name(table.match("GET", "a", "/", [("h", text)])) == "r16"
    assert name(table.match("GET", "a", "/", [("h", "a" + "b" * length + "c")])) == "r0"
    assert time.process_time() - begun < 10


def test_long_texts_are_refused():
    table = router({"path": "/a.*", "path_type": "regex"}, {"path": "/"})
    assert name(table.match("GET", "a", "/a" + "b" * 8000)) == "r0"
    with pytest.raises(lbcore.BadRequest):
        table.match("GET", "a", "/a" + "b" * 9000)
    assert name(table.match("GET", "a", "/b" + "b" * 9000)) == "r1"  # no pattern can match


@pytest.mark.parametrize(
    "pattern, why",
    [
        ("/a(?!b)", r"invalid perl operator: \(\?! \(at character 3\)"),
        (r"/(a)\1", r"invalid escape sequence: \\1 \(at character 5\)"),
        ("/a**", r"bad repetition operator: \*\* \(at character 3\)"),
        ("/[z-a]", r"invalid character class range: z-a \(at character 3\)"),
        ("", "not a non-empty string"),
        (7, "not a non-empty string"),
    ],
)
def test_what_re2_does_not_know_is_refused_with_its_place(pattern, why):
    with pytest.raises(lbcore.ConfigError, match=why) as error:
        lbcore.Route("users", path=pattern, path_type="regex")
    assert error.value.problems[0].field == "path"
    assert "'users'" in str(error.value)
    with pytest.raises(lbcore.ConfigError, match=why):
        lbcore.Regex(pattern)


def test_flags_that_re2_has_not():
    with pytest.raises(lbcore.ConfigError, match="IGNORECASE, MULTILINE and DOTALL"):
        lbcore.Route("r", headers={"a": re.compile("x", re.VERBOSE)})
    with pytest.raises(lbcore.ConfigError, match="IGNORECASE, MULTILINE and DOTALL"):
        lbcore.Route("r", headers={"a": re.compile(b"x")})


def test_a_regex_is_a_value():
    one = lbcore.Regex("(?P<b>x)(?P<a>y)?")
    assert one == lbcore.Regex(one.pattern) and hash(one) == hash(lbcore.Regex(one.pattern)) and one != "x"
    assert pickle.loads(pickle.dumps(one)) == one
    assert (
        one.groups == ("b", "a")
        and one.matches("xy")
        and not one.matches("xz")
        and one.matches(b"xz", whole=False)
    )


def test_without_google_re2_the_error_says_how_to_get_it():
    code = (
        "import sys, importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 're2': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import lbcore\n"
        "lbcore.Router([lbcore.Route('r')]).match('GET', 'a', '/')\n"
        "try: lbcore.Regex('x')\n"
        "except lbcore.LbcoreError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "lbcore[regex]"' in done.stdout


# ---- the connection ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "one, known, holds",
    [
        ({"schemes": ["https"]}, {"scheme": "HTTPS"}, True),
        ({"schemes": ["https"]}, {}, False),
        ({"snis": ["*.example"]}, {"sni": "a.example."}, True),
        ({"snis": ["*.example"]}, {"sni": "example"}, False),
        ({"ports": [80, 81]}, {"port": 81}, True),
        ({"ports": 80}, {"port": 81}, False),
        ({"sources": ["10.0.0.0/8"]}, {"source": "10.1.2.3"}, True),
        ({"sources": ["10.0.0.0/8"]}, {"source": ("10.1.2.3", 5000)}, True),
        ({"sources": ["10.0.0.0/8"]}, {"source": ("::ffff:10.1.2.3", 5000, 0, 0)}, True),
        ({"sources": ["10.0.0.0/8"]}, {"source": "192.0.2.1"}, False),
        ({"sources": ["10.0.0.0/8"]}, {"source": None}, False),
        ({"sources": [("10.0.0.0/8", 5000)]}, {"source": ("10.1.2.3", 5001)}, False),
        ({"sources": [(None, 5000)]}, {"source": ("192.0.2.1", 5000)}, True),
        ({"destinations": ["2001:db8::/32"]}, {"destination": "2001:db8::1"}, True),
    ],
)
def test_conditions_on_the_connection(one, known, holds):
    assert asked(one, **known) == holds


def test_a_match_keeps_source_and_context():
    here = object()
    match = router({}).match("GET", "a", "/", source=("192.0.2.1", 5000), context=here)
    assert (match.source, match.context) == ("192.0.2.1", here)
    assert router({}).match_or_raise("GET", "a", "/", destination="192.0.2.2", context=here).context is here


@pytest.mark.parametrize(
    "known",
    [
        {"port": 65536},
        {"port": "80"},
        {"port": True},
        {"source": ("10.0.0.1", -1)},
        {"source": ("10.0.0.1",)},
    ],
)
def test_what_is_no_port(known):
    with pytest.raises(ValueError, match="not"):
        router({}).match("GET", "a", "/", **known)


def test_streams():
    table = lbcore.Router(
        [
            lbcore.Route("any", stream=True),
            lbcore.Route("tls", stream=True, schemes=["tls"], snis=["*.example"], ports=[443]),
            lbcore.Route(
                "db", stream=True, schemes=["tcp"], sources=["10.0.0.0/8"], destinations=[(None, 5432)]
            ),
            lbcore.Route("http"),
        ]
    )
    assert name(table.match_stream("udp", 53)) == "any"
    assert name(table.match_stream("TLS", 443, sni="db.example")) == "tls"
    assert (
        name(table.match_stream("tcp", 5432, source=("10.0.0.1", 1), destination=("10.0.0.2", 5432))) == "db"
    )
    assert table.match_stream("tcp", 1, source=("192.0.2.1", 1)).source == "192.0.2.1"
    assert name(table.match("GET", "a", "/")) == "http"
    assert lbcore.Router([lbcore.Route("http")]).match_stream("tcp", 80) is None


SCOPE = {
    "type": "http",
    "method": "GET",
    "raw_path": b"/a",
    "query_string": b"",
    "headers": [(b"host", b"x")],
}


def test_a_scope_says_what_it_knows():
    table = router(
        {"schemes": ["https"], "ports": [443], "sources": [("10.0.0.1", 5)], "destinations": ["192.0.2.1"]},
        {},
    )
    scope = SCOPE | {"scheme": "https", "client": ("10.0.0.1", 5), "server": ("192.0.2.1", 443)}
    assert name(table.match_scope(scope)) == "r0"
    assert name(table.match_scope(scope | {"type": "websocket", "scheme": "wss"})) == "r0"
    assert name(table.match_scope(scope | {"client": None})) == "r1"
    assert name(table.match_scope(scope | {"server": ("/run/socket", None)})) == "r1"
    assert name(router({"snis": ["x"]}).match_scope(SCOPE, sni="x")) == "r0"


def test_a_decoded_path_is_taken_only_where_that_is_allowed():
    scope = {key: value for key, value in SCOPE.items() if key != "raw_path"} | {"path": "/a b/é/100%/~;x=1"}
    with pytest.raises(lbcore.BadRequest, match="raw_path"):
        router({}).match_scope(scope)
    assert router({}).match_scope(scope, allow_decoded_path=True).path == "/a%20b/%C3%A9/100%25/~;x=1"
    with pytest.raises(lbcore.BadRequest):
        router({}).match_scope(scope | {"path": "/\ud800"}, allow_decoded_path=True)


# ---- what is refused, and where ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "one, field",
    [
        ({"path_type": "glob"}, "path_type"),
        ({"path": ""}, "path"),
        ({"path": None}, "path"),
        ({"headers": [("a",)]}, "headers[0]"),
        ({"headers": [("a", "1"), ("b", 7)]}, "headers[1].value"),
        ({"headers": [("a", ["x", 7])]}, "headers[0].values[1]"),
        ({"headers": [(7, "x")]}, "headers[0].name"),
        ({"headers": [("a", re.compile("(?=x)"))]}, "headers[0].value"),
        ({"query": {"q": None}}, "query[0].value"),
        ({"snis": "x"}, "snis"),
        ({"ports": [65536]}, "ports[0]"),
        ({"ports": [80, True]}, "ports[1]"),
        ({"sources": "10.0.0.1"}, "sources"),
        ({"sources": [(None, None)]}, "sources[0]"),
        ({"sources": [("10.0.0.1", "x")]}, "sources[0].port"),
        ({"destinations": [7]}, "destinations[0].block"),
        ({"priority": -1}, "priority"),
        ({"priority": 2**32}, "priority"),
    ],
)
def test_a_route_is_refused_with_its_field(one, field):
    with pytest.raises(lbcore.ConfigError) as error:
        lbcore.Route("r", **one)
    assert error.value.problems[0].field == field


@pytest.mark.parametrize(
    "one, field",
    [
        ({"path": "a"}, "routes[1].path"),
        ({"path": "", "path_type": "plain"}, "routes[1].path"),
        ({"path": "/{a}/{a}", "path_type": "template"}, "routes[1].path"),
        ({"headers": {"a": []}}, "routes[1].headers[0].values"),
        ({"headers": {"a b": True}}, "routes[1].headers[0].name"),
        ({"ports": [0]}, "routes[1].ports[0]"),
        ({"schemes": ["1"]}, "routes[1].schemes[0]"),
        ({"sources": ["10.0.0.0/33"]}, "routes[1].sources[0].block"),
        ({"snis": ["*"]}, "routes[1].snis[0]"),
        ({"stream": True, "path": "/x"}, "routes[1].path"),
        ({"stream": True, "hosts": ["x"]}, "routes[1].hosts"),
    ],
)
def test_a_table_is_refused_with_the_route_and_its_field(one, field):
    with pytest.raises(lbcore.ConfigError) as error:
        router({}, one)
    assert error.value.problems[0].field == field


@pytest.mark.parametrize("flavor", ["kong", None, 7, "expressions"])
def test_flavours(flavor):
    with pytest.raises(lbcore.ConfigError, match="gateway_api, ingress, kong_traditional, kong_compatible"):
        lbcore.Router([], flavor)


# ---- changes ----------------------------------------------------------------------------------------------------


def test_a_change_shares_and_leaves_the_old_table():
    a, b, c = (lbcore.Route(n, path="/" + n) for n in "abc")
    old = lbcore.Router([a, b])
    new = old.changed(removed=[a], added=[(c, b), (lbcore.Route("b2", path="/b"), None)])
    assert [r.name for r in new.routes] == ["c", "b", "b2"] and old.routes == (a, b)
    assert new.match("GET", "x", "/b").route is b and new.match("GET", "x", "/a") is None
    assert old.match("GET", "x", "/a").route is a and old.match("GET", "x", "/c") is None
    assert repr(new) == "Router(3 routes, gateway_api)" and new.flavor == "gateway_api"


@pytest.mark.parametrize(
    "change, field",
    [
        ({"removed": [2]}, "removed[0]"),
        ({"removed": [0, lbcore.Route("x")]}, "removed[1]"),
        ({"added": [lbcore.Route("x")]}, "added[0]"),
        ({"added": [(lbcore.Route("x"), lbcore.Route("y"))]}, "added[0].before"),
        ({"added": [(lbcore.Route("x"), None), (lbcore.Route("x", path="x"), 0)]}, "added[1].path"),
    ],
)
def test_a_change_that_fails_changes_nothing(change, field):
    old = router({}, {"path": "/a"})
    with pytest.raises(lbcore.ConfigError) as error:
        old.changed(**change)
    assert error.value.problems[0].field == field
    again = old.changed(added=[(lbcore.Route("new", path="/n"), 0)])
    assert name(again.match("GET", "x", "/n")) == "new" and name(again.match("GET", "x", "/a")) == "r1"


def test_a_change_brings_patterns():
    old = router({"path": "/"})
    new = old.changed(added=[(lbcore.Route("rx", path="/x[0-9]", path_type="regex"), None)])
    assert name(new.match("GET", "a", "/x1")) == "rx" and name(old.match("GET", "a", "/x1")) == "r0"


# ---- why --------------------------------------------------------------------------------------------------------


def test_an_explanation_reads_well():
    table = router(
        {"path": "/a", "methods": ["POST"]}, {"headers": {"x": True, "y": "1"}}, {}, {"hosts": ["other"]}
    )
    told = table.explain("GET", "a", "/a/b", {"x": ""})
    assert [(one.route.name, one.host, one.failed) for one in told.considered] == [
        ("r3", "other", "hosts"),
        ("r0", None, "methods"),
        ("r1", None, "headers[1]"),
        ("r2", None, None),
    ]
    assert str(told) == "r2\n  r0: methods\n  r1: headers[1]\n  r2: holds\n  1 for other hosts or paths"
    assert table.explain("OPTIONS", "a", "*").match is None


def test_conflicts_name_both():
    table = router(
        {"path": "/a"},
        {"path": "/a/"},
        {"path": "/a", "headers": {"x": ["1", "2"]}},
        {"path": "/a", "headers": {"x": "1"}},
        {"path": "/a", "headers": {"z": "1"}},
        {"path": "/{a}/x", "path_type": "template"},
        {"path": "/a/{b}", "path_type": "template"},
    )
    assert sorted(map(str, table.conflicts())) == [
        "r1 says the same as r0",
        "r3 never wins: r2 does",
        "r4 comes after r2 by the order of the routes alone",
        "r6 comes after r5 by the order of the routes alone",
    ]

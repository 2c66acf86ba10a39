"""The router and its normaliser against their twins: random tables, random and hostile requests."""

import os
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lbcore
from twins import router as twin

SEGMENTS = (
    "a",
    "b",
    "api",
    "v1",
    "x",
    "%2F",
    "%5C",
    "..",
    ".",
    "",
    "%7e",
    "A",
    "%41",
    "%zz",
    "%00",
    "a%2Fb",
    "\\",
    ";p=1",
    "a%2f..%2fb",
)
HOSTS = (
    None,
    "a.example",
    "b.a.example",
    "c.b.a.example",
    "A.Example.",
    "a.example:8080",
    "other",
    "",
    "a..example",
    "[::1]:80",
    "a_b.example",
)
PATTERNS = ("a.example", "*.a.example", "*.example", "b.a.example", "other")
METHODS = ("GET", "POST", "PURGE", "get", "", "G ET")
QUERIES = (None, "", "q=1", "q=%31", "q=2&q=1", "x&q=1", "q=1#f", "+=1")
HEADERS = (
    ("X-A", "1"),
    ("x-a", " 1\t"),
    ("x-a", "2"),
    ("x-b", ""),
    ("host", "a.example"),
    ("bad name", "1"),
    ("x-c", "1\n"),
)

paths = st.builds(
    lambda parts: "/" + "/".join(parts),
    st.lists(st.sampled_from(("a", "b", "api", "v1", "x", "A", "a%2Fb")), max_size=4),
)
route = st.fixed_dictionaries(
    {
        "path": paths,
        "exact": st.booleans(),
        "hosts": st.lists(st.sampled_from(PATTERNS), max_size=2),
        "methods": st.lists(st.sampled_from(("GET", "POST", "PURGE")), max_size=2),
        "headers": st.lists(st.sampled_from((("X-A", "1"), ("x-a", "2"), ("x-b", ""))), max_size=2),
        "query": st.lists(st.sampled_from((("q", "1"), ("q", "2"), ("x", ""))), max_size=2),
    }
)
target = st.builds(
    lambda start, parts, query: start + "/".join(parts) + ("" if query is None else "?" + query),
    st.sampled_from(("/", "/", "/", "//", "", "http://a.example/", "https://other:1/", "*")),
    st.lists(st.sampled_from(SEGMENTS), max_size=5),
    st.sampled_from(QUERIES),
)


def build(routes):
    core = lbcore.Router(
        lbcore.Route(
            f"r{i}",
            hosts=r["hosts"],
            path=r["path"],
            path_type="exact" if r["exact"] else "prefix",
            methods=r["methods"],
            headers=r["headers"],
            query=r["query"],
        )
        for i, r in enumerate(routes)
    )

    def raw(items):
        return tuple((a.encode(), b.encode()) for a, b in items)

    slow = twin.Router(
        [
            twin.Route(
                r["path"].encode(),
                "exact" if r["exact"] else "prefix",
                tuple(h.encode() for h in r["hosts"]),
                tuple(m.encode() for m in r["methods"]),
                raw(r["headers"]),
                raw(r["query"]),
            )
            for r in routes
        ]
    )
    return core, slow


def compare(core, slow, method, host, target, headers):
    want = slow.match(
        method.encode(),
        host if host is None else host.encode(),
        target.encode(),
        [(n.encode(), v.encode()) for n, v in headers],
    )
    try:
        match = core.match(method, host, target, headers)
    except lbcore.BadRequest:
        assert want.outcome == "refused"
        return
    if match is None:
        assert want.outcome == "none"
        return
    assert want.outcome == "found"
    assert match.route is core.routes[want.route]
    assert match.path.encode() == want.path
    query = b"" if want.query is None else b"?" + want.query
    assert match.target.encode() == want.path + query


@given(
    routes=st.lists(route, max_size=10),
    requests=st.lists(
        st.tuples(
            st.sampled_from(METHODS),
            st.sampled_from(HOSTS),
            target,
            st.lists(st.sampled_from(HEADERS), max_size=3),
        ),
        max_size=10,
    ),
)
def test_the_core_is_its_twin(routes, requests):
    core, slow = build(routes)
    for request in requests:
        compare(core, slow, *request)


@given(st.binary(max_size=40))
@example(b"/%2f..%2fadmin")
def test_any_bytes_are_read_as_the_twin_reads_them(raw):
    core, slow = build(
        [{"path": "/", "exact": False, "hosts": [], "methods": [], "headers": [], "query": []}]
    )
    want = slow.match(b"GET", b"a", raw)
    try:
        match = core.match(b"GET", b"a", raw)
    except lbcore.BadRequest:
        match = None
    assert (match is not None) == (want.outcome == "found")
    if match:
        assert match.path.encode() == want.path


@given(st.text(max_size=30))
def test_any_host_is_read_as_the_twin_reads_it(host):
    core, slow = build(
        [{"path": "/", "exact": False, "hosts": ["a.example"], "methods": [], "headers": [], "query": []}]
    )
    compare(core, slow, "GET", host, "/", [])


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 9, 100, 3000])
def test_tables_of_every_size(size):
    rng = random.Random(size)
    rounds = int(os.environ.get("LBCORE_TABLES", "300")) // max(1, size // 10) + 1
    words = ("a", "b", "api", "v1", "x", "A", "a%2Fb", *(f"w{i}" for i in range(size // 4)))
    for _ in range(rounds):
        routes = [
            {
                "path": "/" + "/".join(rng.choices(words, k=rng.randint(0, 4))),
                "exact": rng.random() < 0.4,
                "hosts": rng.sample(PATTERNS, rng.randint(0, 2)),
                "methods": rng.sample(("GET", "POST", "PURGE"), rng.choice((0, 0, 1, 2))),
                "headers": rng.sample((("X-A", "1"), ("x-a", "2"), ("x-b", "")), rng.choice((0, 0, 1, 2))),
                "query": rng.sample((("q", "1"), ("x", "")), rng.choice((0, 0, 1, 2))),
            }
            for _ in range(size)
        ]
        core, slow = build(routes)
        for _ in range(20):
            some = (
                rng.choice(routes)["path"]
                if routes and rng.random() < 0.7
                else "/" + "/".join(rng.choices(SEGMENTS, k=3))
            )
            query = rng.choice(QUERIES)
            text = some + rng.choice(("", "/", "/x", "/../a")) + ("" if query is None else "?" + query)
            compare(
                core,
                slow,
                rng.choice(METHODS),
                rng.choice(HOSTS),
                text,
                rng.sample(HEADERS, rng.randint(0, 2)),
            )

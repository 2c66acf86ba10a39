"""Filters, each row with the sentence of the standard that it comes from.

Sentences are quoted from the comments of the Gateway API's HTTPRouteFilter and its parts, v1; Kong's rules are those of
Kong Gateway 3.10.  CORS: ``test_filters_cors.py``; what is refused: ``test_filters_values.py``.
"""

import json
import re
import sys
import threading
from fractions import Fraction
from urllib.parse import urlsplit

import pytest

from lbcore import Upstream
from lbcore import filters as f
from twins import filters as twin

HOST = [("Host", "a.example")]


def forward(*filters, path="/", matched=1, headers=(), host="a.example", query=None):
    return f.program(filters).forward("GET", host, path, query, list(headers), matched)


# ---- headers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edits, before, after",
    [
        # "Set overwrites the request with the given header (name, value) before the action."
        ({"set": {"my-header": "bar"}}, [("my-header", "foo")], [("my-header", "bar")]),
        ({"set": {"X": "new"}}, [("x", "1"), ("a", "b"), ("X", "2")], [("a", "b"), ("X", "new")]),
        # "Add ... appends to any existing values associated with the header name."  my-header: foo,bar,baz
        (
            {"add": {"my-header": "bar,baz"}},
            [("my-header", "foo")],
            [("my-header", "foo"), ("my-header", "bar,baz")],
        ),
        ({"add": {"X": "1"}}, [], [("X", "1")]),
        # "Remove the given header(s) from the HTTP request before the action."
        (
            {"remove": ["my-header1", "my-header3"]},
            [("my-header1", "foo"), ("my-header2", "bar"), ("my-header3", "baz")],
            [("my-header2", "bar")],
        ),
        # "Note that the header names are case-insensitive"
        ({"remove": ["X-HEADER"]}, [("x-header", "1"), ("X-Header", "2")], []),
        # What is not named stays as it is, in its order.
        (
            {"set": {"n": "v"}},
            [("B", "1"), ("a", "2"), ("B", "3")],
            [("B", "1"), ("a", "2"), ("B", "3"), ("n", "v")],
        ),
    ],
)
@pytest.mark.parametrize("binary", [False, True])
def test_header_edits(edits, before, after, binary):
    if binary:
        before, after = ([(k.encode(), v.encode()) for k, v in pairs] for pairs in (before, after))
    p = f.program([f.RequestHeaders(**edits)])
    assert p.forward("GET", "h", "/", None, before, 1, binary)[3] == after
    assert f.program([f.ResponseHeaders(**edits)]).response(before, (), binary) == after


def test_the_kind_of_headers_is_seen_or_said():
    p = f.program([f.RequestHeaders(set={"X": "1"})])
    assert p.forward("GET", "h", "/", None, [(b"a", b"b")])[3] == [(b"a", b"b"), (b"X", b"1")]
    assert p.forward("GET", "h", "/", None, [], binary=True)[3] == [(b"X", b"1")]
    assert p.forward("GET", "h", "/", None, [])[3] == [("X", "1")]


def test_the_host_is_never_among_the_headers():
    assert forward(f.URLRewrite(), headers=[*HOST, ("HOST", "x"), ("a", "b")])[1::2] == (
        "a.example",
        [("a", "b")],
    )


def test_a_rules_filters_come_before_a_backends():
    rule = f.program(
        [f.RequestHeaders(set={"X": "rule"}, remove=["Y"]), f.ResponseHeaders(add={"R": "rule"})]
    )
    there = rule.plus([f.RequestHeaders(add={"x": "backend", "Y": "2"}), f.ResponseHeaders(remove=["r"])])
    sent = there.forward("GET", "h", "/", None, [("Y", "1"), ("X", "0")])[3]
    assert sent == [("X", "rule"), ("x", "backend"), ("Y", "2")]
    assert there.response([("r", "1")], ()) == []
    assert rule.response([("a", "1")], ()) == [("a", "1"), ("R", "rule")]
    assert rule.plus([]) is rule


# ---- paths and hosts --------------------------------------------------------------------------------------------

# The table in the comment of HTTPPathModifier.replacePrefixMatch, whole; the last six rows are ours:
# request path, prefix match, replace prefix, modified path.
PREFIXES = [
    ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
    ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
    ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
    ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
    ("/foo", "/foo", "/xyz", "/xyz"),
    ("/foo/", "/foo", "/xyz", "/xyz/"),
    ("/foo/bar", "/foo", "", "/bar"),
    ("/foo/", "/foo", "", "/"),
    ("/foo", "/foo", "", "/"),
    ("/foo/", "/foo", "/", "/"),
    ("/foo", "/foo", "/", "/"),
    ("/foo", "/foo/", "/xyz/", "/xyz"),
    ("/foo/", "/foo/", "/xyz/", "/xyz/"),
    ("/foo/bar/", "/foo", "/", "/bar/"),
    ("/bar", "/", "/xyz", "/xyz/bar"),
    ("/", "/", "/xyz", "/xyz/"),
    ("/foo%2Fbar/x", "/foo%2Fbar", "/a/b", "/a/b/x"),
]


@pytest.mark.parametrize("path, prefix, replacement, expected", PREFIXES)
@pytest.mark.parametrize("query", [None, "", "a=1&b"])
def test_replace_prefix_match(path, prefix, replacement, expected, query):
    modifier = f.ReplacePrefixMatch(replacement)
    target = expected if query is None else f"{expected}?{query}"
    for matched in {
        len(prefix),
        min(len(prefix), len(path)),
        len(prefix.rstrip("/")),
    }:  # however the slash was counted
        assert forward(f.URLRewrite(path=modifier), path=path, matched=matched, query=query)[2] == target
        answer = redirect(f.RequestRedirect(path=modifier), path=path, matched=matched, query=query)
        assert answer == f"http://a.example{target}"
    assert twin.replaced_prefix(path, prefix, replacement) == expected


def test_replace_full_path():
    # "ReplaceFullPath specifies the value with which to replace the full path of a request"
    full = f.URLRewrite(path=f.ReplaceFullPath("/one"))
    assert forward(full, path="/full/one/two", matched=9, query="q=1")[2] == "/one?q=1"
    assert forward(f.URLRewrite(path=f.ReplaceFullPath("")), path="/x")[2] == "/"


def test_rewrite_of_the_host():
    # "Hostname is the value to be used to replace the Host header value during forwarding."
    assert (
        forward(f.URLRewrite(hostname="one.example.org"), host="rewrite.example:8080")[1] == "one.example.org"
    )
    assert (
        forward(f.URLRewrite(path=f.ReplaceFullPath("/x")), host="rewrite.example:8080")[1]
        == "rewrite.example:8080"
    )
    rule = f.program([f.URLRewrite(hostname="rule.test", path=f.ReplaceFullPath("/rule"))])
    for own, sent in (
        (f.URLRewrite(hostname="own.test"), ("own.test", "/rule")),
        (f.URLRewrite(path=f.ReplaceFullPath("/own")), ("rule.test", "/own")),
    ):
        assert rule.plus([own]).forward("GET", "h", "/", None, [])[1:3] == sent


# ---- Kong's way to a service ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base, handling, strip, path, matched, expected",
    [
        # v0, strip: base and postfix with exactly one slash between
        ("/srv", "v0", True, "/rou/x", 4, "/srv/x"),
        ("/srv/", "v0", True, "/rou/x", 4, "/srv/x"),
        ("/srv", "v0", True, "/route", 4, "/srv/te"),
        # v0, strip, empty postfix: base, a trailing slash following the request's
        ("/srv", "v0", True, "/rou", 4, "/srv"),
        ("/srv/", "v0", True, "/rou", 4, "/srv"),
        ("/srv/", "v0", True, "/rou/", 5, "/srv/"),
        ("/srv", "v0", True, "/rou/", 5, "/srv/"),
        ("/", "v0", True, "/rou", 4, "/"),
        ("/", "v0", True, "/", 1, "/"),
        ("/srv", "v0", True, "/", 1, "/srv"),
        ("/srv/", "v0", True, "/", 1, "/srv/"),
        # v0, no strip: base and the whole path; "/" and a base without trailing slash: base alone
        ("/srv", "v0", False, "/rou", 4, "/srv/rou"),
        ("/srv/", "v0", False, "/rou", 4, "/srv/rou"),
        ("/srv", "v0", False, "/", 1, "/srv"),
        ("/srv/", "v0", False, "/", 1, "/srv/"),
        # v1: plain concatenation; a double slash is reduced
        ("/srv", "v1", True, "/rou/x", 4, "/srv/x"),
        ("/srv/", "v1", True, "/rou/x", 4, "/srv/x"),
        ("/srv", "v1", True, "/route", 4, "/srvte"),
        ("/srv", "v1", True, "/rou", 4, "/srv"),
        # v1, no strip: base and the path without its first slash: /srv and /rou give /srvrou
        ("/srv", "v1", False, "/rou", 4, "/srvrou"),
        ("/srv/", "v1", False, "/rou", 4, "/srv/rou"),
        # a leading ., .., ./ or ../ of the postfix is removed
        ("/srv", "v0", True, "/rou..", 4, "/srv"),
        ("/srv", "v0", True, "/rou../x", 4, "/srv/x"),
        ("/srv/", "v1", True, "/rou./x", 4, "/srv/x"),
        ("/srv", "v0", True, "/rou.../x", 4, "/srv/.../x"),
    ],
)
def test_the_path_to_a_service(base, handling, strip, path, matched, expected):
    service = f.ToService(base, strip_path=strip, path_handling=handling)
    assert service(path, matched) == expected
    if handling == "v0":
        assert twin.kong_v0(base, path, matched, strip) == expected


def test_preserve_host():
    assert forward(f.ToService(preserve_host=True), host="c.test:8000")[1] == "c.test:8000"
    assert forward(f.ToService(), host="c.test:8000")[1] is None
    assert f.own_host("svc.internal", 80, "http") == "svc.internal"
    assert f.own_host("svc.internal", 443, "http") == "svc.internal:443"
    assert f.own_host("::1", 443, "https") == "[::1]"


def recorded(shared):
    """(route, service, path, upstream_uri, upstream_host) that Kong's own router answered."""
    for name in ("spec.json", "oracle.json"):
        for case in json.loads((shared / "cases/kong-router" / name).read_text())["cases"]:
            for check in case["checks"]:
                request, expect = check["request"], check["expect"]
                for answer in [expect] if name == "spec.json" else expect.values():
                    if answer.get("upstream_uri") is not None and answer.get("route") is not None:
                        entry = case["routes"][answer["route"]]
                        raw = request.get("request_uri") or request.get("path")
                        yield entry["route"], entry["service"], raw, answer, request


def matched_lengths(route, path):
    """How much of the path each of the route's paths matches; a route without paths: the slash."""
    found = set()
    for pattern in route.get("paths") or ["/"]:
        if pattern.startswith("~"):
            match = re.match(pattern[1:].replace("?<", "?P<").replace("?PP<", "?P<"), path)
            found |= {match.end()} if match else set()
        elif path.startswith(pattern):
            found.add(len(pattern))
    return found


def test_what_kongs_router_answered(shared):
    n = 0
    for route, service, raw, answer, request in recorded(shared):
        path = (raw or "").partition("?")[0]
        if not path.startswith("/") or "%" in path or "//" in path or re.search(r"/\.\.?(/|$)", path):
            continue  # how Kong normalises is not the subject
        to = f.ToService(
            service.get("path") or "/",
            strip_path=bool(route.get("strip_path")),
            path_handling=route.get("path_handling") or "v0",
            preserve_host=bool(route.get("preserve_host")),
        )
        wanted = answer["upstream_uri"]
        results = {to(path, matched) for matched in matched_lengths(route, path)}
        assert wanted in results and (len(results) == 1 or len(route["paths"]) > 1), (
            route,
            service,
            path,
            wanted,
        )
        host = request.get("host") or request.get("headers", {}).get("host")
        if "preserve_host" in route and isinstance(host, str):
            sent = f.program([to]).forward("GET", host, path, None, [])[1]
            assert (sent or None) == (answer.get("upstream_host") or None)
        n += 1
    assert n > 1000


# ---- redirects --------------------------------------------------------------------------------------------------


def redirect(item, *, path="/", matched=1, host="a.example", scheme="http", port=80, query=None):
    answer = f.program([item]).answer("GET", host, path, query, HOST, matched, scheme, port)
    assert answer.status == item.status and answer.body == b""
    return dict(answer.headers)["Location"]


@pytest.mark.parametrize(
    "item, request_, location",
    [
        # "Scheme ... When empty, the scheme of the request is used."
        ({}, {}, "http://a.example/"),
        ({}, {"scheme": "https", "port": 443}, "https://a.example/"),
        # "If redirect scheme is not-empty, the redirect port MUST be the well-known port associated with the redirect
        # scheme. Specifically "http" to port 80 and "https" to port 443."
        ({"scheme": "https"}, {"port": 8080}, "https://a.example/"),
        ({"scheme": "http"}, {"scheme": "https", "port": 8443}, "http://a.example/"),
        # "If redirect scheme is empty, the redirect port MUST be the Gateway Listener port."
        ({}, {"port": 8080}, "http://a.example:8080/"),
        ({}, {"port": 8080, "host": "a.example:31000"}, "http://a.example:8080/"),
        ({}, {"port": 80, "host": "a.example:31000"}, "http://a.example/"),
        ({"hostname": "b.example"}, {"port": 8443, "scheme": "https"}, "https://b.example:8443/"),
        # The listener's port is not known: the one that the client used.
        ({}, {"port": None, "host": "a.example:8080"}, "http://a.example:8080/"),
        ({}, {"port": None}, "http://a.example/"),
        # "Port is the port to be used in the value of the `Location` header"
        ({"port": 8083}, {}, "http://a.example:8083/"),
        ({"scheme": "https", "port": 8443}, {}, "https://a.example:8443/"),
        # "Implementations SHOULD NOT add the port number [to] a Location header that will use HTTP and use port 80 ...
        # HTTPS and use port 443"
        ({"port": 80}, {"port": 8080}, "http://a.example/"),
        ({"scheme": "https", "port": 443}, {}, "https://a.example/"),
        ({"scheme": "https", "port": 80}, {}, "https://a.example:80/"),
        ({"port": 443}, {}, "http://a.example:443/"),
        # "Hostname ... When empty, the hostname in the `Host` header of the request is used."
        ({"hostname": "example.org"}, {"host": "a.example:8000"}, "http://example.org/"),
        ({}, {"host": "[::1]:8000"}, "http://[::1]/"),
        ({}, {"host": "[::1]"}, "http://[::1]/"),
        ({}, {"host": "a.example:"}, "http://a.example/"),
        ({}, {"host": "a.example:" + "0" * 5000 + "81", "port": None}, "http://a.example:81/"),
        # "Path ... When empty, the request path is used as-is."
        ({}, {"path": "/x/y%2Fz", "query": "a=b?c"}, "http://a.example/x/y%2Fz?a=b?c"),
        ({"path": f.ReplaceFullPath("/new")}, {"path": "/x", "query": "q"}, "http://a.example/new?q"),
        ({"path": f.ReplacePrefixMatch("/new")}, {"path": "/x/y", "matched": 2}, "http://a.example/new/y"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(item, request_, location, status):
    assert redirect(f.RequestRedirect(**item, status=status), **request_) == location


def test_a_redirect_without_any_host_is_a_bad_request():
    p = f.program([f.RequestRedirect(scheme="https")])
    for host in (None, ""):
        assert p.answer("GET", host, "/", None, [], 1, "http", 80).status == 400
    there = f.program([f.RequestRedirect(hostname="b.example")])
    assert there.answer("GET", None, "/", None, [], 1, "http", 80).status == 302


def test_a_redirect_has_the_rules_response_headers_and_its_backend_may_redirect():
    hsts = f.ResponseHeaders(set={"Strict-Transport-Security": "max-age=300"})
    rule = f.program([hsts])
    assert not rule.answers and rule.answer("GET", "h", "/", None, [], 1, "http", 80) is None
    there = rule.plus([f.RequestRedirect(scheme="https")])
    assert there.answers
    assert there.answer("GET", "h", "/", None, [], 1, "http", 80).headers == (
        ("Location", "https://h/"),
        ("Strict-Transport-Security", "max-age=300"),
    )
    assert (f.MISDIRECTED.status, f.INVALID_BACKEND.status) == (421, 500)


def test_https_only():
    def answer(status, scheme="http", host="a.example:8000", method="GET", headers=()):
        p = f.program([f.HttpsOnly(status), f.RequestRedirect(hostname="later.test"), f.Cors(["*"])])
        return p.answer(method, host, "/x", "q=1", headers, 1, scheme, 8000)

    # Kong: "has https without http and the request is plain -> 426 or the redirect"
    assert answer(426).status == 426 and dict(answer(426).headers)["Upgrade"] == "TLS/1.2, HTTP/1.1"
    for status in (301, 302, 307, 308):
        found = answer(status)
        assert found.status == status and dict(found.headers)["Location"] == "https://a.example/x?q=1"
    assert answer(301, host=None).status == 400
    assert dict(answer(426, "https").headers)["Location"] == "https://later.test:8000/x?q=1"
    asked = [("Origin", "https://b.test"), ("Access-Control-Request-Method", "GET")]
    assert answer(301, method="OPTIONS", headers=asked).status == 301
    assert answer(301, "https", method="OPTIONS", headers=asked).status == 204


# ---- mirrors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item, share",
    [
        # "If neither field is specified, 100% of requests will be mirrored."
        ({}, Fraction(1)),
        # "Its minimum value is 0 (indicating 0% of requests) and its maximum value is 100"
        ({"percent": 0}, Fraction(0)),
        ({"percent": 100}, Fraction(1)),
        ({"percent": 35}, Fraction(35, 100)),
        ({"fraction": (1, 3)}, Fraction(1, 3)),
        ({"fraction": (50, 100)}, Fraction(1, 2)),
        ({"fraction": (999, 1000)}, Fraction(999, 1000)),
    ],
)
def test_mirrors_are_exact(item, share):
    p = f.program([f.Mirror("copy", **item)])
    hits = [p.mirrors() == ("copy",) for _ in range(2 * share.denominator + 7)]
    assert twin.within_one(hits, share)


def test_several_mirrors_each_have_their_share():
    p = f.program([f.Mirror("a", percent=50), f.Mirror("b", percent=10), f.RequestHeaders(set={"X": "1"})])
    seen = [name for _ in range(1000) for name in p.mirrors()]
    assert (seen.count("a"), seen.count("b")) == (500, 100)
    assert f.program([f.URLRewrite()]).mirrors() == ()


def test_a_reload_keeps_what_is_owed():
    p, n = None, 0
    for _ in range(300):  # each configuration lives for 10 requests
        p = f.program([f.Mirror("copy", percent=1)], previous=p)
        n += sum(bool(p.mirrors()) for _ in range(10))
    assert n == 30
    for _ in range(100):  # comes, goes, changes
        p = f.program([f.Mirror("copy", percent=n % 3 * 50)], previous=p)
        n += bool(p.mirrors())


def test_a_backends_program_shares_the_rules_mirrors():
    rule = f.program([f.Mirror("rule", percent=50)])
    a, b = rule.plus([f.Mirror("a")]), rule.plus([f.URLRewrite(hostname="b.test")])
    seen = [p.mirrors() for _ in range(50) for p in (a, b)]
    assert twin.within_one(["rule" in names for names in seen], Fraction(1, 2))
    assert ["a" in names for names in seen] == [True, False] * 50
    counts, there = {"rule": 0, "own": 0}, None
    for n in range(300):  # each configuration lives for 10 requests
        rule = f.program([f.Mirror("rule", percent=3)], previous=rule if n else None)
        there = rule.plus([f.Mirror("own", percent=1)], previous=there)
        for name in (name for _ in range(10) for name in there.mirrors()):
            counts[name] += 1
    assert counts == {"rule": 90, "own": 30}


def test_mirrors_in_many_threads_are_exact():
    p, counts = f.program([f.Mirror("copy", fraction=(1, 7))]), [0] * 4
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:

        def run(i):
            counts[i] = sum(bool(p.mirrors()) for _ in range(3500))

        threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert sum(counts) == 2000


def test_a_fraction_is_taken_in_lowest_terms():
    assert f.Mirror("m", fraction=(1_000_000_000, 2_000_000_000)).share == (1, 2)


def test_a_mirrors_backend_is_anything():
    up = Upstream("shadow", ["10.0.0.9:80"])
    (found,) = f.program([f.Mirror(up)]).mirrors()
    assert found is up


# ---- time and attempts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timeouts, elapsed, left",
    [
        ({}, 5.0, None),
        # "Setting a timeout to the zero duration (e.g. "0s") SHOULD disable the timeout completely."
        ({"request": 0, "backend_request": 0}, 5.0, None),
        ({"request": 0, "backend_request": 2}, 5.0, 2),
        ({"request": 10}, 4.0, 6.0),
        ({"request": 10, "backend_request": 3}, 4.0, 3),
        # "the Request timeout encompasses the BackendRequest timeout"
        ({"request": 10, "backend_request": 3}, 8.0, 2.0),
        ({"request": 10}, 10.0, 0.0),
        ({"request": 10}, 11.0, 0.0),
    ],
)
def test_timeouts(timeouts, elapsed, left):
    assert f.Timeouts(**timeouts).left(elapsed) == left


@pytest.mark.parametrize(
    "retry, n, method, status, sent, again",
    [
        # "Codes defines the HTTP response status codes for which a backend request should be retried."
        ({"codes": [500], "attempts": 1}, 0, "POST", 500, True, True),
        ({"codes": [500], "attempts": 1}, 0, "GET", 503, True, False),
        # "Attempts ... in addition to the initial request"; "An explicit zero value MUST disable retries."
        ({"codes": [500], "attempts": 1}, 1, "GET", 500, True, False),
        ({"attempts": 0}, 0, "GET", None, False, False),
        # "SHOULD retry when ... the connection could not be established"
        ({}, 0, "POST", None, False, True),
        # "SHOULD NOT retry by default on failures where the request may have been processed"; RFC 9110 9.2.2 allows it
        # for idempotent methods.
        ({}, 0, "POST", None, True, False),
        ({}, 0, "PATCH", None, True, False),
        ({}, 0, "GET", None, True, True),
        ({}, 1, "DELETE", None, True, True),
        ({}, 2, "GET", None, True, False),
    ],
)
def test_retries(retry, n, method, status, sent, again):
    assert f.Retry(**retry).again(n, method, status, sent=sent) is again


def test_the_wait_between_retries_grows_and_ends():
    # "MAY cap the delay at an implementation-defined maximum, which SHOULD NOT be less than the base interval"
    retry = f.Retry(backoff=0.5)
    assert [retry.wait(n) for n in range(6)] == [0.5, 1, 2, 4, 5, 5]
    assert retry.wait(10**9) == 5


# ---- which go together ------------------------------------------------------------------------------------------

EDIT, REWRITE, MOVED = f.RequestHeaders, f.URLRewrite(hostname="b.test"), f.RequestRedirect(scheme="https")
PREFIX = f.URLRewrite(path=f.ReplacePrefixMatch("/x"))


@pytest.mark.parametrize(
    "rule, backends, types, problems",
    [
        ([], [], ["prefix"], []),
        ([EDIT(remove=["x"]), f.ResponseHeaders(remove=["x"]), REWRITE, f.Cors(["*"])], [[]], ["prefix"], []),
        # "Specifying the same filter multiple times is not supported unless explicitly indicated in the filter."
        ([REWRITE, f.Cors(["*"]), PREFIX], [], ["prefix"], ["filters[2]"]),
        ([EDIT(remove=["x"])] * 3, [], ["prefix"], ["filters[1]", "filters[2]"]),
        ([], [[], [f.Cors(["*"]), f.Cors(["*"])]], ["prefix"], ["backendRefs[1].filters[1]"]),
        # RequestMirror: "This filter can be used multiple times within the same rule."
        ([f.Mirror("a"), f.Mirror("a")], [], ["prefix"], []),
        # The same kind at both levels is no conflict: the backend's comes later.
        ([EDIT(remove=["x"]), REWRITE], [[EDIT(remove=["x"]), REWRITE]], ["prefix"], []),
        # "URLRewrite and RequestRedirect filters ... may not be combined"
        ([REWRITE, MOVED], [], ["prefix"], ["filters[1]"]),
        ([MOVED, REWRITE], [], ["prefix"], ["filters[1]"]),
        ([REWRITE], [[MOVED]], ["prefix"], ["backendRefs[0].filters[0]"]),
        ([f.ToService(), REWRITE], [], ["prefix"], ["filters[1]"]),
        # "RequestRedirect filter must not be used together with backendRefs"; within a backendRef it may.
        ([MOVED], [[]], ["prefix"], ["filters[0]"]),
        ([], [[MOVED]], ["prefix"], []),
        # "When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified"
        ([PREFIX], [], ["exact"], ["filters[0]"]),
        ([PREFIX], [], ["prefix", "prefix"], ["filters[0]"]),
        ([], [[f.RequestRedirect(path=f.ReplacePrefixMatch(""))]], ["regex"], ["backendRefs[0].filters[0]"]),
        ([f.URLRewrite(path=f.ReplaceFullPath("/x"))], [], ["exact", "regex"], []),
        (["URLRewrite", f.Filter()], [[None]], ["prefix"], ["filters[0]", "filters[1]", "backendRefs[0].filters[0]"]),
    ],
)  # fmt: skip
def test_check_filters(rule, backends, types, problems):
    found = f.check_filters(rule, backends, path_types=types, at="spec.rules[2].")
    assert [p.field for p in found] == [f"spec.rules[2].{field}" for field in problems]
    assert all(p.reason for p in found)


def test_the_locations_of_redirects_are_urls():
    parts = urlsplit(redirect(f.RequestRedirect(port=8083), path="/a", query="b=c", host="h.test"))
    assert parts == ("http", "h.test:8083", "/a", "b=c", "")

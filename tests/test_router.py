"""Router and Match as a program sees them."""

import gc
import threading

import pytest

import lbcore


@pytest.fixture(scope="module")
def router():
    up = lbcore.Upstream("u", ["a:1"])
    return lbcore.Router(
        [
            lbcore.Route("any", backends=[up]),
            lbcore.Route("api", hosts=["api.example.com"], path="/v1", backends=[up]),
            lbcore.Route("wild", hosts=["*.example.com"]),
            lbcore.Route(
                "exact", path="/one", path_type="exact", methods=["GET", "PURGE"], backends=[up, up]
            ),
            lbcore.Route(
                "beta", path="/one", path_type="exact", headers=[("X-Beta", "1")], query=[("q", "a b")]
            ),
        ]
    )


@pytest.mark.parametrize(
    "method, host, target, name",
    [
        ("GET", "api.example.com", "/v1/x", "api"),
        ("GET", "API.example.com.:8080", "/v1", "api"),
        ("GET", "api.example.com", "/v10", "wild"),
        ("GET", "a.b.example.com", "/", "wild"),
        ("GET", "example.com", "/", "any"),
        ("GET", "example.com", "/one", "exact"),
        ("PURGE", "example.com", "/one?x=1", "exact"),
        ("POST", "example.com", "/one", "any"),
        ("get", "example.com", "/one", "any"),
    ],
)
@pytest.mark.parametrize("kind", [str, bytes])
def test_match(router, kind, method, host, target, name):
    if kind is bytes:
        method, host, target = method.encode(), host.encode(), target.encode()
    assert router.match(method, host, target).route.name == name


def test_headers_and_query_decide_last(router):
    request = ("POST", "example.com", "/one?q=a%20b")
    assert router.match(*request, [("x-beta", "1")]).route.name == "beta"
    assert router.match(*request, {"X-BETA": " 1\t"}).route.name == "beta"
    assert router.match(*request, [(b"x-beta", b"1"), (b"x-beta", b"2")]).route.name == "any"
    assert router.match("POST", "example.com", "/one?q=a&q=a%20b", [("x-beta", "1")]).route.name == "any"
    # A method match outranks any number of headers.
    assert router.match("GET", "example.com", "/one?q=a%20b", [("x-beta", "1")]).route.name == "exact"


def test_a_match_carries_what_to_forward(router):
    m = router.match("GET", "Example.com", "/x/../y//%7Ez?a=1&b")
    assert (m.path, m.target) == ("/y/~z", "/y/~z?a=1&b")
    assert (m.params, m.key, m.filters, m.timeouts, m.retry) == ({}, None, (), None, None)
    method, host, target, headers = m.forward([("Host", "Example.com"), ("Accept", "*/*")])
    assert (method, host, target, headers) == ("GET", "Example.com", "/y/~z?a=1&b", [("Accept", "*/*")])
    absolute = router.match("GET", "ignored", "http://api.example.com/v1")
    assert (absolute.route.name, absolute.path) == ("api", "/v1")
    assert absolute.forward(())[1] == "api.example.com"


def test_a_match_acquires(router):
    m = router.match("GET", "example.com", "/one")
    assert m.upstream is None and len(m.backends) == 2 and m.answer is None
    call = m.acquire()
    assert call.backend in m.backends and call.target.in_flight == 1
    call.done()
    nowhere = router.match("GET", "x.example.com", "/")
    assert nowhere.answer.status == 500
    with pytest.raises(lbcore.NoTarget) as e:
        nowhere.acquire()
    assert e.value.status == 500


@pytest.mark.parametrize(
    "method, host, target",
    [
        ("GET", "a b", "/"),
        ("GET", "a", "x"),
        ("GET", "a", ""),
        ("GET", "a", "/\x00"),
        ("GET", "a", "/%00"),
        ("GET", "a", "/%zz"),
        ("GET", "a", "/\\"),
        ("GET", "a", "/\u00e9"),
        ("GET", "a", "/\ud800"),
        ("GE T", "a", "/"),
        ("", "a", "/"),
        ("GET", "a", "/#f"),
        ("GET", "a", "*"),
    ],
)
def test_refused(router, method, host, target):
    with pytest.raises(lbcore.BadRequest) as e:
        router.match(method, host, target)
    assert e.value.reason


def test_no_route():
    router = lbcore.Router([lbcore.Route("r", hosts=["a.example"])])
    assert router.match("GET", "b.example", "/") is None
    with pytest.raises(lbcore.NoRoute, match=r"b\.example"):
        router.match_or_raise("GET", "b.example", "/")
    assert lbcore.Router([]).match("GET", "a", "/") is None


def scope(path, query=b"", headers=((b"host", b"api.example.com"),), **more):
    return {
        "type": "http",
        "method": "GET",
        "raw_path": path,
        "query_string": query,
        "headers": list(headers),
        **more,
    }


def test_match_scope(router):
    m = router.match_scope(scope(b"/v1/./a", b"q=1"))
    assert (m.route.name, m.target) == ("api", "/v1/a?q=1")
    for broken in (
        {"type": "http", "method": "GET", "path": "/", "headers": []},
        scope(b"/", headers=[(b"host", b"a"), (b"host", b"b")]),
        scope(b"/\xc3\xa9"),
        scope(b"/", headers=[(b"host", b"a"), (b"x", b"1\r\n2")]),
    ):
        with pytest.raises(lbcore.BadRequest):
            router.match_scope(broken)


@pytest.mark.parametrize(
    "route, field",
    [
        ({"path": "v1"}, "routes[1].path"),
        ({"path": "/a/../b"}, "routes[1].path"),
        ({"path": "/a//b"}, "routes[1].path"),
        ({"path": "/%7E"}, "routes[1].path"),
        ({"hosts": ["ok.example", "a b"]}, "routes[1].hosts[1]"),
        ({"hosts": ["*.*.example"]}, "routes[1].hosts[0]"),
        ({"hosts": ["a.example:80"]}, "routes[1].hosts[0]"),
        ({"methods": ["G ET"]}, "routes[1].methods[0]"),
        ({"headers": [("a b", "1")]}, "routes[1].headers[0].name"),
    ],
)
def test_wrong_routes_name_their_place(route, field):
    with pytest.raises(lbcore.ConfigError) as e:
        lbcore.Router([lbcore.Route("good"), lbcore.Route("bad", **route)])
    assert field in str(e.value)


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"hosts": "a"}, "hosts"),
        ({"hosts": [5]}, r"hosts\[0\]"),
        ({"path": ""}, "path"),
        ({"path_type": "suffix"}, "path_type"),
        ({"headers": ["ab"]}, r"headers\[0\]"),
        ({"backends": ["a"]}, r"backends\[0\]"),
    ],
)
def test_wrong_arguments_of_a_route(wrong, field):
    with pytest.raises(lbcore.ConfigError, match=field):
        lbcore.Route("r", **wrong)


def test_long_requests_and_headers_of_any_iterable(router):
    path = "/v1/" + "a" * 60_000
    m = router.match("GET", "api.example.com", path, iter([("x", "y")]))
    assert m.path == path
    twice = router.match("GET", "api.example.com", "/v1" + "//a" * 20_000)
    assert twice.path == "/v1" + "/a" * 20_000


def test_matches_outlive_their_router():
    m = lbcore.Router([lbcore.Route("r", data=object())]).match("GET", "a", "/x/" + "y" * 100)
    gc.collect()
    assert m.path == "/x/" + "y" * 100 and m.route.name == "r"


def test_any_number_of_threads_may_match(router):
    wrong = []

    def work(n):
        for i in range(2000):
            path = f"/v1/{n}/{i}"
            m = router.match("GET", "api.example.com", path)
            if m.route.name != "api" or m.path != path:
                wrong.append(path)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong

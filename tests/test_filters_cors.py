"""CORS, each row with the sentence of the Gateway API (HTTPCORSFilter, v1) or of the Fetch standard it comes from."""

import pytest

from lbcore import filters as f


def asks(origin, method="GET", headers=None):
    lines = [("Origin", origin), ("access-control-request-method", method)]
    return lines + ([("Access-Control-Request-Headers", headers)] if headers is not None else [])


def preflight(cors, headers, method="OPTIONS"):
    answer = f.program([cors]).answer(method, "h", "/", None, headers, 1, "http", 80)
    if answer is None:
        return None
    assert answer.status == 204 and answer.body == b""
    return {name.lower(): value for name, value in answer.headers}


FOO = "https://www.foo.com"


@pytest.mark.parametrize(
    "pattern, origin, allowed",
    [
        ("https://www.foo.com", FOO, True),
        ("https://www.foo.com", "http://www.foo.com", False),
        ("https://www.foo.com", "https://foo.com", False),
        ("https://www.foo.com", "https://www.foo.com.evil.test", False),
        # "if not included, port 80 is assumed for http scheme origins, and port 443 for https origins"
        ("https://www.foo.com", "https://www.foo.com:443", True),
        ("https://www.foo.com:443", FOO, True),
        ("https://www.foo.com", "https://www.foo.com:8443", False),
        ("http://foo.com:8080", "http://foo.com:8080", True),
        # "* is a greedy match to the left, including any number of DNS labels to the left of its position"
        ("https://*.bar.com", "https://xpto.www.bar.com", True),
        ("https://*.bar.com", "https://www.bar.com", True),
        ("https://*.bar.com", "https://bar.com", False),
        ("https://*.bar.com", "https://foobar.com", False),
        ("https://*.bar.com", "https://.bar.com", False),
        ("https://*.bar.com", "https://www.bar.com.evil.test", False),
        ("https://*.bar.com:8443", "https://www.bar.com:8443", True),
        # "A wildcard by itself matches all hosts."
        ("https://*", "https://any.test", True),
        ("https://*", "https://[::1]", True),
        ("https://*", "http://any.test", False),
        ("https://*", "https://any.test:8443", False),
        # "An origin value that includes only the * character indicates requests from all Origins are allowed."
        ("*", "https://foobar.com:12345", True),
        ("*", "moz-extension://0a", True),
        # What is no origin: opaque ones, lists, other things
        ("*", "null", False),
        ("*", "https://a.test https://b.test", False),
        ("*", "https://a.test/path", False),
        ("*", "https://user@a.test", False),
        ("*", "https://\u212aing.test", False),  # the Kelvin sign is no k
        ("*", "https://a.test\x00", False),
        ("https://*", "https://a.test,https://b.test", False),
    ],
)
def test_origins(pattern, origin, allowed):
    # "the gateway ... sets value of the header Access-Control-Allow-Origin same as the Origin header provided by the
    # client"; "If the configuration contains the wildcard * ... and allowCredentials is set to true, the gateway must
    # not return *".
    cors = f.Cors([pattern], allow_credentials=True)
    said = preflight(cors, asks(origin))
    assert said.get("access-control-allow-origin") == (origin if allowed else None)
    assert said.get("access-control-allow-credentials") == ("true" if allowed else None)
    actual = dict(f.program([cors]).response([], [("Origin", origin)]))
    assert actual.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    # Fetch 3.3.5 (CORS protocol and HTTP caches): both carry Vary
    assert said["vary"] == actual["Vary"] == "Origin"


def test_an_answer_to_a_preflight():
    cors = f.Cors(
        [FOO, "https://*.bar.com"],
        ["GET", "OPTIONS"],
        ["x-header-1", "x-header-2"],
        ["x-header-3", "x-header-4"],
        True,
        3600,
    )
    assert preflight(cors, asks("https://xpto.www.bar.com", headers="x-header-1, x-header-2")) == {
        "access-control-allow-origin": "https://xpto.www.bar.com",
        "access-control-allow-credentials": "true",
        "access-control-max-age": "3600",
        "access-control-allow-methods": "GET, OPTIONS",
        "access-control-allow-headers": "x-header-1, x-header-2",
        "access-control-expose-headers": "x-header-3, x-header-4",
        "vary": "Origin",
    }
    # "the gateway returns 204/200 response but doesn't set the relevant cross-origin response headers"
    assert preflight(cors, asks("https://foobar.com")) == {"vary": "Origin"}
    # "the default value of Access-Control-Max-Age response header is 5 (seconds)"
    assert preflight(f.Cors([FOO]), asks(FOO))["access-control-max-age"] == "5"


def test_wildcards_without_credentials():
    # "the Access-Control-Allow-Origin response header may either contain the wildcard * or echo the value"
    cors = f.Cors(["*"], ["*"], ["*"], ["*"])
    said = preflight(cors, asks("https://any.test", "PUT", "X-A , x-b"))
    assert said["access-control-allow-origin"] == "*" and "access-control-allow-credentials" not in said
    assert (said["access-control-allow-methods"], said["access-control-allow-headers"]) == ("PUT", "X-A, x-b")
    assert said["access-control-expose-headers"] == "*"
    assert said["vary"] == "Access-Control-Request-Method, Access-Control-Request-Headers"
    assert dict(f.program([cors]).response([], asks("https://any.test"))) == {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": "*",
    }


def test_what_does_not_vary_is_said_to_everybody():
    # Fetch 3.3.5: "if `Access-Control-Allow-Origin` is set to * or a static origin for a particular resource, then
    # configure the server to always send `Access-Control-Allow-Origin` in responses for the resource — for non-CORS
    # requests as well as CORS requests — and do not use `Vary`."
    assert f.program([f.Cors(["*"])]).response([], []) == [("Access-Control-Allow-Origin", "*")]
    assert f.program([f.Cors(["*"], allow_credentials=True)]).response([], []) == [("Vary", "Origin")]
    assert f.program([f.Cors([])]).response([], [("Origin", FOO)]) == []


def test_wildcards_with_credentials():
    cors = f.Cors(["*"], ["*"], ["*"], ["*"], True)
    # "must return a single HTTP method matching the value of the Access-Control-Request-Method request header"
    said = preflight(cors, asks(FOO, "PATCH"))
    assert said["access-control-allow-methods"] == "PATCH"
    # "If the Access-Control-Request-Headers header is not present in the request, the gateway must omit the
    # Access-Control-Allow-Headers response header."
    assert "access-control-allow-headers" not in said
    # "the gateway cannot use the * in the Access-Control-Expose-Headers response header"
    assert "access-control-expose-headers" not in said
    answer = dict(f.program([cors]).response([("X-A", "1"), ("Set-Cookie", "s"), ("x-a", "2")], asks(FOO)))
    assert answer["Access-Control-Expose-Headers"] == "x-a"
    # Nothing that is no header's name is repeated.
    for hostile in ("x-a\x00", "a b", "x,,y", ""):
        assert "access-control-allow-headers" not in preflight(cors, asks(FOO, "PUT", hostile))
    assert "access-control-allow-methods" not in preflight(cors, asks(FOO, "P T"))


@pytest.mark.parametrize(
    "method, headers",
    [
        ("GET", asks(FOO)),
        ("OPTIONS", [("Origin", FOO)]),
        ("OPTIONS", [("Access-Control-Request-Method", "GET")]),
        ("OPTIONS", [("Origin", FOO), *asks(FOO)]),
    ],
)
def test_what_is_no_preflight_goes_to_the_backend(method, headers):
    # Fetch 3.3.2: "A CORS-preflight request is a CORS request ... It uses `OPTIONS` as method and includes" the header
    # Access-Control-Request-Method.
    assert preflight(f.Cors([FOO]), headers, method) is None


def test_the_filter_is_the_authority_over_the_backend():
    p = f.program([f.Cors([FOO], expose_headers=["x-a"])])
    theirs = [
        ("access-control-allow-origin", "*"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Accept"),
    ]
    assert p.response(theirs, [("Origin", "https://evil.test")]) == [("Vary", "Accept"), ("Vary", "Origin")]
    assert p.response(theirs, [("Origin", FOO)]) == [
        ("Vary", "Accept"),
        ("Access-Control-Allow-Origin", FOO),
        ("Access-Control-Expose-Headers", "x-a"),
        ("Vary", "Origin"),
    ]
    assert p.response([("vary", "accept, origin")], ()) == [("vary", "accept, origin")]
    raw = p.response([(b"Vary", b"*"), (b"Access-Control-Allow-Origin", b"*")], [(b"origin", FOO.encode())])
    assert raw == [
        (b"Vary", b"*"),
        (b"Access-Control-Allow-Origin", FOO.encode()),
        (b"Access-Control-Expose-Headers", b"x-a"),
    ]
    edited = f.program([f.Cors([FOO]), f.ResponseHeaders(set={"Vary": "Accept"})]).response([], asks(FOO))
    assert ("Vary", "Origin") in edited


def test_a_preflight_is_answered_before_a_redirect_and_a_redirect_can_be_read():
    p = f.program([f.RequestRedirect(scheme="https"), f.Cors([FOO])])
    assert p.answer("OPTIONS", "h", "/", None, asks(FOO), 1, "http", 80).status == 204
    moved = p.answer("GET", "h", "/", None, asks(FOO), 1, "http", 80)
    assert ("Access-Control-Allow-Origin", FOO) in moved.headers and moved.status == 302

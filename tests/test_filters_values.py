"""Filters as values: what is refused, with which field, and that they are values.

The sentences are those of the Gateway API, v1.
"""

import pytest

from lbcore import ConfigError
from lbcore import filters as f

EDIT = f.RequestHeaders
WRONG_PATHS = (
    *("x", "//x", "/a//b", "/a/..", "/../a", "/./a", "/%2e%2E/a", "/a/%2E"),
    *("/a?b", "/a#b", "/a\r\nb", "/%zz", "/%00", "/é", "/a b", "/a\\b", "/" + "a" * 1024, None, 7),
)
REFUSED = [
    (lambda: EDIT(set={"X": "a\r\nY: b"}), "request_headers.set[0].value"),
    (lambda: EDIT(set={"X": "a\n"}), "request_headers.set[0].value"),
    (lambda: EDIT(set={"X": "a\0"}), "request_headers.set[0].value"),
    (lambda: EDIT(add=[("A", "1"), ("X", " a")]), "request_headers.add[1].value"),
    (lambda: EDIT(set={"X": ""}), "request_headers.set[0].value"),
    (lambda: EDIT(set={"X": "é"}), "request_headers.set[0].value"),
    (lambda: EDIT(set={"X": "a" * 4097}), "request_headers.set[0].value"),
    (lambda: EDIT(set={"X": 1}), "request_headers.set[0].value"),
    (lambda: EDIT(set={"X: y": "a"}), "request_headers.set[0].name"),
    (lambda: EDIT(set={"": "a"}), "request_headers.set[0].name"),
    # ":method" is an invalid character: pseudo headers are not supported
    (lambda: EDIT(remove=[":method"]), "request_headers.remove[0]"),
    (lambda: EDIT(remove="abc"), "request_headers.remove"),
    (lambda: EDIT(set="abc"), "request_headers.set"),
    (lambda: EDIT(set=["ab"]), "request_headers.set[0]"),
    (lambda: EDIT(), "request_headers"),
    # "Filters specifying multiple actions of the same or different type for any one header name are invalid."
    (lambda: EDIT(set={"X": "1"}, remove=["x"]), "request_headers.remove[0]"),
    (lambda: EDIT(add=[("X", "1"), ("x", "2")]), "request_headers.add[1].name"),
    (lambda: EDIT(set={"Host": "b"}), "request_headers.set[0].name"),
    (lambda: EDIT(remove=["Content-Length"]), "request_headers.remove[0]"),
    (lambda: EDIT(set={"transfer-Encoding": "chunked"}), "request_headers.set[0].name"),
    (lambda: f.ResponseHeaders(remove=["Connection"]), "response_headers.remove[0]"),
    (lambda: f.URLRewrite(hostname="user@b.example"), "url_rewrite.hostname"),
    (lambda: f.URLRewrite(hostname="b.example:80"), "url_rewrite.hostname"),
    (lambda: f.URLRewrite(hostname="*.example"), "url_rewrite.hostname"),
    (lambda: f.URLRewrite(hostname="b.example\r\n"), "url_rewrite.hostname"),
    (lambda: f.URLRewrite(hostname="b.example/x"), "url_rewrite.hostname"),
    (lambda: f.URLRewrite(hostname="a" * 64), "url_rewrite.hostname"),
    (lambda: f.URLRewrite(hostname=".".join(["a"] * 130)), "url_rewrite.hostname"),
    (lambda: f.URLRewrite(hostname=""), "url_rewrite.hostname"),
    (lambda: f.URLRewrite(path="/x"), "url_rewrite.path"),
    (lambda: f.RequestRedirect(hostname="evil.test\\@b"), "request_redirect.hostname"),
    (lambda: f.RequestRedirect(scheme="javascript"), "request_redirect.scheme"),
    (lambda: f.RequestRedirect(port=0), "request_redirect.port"),
    (lambda: f.RequestRedirect(port=65536), "request_redirect.port"),
    (lambda: f.RequestRedirect(port="80"), "request_redirect.port"),
    (lambda: f.RequestRedirect(status=200), "request_redirect.status"),
    (lambda: f.RequestRedirect(status=True), "request_redirect.status"),
    *[
        (lambda make=make, path=path: make(path), field)
        for make, field in (
            (f.ReplaceFullPath, "replace_full_path"),
            (f.ReplacePrefixMatch, "replace_prefix_match"),
            (f.ToService, "to_service.path"),
        )
        for path in WRONG_PATHS
    ],
    (lambda: f.ToService(path_handling="v2"), "to_service.path_handling"),
    (lambda: f.ToService(strip_path=1), "to_service.strip_path"),
    (lambda: f.ToService(preserve_host="no"), "to_service.preserve_host"),
    (lambda: f.HttpsOnly(303), "https_only.status"),
    (lambda: f.Mirror(None), "mirror.backend"),
    (lambda: f.Mirror("m", percent=101), "mirror.percent"),
    (lambda: f.Mirror("m", percent=0.5), "mirror.percent"),
    # "Only one of Fraction or Percent may be specified."
    (lambda: f.Mirror("m", percent=1, fraction=(1, 2)), "mirror.percent"),
    (lambda: f.Mirror("m", fraction=(2, 1)), "mirror.fraction[0]"),
    (lambda: f.Mirror("m", fraction=(0, 0)), "mirror.fraction[1]"),
    (lambda: f.Mirror("m", fraction=(1, 1_000_003)), "mirror.fraction"),
    (lambda: f.Mirror("m", fraction=0.5), "mirror.fraction"),
    (lambda: f.Cors("https://a.test"), "cors.allow_origins"),
    *[
        (lambda origin=origin: f.Cors(["https://a.test", origin]), "cors.allow_origins[1]")
        for origin in ("a.test", "ftp://a.test", "https://", "https://a.test/", "https://*a.test", "https://a.*", "https://a@b",
                       "https://a.test:0", "https://a.test:65536", "null", "*.a.test", "https://a.test\n", 7)
    ],
    # "AllowOrigins cannot contain '*' alongside other origins", and so for methods and headers
    (lambda: f.Cors(["*", "https://a.test"]), "cors.allow_origins"),
    (lambda: f.Cors(["*"], ["*", "GET"]), "cors.allow_methods"),
    (lambda: f.Cors(["*"], allow_headers=["x", "*"]), "cors.allow_headers"),
    (lambda: f.Cors(["*"], ["G T"]), "cors.allow_methods[0]"),
    (lambda: f.Cors(["*"], expose_headers=["x", "y\r\n"]), "cors.expose_headers[1]"),
    (lambda: f.Cors(["*"], allow_credentials="yes"), "cors.allow_credentials"),
    (lambda: f.Cors(["*"], max_age=0), "cors.max_age"),
    # "backendRequest timeout cannot be longer than request timeout"
    (lambda: f.Timeouts(1, 2), "timeouts.backend_request"),
    (lambda: f.Timeouts(-1), "timeouts.request"),
    (lambda: f.Timeouts(float("nan")), "timeouts.request"),
    (lambda: f.Timeouts(None, float("inf")), "timeouts.backend_request"),
    (lambda: f.Retry(codes=[500, 399]), "retry.codes[1]"),
    (lambda: f.Retry(codes=500), "retry.codes"),
    (lambda: f.Retry(attempts=-1), "retry.attempts"),
    (lambda: f.Retry(backoff="1s"), "retry.backoff"),
    (lambda: f.program([f.URLRewrite(), "URLRewrite"]), "filters[1]"),
    (lambda: f.program([f.Filter()]), "filters[0]"),
]  # fmt: skip


@pytest.mark.parametrize("make, field", REFUSED)
def test_a_wrong_value_is_refused_with_its_field(make, field):
    with pytest.raises(ConfigError) as error:
        make()
    (problem,) = error.value.problems
    assert problem.field == field and problem.reason and len(str(problem)) <= 500


def test_values_are_values():
    assert EDIT(set={"X": "1"}) == EDIT(set=[("X", "1")]) != f.ResponseHeaders(set={"X": "1"})
    assert len({f.Mirror("a", 5), f.Mirror("a", 5), f.Cors(["*"]), EDIT(remove=["x"])}) == 3
    with pytest.raises(AttributeError):
        f.URLRewrite().hostname = "x"
    with pytest.raises((AttributeError, TypeError)):
        f.URLRewrite().other = "x"
    assert f.program([]) is None
    assert f.Filter.programs([f.URLRewrite()], ()).rule.filters == (f.URLRewrite(),)

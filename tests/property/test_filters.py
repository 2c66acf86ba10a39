"""Filters against their twins, and what must hold for every request: nothing that is sent can be read in two ways."""

import re
from fractions import Fraction
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from lbcore import filters as f
from twins import filters as twin
from twins import normalise

SEGMENTS = st.sampled_from(
    ("a", "b", "foo", "..a", "a..", ".a", "...", "%2F", "%5C", "x%2F..", "%20", "~", ";p", "a=b", "@", ":")
)
paths = st.builds(
    lambda parts, end: "/" + "/".join(parts) + (end if parts else ""),
    st.lists(SEGMENTS, max_size=5),
    st.sampled_from(("", "/")),
)
queries = st.one_of(st.none(), st.text("ab=&?/%20", max_size=8))
names = st.sampled_from(("X-A", "x-a", "X-b", "Accept", "accept", "N"))
values = st.text("!abc,;= \t", min_size=1, max_size=6).filter(lambda v: v == v.strip(" \t"))
lines = st.lists(st.tuples(names, values), max_size=8)
hosts = st.sampled_from(("a.example", "b.example:8080", "[::1]:80", "[2001:db8::1]"))
modifiers = st.builds(
    lambda make, path: make(path),
    st.sampled_from((f.ReplaceFullPath, f.ReplacePrefixMatch)),
    paths | st.just(""),
)


def is_canonical(path: str) -> bool:
    """True if the normaliser has nothing to do but upper-case escapes: no ``//``, no dot segments."""
    return (
        path.startswith("/")
        and normalise.remove_dots(normalise.merge_slashes(path.encode())) == path.encode()
    )


@st.composite
def edits(draw):
    found = draw(
        st.lists(
            st.tuples(st.integers(0, 2), names, values),
            min_size=1,
            max_size=5,
            unique_by=lambda e: e[1].lower(),
        )
    )
    sets, adds = ([(n, v) for kind, n, v in found if kind == wanted] for wanted in (0, 1))
    return sets, adds, [n for kind, n, _ in found if kind == 2]


@given(headers=lines, each=st.lists(edits(), min_size=1, max_size=3), binary=st.booleans())
def test_edits_are_the_twins(headers, each, binary):
    def kind(pairs):
        return [(n.encode(), v.encode()) for n, v in pairs] if binary else pairs

    for make, always, run in (
        (f.RequestHeaders, ("host",), lambda p, h: p.forward("GET", "h", "/", None, h, 1, binary)[3]),
        (f.ResponseHeaders, (), lambda p, h: p.response(h, (), binary)),
    ):
        sent = [("HOST", "x"), *headers]
        rule = f.program([make(*edit) for edit in each])
        assert run(rule, kind(sent)) == kind(twin.edited(sent, each, always))
        split = f.program([make(*each[0])])
        for edit in each[1:]:
            split = split.plus([make(*edit)])
        assert run(split, kind(sent)) == run(rule, kind(sent))


@given(path=paths, cut=st.integers(0, 6), slash=st.booleans(), replacement=paths | st.just(""))
def test_replaced_prefixes_are_the_twins(path, cut, slash, replacement):
    prefix = "/" + "/".join(twin.elements(path)[:cut])
    prefix = prefix if not slash or prefix.endswith("/") else prefix + "/"
    made = f.ReplacePrefixMatch(replacement)(path, min(len(prefix), len(path)))
    assert made == twin.replaced_prefix(path, prefix, replacement)


@given(
    path=paths,
    matched=st.integers(0, 20),
    base=paths,
    strip=st.booleans(),
    handling=st.sampled_from(("v0", "v1")),
)
def test_every_path_to_a_service_is_canonical(path, matched, base, strip, handling):
    matched = min(matched, len(path))
    if "%" in path[max(0, matched - 2) : matched]:
        return  # a route's path ends with a whole escape
    service = f.ToService(base, strip_path=strip, path_handling=handling)
    made = service(path, matched)
    assert is_canonical(made)
    if handling == "v0":
        assert made == twin.kong_v0(base, path, matched, strip)


@given(path=paths, matched=st.integers(0, 20), query=queries, host=hosts, modifier=modifiers, headers=lines)
def test_what_is_forwarded_is_canonical(path, matched, query, host, modifier, headers):
    ends = [i for i in range(len(path) + 1) if i == len(path) or path[i] == "/"]
    matched = ends[matched % len(ends)]  # prefixes match by path element
    rule = f.program([f.URLRewrite(path=modifier), f.RequestHeaders(set={"X-A": "1"}, remove=["accept"])])
    method, sent, target, kept = rule.forward("GET", host, path, query, headers, matched)
    assert (method, sent) == ("GET", host)
    rewritten, mark, rest = target.partition("?")
    assert is_canonical(rewritten) and (mark == "?") == (query is not None) and rest == (query or "")
    for part in (target, sent, *(text for pair in kept for text in pair)):
        assert not re.search("[\r\n\0]", part)


@given(
    path=paths,
    query=queries,
    host=hosts,
    scheme=st.sampled_from(("http", "https")),
    port=st.sampled_from((80, 443, 8080)),
    to=st.builds(
        f.RequestRedirect,
        scheme=st.sampled_from((None, "http", "https")),
        hostname=st.sampled_from((None, "b.test")),
        port=st.sampled_from((None, 80, 443, 9000)),
        status=st.sampled_from((301, 308)),
    ),
)
def test_redirects_round_trip(path, query, host, scheme, port, to):
    (found,) = [
        v
        for n, v in f.program([to]).answer("GET", host, path, query, [], 1, scheme, port).headers
        if n == "Location"
    ]
    url = urlsplit(found)
    default = {"http": 80, "https": 443}
    aim = to.scheme or scheme
    assert url.scheme == aim and url.path == path and url.query == (query or "") and url.fragment == ""
    assert url.hostname == (to.hostname or urlsplit(f"//{host}").hostname)
    assert (url.port or default[aim]) == (to.port or (default[to.scheme] if to.scheme else port))
    assert url.port != default[aim] and url.username is None
    # Whoever follows it asks for the same again: a redirect to where it points does not change any more.
    (again,) = (
        f.program([to])
        .answer("GET", url.netloc, path, query, [], 1, url.scheme, url.port or default[aim])
        .headers
    )
    assert again[1] == found


labels = st.sampled_from(("a", "bar", "com", "x-y", "1"))
domains = st.lists(labels, min_size=1, max_size=4).map(".".join)
ports = st.sampled_from(("", ":80", ":443", ":8443"))
patterns = st.one_of(
    st.just("*"),
    st.builds(
        lambda s, w, d, p: f"{s}://{w}{d}{p}" if w != "*" else f"{s}://*{p}",
        st.sampled_from(("http", "https")),
        st.sampled_from(("", "*.", "*")),
        domains,
        ports,
    ),
)
origins = st.builds(
    lambda s, d, p: f"{s}://{d}{p}", st.sampled_from(("http", "https", "HTTP", "app")), domains, ports
)


@given(origin=origins, allowed=st.lists(patterns, max_size=4), credentials=st.booleans())
def test_origins_are_the_twins(origin, allowed, credentials):
    allowed = ["*"] if "*" in allowed else allowed
    cors = f.program([f.Cors(allowed, allow_credentials=credentials)])
    said = dict(cors.response([], [("origin", origin)])).get("Access-Control-Allow-Origin")
    if not twin.origin_is_allowed(origin, allowed):
        assert said is None
    else:
        assert said == (origin if credentials or "*" not in allowed else "*")


wild = st.text(st.characters(max_codepoint=255), max_size=20)


@given(
    origin=wild | origins,
    method=wild,
    asked=wild,
    every=st.booleans(),
    credentials=st.booleans(),
    binary=st.booleans(),
)
def test_nothing_hostile_is_repeated(origin, method, asked, every, credentials, binary):
    sent = [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", asked),
    ]
    sent = [(n.encode(), v.encode("latin-1")) for n, v in sent] if binary else sent
    rule = f.program(
        [f.Cors(["*"] if every else ["https://*", "http://*.com"], ["*"], ["*"], ["*"], credentials)]
    )
    answer = rule.answer("OPTIONS", "h", "/", None, sent, 1, "http", 80)
    for name, value in (*answer.headers, *rule.response([], sent)):
        assert re.fullmatch("[!-~](?:[ -~]*[!-~])?", value) and re.fullmatch("[A-Za-z-]+", name)


@given(
    terms=st.tuples(st.integers(0, 60), st.integers(1, 60)).filter(lambda t: t[0] <= t[1]),
    n=st.integers(0, 200),
)
def test_mirrors_are_exact_at_every_moment(terms, n):
    rule = f.program([f.Mirror("copy", fraction=terms)])
    assert twin.within_one([bool(rule.mirrors()) for _ in range(n)], Fraction(*terms))


@given(st.text(max_size=12), st.sampled_from((f.ReplaceFullPath, f.ReplacePrefixMatch, f.ToService)))
def test_a_path_that_is_accepted_is_canonical(text, make):
    for path in (text, "/" + text, "/a/" + text):
        try:
            made = make(path)
        except f.checks.ConfigError:
            continue
        assert is_canonical(made("/x", 2)) or path == ""

"""What a match says of its route's filters, time-outs and retry; and of the backend that was drawn."""

import pytest

import lbcore
from lbcore import filters as f
from lbcore.testing import ManualClock

HOST = "shop.example:8080"
EDIT = f.RequestHeaders(set={"X-Env": "rule"})


def backend(name="u", weight=1, filters=(), targets=("t:1",), **more):
    return lbcore.Backend(lbcore.Upstream(name, targets, **more), weight, filters)


def match(route, method="GET", target="/", headers=(), **more):
    return lbcore.Router([route]).match(method, HOST, target, headers, **more)


def route(*filters, path="/", backends=None, **more):
    backends = [backend()] if backends is None else backends
    return lbcore.Route("r", path=path, filters=filters, backends=backends, **more)


# ---- routes and backends ----------------------------------------------------------------------------------------


def test_a_route_gives_what_it_was_given():
    timeouts, retry = f.Timeouts(3, 1), f.Retry([503])
    r = route(EDIT, timeouts=timeouts, retry=retry)
    m = match(r)
    assert r.filters == m.filters == (EDIT,)
    assert (m.timeouts, m.retry) == (r.timeouts, r.retry) == (timeouts, retry)
    assert r.programs.rule.filters == (EDIT,) and r.programs.backends == r.backends


def test_without_filters_there_is_nothing():
    m = match(route(), headers=[("A", "b")])
    assert (m.filters, m.timeouts, m.retry, m.route.programs) == ((), None, None, None)
    assert (m.answer, m.answer_of(m.backends[0]), m.mirrors()) == (None, None, ())
    sent = [("A", "b")]
    assert m.response(sent) is sent and m.forward([("Host", "x"), *sent]) == ("GET", HOST, "/", sent)
    assert m.authority == HOST and m.header_values("a") == []


@pytest.mark.parametrize(
    "make, field",
    [
        (lambda: route(1), "filters[0]"),
        (lambda: route(EDIT, "x"), "filters[1]"),
        (lambda: lbcore.Route("r", filters="ab"), "filters[0]"),
        (lambda: backend(filters=[EDIT, None]), "filters[1]"),
        (lambda: route(f.URLRewrite(), EDIT, f.URLRewrite()), "filters[2]"),
        (lambda: route(f.RequestRedirect(scheme="https")), "filters[0]"),
        (lambda: route(f.URLRewrite(path=f.ReplacePrefixMatch("/x")), path_type="exact"), "filters[0]"),
        (lambda: route(backends=[backend(), backend(filters=[EDIT, EDIT])]), "backends[1].filters[1]"),
        (
            lambda: route(f.URLRewrite(), backends=[backend(filters=[f.ToService()])]),
            "backends[0].filters[0]",
        ),
        (lambda: lbcore.Route("r", filters=f.Programs([EDIT]), backends=[backend()]), "filters"),
        (lambda: lbcore.Route("r", timeouts=3), "timeouts"),
        (lambda: lbcore.Route("r", retry=3), "retry"),
        (lambda: f.Answer(600), "status"),
        (lambda: f.Answer(199), "status"),
    ],
)
def test_what_is_wrong_is_said_where(make, field):
    with pytest.raises(lbcore.ConfigError) as error:
        make()
    assert error.value.problems[0].field == field


def test_an_answer_is_a_value():
    assert lbcore.Answer is f.Answer
    a = lbcore.Answer(302, [("Location", "/")], b"x")
    assert (a.status, a.headers, a.body) == (302, (("Location", "/"),), b"x")
    assert a == lbcore.Answer(302, (("Location", "/"),), b"x") != lbcore.Answer(302)
    assert len({a, lbcore.Answer(302), lbcore.Answer(302)}) == 2 and a != 302
    assert eval(repr(a), {"Answer": lbcore.Answer}) == a


# ---- forward ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, path_type, target, sent",
    [
        # Of HTTPPathModifier's table, by way of a real match.
        ("/foo", "prefix", "/foo/bar", "/xyz/bar"),
        ("/foo/", "prefix", "/foo/bar", "/xyz/bar"),
        ("/foo", "prefix", "/foo", "/xyz"),
        ("/foo/", "prefix", "/foo", "/xyz"),
        ("/foo", "prefix", "/foo/", "/xyz/"),
        ("/foo", "prefix", "/foo?q=1&q", "/xyz?q=1&q"),
        ("/foo", "prefix", "//foo/./a/../b?", "/xyz/b?"),
        ("/foo", "prefix", "/%66oo/bar", "/xyz/bar"),
        ("/", "prefix", "/bar", "/xyz/bar"),
    ],
)
def test_a_prefix_is_replaced_where_it_was_matched(path, path_type, target, sent):
    r = route(f.URLRewrite(hostname="in.ternal", path=f.ReplacePrefixMatch("/xyz")), path=path)
    assert match(r, target=target).forward([])[:3] == ("GET", "in.ternal", sent)


def test_the_backend_that_was_drawn_adds_its_filters():
    canary = backend(
        "canary", 1, [f.RequestHeaders(add={"X-Env": "canary"}), f.URLRewrite("canary.internal")]
    )
    m = match(route(EDIT, backends=[backend("stable", 3), canary]))
    seen = {}
    for _ in range(8):
        with m.acquire() as call:
            sent = m.forward([(b"x-env", b"client")], call.backend)
            seen.setdefault(call.backend.upstream.name, []).append((sent[1], sent[3]))
            assert call.filters == call.backend.filters
    own = [(b"X-Env", b"rule")]
    assert seen["stable"] == 6 * [(HOST, own)]
    assert seen["canary"] == 2 * [("canary.internal", [*own, (b"X-Env", b"canary")])]
    assert m.forward([])[1::2] == (HOST, [("X-Env", "rule")])  # the rule's alone
    assert m.forward([], binary=True)[3] == own


def test_a_backends_filters_need_none_of_the_route():
    m = match(route(backends=[backend(filters=[EDIT])]))
    assert m.filters == () and m.route.programs is not None
    assert m.forward([], m.backends[0])[3] == [("X-Env", "rule")] and m.forward([])[3] == []


def test_a_host_of_none_is_the_targets_own():
    assert match(route(f.ToService("/in"), path="/a"), target="/a/b").forward([])[1:3] == (None, "/in/b")


# ---- answers ----------------------------------------------------------------------------------------------------


def test_a_redirect_knows_scheme_and_port():
    r = route(f.RequestRedirect(path=f.ReplacePrefixMatch("/new")), path="/old", backends=())
    for more, location in [
        ({"scheme": "https", "port": 8443}, "https://shop.example:8443/new/x?q"),
        ({"scheme": "http", "port": 80}, "http://shop.example/new/x?q"),
        ({}, "http://shop.example:8080/new/x?q"),
    ]:
        answer = match(r, target="/old/x?q", **more).answer
        assert (answer.status, answer.headers) == (302, (("Location", location),))
    scope = {
        "method": "GET",
        "raw_path": b"/old",
        "query_string": b"",
        "scheme": "https",
        "server": ("::1", 444),
    }
    found = lbcore.Router([r]).match_scope({**scope, "headers": [(b"host", b"a.test")]})
    assert dict(found.answer.headers) == {"Location": "https://a.test:444/new"}


ASKED = [("Origin", "https://a.test"), ("Access-Control-Request-Method", "PUT")]


def test_a_preflight_is_answered_and_every_other_answer_gets_its_headers():
    m = match(route(f.Cors(["https://a.test"], ["PUT"])), "OPTIONS", headers=ASKED)
    assert m.answer.status == 204
    m = match(route(f.Cors(["https://a.test"], ["PUT"]), f.ResponseHeaders(add={"X": "1"})), headers=ASKED)
    assert m.answer is None
    assert m.response([(b"Vary", b"Accept")]) == [
        *((b"Vary", b"Accept"), (b"X", b"1")),
        *((b"Access-Control-Allow-Origin", b"https://a.test"), (b"Vary", b"Origin")),
    ]


def test_a_rule_without_backends_is_500_and_readable_for_scripts():
    assert match(route(backends=())).answer == lbcore.Answer(500)
    answer = match(route(f.Cors(["*"]), backends=()), headers=ASKED).answer
    assert (answer.status, dict(answer.headers)) == (500, {"Access-Control-Allow-Origin": "*"})


def test_a_backend_answers_for_its_share():
    """Feature HTTPRouteBackendRequestRedirect; nobody is asked, and nobody need be there."""
    moved = backend("moved", 1, [f.RequestRedirect(hostname="new.test")], targets=())
    m = match(route(EDIT, backends=[backend(), moved]))
    assert m.answer is None
    found = [m.answer_of(m.attempts().backend) for _ in range(4)]
    assert sorted(a.headers for a in found if a) == 2 * [(("Location", "http://new.test:8080/"),)]
    assert m.answer_of(None) is None


# ---- mirrors ----------------------------------------------------------------------------------------------------


def test_mirrors_are_counted_by_rule_and_survive_a_reload():
    split = lbcore.Split([backend("a"), backend("b", 1, [f.Mirror("own")])])
    mirror = f.Mirror("rule", fraction=(1, 3))

    def routes(previous=None):
        rule = f.Programs([mirror], split.backends, previous=previous)
        table = [lbcore.Route("r", path=p, backends=split, filters=rule) for p in ("/a", "/b")]
        return rule, [match(r, target=r.path) for r in table]

    rule, (a, b) = routes()
    seen = [name for _ in range(15) for m in (a, b) for name in m.mirrors(split.backends[0])]
    assert seen == 10 * ["rule"]
    assert sorted(a.mirrors(split.backends[1])) in (["own"], ["own", "rule"])
    hits = 0
    for _ in range(300):  # each generation lives for one request
        rule, (a, _) = routes(rule)
        hits += len(a.mirrors())
    assert abs(hits - 100) <= 1


def test_a_backends_mirror_keeps_its_share_whatever_the_rule_gets():
    own = f.Mirror("own", percent=1)
    hits, rule = 0, None
    for i in range(300):
        backends = [backend("first", filters=[own]), backend("second")][:: (-1) ** i]
        rule = f.Programs([f.Mirror("rule")] * (i % 2), backends, previous=rule)
        (drawn,) = [b for b in backends if b.filters]
        hits += rule.of(drawn).mirrors().count("own")
    assert abs(hits - 3) <= 1


# ---- attempts ---------------------------------------------------------------------------------------------------


def names(calls):
    found = []
    for call in calls:
        found.append(call.target.id)
        call.done(status=200)
    return found


def test_attempts_are_as_many_as_the_retry_allows():
    targets = [f"t{i}:1" for i in range(9)]
    backends = [backend(targets=targets)]
    assert len(names(match(route(backends=backends)).attempts())) == 3
    assert len(set(names(match(route(backends=backends, retry=f.Retry(attempts=4))).attempts()))) == 5
    assert len(names(match(route(backends=backends, retry=f.Retry(attempts=4))).attempts(n=2))) == 2


def test_with_repeat_all_have_a_turn_before_anybody_has_another():
    m = match(route(backends=[backend(targets=["a:1", "b:1", "c:1"])]))
    assert len(names(m.attempts(n=9))) == 3
    turns = names(m.attempts(n=9, repeat=True))
    assert len(turns) == 9
    assert all(len(set(turns[i : i + 3])) == 3 for i in (0, 3, 6))
    assert names(match(route()).attempts(n=4, repeat=True)) == 4 * ["t:1"]


def test_nobody_is_tried_twice_who_is_out():
    up = lbcore.Upstream("u", ["a:1"], clock=ManualClock())
    seen = 0
    for call in match(route(backends=[up])).attempts(n=9, repeat=True):
        seen += 1
        call.done(error=ConnectionRefusedError())
    assert seen == 3  # then it is ejected
    with pytest.raises(lbcore.NoTarget):
        next(match(route(backends=[up])).attempts(repeat=True))


def test_the_first_attempt_goes_on_with_the_session_and_others_begin_one():
    sticky = lbcore.Affinity(cookie="sid", secret=b"sixteen bytes or more")
    m = match(route(backends=[backend(targets=["a:1", "b:1", "c:1"], affinity=sticky), backend("other")]))
    home = next(call for call in iter(m.acquire, None) if call.session or call.done())
    home.done()
    for _ in range(5):
        first, second = m.attempts(n=2, session=home.session)
        assert first.target is home.target and first.session is None
        assert second.target is not home.target and second.session
        first.done()
        second.done()
    assert m.attempts(session=home.session).backend is m.backends[0]


def test_a_session_needs_no_key():
    sticky = lbcore.Affinity(cookie="sid", secret=b"sixteen bytes or more")
    up = lbcore.Upstream("u", ["a:1", "b:1"], "hash", affinity=sticky)
    r = route(backends=[up], key=lbcore.KeySource("header:x-user"))
    with match(r, headers=[("X-User", "me")]).acquire() as call:
        session = call.session
    assert names(match(r).attempts(session=session)) == [call.target.id]
    with pytest.raises(lbcore.BadRequest):
        match(r).attempts(session="forged")

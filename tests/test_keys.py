"""Where keys come from: sources, what a request without one gets, and who is asked for a key at all."""

import collections
import pickle
import warnings

import pytest

import lbcore
from lbcore.errors import MissingKey

ADDRESSES = [f"10.0.0.{i}:80" for i in range(1, 9)]


def routed(key, backends, **more):
    return lbcore.Router([lbcore.Route("r", backends=backends, key=key, **more)])


def match(router, headers=(), target="/", source=None):
    return router.match("GET", "h", target, headers, source=source)


def served(asked):
    """The call of a match (or of a split), done."""
    call = asked.acquire() if hasattr(asked, "acquire") else next(asked)
    call.done()
    return call


@pytest.mark.parametrize(
    ("sources", "headers", "target", "source", "key"),
    [
        (["header:X-User"], {"x-user": "ann"}, "/", None, "ann"),
        (["header:x-user"], [("X-User", "a"), ("x-user", "b")], "/", None, "a, b"),
        (["header:x-user"], {}, "/", None, None),
        (["cookie:sid"], {"Cookie": 'a=1; sid="7"; sid=8'}, "/", None, "7"),
        (["query:q"], {}, "/?p=1&%71=a%20b&q=c", None, "a%20b"),
        (["ip"], {}, "/", "192.0.2.1", "192.0.2.1"),
        (["ip"], {}, "/", None, None),
        (["ip"], {}, "/", "", None),  # a Unix socket has no address
        (["path"], {}, "/a/../b?c", None, "/b"),
        (["header:x", "cookie:x", "ip"], {"cookie": "y=1"}, "/", "::1", "::1"),
    ],
)
def test_sources(sources, headers, target, source, key):
    router = routed(lbcore.KeySource(*sources), [lbcore.Upstream("u", ADDRESSES, "hash")])
    assert match(router, headers, target, source).key == key


@pytest.mark.parametrize(
    ("sources", "more", "field", "reason"),
    [
        ((), {}, "key", "no source; wanted: header:NAME"),
        (("ip", "header:"), {}, "key[1]", "'header:' is not header:NAME"),
        (("Header:x",), {}, "key[0]", "did you mean header:NAME?"),
        (("ip:x",), {}, "key[0]", "'ip:x' is not"),
        ((7,), {}, "key[0]", "7 is not"),
        (("cookie:a b",), {}, "key[0]", "'a b' is no cookie's name"),
        (("query:" + "x" * 257,), {}, "key[0]", "a name of 257 characters; at most 256"),
        (("random", "ip"), {}, "key[0]", "'random' is the last"),
        (("ip",), {"seed": -1}, "key.seed", "-1 is not a whole number in 0..18446744073709551615"),
        (("ip",), {"seed": True}, "key.seed", "True is not a whole number"),
        (("ip",), {"terminal": ["ip"]}, "key.terminal", "only with combine=True"),
    ],
)
def test_wrong_sources(sources, more, field, reason):
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.KeySource(*sources, **more)
    (problem,) = caught.value.problems
    assert (problem.field, reason in problem.reason) == (field, True), problem


def test_random_is_for_requests_that_have_none_of_the_others():
    up = lbcore.Upstream("u", ADDRESSES, "hash", seed=1)
    router = routed(lbcore.KeySource("header:x", "random", seed=5), [up])
    assert {served(match(router, {"x": "ann"})).target for _ in range(20)} == {up.pick("ann")}
    drawn = [match(router) for _ in range(4000)]
    assert drawn[0].key == drawn[0].key != drawn[1].key  # one request has one key
    got = collections.Counter(served(m).target.id for m in drawn)
    assert all(400 < got[address] < 600 for address in ADDRESSES)
    again = routed(lbcore.KeySource("header:x", "random", seed=5), [up])
    assert [match(again).key for _ in range(50)] == [m.key for m in drawn[:50]]
    assert match(routed(lbcore.KeySource("random"), [up])).key != drawn[0].key  # without a seed: the system's


def test_random_ends_a_combination_that_found_nothing():
    source = lbcore.KeySource("header:a", "header:b", "random", combine=True, seed=1)
    router = routed(source, [lbcore.Upstream("u", ADDRESSES, "hash")])
    without = lbcore.KeySource("header:a", "header:b", combine=True)
    plain = routed(without, [lbcore.Upstream("u", ADDRESSES, "hash")])
    assert match(router, {"b": "1"}).key == match(plain, {"b": "1"}).key
    assert match(plain).key is None
    assert isinstance(match(router).key, lbcore.Hashed)


@pytest.mark.parametrize("policy", [p for p in lbcore.policies().values() if p.keyed], ids=lambda p: p.name)
def test_a_random_key_reaches_every_target_of_every_keyed_policy(policy):
    up = lbcore.Upstream(
        "u", [lbcore.Target(a, hash_key=str(i + 1)) for i, a in enumerate(ADDRESSES)], policy
    )
    router = routed(lbcore.KeySource("random", seed=3), [up])
    assert {served(match(router)).target.id for _ in range(500)} == set(ADDRESSES)


@pytest.mark.parametrize("by", [None, "key"])
def test_a_request_without_a_key_is_a_bad_one(by):
    split = lbcore.Split([lbcore.Upstream("u", ADDRESSES, "hash")], by=by)
    router = routed(lbcore.KeySource("header:x-user", "cookie:sid"), split)
    for ask in (lambda m: m.acquire(), lambda m: next(m.attempts())):
        with pytest.raises(MissingKey) as caught:
            ask(match(router))
        error = caught.value
        assert isinstance(error, lbcore.NoKey) and isinstance(error, lbcore.BadRequest)
        assert error.reason == "the request has no key: header:x-user or cookie:sid"
        assert "needs a key, and the request has no key" in str(error)
        copied = pickle.loads(pickle.dumps(error))
        assert (copied.args, copied.reason) == (error.args, error.reason)
    up = split.backends[0].upstream
    with match(router).acquire("mine") as call:  # an explicit key wins
        assert call.target is up.pick("mine")


def test_a_caller_without_a_key_is_a_mistake_of_the_program():
    router = lbcore.Router([lbcore.Route("r", backends=[lbcore.Upstream("u", ADDRESSES, "hash")])])
    with pytest.raises(lbcore.NoKey) as caught:
        match(router).acquire()
    assert not isinstance(caught.value, lbcore.BadRequest)


def test_a_session_goes_on_without_a_key():
    affinity = lbcore.Affinity(cookie="s", secret=b"0123456789abcdef")
    router = routed(
        lbcore.KeySource("header:x"), [lbcore.Upstream("u", ADDRESSES, "hash", affinity=affinity)]
    )
    first = match(router, {"x": "ann"}).acquire()
    again = match(router).acquire(session=first.session)
    assert again.target is first.target
    for call in (first, again):
        call.done()
    with pytest.raises(MissingKey):
        match(router).acquire(session="forged")


def test_only_a_key_that_nobody_uses_is_warned_of():
    keyed, plain = lbcore.Upstream("k", ADDRESSES, "hash"), lbcore.Upstream("p", ADDRESSES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixed = routed(lbcore.KeySource("header:x"), [keyed, plain])
        assert {served(match(mixed, {"x": "1"})).upstream.name for _ in range(4)} == {"k", "p"}
        assert {served(match(mixed, {"x": "1"}).attempts()).upstream.name for _ in range(4)} == {"k", "p"}
        by_key = lbcore.Split([plain, lbcore.Upstream("q", ADDRESSES)], by="key")
        assert len({served(iter([by_key.acquire("x")])).upstream.name for _ in range(9)}) == 1
    with pytest.warns(lbcore.ConfigWarning, match="round_robin does not use keys"):
        lbcore.Split([plain]).pick("x")
    # A request without the key is served where none is needed, and refused where it is.
    outcomes = []
    for _ in range(4):
        try:
            outcomes.append(served(match(mixed)).upstream.name)
        except MissingKey as error:
            outcomes.append(f"no key for {error.upstream}")
    assert sorted(outcomes) == ["no key for k", "no key for k", "p", "p"]


def test_a_match_of_a_stream_has_the_source_it_is_given():
    up = lbcore.Upstream("u", ADDRESSES, "hash")
    route = lbcore.Route("r", backends=[up], key=lbcore.KeySource("ip"))
    m = lbcore.Match(route, "192.0.2.7")
    assert (m.source, m.key, served(m).target) == ("192.0.2.7", "192.0.2.7", up.pick("192.0.2.7"))
    assert lbcore.Match(route).source is None

"""Engine: keys, splits by key and an upstream's settings, and what a reload does to them."""

import copy
import dataclasses

import pytest

import lbcore
from lbcore.engine import (
    BackendSpec,
    Engine,
    KeySpec,
    ListenerSpec,
    RuleSpec,
    Spec,
    StreamSpec,
    TargetSpec,
    UpstreamSpec,
)

WEB, TCP = ListenerSpec("web", "HTTP", 80), ListenerSpec("tcp", "TCP", 81)
USER = KeySpec(("header:x-user",))
USERS = [f"user {i}" for i in range(400)]


def targets(n, **more):
    return tuple(TargetSpec(f"10.0.0.{i + 1}:80", **more) for i in range(n))


def hashed(name, n, **more):
    return UpstreamSpec(name, targets(n), **{"policy": "hash", **more})


def spec(*upstreams, weights=None, **rule):
    """One rule and one stream to these upstreams."""
    weights = weights or [1] * len(upstreams)
    backends = tuple(BackendSpec(u.name, w) for u, w in zip(upstreams, weights, strict=True))
    rule = {"key": USER, **rule}
    stream = {**rule, "key": rule["key"] and KeySpec(("ip",))}
    return Spec(
        (WEB, TCP),
        upstreams,
        (RuleSpec("rule", {"web": ()}, backends=backends, **rule),),
        (StreamSpec("stream", ("tcp",), backends, **stream),),
    )


def engine_of(first):
    return Engine(first, lambda source: source, first)


def ask(engine, user=None):
    headers = {} if user is None else {"x-user": user}
    call = engine.match("GET", "h", "/", headers).acquire()
    call.done()
    return call


def placed(engine):
    return {user: ask(engine, user).target.id for user in USERS}


KEYED = [name for name, policy in lbcore.policies().items() if policy.keyed]


@pytest.mark.parametrize("name", KEYED)
def test_what_a_match_acquires_is_what_the_upstream_picks(name):
    more = [TargetSpec(f"10.0.0.{i}:80", hash_key=str(i)) for i in range(1, 9)]
    engine = engine_of(spec(UpstreamSpec("u", tuple(more), name)))
    up = engine.upstreams["u"]
    for i in range(50):
        user = address = f"198.51.{i}.7"  # some schemes take nothing else
        assert ask(engine, user).target is up.pick(user)
        call = engine.match_stream("TCP", 81, source=address).acquire()
        call.done()
        assert call.target is up.pick(address)


def test_a_reload_with_another_target_moves_its_share_of_the_keys_and_no_others():
    engine = engine_of(spec(hashed("u", 7)))
    before, up = placed(engine), engine.upstreams["u"]
    engine.reload(spec(hashed("u", 8)))
    after = placed(engine)
    assert engine.upstreams["u"] is up
    moved = [user for user in USERS if before[user] != after[user]]
    assert {after[user] for user in moved} == {"10.0.0.8:80"}
    assert len(moved) < 2 * len(USERS) / 8


def test_a_reload_with_another_key():
    engine = engine_of(spec(hashed("u", 8)))
    up = engine.upstreams["u"]
    engine.reload(spec(up_spec := hashed("u", 8), key=KeySpec(("header:x-tenant",))))
    assert engine.upstreams["u"] is up
    with engine.match("GET", "h", "/", {"x-user": "a", "x-tenant": "b"}).acquire() as call:
        assert call.target is up.pick("b")
    with pytest.raises(lbcore.NoKey):
        ask(engine, "a")
    engine.reload(spec(up_spec, key=KeySpec(("header:x", "path"), combine=True, terminal=("header:x",))))
    source = lbcore.KeySource("header:x", "path", combine=True, terminal=["header:x"])
    m = engine.match("GET", "h", "/p", {"x": "1"})
    assert m.key == source.of(m) and isinstance(m.key, lbcore.Hashed)


def test_a_key_that_is_none_leaves_a_reload_as_it_was():
    engine = engine_of(spec(hashed("u", 8)))
    before = engine.spec
    with pytest.raises(lbcore.ConfigError, match="did you mean header"):
        engine.reload(spec(hashed("u", 3), key=KeySpec(("haeder:x",))))
    assert engine.spec is before and len(engine.upstreams["u"]) == 8


SETTINGS = {
    "policy": {"policy": "ring_hash"},
    "params": {"params": {"slots": 4099}},
    "seed": {"seed": 7},
    "limits": {"limits": lbcore.Limits(in_flight=1)},
    "levels": {"levels": lbcore.Levels(panic=50)},
    "slow_start": {"slow_start": lbcore.SlowStart(30)},
}


@pytest.mark.parametrize("what", SETTINGS)
def test_an_upstream_with_other_settings_is_made_anew_and_one_with_the_same_is_kept(what):
    engine = engine_of(spec(hashed("u", 4)))
    first = engine.upstreams["u"]
    assert engine.reload(spec(hashed("u", 4, **SETTINGS[what]))).changed == ("upstream u",)
    second = engine.upstreams["u"]
    assert second is not first
    equal = copy.deepcopy(SETTINGS[what])
    assert not engine.reload(spec(hashed("u", 4, **equal)))
    assert engine.upstreams["u"] is second
    engine.reload(spec(hashed("u", 5, **equal)))
    assert engine.upstreams["u"] is second and len(second) == 5


def test_limits_are_those_of_the_spec():
    engine = engine_of(spec(UpstreamSpec("u", targets(1), limits=lbcore.Limits(in_flight=2)), key=None))
    calls = [engine.match("GET", "h", "/").acquire() for _ in range(2)]
    with pytest.raises(lbcore.NoTarget):
        ask(engine)
    engine.reload(spec(UpstreamSpec("u", targets(1), limits=lbcore.Limits(in_flight=3)), key=None))
    assert ask(engine).target.address == "10.0.0.1:80"
    for call in calls:
        call.done()


def test_priorities_and_hash_keys_are_those_of_the_spec_and_updates_change_them():
    backup = dataclasses.replace(targets(2)[1], priority=1)
    engine = engine_of(
        spec(UpstreamSpec("u", (targets(1)[0], backup), levels=lbcore.Levels(spill=False)), key=None)
    )
    up = engine.upstreams["u"]
    assert {ask(engine).target.id for _ in range(9)} == {"10.0.0.1:80"}
    up.set_health("10.0.0.1:80", False)
    assert ask(engine).target.id == "10.0.0.2:80"
    engine.reload(spec(UpstreamSpec("u", targets(2), levels=lbcore.Levels(spill=False)), key=None))
    assert engine.upstreams["u"] is up and up["10.0.0.2:80"].priority == 0
    named = tuple(dataclasses.replace(t, hash_key=f"name {i}") for i, t in enumerate(targets(8)))
    engine.reload(spec(UpstreamSpec("u", named, "hash")))
    moved = tuple(dataclasses.replace(t, address=f"10.9.9.{i + 1}:80") for i, t in enumerate(named))
    before = {user: ask(engine, user).target.hash_key for user in USERS}
    engine.reload(spec(UpstreamSpec("u", moved, "hash")))
    assert {user: ask(engine, user).target.hash_key for user in USERS} == before


def test_a_split_by_key():
    two = (hashed("a", 3), UpstreamSpec("b", targets(3)))
    engine = engine_of(spec(*two, weights=[3, 1], by="key"))
    first = {user: ask(engine, user).upstream.name for user in USERS}
    assert {user: ask(engine, user).upstream.name for user in USERS} == first
    assert 0.15 < list(first.values()).count("b") / len(USERS) < 0.35
    engine.reload(spec(*two, weights=[3, 2], by="key"))
    moved = [user for user in USERS if ask(engine, user).upstream.name != first[user]]
    assert {first[user] for user in moved} == {"a"} and len(moved) < len(USERS) / 4


def test_debts_are_kept_between_splits_of_one_kind():
    two = (hashed("a", 3), hashed("b", 3))
    in_turn, by_key = spec(*two, weights=[3, 1]), spec(*two, weights=[3, 1], by="key")
    engine = engine_of(in_turn)
    got = [ask(engine, "x").upstream.name for _ in range(3)]
    engine.reload(spec(hashed("a", 4), hashed("b", 3), weights=[3, 1]))
    assert [*got, ask(engine, "x").upstream.name].count("b") == 1
    ask(engine, "x")
    engine.reload(by_key)
    assert len({ask(engine, "x").upstream.name for _ in range(8)}) == 1
    engine.reload(in_turn)  # from the beginning
    fresh = engine_of(in_turn)
    assert [ask(engine, "x").upstream.name for _ in range(8)] == [
        ask(fresh, "x").upstream.name for _ in range(8)
    ]


def test_what_random_draws_goes_on_over_reloads_and_differs_by_route():
    key = KeySpec(("header:x-user", "random"))
    engine = engine_of(spec(hashed("u", 8), key=key))
    m = [engine.match("GET", "h", "/").key]
    engine.reload(spec(hashed("u", 9), key=key))
    m.append(engine.match("GET", "h", "/").key)
    fresh = engine_of(spec(hashed("u", 8), key=key))
    assert [fresh.match("GET", "h", "/").key for _ in range(2)] == m and m[0] != m[1]
    other = dataclasses.replace(fresh.spec.rules[0], name="other")
    assert engine_of(dataclasses.replace(fresh.spec, rules=(other,))).match("GET", "h", "/").key != m[0]


@pytest.mark.parametrize("name", [n for n, p in lbcore.policies().items() if "phase" in p.params])
def test_every_schedule_starts_at_the_beginning(name):
    picks = [
        [ask(engine, None).target.id for _ in range(8)]
        for engine in (engine_of(spec(UpstreamSpec("u", targets(8), name), key=None)) for _ in range(3))
    ]
    assert picks[0] == picks[1] == picks[2]


def test_a_reload_builds_only_what_has_changed(monkeypatch):
    from lbcore.config import short
    from lbcore.engine import upstream_of

    tried = []
    monkeypatch.setattr(short, "upstream_of", lambda spec: (tried.append(spec.name), upstream_of(spec))[1])
    engine = lbcore.load(FORM.format(first='"a:1"', second='["b:1", "b:2"]'))
    assert tried == ["first", "second"]
    engine.reload()
    engine.reload(FORM.format(first='"a:1", "a:2"', second='["b:1", "b:2"]'))
    assert tried == ["first", "second", "first"]
    for _ in range(2):  # what was refused is not known
        with pytest.raises(lbcore.ConfigError):
            engine.reload(FORM.format(first='"a:1", "a:2"', second=BAD))
    assert tried[3:] == ["second", "second"]


FORM = """\
lbcore: 1
listeners: {{web: {{protocol: http, port: 80}}}}
upstreams:
  first: {{targets: [{first}]}}
  second: {{policy: jump, targets: {second}}}
routes: [{{name: r, key: header:x, backends: [first, second]}}]
"""
BAD = '[{address: "b:1", weight: 2}, "b:2"]'


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_only_the_policy_refuses_leaves_a_reload_as_it_was(dry_run):
    engine = lbcore.load(FORM.format(first='"a:1", "a:2"', second='["b:1", "b:2"]'))
    before = engine.spec
    engine.upstreams["first"].set_health("a:2", False)
    with pytest.raises(lbcore.ConfigError) as caught:
        engine.reload(FORM.format(first='"a:1"', second=BAD), dry_run=dry_run)
    (problem,) = caught.value.problems
    assert (problem.field, problem.line) == ("upstreams.second.targets[1].weight", 5)
    assert engine.spec is before
    assert [t.id for t in engine.upstreams["first"]] == ["a:1", "a:2"]
    assert engine.upstreams["first"]["a:2"].state == "unhealthy"

"""Reloads that change a few rows of a large table: the router made of the one before answers as one made anew."""

import dataclasses
import random

import pytest

from lbcore.engine import (
    BackendSpec,
    Engine,
    ListenerSpec,
    MatchSpec,
    RuleSpec,
    Spec,
    TargetSpec,
    UpstreamSpec,
)

N = 60


def rule(rng, name):
    matches = tuple(
        MatchSpec(
            "/" + "/".join(rng.choices("abc", k=rng.randint(0, 2))),
            rng.choice(("prefix", "exact")),
            headers=rng.choice(((), (("h", "1"),), (("h", ("1", "2")),))),
        )
        for _ in range(rng.randint(1, 2))
    )
    hosts = rng.choice(((), ("x.example",), ("*.example", "y.example")))
    return RuleSpec(name, {"web": hosts}, matches, (BackendSpec(rng.choice("uv")),))


def upstreams(policy):
    return tuple(UpstreamSpec(name, (TargetSpec(f"{name}:1"),), policy=policy) for name in "uv")


def mutated(rng, rules, turn):
    """A few rules gone, new, changed or in another place; now and then all of them."""
    rules = list(rules)
    for k in range(rng.choice((0, 1, 1, 2, 5))):
        what = rng.randint(0, 3)
        if what == 0 and rules:
            rules.pop(rng.randrange(len(rules)))
        elif what == 1:
            rules.insert(rng.randint(0, len(rules)), rule(rng, f"t{turn}.{k}"))
        elif what == 2 and rules:
            i = rng.randrange(len(rules))
            rules[i] = rule(rng, rules[i].name)
        elif rules:
            rules.insert(rng.randint(0, len(rules) - 1), rules.pop(rng.randrange(len(rules))))
    return rules[::-1] if rng.random() < 0.05 else rules


def asked(rng):
    host = rng.choice(("x.example", "y.example", "z.example", "other"))
    return (
        "GET",
        host,
        "/" + "/".join(rng.choices("abcd", k=rng.randint(0, 3))),
        rng.choice(((), [("h", "1")], [("h", "2")])),
    )


def answer(engine, request):
    match = engine.match(*request)
    return None if match is None else (match.route.name, match.route.data, match.backends[0].upstream.name)


@pytest.mark.parametrize("seed", range(15))
def test_a_reloaded_table_is_a_new_one(seed):
    rng = random.Random(seed)
    spec = Spec(
        (ListenerSpec("web", "HTTP", 80),),
        upstreams("round_robin"),
        tuple(rule(rng, f"r{i}") for i in range(N)),
    )
    engine = Engine(spec, lambda source: source, spec)
    old = []  # routers of plans that are gone, and what they answer
    for turn in range(25):
        policy = "random" if rng.random() < 0.1 else "round_robin"
        spec = dataclasses.replace(
            spec, rules=tuple(mutated(rng, spec.rules, turn)), upstreams=upstreams(policy)
        )
        engine.reload(spec)
        fresh = Engine(spec, lambda source: source, spec)
        for _ in range(25):
            request = asked(rng)
            assert answer(engine, request) == answer(fresh, request), request
            match = engine.match(*request)
            if match is not None:
                assert match.upstream is engine.upstreams[match.upstream.name]  # never one that is gone
        assert [r.name for r in engine.routes] == [r.name for r in fresh.routes]
        request = asked(rng)
        found = engine.router(80).match(*request)
        old.append((engine.router(80), request, found and found.route))
    for router, request, route in old:
        found = router.match(*request)
        assert (found and found.route) is route

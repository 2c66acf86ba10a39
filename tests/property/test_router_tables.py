"""Random tables with every kind of condition: the router and its twin, its explanations, conflicts and changes."""

import os
import random

import pytest

import lbcore
import router_tables as tables
from twins import router as twin

pytest.importorskip("re2")

ROUNDS = int(os.environ.get("LBCORE_TABLES", "40"))
SEEDS = range(ROUNDS)


def outcome(router, positional, known):
    """("found", match), ("none", None) or ("refused", None)."""
    try:
        match = router.match(*positional, **known)
    except lbcore.BadRequest:
        return "refused", None
    return ("none" if match is None else "found"), match


@pytest.mark.parametrize("seed", SEEDS)
def test_the_router_is_its_twin(seed):
    rng = random.Random(seed)
    given = [tables.route(rng) for _ in range(rng.choice((0, 1, 3, 10, 40)))]
    core = lbcore.Router(tables.core_route(f"r{i}", one) for i, one in enumerate(given))
    slow = twin.Router([tables.twin_route(one) for one in given])
    for _ in range(60):
        positional, known = tables.request(rng, given)
        want = tables.twin_match(slow, positional, known)
        got, match = outcome(core, positional, known)
        assert got == want.outcome, (positional, known)
        if match is not None:
            assert match.route is core.routes[want.route], (positional, known)
            assert match.path.encode() == want.path
            assert match.params == twin.params(slow.routes[want.route], want.path)


@pytest.mark.parametrize("flavor", [f for f in tables.FLAVORS if f != "kong_traditional"])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_explanation_tells_what_the_match_does(flavor, seed):
    rng = random.Random(seed)
    given = [tables.route(rng, flavor) for _ in range(rng.choice((1, 3, 10)))]
    routes = [tables.core_route(f"r{i}", one) for i, one in enumerate(given)]
    router = lbcore.Router(routes, flavor)
    for _ in range(6):
        positional, known = tables.request(rng, given)
        got, match = outcome(router, positional, known)
        if got == "refused":
            with pytest.raises(lbcore.BadRequest):
                router.explain(*positional, **known)
            continue
        told = router.explain(*positional, **known)
        holding = [one.route for one in told.considered if one.failed is None]
        assert holding[:1] == ([] if match is None else [match.route]), (positional, known)
        assert sorted({one.route.name for one in told.considered}) == sorted(route.name for route in routes)
        # Without the winner the next of those that hold wins, and so on to the end.
        left = list(routes)
        while holding:
            winner = holding[0]
            found, match = outcome(lbcore.Router(left, flavor), positional, known)
            if found == "refused":  # a %2F that the better route hid
                break
            assert match is not None and match.route is winner
            left.remove(winner)
            holding = [route for route in holding if route is not winner]


def test_a_table_without_one_order_is_not_explained():
    router = lbcore.Router([lbcore.Route("r", path_type="plain")], "kong_traditional")
    with pytest.raises(lbcore.LbcoreError, match="kong_traditional is not available yet"):
        router.explain("GET", "a", "/")


@pytest.mark.parametrize("flavor", tables.FLAVORS)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_never_wins_never_wins(flavor, seed):
    rng = random.Random(seed)
    given = [tables.route(rng, flavor) for _ in range(12)]
    kind = "plain" if flavor.startswith("kong") else "prefix"
    for one in given:  # more of them are in each other's way
        if rng.random() < 0.7:
            one["path"], one["path_type"] = rng.choice(
                (("/a", kind), ("/a/b", "exact"), ("/a", "plain"), ("/", "prefix"))
            )
            one["hosts"] = one["hosts"][:1] if rng.random() < 0.5 else []
    router = lbcore.Router([tables.core_route(f"r{i}", one) for i, one in enumerate(given)], flavor)
    found = router.conflicts()
    lost = {}
    for conflict in found:
        if conflict.kind != "order":
            lost.setdefault(conflict.route, set()).add(conflict.host)
    never = {route for route, hosts in lost.items() if hosts == set(route.hosts or (None,))}
    for _ in range(40):
        positional, known = tables.request(rng, given)
        _, match = outcome(router, positional, known)
        assert match is None or match.route not in never, (positional, known)


@pytest.mark.parametrize("flavor", tables.FLAVORS)
@pytest.mark.parametrize("seed", SEEDS)
def test_changes_lead_where_a_new_table_is(flavor, seed):
    """Random changes, one after the other and branching off; each version answers as a router of its routes."""
    rng = random.Random(seed)
    given = [tables.route(rng, flavor) for _ in range(rng.choice((0, 5, 30)))]
    versions = [[tables.core_route(f"r{i}", one) for i, one in enumerate(given)]]
    routers = [lbcore.Router(versions[0], flavor)]
    for turn in range(12):
        i = len(routers) - 1 if rng.random() < 0.8 else rng.randrange(len(routers))
        old = versions[i]
        removed = rng.sample(range(len(old)), rng.randint(0, min(len(old), 3)))
        added = []
        for k in range(rng.randint(0, 3)):
            given.append(tables.route(rng, flavor))
            before = rng.choice((None, *range(len(old)))) if old else None
            added.append((tables.core_route(f"t{turn}.{k}", given[-1]), before))
        new = []
        for place in (*range(len(old)), None):
            new += [route for route, before in added if before == place]
            if place is not None and place not in removed:
                new.append(old[place])
        changed = routers[i].changed(
            removed=[old[place] if rng.random() < 0.5 else place for place in removed],
            added=[(route, old[b] if b is not None and rng.random() < 0.5 else b) for route, b in added],
        )
        versions.append(new)
        routers.append(changed)
        assert changed.routes == tuple(new) and len(changed) == len(new)
        fresh = lbcore.Router(new, flavor)
        for _ in range(10):
            positional, known = tables.request(rng, given)
            got, match = outcome(changed, positional, known)
            want, twin_match = outcome(fresh, positional, known)
            assert (got, match and match.route) == (want, twin_match and twin_match.route), (
                positional,
                known,
            )
    for router, routes in zip(routers, versions, strict=True):
        assert router.routes == tuple(routes)  # none was touched by what came after


def test_many_changes_in_a_row():
    """Beyond what a delta holds and what numbers may be dead."""
    rng = random.Random(1)
    routes = [lbcore.Route(f"r{i}", path=f"/r{i}", path_type="exact") for i in range(300)]
    router = lbcore.Router(routes)
    for turn in range(3000):
        i = rng.randrange(300)
        new = lbcore.Route(f"t{turn}", path=f"/r{i}", path_type="exact")
        router = router.changed(removed=[i], added=[(new, i)])
        routes[i] = new
        assert router.match("GET", "a", f"/r{i}").route is new
    assert router.routes == tuple(routes)

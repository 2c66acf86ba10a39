"""Matches and the building of routers."""

import pytest

import cases
import lbcore

TABLES = {"203 api": cases.api_entries(), "10000": cases.many_entries(10_000)}


@pytest.mark.parametrize("name", TABLES)
def test_match(benchmark, name):
    router = lbcore.Router(cases.routes(TABLES[name]), seed=1)
    requests = cases.requests(TABLES[name])

    def match_all():
        for method, host, target in requests:
            router.match(method, host, target)

    benchmark(match_all)


def test_match_and_acquire(benchmark):
    router = lbcore.Router(cases.routes(TABLES["203 api"]), seed=1)
    method, host, target = cases.requests(TABLES["203 api"])[0]
    benchmark(lambda: router.match(method, host, target).acquire().done())


def test_match_scope(benchmark):
    router = lbcore.Router(cases.routes(TABLES["203 api"]), seed=1)
    method, host, target = cases.requests(TABLES["203 api"])[0]
    scope = {
        "type": "http",
        "method": method,
        "raw_path": target.encode(),
        "query_string": b"page=2",
        "headers": [(b"host", host.encode()), (b"accept", b"*/*"), (b"user-agent", b"bench")],
    }
    assert router.match_scope(scope)
    benchmark(router.match_scope, scope)


@pytest.mark.parametrize("name", TABLES)
def test_build(benchmark, name):
    routes = cases.routes(TABLES[name])
    benchmark(lambda: lbcore.Router(routes, seed=1))

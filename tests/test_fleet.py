"""The fleet simulation itself: it repeats, loses nothing, and agrees with queueing theory where that has an answer."""

import json
import math
import statistics

import pytest

import lbcore
from fleet import model, scenarios
from fleet.run import GATES, PLAIN_LEAST_CONN, Gate, Row, main, policy_of
from fleet.scenarios import Bursts, Change, Scenario, Server, same

KEYLESS = sorted(name for name, policy in lbcore.policies().items() if not policy.keyed)
EVERYTHING = Scenario(
    "everything",
    "speeds and weights, bursts, a hole, a slow server, one that leaves and one that joins",
    (
        *scenarios.mixed(6, weights=True),
        Server(changes=scenarios.HOLE),
        Server(changes=(Change(0.3, speed=0.1),)),
        Server(leaves=0.4),
        Server(joins=0.4, changes=scenarios.warming(0.4, 0.6, first=0.2)),
    ),
    bursts=Bursts(0.5, 0.1, 1.7),
)


@pytest.fixture(scope="module")
def uniform() -> Scenario:
    return scenarios.scenarios(["uniform"])[0]


# ---- it repeats --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [*KEYLESS, "oracle"])
def test_the_same_run_gives_the_same_figures(policy: str) -> None:
    first, second = (model.run(EVERYTHING, policy, requests=1500, health="passive") for _ in range(2))
    assert first == second


def test_another_seed_gives_others() -> None:
    first, second = (model.run(EVERYTHING, "least_conn", requests=500, seed=seed) for seed in (1, 2))
    assert first != second


def test_every_policy_is_brought_the_same_requests(uniform: Scenario) -> None:
    oracle, random = (model.run(uniform, policy, requests=2000) for policy in ("oracle", "random"))
    work = [sum(share.utilisation for share in result.shares) for result in (oracle, random)]
    assert math.isclose(*work, rel_tol=1e-9)


def test_scenarios_are_what_they_were() -> None:
    """Figures in docs and issues name scenarios and seeds; a changed generator would change what they mean."""
    generated = scenarios.scenarios(["generated"])
    assert [len(s.servers) for s in generated[:6]] == [57, 32, 35, 13, 22, 28]
    assert generated[3].summary.endswith("one slows to 0.09 at 0.60, bursts of 1.3")
    assert scenarios.SEEDS == (1, 2)
    assert len({s.name for s in scenarios.scenarios()}) == len(scenarios.NAMED) + 30


# ---- it loses nothing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("health", ["off", "passive"])
@pytest.mark.parametrize("policy", [*KEYLESS, "oracle"])
def test_every_request_ends_once(policy: str, health: str) -> None:
    result = model.run(EVERYTHING, policy, requests=1500, health=health)
    assert result.requests == result.ended == 1500
    assert result.succeeded + result.errors + result.timeouts + result.refused == 1500
    assert sum(share.requests for share in result.shares) + result.errors + result.refused == 1500
    assert result.left_in_flight == 0


def test_a_fleet_that_fails_is_ejected_and_refuses_nobody_for_long() -> None:
    """At most half may be ejected: the others go on failing."""
    all_fail = Scenario("all fail", "", same(4, changes=(Change(0.0, fails=1.0),)))
    result = model.run(all_fail, "round_robin", requests=400, health="passive")
    assert (result.succeeded, result.errors, result.refused) == (0, 400, 0)
    assert math.isnan(result.mean)


def test_nobody_listed_is_a_refusal() -> None:
    gone = Scenario("gone", "", same(2, leaves=0.5))
    for policy in ("round_robin", "oracle"):
        result = model.run(gone, policy, requests=200)
        assert 50 < result.refused < 150
        assert result.ended == 200


def test_a_client_gives_up_and_the_server_works_on() -> None:
    """Twice as much work as one server can do: who waits too long fails, and its work is done all the same."""
    over = Scenario("over", "", same(1), load=2.0)
    result = model.run(over, "round_robin", requests=4000, proxies=2)
    come = model.traffic(over, seed=1, proxies=2, requests=4000)
    assert 0.3 < result.failed < 1.0
    assert result.timeouts == result.requests - result.succeeded
    assert result.p99 <= scenarios.TIMEOUT
    assert math.isclose(result.shares[0].utilisation * 4 * come.span, sum(come.size), rel_tol=1e-9)
    assert result.outside > result.failed


# ---- arrivals and sizes ------------------------------------------------------------------------------------------


def test_arrivals_have_the_rate_and_the_bursts_that_were_asked_for() -> None:
    come = model.traffic(
        Scenario("", "", same(20), bursts=Bursts(5.0, 1.0, 1.7)), seed=3, proxies=8, requests=60_000
    )
    in_burst = sum(time % 5.0 >= 4.0 for time in come.at)
    whole = int(come.at[-1] // 5.0) * 5.0
    assert come.at == sorted(come.at)
    assert math.isclose(come.span, 60_000 / 1120, rel_tol=1e-9)
    assert math.isclose(come.at[-1], come.span, rel_tol=0.02)
    assert math.isclose(in_burst / (whole / 5.0), 1.7 * 1120, rel_tol=0.05)
    assert math.isclose(statistics.fmean(come.proxy), 3.5, rel_tol=0.02)


def test_sizes_have_the_mean_and_deviation_that_were_asked_for() -> None:
    uniforms = [(i + 0.5) / 50_000 for i in range(50_000)]
    for sizes, cv in ((model.Sizes(), 2.0), (model.Sizes(cv=None), 1.0)):
        drawn = sizes.drawn(uniforms)
        assert math.isclose(statistics.fmean(drawn), sizes.mean, rel_tol=0.01)
        assert math.isclose(statistics.pstdev(drawn) / sizes.mean, cv, rel_tol=0.03)


# ---- it agrees with theory ---------------------------------------------------------------------------------------


def erlang_c(servers: int, load: float) -> float:
    """The share of requests that wait in M/M/servers."""
    offered = servers * load
    terms = [offered**k / math.factorial(k) for k in range(servers)]
    last = offered**servers / math.factorial(servers) / (1 - load)
    return last / (sum(terms) + last)


@pytest.mark.parametrize("workers", [1, 4])
def test_one_server_is_as_theory_says(workers: int) -> None:
    """M/M/c at load 0.5, first come, first served: the mean time in the system is known."""
    one = Scenario("one", "", same(1), load=0.5)
    means = [
        model.run(
            one,
            "round_robin",
            proxies=1,
            requests=20_000,
            seed=seed,
            workers=workers,
            sizes=model.Sizes(cv=None),
            timeout=math.inf,
        ).mean
        for seed in (1, 2)
    ]
    size = scenarios.MEAN_SIZE
    expected = size + erlang_c(workers, 0.5) * size / (workers * 0.5)
    assert math.isclose(statistics.fmean(means), expected, rel_tol=0.05)


def test_random_splits_into_servers_of_their_own() -> None:
    """A random share of a Poisson process is one: each of ten single-worker servers is M/M/1."""
    ten = Scenario("ten", "", same(10), load=0.5)
    result = model.run(
        ten, "random", requests=30_000, workers=1, sizes=model.Sizes(cv=None), timeout=math.inf, proxies=3
    )
    assert math.isclose(result.mean, 2 * scenarios.MEAN_SIZE, rel_tol=0.05)


@pytest.mark.parametrize("policy", KEYLESS)
def test_nobody_beats_the_oracle_in_a_uniform_fleet(policy: str, uniform: Scenario) -> None:
    oracle, other = (model.run(uniform, name, requests=4000) for name in ("oracle", policy))
    assert oracle.mean <= 1.01 * other.mean
    assert oracle.p99 <= 1.02 * other.p99
    assert oracle.needless == 0.0


# ---- what the scenarios do ---------------------------------------------------------------------------------------


def test_a_black_hole_draws_those_who_count_in_flight_only() -> None:
    hole = scenarios.scenarios(["black_hole"])[0]
    no_hold = lbcore.Limits(error_hold=0)
    plain = model.run(hole, "least_conn", requests=6000, limits=no_hold)
    ejecting = model.run(hole, "least_conn", requests=6000, limits=no_hold, health="passive")
    holding = model.run(hole, "least_conn", requests=6000)
    assert plain.failed > 0.03
    assert ejecting.failed < plain.failed / 3
    assert holding.failed < plain.failed / 5


@pytest.mark.parametrize("hold", [0.0, 1.0, 3600.0])
def test_held_calls_are_let_go_in_the_end(hold: float) -> None:
    """However long the hold: what still counts after it was lost."""
    limits = lbcore.Limits(error_hold=hold)
    result = model.run(EVERYTHING, "least_conn", requests=1500, limits=limits)
    assert result.errors > 0
    assert result.left_in_flight == 0


def test_a_slow_server_fills_up_under_round_robin() -> None:
    slow = scenarios.scenarios(["one_slow"])[0]
    result = model.run(slow, "round_robin", requests=8000)
    others, last = result.shares[:-1], result.shares[-1]
    assert last.longest_wait > 2.0 > max(share.longest_wait for share in others)


# ---- the command -------------------------------------------------------------------------------------------------


def test_the_command_prints_ratios_and_writes_figures(tmp_path, capsys) -> None:
    out = tmp_path / "fleet.json"
    argv = [
        *("--policies", "round_robin:phase=0,random", "--scenario", "black_hole", "--requests", "300"),
        *("--jobs", "1", "--shares", "--json", str(out)),
    ]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    data = json.loads(out.read_text())
    kinds = [(r["policy"], r["health"]) for r in data["rows"]]
    pairs = [(p, h) for p in ("round_robin:phase=0", "random") for h in ("off", "passive")]
    assert kinds == [("oracle", "off"), *pairs]
    assert data["rows"][0]["mean_ratio"] == 1.0
    assert all(policy in printed for policy, _ in pairs)
    assert "gates" not in printed


def test_the_command_sums_up_what_was_generated(capsys, monkeypatch) -> None:
    monkeypatch.setattr(scenarios, "GENERATED", 2)
    argv = [
        "--policies",
        "random",
        "--scenario",
        "generated",
        "--requests",
        "100",
        "--seeds",
        "5",
        "--jobs",
        "1",
    ]
    assert main(argv) == 0
    assert "the worst of 2 generated scenarios" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv", [["--policies", "randum"], ["--scenario", "nowhere"], ["--health", "active"]]
)
def test_the_command_refuses_what_it_does_not_know(argv: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as exit:
        main(argv)
    assert exit.value.code == 2
    assert argv[1] in capsys.readouterr().err


def test_a_policy_is_written_with_its_parameters_and_limits() -> None:
    assert policy_of("oracle") == ("oracle", None)
    assert policy_of("adaptive")[1] is None
    policy, limits = policy_of("adaptive:gain=2:tau=1.5:error_hold=0.5:in_flight=7")
    assert policy.params == {"gain": 2, "tau": 1.5}
    assert limits == lbcore.Limits(error_hold=0.5, in_flight=7)
    with pytest.raises(lbcore.ConfigError):
        policy_of("adaptive:error_hold=-1")
    with pytest.raises(lbcore.ConfigError):
        policy_of("adaptive:error_hould=1")


def fake(policy: str, scenario: str, *, health: str = "off", **figures: float) -> Row:
    plain = {"mean": 50.0, "p50": 20.0, "p99": 430.0, "failed": 0.0, "outside": 0.0, "needless": 0.0}
    return Row(scenario, 8, policy, health, shares=(), **{**plain, **figures})


def test_a_gate_speaks_of_its_worst_row() -> None:
    rows = [
        fake("adaptive", "uniform", mean_ratio=1.05),
        fake("adaptive", "one_slow", mean_ratio=1.2),
        fake("random", "uniform", mean_ratio=9.0),
    ]
    holds, text = GATES[0].verdict(rows)
    assert not holds
    assert "one_slow" in text
    assert text.endswith("MISSED")
    assert Gate("t", "mean_ratio", 1.2, "adaptive").verdict(rows)[0]
    assert GATES[0].verdict(rows[2:]) is None


def test_generated_scenarios_have_gates_of_their_own() -> None:
    rows = [fake("adaptive", "uniform", mean_ratio=1.05), fake("adaptive", "generated_07", mean_ratio=1.2)]
    named, generated = (g.verdict(rows) for g in GATES if g.figure == "mean_ratio")
    assert named[0]
    assert not generated[0]
    assert "generated_07" in generated[1]


def test_a_gate_from_below_and_one_of_a_setting() -> None:
    rows = [
        fake(PLAIN_LEAST_CONN, "black_hole", failed=3.4),
        fake(PLAIN_LEAST_CONN, "black_hole", health="passive"),
        fake("least_conn", "black_hole", failed=0.4),
    ]
    assert GATES[-1].verdict(rows)[0]
    assert GATES[-1].verdict(rows[1:]) is None
    rows = [fake("adaptive", "black_hole", health="passive", failed=0.4)]
    assert not GATES[-2].verdict(rows)[0]

"""Call and Split: one in flight, released once, whatever happens in between."""

import asyncio
import gc
import warnings

import pytest

import lbcore


@pytest.fixture
def up():
    return lbcore.Upstream("u", ["a:1"], seed=1)


def test_done_is_idempotent(up):
    call = up.acquire()
    assert up.targets[0].in_flight == 1
    call.done()
    call.done(ok=False)
    call.done(error=OSError())
    assert up.targets[0].in_flight == 0


@pytest.mark.parametrize(
    "error, failure",
    [
        (None, False),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (OSError(), True),
        (asyncio.CancelledError(), False),
        (KeyboardInterrupt(), False),
        (GeneratorExit(), False),
        (ValueError(), False),
    ],
)
def test_what_leaving_the_block_says(error, failure):
    up = lbcore.Upstream("u", ["a:1", "b:1"], lbcore.policy("round_robin", phase=0))
    for _ in range(6):
        try:
            with up.acquire():
                if error:
                    raise error
        except BaseException as e:
            assert e is error
    assert up.stats()["in_flight"] == 0
    assert (up.stats()["ejected"] > 0) == failure


def test_an_exception_that_is_neither_leaves_the_count_of_failures(up):
    for outcome in (OSError(), OSError(), asyncio.CancelledError(), OSError()):
        up.acquire().done(error=outcome)
    assert up.targets[0].state == "ejected"  # the cancellation neither counted nor cleared


def test_an_answer_of_any_status_clears_the_count(up):
    for verdict in ({"ok": False}, {"ok": False}, {"status": 500}, {"ok": False}, {"ok": False}):
        up.acquire().done(**verdict)
    assert up.targets[0].state == "healthy"


def test_a_report_is_the_verdict_and_releases_nothing(up):
    call = up.acquire()
    call.report(error=ConnectionResetError())
    assert up.targets[0].in_flight == 1
    call.done()  # gives no second verdict
    for _ in range(2):
        up.acquire().done(ok=False)
    assert up.targets[0].state == "ejected"


@pytest.mark.parametrize("status", [99, 600, "200", 2.5])
def test_a_wrong_status_is_refused_but_released(up, status):
    call = up.acquire()
    with pytest.raises(ValueError, match="status"):
        call.done(status=status)
    assert up.targets[0].in_flight == 0


def test_a_wrong_value_is_refused_but_released(up):
    for more in ({"retry_after": float("nan")}, {"retry_after": []}, {"latency": -1}, {"latency": True}):
        call = up.acquire()
        with pytest.raises(ValueError, match=next(iter(more))):
            call.done(**more)
    assert up.targets[0].in_flight == 0


def test_a_dropped_call_releases_and_warns(up):
    call = up.acquire()
    with pytest.warns(ResourceWarning, match="a:1"):
        del call
        gc.collect()
    assert up.targets[0].in_flight == 0


def test_calls_keep_their_upstream_alive():
    call = lbcore.Upstream("u", ["a:1"]).acquire()
    gc.collect()
    assert call.target.in_flight == 1
    call.done()
    assert call.target.address == "a:1" and call.upstream.name == "u"


def test_a_stream_ends_the_call_with_its_last_item(up):
    with up.acquire() as call:
        body = call.stream(iter([b"1", b"2"]))
    assert up.targets[0].in_flight == 1
    assert list(body) == [b"1", b"2"]
    assert up.targets[0].in_flight == 0


def test_a_stream_that_fails_or_is_closed_or_dropped_ends_the_call(up):
    def broken():
        yield b"1"
        raise ConnectionResetError

    with up.acquire() as call:
        body = call.stream(broken())
    with pytest.raises(ConnectionResetError):
        list(body)
    assert up.targets[0].in_flight == 0
    with up.acquire() as call:
        body = call.stream(broken())
    body.close()
    assert up.targets[0].in_flight == 0
    with up.acquire() as call:
        body = call.stream(broken())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del body, call
        gc.collect()
    assert up.targets[0].in_flight == 0
    call = up.acquire()
    call.done()
    with pytest.raises(lbcore.LbcoreError):
        call.stream([])


def test_an_async_stream(up):
    async def items():
        yield b"1"
        yield b"2"

    async def read():
        with up.acquire() as call:
            body = call.stream(items())
        assert up.targets[0].in_flight == 1
        got = [item async for item in body]
        assert up.targets[0].in_flight == 0
        with up.acquire() as call:
            body = call.stream(items())
        await body.__anext__()
        await body.aclose()
        assert up.targets[0].in_flight == 0
        return got

    assert asyncio.run(read()) == [b"1", b"2"]


def test_a_split_is_exact_whatever_the_number_of_targets():
    many = lbcore.Upstream("many", [f"m{i}" for i in range(10)])
    one = lbcore.Upstream("one", ["o"])
    split = lbcore.Split([lbcore.Backend(many, 75), lbcore.Backend(one, 25)])
    calls = [split.acquire() for _ in range(1000)]
    assert sum(call.backend is split.backends[1] for call in calls) == 250
    assert sum(call.upstream is one for call in calls) == 250
    for n in range(1, 1001):
        got = sum(call.upstream is one for call in calls[:n])
        assert abs(got - n / 4) < 1
    for call in calls:
        call.done()


def test_a_split_keeps_an_invalid_or_empty_backends_share():
    up = lbcore.Upstream("u", ["a:1"])
    split = lbcore.Split(
        [lbcore.Backend(up, 2), lbcore.Backend(None, 1), lbcore.Backend(lbcore.Upstream("e", []), 1)]
    )
    outcomes = []
    for _ in range(400):
        try:
            split.acquire().done()
            outcomes.append(200)
        except lbcore.NoTarget as e:
            outcomes.append(e.status)
    assert [outcomes.count(s) for s in (200, 500, 503)] == [200, 100, 100]
    with pytest.raises(lbcore.NoTarget) as e:
        lbcore.Split([lbcore.Backend(up, 0)]).acquire()
    assert e.value.status == 500


def test_a_split_hands_its_debts_over():
    ups = [lbcore.Upstream(name, [name]) for name in "abc"]
    split = lbcore.Split([lbcore.Backend(up, w) for up, w in zip(ups, (5, 3, 2), strict=True)])
    names = []
    for n in range(300):
        names.append(split.pick().address)
        if n % 7 == 6:
            order = ups if n % 2 else ups[::-1]
            weights = {"a": 5, "b": 3, "c": 2}
            split = lbcore.Split([lbcore.Backend(up, weights[up.name]) for up in order], previous=split)
        for name, w in (("a", 5), ("b", 3), ("c", 2)):
            assert abs(names.count(name) - (n + 1) * w / 10) < 2


@pytest.mark.parametrize("call", ["pick()", "acquire()", "pick(None)", "acquire(None)"])
def test_nobody_usable_is_the_same_with_and_without_arguments(call):
    empty = lbcore.Upstream("empty", [])
    with pytest.raises(lbcore.NoTarget, match="empty"):
        eval(f"empty.{call}", {"empty": empty})


def test_a_clock_that_fails_leaves_the_call_to_be_done_again():
    times = iter([1.0, 2.0, float("nan"), 3.0])
    up = lbcore.Upstream("u", ["a:1"], "adaptive", clock=lambda: next(times))
    call = up.acquire()
    with pytest.raises(ValueError, match="clock"):
        call.done()
    assert up.targets[0].in_flight == 1
    call.done()
    assert up.targets[0].in_flight == 0

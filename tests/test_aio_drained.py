"""Waiting for a target's last call, and what an upstream tells those who watch it."""

import asyncio
import sys
import warnings

import pytest

import lbcore
from lbcore import aio
from lbcore.testing import ManualClock
from loops import run


async def turns(n=3):
    for _ in range(n):
        await asyncio.sleep(0)


# ---- the last call of a target ----------------------------------------------------------------------------------


def test_drained_comes_with_the_last_call():
    async def main():
        up = lbcore.Upstream("u", ["a:1", "b:1"])
        t = up["a:1"]
        calls = [call for call in (up.acquire() for _ in range(6)) if call.target is t]
        t.drain()
        waiting = asyncio.create_task(aio.drained(t))
        for call in calls:
            await turns()
            assert not waiting.done()
            call.done()
        assert await waiting is True
        assert await aio.drained(t, timeout=0) is True

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        run(main())


def test_drained_gives_up_and_notices_who_returns():
    clock = ManualClock()

    async def main():
        up = lbcore.Upstream("u", ["a:1", "b:1"], clock=clock)
        t = up["a:1"]
        call = up.acquire(exclude="b:1")
        with pytest.raises(lbcore.LbcoreError, match="in service"):
            await aio.drained(t)
        with pytest.raises(lbcore.LbcoreError, match="not a target"):
            await aio.drained(lbcore.Target("a:1"))
        t.drain()
        assert await aio.drained(t, timeout=3) is False
        assert 3 <= clock.now < 3.01
        waiting = asyncio.create_task(aio.drained(t))
        await turns()
        t.undrain()
        assert await waiting is False
        t.disable()
        waiting = asyncio.create_task(aio.drained(t))
        await turns()
        up.update(["b:1"])
        call.done()
        assert await waiting is True

    run(main(), clock)


# ---- watching ---------------------------------------------------------------------------------------------------


def test_several_watch_and_a_failure_of_one_is_nobody_elses(monkeypatch):
    reported, heard = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))
    up = lbcore.Upstream("u", ["a:1"])

    def broken():
        raise ValueError("mine")

    up.watch(broken)
    up.watch(first := lambda: heard.append(1))
    up.watch(first)
    up.watch(lambda: heard.append(2))
    up.acquire().done()
    assert heard == [1, 2] and reported == [ValueError]
    up.unwatch(first)
    up.unwatch(first)
    up.unwatch(broken)
    with up.acquire():
        pass
    assert heard == [1, 2, 2]
    with pytest.raises(TypeError):
        up.watch(None)

"""A blocking call beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from lbcore.errors import LbcoreError

_Result = TypeVar("_Result")


class Aside:
    """Runs one call at a time in a thread that neither the loop nor the exit of the interpreter waits for.

    The loop's executor would not do: its threads are joined at exit, and ``getaddrinfo`` or a dead network file system
    may hang for minutes.  A call that was given up runs on; until it is back, another one is refused, so that threads
    do not pile up.
    """

    def __init__(self) -> None:
        self._busy_in = 0  # the process whose thread runs; in a child of it nobody does

    async def run(self, call: Callable[[], _Result], timeout: float) -> _Result:
        """The result of ``call()``.  Raises what it raises; :class:`LbcoreError` after ``timeout`` seconds."""
        if self._busy_in == os.getpid():
            raise LbcoreError("no answer yet to what was asked before")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()

        def work() -> None:
            result, error = None, None
            try:
                result = call()
            except Exception as raised:
                error = raised
            self._busy_in = 0
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, future, result, error)

        self._busy_in = os.getpid()
        try:
            threading.Thread(target=work, name="lbcore-discovery-aside", daemon=True).start()
        except RuntimeError:  # no thread to be had
            self._busy_in = 0
            raise
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            if future.done() and not future.cancelled():
                raise  # the call's own
            raise LbcoreError(f"no answer within {timeout:g} s") from None


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)

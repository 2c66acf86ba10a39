"""A request's body that may be sent more than once: by a retry, and to mirrors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

MOST_KEPT = 65_536  # bytes; a larger body is sent once


class Body:
    """It streams from ``source`` and is kept as long as it is small; only one whole body is sent again."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self._kept: list[bytes] = []
        self._size = 0
        self._begun = False
        self._whole = False
        self._over = asyncio.Event()  # it is whole, or never will be

    @property
    def repeatable(self) -> bool:
        """True if it can be sent (again): nothing was read yet, or all, and it is small."""
        return not self._begun or (self._whole and self._size <= MOST_KEPT)

    async def send(self) -> AsyncIterator[bytes]:
        """The body, chunk by chunk, from its beginning."""
        if self._begun:
            for chunk in self._kept:
                yield chunk
            return
        self._begun = True
        async for chunk in self._source:
            self._keep(chunk)
            yield chunk
        self._whole = True
        self._over.set()

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= MOST_KEPT:
            self._kept.append(chunk)
        else:
            self._kept.clear()
            self._over.set()

    def close(self) -> None:
        """Nobody will read it any more."""
        self._over.set()

    async def copy(self) -> list[bytes] | None:
        """Wait until it is whole, and give it; None: it is too large, or broke off."""
        await self._over.wait()
        return self._kept if self._whole and self._size <= MOST_KEPT else None

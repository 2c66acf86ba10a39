"""aiohttp's server, made fit for a proxy: header time-outs, connections that can be asked to end, nothing invented."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from lbcore.adapters._relay import Timeouts, web


class _Uninvented:
    """A response without the Server and Content-Type that aiohttp would make up."""

    async def _prepare_headers(self) -> None:
        absent = [name for name in ("Server", "Content-Type") if name not in self.headers]
        await super()._prepare_headers()
        for name in absent:
            self.headers.popall(name, None)

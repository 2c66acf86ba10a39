"""Ending a connection so that its peer notices."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

_AT_ONCE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # SO_LINGER: on, for no time


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Reset a connection: its peer cannot take what it has got for the whole.  A closed one is let go."""
    if transport is None:
        return
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()  # type: ignore[attr-defined]

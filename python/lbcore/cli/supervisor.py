"""The running proxy of ``lbcore serve``: one proxy a listener, reload without dropping a request, graceful stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import pathlib
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from lbcore.adapters.datagram import DatagramProxy
from lbcore.adapters.http import HttpProxy
from lbcore.adapters.stream import StreamProxy
from lbcore.config.sources import SUFFIXES
from lbcore.engine import Engine, Spec
from lbcore.errors import LbcoreError
from lbcore.observe import log_events

log = logging.getLogger("lbcore")

Place = tuple[str, int]  # protocol and the configuration's port
Stamp = tuple[int, int, int]  # of a file: time of change, size, inode

_PROXIES: dict[str, Callable[[Engine, int], Proxy]] = {
    "HTTP": HttpProxy,
    "TCP": StreamProxy,
    "UDP": DatagramProxy,
}
_SETTLED_SECONDS = 0.1  # without a change: whoever writes the files is through


class Proxy(Protocol):
    """What every adapter of a listener can do."""

    async def start(self, sock: socket.socket) -> None: ...
    def stop(self) -> None: ...  # nothing new
    async def wait(self) -> None: ...  # until nothing is in flight
    async def abort(self) -> None: ...  # what is left


class PortInUse(LbcoreError):
    """A listener's port cannot be opened."""


class Supervisor:
    """Serve ``engine`` on ``address``; ``ports`` maps the configuration's ports to those that are opened.

    ``files`` (and directories) are watched; None: the configuration came from standard input.  ``seen`` is what
    :func:`stamps` gave before they were read.  ``say(kind, **facts)`` is told of every listener that is
    opened or closed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        address: str = "127.0.0.1",
        ports: Mapping[int, int] | None = None,
        files: Iterable[str] | None = None,
        seen: Mapping[str, Stamp] | None = None,
        drain: float = 30.0,
        say: Callable[..., None] = lambda kind, **facts: None,
    ) -> None:
        self._engine = engine
        self._address = address
        self._ports = ports or {}
        self._files = None if files is None else [*files]
        self._seen = stamps(self._files or ()) if seen is None else seen
        self._drain = drain
        self._say = say
        self._sockets: dict[Place, socket.socket] = {}
        self._proxies: dict[Place, Proxy] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._busy = asyncio.Lock()
        self._at_once = asyncio.Event()
        self._stopping = False

    # ---- listeners ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open every listener.  Raises :class:`PortInUse`; then none is open."""
        await self._open(self._bind(self._engine.spec))

    def _bind(self, spec: Spec) -> dict[Place, socket.socket]:
        """Sockets for the listeners of ``spec`` that are not open yet; all or none."""
        opened: dict[Place, socket.socket] = {}
        try:
            for listener in spec.listeners:
                place = (listener.protocol, listener.port)
                if place not in self._sockets and place not in opened:
                    opened[place] = self._socket(place, spec)
        except BaseException:
            _close(opened)
            raise
        return opened

    def _socket(self, place: Place, spec: Spec) -> socket.socket:
        protocol, port = place
        for (other, other_port), sock in self._sockets.items():  # HTTP becomes TCP: hand the port over
            leaves = not any((x.protocol, x.port) == (other, port) for x in spec.listeners)
            if other_port == port and "UDP" not in (protocol, other) and leaves:
                return sock.dup()
        number = self._ports.get(port, port)
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM)
        try:
            if protocol != "UDP" and os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self._address, number))
            if protocol != "UDP":
                sock.listen(1024)
        except OSError as error:
            sock.close()
            raise PortInUse(self._why_not(place, number, error)) from None
        return sock

    def _why_not(self, place: Place, number: int, error: OSError) -> str:
        protocol, port = place
        what = f"{protocol} port {number} on {self._address}"
        other = number + 8000 if number < 50_000 else 0
        if error.errno == errno.EADDRINUSE:
            return f"{what} is in use: choose another one with --port-map {port}={other}"
        if error.errno == errno.EACCES:
            return f"{what} needs privileges: choose another one with --port-map {port}={other}"
        return f"{what}: {error.strerror or error}"

    async def _open(self, sockets: Mapping[Place, socket.socket]) -> None:
        for place, sock in sockets.items():
            protocol, port = place
            proxy = _PROXIES[protocol](self._engine, port)
            self._sockets[place] = sock
            self._proxies[place] = proxy
            host, number = sock.getsockname()[:2]
            await proxy.start(sock)
            names = [x.name for x in self._engine.listeners if (x.protocol, x.port) == place]
            self._say("listening", protocol=protocol, address=host, port=number, listeners=names)

    def _retire(self) -> None:
        """Stop the listeners that the configuration no longer has; what they are at goes on."""
        wanted = {(x.protocol, x.port) for x in self._engine.listeners}
        for place in [place for place in self._proxies if place not in wanted]:
            host, number = self._sockets.pop(place).getsockname()[:2]
            task = asyncio.create_task(self._end(self._proxies.pop(place)))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
            self._say("closed", protocol=place[0], address=host, port=number)

    async def _end(self, proxy: Proxy) -> None:
        proxy.stop()
        waiting = [asyncio.create_task(proxy.wait()), asyncio.create_task(self._at_once.wait())]
        await asyncio.wait(waiting, timeout=self._drain, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await proxy.abort()

    async def stop(self) -> None:
        """Accept nothing more and wait for what is in flight, up to the drain time or :meth:`hurry`."""
        self._stopping = True
        async with self._busy:
            await asyncio.gather(*map(self._end, self._proxies.values()), *self._retiring)
            self._proxies.clear()
            self._sockets.clear()
        log_events(self._engine)

    def hurry(self) -> None:
        """Do not wait for what is in flight."""
        self._at_once.set()

    # ---- reload ------------------------------------------------------------------------------------------------

    async def reload(self) -> None:
        """Load the configuration again.  New ports are opened before anything changes; if one cannot be, or the
        configuration is refused, everything stays as it was and the log says why."""
        if self._files is None:
            log.error("reload: the configuration came from standard input, which cannot be read again")
            return
        opened: dict[Place, socket.socket] = {}
        async with self._busy:
            if self._stopping:
                return
            try:
                changes = await self._engine.reload_async(
                    prepare=lambda spec: opened.update(self._bind(spec))
                )
            except (LbcoreError, OSError) as error:
                _close(opened)
                log.error("reload: the old configuration stays: %s", error)
                return
            except Exception:
                _close(opened)
                log.exception("reload: the old configuration stays")
                return
            except asyncio.CancelledError:
                _close(opened)
                raise
            await self._open(opened)
            self._retire()
        log.info("reload: %s", changes)
        for problem in self._engine.report().problems:
            log.warning("%s", problem)

    async def watch(self, every: float = 1.0) -> None:
        """Reload when a file changes, appears or goes; log what happens to targets.  Looks every ``every`` seconds."""
        files = self._files or ()
        while True:
            await asyncio.sleep(every)
            log_events(self._engine)
            now = await asyncio.to_thread(stamps, files)
            if now == self._seen:
                continue
            while now != self._seen:
                self._seen = now
                await asyncio.sleep(_SETTLED_SECONDS)
                now = await asyncio.to_thread(stamps, files)
            await self.reload()


def stamps(files: Iterable[str]) -> dict[str, Stamp]:
    """By what one sees that a file has changed, for each of ``files`` and of the configuration files of directories."""
    found = {}
    for name in files:
        top = pathlib.Path(name)
        with contextlib.suppress(OSError):
            for path in (
                [path for path in top.iterdir() if path.suffix in SUFFIXES] if top.is_dir() else [top]
            ):
                facts = path.stat()
                found[str(path)] = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    return found


def _close(sockets: Mapping[Place, socket.socket]) -> None:
    for sock in sockets.values():
        sock.close()

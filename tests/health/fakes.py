"""Upstreams and servers for the tests of active checks."""

import asyncio
import contextlib
import functools

from lbcore.healthrules import ActiveChecks, Health


class FakeTarget:
    def __init__(self, address, id=None):
        self.address = address
        self.id = id or address
        self.state = "healthy"
        self.index = 0

    @property
    def host(self):
        return self._split()[0]

    @property
    def port(self):
        return int(self._split()[1])

    def _split(self):
        host, _, port = self.address.rpartition(":")
        if not host:
            raise ValueError(f"target {self.address!r} has no host and port")
        return host.strip("[]"), port

    def __repr__(self):
        return self.id


class FakeUpstream:
    """What the checks ask of an upstream; ``heard`` has all that it was told."""

    def __init__(self, addresses, checks, name="api"):
        self.name = name
        self.health = Health(active=checks)
        self.targets = tuple(FakeTarget(a) if isinstance(a, str) else a for a in addresses)
        self.down = set()  # ids
        self.prober = True
        self.asked = 0
        self.gave_up = False
        self.heard = []
        self.on_heard = lambda: None

    def takes_traffic(self, target):
        return target.id not in self.down

    def may_probe(self):
        self.asked += 1
        return self.prober

    def give_up_probing(self):
        self.gave_up = True

    def checked(self, target, *, status=None, error=None, ok=None):
        assert sum(x is not None for x in (status, error, ok)) == 1
        self.heard.append((target.id, status if status is not None else ok if error is None else type(error)))
        self.on_heard()

    def update(self, targets):
        targets = tuple(targets)
        for gone in self.targets:
            if gone not in targets:
                gone.index = -1
                gone.state = "removed"
        self.targets = targets

    def readdress(self, address):
        """The first target has another address from now on: the core keeps the object, as its identity is the same."""
        self.targets[0].address = address
        self.targets = (*self.targets[:-1], self.targets[-1])


class FakeEngine:
    def __init__(self, *upstreams):
        self.upstreams = {u.name: u for u in upstreams}

    def reload(self, *upstreams):
        self.upstreams = {u.name: u for u in upstreams}


def checks(**settings):
    """Checks every 10 s, or 2 s for who takes no traffic; without jitter."""
    return ActiveChecks(
        **{"type": "tcp", "healthy_interval": 10.0, "unhealthy_interval": 2.0, "jitter": 0.0, **settings}
    )


def on_loop(test):
    """Run an async test in a loop of its own; whatever it waits for ends within 20 s."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        async def limited():
            async with asyncio.timeout(20):
                await test(*args, **kwargs)

        asyncio.run(limited())

    return run


@contextlib.asynccontextmanager
async def serving(handle, host="127.0.0.1", tls=None):
    """A server on a free port whose connections are given to ``handle(reader, writer)``; gives its address."""

    tasks = set()

    async def begin(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()  # and no more: asyncio 3.11 would log that a connection's task was cancelled
        finally:
            writer.close()

    server = await asyncio.start_server(begin, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # sockets close in the loop's next turn


def answering(*pieces, heard=None):
    """A handler that reads one request's head and writes ``pieces``."""

    async def handle(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(head)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return handle


async def endless(reader, writer):
    """Says nothing, and listens until the other side goes."""
    await reader.read()

"""Targets by name: the system's resolver, or DNS itself.

Both answer every address of a name, as a target each.  Its identity is ``name@address:port``, so names may share an
address; the order is that of priority, address and port, whatever the order of the records, so that keyed policies
agree between machines.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, NamedTuple

from lbcore._core import Target
from lbcore.discovery.aside import Aside
from lbcore.discovery.found import BACKOFF, Found
from lbcore.errors import ConfigError, LbcoreError

Address = IPv4Address | IPv6Address
Family = Literal["both", "v4", "v6"]
WhenNone = Literal["keep", "accept"]

MAX_TARGETS = 16_384  # of one name: what one upstream takes; a hostile zone could name millions
NAME = re.compile(r"(?=.{1,253}\Z)(?:[^\s.:/@\[\]\x00-\x1f\x7f]{1,63}\.)*[^\s.:/@\[\]\x00-\x1f\x7f]{1,63}")
FAMILIES = {"both": socket.AF_UNSPEC, "v4": socket.AF_INET, "v6": socket.AF_INET6}


class Place(NamedTuple):
    """One address with a port, as the records have it; ``host`` is the name that has the address."""

    priority: int
    address: Address
    port: int
    weight: int
    host: str


class Common(NamedTuple):
    """What all targets of a name share."""

    name: str  # lower case, without a dot at its end
    labels: Mapping[str, str]


def targets_of(common: Common, places: Iterable[Place]) -> tuple[Target, ...]:
    """A target for each address and port.

    Priorities become the levels 0, 1, 2 by their order.  A weight of 0 becomes 1: RFC 2782 gives such a record "a very
    small chance" beside others, and 0 would mean none.  Where two names of a service share address and port they are
    one target, of the more urgent priority, with the sum of the weights there.
    """
    merged: dict[tuple[Address, int], Place] = {}
    for place in sorted(places, key=_order):
        place = place._replace(weight=max(1, place.weight))
        first = merged.setdefault((place.address, place.port), place)
        if first is not place and first.priority == place.priority:
            merged[place.address, place.port] = first._replace(weight=first.weight + place.weight)
    if len(merged) > MAX_TARGETS:
        raise LbcoreError(f"{common.name} has {len(merged)} addresses; at most {MAX_TARGETS} are taken")
    levels = {priority: level for level, priority in enumerate(sorted({p.priority for p in merged.values()}))}
    return tuple(_target(common, place, levels[place.priority]) for place in merged.values())


def _order(place: Place) -> tuple[int, int, int, int, str, int]:
    return place.priority, place.address.version, int(place.address), place.port, place.host, place.weight


def _target(common: Common, place: Place, level: int) -> Target:
    address = (
        f"[{place.address}]:{place.port}" if place.address.version == 6 else f"{place.address}:{place.port}"
    )
    host = {} if place.host == common.name else {"host": place.host}
    return Target(
        address,
        id=f"{common.name}@{address}",
        weight=place.weight,
        priority=level,
        labels={"name": common.name, **host, **common.labels},
    )


# ---- the system's resolver --------------------------------------------------------------------------------------


class System:
    """A name by ``getaddrinfo``; made by :func:`system`."""

    backoff = BACKOFF

    def __init__(
        self,
        common: Common,
        port: int,
        weight: int,
        family: Family,
        interval: float,
        timeout: float,
        empty: WhenNone,
    ) -> None:
        self._common, self._port, self._weight = common, port, weight
        self._family, self._interval, self._timeout, self._empty = family, interval, timeout, empty
        self._aside = Aside()

    async def resolve(self) -> Found:
        """Ask once.  Raises :class:`LbcoreError`."""
        addresses = await self._aside.run(self._addresses, self._timeout)
        if not addresses and self._empty == "keep":
            raise LbcoreError(f"{self._common.name} has no address")
        places = [Place(0, address, self._port, self._weight, self._common.name) for address in addresses]
        return Found(targets_of(self._common, places), self._interval)

    def _addresses(self) -> list[Address]:
        try:
            found = socket.getaddrinfo(
                self._common.name, self._port, FAMILIES[self._family], socket.SOCK_STREAM
            )
        except socket.gaierror as error:
            if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
                return []
            raise LbcoreError(f"{self._common.name}: {error.strerror}") from None
        except (OSError, UnicodeError) as error:
            raise LbcoreError(f"{self._common.name}: {error}") from None
        return [*dict.fromkeys(ip_address(place[0]) for *_, place in found)]  # a hosts file may say it twice

    def __repr__(self) -> str:
        return f"system({self._common.name}:{self._port})"


def system(
    name: str,
    *,
    interval: float = 30.0,
    family: Family = "both",
    timeout: float = 5.0,
    empty: WhenNone = "keep",
    weight: int = 1,
    labels: Mapping[str, str] | None = None,
) -> System:
    """The addresses of ``name`` (``host:port``) by the system's resolver: hosts file, search list and all.

    It says no TTL, so it is asked every ``interval`` seconds (1..86400), in a thread; needs no extra.  ``family``:
    ``both``, ``v4`` or ``v6``.  ``timeout`` in seconds.  ``empty="accept"``: a name without addresses, which this
    resolver does not tell from one that does not exist, empties the upstream; else it is a failure.  ``weight``
    (1..1000000) and ``labels``: of every target.  Raises :class:`ConfigError`.

    >>> system("localhost:8080")
    system(localhost:8080)
    """
    host, port = _split("system", name)
    if port is None:
        raise ConfigError("name", f"{name!r} has no port; SRV records need discovery.dns()")
    seconds("interval", interval, 1.0, 86_400.0)
    common = _checked(host, weight, labels, family=family, timeout=timeout, empty=empty)
    return System(common, port, weight, family, interval, timeout, empty)


# ---- DNS ----------------------------------------------------------------------------------------------------------


def dns(
    name: str,
    *,
    family: Family = "both",
    nameservers: Iterable[str] | None = None,
    timeout: float = 5.0,
    floor: float = 1.0,
    ceiling: float = 300.0,
    empty: WhenNone = "keep",
    nxdomain: WhenNone = "keep",
    weight: int | None = None,
    labels: Mapping[str, str] | None = None,
) -> Dns:
    """The targets of ``name`` in DNS: its A and AAAA records if it has a port (``api.example.com:8080``), else its SRV
    records (``_http._tcp.example.com``), which say ports, priorities and weights.

    Asked again when the least TTL of the answer has passed, after at least ``floor`` and at most ``ceiling`` seconds
    (0.1..86400 each).  ``family``: ``both``, ``v4`` or ``v6``.  ``nameservers``: addresses, with a port where it is not
    53; None: those of resolv.conf, read at each ask.  ``timeout``: seconds for all that one ask needs.

    What is no answer (SERVFAIL, a time-out, for one of several lookups too) is a failure: what was stays.  So is a name
    without records, and one that does not exist, unless ``empty="accept"`` or ``nxdomain="accept"``.  ``weight``, of
    every address (default 1), is not for SRV.  ``labels``: of every target.

    Raises :class:`ConfigError`, and :class:`LbcoreError` if dnspython is not installed.
    """
    host, port = _split("dns", name)
    if port is None and weight is not None:
        raise ConfigError("weight", f"{weight!r}: the SRV records of {name} say the weights")
    seconds("floor", floor, 0.1, 86_400.0)
    seconds("ceiling", ceiling, floor, 86_400.0)
    weight = 1 if weight is None else weight
    common = _checked(host, weight, labels, family=family, timeout=timeout, empty=empty)
    check_word("nxdomain", nxdomain, ("keep", "accept"))
    try:
        from lbcore.discovery.asking import Dns, nameserver
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "dns":
            raise
        raise LbcoreError(
            'discovery.dns() needs dnspython: pip install "lbcore[dns]"; discovery.system() needs nothing'
        ) from None
    servers = None if nameservers is None else [nameserver(text) for text in nameservers]
    if servers == []:
        raise ConfigError("nameservers", "there is none; None takes those of resolv.conf")
    return Dns(
        common,
        port,
        weight,
        family,
        servers,
        timeout,
        (floor, ceiling),
        empty == "accept",
        nxdomain == "accept",
    )


# ---- what is given ------------------------------------------------------------------------------------------------


def _split(kind: str, name: str) -> tuple[str, int | None]:
    """Host (lower case, no dot at its end) and port of ``host:port`` or ``host``.  Raises :class:`ConfigError`."""
    what = "a host name or host:port" if kind == "dns" else "a host name with a port, host:port"
    if not isinstance(name, str):
        raise ConfigError("name", f"{name!r} is not {what}")
    host, colon, port = name.rpartition(":")
    for whole in (name, host):
        if _is_ip(whole):
            raise ConfigError(
                "name", f"{name!r} is an address, which has nothing to ask for: discovery.static()"
            )
    if not colon:
        host = name
    host = host.removesuffix(".").lower()
    if not NAME.fullmatch(host):
        raise ConfigError("name", f"{name!r} is not {what}")
    if not colon:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        raise ConfigError("name", f"{name!r}: the port is not in 1..65535")
    return host, int(port)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _checked(
    host: str,
    weight: int,
    labels: Mapping[str, str] | None,
    *,
    family: str,
    timeout: float,
    empty: str,
) -> Common:
    check_word("family", family, tuple(FAMILIES))
    check_word("empty", empty, ("keep", "accept"))
    seconds("timeout", timeout, 0.05, 300.0)
    Target("a:1", weight=weight, labels=labels)  # raises what an ask would raise
    if weight == 0:
        raise ConfigError("weight", "0 is not in 1..1000000: such a name would serve nothing")
    return Common(host, dict(labels or {}))


def check_word(field: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise :class:`ConfigError` unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ConfigError(field, f"{value!r} is none of {', '.join(allowed)}")


def seconds(field: str, value: object, least: float, most: float) -> None:
    """Raise :class:`ConfigError` unless ``value`` is a number of seconds in ``least``..``most``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ConfigError(field, f"{value!r} is not a number of seconds in {least:g}..{most:g}")


TYPE_CHECKING = False  # what type checkers read as True
if TYPE_CHECKING:
    from lbcore.discovery.asking import Dns

"""Asking DNS, by dnspython: A, AAAA and SRV records (RFC 2782) with their TTLs.

Chains of CNAMEs are the resolver's; truncated answers are asked for again over TCP.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Any, NamedTuple

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver

from lbcore.discovery.found import BACKOFF, Found
from lbcore.discovery.names import Common, Family, Place, targets_of
from lbcore.errors import ConfigError, LbcoreError

KINDS = {"both": ("A", "AAAA"), "v4": ("A",), "v6": ("AAAA",)}
AT_ONCE = 16  # lookups of one ask: a service of a thousand names is no reason to flood the resolver


class Records(NamedTuple):
    """The records of a name, with their least TTL; without records, for how long that may be believed."""

    records: tuple[Any, ...]
    ttl: float
    exists: bool = True


class Dns:
    """A name in DNS; made by :func:`lbcore.discovery.dns`."""

    backoff = BACKOFF

    def __init__(
        self,
        common: Common,
        port: int | None,
        weight: int,
        family: Family,
        servers: list[dns.nameserver.Nameserver] | None,
        timeout: float,
        ttl_range: tuple[float, float],
        accept_empty: bool,
        accept_nxdomain: bool,
    ) -> None:
        self._common, self._port, self._weight = common, port, weight
        self._kinds, self._servers, self._timeout = KINDS[family], servers, timeout
        self._floor, self._ceiling = ttl_range
        self._accept_empty, self._accept_nxdomain = accept_empty, accept_nxdomain

    def __repr__(self) -> str:
        return f"dns({self._common.name}{'' if self._port is None else f':{self._port}'})"

    async def resolve(self) -> Found:
        """Ask once.  Raises :class:`LbcoreError`."""
        try:
            async with asyncio.timeout(self._timeout):
                lookup = _Lookup(self._servers, self._timeout)
                name = self._common.name
                if self._port is None:
                    places, answer = await self._service(lookup)
                else:
                    answer = await lookup.addresses(name, self._kinds)
                    places = [Place(0, a, self._port, self._weight, name) for a in answer.records]
        except TimeoutError:
            raise LbcoreError(f"{self._common.name}: no answer within {self._timeout:g} s") from None
        if not places:
            self._check_empty(answer)
        return Found(targets_of(self._common, places), min(max(answer.ttl, self._floor), self._ceiling))

    async def _service(self, lookup: _Lookup) -> tuple[list[Place], Records]:
        """The places of a service, and its SRV records with the least TTL of all that was asked."""
        answer = await lookup.records(self._common.name, "SRV")
        # "A Target of "." means that the service is decidedly not available at this domain."
        records = [record for record in answer.records if len(record.target.labels) > 1]
        if any(record.port == 0 for record in records):
            raise LbcoreError(f"{self._common.name}: an SRV record has port 0")
        hosts = {_text(record.target): None for record in records}
        some_at_once = asyncio.Semaphore(AT_ONCE)

        async def ask(host: str) -> Records:
            async with some_at_once:
                return await lookup.addresses(host, self._kinds)

        asked = await asyncio.gather(*map(ask, hosts), return_exceptions=True)
        found: dict[str, Records] = {}
        for host, got in zip(hosts, asked, strict=True):
            if isinstance(got, BaseException):
                raise got
            found[host] = got  # without an address, or no such name: a certain answer, and the others serve
        places = [
            Place(record.priority, address, record.port, record.weight, _text(record.target))
            for record in records
            for address in found[_text(record.target)].records
        ]
        return places, answer._replace(ttl=min([answer.ttl, *(got.ttl for got in found.values())]))

    def _check_empty(self, answer: Records) -> None:
        """Raise unless the settings want an empty upstream for an empty answer."""
        name = self._common.name
        if not answer.exists and not self._accept_nxdomain:
            hint = "" if self._port or name.startswith("_") else f"; for its addresses give a port: {name}:80"
            raise LbcoreError(f"{name} does not exist (NXDOMAIN){hint}")
        if answer.exists and not self._accept_empty:
            kinds = (
                "SRV record that leads to an address"
                if self._port is None
                else " or ".join(self._kinds) + " record"
            )
            hint = "" if self._port or name.startswith("_") else f"; for its addresses give a port: {name}:80"
            raise LbcoreError(f"{name} has no {kinds}{hint}")


class _Lookup:
    """The questions of one ask.  The resolver's configuration is read anew: a laptop moves, a container is rewired."""

    def __init__(self, servers: list[dns.nameserver.Nameserver] | None, timeout: float) -> None:
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=servers is None)
        except (dns.exception.DNSException, OSError) as error:
            raise LbcoreError(f"no name server is configured: {error}") from None
        if servers is not None:
            self._resolver.nameservers = list(servers)
        self._timeout = timeout
        self._backend = dns.asyncbackend.get_backend("asyncio")

    async def addresses(self, name: str, kinds: tuple[str, ...]) -> Records:
        """The addresses of ``name``; TTLs of empty answers count only where all are empty."""
        asked = await asyncio.gather(*(self.records(name, kind) for kind in kinds), return_exceptions=True)
        answers: list[Records] = []
        for got in asked:
            if isinstance(got, BaseException):
                raise got
            answers.append(got)
        full = [answer for answer in answers if answer.records]
        return Records(
            tuple(ip_address(record.address) for answer in full for record in answer.records),
            min(answer.ttl for answer in full or answers),
            any(answer.exists for answer in answers),
        )

    async def records(self, name: str, kind: str) -> Records:
        """The records of one kind.  Raises :class:`LbcoreError`, whose text is the same for the same problem."""
        try:
            answer = await self._resolver.resolve(
                name + ".",
                kind,
                raise_on_no_answer=False,
                search=False,
                lifetime=self._timeout,
                backend=self._backend,
            )
        except dns.resolver.NXDOMAIN as error:
            (response, *_) = error.kwargs["responses"].values()
            return Records((), _negative_ttl(response), exists=False)
        except dns.resolver.LifetimeTimeout:
            raise LbcoreError(f"{name} {kind}: no answer within {self._timeout:g} s") from None
        except dns.resolver.NoNameservers as error:
            raise LbcoreError(f"{name} {kind}: {_said(error.kwargs['errors'])}") from None
        except dns.exception.DNSException as error:
            raise LbcoreError(f"{name} {kind}: {type(error).__name__}: {error}") from None
        if answer.rrset is None:
            return Records((), _negative_ttl(answer.response))
        return Records(tuple(answer.rrset), answer.chaining_result.minimum_ttl)


def _negative_ttl(response: Any) -> float:
    """For how long "there is none" may be believed: as its SOA record says, without one not at all (RFC 2308, 5)."""
    if not any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority):
        return 0.0
    return float(response.resolve_chaining().minimum_ttl)


def _said(errors: list[tuple[Any, ...]]) -> str:
    """What the name servers said, each thing once."""
    said = [
        dns.rcode.to_text(e[4].rcode()) if e[4] is not None else str(e[3]) or type(e[3]).__name__
        for e in errors
    ]
    return f"no name server answers: {', '.join(sorted(set(said)))}"


def _text(name: Any) -> str:
    """A name as we write it: lower case, without the dot at its end."""
    return str(name.to_text(omit_final_dot=True)).lower()


def nameserver(text: str) -> dns.nameserver.Nameserver:
    """The server that ``10.0.0.2``, ``10.0.0.2:53``, ``::1`` or ``[::1]:53`` names.  Raises :class:`ConfigError`."""
    address, port = text, "53"
    if text.startswith("[") or text.count(":") == 1:
        address, _, port = text.rpartition(":")
    try:
        address = str(ip_address(address.strip("[]")))
        if not 1 <= int(port) <= 65_535:
            raise ValueError
    except ValueError:
        raise ConfigError(
            "nameservers", f"{text!r} is not an IP address, or one with a port such as 10.0.0.2:53"
        ) from None
    return dns.nameserver.Do53Nameserver(address, int(port))

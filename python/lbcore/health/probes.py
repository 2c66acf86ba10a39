"""One probe, whatever its type: it always ends, in time, as an Outcome, and leaves no socket behind.

A time-out covers all of it: looking up the name, connecting, TLS and the answer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import lru_cache

from lbcore.engine import log
from lbcore.errors import ConfigError, LbcoreError
from lbcore.health._connect import Resolver, connected, connection
from lbcore.health._http import MAX_HEAD_BYTES, Answer, Garbage, Request
from lbcore.health.schedule import Outcome, Target, Unprobeable, Upstream
from lbcore.healthrules import ActiveChecks

TlsContext = Callable[[ActiveChecks], ssl.SSLContext]
TLS = ("https", "grpcs")
DEFAULT_PORT = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}


def tls_context(checks: ActiveChecks) -> ssl.SSLContext:
    """What https and grpcs probes trust: the system's authorities, or with ``https_verify_certificate`` off anybody."""
    return _tls_context(checks.https_verify_certificate, checks.type == "grpcs")


@lru_cache
def _tls_context(verify: bool, http2: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if http2:
        context.set_alpn_protocols(["h2"])  # servers of gRPC insist on it
    return context


class Prober:
    """Probes the targets of one upstream by its checks.

    Everything that the checks say is looked at here, once.  Raises ``ConfigError`` for what cannot be sent,
    ``LbcoreError`` if what a type needs is not installed.
    """

    def __init__(self, upstream: Upstream, checks: ActiveChecks, tls: TlsContext, resolver: Resolver) -> None:
        self._name = upstream.name
        self._checks = checks
        self._resolver = resolver
        self._tls = None
        place = f"{upstream.name}.health.active"
        if not checks.timeout > 0:
            raise ConfigError(
                f"{place}.timeout", f"{checks.timeout} is not a time in which a probe could end (> 0)"
            )
        try:
            self._request = Request(checks.http_method, checks.http_path, checks.headers)
        except ValueError as error:
            field, _, reason = str(error).partition(": ")
            raise ConfigError(f"{place}.{field}", reason) from None
        run = {
            "tcp": self._tcp,
            "http": self._http,
            "https": self._http,
            "grpc": self._grpc,
            "grpcs": self._grpc,
        }
        if checks.type not in run:
            raise ConfigError(f"{place}.type", f"{checks.type!r} is none of {', '.join(run)}")
        self._run = run[checks.type]
        if self._run == self._grpc:
            try:
                import lbcore.health._grpc  # noqa: F401  # is h2 installed?
            except ImportError as missing:
                raise LbcoreError(str(missing)) from None
        if checks.type in TLS:
            self._tls = tls(checks)

    async def __call__(self, target: Target) -> Outcome:
        """Probe it.  Raises nothing but ``CancelledError``."""
        try:
            host, port = self._where(target)
            async with asyncio.timeout(self._checks.timeout):
                return await self._run(host, port)
        except OSError as error:  # TimeoutError and ssl.SSLError are among them
            return Outcome(error=error)
        except Garbage as error:
            return Outcome(ok=False, reason=str(error))
        except Exception as error:  # ours to mend; the checks go on
            log.exception("%s: the probe of %s failed", self._name, target.address)
            return Outcome(ok=False, reason=repr(error))

    def _where(self, target: Target) -> tuple[str, int]:
        try:
            return target.host, self._checks.port or target.port
        except ValueError as error:
            raise Unprobeable(str(error)) from None

    async def _tcp(self, host: str, port: int) -> Outcome:
        (await connected(self._resolver, host, port)).close()
        return Outcome(ok=True)

    async def _http(self, host: str, port: int) -> Outcome:
        checks = self._checks
        async with connection(
            self._resolver, host, port, self._tls, checks.https_sni or host, MAX_HEAD_BYTES
        ) as (reader, writer):
            writer.write(self._request.encode(self._authority(host, port)))
            answer = Answer(reader, checks.http_method)
            status = await answer.status()
            if checks.body_match is None or status not in checks.healthy_http_statuses:
                return Outcome(status=status)
            if await answer.has(checks.body_match.encode()):
                return Outcome(status=status)
            return Outcome(ok=False, reason=f"status {status}, and a body without {checks.body_match!r}")

    async def _grpc(self, host: str, port: int) -> Outcome:
        from lbcore.health import _grpc

        checks = self._checks
        async with connection(
            self._resolver, host, port, self._tls, checks.https_sni or host, _grpc.MAX_ANSWER_BYTES
        ) as (reader, writer):
            said = await _grpc.check(
                reader,
                writer,
                scheme="https" if self._tls else "http",
                authority=self._authority(host, port),
                service=checks.grpc_service,
                headers=checks.headers,
            )
            return Outcome(ok=said == "SERVING", reason=said)

    def _authority(self, host: str, port: int) -> str:
        """RFC 9110 7.2: host and port of the target, the port where it is not the scheme's own."""
        name = f"[{host}]" if ":" in host else host
        return name if port == DEFAULT_PORT[self._checks.type] else f"{name}:{port}"

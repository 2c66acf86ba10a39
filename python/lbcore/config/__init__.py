"""Configuration: text, files or data to a running engine.

A format is one module with ``NAME``, ``claims`` and ``build`` (see :class:`lbcore.config.reading.Dialect`), and
one line in ``dialects``.  Needs ``pip install "lbcore[config]"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from lbcore.config.reading import check_gates
from lbcore.config.reading import read as read_with
from lbcore.config.sources import is_text
from lbcore.engine import Engine, Shared, Spec, UpstreamSpec
from lbcore.errors import LbcoreError

PACKAGES = {"msgspec": "msgspec", "yaml": "PyYAML"}  # by the name that is imported


def dialects() -> tuple[Any, ...]:
    """The register: every format, in the order in which a document is offered to them."""
    from lbcore.config import gateway_api, short

    return (short, gateway_api)


def read(source: Any, *, strict: bool = False, known: Mapping[str, UpstreamSpec] | None = None) -> Spec:
    """The Spec of a configuration, with its report, not compiled.  Raises as :func:`load` does.

    ``known``: upstreams by name that were read before; those that have not changed are not tried again.
    """
    try:
        return read_with(source, dialects(), strict=strict, known=known)
    except ModuleNotFoundError as error:
        package = PACKAGES.get((error.name or "").split(".")[0])
        if package is None:
            raise
        raise LbcoreError(f'configuration needs {package}: pip install "lbcore[config]"') from None


class _Loader:
    """``read`` for an engine, which reads its configuration again and again."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._known: dict[str, UpstreamSpec] = {}

    def apart(self, source: Any) -> bool:
        """True if another process can read ``source`` as well: it is made of paths."""
        items = source if isinstance(source, (list, tuple)) else [source]
        return all(
            isinstance(item, (str, PathLike)) and item != "-" and not is_text(str(item)) for item in items
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}}

    def __call__(self, source: Any) -> Spec:
        spec = read(source, strict=self._strict, known=self._known)
        self._known = {upstream.name: upstream for upstream in spec.upstreams}
        return spec


def load(
    source: Any,
    *,
    strict: bool = False,
    feature_gates: Mapping[str, bool] | None = None,
    shared: str | Shared | None = None,
) -> Engine:
    """An engine that serves ``source``.

    ``source``: the path of a file or directory (its .yaml, .yml and .json files), ``-`` for standard input,
    text (with a line end, or beginning with ``{``), a dict, or a list of any of these.  A file may have 64
    MiB.  ``shared``: the name (or :class:`lbcore.Shared`) under which the worker processes of this host that
    load it keep health, calls and turns together.

    Raises :class:`ConfigError` with every problem if the source cannot be read, the short form is wrong, or a
    feature gate is not known.  A Kubernetes object that is wrong is left out and named in
    ``engine.report()``; with ``strict`` that is a ConfigError too.  Raises :class:`LbcoreError` if msgspec or
    PyYAML is not installed.

    >>> engine = load({"lbcore": 1, "listeners": {"web": {"protocol": "http", "port": 8080}},
    ...                "upstreams": {"api": {"targets": ["10.0.0.1:80"]}},
    ...                "routes": [{"name": "all", "backends": ["api"]}]})
    >>> engine.match("GET", "example.com", "/").upstream.name
    'api'
    """
    loader = _Loader(strict)
    check_gates(feature_gates)
    return Engine(loader(source), loader, source, shared=shared)

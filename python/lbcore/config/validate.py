"""Data against the model: at once where it is right, and everything that is wrong where it is not.

msgspec checks in C and stops at the first error.  ``faults`` walks the same structs in Python, without hurry,
and finds all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import inspect

from lbcore.config.model import Time
from lbcore.config.plain import MAX_SHOWN, Path, cut, shown

MAX_FAULTS = 100  # of one object

_Model = TypeVar("_Model", bound=msgspec.Struct)


class Fault(NamedTuple):
    """One thing that is wrong: where in the object, and why.  ``unknown``: a field that the model does not name."""

    path: Path
    reason: str
    unknown: bool = False


def read(data: Any, model: type[_Model], *, lenient: bool = False) -> tuple[_Model | None, list[Fault]]:
    """``data`` as a ``model``, or None and at least one fault.  A null is as good as absent.

    ``lenient``: fields that the model does not name are faults, but the rest is read all the same.
    """
    try:
        return msgspec.convert(data, model), []
    except msgspec.ValidationError:
        data = without_nulls(data)
    except (ValueError, OverflowError) as error:  # a date that no calendar has
        return None, [Fault((), cut(str(error), 200))]
    found = [fault for fault, _ in zip(faults(data, type_of(model)), range(MAX_FAULTS), strict=False)]
    if found and lenient and all(fault.unknown for fault in found):
        for fault in found:
            remove(data, fault.path)
        return read(data, model)[0], found
    if found:
        return None, found
    try:
        return msgspec.convert(data, model), []
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        return None, [Fault((), cut(str(error), 200))]


def without_nulls(data: Any) -> Any:
    """A copy without the fields that are null, as the API server prunes them."""
    if isinstance(data, dict):
        return {key: without_nulls(value) for key, value in data.items() if value is not None}
    return [without_nulls(item) for item in data] if isinstance(data, list) else data


def remove(data: Any, path: Path) -> None:
    """Take the field at ``path`` out."""
    for part in path[:-1]:
        data = data[part]
    del data[path[-1]]


@lru_cache(maxsize=64)
def type_of(model: type[msgspec.Struct]) -> inspect.Type:
    """The model as data."""
    return inspect.type_info(model)


def faults(value: Any, kind: inspect.Type, path: Path = (), what: str = "") -> Iterator[Fault]:
    """Everything that is wrong with ``value``.  ``what`` says in words what is wanted."""
    if isinstance(kind, inspect.Metadata):
        what = (kind.extra_json_schema or {}).get("description", what)
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        kind = _member(value, kind)
        yield from faults(value, kind, path, what)
    elif isinstance(kind, inspect.StructType):
        yield from _object(value, kind, path)
    elif isinstance(kind, (inspect.VarTupleType, inspect.ListType)):
        yield from _list(value, kind, path)
    elif isinstance(kind, inspect.DictType):
        yield from _mapping(value, kind, path)
    elif reason := _scalar(value, kind, what):
        yield Fault(path, reason)


def _member(value: Any, union: inspect.UnionType) -> inspect.Type:
    """The alternative that ``value`` was meant to be: by its Python type, else the first."""
    wanted = [kind for kind in union.types if not isinstance(kind, inspect.NoneType)]
    fitting: dict[type, tuple[type, ...]] = {
        str: (inspect.StrType,),
        int: (inspect.IntType,),
        list: (inspect.VarTupleType, inspect.ListType),
        dict: (inspect.StructType, inspect.DictType),
    }
    for kind in wanted:
        bare = kind.type if isinstance(kind, inspect.Metadata) else kind
        if isinstance(bare, fitting.get(type(value), ())):
            return kind
    return wanted[0]


def _object(value: Any, kind: inspect.StructType, path: Path) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(path, f"{shown(value)} is not an object")
        return
    fields = {field.encode_name: field for field in kind.fields}
    for name, item in value.items():
        if name in fields:
            yield from faults(item, fields[name].type, (*path, name))
        elif kind.forbid_unknown_fields:
            yield Fault((*path, name), f"is not known{nearest(name, list(fields))}", unknown=True)
    for name, field in fields.items():
        if field.required and name not in value:
            yield Fault((*path, name), "is missing")


def _list(value: Any, kind: inspect.VarTupleType | inspect.ListType, path: Path) -> Iterator[Fault]:
    if not isinstance(value, list):
        yield Fault(path, f"{shown(value)} is not a list")
        return
    if kind.max_length is not None and len(value) > kind.max_length:
        yield Fault(path, f"has {len(value)} entries; at most {kind.max_length}")
        return
    if kind.min_length is not None and len(value) < kind.min_length:
        yield Fault(path, f"has {len(value)} entries; at least {kind.min_length}")
    for i, item in enumerate(value):
        yield from faults(item, kind.item_type, (*path, i))


def _mapping(value: Any, kind: inspect.DictType, path: Path) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(path, f"{shown(value)} is not an object")
        return
    for key, item in value.items():
        if reason := next((fault.reason for fault in faults(key, kind.key_type)), ""):
            yield Fault((*path, key), f"the key {reason}")
        yield from faults(item, kind.value_type, (*path, key))


def _scalar(value: Any, kind: inspect.Type, what: str) -> str:
    """Why ``value`` is wrong, or nothing."""
    if isinstance(kind, inspect.StrType):
        return _text(value, kind, what)
    if isinstance(kind, inspect.IntType):
        return _whole(value, kind)
    if isinstance(kind, inspect.FloatType):
        return _number(value, kind)
    if isinstance(kind, inspect.LiteralType):
        right = any(type(value) is type(known) and value == known for known in kind.values)
        allowed = ", ".join(map(str, kind.values))
        return "" if right else f"{shown(value)} is not {'one of ' if len(kind.values) > 1 else ''}{allowed}"
    if isinstance(kind, inspect.BoolType):
        return "" if isinstance(value, bool) else f"{shown(value)} is not true or false"
    if isinstance(kind, inspect.DateTimeType):
        return "" if _is_time(value) else f"{shown(value)} is not a time such as 2026-01-31T12:00:00Z"
    return ""


def _text(value: Any, kind: inspect.StrType, what: str) -> str:
    if not isinstance(value, str):
        return f"{shown(value)} is not text" + (
            "" if isinstance(value, (dict, list)) else "; put it in quotes"
        )
    if kind.max_length is not None and len(value) > kind.max_length:
        return f"has {len(value)} characters; at most {kind.max_length}"
    if kind.min_length is not None and len(value) < kind.min_length:
        return f"is empty; wanted {what or 'text'}"
    if kind.pattern is not None and not re.search(kind.pattern, value):
        return f"{shown(value)} is not {what}"
    return ""


def _whole(value: Any, kind: inspect.IntType) -> str:
    least, most = kind.ge, kind.le
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if is_whole and (least is None or value >= least) and (most is None or value <= most):
        return ""
    limits = "" if least is None else f" in {least}..{most}"
    return f"{shown(value)} is not a whole number{limits}"


def _number(value: Any, kind: inspect.FloatType) -> str:
    least, most = kind.ge, kind.le
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and (least is None or value >= least) and (most is None or value <= most):
        return ""
    return f"{shown(value)} is not a number" + ("" if least is None else f" in {least:g}..{most:g}")


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(msgspec.convert(value, Time))
    except (msgspec.ValidationError, ValueError, OverflowError):
        return False


def nearest(name: str, known: list[str]) -> str:
    """A hint for a name that is not ``known``."""
    from difflib import get_close_matches

    close = get_close_matches(name[:MAX_SHOWN], known, 1)
    return f"; did you mean {close[0]}?" if close else f"; known: {cut(', '.join(known), 120) or 'none'}"

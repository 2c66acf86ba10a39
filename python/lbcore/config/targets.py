"""A text that holds nothing but targets, written as an upstream's ``targets`` in the short form."""

from __future__ import annotations

from functools import partial

from lbcore.config import jsontext, model, validate, yaml
from lbcore.config.plain import Path, Unreadable, shown
from lbcore.config.problems import Document, Problems, Source
from lbcore.config.short import targets_of
from lbcore.engine import TargetSpec
from lbcore.errors import ConfigError


class TargetList(model.Strict):
    """What the text holds, where it is not the bare list."""

    targets: tuple[model.Address | model.ShortTarget, ...]


def read(text: str, name: str, *, is_json: bool) -> tuple[TargetSpec, ...]:
    """The targets of ``text``: a list, or an object with the one field ``targets``.

    Raises :class:`ConfigError` with every problem, its field, line and column, in the file called ``name``.
    """
    problems = Problems()
    source = Source(name, 0, text, is_json)
    specs: tuple[TargetSpec, ...] = ()
    try:
        documents = [jsontext.document(text)] if is_json else yaml.documents(text)
        if len(documents) != 1:
            raise Unreadable(f"has {len(documents)} documents; a file of targets is one")
        specs = _specs(Document(source, (0,), documents[0]), problems)
    except Unreadable as error:
        problems.unreadable(source, error)
    if problems:
        raise ConfigError.of(problems.placed()[0])
    return specs


def _specs(document: Document, problems: Problems) -> tuple[TargetSpec, ...]:
    data = document.data
    prefix: Path = ("targets",)
    if not isinstance(data, (list, dict)):
        raise Unreadable(f"is {shown(data)}; it is to be a list of targets, or an object with targets", 1, 1)
    if isinstance(data, list):
        data, prefix = {"targets": data}, ()
    found, faults = validate.read(data, TargetList)
    for fault in faults:
        problems.add(document, fault.path[1 - len(prefix) :], fault.reason)
    return targets_of(partial(problems.add, document), prefix, found.targets if found else ())

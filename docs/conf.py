"""Sphinx: ``make docs``.  Warnings are errors."""

import re

import lbcore

project = "lbcore"
author = "the lbcore developers"
release = version = lbcore.__version__
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"lbcore {release}"
myst_heading_anchors = 3
exclude_patterns = ["_build"]


REGISTER = lbcore.policies()
PAGE = "policies/"


def register() -> str:
    """Every policy of the build: a link to its page, its summary, whether it needs a key."""
    rows = ["| policy | | key |", "| --- | --- | --- |"]
    for name, policy in REGISTER.items():
        rows.append(
            f"| [{name}](../policies/{name}.md) | {policy.summary} | {'yes' if policy.keyed else ''} |"
        )
    return "\n".join(rows)


def described(policy: lbcore.Policy) -> str:
    """The summary and the parameters of a policy, as it says them itself."""
    given = "".join(f", {p.name}={shown(p.default)!r}" for p in policy.parameters)
    parts = ["## Parameters", "", f'`lbcore.policy("{policy.name}"{given})`: {policy.summary}', ""]
    if not policy.parameters:
        return "\n".join([*parts, "It has none."])
    parts += ["| parameter | default | range | |", "| --- | --- | --- | --- |"]
    for p in policy.parameters:
        between = p.range if p.words else f"{shown(p.min)} to {shown(p.max)}"
        parts.append(f"| `{p.name}` | `{shown(p.default)!r}` | {between} | {p.doc} |")
    return "\n".join(parts)


def shown(value: float | str | bool) -> float | str | bool:
    """Whole numbers without a point."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def linked(text: str) -> str:
    """The names of policies in a table as links to their pages."""
    rows = []
    for line in text.split("\n"):
        if line.startswith("|"):
            line = re.sub(r"`(\w+)`", lambda m: f"[{m[1]}]({m[1]}.md)" if m[1] in REGISTER else m[0], line)
        rows.append(line)
    return "\n".join(rows)


def fill(app: object, page: str, source: list[str]) -> None:
    """Put the generated parts where they belong: the register, a policy's parameters at its page's end."""
    name = page.removeprefix(PAGE)
    if page == "reference/policies":
        source[0] = source[0].replace("<!-- policies -->", register())
    elif page == PAGE + "index":
        source[0] = linked(source[0])
    elif page.startswith(PAGE) and name in REGISTER:
        source[0] = f"{source[0].rstrip()}\n\n{described(REGISTER[name])}\n"


def setup(app) -> None:
    app.connect("source-read", fill)

"""Sphinx: ``make docs``.  Warnings are errors."""

import lbcore

project = "lbcore"
author = "the lbcore developers"
release = version = lbcore.__version__
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"lbcore {release}"
myst_heading_anchors = 3
exclude_patterns = ["_build"]


def policies() -> str:
    """The register of policies as text: what a new policy says of itself is its page."""
    parts = []
    for name, policy in lbcore.policies().items():
        parts += [f"## `{name}`", "", policy.summary, ""]
        if policy.parameters:
            parts += ["| parameter | default | range | |", "| --- | --- | --- | --- |"]
            parts += [
                f"| `{p.name}` | {p.default} | {p.range} | {p.doc} |"
                for p in policy.parameters
            ]
            parts.append("")
    return "\n".join(parts)


def fill(app: object, page: str, source: list[str]) -> None:
    """Put the generated parts where a page asks for them."""
    source[0] = source[0].replace("<!-- policies -->", policies() if page == "reference/policies" else "")


def setup(app) -> None:
    app.connect("source-read", fill)

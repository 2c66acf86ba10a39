"""Print the requirements of dependency groups and extras of pyproject.toml, one a line.

    python tools/requirements.py build test extra:proxy

Old versions of pip know no ``--group``; this needs none.
"""

import pathlib
import re
import sys
import tomllib

PROJECT = tomllib.loads((pathlib.Path(__file__).parent.parent / "pyproject.toml").read_text())


def requirements(name: str) -> list[str]:
    """The requirements of the group ``name``, or of the extra in ``extra:name``; extras may name others of ours."""
    if not name.startswith("extra:"):
        return PROJECT["dependency-groups"][name]
    found = []
    for requirement in PROJECT["project"]["optional-dependencies"][name.removeprefix("extra:")]:
        own = re.fullmatch(r"lbcore\[([\w,]+)\]", requirement)
        for part in own[1].split(",") if own else ():
            found += requirements(f"extra:{part}")
        if not own:
            found.append(requirement)
    return found


if __name__ == "__main__":
    print(*dict.fromkeys(r for name in sys.argv[1:] for r in requirements(name)), sep="\n")

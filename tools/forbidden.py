"""Find what must not stand in the tree: a machine's own paths, unfinished work, hosts of package registries.

Prints ``file:line: what: the text`` of each; exits 1 if there is one.
"""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent
SKIPPED = {".git", ".venv", ".cache", "build", "dist", "__pycache__"}

# Written in pieces, so that this file does not find itself.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(ro" r"ot|wo" r"rk|ho" r"me|Us" r"ers)/\w",
    "unfinished work": r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b",
    "a registry's host": r"\b(pypi\.o" r"rg|files\.pythonho" r"sted|crates\.i" r"o|registry\.npmj" r"s)",
}


def texts() -> list[tuple[pathlib.Path, str]]:
    """Every text file of the checkout with its content; generated folders and binary files are left out."""
    found = []
    for folder, inner, names in os.walk(ROOT):
        inner[:] = sorted(set(inner) - SKIPPED)
        for path in (pathlib.Path(folder, name) for name in sorted(names)):
            try:
                found.append((path, path.read_text(encoding="utf-8")))
            except UnicodeDecodeError:
                continue
    return found


def findings() -> list[str]:
    """One line for each forbidden thing, as ``path:line: what: the text``."""
    found = []
    for path, text in texts():
        for number, line in enumerate(text.splitlines(), 1):
            for what, pattern in FORBIDDEN.items():
                if hit := re.search(pattern, line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {what}: {hit[0]}")
    return found


if __name__ == "__main__":
    lines = findings()
    print(*lines, sep="\n", end="\n" if lines else "")
    sys.exit(bool(lines))

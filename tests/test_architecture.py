"""The arrows between rooms, and what every file must look like.

A broken rule with a good reason: the reason stands beside the code, and the new arrow or exception stands here.
"""

import ast
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
CORE = ROOT / "src" / "lbcore"
PACKAGE = ROOT / "python" / "lbcore"

# Which room may look into which others; each may look into itself.
C_ARROWS = {
    "base": set(),
    "hash": {"base"},
    "target": {"base"},
    "policy": {"base", "hash", "target"},
    "health": {"base", "target"},
    "route": {"base", "hash"},
    "upstream": {"base", "hash", "target", "policy", "health"},
    "share": {"base", "target"},
}
PYTHON_ARROWS = {
    "errors": set(),
    # options: what a plain word stands for, made when asked; explain: what people ask a table, in Python
    "_core": {"errors", "options", "healthrules", "explain"},
    "explain": {"_core", "errors"},
    "_checked": {"errors"},  # what settings are checked by
    # What an upstream can be told; _core is handed them and asks their attributes.
    "options": {"_checked", "errors"},
    "healthrules": {"_checked", "errors"},
    "affinity": {"errors"},
    "aio": {"_core", "errors"},  # stands beside the binding: waits for what it hands out
    "filters": {"_core", "errors"},  # _core: a share of mirrored requests is a split
    "keys": {"_core", "errors"},
    "moves": {"_core"},
    # The engine in several files; the arrows back to it are of types alone.
    "engine": {
        "_core",
        "difference",
        "errors",
        "healthrules",
        "keys",
        "moves",
        "options",
        "plan",
        "reloading",
    },
    "plan": {"_core", "engine", "errors", "keys"},
    "difference": {"_core", "engine", "plan"},
    "reloading": {"_core", "engine", "errors"},
    "config": {"engine", "errors"},
    "health": {"engine", "errors", "healthrules"},
    # _core: it makes targets and is handed upstreams; config: a file of targets is read by config.targets alone, so
    # that YAML and JSON have one careful reader
    "discovery": {"_core", "config", "engine", "errors"},
    "observe": {"_core", "engine", "errors"},  # _core: it is handed upstreams and reads their events
    "adapters": {"_core", "engine", "errors"},  # _core: they are handed upstreams and calls, not only engines
    "testing": {"_core", "engine", "errors"},  # public helpers for tests: clocks, seeded engines
}
MAY_SEE_EVERYTHING = {"__init__", "__main__", "cli"}

# What the core may ask of the C library.  No clock, I/O, thread, randomness or Python among them.
C_LIBRARY = {
    *("malloc", "calloc", "realloc", "free", "qsort", "abort"),
    *("memcpy", "memmove", "memset", "memcmp", "memchr", "memrchr", "strlen", "strcmp", "strncmp", "strchr"),
    *("snprintf", "vsnprintf", "frexp", "ldexp", "floor", "ceil"),
}

C_FILES = sorted(p for p in CORE.rglob("*") if p.suffix in {".c", ".h"})
WRITTEN = sorted(
    p
    for folder in ("src", "python", "tests", "tools", "benches", "examples", ".ci")
    for p in (ROOT / folder).rglob("*")
    if p.suffix in {".c", ".h", ".def", ".py", ".pyi", ".pyx", ".pxi", ".pxd", ".sh"} or p.name == "run"
)


def name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def includes(path: pathlib.Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', path.read_text(), re.M)


def room_of_module(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def imported_rooms(path: pathlib.Path) -> set[str]:
    """The rooms of lbcore that a Python file imports from, wherever in the file."""
    package = ".".join(("lbcore", *path.relative_to(PACKAGE).parts[:-1]))
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            modules = [f"lbcore.{alias.name}" for alias in node.names] if base == "lbcore" else [base]
        else:
            continue
        rooms |= {room_of_module(m) for m in modules if m.split(".")[0] == "lbcore"}
    return rooms


# ---- arrows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [p for p in C_FILES if p.parent != CORE and p.parent.name != "bind"], ids=name
)
def test_a_c_room_looks_only_where_it_may(path):
    room = path.relative_to(CORE).parts[0]
    ours = [i for i in includes(path) if (CORE / i).exists() or ("/" in i and i.split("/")[0] in C_ARROWS)]
    for include in ours:
        assert "/" in include, f"{include}: headers are included by room, as room/file.h"
        other = include.split("/")[0]
        assert other == room or other in C_ARROWS[room], f"{room} may not look into {other} ({include})"
        if room == "upstream" and other == "policy":
            assert include == "policy/policy.h", "upstream knows policies by their register only"


def test_every_c_room_has_its_row():
    assert {p.name for p in CORE.iterdir() if p.is_dir()} <= {*C_ARROWS, "bind"}


def test_the_binding_includes_only_the_c_api():
    own = {p.name for p in (CORE / "bind").iterdir()}
    for path in sorted((CORE / "bind").rglob("*.p[yx]?")):
        quoted = re.findall(r'cdef extern from "([^"]+)"', path.read_text())
        assert set(quoted) <= {"lbcore.h", "Python.h", *own}, name(path)


def test_python_headers_are_in_the_binding_only():
    for path in [p for p in C_FILES if p.parent.name != "bind"]:
        assert "Python.h" not in path.read_text(), name(path)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name)
def test_a_python_room_looks_only_where_it_may(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in MAY_SEE_EVERYTHING:
        return
    looks_into = imported_rooms(path) - {room}
    allowed = PYTHON_ARROWS[room]
    assert looks_into <= allowed, f"{room} may not look into {sorted(looks_into - allowed)}"


def test_the_binding_imports_only_what_it_may():
    for path in sorted((CORE / "bind").rglob("*.p[yx]?")):
        imports = re.findall(
            r"^\s*(?:from|import)\s+lbcore\b\.?([\w.]*)(?!.* cimport )", path.read_text(), re.M
        )
        assert set(imports) <= PYTHON_ARROWS["_core"], name(path)


def test_adapters_are_small_and_do_not_know_each_other():
    for path in sorted((PACKAGE / "adapters").glob("[!_]*.py")):
        text = path.read_text()
        assert len(text.splitlines()) < 150, name(path)
        others = {p.stem for p in path.parent.glob("*.py")} - {path.stem}
        for other in (o for o in others if not o.startswith("_")):  # _relay and its like: what several share
            assert not re.search(rf"^\s*(from|import)\s+(lbcore\.adapters\.|\.)({other})\b", text, re.M), (
                name(path)
            )


# ---- registers --------------------------------------------------------------------------------------------------


def test_policies_def_names_the_policy_files_and_no_others():
    registered = re.findall(r"^LB_POLICY\((\w+)\)$", (CORE / "policy" / "policies.def").read_text(), re.M)
    described = {
        found
        for path in (CORE / "policy").glob("*.c")
        for found in re.findall(r"^const lb_policy lb_policy_(\w+) *= *\{", path.read_text(), re.M)
    }
    assert registered == sorted(registered)
    assert set(registered) == described, "a file without a line, or a line without a file"
    for policy in registered:
        text = (CORE / "policy" / f"{policy}.c").read_text()
        assert f'.name = "{policy}"' in text, "file, symbol and configuration name are the same word"


# ---- what the core is made of -----------------------------------------------------------------------------------


def core_archive() -> pathlib.Path:
    archive = ROOT / "build" / "c-core" / "liblbcore_core.a"
    if not (sys.platform == "linux" and archive.exists() and shutil.which("nm") and shutil.which("objdump")):
        pytest.skip("looks into build/c-core/liblbcore_core.a on Linux; run make core first")
    return archive


def test_the_core_asks_nothing_but_memory_and_arithmetic_of_the_c_library():
    listed = subprocess.run(["nm", "-g", core_archive()], capture_output=True, text=True, check=True).stdout
    wanted = set(re.findall(r"^ +U (\w+)$", listed, re.M))
    defined = set(re.findall(r"^[0-9a-f]+ [TDRBCVW] (\w+)$", listed, re.M))
    compilers_own = {s for s in wanted if s.startswith("_")}
    assert wanted - defined - compilers_own <= C_LIBRARY


def test_the_core_has_no_mutable_globals():
    listed = subprocess.run(
        ["objdump", "-h", core_archive()], capture_output=True, text=True, check=True
    ).stdout
    sections = re.findall(r"^ +\d+ (\.\S+) +([0-9a-f]+) ", listed, re.M)
    assert sections
    mutable = {s for s, size in sections if re.match(r"\.(t?data|t?bss)(?!\.rel\.ro)", s) and int(size, 16)}
    assert not mutable


# ---- what a file looks like -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", C_FILES, ids=name)
def test_a_c_file_begins_by_saying_what_it_is(path):
    assert re.match(rf"/\* {re.escape(path.stem)}: \S", path.read_text()), "begins with /* <name>: what it is"


def test_python_files_begin_with_a_docstring():
    for path in (p for p in WRITTEN if p.suffix == ".py"):
        text = path.read_text()
        assert not text or ast.get_docstring(ast.parse(text)), name(path)


def test_no_file_is_longer_than_600_lines():
    longer = [name(p) for p in WRITTEN if len(p.read_text().splitlines()) > 600 and p.suffix != ".pyi"]
    assert not longer


def test_nothing_forbidden_stands_in_the_tree():
    found = subprocess.run([sys.executable, ROOT / "tools" / "forbidden.py"], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout

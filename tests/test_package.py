"""What users install: the wheel's content, its metadata, the cost of its import, and the editable install."""

import email
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
import zipfile

import pytest

import lbcore

ROOT = pathlib.Path(__file__).parent.parent
TREE = ("CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "python", "src")
OFFLINE = ("--no-build-isolation", "--no-deps", "--no-index", "-q", "--disable-pip-version-check")


def pip(*arguments, python=sys.executable):
    done = subprocess.run([python, "-m", "pip", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def copied_tree(to: pathlib.Path) -> pathlib.Path:
    to.mkdir()
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, to / name)
    return to


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    place = tmp_path_factory.mktemp("wheel")
    pip("wheel", *OFFLINE, "-w", place, ROOT)
    (built,) = place.glob("lbcore-*.whl")
    with zipfile.ZipFile(built) as opened:
        yield opened


def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (found,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(found))


def test_the_wheel_has_the_package_and_nothing_else(wheel):
    names = [n for n in wheel.namelist() if ".dist-info/" not in n]
    extension = "lbcore/_core" + sysconfig.get_config_var("EXT_SUFFIX")
    assert {n.split("/")[0] for n in names} == {"lbcore"}
    assert {extension, "lbcore/__init__.py", "lbcore/py.typed", "lbcore/_core.pyi"} <= set(names)
    written = {
        str(p.relative_to(ROOT / "python"))
        for p in (ROOT / "python").rglob("*")
        if p.suffix in {".py", ".pyi", ".typed"}
    }
    assert written - {"lbcore/py.typed"} <= set(names)
    assert {pathlib.PurePath(n).suffix for n in set(names) - {extension}} <= {".py", ".pyi", ".typed"}


def test_the_wheel_needs_nothing(wheel):
    told = metadata(wheel)
    required = told.get_all("Requires-Dist") or []
    assert [r for r in required if "extra ==" not in r] == []
    assert told["Requires-Python"] == ">=3.11"
    assert told["License-Expression"] == "Apache-2.0"
    assert {"all", "config", "dns", "grpc", "numpy", "proxy", "regex"} == set(told.get_all("Provides-Extra"))
    assert any(n.endswith("/LICENSE") for n in wheel.namelist())


def test_the_versions_agree():
    assert lbcore.__version__ == lbcore._core.core_version


def run_python(statement: str) -> None:
    subprocess.run([sys.executable, "-I", "-c", statement], check=True)


def seconds(statement: str) -> float:
    started = time.perf_counter()
    run_python(statement)
    return time.perf_counter() - started


def test_the_import_takes_at_most_five_milliseconds():
    bare, ours = [], []
    for _ in range(15):  # interleaved, so that a busy machine slows both alike
        bare.append(seconds("pass"))
        ours.append(seconds("import lbcore"))
    added = min(statistics.median(ours) - statistics.median(bare), min(ours) - min(bare))
    assert added <= 0.005, (
        f"import lbcore adds {added * 1000:.1f} ms to {statistics.median(bare) * 1000:.1f} ms"
    )


def test_the_import_needs_no_third_party_module():
    ask = "import sys; before = set(sys.modules); import lbcore; print(*(set(sys.modules) - before))"
    said = subprocess.run(
        [sys.executable, "-I", "-c", ask], check=True, capture_output=True, text=True
    ).stdout
    added = {module.split(".")[0] for module in said.split()} - sys.stdlib_module_names
    assert added <= {"lbcore", "cython_runtime"} | {
        m for m in added if m.startswith("_")
    }  # Cython makes its own


def test_everything_public_is_documented():
    for name in lbcore.__all__:
        thing = getattr(lbcore, name)
        if callable(thing):
            assert thing.__doc__, name


def edit(file: pathlib.Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.skipif(os.name != "posix", reason="the folders of an environment are those of POSIX")
def test_an_editable_install_rebuilds_what_was_edited(tmp_path):
    tree = copied_tree(tmp_path / "tree")
    bind = tree / "src" / "lbcore" / "bind"
    with (bind / "lbcore.pxd").open("a") as pxd:
        pxd.write('\ncdef extern from *:\n    """\n    #define EDITED 1\n    """\n    int EDITED\n')
    with (bind / "_core.pyx").open("a") as pyx:
        pyx.write("\nedited = EDITED\n")

    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (site / "tools.pth").write_text(
        sysconfig.get_path("purelib") + "\n"
    )  # pip, Cython, cmake, ninja: offline
    pip("install", *OFFLINE, "-e", tree, "--config-settings=editable.rebuild=true", python=python)

    def answer(expression: str) -> str:
        command = [python, "-c", f"import lbcore._core as c; print({expression})"]
        activated = {
            **os.environ,
            "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=activated)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip().split("\n")[-1]

    # The included file and the header in one build (each is seen by itself), the declarations in another.
    edit(
        bind / "route.pxi",
        "def __repr__(self):",
        "def edited(self):\n        return 1\n\n    def __repr__(self):",
    )
    edit(tree / "src" / "lbcore" / "lbcore.h", f'"{lbcore._core.core_version}"', '"9.9.9"')
    assert answer("hasattr(c.Route, 'edited'), c.core_version, c.edited") == "True 9.9.9 1"
    edit(bind / "lbcore.pxd", "#define EDITED 1", "#define EDITED 7")
    assert answer("c.edited") == "7"

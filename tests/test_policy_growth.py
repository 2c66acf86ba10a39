"""Adding a selection policy takes one new file and one line: proved by adding one in a scratch copy of the tree.

The new policy is the random one under another name.  That the build, the register of Python, the command line and the
contract tests all know it is what the two changes must bring.

Then some broken policies are added in the same way: the contract tests, which know nothing of them, must fail.
"""

import filecmp
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
TREE = ("CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "python", "src", "tests")
NAME = "lottery"
OFFLINE = ("-q", "--disable-pip-version-check", "--no-build-isolation", "--no-deps", "--no-index")


def files(tree: pathlib.Path) -> set[str]:
    return {
        str(p.relative_to(tree))
        for name in TREE
        for p in [tree / name, *(tree / name).rglob("*")]
        if p.is_file() and "__pycache__" not in p.parts
    }


def changed(tree: pathlib.Path) -> set[str]:
    """What differs from the checkout."""
    ours, theirs = files(ROOT), files(tree)
    differing = {name for name in ours & theirs if not filecmp.cmp(ROOT / name, tree / name, shallow=False)}
    return (ours ^ theirs) | differing


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> pathlib.Path:
    """A copy of the tree with the new policy in it."""
    tree = tmp_path_factory.mktemp("grown")
    for name in TREE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, tree / name)

    room = tree / "src" / "lbcore" / "policy"
    text = (room / "random.c").read_text()
    for old, new in (
        ("/* random:", f"/* {NAME}:"),
        ("lb_policy_random", f"lb_policy_{NAME}"),
        ('"random"', f'"{NAME}"'),
    ):
        assert old in text
        text = text.replace(old, new)
    (room / f"{NAME}.c").write_text(text)  # the file

    register = room / "policies.def"
    lines = register.read_text().splitlines(keepends=True)
    at = next(
        i for i, line in enumerate(lines) if line.startswith("LB_POLICY(") and line > f"LB_POLICY({NAME})\n"
    )
    register.write_text("".join([*lines[:at], f"LB_POLICY({NAME})\n", *lines[at:]]))  # the line
    return tree


BROKEN = {  # by name: what is wrong, how it chooses, the contract test that must notice
    "broken_blind": (
        "takes no notice of health",
        """
static uint32_t pick(void *state, const lb_view *view, const lb_ask *ask) {
    (void)state;
    if (view->n_members == 0) return LB_NONE;
    lb_rng rng = *ask->rng;
    uint32_t at = lb_rng_below(ask->peek ? &rng : ask->rng, view->n_members);
    for (uint32_t i = 0; i < view->n_members; i++)
        if (view->full[(at + i) % view->n_members]) return (at + i) % view->n_members;
    return LB_NONE;
}
""",
        "test_only_usable_targets_are_picked",
    ),
    "broken_weightless": (
        "takes no notice of weight 0",
        """
static uint32_t pick(void *state, const lb_view *view, const lb_ask *ask) {
    (void)state;
    lb_rng rng = *ask->rng;
    return view->n_usable ? lb_rng_below(ask->peek ? &rng : ask->rng, view->n_members) : LB_NONE;
}
""",
        "test_only_usable_targets_are_picked",
    ),
    "broken_fickle": (
        "sends a key here and there",
        """
static uint32_t walk(void *state, const lb_view *view, lb_walk *walk) {
    (void)state;
    return view->n_usable ? view->usable[lb_rng_below(walk->rng, view->n_usable)] : LB_NONE;
}
""",
        "test_a_key_keeps_its_target",
    ),
    "broken_leaky": (
        "counts calls that nobody makes",
        """
static uint32_t pick(void *state, const lb_view *view, const lb_ask *ask) {
    (void)state;
    if (view->n_usable == 0) return LB_NONE;
    uint32_t member = view->usable[lb_rng_below(ask->rng, view->n_usable)];
    if (view->state) lb_counter_add(lb_in_flight(view->state, view->slot[member]), 1);
    return member;
}
""",
        "test_every_usable_target_is_reached",
    ),
}
BROKEN_FRAME = """/* {name}: {wrong}. */
#include "policy/policy.h"

static lb_status build(void **out, const lb_view *view, const double *param, const void *previous,
                       const uint32_t *old_index, lb_error *err) {{
    (void)view, (void)param, (void)previous, (void)old_index, (void)err;
    *out = NULL;
    return LB_OK;
}}

static void destroy(void *state) {{ (void)state; }}
{choose}
const lb_policy lb_policy_{name} = {{
    .name = "{name}", .summary = "{wrong}.", .build = build, .destroy = destroy, .{entry} = {entry},
}};
"""


@pytest.fixture(scope="module")
def installed(grown) -> dict[str, str]:
    """The environment in which ``import lbcore`` finds the grown package, with the broken policies in it too."""
    tree, target = grown.parent / "with broken ones", grown.parent / "installed"
    shutil.copytree(grown, tree)
    room = tree / "src" / "lbcore" / "policy"
    for name, (wrong, choose, _) in BROKEN.items():
        entry = "walk" if "lb_walk" in choose else "pick"
        text = BROKEN_FRAME.format(name=name, wrong=wrong, choose=choose, entry=entry)
        (room / f"{name}.c").write_text(text)
    with (room / "policies.def").open("a") as register:
        register.writelines(f"LB_POLICY({name})\n" for name in BROKEN)
    command = [sys.executable, "-m", "pip", "install", *OFFLINE, "--target", target, tree]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return {**os.environ, "PYTHONPATH": str(target)}


def test_two_files_change(grown):
    assert changed(grown) == {f"src/lbcore/policy/{NAME}.c", "src/lbcore/policy/policies.def"}


def test_a_line_without_a_file_fails_the_build(grown, tmp_path):
    register = tmp_path / "src" / "lbcore" / "policy" / "policies.def"
    shutil.copytree(grown / "src", tmp_path / "src")
    shutil.copy2(grown / "CMakeLists.txt", tmp_path)
    register.write_text(register.read_text() + "LB_POLICY(nobody)\n")
    beside_python = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    cmake = shutil.which("cmake", path=beside_python)
    done = subprocess.run([cmake, "-S", tmp_path, "-B", tmp_path / "build"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "policies.def names src/lbcore/policy/nobody.c" in " ".join(done.stderr.split())


def test_python_knows_it(installed):
    ask = (
        "import lbcore; print(lbcore.policy('lottery').name, 'lottery' in lbcore.policies(), lbcore.__file__)"
    )
    said = subprocess.run(
        [sys.executable, "-c", ask], env=installed, capture_output=True, text=True, check=True
    )
    name, listed, place = said.stdout.split()
    assert (name, listed) == (NAME, "True")
    assert place.startswith(installed["PYTHONPATH"])


def test_the_command_line_knows_it(installed):
    command = [sys.executable, "-m", "lbcore", "policies", "--json"]
    said = subprocess.run(command, env=installed, capture_output=True, text=True, check=True).stdout
    assert NAME in json.dumps(json.loads(said))
    plain = subprocess.run(command[:-1], env=installed, capture_output=True, text=True, check=True).stdout
    assert NAME in plain


def test_the_contract_tests_run_on_it(grown, installed):
    command = [sys.executable, "-m", "pytest", "tests/property", "-k", NAME]
    environment = {**installed, "LBCORE_EXAMPLES": "20"}
    done = subprocess.run(command, cwd=grown, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


@pytest.mark.parametrize("name", BROKEN)
def test_the_contract_tests_catch_a_policy_that(name, grown, installed):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/property/test_policies.py",
        "-k",
        name,
        "-rf",
        "--tb=no",
    ]
    environment = {**installed, "LBCORE_EXAMPLES": "50"}
    done = subprocess.run(command, cwd=grown, env=environment, capture_output=True, text=True)
    wrong, _, noticed_by = BROKEN[name]
    assert done.returncode == 1, f"nobody noticed that it {wrong}: {done.stdout}"
    assert f"::{noticed_by}[{name}]" in done.stdout


def test_the_architecture_test_finds_a_file_without_its_line(grown):
    register = grown / "src" / "lbcore" / "policy" / "policies.def"
    kept = register.read_text()
    register.write_text(kept.replace(f"LB_POLICY({NAME})\n", ""))
    try:
        command = [sys.executable, "-m", "pytest", "tests/test_architecture.py", "-k", "policies_def"]
        done = subprocess.run(command, cwd=grown, capture_output=True, text=True)
        assert done.returncode == 1
        assert "a file without a line" in done.stdout
    finally:
        register.write_text(kept)

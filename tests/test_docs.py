"""The pages about policies: every policy has one, each says what a page has to say, and the index knows them all."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

import lbcore

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ROOT / "docs" / "policies"
POLICIES = lbcore.policies()

# What each page says, in a paragraph or row that begins so.  The parameters are added from the register.
SECTIONS = ("Rule", "Source", "Cost", "When", "When not")


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text()


def test_every_policy_has_a_page_and_every_page_a_policy():
    assert {path.stem for path in PAGES.glob("*.md")} - {"index"} == set(POLICIES)


@pytest.mark.parametrize("name", POLICIES)
def test_a_page_has_its_sections(name):
    text = page(name)
    assert text.startswith(f"# {name}\n")
    missing = [s for s in SECTIONS if f"**{s}.**" not in text and f"\n| {s} | " not in text]
    assert not missing
    assert text.count(f"![balance and keys moved](img/{name}.svg)") == 1
    assert re.search(r"\bdown\b", text), "what happens when a target goes down"
    assert re.search(r"\bweight", text), "what a weight does"


@pytest.mark.parametrize("name", POLICIES)
def test_the_index_says_when_to_take_it(name):
    rows = [line for line in page("index").splitlines() if line.startswith("| ")]
    assert any(f"`{name}`" in row for row in rows)


@pytest.fixture(scope="module")
def conf():
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", POLICIES)
def test_a_page_ends_with_the_parameters_of_the_register(conf, name):
    source = [page(name)]
    conf.fill(None, f"policies/{name}", source)
    end = source[0].split("## Parameters\n")[1]
    assert POLICIES[name].summary in end
    for p in POLICIES[name].parameters:
        assert f"| `{p.name}` | `" in end and p.doc in end
    code = end.split("`")[1]  # what the page says is called with the defaults
    assert repr(eval(code, {"lbcore": lbcore})) == repr(POLICIES[name])


def test_the_reference_links_every_policy(conf):
    source = [(ROOT / "docs" / "reference" / "policies.md").read_text()]
    conf.fill(None, "reference/policies", source)
    for name, policy in POLICIES.items():
        assert f"[{name}](../policies/{name}.md) | {policy.summary}" in source[0]
    source = [page("index")]
    conf.fill(None, "policies/index", source)
    assert "| [maglev](maglev.md) |" in source[0]


def test_the_same_build_draws_the_same_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    names = ["jump", "least_conn", "round_robin"]  # one of each kind
    for folder in ("a", "b"):
        command = [sys.executable, ROOT / "tools" / "pictures.py", tmp_path / folder, *names]
        subprocess.run(command, check=True, env={"MPLCONFIGDIR": str(tmp_path)})
    for name in names:
        first, second = ((tmp_path / folder / f"{name}.svg").read_bytes() for folder in ("a", "b"))
        assert first == second and first.startswith(b"<?xml")

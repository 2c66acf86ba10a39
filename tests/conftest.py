"""Shared by all Python tests: where the cases are, how much randomness a run may spend."""

import os
import pathlib
import sys

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.database import DirectoryBasedExampleDatabase

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # for ``from twins import ...``

set_hypothesis_home_dir(ROOT / "build" / "hypothesis")
hypothesis.settings.register_profile(
    "lbcore",
    deadline=None,
    print_blob=True,
    max_examples=int(os.environ.get("LBCORE_EXAMPLES", "100")),
    database=DirectoryBasedExampleDatabase(ROOT / "build" / "hypothesis"),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("lbcore")


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of cases that are read in place; skips where it is absent."""
    place = pathlib.Path(os.environ.get("LBCORE_CASES", ROOT.parent / "shared"))
    if not place.is_dir():
        pytest.skip(f"no cases: {place} is absent (set LBCORE_CASES)")
    return place

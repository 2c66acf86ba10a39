"""Gate the user-mode instructions of the hot calls: at most 5 % over what benches/instructions.toml records.

    python tools/instructions.py             measure with valgrind's callgrind, print, compare; exits 1 above the gate
    python tools/instructions.py --record    measure and write the figures of this Python into the file

Instructions do not depend on how busy the machine is, so this gate can run anywhere.  A call's figure is the
difference between a process that runs it N times more and one that does not, by N, less the same for an empty loop.
Figures are kept by Python's minor version and compared only with the build that they were recorded on (another
compiler's interpreter runs other instructions); without a record they are printed and the gate passes.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import platform
import re
import subprocess
import sys
import sysconfig
import tomllib

ROOT = pathlib.Path(__file__).parent.parent
RECORD = ROOT / "benches" / "instructions.toml"
TURNS = 65_536  # a multiple of the requests' number, and enough to drown what happens once
WARM_UP = 1_024
GATE = 1.05

HEADER = """\
# Written by tools/instructions.py --record: user-mode instructions of one call, the loop around it taken off.
# A change that raises a figure by more than 5 % fails; record anew with the reason in the commit.
"""


def hot_cases():
    """The gated calls, and the empty loop that is taken off."""
    sys.path.insert(0, str(ROOT / "benches"))
    import cases
    import lbcore

    entries = cases.api_entries()
    router = lbcore.Router(cases.routes(entries), seed=1)
    each = ("m, h, t", cases.requests(entries))
    common = cases.settled(1_000, shared="instructions")
    return [
        cases.Case("loop", "pass"),
        cases.Case("loop over requests", "pass", each=each),
        cases.Case("pick, 10 targets", "up.pick()", {"up": cases.settled(10)}),
        cases.Case("pick, 1000 targets", "up.pick()", {"up": cases.settled(1_000)}),
        cases.Case("acquire + done", "c = up.acquire(); c.done()", {"up": cases.settled(1_000)}),
        cases.Case("with acquire", "with up.acquire(): pass", {"up": cases.settled(1_000)}),
        cases.Case("pick, shared", "up.pick()", {"up": common}),
        cases.Case("acquire + done, shared", "c = up.acquire(); c.done()", {"up": common}),
        cases.Case("match, 203 routes", "router.match(m, h, t)", {"router": router}, each=each),
    ]


def run_case(name: str) -> None:
    """What a measured process does: every case is set up and warmed up, then the named one runs TURNS times more."""
    import gc

    found = hot_cases()
    import cases

    gc.disable()
    runs = {case.name: cases.timer(case, lambda: 0) for case in found}
    for run in runs.values():
        run(WARM_UP)
    if name in runs:
        runs[name](TURNS)


def instructions(name: str) -> int:
    # A bare interpreter in a bare environment: what else is installed must not move a figure.
    interpreter = [
        sys.executable,
        "-S",
        "-s",
        __file__,
        "--case",
        name,
        "--site",
        sysconfig.get_path("platlib"),
    ]
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *interpreter]
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    counted = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not counted:
        raise SystemExit(f"{name}: valgrind failed\n{done.stderr}")
    return int(counted[1])


def measured(names: list[str]) -> dict[str, float]:
    """Instructions a call of each gated case."""
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        nothing, *counts = pool.map(instructions, ["nothing", *names])
    raw = {name: (count - nothing) / TURNS for name, count in zip(names, counts, strict=True)}
    return {
        name: figure - raw["loop over requests" if name.startswith("match") else "loop"]
        for name, figure in raw.items()
        if not name.startswith("loop")
    }


def this_build() -> str:
    return f"{platform.python_version()}, {platform.python_compiler()}, {platform.machine()}"


def record(figures: dict[str, float]) -> None:
    minor = ".".join(platform.python_version_tuple()[:2])
    recorded = tomllib.loads(RECORD.read_text()) if RECORD.exists() else {}
    recorded[minor] = {"build": this_build(), "calls": {n: round(f) for n, f in figures.items()}}
    lines = [HEADER]
    for version, table in sorted(recorded.items()):
        lines += [f'["{version}"]', f'build = "{table["build"]}"', f'["{version}".calls]']
        lines += [f'"{name}" = {figure}' for name, figure in table["calls"].items()] + [""]
    RECORD.write_text("\n".join(lines).rstrip() + "\n")
    print(f"recorded in {RECORD.relative_to(ROOT)}")


def compare(figures: dict[str, float]) -> bool:
    """Print the figures beside the recorded ones; False if one is above the gate."""
    minor = ".".join(platform.python_version_tuple()[:2])
    table = tomllib.loads(RECORD.read_text()).get(minor, {}) if RECORD.exists() else {}
    comparable = table.get("build") == this_build()
    if not comparable:
        print(f"no record for {this_build()}: figures are printed, not compared")
    passed = True
    for name, figure in figures.items():
        was = table.get("calls", {}).get(name) if comparable else None
        change = "" if was is None else f"  recorded {was:6,}  {100 * (figure / was - 1):+6.1f} %"
        over = was is not None and figure > was * GATE
        print(f"{name:24} {figure:8,.0f} instructions{change}{'  OVER THE GATE' if over else ''}")
        passed = passed and not over
    return passed


def main() -> None:
    options = argparse.ArgumentParser(description="Instructions of the hot calls against their record.")
    options.add_argument("--record", action="store_true")
    options.add_argument("--case", help=argparse.SUPPRESS)
    options.add_argument("--site", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.case:
        sys.path.append(chosen.site)
        run_case(chosen.case)
        return
    figures = measured([case.name for case in hot_cases()])
    if not compare(figures) and not chosen.record:
        raise SystemExit(1)
    if chosen.record:
        record(figures)


if __name__ == "__main__":
    main()

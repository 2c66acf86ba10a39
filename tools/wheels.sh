#!/bin/sh
# wheels: for every CPython >= 3.11 on this machine build a wheel, install it alone into a clean environment, use it.
#
#   sh tools/wheels.sh       the wheels stay in dist/
#
# Looks on PATH and among pyenv's versions; interpreters that do not start (a version manager's shims) or lack venv or
# headers are named and left out.  Only the first run of an interpreter needs the network, for what builds the wheel.
set -eu

rm -rf dist
mkdir -p build/wheels dist
found=0

wheel_for() {       # wheel_for PYTHON X.Y
    place=$PWD/build/wheels/$2
    if [ ! -e "$place/builder.stamp" ]; then
        rm -rf "$place"
        "$1" -m venv "$place/builder"
        "$place/builder/bin/python" tools/requirements.py build >"$place/requirements.txt"
        "$place/builder/bin/python" -m pip install -q -r "$place/requirements.txt"
        touch "$place/builder.stamp"
    fi
    rm -rf "$place/dist" "$place/clean"
    CMAKE_BUILD_PARALLEL_LEVEL=${JOBS:-2} "$place/builder/bin/python" -m pip wheel -q --no-build-isolation --no-deps \
        --no-index -w "$place/dist" .
    "$1" -m venv "$place/clean"
    "$place/clean/bin/python" -m pip install -q --no-deps --no-index "$place"/dist/lbcore-*.whl
    "$place/clean/bin/python" -I -c '
import lbcore
up = lbcore.Upstream("u", [lbcore.Target("a:1", weight=3), lbcore.Target("b:1", weight=1)])
picked = [up.pick().address for _ in range(400)]
assert (picked.count("a:1"), picked.count("b:1")) == (300, 100), picked
router = lbcore.Router([lbcore.Route("r", path="/x", backends=[up])])
with router.match("GET", "example.com", "/x/y").acquire() as call:
    assert call.target.in_flight == 1'
    cp "$place"/dist/lbcore-*.whl dist/
    echo "wheel for Python $2: $(cd "$place/dist" && echo lbcore-*.whl)"
}

for minor in 11 12 13 14 15; do
    name=python3.$minor
    tried=""
    for candidate in "$(command -v $name || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.$minor.*/bin/$name; do
        [ -x "$candidate" ] || continue
        tried=$candidate
        # Starts, is what its name says, and PYTHON alone decides (no variables from outside).
        [ "$("$candidate" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = 3.$minor ] || continue
        PYTHON=$candidate sh tools/prerequisites.sh >/dev/null 2>&1 || continue
        wheel_for "$candidate" 3.$minor
        found=$((found + 1))
        tried=""
        break
    done
    [ -z "$tried" ] || echo "wheel for Python 3.$minor: left out, $tried does not start or lacks venv or headers"
done
if [ $found = 0 ]; then
    echo "wheels: no CPython >= 3.11 with venv and headers found" >&2
    exit 1
fi

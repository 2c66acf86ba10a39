#!/bin/sh
# lint: style, types, complexity and forbidden things.  Every check runs, whatever the ones before it said.
set -u

PATH="$PWD/.venv/bin:$PATH"
failed=""

check() {       # check NAME COMMAND...
    name=$1
    shift
    if "$@"; then echo "lint $name: ok"; else failed="$failed $name"; fi
}

check ruff ruff check .
check format ruff format --check .
check mypy mypy
check stubtest python -m mypy.stubtest lbcore._core
check lizard lizard -l c -C 15 -T length=60 -w src
check cython-lint cython-lint --max-line-length 120 src/lbcore/bind
check forbidden python tools/forbidden.py

if [ -n "$failed" ]; then
    echo "lint: failed:$failed" >&2
    exit 1
fi

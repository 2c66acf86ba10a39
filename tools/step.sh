#!/bin/sh
# step: run a command as a named step and say how long it took.
#
#   sh tools/step.sh [-q] NAME COMMAND...
#
# -q leaves out the closing line.  With BUDGET=1 a step that takes more than one and a half times its seconds in
# .ci/budget.toml fails, and so does one without a row there; the times are collected in build/times.txt.
set -u

quiet=no
if [ "$1" = -q ]; then quiet=yes; shift; fi
name=$1
shift

[ $quiet = yes ] || printf '\n=== %s\n' "$name"
started=$(date +%s)
"$@"
status=$?
seconds=$(($(date +%s) - started))
if [ $status != 0 ]; then
    echo "=== $name: FAILED after $seconds s" >&2
    exit $status
fi
[ $quiet = yes ] || echo "=== $name: $seconds s"

[ "${BUDGET:-0}" = 1 ] || exit 0
mkdir -p build
echo "$name $seconds" >>build/times.txt
allowed=$(sed -n "s/^$name *= *\([0-9][0-9]*\).*/\1/p" .ci/budget.toml)
if [ -z "$allowed" ]; then
    echo "=== $name has no row in .ci/budget.toml" >&2
    exit 1
fi
if [ $((seconds * 2)) -gt $((allowed * 3)) ]; then
    echo "=== $name took $seconds s; its row in .ci/budget.toml allows $allowed s and half as much again" >&2
    exit 1
fi

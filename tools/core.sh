#!/bin/sh
# core: build and test the C core without Python headers, one variant at a time.
#
#   sh tools/core.sh core [NAME]   optimised, as released; only the tests with NAME in theirs
#   sh tools/core.sh coverage      unoptimised; fails below 95 % of the core's lines (bind/ is Cython's)
#   sh tools/core.sh sanitizers    AddressSanitizer and UndefinedBehaviorSanitizer
#   sh tools/core.sh threads       ThreadSanitizer, the tests named *_threads alone
set -eu

PATH="$PWD/.venv/bin:$PATH"     # cmake, ninja and gcovr may come from the virtual environment
variant=$1
place=build/c-$variant
jobs=${JOBS:-2}

options=""
target=all
tests=.
case $variant in
    core) tests=${2:-.} ;;
    coverage) options="-DLBCORE_COVERAGE=ON -DCMAKE_BUILD_TYPE=Debug" ;;
    sanitizers) options="-DLBCORE_SANITIZE=address,undefined -DCMAKE_BUILD_TYPE=RelWithDebInfo" ;;
    threads) options="-DLBCORE_SANITIZE=thread -DCMAKE_BUILD_TYPE=RelWithDebInfo"; target=tests_threads; tests=_threads ;;
    *) echo "core.sh: core, coverage, sanitizers or threads" >&2; exit 2 ;;
esac
if command -v cmake >/dev/null 2>&1; then :; else
    echo "core.sh: no cmake; 'make setup' brings one, or install your system's" >&2
    exit 1
fi
if [ ! -e $place/CMakeCache.txt ] && command -v ninja >/dev/null 2>&1; then options="$options -G Ninja"; fi

# shellcheck disable=SC2086     # the options are words
cmake -S . -B $place -DLBCORE_TESTS=ON $options >/dev/null
cmake --build $place -j "$jobs" --target $target >"$place/build.log" || { cat "$place/build.log"; exit 1; }
if [ $variant = coverage ]; then find $place -name '*.gcda' -delete; fi
ctest --test-dir $place --output-on-failure -j "$jobs" -R "$tests"

if [ $variant = coverage ]; then
    gcov=gcov
    case $(${CC:-cc} --version 2>/dev/null) in
        *clang*) if command -v xcrun >/dev/null 2>&1; then gcov="xcrun llvm-cov gcov"; else gcov="llvm-cov gcov"; fi ;;
    esac
    gcovr -r . --filter 'src/lbcore/' --exclude 'src/lbcore/bind/' --gcov-executable "$gcov" \
        --merge-mode-functions=separate --txt --txt-summary --fail-under-line 95 $place
fi

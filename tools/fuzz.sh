#!/bin/sh
# fuzz: run every fuzz target for some seconds under libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   sh tools/fuzz.sh SECONDS
#
# Needs a clang with libFuzzer.  Without one it says how to get it and succeeds: `make test` has then run the seeds and
# some random inputs through the same targets all the same (replay_*, under gcc's sanitizers).
# What is found grows in build/corpus/<target>; an input that fails is kept in build/crashes.
set -eu

PATH="$PWD/.venv/bin:$PATH"
seconds=$1
place=build/fuzz

fuzzes() {
    scratch=$(mktemp -d)
    printf 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return 0; }\n' \
        >"$scratch/a.c"
    status=0
    "$1" -fsanitize=fuzzer,address,undefined "$scratch/a.c" -o "$scratch/a.out" >/dev/null 2>&1 || status=1
    rm -rf "$scratch"
    return $status
}

clang=""
for candidate in ${CLANG:-clang clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14}; do
    if command -v "$candidate" >/dev/null 2>&1 && fuzzes "$candidate"; then clang=$candidate; break; fi
done
if [ -z "$clang" ]; then
    hint="a clang with libFuzzer"
    if command -v apt-get >/dev/null 2>&1; then
        # Without its caches apt-cache writes nothing.
        hint="apt-get install -y clang $(apt-cache -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= depends clang |
            sed -n 's/.*Depends: clang-\([0-9]*\)$/libclang-rt-\1-dev/p' | head -1)"
    elif command -v dnf >/dev/null 2>&1; then
        hint="dnf install -y clang compiler-rt"
    elif command -v brew >/dev/null 2>&1; then
        hint="brew install llvm"
    fi
    echo "fuzz: skipped, no clang with libFuzzer here (the seeds ran as replay_* tests).  To have it: $hint"
    exit 0
fi

cmake -S . -B $place -DCMAKE_C_COMPILER="$clang" -DCMAKE_BUILD_TYPE=None -DLBCORE_FUZZ=ON >/dev/null
cmake --build $place -j "${JOBS:-2}" >"$place/build.log" || { cat "$place/build.log"; exit 1; }

mkdir -p build/crashes
failed=""
for target in "$place"/tests/fuzz/fuzz_*; do
    name=${target##*/fuzz_}
    case $name in *.*) continue ;; esac
    mkdir -p "build/corpus/$name"
    seeds=tests/fuzz/seeds/$name
    [ -d "$seeds" ] || seeds=""
    dictionary=""
    if [ -e "tests/fuzz/$name.dict" ]; then dictionary="-dict=tests/fuzz/$name.dict"; fi
    # shellcheck disable=SC2086     # the three may be empty
    if "$target" -max_total_time="$seconds" -timeout=1 -rss_limit_mb=512 -print_final_stats=1 $dictionary \
        -artifact_prefix=build/crashes/"$name"- "build/corpus/$name" $seeds >"$place/$name.log" 2>&1; then
        echo "fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$place/$name.log") runs in $seconds s, nothing found"
    else
        tail -40 "$place/$name.log"
        failed="$failed $name"
    fi
done
if [ -n "$failed" ]; then
    echo "fuzz: failed:$failed; the inputs are in build/crashes" >&2
    exit 1
fi

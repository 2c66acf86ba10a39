#!/bin/sh
# prerequisites: is what the build needs on this machine?
#
#   sh tools/prerequisites.sh        prints the Python to use (PYTHON=... is honoured)
#
# Needed: Python 3.11 or newer with venv, ensurepip and Python.h; gcc or clang that finds the C library's headers; make.
# If something is missing: says what, prints the one line that installs it here (apt, dnf or brew), exits 1.
set -eu

reasons=""      # what is missing, in words
packages=""     # the same, as package names of this machine

manager=none
for tool in apt-get dnf brew; do
    if command -v $tool >/dev/null 2>&1; then manager=$tool; break; fi
done

lacks() {       # lacks WORDS APT DNF BREW
    reasons="$reasons  $1
"
    case $manager in
        apt-get) add=$2 ;;
        dnf) add=$3 ;;
        *) add=$4 ;;
    esac
    for package in $add; do
        case " $packages " in *" $package "*) ;; *) packages="$packages $package" ;; esac
    done
}

# Prints what a Python lacks: "old", or some of "venv headers"; fails if it does not start (a version manager's shim).
lacking() {
    "$1" -I -c '
import sys
if sys.version_info < (3, 11):
    print("old")
    raise SystemExit
import importlib.util, os, sysconfig
lacking = [] if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip") else ["venv"]
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    lacking.append("headers")
print(*lacking)' 2>/dev/null
}

find_python() {
    best=""
    best_lacks=""
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if ! found=$(lacking "$candidate") || [ "$found" = old ]; then continue; fi
        if [ -z "$found" ]; then best=$candidate; best_lacks=""; return; fi
        if [ -z "$best" ]; then best=$candidate; best_lacks=$found; fi
    done
}

# The package that holds a Python: "python3" for the distribution's own, else "python3.12".
package_of() {
    own=$(/usr/bin/python3 -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null || true)
    this=$("$1" -c 'import sys; print(*sys.version_info[:2])')
    if [ "$own" = "$this" ]; then echo python3; else echo "python$(echo "$this" | tr ' ' .)"; fi
}

# The package of a Python that is new enough, where the distribution's own may be older.
newest_package() {
    if [ $manager = apt-get ] && ! command -v python3 >/dev/null 2>&1; then echo python3; return; fi
    for minor in 14 13 12 11; do
        if [ $manager = apt-get ] && apt-cache -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
            show python3.$minor 2>/dev/null | grep -q '^Package'; then
            echo python3.$minor
            return
        fi
    done
    if [ $manager = dnf ]; then echo python3.11; else echo python3; fi
}

compiles() {
    scratch=$(mktemp -d)
    printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' >"$scratch/a.c"
    status=0
    "$1" "$scratch/a.c" -o "$scratch/a.out" >/dev/null 2>&1 || status=1
    rm -rf "$scratch"
    return $status
}

find_python
if [ -z "$best" ]; then
    package=$(newest_package)
    lacks "Python 3.11 or newer, with venv and headers${PYTHON:+ (PYTHON=$PYTHON is not)}" \
        "$package $package-venv $package-dev" "$package $package-devel" python
else
    for part in $best_lacks; do
        package=$(package_of "$best")
        case $part in
            venv) lacks "$best has no venv or ensurepip" "$package-venv" "$package" python ;;
            headers) lacks "$best has no headers (Python.h)" "$package-dev" "$package-devel" python ;;
        esac
    done
fi

compiler=""
for candidate in ${CC:-} cc gcc clang; do
    if command -v "$candidate" >/dev/null 2>&1; then compiler=$candidate; break; fi
done
if [ -z "$compiler" ]; then
    lacks "a C compiler (gcc or clang)" gcc gcc gcc
elif ! compiles "$compiler"; then
    lacks "$compiler cannot compile a C program (headers of the C library?)" "gcc libc6-dev" "gcc glibc-devel" gcc
fi
command -v make >/dev/null 2>&1 || lacks "make" make make make

if [ -z "$reasons" ]; then
    echo "$best"
    exit 0
fi
sudo=""
if [ "$(id -u)" != 0 ] && [ $manager != brew ]; then sudo="sudo "; fi
{
    printf 'lbcore needs, and this machine lacks:\n%s' "$reasons"
    case $manager in
        apt-get)
            update=""
            ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || update="${sudo}apt-get update && "
            printf 'Install it with:\n%s%sapt-get install -y%s\n' "$update" "$sudo" "$packages"
            ;;
        dnf) printf 'Install it with:\n%sdnf install -y%s\n' "$sudo" "$packages" ;;
        brew) printf 'Install it with:\nbrew install%s\n' "$packages" ;;
        none) printf 'Install these with the package manager of this machine, then try again.\n' ;;
    esac
} >&2
exit 1

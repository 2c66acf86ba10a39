#!/bin/sh
# fresh_machine: does a bare Debian with the prerequisites, and nothing else, run `make demo` and `make test`?
#
#   sh tools/fresh_machine.sh [FOLDER]        needs root and debootstrap; FOLDER is build/fresh and is made anew
#
# Then, one by one, takes a prerequisite away, and tries whether the line that is printed brings it back.
set -eu

suite=bookworm
packages=python3,python3-venv,python3-dev,gcc,make,git,ca-certificates
here=$PWD
root=${1:-build/fresh}

[ "$(id -u)" = 0 ] || { echo "fresh_machine: needs root, for chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "fresh_machine: apt-get install -y debootstrap" >&2; exit 1; }

unmount() {
    for place in proc dev/pts dev; do
        if mountpoint -q "$root/$place"; then umount -l "$root/$place"; fi
    done
}
unmount
rm -rf "$root"
mkdir -p "$root"
root=$(cd "$root" && pwd)
trap unmount EXIT INT TERM

echo "== a bare $suite in $root"
debootstrap --variant=minbase --include=$packages $suite "$root" >"$here/build/debootstrap.log" 2>&1 ||
    { tail -20 "$here/build/debootstrap.log"; exit 1; }
mount --bind /dev "$root/dev"
mount -t devpts devpts "$root/dev/pts" 2>/dev/null || true
mount -t proc proc "$root/proc"

# How this machine reaches its package indexes, whatever that is: pip's and apt's settings, certificates, proxies.
copy_in() {
    [ -e "$1" ] || return 0
    mkdir -p "$root$(dirname "$1")"
    cp -rL "$1" "$root$(dirname "$1")/"
}
for setting in /etc/pip.conf /etc/resolv.conf /etc/hosts /etc/apt/apt.conf.d /usr/local/share/ca-certificates \
    /etc/ssl/certs/ca-certificates.crt; do copy_in $setting; done
for folder in ${PIP_FIND_LINKS:-}; do case $folder in /*) copy_in "$folder" ;; esac; done
rm -f "$root/etc/apt/apt.conf.d/docker-clean"

inside() {
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent LANG=C.UTF-8 \
        $(env | grep -E '^(PIP_[A-Z_]*|[A-Za-z]*_?(PROXY|proxy)|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE)=[^ ]*$' |
            grep -v '^PIP_CACHE_DIR=') \
        DEBIAN_FRONTEND=noninteractive chroot "$root" sh -euc "cd /srv/lbcore 2>/dev/null || cd /; $1"
}

# The checkout as a clone would have it, with what is not committed yet; none of what was built.
mkdir -p "$root/srv/lbcore"
git ls-files -z --cached --others --exclude-standard |
    tar --null --ignore-failed-read -cf - -T - 2>/dev/null | tar -xf - -C "$root/srv/lbcore"
touch "$root/srv/marker"

echo "== make demo"
inside 'make demo'
echo "== make test"
inside 'make test'
echo "== make test again, without a network"
inside 'touch src/lbcore/policy/random.c; PIP_NO_INDEX=1 make setup'

changed=$(find "$root" -xdev -newer "$root/srv/marker" -type f -not -path "$root/srv/lbcore/*" -not -path "$root/proc/*")
[ -z "$changed" ] || { echo "written outside the checkout: $changed" >&2; exit 1; }

without() {     # without NAME SHELL-COMMAND-THAT-TAKES-IT-AWAY
    echo "== without $1"
    inside "$2" >/dev/null 2>&1
    if inside 'sh tools/prerequisites.sh' >/dev/null 2>"$here/build/missing.txt"; then
        echo "prerequisites.sh does not miss $1" >&2
        exit 1
    fi
    line=$(grep -E '^(apt-get|dnf|brew) ' "$here/build/missing.txt")
    echo "   $line"
    inside "$line" >/dev/null 2>&1
    inside 'sh tools/prerequisites.sh' >/dev/null || { echo "the line does not bring back $1" >&2; exit 1; }
}
remove='apt-get remove -y --autoremove'
without python3-venv "$remove python3-venv python3.11-venv"
without python3-dev "$remove python3-dev python3.11-dev libpython3-dev libpython3.11-dev"
without gcc "$remove gcc gcc-12"
without "the headers of the C library" "$remove libc6-dev"
without make "$remove make"
without everything "$remove make gcc gcc-12 python3-dev python3.11-dev python3-venv python3.11-venv"
echo "== a bare machine needs the prerequisites and nothing else"

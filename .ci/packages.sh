#!/bin/sh
# packages.sh: installs the Debian packages of a list that are missing; see `make deps`.
set -eu
list=$1
missing=
# shellcheck disable=SC2013 # words, not lines
for package in $(sed 's/#.*//' "$list"); do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "Every package of $list is installed."
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "apt-get is not available. Install the contents of these Debian packages by other means:$missing" >&2
    exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    if ! command -v sudo >/dev/null; then
        echo "Installing packages needs root or sudo. As root, run: apt-get install$missing" >&2
        exit 1
    fi
fi
echo "Installing$missing"
$sudo apt-get -q update
# shellcheck disable=SC2086 # a list of words
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
    -o DPkg::Lock::Timeout=120 install $missing

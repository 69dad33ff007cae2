#!/bin/sh
# cross.sh: builds the tests for another kind of processor and runs them here, under qemu; see `make cross`.
#
# usage: .ci/cross.sh [--fetch] ARCH [ARGUMENT OF MAKE]...      ARCH is Debian's name: arm64, s390x, armhf, i386
# With --fetch only the libraries that it needs are fetched.
#
# The libraries come from Debian and go to a directory of their own, so nothing is installed on this machine.
set -eu
fetch=
if [ "$1" = --fetch ]; then fetch=yes && shift; fi
arch=$1
shift
fact() { dpkg-architecture -a "$arch" -q "DEB_HOST_$1" 2>/dev/null; }
triple=$(fact GNU_TYPE)
lib=usr/lib/$(fact MULTIARCH)
root=$(pwd)/${BUILD:-build}/root-$arch
case $(fact GNU_CPU) in
i686) cpu=i386 ;;
powerpc64le) cpu=ppc64le ;;
*) cpu=$(fact GNU_CPU) ;;
esac

for tool in "$triple-gcc" "qemu-$cpu"; do
    command -v "$tool" >/dev/null && continue
    echo "$tool is missing; on Debian: apt install gcc-$(echo "$triple" | tr _ -) qemu-user" >&2
    exit 1
done

# What the packages of mk/packages.txt that are not tools hold for ARCH, unpacked below a root.
unpack() {
    new=$root.new
    rm -rf "$new"
    mkdir -p "$new/apt/lists/partial" "$new/apt/archives/partial"
    : >"$new/apt/status"
    apt="apt-get -qq -o APT::Architecture=$arch -o APT::Architectures=$arch -o Dir::State::status=$new/apt/status
        -o Dir::State::lists=$new/apt/lists -o Dir::Cache=$new/apt"
    $apt update || echo "Going on with the lists that could be had." >&2
    # shellcheck disable=SC2046 # words
    $apt -y --no-install-recommends --download-only install libc6-dev \
        $(sed 's/#.*//; /^build-essential$/d; /^pkgconf$/d' mk/packages.txt) >&2
    for package in "$new"/apt/archives/*.deb; do dpkg -x "$package" "$new"; done
    rm -r "$new/apt"
    # A link to /lib/... means that of the root.
    find "$new" -type l -lname '/*' | while read -r link; do ln -sfrn "$new$(readlink "$link")" "$link"; done
    rm -rf "$root"
    mv "$new" "$root"
}
[ -n "$(find "$root" -maxdepth 0 -newer mk/packages.txt 2>/dev/null)" ] || unpack
[ -z "$fetch" ] || exit 0

export PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_LIBDIR="$root/$lib/pkgconfig"
export TEST_UNDER="qemu-$cpu -L $root"
exec "${MAKE:-make}" BUILD="${BUILD:-build}/$arch" SYSROOT="$root" CC="$triple-gcc --sysroot=$root" AR="$triple-ar" \
    units "$@"

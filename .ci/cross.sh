#!/bin/sh
# cross.sh: builds the tests for another processor architecture and runs them under qemu; see `make cross`.
#
# usage: .ci/cross.sh [--fetch] ARCH [ARGUMENT OF MAKE]...      ARCH is Debian's name: arm64, s390x, armhf, i386
# With --fetch it only downloads the libraries that the tests need.
#
# The libraries come from Debian and are unpacked into a directory below BUILD. Nothing is installed on this machine.
set -eu
fetch=
if [ "$1" = --fetch ]; then fetch=yes && shift; fi
arch=$1
shift
arch_variable() { dpkg-architecture -a "$arch" -q "DEB_HOST_$1" 2>/dev/null; }
triple=$(arch_variable GNU_TYPE)
lib=usr/lib/$(arch_variable MULTIARCH)
root=$(pwd)/${BUILD:-build}/root-$arch
case $(arch_variable GNU_CPU) in
i686) cpu=i386 ;;
powerpc64le) cpu=ppc64le ;;
*) cpu=$(arch_variable GNU_CPU) ;;
esac

for tool in "$triple-gcc" "qemu-$cpu"; do
    command -v "$tool" >/dev/null && continue
    echo "$tool is missing; on Debian: apt install gcc-$(echo "$triple" | tr _ -) qemu-user" >&2
    exit 1
done

# Downloads the libraries of mk/packages.txt for ARCH and unpacks them below $root.
unpack() {
    new=$root.new
    rm -rf "$new"
    mkdir -p "$new/apt/lists/partial" "$new/apt/archives/partial"
    : >"$new/apt/status"
    apt="apt-get -qq -o APT::Architecture=$arch -o APT::Architectures=$arch -o Dir::State::status=$new/apt/status
        -o Dir::State::lists=$new/apt/lists -o Dir::Cache=$new/apt"
    $apt update || echo "Some package lists could not be downloaded; continuing with the others." >&2
    # shellcheck disable=SC2046 # a list of packages
    $apt -y --no-install-recommends --download-only install libc6-dev \
        $(sed 's/#.*//; /^build-essential$/d; /^pkgconf$/d' mk/packages.txt) >&2
    for package in "$new"/apt/archives/*.deb; do dpkg -x "$package" "$new"; done
    rm -r "$new/apt"
    # Absolute links are made relative, so that they point into $new and not into this machine's /.
    find "$new" -type l -lname '/*' | while read -r link; do ln -sfrn "$new$(readlink "$link")" "$link"; done
    rm -rf "$root"
    mv "$new" "$root"
}
[ -n "$(find "$root" -maxdepth 0 -newer mk/packages.txt 2>/dev/null)" ] || unpack
[ -z "$fetch" ] || exit 0

export PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_LIBDIR="$root/$lib/pkgconfig"
export TEST_UNDER="qemu-$cpu -L $root"
# A kernel for x86-64 usually runs programs for i386 itself.
loader=$root/lib/ld-linux.so.2
if [ "$cpu $(uname -m)" = "i386 x86_64" ] && "$loader" --version >/dev/null 2>&1; then
    TEST_UNDER="$loader --library-path $root/lib/${lib##*/}:$root/$lib:$root/$lib/openblas-pthread"
fi
exec "${MAKE:-make}" BUILD="${BUILD:-build}/$arch" SYSROOT="$root" CC="$triple-gcc --sysroot=$root" AR="$triple-ar" \
    units "$@"

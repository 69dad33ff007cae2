#!/bin/sh
# platforms.sh: runs the tests on platforms, and writes each result with the date to the table in docs/packages.md.
#
# usage: tests/packages/platforms.sh PLATFORM...      names as in the function tested below; see `make platforms`
set -u
page=docs/packages.md
export BUILD="${BUILD:-build}" AD_TEST_QUICK=1 WERROR=1
: "${MAKE:=make}"
jobs=-j$(nproc)
mkdir -p "$BUILD/platforms"
all=$(cd tests && printf '%s\n' test_*.c | sed 's/\.c$//')
emulated=$(echo "$all" | grep -vx test_threads | tr '\n' ' ') # threads that spin block each other under qemu

system() { sed -n 's/^PRETTY_NAME="\(Debian\) GNU\/Linux \([0-9]*\).*/\1 \2/p' "${1:-}/etc/os-release"; }
cxx() { echo "$1" | sed 's/gcc/g++/; s/clang/clang++/'; }

# Each of these says platform, compiler and what it runs for the table, and ends with the line "N passed, N failed".
gcc_here() {
    platform="$(system), $(uname -m), gcc" compiler="gcc $(cc -dumpfullversion)" what='`make units`'
    "$MAKE" "$jobs" -s units
}
clang_here() {
    platform="$(system), $(uname -m), clang" compiler="clang $(clang -dumpversion)" what='`make units CC=clang`'
    "$MAKE" "$jobs" -s units BUILD="$BUILD/clang" CC=clang CXX=clang++
}

cross() { # ARCH
    triple=$(dpkg-architecture -a "$1" -q DEB_HOST_GNU_TYPE 2>/dev/null)
    platform="$(system), $1, under qemu" compiler="gcc $("$triple-gcc" -dumpfullversion)"
    what="\`make cross ARCH=$1\` but test_threads"
    "$MAKE" "$jobs" -s cross ARCH="$1" TESTS="$emulated"
}

# musl-gcc sees no headers but musl's: two libraries that are headers only are linked into a folder.
musl() {
    version=$(dpkg-query -W -f '${Version}' musl-dev | sed 's/-.*//')
    platform="$(system), $(uname -m), musl, static" compiler="gcc $(musl-gcc -dumpfullversion), musl $version"
    what='`tests/demos.sh`, without BLAS and optional libraries'
    include=$BUILD/musl/include
    mkdir -p "$include"
    ln -sfn /usr/include/uthash.h /usr/include/Random123 "$include"
    "$MAKE" "$jobs" -s all BUILD="$BUILD/musl" CC=musl-gcc CPPFLAGS="-isystem $include" BLAS=none MPI=none PKG_CONFIG=false \
        LDFLAGS=-static && BUILD=$BUILD/musl CC=musl-gcc sh tests/run tests/demos.sh
}

cortex_m() {
    platform="Cortex-M4 (mps2-an386), under qemu" compiler="gcc $(arm-none-eabi-gcc -dumpfullversion), newlib"
    what='`tests/alone.sh`: a network as a C file that stands alone'
    "$MAKE" "$jobs" -s all && sh tests/run tests/alone.sh
}

wasm() {
    platform="WebAssembly, in Chromium" compiler="emcc $(emcc -dumpversion)" what='`make web-test`: the playground'
    "$MAKE" "$jobs" -s web-test
}

# Another Debian in a folder, as root.
in_chroot() { # SUITE COMPILER
    . tests/packages/chroot
    suite=$1 root=$chroots/platform
    trap 'rm -rf "$work"; forget "$root"' EXIT
    # shellcheck disable=SC2046 # a list of packages
    fresh "$suite" "$root" && install_in "$root" $(sed 's/#.*//' mk/packages.txt) "$2" || return 1
    git ls-files | tar -c -T - | tar -x -C "$root/srv"
    platform="$(system "$root"), $(uname -m), $2" compiler="$2 $(inside "$root" "$2" --version | sed -n '1s/.*[ )]\([0-9][0-9.]*\)\( .*\)*$/\1/p')"
    what='`make units`, in a system made by debootstrap'
    inside "$root" env AD_TEST_QUICK=1 WERROR=1 make -C /srv "$jobs" -s units CC="$2" CXX="$(cxx "$2")"
}

tested() {
    case $1 in
    gcc) gcc_here ;;
    clang) clang_here ;;
    debian13-*) in_chroot trixie "${1#*-}" ;;
    arm64 | armhf | i386 | s390x | ppc64el) cross "$1" ;;
    musl) musl ;;
    cortex-m) cortex_m ;;
    wasm) wasm ;;
    *) echo "$1 is no platform of this script" && return 1 ;;
    esac
}

# write_row ROW: in place of the row with the same first column, or as a new one; rows are in order.
write_row() {
    awk -v row="$1" -F '|' '
        function end_table() { if (in_table && !done++) print row }
        BEGIN { split(row, new, "|") }
        /^\| platform \|/ { in_table = 1; print; next }
        in_table && !/^\|/ { end_table(); in_table = 0 }
        in_table && $2 == new[2] { next }
        in_table && !/^\|---/ && $2 > new[2] { end_table() }
        { print }
        END { end_table() }' "$page" >"$BUILD/platforms/page" && cp "$BUILD/platforms/page" "$page"
}

bad=0
for name in "$@"; do
    log=$BUILD/platforms/$name.log
    platform= compiler= what=
    tested "$name" >"$log" 2>&1
    total=$(grep -Ex '[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
    if [ -z "$total" ]; then
        tail -n 20 "$log"
        echo "$name: the tests did not run"
        bad=1
        continue
    fi
    skipped=$(sed -n 's/.* failed, \([0-9]*\) skipped .*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    # shellcheck disable=SC2086 # the words of the last line
    set -- $total
    write_row "| $platform | $compiler | $what | $1 | $3 | $skipped | $(date +%Y-%m-%d) |"
    echo "$name: $total, $skipped skipped"
    [ "$3" = 0 ] || bad=1
done
exit $bad

#!/bin/sh
# debian.sh: builds the Debian packages in a fresh system, installs them in another one, runs the packages' own tests
# there, and removes them. Prints TAP. It needs root and a mirror of Debian; see `make deb-test`.
#
# usage: tests/packages/debian.sh SUITE [use]       SUITE: bookworm, trixie; use: the second half only, with the packages
#                                                   that the last run built
set -u
suite=$1
half=${2:-}
. tests/packages/chroot
needs debootstrap autopkgtest dpkg-buildpackage dh readelf unshare
builder=$chroots/$suite-build
user=$chroots/$suite-use
debs=$chroots/$suite-debs # what was built
logs=$chroots/$suite-logs
[ "$half" = use ] || rm -rf "$debs" "$logs"
mkdir -p "$debs" "$logs"
trap 'rm -rf "$work"; forget "$builder"; forget "$user"' EXIT
trap 'exit 1' INT TERM
version=$(dpkg-parsechangelog -l mk/debian/changelog -S Version)
tree=autodiff-${version%-*}

# step NAME COMMAND...: a check whose output is kept, and whose end is shown if it fails. After a failure of these the
# rest cannot run.
step() {
    log=$logs/$(echo "$1" | tr ' /' '--').log
    started=$(date +%s)
    check "$1" logged "$@"
    echo "# $(($(date +%s) - started)) s"
    [ "$failures" = 0 ] || { done_testing && exit; exit 1; }
}
logged() {
    shift
    "$@" >"$log" 2>&1 && return
    tail -n 40 "$log"
    return 1
}

# The source package is made here, and everything else there.
builder_with_source() {
    fresh "$suite" "$builder" || return 1
    inside "$builder" useradd -m builder || return 1
    sh mk/deb.sh source "$builder/home/builder" && inside "$builder" chown -R builder: /home/builder
}
build_depends() {
    inside "$builder" apt-get -q -y --no-install-recommends build-dep "/home/builder/$tree"
}

# build OPTION...: as a user, in a network that has no interfaces.
build() {
    inside "$builder" unshare --net su builder -c "cd ~/$tree && $*"
}
first_build() {
    build dpkg-buildpackage --no-sign || return 1
    cp "$builder"/home/builder/autodiff_* "$builder"/home/builder/*.deb "$debs"
}

# The source package that was made, unpacked in another folder, in another time zone and with another umask; without
# tests, on one processor, and the packages for one architecture and for all apart.
second_build() {
    build "dpkg-source -x ../autodiff_$version.dsc /tmp/again && cd /tmp/again && umask 027 &&
        export TZ=Asia/Tokyo LC_ALL=C DEB_BUILD_OPTIONS='nocheck parallel=1' &&
        dpkg-buildpackage --no-sign -A && dpkg-buildpackage --no-sign -B"
}
same_bits() {
    for deb in "$debs"/*.deb; do
        cmp "$deb" "$builder/tmp/$(basename "$deb")" || bad=yes
    done
    [ -z "${bad:-}" ] && [ "$(ls "$debs"/*.deb | wc -l)" -ge 7 ]
}

lintian_clean() {
    install_in "$builder" lintian || return 1
    inside "$builder" su builder -c "cd && lintian --version && lintian -i -I --pedantic --fail-on error,warning \
        autodiff_${version}_*.changes"
}

# The libraries as they are installed: without run path and debug information, with all relocations done at start-up.
hardened() {
    for library in "$user"/usr/lib/*/libautodiff*.so.*.*.*; do
        readelf -W -d -S "$library" >"$work/elf"
        echo "$library"
        ! grep -E 'R(UN)?PATH|\.debug_info|\.symtab' "$work/elf" || return 1
        grep -q 'FLAGS.*BIND_NOW' "$work/elf" && readelf -W -l "$library" | grep -q GNU_RELRO || return 1
        [ "$(readelf -W --dyn-syms "$library" | grep -c '__stack_chk_fail\|_chk@')" -gt 0 ] || return 1
    done
}
depends_of() { dpkg-deb -f "$debs/$1"_*.deb Depends; }
depends_from_libraries() {
    for package in libc6 libcsv3 libopenblas0 libprotobuf-c1 zlib1g; do
        depends_of libautodiff0.1 | grep "$package" || return 1
    done
    # Relocations as a bitmap need glibc 2.36, which no symbol says.
    ! readelf -V "$user"/usr/lib/*/libautodiff.so.0.* | grep DT_RELR || depends_of libautodiff0.1 | grep 'libc6 (>= 2\.3[6-9]' ||
        return 1
    depends_of libautodiff-mpi0.1 | grep 'libautodiff0\.1.*\(libopenmpi[0-9]\|libmpich12\)'
}

state() { inside "$user" find / -xdev \( -path /var/lib/apt -o -path /var/cache -o -path /var/log -o -path /tmp \
    -o -path /proc -o -path /run -o -path /sys -o -path /dev -o -path /root \) -prune -o -print | LC_ALL=C sort; }
names() { inside "$user" dpkg-query -W -f '${Package}\n' | LC_ALL=C sort; }
installs() {
    fresh "$suite" "$user" || return 1
    state >"$work/before"
    names >"$work/names"
    cp "$debs"/*.deb "$user/tmp"
    inside "$user" sh -c 'apt-get -q -y --no-install-recommends install $(ls /tmp/*.deb | grep -v dbgsym)'
}
# The packages, and what came with them. autoremove would keep what any package, such as one of the fresh system, suggests,
# and adduser in any case.
nothing_left() {
    names | LC_ALL=C comm -13 "$work/names" - >"$work/came"
    # shellcheck disable=SC2046 # a list of packages
    inside "$user" apt-get -q -y purge $(cat "$work/came") || return 1
    state >"$work/after"
    ! find "$user" -name '*autodiff*' -not -path "$user/tmp/*" -not -path "$user/var/*/apt/*" | grep . || return 1
    comm -13 "$work/before" "$work/after" >"$work/new"
    cat "$work/new"
    ! grep -v '^/var/lib/\(dpkg\|systemd\)/\|^/etc/\(ld.so.cache\|.*-\)$' "$work/new"
}
package_tests() {
    mounted "$user" autopkgtest --output-dir "$logs/autopkgtest" -B "$debs"/*.deb "$debs/autodiff_$version.dsc" -- \
        chroot "$user"
}

if [ "$half" != use ]; then
    step "a fresh system, and the source package" builder_with_source
    step "apt-get build-dep" build_depends
    step "dpkg-buildpackage, with tests, without network" first_build
    step "again elsewhere, without tests" second_build
    step "the same bits twice" same_bits
    step "lintian" lintian_clean
fi
step "installation by apt-get" installs
step "no run path, stripped, hardened" hardened
step "what the libraries need is what the packages depend on" depends_from_libraries
step "nothing is left" nothing_left
step "the tests of the packages" package_tests
done_testing

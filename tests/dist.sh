#!/bin/sh
# dist.sh: makes the archives of `make dist` in several ways, compares their bits, and builds, installs and uses what is
# in them. Prints TAP. DIST_WHOLE: nothing of this build is used, as `make distcheck` does.
set -eu
. tests/cases
build=$(mkdir -p "${BUILD:-build}" && cd "${BUILD:-build}" && pwd)
: "${CC:=cc}" "${MAKE:=make}" "${PKG_CONFIG:=pkg-config}"
version=$(sed -n 's/^.define AD_VERSION_[MP][AI][JNT][OC]*[RH] *//p' autodiff/autodiff.h | paste -s -d .)
release=autodiff-$version
folder=$build/dist_test
rm -rf "$folder"
mkdir -p "$folder"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

# The files of the sources as they are now, new ones too.
sources() {
    if [ -e .git ]; then git -c core.quotePath=off ls-files --cached --others --exclude-standard
    else sed -n 's/^file //p' MANIFEST
    fi
}

# checkout FOLDER: a git checkout with one commit.
checkout() {
    rm -rf "$1"
    mkdir -p "$1"
    sources | while read -r file; do [ ! -f "$file" ] || echo "$file"; done | tar -cf - -T - | tar -xf - -C "$1"
    (cd "$1" && git init -q . && git add -A && GIT_COMMITTER_DATE=2026-01-02T03:04:05Z git -c user.name=tests \
        -c user.email=tests@localhost commit -q -m "The sources as they are")
}
dist() { # FOLDER [VARIABLE=VALUE...]: make dist there
    (cd "$1" && shift && env -u SOURCE_DATE_EPOCH MAKEFLAGS= "$@" "$MAKE" -s dist BUILD=build XZ="${DIST_WHOLE:-}")
}
same_archives() { # FOLDER
    for archive in $(cd "$folder/tree/build/dist" && ls); do
        cmp "$folder/tree/build/dist/$archive" "$1/build/dist/$archive" || return 1
    done
}

archives() {
    checkout "$folder/tree" && dist "$folder/tree" || return 1
    made=$folder/tree/build/dist
    (cd "$made" && sha256sum -c ./*.sha256) || return 1
    (cd "$folder/tree" && git ls-files && echo MANIFEST) | sed "s#^#$release/#" | sort >"$work/wanted"
    tar -tf "$made/$release.tar.gz" | grep -v '/$' | sort | diff "$work/wanted" - &&
        tar -xf "$made/$release.tar.gz" -C "$folder" && cmp "$folder/$release/LICENSE" LICENSE
}
# In another folder, at another time, by a user with other permissions and another language.
same_bits() {
    rm -rf "$folder/again"
    (umask 077 && checkout "$folder/again") && (umask 007 && dist "$folder/again" TZ=Asia/Tokyo LC_ALL=C.UTF-8) &&
        same_archives "$folder/again"
}
# From what was unpacked, without git, beside other files.
same_from_archive() {
    touch "$folder/$release/mine" && dist "$folder/$release" GIT_DIR=/nowhere && same_archives "$folder/$release" &&
        rm "$folder/$release/mine"
}
another_time() {
    dist "$folder/$release" SOURCE_DATE_EPOCH=1000000000 && ! same_archives "$folder/$release" &&
        tar -tvf "$folder/$release/build/dist/$release.tar.gz" --utc | grep -q '2001-09-09 01:46.*LICENSE'
}

refused() { # TEXT FOLDER
    rm -rf "$2/build"
    if dist "$2" >"$work/refused" 2>&1; then return 1; fi
    cat "$work/refused"
    grep -q "^make dist: .*$1" "$work/refused" && [ ! -e "$2/build/dist" ]
}
changed_refused() {
    echo >>"$folder/again/README.md" && refused 'README.md is not as in the last commit' "$folder/again" || return 1
    (cd "$folder/again" && git checkout -q README.md) && touch "$folder/again/ops/new.c" || return 1
    refused 'ops/new.c is not as in the last commit' "$folder/again" || return 1
    rm -rf "$folder/again/.git" && refused 'neither a git checkout nor an unpacked archive' "$folder/again"
}
missing_refused() {
    cp -R "$folder/$release" "$folder/broken" && rm "$folder/broken/nn/nn.h" &&
        refused 'there is no nn/nn.h' "$folder/broken"
}

# Builds what was unpacked. Objects of this build are newer than the sources, so only the libraries are made.
builds() {
    rm -rf "$folder/$release/build"
    mkdir -p "$folder/$release/build/obj"
    if [ -z "${DIST_WHOLE:-}" ]; then
        cp -Rp "$build/obj/autodiff" "$build/obj/ops" "$build/obj/nn" "$folder/$release/build/obj"
        cp -p "$build"/stamp_* "$folder/$release/build"
        mkdir "$folder/$release/build/onnx"
        [ ! -e "$build/onnx/onnx.pb-c.c" ] || cp -p "$build"/onnx/onnx.pb-c.* "$folder/$release/build/onnx"
    fi
    make_there install && [ -f "$folder/prefix/lib/libautodiff.so.$version" ] &&
        cmp LICENSE "$folder/prefix/share/doc/autodiff/LICENSE"
}
make_there() {
    (cd "$folder/$release" && "$MAKE" -s "$1" BUILD=build PREFIX="$folder/prefix" LIBDIR="$folder/prefix/lib" \
        DESTDIR= LDCONFIG=: MPI=none)
}
used() {
    # shellcheck disable=SC2046 # a list of flags
    $CC -std=c11 "$folder/$release/tests/packages/program.c" -o "$folder/program" \
        $(PKG_CONFIG_PATH=$folder/prefix/lib/pkgconfig $PKG_CONFIG --cflags --libs autodiff) &&
        LD_LIBRARY_PATH=$folder/prefix/lib "$folder/program" | grep -x 'f 2.57943  df/dx 5.07758  df/dy 0.5'
}
uninstalled() { make_there uninstall && [ -z "$(find "$folder/prefix" ! -type d)" ]; }

# autodiff.h has the version. The port for vcpkg must name it too.
one_version() { grep -qx "  \"version\": \"$version\"," mk/vcpkg/libautodiff/vcpkg.json; }

check "the port for vcpkg has this version" one_version
if ! command -v git >/dev/null; then
    skip "the archives" "git is not installed"
    done_testing
    exit
fi
check "archives with all files of git, and checksums" archives
check "the same bits in another folder" same_bits
check "the same bits from an unpacked archive" same_from_archive
check "the time of SOURCE_DATE_EPOCH" another_time
check "a checkout with changes is refused" changed_refused
check "an unpacked archive that lacks a file is refused" missing_refused
check "what was unpacked is built and installed" builds
check "a program of a user" used
check "what was unpacked is uninstalled" uninstalled
done_testing

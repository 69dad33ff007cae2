#!/bin/sh
# packages.sh: builds and runs a program of a user in each way that docs/install.md names: pkg-config, programs without
# shared libraries, CMake with each target, installations that were moved; and asks for what is not there. Prints TAP.
set -eu
. tests/stage
folder=$build/packages
rm -rf "$folder"
mkdir -p "$folder"
mpi=
for m in openmpi mpich; do if [ -z "$mpi" ] && command -v mpicc.$m >/dev/null; then mpi=$m; fi; done
MPI=${mpi:-none} stage "$folder/prefix"
version=$(pkg_config --modversion autodiff)
unset LD_LIBRARY_PATH # programs find the library by themselves, or are told
major=${version%%.*}
minor=${version%.*}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OPENBLAS_NUM_THREADS=1

prints_gradient() { [ "$("$1")" = "f 2.57943  df/dx 5.07758  df/dy 0.5" ]; }
needs() { readelf -d "$1" 2>/dev/null | grep 'NEEDED' | grep -q "$2"; }

# ---- pkg-config --------------------------------------------------------------------------------------------------

# by_pkg_config COMPILER PREFIX OPTION...: with the flags of these options of pkg-config.
by_pkg_config() {
    compiler=$1 at=$2
    shift 2
    # shellcheck disable=SC2046,SC2086 # lists of flags
    $compiler -std=c11 ${link:-} tests/packages/program.c -o "$folder/program" \
        $(PKG_CONFIG_PATH=$at/lib/pkgconfig $PKG_CONFIG "$@" autodiff)
}
shared_program() {
    by_pkg_config "$CC" "$1" --cflags --libs ${2:-} && needs "$folder/program" 'libautodiff\.so' &&
        LD_LIBRARY_PATH=$1/lib prints_gradient "$folder/program"
}
# A program that loads nothing.
fully_static_program() {
    link=-static by_pkg_config "$1" "$2" --static --cflags --libs ${3:-} &&
        ! needs "$folder/program" . && prints_gradient "$folder/program"
}
# The flags name what every object of the archive needs, not only what one program calls.
whole_archive() {
    link=-static by_pkg_config "$CC -Wl,--whole-archive $prefix/lib/libautodiff.a -Wl,--no-whole-archive" "$prefix" \
        --static --cflags --libs
}
# Why no program can be linked without shared libraries here: an archive is missing. gfortran's are not among the packages
# of `make deps`. Nothing if there are all, whether or not the flags name them.
missing_archive() {
    link=-static by_pkg_config "$CC" "$prefix" --static --cflags --libs >"$work/static" 2>&1 && return
    grep -m 1 -o 'cannot find.*' "$work/static" && return
    if grep -q '_gfortran' "$work/static" && [ "$($CC -print-file-name=libgfortran.a)" = libgfortran.a ]; then
        echo "there is no libgfortran.a"
    fi
}

# ---- docs/install.md -------------------------------------------------------------------------------------------------

# The blocks of the page as files: a Makefile, a CMakeLists.txt and scripts 1.sh, 2.sh .., with this installation as
# /opt/autodiff. Prints the number of scripts.
write_page() {
    rm -rf "$folder/page"
    mkdir -p "$folder/page"
    cp tests/packages/program.c "$folder/page/first.c"
    sed "s#/opt/autodiff#$prefix#g" docs/install.md | awk -v dir="$folder/page" '
        to != "" && /^```$/ { to = ""; next }
        to != ""            { print >to; next }
        /^```cmake$/        { to = dir "/CMakeLists.txt"; next }
        /^```make$/         { to = dir "/Makefile"; next }
        /^```sh$/           { to = dir "/" ++n ".sh"; print "set -e" >to; next }
        /^```/              { print "an unknown block: " $0; exit 1 }
        END                 { print n + 0 >(dir "/count") }'
}
# script N: each prints what the program prints.
script() {
    cat "$folder/page/$1.sh"
    rm -f "$folder/page/first"
    (cd "$folder/page" && export CC MAKEFLAGS= PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib" &&
        sh "$1.sh") >"$work/page" && tail -n 1 "$work/page" | grep -x 'f 2.57943  df/dx 5.07758  df/dy 0.5'
}
scripts() {
    check "docs/install.md has only blocks that are known" write_page
    for n in $(seq "$(cat "$folder/page/count")"); do
        title="docs/install.md, block $n: $(sed -n '2s/ .*//p' "$folder/page/$n.sh")"
        if grep -q '^cmake' "$folder/page/$n.sh" && ! command -v cmake >/dev/null; then
            skip "$title" "cmake is not installed"
        elif grep -q '^cc -static' "$folder/page/$n.sh" && [ -z "$fully" ]; then
            skip "$title" "$missing"
        else check "$title" script "$n"
        fi
    done
}

# ---- CMake -------------------------------------------------------------------------------------------------------

by_cmake() { # FOLDER PREFIX OPTION...
    to=$1 at=$2
    shift 2
    cmake -S tests/packages -B "$folder/$to" -DCMAKE_PREFIX_PATH="$at" -DCMAKE_C_COMPILER="$CC" \
        -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF "$@" && cmake --build "$folder/$to"
}
parts() { echo "-DPARTS=shared;static${mpi:+;mpi}"; }
cmake_programs() { # FOLDER PREFIX OPTION...
    by_cmake "$@" "$(parts)" || return 1
    needs "$folder/$1/shared" 'libautodiff\.so' && ! needs "$folder/$1/static" libautodiff &&
        prints_gradient "$folder/$1/shared" && prints_gradient "$folder/$1/static"
}
cmake_ranks() { # FOLDER
    needs "$folder/$1/mpi" libautodiff-mpi && ! needs "$folder/$1/mpi_static" libautodiff &&
        [ "$("$folder/$1/mpi")" = ok ] && [ "$("$folder/$1/mpi_static")" = ok ]
}
# As on a machine without gfortran, which only -static needs: CMake is told not to see it.
cmake_without_fortran() {
    hidden=$(dirname "$($CC -print-file-name=libgfortran.a)")
    by_cmake without_fortran "$prefix" -DPARTS=static -DCMAKE_IGNORE_PATH="$hidden" &&
        ! grep -r gfortran "$folder/without_fortran/CMakeFiles/static.dir/link.txt" &&
        prints_gradient "$folder/without_fortran/static"
}
cmake_static() { ! needs "$folder/$1/fully" . && prints_gradient "$folder/$1/fully"; }

# A project without languages that runs the CMake code of the standard input. Its output is in $work/found.
find_case() { # OPTION...
    cat >"$work/case.cmake"
    rm -rf "$work/find"
    status=0
    cmake -S tests/packages/find -B "$work/find" -DCASE="$work/case.cmake" "$@" >"$work/found" 2>&1 || status=$?
    cat "$work/found"
    return $status
}
# refused TEXT OPTION...: find_case fails, and says this, in whatever lines.
refused() {
    text=$1
    shift
    if find_case "$@"; then return 1; fi
    tr -s ' \n' ' ' <"$work/found" | grep -q "$text"
}

# versions VERSION REQUEST;FOUND...: whether the file for versions, of this version, is right about each request.
versions() {
    at=$work/versions/lib/cmake/autodiff-0
    mkdir -p "$at"
    echo >"$at/autodiff-config.cmake"
    sed "s/@VERSION@/$1/; s/@MAJOR@/${1%%.*}/; s/@MINOR@/$(echo "$1" | cut -d . -f 2)/; s/@POINTER@/8/" \
        mk/cmake/autodiff-config-version.cmake.in >"$at/autodiff-config-version.cmake"
    shift
    printf '"%s"\n' "$@" >"$work/requests"
    {
        echo 'foreach(asked' && cat "$work/requests" && cat <<'CASE'
)
    list(GET asked 0 request)
    list(GET asked 1 good)
    separate_arguments(request)
    unset(autodiff_DIR CACHE)
    find_package(autodiff ${request} QUIET CONFIG)
    if((good AND NOT autodiff_FOUND) OR (autodiff_FOUND AND NOT good))
        message(FATAL_ERROR "${request}: found ${autodiff_FOUND}, not ${good}")
    endif()
endforeach()
CASE
    } | find_case -DCMAKE_PREFIX_PATH="$work/versions"
}
both_rules() {
    versions 0.3.2 '0.3;1' '0.3.2;1' '0;1' '0.3.3;0' '0.4;0' '0.2;0' '0.2.9;0' '1;0' '1.0;0' '0.3.2 EXACT;1' \
        '0.3 EXACT;0' '0.2...0.4;1' '0.3...<0.4;1' '0.2...<0.3;0' '0.2...0.3.2;1' '0.2...<0.3.2;0' '0.4...0.5;0' \
        '0.2.1...1.0;1' || return 1
    versions 2.3.4 '2;1' '2.0;1' '2.3.4;1' '2.3.5;0' '2.4;0' '1.9;0' '3;0' '1.0...2.5;1' '2.3.4 EXACT;1' '2.3 EXACT;0'
}

too_new() {
    echo 'find_package(autodiff 99.0 REQUIRED)' |
        refused "compatible with requested version \"99.0\".*autodiff-config.cmake, version: $version" \
            -DCMAKE_PREFIX_PATH="$prefix"
}
wrong_size() {
    printf '%s\n' 'set(CMAKE_SIZEOF_VOID_P 3)' 'find_package(autodiff REQUIRED)' |
        refused "version: $version (pointers of [248] bytes)" -DCMAKE_PREFIX_PATH="$prefix"
}
unknown_component() {
    echo 'find_package(autodiff REQUIRED COMPONENTS shared gpu)' |
        refused 'component gpu: autodiff has no such component; it has shared, static and mpi' \
            -DCMAKE_PREFIX_PATH="$prefix"
}
# Optional components that are not there do no harm.
optional_component() {
    find_case -DCMAKE_PREFIX_PATH="$prefix" <<'CASE'
find_package(autodiff REQUIRED COMPONENTS static OPTIONAL_COMPONENTS gpu)
if(NOT TARGET autodiff::static OR autodiff_gpu_FOUND OR NOT autodiff_static_FOUND)
    message(FATAL_ERROR "static or gpu is wrong")
endif()
find_package(autodiff REQUIRED)
CASE
}
no_language() {
    echo 'find_package(autodiff REQUIRED COMPONENTS mpi)' |
        refused 'component mpi: .* finds no MPI for the language C' -DCMAKE_PREFIX_PATH="$prefix"
}

# What is not installed: a copy without some files.
without() { # FOLDER FILE...
    rm -rf "$folder/without"
    cp -R "$prefix" "$folder/without"
    for file in "$@"; do (cd "$folder/without" && rm -r $file) || return 1; done
}
part_missing() {
    without 'lib/cmake/autodiff-*/autodiff-mpi.cmake' || return 1
    echo 'find_package(autodiff REQUIRED COMPONENTS mpi)' |
        refused 'component mpi: libautodiff-mpi is not installed' -DCMAKE_PREFIX_PATH="$folder/without" || return 1
    without 'lib/libautodiff.so*' || return 1
    echo 'find_package(autodiff REQUIRED COMPONENTS shared)' |
        refused 'component shared: only the archive is installed' -DCMAKE_PREFIX_PATH="$folder/without" || return 1
    find_case -DCMAKE_PREFIX_PATH="$folder/without" <<'CASE' || return 1
find_package(autodiff REQUIRED)
get_target_property(kind autodiff::autodiff TYPE)
get_target_property(libs autodiff::autodiff INTERFACE_LINK_LIBRARIES)
if(NOT kind STREQUAL STATIC_LIBRARY OR NOT libs MATCHES "-lm")
    message(FATAL_ERROR "autodiff::autodiff is ${kind} with ${libs}")
endif()
CASE
    without lib/libautodiff.a || return 1
    echo 'find_package(autodiff REQUIRED COMPONENTS static)' |
        refused 'component static: there is no .*/lib/libautodiff.a' -DCMAKE_PREFIX_PATH="$folder/without" || return 1
    without lib/libautodiff.a 'lib/libautodiff.so*' || return 1
    echo 'find_package(autodiff REQUIRED)' |
        refused 'there is no libautodiff in ' -DCMAKE_PREFIX_PATH="$folder/without" || return 1
    without include || return 1
    echo 'find_package(autodiff REQUIRED)' | refused 'there is no .*/include/autodiff-[0-9]*/autodiff/autodiff.h.' \
        -DCMAKE_PREFIX_PATH="$folder/without"
}

# Folders of libraries: as Debian has them, and outside the prefix. Also by a path with a symbolic link, from where the
# steps upwards would lead elsewhere.
other_folders() {
    for lib in usr/lib/x86_64-linux-gnu data/lib; do
        top=$folder/other
        rm -rf "$top"
        "$MAKE" -s install PREFIX="$top/usr" LIBDIR="$top/$lib" DESTDIR= LDCONFIG=: MPI=none || return 1
        mv "$top" "$top.moved"
        mkdir "$top"
        mv "$top.moved" "$top/moved"
        ln -s "moved/$lib" "$top/link"
        for at in "$top/moved/$lib" "$top/link"; do
            find_case -Dautodiff_DIR="$at/cmake/autodiff-$major" <<'CASE' || return 1
find_package(autodiff REQUIRED COMPONENTS shared static)
foreach(target autodiff::autodiff autodiff::static)
    get_target_property(file ${target} IMPORTED_LOCATION)
    get_target_property(headers ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT EXISTS ${file} OR NOT EXISTS ${headers}/nn/nn.h)
        message(FATAL_ERROR "${target}: ${file} ${headers}")
    endif()
endforeach()
CASE
        done
        flags=$(PKG_CONFIG_PATH=$top/moved/$lib/pkgconfig $PKG_CONFIG --define-variable=prefix="$top/moved/usr" \
            --cflags autodiff)
        case $flags in "-I$top/moved/usr/include/autodiff-"*) ;; *) echo "$flags" && return 1 ;; esac
        rm -rf "$top"
    done
}

# A C++ library has the same name, and its files too.
other_library() {
    mkdir -p "$folder/cxx/lib/cmake/autodiff"
    cat >"$folder/cxx/lib/cmake/autodiff/autodiffConfig.cmake" <<'CASE'
add_library(autodiff::autodiff INTERFACE IMPORTED)
set(is_other TRUE)
CASE
    cat >"$folder/cxx/lib/cmake/autodiff/autodiffConfigVersion.cmake" <<'CASE'
set(PACKAGE_VERSION 11.1.2)
if(PACKAGE_FIND_VERSION_MAJOR EQUAL 11)
    set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
CASE
    # Both in one prefix: the version chooses, and so does autodiff_DIR.
    cp -R "$prefix/." "$folder/cxx"
    [ "$(find "$folder/cxx/lib/cmake" -type f | wc -l)" -ge 4 ] || return 1
    echo "find_package(autodiff $minor REQUIRED)" | find_case -DCMAKE_PREFIX_PATH="$folder/cxx" || return 1
    printf '%s\n' 'find_package(autodiff 11.1 REQUIRED)' 'if(NOT is_other)' 'message(FATAL_ERROR ours)' 'endif()' |
        find_case -DCMAKE_PREFIX_PATH="$folder/cxx" || return 1
    printf '%s\n' 'find_package(autodiff REQUIRED)' 'if(is_other)' 'message(FATAL_ERROR theirs)' 'endif()' |
        find_case -Dautodiff_DIR="$folder/cxx/lib/cmake/autodiff-$major" || return 1
    # Each in a folder of one project.
    mkdir -p "$work/two/ours" "$work/two/theirs"
    echo "find_package(autodiff $minor REQUIRED)" >"$work/two/ours/CMakeLists.txt"
    echo 'find_package(autodiff 11.1 REQUIRED)' >"$work/two/theirs/CMakeLists.txt"
    for part in theirs ours; do
        printf 'unset(autodiff_DIR CACHE)\nadd_subdirectory(%s %s)\n' "$work/two/$part" $part
    done | find_case -DCMAKE_PREFIX_PATH="$folder/cxx" || return 1
    # Only theirs, and ours after theirs.
    mv "$folder/cxx/lib/cmake/autodiff-$major" "$folder/cxx/ours"
    echo "find_package(autodiff $minor REQUIRED)" | refused 'compatible with requested version.*version: 11.1.2' \
        -DCMAKE_PREFIX_PATH="$folder/cxx" || return 1
    printf '%s\n' 'find_package(autodiff 11.1 REQUIRED)' 'unset(autodiff_DIR CACHE)' \
        "find_package(autodiff $minor REQUIRED PATHS $prefix NO_DEFAULT_PATH)" |
        refused 'autodiff::autodiff exists and belongs to another library' -DCMAKE_PREFIX_PATH="$folder/cxx"
}

# The headers of an MPI that the library was not built with.
other_mpi() {
    if by_cmake other_mpi "$prefix" -DPARTS=mpi -DMPI_C_COMPILER=mpicc.mpich >"$work/found" 2>&1; then return 1; fi
    tr -s ' \n' ' ' <"$work/found" | grep -q \
        'mpi.h is not of the MPI that libautodiff-mpi was built with; set MPI_C_COMPILER to mpicc.openmpi'
}

check "pkg-config: the shared library" shared_program "$prefix"
missing=$(missing_archive)
if [ -z "$missing" ]; then
    check "pkg-config: a program without shared libraries" fully_static_program "$CC" "$prefix"
    check "pkg-config: what all of the archive needs" whole_archive
    if command -v clang >/dev/null; then
        check "pkg-config: a program without shared libraries, by clang" fully_static_program clang "$prefix"
    fi
    fully=-DFULLY=1
else
    skip "programs without shared libraries" "$missing"
    fully=
fi

scripts

if command -v cmake >/dev/null; then
    check "CMake: the shared library and the archive" cmake_programs cmake "$prefix" $fully
    [ -z "$fully" ] || check "CMake: a program without shared libraries" cmake_static cmake
    check "CMake: the archive where gfortran is not installed" cmake_without_fortran
    [ -z "$mpi" ] || check "CMake: libautodiff-mpi" cmake_ranks cmake
    check "CMake: which versions are compatible" both_rules
    check "CMake: a version that is too new" too_new
    check "CMake: pointers of another size" wrong_size
    check "CMake: an unknown component" unknown_component
    check "CMake: optional components" optional_component
    check "CMake: what is not installed" part_missing
    check "CMake: other folders of libraries" other_folders
    check "CMake: a C++ library of the same name" other_library
    [ -z "$mpi" ] || check "CMake: MPI in a project without C" no_language
    if [ "$mpi" = openmpi ] && command -v mpicc.mpich >/dev/null; then
        check "CMake: another MPI" other_mpi
    fi
else
    skip "CMake" "cmake is not installed"
fi

# Nothing is left at the place of the installation.
mv "$prefix" "$folder/moved"
check "moved: pkg-config --define-prefix" shared_program "$folder/moved" --define-prefix
if [ -n "$fully" ]; then
    check "moved: a program without shared libraries" fully_static_program "$CC" "$folder/moved" --define-prefix
fi
if command -v cmake >/dev/null; then
    check "moved: CMake, the shared library and the archive" cmake_programs cmake_moved "$folder/moved" $fully
    [ -z "$fully" ] || check "moved: CMake, a program without shared libraries" cmake_static cmake_moved
    [ -z "$mpi" ] || check "moved: CMake, libautodiff-mpi" cmake_ranks cmake_moved
fi
done_testing

#!/bin/sh
# debian.sh: checks that mk/debian/ fits the sources: versions, names of packages, symbols, what is installed, what is
# built with. Prints TAP. `make deb-test` builds the packages and tests them in a fresh Debian system, which takes longer.
set -u
. tests/stage
number() { sed -n "s/^.define AD_VERSION_$1 *//p" autodiff/autodiff.h; }
minor=$(number MAJOR).$(number MINOR)
stated() { sed -n "s/^$1: //p" mk/debian/control; }

same_version() {
    head -n 1 mk/debian/changelog
    [ "$(sed -n '1s/^autodiff (\(.*\)-[^-]*) .*/\1/p' mk/debian/changelog)" = "$minor.$(number PATCH)" ]
}

# Policy: the name of a package changes when the soname of its library does.
names_have_soname() {
    for library in $libraries; do
        soname=$(readelf -d "$library" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
        package=${soname%%.so*}${soname#*.so.}
        echo "$soname is of package $package"
        stated Package | grep -qx "$package" && [ -e "mk/debian/$package.install" ] || return 1
    done
}

# symbols_fit FILE LIBRARY: no symbol is new or gone since the file was written.
symbols_fit() {
    package=$(basename "$1" .symbols)
    mkdir -p "$work/symbols/DEBIAN"
    (cd "$work/symbols" && mkdir -p debian && cp "$source/debian/control" debian/ &&
        dpkg-gensymbols -c4 -q -v"$minor.9" -p"$package" -I"$1" -e"$2" -P"$work/symbols" -O/dev/null)
}
all_symbols_fit() {
    for library in $libraries; do
        base=$(basename "$library" .so)
        symbols_fit "$(ls "$source/debian/$base"[0-9]*.symbols)" "$library" || return 1
    done
}

# What `make install` installs, but for the pages, and no package has, or several have.
not_in_one_package() {
    (cd "$work/dest" && find . ! -type d ! -path '*/share/doc/*') | sed 's#^\./##' | while read -r file; do
        n=0
        for list in mk/debian/*.install; do
            while read -r pattern place; do
                # shellcheck disable=SC2254 # a pattern
                case $file in $pattern | $pattern/*) n=$((n + 1)) ;; esac
            done <"$list"
        done
        [ "$n" = 1 ] || echo "$file is in $n packages"
    done
}

# The lists of `make deps` and of Build-Depends have the same packages, but for what Debian has in any case; OpenBLAS is
# taken by its alternative.
same_packages() {
    sed 's/#.*//; /^ *$/d; s/-pthread-dev/-dev/' mk/packages.txt | grep -vx build-essential | sort >"$work/listed"
    sed -n '/^Build-Depends:/,/^[A-Z]/s/^ \([a-z0-9-]*\).*,$/\1/p' mk/debian/control |
        grep -vx 'debhelper-compat\|mpi-default-dev' | sort >"$work/depends"
    diff "$work/listed" "$work/depends"
}

mpi=$(ls -d "$build"/mpi/openmpi/libautodiff-mpi.so "$build"/mpi/mpich/libautodiff-mpi.so 2>/dev/null | head -n 1)
libraries="$build/libautodiff.so $mpi"
check "the version of the changelog is that of the library" same_version
check "the packages of the list of \`make deps\` are the build dependencies" same_packages
check "packages have the names of their sonames" names_have_soname
if ! command -v dpkg-gensymbols >/dev/null; then skip "symbols" "there is no dpkg-gensymbols"
else
    source=$work/source/autodiff-$minor.$(number PATCH)
    check "the source package" sh mk/deb.sh source "$work/source"
    check "the libraries have the symbols of the source package" all_symbols_fit
fi
"$MAKE" -s install DESTDIR="$work/dest" PREFIX=/usr LIBDIR=/usr/lib/any LDCONFIG=: >"$work/installed" 2>&1
check "each installed file is in one package" prints_nothing not_in_one_package
done_testing

#!/bin/sh
# deb.sh: writes the Debian source package below a folder, and builds the binary packages; see `make deb`.
#
# usage: mk/deb.sh source FOLDER                 makes FOLDER/autodiff-VERSION, the sources with debian/, and beside it
#                                                their tarball
#        mk/deb.sh packages FOLDER [OPTION]...   does that, and calls dpkg-buildpackage with the options
set -eu
goal=$1
folder=$2
shift 2
number() { sed -n "s/^.define AD_VERSION_$1 *//p" autodiff/autodiff.h; }
minor=$(number MAJOR).$(number MINOR)
version=$minor.$(number PATCH)
case $minor in 0.*) so=$minor ;; *) so=${minor%.*} ;; esac # as docs/abi.md says
tree=$folder/autodiff-$version

# The files of the project as they are now.
files() {
    if [ -e .git ] && git ls-files >/dev/null 2>&1; then git ls-files; else find . -path ./build -prune -o \( -type f -o -type l \) -print; fi |
        while read -r file; do [ ! -e "$file" ] || echo "$file"; done | LC_ALL=C sort
}

# symbols LIBRARY: the names that it exports, read from standard input, in the form of dpkg-gensymbols. While MAJOR is 0 a
# new function changes the soname, so all came with this MINOR. Later this asks for more than is needed, never for less.
symbols() {
    printf '%s\n' "$1.so.$so $1$so #MINVER#" "* Build-Depends-Package: $1-dev"
    sed "s/.*/ &@Base $minor.0/"
}

write_source() {
    rm -rf "$tree"
    mkdir -p "$tree"
    files | tar -c -T - | tar -x -C "$tree"
    files | tar -c -T - --transform "s#^\(\./\)*#autodiff-$version/#" --mtime="@$epoch" --owner=0 --group=0 \
        --numeric-owner --mode=go=rX,u+w | gzip -n -9 >"$folder/autodiff_$version.orig.tar.gz"
    cp -R "$tree/mk/debian" "$tree/debian"
    grep -v '^#' docs/symbols.txt | symbols libautodiff >"$tree/debian/libautodiff$so.symbols"
    sed -n 's/^AD_API .*[ *]\(nn_mpi_[a-z0-9_]*\)(.*/\1/p' nn/mpi.h | LC_ALL=C sort | symbols libautodiff-mpi \
        >"$tree/debian/libautodiff-mpi$so.symbols"
}

epoch=$(dpkg-parsechangelog -l mk/debian/changelog -S Timestamp)
write_source
[ "$goal" = packages ] || exit 0
for tool in dpkg-buildpackage dh; do
    command -v $tool >/dev/null || { echo "make deb needs $tool: apt install dpkg-dev debhelper" >&2 && exit 1; }
done
cd "$tree"
dpkg-buildpackage --no-sign "$@"

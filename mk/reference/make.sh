#!/bin/sh
# make.sh: writes the reference of the public headers as Markdown, as man pages or as JSON for bindings, or lists functions
# without a comment.
#
# usage: mk/reference/make.sh pages FOLDER | manual FOLDER | json FILE | undescribed | names
set -eu
here=$(dirname "$0")

# The headers in the order in which they are read first; nn/nn.h only includes others.
headers() {
    first="autodiff/autodiff.h ops/ops.h ops/functional.h ops/compile.h ops/sparse.h autodiff/op.h autodiff/extend.h nn/module.h
        nn/layers.h nn/loss.h nn/optim.h nn/train.h nn/data.h"
    for header in $first autodiff/*.h ops/*.h nn/*.h; do
        [ "$header" = nn/nn.h ] || echo "$header"
    done | awk '!seen[$0]++'
}

# read_headers WRITER ARGUMENT...: the table of ops comes first, so that comments can point at it.
read_headers() {
    writer=$1
    shift
    # shellcheck disable=SC2046 # a list of files
    LC_ALL=C awk -f "$here/$writer.awk" -f "$here/headers.awk" "$@" ops/ops.def $(headers)
}

case $1 in
pages)
    mkdir -p "$2"
    rm -f "$2"/*.md
    read_headers pages to="$2"
    ;;
manual)
    mkdir -p "$2"
    rm -f "$2"/*.3
    # shellcheck disable=SC2012 # no blanks in these names
    newest=$(ls -t autodiff/*.h ops/*.h ops/*.def nn/*.h | head -n 1)
    date=$(LC_ALL=C date -u -d "@${SOURCE_DATE_EPOCH:-$(date -r "$newest" +%s)}" '+%B %-d, %Y')
    read_headers manual to="$2" date="$date" docs/ops.md
    ;;
json)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    read_headers comments >"$work/comments"
    # shellcheck disable=SC2046 # a list of files
    awk '/^#define (AD|NN)_[A-Z0-9_]+ -?[0-9]+( |$)/ { print $1, $2, $3, FILENAME }' $(headers) >"$work/defines"
    headers | grep -vx nn/mpi.h | sed 's/.*/#include "&"/' >"$work/all.c" # mpi.h is for a library of its own
    ${CC:-cc} -E -I. "$work/all.c" >"$work/all.i"
    version=$(awk '/^#define AD_VERSION_/ { v = v (v == "" ? "" : ".") $3 } END { print v }' autodiff/autodiff.h)
    LC_ALL=C awk -v version="$version" -f "$here/json.awk" "$work/comments" "$work/defines" "$work/all.i" >"$2"
    ;;
undescribed) read_headers pages check=1 ;;
names) read_headers pages list=1 ;;
*)
    sed -n 's/^# usage: /usage: /p' "$0" >&2
    exit 1
    ;;
esac

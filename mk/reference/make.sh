#!/bin/sh
# make.sh: writes the reference of the public headers as Markdown or as man pages, or lists functions without a comment.
#
# usage: mk/reference/make.sh pages FOLDER | manual FOLDER | undescribed | names
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
undescribed) read_headers pages check=1 ;;
names) read_headers pages list=1 ;;
*)
    sed -n 's/^# usage: /usage: /p' "$0" >&2
    exit 1
    ;;
esac

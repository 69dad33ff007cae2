#!/bin/sh
# gallery.sh: runs the lecture programs: each draws its picture into a folder, and a page shows the pictures with what
# the programs claim.
#
# usage: mk/gallery.sh FOLDER PAGE      BUILD: the build folder
set -eu
folder=$1
page=$2
lectures=${BUILD:-build}/demos/lectures
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for tool in gnuplot dot; do
    command -v $tool >/dev/null || { echo "make gallery needs $tool: apt install gnuplot-nox graphviz" >&2; exit 1; }
done

# "NUMBER NAME title" of each program, by number; the first comment has number and title.
programs() {
    sed -sn '1s/^\/\* \([a-z0-9_]*\)\.c: lecture \([0-9]*\): \(.*\)\. \*\/$/\2 \1 \3/p' demos/lectures/*.c |
        sort -k1n -k2
}

# The sentences of --help that say what is shown.
about() { "$lectures/$1" --help | sed -n '2,/^To see the claim fail/{/^To see the claim fail/!p}'; }

# section NUMBER NAME TITLE: one experiment.
section() {
    number=$1 name=$2 title=$(echo "$3" | cut -c1 | tr '[:lower:]' '[:upper:]')$(echo "$3" | cut -c2-)
    "$lectures/$name" --plot "$folder/$name.png" >"$work/out"
    printf '\n## %s. %s\n\n![%s](figures/lectures/%s.png)\n\n' "$number" "$title" "$title" "$name"
    about "$name"
    printf '\n'
    sed -n 's/^claim: \(.*\)$/- \1/p' "$work/out"
    printf '\n```sh\nbuild/demos/lectures/%s --plot %s.png\n```\n' "$name" "$name"
    printf '\nSource: [demos/lectures/%s.c](../demos/lectures/%s.c).\n' "$name" "$name"
}

mkdir -p "$folder"
{
    cat <<'END'
<!-- gallery.md: the pictures of the lecture programs, and what they claim. `make gallery` writes this page. -->
# Gallery of the lectures

Each program of `demos/lectures/` is one experiment of a lecture on neural networks and automatic differentiation. It
computes, states its claims with the figures that it measured, and draws a picture. The tests run all of them: their
claims hold, and fail with the options that `--help` names. The figures are from one run; on other processors their last
digits may differ.
END
    programs | while read -r number name title; do
        echo "$name" >&2
        section "$number" "$name" "$title"
    done
} >"$work/page"
cp "$work/page" "$page"

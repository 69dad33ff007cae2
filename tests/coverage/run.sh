#!/bin/sh
# run.sh: the share of lines and branches of the library that the tests in BUILD have run, by folder and by file.
# usage: BUILD=build/coverage sh tests/coverage/run.sh
#
# See lines.sh for what is counted. Every line and branch counts, also those after failed allocations and assertions'
# own. BUILD/lines has the counts of each line.
set -eu
build=${BUILD:-build/coverage}
sh tests/coverage/lines.sh "$build/obj" "$build/gcov" | sort -k 1,1 -k 2,2n >"$build/lines"

# report DEPTH: the figures of each path cut to so many parts.
report() {
    awk -F '\t' -v depth="$1" '
        {
            n = split($1, part, "/"); key = part[1]
            for (i = 2; i <= n && i <= depth; i++) key = key "/" part[i]
            lines[key]++; ran[key] += $3 > 0; branches[key] += $4; taken[key] += $5
        }
        END {
            for (key in lines)
                printf "%-36s %5d %6.1f %7d %6.1f\n", key, lines[key], 100 * ran[key] / lines[key], branches[key],
                    branches[key] ? 100 * taken[key] / branches[key] : 100
        }' "$build/lines"
}
head() { printf '%-36s %5s %6s %7s %6s\n' "$1" lines % branches %; }
head "folder" && report 2 | grep -v '\.[a-z]* ' | sort
echo && head "the 25 files with the fewest branches taken" && report 9 | sort -k 5,5n | sed -n '1,25p'
echo && head "the 15 files with the fewest lines run" && report 9 | sort -k 3,3n | sed -n '1,15p'
echo && head "layer" && report 1 | sort
awk -F '\t' '{ n++; ran += $3 > 0; branches += $4; taken += $5 }
    END { printf "all: %.2f %% of %d lines, %.2f %% of %d branches\n", 100 * ran / n, n, 100 * taken / branches, branches }' "$build/lines"

#!/bin/sh
# run.sh: training steps a second of the playground's net beside ConvNetJS and TensorFlow.js, in one browser. Fetches
# the two from npm into BUILD/web-bench.
#
# usage: bench/web/run.sh [ROUNDS]      after `make web`
set -eu
build=${BUILD:-build}
packages=$build/web-bench
[ -f "$build/web/autodiff.js" ] || { echo "run make web first" >&2; exit 1; }
# fetch NAME PACKAGE: unpacks a package of npm to $packages/NAME.
fetch() {
    [ ! -d "$packages/$1" ] || return 0
    mkdir -p "$packages/new"
    archive=$(cd "$packages/new" && npm pack --silent "$2" | tail -n 1)
    tar -xzf "$packages/new/$archive" -C "$packages/new"
    rm "$packages/new/$archive"
    mv "$packages/new/package" "$packages/$1" && rmdir "$packages/new"
}
mkdir -p "$packages"
fetch convnetjs convnetjs@0.3.0
fetch tfjs @tensorflow/tfjs@4.22.0
fetch tfjs-backend-wasm @tensorflow/tfjs-backend-wasm@4.22.0
exec node bench/web/compare.mjs "$build" "$packages" "$@"

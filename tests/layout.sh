#!/bin/sh
# layout.sh: checks which headers each file includes. The headers at the top of a layer are public, all others are
# private. Prints TAP.
set -u
. tests/cases

# private FOLDER: the other folders whose private headers the files of this folder may include.
private() {
    case $1 in
    autodiff/base) ;;
    autodiff/graph) echo autodiff/base ;;
    autodiff/*) echo autodiff/base autodiff/graph ;;
    ops/kernels/base | nn/kernels) echo autodiff/base ops/kernels/base ;;
    ops/kernels/*) echo autodiff/base ops/kernels/base ops/kernels/reduce ops/kernels/shape ops/kernels/linalg ;;
    ops/base) echo autodiff/base autodiff/graph autodiff/pass ops/kernels/base ;;
    ops/functional) echo autodiff/base autodiff/graph autodiff/pass ops/base ;;
    ops/compile) echo autodiff/base autodiff/graph autodiff/pass ops/kernels ;;
    ops/sparse) echo autodiff/base autodiff/graph autodiff/pass ops/base ops/compile ops/kernels ;;
    ops/*) echo autodiff/base autodiff/graph ops/base ops/kernels ;;
    nn/module | nn/data) echo nn/kernels ;;
    nn/layers) echo nn/module ;;
    nn/file) echo autodiff/base nn/module ;;
    nn/onnx) echo autodiff/base nn/module nn/file ;;
    nn/optim) echo nn/module nn/kernels ;;
    nn/train) echo nn/module nn/optim nn/data nn/file ;;
    esac
}

# public FOLDER: the public headers that the files of this folder may include.
public() {
    case $1 in
    autodiff/base) echo autodiff/autodiff.h autodiff/extend.h autodiff/thread.h ;;
    */kernels*) echo autodiff/autodiff.h ;;
    autodiff/*) echo autodiff/*.h ;;
    ops/*) echo autodiff/*.h ops/*.h ops/*.def ;;
    nn/*) echo autodiff/*.h ops/*.h nn/[!n]*.h ;; # not nn/nn.h, which is for programs
    esac
}

# The includes that the rules do not allow.
forbidden() {
    find autodiff/* ops/* nn/* -mindepth 1 -name '*.[chi]*' | sort | while read -r file; do
        own=${file%/*}
        sed -n 's/^#include "\(.*\)"/\1/p' "$file" | while read -r header; do
            for ok in "$own" $(private "$own") $(public "$own"); do
                case $header in "$ok" | "$ok"/*) continue 2 ;; esac
            done
            echo "$file includes $header"
        done
    done
}

check "every file includes only headers that its folder may include" prints_nothing forbidden
done_testing

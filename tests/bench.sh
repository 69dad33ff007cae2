#!/bin/sh
# bench.sh: checks that each benchmark case computes what it claims to. Two numbers of the case must be those of the
# same case in PyTorch (bench/peers/torch_peer.py), in the first run and in a second one. Prints TAP.
set -u
programs=${BUILD:-build}/bench
. tests/cases

# computes PROGRAM CASE A B: both runs of the case give A and B, to 1e-5.
computes() {
    printf 'check %s\ncheck %s\n' "$2" "$2" | "$programs/$1" --serve | tail -n 2 >"$work/found"
    echo "expected $3 $4, found"
    cat "$work/found"
    awk -v a="$3" -v b="$4" '
        function off(x, y) { d = x - y; return d * d > 1e-10 * y * y }
        off($1, a) || off($2, b) { bad = 1 }
        END { exit NR != 2 || bad }' "$work/found"
}

result() { check "$2 computes what PyTorch does" computes "$@"; }

result scalar scalar-chain 0.68465572687297094 210803.05985915635
result scalar rosenbrock 1426.6970045490268 1670685.8654702667
result scalar add-1x1 0.50000100000000003 3
result nets xor-rebuild 0.68030953407287598 0.16746757924556732
result nets xor-eval 0.68030953407287598 0.16746757924556732
result nets lecture-net 334.11386108398438 202.21192932128906
result nets mlp-128 2.3405261039733887 2.3165059089660645
result nets mlp-512-512 2.3099167346954346 2.2978341579437256
result arrays matmul-1024 59617944 162459437139.3775
result arrays tanh-20 102.13105010986328 160724.97826491066
result arrays softmax-ce 7.0621299743652344 0.0002439682348061634
result optim adam 24999.957297860328 0.50136733055114746
result attention gpt 4.2317500114440918 1.8572392463684082
result startup start-up 1 1
done_testing

#!/bin/sh
# bench.sh: what is measured does the work it is said to do: two numbers of each case as PyTorch gives them, and the
# same work a second time gives them again; prints TAP.
set -u
programs=${BUILD:-build}/bench
cases=0
failures=0

# check PROGRAM CASE A B: the numbers of bench/peers/torch_peer.py, to 1e-5.
check() {
    cases=$((cases + 1))
    found=$(printf 'check %s\ncheck %s\n' "$2" "$2" | "$programs/$1" --serve | tail -n 2)
    if printf '%s\n' "$found" | awk -v a="$3" -v b="$4" '
        function off(x, y) { d = x - y; return d * d > 1e-10 * y * y }
        off($1, a) || off($2, b) { bad = 1 }
        END { exit NR != 2 || bad }'; then echo "ok $cases - $2 does its work"
    else
        echo "not ok $cases - $2 does its work"
        printf '# expected %s %s, found\n%s\n' "$3" "$4" "$found"
        failures=$((failures + 1))
    fi
}

echo 1..13
check scalar scalar-chain 0.68465572687297094 210803.05985915635
check scalar rosenbrock 1426.6970045490268 1670685.8654702667
check scalar add-1x1 0.50000100000000003 3
check nets xor-rebuild 0.68030953407287598 0.16746757924556732
check nets xor-eval 0.68030953407287598 0.16746757924556732
check nets lecture-net 334.11386108398438 202.21192932128906
check nets mlp-128 2.3405261039733887 2.3165059089660645
check nets mlp-512-512 2.3099167346954346 2.2978341579437256
check arrays matmul-1024 59617944 162459437139.3775
check arrays tanh-20 102.13105010986328 160724.97826491066
check arrays softmax-ce 7.0621299743652344 0.0002439682348061634
check optim adam 24999.957297860328 0.50136733055114746
check startup start-up 1 1
[ "$failures" = 0 ]

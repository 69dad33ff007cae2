#!/bin/sh
# mpi.sh: trains by 1 to 4 processes under each MPI that is installed, and compares the losses; lets ranks fail, die and
# be interrupted. Prints TAP. MPIS: the MPIs, openmpi and mpich.
set -u
. tests/stage
build=${BUILD:-build}
threads=OPENBLAS_NUM_THREADS=1
may_hang=

# As root, with more ranks than processors, which OpenMPI must be told; over shared memory or loopback TCP.
ompi="env $threads OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
    OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none"
launcher() { # MPI
    case $1 in
    openmpi) echo "$ompi mpirun.openmpi" ;;
    mpich) echo "env $threads mpiexec.mpich" ;;
    default) echo "$ompi mpirun" ;;
    esac
}

# run N PROGRAM ARGUMENT...: under the MPI of $mpi. 124 is the status after a time limit: something hung.
run() {
    n=$1 program=$2
    shift 2
    # shellcheck disable=SC2046,SC2086 # a command with its arguments
    timeout "${limit:-60}" $(launcher "$mpi") ${options:-} -n "$n" "$build/mpi/$mpi/tests/mpi/$program" "$@"
}

good_collectives() {
    run "$1" collectives >"$work/out" 2>"$work/err"
    [ "$(grep -c '^ok$' "$work/out")" -ge 1 ] && ! grep '^rank' "$work/out"
}

# losses FILE: the losses of steps, and of the end; hashes FILE: of the parameters of each rank.
losses() { awk '/^step/ { print $4 } /^end/ { print $7 }' "$1"; }
hashes() { grep '^hash' "$1" | sort -u; }

# trained N FILE ARGUMENT...: trains, and all N ranks have the same parameters.
trained() {
    ranks=$1 out=$2
    shift 2
    { run "$ranks" train "$@" >"$out" 2>&1 || [ -n "$may_hang" ]; } && [ "$(grep -c '^hash' "$out")" = "$ranks" ] &&
        [ "$(hashes "$out" | wc -l)" = 1 ] && return
    cat "$out"
    return 1
}

# agree TOLERANCE RANKS ARGUMENT...: the losses of these numbers of ranks are those of the first one.
agree() {
    tolerance=$1 numbers=$2 first=
    shift 2
    for n in $numbers; do
        trained "$n" "$work/ranks$n" "$@" || return 1
        losses "$work/ranks$n" >"$work/losses$n"
        first=${first:-$n}
        paste "$work/losses$first" "$work/losses$n" | awk -v tolerance="$tolerance" -v n="$n" '
            NF != 2 { print n " ranks have another number of steps"; exit bad = 1 }
            { d = $1 - $2; if (d < 0) d = -d }
            !(d <= tolerance * ($1 > 1 ? $1 : 1)) { print n " ranks: line " NR ": " $0; exit bad = 1 }
            END { exit bad || NR < 5 }' || return 1
    done
}
same_bits() {
    agree 0 "$@" || return 1
    for n in $1; do hashes "$work/ranks$n"; done | sort -u >"$work/hashes"
    cat "$work/hashes"
    [ "$(wc -l <"$work/hashes")" = 1 ]
}
is_plain() {
    trained 1 "$work/one" && run 1 train plain=1 >"$work/plain" && cmp "$work/one" "$work/plain"
}

# ends SENTENCE N ARGUMENT...: every rank ends with this sentence.
ends() {
    sentence=$1 n=$2
    shift 2
    run "$n" train timeout=30 quiet=1 "$@" >"$work/out" 2>&1
    [ $? != 124 ] && [ "$(grep -c "^rank.*$sentence" "$work/out")" = "$n" ] && ! grep -q '^hash' "$work/out" && return
    cat "$work/out"
    return 1
}

# stops WORD N ARGUMENT...: every rank ends early, with the same parameters.
stops() {
    word=$1 n=$2
    shift 2
    trained "$n" "$work/out" quiet=1 "$@" && grep -q "^end steps [345] .* $word" "$work/out"
}

# Without the launcher's help, which ends all ranks when one dies: they notice it themselves, by the time limit. A shell
# hides the death from the launcher for a while.
survivors() {
    rm -f "$work/checkpoint"
    # shellcheck disable=SC2016,SC2046 # the shell of each rank expands "$@"
    timeout 60 $(launcher "$mpi") -n 3 sh -c '"$@"; sleep 8' sh "$build/mpi/$mpi/tests/mpi/train" \
        kill=1 at=4 timeout=1 quiet=1 checkpoint="$work/checkpoint" out="$work/rank" >"$work/out" 2>&1
    cat "$work/out" "$work/rank.0" "$work/rank.2"
    wanted='^rank [02]: .*mpi: rank.* 1.* did not answer for 1 s'
    [ "$(cat "$work/rank.0" "$work/rank.2" | grep -c "$wanted")" = 2 ]
}

# A rank that is killed; two ranks go on from the checkpoint of three, and end where an undisturbed training ends.
resumes() {
    rm -f "$work/checkpoint" "$work/log"
    limit=30 run 3 train kill=1 at=9 timeout=3 quiet=1 checkpoint="$work/checkpoint" log="$work/log" ordered=6 \
        >"$work/out" 2>&1
    [ $? != 0 ] || return 1
    trained 2 "$work/second" checkpoint="$work/checkpoint" log="$work/log" ordered=6 || return 1
    trained 1 "$work/whole" ordered=6 || return 1
    first=$(awk '/^step/ { print $2; exit }' "$work/second")
    echo "resumed at step $first"
    [ "$first" -gt 8 ] && [ "$(hashes "$work/second")" = "$(hashes "$work/whole")" ] &&
        [ "$(tail -n 1 "$work/second" | cut -c 1-4)" = hash ] && [ "$(wc -l <"$work/log")" = 3 ]
}

# Some runs of MPICH 4.0.2 with UCX over TCP hang in MPI_Finalize, when all ranks have printed what they found.
over_tcp() {
    case $mpi in
    mpich) options="-genv MPIR_CVAR_NOLOCAL 1 -genv UCX_TLS tcp,self -genv UCX_NET_DEVICES lo -genv FI_PROVIDER tcp" ;;
    *) options="--mca btl tcp,self --mca btl_tcp_if_include lo" ;;
    esac
    [ "$mpi" != mpich ] || may_hang=yes limit=10
    agree 1e-12 "1 2 3" && same_bits "1 3" ordered=5
    status=$?
    options= may_hang= limit=60
    return $status
}

# A program of a user, by pkg-config and MPI's compiler; libautodiff itself does not need MPI.
installed() {
    MPI=$mpi stage "$work/prefix"
    # shellcheck disable=SC2046 # lists of flags
    $(pkg_config --variable=mpicc autodiff-mpi) -std=c11 tests/mpi/collectives.c -D_POSIX_C_SOURCE=200809L \
        $(pkg_config --cflags --libs autodiff-mpi) -o "$work/user" &&
        readelf -d "$work/user" | grep -q 'NEEDED.*libautodiff-mpi\.so\.' &&
        ! readelf -d "$prefix/lib/libautodiff.so" | grep -q 'NEEDED.*mpi' || return 1
    # shellcheck disable=SC2046
    timeout 60 $(launcher "$mpi") -n 1 "$work/user" | grep -x ok
}

# The demo, on data of its own.
demo() {
    # shellcheck disable=SC2046
    timeout 60 $(launcher "${MPIS%% *}") -n 2 "$build/demos/mnist_mpi" --epochs 2 >"$work/out" 2>"$work/err" &&
        [ "$(grep -c '^epoch' "$work/out")" = 2 ] && grep -q '^2 ranks: 407080 bytes sent a step' "$work/out" &&
        awk '/^epoch 2/ { exit !($7 > 50) }' "$work/out"
}

for mpi in $MPIS; do
    check "$mpi: a program of a user" installed
    check "$mpi: sums, broadcasts, L-BFGS and Hessian-vector products, errors and lateness" good_collectives 3
    check "$mpi: one rank trains as nn_fit does, to the bit" is_plain
    check "$mpi: losses of 1 to 4 ranks agree to 1e-12" agree 1e-12 "1 2 3 4" rows=53
    check "$mpi: ordered, to the bit" same_bits "1 2 3 4" rows=53 ordered=5
    check "$mpi: over loopback TCP" over_tcp
    check "$mpi: a rank whose graph fails" ends "matmul: .* inner sizes 8 and 5 differ" 3 fail_forward=1 at=3 bucket=64
    check "$mpi: one that fails while others add up statistics" ends "matmul: .* inner sizes" 3 fail_forward=2 at=2 net=bn batch_norm=1
    check "$mpi: SIGINT to one rank" stops interrupted 3 interrupt=2 at=3
    check "$mpi: a rank that dies, and the ranks that are left" survivors
    check "$mpi: a rank that dies, and a resumed training of fewer ranks" resumes
done

# What does not depend on the MPI.
for mpi in ${MPIS##* }; do
    check "the demo of digits" demo
    check "sums and broadcasts of one rank" good_collectives 1
    check "batch_norm over all ranks" agree 1e-12 "1 3" net=bn batch_norm=1
    check "batch_norm of each block" same_bits "1 3" net=bn ordered=4 rows=48 batch=16
    check "dropout by blocks" same_bits "1 3" net=dropout ordered=4
    check "streams with different numbers of rows, and of minibatches" agree 1e-12 "1 3 4" source=stream
    check "streams in groups of minibatches" agree 1e-12 "1 3" source=stream accumulate=2
    check "weights" agree 1e-12 "1 3" weights=1
    check "groups of minibatches with weights and batch_norm" agree 1e-12 "1 3" accumulate=3 weights=1 batch_norm=1 net=bn
    check "mixup" agree 1e-12 "1 3" mix=1
    check "L-BFGS" agree 1e-12 "1 3" optim=lbfgs rows=48 batch=24 epochs=3
    check "compiled steps" agree 1e-12 "1 3" compile=1
    check "a network of two inputs" agree 1e-12 "1 3" net=masked
    check "a network of two inputs, compiled" agree 1e-12 "1 3" net=masked compile=1
    check "compiled blocks in f32" same_bits "1 3" compile=1 ordered=4 f32=1
    check "buckets of one leaf, and after backward, with prefetch" agree 1e-12 "1 3" bucket=64 no_overlap=1 prefetch=2 optim=adam
    check "another network" ends 'has "parameter 0.weight f64 \[9,6\]" where rank 0 has "parameter 0.weight f64 \[8,6\]"' 2 widths=1
    check "another rate" ends 'has "group0.lr 0.07' 2 lr_of=1
    check "other data" ends 'has "elements of x' 2 bad_data=1
    check "no network" ends 'the network is NULL' 2 no_net=0
    check "a callback that fails" ends 'the callback of step 3 fails' 3 fail=2 at=3
    check "a callback that stops" stops stopped 3 stops=1 at=3
    check "options that exclude each other" ends 'ordered. go without accumulate' 2 ordered=2 accumulate=2
    check "batch_norm over all ranks, in blocks" ends 'batch_norm over all ranks goes without blocks' 2 ordered=2 batch_norm=1
done
done_testing

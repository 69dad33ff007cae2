#!/bin/sh
# demos.sh: checks every demo: what it prints, its --help, how it refuses bad arguments, and that two runs print the
# same. Prints TAP. AD_TEST_QUICK=1, for sanitizers: each demo is run, but not again with other seeds and options.
set -u
demos=${BUILD:-build}/demos
. tests/cases
again() { [ -n "${AD_TEST_QUICK:-}" ] || check "$@"; }

# ---- checks of every demo ----------------------------------------------------------------------------

explains() {
    "$demos/$1" --help >"$work/out" 2>"$work/err" || return 1
    cat "$work/out" "$work/err"
    [ ! -s "$work/err" ] && grep -q "^usage: $1 " "$work/out" && grep -q -- '--seed N .*(default 0)' "$work/out"
}

# refuses SENTENCE DEMO ARGUMENT...: the status is 2, stderr has one line with the sentence, stdout is empty.
refuses() {
    sentence=$1 demo=$2
    shift 2
    "$demos/$demo" "$@" >"$work/out" 2>"$work/err"
    status=$?
    echo "status $status"
    cat "$work/out" "$work/err"
    [ $status = 2 ] && [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" = 1 ] &&
        grep -q "^$demo: .*$sentence" "$work/err"
}

# same DEMO ARGUMENT...: two runs print the same. seed_matters DEMO ARGUMENT...: runs with two seeds print different
# things.
same() {
    demo=$1
    shift
    "$demos/$demo" "$@" >"$work/one" 2>/dev/null && "$demos/$demo" "$@" >"$work/two" 2>/dev/null &&
        [ -s "$work/one" ] && cmp "$work/one" "$work/two"
}
seed_matters() {
    demo=$1
    shift
    "$demos/$demo" --seed 1 "$@" >"$work/one" 2>/dev/null && "$demos/$demo" --seed 2 "$@" >"$work/two" 2>/dev/null &&
        ! cmp -s "$work/one" "$work/two"
}

for source in demos/*.c; do
    demo=$(basename "$source" .c)
    case $demo in *_mpi) [ -x "$demos/$demo" ] || continue ;; esac # where there is no MPI
    check "$demo prints its help" explains "$demo"
    check "$demo refuses an unknown option" refuses 'no such option' "$demo" --bogus
    check "$demo refuses short options" refuses '-x: no such option' "$demo" -xy
    check "$demo refuses a value for --help" refuses 'help=1: no such option' "$demo" --help=1
    check "$demo refuses an extra argument" refuses 'word: unexpected argument' "$demo" word
    check "$demo refuses an option without its value" refuses 'seed: needs a value' "$demo" --seed
    check "$demo refuses a word for a number" refuses 'seed: must be an integer from 0 to ' "$demo" --seed ten
    check "$demo refuses a number followed by a letter" refuses 'seed: must be an integer' "$demo" --seed 1x
    check "$demo refuses an empty number" refuses 'seed: must be an integer' "$demo" --seed ''
    check "$demo refuses a negative seed" refuses 'seed: must be an integer' "$demo" --seed -1
    check "$demo refuses a number out of range" refuses 'seed: must be an integer' "$demo" --seed 99999999999999999999
done

# ---- the output of each demo -----------------------------------------------------------------------------

shows_first() { [ "$("$demos/first")" = 'f 2.57943  df/dx 5.07758  df/dy 0.5' ]; }

shows_gradcheck() {
    "$demos/gradcheck" >"$work/out" || return 1
    cat "$work/out"
    grep -q '27 derivatives agree with finite differences' "$work/out" &&
        grep -q 'cube: operand 0 element .*: backward and finite differences: .* differ by' "$work/out"
}

# The derivatives of the op are right, four currents solve their equation, and their derivatives have the closed form
# di/dv = 1 / (r + VT / (i + IS)) and d2i/dv2 = VT / (i + IS)^2 (di/dv)^3.
shows_custom_op() {
    "$demos/custom_op" --ohms "$1" >"$work/out" || return 1
    cat "$work/out"
    awk -v r="$1" 'function off(a, b) { return a < b * 0.9999 || a > b * 1.0001 }
         /^lambertw: [1-9][0-9]* derivatives agree/ { checked = 1 }
         /^[0-9]/ { rows++; i = $2 + 1e-6; slope = 1 / (r + 0.05 / i)
                    if ($5 > 1e-14 || off($3, slope) || off($4, 0.05 / (i * i) * slope ^ 3)) bad = 1 }
         END { exit !(checked && rows == 4 && !bad) }' "$work/out"
}

# Error bars have the right size: the errors of the 100 parameters of 25 fits, each divided by its error bar, have a
# root mean square near 1.
shows_fit() {
    for seed in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
        "$demos/fit" --seed $seed "$@" || return 1
    done >"$work/out"
    tail -6 "$work/out"
    awk '/^(amplitude|damping|frequency|phase) / { n++; q += $5 ^ 2; if ($4 > 0.02 || $4 <= 0) bad = 1 }
         END { print n, sqrt(q / n); exit !(n == 100 && q / n > 0.6 && q / n < 1.5 && !bad) }' "$work/out"
}

# The residual falls below 1/30 of its value after 100 iterations, the largest error below 0.002.
shows_pinn() {
    "$demos/pinn" --seed "$1" >"$work/out" || return 1
    cat "$work/out"
    awk '$1 == "iteration" && NF == 7 { rows++; if (rows == 1) first = $4; last = $4; error = $7 }
         END { exit !(rows == 10 && last < first / 30 && error > 0 && error < 0.002) }' "$work/out"
}

# The loss is below 0.001 and the third column of the table is 0 1 1 0.
shows_xor() {
    "$demos/xor" --seed "$1" >"$work/out" || return 1
    cat "$work/out"
    awk '$1 == "loss" && $2 < 0.001 { low = 1 }  NF == 4 && $1 ~ /^[01]$/ { table = table $3 }
         END { exit !(low && table == "0110") }' "$work/out"
}
swings_up() {
    "$demos/control" --time 5 >"$work/out" || return 1
    cat "$work/out"
    awk '/^largest angle in the last second: / { up = $7 < 0.1 }  END { exit !(up && NR == 17) }' "$work/out"
}
learns_digits() {
    "$demos/tiny" --epochs 5 >"$work/out" || return 1
    cat "$work/out"
    awk '/^1810 parameters, test accuracy / { good = $5 > 90 }  END { exit !good }' "$work/out"
}
gives_up_on_xor() {
    "$demos/xor" --steps 3 >"$work/out" && return 1
    grep -q 'after 3 steps' "$work/out"
}

# The plot has 28 lines of 60 characters with the paths of all three methods. L-BFGS and Newton-CG need under 100 steps.
shows_rosenbrock() {
    "$demos/rosenbrock" "$@" >"$work/out" || return 1
    cat "$work/out"
    awk 'length($0) == 60 && /^[ .:S*+o#-]*$/ { rows++; if (/\+/ && /#/) ways++ }
         $NF < 1e-8 && $(NF - 1) < 1e-14 { if (/^gradient descent / && $(NF - 2) > 1000) slow++
                                           if (/^(L-BFGS|Newton-CG) / && $(NF - 2) < 100) fast++ }
         END { exit !(rows == 28 && ways > 1 && slow == 1 && fast == 2) }' "$work/out"
}
plots_rosenbrock() {
    "$demos/rosenbrock" --plot "$work/it's.svg" >/dev/null && grep -q '</svg>' "$work/it's.svg" &&
        grep -q 'Newton-CG' "$work/it's.svg"
}

# ends_with_error SENTENCE ARGUMENT...: the status is 1, and the last line of stderr begins with the sentence.
ends_with_error() {
    sentence=$1
    shift
    "$demos/rosenbrock" "$@" >/dev/null 2>"$work/err"
    status=$?
    echo "status $status"
    cat "$work/err"
    [ $status = 1 ] && tail -1 "$work/err" | grep -q "^rosenbrock: $sentence"
}
misses_gnuplot() {
    mkdir -p "$work/none"
    (PATH=$work/none; "$demos/rosenbrock" --plot "$work/none.svg" >/dev/null) 2>"$work/err"
    status=$?
    cat "$work/err"
    [ $status = 1 ] && grep -q '^rosenbrock: --plot needs gnuplot, which is not found' "$work/err"
}

# The plot has 28 lines of 60 characters with both regions and both classes, and the accuracy is at least 99 %.
shows_spiral() {
    "$demos/spiral" --seed "$1" >"$work/out" || return 1
    cat "$work/out"
    awk 'length($0) == 60 && /^[.#ox]*$/ { rows++; if (/#/ && /\./ && /o/ && /x/) mixed++ }
         $1 == "accuracy" && $2 >= 99 { good = 1 }  END { exit !(rows == 28 && mixed > 5 && good) }' "$work/out"
}

# The summary lists the custom layer twice, and the loss is below 0.01.
shows_custom_module() {
    "$demos/custom_module" --seed "$1" >"$work/out" || return 1
    cat "$work/out"
    [ "$(grep -c '^  [12] (highway)  *\[64,16\]  *16$' "$work/out")" = 2 ] &&
        awk '$1 == "loss" && $2 < 0.01 { low = 1 }  END { exit !low }' "$work/out"
}

# The bound on the likelihood rises to at least -22 nats, and three rows of eight images are drawn.
shows_vae() {
    "$demos/vae" --seed "$1" >"$work/out" || return 1
    cat "$work/out"
    awk '/^epoch [0-9]*  bound -[0-9.]*  reconstruction -[0-9.]*  divergence [0-9.]*$/ {
             rows++; if (rows == 1) first = $4; last = $4; if ($4 - $6 + $8 > 0.02 || $4 - $6 + $8 < -0.02) bad = 1 }
         length($0) == 136 && gsub(/[|]/, "|") == 8 { lines++; if (/[#%@]/) inked++ }
         END { exit !(rows == 25 && last > -22 && first < -28 && lines == 24 && inked > 15 && !bad) }' "$work/out"
}

# The carts stand for fewer than 80 steps at first, and for more than 150 of 200 in the end.
shows_reinforce() {
    "$demos/reinforce" --seed "$1" >"$work/out" || return 1
    cat "$work/out"
    awk '/^update [0-9]*0  mean return [0-9.]*$/ { rows++; if (rows == 1) first = $5; last = $5 }
         END { exit !(rows == 10 && first < 80 && last > 150 && last <= 200) }' "$work/out"
}

check 'first prints the derivatives' shows_first
check 'gradcheck agrees, and finds the wrong op' shows_gradcheck
check 'custom_module learns with seed 0' shows_custom_module 0
again 'custom_module learns with seed 1' shows_custom_module 1
check 'custom_op computes currents' shows_custom_op 10
again 'custom_op computes small currents' shows_custom_op 1000
check 'custom_op refuses a resistance of 0' refuses 'ohms: must be a number from 0.1 to ' custom_op --ohms 0
check 'fit refuses too few points' refuses 'points: must be an integer from 20 to ' fit --points 4
if "$demos/fit" 2>&1 | grep -q 'this build has no LAPACK'; then skip 'fit' 'this build has no LAPACK'
else
    check 'fit finds parameters and their error bars' shows_fit
    again 'fit of nearly exact data' shows_fit --noise 1e-5
    again 'fit prints the same twice' same fit --seed 3
    again 'fit depends on the seed' seed_matters fit
fi
check 'rosenbrock finds the minimum by three methods' shows_rosenbrock
again 'rosenbrock finds the minimum from another start' shows_rosenbrock --x 1.5 --y -0.5
check 'rosenbrock refuses a start that is too far' refuses 'x: must be a number from -5 to 5' rosenbrock --x 6
check 'rosenbrock reports that gnuplot is missing' misses_gnuplot
if command -v gnuplot >/dev/null; then
    check 'rosenbrock draws through gnuplot' plots_rosenbrock
    check 'rosenbrock reports a file that it cannot write' ends_with_error 'gnuplot could not write' --plot "$work/no/file.svg"
else skip 'rosenbrock draws through gnuplot' 'gnuplot is not installed'
fi
check 'xor refuses a rate of 0' refuses 'lr: must be a number from 1e-06 to 100' xor --lr 0
check 'xor refuses a rate that is no number' refuses 'lr: must be a number' xor --lr nan
check 'xor stops after --steps' gives_up_on_xor
check 'control swings up the pendulum' swings_up
check 'tiny learns the digits that it draws' learns_digits
seeds=0
[ -n "${AD_TEST_QUICK:-}" ] || seeds='0 1 2'
for seed in $seeds; do
    check "pinn solves its equation with seed $seed" shows_pinn $seed
    check "xor learns with seed $seed" shows_xor $seed
    check "spiral learns with seed $seed" shows_spiral $seed
    check "vae learns with seed $seed" shows_vae $seed
    check "reinforce learns with seed $seed" shows_reinforce $seed
done
for demo in first gradcheck custom_module custom_op rosenbrock pinn xor spiral vae reinforce; do
    again "$demo prints the same twice" same "$demo" --seed 3
done
check 'pinn refuses a grid of one point' refuses 'side: must be an integer from 2 to 100' pinn --side 1
again 'pinn depends on the seed' seed_matters pinn --rounds 1
again 'xor depends on the seed' seed_matters xor
again 'vae depends on the seed' seed_matters vae --epochs 1
again 'reinforce depends on the seed' seed_matters reinforce --updates 10
check 'vae refuses too few images' refuses 'images: must be an integer from 8 to' vae --images 7
check 'reinforce refuses a rate of 0' refuses 'lr: must be a number from' reinforce --lr 0
again 'spiral depends on the seed' seed_matters spiral --epochs 5

# ---- mnist, on images of 2 x 5 pixels in which pixel D is white for the digit D -----------------------------

# octal HEX...: prints the bytes as escapes for printf.
octal() { for byte in "$@"; do printf '\\%03o' "0x$byte"; done; }

# digits PREFIX SAMPLES: writes two IDX files, images and labels, with the digits 0 to 9 in turn.
digits() {
    count=$(printf '%02x' "$2")
    images=$(octal 00 00 08 03 00 00 00 "$count" 00 00 00 02 00 00 00 05)
    labels=$(octal 00 00 08 01 00 00 00 "$count")
    white=$(awk -v n="$2" 'BEGIN { for (i = 0; i < n; i++) for (j = 0; j < 10; j++) printf i % 10 == j ? "\\377" : "\\000" }')
    class=$(awk -v n="$2" 'BEGIN { for (i = 0; i < n; i++) printf "\\%03o", i % 10 }')
    # shellcheck disable=SC2059 # the escapes are the format
    printf "$images$white" >"$work/$1-images-idx3-ubyte"
    # shellcheck disable=SC2059
    printf "$labels$class" >"$work/$1-labels-idx1-ubyte"
}

shows_mnist() {
    "$demos/mnist" --data "$work" --epochs 3 --batch 10 --lr 0.1 --hidden 16 "$@" >"$work/out" 2>"$work/err" || return 1
    cat "$work/out" "$work/err"
    [ "$(grep -c '^epoch [123]  loss [0-9.]*  test accuracy [0-9.]* %$' "$work/out")" = 3 ] &&
        grep -q '^epoch 3 .*test accuracy 100.00 %' "$work/out" &&
        [ "$(grep -c '^epoch [123]/3  loss [0-9.]*  .*  [0-9]* samples/s  [0-9]* s left' "$work/err")" = 3 ]
}

# A static program for musl cannot load what it has compiled.
compiles_mnist() {
    shows_mnist --compile 1 &&
        grep -Eq '^(compiled|interpreted: no compiler.*|interpreted: .*Dynamic loading not supported)$' "$work/err"
}

# Images of 2 x 5 pixels, eight side by side.
reads_images() {
    "$demos/vae" --data "$work" --epochs 3 >"$work/out" || return 1
    cat "$work/out"
    [ "$(grep -c '^epoch [123]  bound -' "$work/out")" = 3 ] && [ "$(grep -c '|$' "$work/out")" = 6 ]
}
misses_images() {
    "$demos/vae" --data "$work/none" >"$work/out" 2>"$work/err" && return 1
    cat "$work/out" "$work/err"
    [ ! -s "$work/out" ] && grep -q '^vae: .*none/train-images-idx3-ubyte.gz: No such file' "$work/err"
}

# fails PART: the status is 1, stdout is empty, stderr has one line with the part.
fails() {
    "$demos/mnist" --data "$work" >"$work/out" 2>"$work/err"
    status=$?
    echo "status $status"
    cat "$work/out" "$work/err"
    [ $status = 1 ] && [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q "^mnist: .*$1" "$work/err"
}

runs_augmented() {
    "$demos/mnist" --data "$work" --epochs 30 --batch 10 --optim adam --lr 0.02 --dropout 0.1 --augment 1 \
        --log "$work/epochs.csv" >"$work/out" || return 1
    cat "$work/out"
    [ "$(wc -l <"$work/epochs.csv")" = 31 ] && grep -q '^epoch,steps,lr,loss,validation_loss,accuracy$' "$work/epochs.csv"
}

# A run that is killed and resumed many times saves the same file as an uninterrupted run.
resumes() {
    slow="--data $work --epochs 100 --batch 2 --augment 1"
    rm -f "$work"/state* "$work"/net*
    # shellcheck disable=SC2086 # the options
    "$demos/mnist" $slow --save "$work/net" >/dev/null || return 1
    kills=0
    # shellcheck disable=SC2086
    until timeout -s KILL "$(awk "BEGIN { print 0.02 + 0.02 * $kills }")" "$demos/mnist" $slow --resume "$work/state" --save "$work/net2" >/dev/null
    do
        kills=$((kills + 1))
        [ $kills -lt 99 ] || break
    done
    echo "killed $kills times"
    [ $kills -gt 0 ] && cmp "$work/net" "$work/net2"
}

check 'mnist requires --data' refuses '--data DIR: is required' mnist --epochs 1
check 'mnist refuses 0 epochs' refuses 'epochs: must be an integer from 1 to ' mnist --data "$work" --epochs 0
check 'mnist refuses a rate below 0' refuses 'lr: must be a number' mnist --data "$work" --lr -1
check 'mnist reports a missing file' fails "$work/train-images-idx3-ubyte.gz: No such file"
digits train 250
digits t10k 20
check 'mnist learns' shows_mnist
check 'vae reads images in the format of MNIST' reads_images
check 'vae reports a missing file' misses_images
again 'mnist learns with a last batch that is smaller' shows_mnist --batch 7
check 'mnist learns by a compiled program' compiles_mnist
check 'mnist runs with adam, dropout and shifted images, and writes a log' runs_augmented
check 'mnist refuses an unknown model' refuses 'model: must be mlp or lenet' mnist --data "$work" --model big
check 'mnist refuses an unknown optimiser' refuses 'optim: must be sgd or adam' mnist --data "$work" --optim new
again 'mnist resumes a run that was killed' resumes
again 'mnist prints the same twice' same mnist --data "$work" --epochs 2 --seed 3
again 'mnist depends on the seed' seed_matters mnist --data "$work" --epochs 2
if command -v gzip >/dev/null && ! grep -aq 'this build has no zlib' "$demos/mnist"; then
    gzip "$work"/t10k-*
    check 'mnist reads gzipped files' shows_mnist
fi
digits t10k 20
printf x >>"$work/train-images-idx3-ubyte"
check 'mnist reports a malformed file' fails "$work/train-images-idx3-ubyte: is oversized"
digits train 250
digits other 10
mv "$work/other-labels-idx1-ubyte" "$work/train-labels-idx1-ubyte"
check 'mnist refuses more images than labels' fails '250'

# ---- housing and digits, on generated tables ------------------------------------------------------------------

# The price is proportional to the income, and a third lower near the ocean. Some counts of bedrooms are missing.
houses() {
    awk 'BEGIN {
        srand(7)
        print "longitude,latitude,housing_median_age,total_rooms,total_bedrooms,population,households,median_income," \
              "median_house_value,ocean_proximity"
        for (i = 0; i < 400; i++) {
            income = 1 + 9 * rand(); sea = rand() < 0.5
            printf "%.2f,%.2f,%d,%d,%s,%d,%d,%.3f,%.0f,%s\n", -120 + rand(), 36 + rand(), 50 * rand(), 1000 + 500 * rand(),
                   i % 9 ? int(200 + 50 * rand()) : "", 900 * rand() + 100, 200 + 20 * rand(), income,
                   40000 * income * (sea ? 0.67 : 1), sea ? "NEAR OCEAN" : "\"INLAND, DRY\""
        }
    }' >"$work/houses.csv"
}
shows_housing() {
    "$demos/housing" --data "$work/houses.csv" --hidden 32 "$@" >"$work/out" 2>"$work/err" || return 1
    cat "$work/out"
    [ "$(grep -c '^epoch [0-9]*/40  loss [0-9.]*  validation loss [0-9.]*  R2 [-0-9.]*' "$work/err")" = 40 ] &&
        awk '/^test R2 / { good = $3 > 0.7 && $5 == 80 }  END { exit !good }' "$work/out"
}

# pictures FILE SAMPLES: images of 64 pixels, of which seven adjacent ones are dark. The digit D has them from pixel 6 D
# on.
pictures() {
    awk -v n="$2" 'BEGIN {
        srand(n)
        for (j = 0; j < 64; j++) printf "p%d,", j
        print "class"
        for (i = 0; i < n; i++) {
            for (j = 0; j < 64; j++) printf("%d,", j >= 6 * (i % 10) && j < 6 * (i % 10) + 7 ? 16 - 3 * rand() : 3 * rand())
            print i % 10
        }
    }' >"$work/$1"
}
shows_digits() {
    "$demos/digits" --data "$work" --epochs 20 --folds 3 >"$work/out" || return 1
    cat "$work/out"
    [ "$(grep -c '^fold [123]: accuracy [0-9.]* %$' "$work/out")" = 3 ] && grep -q '^mean of 3 folds: ' "$work/out" &&
        [ "$(grep -c '^[0-9]  *[0-9 ]*[01][.][0-9]*  *[01][.][0-9]*$' "$work/out")" = 10 ] &&
        awk '/^test accuracy / { good = $3 > 95 }  END { exit !good }' "$work/out"
}

check 'housing requires --data' refuses '--data FILE: is required' housing --epochs 1
check 'digits requires --data' refuses '--data DIR: is required' digits --epochs 1
if ! grep -aq 'this build has no libcsv' "$demos/housing"; then
    houses
    pictures optdigits.tra 300
    pictures optdigits.tes 60
    check 'housing learns' shows_housing
    again 'housing prints the same twice' same housing --data "$work/houses.csv" --epochs 3
    check 'digits learns' shows_digits
    again 'digits prints the same twice' same digits --data "$work" --epochs 2
fi

# ---- names, on generated names ---------------------------------------------------------------------------------

# Names of four consecutive letters of the cycle abcd. Only the first letter is random, so the loss is log 4 over five
# characters, 0.277.
spellings() {
    awk 'BEGIN { for (i = 0; i < 400; i++) print substr("abcdabc", 1 + i % 4, 4) }' >"$work/names.txt"
}
shows_names() {
    "$demos/names" --data "$work/names.txt" --epochs 12 --hidden 16 --lr 0.02 --samples 30 "$@" >"$work/out" 2>"$work/err" || return 1
    cat "$work/out"
    awk '/^epoch [0-9]*  validation loss [0-9.]* nats per character$/ { epochs++; loss = $5 }
         /^(abcd|bcda|cdab|dabc) \(known\)$/ { names++ }
         END { exit !(epochs == 12 && loss > 0.27 && loss < 0.31 && names >= 27 && NR == 42) }' "$work/out"
}
# Two names with the ratio 2 to 1. A temperature of 1/2 squares the ratio.
draws_at_temperature() {
    awk 'BEGIN { for (i = 0; i < 300; i++) print i % 3 ? "a" : "b" }' >"$work/two.txt"
    "$demos/names" --data "$work/two.txt" --epochs 40 --hidden 8 --lr 0.02 --samples 500 --temperature "$1" >"$work/out" 2>/dev/null || return 1
    awk -v low="$2" -v high="$3" '/^a / { a++ }  END { print a; exit !(a > low && a < high) }' "$work/out"
}

check 'names requires --data' refuses '--data FILE: is required' names --epochs 1
check 'names refuses an unknown cell' refuses 'cell: must be lstm or gru' names --data "$work" --cell new
if ! grep -aq 'this build has no libcsv' "$demos/names"; then
    spellings
    check 'names learns with an lstm' shows_names
    again 'names learns with a gru of two layers' shows_names --cell gru --layers 2 --dropout 0.1
    check 'names draws by the probabilities, 2 to 1' draws_at_temperature 1 290 375
    again 'names draws 4 to 1 at a temperature of 1/2' draws_at_temperature 0.5 360 440
    again 'names prints the same twice' same names --data "$work/names.txt" --epochs 2
    again 'names depends on the seed' seed_matters names --data "$work/names.txt" --epochs 2
fi
# ---- gpt, on its own text: sentences of four words, each one of four, which makes 0.312 nats per character ---------

small='--layers 1 --heads 2 --width 32 --block 32 --lr 0.01 --steps 600'
# shellcheck disable=SC2086 # a list of options
shows_gpt() {
    "$demos/gpt" $small --length 2000 --top-k 8 >"$work/out" 2>"$work/err" || return 1
    cat "$work/out"
    awk '/^validation loss [0-9.]* nats per character$/ { loss = $3; next }
         /^(the|a|one|no) (cat|dog|fox|hen) (sees|hears|likes|knows) (me|him|her|you)\.$/ { right++; next }
         loss { wrong++ }
         END { exit !(loss > 0.31 && loss < 0.40 && right > 90 && wrong < 10) }' "$work/out"
}

# A run that ends after 150 of 600 steps and is resumed gives the same text and the same file as one without an end.
# shellcheck disable=SC2086
resumes_gpt() {
    "$demos/gpt" $small --dropout 0.1 --save "$work/whole" >"$work/one" &&
        "$demos/gpt" $small --dropout 0.1 --save "$work/parts" --stop 150 --length 0 >"$work/two" &&
        ! cmp -s "$work/whole" "$work/parts" &&
        "$demos/gpt" $small --dropout 0.1 --resume "$work/parts" >"$work/two" || return 1
    cat "$work/two"
    cmp "$work/whole" "$work/parts" && sed -n '/^validation/,$p' "$work/one" >"$work/out" &&
        sed -n '/^validation/,$p' "$work/two" | cmp - "$work/out" && [ -s "$work/out" ]
}

check 'gpt refuses a width that heads do not divide' refuses 'width: must be a multiple of heads' gpt --heads 3
check 'gpt refuses a file that is not there' refuses 'No such file' gpt --data "$work/nothing"
printf 'too short' >"$work/short"
check 'gpt refuses a text shorter than blocks' refuses 'must be longer than a block' gpt --data "$work/short"
check 'gpt learns' shows_gpt
again 'gpt resumes to the bit' resumes_gpt
again 'gpt prints the same twice' same gpt --layers 1 --width 16 --steps 20
again 'gpt depends on the seed' seed_matters gpt --layers 1 --width 16 --steps 20
done_testing

#!/bin/sh
# onnx_save.sh: models of nn_save_onnx: networks for batches of three sizes, and the samples of every op that has a form.
# ONNX's checker accepts them, and onnxruntime computes what the library does. Prints TAP.
set -u
. tests/cases
folder=${BUILD:-build}/onnx
models=$folder/models
program=${BUILD:-build}/tests/onnx/save_models
python=${PYTHON:-/usr/bin/python3}
runtime=onnxruntime-node@1.30.0

saved() {
    rm -rf "$models"
    mkdir -p "$models" && "$program" "$models" >"$work/refused" && [ "$(wc -l <"$models/cases.txt")" -gt 300 ]
}

# docs/onnx-models.md has the ops without a form.
listed() {
    sed 's/^\(all\|some\) of //' "$work/refused" | sort -u | while read -r op; do
        grep -q "^| \`$op\` |" docs/onnx-models.md || echo "docs/onnx-models.md does not say that $op has no form in ONNX"
    done
}

# onnxruntime 1.30.0 from npm, or what was installed before. Its scripts are for other processors than this one's.
fetched() {
    [ -d "$folder/node_modules/onnxruntime-node" ] && return
    mkdir -p "$folder" && echo '{ "private": true }' >"$folder/package.json" &&
        npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund "$runtime" >"$work/npm" 2>&1
}

accepted() {
    "$python" - "$models" <<'EOF'
import glob, sys
import onnx
for path in glob.glob(sys.argv[1] + "/*.onnx"):
    try:
        onnx.checker.check_model(onnx.load(path), full_check=True)
    except Exception as e:
        print(path, str(e).splitlines()[0])
EOF
}

agrees() { node tests/onnx/run.mjs "$folder" "$models" >"$work/out"; status=$?; cat "$work/out"; [ $status = 0 ]; }

# Results that are other ones are found: all bytes of the data of exp are changed.
finds() {
    cp -r "$models" "$work/wrong" && grep '"exp_f32' "$models/cases.txt" >"$work/wrong/cases.txt" || return 1
    data=$(sed 's/.*"data":"\([^"]*\)".*/\1/' "$work/wrong/cases.txt")
    tr '\000-\377' '\001-\377\000' <"$models/$data" >"$work/wrong/$data" &&
        ! node tests/onnx/run.mjs "$folder" "$work/wrong" >"$work/out" && grep -q 'differs by' "$work/out"
}

if [ ! -x "$program" ]; then
    skip "models are saved" "the library is built without protobuf-c"
else
    check "models are saved" saved
    check "docs/onnx-models.md lists the ops without a form" prints_nothing listed
    if "$python" -c 'import onnx' 2>/dev/null; then check "ONNX's checker accepts them" prints_nothing accepted
    else skip "ONNX's checker accepts them" "python3-onnx is not installed"; fi
    if command -v node >/dev/null && command -v npm >/dev/null && fetched; then
        check "onnxruntime computes the same" agrees
        check "a difference is found" finds
    else skip "onnxruntime computes the same" "node or the package onnxruntime-node cannot be had"; fi
fi
done_testing

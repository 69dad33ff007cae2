#!/bin/sh
# bindings.sh: checks docs/api.json, the description of the API for bindings, and trains XOR from Python, JavaScript and
# Rust with the shared library, where they are installed. Prints TAP.
set -u
. tests/cases
build=${BUILD:-build}
library=$(cd "$build" && pwd)/libautodiff.so

is_current() {
    sh mk/reference/make.sh json "$work/api.json" && cmp docs/api.json "$work/api.json" && return
    echo "make docs writes docs/api.json again"
    return 1
}

# Every symbol is there, and the sizes and places that the fields' types give are those that the C compiler has.
is_true() {
    python3 - "$work" <<'EOF' || return 1
import ctypes as c, json, re, sys
api = json.load(open("docs/api.json"))
symbols = {s for s in open("docs/symbols.txt").read().split("\n") if re.match(r"(ad|nn)_(?!op_)", s)}
ops = {"ad_op_" + f["name"][3:] for f in api["functions"]}
missing = [s for s in symbols - {f["name"] for f in api["functions"]} if s not in ops]
print("not described:", missing) if missing else None
with open(sys.argv[1] + "/check.c", "w") as out:
    out.write("#include <stddef.h>\n")
    for header in sorted({e["header"] for k in ("functions", "types") for e in api[k] if e["header"].endswith(".h")}):
        out.write('#include "%s"\n' % header)
    for k in api["constants"]:
        out.write('_Static_assert(%s == %d, "");\n' % (k["name"], k["value"]))
    for t in api["types"]:
        for f in t.get("fields", []) if t["kind"] == "struct" else []:
            name = t["name"]
            out.write('_Static_assert(offsetof(%s, %s) < sizeof(%s), "");\n' % (name, f["name"], name))
            if "(" not in f["type"] and "[" not in f["type"]:
                out.write("static %s *place_%s_%s(%s *p) { return &p->%s; }\n" % (f["type"], t["name"], f["name"], name, f["name"]))
    for f in api["functions"]:
        types = ", ".join(p["type"] for p in f["parameters"]) or "void"
        if not f.get("inline"):
            out.write("typedef %s type_of_%s(%s);\n" % (f["returns"], f["name"], types))
            out.write("static type_of_%s *call_%s(void) { return %s; }\n" % (f["name"], f["name"], f["name"]))
sys.exit(1 if missing else 0)
EOF
    ${CC:-cc} -std=gnu11 -I. -Wno-unused-function -Werror=incompatible-pointer-types -fsyntax-only "$work/check.c"
}

learns() { "$@" >"$work/out" || return 1; cat "$work/out"; grep -q '^loss 0\.00' "$work/out"; }
short() { [ "$(wc -l <"$1")" -le 60 ]; }

# koffi from npm, or what was installed before.
fetched() {
    [ -d "$build/bindings/node_modules/koffi" ] && return
    mkdir -p "$build/bindings" && echo '{ "private": true }' >"$build/bindings/package.json" &&
        npm install --prefix "$build/bindings" --ignore-scripts --no-audit --no-fund koffi@3 >"$work/npm" 2>&1
}

check "docs/api.json is what the headers give" is_current
if command -v python3 >/dev/null; then
    check "docs/api.json agrees with the C compiler" is_true
    check "Python trains XOR" learns python3 demos/bindings/xor.py "$library" docs/api.json
else skip "Python trains XOR" "python3 is not installed"; fi
if command -v node >/dev/null && command -v npm >/dev/null && fetched; then
    check "JavaScript trains XOR" learns node demos/bindings/xor.mjs "$library" docs/api.json "$build/bindings"
else skip "JavaScript trains XOR" "node or the package koffi cannot be had"; fi
if command -v rustc >/dev/null; then
    check "Rust builds" rustc --edition 2021 -D warnings -o "$work/xor" demos/bindings/xor.rs -L "$build"
    check "Rust trains XOR" learns env LD_LIBRARY_PATH="$build" "$work/xor"
else skip "Rust trains XOR" "rustc is not installed"; fi
for program in demos/bindings/*; do check "$program is short enough to copy" short "$program"; done
done_testing

#!/usr/bin/python3
"""reference.py: computes values and gradients of the samples of every op, by PyTorch in f64 or by mpmath.

usage: reference.py SAMPLES RESULTS [--ops NAME...] [--family NAME]
SAMPLES is the output of dump_samples, RESULTS the folder of the files that tests/test_reference.c reads.
README.md in this folder describes the entries of ops.
"""

import argparse
import importlib
import json
import math
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True

try:
    import mpmath
    import torch
except ImportError as missing:
    sys.exit(f"reference-values: {missing}. Debian has it as python3-torch, python3-mpmath "
             f"(for /usr/bin/python3; this is {sys.executable}); the tests do not need it.")

TOLERANCE = (1e-12, 0.0, "")


class Entry:
    """How the reference values of an op are computed."""

    def __init__(self, module, name):
        self.family = module.__name__
        self.function = module.OPS[name]
        self.tolerance = getattr(module, "TOLERANCE", {}).get(name, TOLERANCE)


def load_entries():
    entries = {}
    for path in sorted(HERE.glob("*.py")):
        if path.stem == "reference":
            continue
        module = importlib.import_module(path.stem)
        for name in getattr(module, "OPS", {}):
            if name in entries:
                sys.exit(f"reference-values: {name} is in {entries[name].family}.py and in {path.name}")
            entries[name] = Entry(module, name)
    return entries


def load_samples(path):
    """A dict of the samples of each op, without random ops."""
    ops = {}
    for line in path.read_text().splitlines():
        sample = json.loads(line, parse_int=lambda s: -0.0 if s == "-0" else int(s))  # int("-0") is 0
        if not sample["random"]:
            ops.setdefault(sample["op"], []).append(sample)
    return ops


# ---- computing --------------------------------------------------------------------------------------


def weights(n):
    """The numbers of sample_weight in sample.h."""
    words = [(k * 2654435769 + 12345) % 2**32 for k in range(n)]
    return torch.tensor([(2 * (w >> 23) - 511) / 512 for w in words], dtype=torch.float64)


def operand(given):
    x = torch.tensor(given["values"], dtype=torch.float64).reshape(given["shape"])
    return x.requires_grad_(given["grad"])


def compute(entry, sample):
    """The result, and the gradients of the operands that take one."""
    inputs = [operand(given) for given in sample["operands"]]
    y = entry.function(inputs, sample["attrs"])
    takers = [i for i, x in enumerate(inputs) if x.requires_grad]
    grads = [None] * len(takers)
    if takers and y.requires_grad:
        w = weights(y.numel()).reshape(y.shape).to(y.dtype)
        grads = torch.autograd.grad(y, [inputs[i] for i in takers], w, allow_unused=True)
    found = [torch.zeros_like(inputs[i]) if g is None else g for i, g in zip(takers, grads)]
    return y.detach(), dict(zip(takers, found))


# ---- writing ----------------------------------------------------------------------------------------


def number(v):
    """The shortest text that reads back as v."""
    if math.isnan(v):
        return "nan"
    text = repr(v)
    return text[:-2] if text.endswith(".0") else text


def numbers(tensor):
    return "".join(" " + number(v) for v in tensor.reshape(-1).tolist())


def result_text(name, entry, samples):
    relative, floor, why = entry.tolerance
    tool = f"PyTorch {torch.__version__}, mpmath {mpmath.__version__}"
    lines = [f"# {name}: by tests/reference/{entry.family}.py ({tool}); "
             f"`make reference-values OPS={name}` updates it"]
    lines.append(f"tolerance {relative:g} {floor:g} {why}".rstrip())
    for sample in samples:
        try:
            y, grads = compute(entry, sample)
        except Exception as error:
            error.args = (f"{name}, sample {sample['sample']}, attributes {sample['attrs']}: {error}",)
            raise
        shape = "[" + ",".join(str(n) for n in y.shape) + "]"
        lines.append(f"sample {sample['sample']} {sample['check']}")
        lines.append(f"value {shape}{numbers(y)}")
        lines.extend(f"grad {i}{numbers(g)}" for i, g in grads.items())
    return "\n".join(lines) + "\n"


def arguments():
    p = argparse.ArgumentParser(description="Computes the reference values that tests/test_reference.c reads.")
    p.add_argument("samples", type=pathlib.Path)
    p.add_argument("results", type=pathlib.Path)
    p.add_argument("--ops", nargs="*", default=[], help="only these ops")
    p.add_argument("--family", help="only the ops of this family file")
    return p.parse_args()


def main():
    given = arguments()
    entries, ops = load_entries(), load_samples(given.samples)
    everything = not given.ops and not given.family
    chosen = given.ops or [n for n in ops if everything or (n in entries and entries[n].family == given.family)]
    missing = [n for n in chosen if n not in entries or n not in ops]
    written = 0
    for name in chosen:
        if name in missing:
            continue
        (given.results / f"{name}.txt").write_text(result_text(name, entries[name], ops[name]))
        written += 1
    for path in given.results.glob("*.txt") if everything else ():
        if path.stem not in ops:
            path.unlink()
    print(f"reference-values: {written} ops written to {given.results}")
    if missing:
        sys.exit(f"reference-values: no entry in tests/reference/*.py, or no such op: {' '.join(missing)}")


if __name__ == "__main__":
    main()

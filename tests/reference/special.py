#!/usr/bin/python3
"""special.py: values, first and second slopes of every op at special points, by PyTorch in f64.

usage: special.py SAMPLES RESULTS [--ops NAME...]
SAMPLES is the output of dump_samples, RESULTS the folder of the files that tests/test_special.c reads.

The functions are PyTorch's own. Where PyTorch loses digits, EXACT computes the number by mpmath, or EXACT_OPS by other
functions; it is written as EXACT~PYTORCH. Where our convention differs, special_differs.py says so, and the number is
written as ?~PYTORCH. The descriptor of an op with such numbers must declare the difference. Points that our op
refuses are left out.
"""

import argparse
import fnmatch
import itertools
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from mpmath import mp

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True

import linalg  # noqa: E402
import networks  # noqa: E402
import reference  # noqa: E402
import special_differs  # noqa: E402
from elementwise import gelu_tanh, normal, sigmoid, sinc  # noqa: E402

NAN, INF = math.nan, math.inf
NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, NAN, INF, -INF, 1e200, -1e200, 1e-200, 5e-324, 1.7976931348623157e308]
FEW = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, NAN, INF, -INF, 1e200, -1e200]
VERY_FEW = [0.0, 1.0, -2.0, NAN, INF]
MOST_ELEMENTS = 24  # of all operands of a structured op's sample
FINITE_ONLY = {"rnn", "lstm", "gru"}  # the entries multiply x by an identity, and infinity times 0 is NaN
MOST_SAMPLES = 2    # of a structured op

# PyTorch's own functions, for ops whose entry in reference.py is a function of mpmath numbers.
DIRECT = {
    "exp": torch.exp, "expm1": torch.expm1, "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "tanh": torch.tanh,
    "acosh": torch.acosh, "erf": torch.erf, "erfc": torch.erfc, "lgamma": torch.lgamma, "digamma": torch.digamma,
    "sigmoid": torch.sigmoid, "logsigmoid": F.logsigmoid, "softplus": F.softplus, "gelu": F.gelu, "silu": F.silu,
    "mish": F.mish, "softsign": F.softsign, "hardsigmoid": F.hardsigmoid, "atan2": torch.atan2, "abs": torch.abs,
    "sign": torch.sign, "tanhshrink": F.tanhshrink, "sinc": torch.sinc, "erfinv": torch.erfinv, "logit": lambda x, eps: torch.logit(x, eps),
    "logaddexp": torch.logaddexp, "logaddexp2": torch.logaddexp2,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu6": F.relu6, "hardshrink": lambda x, **a: F.hardshrink(x, a["lambda"]),
    "softshrink": lambda x, **a: F.softshrink(x, a["lambda"]),
    "special": lambda x, kind, n: [torch.special.erfcx, torch.special.ndtri][int(kind)](x),
    "special_pair": lambda a, x, kind, n: [torch.special.zeta, torch.special.gammainc][int(kind) - 9](a, x),
    "polygamma": lambda x, n: torch.polygamma(int(n), x),
    "softplus_with": lambda x, beta, threshold: F.softplus(x, beta, threshold),
}

# Functions in which PyTorch loses digits in the tails, overflows early or has poles.
EXACT = {
    "expm1": mp.expm1, "log1p": mp.log1p, "asinh": mp.asinh, "acosh": mp.acosh, "erf": mp.erf, "erfc": mp.erfc,
    "sinc": sinc, "erfinv": mp.erfinv,
    "lgamma": lambda x: mp.re(mp.loggamma(x)), "digamma": lambda x: mp.psi(0, x), "sigmoid": sigmoid, "gelu_tanh": gelu_tanh,
    "softplus": lambda x: mp.log1p(mp.exp(x)), "logsigmoid": lambda x: -mp.log1p(mp.exp(-x)),
    "gelu": lambda x: x * normal(x), "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * mp.tanh(mp.log1p(mp.exp(x))), "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
}


def with_axes(f):
    """A function of x, axes and keepdims; a scalar is reduced as an array of one element."""

    def compute(inputs, attrs):
        x, = inputs
        axes = list(range(x.dim())) if attrs["axes"] is None else attrs["axes"]
        return f(x, axes, attrs) if axes else f(x.reshape(1), [0], attrs | {"keepdims": False})

    return compute


def reduction(attrs):
    return networks.REDUCTIONS[attrs["reduction"]]


def multi_weight(inputs):
    return inputs[2] if len(inputs) > 2 else None


# The same, for ops with operands or attributes of another form.
DIRECT_OPS = {
    "variance": with_axes(lambda x, axes, a: torch.var(x, axes, correction=a["correction"], keepdim=a["keepdims"])),
    "std": with_axes(lambda x, axes, a: torch.std(x, axes, correction=a["correction"], keepdim=a["keepdims"])),
    "norm": with_axes(lambda x, axes, a: torch.linalg.vector_norm(x, a["p"], axes, keepdim=a["keepdims"])),
    "logsumexp": with_axes(lambda x, axes, a: torch.logsumexp(x, axes, keepdim=a["keepdims"])),
    "kl_div": lambda i, a: F.kl_div(*i, reduction=reduction(a), log_target=bool(a["log_target"])),
    "bce_logits": lambda i, a: F.binary_cross_entropy_with_logits(
        *i[:2], pos_weight=multi_weight(i), reduction=reduction(a)),
    "smooth_l1": lambda i, a: F.smooth_l1_loss(*i, reduction=reduction(a), beta=a["beta"]),
    "soft_margin": lambda i, a: networks.reduced(torch.logaddexp(torch.zeros((), dtype=torch.float64), -i[0] * i[1]), a),
    "cosine_similarity": lambda i, a: F.cosine_similarity(*i, dim=a["axis"], eps=a["eps"]),
    "heaviside": lambda i, a: torch.heaviside(*(x.detach() for x in i)),
    "logcumsumexp": lambda i, a: torch.logcumsumexp(i[0], a["axis"]),
    "lstsq": lambda i, a: torch.linalg.lstsq(*i, driver="gelsd").solution,
    "det": lambda i, a: torch.linalg.det(*i),
    "cofactor": lambda i, a: linalg.cofactor(i, a) if is_plain(i[0]) else linalg.grad_of(torch.linalg.det(*i), *i),
}


def is_plain(x):
    """True for matrices whose determinant is a sum of finite products, or is the single element."""
    return x.shape[-1] == 1 or bool(x.isfinite().all())


# Structured ops that PyTorch does not compute at all points: its gradient of det is 0 at a singular matrix, and its
# squares of huge elements overflow.
EXACT_OPS = {
    "det": lambda i, a: linalg.det(i, a) if is_plain(i[0]) else torch.linalg.det(*i),
    "cosine_similarity": networks.cosine_similarity,
}


def points(n):
    """The operands of an elementwise op: all combinations of special numbers."""
    chosen = {1: NUMBERS + [3.0, -3.0, 40.0, -40.0], 2: FEW}.get(n, VERY_FEW)
    return [list(column) for column in zip(*itertools.product(chosen, repeat=n))]


def leaf(values, shape, grad):
    return torch.tensor(values, dtype=torch.float64).reshape(shape).requires_grad_(grad)


def differentiate(y, xs, weights, create):
    found = torch.autograd.grad(y, xs, weights, allow_unused=True, create_graph=create, retain_graph=True)
    return [torch.zeros_like(x) if g is None else g + 0 for x, g in zip(xs, found)]  # + 0: a ZeroTensor has no elements


def slopes(f, given, second_of):
    """The tensors of one point by name: value, grad I, second ..., None where PyTorch has no second derivative."""
    inputs = [leaf(*g) for g in given]
    takers = [i for i, x in enumerate(inputs) if x.requires_grad]
    y = f(inputs)
    out = {"value": y.detach()}
    if not takers:
        return out
    xs = [inputs[i] for i in takers]
    if not y.requires_grad:
        grads = [torch.zeros_like(x) for x in xs]
    else:
        grads = differentiate(y, xs, second_of.weights(y), True)
    out.update({f"grad {i}": g.detach() for i, g in zip(takers, grads)})
    try:
        out.update(second_of.second(takers, xs, grads))
    except RuntimeError as error:
        if "not implemented" not in str(error):
            raise
    return out


class Elementwise:
    """Cotangents of 1, and every second derivative: second I J."""

    @staticmethod
    def weights(y):
        return torch.ones_like(y)

    @staticmethod
    def second(takers, xs, grads):
        out = {}
        for i, g in zip(takers, grads):
            rows = differentiate(g, xs, torch.ones_like(g), False) if g.requires_grad else [x * 0 for x in xs]
            rows = [torch.where(r.isnan() & ~torch.tensor(g.requires_grad), torch.zeros_like(r), r) for r in rows]
            out.update({f"second {i} {j}": r.detach() for j, r in zip(takers, rows)})
        return out


class Structured:
    """Fixed cotangents, and the derivatives of the sum of all gradients times fixed numbers: second J."""

    @staticmethod
    def weights(y):
        return reference.weights(y.numel()).reshape(y.shape).to(y.dtype)

    @staticmethod
    def second(takers, xs, grads):
        live = [(g, x) for g, x in zip(grads, xs) if g.requires_grad]
        total = sum((g * Structured.weights(g)).sum() for g, _ in live) if live else None
        rows = differentiate(total, xs, None, False) if live else [torch.zeros_like(x) for x in xs]
        return {f"second {j}": r.detach() for j, r in zip(takers, rows)}


def same(a, b, floor=0):
    return (math.isnan(a) and math.isnan(b)) or a == b or abs(a - b) <= max(1e-12 * abs(a), floor)


def exact_numbers(f, x):
    """Value, slope and second slope of a function of an mpmath number at x; None where that has none."""
    with mp.workdps(1500):
        x = mp.mpf(x)
        h = (abs(x) or mp.mpf(1)) * mp.mpf("1e-120")
        try:
            low, mid, high = f(x - h), f(x), f(x + h)
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
        found = [mid, (high - low) / (2 * h), (high - 2 * mid + low) / h**2]
        real = all(isinstance(v, mp.mpf) and mp.isfinite(v) for v in (low, mid, high))
        return dict(zip(["value", "grad 0", "second 0 0"], map(float, found))) if real else None


def is_in(patterns, op, line, where):
    return any(fnmatch.fnmatchcase(f"{line} at {where}", p) for p in patterns.get(op, []))


def lines_of(op, tensors, places, exact_tensors):
    """The lines of one point, given PyTorch's tensors, and exact ones if there are any. places describes the point of
    each element."""
    for line, tensor in tensors.items():
        words = []
        for k, theirs in enumerate(tensor.reshape(-1).tolist()):
            where, x = places(k)
            exact = exact_numbers(EXACT[op], x) if op in EXACT and math.isfinite(x) else None
            if exact_tensors:
                exact = {line: exact_tensors[line].reshape(-1)[k].item()}
            if is_in(special_differs.NOT_COMPARED, op, line, where):
                word = "?"
            elif is_in(special_differs.DIFFERS, op, line, where):
                word = "?~" + reference.number(theirs)
            elif exact and not same(exact[line], theirs, 1e-14 if exact_tensors else 0):
                word = reference.number(exact[line]) + "~" + reference.number(theirs)
            else:
                word = reference.number(theirs)
            words.append(word)
        yield f"{line} {' '.join(words)}"


class Op:
    def __init__(self, name, entry, samples):
        self.name, self.samples = name, samples
        theirs = DIRECT.get(name)
        direct = (lambda inputs, attrs: theirs(*inputs, **attrs)) if theirs else None
        self.function = direct or DIRECT_OPS.get(name, entry.function)

    def point(self, sample, given, kind, places):
        attrs, exact = sample["attrs"], EXACT_OPS.get(self.name)
        exact_tensors = slopes(lambda x: exact(x, attrs), given, kind) if exact else None
        return lines_of(self.name, slopes(lambda x: self.function(x, attrs), given, kind), places, exact_tensors)


def elementwise_text(op):
    sample = op.samples[0]
    columns = points(len(sample["operands"]))
    given = [(c, [len(c)], o["grad"]) for c, o in zip(columns, sample["operands"])]
    yield f"sample {sample['sample']} {sample['check']}"
    for i, c in enumerate(columns):
        yield f"at {i} {' '.join(reference.number(v) for v in c)}"

    def places(k):
        return " ".join(reference.number(c[k]) for c in columns), columns[0][k]

    yield from op.point(sample, given, Elementwise, places)


def small(sample):
    sizes = [len(o["values"]) for o in sample["operands"]]
    return 0 < min(sizes) and sum(sizes) <= MOST_ELEMENTS


def structured_text(op):
    for sample in [s for s in op.samples if small(s)][:MOST_SAMPLES]:
        yield f"sample {sample['sample']} {sample['check']}"
        for j, o in enumerate(sample["operands"]):
            for v in FEW if o["grad"] else []:
                if op.name in FINITE_ONLY and not math.isfinite(v):
                    continue
                where = f"{j} {reference.number(v)}"
                if is_in(special_differs.REFUSED, op.name, "put", where):
                    continue
                given = [(list(p["values"]), p["shape"], p["grad"]) for p in sample["operands"]]
                given[j][0][0] = v
                try:
                    lines = list(op.point(sample, given, Structured, lambda k, where=where: (where, v)))
                except RuntimeError:  # a singular matrix, or a target out of range
                    continue
                yield f"put {where}"
                yield from lines


def main():
    p = argparse.ArgumentParser(description="Computes the special values that tests/test_special.c reads.")
    p.add_argument("samples", type=pathlib.Path)
    p.add_argument("results", type=pathlib.Path)
    p.add_argument("--ops", nargs="*", default=[], help="only these ops")
    given = p.parse_args()
    entries, ops = reference.load_entries(), reference.load_samples(given.samples)
    for name in given.ops or ops:
        op = Op(name, entries[name], ops[name])
        text = elementwise_text(op) if ops[name][0]["elementwise"] else structured_text(op)
        header = f"# {name}: by tests/reference/special.py (PyTorch {torch.__version__})"
        (given.results / f"{name}.txt").write_text("\n".join([header, *text]) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""functions.py: values, first and second derivatives of the functions that are made of ops, by PyTorch in f64.

usage: functions.py RESULTS, the file that tests/test_functions.c reads. A case is a name of that test, the operands and
PyTorch's function of them. An operand is a shape, for random numbers in -2..2, or a list, which takes no gradient;
Between(lo, hi, shape) has numbers of another range, and Given(list) takes a gradient.
"""

import math
import pathlib
import random
import sys

import torch
import torch.nn.functional as F

sys.dont_write_bytecode = True
import reference  # noqa: E402

CASES = []


class Between:
    def __init__(self, lo, hi, *shape):
        self.lo, self.hi, self.shape = lo, hi, shape


class Given:
    def __init__(self, values):
        self.values = values


def case(name, *operands):
    """Decorates a function of PyTorch."""

    def add(f):
        CASES.append((name, operands, f))
        return f

    return add


def operand(given, source):
    if isinstance(given, Given):
        return torch.tensor(given.values, dtype=torch.float64).requires_grad_()
    if isinstance(given, list):
        return torch.tensor(given, dtype=torch.float64)
    lo, hi, shape = (given.lo, given.hi, given.shape) if isinstance(given, Between) else (-2, 2, given)
    values = [round(source.uniform(lo, hi), 3) for _ in range(math.prod(shape))]
    return torch.tensor(values, dtype=torch.float64).reshape(shape).requires_grad_()


def weighted(x):
    return (reference.weights(x.numel()).reshape(x.shape) * x).sum()


def gradients(y, takers):
    """The gradients of a scalar, zeros where it does not depend on an operand."""
    if not y.requires_grad:
        return [torch.zeros_like(x) for x in takers]
    grads = torch.autograd.grad(y, takers, allow_unused=True, create_graph=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(takers, grads)]


def line(word, tensor):
    shape = "[" + ",".join(str(n) for n in tensor.shape) + "]"
    return f"{word} {shape}{reference.numbers(tensor.detach())}"


def lines(name, operands, f):
    source = random.Random(name)
    inputs = [operand(given, source) for given in operands]
    takers = [x for x in inputs if x.requires_grad]
    y = f(*inputs).double()
    first = gradients(weighted(y), takers)
    second = gradients(sum(weighted(d) for d in first), takers) if takers else []
    yield f"function {name}"
    yield from (line("param" if x.requires_grad else "tensor", x) for x in inputs)
    yield line("value", y)
    yield from (line("grad", d) for d in first)
    yield from (line("second", d) for d in second)


# ---- indices ---------------------------------------------------------------------------------------------


@case("index_fill", (3, 4), [2, 0])
def _(x, index):
    return x.index_fill(0, index.long(), 2.5)


@case("index_fill_last", (2, 4), [-1])
def _(x, index):
    return x.index_fill(1, torch.tensor([3]), -1)


@case("put", (2, 3), [[0, 5], [-2, 2]], (2, 2))
def _(x, index, src):
    return x.put(index.long(), src)


@case("put_accumulate", (2, 3), [0, 5, 0], (3,))
def _(x, index, src):
    return x.put(index.long(), src, accumulate=True)


def main():
    texts = [text for given in CASES for text in lines(*given)]
    head = f"# by tests/reference/functions.py (PyTorch {torch.__version__}); `make reference-values` updates it"
    pathlib.Path(sys.argv[1]).write_text("\n".join([head, *texts]) + "\n")
    print(f"reference-values: {len(CASES)} cases written to {sys.argv[1]}")


if __name__ == "__main__":
    main()

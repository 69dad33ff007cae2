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


REDUCTIONS = ["sum", "mean", "prod", "amax", "amin"]
for how in REDUCTIONS:
    for self in (True, False):
        name = f"scatter_{how}" + ("" if self else "_alone")
        case(name, (2, 3), [[2, 0, 0, 2], [1, 1, 1, 1]], (2, 4))(
            lambda x, index, src, how=how, self=self: x.scatter_reduce(1, index.long(), src, how, include_self=self))
        if how != "sum":
            case(name.replace("scatter", "index"), (3, 2), [0, 2, 0], (3, 2))(
                lambda x, index, src, how=how, self=self:
                x.scatter_reduce(0, index.long().reshape(-1, 1).expand(3, 2), src, how, include_self=self))


@case("scatter_part", (3, 4), [[0, 2, 1]], (2, 4))
def _(x, index, src):
    return x.scatter(0, index.long(), src[:1, :3])


@case("embedding_with", (4, 2), [[1, 3], [-1, 0]])
def _(weight, index):
    return F.embedding(index.long() % 4, weight, padding_idx=3)


@case("masked_fill_wide", (3,), [[0, 1, 0], [1, 0, 0]])
def _(x, mask):
    return x.expand(2, 3).masked_fill(mask != 0, -2)


@case("nonzero", [[0, 1, 2], [3, 0, 0]])
def _(x):
    return torch.nonzero(x)


@case("masked_select", (2, 3), [[0, 1, 2], [3, 0, 0]])
def _(x, mask):
    return torch.masked_select(x, mask != 0)


@case("masked_select_wide", (3,), [[1], [0], [1]])
def _(x, mask):
    return torch.masked_select(x, mask != 0)


@case("masked_scatter", (2, 3), [0, 1, 2], (5,))
def _(x, mask, src):
    return x.masked_scatter(mask.expand(2, 3) != 0, src)


@case("index_two", (3, 4), [[0, 2], [-1, 1]], [3, -2])
def _(x, i, j):
    return x[i.long(), j.long()]


@case("index_apart", (3, 4, 2), [2, 0], [[1], [0], [1]])
def _(x, i, j):
    return x[i.long(), :, j.long()]


@case("index_inner", (2, 3, 4, 2), [[2, 0]], [[1], [-1]])
def _(x, i, j):
    return x[:, i.long(), j.long()]


@case("index_one", (2, 3), [2, -1, 0])
def _(x, i):
    return x[:, i.long()]


@case("index_put", (3, 4), [2, 0], [3, -2], (2,))
def _(x, i, j, values):
    return x.index_put((i.long(), j.long()), values)


@case("index_put_accumulate", (3, 4), [2, 2], [1, 1], (1,))
def _(x, i, j, values):
    return x.index_put((i.long(), j.long()), values, accumulate=True)


@case("index_put_apart", (3, 2, 4), [2, 0, 2], [3, -2, 1], (3, 2))
def _(x, i, j, values):
    y = x.clone()
    y[i.long(), :, j.long()] = values
    return y


def main():
    texts = [text for given in CASES for text in lines(*given)]
    head = f"# by tests/reference/functions.py (PyTorch {torch.__version__}); `make reference-values` updates it"
    pathlib.Path(sys.argv[1]).write_text("\n".join([head, *texts]) + "\n")
    print(f"reference-values: {len(CASES)} cases written to {sys.argv[1]}")


if __name__ == "__main__":
    main()

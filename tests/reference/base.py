"""base.py: reference values of the first ops: elementwise, reductions, softmax, products, structure."""

import torch
import torch.nn.functional as F
from mpmath import mp

import exact


def over_axes(reduce):
    """A reduction of PyTorch over attrs' axes; None, and then a result of keepdims, too."""

    def entry(inputs, attrs):
        x, = inputs
        axes = list(range(x.dim())) if attrs["axes"] is None else attrs["axes"]
        return reduce(x, axes, attrs["keepdims"]) if axes else x.clone()

    return entry


def softplus_slope(x):
    return 1 / (1 + mp.exp(-x))


def with_number(f):
    return lambda inputs, attrs: f(inputs[0], attrs["k"])


def sign(x):
    return torch.where(x.isnan(), x, torch.sign(x)).detach()


def comparison(f):
    return lambda inputs, attrs: f(*inputs).double()


OPS = {
    "neg": lambda inputs, attrs: torch.neg(*inputs),
    "abs": lambda inputs, attrs: inputs[0] * sign(*inputs),
    "sign": lambda inputs, attrs: sign(*inputs),
    "sqrt": lambda inputs, attrs: torch.sqrt(*inputs),
    "square": lambda inputs, attrs: torch.square(*inputs),
    "exp": exact.elementwise(mp.exp, mp.exp),
    "expm1": exact.elementwise(mp.expm1, mp.exp),
    "log": lambda inputs, attrs: torch.log(*inputs),
    "log1p": lambda inputs, attrs: torch.log1p(*inputs),
    "sin": exact.elementwise(mp.sin, mp.cos),
    "cos": exact.elementwise(mp.cos, lambda x: -mp.sin(x)),
    "tanh": exact.elementwise(mp.tanh),
    "adds": with_number(torch.add),
    "muls": with_number(torch.mul),
    "pows": with_number(torch.pow),
    "sigmoid": exact.elementwise(lambda x: 1 / (1 + mp.exp(-x))),
    "relu": lambda inputs, attrs: torch.relu(*inputs),
    "softplus": exact.elementwise(lambda x: mp.log1p(mp.exp(x)), softplus_slope),
    "add": lambda inputs, attrs: torch.add(*inputs),
    "sub": lambda inputs, attrs: torch.sub(*inputs),
    "mul": lambda inputs, attrs: torch.mul(*inputs),
    "div": lambda inputs, attrs: torch.div(*inputs),
    "pow": lambda inputs, attrs: torch.pow(*inputs),
    "maximum": lambda inputs, attrs: torch.maximum(*inputs),
    "minimum": lambda inputs, attrs: torch.minimum(*inputs),
    "eq": comparison(torch.eq),
    "ne": comparison(torch.ne),
    "gt": comparison(torch.gt),
    "ge": comparison(torch.ge),
    "lt": comparison(torch.lt),
    "le": comparison(torch.le),
    "matmul": lambda inputs, attrs: torch.matmul(*inputs),
    "affine": lambda inputs, attrs: F.linear(*inputs),
    "sum": over_axes(torch.sum),
    "mean": over_axes(torch.mean),
    "max": over_axes(torch.amax),
    "min": over_axes(torch.amin),
    "softmax": lambda inputs, attrs: torch.softmax(inputs[0], attrs["axis"]),
    "log_softmax": lambda inputs, attrs: torch.log_softmax(inputs[0], attrs["axis"]),
    "cross_entropy": lambda inputs, attrs: F.cross_entropy(inputs[0], inputs[1].long()),
    "reshape": lambda inputs, attrs: inputs[0].reshape(attrs["shape"]),
    "transpose": lambda inputs, attrs: inputs[0].transpose(-1, -2),
    "expand": lambda inputs, attrs: inputs[0].expand(attrs["shape"]),
    "cast": lambda inputs, attrs: inputs[0].float() if attrs["dtype"] == 0 else inputs[0].double(),
    "detach": lambda inputs, attrs: inputs[0].detach(),
    "one_hot": lambda inputs, attrs: F.one_hot(inputs[0].long(), attrs["n"]).double(),
}

DIFFERS = {
    "abs": "the slope at NaN is NaN, as sign(NaN) is",
    "sign": "sign(NaN) is NaN, as NumPy has it; PyTorch's 0 would hide it",
}

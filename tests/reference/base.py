"""base.py: reference values of the basic ops: elementwise, reductions, softmax, matrix products, shapes."""

import torch
import torch.nn.functional as F
from mpmath import mp

import exact
from elementwise import flag, of_torch, sigmoid


def over_axes(reduce):
    """A reduction of PyTorch over attrs["axes"], where None stands for all axes, with keepdims."""

    def entry(inputs, attrs):
        x, = inputs
        axes = list(range(x.dim())) if attrs["axes"] is None else attrs["axes"]
        return reduce(x, axes, attrs["keepdims"]) if axes else x.clone()

    return entry


def extremum(reduce):
    """NaNs share the gradient, as in torch.max without an axis. torch.amax has the slope NaN for all elements."""

    def entry(inputs, attrs):
        x, = inputs
        if not bool(x.isnan().any()):
            return over_axes(reduce)(inputs, attrs)
        assert attrs["axes"] is None
        return torch.where(x.isnan(), x, torch.zeros_like(x)).sum() / x.isnan().sum()

    return entry


def with_number(f):
    return lambda inputs, attrs: f(inputs[0], attrs["k"])


def sign(x):
    return torch.where(x.isnan(), x, torch.sign(x)).detach()


OPS = {
    "neg": of_torch(torch.neg),
    "abs": lambda inputs, attrs: inputs[0] * sign(*inputs),
    "sign": lambda inputs, attrs: sign(*inputs),
    "sqrt": of_torch(torch.sqrt),
    "square": of_torch(torch.square),
    "exp": exact.elementwise(mp.exp, mp.exp),
    "expm1": exact.elementwise(mp.expm1, mp.exp),
    "log": of_torch(torch.log),
    "log1p": of_torch(torch.log1p),
    "sin": exact.elementwise(mp.sin, mp.cos),
    "cos": exact.elementwise(mp.cos, lambda x: -mp.sin(x)),
    "tanh": exact.elementwise(mp.tanh),
    "adds": with_number(torch.add),
    "muls": with_number(torch.mul),
    "pows": with_number(torch.pow),
    "sigmoid": exact.elementwise(sigmoid),
    "relu": of_torch(torch.relu),
    "softplus": exact.elementwise(lambda x: mp.log1p(mp.exp(x)), sigmoid),
    "add": of_torch(torch.add),
    "sub": of_torch(torch.sub),
    "mul": of_torch(torch.mul),
    "div": of_torch(torch.div),
    "pow": of_torch(torch.pow),
    "maximum": of_torch(torch.maximum),
    "minimum": of_torch(torch.minimum),
    "eq": flag(torch.eq),
    "ne": flag(torch.ne),
    "gt": flag(torch.gt),
    "ge": flag(torch.ge),
    "lt": flag(torch.lt),
    "le": flag(torch.le),
    "matmul": of_torch(torch.matmul),
    "affine": of_torch(F.linear),
    "sum": over_axes(torch.sum),
    "mean": over_axes(torch.mean),
    "max": extremum(torch.amax),
    "min": extremum(torch.amin),
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

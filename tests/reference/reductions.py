"""reductions.py: reference values of reductions and scans: by PyTorch, or by mpmath where PyTorch loses digits."""

import numpy
import torch
from mpmath import mp

import exact


def axes_of(x, attrs):
    return list(range(x.dim())) if attrs["axes"] is None else [a % x.dim() for a in attrs["axes"]]


def result_shape(x, attrs):
    gone = axes_of(x, attrs)
    return [1 if a in gone else n for a, n in enumerate(x.shape) if attrs["keepdims"] or a not in gone]


def with_an_axis(reduce):
    """An entry of OPS from reduce(x, axes, attrs), which takes at least one axis and keeps the axes."""

    def entry(inputs, attrs):
        x, = inputs
        flat = x if x.dim() else x.reshape(1)
        return reduce(flat, axes_of(x, attrs) or [0], attrs).reshape(result_shape(x, attrs))

    return entry


def is_finite(x):
    return bool(torch.isfinite(x).all())


def by_mpmath(f, x, axes):
    return exact.whole(lambda v: f(v, tuple(axes)), x)


# ---- moments ----------------------------------------------------------------------------------------


def count(x, axes):
    return int(numpy.prod([x.shape[a] for a in axes]))


def variance_by_mpmath(v, axes, correction):
    n = int(numpy.prod([v.shape[a] for a in axes]))
    mean = numpy.sum(v, axis=axes, keepdims=True) / n
    return numpy.sum((v - mean) ** 2, axis=axes, keepdims=True) / (n - correction)


def moment(root, of_torch):
    def reduce(x, axes, attrs):
        correction, n = attrs["correction"], count(x, axes)
        if n <= correction:  # 0/0, or an empty result
            return (x - x).sum(axes, keepdim=True) / 0
        if x.numel() == 0 or not is_finite(x):
            return of_torch(x, axes, correction=correction, keepdim=True)
        if bool((x.detach() == x.flatten()[0]).all()):  # the mean of PyTorch may have a rounding error
            return (x * 0).sum(axes, keepdim=True)
        return by_mpmath(lambda v, axes: root(variance_by_mpmath(v, axes, correction)), x, axes)

    return with_an_axis(reduce)


def logsumexp(x, axes, attrs):
    """PyTorch computes the derivative as exp(x - y), which loses digits where y is large."""
    exp, log = numpy.frompyfunc(mp.exp, 1, 1), numpy.frompyfunc(mp.log, 1, 1)
    if x.numel() == 0:
        return torch.logsumexp(x, axes, keepdim=True)
    return by_mpmath(lambda v, axes: log(numpy.sum(exp(v), axis=axes, keepdims=True)), x, axes)


# ---- norm -------------------------------------------------------------------------------------------


def norm(x, axes, attrs):
    """By mpmath where the norm is smooth, as powers in PyTorch overflow and underflow."""
    p = attrs["p"]
    if count(x, axes) == 0:
        return x.sum(axes, keepdim=True)
    if not is_finite(x) or bool((x == 0).any()) or x.numel() == 0 or p == 0 or abs(p) == float("inf"):
        return torch.linalg.vector_norm(x, p, axes, keepdim=True)
    power = numpy.frompyfunc(lambda v: abs(v) ** mp.mpf(p), 1, 1)
    outer = numpy.frompyfunc(lambda v: v ** (1 / mp.mpf(p)), 1, 1)
    return by_mpmath(lambda v, axes: outer(numpy.sum(power(v), axis=axes, keepdims=True)), x, axes)


# ---- products and scans --------------------------------------------------------------------------------


def prod(x, axes, attrs):
    for a in axes:
        x = torch.prod(x, a, keepdim=True)
    return x


def position(f):
    def reduce(x, axes, attrs):
        return f(x, keepdim=False) if attrs["axes"] is None else f(x, axes[0])

    return with_an_axis(lambda x, axes, attrs: reduce(x, axes, attrs).double())


def linear_scan(inputs, attrs):
    a = inputs[0]
    b = inputs[1] if len(inputs) > 1 else torch.zeros_like(a)
    axis, n = attrs["axis"] % a.dim(), a.shape[attrs["axis"]]
    if n == 0:
        return a * b
    h, out = torch.full_like(a.select(axis, 0), attrs["init"]), [None] * n
    for i in reversed(range(n)) if attrs["reverse"] else range(n):
        out[i] = h
        h = a.select(axis, i) * h + b.select(axis, i)
    return torch.stack(out, axis)


def logcumsumexp(inputs, attrs):
    """By mpmath, as the gradient of PyTorch is NaN where an element is -inf."""
    x, = inputs
    exp, log = numpy.frompyfunc(mp.exp, 1, 1), numpy.frompyfunc(mp.log, 1, 1)
    if x.numel() == 0:
        return x.clone()
    low = x.detach() == -torch.inf
    finite = torch.where(low, torch.full((), -1e6).double(), x)
    y = exact.whole(lambda v: log(numpy.cumsum(exp(v), axis=attrs["axis"])), finite)
    return torch.where(y < -1e5, torch.full((), -torch.inf).double(), y)


def running_place(inputs, attrs):
    return (torch.cummin if attrs["smallest"] else torch.cummax)(inputs[0], attrs["axis"])[1].double()


root = numpy.frompyfunc(mp.sqrt, 1, 1)

OPS = {
    "variance": moment(lambda v: v, torch.var),
    "std": moment(root, torch.std),
    "norm": with_an_axis(norm),
    "logsumexp": with_an_axis(logsumexp),
    "prod": with_an_axis(prod),
    "argmax": position(torch.argmax),
    "argmin": position(torch.argmin),
    "cumsum": lambda inputs, attrs: torch.cumsum(inputs[0], attrs["axis"]),
    "cumprod": lambda inputs, attrs: torch.cumprod(inputs[0], attrs["axis"]),
    "logcumsumexp": logcumsumexp,
    "running_place": running_place,
    "linear_scan": linear_scan,
}

"""exact.py: makes PyTorch functions of functions of mpmath numbers. Their derivatives have all digits of f64."""

import numpy
import torch
from mpmath import mp

DIGITS = 60  # of values, and of derivatives with a formula
# The step and the digits of difference quotients: enough for a derivative of 1e-308 where the value is 1.
STEP, STEP_DIGITS = "1e-340", 720


def to_mp(tensor):
    """A numpy array of mpmath numbers."""
    out = numpy.empty(tuple(tensor.shape), dtype=object)
    flat = tensor.detach().reshape(-1).tolist()
    for place, value in zip(numpy.ndindex(out.shape), flat):
        out[place] = mp.mpf(value)
    return out


def to_float(value):
    """The nearest f64; NaN for a complex number."""
    if isinstance(value, mp.mpc):
        return float("nan") if value.imag != 0 else to_float(value.real)
    return float(value)


def to_torch(array):
    array = numpy.asarray(array, dtype=object)
    flat = [to_float(array[place]) for place in numpy.ndindex(array.shape)]
    return torch.tensor(flat, dtype=torch.float64).reshape(array.shape)


# ---- element by element -----------------------------------------------------------------------------


def quotient(f, i, at):
    """The derivative of f with respect to argument i at the point at: a central difference quotient."""
    if not all(mp.isfinite(v) for v in at):
        raise ValueError(f"the derivative at {[float(v) for v in at]} needs a formula: pass df")
    with mp.workdps(STEP_DIGITS):
        h = mp.mpf(STEP)
        up, down = list(at), list(at)
        up[i] += h
        down[i] -= h
        return (f(*up) - f(*down)) / (2 * h)


class Elementwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, f, slopes, *tensors):
        ctx.f, ctx.slopes, ctx.points = f, slopes, [to_mp(t) for t in tensors]
        with mp.workdps(DIGITS):
            return to_torch(numpy.frompyfunc(f, len(tensors), 1)(*ctx.points))

    @staticmethod
    def backward(ctx, g):
        grads = []
        with mp.workdps(DIGITS):
            weights = to_mp(g)
            for i in range(len(ctx.points)):
                df = ctx.slopes[i] if ctx.slopes else lambda *at, i=i: quotient(ctx.f, i, at)
                slope = numpy.frompyfunc(lambda w, *at, df=df: w * df(*at), 1 + len(ctx.points), 1)
                grads.append(to_torch(slope(weights, *ctx.points)) if ctx.needs_input_grad[2 + i] else None)
        return None, None, *grads


def elementwise(f, *slopes):
    """An entry of OPS: applies f to each element, with the attributes as keyword arguments."""

    def entry(inputs, attrs):
        bound = [lambda *at, h=h: h(*at, **attrs) for h in (f, *slopes)]
        return Elementwise.apply(bound[0], bound[1:], *torch.broadcast_tensors(*inputs))

    return entry


# ---- whole arrays -----------------------------------------------------------------------------------


class Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx, f, *tensors):
        ctx.f, ctx.points = f, [to_mp(t) for t in tensors]
        with mp.workdps(DIGITS):
            return to_torch(f(*ctx.points))

    @staticmethod
    def backward(ctx, g):
        weights = to_mp(g)
        return None, *(Whole.gradient(ctx, i, weights) if ctx.needs_input_grad[1 + i] else None
                       for i in range(len(ctx.points)))

    @staticmethod
    def gradient(ctx, i, weights):
        """The derivative of sum(weights * f) with respect to operand i, one element at a time."""
        grad = numpy.empty(ctx.points[i].shape, dtype=object)
        with mp.workdps(STEP_DIGITS):
            h = mp.mpf(STEP)

            def total(place, step):
                moved = [p.copy() for p in ctx.points]
                moved[i][place] += step
                return numpy.sum(weights * numpy.asarray(ctx.f(*moved), dtype=object))

            for place in numpy.ndindex(grad.shape):
                grad[place] = (total(place, h) - total(place, -h)) / (2 * h)
        return to_torch(grad)


def whole(f, *tensors):
    """Applies f to the tensors as numpy arrays of mpmath numbers. f returns such an array and must be smooth there."""
    return Whole.apply(f, *tensors)
